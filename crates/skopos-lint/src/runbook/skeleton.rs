//! The beginning of a runbook for an alert.

use std::fmt::Write as _;

use skopos_alerting::format_duration;
use skopos_promql::ExprKind;

use super::Question;
use crate::source::RuleFile;
use crate::{Options, Priority};

/// What a new page is begun from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// The alert's name.
    pub alert: String,
    /// The file and group it stands in.
    pub place: Option<(String, String)>,
    /// Its expression, laid out for reading.
    pub expr: Option<String>,
    /// What the expression watches: the left side of its comparison.
    pub watched: Option<String>,
    /// How long it holds before it fires.
    pub hold: Option<String>,
    /// Its severity, with the priority it means.
    pub severity: Option<String>,
    /// Its summary.
    pub summary: Option<String>,
    /// Its owner.
    pub owner: Option<String>,
}

/// Looks an alert up in rule files given as (path, text).
pub fn find_alert(files: &[(&str, &str)], alert: &str, options: &Options) -> Option<Begun> {
    for (path, text) in files {
        let file = RuleFile::read(path, text, &options.language);
        for group in &file.groups {
            let Some(rule) = group.rules.iter().find(|r| r.is_alert && r.name.value == alert)
            else {
                continue;
            };
            let value = |name: &str| {
                let found = rule.annotation(name).or_else(|| rule.label(name));
                found.map(|(_, text)| text.value.trim().to_owned()).filter(|text| !text.is_empty())
            };
            let severity = value("severity").map(|severity| {
                let priority = match options.severities.priority(&severity) {
                    Some(Priority::P1) => " (P1)",
                    Some(Priority::P2) => " (P2)",
                    Some(Priority::P3) => " (P3)",
                    Some(Priority::Nobody) | None => "",
                };
                format!("{severity}{priority}")
            });
            let watched = rule.ast().and_then(|ast| match &ast.unparenthesised().kind {
                ExprKind::Binary(b) if b.op.is_comparison() => Some(b.lhs.to_string()),
                _ => None,
            });
            return Some(Begun {
                alert: alert.to_owned(),
                place: Some((path.to_string(), group.name.clone())),
                expr: rule.ast().map(|ast| ast.pretty()),
                watched,
                hold: rule.hold.as_ref().map(|(hold, _)| format_duration(*hold)),
                severity,
                summary: value("summary").or_else(|| value("description")),
                owner: value("owner").or_else(|| value("team")),
            });
        }
    }
    None
}

/// The page: everything that the rule says, and a TODO for what only people know. `runbook check` finds it
/// incomplete until those are written.
pub fn skeleton(begun: &Begun) -> String {
    let mut out = format!("# {}\n\n", begun.alert);
    let mut head = Vec::new();
    if let Some(severity) = &begun.severity {
        head.push(format!("Severity: {severity}"));
    }
    head.push(format!("Owner: {}", begun.owner.as_deref().unwrap_or("TODO")));
    if let Some((file, group)) = &begun.place {
        head.push(format!("Rule: `{file}`, group `{group}`"));
    }
    let _ = writeln!(out, "{}", head.join(" · "));
    for question in Question::ALL {
        let _ = write!(out, "\n## {}\n\n", question.heading());
        match question {
            Question::Meaning => meaning(begun, &mut out),
            Question::Impact => out.push_str("TODO: what users see or cannot do, how many of them, and what it costs to wait.\n"),
            Question::Steps => {
                match &begun.watched {
                    Some(watched) => {
                        let _ = writeln!(out, "1. TODO: where it comes from: `{watched}`, by service or instance.");
                    }
                    None => out.push_str("1. TODO: where it comes from: which query, by which label.\n"),
                }
                out.push_str("2. TODO: what the ERROR log lines of that service say in the alert's window; take a trace id from one.\n");
                out.push_str("3. TODO: where the trace begins to fail or to wait.\n");
            }
            Question::Causes => out.push_str("| Cause | How it looks | Fix |\n|---|---|---|\n| TODO | TODO | TODO |\n"),
            Question::Escalation => out.push_str("1. TODO: who is on call, and how soon they answer.\n2. TODO: who comes next, after how many minutes.\n"),
        }
    }
    out
}

fn meaning(begun: &Begun, out: &mut String) {
    out.push_str("TODO: in one sentence, what is the case when this fires.\n");
    if let Some(summary) = &begun.summary {
        let _ = write!(out, "\nIt says: TODO check \"{}\"\n", summary.replace('\n', " "));
    }
    if let Some(expr) = &begun.expr {
        let _ = write!(out, "\nIt fires when this returns anything");
        if let Some(hold) = &begun.hold {
            let _ = write!(out, " for {hold}");
        }
        let _ = write!(out, " (TODO: say it in words):\n\n```promql\n{expr}\n```\n");
    }
}

/// The file name of an alert's page: `HighErrorRate` is `high-error-rate`.
pub fn slug(alert: &str) -> String {
    let chars: Vec<char> = alert.chars().collect();
    let mut out = String::new();
    for (at, c) in chars.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            if !out.is_empty() && !out.ends_with('-') {
                out.push('-');
            }
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let begins_word = c.is_ascii_uppercase()
            && before.is_some_and(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || (b.is_ascii_uppercase()
                        && chars.get(at + 1).is_some_and(char::is_ascii_lowercase))
            });
        if begins_word && !out.ends_with('-') {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for (alert, want) in [
            ("HighErrorRate", "high-error-rate"),
            ("SLOFastBurn", "slo-fast-burn"),
            ("KubePodCrashLooping", "kube-pod-crash-looping"),
            ("P99 is high!", "p99-is-high"),
            ("NodeRAIDDegraded", "node-raid-degraded"),
            ("../../etc", "etc"),
            ("é", ""),
        ] {
            assert_eq!(slug(alert), want);
        }
    }
}
