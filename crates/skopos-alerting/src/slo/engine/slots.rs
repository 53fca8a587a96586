//! Slots: what to ask at each, what the answers count, and what is made durable of it.

use std::time::Duration;

use skopos_model::Timestamp;
use skopos_model::storage::StateCommit;
use skopos_promql::MatrixSeries;

use super::unread::Generation;
use super::{Group, Plan, SLO_SOURCE, SloEngine, SloState, commit, output, plan};
use crate::slo::SloId;
use crate::slo::count::{self, Counted, Known, MAX_GROUPS, Problem};
use crate::slo::indicator::{Absent, Ask};

/// How long what a series had before its first sample is remembered: as long as slots read that sample again.
const FORGET_BIRTHS_MS: i64 = 2 * 3_600_000;

/// Everything that follows from one slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SloStep {
    /// What to make durable: slices, and the series that alert rules read.
    pub commit: Option<StateCommit>,
    /// Objectives whose queries failed, with the reason. Their burn rates stay what they were.
    pub failures: Vec<(SloId, String)>,
    /// Groups that were left out because an objective has more than [`MAX_GROUPS`].
    pub groups_dropped: usize,
    /// The slot was there before: nothing happened.
    pub skipped: bool,
}

/// What became of the reads of a plan.
pub(super) struct Taken {
    /// Objectives whose queries failed, and what they were to read.
    pub(super) failed: Vec<(usize, i64, i64)>,
    /// Objectives that have to read again what they have read, and from where on.
    pub(super) again: Vec<(usize, i64)>,
}

impl SloState {
    /// Puts counted slices into the ledgers.
    fn take(&mut self, counted: Counted, now_ms: i64) -> usize {
        let mut dropped = counted.groups_dropped;
        for (labels, slices) in counted.groups {
            let spacing_ms = counted.spacings.get(&labels).copied();
            if !self.groups.contains_key(&labels) && self.groups.len() >= MAX_GROUPS {
                dropped += 1;
                continue;
            }
            let group = self
                .groups
                .entry(labels)
                .or_insert_with_key(|labels| Group::new(&self.slo, labels, now_ms));
            group.ledger.write(&slices);
            group.spacing_ms = spacing_ms.unwrap_or(group.spacing_ms);
        }
        self.groups_dropped = dropped;
        dropped
    }

    /// Takes what a read says about the objective itself. Returns from where on slices are to be read again: once a good
    /// event was seen, its selector is right, and what came before was bad.
    fn take_sense(
        &mut self,
        counted: &Counted,
        end_ms: i64,
        bounds: Option<Vec<String>>,
    ) -> Option<i64> {
        if let Some(bounds) = bounds {
            self.bounds = Some((end_ms, bounds));
        }
        let bounds = self.bounds.as_ref().map(|(_, bounds)| bounds.as_slice());
        let unmatched = counted.unmatched.as_ref();
        let text = unmatched.and_then(|of| count::unmatched_text(&self.asks, of, bounds));
        let is_suspect = self.problem.as_ref().is_some_and(|problem| problem.group.is_some());
        if let Some(text) = text {
            self.problem = Some(Problem { text, group: None });
        } else if counted.nonsense.is_some() {
            self.problem.clone_from(&counted.nonsense);
        } else if if is_suspect { counted.is_sound } else { counted.is_matched } {
            self.problem = None;
        }
        if self.asks.absent != Absent::NoneOnceSeen {
            return None;
        }
        if let Some(unmatched) = unmatched {
            let since = self.unmatched_since.unwrap_or(i64::MAX);
            self.unmatched_since = Some(since.min(unmatched.since_ms));
        }
        if counted.is_matched { self.unmatched_since.take() } else { None }
    }
}

impl SloEngine {
    /// The first slot at or after a moment. Slots are multiples of the interval, so that they meet
    /// the borders of slices.
    pub fn next_slot(&self, now: Timestamp) -> Timestamp {
        let interval = self.settings.interval_ms();
        let now = now.0.div_euclid(1_000_000) + i64::from(now.0.rem_euclid(1_000_000) > 0);
        let before = now.div_euclid(interval) * interval;
        Timestamp::from_millis(if before < now { before + interval } else { before })
    }

