//! Checks for a loopback server without tokens: `Host`, `Origin`, and forms.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header};

use crate::config::Settings;
use crate::error::{ApiError, ErrorClass};

/// The header that a state change may carry to show that it is no form post. Any value will do.
pub const REQUEST_HEADER: &str = "x-skopos-request";

/// Whose `Host` and `Origin` are accepted.
pub(super) struct OriginCheck {
    /// Beyond loopback (explicitly allowed) the names are not ours to know: only `Origin` counts.
    check_host: bool,
    allowed_hosts: Vec<String>,
}

impl OriginCheck {
    pub(super) fn new(settings: &Settings) -> Self {
        let addresses =
            [&settings.http_listen, &settings.otlp_grpc_listen, &settings.otlp_http_listen];
        Self {
            check_host: addresses.iter().all(|address| address.is_loopback()),
            allowed_hosts: settings.allowed_hosts.clone(),
        }
    }

    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        // HTTP/2 has the authority in the URI, HTTP/1 in the header.
        let header = headers.get(header::HOST).and_then(|h| h.to_str().ok());
        let authority = uri.authority().map(|a| a.as_str()).or(header);
        let host = authority.map(host_of);
        if self.check_host && !host.is_some_and(|host| self.is_ours(host)) {
            return Err(ApiError::new(
                ErrorClass::Misdirected,
                "the Host header names another server; add the name to http.allowed_hosts",
            ));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, rest)| rest);
        let same = origin.is_some() && origin == authority;
        let allowed = origin.is_some_and(|o| self.allowed_hosts.iter().any(|a| a == host_of(o)));
        if same || allowed {
            return Ok(());
        }
        Err(ApiError::new(ErrorClass::Forbidden, "requests from other web pages are refused"))
    }

    fn is_ours(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            || self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// `host` out of `host:port`, `[v6]:port`, `host`.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(host, _)| host);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

pub(super) fn check_not_a_simple_form(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|c| c.to_str().ok());
    let media_type = content_type.unwrap_or("").split(';').next().unwrap_or("").trim();
    let beyond_forms = matches!(
        media_type.to_ascii_lowercase().as_str(),
        "application/json"
            | "application/x-protobuf"
            | "application/grpc"
            | "application/grpc+proto"
    );
    if beyond_forms || headers.contains_key(REQUEST_HEADER) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorClass::Forbidden,
        "a change of state needs the header X-Skopos-Request, or a JSON or protobuf content type",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins() {
        let check = OriginCheck { check_host: true, allowed_hosts: vec!["box.lan".into()] };
        for (host, origin, want) in [
            (Some("localhost:4319"), None, 200),
            (Some("127.0.0.1:4319"), None, 200),
            (Some("[::1]:4319"), None, 200),
            (Some("box.lan"), None, 200),
            (Some("evil.example"), None, 421),
            (Some("localhost.evil.example:4319"), None, 421),
            (Some("10.0.0.1:4319"), None, 421),
            (None, None, 421),
            (Some("localhost:4319"), Some("http://localhost:4319"), 200),
            (Some("localhost:4319"), Some("http://localhost:3000"), 403),
            (Some("localhost:4319"), Some("https://evil.example"), 403),
            (Some("localhost:4319"), Some("null"), 403),
            (Some("localhost:4319"), Some("http://box.lan"), 200),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, host.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            let got = check.check(&Uri::from_static("/"), &headers);
            let status = got.map_or_else(|e| e.class.status().as_u16(), |()| 200);
            assert_eq!(status, want, "{host:?} {origin:?}");
        }
    }

    #[test]
    fn forms_change_nothing() {
        for (content_type, header, want) in [
            (Some("application/x-www-form-urlencoded"), false, false),
            (Some("text/plain"), false, false),
            (Some("multipart/form-data; boundary=x"), false, false),
            (None, false, false),
            (None, true, true),
            (Some("application/json; charset=utf-8"), false, true),
            (Some("application/x-protobuf"), false, true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(content_type) = content_type {
                headers.insert(http::header::CONTENT_TYPE, content_type.parse().unwrap());
            }
            if header {
                headers.insert(REQUEST_HEADER, "1".parse().unwrap());
            }
            assert_eq!(check_not_a_simple_form(&headers).is_ok(), want, "{content_type:?}");
        }
    }
}
