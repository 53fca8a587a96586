//! Windows of floats.

use super::super::math::{Deviation, KahanSum, Mean, linear_regression, quantile};
use super::super::range::{Bounds, Samples, Window, Windows};
use super::super::starts::{self, starts_anew};
use super::{Kernel, Notes};
use crate::functions::RangeFn;
use crate::value::Column;

/// The value of a window without histograms, or `None` when there are too few samples.
pub(super) fn value(
    kernel: &Kernel<'_>,
    window: &Window<'_>,
    step: usize,
    scratch: &mut Vec<f64>,
) -> Option<f64> {
    let (times, values) = (window.times, window.values);
    let count = times.len();
    if count == 0 {
        return None;
    }
    let points = || times.iter().copied().zip(values.iter().copied());
    let seconds = |ms: i64| ms as f64 / 1000.0;
    match kernel.func {
        RangeFn::Avg => {
            let mut mean = Mean::default();
            values.iter().for_each(|v| mean.add(*v));
            Some(mean.value())
        }
        RangeFn::Sum => {
            let mut sum = KahanSum::default();
            values.iter().for_each(|v| sum.add(*v));
            Some(sum.value())
        }
        RangeFn::Count => Some(count as f64),
        RangeFn::Present => Some(1.0),
        RangeFn::Min => Some(values.iter().copied().fold(f64::NAN, f64::min)),
        RangeFn::Max => Some(values.iter().copied().fold(f64::NAN, f64::max)),
        RangeFn::First => values.first().copied(),
        RangeFn::Last => values.last().copied(),
        RangeFn::Stdvar | RangeFn::Stddev => {
            let mut deviation = Deviation::default();
            values.iter().for_each(|v| deviation.add(*v));
            let variance = deviation.variance();
            Some(if kernel.func == RangeFn::Stddev { variance.sqrt() } else { variance })
        }
        RangeFn::Quantile => {
            scratch.clear();
            scratch.extend_from_slice(values);
            Some(quantile(kernel.param(0, step), scratch))
        }
        RangeFn::Mad => Some(median_deviation(values, scratch)),
        RangeFn::Changes => {
            Some(values.windows(2).filter(|p| is_change(p[0], p[1])).count() as f64)
        }
        RangeFn::Resets => Some((1..count).filter(|i| is_reset(window, *i)).count() as f64),
        RangeFn::TsOfFirst => times.first().map(|t| seconds(*t)),
        RangeFn::TsOfLast => times.last().map(|t| seconds(*t)),
        RangeFn::TsOfMax => points()
            .reduce(|best, next| if next.1 >= best.1 || best.1.is_nan() { next } else { best })
            .map(|(t, _)| seconds(t)),
        RangeFn::TsOfMin => points()
            .reduce(|best, next| if next.1 <= best.1 || best.1.is_nan() { next } else { best })
            .map(|(t, _)| seconds(t)),
        RangeFn::Deriv if count >= 2 => Some(linear_regression(points(), times[0]).0),
        RangeFn::PredictLinear if count >= 2 => {
            let (slope, intercept) = linear_regression(points(), window.now_ms);
            Some(slope * kernel.param(0, step) + intercept)
        }
        RangeFn::DoubleExponentialSmoothing if count >= 2 => {
            Some(smoothing(values, kernel.param(0, step), kernel.param(1, step)))
        }
        RangeFn::Irate | RangeFn::Idelta if count >= 2 => {
            let (last, previous) = (values[count - 1], values[count - 2]);
            let is_rate = kernel.func == RangeFn::Irate;
            let reset = is_rate && is_reset(window, count - 1);
            let change = if reset { last } else { last - previous };
            Some(if is_rate {
                change / seconds(times[count - 1] - times[count - 2])
            } else {
                change
            })
        }
        RangeFn::Rate | RangeFn::Increase | RangeFn::Delta => {
            let resets = if kernel.func == RangeFn::Delta {
                0.0
            } else {
                (1..count).filter(|i| is_reset(window, *i)).map(|i| values[i - 1]).sum()
            };
            extrapolated_value(kernel, window, resets)
        }
        _ => None,
    }
}

/// Whether a counter was reset between sample `i` and the one before it.
fn is_reset(window: &Window<'_>, i: usize) -> bool {
    window.values[i] < window.values[i - 1] || window.starts_anew(i)
}

pub(crate) fn is_change(before: f64, after: f64) -> bool {
    before != after && !(before.is_nan() && after.is_nan())
}

fn median_deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    let median = quantile(0.5, scratch);
    scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantile(0.5, scratch)
}

/// Holt's linear method.
fn smoothing(values: &[f64], smoothing: f64, trend: f64) -> f64 {
    let mut level = values[0];
    let mut slope = values[1] - values[0];
    let mut before = 0.0;
    for (i, value) in values.iter().enumerate().skip(1) {
        if i > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + slope);
        before = level;
        level = next;
    }
    level
}

/// What `rate`, `increase` and `delta` need to stretch a change to the whole window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extrapolation {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// Samples; one is enough when `since` is known.
    pub(crate) count: usize,
    /// When the counter began, within the window: it was zero then, so that there is nothing to
    /// guess before the first sample.
    pub(crate) since_ms: Option<i64>,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// First value and change, for counters that cannot have been below zero.
    pub(crate) counter: Option<(f64, f64)>,
}