    /// The time between slots.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.settings.interval_ms().unsigned_abs())
    }

    /// What to ask at a slot. Objectives that ask the same share a query.
    pub fn plan(&self, slot: Timestamp) -> Plan {
        let (states, slot_ms) = (&self.states, slot.as_millis());
        plan::at_slot(&self.settings, states, self.last_slot, slot_ms, self.generation)
    }

    /// Takes the answers of a plan, in the order of its queries.
    ///
    /// A query that failed leaves its objective as it was; the next slots read the time again.
    pub fn step(&mut self, plan: &Plan, answers: &[Result<Vec<MatrixSeries>, String>]) -> SloStep {
        let slot = plan.slot.as_millis();
        if self.last_slot.is_some_and(|last| slot <= last) {
            return SloStep { skipped: true, ..SloStep::default() };
        }
        let mut step = SloStep::default();
        let Taken { failed, again } = self.take_answers(plan, answers, slot, &mut step);
        let (oldest, generation) = (self.oldest_read(slot), self.next_generation());
        for read in &plan.reads {
            let Some(at) = self.index.get(&read.slo) else { continue };
            let state = &mut self.states[*at];
            state.unread.slots_read(plan.generation);
            // Slots reach back so far and no farther: what is older is history.
            state.unread.add(read.wanted_ms.max(oldest), read.start_ms, generation);
            if !failed.iter().any(|(other, ..)| other == at) {
                state.filled_until = None;
            }
        }
        let failed = failed.into_iter().map(|(at, start_ms, _)| (at, start_ms));
        for (at, start_ms) in failed.chain(again) {
            self.states[at].unread.change_since(start_ms, generation);
        }
        self.last_slot = Some(slot);
        let mut records = Vec::new();
        let mut samples = Vec::new();
        for state in &mut self.states {
            state.records(slot, &mut records);
            output::samples(state, slot, &mut samples);
        }
        if slot.rem_euclid(3_600_000) < self.settings.interval_ms() {
            records.append(&mut self.notes.prune(slot));
        }
        if !records.is_empty() || !samples.is_empty() {
            step.commit = Some(commit(SLO_SOURCE, slot, records, samples));
        }
        step
    }

    /// Looks at the answers of a plan: where series begin in them of which nobody knows what they had before, queries
    /// for that are added at its end. Their answers belong behind the others, before the plan's answers are taken.
    pub fn look_back(&self, plan: &mut Plan, answers: &[Result<Vec<MatrixSeries>, String>]) {
        let state_of = |id: SloId| self.index.get(&id).map(|at| &self.states[*at]);
        plan::look_back(plan, state_of, answers);
    }

    /// Says that samples from here on came late or again: slices since then, as far as slots reach back (six hours), are
    /// read anew at the next slot.
    pub fn changed_since(&mut self, since: Timestamp) {
        let generation = self.next_generation();
        for state in &mut self.states {
            state.unread.change_since(since.as_millis(), generation);
        }
    }

    /// Counts a change: plans that were made before it know nothing of it.
    pub(super) fn next_generation(&mut self) -> Generation {
        self.generation += 1;
        self.generation
    }

    pub(super) fn take_answers(
        &mut self,
        plan: &Plan,
        answers: &[Result<Vec<MatrixSeries>, String>],
        now_ms: i64,
        step: &mut SloStep,
    ) -> Taken {
        let (mut failed, mut again) = (Vec::new(), Vec::new());
        for read in &plan.reads {
            let Some(at) = self.index.get(&read.slo).copied() else { continue };
            let state = &mut self.states[at];
            let answers_of = |index: usize| match answers.get(index) {
                Some(Ok(series)) => Ok(series.as_slice()),
                Some(Err(error)) => Err(error.clone()),
                None => Err("the query was not answered".to_string()),
            };
            let needed = [read.part, read.total, read.part_before, read.total_before]
                .map(|index| index.map(answers_of).transpose());
            let (part, total, part_before, total_before) = match needed {
                [Ok(a), Ok(b), Ok(c), Ok(d)] => (a, b, c, d),
                answers => {
                    let error = answers.into_iter().find_map(Result::err).unwrap_or_default();
                    step.failures.push((read.slo, error.clone()));
                    state.error = Some(error);
                    failed.push((at, read.start_ms, read.end_ms));
                    continue;
                }
            };
            let part = part.unwrap_or_default();
            for (ask, series, before) in [
                (Some(&state.asks.part), part, part_before),
                (state.asks.total.as_ref(), total.unwrap_or_default(), total_before),
            ] {
                if let (Some(Ask::Samples { reading, .. }), Some(before)) = (ask, before) {
                    state.births.take(series, *reading, read.start_ms, before);
                }
            }
            let known = Known {
                is_seen: !state.groups.is_empty(),
                suspect: state.problem.as_ref().and_then(|problem| problem.group.as_ref()),
            };
            let (slo, asks, births) = (&state.slo, &state.asks, &state.births);
            let counted = count::count(slo, asks, read.start_ms, part, total, births, &known);
            state.births.forget(read.end_ms - FORGET_BIRTHS_MS);
            state.error = None;
            // A refusal of this one keeps nobody from counting.
            let bounds = read.bounds.and_then(|index| answers_of(index).ok());
            let bounds = bounds.map(count::bounds_of);
            if let Some(since) = state.take_sense(&counted, read.end_ms, bounds) {
                again.push((at, since));
            }
            step.groups_dropped += state.take(counted, now_ms);
        }
        Taken { failed, again }
    }
}
