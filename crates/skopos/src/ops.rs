//! Probes and `/metrics` as a router, beside the service or on a port of their own, outside authentication and access log.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery};
use axum::http::StatusCode;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::health::{Health, ProbeAnswer};
use crate::level::{LevelControl, LogLevel};
use crate::metrics::{Format, Registry};
use crate::{Service, clock};

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
        .route(
            "/health/ready",
            get(move |RawQuery(query): RawQuery| async move {
                let has_details = query.is_some_and(|query| query.split('&').any(is_details));
                answer(if has_details {
                    ready.ready_with_details().await
                } else {
                    ready.ready().await
                })
            }),
        )
        .route("/health/startup", get(move || async move { answer(startup.check_startup().await) }))
}

fn is_details(parameter: &str) -> bool {
    parameter == "details" || parameter.starts_with("details=")
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

/// `/version` and `/admin/log-level`.
pub(crate) fn admin_router<S: Clone + Send + Sync + 'static>(
    service: &Service,
    level: LevelControl,
) -> Router<S> {
    let version = json!({
        "service": service.name,
        "version": service.version,
        "environment": service.environment_or_default(),
        "revision": service.find("vcs.ref.head.revision"),
    });
    let (read, change, reset) = (level.clone(), level.clone(), level);
    Router::new()
        .route("/version", get(move || async move { reply(StatusCode::OK, &version) }))
        .route(
            "/admin/log-level",
            get(move || async move { reply(StatusCode::OK, &show(&read.current())) })
                .put(move |body: Bytes| async move { change_level(&change, &body) })
                .delete(move || async move {
                    reset.reset();
                    reply(StatusCode::OK, &show(&reset.current()))
                }),
        )
        .layer(DefaultBodyLimit::max(LONGEST_CHANGE_BODY))
}

/// Longest request to change the level, in bytes.
const LONGEST_CHANGE_BODY: usize = 16 * 1024;

/// `PUT {"filter":"debug","seconds":600}`.
fn change_level(level: &LevelControl, body: &[u8]) -> Response {
    let problem = |status, text: &str| reply(status, &json!({ "error": text }));
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else {
        let text = "the body is no JSON: send {\"filter\":\"debug\",\"seconds\":600}";
        return problem(StatusCode::BAD_REQUEST, text);
    };
    let Some(filter) = body.get("filter").and_then(serde_json::Value::as_str) else {
        return problem(StatusCode::BAD_REQUEST, "`filter` is missing, or no text");
    };
    let seconds = match body.get("seconds") {
        None => crate::level::SIGNAL_DURATION.as_secs(),
        Some(seconds) => match seconds.as_u64() {
            Some(seconds) => seconds,
            None => return problem(StatusCode::BAD_REQUEST, "`seconds` is no whole number"),
        },
    };
    match level.set(filter, Duration::from_secs(seconds)) {
        Ok(level) => reply(StatusCode::OK, &show(&level)),
        Err(error @ crate::LogLevelError::BelowFloor { .. }) => {
            problem(StatusCode::FORBIDDEN, &error.to_string())
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn show(level: &LogLevel) -> serde_json::Value {
    json!({
        "filter": level.temporary.as_ref().unwrap_or(&level.usual),
        "usual": level.usual,
        "until": level.until.map(clock::rfc3339),
    })
}

fn reply(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

/// A server for probes and metrics on a port of its own.
///
/// ```
/// # async fn example(telemetry: skopos::Telemetry, health: skopos::health::Health) -> std::io::Result<()> {
/// let ops = telemetry.serve_ops(([127, 0, 0, 1], 9090).into(), health).await?;
/// println!("probes and metrics on http://{}", ops.address());
/// ops.stop().await;
/// # Ok(())
/// # }
/// ```
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
    ///
    /// ```
    /// # async fn example(telemetry: skopos::Telemetry, health: skopos::health::Health) -> std::io::Result<()> {
    /// let ops = telemetry.serve_ops(([127, 0, 0, 1], 0).into(), health).await?;
    /// let port = ops.address().port(); // the one that was free
    /// # let _ = port;
    /// # Ok(())
    /// # }
    /// ```
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server once running requests are answered.
    ///
    /// ```
    /// # async fn example(telemetry: skopos::Telemetry, health: skopos::health::Health) -> std::io::Result<()> {
    /// let ops = telemetry.serve_ops(([127, 0, 0, 1], 9090).into(), health).await?;
    /// ops.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}
