//! What came out: for people (`Display`), for programs (serde) and for CI systems (JUnit).

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;
use skopos_model::{Labels, SampleValue};
use skopos_promql::format_value;
use skopos_promql::promqltest::{Store, write_histogram};

use super::file::FiringAlert;
use crate::rules::RuleError;

/// An alert or a sample, as lines.
pub(super) type Item = Vec<String>;

/// What a test file came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The test file, as given.
    pub file: String,
    /// What is wrong with the test file or its rule files; then nothing ran.
    pub errors: Vec<RuleError>,
    /// Patterns without a file.
    pub warnings: Vec<String>,
    /// The test groups that ran.
    pub groups: Vec<GroupReport>,
    /// Test groups that were not asked for.
    pub skipped: usize,
    /// Alerts of the rule files that fired in no test.
    pub never_fired: Vec<String>,
    /// Alerts that did not resolve after firing in any test.
    pub never_resolved: Vec<String>,
}

/// What a test group came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupReport {
    /// Its name; `unnamed#0` and so on where it has none.
    pub name: String,
    /// Where it stands in the test file, from 1.
    pub line: usize,
    /// Its alert tests.
    pub alert_tests: usize,
    /// Its query tests.
    pub expr_tests: usize,
    /// What is not as expected.
    pub failures: Vec<Failure>,
    /// Every series at the end, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dump: Option<Vec<String>>,
}

/// One difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Line in the test file, from 1.
    pub line: usize,
    /// What was tested, and when.
    pub what: String,
    /// What the test expects, each alert or sample as lines.
    pub expected: Vec<Vec<String>>,
    /// What there was.
    pub got: Vec<Vec<String>>,
    /// Why nothing could be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What may be behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl FileReport {
    /// Whether everything was as expected.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty() && self.groups.iter().all(|group| group.failures.is_empty())
    }
}

impl Failure {
    /// Writes the difference with the file's name. `as_diff` leaves out what is equal.
    pub fn render(&self, file: &str, as_diff: bool) -> String {
        let mut out = format!("{file}:{}: {}\n", self.line, self.what);
        if let Some(message) = &self.message {
            let _ = writeln!(out, "    error: {message}");
        } else if as_diff {
            out.push_str(&diff(&self.expected.concat(), &self.got.concat()));
        } else {
            for (title, items) in [("expected", &self.expected), ("got", &self.got)] {
                if items.is_empty() {
                    let _ = writeln!(out, "    {title}: nothing");
                    continue;
                }
                let _ = writeln!(out, "    {title}:");
                for line in items.iter().flatten() {
                    let _ = writeln!(out, "      {line}");
                }
            }
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "    hint: {hint}");
        }
        out
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "{}: warning: {warning}", self.file)?;
        }
        for error in &self.errors {
            writeln!(f, "{error}")?;
        }
        for failure in self.groups.iter().flat_map(|group| &group.failures) {
            f.write_str(&failure.render(&self.file, false))?;
        }
        Ok(())
    }
}

pub(super) fn alert_items(alerts: &[FiringAlert]) -> Vec<Item> {
    let item = |alert: &FiringAlert| {
        let mut lines = vec![format!("{{{}}}", pairs(&alert.labels))];
        let annotations = alert.annotations.iter();
        lines.extend(annotations.map(|(name, value)| format!("  {name}: {value:?}")));
        lines
    };
    alerts.iter().map(item).collect()
}

pub(super) fn sample_items(samples: &[(Labels, SampleValue)]) -> Vec<Item> {
    samples.iter().map(|(labels, value)| vec![format!("{labels} {}", show(value))]).collect()
}

fn show(value: &SampleValue) -> String {
    match value {
        value if value.is_stale() => "stale".into(),
        SampleValue::Float(value) => format_value(*value),
        SampleValue::Histogram(value) => write_histogram(value),
    }
}

fn pairs(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
    pairs.join(", ")
}

/// Every series: labels, then `value@seconds since the start`.
pub(super) fn dump(store: &Store, start_ms: i64) -> Vec<String> {
    let line = |(labels, samples): (&Labels, &BTreeMap<i64, SampleValue>)| {
        let mut line = labels.to_string();
        for (at, value) in samples {
            let seconds = at.saturating_sub(start_ms) as f64 / 1000.0;
            let _ = write!(line, " {}@{seconds}", show(value));
        }
        line
    };
    store.series().map(line).collect()
}

/// Lines that only one side has: `-` for what is missing, `+` for what is too much.
fn diff(expected: &[String], got: &[String]) -> String {
    // Lengths of the longest common part of what follows each pair of lines.
    let mut common = vec![vec![0usize; got.len() + 1]; expected.len() + 1];
    for (i, want) in expected.iter().enumerate().rev() {
        for (j, found) in got.iter().enumerate().rev() {
            common[i][j] = if want == found {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut equal) = (0, 0, 0);
    let mut out = String::new();
    while i < expected.len() || j < got.len() {
        if i < expected.len() && j < got.len() && expected[i] == got[j] {
            (i, j, equal) = (i + 1, j + 1, equal + 1);
        } else if j == got.len() || i < expected.len() && common[i + 1][j] >= common[i][j + 1] {
            let _ = writeln!(out, "    - {}", expected[i]);
            i += 1;
        } else {
            let _ = writeln!(out, "    + {}", got[j]);
            j += 1;
        }
    }
    if equal > 0 {
        let _ = writeln!(out, "      ({equal} lines are equal)");
    }
    out
}

/// The reports in JUnit's XML: a suite per file, a case per test group.
pub fn junit(reports: &[FileReport]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for report in reports {
        let broken = usize::from(!report.errors.is_empty());
        let failed = report.groups.iter().filter(|group| !group.failures.is_empty()).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"{broken}\" skipped=\"{}\">",
            escape(&report.file),
            report.groups.len() + broken,
            report.skipped
        );
        if broken > 0 {
            let texts: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                out,
                "    <testcase name=\"load\"><error message=\"cannot be loaded\">{}</error></testcase>",
                escape(&texts.join("\n"))
            );
        }
        for group in &report.groups {
            let _ = write!(out, "    <testcase name=\"{}\">", escape(&group.name));
            for failure in &group.failures {
                let text = failure.render(&report.file, false);
                let (what, text) = (escape(&failure.what), escape(&text));
                let _ = write!(out, "<failure message=\"{what}\">{text}</failure>");
            }
            out.push_str("</testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// XML text; what XML cannot say becomes a replacement character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_leaves_out_what_is_equal() {
        let lines = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let text = diff(&lines("a b c d"), &lines("a x c d e"));
        assert_eq!(text, "    - b\n    + x\n    + e\n      (3 lines are equal)\n");
        assert_eq!(diff(&[], &lines("a")), "    + a\n");
    }

    #[test]
    fn junit_escapes_what_users_wrote() {
        let failure = Failure { line: 3, what: "alert <A> & \"B\"".into(), ..Failure::default() };
        let group =
            GroupReport { name: "g".into(), failures: vec![failure], ..GroupReport::default() };
        let report =
            FileReport { file: "t.yml".into(), groups: vec![group], ..FileReport::default() };
        let xml = junit(&[report]);
        assert!(xml.contains("failures=\"1\""), "{xml}");
        assert!(xml.contains("alert &lt;A&gt; &amp; &quot;B&quot;"), "{xml}");
    }
}
