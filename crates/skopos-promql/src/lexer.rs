//! Cuts a query into tokens.
//!
//! Words stay words here: whether `sum` is an aggregation or a metric's name depends on what
//! follows, so the parser decides. Comments and white space vanish, spans stay exact.

use crate::error::ParseError;
use crate::span::Span;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tok {
    /// A word: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    Word,
    Number(f64),
    /// Milliseconds.
    Duration(i64),
    Str(Text),
    /// Operators and punctuation, as written.
    Sym(&'static str),
    End,
}

/// A string literal's content. Escapes can make it anything, so what is not UTF-8 keeps its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) invalid: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    pub(crate) span: Span,
}

/// Most tokens of a query: each of them can become an operator, or a fetch, of its own.
const MAX_TOKENS: usize = 100_000;

/// Longest first, so that a prefix never wins.
const SYMBOLS: [&str; 24] = [
    "==", "=~", "!=", "!~", ">=", "<=", ">/", "</", "+", "-", "*", "/", "%", "^", "=", ">", "<",
    "(", ")", "{", "}", "[", "]", ",",
];

pub(crate) fn lex(query: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { query, bytes: query.as_bytes(), at: 0, tokens: Vec::new() };
    while lexer.step()? {
        if lexer.tokens.len() > MAX_TOKENS {
            let message =
                format!("more than {MAX_TOKENS} words, numbers, texts and signs in one query");
            return Err(lexer.error(lexer.at, lexer.at, message));
        }
    }
    let end = Span::new(query.len(), query.len());
    lexer.tokens.push(Token { tok: Tok::End, span: end });
    Ok(lexer.tokens)
}

