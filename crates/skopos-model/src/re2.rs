//! Regular expressions as Prometheus reads them (RE2's syntax), for an engine that reads them
//! otherwise here and there.
//!
//! RE2's `\d`, `\w`, `\s` and `\b` know ASCII only, its classes know neither nesting nor set
//! operations, a brace that opens no repetition is a brace, and `\Q…\E` quotes. The pattern is
//! rewritten into the `regex` crate's syntax, which stays in its Unicode mode: `.` and negated
//! classes match whole characters, so that no match can split one.

use regex::Regex;

use crate::matcher::InvalidRegex;

/// Compiled size limit of one expression, bytes: far above any sensible matcher, far below harm.
const SIZE_LIMIT: usize = 8 << 20;

/// Compiles an RE2 pattern, anchored at both ends, in which `.` matches newlines too: the meaning
/// of matchers and of `label_replace` in Prometheus 3.
pub fn anchored_regex(pattern: &str) -> Result<Regex, InvalidRegex> {
    regex::RegexBuilder::new(&format!("^(?s:{})$", translate(pattern)))
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| InvalidRegex {
            pattern: pattern.into(),
            reason: reason(&error.to_string()).into(),
        })
}

/// The line of the engine's report that says what is wrong.
fn reason(report: &str) -> &str {
    let last = report.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last)
}

/// The character classes that are ASCII in RE2.
fn ascii_class(escape: char) -> Option<&'static str> {
    Some(match escape {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        _ => return None,
    })
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => escape(tail, &mut out),
            '[' => class(tail, &mut out),
            '{' if !is_repetition(tail) => {
                out.push_str("\\{");
                tail
            }
            _ => {
                out.push(c);
                tail
            }
        };
    }
    out
}

/// Whether what follows `{` makes it a repetition: `2}`, `2,}`, `2,3}`.
fn is_repetition(tail: &str) -> bool {
    let Some((inner, _)) = tail.split_once('}') else { return false };
    let (low, high) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

/// After a backslash outside of classes.
fn escape<'p>(tail: &'p str, out: &mut String) -> &'p str {
    let Some(c) = tail.chars().next() else {
        out.push('\\');
        return tail;
    };
    let rest = &tail[c.len_utf8()..];
    match c {
        'Q' => {
            let (quoted, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(quoted));
            return rest;
        }
        'p' | 'P' | 'x' if rest.starts_with('{') => {
            let length = rest.find('}').map_or(rest.len(), |at| at + 1);
            out.push('\\');
            out.push(c);
            out.push_str(&rest[..length]);
            return &rest[length..];
        }
        'b' => out.push_str("(?-u:\\b)"),
        'B' => out.push_str("(?-u:\\B)"),
        _ => plain_escape(c, out),
    }
    rest
}

fn plain_escape(c: char, out: &mut String) {
    match ascii_class(c) {
        Some(class) => out.push_str(class),
        // Boundaries of words in the `regex` crate.
        None if matches!(c, '<' | '>') => out.push(c),
        None => {
            out.push('\\');
            out.push(c);
        }
    }
}

/// After `[`.
fn class<'p>(tail: &'p str, out: &mut String) -> &'p str {
    out.push('[');
    let mut rest = tail;
    if let Some(negated) = rest.strip_prefix('^') {
        out.push('^');
        rest = negated;
    }
    if let Some(tail) = rest.strip_prefix(']') {
        out.push_str("\\]");
        rest = tail;
    }
    let mut after_class = false;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        rest = tail;
        let was_class = std::mem::take(&mut after_class);
        match c {
            ']' => {
                out.push(']');
                return rest;
            }
            '\\' => {
                let Some(c) = tail.chars().next() else {
                    out.push('\\');
                    return rest;
                };
                after_class = ascii_class(c).is_some();
                plain_escape(c, out);
                rest = &tail[c.len_utf8()..];
            }
            '[' => match tail.strip_prefix(':').and_then(|t| t.split_once(":]")) {
                Some((name, tail)) => {
                    out.push_str(&format!("[:{name}:]"));
                    rest = tail;
                }
                None => out.push_str("\\["),
            },
            // `&&`, `~~`, and what follows a class: never an operator or a range in RE2.
            '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '-' if was_class || tail.starts_with('-') => out.push_str("\\-"),
            _ => out.push(c),
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_re2() {
        for (pattern, text, want) in [
            // ASCII only.
            (r"\d", "7", true),
            (r"\d", "٧", false),
            (r"\D", "٧", true),
            (r"\w+", "a_Z9", true),
            (r"\w", "é", false),
            (r"\W", "é", true),
            (r"\s", "\t", true),
            (r"\s", "\u{0b}", false),
            (r"\s", "\u{a0}", false),
            (r"\S", "\u{a0}", true),
            (r"[\d.-]+", "1.2-3", true),
            (r"[\w-.]+", "a-b.c", true),
            (r"[^\d]", "٧", true),
            (r"[^\d]", "7", false),
            (r"[\D]", "é", true),
            (r"a\b.*", "aé", true),
            (r"a\b.*", "ab", false),
            (r"a\B.*", "ab", true),
            // Letters fold as Unicode says.
            (r"(?i)É", "é", true),
            (r".", "é", true),
            (r".", "\n", true),
            (r"[[:alpha:]]", "é", false),
            (r"[[:^alpha:]_]", "é", true),
            (r"\pL", "é", true),
            (r"\p{Greek}+", "αβ", true),
            // Classes are flat.
            (r"[a[b]+", "a[b", true),
            (r"[a&&b]+", "a&b", true),
            (r"[a~~b]+", "~", true),
            (r"[]a]+", "]a", true),
            (r"[^]a]", "b", true),
            (r"[a-c]+", "abc", true),
            (r"[\]]", "]", true),
            // Braces.
            (r"a{2}", "aa", true),
            (r"a{2,}", "aaa", true),
            (r"a{1,2}", "aaa", false),
            (r"a{", "a{", true),
            (r"{foo}", "{foo}", true),
            (r"a{,2}", "a{,2}", true),
            // Quoting.
            (r"\Qa.b\E.", "a.bc", true),
            (r"\Qa.b\E.", "axbc", false),
            (r"\Q[", "[", true),
            (r"\<a\>", "<a>", true),
            (r"a\.b|c", "c", true),
            (r"\x{e9}", "é", true),
        ] {
            let regex = anchored_regex(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(regex.is_match(text), want, "{pattern} on {text:?}");
        }
        for pattern in ["(", "[", "[a", "\\", "a{1000}{1000}{1000}", "(?z)", "*", "[\\"] {
            assert!(anchored_regex(pattern).is_err(), "{pattern}");
        }
    }
}
