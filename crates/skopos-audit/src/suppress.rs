//! Comments that hold findings back: `skopos-ignore[RULE]: reason`, on the line itself or on lines of comment above it;
//! `skopos-ignore-file[RULE]: reason` for a whole file. A reason is demanded; without one nothing is held back.

use crate::{File, Span};

/// What a comment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ignore {
    /// Codes or areas.
    pub(crate) codes: Vec<String>,
    /// Why; empty when none is given.
    pub(crate) reason: String,
    /// Whether it holds for the whole file.
    pub(crate) whole_file: bool,
    /// The comment.
    pub(crate) span: Span,
}

/// Reads a comment that speaks to us.
pub(crate) fn parse(span: Span, comment: &str) -> Option<Ignore> {
    let (_, rest) = comment.split_once("skopos-ignore")?;
    let (whole_file, rest) = match rest.strip_prefix("-file") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (codes, rest) = rest.strip_prefix('[')?.split_once(']')?;
    let codes = codes.split(',').map(|code| code.trim().to_owned()).filter(|c| !c.is_empty());
    let reason = rest.strip_prefix(':').unwrap_or("").trim();
    let reason = reason.trim_end_matches("*/").trim_end_matches("-->").trim().to_owned();
    Some(Ignore { codes: codes.collect(), reason, whole_file, span })
}

/// Whether a comment may hold back a finding at `at`, by rule and place.
pub(crate) fn covers(ignore: &Ignore, file: &File, code: &str, at: Span) -> bool {
    let names = |name: &String| {
        code.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    if ignore.reason.is_empty() || !ignore.codes.iter().any(names) {
        return false;
    }
    if ignore.whole_file {
        return true;
    }
    let comment = file.lines.line(ignore.span.start);
    let first = file.lines.line(at.start);
    let last = file.lines.line(at.end.max(at.start + 1) - 1);
    if (first..=last).contains(&comment) {
        return true;
    }
    // Above: every line between holds a comment of ours too, or the comment ends right above.
    let end = file.lines.line(ignore.span.end.max(1) - 1);
    let is_comment = |line: usize| {
        file.comments.iter().any(|(span, _)| {
            (file.lines.line(span.start)..=file.lines.line(span.end.max(1) - 1)).contains(&line)
        })
    };
    end < first && (end + 1..first).all(is_comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_needs_codes_and_a_reason() {
        let read = |text: &str| parse(Span::new(0, text.len()), text);
        let ignore = read("# skopos-ignore[LOG002, SEC]: a banner for people").unwrap();
        assert_eq!(ignore.codes, ["LOG002", "SEC"]);
        assert_eq!(ignore.reason, "a banner for people");
        assert!(read("/* skopos-ignore-file[LOG]: tool */").unwrap().whole_file);
        assert_eq!(read("/* skopos-ignore[LOG]: tool */").unwrap().reason, "tool");
        assert_eq!(read("# skopos-ignore[LOG002]").unwrap().reason, "");
        assert_eq!(read("# skopos-ignore LOG002"), None);
        assert_eq!(read("# nothing"), None);
    }
}
