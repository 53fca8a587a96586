//! What is taken in and what is refused, by the rules documented at `skopos_store::head`.

use std::collections::BTreeMap;
use std::sync::Arc;

use skopos_model::{
    Appended, BucketSpan, EventId, Histogram, LogBatch, MetricBatch, Rejection, Sample,
    SampleValue, SignalBatch, Temporality, Timestamp, TraceBatch,
};
use skopos_store::scan::{StoredLog, StoredSpan};

use super::{Inner, MemSeries, MemStore};

impl MemStore {
    pub(super) fn append_to(&self, inner: &mut Inner, batch: SignalBatch) -> Appended {
        match batch {
            SignalBatch::Metrics(batch) => self.append_metrics(inner, batch),
            SignalBatch::Logs(batch) => self.append_logs(inner, batch),
            SignalBatch::Traces(batch) => self.append_traces(inner, batch),
        }
    }

    fn append_metrics(&self, inner: &mut Inner, batch: MetricBatch) -> Appended {
        let mut appended = Appended::default();
        for metadata in batch.metadata {
            if !inner.metadata.contains(&metadata) {
                inner.metadata.push(metadata);
            }
        }
        let latest = self.latest().as_millis();
        let window = self.out_of_order_window.as_millis() as i64;
        let newest_before: Vec<Option<i64>> = batch
            .series
            .iter()
            .map(|s| {
                let known = inner.series.iter().find(|known| known.labels == s.labels)?;
                known.samples.last().map(|sample| sample.timestamp_ms)
            })
            .collect();
        for (series, newest) in batch.series.into_iter().zip(newest_before) {
            let sender = series.labels.value("job").to_owned();
            let mut refuse = |reason| {
                Rejection::one(reason, &sender, "refused").add_to(&mut appended.rejected);
            };
            if series.labels.is_empty() {
                series.samples.iter().for_each(|_| refuse("empty_labels"));
                continue;
            }
            let mut samples = Vec::new();
            for sample in series.samples {
                let time = sample.timestamp_ms;
                let malformed = match &sample.value {
                    SampleValue::Histogram(h) => !h.is_well_formed() && !sample.value.is_stale(),
                    SampleValue::Float(_) => false,
                };
                if time > latest {
                    refuse("far_future");
                } else if newest.is_some_and(|newest| time < newest - window) {
                    refuse("too_old");
                } else if malformed {
                    refuse("malformed_histogram");
                } else {
                    samples.push(sample);
                }
            }
            if samples.is_empty() && series.exemplars.is_empty() {
                continue;
            }
            let index = inner.series_index(&series.labels);
            let stored = &mut inner.series[index];
            if series.temporality == Temporality::Delta {
                samples.sort_by_key(|sample| sample.timestamp_ms);
            }
            for sample in samples {
                match series.temporality {
                    Temporality::Cumulative => stored.put(&sample),
                    Temporality::Delta => match stored.sum_with(&sample) {
                        Some(sum) => stored.put(&sum),
                        None => {
                            refuse("out_of_order");
                            continue;
                        }
                    },
                }
                appended.accepted += 1;
            }
            for exemplar in series.exemplars {
                if !stored.exemplars.contains(&exemplar) {
                    stored.exemplars.push(exemplar);
                }
            }
            stored.exemplars.sort_by_key(|exemplar| exemplar.timestamp_ms);
        }
        appended
    }

    fn append_logs(&self, inner: &mut Inner, batch: LogBatch) -> Appended {
        let mut appended = Appended::default();
        for group in batch.groups {
            for record in group.records {
                if record.time > self.latest() {
                    Rejection::one("far_future", group.resource.service_name(), "refused")
                        .add_to(&mut appended.rejected);
                    continue;
                }
                let id = EventId::new(record.time, inner.next_sequence);
                inner.next_sequence += 1;
                appended.accepted += 1;
                inner.logs.push(StoredLog {
                    id,
                    resource: Arc::clone(&group.resource),
                    scope: Arc::clone(&group.scope),
                    record,
                });
            }
        }
        appended
    }

