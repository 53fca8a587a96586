//! The web UI: files and pages, for whatever no route answers.
//!
//! They are public, because they hold nothing that the binary does not, and a page that asks for the token must come
//! before the token. Everything they show comes from the read APIs, behind their scope. Paths below the prefixes of
//! the APIs are never pages, and the application's page is for those who navigate to it: a misspelt endpoint, or one
//! that only Prometheus has, must be a 404 and not a 200 with HTML.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use skopos_ui::{File, Files, POLICY};

use crate::error::ApiError;
use crate::state::SharedState;

/// Below these nothing is a page.
const API_PREFIXES: &[&str] = &["/-", "/api", "/federate", "/health", "/metrics", "/loki", "/v1"];

/// Answers with a file of the UI, or 404.
pub(super) async fn page(state: &SharedState, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let path = request.uri.path();
    let readable = matches!(request.method, Method::GET | Method::HEAD);
    if !readable || API_PREFIXES.iter().any(|prefix| is_below(path, prefix)) {
        let error = ApiError::not_found("no such path; /api/openapi.json lists what there is");
        return match path.starts_with("/api/v1/") {
            true => super::prometheus::nowhere(error),
            false => error.into_response(),
        };
    }
    let accepted = request.headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok());
    let accepted = accepted.unwrap_or("").to_owned();
    let found = match &state.settings.ui_dir {
        None => Files::Embedded.page(path, &accepted),
        Some(folder) => {
            let (files, path) = (Files::Folder(folder.clone()), path.to_owned());
            match tokio::task::spawn_blocking(move || files.page(&path, &accepted)).await {
                Ok(found) => found,
                Err(_) => return ApiError::internal("reading the UI panicked").into_response(),
            }
        }
    };
    // The page stands in for every path of the application, so only for browsers that go there.
    let is_page = |file: &File| file.content_type.starts_with("text/html");
    if let Ok(Some(file)) = &found
        && is_page(file)
        && path != "/index.html"
        && !navigates(&request.headers)
    {
        let message = "no such path; pages of the web UI are for who accepts text/html";
        return ApiError::not_found(message).into_response();
    }
    match found {
        Ok(Some(file)) => answer(file, &request.headers),
        Ok(None) => ApiError::not_found("no such file").into_response(),
        Err(error) => {
            let message = format!("cannot read the folder of the UI: {error}");
            ApiError::internal(message).into_response()
        }
    }
}

/// Whether a person's browser asks for a page.
fn navigates(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    text(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"))
        || headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn answer(file: File, request: &HeaderMap) -> Response {
    let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let fresh = known.is_some_and(|known| {
        known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == file.etag)
    });
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(match file.bytes {
            std::borrow::Cow::Borrowed(bytes) => bytes::Bytes::from_static(bytes),
            std::borrow::Cow::Owned(bytes) => bytes::Bytes::from(bytes),
        }));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        if let Some(encoding) = file.content_encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&file.etag) {
        headers.insert(header::ETAG, etag);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, file.cache_control),
        (header::VARY, "accept, accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn misspelt_endpoints_are_no_pages() {
        let api = |path: &str| super::API_PREFIXES.iter().any(|prefix| is_below(path, prefix));
        let below = [
            "/api",
            "/api/v1/logz",
            "/health/x",
            "/metrics",
            "/v1/traces",
            "/loki/api",
            "/-/reload",
        ];
        for path in below {
            assert!(api(path), "{path}");
        }
        for path in ["/", "/logs", "/apis", "/metrics-explorer", "/alerts/api", "/-x"] {
            assert!(!api(path), "{path}");
        }
    }
}
