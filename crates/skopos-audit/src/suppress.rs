//! Comments that hold findings back: `skopos-ignore[RULE]: reason`, on the line itself or on lines of comment above it;
//! `skopos-ignore-file[RULE]: reason` for a whole file. A reason is demanded; without one nothing is held back.
//!
//! A comment behind code holds for its own line; one that stands alone holds for the first line below that is no comment.
//! What was meant to hold something back and does not is told, with what is wrong: see [`crate::Report::not_in_force`]. A
//! mention in backticks or quotes is not meant.
//!
//! Comments are brought into order by line once a file: a finding asks for its own lines, however many comments there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::{File, Rule, Span};

/// The word that speaks to us.
const WORD: &str = "skopos-ignore";

/// What a comment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ignore {
    /// Codes or areas that there are.
    pub(crate) codes: Vec<String>,
    /// Why; never empty.
    pub(crate) reason: String,
    /// Whether it holds for the whole file.
    pub(crate) whole_file: bool,
    /// The comment.
    pub(crate) span: Span,
}

/// A comment that speaks to us: what holds of it, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) ignore: Option<Ignore>,
    pub(crate) wrong: Option<String>,
}

/// Reads a comment; none when it does not speak to us.
pub(crate) fn parse(span: Span, comment: &str) -> Option<Said> {
    let at = comment.find(WORD)?;
    let (before, rest) = (&comment[..at], &comment[at + WORD.len()..]);
    let is_code = before.matches('`').count() % 2 == 1;
    if is_code || before.ends_with(['"', '\'']) {
        return None;
    }
    let (whole_file, rest) = match rest.strip_prefix("-file") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let word = if whole_file { "skopos-ignore-file" } else { WORD };
    let wrong = |what: String| Some(Said { ignore: None, wrong: Some(what) });
    let Some(rest) = rest.strip_prefix('[') else {
        // Prose about such comments; a comment that begins with the word is meant to be one.
        let is_meant = before.chars().all(|c| !c.is_alphanumeric())
            && (rest.is_empty() || rest.starts_with([':', '(', ' ', '\t', '*']));
        return if is_meant {
            wrong(format!("`{word}` names no rule: write `{word}[RULE]: reason`"))
        } else {
            None
        };
    };
    let Some((codes, rest)) = rest.split_once(']') else {
        return wrong(format!("`{word}[` is not closed: write `{word}[RULE]: reason`"));
    };
    let named: Vec<&str> = codes.split(',').map(str::trim).filter(|c| !c.is_empty()).collect();
    let shown = named.join(",");
    let (known, unknown): (Vec<&str>, Vec<&str>) =
        named.into_iter().partition(|code| Rule::is_named(code));
    let reason = rest.strip_prefix(':').unwrap_or("").trim();
    let reason = reason.trim_end_matches("*/").trim_end_matches("-->").trim();
    if shown.is_empty() {
        return wrong(format!("`{word}[]` names no rule: write `{word}[RULE]: reason`"));
    }
    if reason.is_empty() {
        return wrong(format!("`{word}[{shown}]` has no reason: write `{word}[{shown}]: reason`"));
    }
    let wrong = (!unknown.is_empty()).then(|| {
        let unknown = unknown.join("`, `");
        format!("`{word}`: there is no rule `{unknown}`; `skopos audit --list-rules` lists them")
    });
    let ignore = (!known.is_empty()).then(|| Ignore {
        codes: known.into_iter().map(str::to_owned).collect(),
        reason: reason.to_owned(),
        whole_file,
        span,
    });
    Some(Said { ignore, wrong })
}

/// The comments of one file that hold findings back, by the lines for which they do.
#[derive(Debug, Default)]
pub(crate) struct Ignores {
    all: Vec<Ignore>,
    whole_file: Vec<usize>,
    /// By the line that a comment begins on.
    on: BTreeMap<usize, Vec<usize>>,
    /// By the line below comments that stand alone.
    above: BTreeMap<usize, Vec<usize>>,
}

impl Ignores {
    /// Of a file with its text; also what is wrong with the others, by line.
    pub(crate) fn of(file: &File, text: &str) -> (Self, Vec<(usize, String)>) {
        let mut wrong = Vec::new();
        let mut ignores = Self::default();
        let lines = |span: &Span| {
            file.lines.line(span.start)..=file.lines.line(span.end.max(span.start + 1) - 1)
        };
        let mut of_comment = BTreeSet::new();
        let (mut standing_alone, mut passed) = (Vec::new(), None);
        for (span, comment) in &file.comments {
            let at = lines(span);
            let start = file.lines.start(*at.start()).unwrap_or(0) as usize;
            let before = text.get(start..span.start as usize).unwrap_or_default();
            let is_alone = before.trim().is_empty();
            if is_alone {
                of_comment.extend(at.clone());
            }
            // Rust's documentation is a comment within a comment.
            let is_inner = passed.is_some_and(|outer: Span| outer.contains(*span));
            passed = if is_inner { passed } else { Some(*span) };
            let Some(said) = parse(*span, comment).filter(|_| !is_inner) else { continue };
            wrong.extend(said.wrong.map(|what| (*at.start(), what)));
            let Some(ignore) = said.ignore else { continue };
            let index = ignores.all.len();
            if ignore.whole_file {
                ignores.whole_file.push(index);
            } else {
                ignores.on.entry(*at.start()).or_default().push(index);
                if is_alone {
                    standing_alone.push((*at.end(), index));
                }
            }
            ignores.all.push(ignore);
        }
        if file.language.is_none() {
            // Of files of configuration only the comments that speak to us are kept.
            let is_comment = |(_, line): &(usize, &str)| line.trim_start().starts_with('#');
            of_comment.extend(text.lines().enumerate().filter(is_comment).map(|(n, _)| n + 1));
        }
        // From below, so that a block of comments is passed once.
        standing_alone.sort_unstable_by(|a, b| b.cmp(a));
        let mut known: Option<(usize, usize)> = None;
        for (end, index) in standing_alone {
            let mut line = end + 1;
            while of_comment.contains(&line) {
                line = match known {
                    Some((from, to)) if from == line => to,
                    _ => line + 1,
                };
            }
            known = Some((end, line));
            ignores.above.entry(line).or_default().push(index);
        }
        (ignores, wrong)
    }