    fn append_traces(&self, inner: &mut Inner, batch: TraceBatch) -> Appended {
        let mut appended = Appended::default();
        for group in batch.groups {
            for span in group.spans {
                if span.start_time > self.latest() {
                    Rejection::one("far_future", group.resource.service_name(), "refused")
                        .add_to(&mut appended.rejected);
                    continue;
                }
                let id = EventId::new(span.start_time, inner.next_sequence);
                inner.next_sequence += 1;
                appended.accepted += 1;
                inner.spans.push(StoredSpan {
                    id,
                    resource: Arc::clone(&group.resource),
                    scope: Arc::clone(&group.scope),
                    span,
                });
            }
        }
        appended
    }

    fn latest(&self) -> Timestamp {
        self.clock.now().saturating_add(self.future_tolerance)
    }
}

impl Inner {
    /// Index of a series, made when missing.
    pub(super) fn series_index(&mut self, labels: &skopos_model::Labels) -> usize {
        match self.series.iter().position(|series| series.labels == *labels) {
            Some(index) => index,
            None => {
                let labels = labels.clone();
                self.series.push(MemSeries { labels, samples: vec![], exemplars: vec![] });
                self.series.len() - 1
            }
        }
    }
}

impl MemSeries {
    /// Of equal times the last received wins.
    pub(super) fn put(&mut self, sample: &Sample) {
        self.samples.retain(|held| held.timestamp_ms != sample.timestamp_ms);
        self.samples.push(sample.clone());
        self.samples.sort_by_key(|held| held.timestamp_ms);
    }

    /// The sum after a delta; `None` when it is not newer than the sum so far.
    fn sum_with(&self, delta: &Sample) -> Option<Sample> {
        let sum = self.samples.iter().rev().find(|held| !held.value.is_stale());
        let Some(sum) = sum else { return Some(delta.clone()) };
        if delta.timestamp_ms <= sum.timestamp_ms {
            return None;
        }
        let value = match (&sum.value, &delta.value) {
            (_, delta) if delta.is_stale() => delta.clone(),
            (SampleValue::Float(sum), SampleValue::Float(delta)) => SampleValue::Float(sum + delta),
            (SampleValue::Histogram(sum), SampleValue::Histogram(delta)) => {
                SampleValue::Histogram(Arc::new(add(sum, delta)))
            }
            (_, delta) => delta.clone(),
        };
        Some(Sample { timestamp_ms: delta.timestamp_ms, value })
    }
}

/// Adds two histograms of the same resolution, bucket by bucket.
fn add(a: &Histogram, b: &Histogram) -> Histogram {
    assert_eq!(a.schema, b.schema, "the oracle adds histograms of one resolution only");
    let side = |spans: [&[BucketSpan]; 2], counts: [&[f64]; 2]| {
        let mut buckets: BTreeMap<i32, f64> = BTreeMap::new();
        for (spans, counts) in spans.into_iter().zip(counts) {
            let mut index = 0;
            let mut counts = counts.iter();
            for span in spans {
                index += span.offset;
                for _ in 0..span.length {
                    *buckets.entry(index).or_default() += counts.next().expect("well-formed");
                    index += 1;
                }
            }
        }
        let mut spans: Vec<BucketSpan> = Vec::new();
        let mut end = 0;
        for &index in buckets.keys() {
            if index == end && !spans.is_empty() {
                spans.last_mut().expect("not empty").length += 1;
            } else {
                spans.push(BucketSpan { offset: index - end, length: 1 });
            }
            end = index + 1;
        }
        (spans, buckets.into_values().collect::<Vec<_>>())
    };
    let (positive_spans, positive_buckets) =
        side([&a.positive_spans, &b.positive_spans], [&a.positive_buckets, &b.positive_buckets]);
    let (negative_spans, negative_buckets) =
        side([&a.negative_spans, &b.negative_spans], [&a.negative_buckets, &b.negative_buckets]);
    Histogram {
        counter_reset_hint: Default::default(),
        zero_count: a.zero_count + b.zero_count,
        count: a.count + b.count,
        sum: a.sum + b.sum,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..a.clone()
    }
}
