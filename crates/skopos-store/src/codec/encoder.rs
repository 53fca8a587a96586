//! Writes primitives, and keeps the frame's string table.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Collects a frame's body and its string table.
#[derive(Default)]
pub(crate) struct Encoder {
    body: Vec<u8>,
    strings: Vec<u8>,
    count: u64,
    index: HashMap<Box<str>, u64, BuildHasherDefault<TextHasher>>,
    last_time: i64,
}

/// Hashes texts with XXH3. Senders choose the texts, but the table lives for one frame and its
/// collisions cost that sender's request alone.
#[derive(Default)]
struct TextHasher(u64);

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// `str` ends each text with one byte, which adds nothing when texts are hashed alone.
    fn write_u8(&mut self, byte: u8) {
        self.0 = self.0.rotate_left(8) ^ u64::from(byte);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Encoder {
    /// The frame body: string table, then what was written.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10 + self.strings.len() + self.body.len());
        write_varint(&mut out, self.count);
        out.extend_from_slice(&self.strings);
        out.extend_from_slice(&self.body);
        out
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.strings.len() + self.body.len()
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.body.push(byte);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    pub(crate) fn varint(&mut self, value: u64) {
        write_varint(&mut self.body, value);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.varint(count as u64);
    }

    pub(crate) fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn float(&mut self, value: f64) {
        let bits = value.to_bits();
        let len = 8 - (bits.trailing_zeros() / 8).min(8) as usize;
        self.byte(len as u8);
        self.body.extend_from_slice(bits.to_be_bytes().get(..len).unwrap_or_default());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A text that is likely to come again in this frame.
    pub(crate) fn text_ref(&mut self, text: &str) {
        let index = match self.index.get(text) {
            Some(&index) => index,
            None => {
                let index = self.count;
                self.count += 1;
                write_varint(&mut self.strings, text.len() as u64);
                self.strings.extend_from_slice(text.as_bytes());
                self.index.insert(text.into(), index);
                index
            }
        };
        self.varint(index);
    }

    /// A time near the one written before it.
    pub(crate) fn time(&mut self, time: i64) {
        self.zigzag(time.wrapping_sub(self.last_time));
        self.last_time = time;
    }

    /// An id of which "all zero" means "none".
    pub(crate) fn optional_id(&mut self, id: &[u8]) {
        if id.iter().all(|&byte| byte == 0) {
            self.byte(0);
        } else {
            self.byte(1);
            self.raw(id);
        }
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
