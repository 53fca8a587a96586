//! From the samples of counters to slices: increments from sample to sample, attributed to the slice
//! in which the later of the two stands.
//!
//! Every stored sample is read, so that it makes no difference when and how often one looks: a slot of fifteen
//! seconds and a day of history count the same. Unlike `increase`, nothing is extrapolated, so slices add up. A value below
//! the one before is a counter that began anew, and counts whole. A counter that comes back after a silence counts what it
//! grew by meanwhile, once, where it is seen again; the silence itself stays without data. Only what it did in more than a
//! day of silence is nobody's. The first value of a series is where counting
//! begins, except where its target (`job`, `instance`) was being read already: a process that has
//! its first failure makes a new series, which began at zero.

mod births;
mod sense;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use skopos_model::{Labels, METRIC_NAME, SampleValue};
use skopos_promql::{MatrixSeries, histogram_share_below};

use super::indicator::{Absent, Ask, Asks, Reading};
use super::ledger::Slice;
use super::{Budgeting, EmptySlice, Role, Slo};
pub(super) use births::{Births, Earlier};
pub(super) use sense::{Known, Problem, Unmatched, bounds_of, bounds_query, unmatched_text};
use sense::{Volume, nonsense};

/// Groups of one objective at most: beyond that labels were chosen that nobody has a budget for.
pub const MAX_GROUPS: usize = 1_000;

/// Events by group and slice: what was counted, or what was seen without any change.
type Counts = BTreeMap<Labels, BTreeMap<i64, f64>>;

/// What the answers of one objective say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// The slices of each group, ascending.
    pub(super) groups: BTreeMap<Labels, Vec<(i64, Slice)>>,
    /// Groups beyond the limit, which were left out.
    pub(super) groups_dropped: usize,
    /// How far apart the samples of each group's densest counter are.
    pub(super) spacings: BTreeMap<Labels, i64>,
    /// Why these numbers cannot be meant, if so.
    pub(super) nonsense: Option<Problem>,
    /// What has events of which nobody knows whether they are bad.
    pub(super) unmatched: Option<Unmatched>,
    /// Whether there are events at all, bad or good ones too.
    pub(super) is_matched: bool,
    /// Whether a former problem is gone: there is enough to say so, or nothing any more that it is about.
    pub(super) is_sound: bool,
}

/// What a sample counts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counter {
    value: f64,
    /// What falls when the counter begins anew.
    watched: f64,
}

impl Reading {
    fn of(self, value: &SampleValue) -> Option<Counter> {
        let counter = match (self, value) {
            (Self::Value, SampleValue::Float(value)) => Counter { value: *value, watched: *value },
            (Self::Count, SampleValue::Histogram(all)) => {
                Counter { value: all.count, watched: all.count }
            }
            (Self::Within(bound), SampleValue::Histogram(all)) => {
                // The share of nothing is no number: nothing was counted.
                let share = histogram_share_below(all, bound);
                let value = if share.is_nan() { 0.0 } else { share * all.count };
                Counter { value, watched: all.count }
            }
            _ => return None,
        };
        (counter.value.is_finite() && counter.watched.is_finite()).then_some(counter)
    }

    /// When the first sample that counts is.
    fn first_of(self, series: &MatrixSeries) -> Option<i64> {
        let counts = series.samples.iter().find(|sample| self.of(&sample.value).is_some());
        counts.map(|sample| sample.timestamp_ms)
    }
}

impl Counter {
    /// What was counted from a sample to a later one.
    fn since(self, before: Self) -> f64 {
        match self.watched < before.watched {
            true => self.value,
            false => (self.value - before.value).max(0.0),
        }
    }
}

fn target_of(labels: &Labels) -> Option<(&str, &str)> {
    let instance = labels.get("instance")?;
    Some((labels.value("job"), instance))
}

/// Samples no further apart than this leave no slice between them without data: PromQL's look-back. As far
/// before its first slice does a read begin.
pub(super) const LOOK_BACK_MS: i64 = 300_000;

/// History is read in chunks of this.
pub(super) const CHUNK_MS: i64 = 86_400_000 / 4;

