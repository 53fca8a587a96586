//! Durable state: alert states, notification intents, silences, SLO slices.
//!
//! A state log is a map from (kind, key) to the last committed value, with commits that are
//! atomic and idempotent. One rule evaluation commits its transitions, its recorded samples and
//! its notification intents together under one [`CommitId`].

use async_trait::async_trait;

use super::error::StorageError;
use crate::metric::SeriesSamples;

/// What a state record is about. Numbers are part of the disk format and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StateKind {
    /// State of one alert (rule and label set).
    Alert = 1,
    /// State of a rule group (last slot evaluated).
    RuleGroup = 2,
    /// A notification that must be sent.
    NotificationIntent = 3,
    /// What was sent to whom and when.
    NotificationLog = 4,
    /// A silence.
    Silence = 5,
    /// One slice of an SLO's good and bad events.
    SloSlice = 6,
    /// A note on a time range.
    Annotation = 7,
    /// Hash of an access token.
    Token = 8,
}

impl StateKind {
    /// From the number on disk.
    pub fn from_number(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Alert,
            2 => Self::RuleGroup,
            3 => Self::NotificationIntent,
            4 => Self::NotificationLog,
            5 => Self::Silence,
            6 => Self::SloSlice,
            7 => Self::Annotation,
            8 => Self::Token,
            _ => return None,
        })
    }
}

/// A new value for a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateRecord {
    /// What it is about.
    pub kind: StateKind,
    /// Which one.
    pub key: String,
    /// Its encoded value (the encoding belongs to the writer and carries its own version), or
    /// `None` to delete it.
    pub value: Option<Vec<u8>>,
}

/// Names a commit, so that repeating it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId {
    /// The writer, for instance a rule's identity.
    pub source: String,
    /// Ascending per source, for instance the evaluation slot in milliseconds.
    pub slot: i64,
}

/// Everything one step commits at once.
#[derive(Clone, Debug, PartialEq)]
pub struct StateCommit {
    /// Its name.
    pub id: CommitId,
    /// State changes, applied in order.
    pub records: Vec<StateRecord>,
    /// Samples recorded by the step; readable through `SelectSeries` once the commit returns.
    pub samples: Vec<SeriesSamples>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is durable now.
    Applied,
    /// The source had committed this slot or a later one before; nothing changed.
    AlreadyApplied,
}

/// Persists state.
///
/// `Ok` from [`commit`](StateLog::commit) means all of it is durable and readable; after a crash
/// either all of a commit is there or none of it. A commit whose slot is not greater than the
/// source's last one is [`Committed::AlreadyApplied`]. Commits survive a poisoned telemetry
/// writer: state has a file of its own.
#[async_trait]
pub trait StateLog: Send + Sync {
    /// Makes a commit durable.
    async fn commit(&self, commit: StateCommit) -> Result<Committed, StorageError>;

    /// The current records of one kind, in key order: the last committed value of every key that
    /// was not deleted.
    async fn load(&self, kind: StateKind) -> Result<Vec<StateRecord>, StorageError>;

    /// The last slot a source has committed.
    async fn last_slot(&self, source: &str) -> Result<Option<i64>, StorageError>;

    /// Rewrites the log as one snapshot of the current records, so that replay stays short.
    async fn compact(&self) -> Result<(), StorageError>;
}
