//! The schemas of answers, by hand; tests hold real answers against them.

mod events;
mod runbooks;
mod slos;
mod sql;

use http::Method;
use serde_json::{Value, json};

/// All named schemas.
pub(super) fn all() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let labels = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let time_and_value = json!({
        "description": "[Unix seconds, value]",
        "type": "array",
        "prefixItems": [{"type": "number"}, {"type": "string"}],
        "minItems": 2,
        "maxItems": 2,
    });
    let time_and_histogram = json!({
        "description": "[Unix seconds, histogram]",
        "type": "array",
        "prefixItems": [{"type": "number"}, reference("NativeHistogram")],
        "minItems": 2,
        "maxItems": 2,
    });
    let tag = json!({
        "type": "object",
        "required": ["key", "type", "value"],
        "properties": {
            "key": text,
            "type": {"enum": ["string", "bool", "int64", "float64", "binary"]},
            "value": {"type": ["string", "boolean", "number"]},
        },
    });
    let tags = json!({"type": "array", "items": reference("JaegerTag")});
    let mut all = json!({
        "Error": object(&["error_code", "message"], json!({"error_code": text, "message": text})),
        "PrometheusError": object(
            &["status", "errorType", "error"],
            json!({
                "status": {"const": "error"},
                "errorType": {"enum": [
                    "bad_data", "execution", "timeout", "canceled", "internal", "unavailable",
                    "not_found", "unauthorized",
                ]},
                "error": text,
                "error_code": text,
                "position": object(
                    &["line", "column", "start", "end"],
                    json!({
                        "line": {"type": "integer"},
                        "column": {"type": "integer"},
                        "start": {"type": "integer"},
                        "end": {"type": "integer"},
                    }),
                ),
                "suggestion": text,
            }),
        ),
        "JaegerError": object(
            &["data", "errors"],
            json!({
                "data": {"type": "null"},
                "total": {"type": "integer"},
                "limit": {"type": "integer"},
                "offset": {"type": "integer"},
                "errors": {"type": "array", "items": object(
                    &["code", "msg"],
                    json!({"code": {"type": "integer"}, "msg": text}),
                )},
            }),
        ),
        "RpcStatus": object(&[], json!({
            "code": {"type": "integer"},
            "message": text,
            "details": {"type": "array"},
        })),
        "PrometheusQuery": object(
            &["status", "data"],
            json!({
                "status": {"const": "success"},
                "data": object(
                    &["resultType", "result"],
                    json!({
                        "resultType": {"enum": ["scalar", "string", "vector", "matrix"]},
                        "result": {"oneOf": [
                            time_and_value,
                            {"type": "array", "items": reference("PrometheusSeries")},
                        ]},
                        "stats": {"type": "object"},
                    }),
                ),
                "warnings": texts,
                "infos": texts,
            }),
        ),
        "PrometheusSeries": object(
            &["metric"],
            json!({
                "metric": labels,
                "value": time_and_value,
                "histogram": time_and_histogram,
                "values": {"type": "array", "items": time_and_value},
                "histograms": {"type": "array", "items": time_and_histogram},
            }),
        ),
        "NativeHistogram": object(
            &["count", "sum"],
            json!({
                "count": text,
                "sum": text,
                "buckets": {
                    "description":
                        "[boundaries, lower, upper, count]; boundaries: 0 the upper end belongs to \
                         the bucket, 1 the lower, 2 none, 3 both",
                    "type": "array",
                    "items": {
                        "type": "array",
                        "prefixItems": [
                            {"type": "integer"}, {"type": "string"},
                            {"type": "string"}, {"type": "string"},
                        ],
                    },
                },
            }),
        ),
        "CardinalityAnswer": object(
            &["status", "data"],
            json!({"status": {"const": "success"}, "data": reference("Cardinality")}),
        ),
        "Cardinality": cardinality(),
        "TsdbStatus": object(
            &["status", "data"],
            json!({"status": {"const": "success"}, "data": tsdb_status()}),
        ),
        "LogsAnswer": object(
            &["status", "data"],
            json!({
                "status": {"const": "success"},
                "data": object(
                    &["logs"],
                    json!({
                        "logs": {"type": "array", "items": reference("LogRecord")},
                        "next_cursor": {
                            "description": "For the next page; null on the last. Of /api/v1/logs.",
                            "type": ["string", "null"],
                        },
                    }),
                ),
            }),
        ),
        "AlertHistory": object(
            &["status", "data"],
            json!({
                "status": {"const": "success"},
                "data": object(
                    &["from", "to", "incidents", "more"],
                    json!({
                        "from": text,
                        "to": text,
                        "incidents": {"type": "array", "items": reference("AlertIncident")},
                        "more": {"type": "integer", "description": "How many older ones are left out."},
                    }),
                ),
            }),
        ),
        "AlertIncident": alert_incident(),
        "AlertReport": object(
            &["status", "data"],
            json!({
                "status": {"const": "success"},
                "data": object(
                    &["from", "to", "alerts"],
                    json!({
                        "from": text,
                        "to": text,
                        "alerts": {"type": "array", "items": reference("AlertNoise")},
                    }),
                ),
            }),
        ),
        "AlertNoise": alert_noise(),
        "StatusAnswer": object(
            &["status", "data"],
            json!({"status": {"const": "success"}, "data": reference("Status")}),
        ),
        "Status": status(),
        "LogRecord": object(
            &[
                "id", "time", "time_unix_nano", "severity_number", "severity", "severity_text",
                "service", "body", "attributes", "resource", "scope", "trace_id", "span_id",
                "event_name",
            ],
            json!({
                "id": {"type": "string", "description": "Stable; sorts by time, then arrival."},
                "time": {"type": "string", "format": "date-time"},
                "time_unix_nano": text,
                "observed_time": {"type": "string", "format": "date-time"},
                "severity_number": {"type": "integer", "minimum": 0, "maximum": 24},
                "severity": {"enum": ["", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]},
                "severity_text": text,
                "service": text,
                "body": {"description": "A text, or any JSON for a structured body."},
                "attributes": {"type": "object"},
                "resource": {"type": "object"},
                "scope": object(&["name", "version"], json!({"name": text, "version": text})),
                "trace_id": {"type": "string", "description": "Empty when there is none."},
                "span_id": {"type": "string", "description": "Empty when there is none."},
                "event_name": text,
            }),
        ),
        "FollowLine": {
            "description": "One line of the stream.",
            "oneOf": [
                object(&["log"], json!({"log": reference("LogRecord")})),
                object(&["missed"], json!({"missed": {"type": "integer"}})),
                object(&["heartbeat"], json!({"heartbeat": {"const": true}})),
            ],
        },
        "JaegerTraces": object(
            &["data", "total", "limit", "offset", "errors"],
            json!({
                "data": {"type": "array", "items": reference("JaegerTrace")},
                "total": {"type": "integer"},
                "limit": {"type": "integer"},
                "offset": {"type": "integer"},
                "errors": {"type": "null"},
            }),
        ),
        "JaegerTrace": object(
            &["traceID", "spans", "processes", "warnings"],
            json!({
                "traceID": text,
                "spans": {"type": "array", "items": reference("JaegerSpan")},
                "processes": {"type": "object", "additionalProperties": object(
                    &["serviceName", "tags"],
                    json!({"serviceName": text, "tags": tags}),
                )},
                "warnings": {"type": ["array", "null"]},
            }),
        ),
        "JaegerSpan": object(
            &[
                "traceID", "spanID", "flags", "operationName", "references", "startTime",
                "duration", "tags", "logs", "processID", "warnings",
            ],
            json!({
                "traceID": text,
                "spanID": text,
                "flags": {"type": "integer"},
                "operationName": text,
                "references": {"type": "array", "items": object(
                    &["refType", "traceID", "spanID"],
                    json!({
                        "refType": {"enum": ["CHILD_OF", "FOLLOWS_FROM"]},
                        "traceID": text,
                        "spanID": text,
                    }),
                )},
                "startTime": {"type": "integer", "description": "Microseconds since 1970."},
                "duration": {"type": "integer", "description": "Microseconds."},
                "tags": tags,
                "logs": {"type": "array", "items": object(
                    &["timestamp", "fields"],
                    json!({"timestamp": {"type": "integer"}, "fields": tags}),
                )},
                "processID": text,
                "warnings": {"type": ["array", "null"], "items": text},
            }),
        ),
        "JaegerTag": tag,
    });
    for more in [events::all(), runbooks::all(), slos::all(), sql::all()] {
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
    }
    all
}

