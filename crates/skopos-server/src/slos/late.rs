//! Samples that arrive later than slots read again by themselves: from when on slices may be wrong.
//!
//! Noted where pushed batches are stored, taken at the next slot. What is minutes late is read again at once; what is
//! later than that once a minute, so that a sender that is always behind costs little. Scraped samples are never late.

use std::sync::atomic::{AtomicI64, Ordering};

use skopos_model::{SignalBatch, Timestamp};

/// Slots read the last two minutes again by themselves.
const USUAL_MS: i64 = 2 * 60_000;
/// Slots catch up no more than this; what is older says nothing to them.
const OLDEST_MS: i64 = 6 * 3_600_000;
/// Later than this is looked at once a minute.
const FAR_MS: i64 = 10 * 60_000;
const MINUTE_MS: i64 = 60_000;
/// Nothing is late.
const NONE: i64 = i64::MAX;

/// The oldest of late samples.
#[derive(Debug)]
pub(crate) struct LateSamples {
    oldest_ms: AtomicI64,
    /// When samples that were far behind were last taken.
    far_ms: AtomicI64,
}

impl Default for LateSamples {
    fn default() -> Self {
        Self { oldest_ms: AtomicI64::new(NONE), far_ms: AtomicI64::new(i64::MIN) }
    }
}

impl LateSamples {
    /// The oldest late sample of a batch.
    pub(crate) fn of(batch: &SignalBatch, now: Timestamp) -> Option<i64> {
        let SignalBatch::Metrics(batch) = batch else { return None };
        let now = now.as_millis();
        let times = batch.series.iter().flat_map(|one| one.samples.iter().map(|s| s.timestamp_ms));
        times.filter(|at| *at < now - USUAL_MS && *at > now - OLDEST_MS).min()
    }

    /// Says that such a sample is stored.
    pub(crate) fn note(&self, oldest_ms: i64) {
        self.oldest_ms.fetch_min(oldest_ms, Ordering::AcqRel);
    }

    /// From when on slices must be read again at a slot.
    pub(super) fn take(&self, slot: Timestamp) -> Option<Timestamp> {
        let slot = slot.as_millis();
        let oldest = self.oldest_ms.load(Ordering::Acquire);
        if oldest == NONE {
            return None;
        }
        if oldest < slot - FAR_MS {
            if slot.saturating_sub(self.far_ms.load(Ordering::Relaxed)) < MINUTE_MS {
                return None;
            }
            self.far_ms.store(slot, Ordering::Relaxed);
        }
        // More may have come since the look.
        Some(Timestamp::from_millis(self.oldest_ms.swap(NONE, Ordering::AcqRel)))
    }
}

#[cfg(test)]
mod tests {
    use skopos_model::{Labels, MetricBatch, Sample, SeriesSamples};

    use super::*;

    fn batch(minutes: &[i64]) -> SignalBatch {
        let samples = minutes.iter().map(|at| Sample::float(at * MINUTE_MS, 1.0)).collect();
        let one = SeriesSamples { samples, ..SeriesSamples::single(Labels::empty(), 0, 0.0) };
        SignalBatch::Metrics(MetricBatch { series: vec![one], metadata: vec![] })
    }

    #[test]
    fn what_is_late_is_taken_once_and_what_is_far_once_a_minute() {
        let at = |minute: i64| Timestamp::from_millis(minute * MINUTE_MS);
        let now = at(1_000);
        assert_eq!(LateSamples::of(&batch(&[999, 1_000]), now), None);
        assert_eq!(LateSamples::of(&batch(&[100, 997, 990, 1_000]), now), Some(990 * MINUTE_MS));
        let late = LateSamples::default();
        assert_eq!(late.take(now), None);
        late.note(995 * MINUTE_MS);
        late.note(997 * MINUTE_MS);
        assert_eq!(late.take(now), Some(at(995)));
        assert_eq!(late.take(now), None);
        for (minute, taken) in [(1_000, true), (1_000, false), (1_001, true)] {
            late.note(900 * MINUTE_MS);
            assert_eq!(late.take(at(minute)).is_some(), taken);
        }
    }
}
