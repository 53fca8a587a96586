//! Texts of a file that know their place, and what could not be read.

use std::fmt;

use super::Problem;
use crate::Span;

/// A text of a file with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text {
    /// The text: quotes and escapes undone.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

impl Text {
    /// A text and its place.
    pub fn new(value: impl Into<String>, span: impl Into<Span>) -> Self {
        Self { value: value.into(), span: span.into() }
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

impl Problem {
    /// A problem at a place.
    pub(crate) fn new(span: impl Into<Span>, message: impl Into<String>) -> Self {
        Self { span: span.into(), message: message.into() }
    }
}

/// The lines of a text with the byte each begins at, without their line ends.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    })
}
