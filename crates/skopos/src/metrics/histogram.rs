//! Histograms with fixed bounds, exponential buckets beside them where wanted, and an exemplar for each bound.
//!
//! An observation is two atomic additions. The count is the sum of the buckets as they are read, so `_count` and the `+Inf`
//! bucket always agree; the sum may run ahead or behind by what is observed during the read. The exemplar of a bucket is its
//! first observation in a sampled trace since somebody last read it: always as new as the reader can tell, and of a million
//! observations between two scrapes one pays for it. It is written under a sequence lock made of atomics: a writer that meets
//! another gives up, a reader that meets a writer skips the exemplar.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::{SpanId, TraceId};

use super::exponential::{Exponential, ExponentialSnapshot};
use super::instrument::add_float;
use super::seqlock::SeqLock;
use super::{Source, Value, Visit};
use crate::clock;
use crate::context::{self, TraceIds};

/// Counts observations by size. Cloning shares it.
///
/// ```
/// # let registry = skopos::metrics::Registry::new();
/// let seconds = registry.histogram("pack_seconds", "Packing.", &[0.1, 1.0]);
/// seconds.observe(0.25);
/// assert_eq!(seconds.count(), 1);
/// ```
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

    /// Counts an observation. The current trace, if it is sampled, becomes the exemplar of its bucket, unless that has one
    /// which nobody has read yet.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let seconds = registry.histogram("pack_seconds", "Packing.", &[0.1, 1.0]);
    /// seconds.observe(0.25);
    /// ```
    pub fn observe(&self, value: f64) {
        self.observe_in(value, context::current_trace);
    }

    /// Counts a duration, in seconds.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let seconds = registry.histogram("pack_seconds", "Packing.", &[0.1, 1.0]);
    /// seconds.observe_duration(std::time::Duration::from_millis(250));
    /// ```
    pub fn observe_duration(&self, duration: std::time::Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// As [`Histogram::observe`], with the trace from elsewhere; it is only asked for when it is wanted.
    pub(crate) fn observe_in(&self, value: f64, trace: impl FnOnce() -> Option<TraceIds>) {
        let index = self.0.bounds.partition_point(|bound| *bound < value);
        // NaN compares false with every bound: it belongs to no bucket but the last.
        let index = if value.is_nan() { self.0.bounds.len() } else { index };
        let Some(bucket) = self.0.buckets.get(index) else { return };
        bucket.count.fetch_add(1, Ordering::Relaxed);
        add_float(&self.0.sum, value);
        if let Some(exponential) = &self.0.exponential {
            exponential.add(value);
        }
        if bucket.exemplar.is_wanted()
            && let Some(ids) = trace().filter(|ids| ids.sampled)
        {
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
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let seconds = registry.histogram("pack_seconds", "Packing.", &[0.1, 1.0]);
    /// seconds.observe(0.25);
    /// assert_eq!(seconds.count(), 1);
    /// ```
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.count.load(Ordering::Relaxed)).sum()
    }
}

impl Source for Histogram {
    fn visit(&self, visit: Visit<'_>) {
        visit(&[], Value::Histogram(self.snapshot()));
    }
}

/// A place for one exemplar.
#[derive(Debug, Default)]
struct Slot(SeqLock<5>);

impl Slot {
    fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }

    fn put(&self, exemplar: Exemplar) {
        let trace = u128::from_be_bytes(exemplar.trace.to_bytes());
        self.0.put([
            (trace >> 64) as u64,
            trace as u64,
            u64::from_be_bytes(exemplar.span.to_bytes()),
            exemplar.value.to_bits(),
            exemplar.time.to_bits(),
        ]);
    }

    fn get(&self) -> Option<Exemplar> {
        let [trace_high, trace_low, span, value, time] = self.0.get()?;
        let trace = u128::from(trace_high) << 64 | u128::from(trace_low);
        Some(Exemplar {
            trace: TraceId::from_bytes(trace.to_be_bytes()),
            span: SpanId::from_bytes(span.to_be_bytes()),
            value: f64::from_bits(value),
            time: f64::from_bits(time),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Exemplar, Histogram, Slot};
    use crate::context::TraceIds;
    use opentelemetry::trace::{SpanId, TraceId};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn an_observation_on_a_bound_belongs_below_it() {
        let histogram = Histogram::new(&[1.0, f64::INFINITY, 0.5, 1.0]);
        for value in [0.5, 0.500_1, 1.0, 1.1, f64::NAN, f64::INFINITY, -3.0] {
            histogram.observe_in(value, || None);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.bounds, [0.5, 1.0]);
        assert_eq!(snapshot.counts, [2, 2, 3]);
        assert_eq!(histogram.count(), 7);
    }

    #[test]
    fn the_exemplar_is_the_first_since_the_last_reading() {
        let histogram = Histogram::new(&[1.0]);
        let observe = |value: f64, sampled| {
            let ids = TraceIds {
                trace: TraceId::from_bytes([1; 16]),
                span: SpanId::from_bytes([2; 8]),
                sampled,
            };
            histogram.observe_in(value, || Some(ids));
        };
        let read = || histogram.snapshot().exemplars[0].map(|exemplar| exemplar.value);
        observe(0.1, false);
        assert_eq!(read(), None, "what is not sampled cannot be looked at");
        for value in [0.2, 0.3] {
            observe(value, true);
        }
        assert_eq!(read(), Some(0.2));
        assert_eq!(read(), Some(0.2), "there is no newer one");
        observe(0.4, false);
        observe(0.5, true);
        assert_eq!(read(), Some(0.5));
        assert_eq!(histogram.count(), 5);
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
