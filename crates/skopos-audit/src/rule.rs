//! The rules there are, as data: one page a rule in `rules/`, whose examples are its tests, and one function that judges.
//!
//! A page begins with `# CODE: title`, then lines `Severity:`, `Pillar:`, `Guide:`, `Judges:`. Its sections whose heading
//! begins with `Hit`, `Clean`, `Mitigated`, `Unknown` or `Suppressed` are test cases: every fenced block with
//! `file=PATH` behind its language is a file of a repository, and the `text` block of a case is what is said of it. `## Why`,
//! `## Fix` and `## Traps` are for people.
//!
//! To add a rule: the page `rules/CODE.md` with at least three cases; a judge `fn(&Case<'_>, &mut Verdicts)` in
//! `src/rules/<area>.rs`; a line in `src/rules.rs`.

use std::fmt;
use std::sync::LazyLock;

use serde::Serialize;

use crate::service::Kind;
use crate::{Case, Verdicts};

/// How much a rule weighs in the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing: 10.
    Low,
    /// Should be mended: 20.
    Normal,
    /// Costs dearly in an incident: 30.
    Important,
    /// Blind, or leaking: 40.
    Critical,
}

impl Severity {
    /// Every one, lightest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::Important, Self::Critical];

    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::Important => "important",
            Self::Critical => "critical",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }

    /// What it counts in the score.
    pub fn weight(self) -> u32 {
        match self {
            Self::Low => 10,
            Self::Normal => 20,
            Self::Important => 30,
            Self::Critical => 40,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The part of observability that a rule belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pillar {
    /// Structured logging.
    Logs,
    /// Metrics.
    Metrics,
    /// Tracing and propagation.
    Tracing,
    /// Health checks and life cycle.
    Health,
    /// Alerting and objectives.
    Alerting,
    /// Nothing leaks.
    Safety,
}

impl Pillar {
    /// Every one, in the order of the guide.
    pub const ALL: [Self; 6] =
        [Self::Logs, Self::Metrics, Self::Tracing, Self::Health, Self::Alerting, Self::Safety];

    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Tracing => "tracing",
            Self::Health => "health",
            Self::Alerting => "alerting",
            Self::Safety => "safety",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pillar| pillar.as_str() == name)
    }

    /// How many of a service's hundred points are its own.
    pub fn points(self) -> u32 {
        match self {
            Self::Logs | Self::Metrics => 20,
            Self::Tracing | Self::Health | Self::Alerting | Self::Safety => 15,
        }
    }
}

/// Judges one service, or the repository when [`Case::service`] is none.
pub type Judge = fn(&Case<'_>, &mut Verdicts);

/// A rule.
#[derive(Clone, Copy)]
pub struct Rule {
    /// `LOG001`, stable.
    pub code: &'static str,
    /// What it finds, in a few words.
    pub title: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// Where it counts.
    pub pillar: Pillar,
    /// The entries of the guide's tables that it serves (`D1`, `A3`).
    pub guide: &'static str,
    /// Whom it judges: kinds of services, or `repository`.
    pub judges: &'static str,
    /// Judges only where it is selected by its code: how often it is right is not known yet.
    pub preview: bool,
    /// The whole page, Markdown.
    pub page: &'static str,
    /// The judge.
    pub judge: Judge,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let mut rules: Vec<Rule> =
        crate::rules::TABLE.iter().map(|(page, judge)| read(page, *judge)).collect();
    rules.sort_by_key(|rule| rule.code);
    rules
});

impl Rule {
    /// Every rule, by code.
    pub fn all() -> &'static [Rule] {
        &RULES
    }

    /// By code, in any case.
    pub fn find(code: &str) -> Option<&'static Rule> {
        RULES.iter().find(|rule| rule.code.eq_ignore_ascii_case(code))
    }

    /// Whether a text names a rule or an area (`SEC001`, `log`).
    pub fn is_named(text: &str) -> bool {
        RULES.iter().any(|rule| {
            rule.code.eq_ignore_ascii_case(text) || rule.area().eq_ignore_ascii_case(text)
        })
    }

    /// The letters of its code: `LOG`, `SEC`.
    pub fn area(&self) -> &'static str {
        self.code.trim_end_matches(|c: char| c.is_ascii_digit())
    }

    /// Whether it judges the repository as a whole.
    pub fn judges_repository(&self) -> bool {
        self.judges == "repository"
    }

    /// Whether it judges services of this kind.
    pub fn judges_kind(&self, kind: Kind) -> bool {
        self.judges.split(", ").any(|name| name == kind.as_str())
    }

    /// The text of a section of its page (`Why`, `Fix`, `Traps`), without the heading.
    pub fn section(&self, heading: &str) -> Option<&'static str> {
        let start = self.page.find(&format!("\n## {heading}\n"))?;
        let text = &self.page[start + heading.len() + 5..];
        Some(text.split("\n## ").next().unwrap_or(text).trim())
    }
}

/// Reads a page's head. The tests hold every page to its form.
fn read(page: &'static str, judge: Judge) -> Rule {
    let head = page.lines().next().unwrap_or_default().trim_start_matches("# ");
    let (code, title) = head.split_once(": ").unwrap_or((head, ""));
    let field = |name: &str| page.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("").trim();
    Rule {
        code,
        title,
        severity: Severity::from_name(field("Severity:")).unwrap_or(Severity::Critical),
        pillar: Pillar::from_name(field("Pillar:")).unwrap_or(Pillar::Safety),
        guide: field("Guide:"),
        judges: field("Judges:"),
        preview: field("Preview:") == "yes",
        page,
        judge,
    }
}
