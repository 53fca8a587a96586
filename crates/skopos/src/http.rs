//! The HTTP layer: request id, server span, RED metrics and one access line, for every request, correlated.
//!
//! It promises:
//! - the request id is the caller's `x-request-id`, else `x-correlation-id`, else a new one; it is on every line, echoed in the
//!   response and passed on by [`reqwest::Client`](crate::reqwest::Client);
//! - metric labels are bounded: the endpoint is the route template (`unmatched` without one), an unknown method is `_OTHER`;
//! - every request is counted once, when its body has been sent or given up: a panic as 500, a client that went away
//!   before the response as 499; gRPC by its own status, and one that was marked by [`mark_failed`](crate::mark_failed)
//!   as failed whatever it answered;
//! - what switches to another protocol (a websocket) has its id, span and access line, and is not counted among the requests;
//! - `/health/*` and `/metrics` are served without span, metric or access line.
//!
//! With axum, put it on the router (`Router::layer`), where the route is known.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Extensions, Method, Request, Response, Uri};
use tower_layer::Layer;
use tower_service::Service;

use crate::context::propagators::Propagators;
use crate::context::{self, RequestContext};

mod body;
mod future;
pub(crate) mod grpc;
mod observation;
pub(crate) mod red;

pub use body::ObservedBody;
pub use future::ResponseFuture;

use observation::Observation;
pub(crate) use red::RedMetrics;
#[cfg(feature = "axum")]
pub(crate) use red::UNMATCHED;

/// Finds the route template of a request.
type RouteOf = Arc<dyn Fn(&Method, &Uri, &Extensions) -> Option<Cow<'static, str>> + Send + Sync>;

/// Instruments a service; made by [`Telemetry::http_layer`](crate::Telemetry::http_layer).
///
/// | metric | |
/// |---|---|
/// | `http_requests_total{method,endpoint,status_code}` | every request |
/// | `http_request_duration_seconds{method,endpoint}` | its duration, to the end of the body |
/// | `http_request_failure_duration_seconds{method,endpoint}` | the same of those that failed: a fast 500 is not a slow 200 |
/// | `http_request_errors_total{method,endpoint,reason}` | those that failed, by reason: the status, `panic`, gRPC's, or [a mark](crate::mark_failed) |
/// | `http_requests_in_progress{method,endpoint}` | under way |
/// | `http_response_size_bytes{method,endpoint}` | bytes of the body that were sent |
///
/// The latency of success is the difference of the two histograms, bucket by bucket:
/// `rate(http_request_duration_seconds_bucket[5m]) - (rate(http_request_failure_duration_seconds_bucket[5m]) or 0 * rate(http_request_duration_seconds_bucket[5m]))`.
/// By OTLP the same observations go out as `http.server.request.duration`, `http.server.active_requests` and
/// `http.server.response.body.size`, with status code and `error.type` as attributes.
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// use axum::{Router, routing::get};
///
/// let app: Router = Router::new()
///     .route("/orders/{id}", get(|| async { "an order" }))
///     .layer(telemetry.http_layer());
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct HttpLayer {
    settings: Arc<Settings>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) metrics: RedMetrics,
    pub(crate) propagators: Propagators,
    route: RouteOf,
    excluded: Vec<String>,
    #[cfg(feature = "axum")]
    pub(crate) validation: Option<crate::validation::Failures>,
}

impl std::fmt::Debug for HttpLayer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HttpLayer")
            .field("excluded", &self.settings.excluded)
            .finish_non_exhaustive()
    }
}

