//! Groups, rules and alerts as the API shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use skopos_model::{Labels, Timestamp};

use super::policy::RulePolicy;
use super::rule_state::RuleState;
use super::{AlertState, Engine};
use crate::rules::{GroupId, RuleId};

/// Whether a rule can be evaluated. A rule that can be but is blind shows in [`RuleView::blind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not evaluated yet.
    #[default]
    Unknown,
    /// The last evaluation succeeded.
    Ok,
    /// The last evaluation failed.
    Err,
}

impl Health {
    /// The word in Prometheus' API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Err => "err",
        }
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// Its identity.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// Its interval, the default applied.
    pub interval: Duration,
    /// How far behind the slot its data is read.
    pub query_offset: Duration,
    /// Most alerts or series of one rule; 0 for no limit.
    pub limit: usize,
    /// Its last slot.
    pub last_evaluation: Option<Timestamp>,
    /// How long that took.
    pub evaluation_time: Duration,
    /// Slots missed since the start.
    pub iterations_missed: u64,
    /// Its rules.
    pub rules: Vec<RuleView>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleView {
    /// Its identity.
    pub id: RuleId,
    /// The alert's name, or the recorded metric's.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// Its labels as written.
    pub labels: BTreeMap<String, String>,
    /// Whether the last evaluation succeeded.
    pub health: Health,
    /// Why not.
    pub last_error: Option<String>,
    /// Its last slot.
    pub last_evaluation: Option<Timestamp>,
    /// How long that took.
    pub evaluation_time: Duration,
    /// Needed selectors that matched no series in the last evaluation: whatever its health, the
    /// rule cannot return anything.
    pub blind: Vec<String>,
    /// Series that the last evaluation fetched, when that is known.
    pub series_fetched: Option<u64>,
    /// What no data and errors mean for it.
    pub policy: RulePolicy,
    /// What only alerting rules have.
    pub alerting: Option<AlertingView>,
}

/// The alerting part of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingView {
    /// The most urgent state of its alerts: `firing`, `pending` or `inactive`.
    pub state: AlertState,
    /// `for`.
    pub hold: Duration,
    /// `keep_firing_for`.
    pub keep_firing_for: Duration,
    /// Its annotations as written.
    pub annotations: BTreeMap<String, String>,
    /// Its pending and firing alerts, then those that resolved lately.
    pub alerts: Vec<AlertView>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertView {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations, expanded.
    pub annotations: BTreeMap<String, String>,
    /// Where it stands.
    pub state: AlertState,
    /// The first evaluation of the current run of results.
    pub active_at: Timestamp,
    /// When it began to fire.
    pub fired_at: Option<Timestamp>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// Since when only `keep_firing_for` keeps it firing.
    pub keep_firing_since: Option<Timestamp>,
    /// When set: only the restart hold keeps it firing, until then; while no fresh data arrives that
    /// moves on, for at most an hour after the start.
    pub held_until: Option<Timestamp>,
    /// The expression's value when it last returned this alert.
    pub value: f64,
}

impl AlertView {
    /// The value as Prometheus' API writes it: `1.5e+00`.
    pub fn value_text(&self) -> String {
        crate::template::format_float(self.value, 'e', None)
    }
}

impl Engine {
    /// All groups with rules and alerts, in the order of the rule set.
    pub fn view(&self) -> Vec<GroupView> {
        self.groups
            .iter()
            .map(|state| GroupView {
                id: state.group.id,
                name: state.group.name.clone(),
                file: state.group.file.clone(),
                interval: state.schedule.interval(),
                query_offset: self.query_offset(&state.group),
                limit: state.group.limit,
                last_evaluation: state.last_slot.map(Timestamp::from_millis),
                evaluation_time: state.evaluation_time,
                iterations_missed: state.iterations_missed,
                rules: state.rules.iter().filter_map(rule_view).collect(),
            })
            .collect()
    }

    /// The pending and firing alerts of all rules.
    pub fn active_alerts(&self) -> Vec<AlertView> {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        let alerts = rules.flat_map(alert_views);
        alerts.filter(|alert| alert.state != AlertState::Resolved).collect()
    }
}

fn rule_view(state: &RuleState) -> Option<RuleView> {
    let rule = state.rule.as_ref()?;
    let alerting = rule.alerting().map(|spec| {
        let mut alerts = alert_views(state);
        alerts.sort_by_key(|alert| alert.state == AlertState::Resolved);
        AlertingView {
            state: alerts.iter().map(|a| a.state).max().unwrap_or(AlertState::Resolved),
            hold: spec.hold,
            keep_firing_for: spec.keep_firing_for,
            annotations: spec.annotations.clone(),
            alerts,
        }
    });
    let last = state.history.last();
    Some(RuleView {
        id: rule.id,
        name: rule.name.clone(),
        query: rule.expr.as_str().into(),
        labels: rule.labels.clone(),
        health: state.health,
        last_error: state.error.clone(),
        last_evaluation: state.last_evaluation.map(Timestamp::from_millis),
        evaluation_time: state.took,
        blind: last.map_or_else(Vec::new, |last| last.blind.clone()),
        series_fetched: last.and_then(|last| last.read.as_ref()).map(|read| read.total_series()),
        policy: state.policy,
        alerting,
    })
}

fn alert_views(state: &RuleState) -> Vec<AlertView> {
    let time = |ms: Option<i64>| ms.map(Timestamp::from_millis);
    let views = state.alerts.values().map(|alert| AlertView {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: alert.state,
        active_at: Timestamp::from_millis(alert.active_at),
        fired_at: time(alert.fired_at),
        resolved_at: time(alert.resolved_at),
        keep_firing_since: time(alert.keep_firing_since),
        held_until: time(alert.held_until.filter(|_| alert.held)),
        value: alert.value,
    });
    views.collect()
}
