//! Shorthands, a plain text form of batches to compare with, and OTLP/JSON written from protobuf
//! messages.

use std::fmt::Write;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as pm;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::{Map, Value, json};
use skopos_ingest::otlp::{
    OtlpEncoding, OtlpOptions, Translation, decode_logs, decode_metrics, decode_traces,
};
use skopos_ingest::{Adjustment, Ingested, Redaction};
use skopos_model::{
    LogBatch, MetricBatch, Rejection, SampleValue, SeriesSamples, Temporality, Timestamp,
    TraceBatch,
};

pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

pub(crate) fn logs(json: Value) -> Ingested<LogBatch> {
    let options = OtlpOptions::default();
    decode_logs(OtlpEncoding::Json, json.to_string().as_bytes(), &options, NOW).unwrap()
}

pub(crate) fn traces(json: Value) -> Ingested<TraceBatch> {
    let options = OtlpOptions::default();
    decode_traces(OtlpEncoding::Json, json.to_string().as_bytes(), &options).unwrap()
}

pub(crate) fn metrics_with(json: Value, translation: Translation) -> Ingested<MetricBatch> {
    let options = OtlpOptions { translation, ..OtlpOptions::default() };
    decode_metrics(OtlpEncoding::Json, json.to_string().as_bytes(), &options).unwrap()
}

/// Attributes in OTLP/JSON.
pub(crate) fn attributes(pairs: &[(&str, Value)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::String(text) => json!({ "stringValue": text }),
                Value::Bool(truth) => json!({ "boolValue": truth }),
                Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
                Value::Number(number) => json!({ "intValue": number.to_string() }),
                raw => raw.clone(),
            };
            json!({ "key": key, "value": value })
        })
        .collect()
}

/// `reason×count of sender`, one a line, sorted.
pub(crate) fn rejections(rejected: &[Rejection]) -> Vec<String> {
    let line = |r: &Rejection| format!("{}×{} of {:?}", r.reason, r.count, r.sender);
    sorted(rejected.iter().map(line))
}

pub(crate) fn adjustments(adjusted: &[Adjustment]) -> Vec<String> {
    let line = |a: &Adjustment| format!("{}×{} of {:?}", a.reason, a.count, a.sender);
    sorted(adjusted.iter().map(line))
}

pub(crate) fn redactions(redactions: &[Redaction]) -> Vec<String> {
    let line = |r: &Redaction| format!("{}×{} of {:?}", r.key, r.count, r.sender);
    sorted(redactions.iter().map(line))
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}

/// One line per series: labels, value, time in milliseconds, then what is not the default.
pub(crate) fn render(batch: &MetricBatch) -> Vec<String> {
    batch.series.iter().map(render_series).collect()
}

fn render_series(series: &SeriesSamples) -> String {
    let mut line = series.labels.to_string();
    for sample in &series.samples {
        let _ = match &sample.value {
            value if value.is_stale() => write!(line, " stale"),
            SampleValue::Float(value) => write!(line, " {value}"),
            SampleValue::Histogram(h) => {
                let spans = |spans: &[skopos_model::BucketSpan]| -> Vec<(i32, u32)> {
                    spans.iter().map(|s| (s.offset, s.length)).collect()
                };
                write!(
                    line,
                    " schema={} count={} sum={} zero={}≤{:e} +{:?}{:?} -{:?}{:?}",
                    h.schema,
                    h.count,
                    h.sum,
                    h.zero_count,
                    h.zero_threshold,
                    spans(&h.positive_spans),
                    h.positive_buckets,
                    spans(&h.negative_spans),
                    h.negative_buckets,
                )
            }
        };
        let _ = write!(line, " @{}", sample.timestamp_ms);
    }
    if let Some(start) = series.start_timestamp_ms {
        let _ = write!(line, " since {start}");
    }
    if series.temporality == Temporality::Delta {
        line.push_str(" delta");
    }
    for exemplar in &series.exemplars {
        let _ =
            write!(line, " # {} {} @{}", exemplar.labels, exemplar.value, exemplar.timestamp_ms);
    }
    line
}

// OTLP/JSON from protobuf messages: 64-bit integers as strings, ids in hexadecimal, bytes in base64.

