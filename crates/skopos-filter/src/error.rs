//! What is wrong with a filter, where, and what could stand there instead.

use std::fmt;

/// A half-open range of bytes of the filter's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From `start` up to, not including, `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest range around both.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A limit of [`limits`](crate::limits) is exceeded.
    #[error("the filter has more than {limit} {what}: shorten it")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What could stand here.
        expected: &'static str,
        /// What stands here.
        found: String,
    },
    /// A quotation mark that closes nothing, or none that closes.
    #[error(
        "the quotation mark is never closed: end the text with \", and write \\\" for one within it"
    )]
    OpenQuote,
    /// A parenthesis that is never closed.
    #[error("the parenthesis is never closed")]
    OpenParenthesis,
    /// Two things that touch.
    #[error("{what} touches what stands before it: put a space between, or quote the whole")]
    Touching {
        /// What touches.
        what: &'static str,
    },
    /// A backslash before a character that needs none.
    #[error(
        "unknown escape \\{escape}: known are \\\" \\\\ \\* \\n \\r \\t \\u{{1f600}}, and \\ before punctuation"
    )]
    Escape {
        /// What follows the backslash.
        escape: String,
    },
    /// An operator of other languages.
    #[error("there is no operator {found}")]
    Operator {
        /// As written.
        found: String,
    },
    /// A field does not compare so.
    #[error("{field} is {kind}: it compares with {allowed}")]
    WrongOperator {
        /// The field.
        field: String,
        /// What kind of value it has.
        kind: &'static str,
        /// The operators it has.
        allowed: &'static str,
    },
    /// A value that the field cannot have.
    #[error("{value:?} is no {wanted}")]
    WrongValue {
        /// As written.
        value: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// `field:value`, as other tools write it.
    #[error("a field compares with =, not with a colon (quote the text to search for it)")]
    Colon,
    /// A wildcard where none can stand.
    #[error("a wildcard cannot stand in a field's name")]
    Wildcard,
    /// An expression that does not compile or is too large.
    #[error("invalid regular expression: {reason}")]
    Regex {
        /// What the expression engine says.
        reason: String,
    },
}

/// A text that is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Why.
    pub kind: ErrorKind,
    /// Where, in bytes of the text.
    pub span: Span,
    /// What could stand there instead, the best first.
    pub suggestions: Vec<String>,
}

impl FilterError {
    pub(crate) fn new(kind: ErrorKind, span: Span) -> Self {
        Self { kind, span, suggestions: Vec::new() }
    }

    pub(crate) fn suggest(mut self, text: impl Into<String>) -> Self {
        self.suggestions.push(text.into());
        self
    }

    pub(crate) fn suggest_all<S: Into<String>>(mut self, all: impl IntoIterator<Item = S>) -> Self {
        self.suggestions.extend(all.into_iter().map(Into::into));
        self
    }

    /// The line of the filter that is wrong, with carets beneath the place, as compilers have it.
    pub fn snippet(&self, text: &str) -> String {
        let boundary = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (boundary(self.span.start), boundary(self.span.end));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let indent: String =
            text[line_start..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let width = text[start..end.clamp(start, line_end)].chars().count().max(1);
        format!("{}\n{indent}{}", &text[line_start..line_end], "^".repeat(width))
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let [first, ..] = self.suggestions.as_slice() {
            write!(f, "; did you mean {first}?")?;
        }
        write!(f, " (at byte {})", self.span.start)
    }
}

impl std::error::Error for FilterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.kind)
    }
}

/// The known name with the fewest edits to `name`, when there is one that resembles it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (edits(&name, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= 1 + name.len().max(candidate.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance by the one-row method.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
