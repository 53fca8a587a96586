//! The dispatcher: from alerts to notifications, as Alertmanager does it, on given times.
//!
//! Alerts come from rules ([`Dispatcher::update_rule`]) and from the API ([`Dispatcher::post`]). Each is put into a
//! group of every route that takes it. A new group waits `group_wait`, a known one `group_interval`
//! between looks at it. A look ([`flush`](flush)) leaves out what is inhibited or silenced, compares the
//! rest with what each integration of the receiver was told, and makes an [`Intent`] where that
//! differs or the repeat interval has passed. Once over and told, an alert leaves its groups.
//!
//! Nothing here does I/O or knows the time. Every change is gathered into records that the caller must
//! commit in the order in which they were made; what is restored from committed records is what was
//! committed. Two things differ from Alertmanager on purpose:
//! - a receiver that was told that an alert fires is told when it is over, though it be
//!   silenced or inhibited by then, and after a mute interval where one held;
//! - what receivers were told and what waits in groups survives restarts.

mod alert;
mod flush;
mod group;
mod post;
mod restore;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{CommitId, StateCommit, StateKind, StateRecord};
use skopos_model::{Labels, Timestamp};

use super::ack::{AckError, Acknowledgement, Acknowledgements};
use super::inhibit::Sources;
use super::route::{RouteIndex, Routing};
use super::silence::{Silence, SilenceError, Silences};
use super::{Intent, Notification, NotifiedAlert, fingerprint};
use crate::rules::RuleId;
use alert::Held;
use group::{Group, Told, ToldKey};

pub use post::{InvalidAlert, PostedAlert};
pub(crate) use restore::fuzz_dispatch_records;
pub use view::{AlertStatus, AlertSummary, GroupSummary};

/// The source of the dispatcher's own commits.
pub const DISPATCH_SOURCE: &str = "alerting/dispatch";

/// A group whose route has no interval looks again this often, for silences and intervals that end.
const IDLE_LOOK: Duration = Duration::from_secs(60);

/// Puts notifications into the words of their receivers.
pub trait Render: fmt::Debug + Send + Sync {
    /// What the integration's sender will read when the notification is delivered. Holds no secret: it
    /// is stored. The same notification gives the same text.
    fn render(&self, notification: &Notification) -> Result<Arc<str>, String>;

    /// The text of the `alertmanager.yml` in force, without its secrets, where there is one.
    fn configuration(&self) -> Option<String> {
        None
    }
}

/// A group: its route and the labels its alerts share.
type GroupId = (RouteIndex, Labels);

/// What came of a change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dispatched {
    /// What to make durable.
    pub commit: Option<StateCommit>,
    /// The intents inside the commit, for the delivery queue once it is durable.
    pub intents: Vec<Intent>,
    /// Notifications that could not be put into words: integration and reason.
    pub unrendered: Vec<(String, String)>,
}

/// Everything about alerts from the moment they fire to the moment all were told that they are over.
#[derive(Debug)]
pub struct Dispatcher {
    routing: Arc<Routing>,
    renderer: Arc<dyn Render>,
    alerts: BTreeMap<Labels, Held>,
    by_rule: BTreeMap<RuleId, BTreeSet<Labels>>,
    groups: BTreeMap<GroupId, Group>,
    deadlines: BTreeSet<(Timestamp, GroupId)>,
    told: BTreeMap<ToldKey, Told>,
    silences: Silences,
    sources: Sources,
    acknowledgements: Acknowledgements,
    last_commit: i64,
    /// What differs from what is committed.
    touched: Touched,
    intents: Vec<Intent>,
    unrendered: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Touched {
    alerts: BTreeSet<Labels>,
    groups: BTreeSet<GroupId>,
    told: BTreeSet<ToldKey>,
    /// Other records, as they are.
    records: Vec<StateRecord>,
}

impl Dispatcher {
    /// An empty dispatcher.
    pub fn new(routing: Arc<Routing>, renderer: Arc<dyn Render>) -> Self {
        let sources = Sources::new(&routing.inhibit_rules, std::iter::empty());
        Self {
            routing,
            renderer,
            alerts: BTreeMap::new(),
            by_rule: BTreeMap::new(),
            groups: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            told: BTreeMap::new(),
            silences: Silences::default(),
            sources,
            acknowledgements: Acknowledgements::default(),
            last_commit: i64::MIN,
            touched: Touched::default(),
            intents: Vec::new(),
            unrendered: Vec::new(),
        }
    }

