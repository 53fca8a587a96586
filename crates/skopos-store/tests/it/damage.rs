//! Blocks whose bytes are not those that were written: no query answers with anything else than
//! before, the damage is told, and there is a way on.

use std::path::{Path, PathBuf};

use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{
    Append, ErrorKind, QueryBudget, SampleBuffer, SelectSeries, StorageError,
};
use skopos_model::{SignalBatch, TimeRange, Timestamp, TraceId};
use skopos_store::fs::Fs;
use skopos_store::scan::ScanEvents;
use skopos_store::snapshot::{Damaged, restore, snapshot};
use skopos_store::verify::{set_aside, verify};
use skopos_store::{Store, StoreConfig, StoreError};
use skopos_testkit::conformance::compare::series_select;
use skopos_testkit::fault_fs::{FaultFs, Survival};
use skopos_testkit::generate::{MetricGenerator, Random, log_batch, trace_batch};

use crate::blocks::{block_files, fixture};
use crate::format;
use crate::support::*;

/// Where the footer of a block file begins, by the document of Parquet.
fn footer(bytes: &[u8]) -> usize {
    let tail = bytes.len() - 8;
    assert_eq!(&bytes[tail + 4..], b"PAR1");
    tail - u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize
}

/// Makes the checksums of a file fit its footer again, by `docs/formats/block.md`.
pub(crate) fn checksum_footer(bytes: &mut [u8]) {
    let footer = footer(bytes);
    assert_eq!(&bytes[footer - 8..footer], b"SKOPSUM1");
    let of_footer = crc32c::crc32c(&bytes[footer..]).to_le_bytes();
    bytes[footer - 20..footer - 16].copy_from_slice(&of_footer);
    let pieces = u32::from_le_bytes(bytes[footer - 16..footer - 12].try_into().unwrap()) as usize;
    let of_region = crc32c::crc32c(&bytes[footer - 20 - 4 * pieces..footer - 12]).to_le_bytes();
    bytes[footer - 12..footer - 8].copy_from_slice(&of_region);
}

/// A folder with a block of each signal and more than one row group's worth of everything small.
fn filled() -> FaultFs {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        let mut random = Random::new(3);
        let mut metrics = MetricGenerator::new(3, 14, NOW_MS - 100_000, 10_000);
        let now = Timestamp::from_millis(NOW_MS);
        for _ in 0..5 {
            store.append(SignalBatch::Metrics(metrics.next_batch())).await.unwrap();
            store.append(SignalBatch::Traces(trace_batch(&mut random, 2, now))).await.unwrap();
            store.append(SignalBatch::Logs(log_batch(&mut random, 200, now))).await.unwrap();
        }
        store.append(SignalBatch::Metrics(rich_metrics())).await.unwrap();
        store.flush().await.unwrap();
        store.close().await.unwrap();
    });
    drop(store);
    fs.restart(Survival::Everything);
    fs
}

/// What every kind of read answers.
async fn answers(store: &Store) -> Vec<Result<String, StorageError>> {
    let budget = QueryBudget::unlimited();
    let all = series_select(vec![], i64::MIN, i64::MAX);
    let select = async {
        let mut text = String::new();
        for series in store.select(&all, &budget).await?.series {
            let mut buffer = SampleBuffer::default();
            series.samples.decode(i64::MIN, i64::MAX, &mut buffer)?;
            let bits: Vec<u64> = buffer.values.iter().map(|value| value.to_bits()).collect();
            text.push_str(&format!("{} {:?} {bits:?}\n", series.labels, buffer.timestamps));
        }
        Ok(text)
    };
    let scan = async |signal| {
        let scan = EventScan::new(signal, TimeRange::ALL);
        Ok(format!("{:?}", store.scan(&scan, &budget).await?))
    };
    let jobs = ["__name__", "le", "path"];
    let mut all_answers = vec![
        select.await,
        store.exemplars(&all, &budget).await.map(|found| format!("{found:?}")),
        store.metadata(None).await.map(|found| format!("{found:?}")),
        store.label_names(&[], &budget).await.map(|found| format!("{found:?}")),
        scan(EventSignal::Logs).await,
        scan(EventSignal::Spans).await,
        store.trace(TraceId([1; 16]), &budget).await.map(|found| format!("{found:?}")),
        store.services(TimeRange::ALL).await.map(|found| format!("{found:?}")),
    ];
    for name in jobs {
        let values = store.label_values(name, &[], &budget).await;
        all_answers.push(values.map(|found| format!("{found:?}")));
    }
    all_answers
}

