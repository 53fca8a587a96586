//! Pieces of a filter's text. What stands after an operator is read by its own rules: a value may
//! hold characters that would end a name.

use crate::ast::{Operator, Pattern};
use crate::error::{ErrorKind, FilterError, Span};

/// A piece that can begin, join or end a condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    End,
    Open,
    Close,
    And,
    Or,
    Not,
    /// `-` right before what it negates.
    Minus,
    Operator(Operator),
    /// Characters without quotes.
    Word(Pattern),
    /// Characters in quotes.
    Quoted(String),
}

/// A piece and its place.
#[derive(Clone, Debug)]
pub(crate) struct Lexed {
    pub(crate) token: Token,
    pub(crate) span: Span,
}

#[derive(Clone)]
pub(crate) struct Lexer<'t> {
    pub(crate) text: &'t str,
    pub(crate) at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(crate) fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error(&self, kind: ErrorKind, start: usize, end: usize) -> FilterError {
        FilterError::new(kind, Span::new(start, end))
    }

    /// The next piece.
    pub(crate) fn token(&mut self) -> Result<Lexed, FilterError> {
        self.skip_space();
        let start = self.at;
        let token = match self.peek() {
            None => Token::End,
            Some('(') => self.one(Token::Open),
            Some(')') => self.one(Token::Close),
            Some('"') => Token::Quoted(self.quoted(false)?),
            Some('=' | '<' | '>' | '~') => Token::Operator(self.operator()?),
            Some('!') if self.rest().starts_with("!=") || self.rest().starts_with("!~") => {
                Token::Operator(self.operator()?)
            }
            Some('-') if self.negates() => self.one(Token::Minus),
            Some(_) => self.word()?,
        };
        Ok(Lexed { token, span: Span::new(start, self.at) })
    }

    fn one(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    /// Whether the `-` here stands before a condition; `--flag` and a lone `-` are words.
    fn negates(&self) -> bool {
        let next = self.rest().chars().nth(1);
        next.is_some_and(|c| !c.is_whitespace() && !matches!(c, '-' | ')' | '=' | '<' | '>' | '~'))
    }

    fn operator(&mut self) -> Result<Operator, FilterError> {
        let start = self.at;
        let rest = self.rest();
        let end = rest.find(|c| !"=<>~!".contains(c)).unwrap_or(rest.len());
        let written = rest.get(..end).unwrap_or("");
        let (operator, suggestion) = match written {
            "=" => (Operator::Equal, ""),
            "!=" => (Operator::NotEqual, ""),
            "~" | "=~" => (Operator::Match, ""),
            "!~" => (Operator::NotMatch, ""),
            ">" => (Operator::Greater, ""),
            ">=" => (Operator::GreaterOrEqual, ""),
            "<" => (Operator::Less, ""),
            "<=" => (Operator::LessOrEqual, ""),
            "==" | "===" => (Operator::Equal, "="),
            "=>" => (Operator::Equal, ">="),
            "=<" => (Operator::Equal, "<="),
            "~=" | "~~" => (Operator::Equal, "~"),
            "<>" | "!==" => (Operator::Equal, "!="),
            _ => (Operator::Equal, "="),
        };
        self.at = start + end;
        if suggestion.is_empty() {
            return Ok(operator);
        }
        let kind = ErrorKind::Operator { found: written.to_owned() };
        Err(self.error(kind, start, self.at).suggest(suggestion))
    }

    /// A word or a keyword.
    fn word(&mut self) -> Result<Token, FilterError> {
        let start = self.at;
        let pattern = self.bare(|lexer, c| {
            matches!(c, '=' | '<' | '>' | '~')
                || c == '!' && matches!(lexer.rest().as_bytes().get(1), Some(b'=' | b'~'))
        })?;
        let written = self.text.get(start..self.at).unwrap_or("");
        let other = |instead: &str| {
            let kind = ErrorKind::Operator { found: written.to_owned() };
            Err(self.error(kind, start, self.at).suggest(instead))
        };
        match written {
            "&&" | "&" => return other("AND"),
            "||" | "|" => return other("OR"),
            "!" => return other("NOT"),
            _ => {}
        }
        Ok(match written.to_ascii_uppercase().as_str() {
            "AND" => Token::And,
            "OR" => Token::Or,
            "NOT" => Token::Not,
            _ => Token::Word(pattern),
        })
    }

    /// What stands after an operator.
    pub(crate) fn value(&mut self, operator: Operator) -> Result<(Pattern, Span), FilterError> {
        self.skip_space();
        let start = self.at;
        let pattern = match self.peek() {
            Some('"') => Pattern::text(self.quoted(operator.is_match())?),
            Some(_) if operator.is_match() => {
                let rest = self.rest();
                let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"');
                let end = rest.find(ends).unwrap_or(rest.len());
                self.at += end;
                self.check_end()?;
                Pattern::text(rest.get(..end).unwrap_or(""))
            }
            _ => self.bare(|_, _| false)?,
        };
        Ok((pattern, Span::new(start, self.at)))
    }

    /// Characters without quotes, up to space, parentheses or what `ends` them.
    fn bare(&mut self, ends: impl Fn(&Self, char) -> bool) -> Result<Pattern, FilterError> {
        let mut pattern = Pattern::default();
        while let Some(c) = self.peek() {
            if c.is_whitespace() || matches!(c, '(' | ')' | '"') || ends(self, c) {
                break;
            }
            match c {
                '*' => {
                    pattern.push_any();
                    self.at += 1;
                }
                '\\' => pattern.push_str(self.escape()?.encode_utf8(&mut [0; 4])),
                c => {
                    pattern.push_str(c.encode_utf8(&mut [0; 4]));
                    self.at += c.len_utf8();
                }
            }
        }
        self.check_end()?;
        Ok(pattern)
    }

    /// Refuses what would be read as two things although it looks like one: `fn(x)`, `a"b"`.
    fn check_end(&self) -> Result<(), FilterError> {
        let what = match self.peek() {
            Some('"') => "the quotation mark",
            // `has(field)` is the one word that a parenthesis follows.
            Some('(') if !self.text[..self.at].ends_with("has") => "the parenthesis",
            _ => return Ok(()),
        };
        if self.at == 0 || self.text[..self.at].ends_with(|c: char| c.is_whitespace()) {
            return Ok(());
        }
        Err(self.error(ErrorKind::Touching { what }, self.at, self.at + 1))
    }

    /// Characters in quotes. `raw`: only `\"` is an escape.
    fn quoted(&mut self, raw: bool) -> Result<String, FilterError> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    let touches = |c: char| c.is_alphanumeric() || matches!(c, '"' | '(');
                    if self.peek().is_some_and(touches) {
                        let what = "what follows the quotation mark";
                        let kind = ErrorKind::Touching { what };
                        return Err(self.error(kind, self.at, self.at + 1));
                    }
                    return Ok(out);
                }
                '\\' if raw => {
                    self.at += 1;
                    match self.peek() {
                        Some('"') => out.push('"'),
                        Some(c) => out.extend(['\\', c]),
                        None => break,
                    }
                    self.at += self.peek().map_or(0, char::len_utf8);
                }
                '\\' => out.push(self.escape()?),
                c => {
                    out.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        Err(self.error(ErrorKind::OpenQuote, start, start + 1))
    }

    /// A backslash and what it stands for.
    fn escape(&mut self) -> Result<char, FilterError> {
        let start = self.at;
        self.at += 1;
        let c = self.peek();
        let mut end = self.at + c.map_or(0, char::len_utf8);
        let meant = match c {
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => {
                let digits = self.rest().strip_prefix("u{").and_then(|r| r.split_once('}'));
                digits.and_then(|(digits, _)| {
                    end = self.at + digits.len() + 3;
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
                })
            }
            Some(c) if !c.is_alphanumeric() => Some(c),
            _ => None,
        };
        match meant {
            Some(meant) => {
                self.at = end;
                Ok(meant)
            }
            None => {
                let escape = c.map(String::from).unwrap_or_default();
                Err(self.error(ErrorKind::Escape { escape }, start, end))
            }
        }
    }
}
