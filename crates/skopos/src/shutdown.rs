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

/// How long a service in Kubernetes takes traffic after SIGTERM: until its endpoint is out of every load balancer.
const KUBERNETES_GRACE: Duration = Duration::from_secs(5);

/// Completes on Ctrl-C or SIGTERM, after the service has been marked not ready. For `with_graceful_shutdown`.
///
/// In Kubernetes it goes on serving for five seconds in between, since a pod that is being ended still gets requests until all
/// load balancers know; anywhere else there is no delay. [`shutdown_signal_after`] says how long. A second signal ends the
/// waiting.
///
/// ```
/// # async fn example(app: axum::Router, health: skopos::health::Health) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// axum::serve(listener, app).with_graceful_shutdown(skopos::shutdown_signal(health)).await?;
/// # Ok(())
/// # }
/// ```
pub async fn shutdown_signal(health: Health) {
    let is_kubernetes = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let grace = if is_kubernetes { KUBERNETES_GRACE } else { Duration::ZERO };
    shutdown_signal_after(health, grace).await;
}

/// As [`shutdown_signal`], and goes on serving for this long, as not ready, until load balancers have noticed (one period of
/// their readiness probe). A second signal ends the waiting.
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
    let mut signals = Signals::new();
    signals.next().await;
    health.mark_draining();
    tracing::info!(target: "skopos", "shutting down");
    if grace > Duration::ZERO {
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            () = signals.next() => {}
        }
    }
}

/// Ctrl-C and SIGTERM, none of them lost between two looks.
#[cfg(unix)]
struct Signals {
    terminate: Option<tokio::signal::unix::Signal>,
    interrupt: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        // Without a handler the signal ends the process anyway.
        Signals {
            terminate: signal(SignalKind::terminate()).ok(),
            interrupt: signal(SignalKind::interrupt()).ok(),
        }
    }

    async fn next(&mut self) {
        async fn of(signal: &mut Option<tokio::signal::unix::Signal>) {
            match signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = of(&mut self.terminate) => {}
            () = of(&mut self.interrupt) => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Signals {
        Signals
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
