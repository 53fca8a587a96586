//! Slices and notes as the log holds them, and reading them back.

use std::collections::{BTreeMap, HashMap};

use skopos_model::storage::{StateCommit, StateKind, StateLog, StateRecord, StorageError};
use skopos_model::{Labels, Timestamp};

use super::{
    BACKFILL_SOURCE, Group, NOTES_SOURCE, SLO_SOURCE, SloEngine, SloSettings, SloState, prefix_of,
    unread,
};
use crate::codec::{DecodeError, Reader, Writer};
use crate::engine::CorruptRecord;
use crate::rules::hash_pieces;
use crate::slo::ledger::{self, RETENTION_DAYS};
use crate::slo::notes::Notes;
use crate::slo::{Budgeting, Slo, SloSet};

const VERSION: u8 = 1;
/// Version 2 says since when a group is kept.
const IDENTITY_VERSION: u8 = 2;
const DAY_MS: i64 = 86_400_000;

/// Everything that objectives keep in a state log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedSlos {
    /// Records of kind [`StateKind::SloSlice`].
    pub slices: Vec<StateRecord>,
    /// Records of kind [`StateKind::Annotation`]; those of others are left alone.
    pub notes: Vec<StateRecord>,
    /// The last slot of each source that committed.
    pub last_slots: BTreeMap<String, i64>,
}

impl SavedSlos {
    /// Reads what the engine needs.
    pub async fn load(log: &dyn StateLog) -> Result<Self, StorageError> {
        let mut saved = Self {
            slices: log.load(StateKind::SloSlice).await?,
            notes: log.load(StateKind::Annotation).await?,
            last_slots: BTreeMap::new(),
        };
        for source in [SLO_SOURCE, BACKFILL_SOURCE, NOTES_SOURCE] {
            if let Some(slot) = log.last_slot(source).await? {
                saved.last_slots.insert(source.into(), slot);
            }
        }
        Ok(saved)
    }
}

/// What restoring changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestoredSlos {
    /// What to make durable before any other commit: slices that count something else now, and those
    /// that are too old, go.
    pub commit: Option<StateCommit>,
    /// Records that could not be read; their slices are missing until history is filled in again.
    pub corrupt: Vec<CorruptRecord>,
}

/// Tells definitions apart whose slices mean different things. The target and the window may change.
pub(super) fn fingerprint(slo: &Slo) -> u64 {
    let budgeting = match slo.budgeting {
        Budgeting::Occurrences => "occurrences".to_string(),
        ref other => format!("{other:?}"),
    };
    let indicator = slo.indicator.fingerprint();
    let mut pieces = vec![indicator.as_str(), budgeting.as_str()];
    pieces.extend(slo.group_by.iter().map(String::as_str));
    hash_pieces(pieces) as u64
}

/// What a group is: its objective's name, its labels, and what its slices count.
pub(super) fn identity_record(slo: &Slo, labels: &Labels, group: &Group) -> StateRecord {
    let mut writer = Writer::new(IDENTITY_VERSION);
    writer.text(&slo.name);
    writer.labels(labels);
    writer.unsigned(fingerprint(slo));
    writer.signed(group.since_ms);
    let value = Some(writer.finish());
    let key = format!("{}/s", group.prefix);
    StateRecord { kind: StateKind::SloSlice, key, value }
}

struct Identity {
    name: String,
    labels: Labels,
    fingerprint: u64,
    since_ms: i64,
}

fn decode_identity(data: &[u8]) -> Result<Identity, DecodeError> {
    let (mut reader, version) = Reader::of_versions(data, VERSION..=IDENTITY_VERSION)?;
    let name = reader.text("name")?.to_string();
    let labels = reader.labels("labels")?;
    let fingerprint = reader.unsigned("fingerprint")?;
    let since_ms = if version > VERSION { reader.signed("since")? } else { i64::MIN };
    reader.finish()?;
    Ok(Identity { name, labels, fingerprint, since_ms })
}

/// Records that take everything of a group out of the log.
pub(super) fn deletions(group: &Group) -> Vec<StateRecord> {
    let keys = group.ledger.recorded_keys().into_iter().map(|key| {
        let key = format!("{}/{key}", group.prefix);
        StateRecord { kind: StateKind::SloSlice, key, value: None }
    });
    keys.chain([identity_deletion(group)]).collect()
}

/// Takes what says what a group is out of the log.
pub(super) fn identity_deletion(group: &Group) -> StateRecord {
    let key = format!("{}/s", group.prefix);
    StateRecord { kind: StateKind::SloSlice, key, value: None }
}

fn deletion(record: &StateRecord) -> StateRecord {
    StateRecord { value: None, ..record.clone() }
}

/// Whether a record is a day older than what is kept.
fn is_expired(key: &str, now_ms: i64) -> bool {
    let oldest = now_ms.div_euclid(DAY_MS) - RETENTION_DAYS;
    let mut parts = key.rsplit('/');
    let number: Option<i64> = parts.next().and_then(|n| n.parse().ok());
    match (parts.next(), number) {
        (Some("d"), Some(day)) => day < oldest,
        (Some("q"), Some(quarter)) => quarter.div_euclid(96) < oldest,
        _ => false,
    }
}

