//! What became of every notification: the record of a settled delivery.

use skopos_model::Timestamp;
use skopos_model::storage::{StateKind, StateRecord};

use super::{Intent, IntentId};
use crate::codec::{DecodeError, Reader, Writer};

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver accepted it.
    Delivered,
    /// The receiver refused it for good, or it was given up.
    Failed,
    /// Newer notifications needed the room in the full queue, one of its group stands for it, or
    /// somebody discarded it after it had failed.
    Dropped,
}

impl Verdict {
    /// The word used in the API and as a label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// A settled delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Which notification.
    pub id: IntentId,
    /// The group's key.
    pub group_key: String,
    /// The receiver's name.
    pub receiver: String,
    /// Which of the receiver's integrations.
    pub integration: usize,
    /// When it was decided.
    pub created_at: Timestamp,
    /// When it was settled.
    pub settled_at: Timestamp,
    /// Attempts since the last start of the server.
    pub attempts: u32,
    /// How it ended.
    pub verdict: Verdict,
    /// Why, empty when delivered at once. Never holds the receiver's address.
    pub reason: String,
}

/// Keys of the notification log that are deliveries begin with this.
pub(crate) const KEY_PREFIX: &str = "delivery/";

/// Why notifications are dropped for which a newer one stands.
const SUPERSEDED: &str = "superseded by a newer notification of the group";

/// How the reason begins of what somebody discarded.
const DISCARDED: &str = "discarded by ";

impl DeliveryRecord {
    /// The record of a notification for which a newer one of its group stands.
    pub(crate) fn superseded(intent: &Intent, settled_at: Timestamp, attempts: u32) -> Self {
        Self::new(intent, settled_at, attempts, Verdict::Dropped, SUPERSEDED.into())
    }

    /// The record of a dead letter that somebody discarded.
    pub(crate) fn discarded(letter: &DeadLetter, settled_at: Timestamp, by: &str) -> Self {
        let DeadLetter { intent, attempts, reason, .. } = letter;
        let reason = format!("{DISCARDED}{by}; it had failed: {reason}");
        Self::new(intent, settled_at, *attempts, Verdict::Dropped, reason)
    }

    /// Whether it was dropped because a newer one tells the same: nothing was lost.
    pub fn is_superseded(&self) -> bool {
        self.verdict == Verdict::Dropped && self.reason == SUPERSEDED
    }

    /// Whether it was dropped for want of room: nobody was told, and nobody decided that.
    pub fn is_overflow(&self) -> bool {
        let is_meant = self.is_superseded() || self.reason.starts_with(DISCARDED);
        self.verdict == Verdict::Dropped && !is_meant
    }

    pub(crate) fn new(
        intent: &Intent,
        settled_at: Timestamp,
        attempts: u32,
        verdict: Verdict,
        reason: String,
    ) -> Self {
        Self {
            id: intent.id,
            group_key: intent.group_key.clone(),
            receiver: intent.receiver.clone(),
            integration: intent.integration,
            created_at: intent.created_at,
            settled_at,
            attempts,
            verdict,
            reason,
        }
    }

    fn key(id: IntentId) -> String {
        format!("{KEY_PREFIX}{id}")
    }

    pub(crate) fn record(&self) -> StateRecord {
        let mut writer = Writer::new(2);
        writer.signed(self.id.generation);
        writer.unsigned(self.id.group);
        writer.text(&self.group_key);
        writer.text(&self.receiver);
        writer.unsigned(self.integration as u64);
        writer.signed(self.created_at.as_nanos());
        writer.signed(self.settled_at.as_nanos());
        writer.unsigned(u64::from(self.attempts));
        writer.byte(match self.verdict {
            Verdict::Delivered => 0,
            Verdict::Failed => 1,
            Verdict::Dropped => 2,
        });
        writer.text(&self.reason);
        let value = Some(writer.finish());
        StateRecord { kind: StateKind::NotificationLog, key: Self::key(self.id), value }
    }

    pub(crate) fn deletion(id: IntentId) -> StateRecord {
        StateRecord { kind: StateKind::NotificationLog, key: Self::key(id), value: None }
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, version) = Reader::of_versions(data, 1..=2)?;
        let wrong = |what| DecodeError { what, offset: data.len() };
        let record = Self {
            id: IntentId {
                generation: reader.signed("generation")?,
                group: reader.unsigned("group")?,
            },
            group_key: reader.text("group_key")?.into(),
            receiver: reader.text("receiver")?.into(),
            integration: if version == 1 { 0 } else { reader.size("integration")? },
            created_at: Timestamp(reader.signed("created_at")?),
            settled_at: Timestamp(reader.signed("settled_at")?),
            attempts: u32::try_from(reader.unsigned("attempts")?).map_err(|_| wrong("attempts"))?,
            verdict: match reader.byte("verdict")? {
                0 => Verdict::Delivered,
                1 => Verdict::Failed,
                2 => Verdict::Dropped,
                _ => return Err(wrong("verdict")),
            },
            reason: reader.text("reason")?.into(),
        };
        reader.finish()?;
        Ok(record)
    }
}

/// Keys of notifications that could not be delivered begin with this.
pub(crate) const DEAD_PREFIX: &str = "dead/";

/// A notification that could not be delivered, kept so that it can be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The notification.
    pub intent: Intent,
    /// When it was given up.
    pub failed_at: Timestamp,
    /// Attempts since the last start of the server.
    pub attempts: u32,
    /// Why. Never holds the receiver's address.
    pub reason: String,
}

impl DeadLetter {
    pub(crate) fn record(&self) -> StateRecord {
        let mut writer = Writer::new(1);
        writer.signed(self.failed_at.as_nanos());
        writer.unsigned(u64::from(self.attempts));
        writer.text(&self.reason);
        writer.bytes(&self.intent.encode());
        let (key, value) = (Self::key(self.intent.id), Some(writer.finish()));
        StateRecord { kind: StateKind::NotificationLog, key, value }
    }

    pub(crate) fn deletion(id: IntentId) -> StateRecord {
        StateRecord { kind: StateKind::NotificationLog, key: Self::key(id), value: None }
    }

    pub(crate) fn key(id: IntentId) -> String {
        format!("{DEAD_PREFIX}{id}")
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data, 1)?;
        let wrong = |what| DecodeError { what, offset: data.len() };
        let failed_at = Timestamp(reader.signed("failed_at")?);
        let attempts =
            u32::try_from(reader.unsigned("attempts")?).map_err(|_| wrong("attempts"))?;
        let reason = reader.text("reason")?.into();
        let intent = Intent::decode(reader.bytes("intent")?)?;
        reader.finish()?;
        Ok(Self { intent, failed_at, attempts, reason })
    }
}
