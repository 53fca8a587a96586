//! The HTTP surface: one table of routes, and the only function that turns it into a router.
//!
//! A handler is reachable only through a [`Route`], and a route cannot be made without the
//! [`Scope`] that guards it; [`router`] wraps every one of them with the token check. That is how
//! no route escapes authentication, and why tests can walk the table.
//!
//! Modules add their routes with a `routes()` function listed in [`routes`]. What is in no table is a page or a file of
//! the UI ([`ui`]), public like the binary they come from; data reaches them through the table alone.

mod admin;
mod alertmanager;
mod alerts;
mod body;
mod cardinality;
mod events;
mod filter;
mod jaeger;
mod json;
mod logs;
mod notify;
pub mod openapi;
mod ops;
pub mod otlp;
mod params;
mod prometheus;
mod remote_write;
mod runbooks;
mod slos;
mod sql;
mod status;
mod tail;
mod traces;
mod ui;

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use futures_util::FutureExt;
use http::{Method, Uri};

use crate::auth::{Guard, Scope};
use crate::config::Settings;
use crate::error::{ApiError, ErrorClass};
use crate::receipts::Transport;
use crate::state::SharedState;

/// One entry of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path with `{name}` for parameters.
    pub path: &'static str,
    /// Which token opens it.
    pub scope: Scope,
    /// What the OpenAPI document says about it.
    pub doc: RouteDoc,
    handler: MethodRouter<SharedState>,
}

/// A route's documentation.
#[derive(Clone, Debug, Default)]
pub struct RouteDoc {
    /// One line.
    pub summary: &'static str,
    /// Group in the document.
    pub tag: &'static str,
    /// Parameters besides those in the path.
    pub params: Vec<ParamDoc>,
    /// Content type of the answer; JSON when empty.
    pub produces: &'static str,
    /// Name of the answer's schema in the document; any JSON when empty.
    pub schema: &'static str,
    /// What a 503 with a body like that of a 200 means; empty where there is none.
    pub unavailable: &'static str,
}

/// A query parameter.
#[derive(Clone, Debug)]
pub struct ParamDoc {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it may occur more than once.
    pub repeated: bool,
    /// What it means.
    pub description: &'static str,
}

impl Route {
    /// A route answered by `handler`.
    pub fn new<H, T>(method: Method, path: &'static str, scope: Scope, handler: H) -> Self
    where
        H: Handler<T, SharedState>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a standard method");
        Self { method, path, scope, doc: RouteDoc::default(), handler: on(filter, handler) }
    }

    /// A GET route.
    pub fn get<H, T>(path: &'static str, scope: Scope, handler: H) -> Self
    where
        H: Handler<T, SharedState>,
        T: 'static,
    {
        Self::new(Method::GET, path, scope, handler)
    }

    /// A POST route.
    pub fn post<H, T>(path: &'static str, scope: Scope, handler: H) -> Self
    where
        H: Handler<T, SharedState>,
        T: 'static,
    {
        Self::new(Method::POST, path, scope, handler)
    }

    /// Sets the one-line description.
    #[must_use]
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.doc.summary = summary;
        self
    }

    /// Sets the group.
    #[must_use]
    pub fn tag(mut self, tag: &'static str) -> Self {
        self.doc.tag = tag;
        self
    }

    /// Sets the answer's content type.
    #[must_use]
    pub fn produces(mut self, content_type: &'static str) -> Self {
        self.doc.produces = content_type;
        self
    }

    /// Sets the name of the answer's schema.
    #[must_use]
    pub fn schema(mut self, schema: &'static str) -> Self {
        self.doc.schema = schema;
        self
    }

    /// Documents a 503 whose body is like that of a 200.
    #[must_use]
    pub fn unavailable(mut self, meaning: &'static str) -> Self {
        self.doc.unavailable = meaning;
        self
    }

    /// Adds an optional parameter.
    #[must_use]
    pub fn param(mut self, name: &'static str, description: &'static str) -> Self {
        self.doc.params.push(ParamDoc { name, required: false, repeated: false, description });
        self
    }

    /// Adds a required parameter.
    #[must_use]
    pub fn required(mut self, name: &'static str, description: &'static str) -> Self {
        self.doc.params.push(ParamDoc { name, required: true, repeated: false, description });
        self
    }

    /// Adds an optional parameter that may occur more than once.
    #[must_use]
    pub fn repeated(mut self, name: &'static str, description: &'static str) -> Self {
        self.doc.params.push(ParamDoc { name, required: false, repeated: true, description });
        self
    }

    /// Whether a call changes state. Reads by POST (PromQL clients do that) do not.
    pub fn changes_state(&self) -> bool {
        let safe = self.method == Method::GET || self.method == Method::HEAD;
        !safe && matches!(self.scope, Scope::Ingest | Scope::Admin)
    }
}

/// Every route of the main port.
pub fn routes(settings: &Settings) -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(ops::routes(settings));
    routes.extend(admin::routes());
    routes.extend(prometheus::routes());
    routes.extend(runbooks::routes());
    routes.extend(slos::routes());
    routes.extend(cardinality::routes());
    routes.extend(remote_write::routes());
    routes.extend(alertmanager::routes());
    routes.extend(alerts::routes());
    routes.extend(jaeger::routes());
    routes.extend(logs::routes());
    routes.extend(notify::routes());
    routes.extend(traces::routes());
    routes.extend(tail::routes());
    routes.extend(filter::routes());
    routes.extend(sql::routes());
    routes.extend(status::routes());
    routes.extend(openapi::routes());
    routes
}

