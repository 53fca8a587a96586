//! ALR008 and ALR009: do alerts and code speak of the same?

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use skopos_promql::ast::selectors;

use super::alert::{alerts, rules};
use super::deployed;
use super::prints::is_command;
use crate::fact::LogStyle;
use crate::files::Document;
use crate::{Case, FactKind, Level, Verdicts};

/// ALR008: an alert reads a metric of the service's own that no code defines.
pub(super) fn unknown_metric(case: &Case<'_>, verdicts: &mut Verdicts) {
    let defined: BTreeSet<&str> = case
        .facts()
        .filter_map(|(_, fact)| match &fact.kind {
            FactKind::Metric(metric) => metric.name.as_deref(),
            _ => None,
        })
        .collect();
    let mut prefixes: BTreeMap<&str, usize> = BTreeMap::new();
    for (prefix, _) in defined.iter().filter_map(|name| name.split_once(['_', '.'])) {
        *prefixes.entry(prefix).or_default() += 1;
    }
    // One word of two metrics is the service's; words that every exporter has are nobody's.
    prefixes.retain(|prefix, count| {
        *count >= 2
            && !matches!(
                *prefix,
                "http" | "process" | "go" | "jvm" | "node" | "rpc" | "grpc" | "db" | "up"
            )
    });
    let recorded: BTreeSet<&str> = rules(case)
        .iter()
        .flat_map(|(_, rules)| rules.groups.iter().flat_map(|group| &group.rules))
        .filter(|rule| !rule.is_alert)
        .map(|rule| rule.name.value.as_str())
        .collect();
    if defined.is_empty() {
        verdicts.not_applicable();
        return;
    }
    let dotted: BTreeSet<String> = defined.iter().map(|name| name.replace('.', "_")).collect();
    for (file, _, alert) in alerts(case) {
        let Ok(ast) = skopos_promql::parse(&alert.expr, &skopos_promql::ParseOptions::default())
        else {
            continue;
        };
        for (_, selector) in selectors(&ast) {
            let Some(name) = selector.name.as_deref() else { continue };
            let is_ours =
                name.split_once('_').is_some_and(|(prefix, _)| prefixes.contains_key(prefix));
            let stems = ["", "_total", "_bucket", "_count", "_sum", "_created", "_info", "_max"];
            let is_defined = stems.iter().filter_map(|end| name.strip_suffix(end)).any(|stem| {
                dotted.iter().any(|own| {
                    own == stem
                        || own.strip_prefix(stem).is_some_and(is_unit)
                        || stem.strip_prefix(own.as_str()).is_some_and(is_unit)
                })
            });
            if is_defined || recorded.contains(name) {
                continue;
            }
            if let Some(meant) = dotted.iter().find(|own| is_slip(name, own)) {
                verdicts.finding(
                    file.place(alert.expr.span),
                    format!("`{}` reads `{name}`, which no code of the service defines; `{meant}` is defined: it can never fire", alert.name),
                );
                break;
            }
            if is_ours {
                verdicts.finding(
                    file.place(alert.expr.span),
                    format!("`{}` reads `{name}`, which no code of the service defines: it can never fire", alert.name),
                );
                break;
            }
        }
    }
}

/// Whether a name is another one with a slip of the pen: a letter or two wrong, missing or swapped. Short names are too
/// near to each other to tell.
fn is_slip(name: &str, own: &str) -> bool {
    let (name, own) = (stem(name), stem(own));
    let most = match name.len().min(own.len()) {
        0..4 => return false,
        4..12 => 1,
        _ => 2,
    };
    // Another unit, another number, or `failed` for `passed`, is another metric.
    let words = |text: &str| text.split('_').map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (words(own), words(name));
    let differ = ours.iter().zip(&theirs).filter(|(a, b)| a != b);
    let is_number = |text: &str| text.chars().any(|c| c.is_ascii_digit());
    let is_slight = differ.clone().count() == 1
        && differ.clone().all(|(a, b)| a.len().min(b.len()) >= 3 && !is_number(a) && !is_number(b));
    ours.len() == theirs.len() && is_slight && distance(name, own) <= most
}

