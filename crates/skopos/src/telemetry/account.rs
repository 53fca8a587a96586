//! The SDK's account of itself: what left, what failed, what was lost.

#[cfg(feature = "otlp")]
use std::sync::atomic::Ordering;

use super::Inner;
#[cfg(feature = "otlp")]
use crate::export::{self, Exporter};
#[cfg(feature = "otlp")]
use crate::metrics::Registry;

impl Inner {
    /// The SDK's account of itself.
    pub(super) fn register_own_metrics(&self) {
        if let Some(writer) = self.writer.clone() {
            self.metrics.counter_fn(
                "skopos_log_lines_dropped_total",
                "Log lines that standard output did not take.",
                &[],
                move || writer.dropped(),
            );
        }
        #[cfg(feature = "otlp")]
        {
            if let Some(logs) = &self.logs {
                register_exporter(&self.metrics, logs);
            }
            if let Some(spans) = &self.spans {
                register_exporter(&self.metrics, spans);
            }
            if let Some(pusher) = &self.pusher {
                let pusher = pusher.clone();
                register_counts(&self.metrics, "metrics", move || pusher.clone());
            }
        }
    }
}

#[cfg(feature = "otlp")]
fn register_exporter<S: export::Signal>(metrics: &Registry, exporter: &Exporter<S>) {
    let exporter = exporter.clone();
    register_counts(metrics, S::NAME, move || exporter.clone());
}

/// Shows what became of a signal's items.
#[cfg(feature = "otlp")]
fn register_counts<C: export::Counted>(metrics: &Registry, signal: &str, exporter: impl Fn() -> C) {
    use export::Counts;
    use std::sync::atomic::AtomicU64;
    let signal = ("signal", signal);
    let add =
        |name: &str, help: &str, labels: &[(&str, &str)], field: fn(&Counts) -> &AtomicU64| {
            let exporter = exporter();
            metrics.counter_fn(name, help, labels, move || {
                field(exporter.counts()).load(Ordering::Relaxed)
            });
        };
    add("skopos_telemetry_exported_total", "Items that a collector took.", &[signal], |counts| {
        &counts.exported
    });
    add(
        "skopos_telemetry_failed_requests_total",
        "Export requests that failed, retried ones included.",
        &[signal],
        |counts| &counts.failed_requests,
    );
    let dropped = "skopos_telemetry_dropped_total";
    let help = "Items that were not delivered, by reason.";
    add(dropped, help, &[signal, ("reason", "queue_full")], |counts| &counts.dropped_queue_full);
    add(dropped, help, &[signal, ("reason", "refused")], |counts| &counts.dropped_refused);
    add(dropped, help, &[signal, ("reason", "unreachable")], |counts| &counts.dropped_unreachable);
    add(dropped, help, &[signal, ("reason", "closed")], |counts| &counts.dropped_closed);
    if exporter().is_local() {
        let help = "Items for which no collector of this machine was there; in development only.";
        add("skopos_telemetry_unheard_total", help, &[signal], |counts| &counts.unheard);
    }
}
