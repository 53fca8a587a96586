//! Which queries to run: at a slot, and over stored history.

use std::collections::HashMap;
use std::time::Duration;

use skopos_model::Timestamp;

use super::{SloSettings, SloState};
use crate::duration::format_duration;
use crate::slo::count::LOOK_BACK_MS;
use crate::slo::indicator::{Ask, with_window};
use crate::slo::ledger::RETENTION_DAYS;
use crate::slo::{SloId, millis};

const DAY_MS: i64 = 86_400_000;

/// Most that one slot catches up; longer gaps are for [`backfill`].
const CATCH_UP_MS: i64 = 6 * 3_600_000;

/// Most steps of one query that catches up.
const MOST_STEPS: i64 = 8_000;

/// What is missing of an objective for no longer than this is not history: slots catch it up.
pub(super) const LEFT_TO_SLOTS_MS: i64 = 3_600_000;

/// Between two steps of a query over history.
const HISTORY_STEP_MS: i64 = 60_000;

/// A range query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RangeQuery {
    /// The expression.
    pub expr: String,
    /// The first step, milliseconds since the epoch.
    pub start_ms: i64,
    /// The last step.
    pub end_ms: i64,
    /// Between two steps.
    pub step_ms: i64,
}

/// Queries, and what their answers are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The slot, or the end of the stretch of history.
    pub slot: Timestamp,
    /// What to run; each once. Answers are handed back in this order.
    pub queries: Vec<RangeQuery>,
    pub(super) reads: Vec<Read>,
}

/// What one objective reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) slo: SloId,
    /// The query of the bad or good events; none when no slice is complete that it could be about.
    pub(super) part: Option<usize>,
    pub(super) total: Option<usize>,
    /// Where the first slice begins.
    pub(super) start_ms: i64,
}

struct Builder {
    plan: Plan,
    known: HashMap<RangeQuery, usize>,
}

impl Builder {
    fn new(slot_ms: i64) -> Self {
        let slot = Timestamp::from_millis(slot_ms);
        Self { plan: Plan { slot, queries: Vec::new(), reads: Vec::new() }, known: HashMap::new() }
    }

    fn query(&mut self, query: RangeQuery) -> usize {
        *self.known.entry(query).or_insert_with_key(|query| {
            self.plan.queries.push(query.clone());
            self.plan.queries.len() - 1
        })
    }

    /// Reads an objective from a border of slices on, up to a moment.
    fn read(&mut self, state: &SloState, start_ms: i64, end_ms: i64, step_ms: i64) {
        let slice = millis(state.slo.slice());
        let mut ask = |ask: &Ask| {
            let query = match ask {
                // True samples only, and the value before the first slice.
                Ask::Counters(expr) => {
                    let step = format_duration(Duration::from_millis(step_ms.unsigned_abs()));
                    let expr = with_window(expr, &step);
                    RangeQuery { expr, start_ms: start_ms - LOOK_BACK_MS, end_ms, step_ms }
                }
                // Asked at the ends of slices only.
                Ask::PerSlice(expr) => {
                    let end_ms = end_ms.div_euclid(slice) * slice;
                    let start_ms = start_ms + slice;
                    if end_ms < start_ms {
                        return None;
                    }
                    RangeQuery { expr: expr.clone(), start_ms, end_ms, step_ms: slice }
                }
            };
            Some(self.query(query))
        };
        let part = ask(&state.asks.part);
        let total = state.asks.total.as_ref().map(&mut ask);
        // Without a complete slice there is nothing to ask.
        if total == Some(None) || (total.is_none() && part.is_none()) {
            return;
        }
        let total = total.flatten();
        self.plan.reads.push(Read { slo: state.slo.id, part, total, start_ms });
    }
}

pub(super) fn at_slot(
    settings: &SloSettings,
    states: &[SloState],
    last_slot: Option<i64>,
    slot_ms: i64,
) -> Plan {
    let interval = settings.interval_ms();
    let mut builder = Builder::new(slot_ms);
    let late_slots = (millis(settings.late_every) / interval).max(1);
    for state in states.iter().filter(|state| state.chunks_to_fill == 0) {
        let slice = millis(state.slo.slice());
        let floor = |at: i64| at.div_euclid(slice) * slice;
        let present = floor(slot_ms - 1);
        let mut start = present - i64::from(settings.reread_slices) * slice;
        // Objectives take turns with the longer look back.
        let turn = (state.slo.id.0 % late_slots.unsigned_abs()) as i64;
        if slot_ms.div_euclid(interval).rem_euclid(late_slots) == turn {
            start = start.min(floor(slot_ms - millis(settings.late_window)));
        }
        if let Some(last) = state.filled_until.or(last_slot) {
            let missed = floor(last) - i64::from(settings.reread_slices) * slice;
            let most = CATCH_UP_MS.min(interval * MOST_STEPS);
            start = start.min(missed.max(floor(slot_ms - most)));
        }
        builder.read(state, start, slot_ms, interval);
    }
    builder.plan
}

/// Days of history, oldest first.
/// Objectives of which no more than `slack_ms` is missing are left out.
pub(super) fn backfill(
    states: &[SloState],
    now_ms: i64,
    history: Duration,
    slack_ms: i64,
) -> Vec<Plan> {
    let oldest = now_ms - millis(history).min(RETENTION_DAYS * DAY_MS);
    let mut days: HashMap<i64, Builder> = HashMap::new();
    for state in states {
        let slice = millis(state.slo.slice());
        let step = HISTORY_STEP_MS.min(slice);
        // The youngest of its groups says up to where it is known: younger ones begin there.
        let known = state.groups.values().filter_map(|group| group.ledger.covered_until()).max();
        if slack_ms > 0 && known.is_some_and(|end| end > now_ms - slack_ms) {
            continue;
        }
        let from = known.map_or(oldest, |end| (end - 2 * slice).max(oldest));
        let end = now_ms.div_euclid(slice) * slice;
        let mut start = from.div_euclid(15 * 60_000) * 15 * 60_000;
        while start < end {
            let midnight = (start.div_euclid(DAY_MS) + 1) * DAY_MS;
            let to = midnight.min(end);
            let day = start.div_euclid(DAY_MS);
            let builder = days.entry(day).or_insert_with(|| Builder::new(to));
            builder.read(state, start, to, step);
            start = to;
        }
    }
    let mut plans: Vec<Plan> = days.into_values().map(|builder| builder.plan).collect();
    plans.retain(|plan| !plan.queries.is_empty());
    plans.sort_by_key(|plan| plan.slot);
    plans
}
