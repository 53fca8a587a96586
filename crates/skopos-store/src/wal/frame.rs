//! The layout of segment headers and frames, without any I/O.

use super::LogFormat;

/// Version of frame payloads.
pub(crate) const PAYLOAD_VERSION: u8 = 1;
/// Bytes of a file header.
pub(crate) const FILE_HEADER_BYTES: usize = 24;
/// Bytes of a frame header.
pub(crate) const FRAME_HEADER_BYTES: usize = 16;
/// Bytes of a payload before the body: version, kind.
const PAYLOAD_PREFIX_BYTES: usize = 2;
/// Longest payload.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 256 << 20;

/// Longest body of a frame.
pub(crate) const MAX_BODY_BYTES: usize = MAX_PAYLOAD_BYTES - PAYLOAD_PREFIX_BYTES;

/// The writer ended in good order.
pub(crate) const CLOSED: u8 = 0;
/// A metrics batch.
pub(crate) const METRICS: u8 = 1;
/// A batch of log records.
pub(crate) const LOGS: u8 = 2;
/// A batch of spans.
pub(crate) const TRACES: u8 = 3;
/// A metrics batch whose series have numbers within the segment.
pub(crate) const NUMBERED: u8 = 4;

/// What a file header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileHeader {
    /// All is well; the version.
    Good(u32),
    /// Written by a newer version.
    Newer(u32),
    /// Not a header of this file.
    Bad(&'static str),
}

/// Checks the first bytes of a file.
pub(crate) fn check_file_header(format: &LogFormat, number: u64, bytes: &[u8]) -> FileHeader {
    let (Some(magic), Some(version)) = (bytes.get(..8), u32_at(bytes, 8)) else {
        return FileHeader::Bad("header is incomplete");
    };
    if magic != format.magic {
        return FileHeader::Bad("not a file of this log (magic bytes differ)");
    }
    // Before the checksum: a newer header may be longer.
    if version > format.version {
        return FileHeader::Newer(version);
    }
    let Some(bytes) = bytes.get(..FILE_HEADER_BYTES) else {
        return FileHeader::Bad("header is incomplete");
    };
    if version == 0 || bytes != file_header(format, version, number) {
        return FileHeader::Bad("header does not check");
    }
    FileHeader::Good(version)
}

fn file_header(format: &LogFormat, version: u32, number: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(FILE_HEADER_BYTES);
    header.extend_from_slice(format.magic);
    header.extend_from_slice(&version.to_le_bytes());
    header.extend_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&header);
    header.extend_from_slice(&checksum.to_le_bytes());
    header
}

/// A frame header that checks at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of payload that follow.
    pub(crate) payload_len: usize,
    /// Up to where the segment was durable when this was written.
    pub(crate) synced: u64,
    payload_checksum: u32,
}

impl FrameHeader {
    /// Reads a header that stands at `offset` of segment `number`; `None` when there is none.
    pub(crate) fn parse(number: u64, offset: u64, bytes: &[u8]) -> Option<Self> {
        let payload_len = u32_at(bytes, 0)? as usize;
        if !(PAYLOAD_PREFIX_BYTES..=MAX_PAYLOAD_BYTES).contains(&payload_len) {
            return None;
        }
        let checksum = header_checksum(number, offset, bytes.get(..12)?);
        (u32_at(bytes, 12)? == checksum).then_some(Self {
            payload_len,
            synced: u32_at(bytes, 4)?.into(),
            payload_checksum: u32_at(bytes, 8)?,
        })
    }

    /// Whether these are the bytes the header was written for.
    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        crc32c::crc32c(payload) == self.payload_checksum
    }
}

fn header_checksum(number: u64, offset: u64, fields: &[u8]) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &offset.to_le_bytes());
    crc32c::crc32c_append(place, fields)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A payload taken apart.
