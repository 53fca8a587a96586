//! A native histogram as JSON: `{"schema":3,"zero_threshold":…,"zero_count":…,"buckets":[[lower,
//! upper, count],…]}`.
//!
//! Buckets are those with observations, ascending by bounds, the zero bucket among them. Lower
//! bounds of positive buckets are open and upper ones closed, of negative buckets the other way
//! round, as in Prometheus. An unbounded side is `null`, since JSON has no infinity.

use skopos_model::{BucketSpan, Histogram};

/// The text.
pub(super) fn json(histogram: &Histogram) -> String {
    let mut buckets = Vec::new();
    let negative = places(&histogram.negative_spans, &histogram.negative_buckets);
    for (index, count) in negative.into_iter().rev() {
        let (lower, upper) = bounds(histogram, index);
        buckets.push((-upper, -lower, count));
    }
    if histogram.zero_count != 0.0 {
        let width = histogram.zero_threshold;
        buckets.push((-width, width, histogram.zero_count));
    }
    for (index, count) in places(&histogram.positive_spans, &histogram.positive_buckets) {
        let (lower, upper) = bounds(histogram, index);
        buckets.push((lower, upper, count));
    }
    let mut text = format!("{{\"schema\":{}", histogram.schema);
    text.push_str(",\"zero_threshold\":");
    push(&mut text, histogram.zero_threshold);
    text.push_str(",\"zero_count\":");
    push(&mut text, histogram.zero_count);
    text.push_str(",\"buckets\":[");
    for (i, (lower, upper, count)) in buckets.into_iter().filter(|b| b.2 != 0.0).enumerate() {
        text.push_str(if i == 0 { "[" } else { ",[" });
        push(&mut text, lower);
        text.push(',');
        push(&mut text, upper);
        text.push(',');
        push(&mut text, count);
        text.push(']');
    }
    text.push_str("]}");
    text
}

fn push(text: &mut String, number: f64) {
    if number.is_finite() {
        text.push_str(&number.to_string());
    } else {
        text.push_str("null");
    }
}

/// Index and count of every bucket, ascending.
fn places(spans: &[BucketSpan], counts: &[f64]) -> Vec<(i64, f64)> {
    let mut counts = counts.iter();
    let mut index = 0_i64;
    let mut out = Vec::with_capacity(counts.len());
    for span in spans {
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            out.push((index, *count));
            index += 1;
        }
    }
    out
}

/// Lower and upper bound of a positive bucket.
fn bounds(histogram: &Histogram, index: i64) -> (f64, f64) {
    if histogram.has_custom_buckets() {
        let bound = |index: i64| {
            usize::try_from(index).ok().and_then(|i| histogram.custom_values.get(i)).copied()
        };
        return (
            bound(index - 1).unwrap_or(f64::NEG_INFINITY),
            bound(index).unwrap_or(f64::INFINITY),
        );
    }
    // A bucket's width is a factor of 2^(2^-schema).
    let power = |index: i64| (index as f64 * (-f64::from(histogram.schema)).exp2()).exp2();
    (power(index - 1), power(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_spelt_out() {
        let exponential = Histogram {
            schema: 0,
            zero_threshold: 0.5,
            zero_count: 2.0,
            positive_spans: vec![
                BucketSpan { offset: 0, length: 2 },
                BucketSpan { offset: 1, length: 1 },
            ],
            positive_buckets: vec![1.0, 0.0, 3.0],
            negative_spans: vec![BucketSpan { offset: 1, length: 1 }],
            negative_buckets: vec![4.0],
            ..Histogram::default()
        };
        assert_eq!(
            json(&exponential),
            r#"{"schema":0,"zero_threshold":0.5,"zero_count":2,"buckets":[[-2,-1,4],[-0.5,0.5,2],[0.5,1,1],[4,8,3]]}"#
        );
        let custom = Histogram {
            schema: -53,
            custom_values: vec![0.1, 1.0],
            positive_spans: vec![BucketSpan { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            ..Histogram::default()
        };
        assert_eq!(
            json(&custom),
            r#"{"schema":-53,"zero_threshold":0,"zero_count":0,"buckets":[[null,0.1,1],[0.1,1,2],[1,null,3]]}"#
        );
    }
}
