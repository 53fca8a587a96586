//! The tokio runtime: how busy its workers are, and what waits for them.
//!
//! What tokio tells without `--cfg tokio_unstable`. That lacks the time of single polls; what a poll that blocks does to the
//! others is seen by [`lag`]: a timer on the runtime that comes late because no worker was free.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock;
use crate::metrics::{Histogram, Registry};

/// How often the lag is measured.
const EVERY: Duration = Duration::from_millis(100);
const LAG_BOUNDS: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Shows a runtime's metrics, and starts a task on it that measures how late timers come.
pub(crate) fn watch(registry: &Registry, handle: &Handle) {
    let metrics = handle.metrics();
    let gauge = |name: &str, help: &str, read: fn(&tokio::runtime::RuntimeMetrics) -> usize| {
        let metrics = metrics.clone();
        registry.gauge_fn(name, help, &[], move || read(&metrics) as f64);
    };
    gauge("tokio_workers", "Worker threads of the runtime.", |metrics| metrics.num_workers());
    gauge("tokio_alive_tasks", "Tasks that have not ended.", |metrics| metrics.num_alive_tasks());
    gauge("tokio_global_queue_depth", "Tasks that wait for any worker.", |metrics| {
        metrics.global_queue_depth()
    });
    #[cfg(target_has_atomic = "64")]
    {
        let read = metrics.clone();
        let help = "Time that workers were busy, summed over them.";
        registry.sum_fn("tokio_busy_seconds_total", help, &[], move || {
            let busy =
                (0..read.num_workers()).map(|worker| read.worker_total_busy_duration(worker));
            busy.sum::<Duration>().as_secs_f64()
        });
        let help = "Times that a worker had nothing to do and slept.";
        registry.counter_fn("tokio_park_total", help, &[], move || {
            (0..metrics.num_workers()).map(|worker| metrics.worker_park_count(worker)).sum()
        });
    }
    let help = "How late a timer came: time for which no worker was free.";
    let late = registry.histogram("tokio_scheduler_lag_seconds", help, LAG_BOUNDS);
    handle.spawn(lag(late));
}

/// Measures until the runtime ends.
async fn lag(late: Histogram) {
    loop {
        let due = clock::instant() + EVERY;
        tokio::time::sleep_until(due.into()).await;
        late.observe(clock::instant().saturating_duration_since(due).as_secs_f64());
    }
}
