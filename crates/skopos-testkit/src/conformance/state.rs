//! The contract of [`StateLog`](skopos_model::storage::StateLog): atomic, idempotent, last wins.

use std::sync::Arc;

use skopos_model::storage::{CommitId, Committed, StateCommit, StateKind, StateRecord};
use skopos_model::{Labels, SeriesSamples};

use super::compare::{select, series_select};
use super::{FullStore, NOW_MS};
use crate::VirtualClock;

/// Runs all cases of the contract for state.
pub async fn state_suite<S: FullStore>(make: impl AsyncFn(Arc<VirtualClock>) -> S) {
    let fresh = async || make(Arc::new(VirtualClock::default())).await;
    last_value_of_a_key_wins(&fresh().await).await;
    a_slot_is_committed_once(&fresh().await).await;
    samples_of_a_commit_are_readable(&fresh().await).await;
    compaction_changes_nothing(&fresh().await).await;
}

fn record(kind: StateKind, key: &str, value: Option<&str>) -> StateRecord {
    StateRecord { kind, key: key.into(), value: value.map(|v| v.as_bytes().to_vec()) }
}

async fn commit<S: FullStore>(
    store: &S,
    source: &str,
    slot: i64,
    records: Vec<StateRecord>,
) -> Committed {
    let id = CommitId { source: source.into(), slot };
    store.commit(StateCommit { id, records, samples: vec![] }).await.expect("commit")
}

async fn keys<S: FullStore>(store: &S, kind: StateKind) -> Vec<(String, String)> {
    let records = store.load(kind).await.expect("load");
    records
        .into_iter()
        .map(|r| {
            assert_eq!(r.kind, kind);
            let value = r.value.expect("a loaded record has a value");
            (r.key, String::from_utf8(value).expect("text"))
        })
        .collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.into(), value.into())
}

async fn last_value_of_a_key_wins<S: FullStore>(store: &S) {
    use StateKind::{Alert, Silence};
    assert!(keys(store, Alert).await.is_empty());
    let records = vec![
        record(Alert, "b", Some("1")),
        record(Alert, "a", Some("1")),
        record(Silence, "a", Some("s")),
        record(Alert, "a", Some("2")),
        record(Alert, "gone", Some("x")),
    ];
    assert_eq!(commit(store, "r", 1, records).await, Committed::Applied);
    let records = vec![record(Alert, "gone", None), record(Alert, "never", None)];
    assert_eq!(commit(store, "r", 2, records).await, Committed::Applied);
    assert_eq!(keys(store, Alert).await, [pair("a", "2"), pair("b", "1")]);
    assert_eq!(keys(store, Silence).await, [pair("a", "s")]);
    commit(store, "r", 3, vec![record(Alert, "gone", Some("")), record(Alert, "b", None)]).await;
    assert_eq!(keys(store, Alert).await, [pair("a", "2"), pair("gone", "")]);
}

async fn a_slot_is_committed_once<S: FullStore>(store: &S) {
    let write = |value| vec![record(StateKind::Alert, "k", Some(value))];
    assert_eq!(store.last_slot("r").await.expect("last slot"), None);
    assert_eq!(commit(store, "r", 10, write("first")).await, Committed::Applied);
    assert_eq!(commit(store, "r", 10, write("again")).await, Committed::AlreadyApplied);
    assert_eq!(commit(store, "r", 9, write("earlier")).await, Committed::AlreadyApplied);
    assert_eq!(keys(store, StateKind::Alert).await, [pair("k", "first")]);
    assert_eq!(commit(store, "other", -5, vec![]).await, Committed::Applied);
    assert_eq!(store.last_slot("r").await.expect("last slot"), Some(10));
    assert_eq!(store.last_slot("other").await.expect("last slot"), Some(-5));
}

async fn samples_of_a_commit_are_readable<S: FullStore>(store: &S) {
    let labels = Labels::from_pairs([("__name__", "ALERTS"), ("alertname", "HighErrorRate")]);
    let commit = |slot, value| StateCommit {
        id: CommitId { source: "r".into(), slot },
        records: vec![],
        samples: vec![SeriesSamples::single(labels.clone(), NOW_MS + slot, value)],
    };
    store.commit(commit(1, 1.0)).await.expect("commit");
    store.commit(commit(2, 2.0)).await.expect("commit");
    store.commit(commit(2, 3.0)).await.expect("commit");
    let found = select(store, &series_select(vec![], NOW_MS, NOW_MS + 10)).await;
    assert_eq!(found.len(), 1);
    let values: Vec<_> =
        found[0].1.iter().map(|(time, bits, _)| (time - NOW_MS, f64::from_bits(*bits))).collect();
    assert_eq!(values, [(1, 1.0), (2, 2.0)]);
}

async fn compaction_changes_nothing<S: FullStore>(store: &S) {
    use StateKind::SloSlice;
    for slot in 0..50 {
        let key = format!("slice-{}", slot % 7);
        let value = slot.to_string();
        commit(store, "slo", slot, vec![record(SloSlice, &key, Some(&value))]).await;
    }
    commit(store, "slo", 50, vec![record(SloSlice, "slice-3", None)]).await;
    let before = keys(store, SloSlice).await;
    assert_eq!(before.len(), 6);
    store.compact().await.expect("compact");
    store.compact().await.expect("compact");
    assert_eq!(keys(store, SloSlice).await, before);
    assert_eq!(store.last_slot("slo").await.expect("last slot"), Some(50));
    assert_eq!(commit(store, "slo", 50, vec![]).await, Committed::AlreadyApplied);
}
