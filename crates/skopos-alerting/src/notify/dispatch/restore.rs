//! The dispatcher from committed records, and under a changed routing.
//!
//! Alerts keep their places in the groups of routes that still take them (routes are known by their
//! ids, which are made of matchers and places). Those of routes that are gone leave; firing ones join the groups of
//! the routes that take them now, as if they had just come.

use std::sync::Arc;

use skopos_model::storage::{StateKind, StateRecord};
use skopos_model::{Labels, Timestamp};

use super::alert;
use super::group::{self, Told, ToldKey};
use super::{DISPATCH_SOURCE, Dispatched, Dispatcher, Render};
use crate::engine::{CorruptRecord, SavedState};
use crate::notify::NotifiedAlert;
use crate::notify::ack::Acknowledgements;
use crate::notify::inhibit::Sources;
use crate::notify::notification::fingerprint_hash;
use crate::notify::route::Routing;
use crate::notify::silence::Silences;
use crate::rules::RuleId;

impl Dispatcher {
    /// The dispatcher as committed. Follow it with [`drain`](Self::drain): a changed routing may have
    /// changed groups.
    pub(crate) fn restore(
        routing: Arc<Routing>,
        renderer: Arc<dyn Render>,
        saved: &SavedState,
        now: Timestamp,
        corrupt: &mut Vec<CorruptRecord>,
    ) -> Self {
        let mut dispatcher = Self::new(routing, renderer);
        dispatcher.last_commit = saved.last_slots.get(DISPATCH_SOURCE).copied().unwrap_or(i64::MIN);
        dispatcher.silences = Silences::restore(&saved.silences, corrupt);
        dispatcher.acknowledgements = Acknowledgements::restore(&saved.notification_log, corrupt);
        let (mut alerts, mut groups) = (Vec::new(), Vec::new());
        for record in &saved.notification_log {
            let bytes = record.value.as_deref().unwrap_or_default();
            let is_sound = if record.key.starts_with(alert::PREFIX) {
                alert::Saved::decode(bytes).map(|saved| {
                    let is_sound = alert::key(&saved.labels) == record.key;
                    alerts.push(saved);
                    is_sound
                })
            } else if record.key.starts_with(group::PREFIX) {
                group::Saved::decode(bytes).map(|saved| {
                    let is_sound = group::key(&saved.route, &saved.labels) == record.key;
                    groups.push(saved);
                    is_sound
                })
            } else if record.key.starts_with(group::TOLD_PREFIX) {
                Told::decode(bytes).map(|(key, told)| {
                    let is_sound = key.record_key() == record.key;
                    dispatcher.told.insert(key, told);
                    is_sound
                })
            } else {
                continue;
            };
            match is_sound {
                Ok(true) => {}
                Ok(false) => corrupt.push(CorruptRecord::mismatch(record)),
                Err(error) => corrupt.push(CorruptRecord::new(record, error)),
            }
        }
        dispatcher.install(alerts, groups, now);
        dispatcher
    }

    /// Replaces routes, receivers and their words. Alerts, silences and what was told stay.
    pub fn reload(
        &mut self,
        routing: Arc<Routing>,
        renderer: Arc<dyn Render>,
        now: Timestamp,
    ) -> Dispatched {
        let routes = &self.routing.routes;
        let alerts = std::mem::take(&mut self.alerts).into_iter().map(|(labels, held)| {
            let routes = held.member_of.iter().map(|route| routes.get(*route).id.clone()).collect();
            alert::Saved { labels, held, routes }
        });
        let groups =
            std::mem::take(&mut self.groups).into_iter().map(|((route, labels), group)| {
                group::Saved { route: routes.get(route).id.clone(), labels, group }
            });
        let (alerts, groups) = (alerts.collect(), groups.collect());
        self.deadlines.clear();
        self.by_rule.clear();
        (self.routing, self.renderer) = (routing, renderer);
        self.install(alerts, groups, now);
        self.dispatched(now)
    }

