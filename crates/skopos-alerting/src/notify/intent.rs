//! The decision to tell a receiver something, made durable before anything is sent.

use std::fmt;
use std::sync::Arc;

use skopos_model::Timestamp;
use skopos_model::storage::{StateKind, StateRecord};

use crate::codec::{DecodeError, Reader, Writer};
use crate::rules::hash_pieces;

/// Whether a notification reports anything that still fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationStatus {
    /// At least one alert of the group fires.
    Firing,
    /// All are over.
    Resolved,
}

impl NotificationStatus {
    /// The word in the payload.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Names an intent: the group's generation, and a hash of the group and its receiver. Ordered by
/// generation, so by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId {
    /// The state of the group it reports: ascending per group, at least the slot in milliseconds.
    pub generation: i64,
    /// Hash of the group's key and the receiver's name.
    pub group: u64,
}

impl fmt::Display for IntentId {
    /// Writes the record's key, whose order is that of the ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}/{:016x}", self.generation.max(0), self.group)
    }
}

/// A notification that must be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its name.
    pub id: IntentId,
    /// The group's key, as in the payload.
    pub group_key: String,
    /// The receiver's name.
    pub receiver: String,
    /// What it reports.
    pub status: NotificationStatus,
    /// The slot whose evaluation caused it.
    pub created_at: Timestamp,
    /// The JSON payload.
    pub body: Arc<str>,
}

impl Intent {
    pub(crate) fn new(
        generation: i64,
        group_key: String,
        receiver: &str,
        status: NotificationStatus,
        created_at: Timestamp,
        body: String,
    ) -> Self {
        let group = hash_pieces([group_key.as_str(), receiver]) as u64;
        let id = IntentId { generation, group };
        Self { id, group_key, receiver: receiver.into(), status, created_at, body: body.into() }
    }

    /// The value of the `Idempotency-Key` header: the same for every repetition of this
    /// notification, after a crash too, and no other's.
    pub fn idempotency_key(&self) -> String {
        let generation = self.id.generation.to_string();
        let hash = hash_pieces([&self.group_key, &self.receiver, generation.as_str()]);
        format!("{hash:032x}")
    }

    pub(crate) fn record(&self) -> StateRecord {
        let mut writer = Writer::new(1);
        writer.signed(self.id.generation);
        writer.text(&self.group_key);
        writer.text(&self.receiver);
        writer.byte(u8::from(self.status == NotificationStatus::Resolved));
        writer.signed(self.created_at.as_nanos());
        writer.text(&self.body);
        let value = Some(writer.finish());
        StateRecord { kind: StateKind::NotificationIntent, key: self.id.to_string(), value }
    }

    pub(crate) fn deletion(id: IntentId) -> StateRecord {
        StateRecord { kind: StateKind::NotificationIntent, key: id.to_string(), value: None }
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data, 1)?;
        let generation = reader.signed("generation")?;
        let group_key = reader.text("group_key")?.to_string();
        let receiver = reader.text("receiver")?;
        let status = match reader.flag("status")? {
            false => NotificationStatus::Firing,
            true => NotificationStatus::Resolved,
        };
        let created_at = Timestamp(reader.signed("created_at")?);
        let body = reader.text("body")?.to_string();
        reader.finish()?;
        Ok(Self::new(generation, group_key, receiver, status, created_at, body))
    }
}
