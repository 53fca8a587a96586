//! One series: sealed chunks, an open buffer, late samples, exemplars.
//!
//! Layout: `sealed` chunks are in time order and do not overlap; `open` holds plain samples, all
//! later than the last sealed one; `late` holds samples that arrived after their time had been
//! sealed. A late sample wins over a sealed one of the same time, because it was received last.
//! When `late` is full it is merged into the chunks it overlaps.
//!
//! Readers take [`Snapshot`]s: the buffers are shared, and an append copies a buffer only when a
//! reader still holds it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopos_model::storage::{SampleBuffer, SampleSource, StorageError};
use skopos_model::{Exemplar, Labels, Sample, SampleValue};

use super::chunk::Chunk;

/// A series of the head.
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// Time of the newest sample, `i64::MIN` before the first; readable without the lock.
    newest_ms: AtomicI64,
    /// Whether the sender counts in deltas: the newest value is the sum so far.
    is_delta: AtomicBool,
    data: Mutex<SeriesData>,
}

#[derive(Default)]
pub(crate) struct SeriesData {
    sealed: Vec<Arc<Chunk>>,
    sealed_bytes: usize,
    open: Arc<SampleBuffer>,
    late: Option<Arc<SampleBuffer>>,
    /// By time.
    exemplars: VecDeque<Exemplar>,
    /// Samples that a block holds already, repeated here so that the series is known.
    carried: Box<[Sample]>,
    size_bytes: usize,
}

/// How an append changed what is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) samples: i64,
    pub(crate) chunks: i64,
    pub(crate) chunk_bytes: i64,
    pub(crate) bytes: i64,
}

impl std::ops::AddAssign for Change {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.chunks += other.chunks;
        self.chunk_bytes += other.chunk_bytes;
        self.bytes += other.bytes;
    }
}

impl Series {
    pub(crate) fn new(labels: Labels) -> Self {
        Self {
            labels,
            newest_ms: AtomicI64::new(i64::MIN),
            is_delta: AtomicBool::new(false),
            data: Mutex::default(),
        }
    }

    /// Bytes of an empty series, its labels included.
    pub(crate) fn base_bytes(&self) -> usize {
        size_of::<Self>() + size_of::<SampleBuffer>() + 32 + self.labels.size_bytes()
    }

    /// Time of the newest sample, `i64::MIN` when there is none.
    pub(crate) fn newest_ms(&self) -> i64 {
        self.newest_ms.load(Ordering::Relaxed)
    }

    /// Whether the sender counts in deltas.
    pub(crate) fn is_delta(&self) -> bool {
        self.is_delta.load(Ordering::Relaxed)
    }

    /// Notes that the sender counts in deltas.
    pub(crate) fn set_delta(&self) {
        self.is_delta.store(true, Ordering::Relaxed);
    }

    /// Stores samples in any order. Of equal times the last wins.
    pub(crate) fn append(&self, samples: &[Sample], chunk_samples: usize) -> Change {
        let mut data = self.lock();
        let mut change = Change::default();
        for sample in samples {
            change += data.insert(sample, chunk_samples);
        }
        change.bytes += data.measure();
        if let Some(newest) = data.newest() {
            self.newest_ms.store(newest, Ordering::Relaxed);
        }
        change
    }

    /// Keeps exemplars, each once, at most the newest `most`.
    pub(crate) fn add_exemplars(&self, exemplars: Vec<Exemplar>, most: usize) -> Change {
        let mut data = self.lock();
        for exemplar in exemplars {
            data.add_exemplar(exemplar, most);
        }
        Change { bytes: data.measure(), ..Change::default() }
    }

    /// Exemplars of `[start_ms, end_ms]` in time order.
    pub(crate) fn exemplars(&self, start_ms: i64, end_ms: i64) -> Vec<Exemplar> {
        let inside = |e: &&Exemplar| (start_ms..=end_ms).contains(&e.timestamp_ms);
        self.lock().exemplars.iter().filter(inside).cloned().collect()
    }

    /// The samples of `[start_ms, end_ms]` as they are now; `None` when there are none for sure.
    pub(crate) fn snapshot(&self, start_ms: i64, end_ms: i64) -> Option<Snapshot> {
        let data = self.lock();
        let overlaps = |first: i64, last: i64| first <= end_ms && start_ms <= last;
        let from = data.sealed.partition_point(|c| c.last_ms < start_ms);
        let chunks: Vec<_> = data.sealed[from..]
            .iter()
            .take_while(|c| overlaps(c.first_ms, c.last_ms))
            .cloned()
            .collect();
        let in_range = |buffer: &&Arc<SampleBuffer>| {
            let from = buffer.timestamps.partition_point(|&t| t < start_ms);
            buffer.timestamps.get(from).is_some_and(|&t| t <= end_ms)
        };
        let open = Some(&data.open).filter(in_range).cloned();
        let late = data.late.as_ref().filter(in_range).cloned();
        let empty = chunks.is_empty() && open.is_none() && late.is_none();
        (!empty).then_some(Snapshot { chunks, open, late })
    }