/// The factor by which the change between first and last sample grows to cover the window.
pub(crate) fn extrapolate(e: Extrapolation) -> f64 {
    // Milliseconds throughout: what comes out is a ratio.
    let mut sampled = (e.last_ms - e.first_ms) as f64;
    // Of a single sample no spacing is known, so nothing is added after it.
    let spacing = if e.count > 1 { sampled / (e.count - 1) as f64 } else { 0.0 };
    // A series that begins or ends further from the window's edge than this began or ended
    // within it; then half a spacing is added instead.
    let threshold = spacing * 1.1;
    let mut to_start = (e.first_ms - e.start_ms) as f64;
    let mut to_end = (e.end_ms - e.last_ms) as f64;
    if to_start >= threshold {
        to_start = spacing / 2.0;
    }
    if let Some((first, change)) = e.counter
        && change > 0.0
        && first >= 0.0
    {
        to_start = to_start.min(sampled * (first / change));
    }
    if to_end >= threshold {
        to_end = spacing / 2.0;
    }
    if let Some(since_ms) = e.since_ms {
        to_start = 0.0;
        sampled = (e.last_ms - since_ms) as f64;
    }
    (sampled + to_start + to_end) / sampled
}

fn extrapolated_value(kernel: &Kernel<'_>, window: &Window<'_>, resets: f64) -> Option<f64> {
    let is_counter = kernel.func != RangeFn::Delta;
    let count = window.times.len();
    let (first_ms, mut first) = (*window.times.first()?, *window.values.first()?);
    let last = window.values[count - 1];
    let since_ms = if is_counter { window.counted_since() } else { None };
    if since_ms.is_some() {
        // A counter is zero when it begins to count.
        first = 0.0;
    } else if count < 2 {
        return None;
    }
    let change = last - first + resets;
    let mut factor = extrapolate(Extrapolation {
        first_ms,
        last_ms: *window.times.last()?,
        count,
        since_ms,
        start_ms: window.start_ms,
        end_ms: window.end_ms,
        counter: is_counter.then_some((first, change)),
    });
    if kernel.func == RangeFn::Rate {
        factor /= kernel.range_ms as f64 / 1000.0;
    }
    Some(change * factor)
}

/// The same without start timestamps, which is nearly always so.
fn extrapolated_plain(
    kernel: &Kernel<'_>,
    windows: &mut Windows<'_>,
    samples: &Samples,
    column: &mut Column,
) {
    let (times, values) = (samples.times.as_slice(), samples.values.as_slice());
    let is_counter = kernel.func != RangeFn::Delta;
    let mut resets: Vec<usize> = Vec::new();
    if is_counter {
        let falls = values.windows(2).enumerate().filter(|(_, pair)| pair[1] < pair[0]);
        resets.extend(falls.map(|(i, _)| i + 1));
    }
    let per_second = match kernel.func {
        RangeFn::Rate => kernel.range_ms as f64 / 1000.0,
        _ => 1.0,
    };
    let mut resets = resets.as_slice();
    while let Some(Bounds { step, from, to, start_ms, end_ms }) = windows.advance() {
        if to - from < 2 {
            continue;
        }
        // A reset counts when the sample before it lies in the window too.
        while let [at, rest @ ..] = resets
            && *at <= from
        {
            resets = rest;
        }
        let within = resets.iter().take_while(|at| **at < to);
        let lost: f64 = within.map(|at| values[at - 1]).sum();
        let (first, last) = (values[from], values[to - 1]);
        let change = last - first + lost;
        let factor = extrapolate(Extrapolation {
            first_ms: times[from],
            last_ms: times[to - 1],
            count: to - from,
            since_ms: None,
            start_ms,
            end_ms,
            counter: is_counter.then_some((first, change)),
        });
        column.set(step, change * (factor / per_second));
    }
}

/// `rate`, `increase`, `delta` over all windows: resets are found once, so that each window costs
/// only the resets within it.
pub(super) fn extrapolated(
    kernel: &Kernel<'_>,
    mut windows: Windows<'_>,
    samples: &Samples,
    column: &mut Column,
    notes: &mut Notes<'_>,
) {
    if samples.starts.is_empty() {
        return extrapolated_plain(kernel, &mut windows, samples, column);
    }
    let resets: Vec<usize> = if kernel.func == RangeFn::Delta {
        Vec::new()
    } else {
        let (values, times, starts) = (&samples.values, &samples.times, &samples.starts);
        let is_reset = |i: &usize| values[*i] < values[*i - 1] || starts_anew(times, starts, *i);
        (1..values.len()).filter(is_reset).collect()
    };
    let mut first_reset = 0;
    for placed in windows {
        // A reset counts when the sample before it lies in the window too.
        while resets.get(first_reset).is_some_and(|at| *at <= placed.from) {
            first_reset += 1;
        }
        let lost = resets[first_reset..]
            .iter()
            .take_while(|at| **at < placed.to)
            .map(|at| samples.values[at - 1])
            .sum();
        if let Some(value) = extrapolated_value(kernel, &placed.window, lost) {
            column.set(placed.step, value);
        }
    }
    if kernel.func != RangeFn::Delta && !samples.starts.is_empty() && column.any() {
        let overlap = |i| starts::overlap(&samples.times, &samples.starts, i);
        notes.starts_overlap |= (1..samples.times.len()).any(overlap);
    }
}
