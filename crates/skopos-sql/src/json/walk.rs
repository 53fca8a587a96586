//! Finds one value in JSON text without building the rest.

use std::borrow::Cow;

/// Deeper nesting than decoders let in is not followed.
const MOST_DEPTH: usize = 256;

/// The value under the first `key` of an object, as it is written.
pub(crate) fn member<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let mut walker = Walker { text: json, at: 0 };
    walker.expect(b'{')?;
    if walker.next_is(b'}') {
        return None;
    }
    loop {
        walker.skip_space();
        let name = walker.raw_string()?;
        walker.expect(b':')?;
        let value = walker.value(0)?;
        if unquote(name).is_some_and(|name| name == key) {
            return Some(value);
        }
        if !walker.next_is(b',') {
            return None;
        }
    }
}

/// An item of a list, as it is written; negative places count from the end.
pub(crate) fn item(json: &str, place: i64) -> Option<&str> {
    let mut walker = Walker { text: json, at: 0 };
    walker.expect(b'[')?;
    if walker.next_is(b']') {
        return None;
    }
    let mut items = Vec::new();
    loop {
        let value = walker.value(0)?;
        if i64::try_from(items.len()) == Ok(place) {
            return Some(value);
        }
        items.push(value);
        if !walker.next_is(b',') {
            break;
        }
    }
    let from_end = usize::try_from(place.checked_neg()?).ok()?;
    items.len().checked_sub(from_end).and_then(|at| items.get(at)).copied()
}

/// A value as text: strings without their quotes, `null` as nothing, all else as it is written.
pub(crate) fn text(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => unquote(value),
        b'n' => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

struct Walker<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walker<'a> {
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

    /// A string with its quotes.
    fn raw_string(&mut self) -> Option<&'a str> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(start..self.at)
    }

    /// A value of any kind, as it is written.
    fn value(&mut self, depth: usize) -> Option<&'a str> {
        if depth > MOST_DEPTH {
            return None;
        }
        self.skip_space();
        let start = self.at;
        match self.peek()? {
            b'"' => return self.raw_string(),
            open @ (b'{' | b'[') => {
                let close = if open == b'{' { b'}' } else { b']' };
                self.at += 1;
                if !self.next_is(close) {
                    loop {
                        if open == b'{' {
                            self.skip_space();
                            self.raw_string()?;
                            self.expect(b':')?;
                        }
                        self.value(depth + 1)?;
                        if !self.next_is(b',') {
                            break;
                        }
                    }
                    self.expect(close)?;
                }
            }
            _ => {
                while matches!(
                    self.peek(),
                    Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E')
                ) {
                    self.at += 1;
                }
                if self.at == start {
                    return None;
                }
            }
        }
        self.text.get(start..self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_asked_for() {
        let json = r#"{"a.b":"x\ny", "n": 12, "f":1.5,"no":null,"l":[1,"two",{"k":"v"}],"o":{"a.b":true},"a.b":"later"}"#;
        let get = |key: &str| member(json, key).and_then(text).map(Cow::into_owned);
        for (key, want) in [
            ("a.b", Some("x\ny")),
            ("n", Some("12")),
            ("f", Some("1.5")),
            ("no", None),
            ("l", Some(r#"[1,"two",{"k":"v"}]"#)),
            ("o", Some(r#"{"a.b":true}"#)),
            ("a", None),
        ] {
            assert_eq!(get(key).as_deref(), want, "{key}");
        }
        let list = member(json, "l").unwrap();
        for (place, want) in [
            (0, Some("1")),
            (1, Some("\"two\"")),
            (-1, Some(r#"{"k":"v"}"#)),
            (3, None),
            (-4, None),
        ] {
            assert_eq!(item(list, place), want, "{place}");
        }
    }

    #[test]
    fn what_is_no_json_holds_nothing() {
        let deep = "[".repeat(100_000);
        for json in ["", "{", "{\"a\"", "{\"a\":}", "{\"a\":\"", "[1", "nothing", "{\"b\\", &deep] {
            assert_eq!(member(json, "a"), None, "{json:.20}");
            assert_eq!(item(json, 7), None, "{json:.20}");
        }
        assert_eq!(item("[]", i64::MIN), None);
    }
}