    /// Notes which of the samples a block holds already.
    pub(crate) fn set_carried(&self, samples: Vec<Sample>) -> Change {
        let mut data = self.lock();
        data.carried = samples.into();
        Change { bytes: data.measure(), ..Change::default() }
    }

    /// Whether the newest sample says that the series has ended.
    pub(crate) fn has_ended(&self) -> bool {
        let data = self.lock();
        let newest = data.open.len().checked_sub(1);
        newest.is_some_and(|at| sample_at(&data.open, at).value.is_stale())
    }

    /// What the next head must know of the series: its newest sample, and when that is a stale
    /// marker the newest that is not: sums of deltas go on from there.
    pub(crate) fn to_carry(&self) -> Vec<Sample> {
        let newest = {
            let data = self.lock();
            data.open.len().checked_sub(1).map(|at| sample_at(&data.open, at))
        };
        let Some(newest) = newest else { return Vec::new() };
        let mut samples = Vec::new();
        if newest.value.is_stale() {
            samples.extend(self.last_value());
        }
        samples.push(newest);
        samples
    }

    /// All samples and exemplars that no block holds yet.
    pub(crate) fn for_block(
        &self,
        samples: &mut SampleBuffer,
    ) -> Result<Vec<Exemplar>, StorageError> {
        samples.clear();
        if let Some(snapshot) = self.snapshot(i64::MIN, i64::MAX) {
            snapshot.decode(i64::MIN, i64::MAX, samples)?;
        }
        let data = self.lock();
        for carried in &data.carried {
            if let Ok(at) = samples.timestamps.binary_search(&carried.timestamp_ms)
                && same_value(&sample_at(samples, at).value, &carried.value)
            {
                remove(samples, at);
            }
        }
        Ok(data.exemplars.iter().cloned().collect())
    }

    /// The newest sample that is not a stale marker, if one is near at hand (not sealed away).
    pub(crate) fn last_value(&self) -> Option<Sample> {
        let snapshot = self.snapshot(i64::MIN, i64::MAX)?;
        let mut buffer = SampleBuffer::default();
        let oldest = snapshot.chunks.last().map_or(i64::MIN, |chunk| chunk.first_ms);
        snapshot.decode(oldest, i64::MAX, &mut buffer).ok()?;
        (0..buffer.len()).rev().map(|i| sample_at(&buffer, i)).find(|s| !s.value.is_stale())
    }

