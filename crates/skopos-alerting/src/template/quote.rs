//! Go's quoted strings: reading escapes, and writing `%q`.

use std::str::Chars;

/// Resolves the escapes of an interpreted string's inside. `None` when an escape is wrong.
/// Bytes that are not UTF-8 become replacement characters.
pub(crate) fn unquote(inner: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match if c == '\\' { escape(&mut characters)? } else { Piece::Char(c) } {
            Piece::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Byte(byte) => bytes.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

enum Piece {
    Char(char),
    Byte(u8),
}

/// What stands after a backslash.
fn escape(characters: &mut Chars<'_>) -> Option<Piece> {
    let letter = characters.next()?;
    let simple = match letter {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' | '\'' | '"' => letter,
        'x' => return u8::try_from(code(characters, 2, 16, 0)?).ok().map(Piece::Byte),
        'u' => return char::from_u32(code(characters, 4, 16, 0)?).map(Piece::Char),
        'U' => return char::from_u32(code(characters, 8, 16, 0)?).map(Piece::Char),
        '0'..='7' => {
            let value = code(characters, 2, 8, letter.to_digit(8)?)?;
            return u8::try_from(value).ok().map(Piece::Byte);
        }
        _ => return None,
    };
    Some(Piece::Char(simple))
}

fn code(characters: &mut Chars<'_>, digits: usize, radix: u32, start: u32) -> Option<u32> {
    (0..digits).try_fold(start, |value, _| {
        value.checked_mul(radix)?.checked_add(characters.next()?.to_digit(radix)?)
    })
}

/// Writes a text as Go's `%q` does.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_go_strings() {
        for (inner, want) in [
            (r#"a\tb\\\""#, Some("a\tb\\\"")),
            (r"\u00e9\x41\101", Some("éAA")),
            (r"\xc3\xa9", Some("é")),
            (r"\q", None),
            (r"\u00", None),
            (r"\ud800", None),
            ("\\", None),
        ] {
            assert_eq!(unquote(inner).as_deref(), want, "{inner}");
        }
        assert_eq!(quote("a\"\n\u{1}é"), r#""a\"\n\x01é""#);
    }
}
