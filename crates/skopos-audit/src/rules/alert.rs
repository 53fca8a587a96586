//! ALR001–ALR006: is somebody woken, by what, and with what at hand?
//!
//! What a rule file says by itself is judged by `skopos-lint`, the engine of `skopos rules check`; here its findings get the
//! audit's codes, and rules are joined with code, other files and each other.

use super::deployed;
use crate::files::prometheus::{LintFinding, Rule, Rules};
use crate::files::{Document, folder};
use crate::{Case, File, Verdicts};

/// Every document of rules, with its file.
pub(super) fn rules<'r>(case: &Case<'r>) -> Vec<(&'r File, &'r Rules)> {
    let documents = deployed::documents(case).filter_map(|(file, document)| match document {
        Document::Rules(rules) => Some((file, rules)),
        _ => None,
    });
    // Files that test rules hold rules of their own making.
    documents.filter(|(file, _)| !file.path.contains("_test.")).collect()
}

pub(super) fn alerts<'r>(case: &Case<'r>) -> Vec<(&'r File, &'r Rules, &'r Rule)> {
    let all = rules(case).into_iter();
    all.flat_map(|(file, rules)| rules.alerts().map(move |alert| (file, rules, alert))).collect()
}

/// Alerts, or the rule has no say.
fn alerts_or_nothing<'r>(
    case: &Case<'r>,
    verdicts: &mut Verdicts,
) -> Vec<(&'r File, &'r Rules, &'r Rule)> {
    let alerts = alerts(case);
    if alerts.is_empty() {
        verdicts.not_applicable();
    }
    alerts
}

/// What `skopos-lint` says with one of these codes about an alert.
fn lint<'r>(rules: &'r Rules, alert: &Rule, codes: &[&str]) -> Option<&'r LintFinding> {
    rules.lint.iter().find(|finding| {
        let is_inside = alert.span.contains(finding.span) || alert.name.span.contains(finding.span);
        codes.contains(&finding.code) && is_inside
    })
}

/// Whether lint could read the file.
fn is_linted(rules: &Rules) -> bool {
    !rules.is_template && !rules.lint.iter().any(|finding| finding.code == "yaml/parse")
}

/// Whether an alert wakes nobody: its severity says so.
fn wakes_nobody(alert: &Rule) -> bool {
    let severity = alert.label("severity").map(|text| text.to_lowercase());
    severity.is_some_and(|s| {
        matches!(s.as_str(), "none" | "info" | "information" | "informational" | "debug")
    })
}

/// Whether an alert fires as long as alerting works.
fn is_heartbeat(alert: &Rule) -> bool {
    let expr: String = alert.expr.split_whitespace().collect();
    let name = alert.name.to_lowercase();
    expr == "vector(1)"
        || ["watchdog", "deadman", "deadmansswitch", "heartbeat"]
            .iter()
            .any(|word| name.contains(word))
}

/// ALR001: nothing in the repository alerts.
pub(super) fn absent(case: &Case<'_>, verdicts: &mut Verdicts) {
    if case.config.alerts.external.is_some() || !alerts(case).is_empty() {
        return;
    }
    let elsewhere = deployed::documents(case).filter_map(|(file, document)| match document {
        Document::AlertingElsewhere(found) => Some((file, found)),
        _ => None,
    });
    let (receivers, alerts): (Vec<_>, Vec<_>) = elsewhere.partition(|(_, found)| found.is_receiver);
    let has_objectives =
        deployed::documents(case).any(|(_, d)| matches!(d, Document::Objective(_)));
    if !alerts.is_empty() || has_objectives {
        return;
    }
    let has_alertmanager = deployed::documents(case)
        .any(|(_, document)| matches!(document, Document::Alertmanager(_)));
    if !receivers.is_empty() || has_alertmanager {
        verdicts.absent("alerts have somewhere to go, and there is no alert: no rule file, no PrometheusRule, no monitor");
        return;
    }
    verdicts.absent(
        "nobody is told when this service fails: no alert rules, no Alertmanager, PagerDuty or Opsgenie, no runbooks",
    );
}

