//! History: filled in where an objective is new or was away, and read anew where samples came late or queries failed.
//!
//! It is planned chunk by chunk, when the one before is done: years of a thousand objectives take no more memory than a
//! day of them. Nothing is read of the time before stored samples begin: what was counted then stays as it is.

use skopos_model::Timestamp;
use skopos_promql::MatrixSeries;

use super::slots::Taken;
use super::{BACKFILL_SOURCE, Plan, SloEngine, SloStep, commit, plan};
use crate::slo::count::{self, CHUNK_MS, LOOK_BACK_MS};
use crate::slo::ledger::{QUARTER_MS, RETENTION_DAYS, quarter_after, quarter_before};
use crate::slo::millis;

/// How far the history of an objective is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    /// Where the next chunk begins.
    pub(super) next_ms: i64,
    /// Where the last one ends.
    pub(super) until_ms: i64,
}

impl SloEngine {
    /// Says that samples between two moments came later than slots reach back. As far as slots do not read it anew, this
    /// stretch is part of [`unread_history`](Self::next_unread) from now on; the commit of the next step makes that
    /// durable. It ends where what a counter did in a silence is put down at last: samples that come into a
    /// silence take from what was counted behind it. What lies before stored samples begin is left out.
    pub fn changed_between(&mut self, start: Timestamp, end: Timestamp, now: Timestamp) {
        let now_ms = now.as_millis();
        let generation = self.next_generation();
        let reach = quarter_before(now_ms - plan::CATCH_UP_MS) + 2 * QUARTER_MS;
        let start = quarter_before(start.as_millis() - 1).max(self.oldest_read(now_ms));
        let end = quarter_before(count::remembered_until(end.as_millis())) + QUARTER_MS;
        for state in &mut self.states {
            state.unread.add(start, end.min(reach), generation);
            if end > reach {
                state.unread.change_since(reach, generation);
            }
        }
    }

    /// From where on history is read anew at the earliest, a border of quarters of an hour: before it some of the samples
    /// that were counted are gone.
    pub(super) fn oldest_read(&self, now_ms: i64) -> i64 {
        quarter_after(now_ms - self.history_ms() + LOOK_BACK_MS)
    }

    fn history_ms(&self) -> i64 {
        millis(self.settings.history).min(RETENTION_DAYS * 86_400_000)
    }

    /// Begins to fill in history, from the oldest stored sample on (none: nothing is stored, and nothing is asked), of
    /// objectives of which more than an hour is missing (slots catch up less by themselves): for one without data all of
    /// it, for others the time since their last slice. Slots keep away from each until the last of its chunks is taken: a
    /// crash on the way then loses nothing, because what is known of an objective has no gap. Returns how many chunks
    /// there are.
    pub fn begin_backfill(&mut self, now: Timestamp, oldest: Option<Timestamp>) -> usize {
        let now_ms = now.as_millis();
        self.end_backfill();
        let Some(oldest) = oldest else { return 0 };
        let oldest = oldest.as_millis().max(now_ms - self.history_ms());
        let mut all: Option<(i64, i64)> = None;
        for state in &mut self.states {
            let slice = millis(state.slo.slice());
            let known = state.known_until();
            if known.is_some_and(|end| end > now_ms - plan::LEFT_TO_SLOTS_MS) {
                continue;
            }
            let from = quarter_before(known.map_or(oldest, |end| (end - 2 * slice).max(oldest)));
            let until = now_ms.div_euclid(slice) * slice;
            if from >= until {
                continue;
            }
            state.filling = Some(Filling { next_ms: from, until_ms: until });
            state.filled_until = Some(now_ms);
            state.unread.forget_slots_from(from);
            let (first, last) = all.unwrap_or((from, until));
            all = Some((first.min(from), last.max(until)));
        }
        // All of them end now, so there is no gap between.
        let chunks = all.map_or(0, |(first, last)| {
            (last - 1).div_euclid(CHUNK_MS) - first.div_euclid(CHUNK_MS) + 1
        });
        usize::try_from(chunks).unwrap_or(0)
    }

    /// The next chunk of history that is being filled in, the oldest first; its answers belong to
    /// [`take_backfill`](Self::take_backfill). None when all were handed out.
    pub fn next_backfill(&mut self) -> Option<Plan> {
        plan::next_backfill(&mut self.states, self.generation)
    }

    /// Lets slots go on for all objectives, from where their history ends.
    pub fn end_backfill(&mut self) {
        self.states.iter_mut().for_each(|state| state.filling = None);
    }

    /// Whether the history of an objective is being filled in.
    pub fn is_filling(&self, slo: &str) -> bool {
        self.states.iter().any(|state| state.slo.name == slo && state.filling.is_some())
    }

    /// The next chunk that is still to be asked of history, the oldest first: queries failed, or it [changed long after
    /// its time](Self::changed_between). Restarts do not forget it. A round begins with `after` none and goes on with the
    /// slot of the plan before, so that what fails does not come again in the same one; none ends it.
    pub fn next_unread(&mut self, now: Timestamp, after: Option<Timestamp>) -> Option<Plan> {
        let now_ms = now.as_millis();
        let oldest = self.oldest_read(now_ms);
        // Of the last minutes samples are still on their way.
        let until = quarter_before(now_ms - LOOK_BACK_MS);
        for state in &mut self.states {
            state.unread.remove(i64::MIN, oldest);
        }
        let after = after.map_or(i64::MIN, |after| after.as_millis());
        plan::next_unread(&self.states, after, until, self.generation)
    }

    /// Whether anything of history is still to be asked.
    pub fn has_unread_history(&self) -> bool {
        self.states.iter().any(|state| !state.unread.is_empty())
    }

    /// Takes the answers of a chunk of history.
    pub fn take_backfill(
        &mut self,
        plan: &Plan,
        answers: &[Result<Vec<MatrixSeries>, String>],
        now: Timestamp,
    ) -> SloStep {
        let now_ms = now.as_millis();
        let mut step = SloStep::default();
        for read in &plan.reads {
            if let Some(at) = self.index.get(&read.slo) {
                let unread = &mut self.states[*at].unread;
                unread.read(read.start_ms, read.end_ms, plan.generation);
            }
        }
        let Taken { failed, again } = self.take_answers(plan, answers, now_ms, &mut step);
        let (oldest, generation) = (self.oldest_read(now_ms), self.next_generation());
        for (at, start_ms, end_ms) in failed {
            self.states[at].unread.add(start_ms.max(oldest), end_ms, generation);
        }
        for (at, start_ms) in again {
            self.states[at].unread.change_since(start_ms, generation);
        }
        let mut records = Vec::new();
        for read in &plan.reads {
            let Some(at) = self.index.get(&read.slo).copied() else { continue };
            let state = &mut self.states[at];
            state.filling = state.filling.filter(|filling| read.end_ms < filling.until_ms);
            state.records(now_ms, &mut records);
        }
        if !records.is_empty() {
            self.last_backfill = now_ms.max(self.last_backfill.saturating_add(1));
            step.commit = Some(commit(BACKFILL_SOURCE, self.last_backfill, records, Vec::new()));
        }
        step
    }
}
