//! The write-ahead log seen from outside: durability, grouping, poison.

mod damage;
mod series;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use skopos_model::SignalBatch;
use skopos_model::storage::{Append, ErrorKind, StateLog};
use skopos_store::{Store, StoreConfig, StoreError, SyncPolicy, codec};
use skopos_testkit::fault_fs::{FaultFs, Faults, Survival};

use crate::format::{self, FRAME_HEADER};
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
