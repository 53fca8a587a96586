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

use std::collections::BTreeMap;
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

/// Where a finding stands.
pub(crate) struct Site<'a> {
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
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut edits: BTreeMap<String, Vec<(usize, Vec<Edit>)>> = BTreeMap::new();
    for at in 0..report.findings.len() {
        let finding = &report.findings[at];
        let Some((_, fixer)) = FIXERS.iter().find(|(code, _)| *code == finding.rule) else {
            continue;
        };
        let (Some(place), "finding") = (&finding.place, finding.verdict) else { continue };
        let Some(file) = repository.file(&place.path) else { continue };
        if !texts.contains_key(&finding.path) {
            let Some(text) = tree.read(&place.path).ok().and_then(|b| String::from_utf8(b).ok())
            else {
                continue;
            };
            texts.insert(finding.path.clone(), text);
        }
        let Some(text) = texts.get(&finding.path) else { continue };
        let range = place.span.start as usize..place.span.end as usize;
        if text.get(range).is_none() {
            continue;
        }
        let site = Site { file, text, span: place.span };
        let Some((safety, offered)) = fixer(&site).filter(|(_, edits)| is_sound(text, edits))
        else {
            continue;
        };
        let (path, is_trusted) = (finding.path.clone(), trusted.is_some_and(|most| safety <= most));
        report.findings[at].fix = Some(safety);
        if is_trusted {
            edits.entry(path).or_default().push((at, offered));
        }
    }
    let mut all = Vec::new();
    for (path, groups) in edits {
        let (Some(before), Some(file)) = (texts.remove(&path), repository.file(&path)) else {
            continue;
        };
        let mut taken: Vec<Edit> = Vec::new();
        let mut findings = 0;
        for (_, group) in groups {
            // The same edit asked for twice is one edit; two that overlap are not both made.
            let new: Vec<Edit> = group.into_iter().filter(|edit| !taken.contains(edit)).collect();
            if new.iter().any(|edit| taken.iter().any(|other| overlap(edit, other))) {
                continue;
            }
            let mut with = taken.clone();
            with.extend(new);
            if is_understood(file, &before, &apply(&before, &with)) {
                taken = with;
                findings += 1;
            }
        }
        let after = apply(&before, &taken);
        if after != before {
            all.push(Fixed { path, before, after, findings });
        }
    }
    all
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

fn overlap(a: &Edit, b: &Edit) -> bool {
    let is_before = |a: &Edit, b: &Edit| a.range.end <= b.range.start && a.range != b.range;
    !is_before(a, b) && !is_before(b, a)
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let (mut out, mut at) = (String::with_capacity(text.len() + 64), 0);
    for edit in sorted {
        out.push_str(text.get(at..edit.range.start).unwrap_or_default());
        out.push_str(&edit.text);
        at = edit.range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Whether a file is understood no less than before.
fn is_understood(file: &File, before: &str, after: &str) -> bool {
    if let Some(language) = file.language {
        let is_broken = |text: &str| language.extract(&file.path, text).broken.is_some();
        return !is_broken(after) || is_broken(before);
    }
    let read = |text: &str| {
        let read = files::read(&file.path, text);
        (read.problems.len(), read.documents.len())
    };
    let ((problems, documents), (now, still)) = (read(before), read(after));
    now <= problems && still >= documents
}
