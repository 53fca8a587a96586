//! `anchored` and `smoothed`: windows whose ends are defined by samples outside of them.
//!
//! Anchored: the newest sample at or before the window's start (within the lookback) stands at the
//! start, so that changes are exact and nothing is extrapolated. Smoothed: values at both ends are
//! interpolated between the neighbouring samples. A counter that fell between two neighbours is
//! taken to have started from zero.

mod natives;

use std::sync::Arc;

use skopos_model::storage::SampleBuffer;
use skopos_model::{SampleValue, is_stale};

use super::kernels::{Kernel, Notes, changes, resets};
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

/// Linear interpolation of floats; `at` lies between the two, or on one of them.
fn interpolate(before: Point, after: Point, at: i64, is_counter: bool) -> f64 {
    let from = if is_counter && after.1 < before.1 { 0.0 } else { before.1 };
    from + (after.1 - from) * (at - before.0) as f64 / (after.0 - before.0) as f64
}

/// A window with what defines its ends.
#[derive(Clone, Copy)]
struct Extent {
    start: i64,
    end: i64,
    /// All samples that may be looked at: `[low, high)`.
    low: usize,
    high: usize,
    /// The samples at which the left and the right end hang.
    first: usize,
    last: usize,
    smoothed: bool,
}

impl Extent {
    /// `None` when no sample is later than the window's start, or all are later than its end.
    fn new(
        times: &[i64],
        (start, end): (i64, i64),
        mode: RangeMode,
        lookback_ms: i64,
    ) -> Option<Self> {
        let smoothed = mode == RangeMode::Smoothed;
        let last_time = if smoothed { end + lookback_ms } else { end };
        let low = times.partition_point(|t| *t <= start - lookback_ms);
        let high = times.partition_point(|t| *t <= last_time);
        let within = times.get(low..high)?;
        let mut last = within.len().checked_sub(1)?;
        let first = within[..last].partition_point(|t| *t <= start).saturating_sub(1);
        if smoothed {
            last = within[..last].partition_point(|t| *t < end);
        }
        if within[last] <= start || (smoothed && within[first] > end) {
            return None;
        }
        let (first, last) = (low + first, low + last);
        Some(Self { start, end, low, high, first, last, smoothed })
    }

    /// The samples between the ends: those on an end or beyond it are represented by the end.
    fn inner(&self, times: &[i64]) -> std::ops::Range<usize> {
        let from = self.first + usize::from(times[self.first] <= self.start);
        let to = self.last + usize::from(times[self.last] < self.end);
        from..to.max(from)
    }

    /// The float at the left end.
    fn left(&self, samples: &Samples, is_counter: bool) -> f64 {
        let point = |i: usize| (samples.times[i], samples.values[i]);
        if self.smoothed && samples.times[self.first] < self.start {
            interpolate(point(self.first), point(self.first + 1), self.start, is_counter)
        } else {
            samples.values[self.first]
        }
    }

    /// The float at the right end.
    fn right(&self, samples: &Samples, is_counter: bool) -> f64 {
        let point = |i: usize| (samples.times[i], samples.values[i]);
        if self.smoothed && self.last > self.low && samples.times[self.last] > self.end {
            interpolate(point(self.last - 1), point(self.last), self.end, is_counter)
        } else {
            samples.values[self.last]
        }
    }
}

/// Evaluates a range function with extended windows over one series.
pub(super) fn run(
    kernel: &Kernel<'_>,
    mode: RangeMode,
    windows: Windows<'_>,
    samples: &Samples,
    lookback_ms: i64,
    notes: &mut Notes<'_>,
) -> Column {
    let mut column = Column::empty(windows.steps());
    let is_native = |i: usize| samples.histograms.get(i).is_some_and(Option::is_some);
    for placed in windows {
        let bounds = (placed.window.start_ms, placed.window.end_ms);
        if matches!(kernel.func, RangeFn::Changes | RangeFn::Resets) {
            let Some(extent) = Extent::new(&samples.times, bounds, mode, lookback_ms) else {
                continue;
            };
            let window = samples.window(extent.first..extent.high, &placed.window);
            let is_changes = kernel.func == RangeFn::Changes;
            let value = if is_changes { changes(&window) } else { resets(&window) };
            column.set(placed.step, value);
            continue;
        }
        let after = if mode == RangeMode::Smoothed { lookback_ms } else { 0 };
        let low = samples.times.partition_point(|t| *t <= bounds.0 - lookback_ms);
        let high = samples.times.partition_point(|t| *t <= bounds.1 + after);
        let natives = (low..high).filter(|i| is_native(*i)).count();
        if natives > 0 && natives < high - low {
            notes.mixed = true;
            continue;
        }
        let Some(extent) = Extent::new(&samples.times, bounds, mode, lookback_ms) else {
            continue;
        };
        if natives == 0 {
            column.set(placed.step, float_change(kernel, &extent, samples));
        } else if let Some(change) = natives::change(kernel, &extent, samples, notes) {
            column.set_histogram(placed.step, Arc::new(change));
        }
    }
    column
}

