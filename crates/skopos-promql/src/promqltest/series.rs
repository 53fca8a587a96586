//! Series lines: labels, then points in a shorthand.

use std::sync::Arc;

use skopos_model::{
    BucketSpan, CounterResetHint, Histogram, Labels, LabelsBuilder, METRIC_NAME, STALE_NAN,
    SampleValue,
};

use crate::format::format_general;
use crate::histogram;
use crate::lexer::{Tok, lex};

/// A point of a series in the test notation, or a gap.
pub type Point = Option<SampleValue>;

/// Longest repetition accepted.
pub(super) const MAX_POINTS: usize = 1_000_000;

/// Reads a series as scripts and rule tests write it: labels, then points
/// (`up{job="shop"} 1x3 _ 0+1x5 stale`). Labels may be absent altogether.
pub fn parse_series(line: &str) -> Result<(Labels, Vec<Point>), String> {
    let line = line.trim();
    let is_bare = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.');
    if line.is_empty() || line.starts_with("{{") || line.starts_with(is_bare) {
        return Ok((Labels::empty(), points(line)?));
    }
    let (labels, rest) = labels(line)?;
    Ok((labels, points(rest)?))
}

/// A histogram in the notation that [`parse_series`] reads: `{{schema:1 count:2 buckets:[1 1]}}`.
pub fn write_histogram(value: &Histogram) -> String {
    let h = histogram::compact(value.clone());
    let mut parts = Vec::new();
    if h.schema != 0 {
        parts.push(format!("schema:{}", h.schema));
    }
    for (name, number) in [
        ("count", h.count),
        ("sum", h.sum),
        ("z_bucket", h.zero_count),
        ("z_bucket_w", h.zero_threshold),
    ] {
        if number != 0.0 {
            parts.push(format!("{name}:{}", format_general(number)));
        }
    }
    let list = |numbers: &[f64]| {
        let texts: Vec<String> = numbers.iter().map(|n| format_general(*n)).collect();
        texts.join(" ")
    };
    if !h.custom_values.is_empty() {
        parts.push(format!("custom_values:[{}]", list(&h.custom_values)));
    }
    match h.counter_reset_hint {
        CounterResetHint::Unknown => {}
        CounterResetHint::CounterReset => parts.push("counter_reset_hint:reset".into()),
        CounterResetHint::NotCounterReset => parts.push("counter_reset_hint:not_reset".into()),
        CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".into()),
    }
    for (prefix, spans, buckets) in [
        ("", &h.positive_spans, &h.positive_buckets),
        ("n_", &h.negative_spans, &h.negative_buckets),
    ] {
        if let Some(offset) = spans.first().map(|s| s.offset).filter(|offset| *offset != 0) {
            parts.push(format!("{prefix}offset:{offset}"));
        }
        // The notation knows one span, so gaps between spans are written as empty buckets.
        let mut filled = Vec::new();
        let mut rest = buckets.as_slice();
        for (i, span) in spans.iter().enumerate() {
            if i > 0 {
                filled.extend((0..span.offset.clamp(0, 10_000)).map(|_| 0.0));
            }
            let (of_span, after) = rest.split_at(rest.len().min(span.length as usize));
            filled.extend_from_slice(of_span);
            rest = after;
        }
        if !filled.is_empty() {
            parts.push(format!("{prefix}buckets:[{}]", list(&filled)));
        }
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// Takes the labels off the front of a line.
pub(super) fn labels(line: &str) -> Result<(Labels, &str), String> {
    let name_end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(line.len());
    let mut labels = LabelsBuilder::default();
    let (name, rest) = line.split_at(name_end);
    labels.set(METRIC_NAME, name);
    let Some(inner) = rest.strip_prefix('{').filter(|r| !r.starts_with('{')) else {
        if name.is_empty() {
            return Err(format!("expected a series, got {line:?}"));
        }
        return Ok((labels.build(), rest.trim_start()));
    };
    let close = closing_brace(inner).ok_or("unclosed brace in series")?;
    let tokens = lex(&inner[..close]).map_err(|e| e.message)?;
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        let label = match &token.tok {
            Tok::End => break,
            Tok::Sym(",") => continue,
            Tok::Word => token.span.text(inner).to_owned(),
            Tok::Str(text) => text.text.clone(),
            _ => return Err("expected a label name".into()),
        };
        if tokens.next_if(|t| t.tok == Tok::Sym("=")).is_none() {
            // A lone string is the metric's name.
            labels.set(METRIC_NAME, &label);
            continue;
        }
        match tokens.next().map(|t| &t.tok) {
            Some(Tok::Str(value)) => labels.set(&label, &value.text),
            _ => return Err(format!("expected a quoted value for label {label:?}")),
        };
    }
    Ok((labels.build(), inner[close + 1..].trim_start()))
}

/// The brace that closes labels, quotes considered.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '}') => return Some(i),
            (None, _) => {}
        }
    }
    None
}

