//! Services to visit: an address, a function from request to answer, and a sender of OTLP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use skopos_doctor::{Options, Otlp, Report, Step, examine};

use crate::verdicts::ids;

/// Serves requests by a function until the runtime ends.
pub(crate) async fn serve<F, Fut>(answer: F) -> SocketAddr
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    address
}

pub(crate) fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status.try_into().unwrap();
    response.headers_mut().insert("content-type", content_type.try_into().unwrap());
    response
}

pub(crate) fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Where the visit under test listens for OTLP: known once it does.
#[derive(Clone, Default)]
pub(crate) struct Port(Arc<Mutex<Option<SocketAddr>>>);

impl Port {
    pub(crate) fn get(&self) -> SocketAddr {
        self.0.lock().unwrap().expect("the doctor listens before it asks")
    }
}

/// Options for a visit with known ids, a port of its own, and little patience.
pub(crate) fn options(address: SocketAddr) -> Options {
    Options {
        otlp: Otlp::At(([127, 0, 0, 1], 0).into()),
        patience: Duration::from_millis(300),
        timeout: Duration::from_secs(5),
        ids: Some(ids()),
        ..Options::new(format!("http://{address}/"))
    }
}

pub(crate) async fn visit(options: &Options, port: &Port) -> Result<Report, skopos_doctor::Error> {
    let step = |step: Step| {
        if let Step::Listening(addresses) = step {
            *port.0.lock().unwrap() = addresses.first().copied();
        }
    };
    examine(options, &step).await
}

/// How OTLP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Json,
    Protobuf,
    Gzip,
    Grpc,
    GrpcGzip,
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs
        .iter()
        .map(|(key, value)| KeyValue {
            key: (*key).to_owned(),
            value: Some(AnyValue { value: Some(Value::StringValue((*value).to_owned())) }),
            ..KeyValue::default()
        })
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn resource() -> Option<Resource> {
    let attributes = pairs(&[
        ("service.name", "double"),
        ("service.version", "1"),
        ("deployment.environment.name", "test"),
    ]);
    Some(Resource { attributes, ..Resource::default() })
}

/// A server span of these ids, with these attributes.
pub(crate) fn trace(
    trace_id: &str,
    parent_id: &str,
    attributes: &[(&str, &str)],
) -> ExportTraceServiceRequest {
    let span = Span {
        trace_id: bytes(trace_id),
        span_id: vec![1; 8],
        parent_span_id: bytes(parent_id),
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes: pairs(attributes),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource = resource();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
    }
}

/// An INFO record of these ids.
pub(crate) fn log(trace_id: &str, request_id: &str) -> ExportLogsServiceRequest {
    let record = LogRecord {
        severity_number: 9,
        body: Some(AnyValue { value: Some(Value::StringValue("greeted".to_owned())) }),
        attributes: pairs(&[("request_id", request_id)]),
        trace_id: bytes(trace_id),
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource = resource();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    }
}

/// Sends one message of a signal; the protobuf bytes are turned into what the wire wants. Panics unless it is taken.
pub(crate) async fn send(to: SocketAddr, wire: Wire, signal: &str, protobuf: Vec<u8>, json: &str) {
    let (status, trailers) = post(to, wire, signal, protobuf, json).await;
    assert_eq!(status, 200, "{wire:?} {signal}");
    if matches!(wire, Wire::Grpc | Wire::GrpcGzip) {
        assert_eq!(trailers.unwrap()["grpc-status"], "0", "{wire:?} {signal}");
    }
}

/// Sends, whatever comes of it.
pub(crate) async fn post(
    to: SocketAddr,
    wire: Wire,
    signal: &str,
    protobuf: Vec<u8>,
    json: &str,
) -> (u16, Option<HeaderMap>) {
    let is_grpc = matches!(wire, Wire::Grpc | Wire::GrpcGzip);
    let is_packed = matches!(wire, Wire::Gzip | Wire::GrpcGzip);
    let mut body = if wire == Wire::Json { json.as_bytes().to_vec() } else { protobuf };
    if is_packed {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&body).unwrap();
        body = encoder.finish().unwrap();
    }
    let service = match signal {
        "logs" => "logs.v1.LogsService",
        "metrics" => "metrics.v1.MetricsService",
        _ => "trace.v1.TraceService",
    };
    let path = match is_grpc {
        true => format!("/opentelemetry.proto.collector.{service}/Export"),
        false => format!("/v1/{signal}"),
    };
    if is_grpc {
        let length = u32::try_from(body.len()).unwrap();
        let head = [&[u8::from(is_packed)][..], &length.to_be_bytes()].concat();
        body = [head, body].concat();
    }
    let content_type = match wire {
        Wire::Json => "application/json",
        Wire::Grpc | Wire::GrpcGzip => "application/grpc",
        _ => "application/x-protobuf",
    };
    let mut request = http::Request::post(format!("http://{to}{path}"))
        .header("content-type", content_type)
        .header("te", "trailers");
    if is_packed {
        let name = if is_grpc { "grpc-encoding" } else { "content-encoding" };
        request = request.header(name, "gzip");
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let mut client = Client::builder(TokioExecutor::new());
    let client = client.http2_only(is_grpc).build_http();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (status, trailers.or_else(|| headers.contains_key("grpc-status").then_some(headers)))
}

/// Sends a span and a record, on the wire given.
pub(crate) async fn send_both(
    to: SocketAddr,
    wire: Wire,
    trace: ExportTraceServiceRequest,
    log: ExportLogsServiceRequest,
    json: [&str; 2],
) {
    send(to, wire, "traces", trace.encode_to_vec(), json[0]).await;
    send(to, wire, "logs", log.encode_to_vec(), json[1]).await;
}
