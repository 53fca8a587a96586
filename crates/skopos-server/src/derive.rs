//! Metrics derived from spans and log records at ingest: counted once a batch is stored, written on
//! a fixed cadence through the same `Append` as everything else.
//!
//! What is counted and how counters begin, end and stay bounded stands in [`skopos_ingest::derive`];
//! here is the waiting. A tick that could not be stored is made up for by the next, because values
//! are sums. The last tick comes after the last acknowledgement of an orderly stop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skopos::metrics::Registry;
use skopos_ingest::derive::{DeriveLimits, DeriveOptions, DerivedMetrics, Folded, Tally};
use skopos_model::{Clock, Rejection, SignalBatch, Timestamp};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::receipts::{Receipts, Signal};
use crate::state::Storage;

/// The sender of derived samples in receipts.
const SENDER: &str = "skopos";

/// Counts events and writes the counters.
pub(crate) struct Deriver {
    options: DeriveOptions,
    interval: Duration,
    /// How far ahead of the clock the store takes events.
    future_tolerance: Duration,
    metrics: Mutex<DerivedMetrics>,
    samples: AtomicU64,
    failures: AtomicU64,
    store: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    receipts: Arc<Receipts>,
}

impl Deriver {
    pub(crate) fn new(
        settings: &Settings,
        future_tolerance: Duration,
        store: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        receipts: Arc<Receipts>,
    ) -> Self {
        let options = DeriveOptions {
            spans: settings.derive_spans,
            logs: settings.derive_logs,
            drop_debug_in_production: settings.drop_debug_in_production,
            limits: DeriveLimits {
                operations: settings.max_derived_operations,
                span_names: settings.max_derived_span_names,
                ..DeriveLimits::default()
            },
        };
        let metrics = DerivedMetrics::new(options.limits.clone(), clock.now().as_millis());
        Self {
            options,
            interval: settings.derive_interval,
            future_tolerance,
            metrics: Mutex::new(metrics),
            samples: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            store,
            clock,
            receipts,
        }
    }

    /// Counts a decoded batch, and takes out what is not to be stored; to be called where decoding
    /// runs, because it looks at every event.
    pub(crate) fn tally(&self, batch: &mut SignalBatch, now: Timestamp) -> (Tally, Vec<Rejection>) {
        Tally::of(batch, &self.options, now.saturating_add(self.future_tolerance))
    }

    /// Adds the tally of a batch that is stored now.
    pub(crate) fn add(&self, tally: &Tally) {
        if tally.is_empty() {
            return;
        }
        let news = self.lock().add(tally);
        for Folded { service, limit, first, .. } in news {
            tracing::warn!(
                service = &*service,
                limit,
                first = &*first,
                "too many operations: further ones are counted as `other`; put ids into \
                 attributes instead of span names, or raise derive.max_{limit}"
            );
        }
    }

    /// What is counted as `other`.
    pub(crate) fn folded(&self) -> Vec<Folded> {
        self.lock().folded().cloned().collect()
    }

    /// Writes until told to stop, and then once more.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        if !self.options.spans && !self.options.logs {
            return;
        }
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.tick().await,
            }
        }
        self.tick().await;
    }

    async fn tick(&self) {
        let now_ms = self.clock.now().as_millis();
        let batch = self.lock().tick(now_ms);
        if batch.series.is_empty() {
            return self.lock().stored();
        }
        match self.store.append(SignalBatch::Metrics(batch)).await {
            Ok(appended) => {
                self.lock().stored();
                self.samples.fetch_add(appended.accepted, Ordering::Relaxed);
                for rejection in appended.rejected {
                    let ours = Rejection { sender: SENDER.to_owned(), ..rejection };
                    self.receipts.reject(Signal::Metrics, &ours);
                }
            }
            Err(error) => {
                // The store's own state is reported by its watcher; counts wait for the next tick.
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "derived samples wait");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, DerivedMetrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Exposes what is derived.
pub(crate) fn register(registry: &Registry, deriver: &Arc<Deriver>) {
    let weak = Arc::downgrade(deriver);
    let read = |read: fn(&Deriver) -> u64| {
        let weak = weak.clone();
        move || weak.upgrade().map_or(0, |deriver| read(&deriver))
    };
    let operations = read(|deriver| deriver.lock().operation_count() as u64);
    let (name, help) = ("skopos_derive_operations", "Operations told apart in metrics from spans.");
    registry.gauge_fn(name, help, &[], move || operations() as f64);
    let counter = |name: &str, help: &str, field: fn(&Deriver) -> u64| {
        registry.counter_fn(name, help, &[], read(field));
    };
    counter("skopos_derive_samples_total", "Samples written.", |deriver| {
        deriver.samples.load(Ordering::Relaxed)
    });
    counter(
        "skopos_derive_failures_total",
        "Writes that the store refused; the next one makes up for it.",
        |deriver| deriver.failures.load(Ordering::Relaxed),
    );
    counter(
        "skopos_derive_folded_items_total",
        "Spans and records counted as `other` because of a limit.",
        |deriver| deriver.lock().folded().map(|folded| folded.count).sum(),
    );
}
