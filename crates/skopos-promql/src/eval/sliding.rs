//! Windows that overlap much: what the last window knew is used for the next.
//!
//! Sums, means, deviations and regressions use two stacks (each sample is added twice, whatever the
//! overlap), minima and maxima a monotone queue, quantiles the sorted window. Nothing is ever
//! subtracted, so nothing cancels.

use std::collections::VecDeque;

use super::kernels::Kernel;
use super::math::{self, KahanSum, Moments};
use super::range::{Placed, Samples, Windows};
use super::starts::starts_anew;
use crate::functions::RangeFn;
use crate::plan::Grid;
use crate::value::Column;

/// Overlap from which the bookkeeping is cheaper than reading each window anew.
const MIN_OVERLAP: i64 = 4;

/// Whether windows overlap enough, and hold only numbers that can be regrouped freely.
pub(super) fn pays_off(func: RangeFn, samples: &Samples, range_ms: i64, grid: Grid) -> bool {
    let limit = match func {
        RangeFn::Sum | RangeFn::Avg => 1e290,
        RangeFn::Min
        | RangeFn::Max
        | RangeFn::TsOfMin
        | RangeFn::TsOfMax
        | RangeFn::Quantile
        | RangeFn::Mad => f64::MAX,
        // Squares must not overflow.
        RangeFn::Stddev | RangeFn::Stdvar | RangeFn::Deriv | RangeFn::PredictLinear => 1e140,
        _ => return false,
    };
    grid.steps > 1
        && range_ms / grid.step_ms > MIN_OVERLAP
        && samples.values.iter().all(|v| v.abs() <= limit)
}

pub(super) fn run(
    kernel: &Kernel<'_>,
    windows: Windows<'_>,
    samples: &Samples,
    column: &mut Column,
) {
    let (values, times) = (&samples.values, &samples.times);
    let seconds = |i: usize| times[i] as f64 / 1000.0;
    match kernel.func {
        RangeFn::Min => extremum(windows, values, column, |new, old| new <= old, |i| values[i]),
        RangeFn::Max => extremum(windows, values, column, |new, old| new >= old, |i| values[i]),
        RangeFn::TsOfMin => extremum(windows, values, column, |new, old| new <= old, seconds),
        RangeFn::TsOfMax => extremum(windows, values, column, |new, old| new >= old, seconds),
        RangeFn::Quantile | RangeFn::Mad => sorted(kernel, windows, values, column),
        RangeFn::Sum | RangeFn::Avg => sums(kernel.func == RangeFn::Avg, windows, samples, column),
        _ => moments(kernel, windows, samples, column),
    }
}

/// Deviations and regressions, from moments that can be put together.
fn moments(kernel: &Kernel<'_>, windows: Windows<'_>, samples: &Samples, column: &mut Column) {
    let Some(&base) = samples.times.first() else { return };
    let seconds = |ms: i64| (ms - base) as f64 / 1000.0;
    let point = |i: usize| Moments::of(seconds(samples.times[i]), samples.values[i]);
    // As in `sums`: `front[i]` has samples `[split - 1 - i, split)`, `back` has `[split, next)`.
    let mut front: Vec<Moments> = Vec::new();
    let mut back = Moments::default();
    let (mut split, mut next) = (0, 0);
    for Placed { step, from, to, window } in windows {
        if from >= split {
            front.clear();
            (split, next, back) = (to, to, Moments::default());
            let mut all = Moments::default();
            for i in (from..to).rev() {
                all = point(i).merge(all);
                front.push(all);
            }
        }
        while next < to {
            back = back.merge(point(next));
            next += 1;
        }
        let all = match split.checked_sub(from + 1) {
            Some(at) if from < to => front[at].merge(back),
            _ => back,
        };
        let value = match kernel.func {
            _ if from == to => continue,
            RangeFn::Stdvar => all.variance(),
            RangeFn::Stddev => all.variance().sqrt(),
            _ if to - from < 2 => continue,
            RangeFn::Deriv => all.slope(),
            _ => {
                let ahead = all.value_at(seconds(window.now_ms));
                all.slope() * kernel.param(0, step) + ahead
            }
        };
        column.set(step, value);
    }
}

