//! How long fsyncs take, counted without locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, microseconds: 250 µs doubling up to about 2 s.
const BOUNDS_MICROS: [u64; 14] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000,
    1_024_000, 2_048_000,
];

/// A histogram that its owner writes and anyone reads.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    count: AtomicU64,
    sum_nanos: AtomicU64,
    buckets: [AtomicU64; BOUNDS_MICROS.len()],
}

/// A histogram as read at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencySnapshot {
    /// Observations.
    pub count: u64,
    /// Sum of all observations, seconds.
    pub sum_seconds: f64,
    /// Upper bound in seconds and number of observations up to it, ascending, without `+Inf`.
    pub buckets: Vec<(f64, u64)>,
}

impl Latency {
    pub(crate) fn observe(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        for (bound, bucket) in BOUNDS_MICROS.iter().zip(&self.buckets) {
            if nanos <= bound * 1_000 {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn snapshot(&self) -> LatencySnapshot {
        let bounds = BOUNDS_MICROS.iter().map(|&micros| micros as f64 / 1e6);
        LatencySnapshot {
            count: self.count.load(Ordering::Relaxed),
            sum_seconds: self.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9,
            buckets: bounds
                .zip(self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let latency = Latency::default();
        latency.observe(Duration::from_micros(600));
        latency.observe(Duration::from_secs(10));
        let read = latency.snapshot();
        assert_eq!(read.count, 2);
        assert!((read.sum_seconds - 10.0006).abs() < 1e-9);
        assert_eq!(read.buckets.iter().map(|b| b.1).take(3).collect::<Vec<_>>(), [0, 0, 1]);
    }
}
