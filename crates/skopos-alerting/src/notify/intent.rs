//! The decision to tell a receiver something, made durable before anything is sent.

use std::fmt;
use std::sync::Arc;

use skopos_model::Timestamp;
use skopos_model::storage::{StateKind, StateRecord};

use super::Notification;
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
    /// Hash of the group's key, the receiver's name and which integration it is.
    pub group: u64,
}

impl IntentId {
    fn new(generation: i64, group_key: &str, receiver: &str, integration: usize) -> Self {
        let number = integration.to_string();
        // The first integration's is that of version 1, so that order holds across the upgrade.
        let more = (integration > 0).then_some(number.as_str());
        let group = hash_pieces([group_key, receiver].into_iter().chain(more)) as u64;
        Self { generation, group }
    }
}

impl fmt::Display for IntentId {
    /// Writes the record's key, whose order is that of the ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}/{:016x}", self.generation.max(0), self.group)
    }
}

/// A text that is no intent's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a notification")]
pub struct InvalidIntentId;

impl std::str::FromStr for IntentId {
    type Err = InvalidIntentId;

    fn from_str(text: &str) -> Result<Self, InvalidIntentId> {
        let (generation, group) = text.split_once('/').ok_or(InvalidIntentId)?;
        let generation = generation.parse().map_err(|_| InvalidIntentId)?;
        let group = u64::from_str_radix(group, 16).map_err(|_| InvalidIntentId)?;
        Ok(Self { generation, group })
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
    /// Which of the receiver's integrations.
    pub integration: usize,
    /// What it reports.
    pub status: NotificationStatus,
    /// The slot whose evaluation caused it.
    pub created_at: Timestamp,
    /// What the integration's sender reads: without configuration the JSON payload.
    pub body: Arc<str>,
}

impl Intent {
    /// The intent to tell a notification, rendered as `body`.
    pub(crate) fn new(generation: i64, notification: &Notification, body: Arc<str>) -> Self {
        let Notification { receiver, integration, group_key, status, at, .. } = notification;
        Self {
            id: IntentId::new(generation, group_key, receiver, *integration),
            group_key: group_key.clone(),
            receiver: receiver.clone(),
            integration: *integration,
            status: *status,
            created_at: *at,
            body,
        }
    }

    /// The value of the `Idempotency-Key` header: the same for every repetition of this
    /// notification, after a crash too, and no other's.
    pub fn idempotency_key(&self) -> String {
        let generation = self.id.generation.to_string();
        let integration = self.integration.to_string();
        let mut pieces = vec![self.group_key.as_str(), &self.receiver, &generation];
        pieces.extend((self.integration > 0).then_some(integration.as_str()));
        format!("{:032x}", hash_pieces(pieces))
    }

    pub(crate) fn record(&self) -> StateRecord {
        let value = Some(self.encode());
        StateRecord { kind: StateKind::NotificationIntent, key: self.id.to_string(), value }
    }

    /// Its record, version 2.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(2);
        writer.signed(self.id.generation);
        writer.text(&self.group_key);
        writer.text(&self.receiver);
        writer.unsigned(self.integration as u64);
        writer.byte(u8::from(self.status == NotificationStatus::Resolved));
        writer.signed(self.created_at.as_nanos());
        writer.text(&self.body);
        writer.finish()
    }

    pub(crate) fn deletion(id: IntentId) -> StateRecord {
        StateRecord { kind: StateKind::NotificationIntent, key: id.to_string(), value: None }
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, version) = Reader::of_versions(data, 1..=2)?;
        let generation = reader.signed("generation")?;
        let group_key = reader.text("group_key")?.to_string();
        let receiver = reader.text("receiver")?.to_string();
        // Version 1 knew receivers with one integration only.
        let integration = if version == 1 { 0 } else { reader.size("integration")? };
        let status = match reader.flag("status")? {
            false => NotificationStatus::Firing,
            true => NotificationStatus::Resolved,
        };
        let created_at = Timestamp(reader.signed("created_at")?);
        let body = reader.text("body")?.into();
        reader.finish()?;
        let id = IntentId::new(generation, &group_key, &receiver, integration);
        Ok(Self { id, group_key, receiver, integration, status, created_at, body })
    }
}
