//! HTTP and HTTPS to receivers.
//!
//! Redirects are not followed, whatever `follow_redirects` says: they would hand the notification,
//! and the secret in its URL, to someone else.

use std::error::Error;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::ServerName;
use skopos_alerting::alertmanager::{HttpConfig, Integration, IntegrationKind, Source};
use skopos_alerting::notify::DeliveryOutcome;
use skopos_alerting::notify::receivers::{self, Answer, Judgement};

use super::veil::Veil;
use super::{is_unresolved, secrets, tls};
use crate::ServerError;
use crate::config::Secret;

/// How much of an answer is read.
const MAX_ANSWER: usize = 16 << 10;
/// How long a connection to a receiver may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type Body = Full<Bytes>;

/// A client for one integration.
pub(super) struct Sender {
    direct: Client<HttpsConnector<HttpConnector>, Body>,
    proxied: Option<Client<HttpsConnector<Tunnel<HttpConnector>>, Body>>,
    /// Hosts that are reached without the proxy.
    no_proxy: Vec<String>,
}

impl Sender {
    pub(super) fn new(source: &Source, config: &HttpConfig) -> Result<Self, ServerError> {
        let tls = tls::client_config(source, &config.tls)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        let builder = match &config.tls.server_name {
            Some(name) => {
                let name = ServerName::try_from(name.clone())
                    .map_err(|_| invalid("`tls_config.server_name` is not valid"))?;
                builder.with_server_name_resolver(FixedServerNameResolver::new(name))
            }
            None => builder,
        };
        let direct = Client::builder(TokioExecutor::new())
            .build(builder.enable_http1().wrap_connector(tcp.clone()));
        let environment = || {
            let read = |name: &str| std::env::var(name).ok().filter(|url| !url.is_empty());
            read("HTTPS_PROXY").or_else(|| read("https_proxy")).map(Secret::new)
        };
        let proxy = match config.proxy_from_environment {
            true => environment(),
            false => config.proxy_url.as_ref().map(|url| Secret::new(url.expose().to_owned())),
        };
        let proxied = match proxy {
            None => None,
            Some(url) => {
                let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
                let tunnel = tunnel(&url, tcp)?;
                let connector = builder.enable_http1().wrap_connector(tunnel);
                Some(Client::builder(TokioExecutor::new()).build(connector))
            }
        };
        let no_proxy = config.no_proxy.as_deref().unwrap_or_default().split(',');
        let no_proxy = no_proxy.map(|host| host.trim().trim_start_matches('.').to_owned());
        Ok(Self { direct, proxied, no_proxy: no_proxy.filter(|h| !h.is_empty()).collect() })
    }

    /// Sends requests one after the other; the first that is not accepted ends it.
    pub(super) async fn send(
        &self,
        source: &Source,
        integration: &Integration,
        requests: &[receivers::Request],
        idempotency_key: &str,
    ) -> DeliveryOutcome {
        let key = match integration.key() {
            None => None,
            Some(key) => match secrets::read(source, &key).await {
                Ok(key) => Some(key),
                Err(outcome) => return outcome,
            },
        };
        let mut last = DeliveryOutcome::Judged(Judgement::Delivered);
        for request in requests {
            let method = match request.method {
                receivers::Method::Post => Method::POST,
                receivers::Method::Put => Method::PUT,
            };
            let body = request.body_with(key.as_ref().map(|key| key.expose().as_str()));
            let target = Target { path: &request.path, method, key: key.as_ref() };
            last = self.send_one(source, integration, target, body, idempotency_key).await;
            if last != DeliveryOutcome::Judged(Judgement::Delivered) {
                return last;
            }
        }
        last
    }

    /// POSTs a body as it is.
    pub(super) async fn send_body(
        &self,
        source: &Source,
        integration: &Integration,
        body: &str,
        idempotency_key: &str,
    ) -> DeliveryOutcome {
        let target = Target { path: "", method: Method::POST, key: None };
        self.send_one(source, integration, target, body.to_owned(), idempotency_key).await
    }

