//! The checks there are, as data: one page a check in `rules/`, which says what it finds and why,
//! and whose examples are its test.
//!
//! A page begins with `# code: title`, then `Severity: …` and `Source: …`. Of its fenced blocks,
//! `yaml hit` must be found, `yaml clean` must not, `yaml suppressed` must be held back, and the
//! `text` block behind a hit is what is printed for it.

use std::sync::LazyLock;

use skopos_alerting::rules::nearest;

use crate::Severity;

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// `area/name`: the name that pint gives the check, where it has one.
    pub code: &'static str,
    /// What it finds, in a few words.
    pub title: &'static str,
    /// How much its findings weigh, unless a finding says otherwise.
    pub severity: Severity,
    /// Where it comes from.
    pub source: &'static str,
    /// The whole page, Markdown.
    pub page: &'static str,
}

macro_rules! pages {
    ($($path:literal)*) => { &[$(include_str!(concat!("../rules/", $path, ".md"))),*] };
}

const PAGES: &[&str] = pages![
    "alerts/annotation"
    "alerts/cause"
    "alerts/comparison"
    "alerts/for"
    "alerts/summary"
    "alerts/template"
    "alerts/threshold"
    "alerts/unit"
    "alerts/value"
    "group/interval"
    "lint/comment"
    "lint/unused"
    "promql/aggregate"
    "promql/counter"
    "promql/fragile"
    "promql/impossible"
    "promql/nan"
    "promql/regexp"
    "promql/selector"
    "promql/syntax"
    "rule/dependency"
    "rule/duplicate"
    "rule/for"
    "rule/label"
    "rule/name"
    "rule/owner"
    "rule/reject"
    "rule/report"
    "rule/schema"
    "runbook/escalation"
    "runbook/incomplete"
    "runbook/missing"
    "runbook/not-found"
    "runbook/owner"
    "runbook/unverified"
    "severity/missing"
    "severity/route"
    "severity/unknown"
    "slo/burn-alert"
    "slo/page"
    "yaml/parse"
];

static CHECKS: LazyLock<Vec<Check>> = LazyLock::new(|| PAGES.iter().map(|p| read(p)).collect());

impl Check {
    /// Every check, by code.
    pub fn all() -> &'static [Check] {
        &CHECKS
    }

    /// By code.
    pub fn find(code: &str) -> Option<&'static Check> {
        CHECKS.binary_search_by(|check| check.code.cmp(code)).ok().map(|at| &CHECKS[at])
    }

    /// The code that was probably meant.
    pub fn nearest(code: &str) -> Option<&'static str> {
        let by_name =
            || CHECKS.iter().find(|c| c.code.split_once('/').is_some_and(|(_, n)| n == code));
        nearest(code, CHECKS.iter().map(|c| c.code)).or_else(|| by_name().map(|c| c.code))
    }
}

/// Reads a page's head. The tests hold every page to its form.
fn read(page: &'static str) -> Check {
    let mut lines = page.lines();
    let head = lines.next().unwrap_or_default().trim_start_matches("# ");
    let (code, title) = head.split_once(": ").unwrap_or((head, ""));
    let field = |name: &str| page.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("").trim();
    let severity = Severity::from_name(field("Severity:")).unwrap_or(Severity::Error);
    Check { code, title, severity, source: field("Source:"), page }
}
