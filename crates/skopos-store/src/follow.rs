//! Following events as they come: a bounded ring between ingest and followers.
//!
//! Overflow policy: ingest never waits. The ring keeps the newest batches up to a number of bytes,
//! and only while somebody follows; a follower that falls behind it is told how many events it
//! missed and goes on with the oldest still there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use skopos_model::event::EventScan;
use tokio::sync::watch;

use crate::event::filter::matching_rows;
use crate::scan::{FollowSource, Followed};

/// The ring of one signal.
pub(crate) struct Ring {
    shared: Arc<Mutex<Buffer>>,
    /// How many events went by so far; its closing tells followers that the store closes.
    passed: watch::Sender<u64>,
    max_bytes: usize,
}

#[derive(Default)]
struct Buffer {
    /// Batches with the number of events that went by before them.
    batches: VecDeque<(u64, RecordBatch)>,
    bytes: usize,
    passed: u64,
}

impl Ring {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { shared: Arc::default(), passed: watch::Sender::new(0), max_bytes }
    }

    /// Passes a batch on. Order of calls is order of arrival.
    pub(crate) fn push(&self, batch: &RecordBatch) {
        let passed = {
            let mut buffer = lock(&self.shared);
            let before = buffer.passed;
            buffer.passed += batch.num_rows() as u64;
            if self.passed.receiver_count() > 0 {
                buffer.bytes += batch.get_array_memory_size();
                buffer.batches.push_back((before, batch.clone()));
                while buffer.bytes > self.max_bytes && buffer.batches.len() > 1 {
                    if let Some((_, oldest)) = buffer.batches.pop_front() {
                        buffer.bytes -= oldest.get_array_memory_size();
                    }
                }
            } else {
                buffer.batches.clear();
                buffer.bytes = 0;
            }
            buffer.passed
        };
        self.passed.send_replace(passed);
    }

    /// Starts following with the next batch.
    pub(crate) fn subscribe(&self) -> Subscription {
        let passed = self.passed.subscribe();
        let next = lock(&self.shared).passed;
        Subscription { shared: Arc::clone(&self.shared), passed, next }
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
    next: u64,
}

impl Subscription {
    async fn next(&mut self) -> Option<Followed> {
        loop {
            // Marked as seen before looking, so that a push in between wakes us again.
            self.passed.borrow_and_update();
            if let Some(followed) = self.take() {
                return Some(followed);
            }
            self.passed.changed().await.ok()?;
        }
    }

    fn take(&mut self) -> Option<Followed> {
        let buffer = lock(&self.shared);
        let at = buffer.batches.partition_point(|(before, _)| *before < self.next);
        let (before, batch) = buffer.batches.get(at)?;
        if *before > self.next {
            let missed = before - self.next;
            self.next = *before;
            return Some(Followed::Missed(missed));
        }
        self.next = before + batch.num_rows() as u64;
        Some(Followed::Batch(batch.clone()))
    }
}

/// Yields what a scan wants of what goes by; the scan's order and limit do not apply.
pub(crate) struct FilteredFollower {
    scan: EventScan,
    subscription: Subscription,
}

impl FilteredFollower {
    pub(crate) fn new(scan: &EventScan, subscription: Subscription) -> Self {
        Self { scan: scan.clone(), subscription }
    }
}

#[async_trait]
impl FollowSource for FilteredFollower {
    async fn next(&mut self) -> Option<Followed> {
        loop {
            let batch = match self.subscription.next().await? {
                Followed::Batch(batch) => batch,
                missed => return Some(missed),
            };
            let EventScan { signal, range, predicates, projection, .. } = &self.scan;
            // Batches come from the head itself, so their columns are there.
            let rows = matching_rows(*signal, &batch, *range, predicates).ok()?;
            if rows.is_empty() {
                continue;
            }
            let rows = arrow_array::UInt32Array::from(rows);
            let batch = arrow_select::take::take_record_batch(&batch, &rows).ok()?;
            return Some(Followed::Batch(
                crate::event::scan::project(batch, projection.as_deref()).ok()?,
            ));
        }
    }
}
