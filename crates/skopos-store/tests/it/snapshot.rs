//! Snapshots and restores: what is in them, what damage does, what a crash in between leaves.

use std::path::Path;
use std::sync::Arc;

use skopos_model::storage::{Append, StateKind, StateLog};
use skopos_store::fs::Fs;
use skopos_store::snapshot::{Damaged, fuzz_manifest, restore, snapshot};
use skopos_store::{Store, StoreConfig, StoreError};
use skopos_testkit::fault_fs::{FaultFs, Faults, Survival};

use crate::support::*;

const COPY: &str = "/copies/first";
const RESTORED: &str = "/restored";

async fn fill(store: &Store, from: i64) {
    for i in from..from + 12 {
        store.append(metric("up", i)).await.unwrap();
        store.append(log(&i.to_string())).await.unwrap();
        store.append(span(&i.to_string())).await.unwrap();
        store.commit(commit("rule", i)).await.unwrap();
        if i % 5 == 4 {
            store.flush().await.unwrap();
        }
    }
}

/// Everything in a store, as text.
async fn everything(store: &Store) -> String {
    let alerts = store.load(StateKind::Alert).await.unwrap();
    let (samples, logs, spans) = (samples(store).await, logs(store).await, spans(store).await);
    format!("{samples:?}\n{logs:?}\n{spans:?}\n{alerts:?}")
}

fn restored_config() -> StoreConfig {
    StoreConfig { data_dir: RESTORED.into(), ..config() }
}

fn damage(fs: &FaultFs, path: &Path) {
    let mut bytes = fs.read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs.put(path, bytes);
}

#[test]
fn a_snapshot_of_a_running_store_is_that_moment_and_stays_so() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    let then = block_on(async {
        fill(&store, 0).await;
        let then = everything(&store).await;
        let report = store.snapshot(Path::new(COPY), Damaged::Fail).await.unwrap();
        assert!(report.linked_bytes > report.bytes / 2, "{report:?}");
        // The store goes on; what was linked may go from it.
        fill(&store, 20).await;
        store.flush().await.unwrap();
        store.maintain().await.unwrap();
        store.compact().await.unwrap();
        let again = store.snapshot(Path::new(COPY), Damaged::Fail).await.unwrap_err();
        assert!(again.message.contains("not empty"), "{again}");
        then
    });
    // A snapshot is durable when it is answered.
    let copy = fs.fork();
    copy.restart(Survival::Nothing);
    let report = restore(&copy, Path::new(COPY), Path::new(RESTORED), false).unwrap();
    assert!(report.files > 5, "{report:?}");
    let restored = open_with(&copy, restored_config()).unwrap();
    block_on(async {
        assert_eq!(everything(&restored).await, then);
        // It lives: and the snapshot does not change with it.
        fill(&restored, 40).await;
        restored.flush().await.unwrap();
        restored.maintain().await.unwrap();
        restored.close().await.unwrap();
    });
    restore(&copy, Path::new(COPY), Path::new("/again"), false).unwrap();
    let again = StoreConfig { data_dir: "/again".into(), ..config() };
    let again = open_with(&copy, again).unwrap();
    assert_eq!(block_on(everything(&again)), then);
}

#[test]
fn a_stopped_folder_can_be_copied_and_a_running_one_says_who_has_it() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(fill(&store, 0));
    let then = block_on(everything(&store));
    let error = snapshot(&fs, Path::new(DATA), Path::new(COPY), Damaged::Fail).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(store);
    snapshot(&fs, Path::new(DATA), Path::new(COPY), Damaged::Fail).unwrap();
    restore(&fs, Path::new(COPY), Path::new(RESTORED), false).unwrap();
    let restored = open_with(&fs, restored_config()).unwrap();
    assert_eq!(block_on(everything(&restored)), then);
    for inside in [DATA, "/data/backup", "/data/default/blocks/../../backup"] {
        let error = snapshot(&fs, Path::new(DATA), Path::new(inside), Damaged::Fail).unwrap_err();
        assert!(error.to_string().contains("inside of the data folder"), "{inside}: {error}");
    }
    let error =
        snapshot(&fs, Path::new("/nothing"), Path::new("/copies/2"), Damaged::Fail).unwrap_err();
    assert!(error.to_string().contains("no data folder"), "{error}");
}

