//! The events of one signal: batches in order of arrival, merged as they grow.
//!
//! Constraints: a batch, once in the table, is never changed, so a reader's snapshot is a list of
//! shared batches. Small batches are merged four to one, and again, until they have some thousand
//! rows: each row is copied a few times in all, and a scan sees few batches. Merging copies outside
//! the lock. Pushing a batch, counting its ids and passing it to followers is one step under the
//! lock, so a snapshot and a subscription taken under it neither miss nor repeat an event.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, BooleanArray, RecordBatch};
use skopos_model::event::EventSignal;
use skopos_model::{EventId, Timestamp, TraceId};

use super::HeadConfig;
use crate::event;
use crate::follow::{Ring, Subscription};

/// Batches above this are not merged further.
const MOST_SEGMENT_BYTES: usize = 32 << 20;

/// Events of one signal.
pub(crate) struct EventTable {
    signal: EventSignal,
    state: RwLock<State>,
    /// Held while batches are merged: one merge at a time.
    merging: Mutex<()>,
    /// Shared with the other signal's table, the head before and the head after.
    ring: Arc<Ring>,
    segment_rows: usize,
    len: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    segments: Vec<Arc<Segment>>,
    applied: Ranges,
    /// First and last start time of each trace's spans.
    traces: HashMap<TraceId, FirstAndLast>,
}

/// Times of the first and the last event of something.
type FirstAndLast = (Timestamp, Timestamp);

/// A batch with what is known about it.
pub(crate) struct Segment {
    pub(crate) signal: EventSignal,
    pub(crate) batch: RecordBatch,
    /// Time of the earliest event.
    pub(crate) first: Timestamp,
    /// Time of the latest event.
    pub(crate) last: Timestamp,
    bytes: usize,
    /// How often merged; `None` when it is large enough.
    level: Option<u32>,
}

/// Segments of two tables, and where to go on.
type Snapshot = (Vec<Arc<Segment>>, Vec<Arc<Segment>>, Subscription);

impl EventTable {
    pub(crate) fn new(signal: EventSignal, config: &HeadConfig, ring: Arc<Ring>) -> Self {
        Self {
            signal,
            state: RwLock::default(),
            merging: Mutex::default(),
            ring,
            segment_rows: config.segment_rows.max(1),
            len: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Adds the rows of a prepared batch, whose `count` ids count up from `first_sequence`; rows
    /// added before are left out.
    pub(crate) fn insert(&self, first_sequence: u64, count: u64, batches: Vec<RecordBatch>) {
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let all_new = state.applied.is_free(first_sequence, count);
            for batch in batches {
                let batch = if all_new { Some(batch) } else { state.applied.only_new(batch) };
                if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
                    self.push(&mut state, batch);
                }
            }
            state.applied.add(first_sequence, count);
        }
        self.merge();
    }

    fn push(&self, state: &mut State, batch: RecordBatch) {
        if self.signal == EventSignal::Spans {
            let added = note_traces(&batch, &mut state.traces);
            self.bytes.fetch_add(added as u64 * 64, Ordering::Relaxed);
        }
        self.ring.push(self.signal, &batch);
        let segment = self.segment(batch, 0);
        self.len.fetch_add(segment.batch.num_rows() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(segment.bytes as u64, Ordering::Relaxed);
        state.segments.push(Arc::new(segment));
    }

    fn segment(&self, batch: RecordBatch, level: u32) -> Segment {
        let times = batch
            .column_by_name("time")
            .and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>())
            .map(|times| times.values().as_ref())
            .unwrap_or_default();
        let bytes = batch.get_array_memory_size();
        let full = batch.num_rows() >= self.segment_rows || bytes >= MOST_SEGMENT_BYTES;
        // A batch that came large needs no merging with its like until there are many of them.
        let by_rows = batch.num_rows().max(1).ilog(4).saturating_sub(2);
        Segment {
            signal: self.signal,
            first: Timestamp(times.iter().copied().min().unwrap_or_default()),
            last: Timestamp(times.iter().copied().max().unwrap_or_default()),
            bytes,
            level: (!full).then_some(level.max(by_rows)),
            batch,
        }
    }

    /// Merges while there is something to merge.
    fn merge(&self) {
        // Whoever holds the lock will see our batch in its next round, or the next insert will.
        let Ok(_merging) = self.merging.try_lock() else { return };
        loop {
            let (from, segments) = {
                let state = self.read();
                match mergeable(&state.segments) {
                    Some(from) => (from, state.segments[from..].to_vec()),
                    None => return,
                }
            };
            let batches = segments.iter().map(|s| &s.batch);
            let schema = event::event_schema(self.signal);
            let Ok(batch) = arrow_select::concat::concat_batches(&schema, batches) else { return };
            let level = segments.iter().filter_map(|s| s.level).max().unwrap_or(0) + 1;
            let merged = self.segment(batch, level);
            let before: usize = segments.iter().map(|s| s.bytes).sum();
            self.bytes.fetch_add(merged.bytes as u64, Ordering::Relaxed);
            self.bytes.fetch_sub(before as u64, Ordering::Relaxed);
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            // Only this function removes segments, so ours still stand where they stood.
            state.segments.splice(from..from + segments.len(), [Arc::new(merged)]);
        }
    }

