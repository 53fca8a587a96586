//! The head: recent data in memory, readable the moment it is applied.
//!
//! What it is not: durable. The WAL stands before it, and replay fills it again through the same
//! [`Head::apply`]. It never removes anything by itself; [`Head::size_bytes`] tells its owner when
//! to stop taking data in.
//!
//! Constraints:
//! - [`Head::prepare`] decides, [`Head::apply`] obeys: whatever stands in a prepared batch is
//!   stored, so that replay cannot disagree with the first run.
//! - Calls of `prepare` and `apply` for one series must come in the order of the WAL; the engine's
//!   critical section sees to that. Readers need no lock of the caller's: they take snapshots.
//! - Everything here is synchronous and waits only on short locks; long scans belong on a blocking
//!   pool.

mod chunk;
mod delta;
mod events;
mod metrics;
mod order;
mod postings;
mod prepare;
mod prepared;
mod scan;
mod series;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{
    MetricMetadata, QueryBudget, SeriesExemplars, SeriesSelect, SeriesSet, StorageError,
};
use skopos_model::{Clock, SignalBatch, TimeRange, TraceId};

pub use prepared::{Prepared, PreparedBatch};
pub(crate) use scan::project;

use crate::event;
use crate::scan::Follower;
use events::EventTable;
use metrics::MetricHead;

/// Limits of the head.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadConfig {
    /// How far behind the newest sample of *its own series* a sample may be. Judged per series, so
    /// that one sender's clock does not decide what is late for another, and an agent that catches
    /// up after an outage loses nothing. Judged against the state before the batch, so that the
    /// order within a batch does not matter. Default 1 hour.
    pub out_of_order_window: Duration,
    /// How far ahead of our clock a sample or event may be. Default 10 minutes.
    pub future_tolerance: Duration,
    /// Samples per sealed chunk. Until sealed a sample takes 16 bytes, after that one or two; with
    /// the default of 120 (half an hour at a scrape every 15 s) the unsealed ones take a
    /// kilobyte per series on average.
    pub chunk_samples: usize,
    /// Exemplars kept per series, the newest. Default 64.
    pub exemplars_per_series: usize,
    /// Rows at which a batch of events is no longer merged with others. Default 8192.
    pub segment_rows: usize,
    /// Bytes of new events kept per signal for slow followers. Default 16 MiB.
    pub follow_ring_bytes: usize,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            out_of_order_window: Duration::from_secs(3600),
            future_tolerance: Duration::from_secs(600),
            chunk_samples: 120,
            exemplars_per_series: 64,
            segment_rows: 8192,
            follow_ring_bytes: 16 << 20,
        }
    }
}

/// What the head holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadStats {
    /// Series known.
    pub series: u64,
    /// Samples held, each (series, time) once.
    pub samples: u64,
    /// Sealed chunks.
    pub chunks: u64,
    /// Bytes of the sealed chunks.
    pub chunk_bytes: u64,
    /// Log records held.
    pub logs: u64,
    /// Spans held.
    pub spans: u64,
    /// Bytes held by series, index and samples, about.
    pub metric_bytes: u64,
    /// Bytes held by log records and spans, about.
    pub event_bytes: u64,
}

/// Recent data of all signals.
pub struct Head {
    config: HeadConfig,
    clock: Arc<dyn Clock>,
    metrics: MetricHead,
    logs: EventTable,
    spans: EventTable,
    /// Next event sequence number to hand out.
    sequence: AtomicU64,
}

