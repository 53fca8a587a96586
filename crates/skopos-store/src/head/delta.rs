//! Adds deltas up, so that everything stored is cumulative.
//!
//! Constraints: sums advance in `prepare`, before the samples can be read, because the next batch
//! may be prepared while this one is still on its way to the disk. A delta that is not newer than
//! its sum is refused: it may be a repeat, and adding it twice would be worse than losing it. The
//! sums need no record of their own: after a restart the newest stored sample of the series is the
//! sum.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use skopos_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use skopos_model::{BucketSpan, CounterResetHint, Histogram, Labels, Sample, SampleValue};

/// The sums of all series whose senders count in deltas.
#[derive(Default)]
pub(crate) struct DeltaSums(Mutex<HashMap<Labels, Sample>>);

impl DeltaSums {
    /// Begins anew from what is stored.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Turns the deltas in `samples` into sums, in place, and removes those that are not newer than
    /// the sum before; returns how many. `stored` yields the series' newest stored sample.
    pub(crate) fn accumulate(
        &self,
        labels: &Labels,
        samples: &mut Vec<Sample>,
        stored: impl FnOnce() -> Option<Sample>,
    ) -> u64 {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = sums.get(labels).cloned().or_else(stored);
        let before = samples.len();
        samples.sort_by_key(|sample| sample.timestamp_ms);
        samples.retain_mut(|sample| {
            let newer = sum.as_ref().is_none_or(|sum| sum.timestamp_ms < sample.timestamp_ms);
            if newer && !sample.value.is_stale() {
                if let Some(sum) = &sum {
                    sample.value = add(&sum.value, &sample.value);
                }
                sum = Some(sample.clone());
            }
            newer
        });
        if let Some(sum) = sum {
            sums.insert(labels.clone(), sum);
        }
        (before - samples.len()) as u64
    }
}

/// The sum of two values. When they cannot be added (a number and a histogram, other bucket
/// bounds) the sum starts anew with `delta`, and a histogram says so.
fn add(sum: &SampleValue, delta: &SampleValue) -> SampleValue {
    match (sum, delta) {
        (SampleValue::Float(sum), SampleValue::Float(delta)) => SampleValue::Float(sum + delta),
        (SampleValue::Histogram(sum), SampleValue::Histogram(delta)) => {
            let added = add_histograms(sum, delta).unwrap_or_else(|| Histogram {
                counter_reset_hint: CounterResetHint::CounterReset,
                ..Histogram::clone(delta)
            });
            SampleValue::Histogram(Arc::new(added))
        }
        (_, delta) => delta.clone(),
    }
}

/// The sum of two histograms at the coarser resolution of the two; `None` when their zero
/// thresholds or custom bounds differ.
fn add_histograms(a: &Histogram, b: &Histogram) -> Option<Histogram> {
    let custom = a.has_custom_buckets() || b.has_custom_buckets();
    if a.zero_threshold != b.zero_threshold
        || (custom && (a.schema != b.schema || a.custom_values != b.custom_values))
    {
        return None;
    }
    let schema = a.schema.min(b.schema);
    let side = |spans: fn(&Histogram) -> (&[BucketSpan], &[f64])| {
        let mut buckets = BTreeMap::new();
        for histogram in [a, b] {
            let (spans, counts) = spans(histogram);
            let shift = if custom { 0 } else { (histogram.schema - schema) as u32 };
            for (index, count) in indexes(spans).zip(counts) {
                *buckets.entry(coarser(index, shift)).or_insert(0.0) += count;
            }
        }
        to_spans(&buckets)
    };
    let (positive_spans, positive_buckets) = side(|h| (&h.positive_spans, &h.positive_buckets));
    let (negative_spans, negative_buckets) = side(|h| (&h.negative_spans, &h.negative_buckets));
    debug_assert!(schema >= -4 || schema == CUSTOM_BUCKETS_SCHEMA);
    Some(Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema,
        zero_threshold: a.zero_threshold,
        zero_count: a.zero_count + b.zero_count,
        count: a.count + b.count,
        sum: a.sum + b.sum,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        custom_values: a.custom_values.clone(),
    })
}

