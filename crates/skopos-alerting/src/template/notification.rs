//! What templates of notifications know beyond those of rules: Alertmanager's functions, the
//! methods of its data, and templates shared between files.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use skopos_model::Timestamp;

use super::functions::{self, MANY, Surroundings, count_arguments};
use super::humanize::humanize_duration;
use super::parser::{Dialect, Node, Parsed, parse};
use super::time::{self, format_duration};
use super::value::{Record, Value, Zone};
use super::{NoQueries, TemplateError, eval};

const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("and", 1, MANY),
    ("append", 1, MANY),
    ("date", 2, 2),
    ("dict", 0, MANY),
    ("eq", 2, MANY),
    ("ge", 2, 2),
    ("gt", 2, 2),
    ("html", 0, MANY),
    ("humanizeDuration", 1, 1),
    ("index", 1, MANY),
    ("join", 2, 2),
    ("js", 0, MANY),
    ("le", 2, 2),
    ("len", 1, 1),
    ("list", 0, MANY),
    ("lt", 2, 2),
    ("match", 2, 2),
    ("ne", 2, 2),
    ("not", 1, 1),
    ("or", 1, MANY),
    ("print", 0, MANY),
    ("printf", 1, MANY),
    ("println", 0, MANY),
    ("reReplaceAll", 3, 3),
    ("safeHtml", 1, 1),
    ("safeUrl", 1, 1),
    ("since", 1, 1),
    ("slice", 1, 4),
    ("stringSlice", 0, MANY),
    ("title", 1, 1),
    ("toJson", 1, 1),
    ("toLower", 1, 1),
    ("toUpper", 1, 1),
    ("trimSpace", 1, 1),
    ("tz", 2, 2),
    ("urlUnescape", 1, 1),
    ("urlquery", 0, MANY),
];

/// Templates of notifications.
static NOTIFICATIONS: Dialect = Dialect { variables: &[""], functions: FUNCTIONS };

/// Go's zero time in milliseconds: how "not over" is written.
pub(crate) const ZERO_TIME: i64 = -62_135_596_800_000;

/// Templates by name, gathered from files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Library {
    defined: HashMap<String, Vec<Node>>,
}

impl Library {
    /// Takes in a file's definitions; later ones replace earlier ones. The file's own text goes by
    /// the file's name.
    pub(crate) fn add(&mut self, file: &str, text: &str) -> Result<(), TemplateError> {
        let parsed = parse(text, &NOTIFICATIONS)?;
        self.defined.extend(parsed.defined);
        if !file.is_empty() {
            self.defined.insert(file.into(), parsed.body);
        }
        Ok(())
    }

    /// A name that a text calls and neither it nor the library defines, with its place.
    pub(crate) fn undefined(&self, text: &str) -> Result<Option<(String, usize)>, TemplateError> {
        let Parsed { called, defined, .. } = parse(text, &NOTIFICATIONS)?;
        let missing = |(name, _): &(String, usize)| {
            !defined.contains_key(name) && !self.defined.contains_key(name)
        };
        Ok(called.into_iter().find(missing))
    }

    pub(super) fn body(&self, name: &str) -> Option<&Vec<Node>> {
        self.defined.get(name)
    }

    /// The names that are defined.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.defined.keys().map(String::as_str)
    }
}

/// Expands a text with the data of a notification.
pub(crate) fn expand(
    library: &Library,
    text: &str,
    data: &Value,
    now: Timestamp,
    html: bool,
) -> Result<String, TemplateError> {
    if !text.contains("{{") {
        return Ok(text.into());
    }
    let parsed = parse(text, &NOTIFICATIONS)?;
    eval::expand_notification(&parsed, library, data, &NoQueries(now), html)
}

/// What is printed: sets of labels and lists of pairs have a form of their own.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Labels(map) => joined(sorted(map)),
        Value::List(items) if items.iter().all(is_pair) && !items.is_empty() => {
            joined(items.iter().map(|item| (part(item, "Name"), part(item, "Value"))))
        }
        value => value.print(),
    }
}

fn joined(pairs: impl Iterator<Item = (String, String)>) -> String {
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(", ")
}

/// In order of the names, `alertname` first.
fn sorted(map: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let first = map.get_key_value("alertname");
    let others = map.iter().filter(|(name, _)| *name != "alertname");
    first.into_iter().chain(others).map(|(name, value)| (name.clone(), value.clone()))
}

fn is_pair(value: &Value) -> bool {
    matches!(value, Value::Record(record) if record.type_name == "template.Pair")
}

fn part(value: &Value, name: &str) -> String {
    value.field(name).map(|value| value.print()).unwrap_or_default()
}

