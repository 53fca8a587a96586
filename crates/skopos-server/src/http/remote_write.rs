//! Prometheus remote write, 1.0 and 2.0: `POST /api/v1/write`. The content type says which one a
//! body is in; without a `proto` it is 1.0.
//!
//! What the status means to a sender: 204 everything is stored; 400 and 413 some or all of it never
//! will be (whatever could be stored, is) and the request must not be repeated; 503 with
//! `Retry-After` nothing is stored yet, repeat it. The body of an error is plain text, because
//! senders write its first line to their log. Answers to 2.0 say in `X-Prometheus-Remote-Write-…-Written`
//! how much was stored, whatever the status.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use skopos_ingest::ContentEncoding;
use skopos_ingest::otlp::OtlpEncoding;

use super::Route;
use super::otlp::peer;
use crate::auth::Scope;
use crate::error::{ApiError, ErrorClass};
use crate::ingest::{Export, WriteVersion, Written};
use crate::receipts::{Signal, Transport};
use crate::state::SharedState;

pub(super) const PATH: &str = "/api/v1/write";

pub(super) fn routes() -> [Route; 1] {
    [Route::post(PATH, Scope::Ingest, write)
        .summary("Takes samples by Prometheus remote write 1.0 or 2.0.")
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
    let version = match check_headers(&parts.headers) {
        Ok(version) => version,
        Err((reason, message)) => {
            ingest.refuse(&export, reason);
            return refusal(&ApiError::new(ErrorClass::UnsupportedMediaType, message));
        }
    };
    let outcome = async {
        let mut admitted =
            ingest.admission.admit().map_err(|error| ingest.body_error(&export, error))?;
        let body = ingest.admission.read(body, &mut admitted).await;
        let body = body.map_err(|error| ingest.body_error(&export, error))?;
        ingest.write(&export, version, body, &mut admitted).await
    };
    let (mut response, written) = match outcome.await {
        Ok(exported) if exported.rejected == 0 => {
            (StatusCode::NO_CONTENT.into_response(), exported.written)
        }
        Ok(exported) => (refusal(&ApiError::bad_request(exported.message)), exported.written),
        Err(error) => (refusal(&error), Written::default()),
    };
    if version == WriteVersion::V2 {
        tell_written(&mut response, written);
    }
    response
}

fn tell_written(response: &mut Response, written: Written) {
    for (name, count) in [
        ("x-prometheus-remote-write-samples-written", written.samples),
        ("x-prometheus-remote-write-histograms-written", written.histograms),
        ("x-prometheus-remote-write-exemplars-written", written.exemplars),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(count));
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
fn check_headers(headers: &HeaderMap) -> Result<WriteVersion, (&'static str, &'static str)> {
    let of = |name| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
    let Some(version) = version_of(of(header::CONTENT_TYPE)) else {
        let message = "expected Content-Type application/x-protobuf with \
                       proto=prometheus.WriteRequest (remote write 1.0), \
                       proto=io.prometheus.write.v2.Request (2.0), or without proto (1.0)";
        return Err(("content_type", message));
    };
    if !matches!(of(header::CONTENT_ENCODING), "" | "snappy") {
        return Err(("content_encoding", "expected Content-Encoding snappy"));
    }
    Ok(version)
}

fn version_of(content_type: &str) -> Option<WriteVersion> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if !essence.is_empty() && !essence.eq_ignore_ascii_case("application/x-protobuf") {
        return None;
    }
    let proto = parts.find_map(|part| part.strip_prefix("proto=")).unwrap_or_default();
    match proto.trim_matches('"') {
        "" | "prometheus.WriteRequest" => Some(WriteVersion::V1),
        "io.prometheus.write.v2.Request" => Some(WriteVersion::V2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_name_versions() {
        let (first, second) = (Some(WriteVersion::V1), Some(WriteVersion::V2));
        for (text, is) in [
            ("", first),
            ("application/x-protobuf", first),
            ("application/x-protobuf; proto=prometheus.WriteRequest", first),
            ("Application/X-Protobuf;charset=x;proto=\"prometheus.WriteRequest\"", first),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", second),
            ("application/x-protobuf; proto=\"io.prometheus.write.v2.Request\"", second),
            ("application/x-protobuf;proto=io.prometheus.write.v3.Request", None),
            ("application/json", None),
            ("text/plain", None),
        ] {
            assert_eq!(version_of(text), is, "{text}");
        }
    }
}
