//! Forms in which a report leaves: text for people, JSON, SARIF, annotations of code hosts, Markdown.

pub mod annotations;
pub mod markdown;
pub mod sarif;
pub mod text;

/// The same text, one character for one, without any that a terminal obeys.
pub(crate) fn visible(text: &str) -> String {
    let obeyed = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// `1 finding`, `2 findings`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
