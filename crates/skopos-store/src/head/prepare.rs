//! Decides what of a batch may be stored, and makes it ready: see [`Head::prepare`].

use std::sync::atomic::Ordering;

use skopos_model::{
    Labels, LogBatch, MetricBatch, Rejection, SampleValue, SeriesSamples, SignalBatch, Temporality,
    Timestamp, TraceBatch,
};

use super::guard::Decision;
use super::{Head, Prepared, PreparedBatch};

pub(super) fn prepare(head: &Head, batch: SignalBatch) -> Prepared {
    let latest = latest(head);
    match batch {
        SignalBatch::Metrics(batch) => prepare_metrics(head, batch, latest, true),
        SignalBatch::Logs(batch) => prepare_logs(head, batch, latest),
        SignalBatch::Traces(batch) => prepare_traces(head, batch, latest),
    }
}

fn prepare_metrics(
    head: &Head,
    mut batch: MetricBatch,
    latest: Timestamp,
    limited: bool,
) -> Prepared {
    let mut rejected = Vec::new();
    let window = i64::try_from(head.config.out_of_order_window.as_millis()).unwrap_or(i64::MAX);
    let latest_ms = latest.as_millis();
    // The newest stored sample of each series, asked for before any of this batch counts.
    let index = head.metrics.lookup();
    index.touch(&batch.series);
    let mut admission = head.guard.admission(&index, limited);
    batch.series.retain_mut(|series| {
        if series.labels.is_empty() {
            refuse(&mut rejected, "empty_labels", series.samples.len() as u64, "", || {
                "a series without any label cannot be stored".into()
            });
            return false;
        }
        let SeriesSamples { labels, samples, .. } = &mut *series;
        let known = index.look_up(labels);
        if let Ok(known) = known
            && !known.labels.is_same(labels)
        {
            // The head's own, which bears the hints: nobody after this looks it up again.
            *labels = known.labels.clone();
        }
        let newest = known.map_or(i64::MIN, |series| series.newest_ms());
        let oldest_ms = newest.saturating_sub(window);
        samples.retain(|sample| {
            let time = sample.timestamp_ms;
            let (reason, message): (_, &dyn Fn() -> String) = if time > latest_ms {
                ("far_future", &|| far_future(labels, Timestamp::from_millis(time), head))
            } else if newest != i64::MIN && time < oldest_ms {
                ("too_old", &|| too_old(labels, time, newest, head))
            } else if !well_formed(&sample.value) {
                ("malformed_histogram", &|| {
                    format!("{labels}: buckets and spans do not agree, or the schema is unknown")
                })
            } else {
                return true;
            };
            refuse(&mut rejected, reason, 1, labels.value("job"), message);
            false
        });
        if series.samples.is_empty() && series.exemplars.is_empty() {
            return false;
        }
        match known {
            Ok(_) if admission.folds_known(series) => return false,
            Ok(_) => {}
            Err(id) => match admission.decide(id, series, |name| head.metrics.is_counter(name)) {
                Decision::Admit => {}
                Decision::Folded => return false,
                Decision::Refused => return false,
            },
        }
        let SeriesSamples { labels, samples, temporality, .. } = &mut *series;
        if *temporality == Temporality::Delta && !samples.is_empty() {
            let stored = || index.last_value(labels);
            let refused = head.metrics.deltas().accumulate(labels, samples, stored);
            refuse(&mut rejected, "out_of_order", refused, labels.value("job"), || {
                format!(
                    "{labels}: a delta not newer than the sum so far was refused, because it may \
                     be a repeat"
                )
            });
        }
        !samples.is_empty() || !series.exemplars.is_empty()
    });
    let accepted = batch.sample_count() as u64;
    let beyond = admission.finish();
    drop(index);
    batch.series.extend(beyond.sums);
    rejected.extend(beyond.refused);
    let accepted = accepted + beyond.folded_samples;
    Prepared { batch: PreparedBatch::Metrics(batch), accepted, rejected, folded: beyond.folded }
}

/// Makes the samples of a state commit ready, for which the limits of series do not count.
pub(super) fn prepare_commit(head: &Head, batch: MetricBatch) -> Prepared {
    prepare_metrics(head, batch, latest(head), false)
}

fn latest(head: &Head) -> Timestamp {
    head.clock.now().saturating_add(head.config.future_tolerance)
}

fn prepare_logs(head: &Head, mut batch: LogBatch, latest: Timestamp) -> Prepared {
    let mut rejected = Vec::new();
    let mut accepted = 0;
    for group in &mut batch.groups {
        let sender = group.resource.service_name();
        group.records.retain(|record| {
            let keep = record.time <= latest;
            if !keep {
                refuse(&mut rejected, "far_future", 1, sender, || {
                    far_future(&"log record", record.time, head)
                });
            }
            keep
        });
        accepted += group.records.len() as u64;
    }
    batch.groups.retain(|group| !group.records.is_empty());
    let first_sequence = head.sequence.fetch_add(accepted, Ordering::Relaxed);
    let batch = PreparedBatch::Logs { first_sequence, batch };
    Prepared { batch, accepted, rejected, folded: Vec::new() }
}

fn prepare_traces(head: &Head, mut batch: TraceBatch, latest: Timestamp) -> Prepared {
    let mut rejected = Vec::new();
    let mut accepted = 0;
    for group in &mut batch.groups {
        let sender = group.resource.service_name();
        group.spans.retain(|span| {
            let keep = span.start_time <= latest;
            if !keep {
                refuse(&mut rejected, "far_future", 1, sender, || {
                    far_future(&format_args!("span {:?}", span.name), span.start_time, head)
                });
            }
            keep
        });
        accepted += group.spans.len() as u64;
    }
    batch.groups.retain(|group| !group.spans.is_empty());
    let first_sequence = head.sequence.fetch_add(accepted, Ordering::Relaxed);
    let batch = PreparedBatch::Traces { first_sequence, batch };
    Prepared { batch, accepted, rejected, folded: Vec::new() }
}

fn well_formed(value: &SampleValue) -> bool {
    match value {
        SampleValue::Float(_) => true,
        // A stale histogram is a marker; its other fields mean nothing.
        SampleValue::Histogram(histogram) => histogram.is_well_formed() || value.is_stale(),
    }
}

/// Counts a refusal; the message is made for the first of its kind only.
fn refuse(
    rejected: &mut Vec<Rejection>,
    reason: &'static str,
    count: u64,
    sender: &str,
    message: impl Fn() -> String,
) {
    if count == 0 {
        return;
    }
    match rejected.iter_mut().find(|r| r.reason == reason && r.sender == sender) {
        Some(earlier) => earlier.count += count,
        None => {
            rejected.push(Rejection { count, ..Rejection::one(reason, sender, message()) });
        }
    }
}

fn far_future(what: &dyn std::fmt::Display, time: Timestamp, head: &Head) -> String {
    format!(
        "{what} at {time} lies more than {:?} ahead of our clock; check the sender's clock",
        head.config.future_tolerance
    )
}

fn too_old(labels: &Labels, time_ms: i64, newest_ms: i64, head: &Head) -> String {
    format!(
        "{labels} at {} lies more than {:?} behind its newest sample at {}",
        Timestamp::from_millis(time_ms),
        head.config.out_of_order_window,
        Timestamp::from_millis(newest_ms)
    )
}