struct Lexer<'q> {
    query: &'q str,
    bytes: &'q [u8],
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, tok: Tok, start: usize) {
        self.tokens.push(Token { tok, span: Span::new(start, self.at) });
    }

    fn error(&self, start: usize, end: usize, message: impl Into<String>) -> ParseError {
        ParseError::new(self.query, Span::new(start, end.max(start)), message)
    }

    fn step(&mut self) -> Result<bool, ParseError> {
        let start = self.at;
        let Some(&first) = self.bytes.get(start) else { return Ok(false) };
        match first {
            b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
            b'#' => {
                self.at = self.query[start..].find('\n').map_or(self.query.len(), |i| start + i);
            }
            b'"' | b'\'' => self.quoted(first)?,
            b'`' => self.raw()?,
            b'0'..=b'9' => self.number()?,
            b'.' if self.peek(1).is_ascii_digit() => self.number()?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b':' => self.colon(),
            b'@' => {
                self.at += 1;
                self.push(Tok::Sym("@"), start);
            }
            _ => match SYMBOLS.iter().find(|s| self.query[start..].starts_with(**s)) {
                Some(symbol) => {
                    self.at += symbol.len();
                    self.push(Tok::Sym(symbol), start);
                }
                None => {
                    let c = self.query[start..].chars().next().unwrap_or('\u{fffd}');
                    let message = match c {
                        '!' => "unexpected character after '!'".into(),
                        c => format!("unexpected character: {c:?}"),
                    };
                    return Err(self.error(start, start + c.len_utf8(), message));
                }
            },
        }
        Ok(true)
    }

    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_ascii_alphanumeric() || matches!(self.peek(0), b'_' | b':') {
            self.at += 1;
        }
        self.push(Tok::Word, start);
    }

    /// Within brackets a colon separates range and step; elsewhere it begins a recording rule's
    /// name.
    fn colon(&mut self) {
        let start = self.at;
        let in_brackets = self.tokens.iter().rev().find_map(|t| match t.tok {
            Tok::Sym("[") => Some(true),
            Tok::Sym("]") => Some(false),
            _ => None,
        });
        let next = self.peek(1);
        if in_brackets == Some(true)
            || !(next.is_ascii_alphanumeric() || matches!(next, b'_' | b':'))
        {
            self.at += 1;
            self.push(Tok::Sym(":"), start);
        } else {
            self.word();
        }
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X') {
            self.at += 2;
            self.run(|b| b.is_ascii_hexdigit());
        } else {
            self.run(|b| b.is_ascii_digit());
            if self.duration_unit(self.at).is_some() && !self.exponent_follows() {
                return self.duration(start);
            }
            if self.peek(0) == b'.' {
                self.at += 1;
                self.run(|b| b.is_ascii_digit());
            }
            if self.exponent_follows() {
                self.at += if matches!(self.peek(1), b'+' | b'-') { 2 } else { 1 };
                self.run(|b| b.is_ascii_digit());
            }
        }
        self.reject_trailing_letters(start)?;
        let text = &self.query[start..self.at];
        let value = parse_number(text)
            .ok_or_else(|| self.error(start, self.at, format!("bad number syntax: {text:?}")))?;
        self.push(Tok::Number(value), start);
        Ok(())
    }

    fn exponent_follows(&self) -> bool {
        matches!(self.peek(0), b'e' | b'E')
            && (self.peek(1).is_ascii_digit()
                || (matches!(self.peek(1), b'+' | b'-') && self.peek(2).is_ascii_digit()))
    }

    fn run(&mut self, accept: impl Fn(u8) -> bool) {
        while accept(self.peek(0)) {
            self.at += 1;
        }
    }

    fn reject_trailing_letters(&mut self, start: usize) -> Result<(), ParseError> {
        if !self.peek(0).is_ascii_alphanumeric() && self.peek(0) != b'_' {
            return Ok(());
        }
        self.run(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
        let text = &self.query[start..self.at];
        Err(self.error(start, self.at, format!("bad number or duration syntax: {text:?}")))
    }

    /// The unit at `at`: its length, milliseconds, and rank (units must descend).
    fn duration_unit(&self, at: usize) -> Option<(usize, i64, u8)> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let unit = match rest {
            [b'm', b's', ..] => (2, 1, 0),
            [b's', ..] => (1, 1_000, 1),
            [b'm', ..] => (1, 60_000, 2),
            [b'h', ..] => (1, 3_600_000, 3),
            [b'd', ..] => (1, 86_400_000, 4),
            [b'w', ..] => (1, 604_800_000, 5),
            [b'y', ..] => (1, 31_536_000_000, 6),
            _ => return None,
        };
        Some(unit)
    }

    fn duration(&mut self, start: usize) -> Result<(), ParseError> {
        self.at = start;
        let (mut total, mut last_rank) = (0i64, u8::MAX);
        while self.peek(0).is_ascii_digit() {
            let digits = self.at;
            self.run(|b| b.is_ascii_digit());
            let amount = self.query[digits..self.at].parse::<i64>().ok();
            let Some((len, millis, rank)) = self.duration_unit(self.at) else { break };
            self.at += len;
            let sum = amount
                .and_then(|a| a.checked_mul(millis))
                .and_then(|part| total.checked_add(part))
                // Prometheus keeps durations in nanoseconds, which bounds them to 292 years.
                .filter(|sum| *sum <= i64::MAX / 1_000_000);
            let Some(sum) = sum else {
                self.run(|b| b.is_ascii_alphanumeric());
                return Err(self.error(start, self.at, "duration out of range"));
            };
            if rank >= last_rank {
                self.run(|b| b.is_ascii_alphanumeric());
                let text = &self.query[start..self.at];
                let message = format!("not a valid duration string: {text:?} (units must descend)");
                return Err(self.error(start, self.at, message));
            }
            (total, last_rank) = (sum, rank);
        }
        self.reject_trailing_letters(start)?;
        if self.bytes[self.at - 1].is_ascii_digit() {
            let text = &self.query[start..self.at];
            return Err(self.error(start, self.at, format!("bad duration syntax: {text:?}")));
        }
        self.push(Tok::Duration(total), start);
        Ok(())
    }

    fn raw(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let Some(len) = self.query[start + 1..].find('`') else {
            return Err(self.error(start, self.query.len(), "unterminated raw string"));
        };
        let text = self.query[start + 1..start + 1 + len].to_owned();
        self.at = start + len + 2;
        self.push(Tok::Str(Text { text, invalid: None }), start);
        Ok(())
    }

    fn quoted(&mut self, quote: u8) -> Result<(), ParseError> {
        let start = self.at;
        let mut out = Vec::new();
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                None | Some(b'\n') => {
                    return Err(self.error(start, self.at, "unterminated quoted string"));
                }
                Some(b'\\') => self.escape(&mut out)?,
                Some(&b) if b == quote => break,
                Some(&b) => {
                    out.push(b);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        let text = match String::from_utf8(out) {
            Ok(text) => Text { text, invalid: None },
            Err(error) => Text {
                text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                invalid: Some(error.into_bytes().into()),
            },
        };
        self.push(Tok::Str(text), start);
        Ok(())
    }

    /// One escape sequence of Go's string literals.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), ParseError> {
        let start = self.at;
        let kind = self.peek(1);
        self.at += 2;
        let simple = match kind {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' | b'"' | b'\'' => kind,
            b'x' => return self.code(start, 2, 16, true, out),
            b'u' => return self.code(start, 4, 16, false, out),
            b'U' => return self.code(start, 8, 16, false, out),
            b'0'..=b'7' => {
                self.at -= 1;
                return self.code(start, 3, 8, true, out);
            }
            _ => {
                self.at = (start + 1).min(self.bytes.len());
                while !self.query.is_char_boundary(self.at) {
                    self.at += 1;
                }
                return Err(self.error(start, self.at + 1, "unknown escape sequence in string"));
            }
        };
        out.push(simple);
        Ok(())
    }

    fn code(
        &mut self,
        start: usize,
        digits: usize,
        radix: u32,
        is_byte: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ParseError> {
        let text = self.query.get(self.at..self.at + digits).unwrap_or("");
        let is_digits = !text.is_empty() && text.bytes().all(|b| (b as char).is_digit(radix));
        let code = u32::from_str_radix(text, radix).ok().filter(|_| is_digits);
        let done = match code {
            Some(code) if is_byte => u8::try_from(code).ok().map(|byte| out.push(byte)),
            Some(code) => char::from_u32(code)
                .map(|c| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes())),
            None => None,
        };
        self.at += digits;
        done.ok_or_else(|| {
            let end = (start + 2 + digits).min(self.query.len());
            self.error(start, end, "bad escape sequence in string")
        })
    }
}

