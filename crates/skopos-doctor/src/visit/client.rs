//! GET, and nothing else: bounded in time and bytes, without redirects, over HTTP/1.1 with or without TLS.
//!
//! Each request has a connection of its own, so that what it took is what a probe would have taken. TLS trusts what the
//! system trusts; `SSL_CERT_FILE` names another set.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Inner;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use skopos_ingest::{ContentEncoding, decompress};

use crate::{Answer, Error, Try};

/// Bytes read of an answer that is not `/metrics`.
pub(super) const ANSWER_BYTES: usize = 256 << 10;
/// Bytes read of `/metrics`.
pub(super) const METRICS_BYTES: usize = 16 << 20;

#[derive(Clone)]
pub(super) struct Client {
    inner: Inner<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
}

/// A header to send; the value may be a secret.
pub(super) type Header = (HeaderName, HeaderValue);

impl Client {
    pub(super) fn new(timeout: Duration) -> Result<Client, Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Io {
                what: "set up TLS".to_owned(),
                source: std::io::Error::other(error),
            })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let inner = Inner::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Client { inner, timeout })
    }

    /// Asks for a resource; the error says in a few words why there is no answer.
    pub(super) async fn get(&self, uri: &Uri, headers: &[Header], max_bytes: usize) -> Try {
        let started = Instant::now();
        match tokio::time::timeout(self.timeout, self.exchange(uri, headers, max_bytes)).await {
            Ok(Ok(answer)) => Ok(Answer { took: started.elapsed(), ..answer }),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    async fn exchange(&self, uri: &Uri, headers: &[Header], max_bytes: usize) -> Try {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        let agent = concat!("skopos-doctor/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(agent));
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let response = self.inner.request(request).await.map_err(|error| innermost(&error))?;
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        let mut is_cut = false;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| innermost(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            let room = max_bytes - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                is_cut = true;
                break;
            }
        }
        let headers: Vec<(String, String)> = parts
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let coded = parts.headers.get(header::CONTENT_ENCODING);
        if let Some(coding) =
            coded.and_then(|value| ContentEncoding::from_header(value.to_str().ok()?))
        {
            // It was not asked for; some compress all the same.
            let plain = decompress(coding, &bytes, max_bytes).map_err(|error| error.to_string())?;
            bytes = plain.into_owned();
        }
        Ok(Answer {
            status: parts.status.as_u16(),
            headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
            is_cut,
            took: Duration::ZERO,
        })
    }
}

/// The innermost cause says most: "connection refused" rather than "client error". What another protocol on that port makes of
/// it is said in words of a user.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = cause.to_string();
    if cause.contains("InvalidContentType") {
        return "no TLS is spoken there: write http:// instead of https://".to_owned();
    }
    let is_other =
        ["unexpected message from connection", "invalid HTTP version", "HTTP header parsed"];
    if is_other.iter().any(|sign| cause.contains(sign)) {
        return format!(
            "no HTTP/1.1 is spoken there (a port for gRPC, or for https?): {}",
            crate::shown::shown(&cause)
        );
    }
    crate::shown::shown(&cause)
}

/// An address taken apart: where requests go, and what may be shown of it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) uri: Uri,
    /// Scheme, host and port.
    pub(super) origin: String,
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Target, Error> {
        let wrong = |reason| {
            // Whatever stands before an `@` may be a password.
            let (scheme, after) = match text.rsplit_once('@') {
                Some((before, after)) => {
                    (before.split_once("://").map(|(scheme, _)| scheme), after)
                }
                None => (None, text),
            };
            let shown = after.split(['?', '#']).next().unwrap_or_default();
            let scheme = scheme.map(|scheme| format!("{scheme}://")).unwrap_or_default();
            let url = crate::shown::shown(&format!("{scheme}{shown}"));
            Error::Address { url, reason }
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it does not parse"))?;
        let scheme = match uri.scheme_str() {
            Some(scheme @ ("http" | "https")) => scheme,
            _ => return Err(wrong("write it with its scheme, as http://127.0.0.1:8000")),
        };
        let Some(authority) = uri.authority() else { return Err(wrong("it names no host")) };
        if authority.as_str().contains('@') {
            return Err(wrong("give credentials with --header 'Authorization: …'"));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && !matches!(authority.port_u16(), Some(1..)) {
            return Err(wrong("a port is a number from 1 to 65535"));
        }
        let origin = format!("{scheme}://{authority}");
        Ok(Target { uri, origin })
    }

    pub(super) fn at(&self, path: &str) -> Result<Uri, Error> {
        let joined = format!("{}{path}", self.origin);
        joined.parse().map_err(|_| Error::Address {
            url: crate::shown::shown(&joined),
            reason: "it does not parse",
        })
    }

    /// The address with these parameters added.
    pub(super) fn with_query(&self, query: &str) -> Result<Uri, Error> {
        let separator = if self.uri.query().is_some() { '&' } else { '?' };
        let path = self.uri.path_and_query().map_or("/", |both| both.as_str());
        self.at(&format!("{path}{separator}{query}"))
    }

    /// Without the query, whose values may be secrets.
    pub(super) fn shown(&self) -> String {
        let path = self.uri.path();
        format!("{}{}", self.origin, if path == "/" { "" } else { path })
    }
}
