//! Arithmetic on native histograms.
//!
//! Operations work on a sparse form ([`Sparse`]): non-empty buckets by index, both signs, at one
//! schema. Converting back yields the canonical layout: no empty buckets, spans as long as
//! possible. Two histograms that mean the same are then equal field by field.

mod describe;
mod quantile;
mod reset;
mod sum;
mod trim;

pub(crate) use describe::describe;
pub(crate) use quantile::{NanRole, fraction, quantile, variance};
pub(crate) use reset::detect_reset;
pub(crate) use sum::HistogramSum;
pub(crate) use trim::trim;

use skopos_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use skopos_model::{BucketSpan, CounterResetHint, Histogram};

/// The share of a histogram's observations that are not above a bound, as `histogram_fraction(-Inf, bound, …)` has it; NaN
/// when there are none.
pub fn histogram_share_below(histogram: &Histogram, bound: f64) -> f64 {
    fraction(f64::NEG_INFINITY, bound, histogram).0
}

/// Two histograms that cannot be combined: one has exponential buckets, the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MixedSchemas;

/// What happened while two histograms were combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CombineNotes {
    /// One said "reset", the other "not reset".
    pub(crate) reset_collision: bool,
    /// Custom bounds differed, so only the common ones are left.
    pub(crate) reconciled: bool,
}

/// Buckets by index.
#[derive(Clone, Debug, Default)]
struct Sparse {
    positive: Vec<(i32, f64)>,
    negative: Vec<(i32, f64)>,
}

fn spread(spans: &[BucketSpan], buckets: &[f64]) -> Vec<(i32, f64)> {
    let mut out = Vec::with_capacity(buckets.len());
    let (mut index, mut counts) = (0i32, buckets.iter());
    for (i, span) in spans.iter().enumerate() {
        index = if i == 0 { span.offset } else { index.saturating_add(span.offset) };
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return out };
            out.push((index, *count));
            index = index.saturating_add(1);
        }
    }
    out
}

fn gather(buckets: &[(i32, f64)]) -> (Vec<BucketSpan>, Vec<f64>) {
    let (mut spans, mut counts) = (Vec::<BucketSpan>::new(), Vec::new());
    let mut next = 0i32;
    for (index, count) in buckets.iter().filter(|(_, count)| *count != 0.0) {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            Some(_) => spans.push(BucketSpan { offset: index - next, length: 1 }),
            None => spans.push(BucketSpan { offset: *index, length: 1 }),
        }
        counts.push(*count);
        next = index.saturating_add(1);
    }
    (spans, counts)
}

impl Sparse {
    fn of(h: &Histogram) -> Self {
        Self {
            positive: spread(&h.positive_spans, &h.positive_buckets),
            negative: spread(&h.negative_spans, &h.negative_buckets),
        }
    }

    fn store(&self, h: &mut Histogram) {
        (h.positive_spans, h.positive_buckets) = gather(&self.positive);
        (h.negative_spans, h.negative_buckets) = gather(&self.negative);
    }

    /// Merges buckets for a coarser schema: two neighbours become one for each step down.
    fn coarsen(&mut self, from: i32, to: i32) {
        let shift = (from - to).clamp(0, 30);
        if shift == 0 {
            return;
        }
        for side in [&mut self.positive, &mut self.negative] {
            for (index, _) in side.iter_mut() {
                *index = ((*index - 1) >> shift) + 1;
            }
            merge_equal(side);
        }
    }

    fn add(&mut self, other: &Sparse, sign: f64) {
        for (mine, theirs) in
            [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)]
        {
            mine.extend(theirs.iter().map(|(index, count)| (*index, sign * count)));
            mine.sort_by_key(|(index, _)| *index);
            merge_equal(mine);
        }
    }

    /// Moves everything within ±`threshold` out of the buckets. Returns the count moved and the
    /// threshold, widened when it fell within a populated bucket.
    fn widen_zero(&mut self, schema: i32, mut threshold: f64) -> (f64, f64) {
        // The threshold may fall within a bucket of either sign; widen until it does not.
        loop {
            let before = threshold;
            for (index, count) in self.positive.iter().chain(&self.negative) {
                let (lower, upper) = exponential_bounds(*index, schema);
                if *count != 0.0 && lower < threshold && upper > threshold {
                    threshold = upper;
                }
            }
            if threshold == before {
                break;
            }
        }
        let mut moved = 0.0;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|(index, count)| {
                let inside = exponential_bounds(*index, schema).0 < threshold;
                if inside {
                    moved += count;
                }
                !inside
            });
        }
        (moved, threshold)
    }
}

fn merge_equal(buckets: &mut Vec<(i32, f64)>) {
    buckets.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 += later.1;
        }
        same
    });
}

/// Bounds of the absolute values in exponential bucket `index`.
pub(crate) fn exponential_bounds(index: i32, schema: i32) -> (f64, f64) {
    (exponential_bound(index.saturating_sub(1), schema), exponential_bound(index, schema))
}

