//! Which queries to run: at a slot, and over stored history.

use std::collections::HashMap;
use std::time::Duration;

use skopos_model::{Labels, Timestamp};
use skopos_promql::MatrixSeries;

use super::history::Filling;
use super::unread::Generation;
use super::{SloSettings, SloState};
use crate::duration::format_duration;
use crate::slo::count::{self, CHUNK_MS, LOOK_BACK_MS, remembered_since};
use crate::slo::indicator::{Ask, last_values, ranged};
use crate::slo::{SloId, millis};

/// Most that one slot catches up; what is older is left to [`next_unread`].
pub(super) const CATCH_UP_MS: i64 = 6 * 3_600_000;

/// What is missing of an objective for no longer than this is not history: slots catch it up.
pub(super) const LEFT_TO_SLOTS_MS: i64 = 3_600_000;

/// How often the bounds of a histogram are looked up that does not have the one that is counted.
const BOUNDS_EVERY_MS: i64 = 5 * 60_000;

/// What to ask: an expression at steps, or once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SloQuery {
    /// The expression.
    pub expr: String,
    /// The first step, milliseconds since the epoch; of samples the moment after which they lie.
    pub start_ms: i64,
    /// The last step.
    pub end_ms: i64,
    /// Between two steps. None: the samples of a selector, evaluated once, at the end.
    pub step_ms: Option<i64>,
}

/// Queries, and what their answers are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The slot, or the end of the stretch of history.
    pub slot: Timestamp,
    /// What to run; each once. Answers are handed back in this order.
    pub queries: Vec<SloQuery>,
    pub(super) reads: Vec<Read>,
    /// It was made after this change: it knows nothing of later ones.
    pub(super) generation: Generation,
}

/// What one objective reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) slo: SloId,
    /// The query of the bad or good events; none when no slice is complete that it could be about.
    pub(super) part: Option<usize>,
    pub(super) total: Option<usize>,
    /// What those of their series had before that begin in this read.
    pub(super) part_before: Option<usize>,
    pub(super) total_before: Option<usize>,
    /// The bounds of its histogram, where the one that it counts is not there.
    pub(super) bounds: Option<usize>,
    /// Where the first slice begins.
    pub(super) start_ms: i64,
    /// Up to where it reads.
    pub(super) end_ms: i64,
    /// From where on it would have read, had slots no limit.
    pub(super) wanted_ms: i64,
}

struct Builder {
    plan: Plan,
    known: HashMap<SloQuery, usize>,
}

impl Builder {
    fn new(slot_ms: i64, generation: Generation) -> Self {
        let slot = Timestamp::from_millis(slot_ms);
        let plan = Plan { slot, queries: Vec::new(), reads: Vec::new(), generation };
        Self { plan, known: HashMap::new() }
    }

    fn query(&mut self, query: SloQuery) -> usize {
        query_in(&mut self.plan.queries, &mut self.known, query)
    }

