//! What people say about objectives: annotations (deploys, incidents), corrections (time that does not
//! count), overrides of the gate. Records of the state log, as JSON; kept as long as slices are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skopos_model::storage::{StateKind, StateRecord};

use super::ledger::RETENTION_DAYS;
use crate::rules::hash_pieces;

const DAY_MS: i64 = 86_400_000;
const VERSION: u32 = 1;

/// Notes of one kind at most.
const MAX_NOTES: usize = 10_000;
/// Corrections of one objective at most: each costs two look-ups per window.
const MAX_CORRECTIONS: usize = 500;
/// The longest text, bytes.
const MAX_TEXT: usize = 4_096;
/// The longest override.
const MAX_OVERRIDE_MS: i64 = 7 * DAY_MS;

/// What an annotation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationKind {
    /// A change went out.
    Deploy,
    /// Something was wrong.
    Incident,
    /// Something was made to look wrong.
    Drill,
    /// Anything else.
    Note,
}

impl AnnotationKind {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Incident => "incident",
            Self::Drill => "drill",
            Self::Note => "note",
        }
    }
}

/// A note on a time or a stretch of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// Its id; made by [`SloEngine::annotate`](super::SloEngine::annotate).
    #[serde(default)]
    pub id: String,
    /// What it is about.
    pub kind: AnnotationKind,
    /// The service concerned.
    pub service: String,
    /// When it was or began, milliseconds since the epoch.
    pub start_ms: i64,
    /// When it was over.
    #[serde(default)]
    pub end_ms: Option<i64>,
    /// What happened: a version, a title.
    pub text: String,
    /// Who says so.
    #[serde(default)]
    pub by: String,
    /// Where more is found.
    #[serde(default)]
    pub link: String,
}

/// A stretch of time whose events do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Its id; made by [`SloEngine::correct`](super::SloEngine::correct).
    #[serde(default)]
    pub id: String,
    /// The objective's name.
    pub slo: String,
    /// From when, milliseconds since the epoch.
    pub start_ms: i64,
    /// Until when.
    pub end_ms: i64,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub by: String,
    /// When it was said.
    #[serde(default)]
    pub created_ms: i64,
    /// When it was taken back, if it was.
    #[serde(default)]
    pub revoked_ms: Option<i64>,
}

/// Leave to deploy although the gate says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateOverride {
    /// Its id; made by [`SloEngine::override_gate`](super::SloEngine::override_gate).
    #[serde(default)]
    pub id: String,
    /// The service.
    pub service: String,
    /// Why.
    pub reason: String,
    /// Who gave it.
    pub by: String,
    /// When it was given.
    #[serde(default)]
    pub created_ms: i64,
    /// When it ends.
    pub until_ms: i64,
}

/// Why a note is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// There is no such objective.
    #[error("there is no objective {0:?}")]
    UnknownSlo(String),
    /// There is no objective of such a service.
    #[error("no objective is about service {0:?}")]
    UnknownService(String),
    /// There is no such note.
    #[error("there is no correction {0:?}")]
    UnknownCorrection(String),
    /// Something must be said.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// A text is longer than 4 KiB.
    #[error("{0} is longer than 4096 bytes")]
    TooLong(&'static str),
    /// The end is not after the start.
    #[error("the end must lie after the start")]
    EndBeforeStart,
    /// Older than what is kept, or in the future.
    #[error("the time must lie within the last 400 days")]
    OutOfRange,
    /// Overrides end, and soon.
    #[error("an override must end in the future, within 7 days")]
    BadExpiry,
    /// The policy names others.
    #[error("{by:?} may not override the gate of {service:?}; the policy names {allowed}")]
    NotAllowed {
        /// Who asked.
        by: String,
        /// The service.
        service: String,
        /// Who may.
        allowed: String,
    },
    /// There are too many.
    #[error("there are {0} of them already")]
    TooMany(usize),
}

/// All notes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Notes {
    pub(super) annotations: BTreeMap<String, Annotation>,
    pub(super) corrections: BTreeMap<String, Correction>,
    pub(super) overrides: BTreeMap<String, GateOverride>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    note: T,
}

const ANNOTATION: &str = "slo/annotation/";
const CORRECTION: &str = "slo/correction/";
const OVERRIDE: &str = "slo/override/";

fn record<T: Serialize>(folder: &str, id: &str, note: Option<&T>) -> StateRecord {
    let value = note.and_then(|note| serde_json::to_vec(&Versioned { v: VERSION, note }).ok());
    StateRecord { kind: StateKind::Annotation, key: format!("{folder}{id}"), value }
}

fn decode<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Result<T, String> {
    let read: Versioned<T> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if read.v != VERSION {
        return Err(format!("version {} is not known", read.v));
    }
    Ok(read.note)
}

/// A text that says something and not too much.
fn check_text(what: &'static str, text: &str) -> Result<(), NoteError> {
    if text.trim().is_empty() {
        return Err(NoteError::Empty(what));
    }
    if text.len() > MAX_TEXT { Err(NoteError::TooLong(what)) } else { Ok(()) }
}

fn check_range(start_ms: i64, end_ms: Option<i64>, now_ms: i64) -> Result<(), NoteError> {
    if end_ms.is_some_and(|end| end <= start_ms) {
        return Err(NoteError::EndBeforeStart);
    }
    // A clock may go ahead a little.
    let is_kept = start_ms > now_ms - RETENTION_DAYS * DAY_MS && start_ms <= now_ms + 60 * 60_000;
    if is_kept { Ok(()) } else { Err(NoteError::OutOfRange) }
}

