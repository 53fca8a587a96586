//! A place in the text, and the small steps from it.
//!
//! All delimiters are ASCII, so every place where a step stops is a character boundary.

use std::borrow::Cow;

use super::{ExpositionError, ExpositionErrorKind};

/// A failure with its byte offset; lines are counted only once something fails.
pub(super) type Failure = (usize, ExpositionErrorKind);

#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or("")
    }

    pub(super) fn fail<T>(&self, kind: ExpositionErrorKind) -> Result<T, Failure> {
        Err((self.at, kind))
    }

    pub(super) fn expected<T>(&self, expected: &'static str) -> Result<T, Failure> {
        self.fail(ExpositionErrorKind::Expected { expected, found: self.rest().chars().next() })
    }

    /// Steps over `byte` if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over spaces and tabs; says how many.
    pub(super) fn blanks(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        self.at - start
    }

    /// Takes everything up to the end of the line.
    pub(super) fn line(&mut self) -> &'a str {
        let rest = self.rest();
        let length = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or("")
    }

    /// Takes everything up to white space.
    pub(super) fn word(&mut self) -> &'a str {
        let start = self.at;
        while !matches!(self.peek(), None | Some(b' ' | b'\t' | b'\n')) {
            self.at += 1;
        }
        self.since(start)
    }

    /// Takes `[a-zA-Z_][a-zA-Z0-9_]*`, with `:` too when `colons`; empty when there is none.
    pub(super) fn identifier(&mut self, colons: bool) -> &'a str {
        let start = self.at;
        while let Some(byte) = self.peek() {
            let digit = byte.is_ascii_digit() && self.at > start;
            let colon = colons && byte == b':';
            if !(byte.is_ascii_alphabetic() || byte == b'_' || digit || colon) {
                break;
            }
            self.at += 1;
        }
        self.since(start)
    }

    /// Takes a text in double quotes; `\\`, `\"` and `\n` stand for what they usually do, other
    /// backslashes for themselves.
    pub(super) fn quoted(&mut self) -> Result<Cow<'a, str>, Failure> {
        let opening = self.at;
        if !self.eat(b'"') {
            return self.expected("'\"'");
        }
        let mut unescaped: Option<String> = None;
        let mut start = self.at;
        loop {
            let rest = self.rest();
            let Some(step) = memchr::memchr3(b'"', b'\\', b'\n', rest.as_bytes()) else {
                return Err((opening, ExpositionErrorKind::Unterminated));
            };
            self.at += step;
            match self.peek() {
                Some(b'"') => {
                    let tail = self.since(start);
                    self.at += 1;
                    return Ok(match unescaped {
                        Some(text) => Cow::Owned(text + tail),
                        None => Cow::Borrowed(tail),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(self.since(start));
                    self.at += 1;
                    match self.peek() {
                        Some(b'n') => text.push('\n'),
                        Some(b'"') => text.push('"'),
                        Some(b'\\') => text.push('\\'),
                        _ => {
                            text.push('\\');
                            start = self.at;
                            continue;
                        }
                    }
                    self.at += 1;
                    start = self.at;
                }
                _ => return Err((opening, ExpositionErrorKind::Unterminated)),
            }
        }
    }
}

/// Turns a byte offset into line and column.
pub(super) fn locate(body: &[u8], at: usize, kind: ExpositionErrorKind) -> ExpositionError {
    let before = body.get(..at).unwrap_or(body);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let column = at - memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1) + 1;
    ExpositionError { line, column, kind }
}
