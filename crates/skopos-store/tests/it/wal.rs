//! The write-ahead log seen from outside: durability, grouping, poison, damage, versions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::SignalBatch;
use skopos_model::storage::{Append, ErrorKind, StateLog};
use skopos_store::{Store, StoreConfig, StoreError, SyncPolicy, codec};
use skopos_testkit::fault_fs::{FaultFs, Faults, Survival};

use crate::format::{self, FRAME_HEADER, HEADER};
use crate::support::*;

const WAL: &[u8; 8] = b"SKOPWAL\n";

/// A disk with one segment of these batches, the store killed without closing.
fn killed_after(batches: Vec<SignalBatch>) -> FaultFs {
    let fs = FaultFs::new();
    let config = StoreConfig { segment_bytes: 1 << 20, ..config() };
    let store = open_with(&fs, config).unwrap();
    block_on(async {
        for batch in batches {
            store.append(batch).await.unwrap();
        }
    });
    let copy = fs.fork();
    drop(store);
    copy.restart(Survival::Nothing);
    copy
}

fn open_error(fs: &FaultFs) -> StoreError {
    match open(fs) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_power_failure() {
    let fs = killed_after(vec![metric("up", 1), log("hello"), span("GET /")]);
    let store = open(&fs).unwrap();
    assert_eq!(store.recovery().wal_batches, 3);
    assert_eq!(store.recovery().torn, []);
    block_on(async {
        assert_eq!(samples(&store).await.len(), 1);
        assert_eq!(logs(&store).await[0].1, "hello");
        assert_eq!(spans(&store).await[0].1, "GET /");
        store.close().await.unwrap();
    });
}

#[test]
fn acknowledgement_waits_for_the_fsync_and_many_share_one() {
    let fs = FaultFs::new();
    let store = Arc::new(open(&fs).unwrap());
    block_on(async {
        let paused = fs.pause_syncs();
        let append = |i: i64| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.append(metric("up", i)).await })
        };
        // The first alone waits for the disk; the others gather behind it.
        let writes = fs.counts().writes;
        let first = append(0);
        eventually(|| fs.counts().writes > writes).await;
        let others: Vec<_> = (1..51).map(append).collect();
        // The first is taken from the queue and waits for the disk; nothing can be read yet.
        eventually(|| store.stats().wal.waiting == 50).await;
        assert_eq!(store.stats().head.samples, 0);
        assert!(!first.is_finished());
        assert!(others.iter().all(|task| !task.is_finished()));
        assert_eq!(store.stats().wal.fsyncs.count, 0);
        drop(paused);
        first.await.unwrap().unwrap();
        for task in others {
            assert_eq!(task.await.unwrap().unwrap().accepted, 1);
        }
        let stats = store.stats().wal;
        assert_eq!(stats.frames, 51);
        // The appender may still be handing over when the second group begins.
        assert!(stats.groups <= 4, "{} groups", stats.groups);
        assert_eq!(stats.fsyncs.count, stats.groups);
    });
}

#[test]
fn with_an_interval_the_fsync_comes_after_the_acknowledgement() {
    let fs = FaultFs::new();
    let sync = SyncPolicy::Interval(Duration::from_millis(20));
    let store = open_with(&fs, StoreConfig { sync, ..config() }).unwrap();
    block_on(async {
        let paused = fs.pause_syncs();
        store.append(metric("up", 1)).await.unwrap();
        assert_eq!(store.stats().wal.fsyncs.count, 0);
        drop(paused);
        eventually(|| store.stats().wal.fsyncs.count > 0).await;
    });
    let copy = fs.fork();
    copy.restart(Survival::Nothing);
    block_on(async { assert_eq!(samples(&open(&copy).unwrap()).await.len(), 1) });
}