    fn install(&mut self, alerts: Vec<alert::Saved>, groups: Vec<group::Saved>, now: Timestamp) {
        let routing = Arc::clone(&self.routing);
        for mut saved in groups {
            saved.group.members.clear();
            let Some(route) = routing.routes.by_id(&saved.route) else {
                let key = group::key(&saved.route, &saved.labels);
                let kind = StateKind::NotificationLog;
                self.touched.records.push(StateRecord { kind, key, value: None });
                continue;
            };
            let id = (route, saved.labels);
            self.deadlines.insert((saved.group.next_look, id.clone()));
            self.groups.insert(id, saved.group);
        }
        let mut newcomers = Vec::new();
        for saved in alerts {
            let alert::Saved { labels, mut held, routes } = saved;
            let takers = routing.routes.matching(&labels);
            let known = routes.iter().filter_map(|id| routing.routes.by_id(id));
            held.member_of = known.filter(|route| takers.contains(route)).collect();
            for &route in &held.member_of {
                let id = (route, routing.routes.get(route).group_labels(&labels));
                match self.groups.get_mut(&id) {
                    Some(group) => drop(group.members.insert(labels.clone())),
                    None => newcomers.push((route, labels.clone())),
                }
            }
            if held.member_of.len() != routes.len() {
                self.touched.alerts.insert(labels.clone());
            }
            if held.fires(now) {
                let missing = takers.into_iter().filter(|route| !held.member_of.contains(route));
                newcomers.extend(missing.map(|route| (route, labels.clone())));
            }
            for rule in &held.rules {
                self.by_rule.entry(*rule).or_default().insert(labels.clone());
            }
            self.alerts.insert(labels, held);
        }
        self.sources = Sources::new(&routing.inhibit_rules, self.alerts.keys());
        for (route, labels) in newcomers {
            let Some(held) = self.alerts.get(&labels) else { continue };
            let (starts_at, ends_at) = (held.starts_at, held.ends_at());
            self.touched.alerts.insert(labels.clone());
            self.join(route, &labels, false, starts_at, ends_at, now);
        }
        let empty = self.groups.iter().filter(|(_, group)| group.members.is_empty());
        for id in empty.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            if let Some(group) = self.groups.remove(&id) {
                self.deadlines.remove(&(group.next_look, id.clone()));
                self.touched.groups.insert(id);
            }
        }
        let labels: Vec<Labels> = self.alerts.keys().cloned().collect();
        labels.iter().for_each(|labels| self.drop_if_done(labels, now));
    }

    /// Ends what rules no longer say: alerts whose rule does not hold them as firing.
    pub(crate) fn reconcile(&mut self, fires: impl Fn(RuleId, &Labels) -> bool, now: Timestamp) {
        let mut lost = Vec::new();
        for (rule, alerts) in &mut self.by_rule {
            alerts.retain(|labels| {
                let is_held = fires(*rule, labels);
                if !is_held {
                    lost.push((*rule, labels.clone()));
                }
                is_held
            });
        }
        for (rule, labels) in lost {
            if let Some(held) = self.alerts.get_mut(&labels) {
                held.ended_by(rule, now);
                self.touched.alerts.insert(labels.clone());
            }
            self.look_at_once(&labels, now);
        }
    }

    /// Takes over an alert of which version 1 of the records says that its receiver was told.
    pub(crate) fn adopt(
        &mut self,
        rule: RuleId,
        alert: NotifiedAlert,
        receiver: &str,
        told_at: Timestamp,
        generation: i64,
    ) {
        let labels = alert.labels.clone();
        self.by_rule.entry(rule).or_default().insert(labels.clone());
        let held = alert::Held::of_rule(rule, alert, told_at);
        self.hold(labels.clone(), held, false, told_at);
        for route in self.routing.routes.matching(&labels) {
            let spec = self.routing.routes.get(route);
            if spec.receiver != receiver {
                continue;
            }
            let group_labels = spec.group_labels(&labels);
            let group_key = spec.group_key(&group_labels);
            if let Some(group) = self.groups.get_mut(&(route, group_labels)) {
                group.has_looked = true;
            }
            let key = ToldKey { group_key, receiver: receiver.to_owned(), integration: 0 };
            let told = self.told.entry(key.clone()).or_default();
            told.firing.insert(fingerprint_hash(&labels));
            (told.at, told.generation) = (told_at, generation);
            self.touched.told.insert(key);
        }
    }
}

/// Decodes arbitrary bytes as every kind of record; what decodes is what its value encodes to.
pub(crate) fn fuzz_dispatch_records(data: &[u8]) {
    if let Ok(saved) = alert::Saved::decode(data) {
        assert_eq!(saved.encode(), data);
    }
    if let Ok(saved) = group::Saved::decode(data) {
        assert_eq!(saved.group.encode(&saved.route, &saved.labels), data);
    }
    if let Ok((key, told)) = Told::decode(data) {
        assert_eq!(told.encode(&key), data);
    }
    if let Ok(silence) = crate::notify::silence::decode_silence(data) {
        assert_eq!(silence.record().value.as_deref(), Some(data));
    }
    if let Ok(ack) = crate::notify::ack::Acknowledgement::decode(data) {
        assert_eq!(ack.record().value.as_deref(), Some(data));
    }
}