/// Flips bits all over the files of a folder; how many reads failed.
fn flip_all_over(fs: &FaultFs, per_file: usize) -> usize {
    let intact: Vec<String> = block_on(async {
        let store = open(&fs.fork()).unwrap();
        answers(&store).await.into_iter().map(Result::unwrap).collect()
    });
    let mut errors = 0;
    for path in block_files(fs) {
        let good = fs.read(&path).unwrap();
        let spread = (0..per_file).map(|i| i * 7919 % good.len());
        let footer = footer(&good);
        // The ends, where a reader begins, are looked at byte by byte.
        let ends = (footer.saturating_sub(24)..footer).chain(good.len() - 10..good.len());
        for (i, at) in spread.chain(ends).enumerate() {
            let fs = fs.fork();
            let mut bad = good.clone();
            bad[at] ^= 1 << (i % 8);
            fs.put(&path, bad);
            let store = open(&fs).unwrap();
            let place = format!("{} of {} bytes, byte {at}", path.display(), good.len());
            let found = block_on(answers(&store));
            for (answer, want) in found.into_iter().zip(&intact) {
                match answer {
                    Ok(answer) => assert!(answer == *want, "{place}: {answer}\nbut was\n{want}"),
                    Err(error) => {
                        errors += 1;
                        assert_eq!(error.kind, ErrorKind::Corrupt, "{place}: {error}");
                        let name = path.file_name().unwrap().to_string_lossy();
                        assert!(error.message.contains(&*name), "{place}: {error}");
                        let told = store.health().damaged_blocks;
                        assert_eq!(told.len(), 1, "{place}");
                        assert_eq!(told[0].file, name, "{place}");
                    }
                }
            }
        }
    }
    errors
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_or_changes_no_answer() {
    let errors = flip_all_over(&filled(), 80);
    assert!(errors > 500, "{errors}");
}

#[test]
fn a_flipped_bit_in_a_file_without_checksums_is_found_too() {
    let (fs, fixture) = (FaultFs::new(), fixture(2));
    format::load_folder(&fs, &fixture.join("default"), &Path::new(DATA).join("default"));
    let errors = flip_all_over(&fs, 8);
    assert!(errors > 300, "{errors}");
}

/// Every block file has checksums where the document says, and they are right.
#[test]
fn checksums_stand_where_the_document_says() {
    let fs = filled();
    let mut most = 0;
    for path in block_files(&fs) {
        let bytes = fs.read(&path).unwrap();
        let footer = footer(&bytes);
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let count = number(footer - 16) as usize;
        let data = footer - 20 - 4 * count;
        let pieces: Vec<u32> = bytes[..data].chunks(16_384).map(crc32c::crc32c).collect();
        let stored: Vec<u32> = (0..count).map(|i| number(data + 4 * i)).collect();
        assert_eq!(stored, pieces, "{}", path.display());
        assert_eq!(number(footer - 20), crc32c::crc32c(&bytes[footer..]));
        assert_eq!(number(footer - 12), crc32c::crc32c(&bytes[data..footer - 12]));
        most = most.max(count);
    }
    assert!(most > 1, "no file has more than one piece");
}

fn flip(fs: &FaultFs, path: &Path) {
    let mut bytes = fs.read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs.put(path, bytes);
}

fn of(fs: &FaultFs, name: &str) -> Vec<PathBuf> {
    let files = block_files(fs);
    files.into_iter().filter(|path| path.to_string_lossy().ends_with(name)).collect()
}

/// Three blocks of logs and of samples each, the middle one of the logs damaged.
fn one_of_three_damaged() -> (FaultFs, String) {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        for i in 0..3 {
            store.append(log(&format!("record {i}"))).await.unwrap();
            store.append(metric("up", i)).await.unwrap();
            store.flush().await.unwrap();
        }
        store.close().await.unwrap();
    });
    drop(store);
    let path = of(&fs, "-logs.parquet")[1].clone();
    flip(&fs, &path);
    fs.restart(Survival::Everything);
    (fs, path.file_name().unwrap().to_string_lossy().into_owned())
}

fn all_logs() -> EventScan {
    EventScan::new(EventSignal::Logs, TimeRange::ALL)
}

#[test]
fn damage_is_told_and_does_not_hold_up_compaction_of_others() {
    let (fs, name) = one_of_three_damaged();
    let store = open(&fs).unwrap();
    block_on(async {
        assert!(store.health().damaged_blocks.is_empty(), "nobody has looked");
        // Compaction is the first to look; it does not carry damage on.
        let error = store.maintain().await.unwrap_err();
        assert!(error.message.contains(&name), "{error}");
        let told = &store.health().damaged_blocks[0];
        assert_eq!((told.signal, &told.file, told.rows), ("logs", &name, 1));
        assert_eq!(store.stats().blocks.damaged, 1);
        // The next time it leaves that block alone and merges what it can.
        for i in 3..5 {
            store.append(log(&format!("record {i}"))).await.unwrap();
            store.flush().await.unwrap();
        }
        let before = store.stats().blocks.merged;
        store.maintain().await.unwrap();
        assert!(store.stats().blocks.merged > before);
        let error = store.scan(&all_logs(), &QueryBudget::unlimited()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.message.contains(&name) && error.message.contains("skopos verify"));
        assert_eq!(samples(&store).await.len(), 3, "others are not concerned");
    });
}

