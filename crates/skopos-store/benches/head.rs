//! What the head does per sample and per event, without WAL or disk.
//!
//! `cargo bench -p skopos-store --bench head`. Items are samples, log records and spans; the first
//! line says how many bytes they take.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use skopos_model::event::{Comparison, EventOrder, EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{QueryBudget, SampleBuffer, SelectHints, SeriesSelect};
use skopos_model::{
    LabelMatcher, Labels, MatchOp, MetricBatch, Sample, SeriesSamples, SignalBatch, TimeRange,
    Timestamp,
};
use skopos_store::event;
use skopos_store::head::{Head, HeadConfig};
use skopos_testkit::VirtualClock;
use skopos_testkit::generate::{Random, log_batch, trace_batch};

const NOW_MS: i64 = 1_700_000_000_000;
const SERIES: usize = 10_000;
const SCRAPES: i64 = 480;
const STEP_MS: i64 = 15_000;

fn main() {
    let (metrics, events) = (filled(), with_events(200_000));
    let stats = metrics.stats();
    println!(
        "{} series, {} samples: {:.2} B/sample sealed, {:.2} B/sample in all",
        stats.series,
        stats.samples,
        stats.chunk_bytes as f64 / (stats.chunks * 120) as f64,
        stats.metric_bytes as f64 / stats.samples as f64,
    );
    let stats = events.stats();
    println!(
        "{} logs, {} spans: {} B/event",
        stats.logs,
        stats.spans,
        stats.event_bytes / (stats.logs + stats.spans)
    );
    divan::main();
}

fn head() -> Head {
    Head::new(HeadConfig::default(), Arc::new(VirtualClock::default()))
}

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", ["http_requests_total", "http_request_duration_seconds_sum"][i % 2].into()),
        ("job", "shop".to_owned()),
        ("instance", format!("10.0.{}.{}:8080", i / 2000, i / 100 % 20)),
        ("endpoint", format!("/route/{}", i / 2 % 50)),
        ("status_code", ["200", "404", "500"][i % 3].to_owned()),
    ])
}

/// Counters of whole numbers and of three decimals, a scrape apart with a little jitter.
fn scrape(labels: &[Labels], round: i64, random: &mut Random) -> MetricBatch {
    let now = NOW_MS - (SCRAPES - round) * STEP_MS;
    let series = labels.iter().enumerate().map(|(i, labels)| {
        let value = (round * (i as i64 % 50) + random.below(10) as i64) as f64;
        let value = if i % 2 == 0 { value } else { value / 1000.0 };
        let sample = Sample::float(now + random.below(3) as i64, value);
        SeriesSamples { samples: vec![sample], ..SeriesSamples::single(labels.clone(), 0, 0.0) }
    });
    MetricBatch { series: series.collect(), metadata: vec![] }
}

fn filled() -> Head {
    let head = head();
    let labels: Vec<_> = (0..SERIES).map(labels).collect();
    let mut random = Random::new(1);
    for round in 0..SCRAPES {
        head.apply(head.prepare(SignalBatch::Metrics(scrape(&labels, round, &mut random))).batch);
    }
    head
}

fn with_events(count: usize) -> Head {
    let head = head();
    let mut random = Random::new(2);
    for i in 0..count / 500 {
        let time = Timestamp::from_millis(NOW_MS - 3_600_000 + i as i64 * 1000);
        let logs = SignalBatch::Logs(log_batch(&mut random, 500, time));
        head.apply(head.prepare(logs).batch);
        let traces = SignalBatch::Traces(trace_batch(&mut random, 20, time));
        head.apply(head.prepare(traces).batch);
    }
    head
}

fn select(name: &str, endpoint: Option<&str>, range_ms: i64) -> SeriesSelect {
    let mut matchers = vec![LabelMatcher::equal("__name__", name)];
    if let Some(pattern) = endpoint {
        matchers.push(LabelMatcher::new("endpoint", MatchOp::Regex, pattern).expect("valid"));
    }
    let (start_ms, end_ms) = (NOW_MS - range_ms, NOW_MS);
    SeriesSelect { matchers, start_ms, end_ms, hints: SelectHints::default() }
}

#[divan::bench]
fn prepare_and_apply_scrapes(bencher: Bencher) {
    let labels: Vec<_> = (0..SERIES).map(labels).collect();
    let head = head();
    let mut random = Random::new(1);
    let mut round = 0;
    bencher
        .counter(ItemsCount::new(SERIES))
        .with_inputs(|| {
            round += 1;
            SignalBatch::Metrics(scrape(&labels, round % SCRAPES, &mut random))
        })
        .bench_local_values(|batch| head.apply(head.prepare(batch).batch));
}

