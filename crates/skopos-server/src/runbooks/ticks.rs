//! Ticks: a map from firing and step to when and by whom, in memory and in the state log.
//!
//! One firing is one record of kind `Annotation` with the key `runbook/FINGERPRINT/START`, whose value is JSON with a version.
//! A change is committed before it shows; changes wait for each other, so none is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skopos_model::storage::{
    CommitId, Committed, StateCommit, StateKind, StateRecord, StorageError,
};
use skopos_model::{Clock, Timestamp};

use super::MAX_FIRINGS;
use crate::state::Storage;

/// The writer's name in the state log.
const SOURCE: &str = "runbooks";
/// Keys of ticks among the annotations begin with this.
const PREFIX: &str = "runbook/";
/// Version of the value.
const VERSION: u8 = 1;
/// How long ticks are kept after the last of a firing.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// Steps ticked of one firing at most.
const MAX_STEPS: usize = 256;

/// One firing of an alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Firing {
    /// Alertmanager's fingerprint of its labels.
    pub(crate) fingerprint: String,
    /// When it became active, milliseconds since the epoch.
    pub(crate) start_ms: i64,
}

/// A step that somebody has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tick {
    /// When, milliseconds since the epoch.
    pub(crate) at_ms: i64,
    /// Who, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
}

type Steps = BTreeMap<String, Tick>;

#[derive(Serialize, Deserialize)]
struct Value {
    v: u8,
    steps: Steps,
}

/// Why a tick was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TickError {
    /// The firing has as many as it may have.
    #[error("a firing has at most {MAX_STEPS} ticks")]
    TooMany,
    /// The state log refused it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The ticks of all firings.
pub(super) struct Ticks {
    store: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    firings: Mutex<BTreeMap<Firing, Steps>>,
    /// The last slot committed; held from reading the map to the end of the commit.
    last_slot: tokio::sync::Mutex<i64>,
}

impl Ticks {
    /// Reads what was kept. A record that cannot be read is told and left alone.
    pub(super) async fn restore(
        store: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        let mut firings = BTreeMap::new();
        for record in store.load(StateKind::Annotation).await? {
            if !record.key.starts_with(PREFIX) {
                continue;
            }
            match (firing_of(&record.key), record.value.as_deref().and_then(steps_of)) {
                (Some(firing), Some(steps)) => drop(firings.insert(firing, steps)),
                _ => tracing::error!(key = %record.key, "ticks of a runbook cannot be read"),
            }
        }
        let last_slot = store.last_slot(SOURCE).await?.unwrap_or(i64::MIN);
        let last_slot = tokio::sync::Mutex::new(last_slot);
        Ok(Self { store, clock, firings: Mutex::new(firings), last_slot })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Firing, Steps>> {
        self.firings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, firing: &Firing) -> Vec<(String, Tick)> {
        let firings = self.lock();
        let steps = firings.get(firing).into_iter().flatten();
        steps.map(|(step, tick)| (step.clone(), tick.clone())).collect()
    }

    pub(super) async fn set(
        &self,
        firing: &Firing,
        step: &str,
        by: Option<String>,
        done: bool,
    ) -> Result<(), TickError> {
        let mut last_slot = self.last_slot.lock().await;
        let now = self.clock.now();
        let (steps, gone) = {
            let firings = self.lock();
            let mut steps = firings.get(firing).cloned().unwrap_or_default();
            if done {
                // Whoever did it first did it.
                steps.entry(step.to_owned()).or_insert(Tick { at_ms: now.as_millis(), by });
            } else {
                steps.remove(step);
            }
            (steps, outlived(&firings, firing, now))
        };
        if steps.len() > MAX_STEPS {
            return Err(TickError::TooMany);
        }
        let value = (!steps.is_empty()).then(|| {
            serde_json::to_vec(&Value { v: VERSION, steps: steps.clone() }).unwrap_or_default()
        });
        let kind = StateKind::Annotation;
        let mut records = vec![StateRecord { kind, key: key_of(firing), value }];
        records.extend(gone.iter().map(|old| StateRecord { kind, key: key_of(old), value: None }));
        // A clock that was set back must not make this a commit of the past.
        let slot = now.as_millis().max(last_slot.saturating_add(1));
        let id = CommitId { source: SOURCE.into(), slot };
        let commit = StateCommit { id, records, samples: Vec::new() };
        match self.store.commit(commit).await? {
            Committed::Applied | Committed::AlreadyApplied => *last_slot = slot,
        }
        let mut firings = self.lock();
        gone.iter().for_each(|old| drop(firings.remove(old)));
        match steps.is_empty() {
            true => drop(firings.remove(firing)),
            false => drop(firings.insert(firing.clone(), steps)),
        }
        Ok(())
    }
}

/// The firings to forget: those whose last tick is too old, and the oldest of too many.
fn outlived(firings: &BTreeMap<Firing, Steps>, but: &Firing, now: Timestamp) -> Vec<Firing> {
    let last = |steps: &Steps| steps.values().map(|tick| tick.at_ms).max().unwrap_or(i64::MIN);
    let retention = i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX);
    let oldest = now.as_millis().saturating_sub(retention);
    let mut others: Vec<(i64, &Firing)> =
        firings.iter().filter(|(f, _)| *f != but).map(|(f, steps)| (last(steps), f)).collect();
    others.sort();
    let too_many = (others.len() + 1).saturating_sub(MAX_FIRINGS);
    let gone = others.iter().enumerate().filter(|(i, (at, _))| *i < too_many || *at < oldest);
    gone.map(|(_, (_, firing))| (*firing).clone()).collect()
}

