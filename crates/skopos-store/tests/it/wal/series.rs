//! Label sets and the numbers that stand for them within a segment.

use skopos_model::SignalBatch;
use skopos_model::storage::Append;
use skopos_store::{StoreConfig, StoreError, codec};
use skopos_testkit::fault_fs::{FaultFs, Survival};

use super::{WAL, open_error};
use crate::format;
use crate::support::*;

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
