//! Silences: promises of people that alerts may be kept quiet for a while.
//!
//! The rules of changing one are Alertmanager's. An edit keeps the id when the matchers stay the same and
//! only what has not begun is moved (a pending silence) or only the end is moved to a time that is
//! not past (an active one). Every other edit ends the old silence and begins a new one. What has ended is
//! kept for [`RETENTION`].

mod codec;

use std::collections::BTreeMap;
use std::time::Duration;

use skopos_model::storage::{StateKind, StateRecord};
use skopos_model::{Labels, Timestamp};

pub(crate) use codec::decode as decode_silence;

use super::matcher::{Matcher, all_match};
use crate::engine::CorruptRecord;

/// How long ended silences are kept.
pub const RETENTION: Duration = Duration::from_secs(120 * 3600);

/// Most silences kept, ended ones included.
pub(super) const CAPACITY: usize = 10_000;

/// A silence.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    /// A UUID.
    pub id: String,
    /// Alerts that satisfy all are quiet.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// Where a silence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilenceState {
    /// It keeps alerts quiet.
    Active,
    /// It will.
    Pending,
    /// It did.
    Expired,
}

impl SilenceState {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Expired => "expired",
        }
    }
}

/// Why a silence cannot be made, changed or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SilenceError {
    /// It does not exist.
    #[error("silence not found")]
    NotFound,
    /// It is over already.
    #[error("silence {0} already expired")]
    AlreadyExpired(String),
    /// It can mute nothing, or everything.
    #[error("silence invalid: {0}")]
    Invalid(&'static str),
    /// There are too many.
    #[error("there are {CAPACITY} silences: expire some")]
    Full,
}

impl Silence {
    /// Where it stands at a time.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now >= self.ends_at {
            SilenceState::Expired
        } else {
            SilenceState::Active
        }
    }

    fn check(&self) -> Result<(), SilenceError> {
        let fault = if self.matchers.is_empty() {
            "at least one matcher required"
        } else if self.matchers.iter().all(Matcher::matches_empty) {
            "at least one matcher must not match the empty string"
        } else if self.matchers.iter().any(|matcher| matcher.name().is_empty()) {
            "invalid label name"
        } else if self.ends_at < self.starts_at {
            "end time must not be before start time"
        } else {
            return Ok(());
        };
        Err(SilenceError::Invalid(fault))
    }

    /// Whether it can become `edited` under its id.
    fn can_become(&self, edited: &Self, now: Timestamp) -> bool {
        let second = |time: Timestamp| time.as_millis().div_euclid(1000);
        self.matchers == edited.matchers
            && match self.state(now) {
                SilenceState::Active => {
                    second(edited.starts_at) == second(self.starts_at) && edited.ends_at >= now
                }
                SilenceState::Pending => edited.starts_at >= now,
                SilenceState::Expired => false,
            }
    }

    pub(crate) fn record(&self) -> StateRecord {
        let value = Some(codec::encode(self));
        StateRecord { kind: StateKind::Silence, key: self.id.clone(), value }
    }
}

/// All silences. Changes add the records to commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Silences {
    by_id: BTreeMap<String, Silence>,
}

impl Silences {
    pub(super) fn restore(records: &[StateRecord], corrupt: &mut Vec<CorruptRecord>) -> Self {
        let mut silences = Self::default();
        for record in records {
            match codec::decode(record.value.as_deref().unwrap_or_default()) {
                Ok(silence) if silence.id == record.key => {
                    silences.by_id.insert(silence.id.clone(), silence);
                }
                Ok(_) => corrupt.push(CorruptRecord::mismatch(record)),
                Err(error) => corrupt.push(CorruptRecord::new(record, error)),
            }
        }
        silences
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id)
    }

    /// Makes a silence (its id is empty) or edits one. `fresh_id` names it when it is a new one.
    /// Returns the id under which it is kept.
    pub(super) fn set(
        &mut self,
        mut silence: Silence,
        fresh_id: String,
        now: Timestamp,
        records: &mut Vec<StateRecord>,
    ) -> Result<String, SilenceError> {
        let before = match silence.id.as_str() {
            "" => None,
            id => Some(self.by_id.get(id).ok_or(SilenceError::NotFound)?),
        };
        silence.updated_at = now;
        if before.is_some_and(|before| before.can_become(&silence, now)) {
            silence.check()?;
            return Ok(self.put(silence, records));
        }
        let replaced = before.filter(|old| old.state(now) != SilenceState::Expired).cloned();
        silence.id = fresh_id;
        silence.starts_at = silence.starts_at.max(now);
        silence.check()?;
        if self.by_id.len() >= CAPACITY {
            return Err(SilenceError::Full);
        }
        if let Some(old) = replaced {
            self.end(old, now, records);
        }
        Ok(self.put(silence, records))
    }

    /// Ends a silence now.
    pub(super) fn expire(
        &mut self,
        id: &str,
        now: Timestamp,
        records: &mut Vec<StateRecord>,
    ) -> Result<(), SilenceError> {
        let silence = self.by_id.get(id).cloned().ok_or(SilenceError::NotFound)?;
        if silence.state(now) == SilenceState::Expired {
            return Err(SilenceError::AlreadyExpired(id.into()));
        }
        self.end(silence, now, records);
        Ok(())
    }

    fn end(&mut self, mut silence: Silence, now: Timestamp, records: &mut Vec<StateRecord>) {
        // One that had not begun ends where it begins: it never muted anything.
        silence.starts_at = silence.starts_at.min(now);
        silence.ends_at = now;
        silence.updated_at = now;
        self.put(silence, records);
    }

    fn put(&mut self, silence: Silence, records: &mut Vec<StateRecord>) -> String {
        records.push(silence.record());
        let id = silence.id.clone();
        self.by_id.insert(id.clone(), silence);
        id
    }

    /// The ids of the active silences that an alert satisfies.
    pub(super) fn silencing(&self, labels: &Labels, now: Timestamp) -> Vec<String> {
        let active = self.iter().filter(|silence| silence.state(now) == SilenceState::Active);
        active.filter(|s| all_match(&s.matchers, labels)).map(|s| s.id.clone()).collect()
    }

    /// Forgets what ended long ago.
    pub(super) fn forget(&mut self, now: Timestamp, records: &mut Vec<StateRecord>) {
        let limit = now.saturating_sub(RETENTION);
        self.by_id.retain(|id, silence| {
            let is_kept = silence.ends_at >= limit;
            if !is_kept {
                let key = id.clone();
                records.push(StateRecord { kind: StateKind::Silence, key, value: None });
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests;
