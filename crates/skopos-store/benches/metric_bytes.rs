//! How many bytes a sample takes on disk, by table and column, after flush and after compaction.
//!
//! `SKOPOS_RECORDING=FOLDER cargo bench -p skopos-store --bench metric_bytes`: the folder holds
//! pages of `/metrics` without comments, one scrape a file, in order of their names. They are stored
//! as if scraped every 15 s, of several hosts that are some scrapes apart. Without a folder series
//! are made up: constants, counters of whole numbers, seconds of CPU, gauges.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use skopos_model::storage::Append;
use skopos_model::{Labels, MetricBatch, SeriesSamples, SignalBatch, Timestamp};
use skopos_store::{BlockConfig, Store, StoreConfig, SyncPolicy};
use skopos_testkit::VirtualClock;
use skopos_testkit::generate::Random;

const NOW_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 15_000;
const HOSTS: usize = 4;
/// Two hours of samples.
const PER_FLUSH: usize = 480;

type Scrape = Vec<(Vec<(String, String)>, f64)>;

fn recorded(folder: &str) -> Vec<Scrape> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the recording's folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("a page");
    files.iter().map(|path| read(path).lines().filter_map(parse).collect()).collect()
}

/// A line without escapes, which is what node exporters write.
fn parse(line: &str) -> Option<(Vec<(String, String)>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
    let mut rest = labels.strip_suffix('}')?;
    while let Some((name, more)) = rest.split_once("=\"") {
        let (value, more) = more.split_once('"')?;
        pairs.push((name.trim_start_matches(',').to_owned(), value.to_owned()));
        rest = more;
    }
    Some((pairs, value.parse().ok()?))
}

fn made_up() -> Vec<Scrape> {
    let mut random = Random::new(1);
    let mut levels = [0.0_f64; 500];
    (0..4 * PER_FLUSH + 4 * HOSTS)
        .map(|_| {
            levels
                .iter_mut()
                .enumerate()
                .map(|(i, level)| {
                    *level = match i % 10 {
                        0..5 => i as f64,
                        5 => *level + random.below(2000) as f64,
                        6 => *level + random.below(3) as f64,
                        7 | 8 => {
                            ((*level + random.below(1500) as f64 / 100.0) * 100.0).round() / 100.0
                        }
                        _ => (random.below(1 << 20) * 4096) as f64,
                    };
                    let name = format!("node_metric_{}", i / 8);
                    let pairs = [("__name__", name), ("cpu", (i % 8).to_string())];
                    (pairs.map(|(n, v)| (n.to_owned(), v)).to_vec(), *level)
                })
                .collect()
        })
        .collect()
}

fn main() {
    let folder = std::env::var("SKOPOS_RECORDING");
    let scrapes = folder.map_or_else(|_| made_up(), |folder| recorded(&folder));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(VirtualClock::new(Timestamp::from_millis(NOW_MS)));
    let config = StoreConfig {
        sync: SyncPolicy::Interval(std::time::Duration::from_secs(1)),
        blocks: BlockConfig { automatic: false, compact_count: 2, ..BlockConfig::default() },
        ..StoreConfig::new(folder.path())
    };
    let store = Store::open(config, clock).expect("a store");
    let mut random = Random::new(7);
    let count = scrapes.len() - 4 * HOSTS;
    for at in 0..count {
        let mut series = Vec::new();
        for host in 0..HOSTS {
            let instance = format!("10.0.0.{host}:9100");
            // A scrape comes some milliseconds late, as a whole.
            let time = NOW_MS - (count - at) as i64 * STEP_MS + random.below(4) as i64;
            for (pairs, value) in &scrapes[at + host * 4] {
                let own = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                let labels =
                    Labels::from_pairs(own.chain([("instance", &*instance), ("job", "node")]));
                series.push(SeriesSamples::single(labels, time, *value));
            }
        }
        let batch = MetricBatch { series, metadata: vec![] };
        runtime.block_on(store.append(SignalBatch::Metrics(batch))).expect("append");
        if (at + 1) % PER_FLUSH == 0 || at + 1 == count {
            runtime.block_on(store.flush()).expect("flush");
        }
    }
    let stats = store.stats().blocks;
    println!("{} samples in {} blocks", stats.rows[0], stats.blocks[0]);
    report("flushed", folder.path(), stats.rows[0]);
    // The second call also removes what the first has merged.
    for _ in 0..2 {
        runtime.block_on(store.maintain()).expect("maintain");
    }
    let stats = store.stats().blocks;
    report(&format!("compacted to {} blocks", stats.blocks[0]), folder.path(), stats.rows[0]);
}

/// Prints bytes per sample of all that is on disk.
fn report(what: &str, data: &Path, samples: u64) {
    let mut by_column: BTreeMap<String, i64> = BTreeMap::new();
    let (mut all, mut rows) = (0, 0);
    for entry in std::fs::read_dir(data.join("default/blocks")).expect("blocks") {
        let path = entry.expect("an entry").path();
        let table = path.file_stem().and_then(|n| n.to_str()).unwrap_or("").split_once('-');
        let table = table.map_or("", |(_, table)| table).to_owned();
        let file = std::fs::File::open(&path).expect("a block");
        let len = file.metadata().expect("its length").len() as i64;
        all += len;
        let reader = SerializedFileReader::new(file).expect("Parquet");
        let mut columns = 0;
        for group in reader.metadata().row_groups() {
            if table == "chunks" {
                rows += group.num_rows();
            }
            for column in group.columns() {
                let name = format!("{table}.{}", column.column_path().string());
                let entry = by_column.entry(name).or_default();
                *entry += column.compressed_size();
                columns += column.compressed_size();
            }
        }
        *by_column.entry(format!("{table} (footer, indexes)")).or_default() += len - columns;
    }
    println!("\n{what}: {:.3} B/sample, {rows} chunks", all as f64 / samples as f64);
    for (name, bytes) in by_column {
        println!(
            "  {name:<40} {:>9} B  {:.4} B/sample  {:.1} B/chunk",
            bytes,
            bytes as f64 / samples as f64,
            bytes as f64 / rows as f64
        );
    }
}
