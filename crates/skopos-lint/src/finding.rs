//! What a check says: one finding with its place, and the report of a run.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong with the rule as it stands.
    Info,
    /// Probably not what was meant, or against the guide.
    Warning,
    /// Wrong: the rule does not load, or cannot do what it is for.
    Error,
}

impl Severity {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Error].into_iter().find(|s| s.as_str() == name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that a check has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check: `area/name`, stable.
    pub code: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// The file, as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
    /// The rule group concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The alert or recorded metric concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line of the file.
    pub snippet: String,
}

impl fmt::Display for Finding {
    /// Writes `file:line:column: severity[code]: message`, the line with carets beneath, and the
    /// hint. Control characters of the file are shown, not obeyed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, severity, code, message, .. } = self;
        let message = visible(message);
        writeln!(f, "{}:{line}:{column}: {severity}[{code}]: {message}", visible(file))?;
        let number = line.to_string();
        let blank = " ".repeat(number.len());
        // Tabs stay tabs, so that the carets stand under what they mean.
        let before = self.snippet.chars().take(column.saturating_sub(1));
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "  {number} | {}", visible(&self.snippet))?;
        write!(f, "  {blank} | {indent}{}", "^".repeat(self.width))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  {blank} = hint: {}", visible(hint))?;
        }
        Ok(())
    }
}

/// The same text, one character for one, without any that a terminal obeys.
fn visible(text: &str) -> String {
    let obeyed = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// A finding that a comment holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suppressed {
    /// What would have been said.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why it is held back; pint's comments give no reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The outcome of checking rule files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files read.
    pub files: usize,
    /// Groups found.
    pub groups: usize,
    /// Alerting rules found.
    pub alerting_rules: usize,
    /// Recording rules found.
    pub recording_rules: usize,
    /// Every finding, in order of file and place.
    pub findings: Vec<Finding>,
    /// What comments hold back.
    pub suppressed: Vec<Suppressed>,
}

impl Report {
    /// How many findings weigh as much.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }

    /// How many findings there are of each code.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(finding.code).or_insert(0) += 1;
        }
        counts
    }

    /// Whether nothing weighs as much as `severity` or more.
    pub fn is_below(&self, severity: Severity) -> bool {
        self.findings.iter().all(|f| f.severity < severity)
    }

    /// Findings of at least this weight as text, then what was hidden, then the summary in one line.
    pub fn render(&self, least: Severity) -> String {
        let mut out = String::new();
        for finding in self.findings.iter().filter(|f| f.severity >= least) {
            let _ = writeln!(out, "{finding}\n");
        }
        let mut hidden: BTreeMap<&str, usize> = BTreeMap::new();
        for finding in self.findings.iter().filter(|f| f.severity < least) {
            *hidden.entry(finding.code).or_insert(0) += 1;
        }
        if !hidden.is_empty() {
            let each: Vec<String> = hidden.iter().map(|(code, n)| format!("{n} {code}")).collect();
            let _ =
                writeln!(out, "not shown: {} (--min-severity info shows them)", each.join(", "));
        }
        let _ = writeln!(out, "{}", self.summary());
        out
    }

    /// The summary in one line.
    pub fn summary(&self) -> String {
        let mut parts = vec![
            count(self.groups, "group"),
            count(self.alerting_rules, "alerting rule"),
            count(self.recording_rules, "recording rule"),
        ];
        let what = parts.join(", ");
        parts.clear();
        for severity in [Severity::Error, Severity::Warning, Severity::Info] {
            let n = self.count(severity);
            match severity {
                Severity::Info if n == 0 => {}
                Severity::Info => parts.push(format!("{n} info")),
                _ => parts.push(count(n, severity.as_str())),
            }
        }
        if !self.suppressed.is_empty() {
            parts.push(format!("{} suppressed", self.suppressed.len()));
        }
        format!("{} ({what}): {}", count(self.files, "file"), parts.join(", "))
    }
}

pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