#[divan::bench]
fn create_series(bencher: Bencher) {
    let mut random = Random::new(1);
    let labels: Vec<_> = (0..SERIES).map(labels).collect();
    bencher
        .counter(ItemsCount::new(SERIES))
        .with_inputs(|| (head(), SignalBatch::Metrics(scrape(&labels, 0, &mut random))))
        .bench_local_values(|(head, batch)| {
            head.apply(head.prepare(batch).batch);
            head
        });
}

#[divan::bench]
fn select_half_of_the_series_for_an_instant(bencher: Bencher) {
    let head = filled();
    let select = select("http_requests_total", None, 300_000);
    bencher
        .counter(ItemsCount::new(SERIES / 2))
        .bench_local(|| head.select(&select, &QueryBudget::unlimited()).map(|s| s.series.len()));
}

#[divan::bench]
fn select_by_regex(bencher: Bencher) {
    let head = filled();
    let select = select("http_requests_total", Some("/route/1.+"), 300_000);
    bencher.bench_local(|| head.select(&select, &QueryBudget::unlimited()).map(|s| s.series.len()));
}

#[divan::bench(args = ["http_requests_total", "http_request_duration_seconds_sum"])]
fn decode_two_hours(bencher: Bencher, name: &str) {
    let head = filled();
    let set = head
        .select(&select(name, None, i64::MAX / 2), &QueryBudget::unlimited())
        .expect("no budget to exceed");
    let samples: usize = set.series.iter().map(|s| s.samples.len_hint()).sum();
    let mut buffer = SampleBuffer::default();
    bencher.counter(ItemsCount::new(samples)).bench_local(|| {
        for series in &set.series {
            buffer.clear();
            series.samples.decode(0, i64::MAX, &mut buffer).expect("our own bytes");
            black_box(&buffer);
        }
    });
}

#[divan::bench(args = [1, 50, 1000])]
fn append_logs(bencher: Bencher, records: usize) {
    let head = head();
    let mut random = Random::new(3);
    bencher
        .counter(ItemsCount::new(records))
        .with_inputs(|| {
            let time = Timestamp::from_millis(NOW_MS);
            SignalBatch::Logs(log_batch(&mut random, records, time))
        })
        .bench_local_values(|batch| head.apply(head.prepare(batch).batch));
}

#[divan::bench]
fn append_spans(bencher: Bencher) {
    let head = head();
    let mut random = Random::new(4);
    bencher
        .with_inputs(|| {
            let time = Timestamp::from_millis(NOW_MS);
            SignalBatch::Traces(trace_batch(&mut random, 100, time))
        })
        .input_counter(|batch| ItemsCount::new(batch.len()))
        .bench_local_values(|batch| head.apply(head.prepare(batch).batch));
}

#[divan::bench(args = ["newest errors", "absent word", "attribute", "traced body"])]
fn scan_200k_logs(bencher: Bencher, what: &str) {
    let head = with_events(200_000);
    let predicates = match what {
        "newest errors" => {
            vec![Predicate::Compare(Field::Severity, Comparison::GreaterOrEqual, 17.0)]
        }
        "absent word" => vec![Predicate::Contains(Field::Body, "nowhere to be found".into())],
        "attribute" => {
            vec![Predicate::Equals(Field::Attribute("order.id".into()), "4711".into())]
        }
        _ => vec![
            Predicate::Equals(Field::Service, "payment-service".into()),
            Predicate::Equals(Field::TraceId, "07".repeat(16)),
            Predicate::Contains(Field::Body, "declined".into()),
        ],
    };
    let scan = EventScan {
        predicates,
        order: EventOrder::NewestFirst,
        limit: Some(100),
        ..EventScan::new(EventSignal::Logs, TimeRange::ALL)
    };
    bencher.bench_local(|| head.scan(&scan, &QueryBudget::unlimited()).map(|b| b.len()));
}

#[divan::bench]
fn trace_by_id(bencher: Bencher) {
    let head = with_events(200_000);
    let some =
        EventScan { limit: Some(1000), ..EventScan::new(EventSignal::Spans, TimeRange::ALL) };
    let found = head.scan(&some, &QueryBudget::unlimited()).expect("no budget to exceed");
    let ids: Vec<_> = found
        .iter()
        .flat_map(|batch| event::spans(batch).expect("whole batch"))
        .map(|span| span.span.trace_id)
        .collect();
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 1) % ids.len();
        head.trace(ids[at], &QueryBudget::unlimited()).map(|b| b.len())
    });
}
