//! Telemetry for a Rust service in two lines: structured, redacted, correlated logs; traces; RED, business and saturation
//! metrics; the three health probes; context propagation.
//!
//! It is **not** a collector, a dashboard or an alerting engine (`skopos serve` is), and not a wrapper to hide `tracing`: log
//! with `tracing`'s own macros, and use `#[tracing::instrument]` for spans of business logic.
//!
//! It promises: it never blocks or panics its host; what cannot be kept is dropped, counted and shown on `/metrics`; one
//! redactor stands before every sink; shutting down is bounded on every runtime and says what was lost; no type of
//! OpenTelemetry is part of this API.
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::{Router, routing::get};
//! use skopos::health::Health;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let telemetry = skopos::init()?; // OTEL_*, RUST_LOG, ENVIRONMENT
//!     let health = Health::builder().critical("database", || async { Ok::<(), std::io::Error>(()) }).build();
//!     let orders = telemetry.registry().counter("orders_placed_total", "Orders placed.");
//!     let app = Router::new()
//!         .route("/orders", get(|| async move {
//!             orders.inc();
//!             tracing::info!(order_id = "o-1", "order placed"); // request_id, trace_id and span_id come along
//!             "placed"
//!         }))
//!         .merge(telemetry.ops_router(health.clone())) // /metrics and /health/*
//!         .layer(telemetry.http_layer()); // request id, span, RED metrics, one access line
//!     health.mark_started();
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     axum::serve(listener, app).with_graceful_shutdown(skopos::shutdown_signal(health)).await?;
//!     eprintln!("{}", telemetry.shutdown(Duration::from_secs(5)).await);
//!     Ok(())
//! }
//! ```
//!
//! | what production monitoring asks for | where it is |
//! |---|---|
//! | structured log lines with service, version, environment and ids | [`init`], [`Telemetry::builder`] |
//! | nothing secret in logs, spans, panics, health answers | [`Builder::redact`], [`redact`] |
//! | request id in, bound, echoed, passed on | [`Telemetry::http_layer`], [`reqwest::Client`], [`current_request_id`] |
//! | traces, W3C context | [`Telemetry::http_layer`], [`reqwest::Client`], [`Telemetry::client_layer`] (hyper, tower, tonic), [`propagation_headers`] |
//! | spans and headers of libraries that use OpenTelemetry's own API | [`Builder::install`] sets its globals |
//! | rate, errors, duration | [`Telemetry::http_layer`]: `http_requests_total`, `http_request_duration_seconds`, `http_requests_in_progress` |
//! | business metrics with bounded labels | [`Telemetry::registry`], [`label_values!`], [`labels!`], [`metrics::Bounded`] |
//! | implicit errors: a wrong 200 | [`mark_failed`] |
//! | saturation | [`Telemetry::watch_pool`], [`Telemetry::watch_queue`], [`Telemetry::watch_runtime`], [`Telemetry::watch_process`] |
//! | jobs and messages | [`Telemetry::job`], [`Telemetry::consume`], [`Telemetry::publish`] |
//! | databases and caches | [`Telemetry::database`], `Telemetry::sqlx`, `Telemetry::redis`: see [`db`] |
//! | objectives, declared beside the handler | [`Telemetry::objective`], [`Telemetry::sli`], [`Telemetry::objectives_yaml`]: see [`slo`] |
//! | errors on spans | [`ResultExt::record_err`] |
//! | live, ready, startup | [`health::Health`], [`Telemetry::ops_router`], [`Telemetry::serve_ops`] |
//! | graceful end | [`shutdown_signal`], [`Telemetry::shutdown`] |
//!
//! Features, all additive. By default `axum` (router, route templates, extractors), `derive` (labels, redacted types), `otlp`
//! (export by http/protobuf) and `reqwest` (client); by choice `grpc` and `tls` (export), `sqlx` and `redis` (clients), `disk` (a
//! health check), `serde` (for [`Secret`]), `testing` (captures), `metrics-facade` and `otel-metrics` (metrics of libraries that
//! know nothing of us). Each builds alone: `cargo xtask prove features`. Needs Rust 1.95.