/// `2^(index · 2^-schema)`, with the largest float in place of infinity for the bucket that holds
/// it.
fn exponential_bound(index: i32, schema: i32) -> f64 {
    let exponent = f64::from(index) * f64::from(-schema).exp2();
    if exponent == 1024.0 { f64::MAX } else { exponent.exp2() }
}

/// A bucket with its bounds; the count may belong to several steps' worth of observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
    pub(crate) is_zero: bool,
}

/// All non-empty buckets in ascending order. The bucket next to the zero bucket ends where that
/// begins, although its own bound may lie within.
pub(crate) fn buckets(h: &Histogram) -> Vec<Bucket> {
    let mut all = stored_buckets(h);
    if !h.has_custom_buckets() {
        all.retain(|b| !b.is_zero || b.count > 0.0);
        for bucket in all.iter_mut().filter(|b| !b.is_zero) {
            if bucket.upper > 0.0 {
                bucket.lower = bucket.lower.max(h.zero_threshold);
            } else {
                bucket.upper = bucket.upper.min(-h.zero_threshold);
            }
        }
    }
    all
}

/// All non-empty buckets with the bounds of their indices.
fn stored_buckets(h: &Histogram) -> Vec<Bucket> {
    let sparse = Sparse::of(h);
    let mut out = Vec::new();
    if h.has_custom_buckets() {
        for (index, count) in sparse.positive {
            let at = |i: i32| usize::try_from(i).ok().and_then(|i| h.custom_values.get(i).copied());
            let lower =
                if index <= 0 { f64::NEG_INFINITY } else { at(index - 1).unwrap_or(f64::INFINITY) };
            let upper = at(index).unwrap_or(f64::INFINITY);
            out.push(Bucket { lower, upper, count, is_zero: false });
        }
    } else {
        for (index, count) in sparse.negative.into_iter().rev() {
            let (small, large) = exponential_bounds(index, h.schema);
            out.push(Bucket { lower: -large, upper: -small, count, is_zero: false });
        }
        if h.zero_count != 0.0 {
            let (lower, upper) = (-h.zero_threshold, h.zero_threshold);
            out.push(Bucket { lower, upper, count: h.zero_count, is_zero: true });
        }
        for (index, count) in sparse.positive {
            let (lower, upper) = exponential_bounds(index, h.schema);
            out.push(Bucket { lower, upper, count, is_zero: false });
        }
    }
    out.retain(|b| b.count != 0.0);
    out
}

/// The canonical layout of the same histogram.
pub(crate) fn compact(mut h: Histogram) -> Histogram {
    Sparse::of(&h).store(&mut h);
    h
}

/// The same at a coarser schema. Custom buckets stay as they are.
pub(crate) fn copy_to_schema(h: &Histogram, schema: i32) -> Histogram {
    let mut out = h.clone();
    if !h.has_custom_buckets() && schema < h.schema {
        let mut sparse = Sparse::of(h);
        sparse.coarsen(h.schema, schema);
        sparse.store(&mut out);
        out.schema = schema;
    }
    out
}

pub(crate) fn add(a: &Histogram, b: &Histogram) -> Result<(Histogram, CombineNotes), MixedSchemas> {
    combine(a, b, 1.0)
}

pub(crate) fn sub(a: &Histogram, b: &Histogram) -> Result<(Histogram, CombineNotes), MixedSchemas> {
    combine(a, b, -1.0)
}

fn combine(
    a: &Histogram,
    b: &Histogram,
    sign: f64,
) -> Result<(Histogram, CombineNotes), MixedSchemas> {
    let pair = align(a, b)?;
    let mut notes = CombineNotes { reconciled: pair.reconciled, ..Default::default() };
    let mut buckets = pair.left;
    buckets.add(&pair.right, sign);
    let mut out = Histogram {
        counter_reset_hint: combined_hint(a, b, &mut notes),
        schema: pair.schema,
        zero_threshold: pair.zero_threshold,
        zero_count: pair.left_zero + sign * pair.right_zero,
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        custom_values: pair.custom_values,
        ..Default::default()
    };
    buckets.store(&mut out);
    Ok((out, notes))
}

fn combined_hint(a: &Histogram, b: &Histogram, notes: &mut CombineNotes) -> CounterResetHint {
    use CounterResetHint::{Gauge, Unknown};
    match (a.counter_reset_hint, b.counter_reset_hint) {
        (x, y) if x == y => x,
        (Gauge, _) | (_, Gauge) => Gauge,
        (Unknown, _) | (_, Unknown) => Unknown,
        _ => {
            notes.reset_collision = true;
            Unknown
        }
    }
}

/// Two histograms over the same buckets.
struct Aligned {
    schema: i32,
    zero_threshold: f64,
    left: Sparse,
    right: Sparse,
    left_zero: f64,
    right_zero: f64,
    custom_values: Vec<f64>,
    reconciled: bool,
}

