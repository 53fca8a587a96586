//! What a flush, a compaction and reads from blocks cost, through the whole store on a real folder.
//!
//! `cargo bench -p skopos-store --bench blocks`. Each line names its work, how long it took and what
//! it left on disk. The work is done once: figures are for orientation, `cargo xtask bench store` is
//! the comparison.

use std::sync::Arc;
use std::time::Instant;

use skopos_model::event::{EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{Append, QueryBudget, SampleBuffer, SelectSeries, SeriesSelect};
use skopos_model::{
    LabelMatcher, Labels, MetricBatch, Sample, SeriesSamples, SignalBatch, TimeRange, Timestamp,
};
use skopos_store::scan::ScanEvents;
use skopos_store::{BlockConfig, Store, StoreConfig, SyncPolicy};
use skopos_testkit::VirtualClock;
use skopos_testkit::generate::{Random, log_batch, trace_batch};

const NOW_MS: i64 = 1_700_000_000_000;
const SERIES: usize = 2_000;
const SCRAPES: i64 = 480;
const ROUNDS: i64 = 4;
const STEP_MS: i64 = 15_000;

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", ["http_requests_total", "http_request_duration_seconds_sum"][i % 2].into()),
        ("job", "shop".to_owned()),
        ("instance", format!("10.0.{}.{}:8080", i / 2000, i / 100 % 20)),
        ("endpoint", format!("/route/{}", i / 2 % 50)),
        ("status_code", ["200", "404", "500"][i % 3].to_owned()),
    ])
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let done = work();
    let seconds = started.elapsed().as_secs_f64();
    println!("{what}: {:.1} ms", seconds * 1e3);
    (done, seconds)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(VirtualClock::new(Timestamp::from_millis(NOW_MS)));
    let config = StoreConfig {
        sync: SyncPolicy::Interval(std::time::Duration::from_secs(1)),
        blocks: BlockConfig { automatic: false, ..BlockConfig::default() },
        ..StoreConfig::new(folder.path())
    };
    let store = Store::open(config, clock.clone()).expect("a store");
    let mut random = Random::new(1);
    let mut levels: Vec<f64> = (0..SERIES).map(|i| i as f64).collect();
    for round in 0..ROUNDS {
        for scrape in 0..SCRAPES {
            let time = NOW_MS - (ROUNDS * SCRAPES - round * SCRAPES - scrape) * STEP_MS;
            let series = levels.iter_mut().enumerate().map(|(i, level)| {
                *level += match i % 2 {
                    0 => random.below(30) as f64,
                    _ => random.below(3000) as f64 / 1000.0,
                };
                let value = if i % 2 == 0 { *level } else { (*level * 1e3).round() / 1e3 };
                let sample = Sample::float(time + random.below(3) as i64, value);
                SeriesSamples { samples: vec![sample], ..SeriesSamples::single(labels(i), 0, 0.0) }
            });
            let batch = MetricBatch { series: series.collect(), metadata: vec![] };
            runtime.block_on(store.append(SignalBatch::Metrics(batch))).expect("append");
        }
        let (report, seconds) =
            timed("flush of metrics", || runtime.block_on(store.flush()).expect("flush"));
        println!(
            "  {} samples, {:.2} M/s, {:.2} B/sample",
            report.rows,
            report.rows as f64 / seconds / 1e6,
            report.bytes as f64 / report.rows as f64
        );
    }
    timed("compaction of 4 blocks", || runtime.block_on(store.maintain()).expect("maintain"));
    let stats = store.stats().blocks;
    println!("  {:.2} B/sample", stats.bytes[0] as f64 / stats.rows[0] as f64);
    for what in ["first select of 100 series", "again"] {
        let (samples, _) = timed(what, || {
            let select = SeriesSelect {
                matchers: vec![LabelMatcher::equal("instance", "10.0.0.3:8080")],
                start_ms: i64::MIN,
                end_ms: i64::MAX,
                hints: Default::default(),
            };
            let budget = QueryBudget::unlimited();
            let read = store.select(&select, &budget);
            let mut out = SampleBuffer::default();
            for series in runtime.block_on(read).expect("select").series {
                out.clear();
                series.samples.decode(i64::MIN, i64::MAX, &mut out).expect("decode");
            }
            out.len()
        });
        println!("  {samples} samples each");
    }

    let now = Timestamp::from_millis(NOW_MS);
    let mut traces = Vec::new();
    for _ in 0..ROUNDS {
        for _ in 0..40 {
            let logs = log_batch(&mut random, 1000, now);
            let spans = trace_batch(&mut random, 200, now);
            traces.push(spans.groups[0].spans[0].trace_id);
            runtime.block_on(store.append(SignalBatch::Logs(logs))).expect("append");
            runtime.block_on(store.append(SignalBatch::Traces(spans))).expect("append");
        }
        let (report, seconds) =
            timed("flush of events", || runtime.block_on(store.flush()).expect("flush"));
        println!("  {} events, {:.0} k/s", report.rows, report.rows as f64 / seconds / 1e3);
    }
    timed("compaction of 2 × 4 blocks", || runtime.block_on(store.maintain()).expect("maintain"));
    let stats = store.stats().blocks;
    println!("  {:.0} B/log record", stats.bytes[1] as f64 / stats.rows[1] as f64);
    println!("  {:.0} B/span", stats.bytes[2] as f64 / stats.rows[2] as f64);
    for what in ["first trace by id", "another"] {
        let id = *random.pick(&traces);
        let budget = QueryBudget::unlimited();
        timed(what, || runtime.block_on(store.trace(id, &budget)).expect("trace").len());
    }
    let absent = Predicate::Contains(Field::Body, "absent token".into());
    let scan =
        EventScan { predicates: vec![absent], ..EventScan::new(EventSignal::Logs, TimeRange::ALL) };
    let budget = QueryBudget::unlimited();
    timed("absent text in 160,000 log records", || {
        runtime.block_on(store.scan(&scan, &budget)).expect("scan").len()
    });
}
