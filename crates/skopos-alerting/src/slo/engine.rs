//! All objectives with their ledgers: says what to query, takes the answers, returns what to commit.

mod notes;
mod output;
mod plan;
mod saved;
mod unread;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{CommitId, StateCommit, StateRecord};
use skopos_model::{Labels, SeriesSamples, Timestamp};
use skopos_promql::MatrixSeries;

pub use plan::{Plan, SloQuery};
pub use saved::{RestoredSlos, SavedSlos, fuzz_slo_records};
pub use view::{
    AlertStatus, BurnStatus, ChartPoint, CorrectionEffect, DeployCost, Health, SloStatus,
    good_percent, left_percent,
};
pub(super) use view::{as_object, hours, is_page, name_of, percent, rounded};

use super::budget::Book;
use super::count::{self, Births, Counted, Known, MAX_GROUPS, Problem};
use super::indicator::{Absent, Ask, Asks};
use super::ledger::{Ledger, QUARTER_MS, RETENTION_DAYS};
use super::notes::Notes;
use super::{Slo, SloId, SloSet, millis};
use crate::rules::hash_pieces;
use output::Output;
use unread::Unread;

/// The source of the commits of steps.
pub const SLO_SOURCE: &str = "slo/slots";
/// The source of commits that fill in history.
pub const BACKFILL_SOURCE: &str = "slo/backfill";
/// The source of commits of notes, and of those made when objectives are loaded.
pub const NOTES_SOURCE: &str = "slo/notes";

/// What the engine must know beyond the objectives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloSettings {
    /// How often slices are read. Rounded down to a part of a minute.
    pub interval: Duration,
    /// How many complete slices are read again at every slot: what arrives this late costs nothing.
    pub reread_slices: u32,
    /// How much is read again every `late_every`, for data that arrives later than that.
    pub late_window: Duration,
    /// How often that is done.
    pub late_every: Duration,
}

impl Default for SloSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            reread_slices: 2,
            late_window: Duration::from_secs(3600),
            late_every: Duration::from_secs(15 * 60),
        }
    }
}

/// Parts of a minute that may lie between two slots, in seconds.
const INTERVALS: [u64; 11] = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30];

impl SloSettings {
    /// The interval in milliseconds: the longest part of a minute that is not longer than asked.
    fn interval_ms(&self) -> i64 {
        let seconds = self.interval.as_secs();
        if seconds >= 60 {
            return 60_000;
        }
        let fits = INTERVALS.iter().rev().find(|s| **s <= seconds);
        fits.map_or(1_000, |s| *s as i64 * 1000)
    }
}

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
struct Taken {
    /// Objectives whose queries failed, and what they were to read.
    failed: Vec<(usize, i64, i64)>,
    /// Objectives that have to read again what they have read, and from where on.
    again: Vec<(usize, i64)>,
}

/// All objectives with what they spent.
#[derive(Debug)]
pub struct SloEngine {
    settings: SloSettings,
    states: Vec<SloState>,
    index: HashMap<SloId, usize>,
    notes: Notes,
    last_slot: Option<i64>,
    last_note: i64,
    last_backfill: i64,
}

#[derive(Debug)]
struct SloState {
    slo: Arc<Slo>,
    asks: Asks,
    groups: BTreeMap<Labels, Group>,
    excluded: Vec<(i64, i64)>,
    error: Option<String>,
    /// What is wrong with what it counts, as far as anybody can tell.
    problem: Option<Problem>,
    /// The bounds that its histogram has, and when somebody looked; only where the one that it counts is missing.
    bounds: Option<(i64, Vec<String>)>,
    /// From here on there were events, and never a good one.
    unmatched_since: Option<i64>,
    groups_dropped: usize,
    /// Chunks of its history that are still to be filled in, oldest first; slots leave it alone until that is
    /// done, so that the end of its last slice always says up to where it is known.
    chunks_to_fill: usize,
    /// History was filled in up to here; the next slot begins there.
    filled_until: Option<i64>,
    /// From here on slices may be wrong: samples came late, or queries failed. The next slot begins there.
    changed_since: Option<i64>,
    /// Stretches of history that are still to be read.
    unread: Unread,
    births: Births,
}

/// The budget of one combination of group labels.
#[derive(Debug)]
struct Group {
    ledger: Ledger,
    /// Begins the keys of its records.
    prefix: String,
    /// Whether the log knows what it is.
    is_recorded: bool,
    /// Since when it is kept.
    since_ms: i64,
    /// How far apart its samples are, where that was seen.
    spacing_ms: i64,
    outputs: Vec<Output>,
}

impl Group {
    fn new(slo: &Slo, labels: &Labels, now_ms: i64) -> Self {
        Self {
            ledger: Ledger::new(slo.slice(), now_ms),
            prefix: prefix_of(slo.id, labels),
            is_recorded: false,
            since_ms: now_ms,
            spacing_ms: 0,
            outputs: output::outputs(slo, labels),
        }
    }
}

fn prefix_of(id: SloId, labels: &Labels) -> String {
    let pairs = labels.iter().flat_map(|(name, value)| [name, value]);
    format!("{id}/{:016x}", hash_pieces(pairs) as u64)
}