fn align(a: &Histogram, b: &Histogram) -> Result<Aligned, MixedSchemas> {
    if a.has_custom_buckets() != b.has_custom_buckets() {
        return Err(MixedSchemas);
    }
    let (mut left, mut right) = (Sparse::of(a), Sparse::of(b));
    let mut aligned = Aligned {
        schema: a.schema.min(b.schema),
        zero_threshold: a.zero_threshold,
        left: Sparse::default(),
        right: Sparse::default(),
        left_zero: a.zero_count,
        right_zero: b.zero_count,
        custom_values: a.custom_values.clone(),
        reconciled: false,
    };
    if a.has_custom_buckets() {
        if a.custom_values != b.custom_values {
            let common: Vec<f64> =
                a.custom_values.iter().copied().filter(|v| b.custom_values.contains(v)).collect();
            rebucket(&mut left, &a.custom_values, &common);
            rebucket(&mut right, &b.custom_values, &common);
            aligned.custom_values = common;
            aligned.reconciled = true;
        }
    } else {
        let (mut thr_a, mut thr_b) = (a.zero_threshold, b.zero_threshold);
        while thr_a != thr_b {
            if thr_a > thr_b {
                let (moved, threshold) = right.widen_zero(b.schema, thr_a);
                aligned.right_zero += moved;
                thr_b = threshold;
            } else {
                let (moved, threshold) = left.widen_zero(a.schema, thr_b);
                aligned.left_zero += moved;
                thr_a = threshold;
            }
        }
        aligned.zero_threshold = thr_a;
        left.coarsen(a.schema, aligned.schema);
        right.coarsen(b.schema, aligned.schema);
    }
    aligned.left = left;
    aligned.right = right;
    Ok(aligned)
}

/// `h` in the layout that two aligned histograms share. It must have the layout that the left one
/// had.
fn conform(h: &Histogram, to: &Aligned) -> Histogram {
    let mut out = Histogram {
        schema: to.schema,
        zero_threshold: to.zero_threshold,
        custom_values: to.custom_values.clone(),
        ..h.clone()
    };
    let mut sparse = Sparse::of(h);
    if h.has_custom_buckets() {
        rebucket(&mut sparse, &h.custom_values, &to.custom_values);
    } else {
        if h.zero_threshold != to.zero_threshold {
            out.zero_count += sparse.widen_zero(h.schema, to.zero_threshold).0;
        }
        sparse.coarsen(h.schema, to.schema);
    }
    sparse.store(&mut out);
    out
}

/// Moves buckets of custom bounds `from` to the coarser bounds `to` (a subset).
fn rebucket(sparse: &mut Sparse, from: &[f64], to: &[f64]) {
    for (index, _) in &mut sparse.positive {
        let upper = usize::try_from(*index).ok().and_then(|i| from.get(i).copied());
        let at = upper.map_or(to.len(), |upper| to.partition_point(|bound| *bound < upper));
        *index = i32::try_from(at).unwrap_or(i32::MAX);
    }
    merge_equal(&mut sparse.positive);
}

fn copy_scaled(h: &Histogram, factor: f64) -> Histogram {
    let mut out = h.clone();
    let buckets = out.positive_buckets.iter_mut().chain(&mut out.negative_buckets);
    for value in buckets {
        *value *= factor;
    }
    out.zero_count *= factor;
    out.count *= factor;
    out.sum *= factor;
    out
}

/// Multiplies by a number.
pub(crate) fn scale(h: &Histogram, factor: f64) -> Histogram {
    let mut out = copy_scaled(h, factor);
    if factor < 0.0 {
        out.counter_reset_hint = CounterResetHint::Gauge;
    }
    out
}

/// Divides by a number. Division by zero leaves no buckets.
pub(crate) fn divide(h: &Histogram, divisor: f64) -> Histogram {
    let mut out = h.clone();
    out.zero_count /= divisor;
    out.count /= divisor;
    out.sum /= divisor;
    if divisor < 0.0 {
        out.counter_reset_hint = CounterResetHint::Gauge;
    }
    if divisor == 0.0 {
        Sparse::default().store(&mut out);
        return out;
    }
    for value in out.positive_buckets.iter_mut().chain(&mut out.negative_buckets) {
        *value /= divisor;
    }
    out
}

/// Whether both mean the same: equal counts, sums and buckets, whatever the layout.
pub(crate) fn equals(a: &Histogram, b: &Histogram) -> bool {
    let same = |x: f64, y: f64| x.to_bits() == y.to_bits() || x == y;
    let sides = |h: &Histogram| {
        let sparse = Sparse::of(h);
        (gather(&sparse.positive), gather(&sparse.negative))
    };
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && (a.has_custom_buckets() || same(a.zero_threshold, b.zero_threshold))
        && same(a.zero_count, b.zero_count)
        && a.custom_values == b.custom_values
        && sides(a) == sides(b)
}

/// The upper bounds of a histogram with custom buckets made from classic buckets.
pub(crate) fn from_classic(bounds: &[f64], cumulative: &[f64], count: f64, sum: f64) -> Histogram {
    let mut sparse = Sparse::default();
    let mut before = 0.0;
    for (i, total) in cumulative.iter().chain([&count]).enumerate() {
        if i > bounds.len() {
            break;
        }
        sparse.positive.push((i as i32, total - before));
        before = *total;
    }
    let mut out = Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum,
        custom_values: bounds.to_vec(),
        ..Default::default()
    };
    sparse.store(&mut out);
    out
}
