//! Probes and the server's own metrics.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
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
        Route::get("/", Scope::Public, index)
            .summary(
                "What is served here: the entry points of the APIs; the web UI for who accepts text/html.",
            )
            .tag(TAG),
        Route::get("/health/live", Scope::Public, live)
            .summary("Whether the process runs. Looks at nothing else.")
            .tag(TAG),
        Route::get("/health/ready", Scope::Public, ready)
            .summary("Whether the logs can be written and rules are evaluated in time. A full disk only shows: it passes by itself, and queries, rules and notification go on.")
            .unavailable("Not ready; the answer names the failing checks.")
            .tag(TAG),
        Route::get("/health/startup", Scope::Public, startup)
            .summary("Whether replay has finished.")
            .unavailable("Still starting.")
            .tag(TAG),
        Route::get("/-/healthy", Scope::Public, prometheus_healthy)
            .summary("Whether the process runs, under the path that Prometheus has.")
            .tag(TAG)
            .produces("text/plain"),
        Route::get("/-/ready", Scope::Public, prometheus_ready)
            .summary("Whether queries are answered, under the path that Prometheus has.")
            .unavailable("Starting, stopping, or not able to store.")
            .tag(TAG)
            .produces("text/plain"),
        Route::get("/metrics", metrics_scope, metrics)
            .summary("The server's own metrics.")
            .tag(TAG)
            .produces("text/plain"),
    ]
}

/// The UI's page for a browser. The list for programs tells nothing that this program's documentation does not.
async fn index(State(state): State<SharedState>, request: Request) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        return super::ui::page(&state, request).await;
    }
    let list = Json(json!({
        "name": "skopos",
        "apis": {
            "openapi": "/api/openapi.json",
            "prometheus": "/api/v1/query",
            "prometheus_remote_write": "/api/v1/write",
            "jaeger": "/api/services",
            "skopos": "/api/v1/skopos/receipts",
            "metrics": "/metrics",
            "health": ["/health/live", "/health/ready", "/health/startup"],
        },
        "otlp": "OTLP has ports of its own: otlp.grpc_listen (4317) and otlp.http_listen (4318).",
        "docs": "`skopos --help`; every operation stands in /api/openapi.json",
    }));
    ([(header::VARY, "accept")], list).into_response()
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

/// What `/-/healthy` and `/-/ready` say; clients look at the status alone.
async fn prometheus_healthy(State(state): State<SharedState>) -> Response {
    plain_probe(&state.health.live(), "Skopos is Healthy.\n")
}

async fn prometheus_ready(State(state): State<SharedState>) -> Response {
    let startup = state.health.startup();
    if startup.status != StatusCode::OK {
        return plain_probe(&startup, "");
    }
    plain_probe(&state.health.ready().await, "Skopos is Ready.\n")
}

fn plain_probe(answer: &ProbeAnswer, good: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    let text = if answer.status == StatusCode::OK { good } else { "Service Unavailable\n" };
    (answer.status, headers, text).into_response()
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