fn texts(texts: impl Iterator<Item = String>) -> Value {
    Value::List(Arc::new(texts.map(Value::from).collect()))
}

/// A method without arguments; none when the value has no such method.
pub(super) fn method(value: &Value, name: &str) -> Option<Value> {
    let pair = |(name, value): (String, String)| {
        let fields = vec![("Name", Value::from(name)), ("Value", Value::from(value))];
        Value::Record(Arc::new(Record { type_name: "template.Pair", fields }))
    };
    let with_status = |items: &[Value], status: &str| {
        let found = items.iter().filter(|alert| part(alert, "Status") == status);
        Value::List(Arc::new(found.cloned().collect()))
    };
    Some(match (value, name) {
        (Value::Labels(map), "SortedPairs") => {
            Value::List(Arc::new(sorted(map).map(pair).collect()))
        }
        (Value::Labels(map), "Names") => texts(sorted(map).map(|(name, _)| name)),
        (Value::Labels(map), "Values") => texts(sorted(map).map(|(_, value)| value)),
        (Value::Labels(_) | Value::List(_), "String") => Value::from(show(value)),
        (Value::List(items), "Names") => texts(items.iter().map(|item| part(item, "Name"))),
        (Value::List(items), "Values") => texts(items.iter().map(|item| part(item, "Value"))),
        (Value::List(items), "Firing") => with_status(items, "firing"),
        (Value::List(items), "Resolved") => with_status(items, "resolved"),
        (Value::Time(ms), "UTC" | "Local") => Value::Time(*ms),
        (Value::ZonedTime(ms, _), "UTC" | "Local") => Value::Time(*ms),
        (Value::Time(ms) | Value::ZonedTime(ms, _), "IsZero") => Value::Bool(*ms == ZERO_TIME),
        (Value::ZonedTime(..), "String") => Value::from(value.print()),
        (Value::Time(ms), "Month" | "Weekday") => {
            Value::from(time::name_of(*ms, name)?.to_string())
        }
        (Value::ZonedTime(ms, _), "Unix" | "UnixMilli") => Value::Int(time::part(*ms, name)?),
        (Value::ZonedTime(ms, zone), name) => {
            let shifted = ms + i64::from(zone.offset) * 1000;
            match time::name_of(shifted, name) {
                Some(text) => Value::from(text.to_string()),
                None => Value::Int(time::part(shifted, name)?),
            }
        }
        (Value::Duration(nanos), "String") => Value::from(format_duration(*nanos)),
        (Value::Duration(nanos), "Minutes") => Value::Float(*nanos as f64 / 60e9),
        (Value::Duration(nanos), "Hours") => Value::Float(*nanos as f64 / 3600e9),
        (Value::Duration(nanos), "Milliseconds") => Value::Int(nanos / 1_000_000),
        _ => return None,
    })
}

/// A method with arguments.
pub(super) fn call_method(value: &Value, name: &str, arguments: &[Value]) -> Option<Value> {
    Some(match (value, name, arguments) {
        (Value::Labels(map), "Remove", [Value::List(names)]) => {
            let names: Vec<String> = names.iter().map(Value::print).collect();
            let kept = map.iter().filter(|(name, _)| !names.contains(name));
            Value::Labels(Arc::new(kept.map(|(n, v)| (n.clone(), v.clone())).collect()))
        }
        (Value::ZonedTime(ms, zone), "Format", [Value::Text(layout)]) => {
            Value::from(time::format_layout(*ms, Some(zone), layout))
        }
        (_, "Sub", [other]) => {
            Value::Duration(millis(value)?.saturating_sub(millis(other)?).saturating_mul(1_000_000))
        }
        (_, "Before", [other]) => Value::Bool(millis(value)? < millis(other)?),
        (_, "After", [other]) => Value::Bool(millis(value)? > millis(other)?),
        (_, "Equal", [other]) => Value::Bool(millis(value)? == millis(other)?),
        _ => return None,
    })
}

fn millis(value: &Value) -> Option<i64> {
    match value {
        Value::Time(ms) | Value::ZonedTime(ms, _) => Some(*ms),
        _ => None,
    }
}

/// Calls a function.
pub(super) fn call(
    name: &str,
    arguments: &[Value],
    around: &Surroundings<'_>,
) -> Result<Value, String> {
    count_arguments(FUNCTIONS, name, arguments.len())?;
    apply(name, arguments, around).map_err(|error| format!("error calling {name}: {error}"))
}

