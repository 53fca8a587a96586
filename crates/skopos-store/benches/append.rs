//! Append and replay throughput on the machine's file system.
//!
//! `cargo bench -p skopos-store --bench append`. Items are samples, log records and spans.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use skopos_model::storage::Append;
use skopos_model::{
    Clock, Labels, LogBatch, LogRecord, MetricBatch, Sample, ScopedLogs, SeriesSamples,
    SignalBatch, SystemClock, Timestamp,
};
use skopos_store::{Store, StoreConfig, codec};

/// Items per batch.
const BATCH: usize = 1000;

fn main() {
    divan::main();
}

/// The `round`-th scrape of a thousand series.
fn metrics(round: i64) -> MetricBatch {
    let now_ms = SystemClock::new().now().as_millis();
    let series = (0..BATCH).map(|i| {
        let (path, instance) = (format!("/route/{}", i % 50), format!("10.0.0.{}", i / 50));
        let labels = Labels::from_pairs([
            ("__name__", "http_requests_total"),
            ("job", "shop"),
            ("instance", &instance),
            ("path", &path),
        ]);
        let sample = Sample::float(now_ms + round, (round * 7 + i as i64) as f64);
        SeriesSamples { samples: vec![sample], ..SeriesSamples::single(labels, 0, 0.0) }
    });
    MetricBatch { series: series.collect(), metadata: vec![] }
}

fn logs(round: i64) -> LogBatch {
    let time = SystemClock::new().now();
    let records = (0..BATCH as i64).map(|i| {
        let mut record = LogRecord {
            time: Timestamp(time.0 + i),
            body: format!("request {} took {} ms", round * 1000 + i, i % 97).into(),
            ..LogRecord::default()
        };
        record.attributes.set("http.request.method", "GET");
        record.attributes.set("http.response.status_code", 200 + i % 5);
        record.attributes.set("url.path", format!("/orders/{}", i % 50));
        record
    });
    LogBatch { groups: vec![ScopedLogs { records: records.collect(), ..ScopedLogs::default() }] }
}

fn open(folder: &std::path::Path) -> Store {
    let config = StoreConfig { max_head_bytes: 8 << 30, ..StoreConfig::new(folder) };
    Store::open(config, Arc::new(SystemClock::new())).expect("store opens")
}

fn append(bencher: Bencher<'_, '_>, batch: impl Fn(i64) -> SignalBatch + Sync) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let mut round = 0;
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| {
            round += 1;
            batch(round)
        })
        .bench_local_values(|batch| runtime.block_on(store.append(batch)).expect("append"));
}

/// One sender that waits for each fsync.
#[divan::bench]
fn append_metrics(bencher: Bencher<'_, '_>) {
    append(bencher, |round| SignalBatch::Metrics(metrics(round)));
}

/// One sender that waits for each fsync.
#[divan::bench]
fn append_logs(bencher: Bencher<'_, '_>) {
    append(bencher, |round| SignalBatch::Logs(logs(round)));
}

/// Sixteen senders at once: what group commit is for.
#[divan::bench]
fn append_metrics_16_senders(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Arc::new(open(folder.path()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let mut round = 0;
    bencher
        .counter(ItemsCount::new(16 * BATCH))
        .with_inputs(|| {
            round += 16;
            (round..round + 16).map(metrics).collect::<Vec<_>>()
        })
        .bench_local_values(|batches| {
            runtime.block_on(async {
                let appends = batches.into_iter().map(|batch| {
                    let store = Arc::clone(&store);
                    tokio::spawn(async move { store.append(SignalBatch::Metrics(batch)).await })
                });
                for task in appends.collect::<Vec<_>>() {
                    task.await.expect("task ends").expect("append");
                }
            })
        });
}

/// Opening a folder with 200 batches of each kind.
#[divan::bench(sample_count = 10)]
fn replay(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(async {
        let store = open(folder.path());
        for round in 0..200 {
            store.append(SignalBatch::Metrics(metrics(round))).await.expect("append");
            store.append(SignalBatch::Logs(logs(round))).await.expect("append");
        }
        store.close().await.expect("close");
    });
    bencher.counter(ItemsCount::new(400 * BATCH)).bench_local(|| open(folder.path()));
}

#[divan::bench]
fn encode_metrics(bencher: Bencher<'_, '_>) {
    let batch = metrics(1);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| codec::encode_metrics(&batch));
}

#[divan::bench]
fn decode_metrics(bencher: Bencher<'_, '_>) {
    let bytes = codec::encode_metrics(&metrics(1));
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| codec::decode_metrics(&bytes));
}

#[divan::bench]
fn encode_logs(bencher: Bencher<'_, '_>) {
    let batch = logs(1);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| codec::encode_logs(1, &batch));
}

#[divan::bench]
fn decode_logs(bencher: Bencher<'_, '_>) {
    let bytes = codec::encode_logs(1, &logs(1)).expect("encodes");
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| codec::decode_logs(&bytes));
}