/// Unsynced batches may go, but only from the end: a new segment never stands on an unsynced one.
#[test]
fn with_an_interval_a_power_failure_leaves_a_prefix() {
    let sync = SyncPolicy::Interval(Duration::from_secs(3600));
    for survival in Survival::ALL {
        let fs = FaultFs::new();
        let store = open_with(&fs, StoreConfig { sync, ..config() }).unwrap();
        block_on(async {
            for i in 0..30 {
                store.append(log(&format!("line {i}"))).await.unwrap();
            }
        });
        let copy = fs.fork();
        copy.restart(survival);
        let lines = block_on(logs(&open(&copy).unwrap()));
        // The last segment alone is not synced.
        assert!(lines.len() > 15, "{survival:?}: {}", lines.len());
        for (i, (_, body)) in lines.iter().enumerate() {
            assert_eq!(*body, format!("line {i}"), "{survival:?}");
        }
    }
}

#[test]
fn segments_rotate_by_size_and_replay_in_order() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        for i in 0..40 {
            store.append(metric("up", i % 20)).await.unwrap();
            store.append(log(&format!("line {i}"))).await.unwrap();
        }
        store.close().await.unwrap();
    });
    let segments = |fs: &FaultFs| {
        fs.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "wal")).count()
    };
    assert!(segments(&fs) > 3, "{}", segments(&fs));
    for path in fs.files().iter().filter(|path| path.extension().is_some_and(|e| e == "wal")) {
        let bytes = fs.read(path).unwrap();
        assert!(bytes.len() < 1100, "{} has {} bytes", path.display(), bytes.len());
        format::frames(&bytes, WAL);
    }
    let before = segments(&fs);
    let store = open(&fs).unwrap();
    block_on(async {
        let lines = logs(&store).await;
        assert_eq!(lines.len(), 40);
        assert!(lines.iter().enumerate().all(|(i, (_, body))| *body == format!("line {i}")));
        assert_eq!(samples(&store).await.len(), 20);
        assert_eq!(store.stats().wal.frames, 0);
        store.close().await.unwrap();
    });
    // Restarts without data leave no trail.
    for _ in 0..3 {
        block_on(open(&fs).unwrap().close()).unwrap();
    }
    assert_eq!(segments(&fs), before + 1);
}

#[test]
fn a_write_torn_at_any_byte_leaves_what_was_before() {
    let prepared = killed_after(vec![metric("up", 1)]);
    for (what, batch) in [
        ("a log record", log("torn")),
        ("a sample of a series with a number", metric("up", 7)),
        ("a sample of a new series", metric("down", 7)),
    ] {
        torn_anywhere(&prepared, what, &batch);
    }
}

fn torn_anywhere(prepared: &FaultFs, what: &str, batch: &SignalBatch) {
    // As the first frame of a segment: after a start, label sets stand in it anew.
    let whole = killed_after(vec![batch.clone()]).read(&wal_path(1)).unwrap();
    let frame_len = whole.len() - format::frames(&whole, WAL)[0].offset;
    for torn_bytes in 0..=frame_len {
        let fs = prepared.fork();
        let store = open_with(&fs, StoreConfig { segment_bytes: 1 << 20, ..config() }).unwrap();
        // The write of the frame is the next operation.
        fs.set_faults(Faults { crash_at: Some(1), torn_bytes, ..Faults::default() });
        let answer = block_on(store.append(batch.clone()));
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Poisoned);
        drop(store);
        fs.restart(Survival::Everything);
        for _ in 0..2 {
            let fs = fs.fork();
            let store = open(&fs).unwrap();
            let torn = &store.recovery().torn;
            if (1..frame_len).contains(&torn_bytes) {
                assert_eq!((torn.len(), torn[0].bytes), (1, torn_bytes as u64));
                assert_eq!(torn[0].path, wal_path(2));
            } else {
                assert_eq!(torn.len(), 0, "{what}: {torn_bytes} of {frame_len}");
            }
            block_on(async {
                let complete = usize::from(torn_bytes == frame_len);
                let count =
                    async |store: &Store| logs(store).await.len() + samples(store).await.len();
                let found = count(&store).await;
                assert_eq!(found, 1 + complete, "{what}: {torn_bytes} of {frame_len}");
                store.append(log("after")).await.unwrap();
                store.append(metric("down", 8)).await.unwrap();
                store.append(metric("up", 8)).await.unwrap();
                store.close().await.unwrap();
                let after = samples(&open(&fs).unwrap()).await;
                let of = |name: &str| {
                    after.iter().filter(|(labels, _, _)| labels.starts_with(name)).count()
                };
                let (up, down) = match batch {
                    SignalBatch::Metrics(one) if one.series[0].labels.metric_name() == "up" => {
                        (complete, 0)
                    }
                    SignalBatch::Metrics(_) => (0, complete),
                    _ => (0, 0),
                };
                assert_eq!((of("up"), of("down")), (2 + up, 1 + down), "{what}, {torn_bytes}");
                assert_eq!(count(&open(&fs).unwrap()).await, found + 3);
            });
        }
    }
}

