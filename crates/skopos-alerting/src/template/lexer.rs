//! Splits a template into text and the tokens of its actions.

use super::TemplateError;
use super::quote;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// A function's name, or a keyword.
    Word(String),
    /// `.name`
    Field(String),
    /// `.` alone
    Dot,
    /// `$name`, or `$` alone; the name without the sign
    Variable(String),
    Str(String),
    Int(i64),
    Float(f64),
    Pipe,
    LeftParen,
    RightParen,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Comma,
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) offset: usize,
    /// Whether white space stands before it: `.a.b` is one operand, `.a .b` are two.
    pub(super) spaced: bool,
}

const TRIMMED: [char; 4] = [' ', '\t', '\r', '\n'];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let open = text[at..].find("{{").map(|found| at + found);
        let mut piece = &text[at..open.unwrap_or(text.len())];
        if trim_next {
            piece = piece.trim_start_matches(TRIMMED);
        }
        let after_open = open.map_or("", |open| &text[open + 2..]);
        let trims_before = after_open.starts_with('-') && after_open[1..].starts_with(TRIMMED);
        if trims_before {
            piece = piece.trim_end_matches(TRIMMED);
        }
        if !piece.is_empty() {
            tokens.push(Token { kind: TokenKind::Text(piece.into()), offset: at, spaced: false });
        }
        let Some(open) = open else { break };
        let inside = open + 2 + usize::from(trims_before);
        let start =
            inside + text[inside..].len() - text[inside..].trim_start_matches(TRIMMED).len();
        if text[start..].starts_with("/*") {
            if start > inside && !trims_before {
                return Err(TemplateError::new(open, "a comment must begin right after {{"));
            }
            (at, trim_next) = comment_end(text, open, start)?;
            continue;
        }
        tokens.push(Token { kind: TokenKind::Open, offset: open, spaced: false });
        let mut action = Action { text, at: inside, tokens: &mut tokens, parens: 0 };
        trim_next = action.run(open)?;
        at = action.at;
    }
    tokens.push(Token { kind: TokenKind::End, offset: text.len(), spaced: false });
    Ok(tokens)
}

/// The offset after a comment's `}}`, and whether it trims what follows.
fn comment_end(text: &str, open: usize, start: usize) -> Result<(usize, bool), TemplateError> {
    let end = text[start..].find("*/").map(|found| start + found + 2);
    let end = end.ok_or_else(|| TemplateError::new(open, "unclosed comment"))?;
    let rest = &text[end..];
    let trimmed = rest.trim_start_matches(TRIMMED);
    if rest.starts_with("}}") {
        Ok((end + 2, false))
    } else if trimmed.len() < rest.len() && trimmed.starts_with("-}}") {
        Ok((text.len() - trimmed.len() + 3, true))
    } else {
        Err(TemplateError::new(end, "a comment must end right before }}"))
    }
}

struct Action<'a> {
    text: &'a str,
    at: usize,
    tokens: &'a mut Vec<Token>,
    parens: usize,
}

