//! The one way into the head for new data, whoever brings it, and the account of refusals.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopos_model::{Appended, MetricBatch, Rejection, SeriesSamples, SignalBatch};

use super::disk::Disk;
use super::view::{Frozen, View, Views};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::head::{Head, Prepared, PreparedBatch};
use crate::state::SampleSink;

/// The head with what must be held while it is changed.
pub(super) struct Ingest {
    views: Views,
    bounds: HeadBounds,
    /// Bytes of the active head right after it took what was carried over.
    carried_bytes: AtomicU64,
    /// The flusher has been told about the active head.
    told: AtomicBool,
    /// Held while something is applied, and while the head is exchanged.
    order: Mutex<()>,
    disk: Disk,
    pub(super) counters: IngestCounters,
}

/// How much memory heads may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadBounds {
    /// All heads together; beyond it batches are refused.
    pub(super) max_bytes: u64,
    /// The one that takes data in; beyond it it is flushed.
    pub(super) flush_bytes: u64,
}

impl HeadBounds {
    pub(super) fn new(config: &StoreConfig) -> Self {
        let max_bytes = config.max_head_bytes;
        // While one half is flushed the other fills up.
        Self { max_bytes, flush_bytes: config.blocks.flush_bytes.min(max_bytes / 2) }
    }

    /// Whether a head of this size is to be flushed. What is carried over stays in memory, so
    /// flushing for its sake would never end.
    pub(super) fn is_full_enough(&self, size_bytes: u64, carried_bytes: u64) -> bool {
        size_bytes > self.flush_bytes.max(carried_bytes.saturating_mul(2))
    }
}

/// A batch on its way: prepared, not yet readable.
pub(super) struct Taken {
    signal: Signal,
    pub(super) batch: PreparedBatch,
    receipt: Appended,
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
    /// Of the active head `carried_bytes` were carried over.
    pub(super) fn new(views: Views, bounds: HeadBounds, carried_bytes: u64, disk: Disk) -> Self {
        Self {
            views,
            bounds,
            carried_bytes: AtomicU64::new(carried_bytes),
            told: AtomicBool::new(false),
            order: Mutex::new(()),
            disk,
            counters: IngestCounters::default(),
        }
    }

    /// What reads see.
    pub(super) fn views(&self) -> &Views {
        &self.views
    }

    /// Whether the active head is to be flushed because of its size.
    pub(super) fn is_full_enough(&self, view: &View) -> bool {
        let carried = self.carried_bytes.load(Ordering::Relaxed);
        self.bounds.is_full_enough(view.active.size_bytes(), carried)
    }

    /// Whether the flusher should be told that the head is full enough; true once per head.
    pub(super) fn wants_flush(&self) -> bool {
        !self.told.load(Ordering::Relaxed)
            && self.is_full_enough(&self.views.current())
            && !self.told.swap(true, Ordering::Relaxed)
    }

    /// Gives the active head a successor, once `begin_segment` has made durable what the successor
    /// is told of it and says the number of the WAL segment that begins with that. Nothing may be
    /// on its way through the WAL, and there must be no frozen head.
    pub(super) fn freeze(
        &self,
        begin_segment: impl FnOnce(&MetricBatch) -> Result<u64, StoreError>,
    ) -> Result<(), StoreError> {
        let _order = self.lock_order();
        let head = self.head();
        let carried = head.carry_over();
        let wal_from = begin_segment(&carried)?;
        let successor = head.successor();
        successor.adopt(carried);
        let removed = head.stats().series.saturating_sub(successor.stats().series);
        head.guard().note_removed(removed);
        self.carried_bytes.store(successor.size_bytes(), Ordering::Relaxed);
        self.told.store(false, Ordering::Relaxed);
        let frozen = Arc::new(Frozen { head, wal_from });
        self.views.change(|view| {
            debug_assert!(view.frozen.is_none());
            view.active = Arc::new(successor);
            view.frozen = Some(frozen);
        });
        Ok(())
    }

    /// Checks a batch and makes it ready for the WAL. Only the appender may call it, because the
    /// head that numbers events must not be exchanged meanwhile.
    pub(super) fn prepare(&self, batch: SignalBatch) -> Result<Taken, StoreError> {
        let size_bytes = self.views.current().head_bytes();
        let max_bytes = self.bounds.max_bytes;
        if size_bytes > max_bytes {
            self.counters.head_full.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::HeadFull { size_bytes, max_bytes });
        }
        let signal = match &batch {
            SignalBatch::Metrics(_) => Signal::Metrics,
            SignalBatch::Logs(_) => Signal::Logs,
            SignalBatch::Traces(_) => Signal::Traces,
        };
        let Prepared { batch, accepted, rejected, folded } = self.head().prepare(batch);
        Ok(Taken { signal, batch, receipt: Appended { accepted, rejected, folded } })
    }

    /// Makes a durable batch readable; its receipt.
    pub(super) fn apply(&self, taken: Taken) -> Appended {
        let Taken { signal, batch, receipt } = taken;
        if !batch.is_empty() {
            let _order = self.lock_order();
            self.head().apply(batch);
        }
        self.counters.count(signal, receipt.accepted, &receipt.rejected);
        receipt
    }

    /// Forgets how far deltas have been added up beyond what can be read. Nothing may be on its way
    /// through the WAL.
    pub(super) fn forget_sums(&self) {
        self.head().forget_sums();
    }

    /// The disk and its floor.
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
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