fn apply(name: &str, a: &[Value], around: &Surroundings<'_>) -> Result<Value, String> {
    let text = |at: usize| match a.get(at) {
        Some(Value::Text(text) | Value::Safe(text)) => Ok(&**text),
        Some(other) => {
            Err(format!("wrong type for value; expected string; got {}", other.type_name()))
        }
        None => Err("missing argument".to_string()),
    };
    let list = |at: usize| match a.get(at) {
        Some(Value::List(items)) => Ok(items),
        Some(other) => {
            Err(format!("wrong type for value; expected a list; got {}", other.type_name()))
        }
        None => Err("missing argument".to_string()),
    };
    let moment = |at: usize| {
        let found = a.get(at).and_then(millis);
        found.ok_or_else(|| "wrong type for value; expected time.Time".to_string())
    };
    Ok(match name {
        "title" => Value::from(title(text(0)?)),
        "trimSpace" => Value::from(text(0)?.trim().to_string()),
        "join" => {
            let separator = text(0)?;
            let items: Vec<String> = list(1)?.iter().map(Value::print).collect();
            Value::from(items.join(separator))
        }
        "safeHtml" | "safeUrl" => Value::Safe(text(0)?.into()),
        "urlUnescape" => Value::from(unescape(text(0)?)?),
        "stringSlice" => {
            for at in 0..a.len() {
                text(at)?;
            }
            Value::List(Arc::new(a.to_vec()))
        }
        "list" => Value::List(Arc::new(a.to_vec())),
        "append" => {
            let mut items = list(0)?.to_vec();
            items.extend(a[1..].iter().cloned());
            Value::List(Arc::new(items))
        }
        "dict" => {
            if !a.len().is_multiple_of(2) {
                return Err("dict needs a value for each key".into());
            }
            let mut map = BTreeMap::new();
            for at in (0..a.len()).step_by(2) {
                map.insert(text(at)?.to_string(), a[at + 1].clone());
            }
            Value::Map(Arc::new(map))
        }
        "date" => {
            let zone = match a.get(1) {
                Some(Value::ZonedTime(_, zone)) => Some(zone),
                _ => None,
            };
            Value::from(time::format_layout(moment(1)?, zone, text(0)?))
        }
        "tz" => in_zone(text(0)?, moment(1)?)?,
        "since" => {
            let now = around.host.now().as_millis();
            Value::Duration(now.saturating_sub(moment(0)?).saturating_mul(1_000_000))
        }
        "humanizeDuration" => match a.first() {
            Some(Value::Duration(nanos)) => Value::from(humanize_duration(*nanos as f64 / 1e9)),
            _ => functions::apply(name, a, around)?,
        },
        "toJson" => Value::from(json(&a[0]).to_string()),
        _ => functions::apply(name, a, around)?,
    })
}

/// Words with a capital and nothing else in capitals, as English titles have it.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        let is_word = c.is_alphanumeric() || c == '\'' || c == '_';
        match is_word && !in_word {
            true => out.extend(c.to_uppercase()),
            false => out.extend(c.to_lowercase()),
        }
        in_word = is_word;
    }
    out
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let value =
                    high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                bytes.push(value.ok_or_else(|| format!("invalid URL escape in {text:?}"))?);
            }
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn in_zone(name: &str, ms: i64) -> Result<Value, String> {
    let unknown = || format!("unknown time zone {name}");
    let zone = jiff::tz::TimeZone::get(name).map_err(|_| unknown())?;
    let moment =
        jiff::Timestamp::from_millisecond(ms).map_err(|_| "time out of range".to_string())?;
    let info = zone.to_offset_info(moment);
    let zone = Zone { offset: info.offset().seconds(), name: info.abbreviation().into() };
    Ok(Value::ZonedTime(ms, zone))
}

/// A value as JSON, with the names that Alertmanager's payload has.
fn json(value: &Value) -> serde_json::Value {
    let rfc3339 = |ms: i64, zone: Option<&Zone>| {
        time::format_layout(ms, zone, "2006-01-02T15:04:05.000Z07:00").replace(".000", "")
    };
    match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::Float(n) => (*n).into(),
        Value::Text(text) | Value::Safe(text) => (**text).into(),
        Value::Labels(map) => {
            map.iter().map(|(k, v)| (k.clone(), serde_json::Value::from(v.clone()))).collect()
        }
        Value::Map(map) => map.iter().map(|(k, v)| (k.clone(), json(v))).collect(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Record(record) => {
            let lowered = record.type_name != "template.Pair";
            let key = |name: &str| match lowered {
                true => name[..1].to_ascii_lowercase() + &name[1..],
                false => name.to_string(),
            };
            record.fields.iter().map(|(name, value)| (key(name), json(value))).collect()
        }
        Value::Time(ms) => rfc3339(*ms, None).into(),
        Value::ZonedTime(ms, zone) => rfc3339(*ms, Some(zone)).into(),
        Value::Duration(nanos) => (*nanos).into(),
        Value::Sample(..) | Value::Alert(_) => value.print().into(),
    }
}
