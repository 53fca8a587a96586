//! Reads primitives from bytes that may be anything.

use std::cell::OnceCell;
use std::sync::Arc;

/// Why bytes are not a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset} of the frame's body")]
pub struct DecodeError {
    /// How far the reader had come.
    pub offset: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// Reads one frame body.
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    table: Vec<Text<'a>>,
    last_time: i64,
}

/// An entry of the string table; becomes a shared allocation when first needed as one.
struct Text<'a> {
    text: &'a str,
    shared: OnceCell<Arc<str>>,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Decoder<'a> {
    /// Begins with the frame's string table.
    pub(crate) fn with_table(bytes: &'a [u8]) -> Result<Self> {
        let mut decoder = Self { bytes, at: 0, table: Vec::new(), last_time: 0 };
        let count = decoder.count()?;
        let mut table = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            table.push(Text { text: decoder.string()?, shared: OnceCell::new() });
        }
        decoder.table = table;
        Ok(decoder)
    }

    /// Checks that everything was read.
    pub(crate) fn finish(self) -> Result<()> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("bytes left over")) }
    }

    pub(crate) fn error(&self, reason: &'static str) -> DecodeError {
        DecodeError { offset: self.at, reason }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).ok_or_else(|| self.error("length overflows"))?;
        let taken =
            self.bytes.get(self.at..end).ok_or_else(|| self.error("ends before its length"))?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        let byte = self.bytes.get(self.at).ok_or_else(|| self.error("ends too early"))?;
        self.at += 1;
        Ok(*byte)
    }

    /// A byte that must be 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error("flag is neither 0 nor 1")),
        }
    }

    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(self.error("varint exceeds 64 bits"));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error("varint is longer than 10 bytes"))
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.error("number exceeds 32 bits"))
    }

    /// A count of items that take at least one byte each.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(count) if count <= self.bytes.len() - self.at => Ok(count),
            _ => Err(self.error("count exceeds the bytes left")),
        }
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn float(&mut self) -> Result<f64> {
        let len = usize::from(self.byte()?);
        if len > 8 {
            return Err(self.error("float is longer than 8 bytes"));
        }
        let mut bits = [0; 8];
        for (to, from) in bits.iter_mut().zip(self.take(len)?) {
            *to = *from;
        }
        Ok(f64::from_bits(u64::from_be_bytes(bits)))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        self.take(len)
    }

    pub(crate) fn string(&mut self) -> Result<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.error("text is not UTF-8"))
    }

    fn entry(&mut self) -> Result<&Text<'a>> {
        let index = self.varint()?;
        let error = self.error("text is not in the table");
        usize::try_from(index).ok().and_then(|index| self.table.get(index)).ok_or(error)
    }

    /// A text from the table.
    pub(crate) fn text_ref(&mut self) -> Result<&'a str> {
        self.entry().map(|entry| entry.text)
    }

    /// A text from the table as a shared allocation, the same one each time.
    pub(crate) fn shared_ref(&mut self) -> Result<Arc<str>> {
        self.entry().map(|entry| Arc::clone(entry.shared.get_or_init(|| entry.text.into())))
    }

    pub(crate) fn time(&mut self) -> Result<i64> {
        self.last_time = self.last_time.wrapping_add(self.zigzag()?);
        Ok(self.last_time)
    }

    pub(crate) fn optional_id<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut id = [0; N];
        if self.flag()? {
            id.copy_from_slice(self.take(N)?);
        }
        Ok(id)
    }
}