/// From when on a counter's value still says what it did before a moment: a day before its chunk. What happened in a longer
/// silence is anybody's guess, and a window of an hour must not be filled with days of it. Told by the
/// chunk, so that slots and history say the same.
pub(super) fn remembered_since(at_ms: i64) -> i64 {
    (at_ms - 1).div_euclid(CHUNK_MS) * CHUNK_MS - 86_400_000
}

/// Up to when a counter's value at a moment may still say what it did meanwhile.
pub(super) fn remembered_until(at_ms: i64) -> i64 {
    at_ms + 86_400_000 + CHUNK_MS
}

/// The series of one answer, and how to count them.
struct Counting<'a> {
    slo: &'a Slo,
    slice_ms: i64,
    /// Where the first slice asked for begins.
    start_ms: i64,
    /// When each target was seen.
    targets: HashMap<(&'a str, &'a str), BTreeSet<i64>>,
    births: &'a Births,
}

impl Counting<'_> {
    fn group_of(&self, labels: &Labels) -> Labels {
        let group_by = &self.slo.group_by;
        labels.filtered(|name| group_by.iter().any(|label| label == name))
    }

    fn slice_at(&self, at_ms: i64) -> i64 {
        (at_ms - 1).div_euclid(self.slice_ms) * self.slice_ms
    }

    /// Events per slice of counters, added up by some of their labels.
    fn counters(
        &self,
        series: &[MatrixSeries],
        reading: Reading,
        by: impl Fn(&Labels) -> Labels,
    ) -> Counts {
        let mut counts = Counts::new();
        for one in series {
            let own = counts.entry(by(&one.labels)).or_default();
            let mut before: Option<(i64, Counter)> = None;
            for sample in &one.samples {
                let Some(counter) = reading.of(&sample.value) else { continue };
                let at = sample.timestamp_ms;
                let (since, increment) = match before {
                    Some((then, old)) if at - then <= LOOK_BACK_MS => (then, counter.since(old)),
                    Some((then, old)) if then > remembered_since(at) => {
                        (at - 1, counter.since(old))
                    }
                    Some(_) => (at, 0.0),
                    None => self.born(&one.labels, reading, at, counter),
                };
                before = Some((at, counter));
                // Slices between two samples were seen too, though nothing is put down to them.
                let mut slice = self.slice_at((since + 1).max(self.start_ms + 1));
                while slice < at && since < at {
                    own.entry(slice).or_insert(0.0);
                    slice += self.slice_ms;
                }
                if at > self.start_ms && increment > 0.0 {
                    *own.entry(self.slice_at(at)).or_insert(0.0) += increment;
                }
            }
        }
        counts
    }

    /// From when on the first sample of a series says something, and what it counts.
    fn born(&self, labels: &Labels, reading: Reading, at: i64, counter: Counter) -> (i64, f64) {
        match self.births.before(labels, at) {
            Earlier::Value(value) => match reading.of(value) {
                Some(old) => (at - 1, counter.since(old)),
                None => (at, 0.0),
            },
            Earlier::Nothing if self.is_known(labels, at) => (at - 1, counter.value),
            // Where counting begins. What it counted before is nobody's.
            Earlier::Nothing | Earlier::Unknown => (at, 0.0),
        }
    }

    /// Whether the target of a series that is new at a step was seen shortly before.
    fn is_known(&self, labels: &Labels, at_ms: i64) -> bool {
        let times = target_of(labels).and_then(|target| self.targets.get(&target));
        times.is_some_and(|times| times.range(at_ms - LOOK_BACK_MS..at_ms).next().is_some())
    }

    /// Events of a bucket and of all observations, of the same series: what a histogram without the bucket observed is
    /// not known to be good or bad, whatever others beside it have.
    fn paired(&self, parts: &Counts, totals: Counts) -> Paired {
        let mut paired = Paired::default();
        let mut without: Vec<(Labels, Labels, BTreeMap<i64, f64>)> = Vec::new();
        for (own, slices) in totals {
            let group = self.group_of(&own);
            let Some(part) = parts.get(&own) else {
                without.push((group, own, slices));
                continue;
            };
            let parts = paired.parts.entry(group.clone()).or_default();
            let totals = paired.totals.entry(group).or_default();
            for (start, all) in slices {
                if let Some(part) = part.get(&start) {
                    *parts.entry(start).or_default() += part;
                    *totals.entry(start).or_default() += all;
                }
            }
        }
        // Groups of which no histogram has the bucket.
        let mut unknown = Counts::new();
        for (group, own, slices) in without {
            if paired.totals.contains_key(&group) {
                Unmatched::add_series(&mut paired.unmatched, &own, &slices);
                continue;
            }
            let all = unknown.entry(group).or_default();
            slices.into_iter().for_each(|(at, events)| *all.entry(at).or_default() += events);
        }
        for (group, slices) in &unknown {
            Unmatched::add(&mut paired.unmatched, group, slices);
        }
        paired
    }

    /// Numbers at the ends of slices.
    fn per_slice(&self, series: &[MatrixSeries]) -> Counts {
        let mut counts = Counts::new();
        for one in series {
            let own = counts.entry(self.group_of(&one.labels)).or_default();
            for sample in &one.samples {
                let Some(value) = value_of(&sample.value) else { continue };
                if sample.timestamp_ms.rem_euclid(self.slice_ms) == 0 && !value.is_infinite() {
                    *own.entry(sample.timestamp_ms - self.slice_ms).or_insert(0.0) += value;
                }
            }
        }
        counts
    }
}

