//! The head by itself: replay is harmless, sizes follow what is held, readers do not disturb.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{QueryBudget, SampleBuffer, SampleSource};
use skopos_model::{
    Clock, Labels, MetricBatch, Sample, SampleValue, SeriesSamples, SignalBatch, Temporality,
    TimeRange,
};
use skopos_store::head::{Head, HeadConfig, PreparedBatch};
use skopos_testkit::VirtualClock;
use skopos_testkit::conformance::compare::{rows, samples, series_select};
use skopos_testkit::generate::{MetricGenerator, Random, log_batch, trace_batch};

const NOW_MS: i64 = 1_700_000_000_000;

fn head(chunk_samples: usize) -> Head {
    let config = HeadConfig { chunk_samples, segment_rows: 64, ..HeadConfig::default() };
    Head::new(config, Arc::new(VirtualClock::default()))
}

fn append(head: &Head, batch: SignalBatch) -> PreparedBatch {
    let prepared = head.prepare(batch);
    assert_eq!(prepared.batch.len() as u64, prepared.accepted);
    head.apply(prepared.batch.clone());
    prepared.batch
}

/// Everything a head answers with, in comparable form.
fn everything(head: &Head) -> Vec<String> {
    let budget = QueryBudget::unlimited();
    let all = series_select(vec![], i64::MIN, i64::MAX);
    let mut out = Vec::new();
    for series in head.select(&all, &budget).unwrap().series {
        out.push(format!("{} {:?}", series.labels, samples(&series, i64::MIN, i64::MAX)));
    }
    out.push(format!("{:?}", head.exemplars(&all, &budget).unwrap()));
    out.push(format!("{:?}", head.metadata(None)));
    for signal in [EventSignal::Logs, EventSignal::Spans] {
        let batches = head.scan(&EventScan::new(signal, TimeRange::ALL), &budget).unwrap();
        out.extend(rows(signal, &batches));
    }
    out
}

fn workload(seed: u64) -> (Head, Vec<PreparedBatch>) {
    let head = head(7);
    let mut random = Random::new(seed);
    let mut metrics = MetricGenerator::new(seed, 28, NOW_MS - 600_000, 10_000);
    let now = VirtualClock::default().now();
    let mut prepared = Vec::new();
    for i in 0..60 {
        prepared.push(append(&head, SignalBatch::Metrics(metrics.next_batch())));
        let logs = log_batch(&mut random, i % 9, now);
        prepared.push(append(&head, SignalBatch::Logs(logs)));
        let traces = trace_batch(&mut random, i % 4, now);
        prepared.push(append(&head, SignalBatch::Traces(traces)));
    }
    (head, prepared)
}

#[test]
fn replay_yields_the_same_and_repeats_change_nothing() {
    let (first, prepared) = workload(1);
    let want = everything(&first);
    let again = head(7);
    prepared.iter().for_each(|batch| again.apply(batch.clone()));
    assert_eq!(everything(&again), want);
    // A second time through: samples end as they were, events are there once.
    prepared.iter().for_each(|batch| again.apply(batch.clone()));
    assert_eq!(everything(&again), want);
    let (a, b) = (first.stats(), again.stats());
    assert_eq!((a.series, a.samples, a.logs, a.spans), (b.series, b.samples, b.logs, b.spans));
}

#[test]
fn numbers_and_sums_go_on_after_replay() {
    let (first, prepared) = workload(2);
    let again = head(7);
    prepared.into_iter().for_each(|batch| again.apply(batch));
    let mut random = Random::new(3);
    let now = VirtualClock::default().now();
    let logs = SignalBatch::Logs(log_batch(&mut random, 5, now));
    let labels = Labels::from_pairs([("__name__", "orders_total")]);
    let delta = |time, value| {
        let series = SeriesSamples {
            temporality: Temporality::Delta,
            ..SeriesSamples::single(labels.clone(), time, value)
        };
        SignalBatch::Metrics(MetricBatch { series: vec![series], metadata: vec![] })
    };
    for head in [&first, &again] {
        append(head, delta(NOW_MS, 5.0));
    }
    for batch in [logs, delta(NOW_MS + 1, 2.0)] {
        assert_eq!(first.prepare(batch.clone()).batch, again.prepare(batch).batch);
    }
    // Sums advance with `prepare`, before anything is applied.
    let PreparedBatch::Metrics(batch) = first.prepare(delta(NOW_MS + 2, 1.0)).batch else {
        panic!("metrics in, metrics out")
    };
    assert_eq!(batch.series[0].samples, [Sample::float(NOW_MS + 2, 8.0)]);
}

#[test]
fn part_of_a_batch_seen_before_is_left_out() {
    let mut random = Random::new(4);
    let source = head(7);
    let logs = log_batch(&mut random, 40, VirtualClock::default().now());
    let PreparedBatch::Logs { first_sequence, batch } = append(&source, SignalBatch::Logs(logs))
    else {
        panic!("logs in, logs out")
    };
    let part = skopos_model::LogBatch { groups: vec![batch.groups[0].clone()] };
    let target = head(7);
    target.apply(PreparedBatch::Logs { first_sequence, batch: part });
    assert!(target.stats().logs < 40);
    target.apply(PreparedBatch::Logs { first_sequence, batch });
    assert_eq!(target.stats().logs, 40);
    assert_eq!(everything(&target), everything(&source));
}

