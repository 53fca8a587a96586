//! From the samples of counters to slices: increments from sample to sample, attributed to the slice
//! in which the later of the two stands.
//!
//! Only true samples are read (`last_over_time` over one step), so that look-back does not pass silence off as a
//! quiet time. Unlike `increase`, nothing is extrapolated, so slices add up. A value below the one before is
//! a counter that began anew, and counts whole. The first value of a series is where counting
//! begins, except where its target (`job`, `instance`) was being read already: a process that has
//! its first failure makes a new series, which began at zero.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use skopos_model::{Labels, SampleValue};
use skopos_promql::MatrixSeries;

use super::indicator::{Ask, Asks};
use super::ledger::Slice;
use super::{Budgeting, EmptySlice, Role, Slo};

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
}

fn value_of(value: &SampleValue) -> Option<f64> {
    match value {
        SampleValue::Float(value) => Some(*value),
        SampleValue::Histogram(_) => None,
    }
}

fn target_of(labels: &Labels) -> Option<(&str, &str)> {
    let instance = labels.get("instance")?;
    Some((labels.value("job"), instance))
}

/// How far back a counter's value before the first slice is looked for, and over how long a gap increments
/// are still put down to what came after it: PromQL's look-back.
pub(super) const LOOK_BACK_MS: i64 = 300_000;

/// The series of one answer, and how to count them.
struct Counting<'a> {
    slo: &'a Slo,
    slice_ms: i64,
    /// Where the first slice asked for begins.
    start_ms: i64,
    /// When each target was seen.
    targets: HashMap<(&'a str, &'a str), BTreeSet<i64>>,
}

impl Counting<'_> {
    fn group_of(&self, labels: &Labels) -> Labels {
        let group_by = &self.slo.group_by;
        labels.filtered(|name| group_by.iter().any(|label| label == name))
    }

    fn slice_at(&self, at_ms: i64) -> i64 {
        (at_ms - 1).div_euclid(self.slice_ms) * self.slice_ms
    }

    /// Events per slice of counters. `totals` are the series that say when a counter began anew,
    /// where its own values do not.
    fn counters(&self, series: &[MatrixSeries], totals: Option<&[MatrixSeries]>) -> Counts {
        let totals: Option<HashMap<&Labels, &MatrixSeries>> =
            totals.map(|all| all.iter().map(|series| (&series.labels, series)).collect());
        let mut counts = Counts::new();
        for one in series {
            let own = counts.entry(self.group_of(&one.labels)).or_default();
            let total = totals.as_ref().map(|totals| totals.get(&one.labels).copied());
            let mut before: Option<(i64, f64)> = None;
            for sample in &one.samples {
                let Some(value) = value_of(&sample.value) else { continue };
                // The share of nothing is no number: nothing was counted.
                let value = if value.is_nan() && total.is_some() { 0.0 } else { value };
                if !value.is_finite() {
                    continue;
                }
                let at = sample.timestamp_ms;
                let seen = before.filter(|(then, _)| at - then <= LOOK_BACK_MS);
                let (since, increment) = match seen {
                    // Where counting begins. What it counted before is nobody's.
                    None if before.is_some() || !self.is_known(&one.labels, at) => (at, 0.0),
                    None => (at - 1, value),
                    Some((then, old)) => match total {
                        None if value < old => (then, value),
                        Some(Some(total)) if fell(total, then, at) => (then, value),
                        _ => (then, (value - old).max(0.0)),
                    },
                };
                before = Some((at, value));
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

    /// Whether the target of a series that is new at a step was seen shortly before.
    fn is_known(&self, labels: &Labels, at_ms: i64) -> bool {
        let times = target_of(labels).and_then(|target| self.targets.get(&target));
        times.is_some_and(|times| times.range(at_ms - LOOK_BACK_MS..at_ms).next().is_some())
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

/// Whether a counter began anew between two steps.
fn fell(total: &MatrixSeries, from_ms: i64, to_ms: i64) -> bool {
    let at = |ms: i64| {
        let at = total.samples.binary_search_by_key(&ms, |sample| sample.timestamp_ms).ok()?;
        value_of(&total.samples[at].value)
    };
    at(from_ms).zip(at(to_ms)).is_some_and(|(before, after)| after < before)
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
) -> Counted {
    let slice_ms = super::millis(slo.slice());
    let births = has_births(part, start_ms) || total.is_some_and(|t| has_births(t, start_ms));
    let targets = match total {
        Some(total) if births => targets_of(total),
        _ => HashMap::new(),
    };
    let counting = Counting { slo, slice_ms, start_ms, targets };
    let events = |ask: &Ask, series: &[MatrixSeries], totals: Option<&[MatrixSeries]>| match ask {
        Ask::Counters(_) => counting.counters(series, totals),
        Ask::PerSlice(_) => counting.per_slice(series),
    };
    let resets = if asks.resets_from_total { total } else { None };
    let parts = events(&asks.part, part, resets);
    let totals = match (&asks.total, total) {
        (Some(ask), Some(series)) => events(ask, series, None),
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

    let mut counted = Counted::default();
    for (group, slices) in &totals {
        if counted.groups.len() >= MAX_GROUPS {
            counted.groups_dropped += 1;
            continue;
        }
        let of_group = parts.get(group);
        let mut out = Vec::with_capacity(slices.len());
        for (start, total) in slices {
            let part = of_group.and_then(|parts| parts.get(start)).copied();
            let part = match part {
                None if asks.absent_part_is_zero => 0.0,
                None => continue,
                Some(part) if part.is_nan() => 0.0,
                Some(part) => part,
            };
            let total = if total.is_nan() { 0.0 } else { total.max(0.0) };
            let bad = match asks.role {
                Role::Bad => part,
                Role::Good => total - part,
            };
            let bad = bad.clamp(0.0, total);
            out.push((*start, in_budget(&slo.budgeting, bad, total)));
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
