//! The state in memory: the last committed value of every key, the last slot of every source.

use std::collections::BTreeMap;
use std::collections::HashMap;

use skopos_model::storage::{StateKind, StateRecord};

/// What the log says as of now.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct StateMap {
    records: BTreeMap<StateKind, BTreeMap<String, Vec<u8>>>,
    slots: HashMap<String, i64>,
}

impl StateMap {
    /// Whether a commit of this slot would be new.
    pub(crate) fn is_new(&self, source: &str, slot: i64) -> bool {
        self.last_slot(source).is_none_or(|last| slot > last)
    }

    /// The last slot a source has committed.
    pub(crate) fn last_slot(&self, source: &str) -> Option<i64> {
        self.slots.get(source).copied()
    }

    /// Notes a source's slot.
    pub(crate) fn set_slot(&mut self, source: String, slot: i64) {
        self.slots.insert(source, slot);
    }

    /// Applies changes in order.
    pub(crate) fn apply(&mut self, records: Vec<StateRecord>) {
        for StateRecord { kind, key, value } in records {
            let of_kind = self.records.entry(kind).or_default();
            match value {
                Some(value) => of_kind.insert(key, value),
                None => of_kind.remove(&key),
            };
        }
    }

    /// The records of one kind in key order.
    pub(crate) fn load(&self, kind: StateKind) -> Vec<StateRecord> {
        let of_kind = self.records.get(&kind).into_iter().flatten();
        of_kind
            .map(|(key, value)| StateRecord { kind, key: key.clone(), value: Some(value.clone()) })
            .collect()
    }

    /// All records.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (StateKind, &str, &[u8])> {
        self.records
            .iter()
            .flat_map(|(kind, of_kind)| of_kind.iter().map(|(k, v)| (*kind, &**k, &**v)))
    }

    /// All sources with their last slots, sorted, so that equal maps make equal snapshots.
    pub(crate) fn slots(&self) -> Vec<(&str, i64)> {
        let mut slots: Vec<_> =
            self.slots.iter().map(|(source, slot)| (&**source, *slot)).collect();
        slots.sort_unstable();
        slots
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.records.values().map(BTreeMap::len).sum()
    }
}
