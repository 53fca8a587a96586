//! The functions templates may call: Go's built-in ones and Prometheus'.
//!
//! `and`, `or` and `tmpl` are the evaluator's, because they do not simply take values.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use skopos_model::Labels;

use super::TemplateHost;
use super::humanize::{humanize, humanize_duration, humanize_percentage, humanize1024};
use super::printf::sprintf;
use super::text::{
    escape_html, escape_js, escape_query, graph_link, path_of, split_host_port, strip_domain,
    table_link, title,
};
use super::value::Value;
use crate::duration::parse_duration;

/// Name, least and most arguments.
pub(super) const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("and", 1, MANY),
    ("args", 0, MANY),
    ("eq", 2, MANY),
    ("externalURL", 0, 0),
    ("first", 1, 1),
    ("ge", 2, 2),
    ("graphLink", 1, 1),
    ("gt", 2, 2),
    ("html", 0, MANY),
    ("humanize", 1, 1),
    ("humanize1024", 1, 1),
    ("humanizeDuration", 1, 1),
    ("humanizePercentage", 1, 1),
    ("humanizeTimestamp", 1, 1),
    ("index", 1, MANY),
    ("js", 0, MANY),
    ("label", 2, 2),
    ("le", 2, 2),
    ("len", 1, 1),
    ("lt", 2, 2),
    ("match", 2, 2),
    ("ne", 2, 2),
    ("not", 1, 1),
    ("now", 0, 0),
    ("or", 1, MANY),
    ("parseDuration", 1, 1),
    ("pathPrefix", 0, 0),
    ("print", 0, MANY),
    ("printf", 1, MANY),
    ("println", 0, MANY),
    ("query", 1, 1),
    ("reReplaceAll", 3, 3),
    ("safeHtml", 1, 1),
    ("slice", 1, 4),
    ("sortByLabel", 2, 2),
    ("stripDomain", 1, 1),
    ("stripPort", 1, 1),
    ("strvalue", 1, 1),
    ("tableLink", 1, 1),
    ("title", 1, 1),
    ("tmpl", 2, 2),
    ("toDuration", 1, 1),
    ("toLower", 1, 1),
    ("toTime", 1, 1),
    ("toUpper", 1, 1),
    ("urlQueryEscape", 1, 1),
    ("urlquery", 0, MANY),
    ("value", 1, 1),
];

pub(super) const MANY: usize = usize::MAX;

/// What functions may ask for beyond their arguments.
pub(super) struct Surroundings<'a> {
    pub(super) host: &'a dyn TemplateHost,
    pub(super) external_url: &'a str,
}

/// Calls a function. The error says what Go would say, without place.
pub(super) fn call(
    name: &str,
    arguments: &[Value],
    around: &Surroundings<'_>,
) -> Result<Value, String> {
    count_arguments(FUNCTIONS, name, arguments.len())?;
    apply(name, arguments, around).map_err(|error| format!("error calling {name}: {error}"))
}

pub(super) fn count_arguments(
    functions: &[(&str, usize, usize)],
    name: &str,
    given: usize,
) -> Result<(), String> {
    let Ok(at) = functions.binary_search_by(|(known, ..)| (*known).cmp(name)) else {
        return Ok(());
    };
    let (_, least, most) = functions[at];
    if given < least || given > most {
        let want = if given < least { least } else { most };
        return Err(format!("wrong number of args for {name}: want {want} got {given}"));
    }
    Ok(())
}

