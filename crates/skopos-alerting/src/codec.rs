//! The bytes of a state record: a version, then fields in fixed order.
//!
//! Whole numbers are LEB128 (signed ones zigzag), numbers with fractions 8 bytes little-endian, texts
//! and lists carry their length first. Decoding checks everything and wants every byte used, so
//! that a damaged record is an error and never a wrong alert.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use skopos_model::Labels;

/// A record that is not what its writer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode {what} at byte {offset}")]
pub struct DecodeError {
    /// The field.
    pub what: &'static str,
    /// Where it starts.
    pub offset: usize,
}

#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(version: u8) -> Self {
        Self(vec![version])
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn optional(&mut self, value: Option<i64>) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            self.signed(value);
        }
    }

    pub(crate) fn float(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn labels(&mut self, labels: &Labels) {
        self.unsigned(labels.len() as u64);
        for (name, value) in labels.iter() {
            self.text(name);
            self.text(value);
        }
    }

    pub(crate) fn texts(&mut self, texts: &BTreeMap<String, String>) {
        self.unsigned(texts.len() as u64);
        for (name, value) in texts {
            self.text(name);
            self.text(value);
        }
    }
}

pub(crate) struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts behind a version byte, which must be the one given.
    pub(crate) fn new(data: &'a [u8], version: u8) -> Result<Self, DecodeError> {
        Self::of_versions(data, version..=version).map(|(reader, _)| reader)
    }

    /// Starts behind a version byte, and says which of those given it is.
    pub(crate) fn of_versions(
        data: &'a [u8],
        versions: RangeInclusive<u8>,
    ) -> Result<(Self, u8), DecodeError> {
        let mut reader = Self { data, at: 0 };
        match reader.byte("version")? {
            found if versions.contains(&found) => Ok((reader, found)),
            _ => Err(DecodeError { what: "version", offset: 0 }),
        }
    }

    fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { what, offset: self.at }
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let byte = *self.data.get(self.at).ok_or_else(|| self.error(what))?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn unsigned(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let start = self.at;
        let wrong = DecodeError { what, offset: start };
        let mut value: u64 = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            let is_last = byte < 0x80;
            let fits = shift < 63 || bits <= 1;
            let is_shortest = !is_last || byte != 0 || shift == 0;
            if !fits || !is_shortest {
                return Err(wrong);
            }
            value |= bits << shift;
            if is_last {
                return Ok(value);
            }
        }
        Err(wrong)
    }

    /// A number that counts or indexes something in memory.
    pub(crate) fn size(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let wrong = self.error(what);
        usize::try_from(self.unsigned(what)?).map_err(|_| wrong)
    }

    pub(crate) fn signed(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let value = self.unsigned(what)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        let wrong = self.error(what);
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(wrong),
        }
    }

    pub(crate) fn optional(&mut self, what: &'static str) -> Result<Option<i64>, DecodeError> {
        if self.flag(what)? { self.signed(what).map(Some) } else { Ok(None) }
    }

    pub(crate) fn float(&mut self, what: &'static str) -> Result<f64, DecodeError> {
        let bytes = self.take(8, what)?;
        let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| self.error(what))?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.data.len());
        let bytes = &self.data[self.at..end.ok_or_else(|| self.error(what))?];
        self.at += length;
        Ok(bytes)
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.size(what)?;
        self.take(length, what)
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let wrong = self.error(what);
        std::str::from_utf8(self.bytes(what)?).map_err(|_| wrong)
    }

    /// Pairs in strictly ascending order of their names.
    fn pairs(&mut self, what: &'static str) -> Result<Vec<(&'a str, &'a str)>, DecodeError> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for _ in 0..self.unsigned(what)? {
            let wrong = self.error(what);
            let pair = (self.text(what)?, self.text(what)?);
            if pairs.last().is_some_and(|(before, _)| *before >= pair.0) {
                return Err(wrong);
            }
            pairs.push(pair);
        }
        Ok(pairs)
    }

    pub(crate) fn labels(&mut self, what: &'static str) -> Result<Labels, DecodeError> {
        let wrong = self.error(what);
        let pairs = self.pairs(what)?;
        if pairs.iter().any(|(_, value)| value.is_empty()) {
            return Err(wrong);
        }
        Ok(Labels::from_pairs(pairs))
    }

    pub(crate) fn texts(
        &mut self,
        what: &'static str,
    ) -> Result<BTreeMap<String, String>, DecodeError> {
        let pairs = self.pairs(what)?;
        Ok(pairs.into_iter().map(|(n, v)| (n.to_string(), v.to_string())).collect())
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.at == self.data.len() { Ok(()) } else { Err(self.error("end of record")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_have_one_form() {
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            let mut writer = Writer::new(1);
            writer.signed(value);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes, 1).unwrap();
            assert_eq!(reader.signed("n"), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
        for wrong in
            [&[1, 0x80, 0x00][..], &[1, 0x80], &[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]]
        {
            assert!(Reader::new(wrong, 1).unwrap().unsigned("n").is_err(), "{wrong:?}");
        }
    }
}
