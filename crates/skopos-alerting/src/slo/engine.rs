//! All objectives with their ledgers: says what to query, takes the answers, returns what to commit.
//!
//! Here is what they are made of, and how they are replaced; `slots` and `history` count, `saved` restores.

mod costs;
mod history;
mod notes;
mod output;
mod plan;
mod saved;
mod slots;
mod unread;
mod view;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{CommitId, StateCommit, StateRecord};
use skopos_model::{Labels, SeriesSamples, Timestamp};

pub use costs::DeployCost;
pub use plan::{Plan, SloQuery};
pub use saved::{RestoredSlos, SavedSlos, fuzz_slo_records};
pub use slots::SloStep;
pub use view::{AlertStatus, BurnStatus, ChartPoint, CorrectionEffect, Health, SloStatus};
pub(super) use words::{as_object, hours, is_page, name_of, percent, rounded};
pub use words::{good_percent, left_percent};

use super::budget::Book;
use super::count::{Births, Problem};
use super::indicator::Asks;
use super::ledger::{Ledger, RETENTION_DAYS};
use super::notes::Notes;
use super::{Slo, SloId, SloSet, millis};
use crate::rules::hash_pieces;
use history::Filling;
use output::Output;
use unread::{Generation, Unread};

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
    /// How far back stored samples reach. What was counted before that is never read again: of the samples that were
    /// counted nothing is left. At most [`RETENTION_DAYS`].
    pub history: Duration,
}

impl Default for SloSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            reread_slices: 2,
            late_window: Duration::from_secs(3600),
            late_every: Duration::from_secs(15 * 60),
            history: Duration::from_secs(RETENTION_DAYS.unsigned_abs() * 86_400),
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
    /// How often it was said that something is to be read again.
    generation: Generation,
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
    /// Its history is being filled in; slots leave it alone until that is done, so that the end of its last slice
    /// always says up to where it is known.
    filling: Option<Filling>,
    /// History was filled in up to here; the next slot begins there.
    filled_until: Option<i64>,
    /// What is still to be read, or to be read again.
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
            filling: None,
            filled_until: None,
            unread: Unread::default(),
            births: Births::default(),
        }
    }

    fn book<'a>(&'a self, group: &'a Group) -> Book<'a> {
        let (ledger, since_ms) = (&group.ledger, group.since_ms);
        Book { slo: &self.slo, ledger, excluded: &self.excluded, since_ms }
    }

    /// Up to where it is known. The youngest of its groups says it: they are counted together.
    fn known_until(&self) -> Option<i64> {
        self.groups.values().filter_map(|group| group.ledger.covered_until()).max()
    }

    /// Has slots begin where it is known up to, when no more is missing than slots catch up by themselves: nobody else
    /// remembers that queries failed, or that its history was only just filled in.
    fn resume(&mut self, now_ms: i64, generation: Generation) {
        let known = self.known_until().filter(|end| *end > now_ms - plan::LEFT_TO_SLOTS_MS);
        if let Some(end) = known {
            self.unread.change_since(end, generation);
        }
    }

    /// Changed records of all groups. A group of which nothing is left goes: it is one of many at most.
    fn records(&mut self, now_ms: i64, records: &mut Vec<StateRecord>) {
        self.groups.retain(|labels, group| {
            group.ledger.advance(now_ms);
            let is_left = !group.ledger.is_empty();
            if is_left && !group.is_recorded {
                group.is_recorded = true;
                records.push(saved::identity_record(&self.slo, labels, group));
            }
            records.append(&mut group.ledger.take_records(&group.prefix, now_ms));
            if !is_left && group.is_recorded {
                records.push(saved::identity_deletion(group));
            }
            is_left
        });
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
    /// The objectives, in the order of their files.
    pub fn slos(&self) -> impl ExactSizeIterator<Item = &Arc<Slo>> {
        self.states.iter().map(|state| &state.slo)
    }

    /// The objective of a name.
    pub fn slo(&self, name: &str) -> Option<&Arc<Slo>> {
        self.slos().find(|slo| slo.name == name)
    }

    /// Replaces the objectives. Those that count the same as before keep their slices; returns what
    /// to commit.
    pub fn reload(&mut self, set: &SloSet, now: Timestamp) -> Option<StateCommit> {
        let mut old: HashMap<SloId, SloState> = std::mem::take(&mut self.states)
            .into_iter()
            .map(|state| (state.slo.id, state))
            .collect();
        self.index.clear();
        let generation = self.next_generation();
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
                    state.resume(now.as_millis(), generation);
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
