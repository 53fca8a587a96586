//! What may be shown of foreign text: printable, redacted, short.

use std::fmt::Write as _;

use skopos_redact::Redactor;

/// Longest piece of foreign text in a report, in characters.
const LONGEST: usize = 100;

/// Makes a piece of foreign text fit for a report: secrets and control characters out, the rest on one line and short.
pub(crate) fn shown(text: &str) -> String {
    // Cut before the redactor sees it: what it costs is bounded, and a secret that the cut tears apart is cut again below.
    let cut = text.char_indices().nth(LONGEST * 4).map_or(text.len(), |(at, _)| at);
    let redacted = Redactor::default().redact_text(&text[..cut]).text.into_owned();
    let mut out = String::new();
    for (count, character) in redacted.trim().chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Joins at most so many names, and says how many there are more.
pub(crate) fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>, most: usize) -> String {
    let names: Vec<String> = names.into_iter().map(|name| shown(name.as_ref())).collect();
    let more = names.len().saturating_sub(most);
    let mut out = names.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(out, " and {more} more");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{list, shown};

    #[test]
    fn foreign_text_is_printable_redacted_and_short() {
        for (text, expected) in [
            ("a\nb\tc", "a b c"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("x\u{202e}y", "x\\u{202e}y"),
            ("login password=hunter2 ok", "login password=[REDACTED] ok"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown(&"ä".repeat(10_000)).chars().count(), 101);
        assert_eq!(list(["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(list(Vec::<String>::new(), 2), "");
    }
}
