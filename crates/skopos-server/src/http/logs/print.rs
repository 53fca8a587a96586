//! A log record as JSON.

use std::fmt::Write as _;

use skopos_model::{AnyValue, Timestamp};
use skopos_store::scan::StoredLog;

use crate::http::json::push_string;

/// Appends a record. Ids that are not there are empty texts; a structured body is JSON itself.
pub(in crate::http) fn push_log(out: &mut String, log: &StoredLog) {
    let record = &log.record;
    let _ = write!(out, r#"{{"id":"{}","time":"{}""#, log.id, record.time);
    let _ = write!(out, r#","time_unix_nano":"{}""#, record.time.as_nanos());
    let observed = record.observed_time;
    if observed != Timestamp::default() {
        let _ = write!(out, r#","observed_time":"{observed}""#);
    }
    let severity = record.severity;
    let _ = write!(out, r#","severity_number":{},"severity":"{}""#, severity.0, severity.name());
    push_field(out, "severity_text", &record.severity_text);
    push_field(out, "service", log.resource.service_name());
    out.push_str(",\"body\":");
    match &record.body {
        AnyValue::String(text) => push_string(out, text),
        other => {
            let _ = other.write_json(out);
        }
    }
    for (name, attributes) in
        [("attributes", &record.attributes), ("resource", &log.resource.attributes)]
    {
        let _ = write!(out, ",\"{name}\":");
        let _ = attributes.write_json(out);
    }
    out.push_str(",\"scope\":{\"name\":");
    push_string(out, &log.scope.name);
    push_field(out, "version", &log.scope.version);
    out.push('}');
    let id = |valid: bool, id: String| if valid { id } else { String::new() };
    push_field(out, "trace_id", &id(record.trace_id.is_valid(), record.trace_id.to_string()));
    push_field(out, "span_id", &id(record.span_id.is_valid(), record.span_id.to_string()));
    push_field(out, "event_name", &record.event_name);
    out.push('}');
}

fn push_field(out: &mut String, name: &str, text: &str) {
    let _ = write!(out, ",\"{name}\":");
    push_string(out, text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use skopos_model::{
        Attributes, EventId, LogRecord, Resource, Scope, SeverityNumber, SpanId, TraceId,
    };

    use super::*;

    #[test]
    fn every_field_is_told() {
        let time = Timestamp(1_700_000_000_123_456_789);
        let mut log = StoredLog {
            id: EventId::new(time, 7),
            resource: Arc::new(Resource {
                attributes: Attributes::from_iter([("service.name", "payment")]),
                ..Resource::default()
            }),
            scope: Arc::new(Scope { name: "lib \"x\"".into(), ..Scope::default() }),
            record: LogRecord {
                time,
                observed_time: Timestamp(1_700_000_001_000_000_000),
                severity: SeverityNumber(18),
                severity_text: "Error".into(),
                body: AnyValue::Map(Attributes::from_iter([("ratio", f64::NAN)])),
                attributes: Attributes::from_iter([("n", 1_i64)]),
                trace_id: TraceId([1; 16]),
                span_id: SpanId::INVALID,
                event_name: "declined".into(),
                ..LogRecord::default()
            },
        };
        let mut out = String::new();
        push_log(&mut out, &log);
        let got: serde_json::Value = serde_json::from_str(&out).unwrap();
        let want = json!({
            "id": EventId::new(time, 7).to_string(),
            "time": "2023-11-14T22:13:20.123456789Z",
            "time_unix_nano": "1700000000123456789",
            "observed_time": "2023-11-14T22:13:21.000Z",
            "severity_number": 18,
            "severity": "ERROR",
            "severity_text": "Error",
            "service": "payment",
            "body": {"ratio": "NaN"},
            "attributes": {"n": 1},
            "resource": {"service.name": "payment"},
            "scope": {"name": "lib \"x\"", "version": ""},
            "trace_id": "01010101010101010101010101010101",
            "span_id": "",
            "event_name": "declined",
        });
        assert_eq!(got, want);
        for (body, want) in [(AnyValue::Empty, json!(null)), ("a\nb".into(), json!("a\nb"))] {
            log.record.body = body;
            out.clear();
            push_log(&mut out, &log);
            let got: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(got["body"], want);
        }
    }
}
