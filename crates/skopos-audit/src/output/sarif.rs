//! SARIF 2.1.0: the form in which code hosts and editors take findings.

use serde_json::{Value, json};

use crate::{FileProblem, Finding, Report, Rule, Severity};

/// The report as SARIF 2.1.0. What is held back is in it, marked as such; what is unknown is of kind `open`.
pub fn sarif(report: &Report, version: &str) -> Value {
    let rules: Vec<Value> = Rule::all()
        .iter()
        .map(|rule| {
            json!({
                "id": rule.code,
                "name": rule.title,
                "shortDescription": { "text": rule.title },
                "help": { "text": help(rule), "markdown": help(rule) },
                "defaultConfiguration": { "level": level(rule.severity) },
                "properties": { "severity": rule.severity, "pillar": rule.pillar, "guide": rule.guide },
            })
        })
        .collect();
    let found = report.findings.iter().map(|finding| result(finding, None));
    let held = report.suppressed.iter().map(|s| {
        let kind = if s.by == "comment" { "inSource" } else { "external" };
        let mut suppression = json!({ "kind": kind });
        if let Some(reason) = &s.reason {
            suppression["justification"] = json!(reason);
        }
        result(&s.finding, Some(suppression))
    });
    let results: Vec<Value> = found.chain(held).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "skopos audit", "version": version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "invocations": [invocation(report)],
            "results": results,
        }],
    })
}

/// What was not understood, left out, or holds nothing back.
fn invocation(report: &Report) -> Value {
    let notification = |path: &str, line: usize, text: &str| {
        let mut place = json!({ "artifactLocation": { "uri": uri(path) } });
        if line > 0 {
            place["region"] = json!({ "startLine": line });
        }
        json!({
            "level": "warning",
            "message": { "text": text },
            "locations": [{ "physicalLocation": place }],
        })
    };
    let of = |problems: &[FileProblem]| -> Vec<Value> {
        problems.iter().map(|p| notification(&p.path, p.line, &p.message)).collect()
    };
    let mut execution = of(&report.problems);
    let left_out = report.left_out.iter();
    execution
        .extend(left_out.map(|(path, why)| notification(path, 0, &format!("left out: {why}"))));
    json!({
        "executionSuccessful": true,
        "toolExecutionNotifications": execution,
        "toolConfigurationNotifications": of(&report.not_in_force),
    })
}

/// What a rule's page says to people; its cases are for the tests.
fn help(rule: &Rule) -> String {
    let parts = ["Why", "Fix", "Traps"].into_iter();
    let parts = parts.filter_map(|name| Some(format!("## {name}\n\n{}", rule.section(name)?)));
    parts.collect::<Vec<_>>().join("\n\n")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "note",
        Severity::Normal => "warning",
        Severity::Important | Severity::Critical => "error",
    }
}

fn result(finding: &Finding, suppression: Option<Value>) -> Value {
    let (kind, level) = match finding.verdict {
        "finding" => ("fail", level(finding.severity)),
        "mitigated" => ("informational", "none"),
        _ => ("open", "none"),
    };
    let mut text = finding.message.clone();
    for (what, value) in [("mitigated at", &finding.mitigated_at), ("settled by", &finding.settle)]
    {
        if let Some(value) = value {
            text.push_str(&format!(" ({what} {value})"));
        }
    }
    let mut region = json!({
        "startLine": finding.line,
        "startColumn": finding.column,
        "endColumn": finding.column + finding.width,
    });
    if !finding.snippet.is_empty() {
        region["snippet"] = json!({ "text": finding.snippet });
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": Rule::all().iter().position(|rule| rule.code == finding.rule),
        "kind": kind,
        "level": level,
        "message": { "text": text },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&finding.path) },
                "region": region,
            },
        }],
        "partialFingerprints": { "skoposAudit/v1": finding.fingerprint },
    });
    if let Some(service) = &finding.service {
        result["properties"] = json!({ "service": service });
    }
    if let Some(suppression) = suppression {
        result["suppressions"] = json!([suppression]);
    }
    result
}

/// A path as a relative reference: what an address must not hold is escaped.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'.'
            | b'-'
            | b'_'
            | b'~'
            | b'@'
            | b'+' => out.push(byte as char),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
