//! An OTLP receiver on one port, for gRPC and HTTP alike: HTTP/2 and HTTP/1.1 are told apart by their first bytes.
//!
//! It takes everything, keeps what verdicts need, and answers success. Requests are read up to a bound, a few at a time;
//! others are told to come again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use skopos_ingest::otlp::{
    OtlpEncoding, OtlpOptions, Signal, decode_logs, decode_traces, encode_response,
};
use skopos_ingest::{ContentEncoding, decompress};
use skopos_model::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::heard::Hearing;

/// Longest request, before and after decompression.
const REQUEST_BYTES: usize = 16 << 20;
/// Requests read at once.
const AT_ONCE: usize = 8;
/// gRPC's header of a message.
const FRAME_HEADER_BYTES: usize = 5;

const PATHS: [(&str, &str, Signal); 3] = [
    ("/v1/logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export", Signal::Logs),
    (
        "/v1/metrics",
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Metrics,
    ),
    ("/v1/traces", "/opentelemetry.proto.collector.trace.v1.TraceService/Export", Signal::Traces),
];

/// A receiver at work; dropping it ends it.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Shared {
    hearing: Hearing,
    turns: Arc<Semaphore>,
}

impl Receiver {
    pub(super) async fn bind(address: SocketAddr, hearing: Hearing) -> std::io::Result<Receiver> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Shared { hearing, turns: Arc::new(Semaphore::new(AT_ONCE)) };
        let router = Router::new().fallback(take).with_state(shared);
        let task = tokio::spawn(async move {
            // It ends only by being aborted: accept errors are retried inside.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Receiver { address, task })
    }
}

async fn take(State(shared): State<Shared>, request: Request) -> Response {
    let content_type = text(request.headers(), header::CONTENT_TYPE.as_str()).to_owned();
    let is_grpc = content_type.starts_with("application/grpc");
    let Ok(_turn) = shared.turns.try_acquire() else {
        return refuse(is_grpc, StatusCode::SERVICE_UNAVAILABLE, "14", "busy");
    };
    match export(&shared.hearing, request, &content_type, is_grpc).await {
        Ok((signal, encoding)) => success(is_grpc, signal, encoding),
        Err(reason) => {
            let reason = crate::shown::shown(&reason);
            shared.hearing.change(|heard| heard.refused = Some(reason.clone()));
            refuse(is_grpc, StatusCode::BAD_REQUEST, "3", &reason)
        }
    }
}

async fn export(
    hearing: &Hearing,
    request: Request,
    content_type: &str,
    is_grpc: bool,
) -> Result<(Signal, OtlpEncoding), String> {
    let path = request.uri().path();
    let known = PATHS.iter().find(|(http, grpc, _)| path == if is_grpc { *grpc } else { *http });
    let Some((_, _, signal)) = known else {
        return Err(format!("{path} is no path of OTLP"));
    };
    let encoding = match is_grpc {
        true => OtlpEncoding::Protobuf,
        false => OtlpEncoding::from_content_type(content_type)
            .ok_or_else(|| format!("Content-Type {content_type:?} is none of OTLP's"))?,
    };
    let name = if is_grpc { "grpc-encoding" } else { "content-encoding" };
    let coding = text(request.headers(), name).to_owned();
    let coding = ContentEncoding::from_header(&coding)
        .ok_or_else(|| format!("{name} {coding:?} is not known"))?;
    let body = axum::body::to_bytes(request.into_body(), REQUEST_BYTES)
        .await
        .map_err(|_| format!("a request is longer than {REQUEST_BYTES} bytes, or was cut off"))?;
    let (body, coding) = match is_grpc {
        false => (body, coding),
        true => unframe(&body, coding).ok_or("the request is not one whole gRPC message")?,
    };
    let body = decompress(coding, &body, REQUEST_BYTES).map_err(|error| error.to_string())?;
    // Nothing is redacted: secrets are looked for. What is shown of it is.
    let mut options = OtlpOptions { redactor: None, ..OtlpOptions::default() };
    options.limits.decoded_bytes = 4 * REQUEST_BYTES;
    match signal {
        Signal::Logs => {
            let batch = decode_logs(encoding, &body, &options, now());
            let batch = batch.map_err(|error| error.to_string())?;
            hearing.change(|heard| heard.add_logs(&batch.decoded.value));
        }
        Signal::Traces => {
            let batch = decode_traces(encoding, &body, &options);
            let batch = batch.map_err(|error| error.to_string())?;
            hearing.change(|heard| heard.add_traces(&batch.decoded.value));
        }
        // Metrics come once a minute: /metrics is asked instead.
        Signal::Metrics => {}
    }
    hearing.change(|heard| heard.exports += 1);
    Ok((*signal, encoding))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn unframe(body: &Bytes, declared: ContentEncoding) -> Option<(Bytes, ContentEncoding)> {
    let (head, rest) = body.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let [flag, length @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let coding = match flag {
        0 => ContentEncoding::Identity,
        1 => declared,
        _ => return None,
    };
    (rest.len() == length).then(|| (body.slice(FRAME_HEADER_BYTES..), coding))
}

fn success(is_grpc: bool, signal: Signal, encoding: OtlpEncoding) -> Response {
    let message = encode_response(signal, encoding, 0, String::new());
    let (body, content_type) = match is_grpc {
        false => (Body::from(message), encoding.content_type()),
        true => {
            let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
            frame.put_u8(0);
            frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
            frame.put_slice(&message);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let frame = Full::new(frame.freeze());
            let body = frame.with_trailers(std::future::ready(Some(Ok(trailers))));
            (Body::new(body), "application/grpc")
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Refuses; gRPC says so in headers alone, under status 200.
fn refuse(is_grpc: bool, status: StatusCode, code: &'static str, reason: &str) -> Response {
    let mut response = Response::new(Body::from(if is_grpc { "" } else { reason }.to_owned()));
    if is_grpc {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(code));
        if let Ok(message) = HeaderValue::from_str(reason) {
            headers.insert("grpc-message", message);
        }
    } else {
        *response.status_mut() = status;
    }
    response
}
