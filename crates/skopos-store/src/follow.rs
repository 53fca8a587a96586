//! Following events as they come: a bounded ring between ingest and followers.
//!
//! Overflow policy: ingest never waits. The ring keeps the newest batches up to a number of bytes,
//! and only while somebody follows; a follower that falls behind it is told how many events it
//! missed and goes on with the oldest still there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use skopos_model::TimeRange;
use skopos_model::event::{EventScan, EventSignal};
use tokio::sync::watch;

use crate::event::filter::matching_rows;
use crate::scan::{FollowSource, Followed};

/// The ring of both signals: one order of arrival.
pub(crate) struct Ring {
    shared: Arc<Mutex<Buffer>>,
    /// How many events went by so far; its closing tells followers that the store closes.
    passed: watch::Sender<u64>,
    max_bytes: usize,
}

/// Events of each signal.
type Counts = [u64; 2];

fn place(signal: EventSignal) -> usize {
    match signal {
        EventSignal::Logs => 0,
        EventSignal::Spans => 1,
    }
}

#[derive(Default)]
struct Buffer {
    entries: VecDeque<Entry>,
    bytes: usize,
    passed: Counts,
}

struct Entry {
    /// How many events went by before it.
    before: Counts,
    signal: EventSignal,
    batch: RecordBatch,
}

impl Entry {
    fn after(&self) -> Counts {
        let mut after = self.before;
        after[place(self.signal)] += self.batch.num_rows() as u64;
        after
    }
}

impl Ring {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { shared: Arc::default(), passed: watch::Sender::new(0), max_bytes }
    }

    /// Passes a batch on. Order of calls is order of arrival.
    pub(crate) fn push(&self, signal: EventSignal, batch: &RecordBatch) {
        let passed = {
            let mut buffer = lock(&self.shared);
            let before = buffer.passed;
            buffer.passed[place(signal)] += batch.num_rows() as u64;
            if self.passed.receiver_count() > 0 {
                buffer.bytes += batch.get_array_memory_size();
                buffer.entries.push_back(Entry { before, signal, batch: batch.clone() });
                while buffer.bytes > self.max_bytes && buffer.entries.len() > 1 {
                    if let Some(oldest) = buffer.entries.pop_front() {
                        buffer.bytes -= oldest.batch.get_array_memory_size();
                    }
                }
            } else {
                buffer.entries.clear();
                buffer.bytes = 0;
            }
            buffer.passed.iter().sum()
        };
        self.passed.send_replace(passed);
    }

    /// Starts following with the next batch.
    pub(crate) fn subscribe(&self) -> Subscription {
        let passed = self.passed.subscribe();
        let seen = lock(&self.shared).passed;
        Subscription { shared: Arc::clone(&self.shared), passed, seen }
    }
}

fn lock(shared: &Mutex<Buffer>) -> MutexGuard<'_, Buffer> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the ring.
pub(crate) struct Subscription {
    shared: Arc<Mutex<Buffer>>,
    passed: watch::Receiver<u64>,
    /// How many events this follower has seen or missed, those before it included.
    seen: Counts,
}

/// What comes next in the ring.
enum Next {
    Batch(EventSignal, RecordBatch),
    /// So many of each signal are gone.
    Missed(Counts),
}

impl Subscription {
    async fn next(&mut self) -> Option<Next> {
        loop {
            // Marked as seen before looking, so that a push in between wakes us again.
            self.passed.borrow_and_update();
            if let Some(next) = self.take() {
                return Some(next);
            }
            self.passed.changed().await.ok()?;
        }
    }

    fn take(&mut self) -> Option<Next> {
        let buffer = lock(&self.shared);
        // Of each signal or of none: counts grow together.
        let seen: u64 = self.seen.iter().sum();
        let at = buffer.entries.partition_point(|e| e.before.iter().sum::<u64>() < seen);
        let entry = buffer.entries.get(at)?;
        if entry.before != self.seen {
            let missed = std::array::from_fn(|i| entry.before[i] - self.seen[i]);
            self.seen = entry.before;
            return Some(Next::Missed(missed));
        }
        self.seen = entry.after();
        Some(Next::Batch(entry.signal, entry.batch.clone()))
    }
}

/// Yields what scans want of what goes by, whatever its time: what arrives is news, however long
/// ago it began. Order, limit and range of the scans do not apply.
pub(crate) struct FilteredFollower {
    scans: Vec<EventScan>,
    subscription: Subscription,
}

impl FilteredFollower {
    /// At most one scan per signal counts.
    pub(crate) fn new(scans: &[EventScan], subscription: Subscription) -> Self {
        Self { scans: scans.to_vec(), subscription }
    }
}

#[async_trait]
impl FollowSource for FilteredFollower {
    async fn next(&mut self) -> Option<Followed> {
        loop {
            let (signal, batch) = match self.subscription.next().await? {
                Next::Batch(signal, batch) => (signal, batch),
                Next::Missed(counts) => {
                    let missed = self.scans.iter().map(|scan| counts[place(scan.signal)]).sum();
                    if missed == 0 {
                        continue;
                    }
                    return Some(Followed::Missed(missed));
                }
            };
            let Some(scan) = self.scans.iter().find(|scan| scan.signal == signal) else { continue };
            // Batches come from the head itself, so their columns are there.
            let rows = matching_rows(signal, &batch, TimeRange::ALL, &scan.predicates).ok()?;
            if rows.is_empty() {
                continue;
            }
            let batch = if rows.len() == batch.num_rows() {
                batch
            } else {
                let rows = arrow_array::UInt32Array::from(rows);
                arrow_select::take::take_record_batch(&batch, &rows).ok()?
            };
            let batch = crate::event::scan::project(batch, scan.projection.as_deref()).ok()?;
            return Some(Followed::Batch(signal, batch));
        }
    }
}
