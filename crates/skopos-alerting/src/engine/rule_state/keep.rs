//! Evaluations without a result: alerts stay what they are, and by policy one more stands for what
//! is missing.

use super::super::EvalFailure;
use super::super::history::{ReadStats, Reason};
use super::super::policy::{NoData, OnError, stand_in};
use super::{Advanced, At, Limits, RuleState};

impl RuleState {
    /// The selectors that the rule needs and that matched nothing.
    pub(super) fn blind(&self, read: Option<&ReadStats>) -> Vec<String> {
        let (Some(rule), Some(read)) = (&self.rule, read) else { return Vec::new() };
        rule.expr.blind_selectors(&read.series).into_iter().map(|s| s.text.clone()).collect()
    }

    /// The rule failed: every alert stays what it is; by policy one more stands for the failure.
    pub(super) fn keep_on_error(
        &mut self,
        failure: &EvalFailure,
        at: At,
        limits: Limits,
        advanced: &mut Advanced,
    ) {
        let summary = match (&self.rule, self.policy.on_error) {
            (Some(rule), OnError::Alert) if rule.alerting().is_some() => {
                Some(format!("{} cannot be evaluated: {failure}", rule.name))
            }
            _ => None,
        };
        self.keep_all("error", summary, Reason::KeptByError, at, limits, advanced);
    }

    /// There is nothing to evaluate: by policy every alert stays what it is, and perhaps one more
    /// stands for the want of data.
    pub(super) fn keep_without_data(
        &mut self,
        blind: &[String],
        at: At,
        limits: Limits,
        advanced: &mut Advanced,
    ) {
        let summary = match (&self.rule, self.policy.no_data) {
            (Some(rule), NoData::Alert) => {
                Some(format!("{} has no data: no series match {}", rule.name, blind.join(", ")))
            }
            _ => None,
        };
        self.keep_all("no_data", summary, Reason::KeptWithoutData, at, limits, advanced);
        self.write_alerts(at.data_time, advanced);
    }

    fn keep_all(
        &mut self,
        reason: &str,
        summary: Option<String>,
        kept: Reason,
        at: At,
        limits: Limits,
        advanced: &mut Advanced,
    ) {
        let instance =
            summary.and_then(|text| self.rule.as_ref().map(|rule| stand_in(rule, reason, text)));
        let stands_in = instance.as_ref().map(|instance| instance.labels.clone());
        for alert in self.alerts.values().filter(|alert| alert.is_active()) {
            if stands_in.as_ref() != Some(&alert.labels) {
                advanced.outcomes.add(alert, Some(alert.state), kept.clone());
            }
        }
        let Some(instance) = instance else { return };
        self.present(instance, None, at.slot, self.timing(limits), advanced);
        self.write_alerts(at.data_time, advanced);
    }
}
