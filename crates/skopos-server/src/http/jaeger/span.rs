//! Traces in Jaeger's JSON.
//!
//! OpenTelemetry has more than Jaeger's model; the surplus becomes tags by the published
//! translation rules: `span.kind`, `otel.status_code`, `otel.status_description`, `error`,
//! `otel.scope.name`, `otel.scope.version`, `w3c.tracestate`. Span events become logs with a field
//! `event`, links become references `FOLLOWS_FROM`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use skopos_model::{AnyValue, Attributes, Resource, Span, SpanKind, StatusCode, Timestamp};
use skopos_store::scan::StoredSpan;

use crate::http::json::push_string;

/// The name of a service that did not give one, as Jaeger's own receiver writes it.
const NO_SERVICE: &str = "OTLPResourceNoServiceName";

/// Whole numbers beyond this are not exact in JavaScript and written as text.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Appends one trace. `spans` are of one trace.
pub(super) fn push_trace(out: &mut String, spans: &[StoredSpan]) {
    let id = spans.first().map(|s| s.span.trace_id.to_string()).unwrap_or_default();
    let _ = write!(out, "{{\"traceID\":\"{id}\",\"spans\":[");
    // Resources by content: equal senders are one process. Neighbours mostly share theirs.
    let mut processes: Vec<&Attributes> = Vec::new();
    let mut by_content: HashMap<String, usize> = HashMap::new();
    let mut last: Option<(&Arc<Resource>, usize)> = None;
    for (i, stored) in spans.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let process = match last {
            Some((resource, process)) if Arc::ptr_eq(resource, &stored.resource) => process,
            _ => {
                let attributes = &stored.resource.attributes;
                let mut content = String::new();
                let _ = attributes.write_json(&mut content);
                *by_content.entry(content).or_insert_with(|| {
                    processes.push(attributes);
                    processes.len() - 1
                })
            }
        };
        last = Some((&stored.resource, process));
        push_span(out, stored, process + 1);
    }
    out.push_str("],\"processes\":{");
    for (i, resource) in processes.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let _ = write!(out, "\"p{}\":{{\"serviceName\":", i + 1);
        let name = resource.str("service.name").filter(|name| !name.is_empty());
        push_string(out, name.unwrap_or(NO_SERVICE));
        out.push_str(",\"tags\":");
        let mut tags = Tags::open(out);
        tags.attributes(resource, |key| key != "service.name");
        tags.close();
        out.push('}');
    }
    out.push_str("},\"warnings\":null}");
}