impl SloState {
    fn new(slo: Arc<Slo>, notes: &Notes) -> Self {
        let asks = slo.indicator.asks(slo.slice(), &slo.group_by);
        let excluded = notes.excluded(&slo.name);
        let groups = BTreeMap::new();
        Self {
            slo,
            asks,
            groups,
            excluded,
            error: None,
            problem: None,
            bounds: None,
            unmatched_since: None,
            groups_dropped: 0,
            chunks_to_fill: 0,
            filled_until: None,
            changed_since: None,
            unread: Unread::default(),
            births: Births::default(),
        }
    }

    fn book<'a>(&'a self, group: &'a Group) -> Book<'a> {
        let (ledger, since_ms) = (&group.ledger, group.since_ms);
        Book { slo: &self.slo, ledger, excluded: &self.excluded, since_ms }
    }

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

    fn change_since(&mut self, since_ms: i64) {
        let since = self.changed_since.map_or(since_ms, |before| before.min(since_ms));
        self.changed_since = Some(since);
    }

    /// Changed records of all groups.
    fn records(&mut self, now_ms: i64, records: &mut Vec<StateRecord>) {
        for (labels, group) in &mut self.groups {
            group.ledger.advance(now_ms);
            if !group.is_recorded {
                group.is_recorded = true;
                records.push(saved::identity_record(&self.slo, labels, group));
            }
            records.append(&mut group.ledger.take_records(&group.prefix, now_ms));
        }
        records.extend(self.unread.take_record(&self.slo));
    }
}

