//! Samples that arrive later than slots read again by themselves: from when on slices may be wrong.
//!
//! Noted where pushed batches are stored, taken at the next slot. What is minutes late is read again at once; what is
//! later than that once a minute, so that a sender that is always behind costs little. What is later than slots reach back
//! is history: stretches of it are filled in anew. What is older than what is kept of metrics is counted by nobody: of
//! the samples of that time some are gone. Scraped samples are never late.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use skopos_model::{SignalBatch, Timestamp};

/// Slots read the last two minutes again by themselves.
const USUAL_MS: i64 = 2 * 60_000;
/// Slots catch up no more than this; what is older is history.
const OLDEST_MS: i64 = 6 * 3_600_000;
/// Later than this is looked at once a minute.
const FAR_MS: i64 = 10 * 60_000;
const MINUTE_MS: i64 = 60_000;
/// Stretches of history are told apart by quarters of a day.
const PART_MS: i64 = 6 * 3_600_000;
/// Stretches that are no more than so many parts apart are one: objectives read history anew up to a day and a quarter
/// behind what changed.
const NEAR_PARTS: i64 = 4;
/// Nothing is late.
const NONE: i64 = i64::MAX;

/// By the number of a quarter of a day: the oldest and the newest late sample of it. As many as the time that is kept
/// has.
type Parts = BTreeMap<i64, (i64, i64)>;

/// What of a batch is late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Late {
    /// The oldest of the samples that slots reach.
    recent_ms: Option<i64>,
    /// Those that are history.
    history: Parts,
    /// How many those are.
    history_samples: u64,
    /// How many are older than what is kept of metrics.
    forgotten_samples: u64,
}

/// What came late and was not taken yet.
#[derive(Debug)]
pub(crate) struct LateSamples {
    /// How far back samples are kept; older ones are counted by nobody.
    kept_ms: i64,
    oldest_ms: AtomicI64,
    /// When samples that were far behind were last taken.
    far_ms: AtomicI64,
    history: Mutex<LateHistory>,
}

#[derive(Debug, Default)]
struct LateHistory {
    parts: Parts,
    taken_ms: Option<i64>,
    /// Samples, since the start.
    samples: u64,
    forgotten: u64,
}

impl LateSamples {
    pub(crate) fn new(kept: Duration) -> Self {
        Self {
            kept_ms: i64::try_from(kept.as_millis()).unwrap_or(i64::MAX),
            oldest_ms: AtomicI64::new(NONE),
            far_ms: AtomicI64::new(i64::MIN),
            history: Mutex::default(),
        }
    }

    /// What of a batch is late; none when nothing is.
    pub(crate) fn of(&self, batch: &SignalBatch, now: Timestamp) -> Option<Late> {
        let SignalBatch::Metrics(batch) = batch else { return None };
        let now = now.as_millis();
        let kept_since = now.saturating_sub(self.kept_ms);
        let mut late = Late::default();
        let samples = batch.series.iter().flat_map(|one| &one.samples);
        for at in samples.map(|s| s.timestamp_ms).filter(|at| *at < now - USUAL_MS) {
            if at > now - OLDEST_MS {
                late.recent_ms = Some(late.recent_ms.map_or(at, |before| before.min(at)));
            } else if at < kept_since {
                late.forgotten_samples += 1;
            } else {
                join(&mut late.history, at.div_euclid(PART_MS), (at, at));
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
        if late.history_samples + late.forgotten_samples > 0 {
            let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            for (part, stretch) in late.history {
                join(&mut history.parts, part, stretch);
            }
            history.samples += late.history_samples;
            history.forgotten += late.forgotten_samples;
        }
    }

    /// How many samples since the start were too late for slots.
    pub(super) fn history_samples(&self) -> u64 {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).samples
    }

    /// How many samples since the start were older than what is kept.
    pub(super) fn forgotten_samples(&self) -> u64 {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).forgotten
    }

    /// From when on slices must be read again at a slot.
    pub(super) fn take(&self, slot: Timestamp) -> Option<Timestamp> {
        let slot = slot.as_millis();
        let oldest = self.oldest_ms.load(Ordering::Acquire);
        if oldest == NONE {
            return None;
        }
        if oldest < slot - FAR_MS {
            if is_within_a_minute(self.far_ms.load(Ordering::Relaxed), slot) {
                return None;
            }
            self.far_ms.store(slot, Ordering::Relaxed);
        }
        // More may have come since the look.
        Some(Timestamp::from_millis(self.oldest_ms.swap(NONE, Ordering::AcqRel)))
    }

