//! From the engine to the dispatcher: which alerts of a rule fire, in the same commit as their
//! transition; and what version 1 of the records said of groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use skopos_model::storage::{StateKind, StateRecord};
use skopos_model::{Labels, Timestamp};

use super::alert::{Alert, AlertState, Notified};
use super::rule_state::RuleState;
use super::saved::{CorruptRecord, SavedState};
use super::{Engine, record};
use crate::codec::{DecodeError, Reader};
use crate::notify::{Dispatcher, Intent, NotifiedAlert};
use crate::rules::{RuleId, RuleSet};

/// Keys of version 1's groups in the notification log begin with this.
const OLD_GROUP_PREFIX: &str = "group/";

/// What version 1 said of the group of all alerts of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OldGroup {
    generation: i64,
    /// Slot of the last report, milliseconds.
    last_at: i64,
}

pub(super) fn decode_old(data: &[u8]) -> Result<OldGroup, DecodeError> {
    let mut reader = Reader::new(data, 1)?;
    let generation = reader.signed("generation")?;
    let last_at = reader.signed("last_at")?;
    reader.finish()?;
    Ok(OldGroup { generation, last_at })
}

impl Engine {
    /// The dispatcher: for views, and for what does not come from rules.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// The dispatcher. What its methods return must be committed in order with the engine's steps.
    pub fn dispatcher_mut(&mut self) -> &mut Dispatcher {
        &mut self.dispatcher
    }

    /// Tells the dispatcher which alerts of a rule fire, and adds every record that changed by it.
    pub(super) fn dispatch(
        &mut self,
        (g, r): (usize, usize),
        slot: i64,
        records: &mut Vec<StateRecord>,
    ) -> Vec<Intent> {
        let state = &self.groups[g].rules[r];
        let generator_url = state.rule.as_ref().map(|rule| self.generator_url(rule));
        let generator_url = generator_url.unwrap_or_default();
        let firing = state.alerts.values().filter(|alert| alert.state == AlertState::Firing);
        let firing = firing.map(|alert| self.notified(alert, &generator_url)).collect();
        let (rule, slot) = (state.id, Timestamp::from_millis(slot));
        self.dispatcher.update_rule(rule, firing, slot);
        self.dispatcher.look(slot);
        self.dispatcher.drain(records)
    }

    /// An alert as receivers see it, with the external labels it lacks.
    fn notified(&self, alert: &Alert, generator_url: &str) -> NotifiedAlert {
        NotifiedAlert {
            labels: self.with_external_labels(&alert.labels),
            annotations: alert.annotations.clone(),
            starts_at: Timestamp::from_millis(alert.fired_at.unwrap_or(alert.active_at)),
            ends_at: None,
            generator_url: generator_url.into(),
        }
    }

    fn with_external_labels(&self, labels: &Labels) -> Labels {
        let external = &self.settings.external_labels;
        if external.is_empty() {
            return labels.clone();
        }
        let mut builder = labels.to_builder();
        for (name, value) in external {
            if labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        builder.build()
    }

    /// After a restart: what the dispatcher holds as firing without a rule that says so is over.
    pub(super) fn reconcile(&mut self, now: Timestamp) {
        let mut firing: HashMap<RuleId, BTreeSet<Labels>> = HashMap::new();
        for state in self.groups.iter().flat_map(|group| &group.rules) {
            let alerts = state.alerts.values().filter(|a| a.state == AlertState::Firing);
            let labels: BTreeSet<Labels> =
                alerts.map(|alert| self.with_external_labels(&alert.labels)).collect();
            firing.insert(state.id, labels);
        }
        let fires = |rule: RuleId, labels: &Labels| {
            firing.get(&rule).is_some_and(|alerts| alerts.contains(labels))
        };
        self.dispatcher.reconcile(fires, now);
    }

    /// Takes over what version 1 told the default receiver. Returns the deletions of its records.
    pub(super) fn adopt_old_groups(
        &mut self,
        states: &mut HashMap<RuleId, RuleState>,
        rules: &RuleSet,
        saved: &SavedState,
        corrupt: &mut Vec<CorruptRecord>,
    ) -> Vec<StateRecord> {
        let mut old: BTreeMap<&str, OldGroup> = BTreeMap::new();
        let mut deletions = Vec::new();
        for saved in &saved.notification_log {
            let Some(name) = saved.key.strip_prefix(OLD_GROUP_PREFIX) else { continue };
            match decode_old(saved.value.as_deref().unwrap_or_default()) {
                Ok(group) => drop(old.insert(name, group)),
                Err(error) => corrupt.push(CorruptRecord::new(saved, error)),
            }
            deletions.push(record(StateKind::NotificationLog, saved.key.clone(), None));
        }
        let receiver = self.settings.notification.as_ref().map(|n| n.receiver.clone());
        let definitions: HashMap<RuleId, _> =
            rules.groups.iter().flat_map(|g| &g.rules).map(|rule| (rule.id, rule)).collect();
        for (id, state) in states.iter_mut().filter(|_| !old.is_empty()) {
            let url = definitions.get(id).map(|rule| self.generator_url(rule)).unwrap_or_default();
            for alert in state.alerts.values_mut().filter(|a| a.notified == Notified::Firing) {
                alert.notified = Notified::Nothing;
                let group = old.get(alert.labels.value("alertname"));
                if let (Some(group), Some(receiver)) = (group, &receiver)
                    && alert.state == AlertState::Firing
                {
                    let notified = self.notified(alert, &url);
                    let told_at = Timestamp::from_millis(group.last_at);
                    self.dispatcher.adopt(*id, notified, receiver, told_at, group.generation);
                }
            }
        }
        deletions
    }
}
