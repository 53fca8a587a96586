//! What the dispatcher decided to say, before it is put into a receiver's words.

use std::collections::BTreeMap;

use skopos_model::{Labels, Timestamp};

use super::NotificationStatus;

/// One notification: a group of alerts, for one integration of one receiver.
///
/// Everything that templates and payloads may use of the alerts stands in here, so that rendering it needs
/// no other state and gives the same result whenever it is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The receiver's name.
    pub receiver: String,
    /// Which of the receiver's integrations, counted over all its types in the order of the
    /// configuration.
    pub integration: usize,
    /// The group's key: `{}/{severity="P1"}:{alertname="x"}`.
    pub group_key: String,
    /// The labels that the group's alerts were grouped by.
    pub group_labels: Labels,
    /// Whether anything in it fires.
    pub status: NotificationStatus,
    /// The alerts in Alertmanager's order; resolved ones only where the integration wants them.
    pub alerts: Vec<NotifiedAlert>,
    /// Why it is sent now.
    pub reason: NotificationReason,
    /// When it was decided.
    pub at: Timestamp,
}

/// Why a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationReason {
    /// Nothing was said about the group's firing alerts yet.
    First,
    /// Alerts began to fire.
    NewAlerts,
    /// Alerts are over, others still fire.
    NewResolved,
    /// All are over.
    AllResolved,
    /// The repeat interval has passed.
    Repeat,
}

impl NotificationReason {
    /// The words used in templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first notification",
            Self::NewAlerts => "new alerts in group",
            Self::NewResolved => "new resolved alerts",
            Self::AllResolved => "all alerts resolved",
            Self::Repeat => "repeat interval elapsed",
        }
    }
}

/// An alert as receivers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifiedAlert {
    /// Its labels, external ones included.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it was over; `None` while it fires.
    pub ends_at: Option<Timestamp>,
    /// Where it came from.
    pub generator_url: String,
}

impl NotifiedAlert {
    /// Whether it fires or is over.
    pub fn status(&self) -> NotificationStatus {
        match self.ends_at {
            None => NotificationStatus::Firing,
            Some(_) => NotificationStatus::Resolved,
        }
    }
}
