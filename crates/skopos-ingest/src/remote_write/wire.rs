//! Reading protobuf in place: fields of a message, one after another, nothing copied.
//!
//! Every position is one of the whole body, so that errors can say where. Groups, which protobuf
//! gave up long ago, are refused; unknown fields are the caller's to skip.

use super::WriteError;

/// A message, or any other field with a length, within a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// The body up to the end of this message.
    body: &'a [u8],
    at: usize,
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    /// A message, a text, or packed numbers.
    Bytes(Message<'a>),
    Fixed32,
}

impl<'a> Message<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// What is left of the message.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    /// Where in the body the next field begins.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn malformed(&self, what: &'static str) -> WriteError {
        WriteError::Malformed { what, offset: self.at }
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn next_field(&mut self) -> Result<Option<(u64, Value<'a>)>, WriteError> {
        if self.at >= self.body.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        if key >> 3 == 0 {
            return Err(self.malformed("a field has the number 0"));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.split(len)?)
            }
            5 => {
                self.split(4)?;
                Value::Fixed32
            }
            _ => return Err(self.malformed("a field has an unknown wire type")),
        };
        Ok(Some((key >> 3, value)))
    }

    pub(super) fn varint(&mut self) -> Result<u64, WriteError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.body.get(self.at) else {
                return Err(self.malformed("the message ends within a number"));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed("a number is longer than ten bytes"))
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, WriteError> {
        let bytes = self.split(8)?;
        let bytes = bytes.bytes().first_chunk::<8>().copied().unwrap_or_default();
        Ok(u64::from_le_bytes(bytes))
    }

    /// The fields with this key, which must stand for bytes, at the front of what is left: passes
    /// over them without looking inside. Stops before what is not plain.
    pub(super) fn take_front(&mut self, key: u8) -> &'a [u8] {
        let bytes = self.bytes();
        let mut end = 0;
        while let Some([found, rest @ ..]) = bytes.get(end..)
            && *found == key
        {
            let (header, len) = match rest {
                [len @ 0..=0x7f, ..] => (2, usize::from(*len)),
                [low, high @ 0..=0x7f, ..] => {
                    (3, usize::from(*low & 0x7f) | usize::from(*high) << 7)
                }
                _ => break,
            };
            if header + len > bytes.len() - end {
                break;
            }
            end += header + len;
        }
        self.at += end;
        bytes.get(..end).unwrap_or_default()
    }

    /// The next `len` bytes as a message of their own.
    fn split(&mut self, len: usize) -> Result<Self, WriteError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.body.len());
        let Some(end) = end else {
            return Err(self.malformed("a field is longer than its message"));
        };
        let part = Self { body: self.body.get(..end).unwrap_or_default(), at: self.at };
        self.at = end;
        Ok(part)
    }
}

/// Undoes zigzag, protobuf's form of `sint32` and `sint64`.
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_bytes_say_what_and_where() {
        let fail = |bytes: &[u8]| {
            let mut message = Message::new(bytes);
            loop {
                match message.next_field() {
                    Ok(Some(_)) => {}
                    Ok(None) => return "fine".to_owned(),
                    Err(WriteError::Malformed { what, offset }) => {
                        return format!("{offset} {what}");
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        };
        assert_eq!(fail(b"\x08\x01\x12\x02ab"), "fine");
        assert_eq!(fail(b"\x08"), "1 the message ends within a number");
        assert_eq!(fail(b"\x12\x03ab"), "2 a field is longer than its message");
        assert_eq!(
            fail(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01ab"),
            "11 a field is longer than its message"
        );
        assert_eq!(fail(b"\x09\x01"), "1 a field is longer than its message");
        assert_eq!(fail(b"\x0b"), "1 a field has an unknown wire type");
        assert_eq!(fail(b"\x00\x01"), "1 a field has the number 0");
        assert_eq!(fail(&[0x80; 11]), "10 a number is longer than ten bytes");
    }

    #[test]
    fn zigzag_is_undone() {
        let all = [0, 1, 2, 3, u64::MAX, u64::MAX - 1].map(zigzag);
        assert_eq!(all, [0, -1, 1, -2, i64::MIN, i64::MAX]);
    }
}
