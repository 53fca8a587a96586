//! Sums of many histograms with rounding errors carried along, as sums of floats have them.

use skopos_model::{CounterResetHint, Histogram};

use super::{MixedSchemas, Sparse, align, combined_hint, conform, copy_scaled, merge_equal};
use crate::eval::KahanSum;

/// A running sum.
#[derive(Clone, Debug)]
pub(crate) struct HistogramSum {
    /// The sum so far.
    total: Histogram,
    /// What rounding took from it, in the same layout.
    lost: Histogram,
    count: usize,
    /// Custom bounds differed, so only the common ones are left.
    pub(crate) reconciled: bool,
    reset: bool,
    not_reset: bool,
}

impl HistogramSum {
    pub(crate) fn starting_at(h: &Histogram) -> Self {
        let mut lost = copy_scaled(h, 0.0);
        (lost.sum, lost.count, lost.zero_count) = (0.0, 0.0, 0.0);
        let mut sum = Self {
            total: h.clone(),
            lost,
            count: 1,
            reconciled: false,
            reset: false,
            not_reset: false,
        };
        sum.see(h);
        sum
    }

    fn see(&mut self, h: &Histogram) {
        self.reset |= h.counter_reset_hint == CounterResetHint::CounterReset;
        self.not_reset |= h.counter_reset_hint == CounterResetHint::NotCounterReset;
    }

    /// Whether some said "reset" and others "not reset".
    pub(crate) fn hints_collide(&self) -> bool {
        self.reset && self.not_reset
    }

    pub(crate) fn add(&mut self, h: &Histogram) -> Result<(), MixedSchemas> {
        self.see(h);
        self.count += 1;
        let pair = align(&self.total, h)?;
        self.reconciled |= pair.reconciled;
        let mut lost = conform(&self.lost, &pair);
        let hint = combined_hint(&self.total, h, &mut Default::default());
        let mut next = Histogram {
            counter_reset_hint: hint,
            schema: pair.schema,
            zero_threshold: pair.zero_threshold,
            custom_values: pair.custom_values.clone(),
            ..Default::default()
        };
        next.count = careful(self.total.count, h.count, &mut lost.count);
        next.sum = careful(self.total.sum, h.sum, &mut lost.sum);
        next.zero_count = careful(pair.left_zero, pair.right_zero, &mut lost.zero_count);
        let mut errors = Sparse::of(&lost);
        let sums = Sparse {
            positive: careful_buckets(
                &pair.left.positive,
                &pair.right.positive,
                &mut errors.positive,
            ),
            negative: careful_buckets(
                &pair.left.negative,
                &pair.right.negative,
                &mut errors.negative,
            ),
        };
        sums.store(&mut next);
        errors.store(&mut lost);
        self.total = next;
        self.lost = lost;
        Ok(())
    }

    /// The sum.
    pub(crate) fn sum(&self) -> Histogram {
        let mut out = self.total.clone();
        let corrected =
            |total: f64, lost: f64| if total.is_infinite() { total } else { total + lost };
        out.count = corrected(out.count, self.lost.count);
        out.sum = corrected(out.sum, self.lost.sum);
        out.zero_count = corrected(out.zero_count, self.lost.zero_count);
        let (mut total, lost) = (Sparse::of(&self.total), Sparse::of(&self.lost));
        total.add(&lost, 1.0);
        total.store(&mut out);
        out
    }

    /// The mean. `all` are the histograms summed up; they are read again when the sum overflowed.
    pub(crate) fn mean<'h>(&self, all: impl Iterator<Item = &'h Histogram>) -> Histogram {
        let count = self.count as f64;
        let sum = self.sum();
        let finite = |h: &Histogram| {
            let buckets = h.positive_buckets.iter().chain(&h.negative_buckets);
            [h.count, h.sum, h.zero_count].iter().chain(buckets).all(|v| v.is_finite())
        };
        let mut scaled: Option<HistogramSum> = None;
        if !finite(&sum) {
            for h in all {
                if !finite(h) {
                    return super::divide(&sum, count);
                }
                let part = super::divide(h, count);
                let added = match &mut scaled {
                    Some(total) => total.add(&part).is_ok(),
                    None => {
                        scaled = Some(Self::starting_at(&part));
                        true
                    }
                };
                if !added {
                    return super::divide(&sum, count);
                }
            }
        }
        scaled.map_or_else(|| super::divide(&sum, count), |scaled| scaled.sum())
    }
}

/// `a + b`, with what rounding loses added to `lost`.
fn careful(a: f64, b: f64, lost: &mut f64) -> f64 {
    let mut sum = KahanSum::starting_at(a);
    sum.add(b);
    let (total, error) = sum.parts();
    *lost = if total.is_infinite() { 0.0 } else { *lost + error };
    total
}

fn careful_buckets(
    left: &[(i32, f64)],
    right: &[(i32, f64)],
    errors: &mut Vec<(i32, f64)>,
) -> Vec<(i32, f64)> {
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let (index, a, b) = match (left.peek(), right.peek()) {
            (Some((i, a)), Some((j, b))) if i == j => (*i, Some(*a), Some(*b)),
            (Some((i, a)), Some((j, _))) if i < j => (*i, Some(*a), None),
            (Some((i, a)), None) => (*i, Some(*a), None),
            (_, Some((j, b))) => (*j, None, Some(*b)),
            (None, None) => break,
        };
        if a.is_some() {
            left.next();
        }
        if b.is_some() {
            right.next();
        }
        let mut error = 0.0;
        out.push((index, careful(a.unwrap_or(0.0), b.unwrap_or(0.0), &mut error)));
        if error != 0.0 {
            errors.push((index, error));
        }
    }
    errors.sort_by_key(|(index, _)| *index);
    merge_equal(errors);
    out
}
