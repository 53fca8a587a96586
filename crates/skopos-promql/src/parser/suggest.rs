//! What was probably meant: keywords that are nearly written, parentheses that are never closed.

use super::Parser;
use crate::error::ParseError;
use crate::functions::edit_distance;
use crate::lexer::Tok;
use crate::span::Span;

const KEYWORDS: [&str; 20] = [
    "and",
    "anchored",
    "atan2",
    "bool",
    "by",
    "end",
    "fill",
    "fill_left",
    "fill_right",
    "group_left",
    "group_right",
    "ignoring",
    "inf",
    "offset",
    "on",
    "or",
    "smoothed",
    "start",
    "unless",
    "without",
];

/// The keyword that a word nearly is; `None` when it is one, or is near none.
pub(super) fn keyword(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    KEYWORDS
        .iter()
        .map(|candidate| (edit_distance(&word, candidate), *candidate))
        .filter(|(distance, candidate)| {
            // Of a short word nothing may be wrong but one letter, and one must be right.
            *distance > 0 && *distance < word.len().min(2 + candidate.len() / 5)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

impl Parser<'_> {
    /// The keyword that was probably meant where the next token does not fit: by that token, or by
    /// the word before it, which was then taken for a metric.
    pub(super) fn near_keyword(&self) -> Option<String> {
        let of = |at: usize| {
            let token = self.tokens.get(at).filter(|t| t.tok == Tok::Word)?;
            keyword(self.text(token.span))
        };
        let before = self.next.checked_sub(1).and_then(of);
        of(self.next).or(before).map(str::to_owned)
    }

    /// When the query ends too early within parentheses, that is the better error.
    pub(super) fn or_unclosed(&self, error: ParseError) -> ParseError {
        let at_end = error.span.start >= self.query.trim_end().len();
        if !at_end || self.peek().tok != Tok::End {
            return error;
        }
        let mut open: Vec<(&str, Span)> = Vec::new();
        for token in &self.tokens {
            match token.tok {
                Tok::Sym(symbol @ ("(" | "[" | "{")) => open.push((symbol, token.span)),
                Tok::Sym(")" | "]" | "}") => drop(open.pop()),
                _ => {}
            }
        }
        match open.last() {
            Some(("(", span)) => self.error(*span, "unclosed left parenthesis"),
            _ => error,
        }
    }
}
