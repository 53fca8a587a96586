//! Torn writes, flipped bytes and missing files: what was before them is there, and the rest is named.

use skopos_model::SignalBatch;
use skopos_model::storage::{Append, ErrorKind};
use skopos_store::{Store, StoreConfig, StoreError};
use skopos_testkit::fault_fs::{FaultFs, Faults, Survival};

use super::{WAL, killed_after, open_error};
use crate::format::{self, HEADER};
use crate::support::*;

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
