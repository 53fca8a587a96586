//! All rule groups with their state: takes the results of evaluations, returns what to commit.
//!
//! One evaluation of one rule is one [`RuleStep`], and its [`StateCommit`](skopos_model::storage::StateCommit)
//! holds everything that follows from it: changed alerts, recorded samples, intents to notify.
//! The host must make commits durable in the order in which the engine returned them, and hand
//! intents to the [`DeliveryQueue`](crate::notify::DeliveryQueue) only afterwards. A commit that
//! cannot be made durable must be retried, or the engine be rebuilt from the log: what is
//! durable is then always a state the engine was in.

mod alert;
mod dispatching;
mod evaluated;
mod history;
mod policy;
mod retired;
mod rule_state;
mod saved;
mod schedule;
mod send;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{CommitId, StateCommit, StateKind, StateRecord};
use skopos_model::{Labels, SeriesSamples, Timestamp};

pub use alert::AlertState;
pub use evaluated::{EvalFailure, Evaluated};
pub use history::{AlertOutcome, Evaluation, ReadStats, Reason};
pub use policy::{NoData, OnError, Policies, REASON_LABEL, RulePolicy, UnknownPolicy};
pub use saved::{CorruptRecord, SavedState, fuzz_state_records};
pub use schedule::{NextSlot, Schedule};
pub use send::SentAlert;
pub use view::{AlertView, AlertingView, GroupView, Health, RuleView};

use crate::notify::route::Routing;
use crate::notify::{Dispatcher, Intent, Render, WebhookPayload};
use crate::rules::{RuleGroup, RuleId, RuleSet};
use retired::Retired;
use rule_state::{Limits, RuleState};

/// The source of commits made when rules are loaded.
pub const RELOAD_SOURCE: &str = "alerting/rules";

/// What the engine must know beyond the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Interval of groups that give none.
    pub evaluation_interval: Duration,
    /// Labels added to every alert that is sent, unless the alert has them; `$externalLabels`.
    pub external_labels: BTreeMap<String, String>,
    /// Where this server is reached by users, without a slash at the end.
    pub external_url: String,
    /// After a restart that missed a slot: whether firing alerts are held until one full range of
    /// fresh data has arrived, where nothing arrives for at most an hour. Off is what Prometheus
    /// does.
    pub restart_hold: bool,
    /// How long resolved alerts are kept, and so sent again.
    pub resolved_retention: Duration,
    /// How long after it was sent to Alertmanagers an alert is sent again.
    pub resend_delay: Duration,
    /// How far behind the slot groups that do not say so read their data.
    pub query_offset: Duration,
    /// What no data and errors mean, for alerts by name.
    pub policies: Policies,
    /// Whom to notify where nothing else says so; nobody when absent.
    pub notification: Option<NotificationSettings>,
}

/// The default receiver: told of the alerts of each name without delay.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationSettings {
    /// Its name.
    pub receiver: String,
    /// How often a group that goes on firing is reported again.
    pub repeat_interval: Duration,
    /// Most alerts in one notification, 0 for no limit; the rest is counted.
    pub max_alerts: usize,
}

impl Default for NotificationSettings {
    fn default() -> Self {
        let repeat_interval = Duration::from_secs(4 * 3600);
        Self { receiver: "webhook".into(), repeat_interval, max_alerts: 1_000 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            evaluation_interval: Duration::from_secs(15),
            external_labels: BTreeMap::new(),
            external_url: String::new(),
            restart_hold: true,
            resolved_retention: Duration::from_secs(15 * 60),
            resend_delay: Duration::from_secs(60),
            query_offset: Duration::ZERO,
            policies: Policies::default(),
            notification: None,
        }
    }
}

