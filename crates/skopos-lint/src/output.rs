//! SARIF 2.1.0: the form in which code hosts and editors take findings.

use serde_json::{Value, json};

use crate::{Check, Finding, Report, Severity};

/// The report as SARIF 2.1.0. Suppressed findings are in it, marked as such.
pub fn sarif(report: &Report, version: &str) -> Value {
    let rules: Vec<Value> = Check::all()
        .iter()
        .map(|check| {
            json!({
                "id": check.code,
                "shortDescription": { "text": check.title },
                "help": { "text": check.page, "markdown": check.page },
                "defaultConfiguration": { "level": level(check.severity) },
            })
        })
        .collect();
    let found = report.findings.iter().map(|finding| result(finding, None));
    let held = report.suppressed.iter().map(|s| result(&s.finding, Some(s.reason.as_deref())));
    let results: Vec<Value> = found.chain(held).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "skopos rules check", "version": version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn result(finding: &Finding, suppression: Option<Option<&str>>) -> Value {
    let text = match &finding.hint {
        Some(hint) => format!("{}. {hint}", finding.message),
        None => finding.message.clone(),
    };
    let mut result = json!({
        "ruleId": finding.code,
        "ruleIndex": Check::all().iter().position(|check| check.code == finding.code),
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": finding.file.replace('\\', "/") },
                "region": {
                    "startLine": finding.line,
                    "startColumn": finding.column,
                    "endColumn": finding.column + finding.width,
                    "snippet": { "text": finding.snippet },
                },
            },
        }],
    });
    if let Some(reason) = suppression {
        result["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    result
}