fn push_span(out: &mut String, stored: &StoredSpan, process: usize) {
    let span = &stored.span;
    let (trace_id, span_id) = (span.trace_id, span.span_id);
    let _ = write!(out, r#"{{"traceID":"{trace_id}","spanID":"{span_id}""#);
    let _ = write!(out, r#","flags":{},"operationName":"#, span.flags & 0xff);
    push_string(out, &span.name);
    push_references(out, span);
    let duration = span.duration().as_micros();
    let start = micros(span.start_time);
    let _ = write!(out, r#","startTime":{start},"duration":{duration},"tags":"#);
    let mut tags = Tags::open(out);
    tags.attributes(&span.attributes, |_| true);
    if span.kind != SpanKind::Unspecified {
        tags.text("span.kind", span.kind.as_str());
    }
    if span.status.code != StatusCode::Unset {
        tags.text("otel.status_code", span.status.code.as_str());
    }
    if span.status.code == StatusCode::Error && span.attributes.get("error").is_none() {
        tags.any("error", &AnyValue::Bool(true));
    }
    for (key, text) in [
        ("otel.status_description", &*span.status.message),
        ("otel.scope.name", &stored.scope.name),
        ("otel.scope.version", &stored.scope.version),
        ("w3c.tracestate", &*span.trace_state),
    ] {
        if !text.is_empty() {
            tags.text(key, text);
        }
    }
    tags.close();
    out.push_str(",\"logs\":[");
    for (i, event) in span.events.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let _ = write!(out, "{{\"timestamp\":{},\"fields\":", micros(event.time));
        let mut fields = Tags::open(out);
        if !event.name.is_empty() {
            fields.text("event", &event.name);
        }
        // An attribute of that name would hide the event's own.
        fields.attributes(&event.attributes, |key| key != "event" || event.name.is_empty());
        fields.close();
        out.push('}');
    }
    let _ = write!(out, "],\"processID\":\"p{process}\",\"warnings\":");
    push_warnings(out, span);
    out.push('}');
}

fn push_references(out: &mut String, span: &Span) {
    out.push_str(",\"references\":[");
    let mut separator = "";
    if span.parent_span_id.is_valid() {
        let _ = write!(
            out,
            r#"{{"refType":"CHILD_OF","traceID":"{}","spanID":"{}"}}"#,
            span.trace_id, span.parent_span_id
        );
        separator = ",";
    }
    for link in &span.links {
        let kind = match link.attributes.str("opentracing.ref_type") {
            Some("child_of") => "CHILD_OF",
            _ => "FOLLOWS_FROM",
        };
        let _ = write!(
            out,
            r#"{separator}{{"refType":"{kind}","traceID":"{}","spanID":"{}"}}"#,
            link.trace_id, link.span_id
        );
        separator = ",";
    }
    out.push(']');
}

/// What the sender left out is told as a warning.
fn push_warnings(out: &mut String, span: &Span) {
    let dropped = [
        (span.dropped_attributes_count, "attributes"),
        (span.dropped_events_count, "events"),
        (span.dropped_links_count, "links"),
    ];
    let texts: Vec<String> = dropped
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("the sender dropped {count} {what}"))
        .collect();
    if texts.is_empty() {
        out.push_str("null");
    } else {
        crate::http::json::push_strings(out, texts);
    }
}

fn micros(time: Timestamp) -> i64 {
    time.as_nanos().div_euclid(1_000)
}

/// Writes `[{"key":…,"type":…,"value":…},…]`.
struct Tags<'a> {
    out: &'a mut String,
    separator: &'static str,
}

impl<'a> Tags<'a> {
    fn open(out: &'a mut String) -> Self {
        out.push('[');
        Self { out, separator: "" }
    }

    fn close(self) {
        self.out.push(']');
    }

    fn attributes(&mut self, attributes: &Attributes, keep: impl Fn(&str) -> bool) {
        for (key, value) in attributes.iter().filter(|(key, _)| keep(key)) {
            self.any(key, value);
        }
    }