    /// The comment that holds back what a rule says of these lines: its number.
    pub(crate) fn covering(&self, code: &str, lines: RangeInclusive<usize>) -> Option<usize> {
        let names = |at: &&usize| {
            self.all[**at].codes.iter().any(|name| {
                code.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        let first = *lines.start();
        let on = || self.on.range(lines).flat_map(|(_, all)| all);
        let above = || self.above.get(&first).into_iter().flatten();
        on().find(names)
            .or_else(|| above().find(names))
            .or_else(|| self.whole_file.iter().find(names))
            .copied()
    }

    /// Every one, by number.
    pub(crate) fn all(&self) -> &[Ignore] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, MemoryTree, audit};

    fn read(text: &str) -> Said {
        parse(Span::new(0, text.len()), text).unwrap_or_default()
    }

    #[test]
    fn a_comment_needs_codes_and_a_reason() {
        let ignore = read("# skopos-ignore[LOG002, SEC]: a banner for people").ignore.unwrap();
        assert_eq!(ignore.codes, ["LOG002", "SEC"]);
        assert_eq!(ignore.reason, "a banner for people");
        assert!(read("/* skopos-ignore-file[LOG]: tool */").ignore.unwrap().whole_file);
        assert_eq!(read("/* skopos-ignore[LOG]: tool */").ignore.unwrap().reason, "tool");
        assert_eq!(read("# noqa: T201 skopos-ignore[log002]: x").ignore.unwrap().codes, ["log002"]);
        for silent in [
            "# nothing",
            "# write `skopos-ignore[LOG002]`",
            "# comments of skopos-ignore's kind",
            "# see skopos-ignore",
            "/// Comments: `# skopos-ignore[…]: …`, and XML's.",
            "# skopos-ignored before",
        ] {
            assert_eq!(read(silent), Said::default(), "{silent}");
        }
        for (comment, why) in [
            ("# skopos-ignore[LOG002]", "has no reason"),
            ("# skopos-ignore[LOG002] a banner", "has no reason"),
            ("/* skopos-ignore[LOG002]: */", "has no reason"),
            ("# skopos-ignore LOG002", "names no rule"),
            ("# skopos-ignore: a banner", "names no rule"),
            ("# skopos-ignore", "names no rule"),
            ("# skopos-ignore[]: a banner", "names no rule"),
            ("# skopos-ignore[LOG002: a banner", "is not closed"),
            ("# skopos-ignore[LOG999]: a banner", "there is no rule `LOG999`"),
            ("# skopos-ignore[L]: a banner", "there is no rule `L`"),
        ] {
            let said = read(comment);
            assert!(said.ignore.is_none(), "{comment}");
            assert!(said.wrong.is_some_and(|wrong| wrong.contains(why)), "{comment}");
        }
        let half = read("# skopos-ignore[LOG002,LOG999]: a banner");
        assert!(half.wrong.is_some() && half.ignore.unwrap().codes == ["LOG002"]);
    }

    #[test]
    fn a_comment_holds_for_its_line_or_for_the_line_below() {
        let app = "from fastapi import FastAPI\napp = FastAPI()\n\
            print('a')  # skopos-ignore[LOG002]: behind\n\
            print('b')\n\
            # skopos-ignore[LOG002]: above\n\
            # and more of the reason\n\
            print('c')\n\
            print('d')\n\
            # skopos-ignore[LOG002]: too far away\n\
            \n\
            print('e')\n";
        let config = Config { select: vec!["LOG002".into()], ..Config::default() };
        let report = audit(&MemoryTree::of([("app.py", app)]), &config);
        let found: Vec<usize> = report.failures().map(|finding| finding.line).collect();
        assert_eq!(found, [4, 8, 11]);
        let held: Vec<_> = report.suppressed.iter().map(|s| s.reason.as_deref()).collect();
        assert_eq!(held, [Some("behind"), Some("above")]);
        let idle: Vec<_> = report.not_in_force.iter().map(|p| (p.line, &*p.message)).collect();
        assert!(
            matches!(idle.as_slice(), [(9, why)] if why.contains("nothing to hold back")),
            "{idle:?}"
        );
    }
}