/// Everything that follows from one evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleStep {
    /// What to make durable; absent when nothing changed and nothing was recorded.
    pub commit: Option<StateCommit>,
    /// The intents inside the commit, for the delivery queue once the commit is durable.
    pub intents: Vec<Intent>,
    /// Notifications that could not be put into words: integration and reason. They are tried again.
    pub unrendered: Vec<(String, String)>,
    /// What Alertmanagers are to be sent, once the commit is durable.
    pub sends: Vec<SentAlert>,
    /// Alerts that changed their state, in label order.
    pub transitions: Vec<Transition>,
    /// Why the rule failed, if it did.
    pub error: Option<String>,
    /// The rule is unknown, or had this slot or a later one before: nothing happened.
    pub skipped: bool,
}

/// A change of one alert's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The alert.
    pub labels: Labels,
    /// Its state before, if it was known.
    pub from: Option<AlertState>,
    /// Its state now, if it still is.
    pub to: Option<AlertState>,
}

/// What loading rules changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// What to make durable before any step's commit: alerts of removed rules resolve, and what
    /// series they wrote is noted, to be [ended](Engine::end_retired) later.
    pub commit: Option<StateCommit>,
    /// The intents inside the commit.
    pub intents: Vec<Intent>,
    /// What Alertmanagers are to be sent.
    pub sends: Vec<SentAlert>,
    /// Records that could not be read; their alerts start anew.
    pub corrupt: Vec<CorruptRecord>,
}

/// The state of all groups.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    groups: Vec<GroupState>,
    index: HashMap<RuleId, (usize, usize)>,
    dispatcher: Dispatcher,
    retired: Vec<Retired>,
    last_reload: i64,
}

#[derive(Debug)]
struct GroupState {
    group: Arc<RuleGroup>,
    schedule: Schedule,
    query_offset_ms: i64,
    rules: Vec<RuleState>,
    last_slot: Option<i64>,
    evaluation_time: Duration,
    iterations_missed: u64,
}

impl Engine {
    /// Starts with rules and the state of an earlier run (empty on the first). `now` is the time
    /// of the start, from which fresh data arrives.
    pub fn restore(
        settings: Settings,
        rules: &RuleSet,
        saved: &SavedState,
        now: Timestamp,
    ) -> (Self, Loaded) {
        let (mut routing, mut renderer) = (Routing::nobody(), WebhookPayload::default());
        if let Some(NotificationSettings { receiver, repeat_interval, max_alerts }) =
            &settings.notification
        {
            routing = Routing::direct(receiver, *repeat_interval);
            renderer.max_alerts = *max_alerts;
        }
        renderer.external_url.clone_from(&settings.external_url);
        Self::restore_with(settings, Arc::new(routing), Arc::new(renderer), rules, saved, now)
    }

    /// The same with routes and receivers of a configuration.
    pub fn restore_with(
        settings: Settings,
        routing: Arc<Routing>,
        renderer: Arc<dyn Render>,
        rules: &RuleSet,
        saved: &SavedState,
        now: Timestamp,
    ) -> (Self, Loaded) {
        let mut corrupt = Vec::new();
        let dispatcher = Dispatcher::restore(routing, renderer, saved, now, &mut corrupt);
        let mut engine = Self {
            settings,
            groups: Vec::new(),
            index: HashMap::new(),
            dispatcher,
            retired: Vec::new(),
            last_reload: saved.last_slots.get(RELOAD_SOURCE).copied().unwrap_or(i64::MIN),
        };
        engine.retired = retired::restore(saved, &mut corrupt);
        let mut states = rule_state::restore(saved, now, &mut corrupt);
        let records = engine.adopt_old_groups(&mut states, rules, saved, &mut corrupt);
        let orphans = engine.install(rules, states);
        engine.reconcile(now);
        let mut loaded = engine.retire(orphans, records, now);
        loaded.corrupt = corrupt;
        (engine, loaded)
    }

    /// Replaces the rules. Rules that are still there keep their state.
    pub fn reload(&mut self, rules: &RuleSet, now: Timestamp) -> Loaded {
        let groups = std::mem::take(&mut self.groups);
        let mut states = HashMap::new();
        let mut progress = HashMap::new();
        for group in groups {
            progress.insert(
                group.group.id,
                (group.last_slot, group.evaluation_time, group.iterations_missed),
            );
            states.extend(group.rules.into_iter().map(|state| (state.id, state)));
        }
        let orphans = self.install(rules, states);
        let loaded = self.retire(orphans, Vec::new(), now);
        for group in &mut self.groups {
            if let Some(kept) = progress.get(&group.group.id) {
                (group.last_slot, group.evaluation_time, group.iterations_missed) = *kept;
            }
        }
        loaded
    }

