//! Reads the JSON text of event columns.
//!
//! Why not a general reader: key order and repeated keys must be kept, whole numbers and floats
//! told apart as they were written, and a filter must find one key without building the rest.
//! Nesting is bounded, damaged text yields `None`.

use std::borrow::Cow;

use skopos_model::event::FieldValue;
use skopos_model::{AnyValue, Attributes};

/// Deeper nesting than decoders let in.
const MOST_DEPTH: usize = 256;

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Option<AnyValue> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    (parser.at == text.len()).then_some(value)
}

/// Parses an object.
pub(super) fn parse_attributes(text: &str) -> Option<Attributes> {
    match text {
        "{}" => Some(Attributes::new()),
        _ => match parse(text)? {
            AnyValue::Map(map) => Some(map),
            _ => None,
        },
    }
}

/// The field under the first `key` of an object.
pub(super) fn find<'a>(text: &'a str, key: &str) -> Option<FieldValue<'a>> {
    let mut parser = Parser { text, at: 0 };
    parser.expect(b'{')?;
    if parser.next_is(b'}') {
        return None;
    }
    loop {
        parser.skip_space();
        let name = parser.string()?;
        parser.expect(b':')?;
        parser.skip_space();
        let start = parser.at;
        parser.skip_value()?;
        if name == key {
            return field(&text[start..parser.at]);
        }
        if !parser.next_is(b',') {
            return None;
        }
    }
}

/// Shows each key of an object and its value as it is written; `None` when the text is damaged.
pub(super) fn each<'a>(text: &'a str, mut show: impl FnMut(&str, &'a str)) -> Option<()> {
    let mut parser = Parser { text, at: 0 };
    parser.expect(b'{')?;
    if parser.next_is(b'}') {
        return Some(());
    }
    loop {
        parser.skip_space();
        let key = parser.string()?;
        parser.expect(b':')?;
        parser.skip_space();
        let start = parser.at;
        parser.skip_value()?;
        show(&key, text.get(start..parser.at)?);
        if !parser.next_is(b',') {
            return Some(());
        }
    }
}

/// A written value as text: strings without their quotes, all else as it is written, null as none.
pub(super) fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => Parser { text: raw, at: 0 }.string(),
        b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// A value as filters see it: what `FieldValue::from(&AnyValue)` would make of it.
fn field(raw: &str) -> Option<FieldValue<'_>> {
    Some(match raw.as_bytes().first()? {
        b'"' => FieldValue::Text(Parser { text: raw, at: 0 }.string()?),
        b'-' | b'0'..=b'9' if raw.contains(['.', 'e', 'E']) => {
            FieldValue::Number(raw.parse().ok()?)
        }
        b'-' | b'0'..=b'9' => FieldValue::Number(raw.parse::<i64>().ok()? as f64),
        b'n' => FieldValue::Text(Cow::Borrowed("")),
        // Truth, lists and maps print as they are written.
        _ => FieldValue::Text(Cow::Borrowed(raw)),
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_space();
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.next_is(byte).then_some(())
    }

    fn value(&mut self, depth: usize) -> Option<AnyValue> {
        if depth > MOST_DEPTH {
            return None;
        }
        self.skip_space();
        match self.peek()? {
            b'"' => Some(AnyValue::from(&*self.string()?)),
            b'{' => self.object(depth).map(AnyValue::Map),
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                if self.next_is(b']') {
                    return Some(AnyValue::Array(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    if !self.next_is(b',') {
                        break;
                    }
                }
                self.expect(b']')?;
                Some(AnyValue::Array(items))
            }
            _ => {
                let word = self.word();
                Some(match word {
                    "null" => AnyValue::Empty,
                    "true" => AnyValue::Bool(true),
                    "false" => AnyValue::Bool(false),
                    number if number.contains(['.', 'e', 'E']) => {
                        AnyValue::Double(number.parse().ok()?)
                    }
                    number => AnyValue::Int(number.parse().ok()?),
                })
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Attributes> {
        self.expect(b'{')?;
        let mut map = Attributes::new();
        if self.next_is(b'}') {
            return Some(map);
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.expect(b':')?;
            map.push(&*key, self.value(depth + 1)?);
            if !self.next_is(b',') {
                break;
            }
        }
        self.expect(b'}')?;
        Some(map)
    }

    fn word(&mut self) -> &'a str {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E')) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Reads a string; borrows when nothing is escaped.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let start = self.at + 1;
        let rest = self.text.get(start..)?;
        let end = rest.bytes().position(|b| b == b'"' || b == b'\\')?;
        if rest.as_bytes()[end] == b'"' {
            self.at = start + end + 1;
            return Some(Cow::Borrowed(&rest[..end]));
        }
        let mut out = String::from(&rest[..end]);
        let mut chars = rest[end..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + end + i + 1;
                    return Some(Cow::Owned(out));
                }
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    'r' => out.push('\r'),
                    't' => out.push('\t'),
                    'b' => out.push('\u{8}'),
                    'f' => out.push('\u{c}'),
                    'u' => {
                        let mut code = 0;
                        for _ in 0..4 {
                            code = code * 16 + chars.next()?.1.to_digit(16)?;
                        }
                        // We write control characters so, never surrogates.
                        out.push(char::from_u32(code)?);
                    }
                    c @ ('"' | '\\' | '/') => out.push(c),
                    _ => return None,
                },
                c => out.push(c),
            }
        }
        None
    }

    /// Steps over a value without building it.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth == 0 => {
                    if self.word().is_empty() {
                        return None;
                    }
                }
                _ => self.at += 1,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            let rest = bytes.get(self.at..)?;
            let step = rest.iter().position(|&b| b == b'"' || b == b'\\')?;
            if rest[step] == b'"' {
                self.at += step + 1;
                return Some(());
            }
            self.at += step + 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut map = Attributes::new();
        map.push("a", 1_i64);
        map.push("a", "twice \"quoted\" \\ \n \u{1} ü");
        map.push("", AnyValue::Empty);
        map.push("k\"\\\u{2}", AnyValue::Array(vec![true.into(), AnyValue::Map(map.clone())]));
        map.push("f", 1e300);
        map.push("i", i64::MIN);
        map.push("z", -0.0);
        map.push("e", AnyValue::Array(vec![]));
        map.push("m", AnyValue::Map(Attributes::new()));
        let mut text = String::new();
        map.write_json(&mut text).unwrap();
        let back = parse_attributes(&text).unwrap();
        assert_eq!(format!("{back:?}"), format!("{map:?}"));
        for (key, _) in map.iter().chain([("absent", &AnyValue::Empty)]) {
            assert_eq!(find(&text, key), map.get(key).map(FieldValue::from), "{key:?}");
        }
    }

    #[test]
    fn damaged_text_is_none_not_a_panic() {
        let text = r#"{"a":[1,{"b":"\u0001é"},-1.5e-7],"c":null}"#;
        for cut in (0..text.len()).filter(|&cut| text.is_char_boundary(cut)) {
            assert_eq!(parse(&text[..cut]), None, "{cut}");
            find(&text[..cut], "c");
            find(&text[cut..], "c");
            parse(&text[cut..]);
        }
        assert_eq!(parse(&"[".repeat(100_000)), None);
        assert_eq!(parse("{} x"), None);
        assert_eq!(parse("\"\\"), None);
        assert_eq!(find("{\"a\\", "a"), None);
    }
}