    /// The routing in force.
    pub fn routing(&self) -> &Arc<Routing> {
        &self.routing
    }

    /// The text of the `alertmanager.yml` in force, without its secrets; without a file, one that says
    /// who the default receiver is.
    pub fn configuration(&self) -> String {
        self.renderer.configuration().unwrap_or_else(|| {
            let name = crate::template::quote(&self.routing.routes.get(0).receiver);
            format!("route:\n  receiver: {name}\nreceivers:\n- name: {name}\n")
        })
    }

    /// Says which alerts of a rule fire as of `at`; those it knew beside them are over.
    pub(crate) fn update_rule(&mut self, rule: RuleId, firing: Vec<NotifiedAlert>, at: Timestamp) {
        let mut gone = self.by_rule.remove(&rule).unwrap_or_default();
        let mut known = BTreeSet::new();
        for alert in firing {
            let labels = alert.labels.clone();
            gone.remove(&labels);
            known.insert(labels.clone());
            let before = self.alerts.get(&labels);
            if before.is_some_and(|held| held.says(rule, &alert)) {
                continue;
            }
            let was_firing = before.is_some_and(|held| held.fires(at));
            let held = match self.alerts.remove(&labels) {
                Some(held) => held.fired_by(rule, alert, at),
                None => Held::of_rule(rule, alert, at),
            };
            self.hold(labels, held, was_firing, at);
        }
        if !known.is_empty() {
            self.by_rule.insert(rule, known);
        }
        for labels in gone {
            let Some(held) = self.alerts.get_mut(&labels) else { continue };
            held.ended_by(rule, at);
            let is_over = !held.fires(at);
            self.touched.alerts.insert(labels.clone());
            if is_over {
                self.look_at_once(&labels, at);
            }
        }
    }

    /// Keeps an alert that fires or changed, and puts it into its groups.
    fn hold(&mut self, labels: Labels, held: Held, was_firing: bool, now: Timestamp) {
        let fires = held.fires(now);
        let (starts_at, ends_at) = (held.starts_at, held.ends_at());
        self.touched.alerts.insert(labels.clone());
        self.alerts.insert(labels.clone(), held);
        self.sources.insert(&self.routing.inhibit_rules, &labels);
        if fires {
            self.acknowledgements.alert_fires(&labels, starts_at, &mut self.touched.records);
            for route in self.routing.routes.matching(&labels) {
                self.join(route, &labels, was_firing, starts_at, ends_at, now);
            }
        } else {
            self.look_at_once(&labels, now);
            self.drop_if_done(&labels, now);
        }
    }

    /// Puts an alert into its group of a route, which it may be in already.
    fn join(
        &mut self,
        route: RouteIndex,
        labels: &Labels,
        was_firing: bool,
        starts_at: Timestamp,
        ends_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        let spec = self.routing.routes.get(route);
        let (wait, interval) = (spec.group_wait, spec.group_interval);
        let id = (route, spec.group_labels(labels));
        let group = self.groups.entry(id.clone()).or_insert_with(|| {
            let next_look = now.saturating_add(wait);
            self.deadlines.insert((next_look, id.clone()));
            self.touched.groups.insert(id.clone());
            Group::new(next_look)
        });
        let is_new = group.members.insert(labels.clone());
        let mut next_look = group.next_look;
        if !group.has_looked && starts_at.saturating_add(wait) < now {
            // It fires for longer than a new group would wait: it waited elsewhere.
            next_look = next_look.min(now);
        }
        if interval.is_zero() && group.has_looked {
            let is_news = is_new || !was_firing;
            next_look =
                next_look.min(if is_news { now } else { ends_at.unwrap_or(Timestamp::MAX) });
        }
        self.set_deadline(&id, next_look);
        if let Some(held) = self.alerts.get_mut(labels) {
            held.member_of.insert(route);
        }
    }