pub(crate) fn split_payload(payload: &[u8]) -> Option<(u8, u8, &[u8])> {
    match payload {
        [version, kind, body @ ..] => Some((*version, *kind, body)),
        _ => None,
    }
}

/// Formats a file: its header, then frames, into a buffer that its owner writes out and clears.
pub(crate) struct Framer {
    number: u64,
    /// Offset in the file of the end of the buffer.
    offset: u64,
    synced: u64,
    buffer: Vec<u8>,
}

impl Framer {
    /// A new file; its header is in the buffer.
    pub(crate) fn new(format: &LogFormat, number: u64) -> Self {
        let buffer = file_header(format, format.version, number);
        Self { number, offset: buffer.len() as u64, synced: 0, buffer }
    }

    /// Adds a frame. The body must not be longer than [`MAX_BODY_BYTES`].
    pub(crate) fn push(&mut self, kind: u8, body: &[u8]) {
        debug_assert!(body.len() <= MAX_BODY_BYTES);
        let prefix = [PAYLOAD_VERSION, kind];
        let payload_len = prefix.len() + body.len();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&prefix), body);
        let mut header = [0; FRAME_HEADER_BYTES];
        let fields = [payload_len as u32, self.synced as u32, checksum];
        for (to, field) in header.chunks_exact_mut(4).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        let (fields, to) = header.split_at_mut(12);
        to.copy_from_slice(&header_checksum(self.number, self.offset, fields).to_le_bytes());
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(&prefix);
        self.buffer.extend_from_slice(body);
        self.offset += (FRAME_HEADER_BYTES + payload_len) as u64;
    }

    /// What has not been written out yet.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buffer
    }

    /// Forgets what has been written out.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        // One huge batch must not keep its memory for ever.
        self.buffer.shrink_to(4 << 20);
    }

    /// Everything so far is durable.
    pub(crate) fn mark_synced(&mut self) {
        self.synced = self.offset;
    }

    /// Bytes of the file so far, pending ones included.
    pub(crate) fn len(&self) -> u64 {
        self.offset
    }

    /// Bytes known to be durable.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }
}

#[cfg(test)]
mod tests {
    use super::super::WAL;
    use super::*;

    #[test]
    fn a_frame_is_valid_only_at_its_place() {
        let mut framer = Framer::new(&WAL, 7);
        framer.mark_synced();
        framer.push(METRICS, b"body");
        let bytes = framer.pending();
        assert_eq!(check_file_header(&WAL, 7, bytes), FileHeader::Good(2));
        assert!(matches!(check_file_header(&WAL, 8, bytes), FileHeader::Bad(_)));
        let at = FILE_HEADER_BYTES;
        let header = FrameHeader::parse(7, at as u64, &bytes[at..]).unwrap();
        assert_eq!((header.payload_len, header.synced), (6, 24));
        assert!(header.fits(&bytes[at + FRAME_HEADER_BYTES..]));
        assert_eq!(FrameHeader::parse(7, at as u64 + 1, &bytes[at..]), None);
        assert_eq!(FrameHeader::parse(8, at as u64, &bytes[at..]), None);
        assert_eq!(FrameHeader::parse(7, at as u64, &[0; 16]), None);
    }

    #[test]
    fn newer_versions_are_known_before_the_checksum() {
        let mut bytes = Framer::new(&WAL, 1).pending().to_vec();
        bytes[8] = 3;
        assert_eq!(check_file_header(&WAL, 1, &bytes), FileHeader::Newer(3));
        for version in [0, 1] {
            bytes[8] = version;
            assert!(matches!(check_file_header(&WAL, 1, &bytes), FileHeader::Bad(_)));
        }
    }

    #[test]
    fn older_versions_are_read() {
        let old = LogFormat { version: 1, ..WAL };
        let bytes = Framer::new(&old, 1).pending().to_vec();
        assert_eq!(check_file_header(&WAL, 1, &bytes), FileHeader::Good(1));
    }
}