pub(super) fn apply(name: &str, a: &[Value], around: &Surroundings<'_>) -> Result<Value, String> {
    let text = |at: usize| -> Result<&str, String> {
        match a.get(at) {
            Some(Value::Text(text) | Value::Safe(text)) => Ok(text),
            Some(other) => {
                Err(format!("wrong type for value; expected string; got {}", other.type_name()))
            }
            None => Err("missing argument".into()),
        }
    };
    let number = |at: usize| to_float(a.get(at).unwrap_or(&Value::Nil));
    Ok(match name {
        "not" => Value::Bool(!a[0].is_true()),
        "eq" => {
            let mut any = false;
            for other in &a[1..] {
                any |= equal(&a[0], other)?;
            }
            Value::Bool(any)
        }
        "ne" => Value::Bool(!equal(&a[0], &a[1])?),
        "lt" => Value::Bool(less(&a[0], &a[1])?),
        "le" => Value::Bool(less(&a[0], &a[1])? || equal(&a[0], &a[1])?),
        "gt" => Value::Bool(!less(&a[0], &a[1])? && !equal(&a[0], &a[1])?),
        "ge" => Value::Bool(!less(&a[0], &a[1])?),
        "len" => Value::Int(length(&a[0])?),
        "index" => a[1..].iter().try_fold(a[0].clone(), |value, index| element(&value, index))?,
        "slice" => slice(&a[0], &a[1..])?,
        "print" => Value::from(print(a)),
        "println" => {
            let words: Vec<String> = a.iter().map(Value::print).collect();
            Value::from(format!("{}\n", words.join(" ")))
        }
        "printf" => Value::from(sprintf(text(0)?, &a[1..])),
        "html" => Value::from(escape_html(&print(a))),
        "js" => Value::from(escape_js(&print(a))),
        "urlquery" => Value::from(escape_query(&print(a))),
        "urlQueryEscape" => Value::from(escape_query(text(0)?)),

        "args" => {
            let entries = a.iter().enumerate().map(|(i, v)| (format!("arg{i}"), v.clone()));
            Value::Map(Arc::new(entries.collect()))
        }
        "safeHtml" => Value::from(text(0)?.to_string()),
        "title" => Value::from(title(text(0)?)),
        "toUpper" => Value::from(text(0)?.to_uppercase()),
        "toLower" => Value::from(text(0)?.to_lowercase()),
        "match" => Value::Bool(compile(text(0)?)?.is_match(text(1)?)),
        "reReplaceAll" => {
            // `$1`, `${name}` and `$$` mean the same in Go and in the regex crate.
            let replaced = compile(text(0)?)?.replace_all(text(2)?, text(1)?).into_owned();
            Value::from(replaced)
        }
        "graphLink" => Value::from(graph_link(text(0)?)),
        "tableLink" => Value::from(table_link(text(0)?)),
        "externalURL" => Value::from(around.external_url.to_string()),
        "pathPrefix" => Value::from(path_of(around.external_url)),
        "stripPort" => {
            let host_port = text(0)?;
            Value::from(split_host_port(host_port).map_or(host_port, |(host, _)| host).to_string())
        }
        "stripDomain" => Value::from(strip_domain(text(0)?)),

        "humanize" => Value::from(humanize(number(0)?)),
        "humanize1024" => Value::from(humanize1024(number(0)?)),
        "humanizeDuration" => Value::from(humanize_duration(number(0)?)),
        "humanizePercentage" => Value::from(humanize_percentage(number(0)?)),
        "humanizeTimestamp" => match to_time(number(0)?)? {
            Some(time) => Value::from(time.print()),
            None => Value::from(super::format_float(number(0)?, 'g', Some(4))),
        },
        "toTime" => to_time(number(0)?)?.ok_or("value is NaN or Inf")?,
        "toDuration" => {
            let nanos = number(0)? * 1e9;
            if !nanos.is_finite() {
                return Err("value is NaN or Inf".into());
            }
            if nanos.abs() >= i64::MAX as f64 {
                return Err(format!("{} cannot be represented as a duration", a[0].print()));
            }
            Value::Duration(nanos as i64)
        }
        "parseDuration" => {
            let duration = parse_duration(text(0)?).map_err(|error| error.to_string())?;
            Value::Float(duration.as_secs_f64())
        }
        "now" => Value::Float(around.host.now().as_secs_f64()),

        "query" => {
            let found = around.host.query(text(0)?)?;
            Value::List(Arc::new(found.into_iter().map(|(l, v)| sample(&l, v)).collect()))
        }
        "first" => match list(&a[0])?.first() {
            Some(first) => first.clone(),
            None => return Err("first() called on vector with no elements".into()),
        },
        "label" => {
            let label = text(0)?;
            a[1].field("Labels")
                .and_then(|labels| labels.field(label))
                .map_err(|_| no_sample(&a[1]))?
        }
        "strvalue" => a[0]
            .field("Labels")
            .and_then(|labels| labels.field("__value__"))
            .map_err(|_| no_sample(&a[0]))?,
        "value" => match &a[0] {
            Value::Sample(_, value) => Value::Float(*value),
            other => return Err(no_sample(other)),
        },
        "sortByLabel" => {
            let label = text(0)?;
            let mut items = list(&a[1])?.to_vec();
            items.sort_by_cached_key(|item| {
                item.field("Labels")
                    .and_then(|l| l.field(label))
                    .map_or(String::new(), |v| v.print())
            });
            Value::List(Arc::new(items))
        }
        _ => return Err(format!("function {name:?} not defined")),
    })
}