/// A number as scripts write it.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if rest.eq_ignore_ascii_case("inf") {
        return Some(sign * f64::INFINITY);
    }
    let starts_well = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    starts_well.then(|| crate::lexer::parse_number(rest)).flatten().map(|v| sign * v)
}

/// The points of a series line.
pub(super) fn points(text: &str) -> Result<Vec<Point>, String> {
    let mut out: Vec<Point> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        rest = item(rest, &mut out)?.trim_start();
        if out.len() > MAX_POINTS {
            return Err("too many points".into());
        }
    }
    Ok(out)
}

fn item<'l>(text: &'l str, out: &mut Vec<Point>) -> Result<&'l str, String> {
    if text.starts_with("{{") {
        return histogram_item(text, out);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word == "stale" {
        out.push(Some(SampleValue::Float(STALE_NAN)));
        return Ok(rest);
    }
    if let Some(times) = word.strip_prefix('_') {
        let count = if times.is_empty() { 1 } else { repetitions(times, word)? };
        out.extend(std::iter::repeat_n(None, count));
        return Ok(rest);
    }
    // `a`, `axN`, `a+bxN`, `a-bxN`.
    let bad = || format!("bad value {word:?}");
    let (body, times) = match word.rsplit_once('x') {
        Some((body, _)) => (body, repetitions(&word[body.len()..], word)?),
        None => (word, 0),
    };
    if let Some(value) = number(body) {
        let value = Some(SampleValue::Float(value));
        out.extend(std::iter::repeat_n(value, times + 1));
        return Ok(rest);
    }
    // The sign between start and step is the last that does not belong to an exponent.
    let bytes = body.as_bytes();
    let split = (1..body.len())
        .rev()
        .find(|i| matches!(bytes[*i], b'+' | b'-') && !matches!(bytes[i - 1], b'e' | b'E'))
        .ok_or_else(bad)?;
    let start = number(&body[..split]).ok_or_else(bad)?;
    let step = number(&body[split..]).ok_or_else(bad)?;
    let mut value = start;
    for _ in 0..=times {
        out.push(Some(SampleValue::Float(value)));
        value += step;
    }
    Ok(rest)
}

fn repetitions(text: &str, word: &str) -> Result<usize, String> {
    text.strip_prefix('x')
        .and_then(|n| n.parse().ok())
        .filter(|n| *n <= MAX_POINTS)
        .ok_or_else(|| format!("bad repetition in {word:?}"))
}

fn histogram_item<'l>(text: &'l str, out: &mut Vec<Point>) -> Result<&'l str, String> {
    let (start, rest) = histogram_literal(text)?;
    let (step, rest, sign) = match rest.as_bytes() {
        [sign @ (b'+' | b'-'), b'{', b'{', ..] => {
            let (step, rest) = histogram_literal(&rest[1..])?;
            (Some(step), rest, *sign)
        }
        _ => (None, rest, b'+'),
    };
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (times, rest) = rest.split_at(end);
    let times = if times.is_empty() { 0 } else { repetitions(times, times)? };
    let mut value = start;
    for i in 0..=times {
        if i > 0
            && let Some(step) = &step
        {
            let next = if sign == b'+' {
                histogram::add(&value, step)
            } else {
                histogram::sub(&value, step)
            };
            value = next.map_err(|_| "histograms with different kinds of buckets")?.0;
        }
        out.push(Some(SampleValue::Histogram(Arc::new(value.clone()))));
    }
    Ok(rest)
}

