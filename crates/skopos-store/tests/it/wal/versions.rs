//! Files of every version that was ever written, and of one that is not yet.

use std::path::Path;

use skopos_model::storage::{ErrorKind, StateLog};
use skopos_store::{StoreError, codec};
use skopos_testkit::fault_fs::FaultFs;

use super::{WAL, open_error};
use crate::format;
use crate::support::*;

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