/// Whether an alert says that it wakes somebody at once.
fn pages(alert: &Rule) -> bool {
    let names = ["severity", "priority", "level"].into_iter();
    let severity = names.filter_map(|name| alert.label(name)).next();
    severity.is_some_and(|text| {
        let words = ["page", "pager", "critical", "crit", "p1", "sev1", "s1", "emergency", "fatal"];
        words.contains(&text.to_lowercase().as_str())
    })
}

/// ALR002: an alert without `for`; with a short one, it is unknown whether that is meant.
pub(super) fn hold(case: &Case<'_>, verdicts: &mut Verdicts) {
    for (file, rules, alert) in alerts_or_nothing(case, verdicts) {
        if alert.keep_firing_for.is_some()
            || wakes_nobody(alert)
            || is_heartbeat(alert)
            || alert.expr.is_empty()
        {
            continue;
        }
        // Where lint could read the file, it knows of burn rates and of windows that smooth.
        let said = lint(rules, alert, &["rule/for"]);
        if (is_linted(rules) && said.is_none()) || (alert.hold.is_some() && said.is_none()) {
            continue;
        }
        if let Some(hold) = &alert.hold {
            // Less than a minute is one evaluation or two; what pages waits five, so that what passes by wakes nobody.
            let is_zero = hold.starts_with('0') && !hold.contains(|c| matches!(c, '1'..='9'));
            let waits = super::wiring::milliseconds(hold).or(is_zero.then_some(0));
            let Some(waits) = waits.filter(|waits| *waits < 60_000 || pages(alert)) else {
                continue;
            };
            // Somebody wrote it: a choice, until they say otherwise.
            let what = if waits == 0 { "one bad scrape" } else { "a spike of that length" };
            verdicts.unknown(
                format!("whether {what} is meant to alert: `{}` has `for: {}`", alert.name, hold.value),
                "`for: 5m`, two windows of different length, or a comment that says why it cannot wait",
            );
            continue;
        }
        verdicts.finding(
            file.place(alert.name.span),
            format!("`{}` has no `for`: one bad scrape pages", alert.name),
        );
    }
}

/// ALR003: an alert without a runbook, or with one that is not there.
pub(super) fn runbook(case: &Case<'_>, verdicts: &mut Verdicts) {
    for (file, _, alert) in alerts_or_nothing(case, verdicts) {
        if wakes_nobody(alert) || is_heartbeat(alert) {
            continue;
        }
        let is_runbook = |key: &str| {
            let key = key.to_lowercase();
            key.contains("runbook") || key.contains("playbook")
        };
        let both = alert.annotations.iter().chain(&alert.labels);
        let Some((_, link)) =
            both.into_iter().find(|(key, value)| is_runbook(key) && !value.is_empty())
        else {
            verdicts.finding(
                file.place(alert.name.span),
                format!("`{}` has no runbook: whoever it wakes starts from nothing", alert.name),
            );
            continue;
        };
        let Some(target) = relative(link) else { continue };
        // From the rule's folder or one above it: a team's folder, a service's, the repository's.
        let above = std::iter::successors(Some(folder(&file.path)), |here| {
            (!here.is_empty()).then(|| folder(here))
        });
        let paths = &case.repository.paths;
        let is_there = |path: &String| {
            paths.binary_search(path).is_ok()
                || paths
                    .iter()
                    .any(|p| p.strip_prefix(path.as_str()).is_some_and(|r| r.starts_with('/')))
        };
        if !above.map(|here| deployed::join(here, target)).any(|path| is_there(&path)) {
            verdicts.finding(
                file.place(link.span),
                format!("the runbook `{target}` is not in the repository"),
            );
        }
    }
}

