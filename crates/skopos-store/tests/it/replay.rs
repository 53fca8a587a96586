//! A log that holds more than a head may: replay flushes as it goes, and a crash while it does so
//! changes nothing.

use std::collections::BTreeMap;

use skopos_model::storage::Append;
use skopos_model::{Sample, SignalBatch, Temporality};
use skopos_store::{BlockConfig, Store, StoreConfig};
use skopos_testkit::fault_fs::{FaultFs, Faults, Survival};

use crate::support::*;

/// A head that is full with a few batches.
fn small() -> StoreConfig {
    let blocks = BlockConfig { flush_bytes: 20_000, ..config().blocks };
    StoreConfig { blocks, ..config() }
}

fn delta(i: i64) -> SignalBatch {
    let mut batch = metric("orders_total", 0);
    let SignalBatch::Metrics(metrics) = &mut batch else { unreachable!("made above") };
    metrics.series[0].temporality = Temporality::Delta;
    metrics.series[0].samples = vec![Sample::float(NOW_MS + i, 1.0)];
    batch
}

/// A disk with batches of all kinds in its log, the store killed.
fn killed_after(rounds: i64) -> FaultFs {
    let fs = FaultFs::new();
    let store = open(&fs).unwrap();
    block_on(async {
        store.append(delta(0)).await.unwrap();
        store.append(metric("once", 5)).await.unwrap();
        for i in 0..rounds {
            store.append(metric("up", i)).await.unwrap();
            // The same time again: what came last counts.
            store.append(metric("again", 1)).await.unwrap();
            let mut last = metric("again", 1);
            let SignalBatch::Metrics(metrics) = &mut last else { unreachable!("made above") };
            metrics.series[0].samples[0].value = skopos_model::SampleValue::Float(i as f64);
            store.append(last).await.unwrap();
            store.append(log(&format!("line {i}"))).await.unwrap();
            store.append(span(&format!("span {i}"))).await.unwrap();
        }
    });
    let copy = fs.fork();
    drop(store);
    copy.restart(Survival::Nothing);
    copy
}

/// Everything in a store; fails when an event is there twice.
async fn everything(store: &Store) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (labels, time, bits) in samples(store).await {
        assert_eq!(all.insert(format!("{labels} at {time}"), bits), None);
    }
    for (id, text) in logs(store).await.into_iter().chain(spans(store).await) {
        assert_eq!(all.insert(format!("{text} {id}"), 0), None, "{text} is there twice");
    }
    all
}

#[test]
fn a_log_larger_than_the_head_goes_to_blocks_while_it_is_read() {
    let fs = killed_after(60);
    let whole = fs.fork();
    let want = block_on(everything(&open(&whole).unwrap()));
    let store = open_with(&fs, small()).unwrap();
    let stats = store.stats();
    assert!(stats.blocks.blocks.iter().all(|n| *n > 2), "{:?}", stats.blocks);
    // What the last segment held.
    let left = stats.head.logs + stats.head.spans;
    assert!(left < 12, "{left} of 120 events are left in the head");
    block_on(async {
        assert_eq!(everything(&store).await, want);
        // Sums and lateness are judged by what has gone to blocks.
        let receipt = store.append(delta(10)).await.unwrap();
        assert_eq!(receipt.rejected.len(), 0);
        let old = store.append(metric("once", -3600)).await.unwrap();
        assert_eq!(old.rejected[0].reason, "too_old");
        store.append(log("after")).await.unwrap();
    });
    drop(store);
    fs.restart(Survival::Nothing);
    let store = open(&fs).unwrap();
    assert!(store.recovery().wal_batches < 150, "{} read again", store.recovery().wal_batches);
    block_on(async {
        let found = everything(&store).await;
        assert_eq!(found.len(), want.len() + 2);
        assert!(found.values().any(|bits| *bits == 2f64.to_bits()), "1 and 1 are 2");
        store.append(delta(20)).await.unwrap();
        let found = everything(&store).await;
        assert!(found.values().any(|bits| *bits == 3f64.to_bits()), "and 1 are 3");
    });
}

#[test]
fn a_crash_while_replay_flushes_changes_nothing() {
    let fs = killed_after(9);
    let want = block_on(everything(&open(&fs.fork()).unwrap()));
    let small = || {
        let blocks = BlockConfig { flush_bytes: 1, ..config().blocks };
        StoreConfig { blocks, ..config() }
    };
    let healthy = fs.fork();
    healthy.set_faults(Faults::default());
    let store = open_with(&healthy, small()).unwrap();
    assert!(store.stats().blocks.blocks.iter().all(|n| *n > 1), "{:?}", store.stats().blocks);
    let operations = healthy.counts().all;
    drop(store);
    assert!(operations > 40, "{operations}");
    let (mut points, mut lost) = (0, Vec::new());
    for crash_at in 1..=operations {
        for survival in [Survival::Nothing, Survival::Everything] {
            let fs = fs.fork();
            fs.set_faults(Faults { crash_at: Some(crash_at), torn_bytes: 9, ..Faults::default() });
            drop(open_with(&fs, small()));
            fs.restart(survival);
            let context = format!("crash at {crash_at}, {survival:?}");
            let store = open_with(&fs, small()).unwrap_or_else(|e| panic!("{context}: {e}"));
            let found = block_on(everything(&store));
            lost.extend(want.keys().filter(|name| !found.contains_key(*name)).cloned());
            points += 1;
            if lost.is_empty() {
                assert_eq!(found, want, "{context}");
            }
        }
    }
    // What is there twice has failed `everything` already.
    println!(
        "proof: crashes of a replay that flushes: {points} points, lost {}, doubled 0",
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
}