mod client;
mod clock;
mod config;
mod context;
pub mod db;
mod error;
#[cfg(feature = "otlp")]
mod export;
mod filter;
pub mod health;
mod http;
mod level;
mod log;
pub mod metrics;
mod propagation;
mod sampling;
mod saturation;
mod service;
mod shutdown;
pub mod slo;
mod sync;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod work;

#[cfg(feature = "axum")]
mod ops;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "axum")]
mod validation;

pub use client::{ClientBody, ClientFuture, ClientLayer, ClientService};
pub use config::LogFormat;
pub use context::{
    current_request_id, current_trace_id, mark_failed, new_request_id, propagation_headers,
};
pub use error::ResultExt;
pub use http::{HttpLayer, HttpService, ObservedBody, ResponseFuture};
pub use level::{LONGEST_CHANGE, LogLevel, LogLevelError};
pub use saturation::PoolState;
pub use service::Service;
pub use shutdown::{ShutdownReport, shutdown_signal, shutdown_signal_after};
pub use skopos_redact as redact;
pub use skopos_redact::Secret;
#[doc(hidden)]
pub use telemetry::init_service;
pub use telemetry::{Builder, InitError, Preset, Telemetry, TelemetryLayer, init};

#[cfg(feature = "axum")]
pub use ops::OpsServer;
#[cfg(feature = "axum")]
pub use validation::{InvalidInput, Json, Path, Query};

/// Implements `Debug` for a type some of whose fields must not be shown.
///
/// A field marked `#[redact]` is `[REDACTED]`, whatever its type. A field that is not marked is hidden when its name is one
/// that [`redact::Redactor`] denies, and loses the secrets in its text otherwise. `#[redact(show)]` shows a field in spite
/// of its name, `#[redact(skip)]` leaves it out, `#[redact(all)]` on the type hides every field that is not marked `show`.
///
/// ```
/// #[derive(skopos::Redacted)]
/// struct Login {
///     user: String,
///     password: String, // hidden by its name
///     #[redact]
///     recovery: Vec<u32>,
///     note: &'static str, // scanned
/// }
/// let login = Login {
///     user: "ann".into(),
///     password: "hunter2".into(),
///     recovery: vec![1, 2],
///     note: "paid with 4111 1111 1111 1111",
/// };
/// assert_eq!(
///     format!("{login:?}"),
///     r#"Login { user: "ann", password: [REDACTED], recovery: [REDACTED], note: "paid with [REDACTED]" }"#
/// );
/// # let _ = (&login.user, &login.password, &login.recovery, login.note);
/// ```
///
/// A misspelt attribute does not compile:
///
/// ```compile_fail
/// #[derive(skopos::Redacted)]
/// struct Login { #[redact(hide)] pin: u32 }
/// ```
#[cfg(feature = "derive")]
pub use skopos_macros::Redacted;

/// As [`init`](crate::init()), with name and version of the crate that calls it.
///
/// ```no_run
/// let telemetry = skopos::init!()?;
/// # Ok::<(), skopos::InitError>(())
/// ```
#[macro_export]
macro_rules! init {
    () => {
        $crate::init_service($crate::service!())
    };
}

/// Names the service after the crate that calls it, with that crate's version.
///
/// ```
/// let service = skopos::service!();
/// # let _ = service;
/// ```
#[macro_export]
macro_rules! service {
    () => {
        $crate::Service::new(env!("CARGO_PKG_NAME")).version(env!("CARGO_PKG_VERSION"))
    };
}

/// The pages of `docs/sdk`: their blocks are tests.
#[cfg(all(doctest, feature = "full"))]
mod pages {
    #[doc = include_str!("../../../docs/sdk/demands.md")]
    struct Demands;
    #[doc = include_str!("../../../docs/sdk/from-nothing.md")]
    struct FromNothing;
    #[doc = include_str!("../../../docs/sdk/migrating.md")]
    struct Migrating;
}

/// The page that needs the drivers.
#[cfg(all(doctest, feature = "_integrations"))]
mod integrations {
    #[doc = include_str!("../../../docs/sdk/instrumentation.md")]
    struct Instrumentation;
}