/// Request bodies that are no forms.
pub(super) fn request_body(path: &str, method: &Method) -> Option<Value> {
    if method != Method::POST && method != Method::PUT {
        return None;
    }
    let content = match path {
        "/api/v1/runbook/ticks" => runbooks::set_tick(),
        "/api/v1/slo/annotations" => slos::annotate(),
        "/api/v1/slo/corrections" => slos::correct(),
        "/api/v1/slo/overrides" => slos::override_gate(),
        "/api/v1/skopos/tokens" => {
            let text = json!({"type": "string"});
            let properties = json!({"name": text, "scopes": text});
            json!({"application/json": {"schema": object(&["name", "scopes"], properties)}})
        }
        "/v1/logs" | "/v1/metrics" | "/v1/traces" => json!({
            "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"type": "object"}},
        }),
        _ => return None,
    };
    Some(json!({"required": true, "content": content}))
}

/// The data of `/api/v1/status`.
fn status() -> Value {
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 0});
    let unless_unknown =
        json!({"type": ["integer", "null"], "description": "null: not known here"});
    let of = |keys: &[&str], value: &Value| {
        let properties: serde_json::Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), value.clone())).collect();
        object(keys, properties.into())
    };
    let mut disk = of(&["metrics", "logs", "traces", "wal", "state_log", "floor"], &count);
    disk["properties"]["path"] = text.clone();
    disk["properties"]["free"] = unless_unknown.clone();
    disk["properties"]["total"] = unless_unknown.clone();
    disk["description"] = "Bytes, by what they hold.".into();
    let mut memory = of(&["budget", "head", "head_limit"], &count);
    memory["properties"]["used"] = unless_unknown;
    memory["description"] = "Bytes.".into();
    let problem = object(
        &["severity", "what", "remedy"],
        json!({"severity": {"enum": ["error", "warning"]}, "what": text, "remedy": text}),
    );
    let signals = ["samples", "logs", "spans"];
    object(
        &[
            "version",
            "state",
            "started_at",
            "uptime_seconds",
            "addresses",
            "ingest",
            "totals",
            "rates",
            "head_series",
            "disk",
            "memory",
            "rules",
            "problems",
        ],
        json!({
            "version": text,
            "state": {"enum": ["ok", "unhealthy"]},
            "started_at": {"type": "string", "format": "date-time"},
            "uptime_seconds": {"type": "number"},
            "addresses": of(&["http", "otlp_grpc", "otlp_http"], &text),
            "ingest": {"type": "string", "description": "`ok`, or why ingest is refused"},
            "totals": of(&signals, &count),
            "rates": of(&signals, &json!({"type": "number"})),
            "head_series": count,
            "disk": disk,
            "memory": memory,
            "rules": of(&["loaded", "failing", "firing", "pending"], &count),
            "problems": {"type": "array", "items": problem},
        }),
    )
}

