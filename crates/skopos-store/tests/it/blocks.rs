//! Blocks by themselves: what triggers a flush, what readers see meanwhile, retention,
//! the fixtures of all versions. Damage has a file of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skopos_model::SignalBatch;
use skopos_model::storage::{Append, ErrorKind, QueryBudget, StateLog};
use skopos_store::fs::StdFs;
use skopos_store::scan::ScanEvents;
use skopos_store::{
    BlockConfig, ReplayProgress, Retention, Store, StoreConfig, fuzz_catalog, fuzz_chunk,
};
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::{FaultFs, Survival};
use skopos_testkit::generate::{MetricGenerator, Random, log_batch};

use crate::format;
use crate::support::*;

fn open_at(fs: &FaultFs, blocks: BlockConfig, clock: Arc<VirtualClock>) -> Store {
    let config = StoreConfig { blocks, ..StoreConfig::new(DATA) };
    Store::open_on(config, Arc::new(fs.clone()), clock, ReplayProgress::new()).unwrap()
}

pub(crate) fn block_files(fs: &FaultFs) -> Vec<PathBuf> {
    let dir = Path::new(DATA).join("default/blocks");
    fs.files().into_iter().filter(|path| path.starts_with(&dir)).collect()
}

fn wal_files(fs: &FaultFs) -> usize {
    let dir = Path::new(DATA).join("default/wal");
    fs.files().into_iter().filter(|path| path.starts_with(&dir)).count()
}

#[test]
fn a_flush_frees_memory_and_wal_and_keeps_everything() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        assert_eq!(store.flush().await.unwrap().blocks, 0, "nothing to flush");
        for i in 0..40 {
            store.append(metric("up", i)).await.unwrap();
            store.append(log(&i.to_string())).await.unwrap();
            store.append(span(&i.to_string())).await.unwrap();
        }
        let before = (samples(&store).await, logs(&store).await, spans(&store).await);
        let (head_bytes, wal_bytes) = (store.stats().head_bytes, store.stats().wal.bytes);
        assert!(wal_files(&fs) > 5);
        let report = store.flush().await.unwrap();
        assert_eq!((report.blocks, report.rows), (3, 120));
        assert!(report.bytes > 0);
        let stats = store.stats();
        assert!(stats.head_bytes < head_bytes / 4, "{} of {head_bytes}", stats.head_bytes);
        assert!(stats.wal.bytes < wal_bytes / 4, "{} of {wal_bytes}", stats.wal.bytes);
        assert_eq!(wal_files(&fs), 1);
        assert_eq!((stats.blocks.blocks, stats.blocks.rows), ([1; 3], [40; 3]));
        let after = (samples(&store).await, logs(&store).await, spans(&store).await);
        assert_eq!(after, before);
        // What was carried over is not written again.
        assert_eq!(store.flush().await.unwrap().blocks, 0);
        store.append(metric("down", 1)).await.unwrap();
        assert_eq!(store.flush().await.unwrap().rows, 1);
        drop(store);
        fs.restart(Survival::Nothing);
        let store = open(&fs).unwrap();
        assert_eq!(samples(&store).await.len(), 41);
        assert_eq!(logs(&store).await, before.1);
        // Event numbers go on.
        store.append(log("next")).await.unwrap();
        let ids: BTreeSet<u128> = logs(&store).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), 41);
    });
}

#[test]
fn size_and_age_flush_by_themselves() {
    let clock = Arc::new(VirtualClock::default());
    let fs = FaultFs::new();
    let blocks = BlockConfig { flush_bytes: 100_000, ..BlockConfig::default() };
    let store = open_at(&fs, blocks, Arc::clone(&clock));
    block_on(async {
        let mut random = Random::new(1);
        let mut sent = 0;
        while store.stats().blocks.flushes == 0 {
            sent += 20;
            assert!(sent < 100_000, "no flush by size");
            let batch = log_batch(&mut random, 20, skopos_model::Timestamp::from_millis(NOW_MS));
            store.append(SignalBatch::Logs(batch)).await.unwrap();
        }
        assert_eq!(logs(&store).await.len(), sent);
        store.flush().await.unwrap();
        let flushes = store.stats().blocks.flushes;
        store.append(log("old")).await.unwrap();
        clock.advance(Duration::from_secs(7201));
        eventually(|| store.stats().blocks.flushes > flushes).await;
        assert_eq!(store.stats().head.logs, 0);
        assert_eq!(logs(&store).await.len(), sent + 1);
    });
}