/// A name without what exporters add to it.
fn stem(name: &str) -> &str {
    let ends = ["_total", "_bucket", "_count", "_sum", "_created", "_info", "_max"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// How many letters have to be put, taken away, changed or swapped to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // Names are short; longer ones differ anyway.
    if a.len().abs_diff(b.len()) > 2 || a.len().max(b.len()) > 200 {
        return usize::MAX;
    }
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// What exporters add to names: `_seconds`, `_bytes_total`.
fn is_unit(rest: &str) -> bool {
    let units = [
        "total",
        "seconds",
        "milliseconds",
        "bytes",
        "ratio",
        "count",
        "requests",
        "percent",
        "ms",
    ];
    rest.is_empty()
        || rest.split('_').filter(|word| !word.is_empty()).all(|word| units.contains(&word))
}

/// ALR009: the service logs errors, and no alert asks for errors.
pub(super) fn errors(case: &Case<'_>, verdicts: &mut Verdicts) {
    let logged = case.facts().filter_map(|(file, fact)| match &fact.kind {
        FactKind::Log(call) if call.level == Some(Level::Error) => Some((file, fact, call)),
        _ => None,
    });
    // Shown is what says most: an error of a request, through a logger; not how a command ends.
    let logged = logged.max_by_key(|(file, fact, call)| {
        let is_logger = call.style != LogStyle::Print;
        let in_service = !is_command(file);
        let is_caught = fact.scope.in_handler || fact.scope.in_catch;
        (in_service, is_logger, is_caught, Reverse((&file.path, fact.span.start)))
    });
    let Some((file, fact, _)) = logged.filter(|(file, ..)| !is_command(file)) else {
        verdicts.not_applicable();
        return;
    };
    if case.any(|kind| matches!(kind, FactKind::ErrorTracker(_))) {
        return;
    }
    let names_errors = |text: &str| {
        let text = text.to_lowercase();
        [
            "error",
            "5xx",
            "\"5",
            "fail",
            "exception",
            "status=~\"5",
            "code=~\"5",
            "availability",
            "burn",
            "slo",
            "outcome",
            // The share that succeeded tells of the rest.
            "success",
        ]
        .iter()
        .any(|word| text.contains(word))
    };
    let is_asked = alerts(case)
        .iter()
        .any(|(_, _, alert)| names_errors(&alert.expr) || names_errors(&alert.name));
    let elsewhere = deployed::documents(case).any(|(_, document)| match document {
        Document::AlertingElsewhere(found) => !found.is_receiver,
        Document::Objective(_) => true,
        _ => false,
    });
    if is_asked || elsewhere {
        return;
    }
    if let Some(external) = &case.config.alerts.external {
        verdicts.unknown(
            "errors are logged; alerts live elsewhere",
            format!("the alerts in {external}"),
        );
        return;
    }
    verdicts.finding(
        file.place(fact.span),
        "errors are logged here, and no alert asks for errors: nobody reads them until a user complains",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_other_metrics() {
        for (name, own) in [
            ("hitz_total", "hits_total"),
            ("htis_total", "hits_total"),
            ("order_placed_total", "orders_placed_total"),
            ("payment_failurs", "payment_failures_total"),
        ] {
            assert!(is_slip(name, own), "{name} {own}");
        }
        for (name, own) in [
            ("up", "ups"),
            ("queue_size_p95", "queue_size_p99"),
            ("orders_placed_total", "orders_paid_total"),
            ("jobs_in", "jobs_on"),
            ("pods_total", "jobs_total"),
            ("hits_total", "hits_seconds"),
        ] {
            assert!(!is_slip(name, own), "{name} {own}");
        }
    }
}
