//! What is wrong with a rule file, for humans and for programs.

use std::fmt;

use serde::Serialize;

/// One error with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleError {
    /// The file, as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
    /// What kind of error: a word of a closed set (`yaml`, `unknown-key`, `missing-key`, `value`,
    /// `promql`, `template`, `name`, `duplicate`, `conflict`; of objectives also `target`, `unfireable`).
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The offending line of the file.
    pub snippet: String,
}

impl fmt::Display for RuleError {
    /// Writes `file:line:column: error: message`, the line with carets beneath, and the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, .. } = self;
        writeln!(f, "{file}:{line}:{column}: error: {message}")?;
        let number = line.to_string();
        let blank = " ".repeat(number.len());
        // Tabs stay tabs, so that the carets stand under what they mean.
        let before = self.snippet.chars().take(column.saturating_sub(1));
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "  {number} | {}", self.snippet)?;
        write!(f, "  {blank} | {indent}{}", "^".repeat(self.width))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  {blank} = hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleError {}

/// The outcome of checking rule files; its `Display` is what `skopos rules check` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Files read.
    pub files: usize,
    /// Groups found; 0 when there are errors.
    pub groups: usize,
    /// Alerting rules found; 0 when there are errors.
    pub alerting_rules: usize,
    /// Recording rules found; 0 when there are errors.
    pub recording_rules: usize,
    /// Every error, in order of file and place.
    pub errors: Vec<RuleError>,
}

impl CheckReport {
    /// Loads the files and reports.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mut report = Self { files: files.len(), ..Self::default() };
        match super::load(files) {
            Err(errors) => report.errors = errors,
            Ok(set) => {
                report.groups = set.groups.len();
                let alerting = |rule: &&std::sync::Arc<super::Rule>| rule.alerting().is_some();
                let rules = || set.groups.iter().flat_map(|g| &g.rules);
                report.alerting_rules = rules().filter(alerting).count();
                report.recording_rules = set.rule_count() - report.alerting_rules;
            }
        }
        report
    }

    /// Whether the files may be loaded.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        for error in &self.errors {
            writeln!(f, "{error}\n")?;
        }
        let files = count(self.files, "file");
        if !self.is_ok() {
            return write!(f, "{} in {files}", count(self.errors.len(), "error"));
        }
        write!(
            f,
            "{files} ok: {}, {}, {}",
            count(self.groups, "group"),
            count(self.alerting_rules, "alerting rule"),
            count(self.recording_rules, "recording rule")
        )
    }
}
