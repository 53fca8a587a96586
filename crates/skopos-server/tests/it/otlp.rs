//! OTLP in: every signal × transport × encoding × compression, read back through the store.

use std::io::Write;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock};
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use crate::harness::TestServer;

/// Nanoseconds of a moment that the store takes: now.
pub(crate) fn now_nanos() -> u64 {
    SystemClock::new().now().as_nanos() as u64
}

fn resource(service: &str) -> Value {
    json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]})
}

/// A logs request in OTLP/JSON.
pub(crate) fn logs_json(service: &str, body: &str) -> Value {
    json!({"resourceLogs": [{"resource": resource(service), "scopeLogs": [{"logRecords": [
        {"timeUnixNano": now_nanos().to_string(), "severityNumber": 17, "body": {"stringValue": body},
         "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
    ]}]}]})
}

fn metrics_json(service: &str) -> Value {
    gauge_json(service, 7.5)
}

/// A metrics request in OTLP/JSON with one value of `queue_depth`.
pub(crate) fn gauge_json(service: &str, value: f64) -> Value {
    json!({"resourceMetrics": [{"resource": resource(service), "scopeMetrics": [{"metrics": [
        {"name": "queue.depth", "gauge": {"dataPoints": [
            {"timeUnixNano": now_nanos().to_string(), "asDouble": value}]}}
    ]}]}]})
}

fn traces_json(service: &str) -> Value {
    let end = now_nanos();
    json!({"resourceSpans": [{"resource": resource(service), "scopeSpans": [{"spans": [
        {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
         "name": "charge", "kind": 2,
         "startTimeUnixNano": (end - 1_000_000).to_string(), "endTimeUnixNano": end.to_string()}
    ]}]}]})
}

fn attribute(service: &str) -> opentelemetry_proto::tonic::resource::v1::Resource {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    let value = any_value::Value::StringValue(service.to_owned());
    let value = Some(AnyValue { value: Some(value) });
    let attributes = vec![KeyValue { key: "service.name".into(), value, ..KeyValue::default() }];
    opentelemetry_proto::tonic::resource::v1::Resource { attributes, ..Default::default() }
}

pub(crate) fn logs_request(service: &str) -> ExportLogsServiceRequest {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    let body = any_value::Value::StringValue("card declined".into());
    let record = LogRecord {
        time_unix_nano: now_nanos(),
        severity_number: 17,
        body: Some(AnyValue { value: Some(body) }),
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource = Some(attribute(service));
    let group = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![group] }
}

fn metrics_request(service: &str) -> ExportMetricsServiceRequest {
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point::Value,
    };
    let point = NumberDataPoint {
        time_unix_nano: now_nanos(),
        value: Some(Value::AsDouble(7.5)),
        ..NumberDataPoint::default()
    };
    let data = Some(Data::Gauge(Gauge { data_points: vec![point] }));
    let metric = Metric { name: "queue.depth".into(), data, ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource = Some(attribute(service));
    let group = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![group] }
}

fn traces_request(service: &str) -> ExportTraceServiceRequest {
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    let end = now_nanos();
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        name: "charge".into(),
        start_time_unix_nano: end - 1_000_000,
        end_time_unix_nano: end,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource = Some(attribute(service));
    let group = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compress(encoding: &str, bytes: Vec<u8>) -> Vec<u8> {
    match encoding {
        "gzip" => gzip(&bytes),
        "zstd" => zstd::encode_all(bytes.as_slice(), 1).unwrap(),
        _ => bytes,
    }
}

async fn assert_stored(server: &TestServer, service: &str) {
    let logs = server.logs().await;
    let log = logs.iter().find(|log| log.resource.service_name() == service);
    assert_eq!(log.unwrap().record.body.as_str(), Some("card declined"), "{service}");
    let spans = server.spans().await;
    let span = spans.iter().find(|span| span.resource.service_name() == service);
    assert_eq!(&*span.unwrap().span.name, "charge", "{service}");
    let series = server.series("queue_depth").await;
    let samples = series.iter().find(|(labels, _)| labels.contains(service)).unwrap().1;
    assert_eq!(samples.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [7.5], "{service}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_in_every_encoding_over_http() {
    let server = TestServer::start().await;
    for compression in ["identity", "gzip", "zstd"] {
        for (content_type, kind) in
            [("application/x-protobuf", "protobuf"), ("application/json", "json")]
        {
            let service = format!("http-{kind}-{compression}");
            let bodies = if kind == "json" {
                [
                    ("logs", logs_json(&service, "card declined").to_string().into_bytes()),
                    ("metrics", metrics_json(&service).to_string().into_bytes()),
                    ("traces", traces_json(&service).to_string().into_bytes()),
                ]
            } else {
                [
                    ("logs", logs_request(&service).encode_to_vec()),
                    ("metrics", metrics_request(&service).encode_to_vec()),
                    ("traces", traces_request(&service).encode_to_vec()),
                ]
            };
            for (signal, body) in bodies {
                let mut request = server
                    .client
                    .post(server.otlp(&format!("/v1/{signal}")))
                    .header("content-type", content_type);
                if compression != "identity" {
                    request = request.header("content-encoding", compression);
                }
                let response = request.body(compress(compression, body)).send().await.unwrap();
                assert_eq!(response.status(), 200, "{service} {signal}");
                assert_eq!(response.headers()["content-type"], content_type);
                let body = response.bytes().await.unwrap();
                let full_success: &[u8] = if kind == "json" { b"{}" } else { b"" };
                assert_eq!(body, full_success, "partial_success stays unset: {service} {signal}");
            }
            assert_stored(&server, &service).await;
        }
    }
    let receipts = server.get_json("/api/v1/skopos/receipts").await;
    let senders = receipts["senders"].as_array().unwrap();
    let row = senders.iter().find(|row| row["sender"] == "http-json-gzip").unwrap();
    assert_eq!(row["accepted"], json!({"logs": 1, "metrics": 1, "traces": 1}), "{row}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_in_every_compression_over_grpc() {
    let server = TestServer::start().await;
    let url = format!("http://{}", server.server.addresses().otlp_grpc);
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    for compression in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let service = format!("grpc-{compression:?}");
        let mut logs = LogsServiceClient::new(channel.clone());
        let mut metrics = MetricsServiceClient::new(channel.clone());
        let mut traces = TraceServiceClient::new(channel.clone());
        if let Some(encoding) = compression {
            logs = logs.send_compressed(encoding);
            metrics = metrics.send_compressed(encoding);
            traces = traces.send_compressed(encoding);
        }
        let response = logs.export(logs_request(&service)).await.unwrap().into_inner();
        assert_eq!(response.partial_success, None);
        let response = metrics.export(metrics_request(&service)).await.unwrap().into_inner();
        assert_eq!(response.partial_success, None);
        let response = traces.export(traces_request(&service)).await.unwrap().into_inner();
        assert_eq!(response.partial_success, None);
        assert_stored(&server, &service).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let server = TestServer::start().await;
    let body = logs_json("crash", "before the crash").to_string();
    let url = server.otlp("/v1/logs");
    let request = server.client.post(url).header("content-type", "application/json").body(body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let folder = server.kill();
    let server = TestServer::reopen(folder, |_| {}).await;
    let logs = server.logs().await;
    assert_eq!(logs.len(), 1);
    assert_eq!(logs[0].record.body.as_str(), Some("before the crash"));
    server.stop().await;
}
