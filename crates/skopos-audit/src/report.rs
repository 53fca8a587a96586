//! The outcome of an audit.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::production::ProductionCheck;
use crate::score::Score;
use crate::service::Kind;
use crate::{Config, Language, Place, Safety, Severity};

/// Version of the report's JSON form.
pub const REPORT_VERSION: u32 = 1;

/// One thing that a rule has to say, ready to be shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The rule's code.
    pub rule: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// The file, from the root.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
    /// The service concerned; none for findings of the repository.
    pub service: Option<String>,
    /// `finding`, `mitigated` or `unknown`.
    pub verdict: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// For `mitigated`: where (`path:line`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigated_at: Option<String>,
    /// For `unknown`: what would settle it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<String>,
    /// Stays the same when lines move: for baselines.
    pub fingerprint: String,
    /// The line of the file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub snippet: String,
    /// Whether `--fix` can mend it, and how far that can be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Safety>,
    /// What the rule points at; none when something is absent.
    #[serde(skip)]
    pub place: Option<Place>,
}

impl Finding {
    /// What it is known by where the folder of its service has become another, as when one program becomes two: its rule,
    /// whether something is absent, the file and the text of the line that it points at or that shows the service.
    pub(crate) fn place_print(&self) -> String {
        let kind = if self.place.is_none() { "absent" } else { "there" };
        let what: Vec<&str> = self.snippet.split_whitespace().collect();
        let key = format!("{}\0{kind}\0{}\0{}", self.rule, self.path, what.join(" "));
        format!("{:016x}", xxh3_64(key.as_bytes()))
    }
}

/// A finding that a comment or the baseline holds back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suppressed {
    /// What would have been said.
    #[serde(flatten)]
    pub finding: Finding,
    /// `comment`, `configuration` or `baseline`.
    pub by: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A unit of the repository as it was judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// Its folder from the root; `.` for the root.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// What most of it is written in.
    pub language: Language,
    /// What shows it: `path:line: what`.
    pub evidence: Vec<String>,
    /// How many files were looked at.
    pub files: usize,
    /// Its score; none for what is not watched, or not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Why it was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<String>,
}

/// A file that could not be made out, wholly or in part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileProblem {
    /// The file.
    pub path: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What.
    pub message: String,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Files of the tree.
    pub files: usize,
    /// Code that was parsed.
    pub parsed: usize,
    /// Code that no literal of any rule occurs in.
    pub skipped: usize,
    /// Configuration files read.
    pub documents: usize,
    /// Taken from the cache.
    pub cached: usize,
    /// Facts found.
    pub facts: usize,
    /// Rules that judged.
    pub rules: usize,
}

/// The outcome of an audit.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Of the rules: scores compare only within one.
    pub rules_version: &'static str,
    /// What is wrong, what is mitigated and what cannot be told, in order of place.
    pub findings: Vec<Finding>,
    /// What comments and the baseline hold back.
    pub suppressed: Vec<Suppressed>,
    /// Every unit that was found.
    pub services: Vec<ServiceReport>,
    /// What could not be made out.
    pub problems: Vec<FileProblem>,
    /// Comments and acceptances that hold nothing back, and why.
    pub not_in_force: Vec<FileProblem>,
    /// The verdict of `--production-check`, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub production_check: Option<ProductionCheck>,
    /// What was left out, and why.
    pub left_out: Vec<(String, String)>,
    /// What was looked at.
    pub stats: Stats,
}

impl Report {
    /// Findings proper: neither mitigated nor unknown.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.verdict == "finding")
    }

    /// Holds back what rules say that the configuration leaves out; their scores and pillars stay as they are.
    pub(crate) fn hold_unselected(&mut self, config: &Config) {
        let is_asked = |finding: &Finding| config.is_selected(finding.rule);
        for finding in self.findings.extract_if(.., |finding| !is_asked(finding)) {
            // What is mitigated or cannot be told needs nobody to hold it back.
            if finding.verdict == "finding" {
                let reason = "the configuration leaves the rule out".to_owned();
                let (by, reason) = ("configuration", Some(reason));
                self.suppressed.push(Suppressed { finding, by, reason });
            }
        }
    }

    /// Puts every path below a folder: `prefix` ends with `/`, or is empty.
    pub(crate) fn below(&mut self, prefix: &str) {
        if prefix.is_empty() {
            return;
        }
        let all = self.findings.iter_mut();
        for finding in all.chain(self.suppressed.iter_mut().map(|s| &mut s.finding)) {
            put_below(prefix, &mut finding.path);
            if let Some(at) = &mut finding.mitigated_at {
                put_below(prefix, at);
            }
        }
        for problem in self.problems.iter_mut().chain(&mut self.not_in_force) {
            put_below(prefix, &mut problem.path);
        }
        for (path, _) in &mut self.left_out {
            put_below(prefix, path);
        }
    }
}

fn put_below(prefix: &str, path: &mut String) {
    // The folder itself.
    if path == "." {
        *path = prefix.trim_end_matches('/').to_owned();
    } else {
        path.insert_str(0, prefix);
    }
}
