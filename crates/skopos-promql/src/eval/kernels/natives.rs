//! Windows with native histograms.

use std::sync::Arc;

use skopos_model::{CounterResetHint, Histogram, SampleValue};

use super::super::range::Window;
use super::super::starts;
use super::floats::{Extrapolation, extrapolate, is_change};
use super::{Kernel, Notes};
use crate::functions::RangeFn;
use crate::histogram::{self, CombineNotes, HistogramSum};

/// How often the value changes; a change between float and histogram counts.
pub(in crate::eval) fn changes(window: &Window<'_>) -> f64 {
    let changed = |i: &usize| match (window.histogram(*i - 1), window.histogram(*i)) {
        (None, None) => is_change(window.values[*i - 1], window.values[*i]),
        (Some(before), Some(after)) => !histogram::equals(before, after),
        _ => true,
    };
    (1..window.times.len()).filter(changed).count() as f64
}

/// How often the counter is reset; a change between float and histogram counts, and one between
/// gauge and counter histograms.
pub(in crate::eval) fn resets(window: &Window<'_>) -> f64 {
    let reset = |i: &usize| match (window.histogram(*i - 1), window.histogram(*i)) {
        (None, None) => window.values[*i] < window.values[*i - 1] || window.starts_anew(*i),
        (Some(before), Some(after)) => {
            is_gauge(before) != is_gauge(after)
                || histogram::detect_reset(after, before)
                || window.starts_anew(*i)
        }
        _ => true,
    };
    (1..window.times.len()).filter(reset).count() as f64
}

fn is_gauge(h: &Histogram) -> bool {
    h.counter_reset_hint == CounterResetHint::Gauge
}

fn as_gauge(mut h: Histogram) -> SampleValue {
    h.counter_reset_hint = CounterResetHint::Gauge;
    SampleValue::Histogram(Arc::new(histogram::compact(h)))
}

/// `irate` and `idelta`.
pub(super) fn instant_delta(
    window: &Window<'_>,
    is_rate: bool,
    notes: &mut Notes<'_>,
) -> Option<SampleValue> {
    let count = window.times.len();
    if count < 2 {
        return None;
    }
    let seconds = (window.times[count - 1] - window.times[count - 2]) as f64 / 1000.0;
    let (before, after) = match (window.histogram(count - 2), window.histogram(count - 1)) {
        (Some(before), Some(after)) => (before, after),
        (None, None) => {
            let (before, after) = (window.values[count - 2], window.values[count - 1]);
            let reset = after < before || window.starts_anew(count - 1);
            let change = if is_rate && reset { after } else { after - before };
            return Some(SampleValue::Float(if is_rate { change / seconds } else { change }));
        }
        _ => {
            notes.mixed = true;
            return None;
        }
    };
    if is_rate {
        notes.not_a_counter |= is_gauge(before) || is_gauge(after);
    } else {
        notes.not_a_gauge |= !is_gauge(before) || !is_gauge(after);
    }
    let reset = || histogram::detect_reset(after, before) || window.starts_anew(count - 1);
    let change = if is_rate && reset() {
        Histogram::clone(after)
    } else {
        match histogram::sub(after, before) {
            Ok((change, combined)) => {
                // Hints may differ: resets have been dealt with.
                let combined = CombineNotes { reset_collision: false, ..combined };
                note_combined(notes, combined, "subtraction");
                change
            }
            Err(_) => {
                notes.mixed_schemas = true;
                return None;
            }
        }
    };
    Some(as_gauge(if is_rate { histogram::divide(&change, seconds) } else { change }))
}

fn note_combined(notes: &mut Notes<'_>, combined: CombineNotes, operation: &'static str) {
    if combined.reconciled {
        notes.reconciled.insert(operation);
    }
    if combined.reset_collision {
        notes.collision = Some(operation);
    }
}

