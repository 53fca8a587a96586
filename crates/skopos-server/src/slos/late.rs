//! Samples that arrive later than slots read again by themselves: from when on slices may be wrong.
//!
//! Noted where pushed batches are stored, taken at the next slot. What is minutes late is read again at once; what is
//! later than that once a minute, so that a sender that is always behind costs little. What is later than slots reach back
//! is history: a stretch of it is filled in anew. Scraped samples are never late.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use skopos_model::{SignalBatch, Timestamp};

/// Slots read the last two minutes again by themselves.
const USUAL_MS: i64 = 2 * 60_000;
/// Slots catch up no more than this; what is older is history.
const OLDEST_MS: i64 = 6 * 3_600_000;
/// Later than this is looked at once a minute.
const FAR_MS: i64 = 10 * 60_000;
const MINUTE_MS: i64 = 60_000;
/// Nothing is late.
const NONE: i64 = i64::MAX;

/// What of a batch is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Late {
    /// The oldest of the samples that slots reach.
    recent_ms: Option<i64>,
    /// The oldest and the newest of those that are history.
    history_ms: Option<(i64, i64)>,
    /// How many those are.
    history_samples: u64,
}

/// What came late and was not taken yet.
#[derive(Debug)]
pub(crate) struct LateSamples {
    oldest_ms: AtomicI64,
    /// When samples that were far behind were last taken.
    far_ms: AtomicI64,
    history: Mutex<LateHistory>,
}

#[derive(Debug, Default)]
struct LateHistory {
    stretch_ms: Option<(i64, i64)>,
    taken_ms: Option<i64>,
    /// Samples, since the start.
    samples: u64,
}

impl Default for LateSamples {
    fn default() -> Self {
        Self {
            oldest_ms: AtomicI64::new(NONE),
            far_ms: AtomicI64::new(i64::MIN),
            history: Mutex::default(),
        }
    }
}

impl LateSamples {
    /// What of a batch is late; none when nothing is.
    pub(crate) fn of(batch: &SignalBatch, now: Timestamp) -> Option<Late> {
        let SignalBatch::Metrics(batch) = batch else { return None };
        let now = now.as_millis();
        let mut late = Late::default();
        let samples = batch.series.iter().flat_map(|one| &one.samples);
        for at in samples.map(|s| s.timestamp_ms).filter(|at| *at < now - USUAL_MS) {
            if at > now - OLDEST_MS {
                late.recent_ms = Some(late.recent_ms.map_or(at, |before| before.min(at)));
            } else {
                late.history_ms = joined(late.history_ms, (at, at));
                late.history_samples += 1;
            }
        }
        (late != Late::default()).then_some(late)
    }

    /// Says that such samples are stored.
    pub(crate) fn note(&self, late: Late) {
        if let Some(oldest_ms) = late.recent_ms {
            self.oldest_ms.fetch_min(oldest_ms, Ordering::AcqRel);
        }
        if let Some(stretch) = late.history_ms {
            let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            history.stretch_ms = joined(history.stretch_ms, stretch);
            history.samples += late.history_samples;
        }
    }

    /// How many samples since the start were too late for slots.
    pub(super) fn history_samples(&self) -> u64 {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).samples
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

    /// Which stretch of history must be filled in anew; once a minute at most.
    pub(super) fn take_history(&self, slot: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let slot = slot.as_millis();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.taken_ms.is_some_and(|taken| (taken..taken + MINUTE_MS).contains(&slot)) {
            return None;
        }
        let (start, end) = history.stretch_ms.take()?;
        history.taken_ms = Some(slot);
        Some((Timestamp::from_millis(start), Timestamp::from_millis(end)))
    }
}

fn joined(one: Option<(i64, i64)>, (start, end): (i64, i64)) -> Option<(i64, i64)> {
    let (from, to) = one.unwrap_or((start, end));
    Some((from.min(start), to.max(end)))
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
        let recent = |minute: i64| Late { recent_ms: Some(minute * MINUTE_MS), ..Late::default() };
        assert_eq!(LateSamples::of(&batch(&[997, 990, 1_000]), now), Some(recent(990)));
        let late = LateSamples::default();
        assert_eq!(late.take(now), None);
        late.note(recent(995));
        late.note(recent(997));
        assert_eq!(late.take(now), Some(at(995)));
        assert_eq!(late.take(now), None);
        for (minute, taken) in [(1_000, true), (1_000, false), (1_001, true)] {
            late.note(recent(900));
            assert_eq!(late.take(at(minute)).is_some(), taken);
        }
        assert_eq!((late.take_history(at(2_000)), late.history_samples()), (None, 0));
    }

    #[test]
    fn what_slots_do_not_reach_is_history() {
        let at = |minute: i64| Timestamp::from_millis(minute * MINUTE_MS);
        let now = at(1_000);
        let late = LateSamples::default();
        for minutes in [&[100, 640, 641][..], &[50, 300, 1_000]] {
            late.note(LateSamples::of(&batch(minutes), now).unwrap());
        }
        assert_eq!(late.take(now), Some(at(641)));
        assert_eq!(late.take_history(now), Some((at(50), at(640))));
        assert_eq!(late.history_samples(), 4);
        late.note(LateSamples::of(&batch(&[10]), now).unwrap());
        assert_eq!(late.take_history(now), None, "once a minute");
        assert_eq!(late.take_history(at(1_001)), Some((at(10), at(10))));
        assert_eq!(late.take_history(at(1_002)), None);
    }
}
