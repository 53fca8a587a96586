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

type Point = (i64, f64);

/// On which end of the window a value is interpolated; it decides how a counter reset between the
/// two neighbours is taken.
#[derive(Clone, Copy, PartialEq)]
enum Edge {
    Left,
    Right,
}

/// Linear interpolation. Counters that fall are taken to start from zero on the left edge, and to
/// go on from the value before on the right.
fn interpolate(before: Point, after: Point, at: i64, is_counter: bool, edge: Edge) -> f64 {
    let (mut from, mut to) = (before.1, after.1);
    if is_counter && to < from {
        match edge {
            Edge::Left => from = 0.0,
            Edge::Right => to += from,
        }
    }
    from + (to - from) * (at - before.0) as f64 / (after.0 - before.0) as f64
}

/// The window's content from edge to edge: the values at both ends and the samples between them.
/// `None` when no sample is later than the window's start.
struct Extended<'a> {
    left: f64,
    right: f64,
    times: &'a [i64],
    inner: &'a [f64],
}

fn extend<'a>(
    samples: &'a Samples,
    (start, end): (i64, i64),
    mode: RangeMode,
    lookback_ms: i64,
    is_counter: bool,
) -> Option<Extended<'a>> {
    let smoothed = mode == RangeMode::Smoothed;
    let last_time = if smoothed { end + lookback_ms } else { end };
    let low = samples.times.partition_point(|t| *t <= start - lookback_ms);
    let high = samples.times.partition_point(|t| *t <= last_time);
    let (times, values) = (samples.times.get(low..high)?, samples.values.get(low..high)?);
    let point = |i: usize| (times[i], values[i]);
    let mut last = times.len().checked_sub(1)?;
    let mut first = times[..last].partition_point(|t| *t <= start).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| *t < end);
    }
    if times[last] <= start {
        return None;
    }
    let left = if smoothed && times[first] < start {
        interpolate(point(first), point(first + 1), start, is_counter, Edge::Left)
    } else {
        values[first]
    };
    let right = if smoothed && last > 0 && times[last] > end {
        interpolate(point(last - 1), point(last), end, is_counter, Edge::Right)
    } else {
        values[last]
    };
    // What lies on or beyond an edge is represented by the edge.
    first += usize::from(times[first] <= start);
    let until = last + usize::from(times[last] < end);
    let inner = if first < until { first..until } else { 0..0 };
    Some(Extended { left, right, times: &times[inner.clone()], inner: &values[inner] })
}

/// Evaluates a range function with extended windows over one series of floats.
pub(super) fn run(
    kernel: &Kernel<'_>,
    mode: RangeMode,
    windows: Windows<'_>,
    samples: &Samples,
    lookback_ms: i64,
) -> Column {
    let mut column = Column::empty(windows.steps());
    let is_counter = matches!(kernel.func, RangeFn::Rate | RangeFn::Increase);
    for placed in windows {
        let bounds = (placed.window.start_ms, placed.window.end_ms);
        let Some(extended) = extend(samples, bounds, mode, lookback_ms, is_counter) else {
            continue;
        };
        let Extended { left, right, inner, .. } = extended;
        let path = || std::iter::once(left).chain(inner.iter().copied()).chain([right]);
        let pairs = || path().zip(path().skip(1));
        let value = match kernel.func {
            RangeFn::Delta => right - left,
            RangeFn::Rate | RangeFn::Increase => {
                let lost: f64 = pairs().filter(|(a, b)| b < a).map(|(a, _)| a).sum();
                let change = right - left + lost;
                let is_rate = kernel.func == RangeFn::Rate;
                if is_rate { change / (kernel.range_ms as f64 / 1000.0) } else { change }
            }
            RangeFn::Changes => {
                pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64
            }
            RangeFn::Resets => pairs().filter(|(a, b)| b < a).count() as f64,
            _ => continue,
        };
        column.set(placed.step, value);
    }
    column
}

/// An extended window as the raw result of an instant query: its edges and what is between.
pub(super) fn points(
    samples: &Samples,
    bounds: (i64, i64),
    mode: RangeMode,
    lookback_ms: i64,
) -> Vec<Point> {
    let Some(extended) = extend(samples, bounds, mode, lookback_ms, false) else {
        return Vec::new();
    };
    let inner = extended.times.iter().copied().zip(extended.inner.iter().copied());
    std::iter::once((bounds.0, extended.left))
        .chain(inner)
        .chain([(bounds.1, extended.right)])
        .collect()
}

/// A `smoothed` instant selector: the value interpolated at each step, or the one before while
/// none after is known.
pub(super) fn smoothed_instant(
    samples: &SampleBuffer,
    shift: Shift,
    grid: Grid,
    lookback_ms: i64,
) -> Column {
    let floats: Vec<Point> = (0..samples.len())
        .filter(|i| !is_stale(samples.values[*i]) && samples.histogram(*i).is_none())
        .map(|i| (samples.timestamps[i], samples.values[i]))
        .collect();
    let mut column = Column::empty(grid.steps);
    for step in 0..grid.steps {
        let now = shift.apply(grid.time(step));
        let next = floats.partition_point(|(t, _)| *t < now);
        let before = next.checked_sub(1).map(|i| floats[i]).filter(|p| p.0 > now - lookback_ms);
        let after = floats.get(next).copied().filter(|p| p.0 <= now + lookback_ms);
        let value = match (before, after) {
            (_, Some(after)) if after.0 == now => after.1,
            (Some(before), Some(after)) => interpolate(before, after, now, false, Edge::Left),
            (Some(before), None) => before.1,
            (None, _) => continue,
        };
        column.set(step, value);
    }
    column
}
