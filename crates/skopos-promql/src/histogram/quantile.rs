//! Quantiles, fractions and moments estimated from native histograms.

use skopos_model::Histogram;

use super::{Bucket, buckets};

/// What NaN observations did to an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanRole {
    /// There are none.
    None,
    /// The result is NaN because of them.
    Result,
    /// The result is too high because of them.
    Skew,
}

/// The buckets with the zero bucket cut to the side that has observations.
fn one_sided(h: &Histogram) -> Vec<Bucket> {
    let mut all = buckets(h);
    if h.has_custom_buckets() {
        return all;
    }
    let has_negative = h.negative_buckets.iter().any(|c| *c != 0.0);
    let has_positive = h.positive_buckets.iter().any(|c| *c != 0.0);
    for bucket in all.iter_mut().filter(|b| b.is_zero) {
        if has_positive && !has_negative {
            bucket.lower = 0.0;
        } else if has_negative && !has_positive {
            bucket.upper = 0.0;
        }
    }
    all
}

/// The `q`-quantile.
pub(crate) fn quantile(q: f64, h: &Histogram) -> (f64, NanRole) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, NanRole::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, NanRole::None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, NanRole::None);
    }
    let mut all = one_sided(h);
    // NaN observations are counted nowhere but in `count`, so only ranks from below hold.
    let has_nan = h.sum.is_nan();
    let forward = has_nan || q < 0.5;
    let rank = if forward { q * h.count } else { (1.0 - q) * h.count };
    if !forward {
        all.reverse();
    }
    let (mut count, mut found) = (0.0, None);
    for bucket in all {
        count += bucket.count;
        found = Some(bucket);
        if count >= rank {
            break;
        }
    }
    let Some(mut bucket) = found else {
        // Observations in no bucket at all: only NaN is counted so.
        let role = if has_nan { NanRole::Result } else { NanRole::None };
        return (f64::NAN, role);
    };
    if h.has_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, NanRole::None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, NanRole::None);
        }
    }
    count = count.min(h.count);
    if count < rank {
        if has_nan {
            return (f64::NAN, NanRole::Result);
        }
        return (bucket.upper, NanRole::None);
    }
    let within = if forward { rank - (count - bucket.count) } else { count - rank };
    let portion = within / bucket.count;
    let counted: f64 = buckets(h).iter().map(|b| b.count).sum();
    let role = if has_nan && counted < h.count { NanRole::Skew } else { NanRole::None };
    if h.has_custom_buckets() || bucket.is_zero || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * portion, role);
    }
    let (log_lower, log_upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let value = if bucket.lower > 0.0 {
        (log_lower + (log_upper - log_lower) * portion).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - portion)).exp2()
    };
    (value, role)
}

/// How much of a bucket lies below `v`, from 0 to 1.
fn portion_below(custom: bool, bucket: Bucket, v: f64) -> f64 {
    let Bucket { mut lower, upper, is_zero, .. } = bucket;
    if v <= lower {
        return 0.0;
    }
    if v >= upper {
        return 1.0;
    }
    if custom {
        // Nothing can be interpolated over infinite width: all of it sits at the infinite end.
        if upper == f64::INFINITY {
            return 0.0;
        }
        if lower == f64::NEG_INFINITY {
            if upper <= 0.0 {
                return 1.0;
            }
            lower = 0.0;
            if v <= lower {
                return 0.0;
            }
        }
    }
    if custom || is_zero || (lower <= 0.0 && upper >= 0.0) {
        return (v - lower) / (upper - lower);
    }
    let (log_lower, log_upper, log_v) = (lower.abs().log2(), upper.abs().log2(), v.abs().log2());
    if lower > 0.0 {
        (log_v - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log_v - log_upper) / (log_lower - log_upper)
    }
}

/// The share of observations between `lower` and `upper`.
pub(crate) fn fraction(lower: f64, upper: f64, h: &Histogram) -> (f64, NanRole) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, NanRole::None);
    }
    let counted: f64 = buckets(h).iter().map(|b| b.count).sum();
    let role = if h.sum.is_nan() && counted < h.count { NanRole::Skew } else { NanRole::None };
    if lower >= upper {
        return (0.0, role);
    }
    let custom = h.has_custom_buckets();
    let all = one_sided(h);
    // Above all buckets lies everything that is a number, whether or not buckets account for it.
    let everything = if h.sum.is_nan() { counted } else { h.count };
    let rank = |v: f64| -> f64 {
        if all.iter().all(|b| v >= b.upper) {
            return everything;
        }
        let below: f64 = all.iter().map(|b| b.count * portion_below(custom, *b, v)).sum();
        below.min(h.count)
    };
    ((rank(upper) - rank(lower)) / h.count, role)
}

/// Variance around the mean, each bucket taken at its middle.
pub(crate) fn variance(h: &Histogram) -> f64 {
    let mean = h.sum / h.count;
    let mut total = crate::eval::KahanSum::default();
    for bucket in buckets(h) {
        // Unlike where buckets are cut, an infinitely wide bucket makes the variance infinite.
        let middle = match h.has_custom_buckets() {
            true => (bucket.lower + bucket.upper) / 2.0,
            false if bucket.upper.is_infinite() => f64::INFINITY,
            false => middle(false, bucket),
        };
        let delta = middle - mean;
        total.add(bucket.count * delta * delta);
    }
    total.value() / h.count
}

/// The value that stands for all observations of a bucket: arithmetic middle of custom buckets,
/// geometric of exponential ones, 0 for the zero bucket.
fn middle(custom: bool, bucket: Bucket) -> f64 {
    match (bucket.lower.is_infinite(), bucket.upper.is_infinite()) {
        (true, true) => return 0.0,
        (true, false) if bucket.upper <= 0.0 => return bucket.upper,
        (true, false) => return bucket.upper / 2.0,
        (false, true) => return bucket.lower,
        (false, false) => {}
    }
    if custom {
        return f64::midpoint(bucket.lower, bucket.upper);
    }
    if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        return 0.0;
    }
    let size = (bucket.lower * bucket.upper).sqrt();
    if bucket.upper < 0.0 { -size } else { size }
}

/// Count and estimated sum of the part of a bucket below (`keep_lower`) or above `bound`.
pub(super) fn split(h: &Histogram, bucket: Bucket, bound: f64, keep_lower: bool) -> (f64, f64) {
    let custom = h.has_custom_buckets();
    let below = portion_below(custom, bucket, bound);
    let kept = if keep_lower { below } else { 1.0 - below };
    if kept == 0.0 || bucket.count == 0.0 {
        return (0.0, 0.0);
    }
    let mut part = bucket;
    if kept < 1.0 || (bucket.lower < bound && bound < bucket.upper) {
        if keep_lower {
            part.upper = bound;
        } else {
            part.lower = bound;
        }
    }
    let count = bucket.count * kept;
    (count, count * middle(custom || bucket.is_zero, part))
}
