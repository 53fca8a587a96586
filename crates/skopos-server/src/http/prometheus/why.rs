//! `/api/v1/rules/why`: why an alert fires, or does not.
//!
//! Two sources: what the engine remembers of the rule's last evaluations, and the conditions of its
//! expression, each evaluated on its own at one time (the last slot, or a time that is asked for),
//! because a comparison that does not hold returns nothing and so does not say by how much.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_alerting::rules::{Part, Rule};
use skopos_alerting::{AlertOutcome, AlertState, Evaluation, GroupView, RuleView};
use skopos_model::{Labels, SampleValue, Timestamp};
use skopos_promql::format_value;
use skopos_promql::value::Value as PromValue;

use super::answer::PrometheusError;
use super::rules::{active, alert_json, health, labels};
use crate::error::{ApiError, ErrorClass};
use crate::http::params::Params;
use crate::query::{QueryClass, QueryOptions};
use crate::state::{AppState, SharedState};
use crate::yaml::nearest;

/// Elements shown of one condition.
const MAX_VALUES: usize = 5;
/// Rules of one name that are explained.
const MAX_RULES: usize = 20;

pub(super) async fn why(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, PrometheusError> {
    let params = Params::read(request).await?;
    params.check_names(&["alert", "rule_group", "time"], &[])?;
    let Some(name) = params.get("alert") else {
        return Err(ApiError::bad_request("give the alert's name: ?alert=NAME").into());
    };
    let group_name = params.get("rule_group");
    let now = state.clock.now();
    let time = params.time("time", now)?;
    let groups = state.rules.groups();
    let mut rules = Vec::new();
    for group in groups.iter().filter(|group| group_name.is_none_or(|wanted| wanted == group.name))
    {
        for rule in group.rules.iter().filter(|rule| rule.name == name && rule.alerting.is_some()) {
            if rules.len() < MAX_RULES
                && let Some((definition, history)) = state.rules.history(rule.id)
            {
                rules.push(explain(&state, group, rule, &definition, &history, time).await);
            }
        }
    }
    if rules.is_empty() {
        let all = groups.iter().flat_map(|group| &group.rules).filter(|r| r.alerting.is_some());
        let hint = match nearest(name, all.map(|rule| rule.name.as_str())) {
            Some(near) => format!(", did you mean {near}?"),
            None => String::new(),
        };
        let message = format!("no alerting rule in force is called {name:?}{hint}");
        return Err(ApiError::new(ErrorClass::NotFound, message).into());
    }
    Ok(Json(json!({"status": "success", "data": {"alert": name, "rules": rules}})))
}

async fn explain(
    state: &AppState,
    group: &GroupView,
    rule: &RuleView,
    definition: &Rule,
    history: &[Evaluation],
    time: Option<Timestamp>,
) -> Value {
    let at = time.or(rule.last_evaluation.map(|slot| slot.saturating_sub(group.query_offset)));
    let at = at.unwrap_or_else(|| state.clock.now());
    let mut conditions = Vec::new();
    for part in definition.expr.parts() {
        conditions.push(condition(state, part, at).await);
    }
    let last = history.last();
    let read = last.and_then(|last| last.read.as_ref());
    let selectors: Vec<Value> = definition
        .expr
        .selectors()
        .iter()
        .enumerate()
        .map(|(at, selector)| {
            let series = read.and_then(|read| read.series.get(at).copied());
            let blind = rule.blind.contains(&selector.text);
            json!({"selector": selector.text, "series": series, "blind": blind})
        })
        .collect();
    let (alerts, state_word, hold, keep) = match &rule.alerting {
        Some(alerting) => (
            active(&alerting.alerts).map(alert_json).collect::<Vec<_>>(),
            alerting.state.as_str(),
            alerting.hold,
            alerting.keep_firing_for,
        ),
        None => (Vec::new(), "inactive", Duration::ZERO, Duration::ZERO),
    };
    json!({
        "name": rule.name,
        "group": group.name,
        "file": group.file,
        "line": definition.line,
        "query": rule.query,
        "labels": rule.labels,
        "health": health(rule),
        "state": state_word,
        "duration": hold.as_secs_f64(),
        "keepFiringFor": keep.as_secs_f64(),
        "interval": group.interval.as_secs_f64(),
        "limit": group.limit,
        "queryOffset": group.query_offset.as_secs_f64(),
        "iterationsMissed": group.iterations_missed,
        "policy": {
            "noData": rule.policy.no_data.as_str(),
            "onError": rule.policy.on_error.as_str(),
        },
        "blind": rule.blind,
        "answer": answer(rule, last, &conditions),
        "selectors": selectors,
        "conditionsAt": at.to_string(),
        "conditions": conditions,
        "alerts": alerts,
        "evaluations": history.iter().rev().map(evaluation).collect::<Vec<_>>(),
    })
}

/// What one condition returns on its own.
async fn condition(state: &AppState, part: &Part, at: Timestamp) -> Value {
    let options = QueryOptions { class: QueryClass::Interactive, ..QueryOptions::default() };
    let mut out = json!({
        "expr": part.expr,
        "condition": part.condition,
        "mustBeEmpty": part.must_be_empty,
    });
    let result = match state.queries.instant(&part.expr, at.as_millis(), &options).await {
        Ok(answer) => answer.result.value,
        Err(error) => {
            out["error"] = error.to_string().into();
            return out;
        }
    };
    let (count, values) = match result {
        PromValue::Vector(samples) => {
            let shown = samples.iter().take(MAX_VALUES).map(|s| value(&s.labels, &s.value));
            (samples.len(), shown.collect::<Vec<_>>())
        }
        PromValue::Scalar { value: number, .. } => {
            (1, vec![value(&Labels::empty(), &SampleValue::Float(number))])
        }
        _ => (0, Vec::new()),
    };
    out["elements"] = count.into();
    out["values"] = values.into();
    out
}

fn value(of: &Labels, value: &SampleValue) -> Value {
    let text = match value {
        SampleValue::Float(number) => format_value(*number),
        SampleValue::Histogram(_) => "a histogram".to_owned(),
    };
    json!({"labels": labels(of), "value": text})
}

/// The answer in a sentence.
fn answer(rule: &RuleView, last: Option<&Evaluation>, conditions: &[Value]) -> String {
    let Some(last) = last else {
        return "it was not evaluated since the server started".into();
    };
    let alerts = rule.alerting.as_ref().map_or(&[][..], |alerting| &alerting.alerts);
    let count = |state| alerts.iter().filter(|alert| alert.state == state).count();
    let (firing, pending) = (count(AlertState::Firing), count(AlertState::Pending));
    let reason_of = |state: AlertState| {
        let of_state = last.alerts.iter().find(|outcome| outcome.state == Some(state));
        of_state.map_or(String::new(), |outcome| format!(": {}", outcome.reason))
    };
    let alerts = |n: usize| if n == 1 { "1 alert".to_owned() } else { format!("{n} alerts") };
    if let Some(error) = &last.error {
        return match firing + pending {
            0 => format!("it cannot fire, its evaluation fails: {error}"),
            n => format!("its evaluation fails, {} stay as before: {error}", alerts(n)),
        };
    }
    match (firing, pending) {
        (0, 0) => {}
        (0, n) => {
            return format!("it is pending, {}{}", alerts(n), reason_of(AlertState::Pending));
        }
        (n, _) => return format!("it fires, {}{}", alerts(n), reason_of(AlertState::Firing)),
    }
    if !last.blind.is_empty() {
        return format!("it cannot fire: no series match {}", last.blind.join(" nor "));
    }
    let ended = last.alerts.iter().find(|outcome| outcome.state != Some(AlertState::Firing));
    if let Some(AlertOutcome { reason, .. }) = ended {
        return format!("it has just stopped: {reason}");
    }
    // What stands in the way: the first condition that does not hold.
    let unmet = conditions.iter().find_map(|condition| {
        let expr = condition["expr"].as_str()?;
        let must_be_empty = condition["mustBeEmpty"] == true;
        let first = condition["values"].get(0).and_then(|v| v["value"].as_str());
        match (condition["condition"].as_str(), first) {
            (_, None) if !must_be_empty => Some(format!("{expr} returns nothing")),
            (Some(wanted), Some(value)) if !must_be_empty => {
                Some(format!("{expr} is {value} and not {wanted}"))
            }
            (None, Some(_)) if must_be_empty => Some(format!("{expr} returns something")),
            _ => None,
        }
    });
    match unmet {
        Some(unmet) => format!("it does not fire: {unmet}"),
        None => "it does not fire: its expression returns nothing".into(),
    }
}

fn evaluation(of: &Evaluation) -> Value {
    let alerts: Vec<Value> = of.alerts.iter().map(outcome).collect();
    let mut out = json!({
        "firstSlot": of.first_slot.to_string(),
        "slot": of.slot.to_string(),
        "count": of.count,
        "seconds": of.took.as_secs_f64(),
        "elements": of.elements,
        "series": of.read.as_ref().map(|read| read.total_series()),
        "samples": of.read.as_ref().map(|read| read.samples),
        "alerts": alerts,
        "moreAlerts": of.more_alerts,
    });
    if !of.blind.is_empty() {
        out["blind"] = json!(of.blind);
    }
    if let Some(error) = &of.error {
        out["error"] = error.as_str().into();
    }
    out
}

fn outcome(of: &AlertOutcome) -> Value {
    json!({
        "labels": labels(&of.labels),
        "state": of.state.map(AlertState::as_str),
        "value": format_value(of.value),
        "reason": of.reason.as_str(),
        "text": of.reason.to_string(),
    })
}
