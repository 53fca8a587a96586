//! From transitions to intents: alerts of one name are one group, told about without delay.
//!
//! A group is reported when one of its alerts starts to fire or stops, and again when it goes on
//! firing for the repeat interval. Each report has a generation: ascending, and at least the slot
//! in milliseconds, so that a group that was forgotten never reuses one.

use std::collections::BTreeMap;

use skopos_model::Labels;
use skopos_model::Timestamp;
use skopos_model::storage::{StateKind, StateRecord};

use super::alert::{Alert, AlertState, Notified};
use super::saved::{CorruptRecord, SavedState};
use super::{Engine, millis, record};
use crate::codec::{DecodeError, Reader, Writer};
use crate::notify::{Intent, NotifiedAlert, group_key, render};

/// Keys of group records in the notification log begin with this.
const GROUP_PREFIX: &str = "group/";

/// What was last said about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotificationGroup {
    generation: i64,
    /// Slot of the last report, milliseconds.
    last_at: i64,
}

/// An alert that ceased to exist.
#[derive(Debug)]
pub(super) struct Dropped {
    pub(super) alert: Alert,
    pub(super) generator_url: String,
}

impl Engine {
    /// Brings receivers up to date about all alerts of one name; marks them as told and adds
    /// every record that changed.
    pub(super) fn notify(
        &mut self,
        name: &str,
        slot: i64,
        dropped: Vec<Dropped>,
        records: &mut Vec<StateRecord>,
    ) -> Option<Intent> {
        let intent = self.intent(name, slot, dropped);
        if let Some(intent) = &intent {
            records.push(intent.record());
        }
        let members = self.by_alert_name.get(name).cloned().unwrap_or_default();
        let mut is_quiet = true;
        for (g, r) in members {
            let state = &mut self.groups[g].rules[r];
            is_quiet &= state.alerts.is_empty();
            if intent.is_some() {
                state.changed_alerts(records);
            }
        }
        let key = || format!("{GROUP_PREFIX}{name}");
        if is_quiet && self.notifications.remove(name).is_some() {
            records.push(record(StateKind::NotificationLog, key(), None));
        } else if let (Some(_), Some(group)) = (&intent, self.notifications.get(name)) {
            records.push(record(StateKind::NotificationLog, key(), Some(group.encode())));
        }
        intent
    }

    fn intent(&mut self, name: &str, slot: i64, dropped: Vec<Dropped>) -> Option<Intent> {
        let settings = self.settings.notification.clone()?;
        let members = self.by_alert_name.get(name).cloned().unwrap_or_default();
        let mut alerts: BTreeMap<Labels, NotifiedAlert> = BTreeMap::new();
        let mut over: Vec<NotifiedAlert> = Vec::new();
        let (mut is_news, mut is_firing) = (false, false);
        for dropped in dropped.iter().filter(|d| d.alert.notified == Notified::Firing) {
            is_news = true;
            let mut alert = self.notified(&dropped.alert, &dropped.generator_url);
            let ends_at = dropped.alert.resolved_at.unwrap_or(slot);
            alert.ends_at = Some(Timestamp::from_millis(ends_at));
            over.push(alert);
        }
        for &(g, r) in &members {
            let state = &self.groups[g].rules[r];
            let generator_url = state.rule.as_ref().map(|rule| self.generator_url(rule));
            let generator_url = generator_url.unwrap_or_default();
            for alert in state.alerts.values() {
                let mut notified = self.notified(alert, &generator_url);
                match (alert.state, alert.notified) {
                    (AlertState::Firing, told) => {
                        is_firing = true;
                        is_news |= told != Notified::Firing;
                        let entry = alerts.entry(notified.labels.clone());
                        entry
                            .and_modify(|known| {
                                known.starts_at = known.starts_at.min(notified.starts_at);
                            })
                            .or_insert(notified);
                    }
                    (_, Notified::Firing) => {
                        is_news = true;
                        let ends_at = alert.resolved_at.unwrap_or(slot);
                        notified.ends_at = Some(Timestamp::from_millis(ends_at));
                        over.push(notified);
                    }
                    _ => {}
                }
            }
        }
        let before = self.notifications.get(name).copied();
        let repeat_ms = millis(settings.repeat_interval);
        let is_repeat =
            is_firing && before.is_some_and(|g| slot.saturating_sub(g.last_at) >= repeat_ms);
        if !is_news && !is_repeat {
            return None;
        }
        // Two rules may make the same alert: it is over only when neither fires.
        for alert in over {
            alerts.entry(alert.labels.clone()).or_insert(alert);
        }
        for &(g, r) in &members {
            for alert in self.groups[g].rules[r].alerts.values_mut() {
                alert.notified = match (alert.state, alert.notified) {
                    (AlertState::Firing, _) => Notified::Firing,
                    (_, Notified::Firing) => Notified::Resolved,
                    (_, told) => told,
                };
            }
        }
        let generation = before.map_or(slot, |g| slot.max(g.generation.saturating_add(1)));
        self.notifications.insert(name.into(), NotificationGroup { generation, last_at: slot });
        let alerts = alerts.into_values().collect();
        let (receiver, url) = (&settings.receiver, &self.settings.external_url);
        let (status, body) = render(name, receiver, url, alerts, settings.max_alerts);
        let created_at = Timestamp::from_millis(slot);
        Some(Intent::new(generation, group_key(name), receiver, status, created_at, body))
    }

    /// An alert as receivers see it, with the external labels it lacks.
    fn notified(&self, alert: &Alert, generator_url: &str) -> NotifiedAlert {
        let mut labels = alert.labels.to_builder();
        for (name, value) in &self.settings.external_labels {
            if alert.labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        NotifiedAlert {
            labels: labels.build(),
            annotations: alert.annotations.clone(),
            starts_at: Timestamp::from_millis(alert.fired_at.unwrap_or(alert.active_at)),
            ends_at: None,
            generator_url: generator_url.into(),
        }
    }
}

impl NotificationGroup {
    fn encode(self) -> Vec<u8> {
        let mut writer = Writer::new(1);
        writer.signed(self.generation);
        writer.signed(self.last_at);
        writer.finish()
    }
}

pub(super) fn decode(data: &[u8]) -> Result<NotificationGroup, DecodeError> {
    let mut reader = Reader::new(data, 1)?;
    let generation = reader.signed("generation")?;
    let last_at = reader.signed("last_at")?;
    reader.finish()?;
    Ok(NotificationGroup { generation, last_at })
}

pub(super) fn restore(
    saved: &SavedState,
    corrupt: &mut Vec<CorruptRecord>,
) -> BTreeMap<String, NotificationGroup> {
    let mut groups = BTreeMap::new();
    for record in &saved.notification_log {
        let Some(name) = record.key.strip_prefix(GROUP_PREFIX) else { continue };
        match decode(record.value.as_deref().unwrap_or_default()) {
            Ok(group) => drop(groups.insert(name.to_string(), group)),
            Err(error) => corrupt.push(CorruptRecord::new(record, error)),
        }
    }
    groups
}