    fn lock(&self) -> MutexGuard<'_, SeriesData> {
        // Nothing under the lock panics half-way through a change that matters to readers.
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SeriesData {
    fn newest(&self) -> Option<i64> {
        self.open.timestamps.last().copied().or_else(|| self.sealed.last().map(|c| c.last_ms))
    }

    fn insert(&mut self, sample: &Sample, chunk_samples: usize) -> Change {
        let time = sample.timestamp_ms;
        let mut change = Change::default();
        if self.sealed.last().is_some_and(|chunk| time <= chunk.last_ms) {
            let known =
                self.late.as_ref().is_some_and(|l| l.timestamps.binary_search(&time).is_ok());
            let held = known || self.sealed_has(time);
            let late = Arc::make_mut(self.late.get_or_insert_default());
            put(late, sample);
            change.samples = i64::from(!held);
            if late.len() >= chunk_samples {
                change += self.merge_late(chunk_samples);
            }
            return change;
        }
        let in_order = self.open.timestamps.last().is_none_or(|&last| last < time);
        if in_order && self.open.len() >= chunk_samples {
            change += self.seal();
        }
        change.samples += i64::from(put(Arc::make_mut(&mut self.open), sample));
        change
    }

    /// Encodes the open samples.
    fn seal(&mut self) -> Change {
        let chunk = Chunk::encode(&self.open, 0..self.open.len());
        let size = chunk.size_bytes();
        self.sealed.push(Arc::new(chunk));
        self.sealed_bytes += size;
        match Arc::get_mut(&mut self.open) {
            // Keeps the memory for the next samples.
            Some(open) => open.clear(),
            None => self.open = Arc::default(),
        }
        Change { chunks: 1, chunk_bytes: size as i64, ..Change::default() }
    }

    fn sealed_has(&self, time: i64) -> bool {
        let at = self.sealed.partition_point(|c| c.last_ms < time);
        let Some(chunk) = self.sealed.get(at).filter(|c| c.first_ms <= time) else { return false };
        let mut found = SampleBuffer::default();
        chunk.decode(time, time, &mut found).is_ok() && !found.is_empty()
    }

    /// Encodes late samples and the chunks they overlap anew.
    fn merge_late(&mut self, chunk_samples: usize) -> Change {
        let Some(late) = self.late.take() else { return Change::default() };
        let (Some(&first), Some(&last)) = (late.timestamps.first(), late.timestamps.last()) else {
            return Change::default();
        };
        let from = self.sealed.partition_point(|c| c.last_ms < first);
        let to = self.sealed.partition_point(|c| c.first_ms <= last).max(from);
        let mut old = SampleBuffer::default();
        for chunk in &self.sealed[from..to] {
            if chunk.decode(i64::MIN, i64::MAX, &mut old).is_err() {
                // Our own memory is damaged: keep the late samples and let readers report it.
                self.late = Some(late);
                return Change::default();
            }
        }
        let mut merged = SampleBuffer::default();
        merge(&old, &late, i64::MIN, i64::MAX, &mut merged);
        let pieces = merged.len().div_ceil(chunk_samples.max(1)).max(1);
        let piece = merged.len().div_ceil(pieces).max(1);
        let new: Vec<_> = (0..merged.len())
            .step_by(piece)
            .map(|start| Arc::new(Chunk::encode(&merged, start..(start + piece).min(merged.len()))))
            .collect();
        let bytes = |chunks: &[Arc<Chunk>]| chunks.iter().map(|c| c.size_bytes()).sum::<usize>();
        let (added, removed) = (bytes(&new), bytes(&self.sealed[from..to]));
        let change = Change {
            chunks: new.len() as i64 - (to - from) as i64,
            chunk_bytes: added as i64 - removed as i64,
            ..Change::default()
        };
        self.sealed.splice(from..to, new);
        self.sealed_bytes = self.sealed_bytes + added - removed;
        change
    }

    fn add_exemplar(&mut self, exemplar: Exemplar, most: usize) {
        let same = |e: &Exemplar| {
            e.timestamp_ms == exemplar.timestamp_ms
                && e.value.to_bits() == exemplar.value.to_bits()
                && e.labels == exemplar.labels
        };
        let too_old = self.exemplars.len() >= most
            && self.exemplars.front().is_some_and(|e| exemplar.timestamp_ms < e.timestamp_ms);
        if too_old || self.exemplars.iter().any(same) {
            return;
        }
        let at = self.exemplars.partition_point(|e| e.timestamp_ms <= exemplar.timestamp_ms);
        self.exemplars.insert(at, exemplar);
        while self.exemplars.len() > most {
            self.exemplars.pop_front();
        }
    }

    /// Measures anew and returns the difference.
    fn measure(&mut self) -> i64 {
        let buffer = |b: &SampleBuffer| {
            (b.timestamps.capacity() + b.values.capacity()) * 8
                + b.histograms.iter().map(|(_, h)| 24 + h.size_bytes()).sum::<usize>()
        };
        let size = self.sealed_bytes
            + self.sealed.capacity() * 8
            + buffer(&self.open)
            + self.late.as_deref().map_or(0, buffer)
            + self.carried.len() * size_of::<Sample>()
            + self
                .exemplars
                .iter()
                .map(|e| size_of::<Exemplar>() + e.labels.size_bytes())
                .sum::<usize>();
        let change = size as i64 - self.size_bytes as i64;
        self.size_bytes = size;
        change
    }
}

/// The samples of one series at one moment.
pub(crate) struct Snapshot {
    chunks: Vec<Arc<Chunk>>,
    open: Option<Arc<SampleBuffer>>,
    late: Option<Arc<SampleBuffer>>,
}

impl Snapshot {
    /// Bytes of the encoded samples that this snapshot keeps alive.
    pub(crate) fn size_bytes(&self) -> usize {
        let buffer = |b: &Option<Arc<SampleBuffer>>| b.as_ref().map_or(0, |b| b.len() * 16);
        let chunks: usize = self.chunks.iter().map(|c| c.size_bytes()).sum();
        chunks + buffer(&self.open) + buffer(&self.late)
    }
}

impl SampleSource for Snapshot {
    fn decode(
        &self,
        start_ms: i64,
        end_ms: i64,
        out: &mut SampleBuffer,
    ) -> Result<(), StorageError> {
        if end_ms < start_ms {
            return Ok(());
        }
        let decode_chunks = |out: &mut SampleBuffer| {
            self.chunks
                .iter()
                .filter(|c| c.first_ms <= end_ms && start_ms <= c.last_ms)
                .try_for_each(|c| c.decode(start_ms, end_ms, out))
        };
        match &self.late {
            None => decode_chunks(out)?,
            Some(late) => {
                let mut sealed = SampleBuffer::default();
                decode_chunks(&mut sealed)?;
                merge(&sealed, late, start_ms, end_ms, out);
            }
        }
        if let Some(open) = &self.open {
            let from = open.timestamps.partition_point(|&t| t < start_ms);
            let to = open.timestamps.partition_point(|&t| t <= end_ms);
            append_range(open, from..to, out);
        }
        Ok(())
    }