#[test]
fn samples_in_any_order_end_where_they_belong() {
    for chunk_samples in [1, 2, 3, 8, 50] {
        let head = head(chunk_samples);
        let mut random = Random::new(chunk_samples as u64);
        let labels = Labels::from_pairs([("__name__", "m")]);
        let mut want = BTreeMap::new();
        let budget = QueryBudget::unlimited();
        for i in 0..400 {
            let newest = NOW_MS + i * 10;
            let samples: Vec<_> = (0..1 + random.below(4))
                .map(|n| {
                    let time = newest - random.below(200) as i64 * 5;
                    let value = (i * 10) as f64 + n as f64;
                    want.insert(time, value.to_bits());
                    Sample::float(time, value)
                })
                .collect();
            let series = SeriesSamples { samples, ..SeriesSamples::single(labels.clone(), 0, 0.0) };
            let batch = MetricBatch { series: vec![series], metadata: vec![] };
            append(&head, SignalBatch::Metrics(batch));
            if i % 20 != 0 {
                continue;
            }
            let (start, end) = (newest - 900, newest - random.below(800) as i64);
            for (start, end) in [(i64::MIN, i64::MAX), (start, end)] {
                let set = head.select(&series_select(vec![], start, end), &budget).unwrap();
                let found: Vec<_> =
                    set.series.iter().flat_map(|s| samples_of(&*s.samples, start, end)).collect();
                let want: Vec<_> = want.range(start..=end).map(|(t, v)| (*t, *v)).collect();
                assert_eq!(found, want, "chunks of {chunk_samples}, step {i}");
            }
        }
        assert_eq!(head.stats().samples, want.len() as u64, "chunks of {chunk_samples}");
    }
}

fn samples_of(source: &dyn SampleSource, start: i64, end: i64) -> Vec<(i64, u64)> {
    let mut buffer = SampleBuffer::default();
    source.decode(start, end, &mut buffer).unwrap();
    buffer.timestamps.into_iter().zip(buffer.values.into_iter().map(f64::to_bits)).collect()
}

#[test]
fn sizes_follow_what_is_held() {
    let head = Head::new(HeadConfig::default(), Arc::new(VirtualClock::default()));
    assert_eq!(head.size_bytes(), 0);
    let mut metrics = MetricGenerator::new(8, 210, NOW_MS - 7_500_000, 15_000).in_order();
    let mut sizes = vec![0];
    for _ in 0..500 {
        append(&head, SignalBatch::Metrics(metrics.next_batch()));
        sizes.push(head.size_bytes());
    }
    let stats = head.stats();
    assert!(stats.chunks >= 400, "{stats:?}");
    assert_eq!(stats.metric_bytes, head.size_bytes());
    assert!(stats.chunk_bytes < stats.metric_bytes);
    assert!(sizes[1] > 20_000, "series cost something: {}", sizes[1]);

    let mut random = Random::new(9);
    let now = VirtualClock::default().now();
    for _ in 0..300 {
        append(&head, SignalBatch::Logs(log_batch(&mut random, 7, now)));
        append(&head, SignalBatch::Traces(trace_batch(&mut random, 2, now)));
    }
    let stats = head.stats();
    assert_eq!(stats.logs, 2100);
    assert_eq!(head.size_bytes(), stats.metric_bytes + stats.event_bytes);
    let per_event = stats.event_bytes / (stats.logs + stats.spans);
    assert!((200..3000).contains(&per_event), "{per_event} bytes per event");
}

#[test]
fn readers_see_whole_series_while_samples_arrive() {
    let head = Arc::new(head(16));
    let done = Arc::new(AtomicBool::new(false));
    let labels = Labels::from_pairs([("__name__", "m")]);
    let reader = {
        let (head, done) = (Arc::clone(&head), Arc::clone(&done));
        std::thread::spawn(move || {
            let budget = QueryBudget::unlimited();
            let (mut last, mut rounds) = (0, 0);
            while !done.load(Ordering::Relaxed) || rounds == 0 {
                let set = head.select(&series_select(vec![], 0, i64::MAX), &budget).unwrap();
                for series in &set.series {
                    let found = samples_of(&*series.samples, 0, i64::MAX);
                    // Each sample's value is its place, so a gap or a repeat would show.
                    for (i, (time, bits)) in found.iter().enumerate() {
                        assert_eq!((*time, f64::from_bits(*bits)), (NOW_MS + i as i64, i as f64));
                    }
                    assert!(found.len() >= last);
                    last = found.len();
                }
                rounds += 1;
            }
        })
    };
    for i in 0..20_000 {
        let series = vec![SeriesSamples::single(labels.clone(), NOW_MS + i, i as f64)];
        head.apply(PreparedBatch::Metrics(MetricBatch { series, metadata: vec![] }));
    }
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}

#[test]
fn stale_histograms_and_numbers_share_a_series() {
    let head = head(3);
    let mut random = Random::new(5);
    let labels = Labels::from_pairs([("__name__", "m")]);
    for i in 0..20 {
        let value = if i % 3 == 0 {
            SampleValue::Float(i as f64)
        } else {
            let histogram = skopos_testkit::generate::histogram(&mut random);
            SampleValue::Histogram(Arc::new(histogram))
        };
        let sample = Sample { timestamp_ms: NOW_MS + i, value };
        let series = SeriesSamples {
            samples: vec![sample],
            ..SeriesSamples::single(labels.clone(), 0, 0.0)
        };
        append(&head, SignalBatch::Metrics(MetricBatch { series: vec![series], metadata: vec![] }));
    }
    let set = head
        .select(&series_select(vec![], NOW_MS + 2, NOW_MS + 16), &QueryBudget::unlimited())
        .unwrap();
    let mut buffer = SampleBuffer::default();
    set.series[0].samples.decode(NOW_MS + 2, NOW_MS + 16, &mut buffer).unwrap();
    assert_eq!(buffer.len(), 15);
    for i in 0..15 {
        assert_eq!(buffer.histogram(i).is_none(), (i + 2) % 3 == 0, "{i}");
        assert!(buffer.histogram(i).is_none_or(|h| h.is_well_formed()));
    }
}
