//! What a sample that comes by remote write costs, from the body of the request to the answer, and
//! what reading it back from the log costs at the next start.
//!
//! `cargo bench -p skopos-store --bench remote_write`: a hundred thousand series with one sample
//! each a request round, as `cargo xtask bench store metrics` sends them to the whole server, without
//! HTTP. Processor time of the process, all threads, from `/proc/self/stat`, so Linux only; it counts
//! rather than wall time, because machines have other work. `SKOPOS_BENCH_SERIES` and
//! `SKOPOS_BENCH_ROUNDS` change the sizes.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use skopos_ingest::Limits;
use skopos_ingest::remote_write::{self, LabelCache};
use skopos_model::storage::Append;
use skopos_model::{Clock, Labels, MetricBatch, SeriesSamples, SignalBatch, SystemClock};
use skopos_store::{Store, StoreConfig};

const PER_REQUEST: usize = 2_000;
const SENDERS: usize = 2;
const SCRAPE_MS: i64 = 15_000;
/// Bytes of a request after decompression.
const MAX_BYTES: usize = 64 << 20;
const CACHE_BYTES: usize = 256 << 20;

fn main() {
    let series = figure("SKOPOS_BENCH_SERIES", 100_000);
    let rounds = figure("SKOPOS_BENCH_ROUNDS", 21);
    let labels: Vec<Labels> = (0..series).map(request_labels).collect();
    let start = SystemClock::new().now().as_millis() - rounds as i64 * SCRAPE_MS;
    let bodies: Vec<Vec<Vec<u8>>> =
        (0..rounds).map(|round| bodies(&labels, start, round)).collect();
    drop(labels);
    let (first, others) = bodies.split_first().expect("there is a round");
    let repeated = series * (rounds - 1);

    report("decompress", repeated, || {
        for body in others.iter().flatten() {
            std::hint::black_box(remote_write::decompress(body, MAX_BYTES)).expect("decompresses");
        }
    });
    report("decompress and decode", repeated, || {
        for body in others.iter().flatten() {
            drop(std::hint::black_box(decode(body, None)));
        }
    });
    let cache = LabelCache::new(&Limits::default(), CACHE_BYTES);
    first.iter().for_each(|body| drop(decode(body, Some(&cache))));
    report("… with known label sets", repeated, || {
        for body in others.iter().flatten() {
            drop(std::hint::black_box(decode(body, Some(&cache))));
        }
    });
    println!("  {} label sets kept, {:.1} MiB", cache.len(), mib(cache.size_bytes()));
    drop(cache);

    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let cache = LabelCache::new(&Limits::default(), CACHE_BYTES);
    report("all of it, new series", series, || send(&store, &cache, std::slice::from_ref(first)));
    report("all of it, known series", repeated, || send(&store, &cache, others));
    let stats = store.stats();
    println!(
        "  {} samples of {} series in {:.1} MiB of head, {:.1} bytes a sample in the log",
        stats.head.samples,
        stats.head.series,
        mib(usize::try_from(stats.head_bytes).unwrap_or(usize::MAX)),
        stats.wal.bytes as f64 / stats.head.samples as f64,
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(store.close()).expect("closes");
    drop(store);
    for _ in 0..2 {
        let mut samples = 0;
        report("opened again", series * rounds, || {
            samples = open(folder.path()).stats().head.samples;
        });
        assert_eq!(samples, (series * rounds) as u64);
    }
}

fn figure(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise).max(2)
}

fn open(folder: &Path) -> Store {
    let mut config = StoreConfig::new(folder);
    config.max_head_bytes = 8 << 30;
    config.blocks.automatic = false;
    Store::open(config, Arc::new(SystemClock::new())).expect("store opens")
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

fn decode(body: &[u8], cache: Option<&LabelCache>) -> MetricBatch {
    let plain = remote_write::decompress(body, MAX_BYTES).expect("decompresses");
    let decoded = remote_write::decode_with(&plain, &Limits::default(), cache);
    decoded.expect("decodes").decoded.value
}

/// Two senders, each of which waits for its answer before it sends the next request.
fn send(store: &Store, cache: &LabelCache, rounds: &[Vec<Vec<u8>>]) {
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().build().expect("runtime");
                for body in
                    rounds.iter().flat_map(|round| round.iter().skip(sender).step_by(SENDERS))
                {
                    let batch = SignalBatch::Metrics(decode(body, Some(cache)));
                    let sent = batch.len() as u64;
                    let answer = runtime.block_on(store.append(batch)).expect("append");
                    assert_eq!(answer.accepted, sent);
                }
            });
        }
    });
}

fn report(what: &str, samples: usize, run: impl FnOnce()) {
    let (cpu, began) = (cpu_seconds(), Instant::now());
    run();
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{what:<26} {:>6.3} µs of processor a sample, {:>6.0} k samples/CPU-s, {cpu:.2} s of it in {wall:.2} s",
        cpu * 1e6 / samples as f64,
        samples as f64 / 1e3 / cpu,
    );
}

/// Processor seconds of this process so far, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold spaces: utime and stime are the 12th and 13th.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = |at: usize| fields.split_whitespace().nth(at).and_then(|n| n.parse::<f64>().ok());
    (ticks(11).unwrap_or(f64::NAN) + ticks(12).unwrap_or(f64::NAN)) / 100.0
}

fn bodies(labels: &[Labels], start: i64, round: usize) -> Vec<Vec<u8>> {
    let at = start + round as i64 * SCRAPE_MS;
    let requests = labels.chunks(PER_REQUEST).enumerate().map(|(request, labels)| {
        let value = |i: usize| (round * (i % 50 + request % 7)) as f64;
        let one =
            |(i, labels): (usize, &Labels)| SeriesSamples::single(labels.clone(), at, value(i));
        let series = labels.iter().enumerate().map(one).collect();
        remote_write::encode(&MetricBatch { series, metadata: Vec::new() })
    });
    requests.collect()
}

/// Nine labels of about 190 bytes.
fn request_labels(i: usize) -> Labels {
    let pod = i / 100;
    let (endpoint, status) = (i % 20, ["200", "201", "404", "500", "503"][i / 20 % 5]);
    Labels::from_pairs([
        ("__name__", "http_server_requests_total"),
        ("cluster", "eu-central-1a"),
        ("endpoint", &*format!("/api/v1/resource-{endpoint:02}/:id")),
        ("instance", &*format!("10.0.{}.{}:8080", pod / 256, pod % 256)),
        ("job", "checkout"),
        ("method", "POST"),
        ("namespace", "shop-production"),
        ("pod", &*format!("checkout-7d9c5b6f4-{pod:05}")),
        ("status_code", status),
    ])
}
