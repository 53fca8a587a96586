//! Peak memory of replay beside that of a store at work, each in a process of its own.
//!
//! `cargo bench -p skopos-store --bench replay` fills a folder, ends without closing it, and opens it
//! again. Twice: with the log that a store of these bounds leaves, and with one many times larger
//! than its head. Figures are `VmRSS` and `VmHWM` of `/proc/self/status`, so Linux only.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skopos_model::storage::Append;
use skopos_model::{
    Clock, Labels, LogBatch, LogRecord, MetricBatch, Sample, ScopedLogs, SeriesSamples,
    SignalBatch, SystemClock, Timestamp,
};
use skopos_store::{BlockConfig, Store, StoreConfig};

/// What the head of the small store may hold: flushed at half of it.
const SMALL_HEAD_BYTES: u64 = 128 << 20;
/// A head that is never flushed here.
const LARGE_HEAD_BYTES: u64 = 64 << 30;
const SERIES: usize = 5_000;
const LOGS: usize = 2_000;
const ROUNDS: i64 = 240;
const SCRAPE_MS: i64 = 15_000;

fn main() {
    let role = std::env::var("SKOPOS_REPLAY_ROLE").unwrap_or_default();
    let folder = std::env::var("SKOPOS_REPLAY_FOLDER").unwrap_or_default();
    match role.as_str() {
        "fill" => fill(Path::new(&folder), SMALL_HEAD_BYTES),
        "fill-large" => fill(Path::new(&folder), LARGE_HEAD_BYTES),
        "replay" => replay(Path::new(&folder), SMALL_HEAD_BYTES),
        "replay-large" => replay(Path::new(&folder), LARGE_HEAD_BYTES),
        _ => measure(),
    }
}

fn measure() {
    let work = tempfile::tempdir().expect("temporary folder");
    let large = tempfile::tempdir().expect("temporary folder");
    let run = |role: &str, folder: &Path| {
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.env("SKOPOS_REPLAY_ROLE", role).env("SKOPOS_REPLAY_FOLDER", folder);
        // It ends by abort; what it printed counts.
        let output = command.output().expect("own binary starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{role:<14} {text}");
        let figure = |name: &str| -> f64 {
            let found = text.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
        };
        (figure("median_mib="), figure("peak_mib="))
    };
    let (median, peak) = run("fill", work.path());
    let (_, after) = run("replay", work.path());
    println!(
        "  replay's peak is {:.2} × the median at work, {:.2} × its peak",
        after / median,
        after / peak
    );
    run("fill-large", large.path());
    let (_, after) = run("replay", large.path());
    println!(
        "  of a log that holds everything: {:.2} × the median at work, {:.2} × its peak",
        after / median,
        after / peak
    );
}

fn open(folder: &Path, head_bytes: u64) -> Store {
    let mut config = StoreConfig::new(folder);
    config.max_head_bytes = head_bytes;
    config.blocks = BlockConfig { flush_bytes: head_bytes / 2, ..BlockConfig::default() };
    Store::open(config, Arc::new(SystemClock::new())).expect("store opens")
}

fn fill(folder: &Path, head_bytes: u64) {
    let store = open(folder, head_bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let begun = Timestamp(SystemClock::new().now().0 - ROUNDS * SCRAPE_MS * 1_000_000);
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        let at = Timestamp(begun.0 + round * SCRAPE_MS * 1_000_000);
        runtime.block_on(async {
            append(&store, || SignalBatch::Metrics(metrics(round, at))).await;
            for part in 0..5 {
                append(&store, || SignalBatch::Logs(logs(round * 5 + part, at))).await;
            }
        });
        resident.push(status_mib("VmRSS:"));
    }
    let stats = store.stats();
    let mut half = resident.split_off(resident.len() / 2);
    half.sort_by(f64::total_cmp);
    println!(
        "{} samples, {} logs, wal {} MiB, head {} MiB, {} flushes: median_mib={:.0} peak_mib={:.0}",
        stats.accepted_samples,
        stats.accepted_logs,
        stats.wal.bytes >> 20,
        stats.head_bytes >> 20,
        stats.blocks.flushes,
        half.get(half.len() / 2).copied().unwrap_or(f64::NAN),
        status_mib("VmHWM:"),
    );
    std::process::abort();
}

/// Appends as a sender does: what is refused because the head is full is sent again.
async fn append(store: &Store, batch: impl Fn() -> SignalBatch) {
    while let Err(error) = store.append(batch()).await {
        assert!(error.is_retryable(), "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn replay(folder: &Path, head_bytes: u64) {
    let started = Instant::now();
    let store = open(folder, head_bytes);
    let stats = store.stats();
    println!(
        "{} batches in {:.1} s, head {} MiB, {} blocks: peak_mib={:.0}",
        store.recovery().wal_batches,
        started.elapsed().as_secs_f64(),
        stats.head_bytes >> 20,
        stats.blocks.blocks.iter().sum::<u64>(),
        status_mib("VmHWM:"),
    );
    std::process::abort();
}

fn status_mib(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib = line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(f64::NAN);
    kib / 1024.0
}

fn metrics(round: i64, at: Timestamp) -> MetricBatch {
    let series = (0..SERIES).map(|i| {
        let (path, instance) = (format!("/route/{}", i % 50), format!("10.0.0.{}", i / 50));
        let labels = Labels::from_pairs([
            ("__name__", "http_requests_total"),
            ("job", "shop"),
            ("instance", &instance),
            ("path", &path),
        ]);
        let sample = Sample::float(at.as_millis(), (round * 7 + i as i64) as f64);
        SeriesSamples { samples: vec![sample], ..SeriesSamples::single(labels, 0, 0.0) }
    });
    MetricBatch { series: series.collect(), metadata: vec![] }
}

fn logs(round: i64, at: Timestamp) -> LogBatch {
    let records = (0..LOGS as i64).map(|i| {
        let mut record = LogRecord {
            time: Timestamp(at.0 + i),
            body: format!("request {} took {} ms", round * 10_000 + i, i % 97).into(),
            ..LogRecord::default()
        };
        record.attributes.set("http.request.method", "GET");
        record.attributes.set("http.response.status_code", 200 + i % 5);
        record.attributes.set("url.path", format!("/orders/{}", i % 50));
        record
    });
    LogBatch { groups: vec![ScopedLogs { records: records.collect(), ..ScopedLogs::default() }] }
}
