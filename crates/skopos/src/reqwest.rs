//! An HTTP client that carries the request on: `traceparent`, `baggage` and `x-request-id` go with every call, and each call is
//! a CLIENT span.
//!
//! A call outside any request gets a request id of its own. Propagation
//! does not depend on the span being enabled. The span ends when the response's headers are in.

use std::time::Duration;

use ::reqwest::{IntoUrl, Request, Response, Url};
use http::Method;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::client::inject;
use crate::context;
use crate::log::HTTP_TARGET;
use crate::propagation::Hosts;

/// A `reqwest` client that propagates the current request. Cloning shares the connections.
///
/// ```no_run
/// # async fn charge() -> Result<(), reqwest::Error> {
/// let client = skopos::reqwest::Client::new(reqwest::Client::new());
/// let response = client.post("http://payments.internal/charges").json(&vec![1, 2]).send().await?;
/// # let _ = response;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    inner: ::reqwest::Client,
    hosts: Hosts,
}

impl Client {
    /// Wraps a client. Ids go to hosts that are not on the public internet: loopback, private addresses, names of one word,
    /// and domains such as `.internal` and `.svc`.
    ///
    /// ```
    /// let client = skopos::reqwest::Client::new(reqwest::Client::new());
    /// # let _ = client;
    /// ```
    pub fn new(inner: ::reqwest::Client) -> Client {
        Client::with_hosts(inner, Hosts::default())
    }

    pub(crate) fn with_hosts(inner: ::reqwest::Client, hosts: Hosts) -> Client {
        Client { inner, hosts }
    }

    /// Sends ids to these hosts only; one that begins with a dot stands for all below it (`.example.com`), and `*` for all.
    ///
    /// ```
    /// let client = skopos::reqwest::Client::new(reqwest::Client::new())
    ///     .propagate_to(["payments.example.com", ".internal"]);
    /// # let _ = client;
    /// ```
    #[must_use]
    pub fn propagate_to<I: IntoIterator<Item: Into<String>>>(mut self, hosts: I) -> Client {
        self.hosts = Hosts::listed(hosts);
        self
    }

    /// Starts a GET request.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// let stock = client.get("http://inventory/stock").send().await?;
    /// # let _ = stock;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// Starts a POST request.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// client.post("http://inventory/reserve").body("o-1").send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn post(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Starts a request.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// client.request(http::Method::DELETE, "http://inventory/reserve/o-1").send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        RequestBuilder { client: self.clone(), inner: self.inner.request(method, url) }
    }

    /// Sends a finished request.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// let request = reqwest::Client::new().get("http://inventory/stock").build()?;
    /// let stock = client.execute(request).await?;
    /// # let _ = stock;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `reqwest` says.
    pub async fn execute(&self, mut request: Request) -> Result<Response, ::reqwest::Error> {
        // Outside any request this call is where one begins.
        let fresh = context::current_request_id_arc().is_none().then(context::new_request_id);
        let span = client_span(&request, fresh.as_deref());
        if self.propagates_to(request.url()) {
            span.in_scope(|| inject(request.headers_mut(), fresh.as_deref()));
        }
        let result = self.inner.execute(request).instrument(span.clone()).await;
        record_result(&span, &result);
        result
    }

    fn propagates_to(&self, url: &Url) -> bool {
        self.hosts.allow(url.host_str().unwrap_or_default())
    }
}

/// A request under construction.
///
/// ```
/// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
/// let request = client.post("http://inventory/reserve").header("x-tenant", "shop").json(&["o-1"]);
/// let response = request.send().await?;
/// # let _ = response;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    inner: ::reqwest::RequestBuilder,
}

impl RequestBuilder {
    /// Uses anything that `reqwest`'s builder can do.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// let stock = client.get("http://inventory/stock").with(|inner| inner.query(&[("page", 2)])).send().await?;
    /// # let _ = stock;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with(
        mut self,
        change: impl FnOnce(::reqwest::RequestBuilder) -> ::reqwest::RequestBuilder,
    ) -> Self {
        self.inner = change(self.inner);
        self
    }

    /// Sets a header.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// client.get("http://inventory/stock").header("x-tenant", "shop").send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|inner| inner.header(name, value))
    }

    /// Sets the body to JSON.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// client.post("http://inventory/reserve").json(&["o-1", "o-2"]).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn json<T: serde::Serialize + ?Sized>(self, body: &T) -> Self {
        self.with(|inner| inner.json(body))
    }

    /// Sets the body.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// client.post("http://inventory/reserve").body("o-1").send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn body(self, body: impl Into<::reqwest::Body>) -> Self {
        self.with(|inner| inner.body(body))
    }

    /// Bounds the whole call.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// # use std::time::Duration;
    /// client.get("http://inventory/stock").timeout(Duration::from_secs(2)).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|inner| inner.timeout(timeout))
    }

    /// Sends the request.
    ///
    /// ```
    /// # async fn example(client: skopos::reqwest::Client) -> Result<(), reqwest::Error> {
    /// let response = client.get("http://inventory/stock").send().await?;
    /// # let _ = response;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `reqwest` says.
    pub async fn send(self) -> Result<Response, ::reqwest::Error> {
        let request = self.inner.build()?;
        self.client.execute(request).await
    }
}

fn client_span(request: &Request, request_id: Option<&str>) -> Span {
    let url = request.url();
    // Neither credentials nor query: both carry secrets, and the path is enough to tell calls apart.
    let full = format!(
        "{}://{}{}",
        url.scheme(),
        url.authority().rsplit('@').next().unwrap_or_default(),
        url.path()
    );
    let method = request.method().as_str();
    tracing::info_span!(
        target: HTTP_TARGET,
        "http_call",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        request_id,
        http.request.method = method,
        http.response.status_code = Empty,
        server.address = url.host_str(),
        server.port = url.port_or_known_default().map(u64::from),
        url.full = full,
        "error.type" = Empty,
    )
}

fn record_result(span: &Span, result: &Result<Response, ::reqwest::Error>) {
    match result {
        Ok(response) => {
            let status = response.status();
            span.record("http.response.status_code", u64::from(status.as_u16()));
            if status.is_client_error() || status.is_server_error() {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", status.as_str());
            }
        }
        Err(error) => {
            let kind = match error {
                error if error.is_timeout() => "timeout",
                error if error.is_connect() => "connect",
                error if error.is_builder() => "invalid_request",
                _ => "request_failed",
            };
            span.record("otel.status_code", "ERROR");
            span.record("error.type", kind);
        }
    }
}