    /// Which stretches of history must be filled in anew, the oldest first; once a minute at most.
    pub(super) fn take_history(&self, slot: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let slot = slot.as_millis();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = history.taken_ms.is_some_and(|taken| is_within_a_minute(taken, slot));
        if is_early || history.parts.is_empty() {
            return Vec::new();
        }
        history.taken_ms = Some(slot);
        let mut stretches: Vec<(Timestamp, Timestamp)> = Vec::new();
        let mut last = None;
        for (part, (start, end)) in std::mem::take(&mut history.parts) {
            let end = Timestamp::from_millis(end);
            match stretches.last_mut() {
                Some(before) if last.is_some_and(|last| part - last <= NEAR_PARTS) => {
                    before.1 = end
                }
                _ => stretches.push((Timestamp::from_millis(start), end)),
            }
            last = Some(part);
        }
        stretches
    }
}

/// Whether a slot is less than a minute after another; one before it, after the clock was set back, is not.
fn is_within_a_minute(before: i64, slot: i64) -> bool {
    (before..before.saturating_add(MINUTE_MS)).contains(&slot)
}

fn join(parts: &mut Parts, part: i64, (start, end): (i64, i64)) {
    let known = parts.entry(part).or_insert((start, end));
    *known = (known.0.min(start), known.1.max(end));
}

#[cfg(test)]
mod tests {
    use skopos_model::{Labels, MetricBatch, Sample, SeriesSamples};

    use super::*;

    fn of_a_day() -> LateSamples {
        LateSamples::new(Duration::from_secs(86_400))
    }

    fn batch(minutes: &[i64]) -> SignalBatch {
        let samples = minutes.iter().map(|at| Sample::float(at * MINUTE_MS, 1.0)).collect();
        let one = SeriesSamples { samples, ..SeriesSamples::single(Labels::empty(), 0, 0.0) };
        SignalBatch::Metrics(MetricBatch { series: vec![one], metadata: vec![] })
    }

    #[test]
    fn what_is_late_is_taken_once_and_what_is_far_once_a_minute() {
        let at = |minute: i64| Timestamp::from_millis(minute * MINUTE_MS);
        let now = at(1_000);
        let late = of_a_day();
        assert_eq!(late.of(&batch(&[999, 1_000]), now), None);
        let recent = |minute: i64| Late { recent_ms: Some(minute * MINUTE_MS), ..Late::default() };
        assert_eq!(late.of(&batch(&[997, 990, 1_000]), now), Some(recent(990)));
        assert_eq!(late.take(now), None);
        late.note(recent(995));
        late.note(recent(997));
        assert_eq!(late.take(now), Some(at(995)));
        assert_eq!(late.take(now), None);
        for (minute, taken) in [(1_000, true), (1_000, false), (1_001, true)] {
            late.note(recent(900));
            assert_eq!(late.take(at(minute)).is_some(), taken);
        }
        // The clock is set back an hour: what comes late is not left lying for that hour.
        late.note(recent(900));
        assert!(late.take(at(941)).is_some());
        assert_eq!((late.take_history(at(2_000)), late.history_samples()), (vec![], 0));
    }

    #[test]
    fn what_slots_do_not_reach_is_history() {
        let at = |minute: i64| Timestamp::from_millis(minute * MINUTE_MS);
        let now = at(1_000);
        let late = of_a_day();
        for minutes in [&[100, 640, 641][..], &[50, 300, 1_000]] {
            late.note(late.of(&batch(minutes), now).unwrap());
        }
        assert_eq!(late.take(now), Some(at(641)));
        assert_eq!(late.take_history(now), [(at(50), at(640))]);
        assert_eq!(late.history_samples(), 4);
        late.note(late.of(&batch(&[10]), now).unwrap());
        assert_eq!(late.take_history(now), [], "once a minute");
        assert_eq!(late.take_history(at(1_001)), [(at(10), at(10))]);
        assert_eq!(late.take_history(at(1_002)), []);
    }

    /// One sample in seconds instead of milliseconds, and imports of days far apart.
    #[test]
    fn history_is_what_is_kept_and_no_more_than_what_came() {
        let day = 1_440;
        let at = |minute: i64| Timestamp::from_millis(minute * MINUTE_MS);
        let now = at(20_000 * day);
        let late = LateSamples::new(Duration::from_secs(90 * 86_400));
        late.note(late.of(&batch(&[0, 28_000, 20_000 * day - 500]), now).unwrap());
        assert_eq!((late.history_samples(), late.forgotten_samples()), (1, 2));
        late.note(late.of(&batch(&[19_950 * day, 19_950 * day + 60, 19_951 * day]), now).unwrap());
        let stretches = [
            (at(19_950 * day), at(19_951 * day)),
            (at(20_000 * day - 500), at(20_000 * day - 500)),
        ];
        assert_eq!(late.take_history(now), stretches);
        // However much comes, it is as much as the time that is kept has.
        let all: Vec<i64> = (0..90 * day).map(|minute| 20_000 * day - minute - 400).collect();
        late.note(late.of(&batch(&all), now).unwrap());
        assert!(late.history.lock().unwrap().parts.len() <= 4 * 90 + 1);
        assert_eq!(late.take_history(at(20_000 * day + 1)).len(), 1);
    }
}
