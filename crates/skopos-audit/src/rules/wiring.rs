//! ALR007 and ALR010–ALR012: do rules fit what scrapes them, can their objectives be kept, are they loaded, and do alerts
//! reach anybody?

use skopos_promql::ast::{ExprKind, selectors};

use super::alert::{alerts, rules};
use super::deployed;
use crate::files::environment::Environment;
use crate::files::prometheus::LintFinding;
use crate::files::{Document, helm, objective};
use crate::{Case, File, Place, Span, Verdicts};

/// ALR007: a window in which a single missed scrape leaves nothing to compute a rate from.
pub(super) fn window(case: &Case<'_>, verdicts: &mut Verdicts) {
    let intervals = deployed::documents(case).filter_map(|(_, document)| match document {
        Document::Prometheus(config) => {
            let own = config.jobs.iter().filter_map(|job| job.interval.as_ref());
            let all = own.chain(&config.interval).filter_map(|text| milliseconds(text));
            // Its own default, where nothing is said and no other file says more.
            let is_whole = !config.jobs.is_empty() && !config.has_scrape_config_files;
            let unsaid = (config.interval.is_none() && is_whole).then_some(DEFAULT_INTERVAL);
            all.chain(unsaid).min()
        }
        _ => None,
    });
    // With several servers the fastest is meant: a finding must hold for each of them.
    let known = intervals.min();
    let interval = known.unwrap_or(DEFAULT_INTERVAL);
    // Rules whose windows would be too short for what Prometheus does unless it is told.
    let (mut count, mut doubtful) = (0_usize, None);
    let all = rules(case);
    if all.is_empty() {
        return verdicts.not_applicable();
    }
    for (file, rules) in all {
        for rule in rules.groups.iter().flat_map(|group| &group.rules) {
            let Ok(ast) = skopos_promql::parse(&rule.expr, &skopos_promql::ParseOptions::default())
            else {
                continue;
            };
            let short = ast.descendants().into_iter().find_map(|expr| {
                let ExprKind::Call(call) = &expr.kind else { return None };
                let is_rate =
                    matches!(call.func.name, "rate" | "increase" | "irate" | "delta" | "deriv");
                let ranges = selectors(expr).into_iter().filter_map(|(e, _)| match &e.kind {
                    ExprKind::Matrix { range, .. } => range.literal_ms(),
                    _ => None,
                });
                let least = if call.func.name == "irate" { 2 } else { 4 };
                let range = ranges.min().filter(|_| is_rate)?;
                (range < interval * least).then_some((call.func.name, range, least))
            });
            if let (Some((_, range, _)), None) = (short, known) {
                count += 1;
                doubtful.get_or_insert_with(|| format!("`{}` over {}", rule.name, seconds(range)));
            } else if let Some((function, range, least)) = short {
                verdicts.finding(
                    file.place(rule.expr.span),
                    format!(
                        "`{}`: `{function}` over {} with a scrape every {}: the window should be {least} times the interval or more",
                        rule.name, seconds(range), seconds(interval)
                    ),
                );
            }
        }
    }
    if let Some(first) = doubtful {
        let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        verdicts.unknown(
            format!("whether the windows are wide enough for the scrape interval: {first}{others}"),
            "`scrape_interval` of the Prometheus that loads these rules: at its default of one minute four times that is needed",
        );
    }
}

/// How often Prometheus scrapes unless it is told, in milliseconds.
const DEFAULT_INTERVAL: i64 = 60_000;

fn seconds(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match (seconds % 60, seconds) {
        (0, 60..) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// `30s`, `1m30s`.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    let mut total = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = number.checked_mul(unit)?.checked_add(total)?;
        rest = &rest[unit_end..];
    }
    (total > 0).then_some(total)
}

/// ALR010: an objective of 100 %.
pub(super) fn perfect(case: &Case<'_>, verdicts: &mut Verdicts) {
    let mut is_judged = false;
    for (file, document) in deployed::documents(case) {
        let Document::Objective(found) = document else { continue };
        is_judged = true;
        if objective::is_perfect(found.share) {
            let name = if found.name.is_empty() { "this objective" } else { &found.name };
            verdicts.finding(
                file.place(found.target.span),
                format!("`{name}` promises {}: it is broken by the first failure, and leaves no budget for any change", found.target),
            );
        }
    }
    for (file, _, alert) in alerts(case) {
        let text = format!(
            "{} {}",
            alert.name,
            alert.labels.iter().map(|(k, _)| k.value.as_str()).collect::<String>()
        );
        let is_slo = ["slo", "availability", "success"]
            .iter()
            .any(|word| text.to_lowercase().contains(word));
        if !is_slo {
            continue;
        }
        is_judged = true;
        let expr: String = alert.expr.split_whitespace().collect();
        let asks_all = ["<1", "<1.0", "<100", "!=1", "!=100"].iter().any(|end| expr.ends_with(end));
        if asks_all && !helm::is_open(&alert.expr) {
            verdicts.finding(
                file.place(alert.expr.span),
                format!("`{}` fires below 100 %: one failed request breaks it", alert.name),
            );
        }
    }
    if !is_judged {
        verdicts.not_applicable();
    }
}

