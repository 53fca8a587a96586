//! One log line, or one log record of OTLP, in the terms of the guide.
//!
//! Loggers disagree about names (`ts`, `time`, `@timestamp`); what the guide asks for is the fact, so the usual names of each
//! are taken.

use serde_json::Value;
use skopos_model::{LogRecord, Resource, SeverityNumber};

const TIMES: &[&str] = &["timestamp", "time", "ts", "@timestamp", "datetime", "asctime"];
const LEVELS: &[&str] =
    &["level", "severity", "severity_text", "lvl", "levelname", "log.level", "log_level"];
const MESSAGES: &[&str] = &["message", "event", "msg", "body"];
const SERVICES: &[&str] =
    &["service", "service.name", "service_name", "serviceName", "otelServiceName", "dd.service"];
const REQUEST_IDS: &[&str] = &[
    "request_id",
    "requestId",
    "request.id",
    "req_id",
    "reqId",
    "http.request.id",
    "http.request.header.x-request-id",
    "x_request_id",
    "x-request-id",
    "correlation_id",
    "correlationId",
];
const TRACE_IDS: &[&str] =
    &["trace_id", "traceId", "traceid", "trace.id", "otelTraceID", "dd.trace_id"];

/// A log line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// As it came; a record of OTLP as JSON.
    pub raw: String,
    /// Whether it is a record or a JSON object.
    pub is_structured: bool,
    /// Whether it came by OTLP.
    pub is_record: bool,
    /// Whether it says when.
    pub has_time: bool,
    /// The level as written.
    pub level: Option<String>,
    /// Whether it says what.
    pub has_message: bool,
    /// Who wrote it.
    pub service: Option<String>,
    /// The request it belongs to.
    pub request_id: Option<String>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
}

impl Line {
    /// Reads a line of text.
    pub fn parse(raw: &str) -> Line {
        let Ok(Value::Object(object)) = serde_json::from_str::<Value>(raw) else {
            return Line { raw: raw.to_owned(), ..Line::default() };
        };
        let find = |name: &str| {
            // `a.b` is a name with a dot, or `b` inside `a`.
            object.get(name).or_else(|| {
                let (outer, inner) = name.split_once('.')?;
                object.get(outer)?.get(inner)
            })
        };
        let text = |names: &[&str]| names.iter().find_map(|name| as_text(find(name)?));
        Line {
            raw: raw.to_owned(),
            is_structured: true,
            is_record: false,
            has_time: text(TIMES).is_some(),
            level: text(LEVELS),
            has_message: text(MESSAGES).is_some(),
            service: text(SERVICES),
            request_id: text(REQUEST_IDS),
            trace_id: text(TRACE_IDS),
        }
    }

    /// Takes a record of OTLP.
    pub fn from_record(resource: &Resource, record: &LogRecord) -> Line {
        let attribute = |names: &[&str]| {
            let found = names.iter().find_map(|name| record.attributes.get(name))?;
            Some(found.to_string()).filter(|text| !text.is_empty())
        };
        let mut raw = record.body.to_string();
        // Writing to a text does not fail.
        let _ = record.attributes.write_json(&mut raw);
        let level = match record.severity {
            SeverityNumber::UNSPECIFIED => record.severity_text.to_string(),
            severity => severity.name().to_owned(),
        };
        Line {
            is_structured: true,
            is_record: true,
            has_time: true,
            level: Some(level).filter(|level| !level.is_empty()),
            has_message: !record.body.to_string().is_empty() || !record.event_name.is_empty(),
            service: Some(resource.service_name().to_owned()).filter(|name| !name.is_empty()),
            request_id: attribute(REQUEST_IDS),
            trace_id: match record.trace_id.is_valid() {
                true => Some(record.trace_id.to_string()),
                false => attribute(TRACE_IDS),
            },
            raw,
        }
    }

    /// Whether it is below INFO. Numbers are pino's and bunyan's.
    pub fn is_below_info(&self) -> bool {
        let Some(level) = &self.level else { return false };
        match level.parse::<u32>() {
            Ok(number) => number < 30,
            Err(_) => {
                SeverityNumber::from_name(level).is_some_and(|level| level < SeverityNumber::INFO)
            }
        }
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn the_usual_loggers_are_understood() {
        // structlog, pino, Logback's JSON encoder, zap, ECS, the SDK.
        for raw in [
            r#"{"event":"placed","request_id":"r","trace_id":"t","level":"info","timestamp":"2026-01-01T00:00:00Z","service":"s"}"#,
            r#"{"level":30,"time":1760000000000,"service":"s","msg":"placed","reqId":"r","traceId":"t"}"#,
            r#"{"@timestamp":"2026-01-01T00:00:00Z","message":"placed","level":"INFO","service.name":"s","requestId":"r","trace.id":"t"}"#,
            r#"{"level":"info","ts":1760000000.1,"msg":"placed","service":"s","request_id":"r","trace_id":"t"}"#,
            r#"{"@timestamp":"x","log":{"level":"info"},"message":"m","service":{"name":"s"},"trace":{"id":"t"},"request":{"id":"r"}}"#,
        ] {
            let line = Line::parse(raw);
            assert!(line.is_structured && line.has_time && line.has_message, "{raw}");
            let level = line.level.as_deref().unwrap_or_default().to_lowercase();
            assert!(level == "info" || level == "30", "{raw}");
            assert_eq!(line.service.as_deref(), Some("s"), "{raw}");
            assert_eq!(line.request_id.as_deref(), Some("r"), "{raw}");
            assert_eq!(line.trace_id.as_deref(), Some("t"), "{raw}");
            assert!(!line.is_below_info(), "{raw}");
        }
    }

    #[test]
    fn what_is_no_object_is_not_structured() {
        for raw in ["something went wrong", "[1]", "\"text\"", "{\"a\":", ""] {
            assert_eq!(Line::parse(raw), Line { raw: raw.to_owned(), ..Line::default() });
        }
    }

    #[test]
    fn levels_below_info_are_known_in_words_and_numbers() {
        for (level, expected) in [
            ("\"debug\"", true),
            ("\"TRACE\"", true),
            ("20", true),
            ("30", false),
            ("\"WARNING\"", false),
            ("\"loud\"", false),
            ("null", false),
        ] {
            let line = Line::parse(&format!("{{\"level\":{level}}}"));
            assert_eq!(line.is_below_info(), expected, "{level}");
        }
    }
}
