//! gRPC over HTTP/2, as far as one who watches must know it: what is a call, and how it ended.
//!
//! A call is answered with HTTP status 200 whatever became of it; the truth is in `grpc-status`, among the headers or, for
//! most, the trailers.

use http::HeaderMap;

/// The status of a call, once it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GrpcStatus {
    is_grpc: bool,
    code: Option<u8>,
}

impl GrpcStatus {
    pub(crate) fn of_request(headers: &HeaderMap) -> GrpcStatus {
        GrpcStatus { is_grpc: is_grpc(headers), code: None }
    }

    /// Takes the status from headers or trailers that may have it.
    pub(crate) fn read(&mut self, headers: &HeaderMap) {
        if !self.is_grpc {
            return;
        }
        let status = headers.get("grpc-status").and_then(|status| status.to_str().ok());
        if let Some(code) = status.and_then(|status| status.parse().ok()) {
            self.code = Some(code);
        }
    }

    /// Returns the number that the peer gave.
    pub(crate) fn code(self) -> Option<u64> {
        self.code.map(u64::from)
    }

    /// Returns the name of a status that the server is to blame for, by OpenTelemetry's list.
    pub(crate) fn failure(self) -> Option<&'static str> {
        let is_servers_fault = matches!(self.code?, 2 | 4 | 12 | 13 | 14 | 15);
        is_servers_fault.then(|| name(self.code.unwrap_or(2)))
    }

    /// Returns the name of a status other than OK: to a caller every one is an error.
    pub(crate) fn error(self) -> Option<&'static str> {
        self.code.filter(|code| *code != 0).map(name)
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Returns service and method when this is a gRPC call.
pub(crate) fn call<'p>(headers: &HeaderMap, path: &'p str) -> Option<(&'p str, &'p str)> {
    if !is_grpc(headers) || !is_call(path) {
        return None;
    }
    path.strip_prefix('/')?.split_once('/')
}

/// Returns whether a path has the form `/package.Service/Method`.
pub(crate) fn is_call(path: &str) -> bool {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
    };
    path.strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .is_some_and(|(service, method)| is_name(service) && is_name(method))
}

fn name(code: u8) -> &'static str {
    match code {
        0 => "OK",
        1 => "CANCELLED",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::{GrpcStatus, call, is_call};
    use http::HeaderMap;

    #[test]
    fn a_call_is_known_by_its_path_and_content_type() {
        let mut headers = HeaderMap::new();
        assert_eq!(call(&headers, "/shop.Orders/Place"), None);
        headers.insert("content-type", "application/grpc+proto".parse().unwrap());
        assert_eq!(call(&headers, "/shop.Orders/Place"), Some(("shop.Orders", "Place")));
        for path in ["", "/", "/a", "/a/", "//b", "/a/b/c", "/a/b c", "/{*rest}"] {
            assert!(!is_call(path), "{path}");
        }
    }

    #[test]
    fn who_is_to_blame() {
        let status = |code: &str, content_type: &str| {
            let mut request = HeaderMap::new();
            request.insert("content-type", content_type.parse().unwrap());
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            let mut status = GrpcStatus::of_request(&request);
            status.read(&trailers);
            (status.failure(), status.error())
        };
        let grpc = "application/grpc";
        assert_eq!(status("0", grpc), (None, None));
        assert_eq!(status("5", grpc), (None, Some("NOT_FOUND")));
        assert_eq!(status("13", grpc), (Some("INTERNAL"), Some("INTERNAL")));
        assert_eq!(status("77", grpc), (None, Some("UNKNOWN")));
        assert_eq!(status("13", "application/json"), (None, None));
    }
}
