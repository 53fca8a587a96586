//! OTLP over gRPC: the three `Export` methods on tonic's HTTP/2 server.
//!
//! The messages are taken apart here and not by generated code, because OTLP wants answers that
//! the generated code cannot give: undecodable bytes are INVALID_ARGUMENT, a message over the
//! limit (after decompression) is RESOURCE_EXHAUSTED without `RetryInfo`, overload is UNAVAILABLE,
//! and every byte held is accounted for while it arrives.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use skopos_ingest::ContentEncoding;
use skopos_ingest::otlp::{self, OtlpEncoding};
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};

use crate::auth::{Guard, Scope};
use crate::error::ApiError;
use crate::ingest::Export;
use crate::receipts::{Signal, Transport};
use crate::state::SharedState;

/// The methods served, with their signals.
pub const METHODS: [(&str, Signal); 3] = [
    ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", Signal::Logs),
    ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", Signal::Metrics),
    ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", Signal::Traces),
];

/// Flag and length in front of a gRPC message.
const FRAME_HEADER_BYTES: usize = 5;

const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const ACCEPTED_ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");

/// The service behind the gRPC port.
#[derive(Clone)]
pub(crate) struct OtlpService {
    state: SharedState,
    guard: Guard,
}

impl OtlpService {
    pub(crate) fn new(state: SharedState) -> Self {
        let guard = Guard::new(&state, Scope::Ingest, true);
        Self { state, guard }
    }

    async fn handle(self, request: Request<Body>) -> Response<Body> {
        // A panic costs its call, not the connection and the calls that share it.
        let outcome = AssertUnwindSafe(self.export(request)).catch_unwind().await;
        let mut response = match outcome {
            Ok(Ok(message)) => success(&message),
            Ok(Err(status)) => status.into_http(),
            Err(_) => ApiError::internal("a call panicked").to_grpc().into_http(),
        };
        response.headers_mut().insert(GRPC_ACCEPT_ENCODING, ACCEPTED_ENCODINGS);
        response
    }

    async fn export(&self, request: Request<Body>) -> Result<Bytes, Status> {
        let (parts, body) = request.into_parts();
        let signal = METHODS.iter().find(|(path, _)| *path == parts.uri.path());
        let Some((_, signal)) = signal else {
            return Err(Status::unimplemented("no such service or method"));
        };
        let peer = parts.extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let mut export = Export {
            transport: Transport::OtlpGrpc,
            signal: *signal,
            encoding: OtlpEncoding::Protobuf,
            compression: ContentEncoding::Identity,
            peer: peer.map_or_else(String::new, |address| address.ip().to_string()),
        };
        let ingest = &self.state.ingest;
        let refuse = |export: &Export, reason, status| {
            ingest.refuse(export, reason);
            Err(status)
        };
        if let Err(error) = self.guard.check(&parts.method, &parts.uri, &parts.headers) {
            return refuse(&export, error.class.as_str(), error.to_grpc());
        }
        if !is_grpc(&parts.headers) {
            let status = Status::invalid_argument("expected Content-Type application/grpc");
            return refuse(&export, "content_type", status);
        }
        let Some(declared) = declared_encoding(&parts.headers) else {
            let status = Status::unimplemented("expected grpc-encoding gzip, zstd or identity");
            return refuse(&export, "content_encoding", status);
        };
        let failed = |error: ApiError| error.to_grpc();
        let mut admitted =
            ingest.admission.admit().map_err(|error| failed(ingest.body_error(&export, error)))?;
        let body = ingest.admission.read(body, &mut admitted).await;
        let body = body.map_err(|error| failed(ingest.body_error(&export, error)))?;
        let Some((compressed, message)) = unframe(&body) else {
            let status = Status::invalid_argument("the request is not one complete gRPC message");
            return refuse(&export, "malformed_frame", status);
        };
        export.compression = if compressed { declared } else { ContentEncoding::Identity };
        let exported = ingest.export(&export, message, &mut admitted).await.map_err(failed)?;
        let signal = match signal {
            Signal::Logs => otlp::Signal::Logs,
            Signal::Metrics => otlp::Signal::Metrics,
            Signal::Traces => otlp::Signal::Traces,
        };
        let encoding = OtlpEncoding::Protobuf;
        let response = otlp::encode_response(signal, encoding, exported.rejected, exported.message);
        Ok(response.into())
    }
}

impl tower::Service<Request<Body>> for OtlpService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    matches!(value, Some("application/grpc" | "application/grpc+proto"))
}

fn declared_encoding(headers: &HeaderMap) -> Option<ContentEncoding> {
    match headers.get(GRPC_ENCODING) {
        None => Some(ContentEncoding::Identity),
        Some(value) => ContentEncoding::from_header(value.to_str().ok()?)
            .filter(|encoding| *encoding != ContentEncoding::Deflate),
    }
}

/// The compressed flag and the bytes of the one message in a unary request.
fn unframe(body: &Bytes) -> Option<(bool, Bytes)> {
    let (header, rest) = body.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let [flag, length @ ..] = *header;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    (flag <= 1 && rest.len() == length).then(|| (flag == 1, body.slice(FRAME_HEADER_BYTES..)))
}

fn success(message: &[u8]) -> Response<Body> {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(Code::Ok as i32));
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_message_is_unframed() {
        for (bytes, want) in [
            (&[0, 0, 0, 0, 2, 7, 8][..], Some((false, &[7, 8][..]))),
            (&[1, 0, 0, 0, 0], Some((true, &[]))),
            (&[0, 0, 0, 0, 3, 7, 8], None),
            (&[0, 0, 0, 0, 1, 7, 8], None),
            (&[2, 0, 0, 0, 0], None),
            (&[0, 0, 0], None),
            (&[0, 255, 255, 255, 255], None),
        ] {
            let got = unframe(&Bytes::copy_from_slice(bytes));
            let want = want.map(|(flag, rest)| (flag, Bytes::copy_from_slice(rest)));
            assert_eq!(got, want, "{bytes:?}");
        }
    }
}