#[test]
fn appends_go_on_while_snapshots_are_taken() {
    let fs = FaultFs::new();
    let store = Arc::new(open(&fs).unwrap());
    block_on(async {
        let writer = {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for i in 0..200 {
                    store.append(log(&i.to_string())).await.unwrap();
                    store.commit(commit("rule", i)).await.unwrap();
                    if i % 7 == 0 {
                        store.compact().await.unwrap();
                    }
                }
            })
        };
        let mut copies = 0;
        while !writer.is_finished() {
            let before = logs(&store).await.len();
            let to = format!("/copies/{copies}");
            store.snapshot(Path::new(&to), Damaged::Fail).await.unwrap();
            let after = logs(&store).await.len() + 1;
            let data = format!("/restored/{copies}");
            restore(&fs, Path::new(&to), Path::new(&data), false).unwrap();
            let config = StoreConfig { data_dir: data.into(), ..config() };
            let copy = open_with(&fs, config).unwrap();
            let found = logs(&copy).await;
            assert!((before..=after).contains(&found.len()), "{before} {} {after}", found.len());
            for (i, (_, body)) in found.iter().enumerate() {
                assert_eq!(*body, i.to_string());
            }
            copies += 1;
        }
        writer.await.unwrap();
        assert!(copies > 1, "{copies} snapshots");
    });
}

#[test]
fn a_restore_checks_first_and_takes_no_folder_that_holds_something() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(fill(&store, 0));
    let then = block_on(everything(&store));
    block_on(store.snapshot(Path::new(COPY), Damaged::Fail)).unwrap();
    drop(store);
    let (from, to) = (Path::new(COPY), Path::new(RESTORED));
    let files: Vec<_> = fs.files().into_iter().filter(|path| path.starts_with(from)).collect();
    assert!(files.len() > 8);
    for path in files {
        let fs = fs.fork();
        damage(&fs, &path);
        let error = restore(&fs, from, to, false).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{}: {error}", path.display());
        assert!(!fs.is_dir(to), "nothing was begun");
        fs.remove(&path).unwrap();
        assert!(restore(&fs, from, to, false).is_err(), "{} is missing", path.display());
    }
    // The folder the data came from holds data.
    let error = restore(&fs, from, Path::new(DATA), false).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    let store = open(&fs).unwrap();
    block_on(fill(&store, 50));
    assert!(matches!(restore(&fs, from, Path::new(DATA), true), Err(StoreError::Locked { .. })));
    drop(store);
    restore(&fs, from, Path::new(DATA), true).unwrap();
    assert_eq!(block_on(everything(&open(&fs).unwrap())), then);
}

#[test]
fn a_crash_during_a_restore_is_noticed_and_repeating_it_is_enough() {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(fill(&store, 0));
    let then = block_on(everything(&store));
    block_on(store.snapshot(Path::new(COPY), Damaged::Fail)).unwrap();
    drop(store);
    fs.restart(Survival::Nothing);
    let (from, to) = (Path::new(COPY), Path::new(RESTORED));
    let healthy = fs.fork();
    healthy.set_faults(Faults::default());
    restore(&healthy, from, to, false).unwrap();
    let operations = healthy.counts().all;
    let (mut noticed, mut done) = (0, 0);
    for crash_at in 1..=operations {
        for survival in Survival::ALL {
            let fs = fs.fork();
            fs.set_faults(Faults { crash_at: Some(crash_at), torn_bytes: 3, ..Faults::default() });
            assert!(restore(&fs, from, to, false).is_err());
            fs.restart(survival);
            let at = format!("crash at {crash_at}, {survival:?}");
            match open_with(&fs.fork(), restored_config()) {
                Err(error) => {
                    assert!(error.to_string().contains("not finished"), "{at}: {error}");
                    noticed += 1;
                }
                Ok(store) => {
                    let found = block_on(everything(&store));
                    // Not begun, or all there.
                    let empty = block_on(logs(&store)).is_empty();
                    assert!(empty || found == then, "{at}: a part was taken for the whole");
                    done += u64::from(!empty);
                    continue;
                }
            }
            restore(&fs, from, to, false).unwrap_or_else(|error| panic!("{at}: {error}"));
            let store = open_with(&fs, restored_config()).unwrap();
            assert_eq!(block_on(everything(&store)), then, "{at}");
        }
    }
    assert!(noticed > operations && done > 0, "{noticed} noticed, {done} done");
}

#[test]
fn fuzz_manifests() {
    crate::codec::fuzz("manifest", fuzz_manifest);
}