/// `{{schema:0 sum:1 count:2 buckets:[1 1] …}}`.
fn histogram_literal(text: &str) -> Result<(Histogram, &str), String> {
    let inner = text.strip_prefix("{{").ok_or("expected {{")?;
    let close = inner.find("}}").ok_or("unclosed histogram")?;
    let (mut body, rest) = (inner[..close].trim(), &inner[close + 2..]);
    let mut h = Histogram::default();
    let (mut offset, mut negative_offset) = (0, 0);
    while !body.is_empty() {
        let (key, value) = body.split_once(':').ok_or("expected key:value in histogram")?;
        let (value, tail) = if value.starts_with('[') {
            let end = value.find(']').ok_or("unclosed list in histogram")?;
            (&value[1..end], &value[end + 1..])
        } else {
            value.split_once(char::is_whitespace).unwrap_or((value, ""))
        };
        body = tail.trim_start();
        let float = || number(value).ok_or_else(|| format!("bad number {value:?} for {key}"));
        let int = || value.parse::<i32>().map_err(|_| format!("bad number {value:?} for {key}"));
        let list = || -> Result<Vec<f64>, String> {
            value
                .split_whitespace()
                .map(|v| number(v).ok_or_else(|| format!("bad number {v:?} for {key}")))
                .collect()
        };
        match key {
            "schema" => h.schema = int()?,
            "sum" => h.sum = float()?,
            "count" => h.count = float()?,
            "z_bucket" => h.zero_count = float()?,
            "z_bucket_w" => h.zero_threshold = float()?,
            "buckets" => h.positive_buckets = list()?,
            "n_buckets" => h.negative_buckets = list()?,
            "custom_values" => h.custom_values = list()?,
            "offset" => offset = int()?,
            "n_offset" => negative_offset = int()?,
            "counter_reset_hint" => {
                h.counter_reset_hint = match value {
                    "gauge" => CounterResetHint::Gauge,
                    "reset" => CounterResetHint::CounterReset,
                    "not_reset" => CounterResetHint::NotCounterReset,
                    "unknown" => CounterResetHint::Unknown,
                    _ => return Err(format!("bad counter_reset_hint {value:?}")),
                }
            }
            _ => return Err(format!("unknown histogram field {key:?}")),
        }
    }
    let span = |offset, buckets: &[f64]| match u32::try_from(buckets.len()) {
        Ok(length @ 1..) => vec![BucketSpan { offset, length }],
        _ => Vec::new(),
    };
    h.positive_spans = span(offset, &h.positive_buckets);
    h.negative_spans = span(negative_offset, &h.negative_buckets);
    Ok((h, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<Option<f64>> {
        let value = |point: Point| match point {
            Some(SampleValue::Float(v)) => Some(v),
            None => None,
            Some(other) => panic!("{other:?}"),
        };
        points(text).unwrap().into_iter().map(value).collect()
    }

    #[test]
    fn shorthand() {
        for (text, want) in [
            ("1 2 _ 3", vec![Some(1.0), Some(2.0), None, Some(3.0)]),
            ("1+2x2", vec![Some(1.0), Some(3.0), Some(5.0)]),
            ("5-1x1", vec![Some(5.0), Some(4.0)]),
            ("-5-1x1", vec![Some(-5.0), Some(-6.0)]),
            ("0x2", vec![Some(0.0); 3]),
            ("_x2 1e-1", vec![None, None, Some(0.1)]),
            ("1e2+1e1x1", vec![Some(100.0), Some(110.0)]),
        ] {
            assert_eq!(floats(text), want, "{text}");
        }
        assert!(points("1 foo").is_err());
    }

    #[test]
    fn a_series_with_and_without_labels() {
        let (labels, points) = parse_series("up{job='a b'} 1x1 _").unwrap();
        assert_eq!((labels.to_string().as_str(), points.len()), (r#"up{job="a b"}"#, 3));
        assert_eq!(parse_series("{a=\"b\"}").unwrap().1, []);
        assert_eq!(parse_series(""), Ok((Labels::empty(), Vec::new())));
        assert_eq!(parse_series("-1 2").unwrap().1.len(), 2);
        assert!(parse_series("up{ 1").is_err());
    }

    #[test]
    fn histograms_are_written_as_they_are_read() {
        for text in [
            "{{}}",
            "{{schema:1 count:32.1 sum:-0.3 z_bucket:7.1 z_bucket_w:0.05 offset:-3 buckets:[5.1 10 7] n_offset:-5 n_buckets:[4.1 5]}}",
            "{{schema:-53 count:3 sum:2 custom_values:[1 2] buckets:[1 0 2]}}",
            "{{count:2 sum:3 counter_reset_hint:gauge buckets:[2]}}",
        ] {
            let read = parse_series(text).unwrap().1;
            let [Some(SampleValue::Histogram(read))] = read.as_slice() else { panic!("{read:?}") };
            assert_eq!(write_histogram(read), text);
        }
    }

    #[test]
    fn histograms_add_up() {
        let all = points("{{count:1 sum:2 buckets:[1]}}+{{count:1 sum:1 buckets:[1]}}x2").unwrap();
        let Some(Some(SampleValue::Histogram(last))) = all.last() else { panic!("{all:?}") };
        assert_eq!(
            (last.count, last.sum, last.positive_buckets.as_slice()),
            (3.0, 4.0, &[3.0][..])
        );
    }
}
