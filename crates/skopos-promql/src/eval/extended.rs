//! `anchored` and `smoothed`: windows whose ends are defined by samples outside of them.
//!
//! Anchored: the newest sample at or before the window's start (within the lookback) stands at the
//! start, so that changes are exact and nothing is extrapolated. Smoothed: values at both ends are
//! interpolated between the neighbouring samples.

use skopos_model::is_stale;
use skopos_model::storage::SampleBuffer;

use super::kernels::Kernel;
use super::range::{Samples, Windows};
use crate::ast::RangeMode;
use crate::functions::RangeFn;
use crate::plan::{Grid, Shift};
use crate::value::Column;

/// How much more to read before and after the window.
pub(super) fn margins(mode: Option<RangeMode>, lookback_ms: i64) -> (i64, i64) {
    match mode {
        None => (0, 0),
        Some(RangeMode::Anchored) => (lookback_ms, 0),
        Some(RangeMode::Smoothed) => (lookback_ms, lookback_ms),
    }
}

/// Linear interpolation; a counter that fell is taken to have been reset right after the first
/// sample.
fn interpolate((t0, v0): (i64, f64), (t1, v1): (i64, f64), at: i64, is_counter: bool) -> f64 {
    if t1 == t0 {
        return v1;
    }
    let from = if is_counter && v1 < v0 { 0.0 } else { v0 };
    from + (v1 - from) * (at - t0) as f64 / (t1 - t0) as f64
}

/// Evaluates a range function with extended windows over one series. Histograms are left out.
pub(super) fn run(
    kernel: &Kernel<'_>,
    mode: RangeMode,
    windows: Windows<'_>,
    samples: &Samples,
    lookback_ms: i64,
) -> Column {
    let steps = windows.steps();
    let mut column = Column::empty(steps);
    if samples.histograms.iter().any(Option::is_some) {
        return column;
    }
    for placed in windows {
        let (start, end) = (placed.window.start_ms, placed.window.end_ms);
        let at = |i: usize| (samples.times[i], samples.values[i]);
        let before = samples
            .times
            .partition_point(|t| *t <= start)
            .checked_sub(1)
            .filter(|i| samples.times[*i] > start - lookback_ms)
            .map(at);
        let inside: Vec<(i64, f64)> = (placed.from..placed.to).map(at).collect();
        let is_counter = matches!(kernel.func, RangeFn::Rate | RangeFn::Increase);
        let mut points = Vec::with_capacity(inside.len() + 2);
        match mode {
            RangeMode::Anchored => {
                if inside.is_empty() {
                    continue;
                }
                match before {
                    Some((_, value)) => points.push((start, value)),
                    None => points.push((start, inside[0].1)),
                }
                points.extend(inside);
            }
            RangeMode::Smoothed => {
                let after_index = samples.times.partition_point(|t| *t <= end);
                let after = (after_index < samples.times.len()
                    && samples.times[after_index] < end + lookback_ms)
                    .then(|| at(after_index));
                let first = inside.first().copied().or(after);
                let last = inside.last().copied().or(before);
                let (Some(first), Some(last)) = (first, last) else { continue };
                let head = match before {
                    Some(before) => interpolate(before, first, start, is_counter),
                    None => first.1,
                };
                let tail = match after {
                    Some(after) => interpolate(last, after, end, is_counter),
                    None => last.1,
                };
                points.push((start, head));
                points.extend(inside.into_iter().filter(|(t, _)| *t > start && *t < end));
                points.push((end, tail));
            }
        }
        if let Some(value) = value(kernel, &points) {
            column.set(placed.step, value);
        }
    }
    column
}

fn value(kernel: &Kernel<'_>, points: &[(i64, f64)]) -> Option<f64> {
    let (first, last) = (points.first()?.1, points.last()?.1);
    let pairs = || points.windows(2).map(|p| (p[0].1, p[1].1));
    match kernel.func {
        RangeFn::Delta => Some(last - first),
        RangeFn::Rate | RangeFn::Increase => {
            let lost: f64 = pairs().filter(|(a, b)| b < a).map(|(a, _)| a).sum();
            let change = last - first + lost;
            let is_rate = kernel.func == RangeFn::Rate;
            Some(if is_rate { change / (kernel.range_ms as f64 / 1000.0) } else { change })
        }
        RangeFn::Changes => {
            Some(pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64)
        }
        RangeFn::Resets => Some(pairs().filter(|(a, b)| b < a).count() as f64),
        _ => None,
    }
}

/// A `smoothed` instant selector: the value interpolated at each step.
pub(super) fn smoothed_instant(
    samples: &SampleBuffer,
    shift: Shift,
    grid: Grid,
    lookback_ms: i64,
) -> Column {
    let mut column = Column::empty(grid.steps);
    for step in 0..grid.steps {
        let now = shift.apply(grid.time(step));
        let next = samples.timestamps.partition_point(|t| *t <= now);
        let Some(at) = next.checked_sub(1) else { continue };
        let before = (samples.timestamps[at], samples.values[at]);
        if before.0 <= now - lookback_ms || is_stale(before.1) || samples.histogram(at).is_some() {
            continue;
        }
        let after = samples.timestamps.get(next).copied().zip(samples.values.get(next).copied());
        let value = match after {
            Some(after) if before.0 < now && !is_stale(after.1) => {
                interpolate(before, after, now, false)
            }
            _ => before.1,
        };
        column.set(step, value);
    }
    column
}