    fn head(&mut self, key: &str, kind: &str) {
        self.out.push_str(self.separator);
        self.separator = ",";
        self.out.push_str("{\"key\":");
        push_string(self.out, key);
        let _ = write!(self.out, r#","type":"{kind}","value":"#);
    }

    fn text(&mut self, key: &str, text: &str) {
        self.head(key, "string");
        push_string(self.out, text);
        self.out.push('}');
    }

    fn any(&mut self, key: &str, value: &AnyValue) {
        match value {
            AnyValue::Bool(value) => {
                self.head(key, "bool");
                let _ = write!(self.out, "{value}}}");
            }
            AnyValue::Int(value) if value.unsigned_abs() > MAX_SAFE_INTEGER => {
                self.head(key, "int64");
                let _ = write!(self.out, "\"{value}\"}}");
            }
            AnyValue::Int(value) => {
                self.head(key, "int64");
                let _ = write!(self.out, "{value}}}");
            }
            AnyValue::Double(_) => {
                self.head(key, "float64");
                let _ = value.write_json(self.out);
                self.out.push('}');
            }
            AnyValue::Bytes(_) => {
                self.head(key, "binary");
                let _ = value.write_json(self.out);
                self.out.push('}');
            }
            other => self.text(key, &other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use skopos_model::{
        EventId, Resource, Scope, SpanEvent, SpanId, SpanLink, SpanStatus, TraceId,
    };

    use super::*;

    fn parsed(spans: &[StoredSpan]) -> Value {
        let mut out = String::new();
        push_trace(&mut out, spans);
        serde_json::from_str(&out).unwrap()
    }

    #[test]
    fn a_failed_client_span_with_everything() {
        let trace_id = TraceId([0xab; 16]);
        let span = Span {
            trace_id,
            span_id: SpanId([2; 8]),
            parent_span_id: SpanId([1; 8]),
            trace_state: "v=1".into(),
            flags: 0x101,
            name: "charge".into(),
            kind: SpanKind::Client,
            start_time: Timestamp(1_000_999),
            end_time: Timestamp(3_000_999),
            attributes: [
                ("text", AnyValue::from("x")),
                ("n", AnyValue::Int(7)),
                ("big", AnyValue::Int(i64::MAX)),
                ("f", AnyValue::Double(0.5)),
                ("nan", AnyValue::Double(f64::NAN)),
                ("raw", AnyValue::Bytes([1, 2][..].into())),
                ("list", AnyValue::Array(vec![1_i64.into()])),
                ("none", AnyValue::Empty),
            ]
            .into_iter()
            .collect(),
            dropped_events_count: 3,
            events: vec![SpanEvent {
                time: Timestamp(2_000_000),
                name: "exception".into(),
                attributes: [("exception.type", "E")].into_iter().collect(),
                ..SpanEvent::default()
            }],
            links: vec![SpanLink {
                trace_id: TraceId([3; 16]),
                span_id: SpanId([4; 8]),
                ..SpanLink::default()
            }],
            status: SpanStatus { code: StatusCode::Error, message: "declined".into() },
            ..Span::default()
        };
        let resource = Resource {
            attributes: [("service.name", "payment"), ("host.name", "h")].into_iter().collect(),
            ..Resource::default()
        };
        let scope = Scope { name: "lib".into(), version: "1".into(), ..Scope::default() };
        let stored = StoredSpan {
            id: EventId::new(Timestamp(1), 1),
            resource: Arc::new(resource),
            scope: Arc::new(scope),
            span,
        };
        let mut root = stored.clone();
        root.span = Span { trace_id, span_id: SpanId([1; 8]), ..Span::default() };
        root.resource = Arc::default();
        root.scope = Arc::default();

        let trace = parsed(&[root, stored]);
        let id = "ab".repeat(16);
        assert_eq!(trace["traceID"], id);
        assert_eq!(
            trace["processes"],
            json!({
                "p1": {"serviceName": "OTLPResourceNoServiceName", "tags": []},
                "p2": {"serviceName": "payment",
                       "tags": [{"key": "host.name", "type": "string", "value": "h"}]},
            })
        );
        assert_eq!(trace["spans"][0]["references"], json!([]));
        assert_eq!(trace["spans"][0]["tags"], json!([]));
        assert_eq!(trace["spans"][0]["warnings"], Value::Null);
        let text = |key: &str, value: &str| json!({"key": key, "type": "string", "value": value});
        assert_eq!(
            trace["spans"][1],
            json!({
                "traceID": id,
                "spanID": "0202020202020202",
                "flags": 1,
                "operationName": "charge",
                "references": [
                    {"refType": "CHILD_OF", "traceID": id, "spanID": "0101010101010101"},
                    {"refType": "FOLLOWS_FROM", "traceID": "03".repeat(16),
                     "spanID": "0404040404040404"},
                ],
                "startTime": 1000,
                "duration": 2000,
                "tags": [
                    text("text", "x"),
                    {"key": "n", "type": "int64", "value": 7},
                    {"key": "big", "type": "int64", "value": "9223372036854775807"},
                    {"key": "f", "type": "float64", "value": 0.5},
                    {"key": "nan", "type": "float64", "value": "NaN"},
                    {"key": "raw", "type": "binary", "value": "AQI="},
                    text("list", "[1]"),
                    text("none", ""),
                    text("span.kind", "client"),
                    text("otel.status_code", "ERROR"),
                    {"key": "error", "type": "bool", "value": true},
                    text("otel.status_description", "declined"),
                    text("otel.scope.name", "lib"),
                    text("otel.scope.version", "1"),
                    text("w3c.tracestate", "v=1"),
                ],
                "logs": [{"timestamp": 2000, "fields": [
                    text("event", "exception"), text("exception.type", "E"),
                ]}],
                "processID": "p2",
                "warnings": ["the sender dropped 3 events"],
            })
        );
    }
}