#[test]
fn readers_see_everything_once_while_data_moves() {
    let fs = FaultFs::new();
    let store = Arc::new(open(&fs).unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mover = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                block_on(async {
                    store.flush().await.unwrap();
                    store.maintain().await.unwrap();
                });
            }
        })
    };
    let reader = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        let acknowledged = Arc::clone(&acknowledged);
        std::thread::spawn(move || {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) || rounds == 0 {
                let least = acknowledged.load(Ordering::SeqCst);
                block_on(async {
                    let found = logs(&store).await;
                    let ids: BTreeSet<u128> = found.iter().map(|(id, _)| *id).collect();
                    assert_eq!(ids.len(), found.len(), "an event twice");
                    assert!(found.len() >= least, "{} of {least} events", found.len());
                    let found = samples(&store).await;
                    assert!(found.len() >= least, "{} of {least} samples", found.len());
                    for (i, (_, _, bits)) in found.iter().enumerate() {
                        assert_eq!(f64::from_bits(*bits), i as f64);
                    }
                });
                rounds += 1;
            }
            rounds
        })
    };
    block_on(async {
        for i in 0..300 {
            store.append(metric("up", i)).await.unwrap();
            store.append(log(&i.to_string())).await.unwrap();
            acknowledged.store(i as usize + 1, Ordering::SeqCst);
        }
    });
    done.store(true, Ordering::Relaxed);
    mover.join().unwrap();
    assert!(reader.join().unwrap() > 0);
    assert!(store.stats().blocks.flushes > 3, "{:?}", store.stats().blocks);
    assert!(store.stats().blocks.merged > 0);
    block_on(async {
        assert_eq!(logs(&store).await.len(), 300);
        store.maintain().await.unwrap();
    });
    // Nothing of what was merged is left behind.
    let [metrics, logs, spans] = store.stats().blocks.blocks;
    let most = metrics * 3 + logs * 2 + spans * 2;
    assert!(block_files(&fs).len() as u64 <= most, "{} files", block_files(&fs).len());
}

#[test]
fn late_samples_win_over_blocks_and_deltas_go_on_after_a_restart() {
    let fs = FaultFs::new();
    let clock = Arc::new(VirtualClock::default());
    let blocks = BlockConfig { automatic: false, compact_count: 2, ..BlockConfig::default() };
    let open = || open_at(&fs, blocks.clone(), Arc::clone(&clock));
    let mut store = open();
    let delta = |time, value| {
        let mut batch = metric("orders_total", 0);
        let SignalBatch::Metrics(metrics) = &mut batch else { unreachable!("made above") };
        metrics.series[0].temporality = skopos_model::Temporality::Delta;
        metrics.series[0].samples = vec![skopos_model::Sample::float(NOW_MS + time, value)];
        batch
    };
    block_on(async {
        store.append(metric("up", 1)).await.unwrap();
        store.append(metric("up", 30)).await.unwrap();
        store.append(delta(0, 5.0)).await.unwrap();
        for round in 1..=4 {
            store.flush().await.unwrap();
            if round % 2 == 0 {
                store.maintain().await.unwrap();
            }
            drop(store);
            fs.restart(Survival::Nothing);
            store = open();
            let mut late = metric("up", 1);
            let SignalBatch::Metrics(metrics) = &mut late else { unreachable!("made above") };
            metrics.series[0].samples[0].value = skopos_model::SampleValue::Float(round as f64);
            assert_eq!(store.append(late).await.unwrap().accepted, 1);
            assert_eq!(store.append(delta(round * 10, 1.0)).await.unwrap().accepted, 1);
            // A repeat of what only blocks know, and a sample too old for them.
            let again = store.append(delta(round * 10 - 10, 1.0)).await.unwrap();
            assert_eq!(again.rejected[0].reason, "out_of_order");
            let old = store.append(metric("up", -3600)).await.unwrap();
            assert_eq!(old.rejected[0].reason, "too_old");
            let values: Vec<f64> =
                samples(&store).await.iter().map(|(_, _, bits)| f64::from_bits(*bits)).collect();
            let mut want: Vec<f64> = (0..=round).map(|i| 5.0 + i as f64).collect();
            want.extend([round as f64, 30.0]);
            assert_eq!(values, want, "round {round}");
        }
    });
}