    /// Reads an objective from a border of slices on, up to a moment.
    fn read(&mut self, state: &SloState, start_ms: i64, end_ms: i64) {
        let slice = millis(state.slo.slice());
        let mut ask = |ask: &Ask| {
            let query = match ask {
                Ask::Samples { selector, .. } => {
                    let start_ms = start_ms - LOOK_BACK_MS;
                    let width = Duration::from_millis((end_ms - start_ms).unsigned_abs());
                    let expr = ranged(selector, &format_duration(width));
                    SloQuery { expr, start_ms, end_ms, step_ms: None }
                }
                // Asked at the ends of slices only.
                Ask::PerSlice(expr) => {
                    let end_ms = end_ms.div_euclid(slice) * slice;
                    let start_ms = start_ms + slice;
                    if end_ms < start_ms {
                        return None;
                    }
                    SloQuery { expr: expr.clone(), start_ms, end_ms, step_ms: Some(slice) }
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
        let (total, slo) = (total.flatten(), state.slo.id);
        let (part_before, total_before) = (None, None);
        let (bounds, wanted_ms) = (None, start_ms);
        self.plan.reads.push(Read {
            slo,
            part,
            total,
            part_before,
            total_before,
            bounds,
            start_ms,
            end_ms,
            wanted_ms,
        });
    }
}

fn query_in(
    queries: &mut Vec<SloQuery>,
    known: &mut HashMap<SloQuery, usize>,
    query: SloQuery,
) -> usize {
    *known.entry(query).or_insert_with_key(|query| {
        queries.push(query.clone());
        queries.len() - 1
    })
}

/// Adds queries for what series had before that begin in the answers, where nobody knows that yet.
pub(super) fn look_back<'a>(
    plan: &mut Plan,
    state_of: impl Fn(SloId) -> Option<&'a SloState>,
    answers: &[Result<Vec<MatrixSeries>, String>],
) {
    let mut known = HashMap::new();
    for read in &mut plan.reads {
        let Some(state) = state_of(read.slo) else { continue };
        let at = read.start_ms - LOOK_BACK_MS;
        let mut before = |ask: &Ask, answer: Option<usize>| {
            let Ask::Samples { selector, reading } = ask else { return None };
            let Some(Ok(series)) = answer.and_then(|index| answers.get(index)) else { return None };
            let unknown = state.births.unknown(series, *reading, read.start_ms);
            if unknown.is_empty() {
                return None;
            }
            let first = unknown.iter().map(|(_, first)| *first).min()?;
            let within = Duration::from_millis((at - remembered_since(first)).unsigned_abs());
            let unknown: Vec<&Labels> = unknown.into_iter().map(|(labels, _)| labels).collect();
            let expr = last_values(selector, &unknown, &format_duration(within));
            let query = SloQuery { expr, start_ms: at, end_ms: at, step_ms: Some(1000) };
            Some(query_in(&mut plan.queries, &mut known, query))
        };
        read.part_before = before(&state.asks.part, read.part);
        read.total_before = state.asks.total.as_ref().and_then(|ask| before(ask, read.total));
        let has_series = |answer: Option<usize>| {
            let answer = answer.and_then(|index| answers.get(index));
            answer.is_some_and(|answer| answer.as_ref().is_ok_and(|series| !series.is_empty()))
        };
        let is_missing = !has_series(read.part) || state.problem.is_some();
        let is_told =
            state.bounds.as_ref().is_some_and(|(at, _)| (read.end_ms - at).abs() < BOUNDS_EVERY_MS);
        let all = state.asks.bucket.as_ref().and_then(|bucket| bucket.all.as_ref());
        if let Some(all) = all.filter(|_| is_missing && !is_told && has_series(read.total)) {
            let (expr, at) = (count::bounds_query(all), read.end_ms);
            let query = SloQuery { expr, start_ms: at, end_ms: at, step_ms: Some(1000) };
            read.bounds = Some(query_in(&mut plan.queries, &mut known, query));
        }
    }
}

pub(super) fn at_slot(
    settings: &SloSettings,
    states: &[SloState],
    last_slot: Option<i64>,
    slot_ms: i64,
    generation: Generation,
) -> Plan {
    let interval = settings.interval_ms();
    let mut builder = Builder::new(slot_ms, generation);
    let late_slots = (millis(settings.late_every) / interval).max(1);
    for state in states.iter().filter(|state| state.filling.is_none()) {
        let slice = millis(state.slo.slice());
        let floor = |at: i64| at.div_euclid(slice) * slice;
        let present = floor(slot_ms - 1);
        let mut start = present - i64::from(settings.reread_slices) * slice;
        // Objectives take turns with the longer look back.
        let turn = (state.slo.id.0 % late_slots.unsigned_abs()) as i64;
        if slot_ms.div_euclid(interval).rem_euclid(late_slots) == turn {
            start = start.min(floor(slot_ms - millis(settings.late_window)));
        }
        let missed = state
            .filled_until
            .or(last_slot)
            .map(|last| floor(last) - i64::from(settings.reread_slices) * slice);
        let wanted = [missed, state.unread.slots_from().map(floor)].into_iter().flatten().min();
        start = wanted.map_or(start, |since| start.min(since.max(floor(slot_ms - CATCH_UP_MS))));
        let known = builder.plan.reads.len();
        builder.read(state, start, slot_ms);
        if let (Some(read), Some(wanted)) = (builder.plan.reads.get_mut(known), wanted) {
            read.wanted_ms = wanted.min(start);
        }
    }
    builder.plan
}

/// Of a chunk of history: where it begins and ends.
fn chunk_at(at_ms: i64) -> (i64, i64) {
    let start = at_ms.div_euclid(CHUNK_MS) * CHUNK_MS;
    (start, start + CHUNK_MS)
}

/// A plan of what was read; its slot is where the last of it ends.
fn chunk_of(mut builder: Builder) -> Option<Plan> {
    let end = builder.plan.reads.iter().map(|read| read.end_ms).max()?;
    builder.plan.slot = Timestamp::from_millis(end);
    Some(builder.plan)
}

/// The oldest chunk of history that is to be filled in and was not handed out yet.
pub(super) fn next_backfill(states: &mut [SloState], generation: Generation) -> Option<Plan> {
    loop {
        let fillings = states.iter().filter_map(|state| state.filling);
        let left = fillings.filter(|filling| filling.next_ms < filling.until_ms);
        let (_, chunk_end) = chunk_at(left.map(|filling| filling.next_ms).min()?);
        let mut builder = Builder::new(chunk_end, generation);
        for state in states.iter_mut() {
            let Some(filling) = state.filling else { continue };
            let end = filling.until_ms.min(chunk_end);
            if filling.next_ms < end {
                builder.read(state, filling.next_ms, end);
                state.filling = Some(Filling { next_ms: end, ..filling });
            }
        }
        if let Some(plan) = chunk_of(builder) {
            return Some(plan);
        }
    }
}

/// The oldest chunk of history that is still to be read and lies behind the chunk that ends, or would end, at `after`;
/// up to `until`.
pub(super) fn next_unread(
    states: &[SloState],
    after: i64,
    until: i64,
    generation: Generation,
) -> Option<Plan> {
    let from = if after == i64::MIN { after } else { chunk_at(after - 1).1 };
    let stretches_of = |state: &SloState, from: i64, until: i64| {
        let stretches = state.unread.stretches();
        let within = stretches.map(|(start, end)| (start.max(from), end.min(until)));
        within.filter(|(start, end)| start < end).collect::<Vec<_>>()
    };
    let firsts =
        states.iter().filter_map(|state| stretches_of(state, from, until).first().copied());
    let (chunk_start, chunk_end) = chunk_at(firsts.map(|(start, _)| start).min()?);
    let mut builder = Builder::new(chunk_end, generation);
    for state in states {
        for (start, end) in stretches_of(state, chunk_start.max(from), chunk_end.min(until)) {
            builder.read(state, start, end);
        }
    }
    chunk_of(builder)
}
