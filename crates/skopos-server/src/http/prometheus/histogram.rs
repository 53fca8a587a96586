//! Native histograms as Prometheus' JSON:
//! `{"count":"…","sum":"…","buckets":[[boundaries, "lower", "upper", "count"], …]}`.
//!
//! `boundaries` says which ends belong to the bucket: 0 the upper, 1 the lower, 2 none, 3 both.

use skopos_model::{BucketSpan, Histogram};

use crate::http::json::push_value;

struct Bucket {
    lower: f64,
    upper: f64,
    lower_inclusive: bool,
    upper_inclusive: bool,
    count: f64,
}

/// Appends a histogram. Empty buckets are left out.
pub(super) fn push_histogram(out: &mut String, histogram: &Histogram) {
    out.push_str("{\"count\":");
    push_value(out, histogram.count);
    out.push_str(",\"sum\":");
    push_value(out, histogram.sum);
    let mut open = ",\"buckets\":[";
    for bucket in buckets(histogram).iter().filter(|b| b.count != 0.0) {
        out.push_str(open);
        open = ",";
        let boundaries = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => '0',
            (true, false) => '1',
            (false, false) => '2',
            (true, true) => '3',
        };
        out.push('[');
        out.push(boundaries);
        for value in [bucket.lower, bucket.upper, bucket.count] {
            out.push(',');
            push_value(out, value);
        }
        out.push(']');
    }
    if open == "," {
        out.push(']');
    }
    out.push('}');
}

/// All buckets in ascending order.
fn buckets(h: &Histogram) -> Vec<Bucket> {
    let mut all = Vec::new();
    if h.has_custom_buckets() {
        for (index, count) in indexed(&h.positive_spans, &h.positive_buckets) {
            all.push(Bucket {
                lower: custom_bound(h, index.saturating_sub(1)),
                upper: custom_bound(h, index),
                lower_inclusive: index == 0,
                upper_inclusive: true,
                count,
            });
        }
        return all;
    }
    let bound = |index| exponential_bound(index, h.schema);
    let negative: Vec<_> = indexed(&h.negative_spans, &h.negative_buckets).collect();
    for (index, count) in negative.into_iter().rev() {
        // Nothing reaches into the zero bucket.
        let upper = (-bound(index.saturating_sub(1))).min(-h.zero_threshold);
        let lower = -bound(index);
        all.push(Bucket {
            lower,
            upper,
            lower_inclusive: lower < 0.0,
            upper_inclusive: upper > 0.0,
            count,
        });
    }
    if h.zero_count > 0.0 {
        all.push(Bucket {
            lower: -h.zero_threshold,
            upper: h.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: h.zero_count,
        });
    }
    for (index, count) in indexed(&h.positive_spans, &h.positive_buckets) {
        let lower = bound(index.saturating_sub(1)).max(h.zero_threshold);
        let upper = bound(index);
        all.push(Bucket {
            lower,
            upper,
            lower_inclusive: lower < 0.0,
            upper_inclusive: upper > 0.0,
            count,
        });
    }
    all
}

/// Counts with their bucket indices.
fn indexed<'a>(
    spans: &'a [BucketSpan],
    counts: &'a [f64],
) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0_i32;
    let indices = spans.iter().flat_map(move |span| {
        let first = next.saturating_add(span.offset);
        next = first.saturating_add(i32::try_from(span.length).unwrap_or(i32::MAX));
        first..next
    });
    indices.zip(counts.iter().copied())
}

fn custom_bound(h: &Histogram, index: i32) -> f64 {
    match usize::try_from(index) {
        Ok(index) => h.custom_values.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

/// `2^(index · 2^-schema)`; the largest float stands for infinity in the bucket that holds it.
fn exponential_bound(index: i32, schema: i32) -> f64 {
    let exponent = f64::from(index) * f64::from(-schema).exp2();
    if exponent == 1024.0 { f64::MAX } else { exponent.exp2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(h: &Histogram) -> String {
        let mut out = String::new();
        push_histogram(&mut out, h);
        out
    }

    #[test]
    fn boundaries_say_which_ends_belong() {
        let h = Histogram {
            schema: 0,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 12.5,
            sum: f64::NAN,
            positive_spans: vec![
                BucketSpan { offset: 0, length: 2 },
                BucketSpan { offset: 1, length: 1 },
            ],
            positive_buckets: vec![1.0, 0.0, 4.0],
            negative_spans: vec![BucketSpan { offset: 1, length: 2 }],
            negative_buckets: vec![3.0, 2.5],
            ..Histogram::default()
        };
        let want = concat!(
            r#"{"count":"12.5","sum":"NaN","buckets":["#,
            r#"[1,"-4","-2","2.5"],[1,"-2","-1","3"],[3,"-0.001","0.001","2"],"#,
            r#"[0,"0.5","1","1"],[0,"4","8","4"]]}"#
        );
        assert_eq!(printed(&h), want);
    }

    #[test]
    fn custom_bounds_begin_and_end_at_infinity() {
        let h = Histogram {
            schema: skopos_model::histogram::CUSTOM_BUCKETS_SCHEMA,
            count: 6.0,
            sum: 1.0,
            positive_spans: vec![BucketSpan { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            custom_values: vec![0.5, 1.0],
            ..Histogram::default()
        };
        let want = concat!(
            r#"{"count":"6","sum":"1","buckets":["#,
            r#"[3,"-Inf","0.5","1"],[0,"0.5","1","2"],[0,"1","+Inf","3"]]}"#
        );
        assert_eq!(printed(&h), want);
        assert_eq!(printed(&Histogram::default()), r#"{"count":"0","sum":"0"}"#);
    }
}
