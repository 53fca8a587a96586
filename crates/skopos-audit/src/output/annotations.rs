//! Annotations of code hosts: GitHub's workflow commands, GitLab's code quality.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{Report, Severity};

/// GitHub's workflow commands, one a finding.
pub fn github(report: &Report) -> String {
    let mut out = String::new();
    for finding in report.failures() {
        let level = match finding.severity {
            Severity::Low => "notice",
            Severity::Normal => "warning",
            Severity::Important | Severity::Critical => "error",
        };
        let service = finding.service.as_deref().map(|s| format!(" ({s})")).unwrap_or_default();
        let _ = writeln!(
            out,
            "::{level} file={},line={},col={},title={}::{}",
            property(&finding.path),
            finding.line,
            finding.column,
            property(finding.rule),
            data(&format!("{}{service}", finding.message)),
        );
    }
    for idle in &report.not_in_force {
        let _ = writeln!(
            out,
            "::warning file={},line={},title=skopos-ignore::{}",
            property(&idle.path),
            idle.line.max(1),
            data(&idle.message),
        );
    }
    for service in report.production_check.iter().flat_map(|check| &check.services) {
        if !service.verdict.0 {
            let failed = service.pillars.iter().filter(|p| !p.verdict.0);
            let failed: Vec<&str> = failed.map(|p| p.pillar.as_str()).collect();
            let why = match &service.not_judged {
                Some(why) => format!("not judged: {why}"),
                None => format!("fails {}", failed.join(", ")),
            };
            let message = data(&format!("{}: {why}", service.name));
            let _ = writeln!(out, "::error title=production check::{message}");
        }
    }
    out
}

/// What a workflow command must not hold is escaped.
fn data(text: &str) -> String {
    let escaped = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    super::visible(&escaped)
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// GitLab's code quality report.
pub fn gitlab(report: &Report) -> Value {
    let each = report.failures().map(|finding| {
        let severity = match finding.severity {
            Severity::Low => "info",
            Severity::Normal => "minor",
            Severity::Important => "major",
            Severity::Critical => "critical",
        };
        json!({
            "description": finding.message,
            "check_name": finding.rule,
            "fingerprint": format!("{}-{}", finding.fingerprint, finding.line),
            "severity": severity,
            "location": { "path": finding.path, "lines": { "begin": finding.line } },
        })
    });
    Value::Array(each.collect())
}
