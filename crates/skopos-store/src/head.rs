//! The head: recent data in memory, readable the moment it is applied.
//!
//! What it is not: durable. The WAL stands before it, and replay fills it again through the same
//! [`Head::apply`]. It never removes anything by itself: its owner lets a [successor](Head::successor)
//! take its place and writes the old one to blocks as a whole. [`Head::size_bytes`] tells when.
//!
//! Constraints:
//! - [`Head::prepare`] decides, [`Head::apply`] obeys: whatever stands in a prepared batch is
//!   stored, so that replay cannot disagree with the first run.
//! - Calls of `prepare` for one series must come in the order of the WAL, and so must calls of
//!   `apply`; the engine's threads see to that. Between the two a batch may be on its way to the
//!   disk, and others be prepared meanwhile. Readers need no lock of the caller's: they take snapshots.
//! - Everything here is synchronous and waits only on short locks; long scans belong on a blocking
//!   pool.

mod cardinality;
pub(crate) mod chunk;
mod delta;
pub(crate) mod events;
pub(crate) mod guard;
mod metrics;
mod order;
pub(crate) mod postings;
mod prepare;
mod prepared;
pub(crate) mod series;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{
    MetricMetadata, QueryBudget, SampleBuffer, SeriesExemplars, SeriesSelect, SeriesSet,
    StorageError,
};
use skopos_model::{
    Clock, Exemplar, Labels, MetricBatch, SeriesSamples, SignalBatch, TimeRange, Timestamp, TraceId,
};

use crate::event;
use crate::event::scan::{self, Source};
use crate::follow::{FilteredFollower, Ring, Subscription};
use crate::limits::SeriesLimits;
use crate::scan::Follower;
use events::{EventTable, Segment};
use guard::Guard;
use metrics::{CarriedFrom, MetricHead};
pub use prepared::{Prepared, PreparedBatch};

/// How long after its last sample a series whose sender counts in deltas is still carried over.
/// Afterwards its sum begins anew. Others are carried over for the out-of-order window: afterwards
/// they are as if they were new, and a late sample is judged by our clock alone.
const DELTA_CARRIED_FOR: Duration = Duration::from_secs(6 * 3600);
/// How long a series is carried over whose newest sample is a stale marker: its target may be about
/// to come back. Series of pods, builds and the like that never do leave the memory with the flush
/// after that.
const STALE_CARRIED_FOR: Duration = Duration::from_secs(15 * 60);

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
    /// How many series there may be, and what they may look like.
    pub limits: SeriesLimits,
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
            limits: SeriesLimits::default(),
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
    guard: Arc<Guard>,
    metrics: MetricHead,
    logs: EventTable,
    spans: EventTable,
    /// Next event sequence number to hand out.
    sequence: AtomicU64,
    /// Monotonic nanoseconds of the first batch applied, plus one; 0 before.
    since: AtomicU64,
    /// Time of the earliest sample that came with a state commit, milliseconds.
    commits_from_ms: AtomicI64,
}

/// Events of both signals at one moment.
pub(crate) struct BothSignals {
    logs: Vec<Source>,
    spans: Vec<Source>,
}

impl BothSignals {
    pub(crate) fn of(&mut self, signal: EventSignal) -> &mut Vec<Source> {
        match signal {
            EventSignal::Logs => &mut self.logs,
            EventSignal::Spans => &mut self.spans,
        }
    }
}

impl Head {
    /// An empty head.
    pub fn new(config: HeadConfig, clock: Arc<dyn Clock>) -> Self {
        let ring = Arc::new(Ring::new(config.follow_ring_bytes));
        let guard = Arc::new(Guard::new(config.limits.clone(), Arc::clone(&clock)));
        Self::with(config, clock, ring, guard)
    }

    fn with(config: HeadConfig, clock: Arc<dyn Clock>, ring: Arc<Ring>, guard: Arc<Guard>) -> Self {
        Self {
            metrics: MetricHead::new(&config, Arc::clone(&guard)),
            guard,
            logs: EventTable::new(EventSignal::Logs, &config, Arc::clone(&ring)),
            spans: EventTable::new(EventSignal::Spans, &config, ring),
            sequence: AtomicU64::new(0),
            since: AtomicU64::new(0),
            commits_from_ms: AtomicI64::new(i64::MAX),
            config,
            clock,
        }
    }

