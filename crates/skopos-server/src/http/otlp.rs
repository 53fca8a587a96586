//! OTLP over HTTP: `POST /v1/{logs,traces,metrics}` on a port of its own.
//!
//! The answer has the content type of the request; errors carry `google.rpc.Status`. Overload is
//! 503 with `Retry-After` rather than 429, because some exporters treat 429 as permanent.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use skopos_ingest::ContentEncoding;
use skopos_ingest::otlp::{self, OtlpEncoding, RpcCode, RpcStatus};

use super::Route;
use crate::auth::Scope;
use crate::error::{ApiError, ErrorClass};
use crate::ingest::Export;
use crate::receipts::{Signal, Transport};
use crate::state::SharedState;

/// The routes of the OTLP port.
pub fn routes() -> Vec<Route> {
    const TAG: &str = "otlp";
    vec![
        Route::post("/v1/logs", Scope::Ingest, logs).summary("Takes logs.").tag(TAG),
        Route::post("/v1/metrics", Scope::Ingest, metrics).summary("Takes metrics.").tag(TAG),
        Route::post("/v1/traces", Scope::Ingest, traces).summary("Takes traces.").tag(TAG),
    ]
}

async fn logs(state: State<SharedState>, request: Request) -> Response {
    export(state, Signal::Logs, request).await
}

async fn metrics(state: State<SharedState>, request: Request) -> Response {
    export(state, Signal::Metrics, request).await
}

async fn traces(state: State<SharedState>, request: Request) -> Response {
    export(state, Signal::Traces, request).await
}

async fn export(State(state): State<SharedState>, signal: Signal, request: Request) -> Response {
    let peer = peer(&request);
    let (parts, body) = request.into_parts();
    let mut export = Export {
        transport: Transport::OtlpHttp,
        signal,
        encoding: OtlpEncoding::Json,
        compression: ContentEncoding::Identity,
        peer,
    };
    let ingest = &state.ingest;
    let Some(encoding) = encoding(&parts.headers) else {
        ingest.refuse(&export, "content_type");
        return failure(OtlpEncoding::Json, &unsupported(WANTED_TYPES));
    };
    export.encoding = encoding;
    let Some(compression) = compression(&parts.headers) else {
        ingest.refuse(&export, "content_encoding");
        let message = "expected Content-Encoding gzip, zstd, deflate or none";
        return failure(encoding, &unsupported(message));
    };
    export.compression = compression;
    let outcome = async {
        let mut admitted =
            ingest.admission.admit().map_err(|error| ingest.body_error(&export, error))?;
        let body = ingest.admission.read(body, &mut admitted).await;
        let body = body.map_err(|error| ingest.body_error(&export, error))?;
        ingest.export(&export, body, &mut admitted).await
    };
    match outcome.await {
        Ok(exported) => {
            let signal = match signal {
                Signal::Logs => otlp::Signal::Logs,
                Signal::Metrics => otlp::Signal::Metrics,
                Signal::Traces => otlp::Signal::Traces,
            };
            let body = otlp::encode_response(signal, encoding, exported.rejected, exported.message);
            (content_type(encoding), body).into_response()
        }
        Err(error) => failure(encoding, &error),
    }
}

/// The sender's address: the sender as long as nothing is decoded.
pub(super) fn peer(request: &Request) -> String {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or_else(String::new, |ConnectInfo(address)| address.ip().to_string())
}

const WANTED_TYPES: &str = "expected Content-Type application/x-protobuf or application/json";

/// What a request gets whose content type is none of OTLP's.
pub(super) fn unsupported_type(headers: &HeaderMap) -> Option<Response> {
    match encoding(headers) {
        Some(_) => None,
        None => Some(failure(OtlpEncoding::Json, &unsupported(WANTED_TYPES))),
    }
}

/// What a request gets that the guard did not let pass.
pub(super) fn refusal(headers: &HeaderMap, error: &ApiError) -> Response {
    failure(encoding(headers).unwrap_or(OtlpEncoding::Json), error)
}

fn encoding(headers: &HeaderMap) -> Option<OtlpEncoding> {
    OtlpEncoding::from_content_type(headers.get(header::CONTENT_TYPE)?.to_str().ok()?)
}

fn compression(headers: &HeaderMap) -> Option<ContentEncoding> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Some(ContentEncoding::Identity),
        Some(value) => ContentEncoding::from_header(value.to_str().ok()?),
    }
}

fn unsupported(message: &str) -> ApiError {
    ApiError::new(ErrorClass::UnsupportedMediaType, message)
}

fn content_type(encoding: OtlpEncoding) -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()))]
}

/// An error in OTLP's shape.
fn failure(encoding: OtlpEncoding, error: &ApiError) -> Response {
    error.log();
    let code = match error.class {
        ErrorClass::TooLarge => RpcCode::ResourceExhausted,
        ErrorClass::Unavailable | ErrorClass::DeadlineExceeded => RpcCode::Unavailable,
        ErrorClass::Internal => RpcCode::Internal,
        ErrorClass::Unauthenticated => RpcCode::Unauthenticated,
        ErrorClass::Forbidden => RpcCode::PermissionDenied,
        ErrorClass::NotFound | ErrorClass::NotImplemented => RpcCode::Unimplemented,
        _ => RpcCode::InvalidArgument,
    };
    let mut status = RpcStatus::new(code, error.external_message.clone());
    if let Some(delay) = error.retry_after {
        status = status.with_retry_delay(delay);
    }
    let mut response =
        (error.class.status(), content_type(encoding), status.encode(encoding)).into_response();
    error.add_headers(&mut response);
    response
}