    /// Puts rules in force; returns the states of those that are no longer there.
    fn install(
        &mut self,
        rules: &RuleSet,
        mut states: HashMap<RuleId, RuleState>,
    ) -> HashMap<RuleId, RuleState> {
        self.groups.clear();
        self.index.clear();
        for (g, group) in rules.groups.iter().enumerate() {
            let interval = group.interval.unwrap_or(self.settings.evaluation_interval);
            let mut own = Vec::with_capacity(group.rules.len());
            for (r, rule) in group.rules.iter().enumerate() {
                let mut state = states.remove(&rule.id).unwrap_or_else(|| RuleState::new(rule.id));
                state.rule = Some(rule.clone());
                state.interval = millis(interval);
                state.policy = match rule.alerting() {
                    Some(_) => self.settings.policies.of(&rule.name),
                    None => RulePolicy::default(),
                };
                own.push(state);
                self.index.insert(rule.id, (g, r));
            }
            self.groups.push(GroupState {
                group: group.clone(),
                schedule: Schedule::new(group.id, interval),
                query_offset_ms: millis(self.query_offset(group)),
                rules: own,
                last_slot: None,
                evaluation_time: Duration::ZERO,
                iterations_missed: 0,
            });
        }
        states
    }

    /// How far behind the slot a group reads its data.
    pub fn query_offset(&self, group: &RuleGroup) -> Duration {
        group.query_offset.unwrap_or(self.settings.query_offset)
    }

    /// Ends the alerts of rules that are no longer there; their series end in two intervals.
    fn retire(
        &mut self,
        orphans: HashMap<RuleId, RuleState>,
        mut records: Vec<StateRecord>,
        now: Timestamp,
    ) -> Loaded {
        let mut orphans: Vec<RuleState> = orphans.into_values().collect();
        // What is left of a rule that went long ago says nothing about any alert.
        let had_alerts = orphans.iter().any(|orphan| !orphan.alerts.is_empty());
        orphans.sort_by_key(|state| state.id);
        let slot = now.as_millis().max(self.last_reload.saturating_add(1));
        let mut sends = Vec::new();
        let mut gone = Retired { ended_at: slot, due: slot, series: Default::default() };
        for mut orphan in orphans {
            let interval = match orphan.interval {
                0 => millis(self.settings.evaluation_interval),
                known => known,
            };
            gone.due = gone.due.max(slot.saturating_add(interval.saturating_mul(2)));
            gone.series.append(&mut orphan.take_series());
            let generator = orphan.rule.as_ref().map(|rule| self.generator_url(rule));
            for alert in std::mem::take(&mut orphan.alerts).into_values() {
                let generator_url = generator.clone().unwrap_or_default();
                sends.extend(self.send_off(&alert, slot, &generator_url));
            }
            self.dispatcher.update_rule(orphan.id, Vec::new(), Timestamp::from_millis(slot));
            orphan.changed_alerts(&mut records);
            orphan.changed_series(&mut records);
        }
        if had_alerts {
            self.dispatcher.look(Timestamp::from_millis(slot));
        }
        let intents = self.dispatcher.drain(&mut records);
        if !gone.series.is_empty() {
            records.push(gone.record());
            self.retired.push(gone);
        }
        let commit = commit(RELOAD_SOURCE, slot, records, Vec::new());
        if commit.is_some() {
            self.last_reload = slot;
        }
        Loaded { commit, intents, sends, corrupt: Vec::new() }
    }

