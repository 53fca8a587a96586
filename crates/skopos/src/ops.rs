//! Probes and `/metrics` as a router, beside the service or on a port of their own, outside authentication and access log.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::health::{Health, ProbeAnswer};
use crate::metrics::{Format, Registry};

/// `/metrics`, `/health/live`, `/health/ready` and `/health/startup`.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(
    registry: Registry,
    health: Health,
) -> Router<S> {
    let (live, ready, startup) = (health.clone(), health.clone(), health);
    Router::new()
        .route(
            "/metrics",
            get(move |headers: HeaderMap| {
                let registry = registry.clone();
                async move { metrics(&registry, &headers) }
            }),
        )
        .route("/health/live", get(move || async move { answer(live.live()) }))
        .route("/health/ready", get(move || async move { answer(ready.ready().await) }))
        .route("/health/startup", get(move || async move { answer(startup.startup()) }))
}

fn metrics(registry: &Registry, headers: &HeaderMap) -> Response {
    let format =
        Format::negotiate(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    ([(header::CONTENT_TYPE, format.content_type())], registry.encode(format)).into_response()
}

fn answer(answer: ProbeAnswer) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (answer.status, headers, answer.body).into_response()
}

/// A server for probes and metrics on a port of its own.
#[derive(Debug)]
pub struct OpsServer {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl OpsServer {
    pub(crate) async fn bind(address: SocketAddr, router: Router) -> std::io::Result<OpsServer> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let until_stopped = async move {
                // A dropped sender keeps the server up: only `stop` ends it.
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            if let Err(error) =
                axum::serve(listener, router).with_graceful_shutdown(until_stopped).await
            {
                tracing::error!(target: "skopos::ops", error = %error, "ops server stopped");
            }
        });
        Ok(OpsServer { address, stop, task })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server once running requests are answered.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}