pub(crate) fn logs_json(request: &ExportLogsServiceRequest) -> Value {
    let record = |r: &opentelemetry_proto::tonic::logs::v1::LogRecord| {
        json!({
            "timeUnixNano": r.time_unix_nano.to_string(),
            "observedTimeUnixNano": r.observed_time_unix_nano.to_string(),
            "severityNumber": r.severity_number,
            "severityText": r.severity_text,
            "body": r.body.as_ref().map(any_json),
            "attributes": pairs_json(&r.attributes),
            "droppedAttributesCount": r.dropped_attributes_count,
            "flags": r.flags,
            "traceId": hex(&r.trace_id),
            "spanId": hex(&r.span_id),
            "eventName": r.event_name,
        })
    };
    let scopes = |scopes: &[opentelemetry_proto::tonic::logs::v1::ScopeLogs]| -> Value {
        scopes
            .iter()
            .map(|s| {
                json!({
                    "scope": s.scope.as_ref().map(scope_json),
                    "logRecords": s.log_records.iter().map(record).collect::<Value>(),
                    "schemaUrl": s.schema_url,
                })
            })
            .collect()
    };
    let resources = request.resource_logs.iter().map(|r| {
        json!({
            "resource": r.resource.as_ref().map(resource_json),
            "scopeLogs": scopes(&r.scope_logs),
            "schemaUrl": r.schema_url,
        })
    });
    json!({ "resourceLogs": resources.collect::<Value>() })
}

pub(crate) fn traces_json(request: &ExportTraceServiceRequest) -> Value {
    use opentelemetry_proto::tonic::trace::v1 as pt;
    let event = |e: &pt::span::Event| {
        json!({
            "timeUnixNano": e.time_unix_nano,
            "name": e.name,
            "attributes": pairs_json(&e.attributes),
            "droppedAttributesCount": e.dropped_attributes_count,
        })
    };
    let link = |l: &pt::span::Link| {
        json!({
            "traceId": hex(&l.trace_id),
            "spanId": hex(&l.span_id),
            "traceState": l.trace_state,
            "attributes": pairs_json(&l.attributes),
            "droppedAttributesCount": l.dropped_attributes_count,
            "flags": l.flags,
        })
    };
    let span = |s: &pt::Span| {
        json!({
            "traceId": hex(&s.trace_id),
            "spanId": hex(&s.span_id),
            "parentSpanId": hex(&s.parent_span_id),
            "traceState": s.trace_state,
            "flags": s.flags,
            "name": s.name,
            "kind": s.kind,
            "startTimeUnixNano": s.start_time_unix_nano.to_string(),
            "endTimeUnixNano": s.end_time_unix_nano.to_string(),
            "attributes": pairs_json(&s.attributes),
            "droppedAttributesCount": s.dropped_attributes_count,
            "events": s.events.iter().map(event).collect::<Value>(),
            "droppedEventsCount": s.dropped_events_count,
            "links": s.links.iter().map(link).collect::<Value>(),
            "droppedLinksCount": s.dropped_links_count,
            "status": s.status.as_ref().map(|s| json!({"code": s.code, "message": s.message})),
        })
    };
    let scopes = |scopes: &[pt::ScopeSpans]| -> Value {
        scopes
            .iter()
            .map(|s| {
                json!({
                    "scope": s.scope.as_ref().map(scope_json),
                    "spans": s.spans.iter().map(span).collect::<Value>(),
                    "schemaUrl": s.schema_url,
                })
            })
            .collect()
    };
    let resources = request.resource_spans.iter().map(|r| {
        json!({
            "resource": r.resource.as_ref().map(resource_json),
            "scopeSpans": scopes(&r.scope_spans),
            "schemaUrl": r.schema_url,
        })
    });
    json!({ "resourceSpans": resources.collect::<Value>() })
}

