//! [`MemStore`]: every storage seam over plain vectors.
//!
//! Constraints: obviously right comes first. Queries look at everything; predicates are put to
//! model types by [`Predicate::matches`](skopos_model::event::Predicate::matches) itself; Arrow
//! batches are made at the very end. It follows the documented rules of the real store on what is
//! refused, and numbers events alike, so that answers can be compared whole.

mod append;
mod events;
mod series;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use skopos_model::storage::{
    Append, CommitId, Committed, ErrorKind, StateCommit, StateKind, StateLog, StateRecord,
    StorageError,
};
use skopos_model::{Appended, Clock, Exemplar, Labels, Metadata, Sample, SignalBatch};
use skopos_store::scan::{StoredLog, StoredSpan};
use tokio::sync::watch;

/// A store in memory, for tests: the oracle of the real one.
pub struct MemStore {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<dyn Clock>,
    out_of_order_window: Duration,
    future_tolerance: Duration,
    /// Changes with every batch of events; its end tells followers that the store closes.
    arrivals: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    series: Vec<MemSeries>,
    metadata: Vec<Metadata>,
    /// In order of arrival.
    logs: Vec<StoredLog>,
    /// In order of arrival.
    spans: Vec<StoredSpan>,
    next_sequence: u64,
    state: BTreeMap<(StateKind, String), Vec<u8>>,
    slots: BTreeMap<String, i64>,
    /// When set, appends fail with it.
    failure: Option<ErrorKind>,
}

struct MemSeries {
    labels: Labels,
    /// By time, each time once.
    samples: Vec<Sample>,
    exemplars: Vec<Exemplar>,
}

impl MemStore {
    /// An empty store with the real one's default window (1 hour) and tolerance (10 minutes).
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::default(),
            clock,
            out_of_order_window: Duration::from_secs(3600),
            future_tolerance: Duration::from_secs(600),
            arrivals: watch::Sender::new(0),
        }
    }

    /// Lets every append fail with this kind of error (or no longer, when `None`): for testing
    /// what callers do about it.
    pub fn fail_appends(&self, kind: Option<ErrorKind>) {
        self.lock().failure = kind;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Append for MemStore {
    async fn append(&self, batch: SignalBatch) -> Result<Appended, StorageError> {
        let mut inner = self.lock();
        if let Some(kind) = inner.failure {
            return Err(StorageError::new(kind, "the test wants appends to fail"));
        }
        let appended = self.append_to(&mut inner, batch);
        let arrived = inner.logs.len() as u64 + inner.spans.len() as u64;
        drop(inner);
        self.arrivals.send_replace(arrived);
        Ok(appended)
    }
}

#[async_trait]
impl StateLog for MemStore {
    async fn commit(&self, commit: StateCommit) -> Result<Committed, StorageError> {
        let mut inner = self.lock();
        let CommitId { source, slot } = commit.id;
        if inner.slots.get(&source).is_some_and(|&last| slot <= last) {
            return Ok(Committed::AlreadyApplied);
        }
        inner.slots.insert(source, slot);
        for StateRecord { kind, key, value } in commit.records {
            match value {
                Some(value) => drop(inner.state.insert((kind, key), value)),
                None => drop(inner.state.remove(&(kind, key))),
            }
        }
        for series in commit.samples {
            let index = inner.series_index(&series.labels);
            series.samples.iter().for_each(|sample| inner.series[index].put(sample));
        }
        Ok(Committed::Applied)
    }

    async fn load(&self, kind: StateKind) -> Result<Vec<StateRecord>, StorageError> {
        let inner = self.lock();
        let of_kind = inner.state.iter().filter(|((k, _), _)| *k == kind);
        Ok(of_kind
            .map(|((_, key), value)| StateRecord {
                kind,
                key: key.clone(),
                value: Some(value.clone()),
            })
            .collect())
    }

    async fn last_slot(&self, source: &str) -> Result<Option<i64>, StorageError> {
        Ok(self.lock().slots.get(source).copied())
    }

    async fn compact(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
