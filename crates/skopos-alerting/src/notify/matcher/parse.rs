//! Reading matchers, in both of Alertmanager's syntaxes.
//!
//! UTF-8 (since 0.27): names and values are bare words without reserved characters, or quoted with
//! Go's escapes; braces come in pairs or not at all. Classic (before): names are identifiers,
//! values anything up to the next comma outside quotes, braces are trimmed. As Alertmanager does,
//! both are tried: where they disagree or only the classic one succeeds, that one holds, so that no
//! old configuration changes its meaning.

use skopos_model::{InvalidRegex, MatchOp};

use super::Matcher;
use crate::template::unquote;

/// Text that is no matcher.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMatcher {
    /// Something else stands where this was expected.
    #[error("{text:?}: expected {wanted} at character {at}")]
    Expected {
        /// The whole text.
        text: String,
        /// What was expected.
        wanted: &'static str,
        /// Where, in characters from 0.
        at: usize,
    },
    /// A quoted text that does not end, or has a wrong escape.
    #[error("{text:?}: the quoted text at character {at} is not valid")]
    Quoted {
        /// The whole text.
        text: String,
        /// Where it begins, in characters from 0.
        at: usize,
    },
    /// The expression is wrong.
    #[error(transparent)]
    Regex(#[from] InvalidRegex),
    /// Not exactly one matcher.
    #[error("{text:?}: expected 1 matcher, found {found}")]
    Count {
        /// The whole text.
        text: String,
        /// How many.
        found: usize,
    },
}

/// Reads a list of matchers: `{a="b", c=~"d.*"}`, with or without braces, also none.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, InvalidMatcher> {
    match (utf8(text), classic(text)) {
        (_, Some(Ok(classic))) => Ok(classic),
        (new, _) => new,
    }
}

/// Reads one matcher: `a="b"`.
pub fn parse_matcher(text: &str) -> Result<Matcher, InvalidMatcher> {
    let mut matchers = parse_matchers(text)?;
    match (matchers.pop(), matchers.len()) {
        (Some(matcher), 0) => Ok(matcher),
        (last, rest) => Err(InvalidMatcher::Count {
            text: text.into(),
            found: rest + usize::from(last.is_some()),
        }),
    }
}

/// Characters that must be quoted in the UTF-8 syntax.
pub(super) fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Op(MatchOp),
    Word(String),
    End,
}

