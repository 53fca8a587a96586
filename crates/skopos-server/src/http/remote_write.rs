//! Prometheus remote write 1.0: `POST /api/v1/write`.
//!
//! What the status means to a sender: 204 everything is stored; 400 and 413 some or all of it never
//! will be (whatever could be stored, is) and the request must not be repeated; 503 with
//! `Retry-After` nothing is stored yet, repeat it. The body of an error is plain text, because
//! senders write its first line to their log.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use skopos_ingest::ContentEncoding;
use skopos_ingest::otlp::OtlpEncoding;

use super::Route;
use super::otlp::peer;
use crate::auth::Scope;
use crate::error::{ApiError, ErrorClass};
use crate::ingest::Export;
use crate::receipts::{Signal, Transport};
use crate::state::SharedState;

pub(super) const PATH: &str = "/api/v1/write";

pub(super) fn routes() -> [Route; 1] {
    [Route::post(PATH, Scope::Ingest, write)
        .summary("Takes samples by Prometheus remote write 1.0.")
        .tag("remote-write")]
}

async fn write(State(state): State<SharedState>, request: Request) -> Response {
    let export = Export {
        transport: Transport::RemoteWrite,
        signal: Signal::Metrics,
        encoding: OtlpEncoding::Protobuf,
        compression: ContentEncoding::Identity,
        peer: peer(&request),
    };
    let (parts, body) = request.into_parts();
    let ingest = &state.ingest;
    if let Err((reason, message)) = check_headers(&parts.headers) {
        ingest.refuse(&export, reason);
        return refusal(&ApiError::new(ErrorClass::UnsupportedMediaType, message));
    }
    let outcome = async {
        let mut admitted =
            ingest.admission.admit().map_err(|error| ingest.body_error(&export, error))?;
        let body = ingest.admission.read(body, &mut admitted).await;
        let body = body.map_err(|error| ingest.body_error(&export, error))?;
        ingest.write(&export, body, &mut admitted).await
    };
    match outcome.await {
        Ok(exported) if exported.rejected == 0 => StatusCode::NO_CONTENT.into_response(),
        Ok(exported) => refusal(&ApiError::bad_request(exported.message)),
        Err(error) => refusal(&error),
    }
}

/// An error as senders of remote write read it.
pub(super) fn refusal(error: &ApiError) -> Response {
    error.log();
    let status = match error.class {
        // A 4xx would make the sender drop what it could not finish sending.
        ErrorClass::RequestTimeout => StatusCode::SERVICE_UNAVAILABLE,
        class => class.status(),
    };
    let mut response = (status, format!("{}\n", error.external_message)).into_response();
    error.add_headers(&mut response);
    response
}

/// Old senders leave headers out; those that name something else mean it.
fn check_headers(headers: &HeaderMap) -> Result<(), (&'static str, &'static str)> {
    let of = |name| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
    if !is_version_1(of(header::CONTENT_TYPE)) {
        let message = "expected Content-Type application/x-protobuf with \
                       proto=prometheus.WriteRequest (remote write 1.0) or without proto";
        return Err(("content_type", message));
    }
    if !matches!(of(header::CONTENT_ENCODING), "" | "snappy") {
        return Err(("content_encoding", "expected Content-Encoding snappy"));
    }
    Ok(())
}

fn is_version_1(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if !essence.is_empty() && !essence.eq_ignore_ascii_case("application/x-protobuf") {
        return false;
    }
    let proto = parts.find_map(|part| part.strip_prefix("proto="));
    proto.is_none_or(|proto| proto.trim_matches('"') == "prometheus.WriteRequest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_the_first_version() {
        for (text, is) in [
            ("", true),
            ("application/x-protobuf", true),
            ("application/x-protobuf; proto=prometheus.WriteRequest", true),
            ("Application/X-Protobuf;charset=x;proto=\"prometheus.WriteRequest\"", true),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", false),
            ("application/json", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_version_1(text), is, "{text}");
        }
    }
}