/// Go's number literals as Prometheus reads them: decimal, hexadecimal, leading-zero octal,
/// floats.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().map(|v| v as f64);
    }
    let is_octal =
        text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| (b'0'..b'8').contains(&b));
    if is_octal {
        return i64::from_str_radix(text, 8).ok().map(|v| v as f64);
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(query: &str) -> Vec<Tok> {
        lex(query).unwrap().into_iter().map(|t| t.tok).collect()
    }

    #[test]
    fn numbers_and_durations() {
        for (text, want) in [
            ("12.34e6", Tok::Number(12.34e6)),
            ("1e+3", Tok::Number(1000.0)),
            ("0x1F", Tok::Number(31.0)),
            ("010", Tok::Number(8.0)),
            ("08", Tok::Number(8.0)),
            (".2", Tok::Number(0.2)),
            ("2.", Tok::Number(2.0)),
            ("1h30m", Tok::Duration(5_400_000)),
            ("10s53ms", Tok::Duration(10_053)),
            ("1y1w", Tok::Duration(31_536_000_000 + 604_800_000)),
        ] {
            assert_eq!(kinds(text), [want, Tok::End], "{text}");
        }
        for bad in ["1m1h", "5m5", "3x", "1.5m", "1ee3", "400y", "0xg", "5mm"] {
            assert!(lex(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn strings_unescape_as_go_does() {
        let text = |q: &str| match &lex(q).unwrap()[0].tok {
            Tok::Str(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(r#""a\n\"\x41\101\u00e9""#).text, "a\n\"AAé");
        assert_eq!(text(r"'it\'s'").text, "it's");
        assert_eq!(text(r"`a\n`").text, r"a\n");
        assert_eq!(text(r#""a\xc5z""#).invalid.as_deref(), Some(&b"a\xc5z"[..]));
        for bad in [r#""a"#, "'a\n'", r#""\q""#, r#""\x4""#, r#""\é""#, "`a", r#""\"#] {
            assert!(lex(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn colons_separate_in_brackets_only() {
        use Tok::*;
        assert_eq!(kinds(":a:b"), [Word, End]);
        let got = kinds("a[5m:1m]");
        let want = [Word, Sym("["), Duration(300_000), Sym(":"), Duration(60_000), Sym("]"), End];
        assert_eq!(got, want);
        assert_eq!(kinds("x[5m:]")[3], Sym(":"));
    }
}
