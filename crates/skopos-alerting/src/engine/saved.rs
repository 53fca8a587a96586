//! State as the log holds it, and reading it back.

use std::collections::{BTreeMap, BTreeSet};

use skopos_model::storage::{StateKind, StateLog, StateRecord, StorageError};

use super::alert::Alert;
use super::dispatching::decode_old;
use super::rule_state::decode_series;
use super::{RELOAD_SOURCE, source};
use crate::codec::DecodeError;
use crate::notify::{
    DELIVERY_SOURCE, DISPATCH_SOURCE, DeadLetter, DeliveryRecord, Intent, fuzz_dispatch_records,
};
use crate::rules::RuleSet;

/// Everything alerting keeps in a state log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedState {
    /// Records of kind [`StateKind::Alert`].
    pub alerts: Vec<StateRecord>,
    /// Records of kind [`StateKind::RuleGroup`].
    pub groups: Vec<StateRecord>,
    /// Records of kind [`StateKind::NotificationIntent`].
    pub intents: Vec<StateRecord>,
    /// Records of kind [`StateKind::NotificationLog`].
    pub notification_log: Vec<StateRecord>,
    /// Records of kind [`StateKind::Silence`].
    pub silences: Vec<StateRecord>,
    /// The last slot of each source that committed.
    pub last_slots: BTreeMap<String, i64>,
}

impl SavedState {
    /// Reads what the engine and the delivery queue need.
    pub async fn load(log: &dyn StateLog, rules: &RuleSet) -> Result<Self, StorageError> {
        let mut saved = Self {
            alerts: log.load(StateKind::Alert).await?,
            groups: log.load(StateKind::RuleGroup).await?,
            intents: log.load(StateKind::NotificationIntent).await?,
            notification_log: log.load(StateKind::NotificationLog).await?,
            silences: log.load(StateKind::Silence).await?,
            last_slots: BTreeMap::new(),
        };
        let mut sources: BTreeSet<String> =
            rules.groups.iter().flat_map(|g| &g.rules).map(|rule| source(rule.id)).collect();
        let of_alerts = saved.alerts.iter().filter_map(|record| record.key.split('/').next());
        sources.extend(of_alerts.map(|rule| format!("rule/{rule}")));
        sources.extend([RELOAD_SOURCE, DELIVERY_SOURCE, DISPATCH_SOURCE].map(String::from));
        for source in sources {
            if let Some(slot) = log.last_slot(&source).await? {
                saved.last_slots.insert(source, slot);
            }
        }
        Ok(saved)
    }
}

/// A record that could not be read. Its state is lost; the record stays in the log until its key
/// is written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptRecord {
    /// Its kind.
    pub kind: StateKind,
    /// Its key.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl CorruptRecord {
    pub(crate) fn new(record: &StateRecord, error: DecodeError) -> Self {
        Self { kind: record.kind, key: record.key.clone(), reason: error.to_string() }
    }

    pub(crate) fn mismatch(record: &StateRecord) -> Self {
        let reason = "key and value do not belong together".into();
        Self { kind: record.kind, key: record.key.clone(), reason }
    }
}

/// Decodes arbitrary bytes as every kind of record; for fuzzing. What decodes must be exactly what
/// its value encodes to, in the present version.
pub fn fuzz_state_records(data: &[u8]) {
    if let Ok(alert) = Alert::decode(data) {
        let encoded = alert.encode();
        if data.first() == encoded.first() {
            assert_eq!(encoded, data);
        }
        assert_eq!(Alert::decode(&encoded).map(|again| again.encode()), Ok(encoded));
    }
    let _ = super::retired::decode(data);
    if let Ok(intent) = Intent::decode(data) {
        let encoded = intent.encode();
        assert_eq!(Intent::decode(&encoded).as_ref(), Ok(&intent));
        if data.first() == encoded.first() {
            assert_eq!(encoded, data);
        }
    }
    if let Ok(record) = DeliveryRecord::decode(data) {
        let encoded = record.record().value.unwrap_or_default();
        assert_eq!(DeliveryRecord::decode(&encoded).as_ref(), Ok(&record));
        if data.first() == encoded.first() {
            assert_eq!(encoded, data);
        }
    }
    if let Ok(letter) = DeadLetter::decode(data) {
        let encoded = letter.record().value.unwrap_or_default();
        assert_eq!(DeadLetter::decode(&encoded).as_ref(), Ok(&letter));
    }
    fuzz_dispatch_records(data);
    let _ = decode_series(data);
    let _ = decode_old(data);
}
