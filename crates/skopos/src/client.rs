//! A client layer for anything that speaks `http`: hyper's clients, tower's services, tonic's channels.
//!
//! Each call is a CLIENT span by the semantic conventions that ends with the response body; `traceparent`, `baggage` and
//! `x-request-id` go along to hosts that may have them, whether a span is enabled or not. A gRPC call is known by its content
//! type: its span is named after the method, and its status is read from the trailers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;
use tracing::field::Empty;

use crate::context;
use crate::http::grpc::{self, GrpcStatus};
use crate::log::HTTP_TARGET;
use crate::propagation::Hosts;

/// Instruments an HTTP or gRPC client; made by [`Telemetry::client_layer`](crate::Telemetry::client_layer).
///
/// ```
/// use tower::ServiceBuilder;
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).build()?.0;
/// # let inner = tower::service_fn(|_: http::Request<String>| async {
/// #     Ok::<_, std::io::Error>(http::Response::new(String::new()))
/// # });
/// let client = ServiceBuilder::new().layer(telemetry.client_layer()).service(inner);
/// # let _ = client;
/// # Ok::<(), skopos::InitError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ClientLayer {
    hosts: Hosts,
    /// Where calls go whose URI does not say: a channel of tonic's knows, but does not tell.
    peer: Option<Arc<str>>,
}

impl ClientLayer {
    pub(crate) fn new(hosts: Hosts) -> ClientLayer {
        ClientLayer { hosts, peer: None }
    }

    /// Sends ids to these hosts only; one that begins with a dot stands for all below it (`.internal`), and `*` for all.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let layer = telemetry.client_layer().propagate_to(["payments.example.com", ".internal"]);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn propagate_to<I: IntoIterator<Item: Into<String>>>(mut self, hosts: I) -> ClientLayer {
        self.hosts = Hosts::listed(hosts);
        self
    }

    /// Names the host of calls whose URI has none, as those of a tonic channel: it is `server.address` on their spans and
    /// decides whether ids go along. Without it they do: whoever makes a channel knows whom it reaches.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let layer = telemetry.client_layer().peer("inventory"); // for a channel to http://inventory:50051
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn peer(mut self, host: impl Into<Arc<str>>) -> ClientLayer {
        self.peer = Some(host.into());
        self
    }

    fn host<'u>(&'u self, uri: &'u Uri) -> Option<&'u str> {
        uri.host().or(self.peer.as_deref())
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> ClientService<S> {
        ClientService { inner, layer: self.clone() }
    }
}

/// An instrumented client.
#[derive(Debug, Clone)]
pub struct ClientService<S> {
    inner: S,
    layer: ClientLayer,
}

impl<S, B, R> Service<Request<B>> for ClientService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<ClientBody<R>>;
    type Error = S::Error;
    type Future = ClientFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> ClientFuture<S::Future> {
        let fresh = context::current_request_id_arc().is_none().then(context::new_request_id);
        let host = self.layer.host(request.uri());
        let span = client_span(&request, host, fresh.as_deref());
        if host.is_none_or(|host| self.layer.hosts.allow(host)) {
            span.in_scope(|| inject(request.headers_mut(), fresh.as_deref()));
        }
        let grpc = GrpcStatus::of_request(request.headers());
        let inner = span.in_scope(|| self.inner.call(request));
        ClientFuture { inner, call: Some(Call { span, grpc, is_judged: false }) }
    }
}

fn client_span<B>(request: &Request<B>, host: Option<&str>, request_id: Option<&str>) -> Span {
    let uri = request.uri();
    let call = grpc::call(request.headers(), uri.path());
    let method = request.method().as_str();
    let name = match call {
        Some(_) => uri.path().trim_start_matches('/'),
        None => method,
    };
    // Neither credentials nor query: both carry secrets, and the path is enough to tell calls apart.
    let full = host.map(|host| {
        let scheme = uri.scheme_str().unwrap_or("http");
        let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{}", uri.path())
    });
    tracing::info_span!(
        target: HTTP_TARGET,
        "http_call",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = Empty,
        request_id,
        http.request.method = method,
        http.response.status_code = Empty,
        server.address = host,
        server.port = uri.port_u16().map(u64::from),
        url.full = full,
        rpc.system = call.map(|_| "grpc"),
        rpc.service = call.map(|(service, _)| service),
        rpc.method = call.map(|(_, method)| method),
        rpc.grpc.status_code = Empty,
        "error.type" = Empty,
    )
}

/// Puts the current request's ids into the headers; what the caller set by hand stays.
pub(crate) fn inject(headers: &mut HeaderMap, fresh: Option<&str>) {
    let fresh = fresh.map(|id| ("x-request-id", id.to_owned()));
    for (name, value) in context::propagation_headers().into_iter().chain(fresh) {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name)
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
    }
}

/// A call under way. Dropping it ends the span.
#[derive(Debug)]
struct Call {
    span: Span,
    grpc: GrpcStatus,
    is_judged: bool,
}

impl Call {
    fn fail(&mut self, kind: &str) {
        if !self.is_judged {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", kind);
            self.is_judged = true;
        }
    }

    fn read(&mut self, headers: &HeaderMap) {
        self.grpc.read(headers);
        if let Some(code) = self.grpc.code() {
            self.span.record("rpc.grpc.status_code", code);
        }
        if let Some(error) = self.grpc.error() {
            self.fail(error);
        }
    }
}

pin_project! {
    /// The future of an instrumented client.
    #[derive(Debug)]
    pub struct ClientFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F, R, E> Future for ClientFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<ClientBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _entered = this.call.as_ref().map(|call| call.span.enter());
            ready!(this.inner.poll(context))
        };
        let mut call = this.call.take();
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                if let Some(call) = &mut call {
                    call.fail("request_failed");
                }
                return Poll::Ready(Err(error));
            }
        };
        if let Some(call) = &mut call {
            let status = response.status();
            call.span.record("http.response.status_code", u64::from(status.as_u16()));
            if status.is_client_error() || status.is_server_error() {
                call.fail(status.as_str());
            }
            call.read(response.headers());
        }
        Poll::Ready(Ok(response.map(|inner| ClientBody { inner, call })))
    }
}

pin_project! {
    /// A response body that ends the span of its call.
    #[derive(Debug)]
    pub struct ClientBody<B> {
        #[pin]
        inner: B,
        call: Option<Call>,
    }
}

impl<B: Body> Body for ClientBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(context);
        match &polled {
            Poll::Ready(None) => drop(this.call.take()),
            Poll::Ready(Some(Err(_))) => {
                if let Some(mut call) = this.call.take() {
                    call.fail("body_failed");
                }
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(call), Some(trailers)) = (this.call.as_mut(), frame.trailers_ref()) {
                    call.read(trailers);
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