#[test]
fn retention_removes_blocks_by_age_and_by_bytes() {
    let fs = FaultFs::new();
    let clock = Arc::new(VirtualClock::default());
    let blocks = BlockConfig {
        automatic: false,
        compact_count: 100,
        logs: Retention { age: Duration::from_secs(86_400), bytes: None },
        spans: Retention { age: Duration::from_secs(86_400 * 30), bytes: Some(20_000) },
        ..BlockConfig::default()
    };
    let store = open_at(&fs, blocks, Arc::clone(&clock));
    block_on(async {
        for day in 0..3 {
            store.append(log(&format!("day {day}"))).await.unwrap();
            store.append(span(&format!("day {day}"))).await.unwrap();
            store.append(metric("up", day)).await.unwrap();
            store.flush().await.unwrap();
        }
        let report = store.maintain().await.unwrap();
        let spans_kept = spans(&store).await.len() as u64;
        assert_eq!(report.expired, 3 - spans_kept);
        assert!((1..3).contains(&spans_kept), "{spans_kept} blocks of spans in 20,000 bytes");
        clock.advance(Duration::from_secs(86_401));
        assert_eq!(store.maintain().await.unwrap().expired, 3, "logs of yesterday");
        assert!(logs(&store).await.is_empty());
        assert_eq!(samples(&store).await.len(), 3);
        assert_eq!(store.stats().blocks.expired, 3 + 3 - spans_kept);
        // Their files go too, as soon as no read holds them any more.
        let logs_left = || {
            let files = block_files(&fs);
            files.into_iter().filter(|path| path.to_string_lossy().contains("logs")).count()
        };
        for _ in 0..1_000 {
            if logs_left() == 0 {
                break;
            }
            store.maintain().await.unwrap();
        }
        assert_eq!(logs_left(), 0);
    });
}

#[test]
fn the_state_log_leaves_out_samples_that_are_in_blocks() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        for slot in 1..=200 {
            store.commit(commit("rule", slot)).await.unwrap();
        }
        store.compact().await.unwrap();
        let with_samples = store.stats().state_log.bytes;
        store.flush().await.unwrap();
        store.commit(commit("rule", 201)).await.unwrap();
        store.compact().await.unwrap();
        let without = store.stats().state_log.bytes;
        assert!(without < with_samples * 3 / 4, "{without} of {with_samples}");
        drop(store);
        fs.restart(Survival::Nothing);
        let store = open(&fs).unwrap();
        assert_eq!(samples(&store).await.len(), 201);
        // Only the last one had to come back into memory, and what was carried over.
        assert!(store.stats().head.samples <= 2, "{:?}", store.stats().head);
    });
}

#[test]
fn a_failed_flush_is_told_and_made_up_for() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.append(log("one")).await.unwrap();
        // Syncs: the segment that ends may be synced already; of the block the first that fails.
        for fail_write in [3, 3, 4] {
            let faults = skopos_testkit::fault_fs::Faults {
                fail_write: Some(fail_write),
                ..Default::default()
            };
            fs.set_faults(faults);
            let failed = store.flush().await;
            fs.set_faults(Default::default());
            if failed.is_err() {
                assert!(store.health().flush_failure.is_some());
            }
            assert_eq!(logs(&store).await.len(), 1);
            if !store.health().wal_writable {
                return;
            }
        }
        store.append(log("two")).await.unwrap();
        store.flush().await.unwrap();
        assert_eq!(store.health().flush_failure, None);
        assert_eq!(store.stats().head.logs, 0);
        assert_eq!(logs(&store).await.len(), 2);
    });
}