    /// An empty head that goes on where this one stops: event numbers, followers. What `prepare`
    /// needs to know of series goes over with [`carry_over`](Self::carry_over).
    pub(crate) fn successor(&self) -> Self {
        let (ring, guard) = (Arc::clone(self.logs.ring()), Arc::clone(&self.guard));
        let new = Self::with(self.config.clone(), Arc::clone(&self.clock), ring, guard);
        new.sequence.store(self.next_sequence(), Ordering::Relaxed);
        new
    }

    /// The newest sample of every series that had one lately (and the newest value, when that is a
    /// stale marker), and the metadata: stored once more, so that the successor judges late
    /// samples and adds deltas up as this head would.
    pub(crate) fn carry_over(&self) -> MetricBatch {
        self.metrics.carry_over(&self.carried_from())
    }

    /// Whether there are series here that a successor would not know: they have ended, or had no
    /// sample for long.
    pub(crate) fn holds_ended_series(&self) -> bool {
        self.metrics.holds_ended(&self.carried_from())
    }

    fn carried_from(&self) -> CarriedFrom {
        let before = |lately: Duration| self.clock.now().saturating_sub(lately).as_millis();
        let window = self.config.out_of_order_window;
        CarriedFrom {
            delta_ms: before(DELTA_CARRIED_FOR.max(window * 2)),
            stale_ms: before(STALE_CARRIED_FOR),
            other_ms: before(window.max(STALE_CARRIED_FOR)),
        }
    }

    /// Takes what a predecessor has carried over. It does not count as something to flush.
    pub(crate) fn adopt(&self, carried: MetricBatch) {
        self.metrics.adopt(carried);
    }

