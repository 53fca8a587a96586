//! `slo/burn-alert` and `slo/page`: does every objective wake somebody, and does every page stand for one?

use std::collections::{BTreeMap, BTreeSet};

use skopos_promql::ast::selectors;

use super::burn::{is_burn_rate, is_slo_metric};
use crate::Priority;
use crate::context::{Draft, Subject};
use crate::metric;

/// Labels and annotations that tie an alert to an objective, or say why there is none.
const TIES: [&str; 4] = ["slo", "sloth_slo", "openslo", "slo_waiver"];

pub(super) fn check(subjects: &[Subject<'_>], found: &mut Vec<Draft>) {
    without_alert(subjects, found);
    pages_without_objective(subjects, found);
}

/// Objectives whose indicators are recorded and never alerted on.
fn without_alert(subjects: &[Subject<'_>], found: &mut Vec<Draft>) {
    let mut recorded: BTreeMap<(&str, &str), &Subject<'_>> = BTreeMap::new();
    for subject in subjects.iter().filter(|s| !s.rule.is_alert) {
        if is_slo_metric(&subject.rule.name.value) {
            recorded.entry(objective(subject)).or_insert(subject);
        }
    }
    if recorded.is_empty() {
        return;
    }
    let alerts: Vec<&Subject<'_>> = subjects.iter().filter(|s| s.rule.is_alert).collect();
    for ((name, slo), subject) in &recorded {
        let is_alerted = alerts.iter().any(|alert| {
            let same_slo = alert.rule.label("sloth_slo").is_some_and(|(_, v)| v.value == *slo);
            let Some(ast) = alert.rule.ast() else { return same_slo };
            let reads = selectors(ast).into_iter().any(|(_, s)| {
                let reads_it = metric::name_of(s).is_some_and(|n| base(n) == *name);
                let mut asked = s.matchers.iter().filter(|m| m.name() == "sloth_slo");
                reads_it && asked.all(|m| m.matches(slo))
            });
            same_slo || reads
        });
        if !is_alerted {
            let message = "this objective is measured, and nobody is told when its budget burns";
            let hint = "alert on its burn rate: 14.4 over 1h and 5m to page, 1 over 3d and 6h for a ticket";
            found.push(subject.about("slo/burn-alert", message).hint(hint));
        }
    }
}

/// What names an objective: the recorded metric without its window, and sloth's label.
fn objective<'a>(subject: &Subject<'a>) -> (&'a str, &'a str) {
    let slo = subject.rule.label("sloth_slo").map_or("", |(_, value)| value.value.as_str());
    (base(&subject.rule.name.value), slo)
}

/// The name without the window that it ends in. All of sloth's metrics of one objective are one.
fn base(name: &str) -> &str {
    if name.starts_with("slo:") {
        return "slo:";
    }
    let is_window = |c: char| c.is_ascii_digit() || matches!(c, 's' | 'm' | 'h' | 'd' | 'w' | 'y');
    match name.find("burn") {
        Some(at) => {
            let end = name[at..].find(|c: char| c.is_ascii_digit()).map_or(name.len(), |i| at + i);
            if name[end..].chars().all(is_window) { &name[..end] } else { name }
        }
        None => name,
    }
}

/// Pages that no objective stands behind, where there are objectives at all.
fn pages_without_objective(subjects: &[Subject<'_>], found: &mut Vec<Draft>) {
    let burn: Vec<&Subject<'_>> =
        subjects.iter().filter(|s| s.rule.is_alert && is_burn_rate(s)).collect();
    if burn.is_empty() {
        return;
    }
    let measured: BTreeSet<&str> = burn.iter().flat_map(|s| metrics(s)).collect();
    for subject in subjects.iter().filter(|s| s.rule.is_alert) {
        let tied = TIES
            .iter()
            .any(|tie| subject.rule.label(tie).is_some() || subject.rule.annotation(tie).is_some());
        let is_page = subject.priority() == Some(Priority::P1);
        // An alert on the very series that an objective measures stands for that objective.
        let same = metrics(subject).iter().any(|name| measured.contains(name));
        if is_page && !tied && !same && !is_burn_rate(subject) {
            let message = "this pages, and no objective here measures what it alerts on";
            let hint = "write an SLO for it, tie it to one by the label `slo`, or say why not: annotation `slo_waiver`";
            found.push(subject.about("slo/page", message).hint(hint));
        }
    }
}

/// The metrics a rule reads, histograms by their base name.
fn metrics<'a>(subject: &Subject<'a>) -> Vec<&'a str> {
    let Some(ast) = subject.rule.ast() else { return Vec::new() };
    let names = selectors(ast).into_iter().filter_map(|(_, s)| metric::name_of(s));
    let bare = |name: &'a str| {
        let suffixes = ["_bucket", "_count", "_sum"];
        suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
    };
    names.map(bare).collect()
}
