//! Which alerts are made: the workbook's four, the guide's two, others, or none.

use std::rc::Rc;
use std::time::Duration;

use super::super::load::{error_with_hint, share};
use super::super::names::check_severity;
use super::super::{AbsentAlert, Alerts, BurnAlert, WORKBOOK_WINDOWS, burn};
use super::given;
use crate::rules::load::Reader;
use crate::rules::yaml::{Node, NodeKind};

const ALERT_KEYS: &[&str] = &["fast", "medium", "slow", "trend", "min_bad_events", "absent"];
const BURN_KEYS: &[&str] = &["severity", "budget", "factor", "long", "short", "for"];
const ABSENT_KEYS: &[&str] = &["severity", "after"];

/// Reads alerts out of a text that holds nothing else.
pub(in crate::slo) fn alerts_of(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
    target: f64,
    period: Duration,
) -> Option<Alerts> {
    read_alerts(reader, Some(node), target, period)
}

/// Words that switch an alert off.
fn is_off(text: &str) -> bool {
    matches!(text, "off" | "none" | "false" | "no")
}

pub(super) fn read_alerts(
    reader: &mut Reader<'_>,
    node: Option<&Rc<Node>>,
    target: f64,
    period: Duration,
) -> Option<Alerts> {
    let absent = |alerts: &Alerts| Some(AbsentAlert::usual(target, &alerts.burn));
    let mut alerts = Alerts::workbook(period);
    alerts.absent = absent(&alerts);
    let Some(node) = node else { return Some(alerts) };
    if let NodeKind::Scalar { text, .. } = &node.kind {
        return match text.as_str() {
            "workbook" => Some(alerts),
            "guide" => {
                let mut alerts = Alerts::guide();
                alerts.absent = absent(&alerts);
                Some(alerts)
            }
            text if is_off(text) => Some(Alerts {
                burn: Vec::new(),
                absent: None,
                min_bad_events: burn::MIN_BAD_EVENTS,
            }),
            other => {
                let message = format!("{other:?} is no set of alerts");
                let hint = "write `workbook`, `guide` or `off`, or a mapping such as `{fast: P1, slow: off}`";
                error_with_hint(reader, node, "value", message, hint);
                None
            }
        };
    }
    let fields = reader.fields(node, ALERT_KEYS, "`alerts`")?;
    let mut chosen = Vec::new();
    let mut is_whole = true;
    for row in WORKBOOK_WINDOWS {
        match given(&fields, row.class) {
            None if row.is_default_for(period) => chosen.push(row.alert(period, None)),
            None => {}
            Some(at) => match read_burn(reader, at, &row, period) {
                Some(Some(alert)) => chosen.push(alert),
                Some(None) => {}
                None => is_whole = false,
            },
        }
    }
    alerts.burn = chosen;
    if let Some(at) = given(&fields, "min_bad_events") {
        let text = reader.string(at, "min_bad_events")?;
        match text.parse() {
            Ok(count) => alerts.min_bad_events = count,
            Err(_) => {
                reader.error_on(
                    at,
                    "value",
                    format!("`min_bad_events` must be a whole number, found {text:?}"),
                );
                is_whole = false;
            }
        }
    }
    alerts.absent = absent(&alerts);
    if let Some(at) = given(&fields, "absent") {
        match read_absent(reader, at, alerts.absent.take()) {
            Some(found) => alerts.absent = found,
            None => is_whole = false,
        }
    }
    is_whole.then_some(alerts)
}

/// One burn alert: a severity, `off`, or its parts. `None` when it is wrong, `Some(None)` when off.
fn read_burn(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
    row: &burn::WorkbookWindow,
    period: Duration,
) -> Option<Option<BurnAlert>> {
    let mut alert = row.alert(period, None);
    if let NodeKind::Scalar { text, .. } = &node.kind {
        if is_off(text) {
            return Some(None);
        }
        alert.severity = text.clone();
        return check_severity(reader, node, text).then_some(Some(alert));
    }
    let what = format!("alert `{}`", row.class);
    let fields = reader.fields(node, BURN_KEYS, &what)?;
    if let Some(at) = given(&fields, "severity") {
        alert.severity = severity(reader, at)?;
    }
    if let (Some(budget), Some(_)) = (given(&fields, "budget"), given(&fields, "factor")) {
        reader.error_on(budget, "conflict", "only one of `budget` and `factor` may be set");
        return None;
    }
    let window = |reader: &mut Reader<'_>, key: &str| {
        let length = reader.duration(&fields, key)?;
        if length.is_zero() || !length.as_secs().is_multiple_of(60) {
            let at = given(&fields, key)?;
            reader.error_on(at, "value", format!("`{key}` must be whole minutes"));
            return None;
        }
        Some(length)
    };
    let errors = reader.errors.len();
    let long = window(reader, "long");
    let short = match given(&fields, "short").map(|at| at.text().is_some_and(is_off)) {
        Some(true) => Some(None),
        _ => window(reader, "short").map(Some),
    };
    let share = match given(&fields, "budget") {
        Some(at) => share(reader, at, "budget"),
        None => alert.budget_share,
    };
    if let Some(long) = long {
        alert.long = long;
        let minutes = (long.as_secs() / 12 / 60).max(1);
        alert.short = Some(Duration::from_secs(minutes * 60));
    }
    if let Some(short) = short {
        alert.short = short;
    }
    if let Some(hold) = reader.duration(&fields, "for") {
        alert.hold = hold;
    }
    match given(&fields, "factor") {
        Some(at) => {
            let text = reader.string(at, "factor")?;
            let factor = text.parse::<f64>().ok().filter(|f| f.is_finite() && *f > 0.0);
            let Some(factor) = factor else {
                reader.error_on(
                    at,
                    "value",
                    format!("`factor` must be a number above 0, found {text:?}"),
                );
                return None;
            };
            (alert.factor, alert.budget_share) = (factor, None);
        }
        None => {
            let share = share?;
            if !(share > 0.0 && share <= 1.0) {
                let at = given(&fields, "budget").unwrap_or(node);
                reader.error_on(at, "value", "`budget` must be a share above 0 and at most 100%");
                return None;
            }
            alert.factor = burn::factor(share, period, alert.long);
            alert.budget_share = Some(share);
        }
    }
    if alert.short.is_some_and(|short| short >= alert.long) {
        reader.error_on(node, "value", "`short` must be shorter than `long`");
    }
    (reader.errors.len() == errors).then_some(Some(alert))
}

fn severity(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.string(node, "severity")?;
    check_severity(reader, node, &text).then_some(text)
}

fn read_absent(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
    usual: Option<AbsentAlert>,
) -> Option<Option<AbsentAlert>> {
    let mut absent = usual?;
    if let NodeKind::Scalar { text, .. } = &node.kind {
        if is_off(text) {
            return Some(None);
        }
        absent.severity = text.clone();
        return check_severity(reader, node, text).then_some(Some(absent));
    }
    let fields = reader.fields(node, ABSENT_KEYS, "alert `absent`")?;
    if let Some(at) = given(&fields, "severity") {
        absent.severity = severity(reader, at)?;
    }
    if given(&fields, "after").is_some() {
        absent.after = reader.duration(&fields, "after")?;
    }
    Some(Some(absent))
}
