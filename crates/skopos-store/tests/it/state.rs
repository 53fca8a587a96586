//! The state log seen from outside: atomic, idempotent, compacted, independent of the WAL.

use skopos_model::Temporality;
use skopos_model::storage::{
    Append, Committed, ErrorKind, StateCommit, StateKind, StateLog, StateRecord,
};
use skopos_store::{StoreConfig, StoreError};
use skopos_testkit::fault_fs::{FaultFs, Faults, Survival};

use crate::format;
use crate::support::*;

const STATE: &[u8; 8] = b"SKOPSTA\n";

fn state_files(fs: &FaultFs) -> Vec<String> {
    let files = fs.files();
    let files = files.iter().filter(|path| path.starts_with("/data/default/state"));
    files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn without_samples(slot: i64, records: Vec<StateRecord>) -> StateCommit {
    StateCommit { records, samples: vec![], ..commit("rule", slot) }
}

#[test]
fn repeated_and_older_slots_change_nothing() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        assert_eq!(store.commit(commit("a", 5)).await.unwrap(), Committed::Applied);
        let mut other = commit("a", 5);
        other.records[0].value = None;
        for again in [other, commit("a", 4)] {
            assert_eq!(store.commit(again).await.unwrap(), Committed::AlreadyApplied);
        }
        assert_eq!(store.commit(commit("b", 1)).await.unwrap(), Committed::Applied);
        assert_eq!(store.load(StateKind::Alert).await.unwrap().len(), 2);
        assert_eq!(store.last_slot("a").await.unwrap(), Some(5));
        assert_eq!(store.last_slot("c").await.unwrap(), None);
        assert_eq!(store.stats().state_log.frames, 2);
        assert_eq!(samples(&store).await.len(), 2);
    });
    drop(store);
    for _ in 0..2 {
        let store = open(&fs).unwrap();
        block_on(async {
            assert_eq!(store.commit(commit("a", 5)).await.unwrap(), Committed::AlreadyApplied);
            assert_eq!(samples(&store).await.len(), 2);
        });
    }
}

/// Replay has the commit's own rule: a frame of a slot that was committed before changes nothing.
#[test]
fn a_log_that_repeats_itself_says_nothing_new() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.commit(commit("rule", 1)).await.unwrap();
        let delete = StateRecord { value: None, ..commit("rule", 1).records.remove(0) };
        store.commit(without_samples(2, vec![delete])).await.unwrap();
        store.close().await.unwrap();
    });
    let log = state_path("0000000001.log");
    let frames = format::frames(&fs.read(&log).unwrap(), STATE);
    let [first, second, closed] = &frames[..] else { panic!("{frames:?}") };
    let repeated = [first, second, first, second, first, closed];
    let repeated: Vec<_> = repeated.iter().map(|f| (f.version, f.kind, &*f.body)).collect();
    fs.put(&log, format::file(STATE, 1, 1, &repeated));
    block_on(async {
        let store = open(&fs).unwrap();
        assert_eq!(store.last_slot("rule").await.unwrap(), Some(2));
        assert_eq!(store.load(StateKind::Alert).await.unwrap(), []);
        assert_eq!(samples(&store).await.len(), 1);
    });
}

#[test]
fn records_apply_in_order_and_load_in_key_order() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    let set = |key: &str, value: Option<&str>| StateRecord {
        kind: StateKind::Silence,
        key: key.into(),
        value: value.map(|v| v.as_bytes().to_vec()),
    };
    block_on(async {
        let records = vec![
            set("b", Some("1")),
            set("a", Some("")),
            set("c", Some("x")),
            set("b", Some("2")),
            set("c", None),
            set("never", None),
        ];
        store.commit(without_samples(1, records)).await.unwrap();
        let want = vec![set("a", Some("")), set("b", Some("2"))];
        assert_eq!(store.load(StateKind::Silence).await.unwrap(), want);
        assert_eq!(store.load(StateKind::Token).await.unwrap(), []);
        store.compact().await.unwrap();
        store.close().await.unwrap();
        assert_eq!(open(&fs).unwrap().load(StateKind::Silence).await.unwrap(), want);
    });
}

#[test]
fn nobody_sees_a_commit_before_it_is_durable() {
    let fs = FaultFs::new();
    let store = std::sync::Arc::new(open(&fs).unwrap());
    block_on(async {
        let paused = fs.pause_syncs();
        let writes = fs.counts().writes;
        let committer = std::sync::Arc::clone(&store);
        let task = tokio::spawn(async move { committer.commit(commit("rule", 1)).await });
        eventually(|| fs.counts().writes > writes).await;
        assert_eq!(store.load(StateKind::Alert).await.unwrap(), []);
        assert_eq!(store.last_slot("rule").await.unwrap(), None);
        assert_eq!(samples(&store).await.len(), 0);
        drop(paused);
        task.await.unwrap().unwrap();
        assert_eq!(store.load(StateKind::Alert).await.unwrap().len(), 1);
        assert_eq!(samples(&store).await.len(), 1);
    });
}

