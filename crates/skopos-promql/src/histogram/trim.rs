//! Cutting observations off: the operators `</` and `>/`.

use skopos_model::Histogram;

use super::{Bucket, Sparse, exponential_bounds, quantile, stored_buckets};

/// The histogram without observations above (`keep_lower`) or below `bound`; buckets that hold it
/// are split as quantiles interpolate.
pub(crate) fn trim(h: &Histogram, bound: f64, keep_lower: bool) -> Histogram {
    let mut out = h.clone();
    let mut sparse = Sparse::of(h);
    let (no_positive, no_negative) = (
        sparse.positive.iter().all(|(_, c)| *c == 0.0),
        sparse.negative.iter().all(|(_, c)| *c == 0.0),
    );
    let mut sum = 0.0;
    let mut kept = |bucket: Bucket| -> f64 {
        let (count, part_sum) = quantile::split(h, bucket, bound, keep_lower);
        sum += part_sum;
        count
    };
    if bound.is_nan() {
        let mut empty = Histogram { counter_reset_hint: h.counter_reset_hint, ..h.clone() };
        Sparse::default().store(&mut empty);
        (empty.count, empty.sum, empty.zero_count) = (0.0, f64::NAN, 0.0);
        return empty;
    }
    if h.has_custom_buckets() {
        for (index, count) in &mut sparse.positive {
            let at = |i: i32| usize::try_from(i).ok().and_then(|i| h.custom_values.get(i).copied());
            let lower = if *index <= 0 {
                f64::NEG_INFINITY
            } else {
                at(*index - 1).unwrap_or(f64::INFINITY)
            };
            let upper = at(*index).unwrap_or(f64::INFINITY);
            *count = kept(Bucket { lower, upper, count: *count, is_zero: false });
        }
    } else {
        for (index, count) in &mut sparse.negative {
            let (small, large) = exponential_bounds(*index, h.schema);
            *count = kept(Bucket { lower: -large, upper: -small, count: *count, is_zero: false });
        }
        for (index, count) in &mut sparse.positive {
            let (lower, upper) = exponential_bounds(*index, h.schema);
            *count = kept(Bucket { lower, upper, count: *count, is_zero: false });
        }
        let (mut lower, mut upper) = (-h.zero_threshold, h.zero_threshold);
        if no_negative && !no_positive {
            lower = 0.0;
        } else if no_positive && !no_negative {
            upper = 0.0;
        }
        out.zero_count = kept(Bucket { lower, upper, count: h.zero_count, is_zero: true });
    }
    out.count = out.zero_count
        + sparse.positive.iter().chain(&sparse.negative).map(|(_, count)| count).sum::<f64>();
    let total: f64 = stored_buckets(h).iter().map(|b| b.count).sum();
    // Untouched histograms keep their exact sum, and observations that are in no bucket; others
    // get the estimate.
    if (out.count - total).abs() <= 1e-12 * total.abs() {
        (out.count, out.sum) = (h.count, h.sum);
    } else {
        out.sum = sum;
    }
    sparse.store(&mut out);
    out
}