/// Quantiles and median deviations, from windows kept sorted.
fn sorted(kernel: &Kernel<'_>, windows: Windows<'_>, values: &[f64], column: &mut Column) {
    let mut sorted: Vec<f64> = Vec::new();
    let (mut first, mut next) = (0, 0);
    for Placed { step, from, to, .. } in windows {
        if from >= next {
            sorted.clear();
            (first, next) = (from, from);
        }
        while first < from {
            let at = sorted.partition_point(|v| *v < values[first]);
            sorted.remove(at);
            first += 1;
        }
        while next < to {
            let at = sorted.partition_point(|v| *v <= values[next]);
            sorted.insert(at, values[next]);
            next += 1;
        }
        if from == to {
            continue;
        }
        let value = match kernel.func {
            RangeFn::Mad => math::median_deviation_of_sorted(&sorted),
            _ => math::quantile_of_sorted(kernel.param(0, step), &sorted),
        };
        column.set(step, value);
    }
}

/// The indices of samples that may still become the extremum of a window, best first.
fn extremum(
    windows: Windows<'_>,
    values: &[f64],
    column: &mut Column,
    beats: impl Fn(f64, f64) -> bool,
    result: impl Fn(usize) -> f64,
) {
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut next = 0;
    for placed in windows {
        while next < placed.to {
            while queue.back().is_some_and(|i| beats(values[next], values[*i])) {
                queue.pop_back();
            }
            queue.push_back(next);
            next += 1;
        }
        while queue.front().is_some_and(|i| *i < placed.from) {
            queue.pop_front();
        }
        if let Some(best) = queue.front() {
            column.set(placed.step, result(*best));
        }
    }
}

fn sums(average: bool, windows: Windows<'_>, samples: &Samples, column: &mut Column) {
    // `front[i]` is the sum of samples `[split - 1 - i, split)`; `back` that of `[split, next)`.
    let mut front: Vec<KahanSum> = Vec::new();
    let mut back = KahanSum::default();
    let (mut split, mut next) = (0, 0);
    for placed in windows {
        if placed.from >= split {
            // Everything summed up front has left; sum up anew, from the right.
            front.clear();
            split = placed.to;
            next = placed.to;
            back = KahanSum::default();
            let mut sum = KahanSum::default();
            for i in (placed.from..placed.to).rev() {
                sum.add(samples.values[i]);
                front.push(sum);
            }
        }
        while next < placed.to {
            back.add(samples.values[next]);
            next += 1;
        }
        let count = placed.to - placed.from;
        if count == 0 {
            continue;
        }
        let mut total = match split.checked_sub(placed.from + 1) {
            Some(at) => front[at],
            None => KahanSum::default(),
        };
        total.merge(back);
        let sum = total.value();
        column.set(placed.step, if average { sum / count as f64 } else { sum });
    }
}

/// `changes` and `resets`: how many neighbouring pairs within the window count, by prefix counts.
pub(super) fn count_pairs(
    func: RangeFn,
    windows: Windows<'_>,
    samples: &Samples,
    column: &mut Column,
) {
    let counts = |i: usize, before: f64, after: f64| match func {
        RangeFn::Resets => after < before || starts_anew(&samples.times, &samples.starts, i),
        _ => before != after && !(before.is_nan() && after.is_nan()),
    };
    // `before[i]`: pairs that count and end at or before sample `i`.
    let mut before = Vec::with_capacity(samples.values.len());
    let mut total = 0u64;
    for (i, value) in samples.values.iter().enumerate() {
        if i > 0 && counts(i, samples.values[i - 1], *value) {
            total += 1;
        }
        before.push(total);
    }
    for placed in windows {
        if placed.from < placed.to {
            let within = before[placed.to - 1] - before[placed.from];
            column.set(placed.step, within as f64);
        }
    }
}
