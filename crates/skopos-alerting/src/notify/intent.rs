//! The decision to tell a receiver something, made durable before anything is sent.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use skopos_model::Timestamp;
use skopos_model::storage::{StateKind, StateRecord};

use super::Notification;
use super::notification::fingerprint_hash;
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
    /// Of which alerts it speaks; not known of records older than version 3.
    pub(crate) about: Option<About>,
}

/// Fingerprints of the alerts of which a notification speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    firing: BTreeSet<u64>,
    resolved: BTreeSet<u64>,
}

impl About {
    fn new(notification: &Notification) -> Self {
        let mut about = Self::default();
        for alert in &notification.alerts {
            let set = match alert.ends_at {
                None => &mut about.firing,
                Some(_) => &mut about.resolved,
            };
            set.insert(fingerprint_hash(&alert.labels));
        }
        about
    }

    fn encode(&self, writer: &mut Writer) {
        for set in [&self.firing, &self.resolved] {
            writer.unsigned(set.len() as u64);
            set.iter().for_each(|fingerprint| writer.unsigned(*fingerprint));
        }
    }

    fn decode(reader: &mut Reader<'_>, length: usize) -> Result<Self, DecodeError> {
        let mut sets = [BTreeSet::new(), BTreeSet::new()];
        for set in &mut sets {
            for _ in 0..reader.unsigned("alerts")? {
                let fingerprint = reader.unsigned("alerts")?;
                if set.last().is_some_and(|last| *last >= fingerprint) {
                    return Err(DecodeError { what: "alerts", offset: length });
                }
                set.insert(fingerprint);
            }
        }
        let [firing, resolved] = sets;
        Ok(Self { firing, resolved })
    }
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
            about: Some(About::new(notification)),
        }
    }

    /// Whether nobody needs an earlier notification of the same group who gets this one: it tells how
    /// the group stands now. Only an end must not be lost: alerts that the earlier one tells to
    /// be over must be in this one, over or firing anew.
    pub(crate) fn stands_for(&self, earlier: &Intent) -> bool {
        let (Some(now), Some(before)) = (&self.about, &earlier.about) else { return false };
        let is_told = |alert| now.firing.contains(alert) || now.resolved.contains(alert);
        self.id.group == earlier.id.group
            && self.id.generation > earlier.id.generation
            && before.resolved.iter().all(is_told)
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

    /// Its record, version 3.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(3);
        writer.signed(self.id.generation);
        writer.text(&self.group_key);
        writer.text(&self.receiver);
        writer.unsigned(self.integration as u64);
        writer.byte(u8::from(self.status == NotificationStatus::Resolved));
        writer.signed(self.created_at.as_nanos());
        writer.text(&self.body);
        writer.byte(u8::from(self.about.is_some()));
        if let Some(about) = &self.about {
            about.encode(&mut writer);
        }
        writer.finish()
    }

    pub(crate) fn deletion(id: IntentId) -> StateRecord {
        StateRecord { kind: StateKind::NotificationIntent, key: id.to_string(), value: None }
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, version) = Reader::of_versions(data, 1..=3)?;
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
        let about = match version > 2 && reader.flag("about")? {
            true => Some(About::decode(&mut reader, data.len())?),
            false => None,
        };
        reader.finish()?;
        let id = IntentId::new(generation, &group_key, &receiver, integration);
        Ok(Self { id, group_key, receiver, integration, status, created_at, body, about })
    }
}
