//! Data points that become float samples: numbers, classic histograms, summaries.

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};
use skopos_model::{STALE_NAN, SampleValue, Temporality};

use super::{Point, Writer, series};
use crate::float::canonical_float;
use crate::report::Refusal;

impl Point {
    fn float(&self, value: f64) -> SampleValue {
        SampleValue::Float(if self.stale { STALE_NAN } else { value })
    }
}

impl Writer<'_> {
    /// Gauges and sums. Only counts have a start; that of a gauge says nothing.
    pub(super) fn numbers(
        &mut self,
        family: &str,
        points: Vec<NumberDataPoint>,
        temporality: Temporality,
        monotonic: bool,
    ) {
        let counts = monotonic || temporality == Temporality::Delta;
        for proto in points {
            self.point(family, |writer| {
                let start = if counts { proto.start_time_unix_nano } else { 0 };
                let point = writer.times(proto.time_unix_nano, start, proto.flags, temporality)?;
                let value = match proto.value {
                    Some(Value::AsDouble(value)) => value,
                    Some(Value::AsInt(value)) => value as f64,
                    None if point.stale => STALE_NAN,
                    None => return Err(Refusal::new("no_value", "data point without a value")),
                };
                let pairs = writer.labels(proto.attributes)?;
                let exemplars = writer.exemplars(proto.exemplars, point.timestamp_ms);
                writer.push(series(family, "", &pairs, None), point, point.float(value), exemplars);
                Ok(())
            });
        }
    }

    /// Histograms with explicit bounds: cumulative `_bucket` series, `_sum` and `_count`.
    pub(super) fn histograms(
        &mut self,
        family: &str,
        points: Vec<HistogramDataPoint>,
        temporality: Temporality,
    ) {
        for proto in points {
            self.point(family, |writer| writer.histogram(family, proto, temporality));
        }
    }

    fn histogram(
        &mut self,
        family: &str,
        proto: HistogramDataPoint,
        temporality: Temporality,
    ) -> Result<(), Refusal> {
        let start = proto.start_time_unix_nano;
        let point = self.times(proto.time_unix_nano, start, proto.flags, temporality)?;
        let (bounds, counts) = (&proto.explicit_bounds, &proto.bucket_counts);
        let max = self.converter.limits.buckets_per_histogram;
        if counts.len().max(bounds.len()) > max {
            let found = counts.len().max(bounds.len());
            return Err(Refusal::limit("buckets_per_histogram", max, found, "histogram"));
        }
        let both_empty = counts.is_empty() && bounds.is_empty();
        if !both_empty && counts.len() != bounds.len() + 1 && !point.stale {
            let (bounds, counts) = (bounds.len(), counts.len());
            let message =
                format!("{bounds} bounds need {} bucket counts, found {counts}", bounds + 1);
            return Err(Refusal::new("mismatched_buckets", message));
        }
        let finite = bounds.iter().all(|bound| bound.is_finite());
        if !finite || !bounds.is_sorted_by(|a, b| a < b) {
            return Err(Refusal::new("invalid_bounds", "bounds must be finite and ascending"));
        }
        let pairs = self.labels(proto.attributes)?;
        let mut exemplars = self.exemplars(proto.exemplars, point.timestamp_ms);
        exemplars.sort_by(|a, b| a.value.total_cmp(&b.value));
        let mut exemplars = exemplars.into_iter().peekable();

        let mut so_far = 0_u64;
        for (i, bound) in bounds.iter().enumerate() {
            so_far = so_far.saturating_add(counts.get(i).copied().unwrap_or(0));
            let le = canonical_float(*bound);
            let labels = series(family, "_bucket", &pairs, Some(("le", &le)));
            let mut within = Vec::new();
            while let Some(exemplar) = exemplars.next_if(|e| e.value <= *bound) {
                within.push(exemplar);
            }
            self.push(labels, point, point.float(so_far as f64), within);
        }
        let count = point.float(proto.count as f64);
        let labels = series(family, "_bucket", &pairs, Some(("le", "+Inf")));
        self.push(labels, point, count.clone(), exemplars.collect());
        if let Some(sum) = proto.sum.or(point.stale.then_some(STALE_NAN)) {
            self.push(series(family, "_sum", &pairs, None), point, point.float(sum), Vec::new());
        }
        self.push(series(family, "_count", &pairs, None), point, count, Vec::new());
        Ok(())
    }

    /// Summaries: one series per quantile, `_sum` and `_count`.
    pub(super) fn summaries(&mut self, family: &str, points: Vec<SummaryDataPoint>) {
        for proto in points {
            self.point(family, |writer| {
                let start = proto.start_time_unix_nano;
                let temporality = Temporality::Cumulative;
                let point = writer.times(proto.time_unix_nano, start, proto.flags, temporality)?;
                let max = writer.converter.limits.buckets_per_histogram;
                let found = proto.quantile_values.len();
                if found > max {
                    return Err(Refusal::limit("buckets_per_histogram", max, found, "summary"));
                }
                let quantiles = &proto.quantile_values;
                if let Some(bad) = quantiles.iter().find(|q| !(0.0..=1.0).contains(&q.quantile)) {
                    let message = format!("quantile {} is not in 0 to 1", bad.quantile);
                    return Err(Refusal::new("invalid_quantile", message));
                }
                let pairs = writer.labels(proto.attributes)?;
                for entry in quantiles {
                    let quantile = canonical_float(entry.quantile);
                    let labels = series(family, "", &pairs, Some(("quantile", &quantile)));
                    // A quantile is no count: it neither starts nor adds up.
                    let point = Point { start_timestamp_ms: None, ..point };
                    writer.push(labels, point, point.float(entry.value), Vec::new());
                }
                let (sum, count) = (point.float(proto.sum), point.float(proto.count as f64));
                writer.push(series(family, "_sum", &pairs, None), point, sum, Vec::new());
                writer.push(series(family, "_count", &pairs, None), point, count, Vec::new());
                Ok(())
            });
        }
    }
}
