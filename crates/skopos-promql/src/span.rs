//! Where a piece of a query stands in its text.

use std::fmt;

/// A half-open range of byte offsets into the query text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// From `start` up to, not including, `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The text it covers; empty when the offsets do not fit `query`.
    pub fn text(self, query: &str) -> &str {
        query.get(self.start..self.end).unwrap_or("")
    }
}

/// A place in a text as humans count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl LineColumn {
    /// The place of byte `offset` in `text`. Offsets beyond the end mean the end.
    pub fn of(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for LineColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where something stands in a query, for programs and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its bytes.
    pub span: Span,
    /// Line and column of its start.
    pub at: LineColumn,
}

impl Place {
    /// The place of `span` in `query`.
    pub fn of(query: &str, span: Span) -> Self {
        Self { span, at: LineColumn::of(query, span.start) }
    }
}

/// Most characters of a line shown on each side of what the carets mark.
const MAX_CONTEXT: usize = 80;

/// Renders the line of `span` with carets beneath it, as compilers do. Of a long line only what
/// is near is shown.
pub fn caret_snippet(text: &str, span: Span) -> String {
    let place = LineColumn::of(text, span.start);
    let line = text.split('\n').nth(place.line - 1).unwrap_or("");
    let line_len = line.chars().count();
    let covered = span.text(text).split('\n').next().unwrap_or("").chars().count();
    let width = covered.clamp(1, (line_len + 1).saturating_sub(place.column).max(1));
    let width = width.min(MAX_CONTEXT);
    let left_out = (place.column - 1).saturating_sub(MAX_CONTEXT);
    let near: String = line.chars().skip(left_out).take(2 * MAX_CONTEXT + width).collect();
    let (before, after) = (
        if left_out > 0 { "…" } else { "" },
        if line_len > left_out + near.chars().count() { "…" } else { "" },
    );
    let gutter = place.line.to_string();
    // Tabs stay tabs, so that the carets stand under what they mean.
    let indent = before.chars().chain(near.chars().take(place.column - 1 - left_out));
    let indent: String = indent.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    format!(
        "{gutter} | {before}{near}{after}\n{blank} | {indent}{carets}",
        blank = " ".repeat(gutter.len()),
        carets = "^".repeat(width)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let text = "a\nbé c\n";
        for (offset, want) in [(0, "1:1"), (1, "1:2"), (2, "2:1"), (6, "2:4"), (99, "3:1")] {
            assert_eq!(LineColumn::of(text, offset).to_string(), want, "offset {offset}");
        }
    }

    #[test]
    fn snippet_points_at_the_span() {
        assert_eq!(
            caret_snippet("up\n\tfoo bar", Span::new(8, 11)),
            "2 | \tfoo bar\n  | \t    ^^^"
        );
        assert_eq!(caret_snippet("up", Span::new(2, 2)), "1 | up\n  |   ^");
        let long = format!("{}!{}", "a".repeat(500), "b".repeat(500));
        let snippet = caret_snippet(&long, Span::new(500, 501));
        let (line, carets) = snippet.split_once('\n').unwrap();
        assert!(line.starts_with("1 | …aaa") && line.ends_with("bbb…"), "{line}");
        let at = line.chars().position(|c| c == '!');
        assert_eq!(carets.chars().position(|c| c == '^'), at);
    }
}