#[test]
fn compaction_keeps_records_slots_and_samples_in_one_file() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    let (mut before, mut alerts) = (Vec::new(), Vec::new());
    block_on(async {
        for slot in 0..30 {
            store.commit(commit("rule", slot)).await.unwrap();
            if slot % 10 == 9 {
                store.compact().await.unwrap();
            }
        }
        before = samples(&store).await;
        alerts = store.load(StateKind::Alert).await.unwrap();
        store.close().await.unwrap();
    });
    assert_eq!((before.len(), alerts.len()), (30, 30));
    assert_eq!(state_files(&fs), ["0000000004.log", "0000000004.snapshot"]);
    let snapshot = fs.read(&state_path("0000000004.snapshot")).unwrap();
    let kinds: Vec<u8> = format::frames(&snapshot, STATE).iter().map(|f| f.kind).collect();
    assert_eq!(kinds.first(), Some(&17));
    assert_eq!(kinds.last(), Some(&20));
    let store = open(&fs).unwrap();
    block_on(async {
        assert_eq!(samples(&store).await, before);
        assert_eq!(store.load(StateKind::Alert).await.unwrap(), alerts);
        assert_eq!(store.last_slot("rule").await.unwrap(), Some(29));
    });
}

#[test]
fn the_log_compacts_itself_when_it_has_grown() {
    let fs = FaultFs::new();
    let store = open_with(&fs, StoreConfig { compact_state_bytes: 2000, ..config() }).unwrap();
    block_on(async {
        for slot in 0..200 {
            store.commit(without_samples(slot, commit("r", 0).records)).await.unwrap();
        }
        assert_eq!(store.load(StateKind::Alert).await.unwrap().len(), 1);
        assert!(store.stats().state_log.bytes < 3000, "{}", store.stats().state_log.bytes);
    });
    assert!(state_files(&fs).iter().any(|name| name.ends_with(".snapshot")));
}

#[test]
fn a_failed_compaction_loses_nothing() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.commit(commit("rule", 1)).await.unwrap();
        // The first write is the new log's header, the second the snapshot.
        fs.set_faults(Faults { fail_write: Some(2), ..Faults::default() });
        assert!(store.compact().await.is_err());
        fs.set_faults(Faults::default());
        store.commit(commit("rule", 2)).await.unwrap();
        let copy = fs.fork();
        copy.restart(Survival::Nothing);
        let reopened = open(&copy).unwrap();
        assert_eq!(reopened.load(StateKind::Alert).await.unwrap().len(), 2);
        store.compact().await.unwrap();
        store.close().await.unwrap();
        let reopened = open(&fs).unwrap();
        assert_eq!(reopened.load(StateKind::Alert).await.unwrap().len(), 2);
        assert_eq!(samples(&reopened).await.len(), 2);
    });
}

#[test]
fn a_failed_fsync_stops_the_state_log_and_not_the_wal() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.commit(commit("rule", 1)).await.unwrap();
        fs.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
        let error = store.commit(commit("rule", 2)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Poisoned);
        assert_eq!(store.commit(commit("rule", 3)).await.unwrap_err().kind, ErrorKind::Poisoned);
        assert_eq!(store.commit(commit("rule", 1)).await.unwrap(), Committed::AlreadyApplied);
        assert_eq!(store.compact().await.unwrap_err().kind, ErrorKind::Poisoned);
        assert_eq!(store.last_slot("rule").await.unwrap(), Some(1));
        let health = store.health();
        assert!(health.wal_writable && !health.state_writable);
        store.append(metric("up", 1)).await.unwrap();
    });
}

#[test]
fn delta_samples_are_refused() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    let mut bad = commit("rule", 1);
    bad.samples[0].temporality = Temporality::Delta;
    block_on(async {
        assert_eq!(store.commit(bad).await.unwrap_err().kind, ErrorKind::InvalidInput);
        assert_eq!(store.last_slot("rule").await.unwrap(), None);
        assert_eq!(store.commit(commit("rule", 1)).await.unwrap(), Committed::Applied);
    });
}

#[test]
fn damage_and_newer_versions_are_named() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.commit(commit("rule", 1)).await.unwrap();
        store.compact().await.unwrap();
        store.commit(commit("rule", 2)).await.unwrap();
        store.close().await.unwrap();
    });
    let snapshot = state_path("0000000002.snapshot");
    let good = fs.read(&snapshot).unwrap();
    for at in 0..good.len() {
        let fs = fs.fork();
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs.put(&snapshot, bytes);
        match open(&fs).err().unwrap() {
            StoreError::Corrupt { path, .. } => assert_eq!(path, snapshot),
            StoreError::UnsupportedVersion { .. } => assert!((8..12).contains(&at)),
            other => panic!("byte {at}: {other}"),
        }
    }
    for len in 0..good.len() {
        let fs = fs.fork();
        fs.put(&snapshot, good[..len].to_vec());
        assert!(matches!(open(&fs).err().unwrap(), StoreError::Corrupt { .. }), "{len} bytes");
    }
    let newer = fs.fork();
    newer.put(&state_path("0000000003.log"), format::file(STATE, 9, 3, &[]));
    let text = open(&newer).err().unwrap().to_string();
    assert!(text.contains("format version 9") && text.contains("0000000003.log"), "{text}");

    use skopos_store::fs::Fs;
    fs.remove(&state_path("0000000002.log")).unwrap();
    let error = open(&fs).err().unwrap();
    assert!(error.to_string().contains("missing"), "{error}");
}