impl SloEngine {
    /// Starts with objectives and the state of an earlier run (empty on the first).
    ///
    /// Slices of objectives that are no longer there stay in the log until they are too old:
    /// who brings an objective back finds them.
    pub fn restore(
        settings: SloSettings,
        set: &SloSet,
        saved: &SavedSlos,
        now: Timestamp,
    ) -> (Self, RestoredSlos) {
        let now_ms = now.as_millis();
        let mut restored = RestoredSlos::default();
        let mut notes = Notes::default();
        for record in &saved.notes {
            if let Err(reason) = notes.restore(record) {
                restored.corrupt.push(corrupt(record, reason));
            }
        }
        let last = |source: &str| saved.last_slots.get(source).copied();
        let mut engine = Self {
            settings,
            states: Vec::new(),
            index: HashMap::new(),
            notes,
            last_slot: last(SLO_SOURCE),
            last_note: last(NOTES_SOURCE).unwrap_or(i64::MIN),
            last_backfill: last(BACKFILL_SOURCE).unwrap_or(i64::MIN),
            generation: 0,
        };
        for slo in &set.slos {
            engine.index.insert(slo.id, engine.states.len());
            engine.states.push(SloState::new(slo.clone(), &engine.notes));
        }
        let mut records = Vec::new();
        let mut by_group: BTreeMap<&str, Vec<&StateRecord>> = BTreeMap::new();
        for record in &saved.slices {
            if unread::is_of_unread(&record.key) {
                engine.restore_unread(record, now_ms, &mut records, &mut restored.corrupt);
                continue;
            }
            if is_expired(&record.key, now_ms) {
                records.push(deletion(record));
                continue;
            }
            // Two hashes begin the key.
            let Some((prefix, _)) = record.key.split_at_checked(33) else { continue };
            by_group.entry(prefix).or_default().push(record);
        }
        for (prefix, group) in by_group {
            engine.restore_group(prefix, &group, now_ms, &mut records, &mut restored.corrupt);
        }
        engine.states.iter_mut().for_each(|state| state.resume(now_ms, 0));
        if !records.is_empty() {
            restored.commit = Some(engine.note_commit(records, now_ms));
        }
        (engine, restored)
    }

    fn restore_unread(
        &mut self,
        record: &StateRecord,
        now_ms: i64,
        records: &mut Vec<StateRecord>,
        corrupted: &mut Vec<CorruptRecord>,
    ) {
        let Some(value) = &record.value else { return };
        let mut found = match unread::decode(value) {
            Ok(found) => found,
            Err(error) => {
                corrupted.push(CorruptRecord::new(record, error));
                return;
            }
        };
        found.unread.remove(i64::MIN, self.oldest_read(now_ms));
        let id = crate::slo::native::id_of(&found.name);
        let state = self.index.get(&id).and_then(|at| self.states.get_mut(*at));
        match state {
            _ if found.unread.says_nothing() => records.push(deletion(record)),
            Some(state) if found.fingerprint == fingerprint(&state.slo) => {
                state.unread = found.unread;
            }
            Some(_) => records.push(deletion(record)),
            // Like the slices of an objective that is no longer there.
            None => {}
        }
    }

    fn restore_group(
        &mut self,
        prefix: &str,
        group: &[&StateRecord],
        now_ms: i64,
        records: &mut Vec<StateRecord>,
        corrupted: &mut Vec<CorruptRecord>,
    ) {
        let identity = group.iter().find(|record| record.key.ends_with("/s"));
        let Some((identity, value)) = identity.and_then(|r| Some((r, r.value.as_ref()?))) else {
            // Slices of nobody: their identity was damaged, or they are the last of something expired.
            records.extend(group.iter().map(|record| deletion(record)));
            return;
        };
        let Identity { name, labels, fingerprint: found, since_ms } = match decode_identity(value) {
            Ok(identity) => identity,
            Err(error) => {
                corrupted.push(CorruptRecord::new(identity, error));
                return;
            }
        };
        let id = crate::slo::native::id_of(&name);
        if prefix != prefix_of(id, &labels) {
            corrupted.push(CorruptRecord::mismatch(identity));
            return;
        }
        let Some(state) = self.index.get(&id).and_then(|at| self.states.get_mut(*at)) else {
            if group.len() == 1 {
                records.push(deletion(identity));
            }
            return;
        };
        if found != fingerprint(&state.slo) {
            records.extend(group.iter().map(|record| deletion(record)));
            return;
        }
        let mut restored = Group::new(&state.slo, &labels, now_ms);
        restored.is_recorded = true;
        restored.since_ms = since_ms;
        for record in group.iter().filter(|record| !record.key.ends_with("/s")) {
            let Some(value) = &record.value else { continue };
            if let Err(reason) = restored.ledger.restore_record(&record.key, value) {
                corrupted.push(corrupt(record, reason));
            }
        }
        restored.ledger.mark_saved();
        // Of this group nothing is left but its name. What could not be read is left to whoever can.
        if restored.ledger.is_empty() {
            records.extend((group.len() == 1).then(|| deletion(identity)));
            return;
        }
        state.groups.insert(labels, restored);
    }
}

fn corrupt(record: &StateRecord, reason: String) -> CorruptRecord {
    CorruptRecord { kind: record.kind, key: record.key.clone(), reason }
}

/// Decodes arbitrary bytes as every kind of record; for fuzzing. What decodes must be what its value
/// encodes to.
pub fn fuzz_slo_records(data: &[u8]) {
    let _ = decode_identity(data);
    let _ = unread::decode(data);
    ledger::fuzz_records(data);
    let mut notes = Notes::default();
    for folder in ["annotation", "correction", "override"] {
        let key = format!("slo/{folder}/x");
        let record = StateRecord { kind: StateKind::Annotation, key, value: Some(data.to_vec()) };
        let _ = notes.restore(&record);
    }
}