impl Action<'_> {
    /// Reads up to and including `}}`; tells whether the text after it is to be trimmed.
    fn run(&mut self, open: usize) -> Result<bool, TemplateError> {
        loop {
            let rest = &self.text[self.at..];
            let spaces = rest.len() - rest.trim_start_matches(TRIMMED).len();
            self.at += spaces;
            let rest = &self.text[self.at..];
            let offset = self.at;
            let spaced = spaces > 0;
            let trims_after = spaced && rest.starts_with("-}}");
            if trims_after || rest.starts_with("}}") {
                if self.parens > 0 {
                    return Err(TemplateError::new(offset, "unclosed left paren"));
                }
                self.tokens.push(Token { kind: TokenKind::Close, offset, spaced });
                self.at += if trims_after { 3 } else { 2 };
                return Ok(trims_after);
            }
            let Some(first) = rest.chars().next() else {
                return Err(TemplateError::new(open, "unclosed action: }} is missing"));
            };
            let kind = self.token(first, rest)?;
            self.tokens.push(Token { kind, offset, spaced });
        }
    }

    fn token(&mut self, first: char, rest: &str) -> Result<TokenKind, TemplateError> {
        let offset = self.at;
        let second = rest[first.len_utf8()..].chars().next();
        let is_name = |c: char| c == '_' || c.is_alphanumeric();
        let name_after = |skip: usize| {
            let tail = &rest[skip..];
            tail.find(|c| !is_name(c)).map_or(tail, |end| &tail[..end])
        };
        let (kind, length) = match first {
            '|' => (TokenKind::Pipe, 1),
            ',' => (TokenKind::Comma, 1),
            '(' => {
                self.parens += 1;
                (TokenKind::LeftParen, 1)
            }
            ')' => {
                let left = self.parens.checked_sub(1);
                self.parens =
                    left.ok_or_else(|| TemplateError::new(offset, "unexpected right paren"))?;
                (TokenKind::RightParen, 1)
            }
            ':' if second == Some('=') => (TokenKind::Declare, 2),
            '=' => (TokenKind::Assign, 1),
            '"' | '`' | '\'' => return self.quoted(first, rest),
            '$' => {
                let name = name_after(1);
                (TokenKind::Variable(name.into()), 1 + name.len())
            }
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => match name_after(1) {
                "" => (TokenKind::Dot, 1),
                name => (TokenKind::Field(name.into()), 1 + name.len()),
            },
            '0'..='9' | '.' => self.number(rest)?,
            '+' | '-' if second.is_some_and(|c| c.is_ascii_digit() || c == '.') => {
                self.number(rest)?
            }
            c if is_name(c) => {
                let name = name_after(0);
                (TokenKind::Word(name.into()), name.len())
            }
            c => {
                return Err(TemplateError::new(offset, format!("unexpected {c:?} in action")));
            }
        };
        self.at += length;
        Ok(kind)
    }

    fn quoted(&mut self, mark: char, rest: &str) -> Result<TokenKind, TemplateError> {
        let offset = self.at;
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find_map(|(at, c)| {
            let ends = c == mark && !escaped;
            escaped = mark != '`' && c == '\\' && !escaped;
            ends.then_some(at)
        });
        let end = end.ok_or_else(|| TemplateError::new(offset, "unterminated quoted string"))?;
        let inner = &rest[1..end];
        self.at += end + 1;
        if mark == '`' {
            return Ok(TokenKind::Str(inner.replace('\r', "")));
        }
        let bad = |message: &str| TemplateError::new(offset, message);
        if inner.contains('\n') {
            return Err(bad("unterminated quoted string"));
        }
        let value = quote::unquote(inner).ok_or_else(|| bad("invalid escape in quoted string"))?;
        if mark == '"' {
            return Ok(TokenKind::Str(value));
        }
        let mut characters = value.chars();
        match (characters.next(), characters.next()) {
            (Some(c), None) => Ok(TokenKind::Int(i64::from(u32::from(c)))),
            _ => Err(bad("malformed character constant")),
        }
    }

    fn number(&self, rest: &str) -> Result<(TokenKind, usize), TemplateError> {
        let is_part = |(at, c): &(usize, char)| {
            let before = rest[..*at].chars().next_back();
            let is_hex = rest.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
            c.is_ascii_alphanumeric()
                || matches!(c, '.' | '_')
                || (matches!(c, '+' | '-')
                    && (*at == 0 || (!is_hex && matches!(before, Some('e' | 'E')))))
        };
        let length = rest.char_indices().take_while(is_part).count();
        let text = &rest[..length];
        let bad = || TemplateError::new(self.at, format!("bad number syntax: {text:?}"));
        let clean = text.replace('_', "");
        let (sign, digits) = match clean.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, clean.strip_prefix('+').unwrap_or(&clean)),
        };
        let lower = digits.to_ascii_lowercase();
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if let Some(digits) = lower.strip_prefix(prefix) {
                let value = i64::from_str_radix(digits, radix).map_err(|_| bad())?;
                return Ok((TokenKind::Int(sign * value), length));
            }
        }
        if let Ok(value) = digits.parse::<i64>() {
            return Ok((TokenKind::Int(sign * value), length));
        }
        let is_decimal = lower.chars().all(|c| c.is_ascii_digit() || "+-.e".contains(c));
        match lower.parse::<f64>() {
            Ok(value) if is_decimal => Ok((TokenKind::Float(sign as f64 * value), length)),
            _ => Err(bad()),
        }
    }
}
