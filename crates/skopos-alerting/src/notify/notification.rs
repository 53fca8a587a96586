//! What the dispatcher decided to say, before it is put into a receiver's words.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

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

/// Alertmanager's order of the alerts of a notification: by job and instance where both or either have them (missing last), then
/// fewer labels first, then by the first difference in the union of the label names, where the
/// set without the label comes first.
pub(crate) fn alert_order(a: &NotifiedAlert, b: &NotifiedAlert) -> Ordering {
    for name in ["job", "instance"] {
        let by_override = match (a.labels.get(name), b.labels.get(name)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b),
        };
        if by_override.is_ne() {
            return by_override;
        }
    }
    let (a, b) = (&a.labels, &b.labels);
    let names: BTreeSet<&str> = a.iter().chain(b.iter()).map(|(name, _)| name).collect();
    let first_difference =
        || names.iter().map(|name| a.get(name).cmp(&b.get(name))).find(|order| order.is_ne());
    a.len().cmp(&b.len()).then_with(|| first_difference().unwrap_or(Ordering::Equal))
}

/// Alertmanager's fingerprint of a label set: 64-bit FNV-1a over names and values.
pub(crate) fn fingerprint_hash(labels: &Labels) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for (name, value) in labels.iter() {
        for piece in [name, value] {
            piece.bytes().for_each(&mut add);
            add(0xff);
        }
    }
    hash
}

/// The fingerprint in hexadecimal, as APIs and payloads show it.
pub fn fingerprint(labels: &Labels) -> String {
    format!("{:016x}", fingerprint_hash(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_label_set_has_the_known_fingerprint() {
        // The offset basis of FNV-1a, which Prometheus' model package gives for no labels.
        assert_eq!(fingerprint(&Labels::empty()), "cbf29ce484222325");
    }

    #[test]
    fn alerts_stand_in_alertmanagers_order() {
        let alert = |pairs: &[(&str, &str)]| NotifiedAlert {
            labels: Labels::from_pairs(pairs.iter().copied()),
            annotations: BTreeMap::new(),
            starts_at: Timestamp(0),
            ends_at: None,
            generator_url: String::new(),
        };
        let wanted = [
            alert(&[("job", "a"), ("instance", "1"), ("x", "1")]),
            alert(&[("job", "a"), ("instance", "2")]),
            alert(&[("job", "a")]),
            alert(&[("instance", "1")]),
            alert(&[("z", "1")]),
            alert(&[("b", "1"), ("z", "1")]),
            alert(&[("a", "1"), ("z", "1")]),
        ];
        let mut sorted = wanted.to_vec();
        sorted.reverse();
        sorted.sort_by(alert_order);
        assert_eq!(sorted, wanted);
    }
}