#[test]
fn a_failed_write_or_fsync_stops_appends_and_nothing_else() {
    for faults in [
        Faults { fail_sync: Some(1), ..Faults::default() },
        Faults { fail_write: Some(1), ..Faults::default() },
    ] {
        let fs = FaultFs::new();
        let store = open(&fs).unwrap();
        block_on(async {
            store.append(metric("up", 1)).await.unwrap();
            fs.set_faults(faults);
            let error = store.append(metric("up", 2)).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Poisoned);
            assert!(error.message.contains("injected failure"), "{error}");
            for _ in 0..3 {
                let error = store.append(log("late")).await.unwrap_err();
                assert_eq!(error.kind, ErrorKind::Poisoned);
                assert!(error.is_retryable());
            }
            let health = store.health();
            assert!(!health.wal_writable && health.state_writable);
            assert!(health.wal_failure.unwrap().contains("0000000001.wal"));
            // Reads and state commits go on.
            assert!(samples(&store).await.iter().any(|(_, _, bits)| *bits == 1f64.to_bits()));
            store.commit(commit("rule", 1)).await.unwrap();
            assert_eq!(store.last_slot("rule").await.unwrap(), Some(1));
            assert_eq!(store.close().await.unwrap_err().kind, ErrorKind::Poisoned);
        });
        drop(store);
        for survival in Survival::ALL {
            let fs = fs.fork();
            fs.restart(survival);
            block_on(async {
                let store = open(&fs).unwrap();
                assert!(store.health().wal_writable);
                let up: Vec<_> = samples(&store).await;
                assert!(up.iter().any(|(_, _, bits)| *bits == 1f64.to_bits()), "{survival:?}");
                assert_eq!(store.last_slot("rule").await.unwrap(), Some(1));
                assert!(logs(&store).await.is_empty());
            });
        }
    }
}

/// After a failed fsync the system shows bytes that are not on disk. Recovery must not build on
/// them: what comes after has to survive a later power failure.
#[test]
fn bytes_lost_by_a_failed_fsync_do_not_take_later_ones_with_them() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.append(metric("up", 1)).await.unwrap();
        fs.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
        store.append(metric("up", 2)).await.unwrap_err();
    });
    drop(store);
    // The process restarts; the machine does not.
    fs.set_faults(Faults::default());
    let store = open(&fs).unwrap();
    block_on(store.append(metric("up", 3))).unwrap();
    let copy = fs.fork();
    copy.restart(Survival::Nothing);
    block_on(async {
        let store = open(&copy).unwrap();
        let values: Vec<_> =
            samples(&store).await.iter().map(|(_, _, bits)| f64::from_bits(*bits)).collect();
        assert!(values.contains(&1.0) && values.contains(&3.0), "{values:?}");
    });
}

