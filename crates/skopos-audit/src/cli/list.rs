//! `--list-rules` and the page of all rules.

use std::fmt::Write as _;

use super::Format;
use crate::{Rule, fix};

/// Every rule, one a line, or as JSON.
pub(super) fn rules(format: Format) -> String {
    if matches!(format, Format::Json | Format::Ndjson) {
        let all: Vec<serde_json::Value> = Rule::all()
            .iter()
            .map(|rule| {
                serde_json::json!({
                    "rule": rule.code, "title": rule.title, "severity": rule.severity, "pillar": rule.pillar,
                    "guide": rule.guide, "judges": rule.judges, "preview": rule.preview,
                    "fixable": fix::rules().any(|code| code == rule.code),
                })
            })
            .collect();
        return match format {
            Format::Ndjson => all.iter().map(|rule| format!("{rule}\n")).collect(),
            _ => serde_json::to_string_pretty(&all).unwrap_or_default() + "\n",
        };
    }
    let mut out = String::new();
    for rule in Rule::all() {
        let mut notes = String::new();
        if rule.preview {
            notes.push_str(" (preview: only where it is selected)");
        }
        if fix::rules().any(|code| code == rule.code) {
            notes.push_str(" (has a fix)");
        }
        let (severity, pillar) = (rule.severity.as_str(), rule.pillar.as_str());
        let _ = writeln!(out, "{}  {severity:<9}  {pillar:<8}  {}{notes}", rule.code, rule.title);
    }
    out
}