    /// Whether anything but what was carried over is in here, and since when (monotonic clock).
    pub(crate) fn since(&self) -> Option<Duration> {
        self.since.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_nanos)
    }

    /// Notes that samples of a state commit, which have no frame in the WAL, are applied.
    pub(crate) fn note_commit_samples(&self, series: &[SeriesSamples]) {
        let times = series.iter().flat_map(|s| &s.samples).map(|s| s.timestamp_ms);
        if let Some(first) = times.min() {
            self.commits_from_ms.fetch_min(first, Ordering::Relaxed);
        }
    }

    /// Time of the earliest sample of a state commit in here, `i64::MAX` when there is none.
    pub(crate) fn commits_from_ms(&self) -> i64 {
        self.commits_from_ms.load(Ordering::Relaxed)
    }

    /// The next event sequence number.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Event sequence numbers below this have been given to events in blocks.
    pub(crate) fn raise_sequence(&self, next: u64) {
        self.sequence.fetch_max(next, Ordering::Relaxed);
    }

    /// Hands out every series for a block, in the order of blocks, without what was carried over.
    pub(crate) fn each_series_for_block(
        &self,
        each: impl FnMut(&Labels, &SampleBuffer, &[Exemplar]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.metrics.each_for_block(each)
    }

    /// Hands out the labels of the series that satisfy a select and may have samples in its range.
    pub(crate) fn each_with_samples(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
        mut each: impl FnMut(&Labels),
    ) -> Result<(), StorageError> {
        let selects = std::slice::from_ref(select);
        self.metrics.each_with_samples(selects, budget, |series| each(&series.labels))
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The batches of events of a signal.
    pub(crate) fn batches(&self, signal: EventSignal) -> Vec<RecordBatch> {
        self.table(signal).snapshot().iter().map(|segment| segment.batch.clone()).collect()
    }

    /// Events of a signal as they are now.
    pub(crate) fn sources(&self, signal: EventSignal) -> impl Iterator<Item = Source> + use<> {
        self.table(signal).snapshot().into_iter().map(Source::Memory)
    }

    /// The batches that may hold spans of a trace.
    pub(crate) fn trace_sources(&self, id: TraceId) -> impl Iterator<Item = Source> + use<> {
        self.spans.snapshot_of_trace(id).into_iter().map(Source::Memory)
    }

    /// Events as they are now, and everything that comes after them.
    pub(crate) fn sources_and_subscription(&self) -> (BothSignals, Subscription) {
        let (logs, spans, subscription) = self.logs.snapshot_and_subscribe(&self.spans);
        let sources = |segments: Vec<Arc<Segment>>| {
            segments.into_iter().map(Source::Memory).collect::<Vec<_>>()
        };
        (BothSignals { logs: sources(logs), spans: sources(spans) }, subscription)
    }

    /// Checks a batch and makes it ready to be stored: refuses what may not be stored, numbers
    /// events, adds deltas up. Reasons: `too_old`, `far_future`, `empty_labels`,
    /// `malformed_histogram`, `out_of_order` for a delta that is not newer than the sum it should
    /// be added to, and for new series the names of [`SeriesLimits`]' fields.
    ///
    /// Event numbers and sums advance at once: a prepared batch that is then not stored leaves a
    /// gap in the numbers, and its deltas in the sums until they are forgotten.
    pub fn prepare(&self, batch: SignalBatch) -> Prepared {
        prepare::prepare(self, batch)
    }

    /// Like [`prepare`](Self::prepare) for the samples of a state commit: rules and alerts go on
    /// whatever the limits of series say.
    pub(crate) fn prepare_commit(&self, batch: MetricBatch) -> Prepared {
        prepare::prepare_commit(self, batch)
    }

    /// The guard of this head and its successors.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Forgets how far deltas have been added up beyond what is stored: batches that were prepared
    /// will not be applied. From now on sums go on from the newest stored samples.
    pub(crate) fn forget_sums(&self) {
        self.metrics.deltas().forget();
    }

    /// Makes a prepared batch readable. Also used by replay: applying the same samples twice
    /// changes nothing, the same events twice stores them once; event numbers and delta sums go on
    /// from what was applied.
    pub fn apply(&self, batch: PreparedBatch) {
        if self.since.load(Ordering::Relaxed) == 0 {
            let now = u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX - 1);
            self.since.store(now.saturating_add(1), Ordering::Relaxed);
        }
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

    /// The label set of a known series in place of an equal one.
    pub(crate) fn own_labels(&self, labels: Labels) -> Labels {
        let own = self.metrics.lookup().find(&labels).map(|series| series.labels.clone());
        own.unwrap_or(labels)
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
        scan::scan(self.sources(scan.signal).collect(), scan, budget)
    }

    /// See [`ScanEvents::trace`](crate::scan::ScanEvents::trace).
    pub fn trace(
        &self,
        id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        scan::trace(self.trace_sources(id).collect(), id, budget)
    }

    /// See [`ScanEvents::follow_all`](crate::scan::ScanEvents::follow_all).
    pub fn follow(
        &self,
        scans: &[EventScan],
        budget: &QueryBudget,
    ) -> Result<(Vec<Vec<RecordBatch>>, Follower), StorageError> {
        scan::check_scans(scans)?;
        let (mut events, subscription) = self.sources_and_subscription();
        let mut stored = Vec::with_capacity(scans.len());
        for wanted in scans {
            let sources = std::mem::take(events.of(wanted.signal));
            stored.push(scan::scan(sources, wanted, budget)?);
        }
        Ok((stored, Follower::new(FilteredFollower::new(scans, subscription))))
    }

    /// See [`ScanEvents::services`](crate::scan::ScanEvents::services).
    pub fn services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        let signals = [EventSignal::Logs, EventSignal::Spans];
        scan::services(signals.into_iter().flat_map(|signal| self.sources(signal)), range)
    }

    /// See [`ScanEvents::span_services`](crate::scan::ScanEvents::span_services).
    pub fn span_services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        scan::services(self.sources(EventSignal::Spans), range)
    }

    /// See [`ScanEvents::operations`](crate::scan::ScanEvents::operations).
    pub fn operations(
        &self,
        service: &str,
        range: TimeRange,
    ) -> Result<Vec<(String, String)>, StorageError> {
        scan::operations(self.sources(EventSignal::Spans), service, range)
    }

    fn table(&self, signal: EventSignal) -> &EventTable {
        match signal {
            EventSignal::Logs => &self.logs,
            EventSignal::Spans => &self.spans,
        }
    }
}
