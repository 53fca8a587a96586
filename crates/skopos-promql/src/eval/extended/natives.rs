//! Extended windows over native histograms: what [`super`] does with floats, bucket by bucket.

use std::sync::Arc;

use skopos_model::{CounterResetHint, Histogram, SampleValue};

use super::super::kernels::{Kernel, Notes};
use super::super::range::Samples;
use super::Extent;
use crate::functions::RangeFn;
use crate::histogram::{self, MixedSchemas};

/// Custom bounds had to be reconciled, in which operation.
type Reconciled = Option<&'static str>;

/// The histogram at `at`, between two neighbours.
pub(super) fn interpolate(
    (before_ms, before): (i64, &Histogram),
    (after_ms, after): (i64, &Histogram),
    at: i64,
    is_counter: bool,
) -> Result<(Histogram, Reconciled), MixedSchemas> {
    if at == before_ms {
        return Ok((before.clone(), None));
    }
    if at == after_ms {
        return Ok((after.clone(), None));
    }
    let share = (at - before_ms) as f64 / (after_ms - before_ms) as f64;
    if is_counter && histogram::detect_reset(after, before) {
        return Ok((histogram::scale(after, share), None));
    }
    let (growth, sub_notes) = histogram::sub(after, before)?;
    let (value, add_notes) = histogram::add(&histogram::scale(&growth, share), before)?;
    let reconciled = match (sub_notes.reconciled, add_notes.reconciled) {
        (true, _) => Some("subtraction"),
        (false, true) => Some("addition"),
        _ => None,
    };
    Ok((value, reconciled))
}

/// The histograms of a window, none of whose samples is a float.
struct Natives<'a> {
    times: &'a [i64],
    histograms: Vec<&'a Arc<Histogram>>,
    /// Index of the first histogram among the samples.
    low: usize,
}

impl<'a> Natives<'a> {
    fn of(extent: &Extent, samples: &'a Samples) -> Option<Self> {
        let all = samples.histograms.get(extent.low..extent.high)?;
        let histograms: Vec<_> = all.iter().flatten().collect();
        (histograms.len() == all.len()).then_some(Self {
            times: samples.times.get(extent.low..extent.high)?,
            histograms,
            low: extent.low,
        })
    }

    fn point(&self, i: usize) -> (i64, &'a Histogram) {
        (self.times[i - self.low], self.histograms[i - self.low])
    }

    fn left(
        &self,
        extent: &Extent,
        is_counter: bool,
    ) -> Result<(Histogram, Reconciled), MixedSchemas> {
        let (time, first) = self.point(extent.first);
        if extent.smoothed && time < extent.start {
            interpolate((time, first), self.point(extent.first + 1), extent.start, is_counter)
        } else {
            Ok((first.clone(), None))
        }
    }

    fn right(
        &self,
        extent: &Extent,
        is_counter: bool,
    ) -> Result<(Histogram, Reconciled), MixedSchemas> {
        let (time, last) = self.point(extent.last);
        if extent.smoothed && extent.last > extent.low && time > extent.end {
            interpolate(self.point(extent.last - 1), (time, last), extent.end, is_counter)
        } else {
            Ok((last.clone(), None))
        }
    }
}

/// Both ends of a window as they are, not taken for a counter's; `None` when they cannot be
/// computed.
pub(super) fn edges(extent: &Extent, samples: &Samples) -> Option<(SampleValue, SampleValue)> {
    let natives = Natives::of(extent, samples)?;
    let value = |h: Histogram| SampleValue::Histogram(Arc::new(h));
    let (left, _) = natives.left(extent, false).ok()?;
    let (right, _) = natives.right(extent, false).ok()?;
    Some((value(left), value(right)))
}

/// `rate`, `increase` and `delta`.
pub(super) fn change(
    kernel: &Kernel<'_>,
    extent: &Extent,
    samples: &Samples,
    notes: &mut Notes<'_>,
) -> Option<Histogram> {
    let natives = Natives::of(extent, samples)?;
    let is_counter = kernel.func != RangeFn::Delta;
    let is_custom = natives.point(extent.first).1.has_custom_buckets();
    for i in extent.first..=extent.last {
        let h = natives.point(i).1;
        if h.has_custom_buckets() != is_custom {
            notes.mixed_schemas = true;
            return None;
        }
        notes.not_a_counter |= is_counter && h.counter_reset_hint == CounterResetHint::Gauge;
    }
    match exact_change(&natives, extent, is_counter, notes) {
        Ok(change) => {
            let mut change = if kernel.func == RangeFn::Rate {
                histogram::divide(&change, kernel.range_ms as f64 / 1000.0)
            } else {
                change
            };
            change.counter_reset_hint = CounterResetHint::Gauge;
            Some(histogram::compact(change))
        }
        Err(MixedSchemas) => {
            notes.mixed_schemas = true;
            None
        }
    }
}

fn exact_change(
    natives: &Natives<'_>,
    extent: &Extent,
    is_counter: bool,
    notes: &mut Notes<'_>,
) -> Result<Histogram, MixedSchemas> {
    let (left, left_reconciled) = natives.left(extent, is_counter)?;
    let (right, right_reconciled) = natives.right(extent, is_counter)?;
    notes.reconciled.extend(left_reconciled.into_iter().chain(right_reconciled));
    let is_gauge = |h: &Histogram| h.counter_reset_hint == CounterResetHint::Gauge;
    let are_gauges = is_gauge(&left) && is_gauge(&right);
    notes.not_a_gauge |= !is_counter && !are_gauges;
    let (mut change, combined) = histogram::sub(&right, &left)?;
    if combined.reconciled {
        notes.reconciled.insert("subtraction");
    }
    if is_counter && let Some(lost) = lost_to_resets(natives, extent, &left, &right, notes)? {
        let (next, combined) = histogram::add(&change, &lost)?;
        if combined.reconciled {
            notes.reconciled.insert("addition");
        }
        change = next;
    }
    Ok(change)
}

/// The sum of what the counter had before each reset within the window.
fn lost_to_resets(
    natives: &Natives<'_>,
    extent: &Extent,
    left: &Histogram,
    right: &Histogram,
    notes: &mut Notes<'_>,
) -> Result<Option<Histogram>, MixedSchemas> {
    let mut before = left;
    let mut next = extent.first + 1;
    let (first_ms, first) = natives.point(extent.first);
    if extent.smoothed && first_ms < extent.start {
        let second = natives.point(extent.first + 1).1;
        if histogram::detect_reset(second, first) {
            // The interpolation at the left end has taken this reset into account.
            before = second;
            next += 1;
        }
    }
    if next > extent.last {
        return Ok(None);
    }
    let mut lost: Option<Histogram> = None;
    // The last sample is represented by `right`, which has its hint.
    let inner = (next..extent.last).map(|i| natives.point(i).1);
    for h in inner.chain([right]) {
        if histogram::detect_reset(h, before) {
            lost = Some(match lost {
                None => before.clone(),
                Some(lost) => {
                    let (sum, combined) = histogram::add(&lost, before)?;
                    if combined.reconciled {
                        notes.reconciled.insert("addition");
                    }
                    sum
                }
            });
        }
        before = h;
    }
    Ok(lost)
}
