//! Runbooks: the pages that alerts link, and whether they help whoever is woken.
//!
//! A runbook is Markdown that answers the guide's five questions under headings of their own (many
//! usual names are known: "Meaning", "Diagnosis", "Mitigation" …), and names its owner in front matter
//! or in a line `Owner: …`. [`Runbook::parse`] reads it, [`Runbook::problems`] says what is
//! missing, [`blocks`] makes it a tree without any markup that a browser would run, and
//! [`skeleton`](skeleton()) begins one for an alert.

pub(crate) mod link;
mod owners;
mod parse;
mod places;
mod skeleton;
mod tree;

pub use owners::{Owners, OwnersError};
pub use places::{link_to, places};
pub use skeleton::{Begun, find_alert, skeleton, slug};
pub use tree::{Block, Inline, Item, blocks, steps};

use crate::{Check, Finding};

/// Largest page that is read, in bytes.
pub const MAX_PAGE_BYTES: usize = 256 << 10;

/// The guide's five questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// What does this mean?
    Meaning,
    /// User impact?
    Impact,
    /// First three diagnostic steps?
    Steps,
    /// Common causes and fixes?
    Causes,
    /// Escalation path?
    Escalation,
}

impl Question {
    /// All five, in the guide's order.
    pub const ALL: [Self; 5] =
        [Self::Meaning, Self::Impact, Self::Steps, Self::Causes, Self::Escalation];

    /// The heading that a new page gives it.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Meaning => "What does this mean?",
            Self::Impact => "User impact",
            Self::Steps => "First three diagnostic steps",
            Self::Causes => "Common causes and fixes",
            Self::Escalation => "Escalation path",
        }
    }

    /// The question that a heading asks, by the names in use.
    pub fn of_heading(heading: &str) -> Option<Self> {
        let words: Vec<String> = heading
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let has = |any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
        let begins = |any: &[&str]| words.first().is_some_and(|word| any.contains(&word.as_str()));
        Some(match () {
            () if has(&["escalation", "escalate", "escalations", "contacts", "contact"]) => {
                Self::Escalation
            }
            () if has(&["impact", "impacts", "consequences"]) => Self::Impact,
            () if has(&["causes", "cause", "fix", "fixes", "mitigation", "mitigate"])
                || has(&["mitigations", "remediation", "resolution", "solution", "solutions"]) =>
            {
                Self::Causes
            }
            () if has(&["diagnosis", "diagnostic", "diagnostics", "diagnose", "steps"])
                || has(&["investigation", "investigate", "troubleshooting", "triage"])
                || has(&["debugging", "debug", "checks"]) =>
            {
                Self::Steps
            }
            () if has(&["meaning", "mean", "means"])
                || begins(&["description", "overview", "summary", "about", "context"]) =>
            {
                Self::Meaning
            }
            () => return None,
        })
    }
}

/// A page that has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runbook {
    /// The first heading.
    pub title: Option<String>,
    /// Who owns it: front matter `owner`, or a line `Owner: …`.
    pub owner: Option<String>,
    /// Its answers.
    pub answers: Vec<Answer>,
    /// Who is named in front matter `escalation`.
    pub escalation: Vec<String>,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which question.
    pub question: Question,
    /// Line of its heading, from 1.
    pub line: usize,
    /// The heading as written.
    pub heading: String,
    /// What stands below it, without markup.
    pub text: String,
    /// List items below it, the outermost ones.
    pub items: usize,
}

/// What a page lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which check says so.
    pub code: &'static str,
    /// Line of the page, from 1.
    pub line: usize,
    /// What is missing.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Fewest diagnostic steps.
const STEPS: usize = 3;

impl Runbook {
    /// Reads a page.
    pub fn parse(markdown: &str) -> Self {
        parse::parse(markdown)
    }

    /// The answer to a question, when there is one that says something.
    pub fn answer(&self, question: Question) -> Option<&Answer> {
        self.answers.iter().find(|a| a.question == question && is_said(&a.text))
    }

    /// The questions without an answer.
    pub fn unanswered(&self) -> Vec<Question> {
        let escalates = !self.escalation.is_empty();
        let is_open = |question: &Question| {
            self.answer(*question).is_none() && !(*question == Question::Escalation && escalates)
        };
        Question::ALL.into_iter().filter(is_open).collect()
    }