/// What [`Counting::paired`] finds, by groups.
#[derive(Default)]
struct Paired {
    parts: Counts,
    totals: Counts,
    unmatched: Option<Unmatched>,
}

fn value_of(value: &SampleValue) -> Option<f64> {
    match value {
        SampleValue::Float(value) => Some(*value),
        SampleValue::Histogram(_) => None,
    }
}

/// How far apart the last two samples of each group's densest counter are.
fn spacings(counting: &Counting<'_>, series: &[MatrixSeries]) -> BTreeMap<Labels, i64> {
    let mut spacings = BTreeMap::new();
    for one in series {
        let [.., before, last] = &one.samples[..] else { continue };
        let apart = last.timestamp_ms - before.timestamp_ms;
        let least = spacings.entry(counting.group_of(&one.labels)).or_insert(apart);
        *least = apart.min(*least);
    }
    spacings
}

/// When each target was seen.
fn targets_of(series: &[MatrixSeries]) -> HashMap<(&str, &str), BTreeSet<i64>> {
    let mut seen: HashMap<(&str, &str), BTreeSet<i64>> = HashMap::new();
    for one in series {
        if let Some(target) = target_of(&one.labels) {
            seen.entry(target).or_default().extend(one.samples.iter().map(|s| s.timestamp_ms));
        }
    }
    seen
}

/// Whether any series begins after the first slice did, so that targets matter.
fn has_births(series: &[MatrixSeries], start_ms: i64) -> bool {
    series.iter().any(|one| one.samples.first().is_some_and(|s| s.timestamp_ms > start_ms))
}

