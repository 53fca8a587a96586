//! The three listeners at work. Each ends when the server stops: no new connections, answers under
//! way finish.

mod connections;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use skopos::health::Health;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tower::ServiceExt;

use crate::error::ApiError;
use crate::grpc::OtlpService;
use crate::http;
use crate::state::SharedState;

/// Windows that let one connection carry a large batch without waiting for each 64 KiB.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Serves the main port: probes only until the application is there.
pub(super) fn http(
    listener: TcpListener,
    app: Arc<OnceLock<axum::Router>>,
    header_timeout: Duration,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let starting = Health::builder()
        .critical("store", || async { Err::<(), _>("replaying the write-ahead log") })
        .build();
    let answer = move |request: Request| {
        let app = app.get().cloned();
        let starting = starting.clone();
        async move {
            match app {
                Some(app) => app.oneshot(request).await.into_response(),
                None => answer_starting(&starting, request.uri().path()).await,
            }
        }
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(connections::serve(listener, router, header_timeout, shutdown))
}

async fn answer_starting(health: &Health, path: &str) -> Response {
    let answer = match path {
        "/health/live" => health.live(),
        "/health/ready" => health.ready().await,
        "/health/startup" => health.startup(),
        _ => return ApiError::unavailable("the server is starting").into_response(),
    };
    (answer.status, [("content-type", "application/json")], answer.body).into_response()
}

pub(super) fn otlp_http(listener: TcpListener, state: SharedState) -> JoinHandle<()> {
    let (header_timeout, shutdown) = (state.settings.request_timeout, state.shutdown.clone());
    let router = http::router(http::otlp::routes(), state);
    tokio::spawn(connections::serve(listener, router, header_timeout, shutdown))
}

pub(super) fn otlp_grpc(listener: TcpListener, state: SharedState) -> JoinHandle<()> {
    let shutdown = state.shutdown.clone();
    let service = OtlpService::new(state);
    tokio::spawn(async move {
        let served = tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .serve_with_incoming_shutdown(
                service,
                TcpIncoming::from(listener),
                shutdown.cancelled_owned(),
            );
        if let Err(error) = served.await {
            tracing::error!(%error, "OTLP gRPC server stopped");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_it_replays_only_liveness_is_good() {
        let health = Health::builder().critical("store", || async { Err::<(), _>("replaying") });
        let health = health.build();
        for (path, want) in [
            ("/health/live", 200),
            ("/health/ready", 503),
            ("/health/startup", 503),
            ("/api/v1/query", 503),
        ] {
            assert_eq!(answer_starting(&health, path).await.status(), want, "{path}");
        }
        let other = answer_starting(&health, "/api/v1/query").await;
        assert!(other.headers().contains_key("retry-after"));
    }
}