/// An element of a query's result as a template sees it.
pub(super) fn sample(labels: &Labels, value: f64) -> Value {
    let map: BTreeMap<String, String> =
        labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    Value::Sample(Arc::new(map), value)
}

fn no_sample(value: &Value) -> String {
    format!("wrong type for value; expected *template.sample; got {}", value.type_name())
}

fn list(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::List(items) => Ok(items),
        other => Err(format!(
            "wrong type for value; expected template.queryResult; got {}",
            other.type_name()
        )),
    }
}

fn to_float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(n) => Ok(*n),
        Value::Int(n) => Ok(*n as f64),
        Value::Duration(nanos) => Ok(*nanos as f64 / 1e9),
        Value::Text(text) => {
            let plain = text.replace('_', "");
            let plain = plain.trim_start_matches('+');
            let is_number = !plain.is_empty() && !text.contains(char::is_whitespace);
            plain
                .parse()
                .ok()
                .filter(|_| is_number)
                .ok_or_else(|| format!("strconv.ParseFloat: parsing {:?}: invalid syntax", &**text))
        }
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

/// Seconds since the epoch as a time; `None` for NaN and infinities.
fn to_time(seconds: f64) -> Result<Option<Value>, String> {
    if !seconds.is_finite() {
        return Ok(None);
    }
    let nanos = seconds * 1e9;
    if nanos.abs() >= i64::MAX as f64 {
        let shown = super::format_float(seconds, 'g', None);
        return Err(format!(
            "{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    Ok(Some(Value::Time(nanos as i64 / 1_000_000)))
}

/// Texts next to each other are joined without a space, everything else with one, as Go does.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let is_text = |v: &Value| matches!(v, Value::Text(_));
        if i > 0 && !is_text(value) && !is_text(&values[i - 1]) {
            out.push(' ');
        }
        out.push_str(&value.print());
    }
    out
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Nil, Value::Nil) => true,
        (Value::Nil, _) | (_, Value::Nil) => false,
        _ => return Err(incomparable(a, b)),
    })
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => return Ok(a < b),
        _ => return Err(incomparable(a, b)),
    };
    Ok(order == Ordering::Less)
}

fn incomparable(a: &Value, b: &Value) -> String {
    let basic = |v: &Value| {
        matches!(
            v,
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Duration(_)
        )
    };
    match basic(a) && basic(b) {
        true => "incompatible types for comparison".into(),
        false => "invalid type for comparison".into(),
    }
}

fn length(value: &Value) -> Result<i64, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Labels(map) => map.len(),
        Value::Map(map) => map.len(),
        Value::List(items) => items.len(),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

fn element(value: &Value, index: &Value) -> Result<Value, String> {
    match (value, index) {
        (Value::Labels(_) | Value::Map(_), Value::Text(name)) => value.field(name),
        (Value::List(items), Value::Int(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| items.get(at));
            found.cloned().ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::Text(text), Value::Int(at)) => {
            let found = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at).copied());
            found
                .map(|b| Value::Int(i64::from(b)))
                .ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::Labels(_) | Value::Map(_) | Value::List(_) | Value::Text(_), index) => {
            Err(format!("cannot index {} with type {}", value.type_name(), index.type_name()))
        }
        (Value::Nil, _) => Err("index of untyped nil".into()),
        (other, _) => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let total = usize::try_from(length(value)?).unwrap_or(0);
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(Value::Int(n)) => usize::try_from(*n)
            .ok()
            .filter(|n| *n <= total)
            .ok_or_else(|| format!("index out of range: {n}")),
        Some(other) => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let (start, end) = (bound(0, 0)?, bound(1, total)?);
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    match value {
        Value::Text(text) => {
            let bytes = text.as_bytes().get(start..end).unwrap_or_default();
            Ok(Value::from(String::from_utf8_lossy(bytes).into_owned()))
        }
        Value::List(items) => {
            Ok(Value::List(Arc::new(items.get(start..end).unwrap_or_default().to_vec())))
        }
        other => Err(format!("can't slice item of type {}", other.type_name())),
    }
}

/// Compiled size limit of a template's regular expression, bytes.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

pub(super) fn compile(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(REGEX_SIZE_LIMIT).build().map_err(|error| {
        let reason = error.to_string();
        format!("error parsing regexp {pattern:?}: {}", reason.lines().last().unwrap_or("").trim())
    })
}