/// Makes slices, from the one that begins at `start_ms` on, of what the queries answered.
pub(super) fn count(
    slo: &Slo,
    asks: &Asks,
    start_ms: i64,
    part: &[MatrixSeries],
    total: Option<&[MatrixSeries]>,
    births: &Births,
    known: &Known<'_>,
) -> Counted {
    let slice_ms = super::millis(slo.slice());
    let begins = has_births(part, start_ms) || total.is_some_and(|t| has_births(t, start_ms));
    let targets = match total {
        Some(total) if begins => targets_of(total),
        _ => HashMap::new(),
    };
    let counting = Counting { slo, slice_ms, start_ms, targets, births };
    let of_series = |labels: &Labels| labels.filtered(|name| !matches!(name, METRIC_NAME | "le"));
    let events = |ask: &Ask, series: &[MatrixSeries]| match ask {
        Ask::Samples { reading, .. } if asks.is_paired => {
            counting.counters(series, *reading, of_series)
        }
        Ask::Samples { reading, .. } => {
            counting.counters(series, *reading, |labels| counting.group_of(labels))
        }
        Ask::PerSlice(_) => counting.per_slice(series),
    };
    let mut parts = events(&asks.part, part);
    let mut counted = Counted::default();
    if let (Some(Ask::Samples { .. }), Some(series)) = (&asks.total, total) {
        counted.spacings = spacings(&counting, series);
    }
    let totals = match (&asks.total, total) {
        (Some(ask), Some(series)) if asks.is_paired => {
            let paired = counting.paired(&parts, events(ask, series));
            (parts, counted.unmatched) = (paired.parts, paired.unmatched);
            paired.totals
        }
        (Some(ask), Some(series)) => events(ask, series),
        _ => parts
            .iter()
            .map(|(group, slices)| {
                (
                    group.clone(),
                    slices
                        .iter()
                        .map(|(at, ratio)| (*at, if ratio.is_nan() { 0.0 } else { 1.0 }))
                        .collect(),
                )
            })
            .collect(),
    };

    let is_seen = known.is_seen || !part.is_empty();
    let absent_is_zero = match asks.absent {
        Absent::None => true,
        Absent::NoneOnceSeen => is_seen,
        Absent::Unknown => false,
    };
    counted.is_matched = !part.is_empty() && !totals.is_empty();
    // Of a group that is gone nobody says more.
    let is_gone = |suspect: &Labels| !totals.is_empty() && !totals.contains_key(suspect);
    counted.is_sound = known.suspect.is_some_and(is_gone);
    for (group, slices) in &totals {
        if counted.groups.len() >= MAX_GROUPS {
            counted.groups_dropped += 1;
            continue;
        }
        let of_group = parts.get(group).filter(|parts| !parts.is_empty());
        let mut out = Vec::with_capacity(slices.len());
        let mut volume = Volume::default();
        if of_group.is_none() && !absent_is_zero {
            Unmatched::add(&mut counted.unmatched, group, slices);
            continue;
        }
        for (start, total) in slices {
            let part = of_group.and_then(|parts| parts.get(start)).copied();
            let part = match part {
                None if absent_is_zero => 0.0,
                None => continue,
                Some(part) if part.is_nan() => 0.0,
                Some(part) => part,
            };
            let total = if total.is_nan() { 0.0 } else { total.max(0.0) };
            volume.part += part;
            volume.all += total;
            let bad = match asks.role {
                Role::Bad => part,
                Role::Good => total - part,
            };
            let bad = bad.clamp(0.0, total);
            out.push((*start, in_budget(&slo.budgeting, bad, total)));
        }
        match nonsense(asks, volume) {
            Some(text) => drop(counted.nonsense.get_or_insert(Problem::of_group(text, group))),
            None if known.suspect.is_none_or(|suspect| suspect == group) => {
                counted.is_sound |= volume.is_enough(asks, slices.len() as i64 * slice_ms);
            }
            None => {}
        }
        if !out.is_empty() {
            counted.groups.insert(group.clone(), out);
        }
    }
    counted
}

/// What the events of a slice are in units of budget.
pub(super) fn in_budget(budgeting: &Budgeting, bad: f64, total: f64) -> Slice {
    let has_events = total > 0.0;
    match budgeting {
        Budgeting::Occurrences => Slice { bad, total },
        Budgeting::Timeslices { good, .. } if has_events => {
            // As many digits as people write: 1 of 100 bad is 99 % good.
            let is_bad = super::tidy(bad / total) > super::tidy(1.0 - good);
            Slice { bad: f64::from(u8::from(is_bad)), total: 1.0 }
        }
        Budgeting::Timeslices { empty, .. } => match empty {
            EmptySlice::Excluded => Slice::default(),
            EmptySlice::Good => Slice { bad: 0.0, total: 1.0 },
            EmptySlice::Bad => Slice { bad: 1.0, total: 1.0 },
        },
        Budgeting::RatioTimeslices { .. } if has_events => {
            Slice { bad: (bad / total).clamp(0.0, 1.0), total: 1.0 }
        }
        Budgeting::RatioTimeslices { .. } => Slice::default(),
    }
}
