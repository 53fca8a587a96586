//! Going down in order: first not ready, then flushed, always bounded, with a report of what was lost.

use std::fmt;
use std::time::Duration;

use crate::health::Health;

/// What became of the telemetry, when it was shut down.
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// let report = telemetry.shutdown_blocking(std::time::Duration::from_secs(5));
/// assert_eq!(report.to_string(), "telemetry flushed, nothing lost");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Log records and spans that a collector took, since the start.
    pub exported: u64,
    /// Log records that were not delivered: dropped earlier or left behind now.
    pub logs_lost: u64,
    /// Spans that were not delivered.
    pub spans_lost: u64,
    /// Whether the collector does not have the last state of the metrics.
    pub metrics_lost: bool,
    /// Lines that standard output did not take.
    pub lines_lost: u64,
    /// Whether the time was up before everything was flushed.
    pub timed_out: bool,
    /// Where the latest attempt went and why it failed, when one did: `http://collector:4318/v1/logs: Connection refused`.
    pub cause: Option<String>,
}

impl ShutdownReport {
    /// Returns whether everything arrived.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let report = telemetry.shutdown_blocking(std::time::Duration::from_secs(5));
    /// if !report.is_complete() {
    ///     eprintln!("{report}");
    /// }
    /// ```
    pub fn is_complete(&self) -> bool {
        self.logs_lost + self.spans_lost + self.lines_lost == 0
            && !self.metrics_lost
            && !self.timed_out
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_complete() {
            return write!(formatter, "telemetry flushed, nothing lost");
        }
        write!(
            formatter,
            "telemetry lost: {} log records, {} spans, {} lines{}{}",
            self.logs_lost,
            self.spans_lost,
            self.lines_lost,
            if self.metrics_lost { ", the last metrics" } else { "" },
            if self.timed_out { " (time was up)" } else { "" }
        )?;
        match &self.cause {
            Some(cause) => write!(formatter, "; {cause}"),
            None => Ok(()),
        }
    }
}

/// Completes on Ctrl-C or SIGTERM, after the service has been marked not ready. For `with_graceful_shutdown`.
///
/// ```
/// # async fn example(app: axum::Router, health: skopos::health::Health) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// axum::serve(listener, app).with_graceful_shutdown(skopos::shutdown_signal(health)).await?;
/// # Ok(())
/// # }
/// ```
pub async fn shutdown_signal(health: Health) {
    shutdown_signal_after(health, Duration::ZERO).await;
}

/// As [`shutdown_signal`], and then waits for load balancers to notice (one period of their readiness probe).
///
/// ```
/// # async fn example(app: axum::Router, health: skopos::health::Health) -> std::io::Result<()> {
/// # use std::time::Duration;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// let stop = skopos::shutdown_signal_after(health, Duration::from_secs(5));
/// axum::serve(listener, app).with_graceful_shutdown(stop).await?;
/// # Ok(())
/// # }
/// ```
pub async fn shutdown_signal_after(health: Health, grace: Duration) {
    wait_for_signal().await;
    health.mark_draining();
    tracing::info!(target: "skopos", "shutting down");
    if grace > Duration::ZERO {
        tokio::time::sleep(grace).await;
    }
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Without the handler SIGTERM ends the process anyway.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    let _ = tokio::signal::ctrl_c().await;
}