/// `rate`, `increase` and `delta` of floats.
fn float_change(kernel: &Kernel<'_>, extent: &Extent, samples: &Samples) -> f64 {
    let is_counter = kernel.func != RangeFn::Delta;
    let (left, right) = (extent.left(samples, is_counter), extent.right(samples, is_counter));
    let mut change = right - left;
    if is_counter {
        let mut before = left;
        let inner = &samples.values[extent.inner(&samples.times)];
        for value in inner.iter().copied().chain([right]) {
            if value < before {
                change += before;
            }
            before = value;
        }
    }
    if kernel.func == RangeFn::Rate { change / (kernel.range_ms as f64 / 1000.0) } else { change }
}

/// An extended window as the raw result of an instant query: its edges and what is between.
pub(super) fn points(
    samples: &Samples,
    bounds: (i64, i64),
    mode: RangeMode,
    lookback_ms: i64,
) -> Vec<(i64, SampleValue)> {
    let Some(extent) = Extent::new(&samples.times, bounds, mode, lookback_ms) else {
        return Vec::new();
    };
    let value = |i: usize| match samples.histograms.get(i).and_then(Option::as_ref) {
        Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
        None => SampleValue::Float(samples.values[i]),
    };
    let natives = samples.histograms.get(extent.low..extent.high).unwrap_or(&[]);
    let (left, right) = if natives.iter().any(Option::is_some) {
        natives::edges(&extent, samples).unwrap_or((value(extent.first), value(extent.last)))
    } else {
        let float = SampleValue::Float;
        (float(extent.left(samples, false)), float(extent.right(samples, false)))
    };
    let inner = extent.inner(&samples.times).map(|i| (samples.times[i], value(i)));
    std::iter::once((bounds.0, left)).chain(inner).chain([(bounds.1, right)]).collect()
}

/// A `smoothed` instant selector: the value interpolated at each step, or the one before while
/// none after is known.
pub(super) fn smoothed_instant(
    samples: &SampleBuffer,
    shift: Shift,
    grid: Grid,
    lookback_ms: i64,
) -> Column {
    let known: Vec<usize> = (0..samples.len()).filter(|i| !is_stale(samples.values[*i])).collect();
    let time = |at: usize| samples.timestamps[known[at]];
    let mut column = Column::empty(grid.steps);
    for step in 0..grid.steps {
        let now = shift.apply(grid.time(step));
        let next = known.partition_point(|i| samples.timestamps[*i] < now);
        let before = next.checked_sub(1).filter(|at| time(*at) > now - lookback_ms);
        let after = (next < known.len() && time(next) <= now + lookback_ms).then_some(next);
        let (from, to) = match (before, after) {
            (_, Some(after)) if time(after) == now => (after, after),
            (Some(before), Some(after)) => (before, after),
            (Some(before), None) => (before, before),
            (None, _) => continue,
        };
        let (from, to) = (known[from], known[to]);
        match (samples.histogram(from), samples.histogram(to)) {
            (None, None) if from == to => column.set(step, samples.values[from]),
            (None, None) => {
                let point = |i: usize| (samples.timestamps[i], samples.values[i]);
                column.set(step, interpolate(point(from), point(to), now, false));
            }
            (Some(h), _) if from == to => column.set_histogram(step, Arc::clone(h)),
            (Some(a), Some(b)) => {
                let (a, b) = ((samples.timestamps[from], &**a), (samples.timestamps[to], &**b));
                if let Ok((between, _)) = natives::interpolate(a, b, now, false) {
                    column.set_histogram(step, Arc::new(between));
                }
            }
            // Nothing lies between a float and a histogram: the one before holds.
            (Some(h), None) => column.set_histogram(step, Arc::clone(h)),
            (None, Some(_)) => column.set(step, samples.values[from]),
        }
    }
    column
}
