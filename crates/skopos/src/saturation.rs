//! How full things are: pools, queues, the runtime, the process and what its container may use.
//!
//! Everything is read when metrics are read; nothing runs in between. Gauges of one name tell several things apart by a label
//! whose values are the calls that registered them, so their number is bounded by the code.

use crate::metrics::Registry;

pub(crate) mod cgroup;
pub(crate) mod process;
pub(crate) mod runtime;

/// What a connection pool says of itself.
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// use skopos::PoolState;
///
/// telemetry.watch_pool("orders", || PoolState { size: 8, idle: 6, max: 10 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Connections that are open, idle ones included.
    pub size: u32,
    /// Open connections that nobody uses.
    pub idle: u32,
    /// Connections that may be open at most.
    pub max: u32,
}

impl PoolState {
    /// Returns the part of the pool that is in use, from 0 to 1.
    ///
    /// ```
    /// use skopos::PoolState;
    /// assert_eq!(PoolState { size: 4, idle: 1, max: 10 }.usage(), 0.3);
    /// ```
    pub fn usage(self) -> f64 {
        f64::from(self.size.saturating_sub(self.idle)) / f64::from(self.max.max(1))
    }
}

/// Shows a pool under the guide's name and the numbers behind it.
pub(crate) fn watch_pool(
    registry: &Registry,
    pool: &str,
    state: impl Fn() -> PoolState + Clone + Send + Sync + 'static,
) {
    let labels = [("pool", pool)];
    let read = state.clone();
    let help = "Part of the pool's connections in use, 0 to 1.";
    registry.gauge_fn("db_connection_pool_usage_ratio", help, &labels, move || read().usage());
    let help = "Connections by state.";
    let read = state.clone();
    registry.gauge_fn(
        "db_client_connection_count",
        help,
        &[("pool", pool), ("state", "used")],
        move || f64::from(read().size.saturating_sub(read().idle)),
    );
    let read = state.clone();
    registry.gauge_fn(
        "db_client_connection_count",
        help,
        &[("pool", pool), ("state", "idle")],
        move || f64::from(read().idle),
    );
    let help = "Connections that may be open at most.";
    registry.gauge_fn("db_client_connection_max", help, &labels, move || f64::from(state().max));
}

/// Shows a queue under the guide's name.
pub(crate) fn watch_queue(
    registry: &Registry,
    queue: &str,
    depth: impl Fn() -> usize + Send + Sync + 'static,
) {
    let labels = [("queue_name", queue)];
    registry.gauge_fn("task_queue_depth", "Tasks waiting.", &labels, move || depth() as f64);
}
