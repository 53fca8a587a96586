//! Exponential histograms into native histograms.
//!
//! OTLP's bucket `i` covers `(base^i, base^(i+1)]`, Prometheus' bucket `i` covers
//! `(base^(i-1), base^i]`: indexes grow by one. Scales above 8, Prometheus' finest schema, are
//! merged down (each step joins two neighbours, so an index is halved, rounding down); scales
//! below −4 cannot be made finer and are rejected. A zero threshold of 0 becomes 1e-128, as in
//! Prometheus' OTLP receiver, because a zero bucket must have a width.

use std::sync::Arc;

use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use skopos_model::{BucketSpan, CounterResetHint, Histogram, STALE_NAN, SampleValue, Temporality};

use super::{Writer, series};
use crate::report::Refusal;

/// The width of a zero bucket that has none.
const DEFAULT_ZERO_THRESHOLD: f64 = 1e-128;

/// Empty buckets between two others that are cheaper to write out than to skip.
const MAX_FILLED_GAP: i64 = 2;

impl Writer<'_> {
    pub(super) fn exponentials(
        &mut self,
        family: &str,
        points: Vec<ExponentialHistogramDataPoint>,
        temporality: Temporality,
    ) {
        for proto in points {
            self.point(family, |writer| {
                let start = proto.start_time_unix_nano;
                let point = writer.times(proto.time_unix_nano, start, proto.flags, temporality)?;
                let max = writer.converter.limits.buckets_per_histogram;
                let histogram = match point.stale {
                    true => Histogram { sum: STALE_NAN, count: STALE_NAN, ..Default::default() },
                    false => histogram(&proto, max)?,
                };
                let pairs = writer.labels(proto.attributes)?;
                let exemplars = writer.exemplars(proto.exemplars, point.timestamp_ms);
                let value = SampleValue::Histogram(Arc::new(histogram));
                writer.push(series(family, "", &pairs, None), point, value, exemplars);
                Ok(())
            });
        }
    }
}

fn histogram(
    proto: &ExponentialHistogramDataPoint,
    max_buckets: usize,
) -> Result<Histogram, Refusal> {
    if proto.scale < -4 {
        let message = format!("scale {} is below -4, the coarsest schema", proto.scale);
        return Err(Refusal::new("unsupported_scale", message));
    }
    if !(proto.zero_threshold >= 0.0 && proto.zero_threshold.is_finite()) {
        let message = format!("zero threshold {} is not a width", proto.zero_threshold);
        return Err(Refusal::new("invalid_zero_threshold", message));
    }
    let buckets = |buckets: &Option<Buckets>| {
        buckets.as_ref().map_or(0, |buckets| buckets.bucket_counts.len())
    };
    let found = buckets(&proto.positive) + buckets(&proto.negative);
    if found > max_buckets {
        let limit = "buckets_per_histogram";
        return Err(Refusal::limit(limit, max_buckets, found, "exponential histogram"));
    }
    let counted = [&proto.positive, &proto.negative]
        .into_iter()
        .flatten()
        .flat_map(|buckets| &buckets.bucket_counts)
        .fold(u128::from(proto.zero_count), |sum, count| sum + u128::from(*count));
    // Observations of NaN are in the count but in no bucket; the sum is NaN then.
    let sum_is_nan = proto.sum.is_some_and(f64::is_nan);
    let total = u128::from(proto.count);
    if counted > total || (counted < total && !sum_is_nan) {
        let message = format!("count is {total}, but the buckets hold {counted}");
        return Err(Refusal::new("mismatched_count", message));
    }
    let schema = proto.scale.min(8);
    let shift = u32::try_from(proto.scale - schema).unwrap_or(0);
    let (positive_spans, positive_buckets) = spans(proto.positive.as_ref(), shift)?;
    let (negative_spans, negative_buckets) = spans(proto.negative.as_ref(), shift)?;
    let width = proto.zero_threshold;
    Ok(Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema,
        zero_threshold: if width > 0.0 { width } else { DEFAULT_ZERO_THRESHOLD },
        zero_count: proto.zero_count as f64,
        count: proto.count as f64,
        sum: proto.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        custom_values: Vec::new(),
    })
}

fn spans(buckets: Option<&Buckets>, shift: u32) -> Result<(Vec<BucketSpan>, Vec<f64>), Refusal> {
    let (mut spans, mut counts) = (Vec::<BucketSpan>::new(), Vec::<f64>::new());
    let Some(buckets) = buckets else { return Ok((spans, counts)) };
    let out_of_range = |_| Refusal::new("invalid_bucket_offset", "bucket index is out of range");
    let mut last = None;
    for (i, &count) in buckets.bucket_counts.iter().enumerate() {
        if count == 0 {
            continue;
        }
        let position = i64::from(buckets.offset) + i64::try_from(i).unwrap_or(i64::MAX);
        // Beyond 63 steps every index is already 0 or -1.
        let index = (position >> shift.min(63)) + 1;
        match (last, spans.last_mut(), counts.last_mut()) {
            (Some(last), _, Some(bucket)) if index == last => *bucket += count as f64,
            (Some(last), Some(span), _) if index - last - 1 <= MAX_FILLED_GAP => {
                let empty = usize::try_from(index - last - 1).unwrap_or(0);
                counts.resize(counts.len() + empty, 0.0);
                span.length += empty as u32;
                counts.push(count as f64);
                span.length += 1;
            }
            _ => {
                let offset = last.map_or(index, |last| index - last - 1);
                let offset = i32::try_from(offset).map_err(out_of_range)?;
                i32::try_from(index).map_err(out_of_range)?;
                spans.push(BucketSpan { offset, length: 1 });
                counts.push(count as f64);
            }
        }
        last = Some(index);
    }
    Ok((spans, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_skip_long_gaps_and_fill_short_ones() {
        let layout = |offset, counts: &[u64], shift| {
            let buckets = Buckets { offset, bucket_counts: counts.to_vec() };
            let (spans, counts) = spans(Some(&buckets), shift).unwrap();
            let spans: Vec<_> = spans.iter().map(|s| (s.offset, s.length)).collect();
            (spans, counts)
        };
        assert_eq!(layout(0, &[1, 2], 0), (vec![(1, 2)], vec![1.0, 2.0]));
        assert_eq!(layout(-3, &[0, 1, 0, 0, 2], 0), (vec![(-1, 4)], vec![1.0, 0.0, 0.0, 2.0]));
        assert_eq!(layout(5, &[1, 0, 0, 0, 2], 0), (vec![(6, 1), (3, 1)], vec![1.0, 2.0]));
        // Two to one: indexes -3..=1 become -2, -1, -1, 0, 0.
        assert_eq!(layout(-3, &[1, 2, 3, 4, 5], 1), (vec![(-1, 3)], vec![1.0, 5.0, 9.0]));
        assert_eq!(layout(-3, &[1, 2, 3, 4, 5], 70), (vec![(0, 2)], vec![6.0, 9.0]));
        assert_eq!(layout(7, &[0, 0], 0), (vec![], vec![]));
    }

    #[test]
    fn extreme_offsets_are_refused() {
        let buckets = Buckets { offset: i32::MAX, bucket_counts: vec![1] };
        assert_eq!(spans(Some(&buckets), 0).unwrap_err().reason, "invalid_bucket_offset");
    }
}