/// `rate`, `increase`, `delta`. The window holds histograms only, at least two.
pub(super) fn extrapolated(
    kernel: &Kernel<'_>,
    window: &Window<'_>,
    notes: &mut Notes<'_>,
) -> Option<SampleValue> {
    let all: Vec<&Arc<Histogram>> = window.histograms.iter().flatten().collect();
    let (first, last) = (*all.first()?, *all.last()?);
    let is_counter = kernel.func != RangeFn::Delta;
    if is_counter {
        notes.not_a_counter |= all.iter().any(|h| is_gauge(h));
    } else {
        notes.not_a_gauge |= !is_gauge(first) || !is_gauge(last);
    }
    // If the counter was reset right after the first sample, that sample says nothing about the
    // growth since, so its buckets need not fit the others'.
    let is_reset = |i: usize| histogram::detect_reset(all[i], all[i - 1]) || window.starts_anew(i);
    let since = if is_counter { window.counted_since() } else { None };
    let starts_anew = since.is_none() && is_counter && is_reset(1);
    // A difference of gauges knows only its ends.
    let ends = [first, last];
    let counted = match (is_counter, starts_anew) {
        (false, _) => &ends[..],
        (true, false) => &all[..],
        (true, true) => &all[1..],
    };
    if counted.iter().any(|h| h.has_custom_buckets() != last.has_custom_buckets()) {
        notes.mixed_schemas = true;
        return None;
    }
    let schema = counted.iter().map(|h| h.schema).min().unwrap_or(last.schema);
    let mut change = histogram::copy_to_schema(last, schema);
    let mut subtract_from = |notes: &mut Notes<'_>, h: &Histogram| {
        match histogram::sub(&change, h) {
            Ok((next, combined)) => {
                // Hints of counters may differ; the result is a gauge anyway.
                note_combined(
                    notes,
                    CombineNotes { reset_collision: false, ..combined },
                    "subtraction",
                );
                change = next;
                true
            }
            Err(_) => false,
        }
    };
    // A reset counter began with nothing in the buckets that it has since.
    let nothing = Histogram {
        schema: all[1.min(all.len() - 1)].schema,
        custom_values: all[1.min(all.len() - 1)].custom_values.clone(),
        ..Histogram::default()
    };
    let before = if starts_anew { &nothing } else { &**first };
    // Counted since within the window means counted from nothing.
    if since.is_none() && !subtract_from(notes, before) {
        notes.mixed_schemas = true;
        return None;
    }
    if is_counter {
        for i in 1 + usize::from(starts_anew)..all.len() {
            if is_reset(i) {
                let (next, combined) = histogram::add(&change, all[i - 1]).ok()?;
                note_combined(
                    notes,
                    CombineNotes { reset_collision: false, ..combined },
                    "addition",
                );
                change = next;
            }
        }
    }
    if is_counter {
        let overlap = |i| starts::overlap(window.times, window.starts, i);
        notes.starts_overlap |= (1..window.times.len()).any(overlap);
    }
    let mut factor = extrapolate(Extrapolation {
        first_ms: *window.times.first()?,
        last_ms: *window.times.last()?,
        count: window.times.len(),
        since_ms: since,
        start_ms: window.start_ms,
        end_ms: window.end_ms,
        counter: is_counter
            .then_some((if since.is_some() { 0.0 } else { first.count }, change.count)),
    });
    if kernel.func == RangeFn::Rate {
        factor /= kernel.range_ms as f64 / 1000.0;
    }
    Some(as_gauge(histogram::scale(&change, factor)))
}

/// `sum_over_time` and `avg_over_time`. The window holds histograms only.
pub(super) fn total(
    window: &Window<'_>,
    average: bool,
    notes: &mut Notes<'_>,
) -> Option<SampleValue> {
    let mut all = window.histograms.iter().flatten();
    let mut sum = HistogramSum::starting_at(all.next()?);
    for next in all {
        if sum.add(next).is_err() {
            notes.mixed_schemas = true;
            return None;
        }
    }
    if sum.reconciled {
        notes.reconciled.insert("aggregation");
    }
    if sum.hints_collide() {
        notes.collision = Some("aggregation");
    }
    let all = window.histograms.iter().flatten().map(|h| &**h);
    let total = if average { sum.mean(all) } else { sum.sum() };
    Some(SampleValue::Histogram(Arc::new(histogram::compact(total))))
}