    fn set_deadline(&mut self, id: &GroupId, next_look: Timestamp) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.next_look != next_look {
            self.deadlines.remove(&(group.next_look, id.clone()));
            self.deadlines.insert((next_look, id.clone()));
            group.next_look = next_look;
            self.touched.groups.insert(id.clone());
        }
    }

    /// Groups without an interval look at a change of this alert at once.
    fn look_at_once(&mut self, labels: &Labels, now: Timestamp) {
        let Some(held) = self.alerts.get(labels) else { return };
        for route in held.member_of.clone() {
            let spec = self.routing.routes.get(route);
            let id = (route, spec.group_labels(labels));
            let is_eager = spec.group_interval.is_zero();
            if let Some(group) = self.groups.get(&id)
                && is_eager
                && group.has_looked
            {
                let next_look = group.next_look.min(now);
                self.set_deadline(&id, next_look);
            }
        }
    }

    /// Forgets an alert that is over and waits in no group.
    fn drop_if_done(&mut self, labels: &Labels, now: Timestamp) {
        let is_done =
            |held: &Held| !held.fires(now) && held.member_of.is_empty() && held.rules.is_empty();
        if self.alerts.get(labels).is_some_and(is_done) {
            self.alerts.remove(labels);
            self.sources.remove(&self.routing.inhibit_rules, labels);
            self.touched.alerts.insert(labels.clone());
        }
    }

    /// Looks at every group whose time has come.
    pub(crate) fn look(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.deadlines.first().cloned() {
            if at > now {
                break;
            }
            self.flush(&id, now);
        }
    }

    /// When [`tick`](Self::tick) will have something to do next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does what is due: the server calls it at [`next_due`](Self::next_due).
    pub fn tick(&mut self, now: Timestamp) -> Dispatched {
        self.look(now);
        self.silences.forget(now, &mut self.touched.records);
        self.acknowledgements.forget(now, &mut self.touched.records);
        self.forget_told(now);
        self.dispatched(now)
    }

    /// What was told long ago of groups that are no more.
    fn forget_told(&mut self, now: Timestamp) {
        let limit = now.saturating_sub(super::silence::RETENTION);
        if self.told.values().all(|told| told.at >= limit) {
            return;
        }
        let groups = self.groups.keys();
        let keys = groups.map(|(route, labels)| self.routing.routes.get(*route).group_key(labels));
        let alive: BTreeSet<String> = keys.collect();
        let old = self
            .told
            .iter()
            .filter(|(key, told)| told.at < limit && !alive.contains(&key.group_key));
        let old: Vec<ToldKey> = old.map(|(key, _)| key.clone()).collect();
        for key in old {
            self.told.remove(&key);
            self.touched.told.insert(key);
        }
    }

    /// Notes that a notification could not be delivered: what it told is untold, and is told
    /// again at the next look.
    pub fn undelivered(&mut self, failed: &super::DeliveryRecord, now: Timestamp) -> Dispatched {
        let key = ToldKey {
            group_key: failed.group_key.clone(),
            receiver: failed.receiver.clone(),
            integration: failed.integration,
        };
        if let Some(told) = self.told.get_mut(&key)
            && told.generation == failed.id.generation
            && !told.firing.is_empty()
        {
            // Earlier notifications may have told of them: their end is told in any case.
            let firing = std::mem::take(&mut told.firing);
            told.quiet.extend(firing);
            self.touched.told.insert(key);
        }
        self.dispatched(now)
    }

