//! Attributes: OpenTelemetry's key–value pairs with values of any type.

use std::fmt;
use std::sync::Arc;

/// A value as OTLP's `AnyValue` knows it. Floats keep their bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AnyValue {
    /// Present, but without a value.
    #[default]
    Empty,
    /// Text.
    String(Arc<str>),
    /// Truth.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Floating point number.
    Double(f64),
    /// List.
    Array(Vec<AnyValue>),
    /// Nested key–value pairs in the sender's order.
    Map(Attributes),
    /// Raw bytes.
    Bytes(Arc<[u8]>),
}

impl AnyValue {
    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Bytes held, roughly.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::String(text) => text.len(),
                Self::Bytes(bytes) => bytes.len(),
                Self::Array(items) => items.iter().map(Self::size_bytes).sum(),
                Self::Map(map) => map.size_bytes(),
                _ => 0,
            }
    }
}

impl From<&str> for AnyValue {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for AnyValue {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<i64> for AnyValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for AnyValue {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<bool> for AnyValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl fmt::Display for AnyValue {
    /// Writes the value as the OpenTelemetry specification's non-OTLP string form: text as it is,
    /// numbers and booleans plainly, lists and maps as JSON, bytes in base64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::String(text) => f.write_str(text),
            other => other.write_json(f),
        }
    }
}

impl AnyValue {
    /// Writes the value as JSON. Non-finite floats become strings ("NaN", "Infinity",
    /// "-Infinity"), bytes base64, an empty value `null`.
    pub fn write_json(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Empty => out.write_str("null"),
            Self::String(text) => write_json_string(out, text),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Int(value) => write!(out, "{value}"),
            Self::Double(value) if value.is_nan() => out.write_str("\"NaN\""),
            Self::Double(value) if value.is_infinite() => {
                out.write_str(if *value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" })
            }
            Self::Double(value) => write!(out, "{value:?}"),
            Self::Array(items) => {
                out.write_char('[')?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.write_char(',')?;
                    }
                    item.write_json(out)?;
                }
                out.write_char(']')
            }
            Self::Map(map) => map.write_json(out),
            Self::Bytes(bytes) => {
                out.write_char('"')?;
                write_base64(out, bytes)?;
                out.write_char('"')
            }
        }
    }
}

/// Key–value pairs in the sender's order. Keys are unique once [`Attributes::set`] is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<(Arc<str>, AnyValue)>);

impl Attributes {
    /// No attributes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No attributes yet, with room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&AnyValue> {
        self.0.iter().find(|(k, _)| &**k == key).map(|(_, v)| v)
    }

    /// The text under `key`, when it is a string.
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(AnyValue::as_str)
    }

    /// Sets `key`, replacing an earlier value.
    pub fn set(&mut self, key: impl Into<Arc<str>>, value: impl Into<AnyValue>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some(slot) => slot.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Appends without looking for an earlier value under the same key; for decoders that have
    /// checked already.
    pub fn push(&mut self, key: impl Into<Arc<str>>, value: impl Into<AnyValue>) {
        self.0.push((key.into(), value.into()));
    }

    /// Iterates in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &AnyValue)> {
        self.0.iter().map(|(k, v)| (&**k, v))
    }

    /// Iterates with mutable values, for redaction.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut AnyValue)> {
        self.0.iter_mut().map(|(k, v)| (&**k, v))
    }

    /// Bytes held, roughly.
    pub fn size_bytes(&self) -> usize {
        self.0.iter().map(|(k, v)| 16 + k.len() + v.size_bytes()).sum()
    }

    /// Writes the pairs as one JSON object, in order.
    pub fn write_json(&self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_char('{')?;
        for (i, (key, value)) in self.iter().enumerate() {
            if i > 0 {
                out.write_char(',')?;
            }
            write_json_string(out, key)?;
            out.write_char(':')?;
            value.write_json(out)?;
        }
        out.write_char('}')
    }
}

impl<K: Into<Arc<str>>, V: Into<AnyValue>> FromIterator<(K, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut attributes = Self::new();
        for (key, value) in pairs {
            attributes.set(key, value);
        }
        attributes
    }
}

fn write_json_string(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if (c as u32) < 0x20 => write!(out, "\\u{:04x}", c as u32)?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

fn write_base64(out: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let b = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = b(0) << 16 | b(1) << 8 | b(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize] as char;
            out.write_char(if i <= chunk.len() as u32 { digit } else { '=' })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_json() {
        let mut inner = Attributes::new();
        inner.set("k\n", 1_i64);
        inner.set("k\n", 2_i64);
        let value = AnyValue::Array(vec![
            AnyValue::Map(inner),
            AnyValue::Double(1.0),
            AnyValue::Double(f64::NEG_INFINITY),
            AnyValue::Bytes([1, 2, 3, 4][..].into()),
            AnyValue::Empty,
            AnyValue::from("a\"\u{1}"),
        ]);
        assert_eq!(value.to_string(), r#"[{"k\n":2},1.0,"-Infinity","AQIDBA==",null,"a\"\u0001"]"#);
        assert_eq!(AnyValue::from("plain").to_string(), "plain");
    }
}