#[test]
fn damage_before_the_end_is_named_with_file_and_offset() {
    let fs = killed_after(vec![metric("up", 1), log("two"), span("three")]);
    let good = fs.read(&wal_path(1)).unwrap();
    let frames = format::frames(&good, WAL);
    assert_eq!(frames.len(), 3);
    for at in 0..good.len() {
        for flip in [0x01, 0x80] {
            let fs = fs.fork();
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            fs.put(&wal_path(1), bytes);
            let frame = frames.iter().position(|f| f.offset <= at && at < f.end());
            match (open(&fs), frame) {
                // Nothing after the last frame says that it was durable.
                (Ok(store), Some(2)) => {
                    assert_eq!(store.recovery().torn[0].offset, frames[2].offset as u64);
                    block_on(async {
                        assert_eq!(samples(&store).await.len(), 1);
                        assert_eq!(logs(&store).await.len(), 1);
                        assert_eq!(spans(&store).await.len(), 0);
                    });
                }
                (Err(StoreError::Corrupt { path, offset, .. }), Some(frame)) => {
                    assert_eq!((&path, offset), (&wal_path(1), frames[frame].offset as u64));
                }
                (Err(StoreError::Corrupt { path, offset, .. }), None) => {
                    assert_eq!((&path, offset), (&wal_path(1), 0));
                }
                (Err(StoreError::UnsupportedVersion { .. }), None) => {
                    assert!((8..12).contains(&at));
                }
                (Ok(_), at_frame) => panic!("byte {at} of frame {at_frame:?} unnoticed"),
                (Err(error), _) => panic!("byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_closed_log_vouches_for_its_last_batch() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.append(log("one")).await.unwrap();
        store.close().await.unwrap();
    });
    let mut bytes = fs.read(&wal_path(1)).unwrap();
    let frames = format::frames(&bytes, WAL);
    assert_eq!(frames.last().unwrap().kind, 0);
    bytes[frames[0].offset + FRAME_HEADER + 5] ^= 1;
    fs.put(&wal_path(1), bytes);
    assert!(matches!(open_error(&fs), StoreError::Corrupt { offset: 24, .. }));
}

#[test]
fn a_missing_segment_is_corruption() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        for i in 0..20 {
            store.append(log(&format!("line {i}"))).await.unwrap();
        }
        store.close().await.unwrap();
    });
    use skopos_store::fs::Fs;
    fs.remove(&wal_path(2)).unwrap();
    let error = open_error(&fs);
    assert!(matches!(&error, StoreError::Corrupt { path, .. } if *path == wal_path(2)), "{error}");
    // From the front files may go: that is how a log shrinks.
    fs.remove(&wal_path(1)).unwrap();
    open(&fs).unwrap();
}

