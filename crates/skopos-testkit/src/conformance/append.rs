//! The contract of [`Append`](skopos_model::storage::Append): receipts, refusals, repeats.

use std::sync::Arc;
use std::time::Duration;

use skopos_model::event::{EventScan, EventSignal};
use skopos_model::{
    Histogram, Labels, Sample, SampleValue, SeriesSamples, SignalBatch, Temporality, TimeRange,
};

use super::compare::{scan, select, series_select};
use super::{FullStore, NOW, NOW_MS, append_logs, append_series, append_traces};
use crate::VirtualClock;
use crate::generate::{MetricGenerator, Random, histogram, log_batch, trace_batch};

/// Runs all cases of the append contract.
pub async fn append_suite<S: FullStore>(make: impl AsyncFn(Arc<VirtualClock>) -> S) {
    let fresh = async || make(Arc::new(VirtualClock::default())).await;
    appended_is_readable_and_counted(&fresh().await).await;
    refusals_name_reason_and_sender(&fresh().await).await;
    late_samples_are_judged_by_their_series(&make).await;
    last_received_wins(&fresh().await).await;
    repeated_metrics_change_nothing(&fresh().await).await;
    deltas_are_read_as_sums(&fresh().await).await;
    empty_batches_are_accepted(&fresh().await).await;
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "shop")])
}

fn series(name: &str, samples: Vec<Sample>) -> SeriesSamples {
    SeriesSamples { samples, ..SeriesSamples::single(labels(name), 0, 0.0) }
}

fn floats(samples: &[(i64, f64)]) -> Vec<Sample> {
    samples.iter().map(|&(t, v)| Sample::float(NOW_MS + t, v)).collect()
}

/// Times (relative) and values of all series, one after another.
async fn read<S: FullStore>(store: &S) -> Vec<(i64, f64)> {
    select(store, &series_select(vec![], i64::MIN, i64::MAX))
        .await
        .into_iter()
        .flat_map(|(_, samples)| samples)
        .map(|(time, bits, _)| (time - NOW_MS, f64::from_bits(bits)))
        .collect()
}

async fn appended_is_readable_and_counted<S: FullStore>(store: &S) {
    let appended = append_series(store, vec![series("up", floats(&[(0, 1.0), (1, 2.0)]))]).await;
    assert_eq!((appended.accepted, appended.rejected.len()), (2, 0));
    assert_eq!(read(store).await, [(0, 1.0), (1, 2.0)]);

    let mut random = Random::new(1);
    let logs = log_batch(&mut random, 50, NOW);
    let spans = trace_batch(&mut random, 10, NOW);
    let span_count = SignalBatch::Traces(spans.clone()).len();
    assert_eq!(append_logs(store, logs).await.accepted, 50);
    assert_eq!(append_traces(store, spans).await.accepted, span_count as u64);
    for (signal, count) in [(EventSignal::Logs, 50), (EventSignal::Spans, span_count)] {
        let rows = scan(store, &EventScan::new(signal, TimeRange::ALL)).await;
        assert_eq!(rows.len(), count, "{signal:?}");
    }
}

async fn refusals_name_reason_and_sender<S: FullStore>(store: &S) {
    let ahead = 600_000;
    append_series(store, vec![series("old", floats(&[(0, 1.0)]))]).await;
    let malformed = Histogram { positive_buckets: vec![1.0], ..Histogram::default() };
    let appended = append_series(
        store,
        vec![
            SeriesSamples { labels: Labels::empty(), ..series("x", floats(&[(0, 1.0), (1, 1.0)])) },
            series("future", floats(&[(ahead, 1.0), (ahead + 1, 2.0), (ahead + 2, 2.0)])),
            series("old", floats(&[(-3_600_001, 1.0), (-3_600_000, 3.0)])),
            series(
                "bad",
                vec![Sample {
                    timestamp_ms: NOW_MS,
                    value: SampleValue::Histogram(Arc::new(malformed)),
                }],
            ),
        ],
    )
    .await;
    let mut found: Vec<_> =
        appended.rejected.iter().map(|r| (r.reason.as_ref(), r.sender.as_str(), r.count)).collect();
    found.sort_unstable();
    let want = [
        ("empty_labels", "", 2),
        ("far_future", "shop", 2),
        ("malformed_histogram", "shop", 1),
        ("too_old", "shop", 1),
    ];
    assert_eq!(found, want);
    assert!(appended.rejected.iter().all(|r| !r.message.is_empty()));
    assert_eq!(appended.accepted, 2);
    assert_eq!(read(store).await, [(ahead, 1.0), (-3_600_000, 3.0), (0, 1.0)]);

    let mut random = Random::new(2);
    let mut logs = log_batch(&mut random, 3, NOW);
    logs.groups[0].records[0].time = NOW.saturating_add(Duration::from_secs(601));
    let sender = logs.groups[0].resource.service_name().to_owned();
    let appended = append_logs(store, logs).await;
    assert_eq!(appended.accepted, 2);
    let refused = &appended.rejected[0];
    assert_eq!((refused.reason.as_ref(), refused.count), ("far_future", 1));
    assert_eq!(refused.sender, sender);
}

