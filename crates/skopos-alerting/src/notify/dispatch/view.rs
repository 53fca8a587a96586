//! Alerts and groups as Alertmanager's API shows them.

use std::collections::BTreeMap;

use skopos_model::{Labels, Timestamp};

use super::Dispatcher;
use super::alert::Held;
use crate::notify::ack::{Acknowledgement, Severity};
use crate::notify::notification::{alert_order, fingerprint};

/// Whether and why an alert is kept quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertStatus {
    /// Fingerprints of the alerts that inhibit it.
    pub inhibited_by: Vec<String>,
    /// Ids of the silences.
    pub silenced_by: Vec<String>,
    /// Names of the time intervals that mute its groups.
    pub muted_by: Vec<String>,
}

impl AlertStatus {
    /// The word in the API: `active` or `suppressed`.
    pub fn state(&self) -> &'static str {
        match self.inhibited_by.is_empty() && self.silenced_by.is_empty() {
            true => "active",
            false => "suppressed",
        }
    }
}

/// An alert that fires.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertSummary {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    pub starts_at: Timestamp,
    /// Until when it fires; `None` while a rule says that it does.
    pub ends_at: Option<Timestamp>,
    /// When something about it last changed.
    pub updated_at: Timestamp,
    /// Where it came from.
    pub generator_url: String,
    /// The receivers of the routes that take it.
    pub receivers: Vec<String>,
    /// Whether it is kept quiet.
    pub status: AlertStatus,
    /// Who took it on.
    pub acknowledged: Option<Acknowledgement>,
    /// How urgent it is, if it says so.
    pub severity: Option<Severity>,
}

/// A group of firing alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSummary {
    /// The labels of the group.
    pub labels: Labels,
    /// The group's key.
    pub group_key: String,
    /// Its receiver.
    pub receiver: String,
    /// When it is looked at next.
    pub next_look: Timestamp,
    /// Its alerts in the order of notifications.
    pub alerts: Vec<AlertSummary>,
}

impl Dispatcher {
    /// The firing alerts, by fingerprint.
    pub fn firing(&self, now: Timestamp) -> Vec<AlertSummary> {
        let firing = self.alerts.iter().filter(|(_, held)| held.fires(now));
        let mut found: Vec<AlertSummary> =
            firing.map(|(labels, held)| self.summary(labels, held, now)).collect();
        found.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        found
    }

    /// The groups that have firing alerts, by labels and receiver.
    pub fn groups(&self, now: Timestamp) -> Vec<GroupSummary> {
        let mut found = Vec::new();
        for ((route, labels), group) in &self.groups {
            let route = self.routing.routes.get(*route);
            let muted_by = self.routing.muted_by(route, now);
            let members = group.members.iter().filter_map(|l| Some((l, self.alerts.get(l)?)));
            let mut firing: Vec<_> = members.filter(|(_, held)| held.fires(now)).collect();
            firing.sort_by(|a, b| alert_order(&a.1.notified(a.0, now), &b.1.notified(b.0, now)));
            if firing.is_empty() {
                continue;
            }
            let alerts = firing.into_iter().map(|(labels, held)| {
                let mut summary = self.summary(labels, held, now);
                summary.status.muted_by.clone_from(&muted_by);
                summary
            });
            found.push(GroupSummary {
                group_key: route.group_key(labels),
                labels: labels.clone(),
                receiver: route.receiver.clone(),
                next_look: group.next_look,
                alerts: alerts.collect(),
            });
        }
        found.sort_by(|a, b| {
            let key = |g: &GroupSummary| (g.labels.len(), g.labels.clone(), g.receiver.clone());
            key(a).cmp(&key(b))
        });
        found
    }

    fn summary(&self, labels: &Labels, held: &Held, now: Timestamp) -> AlertSummary {
        let routes = self.routing.routes.matching(labels);
        let mut muted_by: Vec<String> = routes
            .iter()
            .flat_map(|route| self.routing.muted_by(self.routing.routes.get(*route), now))
            .collect();
        muted_by.sort();
        muted_by.dedup();
        AlertSummary {
            fingerprint: fingerprint(labels),
            labels: labels.clone(),
            annotations: held.annotations.clone(),
            starts_at: held.starts_at,
            ends_at: held.ends_at(),
            updated_at: held.updated_at,
            generator_url: held.generator_url.clone(),
            receivers: routes
                .iter()
                .map(|route| self.routing.routes.get(*route).receiver.clone())
                .collect(),
            status: AlertStatus {
                inhibited_by: self.inhibiting(labels, now).into_iter().map(fingerprint).collect(),
                silenced_by: self.silences.silencing(labels, now),
                muted_by,
            },
            acknowledged: self.acknowledgements.get(labels).cloned(),
            severity: Severity::of(labels),
        }
    }
}
