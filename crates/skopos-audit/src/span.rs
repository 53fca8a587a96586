//! Places: bytes of a file, and what they are for people.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Bytes of a file: from `start` up to, not including, `end`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl Span {
    /// Bytes `start..end`. Files beyond 4 GiB are not read, so that offsets fit.
    pub fn new(start: usize, end: usize) -> Self {
        let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: at(start), end: at(end.max(start)) }
    }

    /// Whether `other` lies within.
    pub fn contains(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self::new(range.start, range.end)
    }
}

/// A span of a named file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, from the root of the repository, with `/`.
    pub path: Arc<str>,
    /// Which bytes.
    pub span: Span,
}

impl Place {
    /// A place in `path`.
    pub fn new(path: &str, span: Span) -> Self {
        Self { path: path.into(), span }
    }
}

/// Where the lines of a text begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines(Vec<u32>);

impl Lines {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        // Every file of a tree comes through here, so breaks are looked for many bytes at a time.
        let breaks = memchr::memchr_iter(b'\n', text.as_bytes());
        let mut starts = Vec::with_capacity(breaks.clone().count() + 1);
        starts.push(0);
        starts.extend(breaks.filter_map(|at| u32::try_from(at + 1).ok()));
        Self(starts)
    }

    /// The line, from 1, that a byte stands in.
    pub fn line(&self, at: u32) -> usize {
        self.0.partition_point(|start| *start <= at).max(1)
    }

    /// The first byte of a line, from 1.
    pub fn start(&self, line: usize) -> Option<u32> {
        self.0.get(line.checked_sub(1)?).copied()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_lines() {
        let lines = Lines::of("ab\n\ncd");
        let at: Vec<usize> = (0..6).map(|byte| lines.line(byte)).collect();
        assert_eq!(at, [1, 1, 1, 2, 3, 3]);
        assert_eq!((lines.start(3), lines.start(4), lines.count()), (Some(4), None, 3));
    }
}