    /// The segments as they are now.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Segment>> {
        self.read().segments.clone()
    }

    /// The segments that may hold spans of a trace.
    pub(crate) fn snapshot_of_trace(&self, id: TraceId) -> Vec<Arc<Segment>> {
        let state = self.read();
        let Some(&(first, last)) = state.traces.get(&id) else { return Vec::new() };
        let overlaps = |s: &&Arc<Segment>| s.first <= last && first <= s.last;
        state.segments.iter().filter(overlaps).cloned().collect()
    }

    /// Where new events go by.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The segments of this table and of another on the same ring as they are now, and everything
    /// that comes after them.
    pub(crate) fn snapshot_and_subscribe(&self, other: &Self) -> Snapshot {
        // Both are held, so that neither takes events before the subscription.
        let (state, of_other) = (self.read(), other.read());
        let subscription = self.ring.subscribe();
        (state.segments.clone(), of_other.segments.clone(), subscription)
    }

    /// Events held.
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Bytes held, about.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the trailing segments begin that should become one: those of a level or below, once there
/// are more of them than a count in base four would have.
fn mergeable(segments: &[Arc<Segment>]) -> Option<usize> {
    let open = segments.iter().rev().take_while(|s| s.level.is_some()).count();
    let open = &segments[segments.len() - open..];
    let highest = open.iter().filter_map(|s| s.level).max()?;
    (0..=highest).find_map(|level| {
        let n = open.iter().rev().take_while(|s| s.level <= Some(level)).count();
        (n >= 4 + 3 * level as usize).then_some(segments.len() - n)
    })
}

/// Widens the known times of the traces in a batch; how many are new.
fn note_traces(batch: &RecordBatch, traces: &mut HashMap<TraceId, FirstAndLast>) -> usize {
    let columns = (
        batch.column_by_name("trace_id").and_then(|c| c.as_fixed_size_binary_opt()),
        batch.column_by_name("time").and_then(|c| c.as_primitive_opt::<TimestampNanosecondType>()),
    );
    let (Some(ids), Some(times)) = columns else { return 0 };
    let before = traces.len();
    for row in (0..batch.num_rows()).filter(|&row| ids.is_valid(row)) {
        let Some(id) = TraceId::from_slice(ids.value(row)) else { continue };
        let time = Timestamp(times.value(row));
        let span = traces.entry(id).or_insert((time, time));
        *span = (span.0.min(time), span.1.max(time));
    }
    traces.len() - before
}

/// A set of sequence numbers, kept as runs: in practice one.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Whether none of `count` numbers from `first` is in the set.
    fn is_free(&self, first: u64, count: u64) -> bool {
        let end = first.saturating_add(count);
        self.0.range(..end).next_back().is_none_or(|(_, &run_end)| run_end <= first)
    }

    fn contains(&self, n: u64) -> bool {
        self.0.range(..=n).next_back().is_some_and(|(_, &end)| n < end)
    }

    fn add(&mut self, first: u64, count: u64) {
        let (mut first, mut end) = (first, first.saturating_add(count));
        if first == end {
            return;
        }
        while let Some((&start, &run_end)) = self.0.range(..=end).next_back()
            && run_end >= first
        {
            self.0.remove(&start);
            first = first.min(start);
            end = end.max(run_end);
        }
        self.0.insert(first, end);
    }

    /// The rows whose numbers are not in the set.
    fn only_new(&self, batch: RecordBatch) -> Option<RecordBatch> {
        let sequence = |id: EventId| id.0 as u64;
        let ids = event::ids(&batch).ok()?;
        let new: BooleanArray =
            ids.into_iter().map(|id| Some(!self.contains(sequence(id)))).collect();
        arrow_select::filter::filter_record_batch(&batch, &new).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_numbers_join() {
        let mut ranges = Ranges::default();
        for (first, count) in [(10, 5), (0, 3), (20, 5), (3, 7), (15, 0), (14, 7)] {
            ranges.add(first, count);
        }
        assert_eq!(ranges.0, BTreeMap::from([(0, 25)]));
        ranges.add(30, 2);
        for (first, count, free) in [
            (25, 5, true),
            (25, 6, false),
            (31, 1, false),
            (32, 9, true),
            (0, 1, false),
            (9, 0, true),
        ] {
            if count > 0 {
                assert_eq!(ranges.is_free(first, count), free, "{first}+{count}");
            }
        }
        assert!(ranges.contains(31) && !ranges.contains(32) && !ranges.contains(25));
    }
}