async fn late_samples_are_judged_by_their_series<S: FullStore>(
    make: &impl AsyncFn(Arc<VirtualClock>) -> S,
) {
    let clock = Arc::new(VirtualClock::default());
    let store = make(Arc::clone(&clock)).await;
    append_series(&store, vec![series("a", floats(&[(0, 1.0)]))]).await;
    clock.advance(Duration::from_secs(7200));
    // Another series' newest sample does not make these late; within a batch, order does not
    // matter.
    let both = vec![
        series("b", floats(&[(7_200_000, 1.0), (0, 1.0)])),
        series("a", floats(&[(7_200_000, 2.0), (5, 2.0)])),
    ];
    assert_eq!(append_series(&store, both).await.accepted, 4);
    let late = vec![series("a", floats(&[(6, 3.0)])), series("c", floats(&[(6, 3.0)]))];
    let appended = append_series(&store, late).await;
    assert_eq!((appended.accepted, appended.rejected.len()), (1, 1));
}

async fn last_received_wins<S: FullStore>(store: &S) {
    // Across a time long enough for the store to have sealed the first samples.
    for i in 0..600 {
        append_series(store, vec![series("s", floats(&[(i * 1000, 1.0)]))]).await;
    }
    let appended =
        append_series(store, vec![series("s", floats(&[(5000, 7.0), (5000, 8.0), (5500, 9.0)]))])
            .await;
    assert_eq!(appended.accepted, 3);
    let mixed = Sample {
        timestamp_ms: NOW_MS + 7000,
        value: SampleValue::Histogram(Arc::new(histogram(&mut Random::new(3)))),
    };
    append_series(store, vec![series("s", vec![mixed.clone()])]).await;
    append_series(store, vec![series("s", floats(&[(599_000, 2.0)]))]).await;
    let read = read(store).await;
    assert_eq!(read.len(), 601);
    assert_eq!(read[5..8], [(5000, 8.0), (5500, 9.0), (6000, 1.0)]);
    let SampleValue::Histogram(h) = &mixed.value else { unreachable!("made above") };
    assert_eq!(read[8], (7000, h.sum));
    assert_eq!(read[600], (599_000, 2.0));
}

async fn repeated_metrics_change_nothing<S: FullStore>(store: &S) {
    let mut generator = MetricGenerator::new(5, 14, NOW_MS, 15_000);
    let batches: Vec<_> = (0..30).map(|_| generator.next_batch()).collect();
    for batch in &batches {
        store.append(SignalBatch::Metrics(batch.clone())).await.expect("append");
    }
    let everything = series_select(vec![], i64::MIN, i64::MAX);
    let before = select(store, &everything).await;
    // Values within a batch may overwrite each other, so the last batch is repeated: the one a
    // sender would repeat.
    let last = batches.last().expect("made above").clone();
    store.append(SignalBatch::Metrics(last)).await.expect("append");
    assert_eq!(select(store, &everything).await, before);
}

async fn deltas_are_read_as_sums<S: FullStore>(store: &S) {
    let delta = |samples: &[(i64, f64)]| SeriesSamples {
        temporality: Temporality::Delta,
        ..series("orders_total", floats(samples))
    };
    append_series(store, vec![delta(&[(0, 2.0)]), delta(&[(2000, 3.0), (1000, 1.0)])]).await;
    let appended = append_series(store, vec![delta(&[(2000, 3.0), (3000, 4.0)])]).await;
    assert_eq!(appended.accepted, 1);
    assert_eq!(appended.rejected[0].reason, "out_of_order");
    assert_eq!(read(store).await, [(0, 2.0), (1000, 3.0), (2000, 6.0), (3000, 10.0)]);
}

async fn empty_batches_are_accepted<S: FullStore>(store: &S) {
    for batch in [
        SignalBatch::Metrics(Default::default()),
        SignalBatch::Logs(Default::default()),
        SignalBatch::Traces(Default::default()),
    ] {
        let appended = store.append(batch).await.expect("an empty batch is no error");
        assert_eq!((appended.accepted, appended.rejected.len()), (0, 0));
    }
}