fn id_of(pieces: &[&str]) -> String {
    format!("{:016x}", hash_pieces(pieces.iter().copied()) as u64)
}

impl Notes {
    /// Reads a record; `Ok(false)` when it is somebody else's.
    pub(super) fn restore(&mut self, record: &StateRecord) -> Result<bool, String> {
        let Some(value) = &record.value else { return Ok(false) };
        if let Some(id) = record.key.strip_prefix(ANNOTATION) {
            self.annotations.insert(id.into(), decode(value)?);
        } else if let Some(id) = record.key.strip_prefix(CORRECTION) {
            self.corrections.insert(id.into(), decode(value)?);
        } else if let Some(id) = record.key.strip_prefix(OVERRIDE) {
            self.overrides.insert(id.into(), decode(value)?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn annotate(
        &mut self,
        mut note: Annotation,
        now_ms: i64,
    ) -> Result<(Annotation, StateRecord), NoteError> {
        check_text("the service", &note.service)?;
        check_text("the text", &note.text)?;
        for (what, text) in [("the author", &note.by), ("the link", &note.link)] {
            if text.len() > MAX_TEXT {
                return Err(NoteError::TooLong(what));
            }
        }
        check_range(note.start_ms, note.end_ms, now_ms)?;
        let start = note.start_ms.to_string();
        // The same note said again is the same note, with a new end perhaps.
        note.id = id_of(&[note.kind.as_str(), &note.service, &start, &note.text]);
        if self.annotations.len() >= MAX_NOTES && !self.annotations.contains_key(&note.id) {
            return Err(NoteError::TooMany(MAX_NOTES));
        }
        self.annotations.insert(note.id.clone(), note.clone());
        let record = record(ANNOTATION, &note.id, Some(&note));
        Ok((note, record))
    }

    pub(super) fn correct(
        &mut self,
        mut note: Correction,
        now_ms: i64,
    ) -> Result<(Correction, StateRecord), NoteError> {
        check_text("the reason", &note.reason)?;
        check_text("the author", &note.by)?;
        check_range(note.start_ms, Some(note.end_ms), now_ms)?;
        let (start, end) = (note.start_ms.to_string(), note.end_ms.to_string());
        note.id = id_of(&[&note.slo, &start, &end, &note.reason]);
        (note.created_ms, note.revoked_ms) = (now_ms, None);
        let of_slo = self.corrections.values().filter(|other| other.slo == note.slo).count();
        if of_slo >= MAX_CORRECTIONS {
            return Err(NoteError::TooMany(MAX_CORRECTIONS));
        }
        self.corrections.insert(note.id.clone(), note.clone());
        let record = record(CORRECTION, &note.id, Some(&note));
        Ok((note, record))
    }

    /// Takes a correction back. It stays on record.
    pub(super) fn revoke(
        &mut self,
        id: &str,
        now_ms: i64,
    ) -> Result<(Correction, StateRecord), NoteError> {
        let Some(note) = self.corrections.get_mut(id) else {
            return Err(NoteError::UnknownCorrection(id.into()));
        };
        note.revoked_ms.get_or_insert(now_ms);
        Ok((note.clone(), record(CORRECTION, id, Some(&*note))))
    }

    pub(super) fn override_gate(
        &mut self,
        mut note: GateOverride,
        now_ms: i64,
    ) -> Result<(GateOverride, StateRecord), NoteError> {
        check_text("the reason", &note.reason)?;
        check_text("the author", &note.by)?;
        if note.until_ms <= now_ms || note.until_ms > now_ms + MAX_OVERRIDE_MS {
            return Err(NoteError::BadExpiry);
        }
        if self.overrides.len() >= MAX_NOTES {
            return Err(NoteError::TooMany(MAX_NOTES));
        }
        note.created_ms = now_ms;
        note.id = id_of(&[&note.service, &now_ms.to_string(), &note.by, &note.reason]);
        self.overrides.insert(note.id.clone(), note.clone());
        let record = record(OVERRIDE, &note.id, Some(&note));
        Ok((note, record))
    }

    /// Forgets what is older than slices are kept.
    pub(super) fn prune(&mut self, now_ms: i64) -> Vec<StateRecord> {
        let oldest = now_ms - RETENTION_DAYS * DAY_MS;
        let mut records = Vec::new();
        let mut gone = |folder: &str, id: &str| records.push(record::<()>(folder, id, None));
        self.annotations.retain(|id, note| {
            let keep = note.end_ms.unwrap_or(note.start_ms) > oldest;
            if !keep {
                gone(ANNOTATION, id);
            }
            keep
        });
        self.corrections.retain(|id, note| {
            let keep = note.end_ms > oldest;
            if !keep {
                gone(CORRECTION, id);
            }
            keep
        });
        self.overrides.retain(|id, note| {
            let keep = note.until_ms > oldest;
            if !keep {
                gone(OVERRIDE, id);
            }
            keep
        });
        records
    }

    /// The stretches that do not count for an objective: ascending, without overlaps.
    pub(super) fn excluded(&self, slo: &str) -> Vec<(i64, i64)> {
        let in_force = |note: &&Correction| note.slo == slo && note.revoked_ms.is_none();
        let of_slo = self.corrections.values().filter(in_force);
        let mut ranges: Vec<(i64, i64)> = of_slo.map(|note| (note.start_ms, note.end_ms)).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (start, end) in ranges {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }

    /// The override in force for a service.
    pub(super) fn override_of(&self, service: &str, now_ms: i64) -> Option<&GateOverride> {
        let in_force = |note: &&GateOverride| note.service == service && note.until_ms > now_ms;
        self.overrides.values().filter(in_force).max_by_key(|note| note.until_ms)
    }
}
