//! Windows that overlap much: what the last window knew is used for the next.
//!
//! Sums and means use two stacks (each sample is added twice, whatever the overlap), minima and
//! maxima a monotone queue. Nothing is ever subtracted, so nothing cancels.

use std::collections::VecDeque;

use super::math::KahanSum;
use super::range::{Samples, Windows};
use crate::functions::RangeFn;
use crate::plan::Grid;
use crate::value::Column;

/// Overlap from which the bookkeeping is cheaper than reading each window anew.
const MIN_OVERLAP: i64 = 4;

/// Whether windows overlap enough, and hold only numbers that can be regrouped freely.
pub(super) fn pays_off(samples: &Samples, range_ms: i64, grid: Grid) -> bool {
    grid.steps > 1
        && range_ms / grid.step_ms > MIN_OVERLAP
        && samples.values.iter().all(|v| v.is_finite() && v.abs() < 1e290)
}

pub(super) fn run(func: RangeFn, windows: Windows<'_>, samples: &Samples, column: &mut Column) {
    match func {
        RangeFn::Min => extremum(windows, samples, column, |new, old| new <= old),
        RangeFn::Max => extremum(windows, samples, column, |new, old| new >= old),
        _ => sums(func == RangeFn::Avg, windows, samples, column),
    }
}

/// The indices of samples that may still become the extremum of a window, best first.
fn extremum(
    windows: Windows<'_>,
    samples: &Samples,
    column: &mut Column,
    beats: impl Fn(f64, f64) -> bool,
) {
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut next = 0;
    for placed in windows {
        while next < placed.to {
            while queue.back().is_some_and(|i| beats(samples.values[next], samples.values[*i])) {
                queue.pop_back();
            }
            queue.push_back(next);
            next += 1;
        }
        while queue.front().is_some_and(|i| *i < placed.from) {
            queue.pop_front();
        }
        if let Some(best) = queue.front() {
            column.set(placed.step, samples.values[*best]);
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
    let counts = |before: f64, after: f64| match func {
        RangeFn::Resets => after < before,
        _ => before != after && !(before.is_nan() && after.is_nan()),
    };
    // `before[i]`: pairs that count and end at or before sample `i`.
    let mut before = Vec::with_capacity(samples.values.len());
    let mut total = 0u64;
    for (i, value) in samples.values.iter().enumerate() {
        if i > 0 && counts(samples.values[i - 1], *value) {
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
