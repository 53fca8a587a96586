//! When a group is evaluated: slots aligned to its interval, shifted by a hash of its identity so
//! that groups do not all start at once. Pure arithmetic; the server sleeps.

use std::time::Duration;

use skopos_model::Timestamp;

use crate::rules::GroupId;

/// The slots of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

/// The next slot after one that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextSlot {
    /// The slot; in the past when its time has come already.
    pub slot: Timestamp,
    /// Slots skipped because evaluation took too long.
    pub missed: u64,
}

impl Schedule {
    /// The slots of a group. Intervals count whole milliseconds, at least one.
    pub fn new(group: GroupId, interval: Duration) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let offset_ms = (group.0 % interval_ms.unsigned_abs()).cast_signed();
        Self { interval_ms, offset_ms }
    }

    /// The time from slot to slot.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.unsigned_abs())
    }

    /// The first slot at or after `now`.
    pub fn first(&self, now: Timestamp) -> Timestamp {
        let now = now.0.div_euclid(1_000_000) + i64::from(now.0.rem_euclid(1_000_000) > 0);
        let slots = (now - self.offset_ms).div_euclid(self.interval_ms);
        let before = slots * self.interval_ms + self.offset_ms;
        let slot = if before < now { before.saturating_add(self.interval_ms) } else { before };
        Timestamp::from_millis(slot)
    }

    /// The slot to evaluate after `done`, seen at `now`: the next one, or, when that is more than
    /// an interval ago, the latest that has come; what lies between is missed.
    pub fn next(&self, done: Timestamp, now: Timestamp) -> NextSlot {
        let passed = now.as_millis().saturating_sub(done.as_millis()).max(0);
        let missed = (passed / self.interval_ms - 1).max(0);
        let ahead = (missed + 1).saturating_mul(self.interval_ms);
        let slot = Timestamp::from_millis(done.as_millis().saturating_add(ahead));
        NextSlot { slot, missed: missed.unsigned_abs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn slots_are_aligned_and_shifted() {
        let schedule = Schedule::new(GroupId(40_007), Duration::from_secs(15));
        // 40,007 ms modulo 15 s.
        assert_eq!(schedule.first(at(0)), at(10_007));
        assert_eq!(schedule.first(at(10_007)), at(10_007));
        assert_eq!(schedule.first(Timestamp(10_007 * 1_000_000 + 1)), at(25_007));
        assert_eq!(schedule.first(at(-20_000)), at(-19_993));
    }

    #[test]
    fn late_evaluations_skip_slots() {
        let schedule = Schedule::new(GroupId(0), Duration::from_secs(10));
        for (now, slot, missed) in [
            (1, 10, 0),
            (10, 10, 0),
            (19, 10, 0),
            (20, 20, 1),
            (25, 20, 1),
            (45, 40, 3),
            (-5, 10, 0),
        ] {
            let next = schedule.next(at(0), at(now * 1000));
            assert_eq!((next.slot, next.missed), (at(slot * 1000), missed), "now {now}");
        }
    }
}