pub(crate) fn fixture(version: u32) -> PathBuf {
    let folder = format!("tests/fixtures/blocks-v{version}");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

async fn fill(store: &Store) {
    store.append(SignalBatch::Logs(rich_logs())).await.unwrap();
    for (i, batch) in [metric("up", 1), metric("up", 2)].into_iter().enumerate() {
        store.append(batch).await.unwrap();
        store.append(span(&format!("span {i}"))).await.unwrap();
        store.flush().await.unwrap();
    }
    let mut metrics = MetricGenerator::new(11, 14, NOW_MS - 300_000, 10_000);
    for _ in 0..20 {
        store.append(SignalBatch::Metrics(metrics.next_batch())).await.unwrap();
    }
    store.commit(commit("rule", 1)).await.unwrap();
    store.flush().await.unwrap();
}

pub(crate) async fn everything(store: &Store) -> String {
    format!("{:#?}\n{:#?}\n{:#?}", samples(store).await, logs(store).await, spans(store).await)
}

#[test]
fn every_version_of_blocks_and_catalog_stays_readable() {
    for version in [1, 2, 3, 4] {
        let (fs, fixture) = (FaultFs::new(), fixture(version));
        format::load_folder(&fs, &fixture.join("default"), &Path::new(DATA).join("default"));
        let want = std::fs::read_to_string(fixture.join("everything.txt")).unwrap();
        let store = open(&fs).unwrap();
        block_on(async {
            assert_eq!(store.stats().blocks.blocks, [3, 1, 2]);
            assert_eq!(everything(&store).await, want);
            store.maintain().await.unwrap();
            assert_eq!(everything(&store).await, want);
        });
    }
}

#[test]
#[ignore = "writes files into the source tree"]
fn write_block_fixture() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { data_dir: folder.path().into(), ..config() };
    let fs = Arc::new(StdFs);
    let store = Store::open_on(config, fs, Arc::new(Still), ReplayProgress::new()).unwrap();
    block_on(async {
        fill(&store).await;
        let text = everything(&store).await;
        store.close().await.unwrap();
        std::fs::create_dir_all(fixture(4)).unwrap();
        std::fs::write(fixture(4).join("everything.txt"), text).unwrap();
    });
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/catalog");
    std::fs::create_dir_all(&corpus).unwrap();
    for entry in std::fs::read_dir(folder.path().join("default/catalog")).unwrap() {
        let path = entry.unwrap().path();
        let frames = format::frames(&std::fs::read(&path).unwrap(), b"SKOPCTL\n");
        std::fs::write(corpus.join(path.file_stem().unwrap()), &frames[0].body).unwrap();
    }
    for dir in ["catalog", "blocks", "wal", "state"] {
        let (from, to) = (folder.path().join("default").join(dir), fixture(4).join("default"));
        std::fs::create_dir_all(to.join(dir)).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(dir).join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_newer_block_version_is_refused_by_name() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.append(log("one")).await.unwrap();
        store.flush().await.unwrap();
        store.close().await.unwrap();
    });
    drop(store);
    let path = block_files(&fs).into_iter().find(|p| p.to_string_lossy().contains("logs")).unwrap();
    let mut bytes = fs.read(&path).unwrap();
    let key = b"skopos.block.version";
    let at = bytes.windows(key.len()).rposition(|window| window == key).unwrap() + key.len();
    let digit = at + bytes[at..].iter().position(|&byte| byte == b'4').unwrap();
    bytes[digit] = b'5';
    crate::damage::checksum_footer(&mut bytes);
    fs.put(&path, bytes);
    let store = open(&fs).unwrap();
    block_on(async {
        let scan = skopos_model::event::EventScan::new(
            skopos_model::event::EventSignal::Logs,
            skopos_model::TimeRange::ALL,
        );
        let error = store.scan(&scan, &QueryBudget::unlimited()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnsupportedVersion, "{error}");
        assert!(error.message.contains("format version 5"), "{error}");
    });
}

/// What is kept of blocks is bounded, goes with them, and can always be read again.
#[test]
fn what_is_kept_of_blocks_is_bounded() {
    let fs = FaultFs::new();
    let store = open_with(&fs, StoreConfig { cache_bytes: 1, ..config() }).unwrap();
    block_on(async {
        for i in 0..5 {
            store.append(metric("up", i)).await.unwrap();
            store.append(log(&i.to_string())).await.unwrap();
            store.flush().await.unwrap();
        }
        for _ in 0..3 {
            assert_eq!(samples(&store).await.len(), 5);
            assert_eq!(logs(&store).await.len(), 5);
        }
        let cache = store.stats().cache;
        assert_eq!((cache.blocks, cache.max_bytes), (1, 1));
        assert!(cache.evicted >= 25, "{cache:?}");
    });
    let store = open_with(&fs.fork(), config()).unwrap();
    block_on(async {
        assert_eq!(samples(&store).await.len(), 5);
        assert_eq!(logs(&store).await.len(), 5);
        let cache = store.stats().cache;
        assert_eq!((cache.blocks, cache.evicted), (10, 0));
        assert!(cache.bytes > 1000, "{cache:?}");
        store.maintain().await.unwrap();
        let left: u64 = store.stats().blocks.blocks.iter().sum();
        assert!(left < 10);
        // Merged ones are let go right after the answer.
        eventually(|| store.stats().cache.blocks <= left).await;
    });
}

#[test]
fn fuzz_catalog_versions() {
    crate::codec::fuzz("catalog", fuzz_catalog);
}

#[test]
fn fuzz_chunks() {
    crate::codec::fuzz("chunk", fuzz_chunk);
}