fn object(required: &[&str], properties: Value) -> Value {
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// One time that an alert was active.
fn alert_incident() -> Value {
    let time = |kind: Value, description: &str| json!({"type": kind, "format": "date-time", "description": description});
    let maybe = |description: &str| time(json!(["string", "null"]), description);
    let properties = json!({
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "fingerprint": {"type": "string", "description": "Of the labels, as Alertmanager makes it."},
        "active_at": time(json!("string"), "The first evaluation that returned it."),
        "fired_at": maybe("The evaluation that made it fire, or the first in the window; null when it never did."),
        "ended_at": maybe("The evaluation that did not return it; null while it goes on."),
        "acknowledged_at": maybe("When somebody took it on."),
        "response_seconds": {
            "type": ["number", "null"],
            "description": "From its firing to the acknowledgement.",
        },
    });
    let names: Vec<&str> =
        properties.as_object().into_iter().flatten().map(|(n, _)| n.as_str()).collect();
    object(&names, properties.clone())
}

/// How noisy an alert was.
fn alert_noise() -> Value {
    let number = |description: &str| json!({"type": "number", "description": description});
    let count = |description: &str| json!({"type": "integer", "description": description});
    let maybe = |description: &str| json!({"type": ["number", "null"], "description": description});
    let properties = json!({
        "name": {"type": "string"},
        "severity": {"type": "string", "description": "Empty without the label."},
        "firings": count("Times that it fired."),
        "firings_per_week": number("The same per week."),
        "firing_seconds": number("Of several firings at a time once."),
        "firing_share": number("The share of the time that this is."),
        "median_seconds": number("The median firing."),
        "flaps": count("Firings within half an hour of the same alert's last end."),
        "acknowledged": count("Firings that somebody acknowledged."),
        "actionable_share": maybe("The share of firings that somebody acted on."),
        "median_response_seconds": maybe("From the beginning of a firing to its acknowledgement."),
        "verdict": {"enum": [
            "silent", "few", "useful", "ignored", "constant", "flapping", "noisy", "seldom",
        ]},
        "advice": {"type": "string", "description": "What to do; empty for nothing."},
    });
    let names: Vec<&str> =
        properties.as_object().into_iter().flatten().map(|(n, _)| n.as_str()).collect();
    object(&names, properties.clone())
}

/// A number of series, or null where it was not counted.
fn maybe_count(description: &str) -> Value {
    json!({"type": ["integer", "null"], "description": description})
}

fn cardinality() -> Value {
    let (text, count) = (json!({"type": "string"}), json!({"type": "integer", "minimum": 0}));
    let active = maybe_count("Series with a sample in the last hour.");
    let day_ago = maybe_count(
        "Series with a sample in the hour that ended 24 hours ago; null where nothing is as old. \
         Growth is `active` less this.",
    );
    let counts = json!({"series": count, "active": active, "day_ago": day_ago});
    let row = |more: Value| {
        let mut properties = counts.clone();
        if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
            all.extend(more);
        }
        let names: Vec<String> =
            properties.as_object().into_iter().flat_map(|all| all.keys().cloned()).collect();
        object(&names.iter().map(String::as_str).collect::<Vec<_>>(), properties)
    };
    let rows = |row: Value| json!({"type": "array", "items": row});
    let limits = [
        "head_series",
        "metric_series",
        "labels_per_series",
        "label_name_bytes",
        "label_value_bytes",
        "on_limit",
    ];
    let refusal = [
        "reason",
        "limit",
        "action",
        "metric",
        "label",
        "first_value",
        "job",
        "service",
        "scope",
        "samples",
        "first_at",
        "last_at",
    ];
    let data = [
        "at",
        "total",
        "created",
        "removed",
        "metrics",
        "metrics_total",
        "labels",
        "labels_total",
        "values",
        "values_total",
        "limits",
        "refusals",
    ];
    let time = json!({"type": "string", "format": "date-time"});
    object(
        &data,
        json!({
            "at": time,
            "total": row(json!({})),
            "created": count,
            "removed": count,
            "metrics": rows(row(json!({
                "metric": text,
                "label": {"type": "string", "description": "The label with the most values."},
                "label_values": count,
            }))),
            "metrics_total": count,
            "labels": rows(row(json!({
                "label": text,
                "values": count,
                "values_day_ago": maybe_count("Distinct values 24 hours ago."),
                "id_like": {"type": "boolean", "description": "Its values look like ids."},
                "examples": {"type": "array", "items": text},
            }))),
            "labels_total": count,
            "values": rows(row(json!({"value": text}))),
            "values_total": count,
            "limits": object(&limits, json!({
                "head_series": count,
                "metric_series": count,
                "labels_per_series": count,
                "label_name_bytes": count,
                "label_value_bytes": count,
                "on_limit": {"enum": ["refuse", "fold"]},
            })),
            "refusals": {"type": "array", "items": object(&refusal, json!({
                "reason": {"type": "string", "description": "The limit: a key of `limits`."},
                "limit": count,
                "action": {"enum": ["refused", "folded"]},
                "metric": text,
                "label": {"type": "string", "description": "The label that grew."},
                "first_value": text,
                "job": text,
                "service": text,
                "scope": text,
                "samples": count,
                "first_at": time,
                "last_at": time,
            }))},
        }),
    )
}

fn tsdb_status() -> Value {
    let count = json!({"type": "integer"});
    let row = object(&["name", "value"], json!({"name": {"type": "string"}, "value": count}));
    let rows = json!({"type": "array", "items": row});
    let head = ["numSeries", "numLabelPairs", "chunkCount", "minTime", "maxTime"];
    let lists = [
        "headStats",
        "seriesCountByMetricName",
        "labelValueCountByLabelName",
        "memoryInBytesByLabelName",
        "seriesCountByLabelValuePair",
    ];
    object(
        &lists,
        json!({
            "headStats": object(&head, json!({
                "numSeries": count,
                "numLabelPairs": count,
                "chunkCount": count,
                "minTime": count,
                "maxTime": count,
            })),
            "seriesCountByMetricName": rows,
            "labelValueCountByLabelName": rows,
            "memoryInBytesByLabelName": rows,
            "seriesCountByLabelValuePair": rows,
        }),
    )
}
