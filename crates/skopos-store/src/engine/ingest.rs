//! The one way into the head for new data, whoever brings it, and the account of refusals.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use skopos_model::{MetricBatch, Rejection, SeriesSamples, SignalBatch};

use super::view::{Frozen, View, Views};
use crate::error::StoreError;
use crate::head::{Head, Prepared, PreparedBatch};
use crate::state::SampleSink;

/// The head with what must be held while it is changed.
pub(super) struct Ingest {
    views: Views,
    max_head_bytes: u64,
    flush_bytes: u64,
    /// Bytes of the active head right after it took what was carried over.
    carried_bytes: AtomicU64,
    /// The flusher has been told about the active head.
    told: AtomicBool,
    /// Held from prepare to apply, so that no other batch comes between.
    order: Mutex<()>,
    pub(super) counters: IngestCounters,
}

/// What has come in and what was refused.
#[derive(Default)]
pub(super) struct IngestCounters {
    /// Samples, records and spans accepted, by signal in the order of [`Signal`].
    pub(super) accepted: [AtomicU64; 3],
    /// Batches refused because the head was full.
    pub(super) head_full: AtomicU64,
    /// Items refused, by reason. Reasons are a closed set, so this stays small.
    pub(super) rejected: Mutex<BTreeMap<Cow<'static, str>, u64>>,
}

/// The signals, as counters are indexed.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    Metrics = 0,
    Logs = 1,
    Traces = 2,
}

impl Ingest {
    pub(super) fn new(views: Views, max_head_bytes: u64, flush_bytes: u64) -> Self {
        Self {
            views,
            max_head_bytes,
            flush_bytes: flush_bytes.min(max_head_bytes / 2),
            carried_bytes: AtomicU64::new(0),
            told: AtomicBool::new(false),
            order: Mutex::new(()),
            counters: IngestCounters::default(),
        }
    }

    /// What reads see.
    pub(super) fn views(&self) -> &Views {
        &self.views
    }

    /// Whether the active head is to be flushed because of its size. What is carried over stays
    /// in memory, so flushing for its sake would never end.
    pub(super) fn is_full_enough(&self, view: &View) -> bool {
        let carried = self.carried_bytes.load(Ordering::Relaxed);
        view.active.size_bytes() > self.flush_bytes.max(carried.saturating_mul(2))
    }

    /// Whether the flusher should be told that the head is full enough; true once per head.
    pub(super) fn wants_flush(&self) -> bool {
        !self.told.load(Ordering::Relaxed)
            && self.is_full_enough(&self.views.current())
            && !self.told.swap(true, Ordering::Relaxed)
    }

    /// Gives the active head a successor; the frozen one and what the successor was told of it.
    /// There must be no frozen head.
    pub(super) fn freeze(&self) -> (Arc<Frozen>, MetricBatch) {
        let _order = self.lock_order();
        let head = Arc::clone(&self.views.current().active);
        let carried = head.carry_over();
        let successor = head.successor();
        successor.adopt(carried.clone());
        let removed = head.stats().series.saturating_sub(successor.stats().series);
        head.guard().note_removed(removed);
        self.carried_bytes.store(successor.size_bytes(), Ordering::Relaxed);
        self.told.store(false, Ordering::Relaxed);
        let frozen = Arc::new(Frozen { head, wal_from: OnceLock::new() });
        self.views.change(|view| {
            debug_assert!(view.frozen.is_none());
            view.active = Arc::new(successor);
            view.frozen = Some(Arc::clone(&frozen));
        });
        (frozen, carried)
    }

    /// Prepares a batch, lets `log` take it down, and makes it readable, as one step. When `log`
    /// fails, the batch is not applied.
    pub(super) fn take_in<T>(
        &self,
        batch: SignalBatch,
        log: impl FnOnce(&Prepared) -> Result<T, StoreError>,
    ) -> Result<(T, u64, Vec<Rejection>), StoreError> {
        let size_bytes = self.views.current().head_bytes();
        if size_bytes > self.max_head_bytes {
            self.counters.head_full.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::HeadFull { size_bytes, max_bytes: self.max_head_bytes });
        }
        let signal = match &batch {
            SignalBatch::Metrics(_) => Signal::Metrics,
            SignalBatch::Logs(_) => Signal::Logs,
            SignalBatch::Traces(_) => Signal::Traces,
        };
        let _order = self.lock_order();
        let head = self.head();
        let prepared = head.prepare(batch);
        let logged = log(&prepared)?;
        let Prepared { batch, accepted, rejected } = prepared;
        if !batch.is_empty() {
            head.apply(batch);
        }
        self.counters.count(signal, accepted, &rejected);
        Ok((logged, accepted, rejected))
    }

    /// The head that takes data in; stays so while the order lock is held.
    fn head(&self) -> Arc<Head> {
        Arc::clone(&self.views.current().active)
    }

    fn lock_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IngestCounters {
    fn count(&self, signal: Signal, accepted: u64, rejected: &[Rejection]) {
        if let Some(counter) = self.accepted.get(signal as usize) {
            counter.fetch_add(accepted, Ordering::Relaxed);
        }
        if !rejected.is_empty() {
            let mut by_reason = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
            for rejection in rejected {
                *by_reason.entry(rejection.reason.clone()).or_default() += rejection.count;
            }
        }
    }
}

/// The samples of state commits. The head's bound does not apply to them: rules must go on.
pub(super) struct CommitSamples(pub(super) Arc<Ingest>);

impl SampleSink for CommitSamples {
    fn prepare(&self, samples: Vec<SeriesSamples>) -> Vec<SeriesSamples> {
        let ingest = &self.0;
        let _order = ingest.lock_order();
        let batch = MetricBatch { series: samples, metadata: Vec::new() };
        let prepared = ingest.head().prepare_commit(batch);
        ingest.counters.count(Signal::Metrics, prepared.accepted, &prepared.rejected);
        match prepared.batch {
            PreparedBatch::Metrics(batch) => batch.series,
            _ => Vec::new(),
        }
    }

    fn apply(&self, samples: Vec<SeriesSamples>) {
        let _order = self.0.lock_order();
        let head = self.0.head();
        head.note_commit_samples(&samples);
        let batch = MetricBatch { series: samples, metadata: Vec::new() };
        head.apply(PreparedBatch::Metrics(batch));
    }

    fn needed_from_ms(&self) -> i64 {
        let view = self.0.views.current();
        view.heads().map(|head| head.commits_from_ms()).min().unwrap_or(i64::MIN)
    }
}