pub(crate) fn metrics_json(request: &ExportMetricsServiceRequest) -> Value {
    let metric = |m: &pm::Metric| {
        let mut json = json!({
            "name": m.name,
            "description": m.description,
            "unit": m.unit,
            "metadata": pairs_json(&m.metadata),
        });
        if let (Some(data), Value::Object(map)) = (&m.data, &mut json) {
            let (name, data) = data_json(data);
            map.insert(name.to_owned(), data);
        }
        json
    };
    let scopes = |scopes: &[pm::ScopeMetrics]| -> Value {
        scopes
            .iter()
            .map(|s| {
                json!({
                    "scope": s.scope.as_ref().map(scope_json),
                    "metrics": s.metrics.iter().map(metric).collect::<Value>(),
                    "schemaUrl": s.schema_url,
                })
            })
            .collect()
    };
    let resources = request.resource_metrics.iter().map(|r| {
        json!({
            "resource": r.resource.as_ref().map(resource_json),
            "scopeMetrics": scopes(&r.scope_metrics),
            "schemaUrl": r.schema_url,
        })
    });
    json!({ "resourceMetrics": resources.collect::<Value>() })
}

fn data_json(data: &pm::metric::Data) -> (&'static str, Value) {
    let numbers =
        |points: &[pm::NumberDataPoint]| -> Value { points.iter().map(number_json).collect() };
    match data {
        pm::metric::Data::Gauge(g) => ("gauge", json!({ "dataPoints": numbers(&g.data_points) })),
        pm::metric::Data::Sum(s) => (
            "sum",
            json!({
                "dataPoints": numbers(&s.data_points),
                "aggregationTemporality": s.aggregation_temporality,
                "isMonotonic": s.is_monotonic,
            }),
        ),
        pm::metric::Data::Histogram(h) => {
            let point = |p: &pm::HistogramDataPoint| {
                json!({
                    "attributes": pairs_json(&p.attributes),
                    "startTimeUnixNano": p.start_time_unix_nano.to_string(),
                    "timeUnixNano": p.time_unix_nano.to_string(),
                    "count": p.count.to_string(),
                    "sum": p.sum.map(float_json),
                    "bucketCounts": p.bucket_counts.iter().map(u64::to_string).collect::<Value>(),
                    "explicitBounds": p.explicit_bounds.iter().copied().map(float_json).collect::<Value>(),
                    "exemplars": p.exemplars.iter().map(exemplar_json).collect::<Value>(),
                    "flags": p.flags,
                    "min": p.min.map(float_json),
                    "max": p.max.map(float_json),
                })
            };
            (
                "histogram",
                json!({
                    "dataPoints": h.data_points.iter().map(point).collect::<Value>(),
                    "aggregationTemporality": h.aggregation_temporality,
                }),
            )
        }
        pm::metric::Data::ExponentialHistogram(h) => {
            let buckets = |b: &pm::exponential_histogram_data_point::Buckets| {
                json!({
                    "offset": b.offset,
                    "bucketCounts": b.bucket_counts.iter().map(u64::to_string).collect::<Value>(),
                })
            };
            let point = |p: &pm::ExponentialHistogramDataPoint| {
                json!({
                    "attributes": pairs_json(&p.attributes),
                    "startTimeUnixNano": p.start_time_unix_nano.to_string(),
                    "timeUnixNano": p.time_unix_nano.to_string(),
                    "count": p.count.to_string(),
                    "sum": p.sum.map(float_json),
                    "scale": p.scale,
                    "zeroCount": p.zero_count.to_string(),
                    "positive": p.positive.as_ref().map(buckets),
                    "negative": p.negative.as_ref().map(buckets),
                    "flags": p.flags,
                    "exemplars": p.exemplars.iter().map(exemplar_json).collect::<Value>(),
                    "min": p.min.map(float_json),
                    "max": p.max.map(float_json),
                    "zeroThreshold": float_json(p.zero_threshold),
                })
            };
            (
                "exponentialHistogram",
                json!({
                    "dataPoints": h.data_points.iter().map(point).collect::<Value>(),
                    "aggregationTemporality": h.aggregation_temporality,
                }),
            )
        }
        pm::metric::Data::Summary(s) => {
            let point = |p: &pm::SummaryDataPoint| {
                let quantile = |q: &pm::summary_data_point::ValueAtQuantile| json!({"quantile": float_json(q.quantile), "value": float_json(q.value)});
                json!({
                    "attributes": pairs_json(&p.attributes),
                    "startTimeUnixNano": p.start_time_unix_nano.to_string(),
                    "timeUnixNano": p.time_unix_nano.to_string(),
                    "count": p.count.to_string(),
                    "sum": float_json(p.sum),
                    "quantileValues": p.quantile_values.iter().map(quantile).collect::<Value>(),
                    "flags": p.flags,
                })
            };
            ("summary", json!({"dataPoints": s.data_points.iter().map(point).collect::<Value>()}))
        }
    }
}