/// Builds the router of a table: every route behind its token check.
pub fn router(routes: Vec<Route>, state: SharedState) -> axum::Router {
    let mut router = axum::Router::new();
    for route in routes {
        let guard = Guard::new(&state, route.scope, route.changes_state());
        let guarded = Guarded { guard, scope: route.scope, state: SharedState::clone(&state) };
        let check = move |request: Request, next: Next| {
            let guarded = guarded.clone();
            async move { guarded.run(request, next).await }
        };
        router = router.route(route.path, route.handler.route_layer(from_fn(check)));
    }
    let guard = Guard::new(&state, Scope::Public, false);
    let guarded = Guarded { guard, scope: Scope::Public, state: SharedState::clone(&state) };
    let pages = move |State(state): State<SharedState>, request: Request| {
        let guarded = guarded.clone();
        async move { guarded.page(state, request).await }
    };
    router.fallback(pages).method_not_allowed_fallback(method_not_allowed).with_state(state)
}

/// The guard of one route and what it takes to answer and count a refusal.
#[derive(Clone)]
struct Guarded {
    guard: Guard,
    scope: Scope,
    state: SharedState,
}

impl Guarded {
    async fn run(&self, request: Request, next: Next) -> Response {
        match self.guard.check(request.method(), request.uri(), request.headers()) {
            // A panic costs its request, not the connection and the requests that share it.
            Ok(()) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => response,
                Err(_) => ApiError::internal("a handler panicked").into_response(),
            },
            Err(error) if request.uri().path() == remote_write::PATH => {
                let peer = otlp::peer(&request);
                self.state.receipts.refuse(Transport::RemoteWrite, &peer, error.class.as_str());
                remote_write::refusal(&error)
            }
            Err(error) if request.uri().path().starts_with(alertmanager::PREFIX) => {
                error.into_response()
            }
            Err(error) if self.scope == Scope::Ingest => {
                let peer = otlp::peer(&request);
                if self.state.tokens.is_empty() && error.class == ErrorClass::Forbidden {
                    // Nobody lacks a right here: a wrong content type is the better hint.
                    if let Some(refusal) = otlp::unsupported_type(request.headers()) {
                        self.state.receipts.refuse(Transport::OtlpHttp, &peer, "content_type");
                        return refusal;
                    }
                }
                self.state.receipts.refuse(Transport::OtlpHttp, &peer, error.class.as_str());
                otlp::refusal(request.headers(), &error)
            }
            Err(error) => error.into_response(),
        }
    }
}

impl Guarded {
    /// What no route answers: a file of the UI, or nothing.
    async fn page(&self, state: SharedState, request: Request) -> Response {
        match self.guard.check(request.method(), request.uri(), request.headers()) {
            Ok(()) => ui::page(&state, request).await,
            Err(error) => error.into_response(),
        }
    }
}

async fn method_not_allowed(uri: Uri) -> Response {
    let error = ApiError::new(ErrorClass::MethodNotAllowed, "this path does not take this method");
    if uri.path().starts_with("/api/v1/") {
        return prometheus::nowhere(error);
    }
    error.into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skopos_model::SystemClock;
    use tower::ServiceExt;

    use super::*;
    use crate::Server;
    use crate::listen::ListenAddr;

    #[tokio::test]
    async fn a_panicking_handler_is_a_500() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            data_dir: folder.path().into(),
            http_listen: ListenAddr::any_port(),
            otlp_grpc_listen: ListenAddr::any_port(),
            otlp_http_listen: ListenAddr::any_port(),
            ..Settings::defaults()
        };
        let telemetry = crate::telemetry::silent().unwrap();
        let clock = Arc::new(SystemClock::new());
        let server = Server::start(settings, clock, telemetry).await.unwrap();
        async fn broken() -> Response {
            panic!("this handler is broken on purpose")
        }
        let routes = vec![Route::get("/broken", Scope::Read, broken)];
        let app = router(routes, SharedState::clone(server.state()));
        let request = Request::builder().uri("http://localhost/broken");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        server.shutdown().await.unwrap();
    }
}
