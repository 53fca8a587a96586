//! What operators reach: probes, metrics, version, the log level.

use std::time::Duration;

use super::Telemetry;
use crate::level::{LogLevel, LogLevelError};

impl Telemetry {
    /// Returns a router with `/metrics` and the three probes.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let health = skopos::health::Health::builder().build();
    /// let app: axum::Router = axum::Router::new().merge(telemetry.ops_router(health));
    /// # let _ = app;
    /// ```
    #[cfg(feature = "axum")]
    pub fn ops_router<S: Clone + Send + Sync + 'static>(
        &self,
        health: crate::health::Health,
    ) -> axum::Router<S> {
        crate::ops::router(self.inner.metrics.clone(), health)
    }

    /// Returns a router with `/version` and `/admin/log-level`, which reads (`GET`), changes (`PUT`) and restores (`DELETE`)
    /// the log level. It asks for no password: put it where only operators reach it. [`Telemetry::serve_ops`] has it.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let for_operators: axum::Router = axum::Router::new().merge(telemetry.admin_router());
    /// # let _ = for_operators;
    /// ```
    #[cfg(feature = "axum")]
    pub fn admin_router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        crate::ops::admin_router(&self.inner.service, self.inner.level.clone())
    }

    /// Serves `/metrics`, the three probes, `/version` and `/admin/log-level` on a port of their own. Must be called on a
    /// tokio runtime.
    ///
    /// ```
    /// # async fn example(telemetry: skopos::Telemetry, health: skopos::health::Health) -> std::io::Result<()> {
    /// let ops = telemetry.serve_ops(([0, 0, 0, 0], 9090).into(), health).await?;
    /// # let _ = ops;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The address cannot be bound.
    #[cfg(feature = "axum")]
    pub async fn serve_ops(
        &self,
        address: std::net::SocketAddr,
        health: crate::health::Health,
    ) -> std::io::Result<crate::OpsServer> {
        let router = self.ops_router(health).merge(self.admin_router());
        crate::OpsServer::bind(address, router).await
    }

    /// Returns what is logged now, and until when.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// assert_eq!(telemetry.log_level().usual, "info");
    /// ```
    pub fn log_level(&self) -> LogLevel {
        self.inner.level.current()
    }

    /// Logs by another filter (syntax of `RUST_LOG`, without directives about spans) for a while; then the usual one comes
    /// back by itself. `PUT /admin/log-level` on the ops port and SIGUSR1 do the same.
    ///
    /// ```
    /// use std::time::Duration;
    /// use skopos::{Service, Telemetry};
    ///
    /// let (telemetry, _layer) = Telemetry::builder(Service::new("shop")).without_lines().build()?;
    /// let level = telemetry.set_log_level("info,shop::cart=debug", Duration::from_secs(600))?;
    /// assert_eq!(level.temporary.as_deref(), Some("info,shop::cart=debug"));
    /// telemetry.reset_log_level();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The filter does not parse or is about spans, it goes below INFO in production, or the time is not from one second to
    /// a day.
    pub fn set_log_level(
        &self,
        filter: &str,
        duration: Duration,
    ) -> Result<LogLevel, LogLevelError> {
        self.inner.level.set(filter, duration)
    }

    /// Puts the usual filter back in force; returns whether another one was.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// assert!(!telemetry.reset_log_level(), "nothing was changed");
    /// ```
    pub fn reset_log_level(&self) -> bool {
        self.inner.level.reset()
    }
}
