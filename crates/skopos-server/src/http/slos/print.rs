//! Objectives as JSON, where that is more than the engine's own types.

use serde_json::{Value, json};
use skopos_alerting::slo::rules::{SloQueries, queries};
use skopos_alerting::slo::{
    Budgeting, ChartPoint, GateDecision, Slo, SloEngine, SloStatus, to_native,
};
use skopos_model::{Labels, Timestamp};

use crate::state::SharedState;

/// The window of the queries that a definition carries.
const QUERY_WINDOW: std::time::Duration = std::time::Duration::from_secs(300);

pub(super) fn labels(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

fn budgeting(slo: &Slo) -> &'static str {
    match slo.budgeting {
        Budgeting::Occurrences => "occurrences",
        Budgeting::Timeslices { .. } => "timeslices",
        Budgeting::RatioTimeslices { .. } => "ratio_timeslices",
    }
}

/// A budget with what people want to know of its objective.
pub(super) fn status(engine: &SloEngine, status: &SloStatus) -> Value {
    let mut value = json!(status);
    if let Some(slo) = engine.slo(&status.slo) {
        value["description"] = slo.description.as_str().into();
        value["runbook"] = slo.runbook.as_str().into();
        value["budgeting"] = budgeting(slo).into();
        value["is_filling"] = engine.is_filling(&status.slo).into();
    }
    value
}

pub(super) fn definition(slo: &Slo) -> Value {
    let SloQueries { error_ratio, bad, total } = queries(slo, QUERY_WINDOW);
    json!({
        "name": slo.name,
        "service": slo.service,
        "owner": slo.owner,
        "description": slo.description,
        "runbook": slo.runbook,
        "target": slo.target,
        "window": slo.window.to_string(),
        "is_calendar": slo.window.is_calendar(),
        "budgeting": budgeting(slo),
        "group_by": slo.group_by,
        "labels": slo.labels,
        "policy": {
            "caution_below": slo.policy.caution_below,
            "freeze_below": slo.policy.freeze_below,
            "go_after_seconds": slo.policy.go_after.as_secs_f64(),
            "override_by": slo.policy.override_by,
            "review": match slo.policy.review {
                skopos_alerting::slo::Review::Monthly => "monthly",
                skopos_alerting::slo::Review::Quarterly => "quarterly",
                skopos_alerting::slo::Review::Yearly => "yearly",
            },
        },
        "file": slo.file,
        "line": slo.line,
        "native": to_native(slo),
        "queries": {"error_ratio": error_ratio, "bad": bad, "total": total},
    })
}

pub(super) fn gate(decision: &GateDecision) -> Value {
    let mut value = json!(decision);
    value["exit_code"] = decision.verdict.exit_code().into();
    value
}

/// Points with the burn-down: from everything at the start, less what is spent of what the events
/// of the whole chart allow; or those expected of a whole unit of the calendar, which goes on.
pub(super) fn points(points: &[ChartPoint], budget: f64, expected: Option<f64>) -> Vec<Value> {
    // What the first point counts lies before it.
    let after_first = points.get(1..).unwrap_or_default();
    let total: f64 = after_first.iter().map(|point| point.total).sum();
    let allowed = expected.map_or(total, |expected| expected.max(total)) * budget;
    let mut bad = 0.0;
    let print = |(at, point): (usize, &ChartPoint)| {
        bad += if at == 0 { 0.0 } else { point.bad };
        let mut value = json!(point);
        value["burn_down"] = json!((allowed > 0.0).then(|| 1.0 - bad / allowed));
        value
    };
    points.iter().enumerate().map(print).collect()
}

/// How far the whole is.
pub(super) fn run_state(state: &SharedState) -> Value {
    let run = state.slos.state();
    let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    json!({
        "loaded_at_ms": run.loaded_at.as_millis(),
        "error": state.rules.reload_status().failure.map(|failure| failure.error),
        "interval_seconds": run.interval.as_secs_f64(),
        "last_slot_ms": millis(run.last_slot),
        "backfill": {
            "state": run.history.state.as_str(),
            "done": run.history.done,
            "chunks": run.history.chunks,
            "reached_ms": millis(run.history.reached),
            "error": run.history.error,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burn_down_begins_at_everything_and_never_rises() {
        let point = |at_ms, bad, total| ChartPoint { at_ms, remaining: None, bad, total };
        let chart = [point(0, 50.0, 100.0), point(1, 0.0, 1000.0), point(2, 1.0, 1000.0)];
        let burn_down: Vec<Value> =
            points(&chart, 0.001, None).iter().map(|point| point["burn_down"].clone()).collect();
        assert_eq!(burn_down, [json!(1.0), json!(1.0), json!(0.5)]);
        // Ten thousand are expected of the month: one failure is a tenth of its budget, not half of it.
        assert_eq!(points(&chart, 0.001, Some(10_000.0))[2]["burn_down"], json!(0.9));
        assert_eq!(points(&[point(0, 0.0, 0.0)], 0.001, None)[0]["burn_down"], Value::Null);
        assert!(points(&[], 0.1, None).is_empty());
    }
}
