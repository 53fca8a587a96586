//! Schemas of the endpoints of events: log records, spans, filters.

use serde_json::{Value, json};

use super::{object, reference};

pub(super) fn all() -> Value {
    let text = json!({"type": "string"});
    let count = json!({"type": "integer"});
    let list = |items: Value| json!({"type": "array", "items": items});
    let numbers = list(count.clone());
    let place = object(&["start", "end"], json!({"start": count, "end": count}));
    let success = |data: Value| {
        object(&["status", "data"], json!({"status": {"const": "success"}, "data": data}))
    };
    let span = |more: Value| {
        let mut properties = json!({
            "id": {"type": "string", "description": "Stable; sorts by start, then arrival."},
            "trace_id": text,
            "span_id": text,
            "parent_span_id": {"type": "string", "description": "Empty for a root."},
            "service": text,
            "name": text,
            "kind": {"enum": [
                "unspecified", "internal", "server", "client", "producer", "consumer",
            ]},
            "status": {"enum": ["UNSET", "OK", "ERROR"]},
            "start_unix_nano": text,
            "duration_ns": count,
            "attributes": {"type": "object"},
        });
        let required: Vec<String> =
            properties.as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default();
        if let (Value::Object(all), Value::Object(more)) = (&mut properties, more) {
            all.extend(more);
        }
        json!({"type": "object", "properties": properties, "required": required})
    };
    json!({
        "EventsError": object(
            &["status", "errorType", "error"],
            json!({
                "status": {"const": "error"},
                "errorType": text,
                "error": text,
                "position": {
                    "description": "Where a filter is wrong, in bytes.",
                    "type": "object",
                    "required": ["start", "end"],
                    "properties": {"start": count, "end": count},
                },
                "suggestions": {
                    "description": "What could stand there instead, the best first.",
                    "type": "array",
                    "items": text,
                },
            }),
        ),
        "LogsHistogram": success(object(
            &["start", "step", "buckets", "series", "total"],
            json!({
                "start": {"type": "number", "description": "Unix seconds."},
                "step": {"type": "number", "description": "Seconds."},
                "buckets": count,
                "series": list(object(
                    &["severity", "counts"],
                    json!({
                        "severity": {"enum": [
                            "", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL",
                        ]},
                        "counts": numbers,
                    }),
                )),
                "total": count,
            }),
        )),
        "LogsFacets": success(object(
            &["total", "facets"],
            json!({
                "total": count,
                "facets": list(object(
                    &["field", "values", "other", "missing", "distinct"],
                    json!({
                        "field": text,
                        "values": list(object(
                            &["value", "count"],
                            json!({"value": text, "count": count}),
                        )),
                        "other": {"type": "integer", "description": "Records with other values."},
                        "missing": {"type": "integer", "description": "Records without it."},
                        "distinct": {"type": "integer", "description": "Values there are."},
                    }),
                )),
            }),
        )),
        "LogsContext": success(object(
            &["before", "record", "after"],
            json!({
                "before": list(reference("LogRecord")),
                "record": reference("LogRecord"),
                "after": list(reference("LogRecord")),
            }),
        )),
        "TraceSearch": success(object(
            &["traces", "next_cursor"],
            json!({
                "traces": list(object(
                    &[
                        "trace_id", "root_service", "root_name", "start", "start_unix_nano",
                        "duration_ns", "spans", "errors", "matched", "services",
                    ],
                    json!({
                        "trace_id": text,
                        "root_service": text,
                        "root_name": text,
                        "start": {"type": "string", "format": "date-time"},
                        "start_unix_nano": text,
                        "duration_ns": count,
                        "spans": count,
                        "errors": count,
                        "matched": {"type": "integer", "description": "Spans that match."},
                        "services": list(object(
                            &["service", "spans", "errors"],
                            json!({"service": text, "spans": count, "errors": count}),
                        )),
                    }),
                )),
                "next_cursor": {"type": ["string", "null"]},
            }),
        )),
        "TraceColumns": success(object(
            &[
                "trace_id", "start_unix_nano", "duration_ns", "services", "names", "spans", "logs",
            ],
            json!({
                "trace_id": text,
                "start_unix_nano": text,
                "duration_ns": count,
                "services": list(text.clone()),
                "names": list(text.clone()),
                "spans": object(
                    &[
                        "id", "parent", "service", "name", "kind", "start_ns", "duration_ns",
                        "status", "events", "links", "logs",
                    ],
                    json!({
                        "id": list(text.clone()),
                        "parent": {
                            "description": "Place of the parent in these columns, or -1.",
                            "type": "array",
                            "items": count,
                        },
                        "service": numbers,
                        "name": numbers,
                        "kind": list(text.clone()),
                        "start_ns": {
                            "description": "Nanoseconds after the trace's start.",
                            "type": "array",
                            "items": count,
                        },
                        "duration_ns": numbers,
                        "status": {
                            "description": "0 unset, 1 ok, 2 error.",
                            "type": "array",
                            "items": count,
                        },
                        "events": numbers,
                        "links": numbers,
                        "logs": numbers,
                    }),
                ),
                "logs": {"type": "integer", "description": "Log records of the trace."},
            }),
        )),
        "Span": span(json!({})),
        "SpanAnswer": success(span(json!({
            "start": {"type": "string", "format": "date-time"},
            "end": {"type": "string", "format": "date-time"},
            "status_message": text,
            "trace_state": text,
            "flags": count,
            "dropped_attributes_count": count,
            "events": list(object(
                &["time", "time_unix_nano", "name", "attributes"],
                json!({
                    "time": {"type": "string", "format": "date-time"},
                    "time_unix_nano": text,
                    "name": text,
                    "attributes": {"type": "object"},
                }),
            )),
            "links": list(object(
                &["trace_id", "span_id", "trace_state", "attributes"],
                json!({
                    "trace_id": text,
                    "span_id": text,
                    "trace_state": text,
                    "attributes": {"type": "object"},
                }),
            )),
            "resource": {"type": "object"},
            "scope": object(
                &["name", "version", "attributes"],
                json!({"name": text, "version": text, "attributes": {"type": "object"}}),
            ),
        }))),
        "TailLine": {
            "description": "One line of the stream.",
            "oneOf": [
                object(&["log"], json!({"log": reference("LogRecord")})),
                object(&["span"], json!({"span": reference("Span")})),
                object(
                    &["skipped", "reason"],
                    json!({"skipped": count, "reason": {"enum": ["rate", "slow", "stored"]}}),
                ),
                object(
                    &["heartbeat", "per_second"],
                    json!({"heartbeat": {"const": true}, "per_second": count}),
                ),
            ],
        },
        "FilterCheck": success(object(&["filter"], json!({
            "filter": {"type": "string", "description": "The normal form."},
        }))),
        "FilterCompletion": success(object(
            &["replace", "items"],
            json!({
                "replace": place,
                "items": list(object(
                    &["text", "label", "kind", "count"],
                    json!({
                        "text": text,
                        "label": text,
                        "kind": {"enum": ["field", "operator", "value", "keyword"]},
                        "count": {"type": ["integer", "null"]},
                    }),
                )),
            }),
        )),
    })
}
