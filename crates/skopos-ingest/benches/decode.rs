//! How fast the decoders are, on fixed input: `cargo bench -p skopos-ingest`.
//!
//! Prints the best of several rounds with the machine and the commit. No timed assertion.

#![allow(
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark asks the machine for the time"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use skopos_ingest::exposition::{ExpositionFormat, ExpositionOptions, parse};
use skopos_ingest::otlp::{OtlpEncoding, OtlpOptions, decode_logs, decode_metrics, decode_traces};
use skopos_ingest::{ContentEncoding, Limits, decompress};
use skopos_model::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
const TIME: u64 = 1_700_000_000_000_000_000;

fn main() {
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown");
    println!("machine: {cpu}; commit: {}", commit.unwrap_or_default());

    let unredacted = OtlpOptions { redactor: None, ..OtlpOptions::default() };
    let options = OtlpOptions::default();

    let records = 2_000;
    let body = logs(records).encode_to_vec();
    for (what, options) in [("redacted", &options), ("unredacted", &unredacted)] {
        let best =
            best(|| black_box(decode_logs(OtlpEncoding::Protobuf, &body, options, NOW)).is_ok());
        report(&format!("OTLP logs, protobuf, {what}"), best, body.len(), records, "records");
    }
    let json = logs_json(records);
    let took =
        best(|| black_box(decode_logs(OtlpEncoding::Json, json.as_bytes(), &options, NOW)).is_ok());
    report("OTLP logs, JSON", took, json.len(), records, "records");

    let body = traces(512).encode_to_vec();
    for (what, options) in [("redacted", &options), ("unredacted", &unredacted)] {
        let best =
            best(|| black_box(decode_traces(OtlpEncoding::Protobuf, &body, options)).is_ok());
        report(&format!("OTLP spans, 20 attributes, {what}"), best, body.len(), 512, "spans");
    }

    let body = metrics(500).encode_to_vec();
    let took = best(|| black_box(decode_metrics(OtlpEncoding::Protobuf, &body, &options)).is_ok());
    report("OTLP histograms, 10 bounds", took, body.len(), 500 * 13, "samples");

    let limits = Limits::default();
    for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics] {
        let series = 20_000;
        let body = exposition(series, format);
        let options = ExpositionOptions::new(format, 0, &limits);
        let took = best(|| black_box(parse(body.as_bytes(), &options)).is_ok());
        report(&format!("exposition, {format:?}"), took, body.len(), series, "samples");
    }

    let text = exposition(20_000, ExpositionFormat::Text);
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap_or_default();
    let took = best(|| decompress(ContentEncoding::Zstd, &zstd, 64 << 20).is_ok());
    report("decompress, zstd", took, text.len(), 1, "bodies");
}

fn best(mut run: impl FnMut() -> bool) -> Duration {
    let mut best = Duration::MAX;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let start = Instant::now();
        assert!(run(), "the benchmark's own input is good");
        best = best.min(start.elapsed());
    }
    best
}

fn report(what: &str, took: Duration, bytes: usize, items: usize, unit: &str) {
    let secs = took.as_secs_f64();
    let (megabytes, items) = (bytes as f64 / 1e6 / secs, items as f64 / 1e3 / secs);
    println!("{what:<36} {megabytes:>8.1} MB/s {items:>10.1} k {unit}/s");
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn resource() -> Option<Resource> {
    let attributes = vec![
        text("service.name", "checkout"),
        text("service.instance.id", "checkout-7d9c5b6f4-x2x9p"),
        text("k8s.namespace.name", "shop"),
    ];
    Some(Resource { attributes, ..Default::default() })
}

fn log_message(i: usize) -> String {
    format!("order {i} placed by customer {} for {} items in {} ms", i * 7, i % 9, i % 251)
}

fn logs(count: usize) -> ExportLogsServiceRequest {
    let record = |i: usize| LogRecord {
        time_unix_nano: TIME + i as u64,
        observed_time_unix_nano: TIME + i as u64,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(log_message(i))) }),
        attributes: vec![
            text("http.request.method", "POST"),
            text("http.route", "/orders/{id}"),
            pair("http.response.status_code", Value::IntValue(200)),
            text("code.namespace", "checkout::orders"),
            text("thread.name", "tokio-runtime-worker"),
        ],
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        ..Default::default()
    };
    let log_records = (0..count).map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    let resource = resource();
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..Default::default() }];
    ExportLogsServiceRequest { resource_logs }
}

fn logs_json(count: usize) -> String {
    let mut records = String::new();
    for i in 0..count {
        let comma = if i == 0 { "" } else { "," };
        let message = log_message(i);
        let _ = write!(
            records,
            r#"{comma}{{"timeUnixNano":"{TIME}","severityNumber":9,"severityText":"INFO","traceId":"07070707070707070707070707070707","spanId":"0909090909090909","body":{{"stringValue":"{message}"}},"attributes":[{{"key":"http.request.method","value":{{"stringValue":"POST"}}}},{{"key":"http.route","value":{{"stringValue":"/orders/{{id}}"}}}},{{"key":"http.response.status_code","value":{{"intValue":"200"}}}},{{"key":"code.namespace","value":{{"stringValue":"checkout::orders"}}}},{{"key":"thread.name","value":{{"stringValue":"tokio-runtime-worker"}}}}]}}"#
        );
    }
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#)
}

fn traces(count: usize) -> ExportTraceServiceRequest {
    let span = |i: usize| {
        let mut attributes = vec![
            text("http.request.method", "GET"),
            text("http.route", "/orders/{id}"),
            text("url.path", format!("/orders/{i}")),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)"),
            pair("http.response.status_code", Value::IntValue(200)),
            pair("http.response.body.size", Value::IntValue(i as i64)),
        ];
        attributes
            .extend((0..14).map(|n| text(&format!("app.attribute.{n}"), format!("value {i}"))));
        let mut span_id = vec![1; 8];
        span_id[..4].copy_from_slice(&(i as u32).to_be_bytes());
        Span {
            trace_id: vec![7; 16],
            span_id,
            parent_span_id: vec![2; 8],
            name: "GET /orders/{id}".to_owned(),
            kind: 2,
            start_time_unix_nano: TIME,
            end_time_unix_nano: TIME + 1_000_000,
            attributes,
            ..Default::default()
        }
    };
    let spans = (0..count).map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource = resource();
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn metrics(count: usize) -> ExportMetricsServiceRequest {
    let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
    let point = |i: usize| HistogramDataPoint {
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", format!("/orders/{i}")),
            pair("http.response.status_code", Value::IntValue(200)),
        ],
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + 1_000_000,
        count: 110,
        sum: Some(42.5),
        bucket_counts: vec![10; 11],
        explicit_bounds: bounds.to_vec(),
        ..Default::default()
    };
    let data_points = (0..count).map(point).collect();
    let data = Some(Data::Histogram(Histogram { data_points, aggregation_temporality: 2 }));
    let name = "http.server.request.duration".to_owned();
    let metrics = vec![Metric { name, unit: "s".to_owned(), data, ..Default::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
    let resource = resource();
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..Default::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn exposition(series: usize, format: ExpositionFormat) -> String {
    let mut text = String::from("# TYPE http_requests counter\n");
    for i in 0..series {
        let (node, cpu) = (i / 64, i % 64);
        let _ = writeln!(
            text,
            r#"http_requests_total{{node="node-{node}",cpu="{cpu}",mode="user",endpoint="/api/orders"}} {i}.25"#
        );
    }
    if format == ExpositionFormat::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}
