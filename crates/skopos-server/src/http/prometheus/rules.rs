//! `/api/v1/rules`, `/api/v1/alerts`.
//!
//! Beyond Prometheus' fields an alert that only the restart hold keeps firing carries `heldUntil`,
//! a group the number of slots it missed and its query offset, a rule how many series it fetched.
//! A rule that needs a selector that matches nothing names it in `blind`, and its health is
//! `unknown`, which Prometheus' clients know: it was evaluated, and that says nothing.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_alerting::{AlertState, AlertView, GroupView, Health, RuleView};
use skopos_model::{Labels, Timestamp};

use super::answer::PrometheusError;
use crate::http::params::{Params, invalid};
use crate::state::SharedState;

/// Go's zero time, which clients of this API take for "never".
pub(super) const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) async fn rules(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, PrometheusError> {
    let params = Params::read(request).await?;
    let filter = Filter::new(&params)?;
    let groups = state.rules.groups();
    let groups = groups.iter().filter(|group| filter.wants_group(group)).filter_map(|group| {
        let rules: Vec<Value> = group
            .rules
            .iter()
            .filter(|rule| filter.wants_rule(rule))
            .map(|rule| rule_json(rule, filter.with_alerts))
            .collect();
        // A group whose rules are all filtered out is not shown.
        let shown = !rules.is_empty() || group.rules.is_empty() && !filter.by_rule;
        shown.then(|| group_json(group, rules))
    });
    let groups: Vec<Value> = groups.collect();
    Ok(Json(json!({"status": "success", "data": {"groups": groups}})))
}

pub(super) async fn alerts(State(state): State<SharedState>) -> Json<Value> {
    let alerts: Vec<Value> = state.rules.active_alerts().iter().map(alert_json).collect();
    Json(json!({"status": "success", "data": {"alerts": alerts}}))
}

struct Filter {
    alerting: Option<bool>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    with_alerts: bool,
    /// Whether single rules may be filtered out.
    by_rule: bool,
}

impl Filter {
    fn new(params: &Params) -> Result<Self, PrometheusError> {
        let alerting = match params.get("type").unwrap_or("").to_lowercase().as_str() {
            "" => None,
            "alert" => Some(true),
            "record" => Some(false),
            other => return Err(invalid("type", other, "alert or record").into()),
        };
        let with_alerts = match params.get("exclude_alerts").unwrap_or("false") {
            "true" | "1" => false,
            "false" | "0" => true,
            other => return Err(invalid("exclude_alerts", other, "true or false").into()),
        };
        let all = |name: &str| params.all(name).map(str::to_owned).collect::<Vec<_>>();
        let names = all("rule_name[]");
        let by_rule = alerting.is_some() || !names.is_empty();
        let (groups, files) = (all("rule_group[]"), all("file[]"));
        Ok(Self { alerting, names, groups, files, with_alerts, by_rule })
    }

    fn wants_group(&self, group: &GroupView) -> bool {
        (self.groups.is_empty() || self.groups.contains(&group.name))
            && (self.files.is_empty() || self.files.contains(&group.file))
    }

    fn wants_rule(&self, rule: &RuleView) -> bool {
        self.alerting.is_none_or(|alerting| alerting == rule.alerting.is_some())
            && (self.names.is_empty() || self.names.contains(&rule.name))
    }
}

fn group_json(group: &GroupView, rules: Vec<Value>) -> Value {
    json!({
        "name": group.name,
        "file": group.file,
        "interval": group.interval.as_secs_f64(),
        "limit": group.limit,
        "queryOffset": group.query_offset.as_secs_f64(),
        "rules": rules,
        "evaluationTime": group.evaluation_time.as_secs_f64(),
        "lastEvaluation": time(group.last_evaluation),
        "iterationsMissed": group.iterations_missed,
    })
}

/// A rule's health, which is never `ok` for one that cannot return anything.
pub(super) fn health(rule: &RuleView) -> &'static str {
    match rule.health {
        Health::Ok if !rule.blind.is_empty() => Health::Unknown.as_str(),
        health => health.as_str(),
    }
}

fn rule_json(rule: &RuleView, with_alerts: bool) -> Value {
    let mut out = json!({
        "name": rule.name,
        "query": rule.query,
        "labels": rule.labels,
        "health": health(rule),
        "evaluationTime": rule.evaluation_time.as_secs_f64(),
        "lastEvaluation": time(rule.last_evaluation),
        "type": if rule.alerting.is_some() { "alerting" } else { "recording" },
    });
    if !rule.blind.is_empty() {
        out["blind"] = json!(rule.blind);
    }
    if let Some(fetched) = rule.series_fetched {
        out["seriesFetched"] = fetched.into();
    }
    if let Some(error) = &rule.last_error {
        out["lastError"] = error.as_str().into();
    }
    if let Some(alerting) = &rule.alerting {
        out["state"] = alerting.state.as_str().into();
        out["duration"] = alerting.hold.as_secs_f64().into();
        out["keepFiringFor"] = alerting.keep_firing_for.as_secs_f64().into();
        out["annotations"] = json!(alerting.annotations);
        let alerts = active(&alerting.alerts).filter(|_| with_alerts);
        out["alerts"] = alerts.map(alert_json).collect();
    }
    out
}

/// Alerts that resolved lately are kept for receivers, not for this API.
pub(super) fn active(alerts: &[AlertView]) -> impl Iterator<Item = &AlertView> {
    alerts.iter().filter(|alert| alert.state != AlertState::Resolved)
}

pub(super) fn alert_json(alert: &AlertView) -> Value {
    let mut out = json!({
        "labels": labels(&alert.labels),
        "annotations": alert.annotations,
        "state": alert.state.as_str(),
        "activeAt": alert.active_at.to_string(),
        "value": alert.value_text(),
    });
    if let Some(since) = alert.keep_firing_since {
        out["keepFiringSince"] = since.to_string().into();
    }
    if let Some(until) = alert.held_until {
        out["heldUntil"] = until.to_string().into();
    }
    out
}

pub(super) fn labels(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

pub(super) fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| NEVER.to_owned(), |time| time.to_string())
}
