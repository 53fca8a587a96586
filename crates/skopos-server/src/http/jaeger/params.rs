//! The parameters of a trace search.

use std::time::Duration;

use serde_json::Value;
use skopos_model::event::{Comparison, Field, Predicate};
use skopos_model::{TimeRange, Timestamp, TraceId};

use crate::error::ApiError;
use crate::http::params::{Params, invalid, shown};

/// Traces answered unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;
/// Most traces answered at once.
pub(super) const MAX_LIMIT: usize = 1_500;
/// Most tags of one search.
const MAX_TAGS: usize = 32;
/// Window when neither start nor lookback is given: two days, as Jaeger's UI offers at most.
const DEFAULT_LOOKBACK: Duration = Duration::from_secs(2 * 86_400);

/// A checked search.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// What a span must satisfy.
    pub(super) predicates: Vec<Predicate>,
    /// When it must start.
    pub(super) range: TimeRange,
    /// Most traces.
    pub(super) limit: usize,
}

impl Search {
    pub(super) fn new(params: &Params, now: Timestamp) -> Result<Self, ApiError> {
        let Some(service) = params.get("service") else {
            return Err(ApiError::bad_request("parameter 'service' is required"));
        };
        let mut predicates = vec![Predicate::Equals(Field::Service, service.to_owned())];
        if let Some(operation) = params.get("operation") {
            predicates.push(Predicate::Equals(Field::Name, operation.to_owned()));
        }
        for (name, comparison) in
            [("minDuration", Comparison::GreaterOrEqual), ("maxDuration", Comparison::LessOrEqual)]
        {
            let wanted = "a duration such as 1.5s, 100ms, 500us";
            let duration = params.parsed(name, wanted, parse_go_duration)?;
            predicates.extend(
                duration.map(|d| Predicate::Compare(Field::Duration, comparison, d.as_secs_f64())),
            );
        }
        predicates.extend(tags(params)?.into_iter().map(|(key, value)| tag(&key, value)));

        let micros = |name| {
            params.parsed(name, "microseconds since 1970", |text| {
                let micros = text.parse::<i64>().ok()?;
                Some(Timestamp(micros.saturating_mul(1_000)))
            })
        };
        let end = micros("end")?;
        let lookback = params.parsed("lookback", "a duration such as 1h, or `custom`", |text| {
            if text == "custom" { Some(DEFAULT_LOOKBACK) } else { parse_go_duration(text) }
        })?;
        let start = match micros("start")? {
            Some(start) => start,
            None => end.unwrap_or(now).saturating_sub(lookback.unwrap_or(DEFAULT_LOOKBACK)),
        };
        // Without an end also spans of clocks that run ahead are found.
        let range = TimeRange::new(start, end.unwrap_or(Timestamp::MAX));
        let limit = params.parsed("limit", "a whole number from 1 to 1500", |text| {
            text.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n))
        })?;
        Ok(Self { predicates, range, limit: limit.unwrap_or(DEFAULT_LIMIT) })
    }
}

fn tags(params: &Params) -> Result<Vec<(String, String)>, ApiError> {
    let mut tags = Vec::new();
    for text in params.all("tag") {
        match text.split_once(':') {
            Some((key, value)) if !key.is_empty() => tags.push((key.to_owned(), value.to_owned())),
            _ => return Err(invalid("tag", text, "of the form key:value")),
        }
    }
    for text in params.all("tags") {
        let object: serde_json::Map<String, Value> = serde_json::from_str(text)
            .map_err(|_| invalid("tags", text, "a JSON object of tag names and values"))?;
        for (key, value) in object {
            let value = match value {
                Value::String(text) => text,
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    let wanted = "a text, number or boolean";
                    return Err(invalid(&format!("tags.{key}"), &value.to_string(), wanted));
                }
                other => other.to_string(),
            };
            tags.push((key, value));
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(ApiError::bad_request(format!("more than {MAX_TAGS} tags")));
    }
    Ok(tags)
}

/// The condition behind a tag. Tags that our answers add to spans are searchable like any other.
fn tag(key: &str, value: String) -> Predicate {
    let attribute = Predicate::Equals(Field::Attribute(key.to_owned()), value.clone());
    let field = match key {
        "error" => {
            let failed = Predicate::Equals(Field::Status, "ERROR".into());
            return match value.as_str() {
                "true" => Predicate::Any(vec![failed, attribute]),
                "false" => Predicate::Not(Box::new(failed)),
                _ => attribute,
            };
        }
        "span.kind" => Field::Kind,
        "otel.status_code" => Field::Status,
        "otel.status_description" => Field::StatusMessage,
        "otel.scope.name" | "otel.library.name" => Field::Scope,
        _ => return attribute,
    };
    let value = if field == Field::Status { value.to_ascii_uppercase() } else { value };
    Predicate::Any(vec![Predicate::Equals(field, value), attribute])
}

/// A trace id of up to 32 hexadecimal digits; leading zeros may be missing, as Jaeger prints them.
pub(super) fn trace_id(text: &str) -> Result<TraceId, ApiError> {
    let padded = format!("{text:0>32}");
    padded.parse().ok().filter(TraceId::is_valid).ok_or_else(|| {
        let text = shown(text);
        ApiError::bad_request(format!("{text:?} is no trace id: up to 32 hexadecimal digits"))
    })
}

/// A duration in Go's notation: `1h15m30.918s`, `100ms`, `1.5s`, `500us`, `500µs`, `10ns`, `0`.
fn parse_go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut nanos = 0_f64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            // Not Go's, but what Jaeger's UI sends as lookback.
            "d" => 86_400e9,
            "w" => 604_800e9,
            _ => return None,
        };
        nanos += number.parse::<f64>().ok()? * unit;
        rest = after;
    }
    Duration::try_from_secs_f64(nanos / 1e9).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        for (text, nanos) in [
            ("0", Some(0)),
            ("1.5s", Some(1_500_000_000)),
            ("100ms", Some(100_000_000)),
            ("1h1m", Some(3_660_000_000_000)),
            ("500us", Some(500_000)),
            ("5µs", Some(5_000)),
            ("2d", Some(172_800_000_000_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1x", None),
            ("-1s", None),
            ("..s", None),
        ] {
            assert_eq!(parse_go_duration(text).map(|d| d.as_nanos()), nanos, "{text:?}");
        }
    }

    #[test]
    fn trace_ids_may_lack_leading_zeros() {
        assert_eq!(trace_id("ff").unwrap().to_string(), format!("{:0>32}", "ff"));
        for text in ["", "0", "xyz", "0123456789abcdef0123456789abcdef0"] {
            assert!(trace_id(text).is_err(), "{text:?}");
        }
    }
}
