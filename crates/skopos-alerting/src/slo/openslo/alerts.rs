//! Alert policies and conditions, as burn-rate alerts over single windows.

use std::rc::Rc;
use std::time::Duration;

use super::super::load::error_with_hint;
use super::super::names::check_severity;
use super::super::{AbsentAlert, Alerts, BurnAlert, WORKBOOK_WINDOWS};
use super::{OBJECT_KEYS, Read, entry, given};
use crate::rules::yaml::Node;

const POLICY_KEYS: &[&str] = &[
    "description",
    "alertWhenBreaching",
    "alertWhenResolved",
    "alertWhenNoData",
    "conditions",
    "notificationTargets",
];
const CONDITION_SPEC_KEYS: &[&str] = &["description", "severity", "condition"];
const CONDITION_KEYS: &[&str] = &["kind", "op", "threshold", "lookbackWindow", "alertAfter"];

impl Read<'_, '_> {
    /// Alert policies as single-window alerts; the workbook's without any.
    pub(super) fn alerts(
        &mut self,
        list: Option<&Rc<Node>>,
        target: f64,
        period: Duration,
    ) -> Option<Alerts> {
        let mut alerts = Alerts::workbook(period);
        if let Some(list) = list {
            alerts.burn.clear();
            alerts.min_bad_events = 0;
            for item in self.reader().list(list, "alertPolicies").to_vec() {
                let reference = entry(&item, "alertPolicyRef").cloned();
                let inline = if reference.is_none() { Some(&item) } else { None };
                let found =
                    self.resolve("AlertPolicy", inline, reference.as_ref(), |read, node| {
                        read.policy(node)
                    });
                alerts.burn.extend(found.into_iter().flatten());
            }
            if alerts.burn.len() > WORKBOOK_WINDOWS.len() {
                let hint = "keep the four that matter";
                let message = "an objective has at most four burn-rate alerts";
                error_with_hint(self.reader(), list, "value", message, hint);
                return None;
            }
            // The fastest comes first, and they are named as the native form names them.
            alerts.burn.sort_by(|a, b| b.factor.total_cmp(&a.factor));
            for (alert, row) in alerts.burn.iter_mut().zip(WORKBOOK_WINDOWS) {
                (alert.class, alert.name) = (row.class.into(), row.name.into());
            }
        }
        alerts.absent = Some(AbsentAlert::usual(target, &alerts.burn));
        Some(alerts)
    }

    fn policy(&mut self, node: &Rc<Node>) -> Option<Vec<BurnAlert>> {
        let object = self.reader().fields(node, OBJECT_KEYS, "an alert policy")?;
        let spec_at = given(&object, "spec")?;
        let spec = self.reader().fields(spec_at, POLICY_KEYS, "the alert policy's `spec`")?;
        let conditions_at = given(&spec, "conditions")?;
        let mut alerts = Vec::new();
        for item in self.reader().list(conditions_at, "conditions").to_vec() {
            let reference = entry(&item, "conditionRef").cloned();
            let inline = if reference.is_none() { Some(&item) } else { None };
            let found = self.resolve("AlertCondition", inline, reference.as_ref(), |read, node| {
                read.alert_condition(node)
            });
            alerts.extend(found);
        }
        Some(alerts)
    }

    fn alert_condition(&mut self, node: &Rc<Node>) -> Option<BurnAlert> {
        let object = self.reader().fields(node, OBJECT_KEYS, "an alert condition")?;
        let spec_at = given(&object, "spec")?;
        let spec = self.reader().fields(spec_at, CONDITION_SPEC_KEYS, "the condition's `spec`")?;
        let severity = self.text(&spec, "severity").unwrap_or_else(|| "P2".into());
        if let Some(at) = given(&spec, "severity") {
            check_severity(self.reader(), at, &severity);
        }
        let Some(at) = given(&spec, "condition") else {
            self.missing(spec_at, "condition", "an alert condition");
            return None;
        };
        let fields = self.reader().fields(at, CONDITION_KEYS, "`condition`")?;
        let kind = self.text(&fields, "kind").unwrap_or_default();
        if kind != "burnrate" && kind != "Burnrate" {
            let message = format!("conditions of kind {kind:?} are not supported");
            error_with_hint(self.reader(), at, "value", message, "OpenSLO v1 has `burnrate`");
            return None;
        }
        let factor = self.text(&fields, "threshold").and_then(|text| text.parse::<f64>().ok());
        let Some(factor) = factor.filter(|f| f.is_finite() && *f > 0.0) else {
            self.reader().error_on(at, "value", "`threshold` must be a burn rate above 0");
            return None;
        };
        let long = self.reader().duration(&fields, "lookbackWindow");
        let hold = self.reader().duration(&fields, "alertAfter").unwrap_or_default();
        let Some(long) = long.filter(|l| !l.is_zero()) else {
            self.reader().error_on(at, "value", "`lookbackWindow` must be a duration, such as 1h");
            return None;
        };
        let (class, name) = (String::new(), String::new());
        Some(BurnAlert {
            class,
            name,
            severity,
            factor,
            long,
            short: None,
            hold,
            budget_share: None,
        })
    }
}