#[test]
fn newer_versions_are_refused_by_name() {
    for (bytes, want) in [
        (format::file(WAL, 3, 1, &[]), "format version 3"),
        (format::file(WAL, 2, 1, &[(2, 1, b"")]), "frame version 2"),
        (format::file(WAL, 2, 1, &[(1, 77, b"")]), "frame kind 77"),
        // Kind 4 came with the second version.
        (format::file(WAL, 1, 1, &[(1, 4, b"")]), "frame kind 4"),
    ] {
        let fs = FaultFs::new();
        fs.put(&wal_path(1), bytes);
        let error = open_error(&fs);
        assert!(matches!(error, StoreError::UnsupportedVersion { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(want) && text.contains("0000000001.wal"), "{text}");
        assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
    }
}

#[test]
fn a_foreign_file_is_not_touched() {
    let fs = FaultFs::new();
    let bytes = b"this is a text of somebody else, and longer than a header".to_vec();
    fs.put(&wal_path(1), bytes.clone());
    assert!(matches!(open_error(&fs), StoreError::Corrupt { offset: 0, .. }));
    assert_eq!(fs.read(&wal_path(1)), Some(bytes));
}

#[test]
fn intact_frames_with_wrong_bodies_are_corruption() {
    let body = b"\xff\xff";
    for kind in [1, 2, 3, 4] {
        let fs = FaultFs::new();
        fs.put(&wal_path(1), format::file(WAL, 2, 1, &[(1, kind, body)]));
        let error = open_error(&fs);
        assert!(matches!(error, StoreError::Corrupt { offset, .. } if offset == HEADER as u64));
    }
}

/// The numbers of the series in a segment, and its label sets.
fn numbers(fs: &FaultFs, number: u64) -> (Vec<String>, Vec<Vec<usize>>) {
    let bytes = fs.read(&wal_path(number)).unwrap();
    assert_eq!(format::version(&bytes), 2);
    format::numbered(&format::frames(&bytes, WAL))
}

#[test]
fn a_label_set_stands_once_in_a_segment_and_numbers_hold_for_one() {
    let fs = FaultFs::new();
    let store = open_with(&fs, StoreConfig { segment_bytes: 1 << 20, ..config() }).unwrap();
    let (up, down) = ("__name__=up,job=test".to_owned(), "__name__=down,job=test".to_owned());
    block_on(async {
        for i in 0..3 {
            store.append(metric("up", i)).await.unwrap();
        }
        for name in ["down", "up", "down"] {
            store.append(metric(name, 5)).await.unwrap();
        }
        let used = [0, 0, 0, 1, 0, 1].map(|number| vec![number]);
        assert_eq!(numbers(&fs, 1), (vec![up.clone(), down.clone()], used.to_vec()));
        // A flush ends the segment; the next one begins with what is carried over.
        store.flush().await.unwrap();
        store.append(metric("down", 6)).await.unwrap();
        let (mut known, used) = numbers(&fs, 2);
        assert_eq!(used.last(), Some(&vec![known.iter().position(|set| *set == down).unwrap()]));
        known.sort();
        assert_eq!(known, [down.clone(), up.clone()]);
        // A store elsewhere in this process has numbers of its own for the same label sets.
        let other = FaultFs::new();
        let second = open_with(&other, StoreConfig { segment_bytes: 1 << 20, ..config() }).unwrap();
        let (batch, first) = (metric("down", 7), metric("first", 7));
        second.append(first).await.unwrap();
        for _ in 0..3 {
            second.append(batch.clone()).await.unwrap();
            store.append(batch.clone()).await.unwrap();
        }
        drop((store, second));
        for (fs, want) in [(fs, 5), (other, 1)] {
            fs.restart(Survival::Nothing);
            let all = samples(&open(&fs).unwrap()).await;
            let down = all.iter().filter(|(labels, _, _)| labels.starts_with("down"));
            let values: Vec<f64> = down.map(|(_, _, bits)| f64::from_bits(*bits)).collect();
            assert_eq!(values.last(), Some(&7.0), "{values:?}");
            assert!(values.len() <= want, "{values:?}");
        }
    });
}

#[test]
fn a_segment_is_readable_alone() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        for i in 0..200 {
            let name = ["up", "down", "left"][i as usize % 3];
            store.append(metric(name, i)).await.unwrap();
        }
        store.close().await.unwrap();
    });
    let all: Vec<u64> = (1..).take_while(|number| fs.read(&wal_path(*number)).is_some()).collect();
    assert!(all.len() > 3, "{all:?}");
    let mut values = Vec::new();
    for number in &all {
        let fs = fs.fork();
        use skopos_store::fs::Fs;
        for other in all.iter().filter(|other| *other != number) {
            fs.remove(&wal_path(*other)).unwrap();
        }
        for (labels, _, bits) in block_on(samples(&open(&fs).unwrap())) {
            let value = f64::from_bits(bits);
            let name = ["up", "down", "left"][value as usize % 3];
            assert!(labels.starts_with(name), "{labels}: {value}");
            values.push(value as i64);
        }
    }
    values.sort_unstable();
    assert_eq!(values, (0..200).collect::<Vec<_>>());
}

