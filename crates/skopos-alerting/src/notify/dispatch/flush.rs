//! A look at one group: what of it may be said, to whom it is news, and what is done with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::{Labels, Timestamp};

use super::group::{Told, ToldKey};
use super::{Dispatcher, GroupId, IDLE_LOOK};
use crate::notify::notification::{alert_order, fingerprint_hash};
use crate::notify::route::{IntegrationSpec, Route};
use crate::notify::{Intent, Notification, NotificationReason, NotificationStatus, NotifiedAlert};

/// An alert of a group at one look.
struct Member {
    alert: NotifiedAlert,
    fingerprint: u64,
    /// Silenced or inhibited.
    is_muted: bool,
}

impl Member {
    fn fires(&self) -> bool {
        self.alert.ends_at.is_none()
    }
}

impl Dispatcher {
    pub(super) fn flush(&mut self, id: &GroupId, now: Timestamp) {
        let routing = Arc::clone(&self.routing);
        let route = routing.routes.get(id.0);
        let Some(group) = self.groups.get_mut(id) else {
            self.deadlines.retain(|(_, other)| other != id);
            return;
        };
        group.has_looked = true;
        let planned = group.next_look.saturating_add(route.group_interval);
        let members: Vec<Labels> = group.members.iter().cloned().collect();
        if !routing.muted_by(route, now).is_empty() {
            // Nothing is said and nothing is done with: what was told to fire is told to be over
            // when the interval is.
            self.plan(id, route, planned, now);
            return;
        }
        let group_key = route.group_key(&id.1);
        let members = self.members(&members, now);
        let integrations = routing.receivers.get(&route.receiver);
        for (integration, spec) in integrations.into_iter().flatten().enumerate() {
            let receiver = route.receiver.clone();
            let key = ToldKey { group_key: group_key.clone(), receiver, integration };
            self.tell(key, spec, route, &id.1, &members, now);
        }
        self.settle(id, route, &group_key, &members, now);
        self.plan(id, route, planned, now);
    }

    fn members(&self, labels: &[Labels], now: Timestamp) -> Vec<Member> {
        let held = labels.iter().filter_map(|labels| Some((labels, self.alerts.get(labels)?)));
        let mut members: Vec<Member> = held
            .map(|(labels, held)| Member {
                alert: held.notified(labels, now),
                fingerprint: fingerprint_hash(labels),
                is_muted: !self.inhibiting(labels, now).is_empty()
                    || !self.silences.silencing(labels, now).is_empty(),
            })
            .collect();
        members.sort_by(|a, b| alert_order(&a.alert, &b.alert));
        members
    }

    /// The firing alerts that inhibit an alert.
    pub(super) fn inhibiting(&self, labels: &Labels, now: Timestamp) -> BTreeSet<&Labels> {
        let fires = |source: &Labels| self.alerts.get(source).is_some_and(|held| held.fires(now));
        self.sources.inhibiting(&self.routing.inhibit_rules, labels, fires)
    }

