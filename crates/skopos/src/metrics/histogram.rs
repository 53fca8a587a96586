//! Histograms with fixed bounds, exponential buckets beside them where wanted, and an exemplar for each bound.
//!
//! An observation is two atomic additions. The count is the sum of the buckets as they are read, so `_count` and the `+Inf`
//! bucket always agree; the sum may run ahead or behind by what is observed during the read. An exemplar is written under a
//! sequence lock made of atomics: a writer that meets another gives up, a reader that meets a writer skips the exemplar.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use opentelemetry::trace::{SpanId, TraceId};

use super::exponential::{Exponential, ExponentialSnapshot};
use super::instrument::add_float;
use super::{Source, Value, Visit};
use crate::clock;
use crate::context::{self, TraceIds};

/// Counts observations by size. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Upper bounds, ascending, finite; the bucket beyond the last has none.
    bounds: Box<[f64]>,
    buckets: Box<[Bucket]>,
    sum: AtomicU64,
    exponential: Option<Exponential>,
}

#[derive(Debug, Default)]
struct Bucket {
    count: AtomicU64,
    exemplar: Slot,
}

/// An example of an observation: the trace in which it was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) value: f64,
    /// Seconds since the epoch.
    pub(crate) time: f64,
}

/// What a histogram holds at one moment. Bucket counts are not cumulative.
#[derive(Debug, Clone)]
pub(crate) struct HistogramSnapshot {
    pub(crate) bounds: Vec<f64>,
    pub(crate) counts: Vec<u64>,
    pub(crate) exemplars: Vec<Option<Exemplar>>,
    pub(crate) sum: f64,
    pub(crate) exponential: Option<ExponentialSnapshot>,
}

impl HistogramSnapshot {
    #[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds a histogram of the same bounds. The later exemplar of a bucket stays; exponential buckets are given up.
    pub(crate) fn merge(&mut self, other: HistogramSnapshot) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        for (exemplar, more) in self.exemplars.iter_mut().zip(other.exemplars) {
            let time = |exemplar: &Option<Exemplar>| exemplar.map_or(0.0, |exemplar| exemplar.time);
            if time(&more) > time(exemplar) {
                *exemplar = more;
            }
        }
        self.sum += other.sum;
        self.exponential = None;
    }
}

impl Histogram {
    /// Makes a histogram that no registry knows. Bounds that are not finite or repeat are left out; the rest is sorted.
    pub(crate) fn new(bounds: &[f64]) -> Histogram {
        Histogram::with_exponential(bounds, false)
    }

    pub(crate) fn with_exponential(bounds: &[f64], is_exponential: bool) -> Histogram {
        let mut bounds: Vec<f64> =
            bounds.iter().copied().filter(|bound| bound.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let buckets = (0..=bounds.len()).map(|_| Bucket::default()).collect();
        Histogram(Arc::new(Inner {
            bounds: bounds.into(),
            buckets,
            sum: AtomicU64::new(0),
            exponential: is_exponential.then(Exponential::default),
        }))
    }

    /// Counts an observation; the current trace, if it is sampled, becomes the exemplar of its bucket.
    pub fn observe(&self, value: f64) {
        self.observe_in(value, context::current_trace());
    }

    /// Counts a duration, in seconds.
    pub fn observe_duration(&self, duration: std::time::Duration) {
        self.observe(duration.as_secs_f64());
    }

    pub(crate) fn observe_in(&self, value: f64, trace: Option<TraceIds>) {
        let index = self.0.bounds.partition_point(|bound| *bound < value);
        // NaN compares false with every bound: it belongs to no bucket but the last.
        let index = if value.is_nan() { self.0.bounds.len() } else { index };
        let Some(bucket) = self.0.buckets.get(index) else { return };
        bucket.count.fetch_add(1, Ordering::Relaxed);
        add_float(&self.0.sum, value);
        if let Some(exponential) = &self.0.exponential {
            exponential.add(value);
        }
        if let Some(ids) = trace.filter(|ids| ids.sampled) {
            let time = clock::unix_seconds(clock::now());
            bucket.exemplar.put(Exemplar { trace: ids.trace, span: ids.span, value, time });
        }
    }

    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            bounds: self.0.bounds.to_vec(),
            counts: self
                .0
                .buckets
                .iter()
                .map(|bucket| bucket.count.load(Ordering::Relaxed))
                .collect(),
            exemplars: self.0.buckets.iter().map(|bucket| bucket.exemplar.get()).collect(),
            sum: f64::from_bits(self.0.sum.load(Ordering::Relaxed)),
            exponential: self.0.exponential.as_ref().map(Exponential::snapshot),
        }
    }

    /// Returns how many observations were made.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.count.load(Ordering::Relaxed)).sum()
    }
}