#[test]
fn a_series_number_that_was_never_given_is_corruption() {
    let numbers = &mut codec::SeriesNumbers::new();
    let SignalBatch::Metrics(batch) = metric("up", 1) else { unreachable!("made so") };
    let (first, second) =
        (codec::encode_numbered(&batch, numbers), codec::encode_numbered(&batch, numbers));
    for (frames, at) in [
        // A label set was left out, or comes twice.
        (vec![&second], 0),
        (vec![&first, &first], 1),
        (vec![&first, &second, &first], 2),
    ] {
        let fs = FaultFs::new();
        let frames: Vec<(u8, u8, &[u8])> = frames.into_iter().map(|body| (1, 4, &**body)).collect();
        let bytes = format::file(WAL, 2, 1, &frames);
        let offset = format::frames(&bytes, WAL)[at].offset as u64;
        fs.put(&wal_path(1), bytes);
        match open_error(&fs) {
            StoreError::Corrupt { path, offset: found, reason } => {
                assert_eq!((path, found), (wal_path(1), offset));
                assert!(reason.contains("series"), "{reason}");
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_full_head_refuses_and_counts_and_rules_go_on() {
    let fs = FaultFs::new();
    let store = open_with(&fs, StoreConfig { max_head_bytes: 1, ..config() }).unwrap();
    block_on(async {
        // The bound is looked at before a batch, so the first one fits.
        store.append(metric("up", 1)).await.unwrap();
        let error = store.append(metric("up", 2)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("max_head_bytes = 1"), "{error}");
        let (stats, health) = (store.stats(), store.health());
        assert_eq!((stats.refused_head_full, health.head_full), (1, true));
        assert_eq!(samples(&store).await.len(), 1);
        store.commit(commit("rule", 1)).await.unwrap();
        assert_eq!(samples(&store).await.len(), 2);
    });
}

#[test]
fn a_second_store_is_told_who_holds_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(StoreConfig::new(folder.path()), Arc::new(Still));
    let store = open().unwrap();
    let error = open().err().unwrap();
    let want = format!("is in use by pid {}", std::process::id());
    assert!(error.to_string().contains(&want), "{error}");
    block_on(store.close()).unwrap();
    open().unwrap();
}

#[test]
fn a_closed_store_refuses_writes_and_answers_reads() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.append(metric("up", 1)).await.unwrap();
        store.close().await.unwrap();
        store.close().await.unwrap();
        let error = store.append(metric("up", 2)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(store.commit(commit("r", 1)).await.unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(samples(&store).await.len(), 1);
        assert!(!store.health().wal_writable);
    });
}

#[test]
fn refused_items_are_counted_by_reason_and_not_logged() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        let receipt = store.append(metric("up", 1_000_000)).await.unwrap();
        assert_eq!((receipt.accepted, receipt.rejected.len()), (0, 1));
        let stats = store.stats();
        assert_eq!(stats.rejected, [("far_future".to_owned(), 1)]);
        assert_eq!((stats.wal.frames, stats.accepted_samples), (0, 0));
    });
}

#[test]
fn values_nested_too_deep_are_refused_and_leave_no_trace() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    let mut body = skopos_model::AnyValue::Int(1);
    for _ in 0..=codec::MAX_DEPTH {
        body = skopos_model::AnyValue::Array(vec![body]);
    }
    let SignalBatch::Logs(mut batch) = log("x") else { panic!() };
    batch.groups[0].records[0].body = body;
    block_on(async {
        let error = store.append(SignalBatch::Logs(batch)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(logs(&store).await.is_empty());
        store.append(log("fine")).await.unwrap();
    });
}

fn fixture(version: u32) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v{version}"))
}

/// Files written by the first version stay readable, to the last value.
#[test]
fn version_1_stays_readable() {
    let fs = FaultFs::new();
    format::load_folder(&fs, &fixture(1), Path::new(DATA));
    let frames = format::frames(&fs.read(&wal_path(1)).unwrap(), WAL);
    let kinds: Vec<u8> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [1, 2, 3, 0]);
    let metrics = codec::decode_metrics(&frames[0].body).unwrap();
    assert_eq!(format!("{metrics:?}"), format!("{:?}", rich_metrics()));
    assert_eq!(codec::encode_metrics(&metrics), codec::encode_metrics(&rich_metrics()));
    let (first, logs) = codec::decode_logs(&frames[1].body).unwrap();
    assert_eq!((first, format!("{logs:?}")), (7, format!("{:?}", rich_logs())));
    let (first, traces) = codec::decode_traces(&frames[2].body).unwrap();
    assert_eq!((first, format!("{traces:?}")), (9, format!("{:?}", rich_traces())));

    let store = open(&fs).unwrap();
    assert_eq!((store.recovery().wal_batches, store.recovery().torn.len()), (3, 0));
    assert_eq!(store.stats().head.logs, 2);
    assert_eq!(store.stats().head.spans, 2);
    block_on(async {
        assert_eq!(store.last_slot("rule").await.unwrap(), Some(3));
        let alerts = store.load(skopos_model::storage::StateKind::Alert).await.unwrap();
        let keys: Vec<_> = alerts.iter().map(|record| record.key.as_str()).collect();
        assert_eq!(keys, ["rule/1", "rule/2", "rule/3"]);
        let recorded = samples(&store).await;
        let recorded = recorded.iter().filter(|(labels, _, _)| labels.starts_with("recorded"));
        assert_eq!(recorded.count(), 3);
    });
}