fn number_json(p: &pm::NumberDataPoint) -> Value {
    let mut json = json!({
        "attributes": pairs_json(&p.attributes),
        "startTimeUnixNano": p.start_time_unix_nano.to_string(),
        "timeUnixNano": p.time_unix_nano.to_string(),
        "exemplars": p.exemplars.iter().map(exemplar_json).collect::<Value>(),
        "flags": p.flags,
    });
    match p.value {
        Some(pm::number_data_point::Value::AsDouble(v)) => json["asDouble"] = float_json(v),
        Some(pm::number_data_point::Value::AsInt(v)) => json["asInt"] = v.to_string().into(),
        None => {}
    }
    json
}

fn exemplar_json(e: &pm::Exemplar) -> Value {
    let mut json = json!({
        "filteredAttributes": pairs_json(&e.filtered_attributes),
        "timeUnixNano": e.time_unix_nano.to_string(),
        "spanId": hex(&e.span_id),
        "traceId": hex(&e.trace_id),
    });
    match e.value {
        Some(pm::exemplar::Value::AsDouble(v)) => json["asDouble"] = float_json(v),
        Some(pm::exemplar::Value::AsInt(v)) => json["asInt"] = v.to_string().into(),
        None => {}
    }
    json
}

fn resource_json(r: &Resource) -> Value {
    json!({
        "attributes": pairs_json(&r.attributes),
        "droppedAttributesCount": r.dropped_attributes_count,
        "entityRefs": [],
    })
}

fn scope_json(s: &InstrumentationScope) -> Value {
    json!({
        "name": s.name,
        "version": s.version,
        "attributes": pairs_json(&s.attributes),
        "droppedAttributesCount": s.dropped_attributes_count,
    })
}

fn pairs_json(pairs: &[KeyValue]) -> Value {
    pairs
        .iter()
        .map(|pair| {
            let mut map = Map::new();
            map.insert("key".to_owned(), pair.key.clone().into());
            if let Some(value) = &pair.value {
                map.insert("value".to_owned(), any_json(value));
            }
            Value::Object(map)
        })
        .collect()
}

fn any_json(value: &AnyValue) -> Value {
    match &value.value {
        None | Some(Any::StringValueStrindex(_)) => json!({}),
        Some(Any::StringValue(v)) => json!({ "stringValue": v }),
        Some(Any::BoolValue(v)) => json!({ "boolValue": v }),
        Some(Any::IntValue(v)) => json!({ "intValue": v.to_string() }),
        Some(Any::DoubleValue(v)) => json!({ "doubleValue": float_json(*v) }),
        Some(Any::ArrayValue(v)) => {
            json!({"arrayValue": {"values": v.values.iter().map(any_json).collect::<Value>()}})
        }
        Some(Any::KvlistValue(v)) => json!({"kvlistValue": {"values": pairs_json(&v.values)}}),
        Some(Any::BytesValue(v)) => {
            let text = skopos_model::AnyValue::Bytes(v.as_slice().into()).to_string();
            json!({ "bytesValue": text.trim_matches('"') })
        }
    }
}

fn float_json(value: f64) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// (fuzz target, file name, bytes) of the seeds that are not text.
pub(crate) fn binary_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let seed = |target: &str| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        std::fs::read(root.join(target).join("all.json")).unwrap()
    };
    let text = seed("otlp_logs");
    let gzip = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(&text).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
        encoder.write_all(&text).unwrap();
        encoder.finish().unwrap()
    };
    vec![
        ("otlp_logs", "all.pb", skopos_ingest::fuzz::logs_seed(&text)),
        ("otlp_traces", "all.pb", skopos_ingest::fuzz::traces_seed(&seed("otlp_traces"))),
        ("otlp_metrics", "all.pb", skopos_ingest::fuzz::metrics_seed(&seed("otlp_metrics"))),
        ("remote_write", "all.pb", crate::remote_write::seed()),
        ("remote_write_v2", "all.pb", crate::remote_write_v2::seed()),
        ("decompress", "text.gz", gzip),
        ("decompress", "text.zlib", deflate),
        ("decompress", "text.zst", zstd::encode_all(text.as_slice(), 3).unwrap()),
    ]
}