    fn len_hint(&self) -> usize {
        let buffer = |b: &Option<Arc<SampleBuffer>>| b.as_ref().map_or(0, |b| b.len());
        self.chunks.iter().map(|c| c.len as usize).sum::<usize>()
            + buffer(&self.open)
            + buffer(&self.late)
    }
}

/// Puts a sample where its time belongs; whether the time is new.
fn put(buffer: &mut SampleBuffer, sample: &Sample) -> bool {
    let time = sample.timestamp_ms;
    let (at, new) = match buffer.timestamps.last() {
        None => (0, true),
        Some(&last) if last < time => (buffer.len(), true),
        Some(_) => match buffer.timestamps.binary_search(&time) {
            Ok(at) => (at, false),
            Err(at) => (at, true),
        },
    };
    if at == buffer.len() {
        buffer.push(time, &sample.value);
        return true;
    }
    let histogram_at = buffer.histograms.partition_point(|(i, _)| *i < at);
    let value = match &sample.value {
        SampleValue::Float(value) => *value,
        SampleValue::Histogram(histogram) => histogram.sum,
    };
    if new {
        buffer.timestamps.insert(at, time);
        buffer.values.insert(at, value);
        buffer.histograms[histogram_at..].iter_mut().for_each(|(i, _)| *i += 1);
    } else {
        buffer.values[at] = value;
        if buffer.histograms.get(histogram_at).is_some_and(|(i, _)| *i == at) {
            buffer.histograms.remove(histogram_at);
        }
    }
    if let SampleValue::Histogram(histogram) = &sample.value {
        buffer.histograms.insert(histogram_at, (at, Arc::clone(histogram)));
    }
    new
}

fn same_value(a: &SampleValue, b: &SampleValue) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => Arc::ptr_eq(a, b) || a == b,
        _ => false,
    }
}

fn remove(samples: &mut SampleBuffer, at: usize) {
    samples.timestamps.remove(at);
    samples.values.remove(at);
    samples.histograms.retain(|(i, _)| *i != at);
    samples.histograms.iter_mut().filter(|(i, _)| *i > at).for_each(|(i, _)| *i -= 1);
}

pub(crate) fn append_range(
    from: &SampleBuffer,
    range: std::ops::Range<usize>,
    out: &mut SampleBuffer,
) {
    let base = out.timestamps.len();
    let (start, end) = (range.start, range.end);
    out.timestamps.extend_from_slice(&from.timestamps[range.clone()]);
    out.values.extend_from_slice(&from.values[range]);
    let first = from.histograms.partition_point(|(i, _)| *i < start);
    out.histograms.extend(
        from.histograms[first..]
            .iter()
            .take_while(|(i, _)| *i < end)
            .map(|(i, h)| (i - start + base, Arc::clone(h))),
    );
}

/// Appends the union of `[start_ms, end_ms]` to `out`; of equal times `late` wins.
fn merge(
    sealed: &SampleBuffer,
    late: &SampleBuffer,
    start_ms: i64,
    end_ms: i64,
    out: &mut SampleBuffer,
) {
    let within = |b: &SampleBuffer| {
        let from = b.timestamps.partition_point(|&t| t < start_ms);
        from..b.timestamps.partition_point(|&t| t <= end_ms).max(from)
    };
    let (sealed_range, late_range) = (within(sealed), within(late));
    let mut at = sealed_range.start;
    for i in late_range {
        let time = late.timestamps[i];
        let next = at + sealed.timestamps[at..sealed_range.end].partition_point(|&t| t < time);
        append_range(sealed, at..next, out);
        append_range(late, i..i + 1, out);
        let replaced = sealed.timestamps[..sealed_range.end].get(next) == Some(&time);
        at = next + usize::from(replaced);
    }
    append_range(sealed, at..sealed_range.end, out);
}

fn sample_at(buffer: &SampleBuffer, i: usize) -> Sample {
    let value = match buffer.histogram(i) {
        Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
        None => SampleValue::Float(buffer.values[i]),
    };
    Sample { timestamp_ms: buffer.timestamps[i], value }
}
