//! `alerts/cause`: people are woken by what may be a cause, though no user may feel anything.

use skopos_promql::ast::selectors;

use super::burn::is_burn_rate;
use crate::Priority;
use crate::context::{Draft, Records, Subject};
use crate::metric::{self, Class};

/// Labels and annotations that say that it is meant so.
const WAIVERS: [&str; 2] = ["cause_ok", "slo"];

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let rule = subject.rule;
    let Some(ast) = rule.ast().filter(|_| rule.is_alert) else { return };
    let wakes = match subject.priority() {
        Some(priority) => priority <= Priority::P2,
        // Without a severity nobody can tell that it does not.
        None => true,
    };
    let given = |name: &str| {
        let either = rule.annotation(name).or_else(|| rule.label(name));
        either.is_some_and(|(_, reason)| !reason.value.trim().is_empty())
    };
    if !wakes || WAIVERS.iter().any(|name| given(name)) || is_burn_rate(subject) {
        return;
    }
    let read = selectors(ast);
    let classes = || {
        let named = read.iter().filter_map(|(expr, s)| Some((*expr, metric::name_of(s)?)));
        named.map(|(expr, name)| (expr, name, class(name, subject.records, 0)))
    };
    // One symptom among them is what the alert is about.
    if classes().any(|(_, _, class)| class == Class::Symptom) {
        return;
    }
    let Some((expr, name, _)) = classes().find(|(_, _, class)| *class == Class::Cause) else {
        return;
    };
    let message = format!(
        "`{name}` may be a cause, and is nothing that users feel: it runs high on good days too"
    );
    let hint = "alert on errors, latency or what is left undone, and make this a ticket (P3); or say why it pages: `cause_ok: REASON`";
    found.push(subject.in_expr("alerts/cause", expr.span, message).hint(hint));
}

/// What a metric tells by its name; a recorded one by what it is recorded from.
fn class(name: &str, records: &Records<'_>, depth: usize) -> Class {
    let own = metric::class(name);
    if own != Class::Unknown || depth > 8 {
        return own;
    }
    let mut classes = Vec::new();
    for expr in records.expressions(name) {
        let names = selectors(expr).into_iter().filter_map(|(_, s)| metric::name_of(s));
        classes.extend(names.map(|name| class(name, records, depth + 1)));
    }
    match () {
        () if classes.contains(&Class::Symptom) => Class::Symptom,
        () if classes.contains(&Class::Cause) => Class::Cause,
        () => Class::Unknown,
    }
}
