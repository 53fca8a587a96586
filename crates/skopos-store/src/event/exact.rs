//! Notes on what JSON text cannot say: which of its strings are bytes or special floats.
//!
//! A note is `path=b` (base64 bytes) or `path=d<16 hexadecimal digits>` (the bits of a float); a
//! path is the column's name and the positions of map entries and list items. Notes are separated
//! by `;`. Rows that need none, nearly all, have none.

use std::fmt::Write as _;

use skopos_model::{AnyValue, Attributes};

/// Appends notes for everything in `value` that JSON cannot say.
pub(super) fn note(column: &str, value: &AnyValue, notes: &mut String) {
    let mut path = Vec::new();
    walk(column, value, &mut path, notes);
}

/// Like [`note`], for a column that holds a JSON object.
pub(super) fn note_attributes(column: &str, attributes: &Attributes, notes: &mut String) {
    let mut path = Vec::new();
    walk_map(column, attributes, &mut path, notes);
}

fn walk_map(column: &str, map: &Attributes, path: &mut Vec<usize>, notes: &mut String) {
    for (i, (_, value)) in map.iter().enumerate() {
        path.push(i);
        walk(column, value, path, notes);
        path.pop();
    }
}

fn walk(column: &str, value: &AnyValue, path: &mut Vec<usize>, notes: &mut String) {
    let mut add = |path: &[usize], kind: std::fmt::Arguments<'_>| {
        if !notes.is_empty() {
            notes.push(';');
        }
        notes.push_str(column);
        for step in path {
            let _ = write!(notes, "/{step}");
        }
        let _ = write!(notes, "={kind}");
    };
    match value {
        AnyValue::Bytes(_) => add(path, format_args!("b")),
        AnyValue::Double(value) if !value.is_finite() => {
            add(path, format_args!("d{:016x}", value.to_bits()));
        }
        AnyValue::Map(map) => walk_map(column, map, path, notes),
        AnyValue::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                path.push(i);
                walk(column, item, path, notes);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Puts the noted values of `column` into `value`; `None` when a note does not fit.
pub(super) fn restore(column: &str, notes: &str, value: &mut AnyValue) -> Option<()> {
    for note in notes.split(';') {
        let (path, kind) = note.split_once('=')?;
        let mut path = path.split('/');
        if path.next() != Some(column) {
            continue;
        }
        let mut at = &mut *value;
        for step in path {
            let step: usize = step.parse().ok()?;
            at = match at {
                AnyValue::Array(items) => items.get_mut(step)?,
                AnyValue::Map(map) => map.iter_mut().nth(step)?.1,
                _ => return None,
            };
        }
        *at = match kind.split_at_checked(1)? {
            ("b", "") => AnyValue::Bytes(from_base64(at.as_str()?)?.into()),
            ("d", bits) => AnyValue::Double(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)),
            _ => return None,
        };
    }
    Some(())
}

/// Decodes standard base64 with padding, as `AnyValue` writes it.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let digits = text.trim_end_matches('=');
    for chunk in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for &digit in chunk {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let missing = 4 - chunk.len() as u32;
        bits <<= 6 * missing;
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(&bytes[1..4 - missing as usize]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json;

    #[test]
    fn what_json_cannot_say_comes_back() {
        for len in 0..7_u8 {
            let bytes: Vec<u8> = (0..len).map(|i| 251 + i % 5).collect();
            let mut map = Attributes::new();
            map.set("plain", "NaN");
            map.set("nan", f64::from_bits(0x7ff8_0000_0000_0123));
            let value = AnyValue::Array(vec![
                AnyValue::Bytes(bytes.into()),
                AnyValue::Map(map),
                AnyValue::Double(f64::NEG_INFINITY),
                AnyValue::Double(-0.0),
            ]);
            let mut notes = String::new();
            note("body", &value, &mut notes);
            let mut text = String::new();
            value.write_json(&mut text).unwrap();
            let mut back = json::parse(&text).unwrap();
            restore("attributes", &notes, &mut back).unwrap();
            restore("body", &notes, &mut back).unwrap();
            assert_eq!(format!("{back:?}"), format!("{value:?}"));
            assert!(notes.contains("body/1/1=d7ff8000000000123"), "{notes}");
        }
    }
}