/// ALR012: a file of rules that Prometheus refuses as a whole.
pub(super) fn refused(case: &Case<'_>, verdicts: &mut Verdicts) {
    let mut is_judged = false;
    for (file, rules) in rules(case) {
        let is_foreign = file.path.to_lowercase().contains("loki")
            || rules.groups.iter().flat_map(|g| &g.rules).any(|rule| is_of_logs(&rule.expr));
        if rules.is_template || is_foreign {
            continue;
        }
        is_judged = true;
        let refused = |finding: &&LintFinding| match finding.code {
            "yaml/parse" | "promql/syntax" | "rule/schema" => true,
            // What is said of an alert is no more than doubtful; what is said of the file does not load.
            "alerts/template" => finding.rule.is_none() && !has_other_templates(&file.path),
            _ => false,
        };
        // One mistake is enough: the file is refused as a whole.
        if let Some(finding) = rules.lint.iter().find(refused) {
            let judgement = verdicts.finding(
                file.place(finding.span),
                format!(
                    "Prometheus refuses this file, so none of its alerts exists: {}",
                    finding.message
                ),
            );
            judgement.hint.clone_from(&finding.hint);
        }
    }
    if !is_judged {
        verdicts.not_applicable();
    }
}

/// Whether something else than Prometheus may read the braces in a file: what puts values in before, or another server.
fn has_other_templates(path: &str) -> bool {
    let path = path.to_lowercase();
    path.split('/').any(|part| part == "templates")
        || ["vmalert", "victoria"].iter().any(|name| path.contains(name))
}

/// Whether an expression asks Loki: only LogQL has pipes beside its strings.
fn is_of_logs(expr: &str) -> bool {
    let mut quote = None;
    expr.chars().any(|c| {
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            _ => {}
        }
        quote.is_none() && c == '|'
    })
}

/// ALR011: rules nobody loads, alerts that go nowhere.
pub(super) fn wired(case: &Case<'_>, verdicts: &mut Verdicts) {
    let mut is_judged = false;
    let has_rule_files = rules(case)
        .iter()
        .any(|(file, rules)| rules.alerts().next().is_some() && !is_resource(file));
    let has_managers =
        deployed::documents(case).any(|(_, d)| matches!(d, Document::Alertmanager(_)));
    for (file, document) in deployed::documents(case) {
        let is_test = Environment::of_path(&file.path) == Environment::Test;
        match document {
            Document::Prometheus(config) if !is_test && !config.jobs.is_empty() => {
                is_judged = true;
                let place = || file.place(Span { end: config.span.start, ..config.span });
                if config.rule_files.is_empty() && has_rule_files {
                    let message = "this Prometheus loads no rules (no `rule_files`), though the repository has some";
                    verdicts.finding(place(), message);
                } else if !config.rule_files.is_empty() && config.alertmanagers.is_empty() {
                    let at =
                        config.rule_files.first().map_or_else(place, |text| file.place(text.span));
                    let message =
                        "rules are loaded and no Alertmanager is named: what fires reaches nobody";
                    verdicts.finding(at, message);
                } else if has_managers && config.alertmanagers.is_empty() {
                    let message =
                        "the repository has an Alertmanager, and this Prometheus does not name it";
                    verdicts.finding(place(), message);
                }
            }
            Document::Alertmanager(config) if !is_test => {
                is_judged = true;
                receivers(file, config, verdicts);
            }
            _ => {}
        }
    }
    if !is_judged {
        verdicts.not_applicable();
    }
}

fn receivers(
    file: &File,
    config: &crate::files::alertmanager::Alertmanager,
    verdicts: &mut Verdicts,
) {
    let mut reaches = false;
    let mut first_empty: Option<(Place, String)> = None;
    for routed in &config.routed {
        match config.receiver(&routed.value) {
            // With no receivers at all this is a part of a configuration.
            None if config.receivers.is_empty() => reaches = true,
            None => {
                let message =
                    format!("a route names the receiver `{routed}`, which is not defined");
                verdicts.finding(file.place(routed.span), message);
                reaches = true;
            }
            Some(receiver) => {
                let is_null = ["null", "blackhole", "devnull", "none"]
                    .contains(&receiver.name.value.as_str());
                let is_empty = receiver.integrations.is_empty();
                let only_placeholders = !receiver.placeholders.is_empty()
                    && receiver.placeholders.len() >= receiver.integrations.len();
                reaches |= !is_empty && !only_placeholders;
                if is_empty && !is_null || only_placeholders {
                    let what = if is_empty {
                        "notifies nobody"
                    } else {
                        "has only the address of an example"
                    };
                    let at =
                        receiver.placeholders.first().map_or(receiver.name.span, |text| text.span);
                    let at = if is_empty { receiver.name.span } else { at };
                    first_empty.get_or_insert((
                        file.place(at),
                        format!("the receiver `{}` {what}", receiver.name),
                    ));
                }
            }
        }
    }
    if !reaches && let Some((place, message)) = first_empty {
        verdicts.finding(place, format!("{message}: alerts go nowhere"));
    }
}

/// Whether rules of a file come as Kubernetes resources: an operator loads those.
fn is_resource(file: &File) -> bool {
    file.documents.iter().any(|(_, document)| matches!(document, Document::Kubernetes(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_said() {
        assert_eq!(milliseconds("1m30s"), Some(90_000));
        assert_eq!(milliseconds("x"), None);
        assert_eq!((seconds(90_000), seconds(120_000)), ("90s".to_owned(), "2m".to_owned()));
    }
}
