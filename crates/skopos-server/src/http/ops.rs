//! Probes and the server's own metrics.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use skopos::health::ProbeAnswer;
use skopos::metrics::Format;

use super::Route;
use crate::auth::Scope;
use crate::config::Settings;
use crate::state::SharedState;

/// The routes of this module.
pub(super) fn routes(settings: &Settings) -> Vec<Route> {
    const TAG: &str = "operations";
    let metrics_scope = if settings.protect_metrics { Scope::Read } else { Scope::Public };
    vec![
        Route::get("/health/live", Scope::Public, live)
            .summary("Whether the process runs. Looks at nothing else.")
            .tag(TAG),
        Route::get("/health/ready", Scope::Public, ready)
            .summary("Whether data can be stored and rules are evaluated in time.")
            .unavailable("Not ready; the answer names the failing checks.")
            .tag(TAG),
        Route::get("/health/startup", Scope::Public, startup)
            .summary("Whether replay has finished.")
            .unavailable("Still starting.")
            .tag(TAG),
        Route::get("/metrics", metrics_scope, metrics)
            .summary("The server's own metrics.")
            .tag(TAG)
            .produces("text/plain"),
    ]
}

async fn live(State(state): State<SharedState>) -> Response {
    probe(state.health.live())
}

async fn ready(State(state): State<SharedState>) -> Response {
    probe(state.health.ready().await)
}

async fn startup(State(state): State<SharedState>) -> Response {
    probe(state.health.startup())
}

fn probe(answer: ProbeAnswer) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (answer.status, headers, answer.body).into_response()
}

async fn metrics(State(state): State<SharedState>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(accept);
    let body = state.telemetry.registry().encode(format);
    ([(header::CONTENT_TYPE, format.content_type())], body).into_response()
}
