//! A rule's PromQL: its text, checked, and how far back it looks.

use std::time::Duration;

/// How far back an instant vector selector looks for a sample unless configured otherwise.
pub(crate) const DEFAULT_LOOKBACK: Duration = Duration::from_secs(300);

/// A PromQL expression that parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    range: Duration,
}

/// Why a text is no PromQL, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpressionError {
    /// Byte offset in the expression.
    pub(crate) offset: usize,
    /// Bytes meant, at least 1.
    pub(crate) length: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Expression {
    /// Checks a text. Surrounding white space (block scalars end in a line break) is dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, ExpressionError> {
        let range = check(text)?;
        Ok(Self { text: text.trim().into(), range })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How long data must have been arriving before this expression's answer says something about
    /// the present alone: its longest window, and at least one lookback.
    pub fn range(&self) -> Duration {
        self.range
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks brackets and strings and finds the longest range in brackets. The one place that
/// changes when the parser of `skopos-promql` is called instead.
fn check(text: &str) -> Result<Duration, ExpressionError> {
    let error = |offset: usize, message: &str| ExpressionError {
        offset,
        length: 1,
        message: message.into(),
        hint: None,
    };
    if text.trim().is_empty() {
        return Err(error(0, "no expression found in input"));
    }
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut range = DEFAULT_LOOKBACK;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '#' => {
                characters.find(|(_, c)| *c == '\n');
            }
            '"' | '\'' | '`' => loop {
                match characters.next() {
                    Some((_, '\\')) if c != '`' => drop(characters.next()),
                    Some((_, end)) if end == c => break,
                    Some(_) => {}
                    None => return Err(error(at, "unterminated string")),
                }
            },
            '(' | '[' | '{' => open.push((at, c)),
            ')' | ']' | '}' => {
                let matching = open
                    .pop()
                    .filter(|(_, o)| matches!((o, c), ('(', ')') | ('[', ']') | ('{', '}')));
                let Some((start, _)) = matching else {
                    return Err(error(at, &format!("unexpected {c:?}")));
                };
                if c == ']' {
                    let inside = text[start + 1..at].split(':').next().unwrap_or("");
                    if let Ok(found) = crate::parse_duration(inside.trim()) {
                        range = range.max(found);
                    }
                }
            }
            _ => {}
        }
    }
    match open.pop() {
        Some((at, c)) => Err(error(at, &format!("unclosed {c:?}"))),
        None => Ok(range),
    }
}
