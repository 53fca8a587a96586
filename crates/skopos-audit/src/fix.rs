//! Fixes: what of the findings a program can mend, as edits of text.
//!
//! A *safe* fix means the same to whoever runs the code (a list instead of a shell's line, the stack beside the message).
//! An *unsafe* one is what a person would most likely write, and may change what happens: it is to be read before it is
//! kept. A fix that would leave a file less understood than it was is not offered. Only findings are mended, never what is
//! held back, and only files of the tree that are still what was read.
//!
//! To add one: a function in `fix/` that looks at a [`Site`] and returns edits, and its row in [`FIXERS`].

mod code;
mod config;
mod diff;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::Path;

use serde::Serialize;

use crate::{File, Report, Repository, Span, Tree, files};

pub use diff::unified;

/// How far a fix can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Safety {
    /// Means the same.
    Safe,
    /// May mean something else: to be read first.
    Unsafe,
}

/// Text in place of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    range: Range<usize>,
    text: String,
}

impl Edit {
    fn new(range: Range<usize>, text: impl Into<String>) -> Self {
        Self { range, text: text.into() }
    }
}

/// A file with findings, and what was asked of it as a whole: once, however many findings it has.
pub(crate) struct Page<'a> {
    file: &'a File,
    text: String,
    asked: RefCell<BTreeMap<&'static str, Answer>>,
    functions: OnceCell<Vec<usize>>,
    alerts: OnceCell<HashSet<Span>>,
}

/// A name, and where it stands.
type Answer = Option<(String, usize)>;

impl<'a> Page<'a> {
    fn new(file: &'a File, text: String) -> Self {
        let (asked, functions, alerts) = Default::default();
        Self { file, text, asked, functions, alerts }
    }

    /// The answer to a question about the whole text.
    fn once(&self, question: &'static str, answer: impl FnOnce() -> Answer) -> Answer {
        self.asked.borrow_mut().entry(question).or_insert_with(answer).clone()
    }

    /// Where Go's functions begin.
    fn functions(&self) -> &[usize] {
        self.functions
            .get_or_init(|| self.text.match_indices("\nfunc ").map(|(at, _)| at).collect())
    }

    /// Where the names of alerts stand.
    fn alerts(&self) -> &HashSet<Span> {
        self.alerts.get_or_init(|| {
            let documents = self.file.documents.iter();
            let rules = documents.filter_map(|(_, document)| match document {
                files::Document::Rules(rules) => Some(rules),
                _ => None,
            });
            rules.flat_map(|rules| rules.alerts()).map(|alert| alert.name.span).collect()
        })
    }
}

/// Where a finding stands.
pub(crate) struct Site<'a> {
    page: &'a Page<'a>,
    file: &'a File,
    text: &'a str,
    span: Span,
}

impl<'a> Site<'a> {
    /// The bytes that the finding points at.
    fn range(&self) -> Range<usize> {
        self.span.start as usize..self.span.end as usize
    }

    /// What stands there.
    fn source(&self) -> &'a str {
        self.text.get(self.range()).unwrap_or_default()
    }

    /// The bytes of the line that it begins on, without the line break.
    fn line(&self) -> Range<usize> {
        let at = self.span.start as usize;
        let start = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        let end = self.text[at..].find('\n').map_or(self.text.len(), |n| at + n);
        start..end
    }
}

/// What a fixer offers.
type Offer = Option<(Safety, Vec<Edit>)>;

/// Looks at a finding and offers a fix.
type Fixer = fn(&Site<'_>) -> Offer;

/// Which rules' findings can be mended, and by what.
const FIXERS: &[(&str, Fixer)] = &[
    ("ALR002", config::hold),
    ("ALR010", config::perfect),
    ("COL001", config::limiter_first),
    ("LIF002", code::exit),
    ("LIF004", config::exec_form),
    ("LOG002", code::print),
    ("LOG004", code::json_lines),
    ("LOG005", code::arguments),
    ("LOG009", code::exception),
    ("LOG010", config::level),
    ("LOG011", config::debug_mode),
    ("SEC011", config::sql),
    ("TRC004", code::context),
    ("TRC007", code::batch),
];

/// The rules that have fixes.
pub fn rules() -> impl Iterator<Item = &'static str> {
    FIXERS.iter().map(|(code, _)| *code)
}

/// One file as it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// From the root.
    pub path: String,
    /// What was read.
    pub before: String,
    /// What is to be written.
    pub after: String,
    /// How many findings that mends.
    pub findings: usize,
}

