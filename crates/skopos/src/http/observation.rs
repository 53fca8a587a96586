//! One request under observation: begun when it arrives, ended exactly once, by whatever ends it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, StatusCode, Version};
use opentelemetry::trace::TraceContextExt as _;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::Settings;
use super::grpc::{self, GrpcStatus};
use super::red::{MethodLabel, OutcomeLabels, RequestLabels, StatusLabel, UNMATCHED};
use crate::clock;
use crate::context::{self, RequestContext};
use crate::log::HTTP_TARGET;
use crate::metrics::{Bounded, LabelValue as _};

/// How a request came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing has answered yet.
    Open,
    /// The response was made; its body may still be on the way.
    Answered(StatusCode),
    /// The service returned an error instead of a response.
    Failed,
}

/// A request from its arrival to the end of the response body. Dropping it ends the request.
pub(crate) struct Observation {
    pub(super) context: Arc<RequestContext>,
    pub(super) span: Span,
    pub(super) ending: Ending,
    pub(super) is_body_cut: bool,
    /// Bytes of the response body that were handed to the connection.
    pub(super) sent_bytes: u64,
    pub(super) grpc: GrpcStatus,
    settings: Arc<Settings>,
    method: MethodLabel,
    endpoint: Bounded<200>,
    path: String,
    started: Instant,
    /// The gauge goes down when this is dropped.
    _in_flight: crate::metrics::InFlight,
}

impl Observation {
    pub(super) fn start<B>(
        settings: Arc<Settings>,
        context: Arc<RequestContext>,
        route: Option<Cow<'static, str>>,
        request: &Request<B>,
    ) -> Observation {
        let started = clock::instant();
        let method = MethodLabel::from(request.method());
        let is_matched = route.is_some();
        let route = route.unwrap_or(Cow::Borrowed(UNMATCHED));
        let span = server_span(request, method, is_matched.then_some(&*route), &context);
        if let Some(remote) = &context.remote {
            let parent = opentelemetry::Context::new().with_remote_span_context(remote.clone());
            // Fails only when spans are off, and then there is nothing to set.
            let _ = span.set_parent(parent);
        }
        context.bind(&span);
        let endpoint = Bounded::new(route);
        let in_flight = settings
            .metrics
            .in_progress
            .get(&RequestLabels { method, endpoint: endpoint.clone() })
            .track();
        Observation {
            context,
            span,
            ending: Ending::Open,
            is_body_cut: false,
            sent_bytes: 0,
            grpc: GrpcStatus::of_request(request.headers()),
            settings,
            method,
            endpoint,
            path: request.uri().path().to_owned(),
            started,
            _in_flight: in_flight,
        }
    }

    fn status(&self) -> (StatusCode, Option<&'static str>) {
        match self.ending {
            Ending::Answered(status) => (status, None),
            Ending::Failed => (StatusCode::INTERNAL_SERVER_ERROR, Some("service_error")),
            Ending::Open if std::thread::panicking() => {
                (StatusCode::INTERNAL_SERVER_ERROR, Some("panic"))
            }
            // The caller went away: 499 by custom, since no response was made.
            Ending::Open => (
                StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
                Some("client_disconnected"),
            ),
        }
    }
}

fn server_span<B>(
    request: &Request<B>,
    method: MethodLabel,
    route: Option<&str>,
    context: &RequestContext,
) -> Span {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let name = match route {
        // By convention a gRPC span is called as the call is.
        Some(route) if grpc::call(request.headers(), route).is_some() => {
            route.trim_start_matches('/').to_owned()
        }
        Some(route) => format!("{} {route}", method.label()),
        None => method.label().to_owned(),
    };
    let call = grpc::call(request.headers(), request.uri().path());
    let protocol = match request.version() {
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    tracing::info_span!(
        target: HTTP_TARGET,
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        request_id = &*context.request_id,
        http.request.method = method.label(),
        http.route = route,
        http.response.status_code = Empty,
        url.path = request.uri().path(),
        url.scheme = request.uri().scheme_str().unwrap_or("http"),
        server.address = header("host"),
        user_agent.original = header("user-agent"),
        network.protocol.version = protocol,
        rpc.system = call.map(|_| "grpc"),
        rpc.service = call.map(|(service, _)| service),
        rpc.method = call.map(|(_, method)| method),
        rpc.grpc.status_code = Empty,
        "error.type" = Empty,
    )
}

impl Observation {
    /// Returns why the request failed, if it did.
    fn failure(
        &self,
        status: StatusCode,
        error: Option<&'static str>,
    ) -> Option<Cow<'static, str>> {
        if let Some(marked) = self.context.failure.get() {
            return Some(marked.clone());
        }
        let of_status = || status.is_server_error().then(|| Cow::Owned(status.as_str().to_owned()));
        error
            .map(Cow::Borrowed)
            .or_else(of_status)
            .or_else(|| self.grpc.failure().map(Cow::Borrowed))
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let (status, error) = self.status();
        let elapsed = self.started.elapsed();
        let error = self.failure(status, error);
        // A caller that went away is no failure of ours.
        let is_failure = error.is_some() && status.as_u16() != 499;
        let trace = || {
            self.span.with_subscriber(|(id, dispatch)| context::trace_of(dispatch, id)).flatten()
        };
        // What follows a switch of protocols is no longer HTTP: a socket that is open for hours is no slow request.
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let labels = OutcomeLabels {
                method: self.method,
                endpoint: self.endpoint.clone(),
                status_code: StatusLabel(status),
                reason: Bounded::new(error.clone().unwrap_or_default()),
            };
            self.settings.metrics.outcomes.with(&labels, |outcome| {
                outcome.duration.observe_in(elapsed.as_secs_f64(), trace);
                outcome.response_size.observe_in(self.sent_bytes as f64, trace);
            });
        }

        self.span.record("http.response.status_code", u64::from(status.as_u16()));
        if let Some(code) = self.grpc.code() {
            self.span.record("rpc.grpc.status_code", code);
        }
        if let Some(error) = &error {
            self.span.record("error.type", &**error);
            if is_failure {
                self.span.record("otel.status_code", "ERROR");
            }
        }

        let _scope = self.context.enter();
        let _entered = self.span.enter();
        let duration_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
        macro_rules! access_line {
            ($level:expr) => {
                tracing::event!(
                    target: "skopos::access",
                    $level,
                    method = self.method.label(),
                    path = self.path.as_str(),
                    endpoint = self.endpoint.label(),
                    status_code = u64::from(status.as_u16()),
                    duration_ms,
                    grpc_status = self.grpc.code(),
                    "error.type" = error.as_deref(),
                    body_cut = self.is_body_cut.then_some(true),
                    "request finished"
                )
            };
        }
        if is_failure {
            access_line!(tracing::Level::WARN);
        } else {
            access_line!(tracing::Level::INFO);
        }
    }
}