/// Bucket `i` of a schema lies in bucket `ceil(i / 2)` of the next coarser one, because the upper
/// bound of a bucket is inclusive.
fn coarser(index: i64, steps: u32) -> i64 {
    let divisor = 1_i64 << steps;
    (index + divisor - 1).div_euclid(divisor)
}

/// Indexes of the buckets that spans describe.
fn indexes(spans: &[BucketSpan]) -> impl Iterator<Item = i64> {
    spans
        .iter()
        .scan(0_i64, |next, span| {
            let start = *next + i64::from(span.offset);
            *next = start + i64::from(span.length);
            Some(start..*next)
        })
        .flatten()
}

fn to_spans(buckets: &BTreeMap<i64, f64>) -> (Vec<BucketSpan>, Vec<f64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut next = 0;
    for &index in buckets.keys() {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => {
                let offset = i32::try_from(index - next).unwrap_or(i32::MAX);
                spans.push(BucketSpan { offset, length: 1 });
            }
        }
        next = index + 1;
    }
    (spans, buckets.values().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels::from_pairs([("__name__", "orders_total")])
    }

    fn accumulate(sums: &DeltaSums, samples: &[(i64, f64)]) -> (Vec<(i64, f64)>, u64) {
        let mut samples = samples.iter().map(|&(t, v)| Sample::float(t, v)).collect();
        let refused = sums.accumulate(&labels(), &mut samples, || None);
        let values = samples
            .iter()
            .map(|s| match s.value {
                SampleValue::Float(value) => (s.timestamp_ms, value),
                SampleValue::Histogram(_) => unreachable!("floats in, floats out"),
            })
            .collect();
        (values, refused)
    }

    #[test]
    fn deltas_add_up_and_repeats_are_refused() {
        let sums = DeltaSums::default();
        assert_eq!(accumulate(&sums, &[(20, 2.0), (10, 1.0)]), (vec![(10, 1.0), (20, 3.0)], 0));
        assert_eq!(accumulate(&sums, &[(20, 2.0), (30, 4.0)]), (vec![(30, 7.0)], 1));
    }

    #[test]
    fn sums_go_on_after_a_restart() {
        let stored = DeltaSums::default();
        let mut samples = vec![Sample::float(30, 1.0)];
        stored.accumulate(&labels(), &mut samples, || Some(Sample::float(20, 9.0)));
        assert_eq!(samples, [Sample::float(30, 10.0)]);
    }

    fn histogram(schema: i32, offset: i32, buckets: &[f64]) -> Histogram {
        Histogram {
            schema,
            count: buckets.iter().sum(),
            sum: 1.0,
            positive_spans: vec![BucketSpan { offset, length: buckets.len() as u32 }],
            positive_buckets: buckets.to_vec(),
            ..Histogram::default()
        }
    }

    #[test]
    fn histograms_add_at_the_coarser_resolution() {
        // Schema 1 buckets 1..=4 hold (1, √2], (√2, 2], (2, 2√2], (2√2, 4]: two by two the schema 0
        // buckets 1 and 2.
        let sum =
            add_histograms(&histogram(0, 1, &[10.0]), &histogram(1, 1, &[1.0, 2.0, 3.0, 4.0]));
        let sum = sum.unwrap();
        assert_eq!(sum.schema, 0);
        assert_eq!(sum.positive_spans, [BucketSpan { offset: 1, length: 2 }]);
        assert_eq!(sum.positive_buckets, [13.0, 7.0]);
        assert_eq!((sum.count, sum.sum), (20.0, 2.0));
        assert!(sum.is_well_formed());

        let apart = add_histograms(&histogram(3, -9, &[1.0]), &histogram(3, 5, &[2.0])).unwrap();
        let span = |offset| BucketSpan { offset, length: 1 };
        assert_eq!(apart.positive_spans, [span(-9), span(13)]);

        let custom = Histogram { schema: -53, custom_values: vec![1.0], ..Histogram::default() };
        assert_eq!(add_histograms(&custom, &histogram(0, 1, &[1.0])), None);
    }
}