/// Says of each finding whether it can be mended, and returns the files as they would be with every fix that is
/// `trusted`. Of fixes that overlap the first is taken: the next audit offers the other.
pub fn plan(
    tree: &dyn Tree,
    repository: &Repository,
    report: &mut Report,
    trusted: Option<Safety>,
) -> Vec<Fixed> {
    let mut pages: BTreeMap<String, Page<'_>> = BTreeMap::new();
    let mut offers: BTreeMap<String, Vec<Vec<Edit>>> = BTreeMap::new();
    for finding in &mut report.findings {
        let Some((_, fixer)) = FIXERS.iter().find(|(code, _)| *code == finding.rule) else {
            continue;
        };
        let (Some(place), "finding") = (&finding.place, finding.verdict) else { continue };
        if !pages.contains_key(&finding.path) {
            let text = tree.read(&place.path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let (Some(file), Some(text)) = (repository.file(&place.path), text) else { continue };
            pages.insert(finding.path.clone(), Page::new(file, text));
        }
        let Some(page) = pages.get(&finding.path) else { continue };
        let range = place.span.start as usize..place.span.end as usize;
        if page.text.get(range).is_none() {
            continue;
        }
        let site = Site { page, file: page.file, text: &page.text, span: place.span };
        let Some((safety, offer)) = fixer(&site).filter(|(_, edits)| is_sound(&page.text, edits))
        else {
            continue;
        };
        finding.fix = Some(safety);
        if trusted.is_some_and(|most| safety <= most) {
            offers.entry(finding.path.clone()).or_default().push(offer);
        }
    }
    let mut all = Vec::new();
    for (path, offers) in offers {
        let Some(page) = pages.remove(&path) else { continue };
        let mut taker = Taker::new(page.file, page.text);
        taker.take(&offers);
        let after = apply(&taker.before, &taker.taken);
        if after != taker.before {
            let (before, findings) = (taker.before, taker.findings);
            all.push(Fixed { path, before, after, findings });
        }
    }
    all
}

/// How often a file is read with some of its fixes, to find out which of them it takes.
const TRIALS: usize = 64;

/// Takes what is offered for one file, as long as the file is understood with it.
struct Taker<'a> {
    file: &'a File,
    before: String,
    understood: Understood,
    /// By range; none overlaps another.
    taken: Edits,
    findings: usize,
    trials: usize,
}

/// Edits by the range that they replace.
type Edits = BTreeMap<(usize, usize), String>;

impl<'a> Taker<'a> {
    fn new(file: &'a File, before: String) -> Self {
        let understood = Understood::of(file, &before);
        Self { file, before, understood, taken: Edits::new(), findings: 0, trials: 0 }
    }

    /// All of them at once; by halves, where the file is not understood with all. Each half sees what the first one took.
    fn take(&mut self, offers: &[Vec<Edit>]) {
        let mut with = self.taken.clone();
        let fitting: Vec<&Vec<Edit>> =
            offers.iter().filter(|offer| insert(&mut with, offer)).collect();
        if fitting.is_empty() || self.trials == TRIALS {
            return;
        }
        self.trials += 1;
        let after = Understood::of(self.file, &apply(&self.before, &with));
        if after.is_no_less_than(self.understood) {
            self.taken = with;
            self.findings += fitting.len();
        } else if offers.len() > 1 {
            let (first, rest) = offers.split_at(offers.len() / 2);
            self.take(first);
            self.take(rest);
        }
    }
}

/// Adds edits that overlap no other. The same edit asked for twice is one edit.
fn insert(edits: &mut Edits, offer: &[Edit]) -> bool {
    let key = |edit: &Edit| (edit.range.start, edit.range.end);
    let is_same = |edit: &Edit| edits.get(&key(edit)).is_some_and(|text| *text == edit.text);
    let new: Vec<&Edit> = offer.iter().filter(|edit| !is_same(edit)).collect();
    let fits = |edit: &&Edit| {
        let before = edits.range(..=key(edit)).next_back();
        let behind = edits.range(key(edit)..).next();
        before.is_none_or(|((_, end), _)| *end <= edit.range.start)
            && behind.is_none_or(|((start, _), _)| *start >= edit.range.end)
            && !edits.contains_key(&key(edit))
    };
    let fits_all = new.iter().all(fits);
    if fits_all {
        edits.extend(new.into_iter().map(|edit| (key(edit), edit.text.clone())));
    }
    fits_all
}