/// Files of the second version: series have numbers.
#[test]
fn version_2_stays_readable() {
    let fs = FaultFs::new();
    format::load_folder(&fs, &fixture(2), Path::new(DATA));
    let bytes = fs.read(&wal_path(1)).unwrap();
    assert_eq!(format::version(&bytes), 2);
    let frames = format::frames(&bytes, WAL);
    let kinds: Vec<u8> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [4, 4, 1, 2, 3, 0]);
    let mut known = codec::NumberedSeries::new();
    for frame in &frames[..2] {
        let metrics = codec::decode_numbered(&frame.body, &mut known).unwrap();
        assert_eq!(format!("{metrics:?}"), format!("{:?}", rich_metrics()));
        let again = codec::encode_metrics(&metrics);
        assert_eq!(again, codec::encode_metrics(&rich_metrics()), "to the last bit");
    }
    assert_eq!(known.len(), rich_metrics().series.len());
    let numbers = &mut codec::SeriesNumbers::new();
    let batch = rich_metrics();
    for frame in &frames[..2] {
        assert_eq!(codec::encode_numbered(&batch, numbers), frame.body, "what is written today");
    }

    // The same as from the first version, where each sample stood with its labels.
    let old = FaultFs::new();
    format::load_folder(&old, &fixture(1), Path::new(DATA));
    let (store, old) = (open(&fs).unwrap(), open(&old).unwrap());
    assert_eq!((store.recovery().wal_batches, store.recovery().torn.len()), (5, 0));
    assert_eq!(store.stats().head.logs, 2);
    assert_eq!(store.stats().head.spans, 2);
    block_on(async {
        let mut want = samples(&old).await;
        want.retain(|(labels, _, _)| !labels.starts_with("recorded"));
        assert_eq!(samples(&store).await, want);
    });
}

/// Writes the log's fixture of the current version anew: `cargo test -p skopos-store -- --ignored
/// write_fixture`. Released fixtures are never rewritten.
#[test]
#[ignore = "writes files into the source tree"]
fn write_fixture() {
    let (batch, numbers) = (rich_metrics(), &mut codec::SeriesNumbers::new());
    let bodies = [
        codec::encode_numbered(&batch, numbers),
        codec::encode_numbered(&batch, numbers),
        codec::encode_metrics(&batch),
        codec::encode_logs(7, &rich_logs()).unwrap(),
        codec::encode_traces(9, &rich_traces()).unwrap(),
    ];
    let kinds = [4, 4, 1, 2, 3];
    let mut frames: Vec<(u8, u8, &[u8])> =
        kinds.into_iter().zip(&bodies).map(|(kind, body)| (1, kind, &**body)).collect();
    frames.push((1, 0, &[]));
    let path = fixture(2).join("default/wal/0000000001.wal");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format::file(WAL, 2, 1, &frames)).unwrap();
}

/// Writes the corpus of the state log's fuzz target anew: `cargo test -p skopos-store -- --ignored
/// write_state_corpus`.
#[test]
#[ignore = "writes files into the source tree"]
fn write_state_corpus() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.commit(commit("rule", 1)).await.unwrap();
        store.commit(commit("rule", 2)).await.unwrap();
        store.compact().await.unwrap();
        store.commit(commit("rule", 3)).await.unwrap();
        store.close().await.unwrap();
    });
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/state");
    std::fs::create_dir_all(&corpus).unwrap();
    for path in fs.files().iter().filter(|path| path.starts_with("/data/default/state")) {
        let bytes = fs.read(path).unwrap();
        for frame in format::frames(&bytes, b"SKOPSTA\n") {
            std::fs::write(corpus.join(format!("kind-{}", frame.kind)), &frame.body).unwrap();
        }
    }
}
