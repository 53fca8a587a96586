//! `rule/duplicate`, `rule/dependency`, `rule/name`: what only all rules together show.

use std::collections::HashMap;

use skopos_promql::ExprKind;
use skopos_promql::ast::selectors;

use crate::Severity;
use crate::context::{Draft, Subject};
use crate::metric;

pub(super) fn check(subjects: &[Subject<'_>], found: &mut Vec<Draft>) {
    duplicates(subjects, found);
    for subject in subjects {
        order(subject, found);
        recorded_nowhere(subject, found);
        name(subject, found);
    }
}

/// Rules that say the same as an earlier one.
fn duplicates(subjects: &[Subject<'_>], found: &mut Vec<Draft>) {
    let mut seen: HashMap<String, &Subject<'_>> = HashMap::new();
    for subject in subjects {
        let rule = subject.rule;
        let Some(ast) = rule.ast() else { continue };
        let mut labels: Vec<String> =
            rule.labels.iter().map(|(k, v)| format!("{}={:?}", k.value, v.value)).collect();
        labels.sort();
        let key =
            format!("{}\u{0}{}\u{0}{}\u{0}{ast}", rule.is_alert, rule.name.value, labels.join(","));
        let Some(first) = seen.get(&key) else {
            seen.insert(key, subject);
            continue;
        };
        let line = first.file.text[..first.rule.span.start].matches('\n').count() + 1;
        let what = if rule.is_alert { "alerts" } else { "records" };
        let message =
            format!("{what} the same as {}:{line}, group {:?}", first.file.path, first.group.name);
        found.push(subject.about("rule/duplicate", message).hint("remove one of them"));
    }
}

/// Uses of what the same group records only afterwards.
fn order(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let (_, _, at) = subject.at;
    let Some(ast) = subject.rule.ast() else { return };
    for (expr, selector) in selectors(ast) {
        // In a window of many evaluations one more or less is nothing.
        let is_window = matches!(expr.kind, ExprKind::Matrix { .. });
        let Some(name) = metric::name_of(selector).filter(|_| !is_window) else { continue };
        let records = |rule: &&crate::source::Rule| !rule.is_alert && rule.name.value == name;
        let rules = &subject.group.rules;
        let (before, after) = (&rules[..at.min(rules.len())], rules.get(at + 1..).unwrap_or(&[]));
        if before.iter().any(|rule| records(&rule)) || !after.iter().any(|rule| records(&rule)) {
            continue;
        }
        let message =
            format!("`{name}` is recorded further down: this reads the previous evaluation's");
        let hint = "rules of a group run in order: record it above";
        found.push(subject.in_expr("rule/dependency", expr.span, message).hint(hint));
    }
}

/// Uses of recorded metrics that no rule here records.
fn recorded_nowhere(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(ast) = subject.rule.ast() else { return };
    // Without any recording rule these files are not where records are made.
    if subject.records.is_empty() {
        return;
    }
    for (expr, selector) in selectors(ast) {
        let name = metric::name_of(selector).filter(|name| metric::is_recorded(name));
        let Some(name) = name.filter(|name| subject.records.rules(name).is_empty()) else {
            continue;
        };
        let message = format!("no rule of these files records `{name}`");
        let hint = "check the files that do together with these";
        let draft = subject.in_expr("rule/dependency", expr.span, message).hint(hint);
        found.push(draft.severity(Severity::Info));
    }
}

/// Names of recorded metrics.
fn name(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let name = &subject.rule.name;
    if subject.rule.is_alert || name.value.contains(':') || name.value.is_empty() {
        return;
    }
    let message = format!("`{}` looks like a metric that something exposes", name.value);
    let hint =
        "name recorded metrics `level:metric:operations`, such as `job:http_requests:rate5m`";
    found.push(subject.finding("rule/name", name.span(), message).hint(hint));
}