    /// Makes, edits or (with an empty id) creates a silence; `fresh_id` names a new one.
    pub fn set_silence(
        &mut self,
        silence: Silence,
        fresh_id: String,
        now: Timestamp,
    ) -> Result<(String, Dispatched), SilenceError> {
        let id = self.silences.set(silence, fresh_id, now, &mut self.touched.records)?;
        Ok((id, self.dispatched(now)))
    }

    /// Ends a silence.
    pub fn expire_silence(&mut self, id: &str, now: Timestamp) -> Result<Dispatched, SilenceError> {
        self.silences.expire(id, now, &mut self.touched.records)?;
        Ok(self.dispatched(now))
    }

    /// All silences, in no particular order.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.iter()
    }

    /// A silence.
    pub fn silence(&self, id: &str) -> Option<&Silence> {
        self.silences.get(id)
    }

    /// Notes that somebody looks after a firing alert. The same person may do so again, to change
    /// the comment; the first time counts.
    pub fn acknowledge(
        &mut self,
        alert: &str,
        by: &str,
        comment: &str,
        now: Timestamp,
    ) -> Result<(Acknowledgement, Dispatched), AckError> {
        if by.trim().is_empty() {
            return Err(AckError::Nobody);
        }
        let mut firing = self.alerts.iter().filter(|(_, held)| held.fires(now));
        let found = firing.find(|(labels, _)| fingerprint(labels) == alert);
        let Some((labels, held)) = found else { return Err(AckError::NotFiring(alert.into())) };
        let before = self.acknowledgements.get(labels);
        let is_first = before.is_none();
        if let Some(before) = before.filter(|before| before.by != by) {
            return Err(AckError::Taken { by: before.by.clone() });
        }
        let ack = Acknowledgement {
            labels: labels.clone(),
            starts_at: held.starts_at,
            at: before.map_or(now, |before| before.at),
            by: by.to_owned(),
            comment: comment.to_owned(),
        };
        self.acknowledgements.add(ack.clone(), &mut self.touched.records);
        let mut dispatched = self.dispatched(now);
        if let (true, Some(commit)) = (is_first, &mut dispatched.commit) {
            commit.samples.push(ack.sample());
        }
        Ok((ack, dispatched))
    }

    /// Gathers what changed into a commit of the dispatcher's own.
    fn dispatched(&mut self, now: Timestamp) -> Dispatched {
        let mut records = Vec::new();
        let intents = self.drain(&mut records);
        let unrendered = std::mem::take(&mut self.unrendered);
        if records.is_empty() {
            return Dispatched { commit: None, intents, unrendered };
        }
        // The clock may stand still or go back; the source's slots must not.
        self.last_commit = now.as_millis().max(self.last_commit.saturating_add(1));
        let id = CommitId { source: DISPATCH_SOURCE.into(), slot: self.last_commit };
        let commit = Some(StateCommit { id, records, samples: Vec::new() });
        Dispatched { commit, intents, unrendered }
    }

    /// Adds the records of everything that changed, and returns the intents among it.
    pub(crate) fn drain(&mut self, records: &mut Vec<StateRecord>) -> Vec<Intent> {
        let touched = std::mem::take(&mut self.touched);
        let mut put = |key: String, value: Option<Vec<u8>>| {
            records.push(StateRecord { kind: StateKind::NotificationLog, key, value });
        };
        for labels in touched.alerts {
            let held = self.alerts.get(&labels);
            put(alert::key(&labels), held.map(|held| held.encode(&labels, &self.routing.routes)));
        }
        for id in touched.groups {
            let route = &self.routing.routes.get(id.0).id;
            let group = self.groups.get(&id);
            put(group::key(route, &id.1), group.map(|group| group.encode(route, &id.1)));
        }
        for key in touched.told {
            let told = self.told.get(&key);
            put(key.record_key(), told.map(|told| told.encode(&key)));
        }
        records.extend(touched.records);
        let intents = std::mem::take(&mut self.intents);
        records.extend(intents.iter().map(Intent::record));
        intents
    }

    /// Notifications that could not be put into words since this was last asked.
    pub(crate) fn take_unrendered(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.unrendered)
    }
}
