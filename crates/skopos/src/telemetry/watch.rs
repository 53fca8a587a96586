//! What a service shows of itself: pools, queues, runtime, process; and the objectives it declares.

use std::sync::atomic::Ordering;

use super::Telemetry;
use crate::saturation::{self, PoolState};
use crate::slo::{Objective, ObjectiveError, Objectives, Sli};

impl Telemetry {
    /// Declares an objective: see [`slo`](crate::slo). The same one may be declared again.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// use skopos::slo::Objective;
    ///
    /// let objective = Objective::availability("orders-availability", "/orders");
    /// telemetry.objective(objective.owner("team-orders").runbook("runbooks/orders.md"))?;
    /// # Ok::<(), skopos::slo::ObjectiveError>(())
    /// ```
    ///
    /// # Errors
    /// It lacks a part, cannot be kept or cannot be counted, or another one has its name.
    pub fn objective(&self, objective: Objective) -> Result<(), ObjectiveError> {
        self.inner.objectives.declare(objective)
    }

    /// Returns an indicator of one's own, `sli_events_total{sli,verdict}`: see [`slo`](crate::slo). At most 50 are kept apart.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// telemetry.sli("prices-fresh").record(true);
    /// ```
    pub fn sli(&self, name: &str) -> Sli {
        Objectives::sli(&self.inner.metrics, name)
    }

    /// Writes the specification of all objectives that were declared, for `skopos slo`.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// // `my-service --print-slo > slo.yml`, and then `skopos slo generate slo.yml`
    /// print!("{}", telemetry.objectives_yaml());
    /// ```
    pub fn objectives_yaml(&self) -> String {
        self.inner.objectives.yaml(self.inner.service.name())
    }

    /// Shows how full a connection pool is: `db_connection_pool_usage_ratio{pool}` and the numbers behind it.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build()?.0;
    /// use skopos::PoolState;
    /// telemetry.watch_pool("orders", || PoolState { size: 8, idle: 6, max: 10 });
    /// # let text = telemetry.registry().encode(skopos::metrics::Format::Prometheus);
    /// # assert!(text.contains("db_connection_pool_usage_ratio{pool=\"orders\"} 0.2"));
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    pub fn watch_pool(
        &self,
        pool: &str,
        state: impl Fn() -> PoolState + Clone + Send + Sync + 'static,
    ) {
        saturation::watch_pool(&self.inner.metrics, pool, state);
    }

    /// Shows how many tasks wait in a queue: `task_queue_depth{queue_name}`.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build()?.0;
    /// let (sender, receiver) = tokio::sync::mpsc::channel::<u8>(64);
    /// telemetry.watch_queue("emails", move || receiver.len());
    /// # drop(sender);
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    pub fn watch_queue(&self, queue: &str, depth: impl Fn() -> usize + Send + Sync + 'static) {
        saturation::watch_queue(&self.inner.metrics, queue, depth);
    }

    /// Shows how busy a tokio runtime is: workers, tasks, queue, busy time and `tokio_scheduler_lag_seconds`, which a task of
    /// ours measures on that runtime. Its timers must be enabled. One runtime is watched: the first. [`init`] does so by itself.
    ///
    /// ```no_run
    /// # let telemetry = skopos::init()?;
    /// telemetry.watch_runtime(&tokio::runtime::Handle::current());
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    pub fn watch_runtime(&self, runtime: &tokio::runtime::Handle) {
        if !self.inner.is_runtime_watched.swap(true, Ordering::Relaxed) {
            saturation::runtime::watch(&self.inner.metrics, runtime);
        }
    }

    /// Shows the process (`process_*`: processor time, memory, file descriptors) and what its container may use
    /// (`container_*`). [`init`] does so by itself; to say it again changes nothing.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// telemetry.watch_process();
    /// ```
    pub fn watch_process(&self) {
        if !self.inner.is_process_watched.swap(true, Ordering::Relaxed) {
            saturation::process::watch(&self.inner.metrics);
            saturation::cgroup::watch(&self.inner.metrics);
        }
    }
}