#[test]
fn a_snapshot_names_damaged_blocks_or_leaves_them_out() {
    let (fs, name) = one_of_three_damaged();
    let (to, restored) = (Path::new("/copies/1"), Path::new("/restored"));
    let store = open(&fs).unwrap();
    block_on(async {
        let error = store.snapshot(to, Damaged::Fail).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.message.contains(&name), "{error}");
        assert!(error.message.contains("--skip-damaged"), "{error}");
        assert_eq!(store.health().damaged_blocks.len(), 1);
        assert!(!fs.is_dir(to), "nothing was begun: the same folder can be used again");
        let report = store.snapshot(to, Damaged::Skip).await.unwrap();
        assert_eq!(report.skipped.len(), 1);
        assert_eq!((&report.skipped[0].file, report.skipped[0].rows), (&name, 1));
    });
    drop(store);
    restore(&fs, to, restored, false).unwrap();
    let copy = StoreConfig { data_dir: restored.into(), ..config() };
    let store = open_with(&fs, copy).unwrap();
    block_on(async {
        let bodies: Vec<String> = logs(&store).await.into_iter().map(|(_, body)| body).collect();
        assert_eq!(bodies, ["record 0", "record 2"]);
        assert_eq!(samples(&store).await.len(), 3);
    });
    // Of a stopped folder it is the same.
    let stopped = Path::new("/copies/2");
    let error = snapshot(&fs, Path::new(DATA), stopped, Damaged::Fail).unwrap_err();
    assert!(matches!(&error, StoreError::DamagedBlocks { damaged } if damaged.len() == 1));
    snapshot(&fs, Path::new(DATA), stopped, Damaged::Skip).unwrap();
    restore(&fs, stopped, Path::new("/restored/2"), false).unwrap();
}

#[test]
fn verify_finds_every_damage_and_sets_it_aside() {
    type Harm = fn(&FaultFs, &Path);
    let harms: [(&str, Harm); 3] = [
        ("not those that were written", flip),
        ("were written", |fs, path| {
            let bytes = fs.read(path).unwrap();
            fs.put(path, bytes[..bytes.len() / 2].to_vec());
        }),
        ("the file is missing", |fs, path| fs.remove(path).unwrap()),
    ];
    for (reason, harm) in harms {
        let fs = FaultFs::new();
        let store = open(&fs).unwrap();
        block_on(async {
            for i in 0..3 {
                store.append(log(&format!("record {i}"))).await.unwrap();
                store.append(metric("up", i)).await.unwrap();
                store.flush().await.unwrap();
            }
            // Beside a running server it may look, but not touch.
            let report = verify(&fs, Path::new(DATA)).unwrap();
            // Two files a block of logs (records, skip index), three of metrics (series, chunks, times).
            assert_eq!((report.blocks, report.files, report.damaged.len()), (6, 15, 0));
            let error = set_aside(&fs, Path::new(DATA)).unwrap_err();
            assert!(matches!(error, StoreError::Locked { .. }), "{error}");
            store.close().await.unwrap();
        });
        drop(store);
        assert_eq!(set_aside(&fs, Path::new(DATA)).unwrap().set_aside, None, "nothing to do");
        let (logs_path, chunks) = (of(&fs, "-logs.parquet")[0].clone(), of(&fs, "-chunks.parquet"));
        harm(&fs, &logs_path);
        harm(&fs, &chunks[1]);
        fs.restart(Survival::Everything);
        let report = verify(&fs, Path::new(DATA)).unwrap();
        let found: Vec<&str> = report.damaged.iter().map(|damaged| damaged.signal).collect();
        assert_eq!(found, ["logs", "metrics"], "{reason}");
        for damaged in &report.damaged {
            let said = damaged.reason.to_lowercase();
            assert!(said.contains(reason), "{said}");
        }
        if reason != "not those that were written" {
            let error = open(&fs.fork()).err().expect("a start refuses it").to_string();
            assert!(error.contains("skopos verify --set-aside"), "{error}");
        }
        let report = set_aside(&fs, Path::new(DATA)).unwrap();
        let aside = report.set_aside.unwrap();
        // Durably: and what was whole of the damaged blocks is kept.
        fs.restart(Survival::Nothing);
        let kept = fs.files().into_iter().filter(|path| path.starts_with(&aside)).count();
        assert!(kept >= 2, "{kept} files in {}", aside.display());
        let store = open(&fs).unwrap();
        block_on(async {
            let bodies: Vec<String> =
                logs(&store).await.into_iter().map(|(_, body)| body).collect();
            assert_eq!(bodies, ["record 1", "record 2"]);
            assert_eq!(samples(&store).await.len(), 2);
            store.append(log("goes on")).await.unwrap();
            store.flush().await.unwrap();
            assert_eq!(logs(&store).await.len(), 3);
        });
        assert_eq!(verify(&fs, Path::new(DATA)).unwrap().damaged, []);
    }
    let error = verify(&FaultFs::new(), Path::new("/nothing")).unwrap_err();
    assert!(error.to_string().contains("no data folder"), "{error}");
}