/// The path of a link into the repository; none for addresses and templates.
fn relative(link: &str) -> Option<&str> {
    let link = link.trim();
    if link.contains("://") || link.contains("{{") || link.contains(' ') || link.starts_with('#') {
        return None;
    }
    let path = link.split(['#', '?']).next().unwrap_or_default();
    let is_file =
        [".md", ".markdown", ".adoc", ".rst", ".txt", ".html"].iter().any(|e| path.ends_with(e));
    (is_file || path.starts_with("./") || path.starts_with("../")).then_some(path)
}

/// ALR004: people are woken by CPU or memory.
pub(super) fn cause(case: &Case<'_>, verdicts: &mut Verdicts) {
    by_lint(case, verdicts, &["alerts/cause"], |alert, finding| {
        let message = format!("`{}` wakes people for a cause: {}", alert.name, finding.message);
        (!is_running_out(alert)).then_some(message)
    });
}

/// Whether an alert is of room that somebody has to make: a disk that is full is no busy CPU, and does not get well by
/// itself.
fn is_running_out(alert: &Rule) -> bool {
    let Ok(ast) = skopos_promql::parse(&alert.expr, &skopos_promql::ParseOptions::default()) else {
        return false;
    };
    let is_room = |name: &str| {
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        has(&["filesystem", "volume_stats", "inode", "_fds"])
            || (has(&["disk"]) && has(&["free", "avail", "used", "usage", "size", "bytes"]))
    };
    let is_flow = |name: &str| ["read", "writ", "_io_", "io_time"].iter().any(|w| name.contains(w));
    let read = skopos_promql::ast::selectors(&ast);
    let mut names = read.iter().filter_map(|(_, selector)| selector.name.as_deref()).peekable();
    names.peek().is_some() && names.all(|name| is_room(name) && !is_flow(name))
}

/// ALR005: an alert without severity. Whose it is, routes and external labels may tell, too.
pub(super) fn owner(case: &Case<'_>, verdicts: &mut Verdicts) {
    for (file, rules, alert) in alerts_or_nothing(case, verdicts) {
        if is_heartbeat(alert) {
            continue;
        }
        if !is_linted(rules) {
            let has = |names: &[&str]| {
                alert.labels.iter().any(|(key, _)| names.contains(&key.value.as_str()))
            };
            if !has(&["severity", "priority", "level"]) {
                let message = format!("`{}` has no severity: nothing can route it", alert.name);
                verdicts.finding(file.place(alert.name.span), message);
            }
            continue;
        }
        if lint(rules, alert, &["severity/missing", "severity/unknown"]).is_some() {
            let message = format!(
                "`{}` has no severity that means something: nothing can route it",
                alert.name
            );
            verdicts.finding(file.place(alert.name.span), message);
        }
    }
}

/// ALR006: an expression without a comparison always fires.
pub(super) fn comparison(case: &Case<'_>, verdicts: &mut Verdicts) {
    by_lint(case, verdicts, &["alerts/comparison"], |alert, finding| {
        Some(format!("`{}`: {}", alert.name, finding.message))
    });
}

fn by_lint(
    case: &Case<'_>,
    verdicts: &mut Verdicts,
    codes: &[&str],
    say: impl Fn(&Rule, &LintFinding) -> Option<String>,
) {
    for (file, rules, alert) in alerts_or_nothing(case, verdicts) {
        let Some(finding) = lint(rules, alert, codes) else { continue };
        if let Some(message) = say(alert, finding) {
            let judgement = verdicts.finding(file.place(finding.span), message);
            judgement.hint.clone_from(&finding.hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_into_the_repository() {
        assert_eq!(relative("docs/runbooks/a.md#x"), Some("docs/runbooks/a.md"));
        assert_eq!(relative("https://wiki/a.md"), None);
        assert_eq!(relative("{{ $labels.x }}.md"), None);
    }
}