    /// Everything that is missing; `owners` are those who exist, when that is known.
    pub fn problems(&self, owners: Option<&Owners>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |code, line, message: String, hint: String| {
            problems.push(Problem { code, line, message, hint });
        };
        for question in self.unanswered() {
            let empty = self.answers.iter().find(|answer| answer.question == question);
            let heading = question.heading();
            let message = match empty {
                Some(answer) => format!("nothing stands under {:?}", answer.heading),
                None => format!("no answer to \"{heading}\""),
            };
            let hint = format!("answer it under a heading such as `## {heading}`");
            problem("runbook/incomplete", empty.map_or(1, |answer| answer.line), message, hint);
        }
        if let Some(steps) = self.answer(Question::Steps)
            && steps.items < STEPS
        {
            let message = format!(
                "{:?} has {}, fewer than {STEPS}",
                steps.heading,
                crate::finding::count(steps.items, "step")
            );
            let hint = "list the first three things to look at, each with its query or command";
            problem("runbook/incomplete", steps.line, message, hint.into());
        }
        match (&self.owner, owners) {
            (None, _) => problem(
                "runbook/owner",
                1,
                "the page has no owner".into(),
                "write a line `Owner: team`, or `owner: team` in front matter".into(),
            ),
            (Some(owner), Some(owners)) if !owners.knows(owner) => {
                let hint = match owners.nearest(owner) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "add it to the file of owners, or name another".into(),
                };
                problem("runbook/owner", 1, format!("nobody knows the owner {owner:?}"), hint);
            }
            _ => {}
        }
        if let Some(owners) = owners {
            self.escalation_problems(owners, &mut problem);
        }
        problems
    }

    fn escalation_problems(
        &self,
        owners: &Owners,
        problem: &mut impl FnMut(&'static str, usize, String, String),
    ) {
        let section = self.answer(Question::Escalation);
        let line = section.map_or(1, |answer| answer.line);
        for name in self.escalation.iter().filter(|name| !owners.knows(name)) {
            let message = format!("nobody knows {name:?} to escalate to");
            problem("runbook/escalation", line, message, "add it to the file of owners".into());
        }
        let text = section.map_or("", |answer| answer.text.as_str());
        let named: Vec<&str> =
            owners.named_in(text).chain(owners.known(&self.escalation)).collect();
        if section.is_none() && self.escalation.is_empty() {
            return;
        }
        if named.is_empty() {
            let message = "the escalation path names nobody of the file of owners".into();
            problem(
                "runbook/escalation",
                line,
                message,
                "name a team or role that is in it".into(),
            );
        } else if owners.have_schedules() && !named.iter().any(|name| owners.is_on_call(name)) {
            let message = format!("of {} nobody has a schedule", named.join(", "));
            let hint = "escalate to somebody who can be reached: `schedule` in the file of owners";
            problem("runbook/escalation", line, message, hint.into());
        }
    }
}

/// Whether a text says something; one with a TODO in it is still being written.
fn is_said(text: &str) -> bool {
    let is_open = text.contains("TODO") || text.contains("TBD");
    !is_open && text.chars().filter(|c| c.is_alphanumeric()).count() >= 3
}

/// Checks a page by itself: findings with their place in it.
pub fn check(path: &str, markdown: &str, owners: Option<&Owners>) -> Vec<Finding> {
    let problems = Runbook::parse(markdown).problems(owners);
    let mut findings: Vec<Finding> = problems
        .into_iter()
        .map(|problem| {
            let line = markdown.lines().nth(problem.line.saturating_sub(1)).unwrap_or("");
            let line: String = line.chars().take(200).collect();
            Finding {
                code: problem.code,
                severity: Check::find(problem.code)
                    .map_or(crate::Severity::Warning, |c| c.severity),
                file: path.to_owned(),
                line: problem.line,
                column: 1,
                width: line.chars().count().max(1),
                group: None,
                rule: None,
                message: problem.message,
                hint: Some(problem.hint),
                snippet: line,
            }
        })
        .collect();
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// Where linked pages come from: files and the network are the caller's.
pub trait Pages {
    /// The page that the rule file `file` links as `link`, a path or an address that this knows a file
    /// for. `Ok(None)` when there is none; for an address that means that it is to be fetched.
    fn page(&self, file: &str, link: &str) -> Result<Option<String>, String>;

    /// What an address answers.
    fn fetch(&self, url: &str) -> Fetched;
}

/// What came of fetching a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Nobody asked for it: the network stays unused.
    NotAsked,
    /// It is there; the text when it is Markdown.
    Found(Option<String>),
    /// The server says that it is not, in these words.
    Missing(String),
    /// It cannot be told: no connection, a time-out, a refusal.
    Failed(String),
}

/// No files, no network.
#[derive(Clone, Copy, Debug)]
pub struct NoPages;

impl Pages for NoPages {
    fn page(&self, _file: &str, _link: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn fetch(&self, _url: &str) -> Fetched {
        Fetched::NotAsked
    }
}

/// Whether a link is an address rather than a path.
pub fn is_url(link: &str) -> bool {
    link.starts_with("http://") || link.starts_with("https://")
}

/// Reads arbitrary bytes as a page; for fuzzing. Lines lie in the page, links are harmless, and the tree
/// is no deeper than it may be.
pub fn fuzz_runbook(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.lines().count().max(1);
    let page = Runbook::parse(text);
    for answer in &page.answers {
        assert!((1..=lines).contains(&answer.line), "{answer:?} of {text:?}");
    }
    let owners = Owners::parse("a: {schedule: x}\nb:\n").unwrap_or_default();
    for finding in check("fuzz.md", text, Some(&owners)) {
        assert!((1..=lines).contains(&finding.line), "{finding:?}");
        let _ = finding.to_string();
    }
    tree::assert_harmless(&blocks(text));
}