    /// Tells one integration what is news to it.
    fn tell(
        &mut self,
        key: ToldKey,
        spec: &IntegrationSpec,
        route: &Route,
        group_labels: &Labels,
        members: &[Member],
        now: Timestamp,
    ) {
        let before = self.told.get(&key);
        let is_believed = |member: &Member| {
            before.is_some_and(|told| {
                let fingerprint = &member.fingerprint;
                told.firing.contains(fingerprint) || told.quiet.contains(fingerprint)
            })
        };
        // A resolve is not muted: who was told that it fires is told that it is over.
        let shown: Vec<&Member> = members
            .iter()
            .filter(|member| !member.is_muted || (!member.fires() && is_believed(member)))
            .collect();
        let fingerprints = |fires: bool| -> BTreeSet<u64> {
            shown.iter().filter(|m| m.fires() == fires).map(|m| m.fingerprint).collect()
        };
        let (firing, resolved) = (fingerprints(true), fingerprints(false));
        let repeats_at = |told: &Told| told.at.saturating_add(route.repeat_interval);
        let reason = match before {
            _ if shown.is_empty() => return,
            None if firing.is_empty() => return,
            None => NotificationReason::First,
            Some(told) if !firing.is_subset(&told.firing) => match told.firing.is_empty() {
                true => NotificationReason::First,
                false => NotificationReason::NewAlerts,
            },
            Some(told) if firing.is_empty() => {
                if told.firing.is_empty() && told.quiet.is_empty() {
                    return;
                }
                NotificationReason::AllResolved
            }
            Some(told) if spec.send_resolved && !resolved.is_subset(&told.resolved) => {
                NotificationReason::NewResolved
            }
            Some(told) if repeats_at(told) <= now => NotificationReason::Repeat,
            Some(_) => return,
        };
        let hushed = members.iter().filter(|m| m.is_muted && m.fires() && is_believed(m));
        let quiet: BTreeSet<u64> = hushed.map(|member| member.fingerprint).collect();
        let since = before.map_or(i64::MIN, |told| told.generation.saturating_add(1));
        let generation = now.as_millis().max(since);
        let alerts: Vec<NotifiedAlert> = shown
            .into_iter()
            .filter(|member| spec.send_resolved || member.fires())
            .map(|member| member.alert.clone())
            .collect();
        let told = Told { generation, at: now, firing, resolved, quiet };
        if alerts.is_empty() {
            // Over, and the integration does not want to know.
            self.remember(key, told);
            return;
        }
        let status = match told.firing.is_empty() {
            true => NotificationStatus::Resolved,
            false => NotificationStatus::Firing,
        };
        let notification = Notification {
            receiver: key.receiver.clone(),
            integration: key.integration,
            group_key: key.group_key.clone(),
            group_labels: group_labels.clone(),
            status,
            alerts,
            reason,
            at: now,
        };
        match self.renderer.render(&notification) {
            Ok(body) => {
                self.intents.push(Intent::new(generation, &notification, body));
                self.remember(key, told);
            }
            // Nothing was told: the next look tries again.
            Err(reason) => {
                self.unrendered.push((format!("{}/{}", key.receiver, spec.name), reason))
            }
        }
    }

    fn remember(&mut self, key: ToldKey, told: Told) {
        self.touched.told.insert(key.clone());
        self.told.insert(key, told);
    }

    /// Lets go of what is over, and of the group when nothing is left of it.
    fn settle(
        &mut self,
        id: &GroupId,
        route: &Route,
        group_key: &str,
        members: &[Member],
        now: Timestamp,
    ) {
        for member in members.iter().filter(|member| !member.fires()) {
            let labels = &member.alert.labels;
            if let Some(group) = self.groups.get_mut(id) {
                group.members.remove(labels);
            }
            if let Some(held) = self.alerts.get_mut(labels) {
                held.member_of.remove(&id.0);
                self.touched.alerts.insert(labels.clone());
            }
            self.drop_if_done(labels, now);
        }
        if self.groups.get(id).is_some_and(|group| !group.members.is_empty()) {
            return;
        }
        if let Some(group) = self.groups.remove(id) {
            self.deadlines.remove(&(group.next_look, id.clone()));
        }
        self.touched.groups.insert(id.clone());
        // Nobody believes that anything of it fires: nothing is left to remember, but what was told
        // just now. Another rule may start the group anew at this very time, and what is told then
        // must not have the same name. Later looks forget it.
        for integration in 0..self.routing.receivers.get(&route.receiver).map_or(0, Vec::len) {
            let receiver = route.receiver.clone();
            let key = ToldKey { group_key: group_key.to_owned(), receiver, integration };
            if self.told.get(&key).is_some_and(|told| told.firing.is_empty() && told.at < now) {
                self.told.remove(&key);
                self.touched.told.insert(key);
            }
        }
    }

    /// Sets the time of the next look.
    fn plan(&mut self, id: &GroupId, route: &Route, planned: Timestamp, now: Timestamp) {
        let Some(group) = self.groups.get(id) else { return };
        let next_look = if route.group_interval.is_zero() {
            let ends = group.members.iter().filter_map(|labels| self.alerts.get(labels)?.ends_at());
            // Never at this very time again.
            let pause = IDLE_LOOK.min(route.repeat_interval).max(Duration::from_secs(1));
            let idle = now.saturating_add(pause);
            ends.filter(|end| *end > now).min().map_or(idle, |end| end.min(idle))
        } else if planned > now {
            planned
        } else {
            now.saturating_add(route.group_interval)
        };
        self.touched.groups.insert(id.clone());
        self.set_deadline(id, next_look);
    }
}