fn key_of(firing: &Firing) -> String {
    format!("{PREFIX}{}/{}", firing.fingerprint, firing.start_ms)
}

fn firing_of(key: &str) -> Option<Firing> {
    let (fingerprint, start) = key.strip_prefix(PREFIX)?.split_once('/')?;
    Some(Firing { fingerprint: fingerprint.to_owned(), start_ms: start.parse().ok()? })
}

fn steps_of(value: &[u8]) -> Option<Steps> {
    let value: Value = serde_json::from_slice(value).ok()?;
    (value.v == VERSION).then_some(value.steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_read_back() {
        let firing = Firing { fingerprint: "0123456789abcdef".into(), start_ms: 1_700_000_000_123 };
        assert_eq!(firing_of(&key_of(&firing)), Some(firing));
        let steps = Steps::from([("a".to_owned(), Tick { at_ms: 5, by: Some("Kim".into()) })]);
        let bytes = serde_json::to_vec(&Value { v: VERSION, steps: steps.clone() }).unwrap();
        assert_eq!(steps_of(&bytes), Some(steps));
        for wrong in [&b"{}"[..], b"", b"{\"v\":9,\"steps\":{}}"] {
            assert_eq!(steps_of(wrong), None);
        }
        assert_eq!(firing_of("runbook/x"), None);
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let firing = |n: i64| Firing { fingerprint: "f".into(), start_ms: n };
        let at = |ms: i64| Steps::from([("s".to_owned(), Tick { at_ms: ms, by: None })]);
        let day = 24 * 3600 * 1000;
        let now = Timestamp::from_millis(100 * day);
        let firings = BTreeMap::from([
            (firing(1), at(60 * day)),
            (firing(2), at(90 * day)),
            (firing(3), at(0)),
        ]);
        assert_eq!(outlived(&firings, &firing(3), now), [firing(1)], "the one being ticked stays");
        let many: BTreeMap<Firing, Steps> =
            (0..MAX_FIRINGS as i64).map(|n| (firing(n), at(99 * day + n))).collect();
        assert_eq!(outlived(&many, &firing(-1), now), [firing(0)]);
    }
}