/// Writes a file, unless it is no longer what was read.
///
/// # Errors
/// What the file system says, or that it has changed meanwhile.
pub fn write(root: &Path, fixed: &Fixed) -> io::Result<()> {
    let path = root.join(&fixed.path);
    // What is a link now was none when it was listed.
    if !std::fs::symlink_metadata(&path)?.is_file()
        || std::fs::read_to_string(&path)? != fixed.before
    {
        return Err(io::Error::other("it has changed since it was read; nothing was written"));
    }
    std::fs::write(&path, &fixed.after)
}

fn is_sound(text: &str, edits: &[Edit]) -> bool {
    !edits.is_empty() && edits.iter().all(|edit| text.get(edit.range.clone()).is_some())
}

fn apply(text: &str, edits: &Edits) -> String {
    let (mut out, mut at) = (String::with_capacity(text.len() + 64), 0);
    for ((start, end), new) in edits {
        out.push_str(text.get(at..*start).unwrap_or_default());
        out.push_str(new);
        at = *end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// How much of a file is understood.
#[derive(Clone, Copy)]
struct Understood {
    is_broken: bool,
    problems: usize,
    documents: usize,
}

impl Understood {
    fn of(file: &File, text: &str) -> Self {
        if let Some(language) = file.language {
            let is_broken = language.extract(&file.path, text).broken.is_some();
            return Self { is_broken, problems: 0, documents: 0 };
        }
        let read = files::read(&file.path, text);
        Self { is_broken: false, problems: read.problems.len(), documents: read.documents.len() }
    }

    fn is_no_less_than(self, before: Self) -> bool {
        (!self.is_broken || before.is_broken)
            && self.problems <= before.problems
            && self.documents >= before.documents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, MemoryTree, audit_with, judge, read};

    fn edit(range: Range<usize>, text: &str) -> Edit {
        Edit::new(range, text)
    }

    #[test]
    fn edits_that_overlap_are_not_both_made() {
        let mut edits = Edits::new();
        assert!(insert(&mut edits, &[edit(4..8, "x"), edit(10..10, "y")]));
        assert!(insert(&mut edits, &[edit(4..8, "x")]), "the same once more");
        assert!(insert(&mut edits, &[edit(8..10, "z")]), "right behind, right before");
        for wrong in [edit(5..6, ""), edit(3..5, ""), edit(7..9, ""), edit(4..8, "other")] {
            assert!(!insert(&mut edits, std::slice::from_ref(&wrong)), "{wrong:?}");
        }
        assert!(!insert(&mut edits, &[edit(10..10, "other")]), "in which order?");
        assert!(!insert(&mut edits, &[edit(20..21, "ok"), edit(0..30, "")]), "all or none");
        assert_eq!(apply("0123456789ab", &edits), "0123xzyab");
    }

    #[test]
    fn one_fix_that_breaks_a_file_does_not_cost_the_others() {
        let text: String = (0..100).map(|n| format!("f{n}(1)\n")).collect();
        let tree = MemoryTree::of([("app.py", text.as_str())]);
        let (repository, _) = read(&tree, &Config::default(), crate::Means::default());
        let mut taker = Taker::new(&repository.files[0], text.clone());
        let offers: Vec<Vec<Edit>> = text
            .match_indices("(1)")
            .enumerate()
            .map(|(n, (at, _))| vec![edit(at..at + 3, if n == 42 { "((" } else { "(2)" })])
            .collect();
        taker.take(&offers);
        assert_eq!(taker.findings, 99);
        assert!(taker.trials < 20, "{} trials", taker.trials);
        assert_eq!(apply(&text, &taker.taken).matches("(2)").count(), 99);
    }

    /// What a rule finds eight times as often costs about eight times as much to mend: no file is read again for each.
    #[test]
    fn a_file_is_read_as_often_for_many_fixes_as_for_few() {
        let trials = |n: usize| {
            let mut text = "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n".to_owned();
            (0..n).for_each(|n| text.push_str(&format!("print('{n}')\n")));
            let tree = MemoryTree::of([("app.py", text.as_str())]);
            let (config, means) = (Config::default(), crate::Means::default());
            let (repository, stats) = read(&tree, &config, means);
            let mut report = judge(&tree, &repository, &config, None, stats);
            let fixed = plan(&tree, &repository, &mut report, Some(Safety::Unsafe));
            assert_eq!(fixed[0].findings, n, "{:?}", audit_with(&tree, &config, means).problems);
            let mut taker = Taker::new(&repository.files[0], text.clone());
            let offers: Vec<_> = text
                .match_indices("print(")
                .map(|(at, p)| vec![edit(at..at + p.len(), "log.info(")])
                .collect();
            taker.take(&offers);
            taker.trials
        };
        assert_eq!((trials(10), trials(80)), (1, 1));
    }
}