fn commit(
    source: &str,
    slot: i64,
    records: Vec<StateRecord>,
    samples: Vec<SeriesSamples>,
) -> StateCommit {
    StateCommit { id: CommitId { source: source.into(), slot }, records, samples }
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

    /// The objectives, in the order of their files.
    pub fn slos(&self) -> impl ExactSizeIterator<Item = &Arc<Slo>> {
        self.states.iter().map(|state| &state.slo)
    }

    /// The objective of a name.
    pub fn slo(&self, name: &str) -> Option<&Arc<Slo>> {
        self.slos().find(|slo| slo.name == name)
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
        for read in &plan.reads {
            let Some(at) = self.index.get(&read.slo) else { continue };
            let state = &mut self.states[*at];
            state.changed_since = None;
            // Slots reach back so far and no farther: what is older is history.
            if read.wanted_ms < read.start_ms {
                state.unread.add(plan::quarter_before(read.wanted_ms), read.start_ms);
            }
            if !failed.iter().any(|(other, ..)| other == at) {
                state.filled_until = None;
            }
        }
        let failed = failed.into_iter().map(|(at, start_ms, _)| (at, start_ms));
        for (at, start_ms) in failed.chain(again) {
            self.states[at].change_since(start_ms);
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
        for state in &mut self.states {
            state.change_since(since.as_millis());
        }
    }

    /// Says that samples between two moments came later than slots reach back. As far as slots do not read it anew, this
    /// stretch is part of [`unread_history`](Self::unread_history) from now on; the commit of the next step makes that
    /// durable. It ends where what a counter did in a silence is put down at last: samples that come into a
    /// silence take from what was counted behind it.
    pub fn changed_between(&mut self, start: Timestamp, end: Timestamp, now: Timestamp) {
        let reach = plan::quarter_before(now.as_millis() - plan::CATCH_UP_MS) + 2 * QUARTER_MS;
        let start = plan::quarter_before(start.as_millis() - 1);
        let end = plan::quarter_before(count::remembered_until(end.as_millis())) + QUARTER_MS;
        for state in &mut self.states {
            state.unread.add(start, end.min(reach));
            if end > reach {
                state.change_since(reach);
            }
        }
    }

    fn take_answers(
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

    /// What to ask to fill in history: for an objective without data the last `history` (at most 400
    /// days), for others the time since their last slice. Chunks of a day, to be
    /// [taken](Self::take_backfill) in their order.
    pub fn backfill(&self, now: Timestamp, history: Duration) -> Vec<Plan> {
        let since = now.as_millis().saturating_sub(millis(history));
        plan::backfill(&self.states, now.as_millis(), kept(since, now), 0)
    }

    /// Like [`backfill`](Self::backfill) from the oldest stored sample on (none: nothing is stored, and nothing is
    /// asked), for objectives of which more than an hour is missing (slots catch up less by themselves), and keeps slots
    /// away from each until the last of its chunks is taken: a crash on the way then loses nothing, because what is
    /// known of an objective has no gap.
    pub fn begin_backfill(&mut self, now: Timestamp, oldest: Option<Timestamp>) -> Vec<Plan> {
        let now_ms = now.as_millis();
        self.end_backfill();
        let Some(oldest) = oldest else { return Vec::new() };
        let oldest = kept(oldest.as_millis(), now);
        let plans = plan::backfill(&self.states, now_ms, oldest, plan::LEFT_TO_SLOTS_MS);
        for read in plans.iter().flat_map(|plan| &plan.reads) {
            if let Some(at) = self.index.get(&read.slo).copied() {
                self.states[at].chunks_to_fill += 1;
                self.states[at].filled_until = Some(now_ms);
            }
        }
        plans
    }

    /// Lets slots go on for all objectives, from where their history ends.
    pub fn end_backfill(&mut self) {
        self.states.iter_mut().for_each(|state| state.chunks_to_fill = 0);
    }

    /// Whether the history of an objective is being filled in.
    pub fn is_filling(&self, slo: &str) -> bool {
        self.states.iter().any(|state| state.slo.name == slo && state.chunks_to_fill > 0)
    }

    /// What is still to be asked of history: chunks whose queries failed, and what [changed long after its
    /// time](Self::changed_between). Restarts do not forget it.
    pub fn unread_history(&self) -> Vec<Plan> {
        plan::unread(&self.states)
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
                self.states[*at].unread.remove(read.start_ms, read.end_ms);
            }
        }
        let Taken { failed, again } = self.take_answers(plan, answers, now_ms, &mut step);
        for (at, start_ms, end_ms) in failed {
            self.states[at].unread.add(start_ms, end_ms);
        }
        for (at, start_ms) in again {
            self.states[at].change_since(start_ms);
        }
        let mut records = Vec::new();
        for read in &plan.reads {
            if let Some(at) = self.index.get(&read.slo).copied() {
                self.states[at].records(now_ms, &mut records);
                let left = &mut self.states[at].chunks_to_fill;
                *left = left.saturating_sub(1);
            }
        }
        if !records.is_empty() {
            self.last_backfill = now_ms.max(self.last_backfill.saturating_add(1));
            step.commit = Some(commit(BACKFILL_SOURCE, self.last_backfill, records, Vec::new()));
        }
        step
    }

    /// What to ask at a slot. Objectives that ask the same share a query.
    pub fn plan(&self, slot: Timestamp) -> Plan {
        plan::at_slot(&self.settings, &self.states, self.last_slot, slot.as_millis())
    }

    /// Replaces the objectives. Those that count the same as before keep their slices; returns what
    /// to commit.
    pub fn reload(&mut self, set: &SloSet, now: Timestamp) -> Option<StateCommit> {
        let mut old: HashMap<SloId, SloState> = std::mem::take(&mut self.states)
            .into_iter()
            .map(|state| (state.slo.id, state))
            .collect();
        self.index.clear();
        let mut records = Vec::new();
        for slo in &set.slos {
            let mut state = SloState::new(slo.clone(), &self.notes);
            match old.remove(&slo.id) {
                Some(before) if saved::fingerprint(&before.slo) == saved::fingerprint(slo) => {
                    state.groups = before.groups;
                    for (labels, group) in &mut state.groups {
                        group.outputs = output::outputs(slo, labels);
                    }
                    (state.error, state.unread) = (before.error, before.unread);
                    (state.problem, state.bounds) = (before.problem, before.bounds);
                    state.unmatched_since = before.unmatched_since;
                    state.changed_since = before.changed_since;
                }
                Some(before) => {
                    for group in before.groups.values() {
                        records.append(&mut saved::deletions(group));
                    }
                    if before.unread.is_known() {
                        records.push(unread::deletion(slo.id));
                    }
                }
                None => {}
            }
            self.index.insert(slo.id, self.states.len());
            self.states.push(state);
        }
        (!records.is_empty()).then(|| self.note_commit(records, now.as_millis()))
    }

    fn note_commit(&mut self, records: Vec<StateRecord>, now_ms: i64) -> StateCommit {
        // The clock may stand still or go back; the source's slots must not.
        self.last_note = now_ms.max(self.last_note.saturating_add(1));
        commit(NOTES_SOURCE, self.last_note, records, Vec::new())
    }

    /// Bytes that all ledgers take in memory, nearly.
    pub fn size_bytes(&self) -> usize {
        let groups = self.states.iter().flat_map(|state| state.groups.values());
        groups.map(|group| group.ledger.size_bytes()).sum()
    }
}

/// A moment, no earlier than what is kept.
fn kept(since_ms: i64, now: Timestamp) -> i64 {
    since_ms.max(now.as_millis() - RETENTION_DAYS * 86_400_000)
}

/// How long what a series had before its first sample is remembered: as long as slots read that sample again.
const FORGET_BIRTHS_MS: i64 = 2 * 3_600_000;

/// The window in which an objective's present burn rate is looked at.
const PRESENT: Duration = Duration::from_secs(3600);

/// The windows for which error ratios are recorded: sloth's, and those of the alerts.
pub(super) fn windows(slo: &Slo) -> Vec<Duration> {
    const USUAL: [u64; 7] = [5, 30, 60, 120, 360, 1440, 4320];
    let mut windows: Vec<Duration> = USUAL.iter().map(|m| Duration::from_secs(m * 60)).collect();
    windows.extend(slo.alerts.burn.iter().flat_map(|a| [Some(a.long), a.short]).flatten());
    windows.sort_unstable();
    windows.dedup();
    let slice = millis(slo.slice());
    windows.retain(|window| millis(*window) >= slice);
    windows
}