    /// The groups with their schedules, in the order of the rule set.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&Arc<RuleGroup>, Schedule)> {
        self.groups.iter().map(|state| (&state.group, state.schedule))
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the next result of a rule should say whether fresh data has arrived since the restart
    /// ([`Evaluated::without_fresh_data`]): one of its alerts is held, or may be.
    pub fn awaits_fresh_data(&self, rule: RuleId) -> bool {
        let state = self.index.get(&rule).and_then(|&(g, r)| self.groups.get(g)?.rules.get(r));
        self.settings.restart_hold && state.is_some_and(RuleState::awaits_fresh_data)
    }

    /// Takes the result of evaluating a rule at a slot. `took` is how long that lasted.
    ///
    /// Within a slot the rules of a group are stepped in their order, or in
    /// [waves](RuleGroup::waves), each after the commits of those before it, so that later rules
    /// see what earlier ones recorded.
    pub fn step(
        &mut self,
        rule: RuleId,
        slot: Timestamp,
        result: Result<Evaluated, EvalFailure>,
        took: Duration,
    ) -> RuleStep {
        let skipped = RuleStep { skipped: true, ..RuleStep::default() };
        let Some(&(g, r)) = self.index.get(&rule) else { return skipped };
        let slot_ms = slot.as_millis();
        let group = &mut self.groups[g];
        let limits = Limits {
            alerts_or_series: group.group.limit,
            resolved_retention: millis(self.settings.resolved_retention),
            query_offset: group.query_offset_ms,
            interval: millis(group.schedule.interval()),
            restart_hold: self.settings.restart_hold,
        };
        let state = &mut group.rules[r];
        if state.last_slot.is_some_and(|last| slot_ms <= last) {
            return skipped;
        }
        let Some(definition) = state.rule.clone() else { return skipped };
        let advanced = state.advance(slot_ms, result, limits, took);
        let error = state.error.clone();

        let mut records = Vec::new();
        let mut intents = Vec::new();
        let mut sends = Vec::new();
        if definition.alerting().is_some() {
            let generator_url = self.generator_url(&definition);
            sends = self.send((g, r), slot_ms);
            let gone = advanced.dropped.iter();
            sends.extend(gone.filter_map(|alert| self.send_off(alert, slot_ms, &generator_url)));
            intents = self.dispatch((g, r), slot_ms, &mut records);
        }
        self.groups[g].rules[r].changed_alerts(&mut records);
        self.groups[g].rules[r].changed_series(&mut records);
        let mut commit = commit(&source(rule), slot_ms, records, advanced.samples);
        if commit.is_none() && !self.groups[g].rules[r].alerts.is_empty() {
            // Nothing changed, but that this slot was evaluated tells a restart whether any was
            // missed.
            let id = CommitId { source: source(rule), slot: slot_ms };
            commit = Some(StateCommit { id, records: Vec::new(), samples: Vec::new() });
        }
        let transitions = advanced.transitions;
        let unrendered = self.dispatcher.take_unrendered();
        RuleStep { commit, intents, unrendered, sends, transitions, error, skipped: false }
    }

    /// Notes that a group's slot is over: how long it took and how many slots were missed since
    /// the one before. For views only.
    pub fn finish_slot(&mut self, group: usize, slot: Timestamp, took: Duration, missed: u64) {
        if let Some(group) = self.groups.get_mut(group) {
            group.last_slot = Some(slot.as_millis());
            group.evaluation_time = took;
            group.iterations_missed += missed;
        }
    }

    fn generator_url(&self, rule: &crate::rules::Rule) -> String {
        let base = self.settings.external_url.trim_end_matches('/');
        format!("{base}{}", crate::template::table_link(rule.expr.as_str()))
    }
}

/// The source of a rule's commits.
pub(crate) fn source(rule: RuleId) -> String {
    format!("rule/{rule}")
}

fn commit(
    source: &str,
    slot: i64,
    records: Vec<StateRecord>,
    samples: Vec<SeriesSamples>,
) -> Option<StateCommit> {
    let is_empty = records.is_empty() && samples.is_empty();
    let id = CommitId { source: source.into(), slot };
    (!is_empty).then_some(StateCommit { id, records, samples })
}

fn record(kind: StateKind, key: String, value: Option<Vec<u8>>) -> StateRecord {
    StateRecord { kind, key, value }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
