//! May this service be changed now? Go, caution or freeze, with reasons.
//!
//! The worst of the service's objectives decides. No data is not go, neither is too little of it, and neither is a service
//! that nobody promised anything about. A group that is gone for a whole window, beside others that are not, has no say. An override says who gave leave, why and until when; it turns
//! a freeze into go and stays visible.

use serde::Serialize;
use skopos_model::Timestamp;

use super::Policy;
use super::engine::{
    Health, SloEngine, SloStatus, as_object, hours, is_page, left_percent, percent, rounded,
};
use super::notes::GateOverride;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Change it.
    Go,
    /// Change it if it must be, with an eye on it.
    Caution,
    /// Do not change it, except to make it better.
    Freeze,
}

impl Verdict {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Caution => "caution",
            Self::Freeze => "freeze",
        }
    }

    /// The exit code of `skopos slo gate`: 0, 1, 2.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Go => 0,
            Self::Caution => 1,
            Self::Freeze => 2,
        }
    }
}

/// Why, for one budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateReason {
    /// The objective; empty where there is none.
    pub slo: String,
    /// The group's labels.
    #[serde(serialize_with = "as_object")]
    pub group: Vec<(String, String)>,
    /// What it says by itself.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// The share of the budget left.
    pub budget_remaining: Option<f64>,
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateDecision {
    /// The service.
    pub service: String,
    /// The answer.
    pub verdict: Verdict,
    /// What it would be without the override.
    pub verdict_without_override: Verdict,
    /// The override in force.
    #[serde(rename = "override")]
    pub overridden: Option<GateOverride>,
    /// Why, worst first.
    pub reasons: Vec<GateReason>,
    /// All of it in a sentence.
    pub sentence: String,
}

/// What one budget says. `minutes_known` is how much data its objective has: a group that is new in one that is known
/// needs no more than fresh data.
fn judge(
    status: &SloStatus,
    policy: &Policy,
    (minutes_known, minutes_needed): (i64, i64),
    now_ms: i64,
) -> (Verdict, String) {
    let Some(remaining) = status.budget_remaining else {
        let reason = match &status.problem {
            Some(problem) => format!("nothing is known, and that is not go: {problem}"),
            None => "there is no data, and no data is not go".into(),
        };
        return (Verdict::Caution, reason);
    };
    let met = |page: bool| {
        let mut alerts = status.alerts.iter().filter(|alert| alert.is_met);
        alerts.find(|alert| is_page(&alert.severity) == page)
    };
    let burning = |name: &str, factor: f64| {
        format!(
            "{name}: the budget burns more than {} times as fast as it can bear",
            rounded(factor)
        )
    };
    if remaining <= policy.freeze_below {
        let reason = match remaining {
            left if left <= 0.0 => {
                format!("the budget is exhausted ({} spent)", percent(1.0 - left))
            }
            left => format!(
                "{} of the budget is left, and the policy freezes at {}",
                left_percent(left),
                percent(policy.freeze_below)
            ),
        };
        return (Verdict::Freeze, reason);
    }
    if let Some(alert) = met(true) {
        return (Verdict::Freeze, burning(&alert.name, alert.factor));
    }
    if status.health == Health::NoData {
        let since = status.last_data_ms.map_or(0, |end| (now_ms - end).max(0));
        let since = hours(since as f64 / 3_600_000.0);
        let reason = format!("data stopped arriving {since} ago, and no data is not go");
        return (Verdict::Caution, reason);
    }
    if let Some(error) = &status.error {
        return (Verdict::Caution, format!("its queries fail, so nothing new is known: {error}"));
    }
    if let Some(problem) = &status.problem {
        return (Verdict::Caution, format!("what it counts cannot be relied on: {problem}"));
    }
    if minutes_known < minutes_needed {
        let reason = format!(
            "there is too little data to say go: {minutes_known} of {minutes_needed} minutes"
        );
        return (Verdict::Caution, reason);
    }
    if status.is_scant {
        let reason = "data has only begun to arrive: a second minute of it is needed to say go";
        return (Verdict::Caution, reason.into());
    }
    if remaining < policy.caution_below {
        let limit = percent(policy.caution_below);
        return (
            Verdict::Caution,
            format!("{} of the budget is left, less than {limit}", left_percent(remaining)),
        );
    }
    if let Some(alert) = met(false) {
        return (Verdict::Caution, burning(&alert.name, alert.factor));
    }
    let known = match status.coverage {
        all if all >= 0.995 => String::new(),
        part => format!(" ({} of the window has data)", left_percent(part)),
    };
    (Verdict::Go, format!("{} of the budget is left{known}", left_percent(remaining)))
}

impl SloEngine {
    /// Whether a service may be changed.
    pub fn gate(&self, service: &str, now: Timestamp) -> GateDecision {
        let mut reasons = Vec::new();
        for slo in self.slos().filter(|slo| slo.service == service) {
            let statuses = self.status(&slo.name, now);
            let known = statuses.iter().map(|status| status.minutes_known).max().unwrap_or(0);
            let needed = slo.policy.go_after.min(slo.window.nominal() / 2);
            let minutes = (known, needed.as_secs().div_ceil(60) as i64);
            for status in statuses.into_iter().filter(|status| !status.is_retired) {
                let (verdict, reason) = judge(&status, &slo.policy, minutes, now.as_millis());
                let (slo, group) = (status.slo, status.group);
                let budget_remaining = status.budget_remaining;
                reasons.push(GateReason { slo, group, verdict, reason, budget_remaining });
            }
        }
        if reasons.is_empty() {
            let reason = format!("no objective is about service {service:?}");
            let (slo, group, verdict) = (String::new(), Vec::new(), Verdict::Caution);
            reasons.push(GateReason { slo, group, verdict, reason, budget_remaining: None });
        }
        let left = |reason: &GateReason| reason.budget_remaining.unwrap_or(f64::INFINITY);
        reasons.sort_by(|a, b| b.verdict.cmp(&a.verdict).then(left(a).total_cmp(&left(b))));
        let worst = reasons.first().map_or(Verdict::Caution, |reason| reason.verdict);
        let overridden = self.override_of(service, now).cloned();
        let verdict = if overridden.is_some() { Verdict::Go } else { worst };
        let first = reasons.first().map_or(String::new(), |reason| match reason.slo.is_empty() {
            true => reason.reason.clone(),
            false => format!("{}: {}", reason.slo, reason.reason),
        });
        let sentence = match &overridden {
            Some(note) if worst != Verdict::Go => format!(
                "{service}: go, by override of {} ({}); without it {}: {first}.",
                note.by,
                note.reason,
                worst.as_str()
            ),
            _ => format!("{service}: {}. {first}.", verdict.as_str()),
        };
        let (service, verdict_without_override) = (service.to_string(), worst);
        GateDecision { service, verdict, verdict_without_override, overridden, reasons, sentence }
    }
}