struct Lexer<'a> {
    text: &'a str,
    /// Byte offset of what was not read yet.
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn column(&self, at: usize) -> usize {
        self.text[..at].chars().count()
    }

    fn expected(&self, wanted: &'static str, at: usize) -> InvalidMatcher {
        InvalidMatcher::Expected { text: self.text.into(), wanted, at: self.column(at) }
    }

    /// The next token and where it begins.
    fn next(&mut self) -> Result<(Token, usize), InvalidMatcher> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        let rest = self.rest();
        let operators = [
            ("=~", MatchOp::Regex),
            ("!~", MatchOp::NotRegex),
            ("!=", MatchOp::NotEqual),
            ("=", MatchOp::Equal),
        ];
        if let Some((text, op)) = operators.into_iter().find(|(text, _)| rest.starts_with(text)) {
            self.at += text.len();
            return Ok((Token::Op(op), start));
        }
        let Some(first) = rest.chars().next() else { return Ok((Token::End, start)) };
        let single = match first {
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            ',' => Some(Token::Comma),
            _ => None,
        };
        if let Some(token) = single {
            self.at += 1;
            return Ok((token, start));
        }
        if first == '"' {
            return Ok((Token::Word(self.quoted()?), start));
        }
        let length = rest.find(is_reserved).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.expected("a label name, a value, an operator or a quote", start));
        }
        let word = rest[..length].to_owned();
        self.at += length;
        Ok((Token::Word(word), start))
    }

    fn quoted(&mut self) -> Result<String, InvalidMatcher> {
        let start = self.at;
        let invalid = InvalidMatcher::Quoted { text: self.text.into(), at: self.column(start) };
        let inside = &self.text[start + 1..];
        let mut escaped = false;
        let end = inside.char_indices().find(|(_, c)| {
            let is_end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        let Some((length, _)) = end else { return Err(invalid) };
        let raw = &inside[..length];
        self.at = start + length + 2;
        // Go's interpreted strings are one line, and their escapes must make UTF-8.
        let value = unquote(raw)
            .filter(|v| !raw.contains('\n') && v.contains('\u{fffd}') == raw.contains('\u{fffd}'));
        value.ok_or(invalid)
    }
}

fn utf8(text: &str) -> Result<Vec<Matcher>, InvalidMatcher> {
    let mut lexer = Lexer { text, at: 0 };
    let mut matchers = Vec::new();
    let (mut token, mut at) = lexer.next()?;
    let has_brace = token == Token::Open;
    if has_brace {
        (token, at) = lexer.next()?;
    }
    loop {
        let name = match token {
            Token::Close | Token::End => break,
            Token::Word(name) => name,
            _ => return Err(lexer.expected("a label name", at)),
        };
        let op = match lexer.next()? {
            (Token::Op(op), _) => op,
            (_, at) => {
                return Err(lexer.expected("an operator such as '=', '!=', '=~' or '!~'", at));
            }
        };
        let value = match lexer.next()? {
            (Token::Word(value), _) => value,
            (_, at) => return Err(lexer.expected("a label value", at)),
        };
        matchers.push(Matcher::new(&name, op, &value)?);
        (token, at) = lexer.next()?;
        match token {
            Token::Comma => (token, at) = lexer.next()?,
            Token::Close | Token::End => break,
            _ => return Err(lexer.expected("a comma or the end", at)),
        }
    }
    match (has_brace, token) {
        (true, Token::Close) => match lexer.next()? {
            (Token::End, _) => Ok(matchers),
            (_, at) => Err(lexer.expected("the end", at)),
        },
        (true, _) => Err(lexer.expected("a closing brace", at)),
        (false, Token::End) => Ok(matchers),
        (false, _) => Err(lexer.expected("an opening brace at the start", at)),
    }
}

/// The classic syntax; `None` when the text is not of it.
fn classic(text: &str) -> Option<Result<Vec<Matcher>, InvalidRegex>> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let (mut is_quoted, mut escaped) = (false, false);
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        match c {
            ',' if !is_quoted => {
                pieces.push(String::new());
                continue;
            }
            '"' if escaped => escaped = false,
            '"' => is_quoted = !is_quoted,
            '\\' => escaped = !escaped,
            // A comma keeps what a backslash before it began.
            ',' => {}
            _ => escaped = false,
        }
        pieces.last_mut()?.push(c);
    }
    // A comma at the end is allowed.
    pieces.pop_if(|last| last.trim().is_empty());
    pieces.iter().map(|piece| classic_matcher(piece)).collect()
}

fn classic_matcher(text: &str) -> Option<Result<Matcher, InvalidRegex>> {
    let text = text.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let length = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = rest.trim_start();
    let operators = [
        ("=~", MatchOp::Regex),
        ("=", MatchOp::Equal),
        ("!=", MatchOp::NotEqual),
        ("!~", MatchOp::NotRegex),
    ];
    let (op, raw) =
        operators.into_iter().find_map(|(t, op)| rest.strip_prefix(t).map(|raw| (op, raw)))?;
    Some(Matcher::new(name, op, &classic_value(raw.trim())?))
}

/// A value, quoted or not, its escapes resolved: unknown ones stay as they are written.
fn classic_value(raw: &str) -> Option<String> {
    let (inside, is_quoted) = match raw.strip_prefix('"') {
        Some(inside) => (inside, true),
        None => (raw, false),
    };
    let mut value = String::new();
    let mut characters = inside.char_indices();
    let mut is_closed = !is_quoted;
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            '"' if is_quoted && at + 1 == inside.len() => is_closed = true,
            '"' => return None,
            c => value.push(c),
        }
    }
    is_closed.then_some(value)
}

/// Reads arbitrary bytes as matchers; for fuzzing. What was read prints as text that reads as the same.
pub fn fuzz_matchers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(matchers) = parse_matchers(text) {
        let printed = super::format_matchers(&matchers);
        assert_eq!(
            parse_matchers(&printed).as_ref(),
            Ok(&matchers),
            "{text:?} printed as {printed}"
        );
    }
    let _ = parse_matcher(text);
}