impl HttpLayer {
    pub(crate) fn new(metrics: RedMetrics, propagators: Propagators) -> HttpLayer {
        HttpLayer {
            settings: Arc::new(Settings {
                metrics,
                propagators,
                route: Arc::new(matched_path),
                excluded: vec!["/metrics".to_owned(), "/health".to_owned(), "/health/".to_owned()],
                #[cfg(feature = "axum")]
                validation: None,
            }),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> HttpLayer {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Finds the route template by a function of one's own, for services without axum's router. `None` is `unmatched`. At
    /// most 200 different templates are kept apart.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).build()?.0;
    /// let layer = telemetry.http_layer().route_from(|_method, uri, _extensions| {
    ///     uri.path().starts_with("/orders/").then(|| "/orders/{id}".into())
    /// });
    /// # let _ = layer;
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    #[must_use]
    pub fn route_from(
        self,
        route: impl Fn(&Method, &Uri, &Extensions) -> Option<Cow<'static, str>> + Send + Sync + 'static,
    ) -> HttpLayer {
        self.with(|settings| settings.route = Arc::new(route))
    }

    /// Counts rejected input of the requests that pass, in this registry.
    #[cfg(feature = "axum")]
    pub(crate) fn validating(self, registry: &crate::metrics::Registry) -> HttpLayer {
        let failures = crate::validation::register(registry);
        self.with(|settings| settings.validation = Some(failures))
    }

    /// Takes the path of a call as its endpoint, as gRPC has it: `/package.Service/Method`. For a service of tonic's that is
    /// not behind axum's router.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).build()?.0;
    /// let layer = telemetry.http_layer().grpc();
    /// # let _ = layer;
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    #[must_use]
    pub fn grpc(self) -> HttpLayer {
        self.route_from(|_, uri, _| grpc::is_call(uri.path()).then(|| uri.path().to_owned().into()))
    }

    /// Leaves a path alone; one that ends in `/` stands for all below it. `/metrics` and `/health/` are left alone anyway.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let layer = telemetry.http_layer().exclude("/favicon.ico").exclude("/static/");
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn exclude(self, path: impl Into<String>) -> HttpLayer {
        self.with(|settings| settings.excluded.push(path.into()))
    }

    /// Starts a new trace for every request, whatever the caller sent: for services at the edge.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let layer = telemetry.http_layer().ignore_incoming_trace();
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn ignore_incoming_trace(self) -> HttpLayer {
        self.with(|settings| settings.propagators = Propagators::NONE)
    }
}

#[cfg(feature = "axum")]
fn matched_path(_: &Method, _: &Uri, extensions: &Extensions) -> Option<Cow<'static, str>> {
    let path = extensions.get::<axum::extract::MatchedPath>()?;
    Some(Cow::Owned(path.as_str().to_owned()))
}

#[cfg(not(feature = "axum"))]
fn matched_path(_: &Method, _: &Uri, _: &Extensions) -> Option<Cow<'static, str>> {
    None
}

impl Settings {
    fn is_excluded(&self, path: &str) -> bool {
        self.excluded.iter().any(|excluded| {
            path == excluded || (excluded.ends_with('/') && path.starts_with(excluded.as_str()))
        })
    }
}

impl<S> Layer<S> for HttpLayer {
    type Service = HttpService<S>;

    fn layer(&self, inner: S) -> HttpService<S> {
        HttpService { inner, settings: self.settings.clone() }
    }
}

/// An instrumented service.
#[derive(Clone)]
pub struct HttpService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S: std::fmt::Debug> std::fmt::Debug for HttpService<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HttpService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for HttpService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body,
{
    type Response = Response<ObservedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S::Future> {
        if self.settings.is_excluded(request.uri().path()) {
            return ResponseFuture::new(self.inner.call(request), None);
        }
        let headers = request.headers();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let propagators = self.settings.propagators;
        let remote = propagators.extract(header);
        let baggage = propagators.baggage.then(|| context::baggage(headers)).flatten();
        let caller = Arc::new(RequestContext {
            request_id: context::request_id(headers),
            remote,
            baggage,
            #[cfg(feature = "axum")]
            validation: self.settings.validation.clone(),
            ..RequestContext::default()
        });
        let route = (self.settings.route)(request.method(), request.uri(), request.extensions());
        let observation = Observation::start(self.settings.clone(), caller, route, &request);

        let scope = observation.context.enter();
        let entered = observation.span.enter();
        let future = self.inner.call(request);
        drop(entered);
        drop(scope);
        ResponseFuture::new(future, Some(observation))
    }
}