impl Source for Histogram {
    fn visit(&self, visit: Visit<'_>) {
        visit(&[], Value::Histogram(self.snapshot()));
    }
}

/// A place for one exemplar. The sequence is odd while a writer is inside and 0 before the first.
#[derive(Debug, Default)]
struct Slot {
    sequence: AtomicU64,
    trace_high: AtomicU64,
    trace_low: AtomicU64,
    span: AtomicU64,
    value: AtomicU64,
    time: AtomicU64,
}

impl Slot {
    fn put(&self, exemplar: Exemplar) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        let is_free = sequence.is_multiple_of(2);
        if !is_free
            || self
                .sequence
                .compare_exchange(sequence, sequence + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        // A reader that sees any of the stores below also sees the odd sequence.
        fence(Ordering::Release);
        let trace = u128::from_be_bytes(exemplar.trace.to_bytes());
        self.trace_high.store((trace >> 64) as u64, Ordering::Relaxed);
        self.trace_low.store(trace as u64, Ordering::Relaxed);
        self.span.store(u64::from_be_bytes(exemplar.span.to_bytes()), Ordering::Relaxed);
        self.value.store(exemplar.value.to_bits(), Ordering::Relaxed);
        self.time.store(exemplar.time.to_bits(), Ordering::Relaxed);
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    fn get(&self) -> Option<Exemplar> {
        let before = self.sequence.load(Ordering::Acquire);
        if before == 0 || before % 2 == 1 {
            return None;
        }
        let trace = u128::from(self.trace_high.load(Ordering::Relaxed)) << 64
            | u128::from(self.trace_low.load(Ordering::Relaxed));
        let span = self.span.load(Ordering::Relaxed);
        let value = f64::from_bits(self.value.load(Ordering::Relaxed));
        let time = f64::from_bits(self.time.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if self.sequence.load(Ordering::Relaxed) != before {
            return None;
        }
        Some(Exemplar {
            trace: TraceId::from_bytes(trace.to_be_bytes()),
            span: SpanId::from_bytes(span.to_be_bytes()),
            value,
            time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Exemplar, Histogram, Slot};
    use opentelemetry::trace::{SpanId, TraceId};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn an_observation_on_a_bound_belongs_below_it() {
        let histogram = Histogram::new(&[1.0, f64::INFINITY, 0.5, 1.0]);
        for value in [0.5, 0.500_1, 1.0, 1.1, f64::NAN, f64::INFINITY, -3.0] {
            histogram.observe_in(value, None);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.bounds, [0.5, 1.0]);
        assert_eq!(snapshot.counts, [2, 2, 3]);
        assert_eq!(histogram.count(), 7);
    }

    #[test]
    fn an_exemplar_is_never_torn() {
        let slot = Arc::new(Slot::default());
        let stop = Arc::new(AtomicBool::new(false));
        let make = |seed: u64| Exemplar {
            trace: TraceId::from_bytes((u128::from(seed) << 64 | u128::from(seed)).to_be_bytes()),
            span: SpanId::from_bytes(seed.to_be_bytes()),
            value: seed as f64,
            time: seed as f64,
        };
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (slot, stop) = (slot.clone(), stop.clone());
                std::thread::spawn(move || {
                    let mut seed = writer + 1;
                    while !stop.load(Ordering::Relaxed) {
                        slot.put(make(seed));
                        seed += 2;
                    }
                })
            })
            .collect();
        let mut seen = 0;
        while seen < 20_000 {
            if let Some(exemplar) = slot.get() {
                assert_eq!(exemplar, make(exemplar.value as u64));
                seen += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap();
        }
    }
}
