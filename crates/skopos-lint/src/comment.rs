//! Comments that speak to the checks.
//!
//! ```yaml
//! # skopos:ignore CODE reason          this rule, or the next one below the comment
//! # skopos:ignore-file CODE reason     the whole file
//! # pint disable CODE                  pint's comments mean here what they mean there:
//! # pint file/disable CODE             disable, snooze DATE, their file/ forms, rule/owner and file/owner
//! ```
//!
//! A comment belongs to the rule whose lines it stands in, else to the next rule; above the first rule of
//! a group it holds for the group as well. Ours needs a reason, or it holds nothing back. `area/*`
//! stands for every code of an area.

use std::ops::Range;

/// What a comment asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Hold findings back.
    Ignore {
        code: String,
        /// Absent in pint's comments, and where it is missing in ours.
        reason: Option<String>,
        whole_file: bool,
        /// Whether it is ours, which must say why.
        is_ours: bool,
        /// Until when (`YYYY-MM-DD…`), for `pint snooze`.
        until: Option<String>,
    },
    /// Who owns the rule or file.
    Owner { name: String, whole_file: bool },
    /// Begins with `skopos:` and is nothing that is known.
    Unknown(String),
}

/// One comment and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) ask: Ask,
    pub(crate) span: Range<usize>,
}

impl Ask {
    /// Whether it speaks of this code.
    pub(crate) fn names(code: &str, wanted: &str) -> bool {
        match wanted.strip_suffix("/*") {
            Some(area) => code.split_once('/').is_some_and(|(of, _)| of == area),
            None => code == wanted,
        }
    }
}

/// Finds the comments of a file that speak to the checks. `opaque` are stretches in which `#` is
/// text.
pub(crate) fn scan(text: &str, opaque: &[Range<usize>]) -> Vec<Comment> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let mut search = 0;
        while let Some(hash) = line[search..].find('#').map(|at| at + search) {
            search = hash + 1;
            let at = line_start + hash;
            let starts_word = hash == 0 || line[..hash].ends_with([' ', '\t']);
            if !starts_word || opaque.iter().any(|range| range.contains(&at)) {
                continue;
            }
            let body = line[hash + 1..].trim_end();
            if let Some(ask) = read(body) {
                found.push(Comment { ask, span: at..at + 1 + body.len() });
            }
            break;
        }
        line_start += line.len();
    }
    found
}

/// Reads what stands behind `#`.
pub(crate) fn read(body: &str) -> Option<Ask> {
    let body = body.trim();
    if let Some(ours) = body.strip_prefix("skopos:") {
        let (verb, rest) = split_word(ours);
        let whole_file = match verb {
            "ignore" => false,
            "ignore-file" => true,
            _ => return Some(Ask::Unknown(verb.to_owned())),
        };
        let (code, reason) = split_word(rest);
        let reason = reason.trim_start_matches([':', '-', '–', '—', ' ']);
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        let code = code.trim_end_matches([':', ',']).to_owned();
        return Some(Ask::Ignore { code, reason, whole_file, is_ours: true, until: None });
    }
    let (word, rest) = split_word(body);
    if word != "pint" {
        return None;
    }
    let (verb, rest) = split_word(rest);
    let (scope, verb) = match verb.split_once('/') {
        Some((scope @ ("file" | "rule"), verb)) => (scope, verb),
        _ => ("", verb),
    };
    let whole_file = scope == "file";
    match verb {
        "disable" | "snooze" => {
            let (until, rest) = match verb {
                "snooze" => {
                    let (until, rest) = split_word(rest);
                    (Some(until.to_owned()), rest)
                }
                _ => (None, rest),
            };
            // `promql/series(metric)` limits a check to one metric; the check itself is what we know.
            let code =
                rest.split(|c: char| c == '(' || c.is_whitespace()).next().unwrap_or_default();
            if code.is_empty() {
                return None;
            }
            let code = code.to_owned();
            Some(Ask::Ignore { code, reason: None, whole_file, is_ours: false, until })
        }
        "owner" if !scope.is_empty() && !rest.is_empty() => {
            Some(Ask::Owner { name: rest.to_owned(), whole_file })
        }
        _ => None,
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.find(char::is_whitespace) {
        Some(at) => (&text[..at], text[at..].trim()),
        None => (text, ""),
    }
}

/// Scans arbitrary bytes for comments; for fuzzing. Places lie in the text, on character
/// boundaries, within one line, and begin with `#`.
pub fn fuzz_lint_comments(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut last = 0;
    for comment in scan(text, &[]) {
        let shown = text.get(comment.span.clone());
        let shown = shown.unwrap_or_else(|| panic!("{comment:?} of {text:?}"));
        assert!(shown.starts_with('#') && !shown.contains('\n'), "{comment:?} of {text:?}");
        assert!(comment.span.start >= last, "in order");
        last = comment.span.end;
        assert_eq!(read(&shown[1..]).as_ref(), Some(&comment.ask), "the place holds the comment");
        if let Ask::Ignore { code, .. } = &comment.ask {
            assert!(!code.contains(char::is_whitespace));
        }
    }
    let _ = crate::check(&[("fuzz.yml", text)], &crate::Options::default(), &crate::NoPages);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(code: &str, reason: Option<&str>, whole_file: bool, is_ours: bool) -> Option<Ask> {
        let (code, reason) = (code.into(), reason.map(Into::into));
        Some(Ask::Ignore { code, reason, whole_file, is_ours, until: None })
    }

    #[test]
    fn what_is_understood() {
        let cases = [
            (
                " skopos:ignore rule/for pages by design",
                ignore("rule/for", Some("pages by design"), false, true),
            ),
            (
                " skopos:ignore rule/for: by design",
                ignore("rule/for", Some("by design"), false, true),
            ),
            (
                " skopos:ignore rule/for - by design",
                ignore("rule/for", Some("by design"), false, true),
            ),
            ("skopos:ignore rule/for", ignore("rule/for", None, false, true)),
            (" skopos:ignore-file alerts/* old", ignore("alerts/*", Some("old"), true, true)),
            (" skopos:ignroe x y", Some(Ask::Unknown("ignroe".into()))),
            (" pint disable promql/series(up)", ignore("promql/series", None, false, false)),
            (" pint file/disable alerts/for", ignore("alerts/for", None, true, false)),
            (
                " pint snooze 2030-01-02 alerts/for",
                Some(Ask::Ignore {
                    code: "alerts/for".into(),
                    reason: None,
                    whole_file: false,
                    is_ours: false,
                    until: Some("2030-01-02".into()),
                }),
            ),
            (
                " pint rule/owner team-a",
                Some(Ask::Owner { name: "team-a".into(), whole_file: false }),
            ),
            (" pint disable", None),
            (" painting disable x", None),
            (" about skopos:ignore", None),
        ];
        for (body, want) in cases {
            assert_eq!(read(body), want, "{body:?}");
        }
    }

    #[test]
    fn a_hash_in_a_text_or_a_word_is_no_comment() {
        let text = "a: x#skopos:ignore c r\nb: 'q # skopos:ignore c r'\nc: 1 # skopos:ignore c r\n";
        let quoted = text.find('\'').unwrap()..text.rfind('\'').unwrap() + 1;
        let found = scan(text, &[quoted]);
        assert_eq!(found.len(), 1);
        assert!(text[found[0].span.clone()].starts_with("# skopos"));
        assert_eq!(text[..found[0].span.start].matches('\n').count(), 2);
    }
}