impl Head {
    /// An empty head.
    pub fn new(config: HeadConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            metrics: MetricHead::new(&config),
            logs: EventTable::new(EventSignal::Logs, &config),
            spans: EventTable::new(EventSignal::Spans, &config),
            sequence: AtomicU64::new(0),
            config,
            clock,
        }
    }

    /// Checks a batch and makes it ready to be stored: refuses what may not be stored, numbers
    /// events, adds deltas up. Reasons: `too_old`, `far_future`, `empty_labels`,
    /// `malformed_histogram`, and `out_of_order` for a delta that is not newer than the sum it
    /// should be added to.
    ///
    /// Event numbers and sums advance at once: a prepared batch that is then not stored leaves a
    /// gap in the numbers and its deltas in the sums of this run.
    pub fn prepare(&self, batch: SignalBatch) -> Prepared {
        prepare::prepare(self, batch)
    }

    /// Makes a prepared batch readable. Also used by replay: applying the same samples twice
    /// changes nothing, the same events twice stores them once; event numbers and delta sums go on
    /// from what was applied.
    pub fn apply(&self, batch: PreparedBatch) {
        match batch {
            PreparedBatch::Metrics(batch) => self.metrics.apply(batch),
            PreparedBatch::Logs { first_sequence, batch } => {
                let n = batch.groups.iter().map(|g| g.records.len() as u64).sum();
                self.sequence.fetch_max(first_sequence.saturating_add(n), Ordering::Relaxed);
                self.logs.insert(first_sequence, n, event::log_batches(first_sequence, &batch));
            }
            PreparedBatch::Traces { first_sequence, batch } => {
                let n = batch.groups.iter().map(|g| g.spans.len() as u64).sum();
                self.sequence.fetch_max(first_sequence.saturating_add(n), Ordering::Relaxed);
                self.spans.insert(first_sequence, n, event::span_batches(first_sequence, &batch));
            }
        }
    }

    /// Bytes held, about; follows every change at once and costs nothing to ask.
    pub fn size_bytes(&self) -> u64 {
        self.metrics.size_bytes() + self.logs.size_bytes() + self.spans.size_bytes()
    }

    /// Counts of what is held; costs nothing to ask.
    pub fn stats(&self) -> HeadStats {
        let mut stats = HeadStats {
            logs: self.logs.len(),
            spans: self.spans.len(),
            event_bytes: self.logs.size_bytes() + self.spans.size_bytes(),
            ..HeadStats::default()
        };
        self.metrics.fill_stats(&mut stats);
        stats
    }

    /// See [`SelectSeries::select`](skopos_model::storage::SelectSeries::select).
    pub fn select(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<SeriesSet, StorageError> {
        self.metrics.select(select, budget)
    }

    /// See [`SelectSeries::label_names`](skopos_model::storage::SelectSeries::label_names).
    pub fn label_names(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        self.metrics.label_names(selects, budget)
    }

    /// See [`SelectSeries::label_values`](skopos_model::storage::SelectSeries::label_values).
    pub fn label_values(
        &self,
        name: &str,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        self.metrics.label_values(name, selects, budget)
    }

    /// See [`SelectSeries::metadata`](skopos_model::storage::SelectSeries::metadata).
    pub fn metadata(&self, metric: Option<&str>) -> MetricMetadata {
        self.metrics.metadata(metric)
    }

    /// See [`SelectSeries::exemplars`](skopos_model::storage::SelectSeries::exemplars).
    pub fn exemplars(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        self.metrics.exemplars(select, budget)
    }

    /// See [`ScanEvents::scan`](crate::scan::ScanEvents::scan).
    pub fn scan(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        scan::scan(self.table(scan.signal).snapshot(), scan, budget)
    }

    /// See [`ScanEvents::trace`](crate::scan::ScanEvents::trace).
    pub fn trace(
        &self,
        id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        match self.spans.snapshot_of_trace(id) {
            Some((segments, times)) => scan::trace(segments, id, times, budget),
            None => Ok(Vec::new()),
        }
    }

    /// See [`ScanEvents::follow`](crate::scan::ScanEvents::follow).
    pub fn follow(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<(Vec<RecordBatch>, Follower), StorageError> {
        scan::check_projection(scan)?;
        let (segments, subscription) = self.table(scan.signal).snapshot_and_subscribe();
        let batches = scan::scan(segments, scan, budget)?;
        Ok((batches, Follower::new(crate::follow::FilteredFollower::new(scan, subscription))))
    }

    /// See [`ScanEvents::services`](crate::scan::ScanEvents::services).
    pub fn services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        scan::services([self.logs.snapshot(), self.spans.snapshot()], range)
    }

    /// See [`ScanEvents::span_services`](crate::scan::ScanEvents::span_services).
    pub fn span_services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        scan::services([self.spans.snapshot()], range)
    }

    /// See [`ScanEvents::operations`](crate::scan::ScanEvents::operations).
    pub fn operations(
        &self,
        service: &str,
        range: TimeRange,
    ) -> Result<Vec<(String, String)>, StorageError> {
        scan::operations(self.spans.snapshot(), service, range)
    }

    fn table(&self, signal: EventSignal) -> &EventTable {
        match signal {
            EventSignal::Logs => &self.logs,
            EventSignal::Spans => &self.spans,
        }
    }
}
