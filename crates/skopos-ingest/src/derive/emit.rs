//! When the series of one counter are written: at their birth, when they changed, to keep them
//! alive, and a last time when they have been idle.

use super::{IDLE, KEEP_ALIVE};

/// What was written of one counter, and what the tick under way writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Emission {
    /// When its 0 was written; none before the first write.
    born_ms: Option<i64>,
    written: u64,
    written_ms: i64,
    changed_ms: i64,
    /// What becomes true once the tick's samples are stored.
    planned: Option<Planned>,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    born_ms: i64,
    count: u64,
    now_ms: i64,
    ends: bool,
}

/// What a tick writes of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    Skip,
    /// Its value; before it a 0 at `zero_ms` when it is new.
    Value { born_ms: i64, zero_ms: Option<i64> },
    /// A stale marker.
    End,
}

impl Emission {
    /// Decides what a tick writes of a counter that stands at `count`. `zero_ms` is where a new
    /// series begins: before `now_ms` and after the last tick.
    pub(super) fn plan(&mut self, count: u64, zero_ms: i64, now_ms: i64) -> Plan {
        let since = |time_ms: i64| now_ms.saturating_sub(time_ms);
        let planned = |born_ms, ends| Some(Planned { born_ms, count, now_ms, ends });
        let Some(born_ms) = self.born_ms else {
            self.planned = planned(zero_ms, false);
            return Plan::Value { born_ms: zero_ms, zero_ms: Some(zero_ms) };
        };
        self.planned = None;
        if count != self.written || since(self.written_ms) >= millis(KEEP_ALIVE) {
            let idle = count == self.written && since(self.changed_ms) >= millis(IDLE);
            self.planned = planned(born_ms, idle);
            return if idle { Plan::End } else { Plan::Value { born_ms, zero_ms: None } };
        }
        Plan::Skip
    }

    /// The plan was carried out. Whether the series go on.
    pub(super) fn commit(&mut self, count: u64) -> bool {
        let Some(planned) = self.planned.take() else { return true };
        if self.born_ms.is_none() || planned.count != self.written {
            self.changed_ms = planned.now_ms;
        }
        self.born_ms = Some(planned.born_ms);
        self.written = planned.count;
        self.written_ms = planned.now_ms;
        if planned.ends && count == planned.count {
            return false;
        }
        if planned.ends {
            // Something came while the stale marker was written: go on as the same counter.
            self.changed_ms = planned.now_ms;
        }
        true
    }
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