    async fn send_one(
        &self,
        source: &Source,
        integration: &Integration,
        target: Target<'_>,
        body: String,
        idempotency_key: &str,
    ) -> DeliveryOutcome {
        let request = match build(source, integration, target, body, idempotency_key).await {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        let host = request.uri().host().unwrap_or_default().to_owned();
        let (answer, host) = match &self.proxied {
            Some(client) if !self.is_direct(&host) => {
                (client.request(request).await, "of the proxy".to_owned())
            }
            _ => (self.direct.request(request).await, host),
        };
        let response = match answer {
            Ok(response) => response,
            Err(error) => return DeliveryOutcome::Unreachable { reason: reason(&error, &host) },
        };
        let (parts, body) = response.into_parts();
        let text = |name: HeaderName| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        // What cannot be read, or is too long, says nothing more than the status does.
        let body = match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let retry_after = text(header::RETRY_AFTER).parse().ok().map(Duration::from_secs);
        let answer = Answer {
            status: parts.status.as_u16(),
            content_type: text(header::CONTENT_TYPE),
            retry_after,
            body: &body,
        };
        let veil = Veil::of(source, integration).await;
        DeliveryOutcome::Judged(integration.judge(answer, &|said| veil.redact(said)))
    }

    /// GETs a URL; the error says why it is not well, without the URL.
    pub(super) async fn get(&self, url: &Secret<String>, timeout: Duration) -> Result<(), String> {
        let uri: Uri = url.expose().parse().map_err(|_| "the URL is not valid")?;
        let mut request = Request::new(Full::new(Bytes::new()));
        if let Some((user, _)) = uri.authority().and_then(|a| a.as_str().rsplit_once('@')) {
            let mut value = HeaderValue::from_str(&basic(&percent_decoded(user)))
                .map_err(|_| "the URL is not valid")?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let host = uri.host().unwrap_or_default().to_owned();
        *request.uri_mut() = without_user(uri);
        let user_agent = concat!("skopos/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(user_agent));
        match tokio::time::timeout(timeout, self.direct.request(request)).await {
            Err(_) => Err("timed out".into()),
            Ok(Err(error)) => Err(reason(&error, &host)),
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("answered {}", response.status().as_u16())),
        }
    }

    fn is_direct(&self, host: &str) -> bool {
        self.no_proxy.iter().any(|known| {
            host == known || host.strip_suffix(known).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// A request beside its body.
struct Target<'a> {
    path: &'a str,
    method: Method,
    key: Option<&'a Secret<String>>,
}

async fn build(
    source: &Source,
    integration: &Integration,
    target: Target<'_>,
    body: String,
    idempotency_key: &str,
) -> Result<Request<Body>, DeliveryOutcome> {
    let failed =
        |reason: &str| DeliveryOutcome::Judged(Judgement::Failed { reason: reason.into() });
    let Some(endpoint) = integration.endpoint() else {
        return Err(failed("the receiver has no URL"));
    };
    let url = secrets::read(source, &endpoint).await?;
    let uri: Uri = format!("{}{}", url.expose(), target.path)
        .parse()
        .map_err(|_| failed("the receiver's URL is not valid"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
        return Err(failed("the receiver's URL must begin with http:// or https://"));
    }
    let mut headers = HeaderMap::new();
    let user_agent = concat!("skopos/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(user_agent));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let key = HeaderValue::from_str(idempotency_key);
    headers.insert("idempotency-key", key.map_err(|_| failed("the key is no header"))?);
    let secret = |text: &str| {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| failed("a secret holds characters that no header may hold"))?;
        value.set_sensitive(true);
        Ok(value)
    };
    // The URL's own user and password, as many webhooks have them.
    if let Some((user, _)) = uri.authority().and_then(|a| a.as_str().rsplit_once('@')) {
        headers.insert(header::AUTHORIZATION, secret(&basic(&percent_decoded(user)))?);
    }
    let http = &integration.http;
    if let Some(auth) = &http.basic_auth {
        let username = secrets::read(source, &auth.username).await?;
        let password = match &auth.password {
            Some(password) => secrets::read(source, password).await?,
            None => Secret::default(),
        };
        let pair = format!("{}:{}", username.expose(), password.expose());
        headers.insert(header::AUTHORIZATION, secret(&basic(&pair))?);
    }
    if let Some(auth) = &http.authorization {
        let credentials = match &auth.credentials {
            Some(credentials) => secrets::read(source, credentials).await?,
            None => Secret::default(),
        };
        let value = format!("{} {}", auth.scheme, credentials.expose());
        headers.insert(header::AUTHORIZATION, secret(value.trim())?);
    }
    if let (IntegrationKind::OpsGenie, Some(key)) = (integration.kind, target.key) {
        headers.insert(header::AUTHORIZATION, secret(&format!("GenieKey {}", key.expose()))?);
    }
    for extra in &http.headers {
        let name: HeaderName =
            extra.name.parse().map_err(|_| failed("a name in `http_headers` is no header"))?;
        headers.remove(&name);
        for value in &extra.values {
            let value = secrets::read(source, value).await?;
            headers.append(name.clone(), secret(value.expose())?);
        }
    }
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = target.method;
    *request.uri_mut() = without_user(uri);
    *request.headers_mut() = headers;
    Ok(request)
}

fn basic(pair: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

pub(super) fn percent_decoded(text: &str) -> String {
    // A form's pairs are decoded by the same rule, but that `+` is a space there.
    let escaped = text.replace('+', "%2B");
    let decoded = form_urlencoded::parse(escaped.as_bytes()).next();
    decoded.map_or_else(|| text.to_owned(), |(key, _)| key.into_owned())
}

/// The URL without user and password, which stand in the header.
fn without_user(uri: Uri) -> Uri {
    let Some((_, host)) = uri.authority().and_then(|a| a.as_str().rsplit_once('@')) else {
        return uri;
    };
    let host = host.to_owned();
    let mut parts = uri.clone().into_parts();
    parts.authority = host.parse().ok();
    Uri::from_parts(parts).unwrap_or(uri)
}

fn invalid(what: &'static str) -> ServerError {
    let source = std::io::Error::other(what);
    ServerError::Io { what: "set up notifications over HTTP", source }
}

fn tunnel(url: &Secret<String>, tcp: HttpConnector) -> Result<Tunnel<HttpConnector>, ServerError> {
    let wrong = || invalid("`proxy_url` is not valid");
    let uri: Uri = url.expose().parse().map_err(|_| wrong())?;
    let user =
        uri.authority().and_then(|a| a.as_str().rsplit_once('@').map(|(user, _)| basic(user)));
    let tunnel = Tunnel::new(without_user(uri), tcp);
    match user {
        None => Ok(tunnel),
        Some(user) => {
            let mut value = HeaderValue::from_str(&user).map_err(|_| wrong())?;
            value.set_sensitive(true);
            Ok(tunnel.with_auth(value))
        }
    }
}

/// Why there was no answer, without the URL: only the kinds of the causes that are known to hold
/// nothing of it, and the host where that is unknown.
fn reason(error: &hyper_util::client::legacy::Error, host: &str) -> String {
    let mut cause: Option<&dyn Error> = Some(error);
    let mut kind = None;
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return tls::reason(error);
        }
        let Some(io) = inner.downcast_ref::<std::io::Error>() else {
            cause = inner.source();
            continue;
        };
        if is_unresolved(io) {
            return format!("cannot resolve host {host}");
        }
        kind = Some(io.kind());
        // What it wraps is the cause; `source` would skip that.
        cause = io.get_ref().map(|wrapped| wrapped as &dyn Error).or_else(|| io.source());
    }
    match kind {
        Some(kind) => kind.to_string(),
        None if error.is_connect() => "no connection".into(),
        None => "the exchange broke off".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_in_urls_go_into_the_header() {
        let uri: Uri = "https://us%40er:p+w@h.example:8/x?y".parse().unwrap();
        let (user, _) = uri.authority().unwrap().as_str().rsplit_once('@').unwrap();
        assert_eq!(percent_decoded("us%40er"), "us@er");
        assert_eq!(user, "us%40er:p+w");
        assert_eq!(percent_decoded(user), "us@er:p+w");
        assert_eq!(without_user(uri).to_string(), "https://h.example:8/x?y");
        assert_eq!(basic("a:b"), "Basic YTpi");
    }
}
