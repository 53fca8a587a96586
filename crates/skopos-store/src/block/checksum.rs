//! Checksums of the pieces of a block file, which stand in it before the footer: whatever is read
//! is compared with them first.
//!
//! Constraints:
//! - A reader of Parquet finds the footer from the file's end, and everything else through the
//!   footer's offsets: bytes between that nothing points to are skipped by every engine.
//! - What is not covered is the footer's length at the very end; when it is wrong, the checksums
//!   are not found, and the file is checked as a whole against the catalog.

use std::io;

use crate::fs::FsRead;

/// Bytes that one checksum covers: what is read and compared for the smallest piece of data.
pub(super) const PIECE_BYTES: u64 = 16 << 10;
/// How the checksums end.
const MAGIC: &[u8; 8] = b"SKOPSUM1";
/// What stands after the pieces' checksums: those of the footer and of the region, the number of
/// pieces, the magic.
const TRAILER_BYTES: u64 = 20;
/// Length of the footer and `PAR1`.
const TAIL_BYTES: u64 = 8;

/// What the bytes of a file must be.
pub(super) struct Checksums {
    /// One for each piece before the region.
    pieces: Vec<u32>,
    /// Where the pieces end.
    data_len: u64,
    /// Where the footer begins, which goes to the end of the file.
    footer_start: u64,
    footer: u32,
}

/// Where the footer of a Parquet file begins.
fn footer_start(tail: [u8; 8], len: u64) -> Option<u64> {
    let [a, b, c, d, ..] = tail;
    len.checked_sub(TAIL_BYTES + u64::from(u32::from_le_bytes([a, b, c, d])))
}

/// The region that goes between the data and the footer of a file, and the place where; `None` when
/// the bytes are no Parquet file.
pub(super) fn region(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let tail = *bytes.last_chunk::<8>()?;
    let start = usize::try_from(footer_start(tail, bytes.len() as u64)?).ok()?;
    let (data, footer) = bytes.split_at_checked(start)?;
    let pieces = data.chunks(PIECE_BYTES as usize);
    let mut region = Vec::with_capacity(pieces.len() * 4 + TRAILER_BYTES as usize);
    let count = u32::try_from(pieces.len()).ok()?;
    for piece in pieces {
        region.extend(crc32c::crc32c(piece).to_le_bytes());
    }
    region.extend(crc32c::crc32c(footer).to_le_bytes());
    region.extend(count.to_le_bytes());
    region.extend(crc32c::crc32c(&region).to_le_bytes());
    region.extend(MAGIC);
    Some((start, region))
}

/// The bytes are not those that were written.
pub(super) fn differs(from: u64, to: u64) -> io::Error {
    let message = format!("bytes {from} to {to} are not those that were written");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl Checksums {
    /// Reads them; `None` when the file has none, because an earlier version wrote it or its end is
    /// damaged.
    pub(super) fn read(file: &dyn FsRead, len: u64) -> io::Result<Option<Self>> {
        let Some(tail_at) = len.checked_sub(TAIL_BYTES) else { return Ok(None) };
        let mut tail = [0; TAIL_BYTES as usize];
        file.read_at(tail_at, &mut tail)?;
        let Some(footer_start) = footer_start(tail, len) else { return Ok(None) };
        let Some(trailer_at) = footer_start.checked_sub(TRAILER_BYTES) else { return Ok(None) };
        let mut trailer = [0; TRAILER_BYTES as usize];
        file.read_at(trailer_at, &mut trailer)?;
        let Some((numbers, magic)) = trailer.split_first_chunk::<12>() else { return Ok(None) };
        if magic != MAGIC {
            return Ok(None);
        }
        let number = |at: usize| {
            let bytes = numbers.get(at..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let (footer, count, checksum) = (number(0), number(4), number(8));
        let wrong = || differs(trailer_at, footer_start);
        let data_len = trailer_at.checked_sub(u64::from(count) * 4).ok_or_else(wrong)?;
        if data_len.div_ceil(PIECE_BYTES) != u64::from(count) {
            return Err(wrong());
        }
        let mut region = vec![0; count as usize * 4];
        file.read_at(data_len, &mut region)?;
        let (covered, _) = trailer.split_at(8);
        if crc32c::crc32c_append(crc32c::crc32c(&region), covered) != checksum {
            return Err(differs(data_len, footer_start));
        }
        let pieces = region.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        Ok(Some(Self { pieces: pieces.collect(), data_len, footer_start, footer }))
    }

    /// Bytes in memory.
    pub(super) fn size_bytes(&self) -> u64 {
        (self.pieces.len() * size_of::<u32>()) as u64
    }

    /// Where that ends in which a place is: the data, or the file.
    pub(super) fn end_of(&self, at: u64, len: u64) -> u64 {
        if at < self.data_len { self.data_len } else { len }
    }

    /// What must be read to have these bytes checked: whole pieces, or the footer.
    pub(super) fn around(&self, start: u64, end: u64, len: u64) -> Option<(u64, u64)> {
        if start >= self.footer_start && end <= len {
            return Some((self.footer_start, len));
        }
        let from = start - start % PIECE_BYTES;
        (end <= self.data_len).then(|| (from, end.next_multiple_of(PIECE_BYTES).min(self.data_len)))
    }

    /// Compares what was read from a place that [`around`](Self::around) gave.
    pub(super) fn check(&self, from: u64, bytes: &[u8]) -> io::Result<()> {
        if from >= self.footer_start {
            let good = crc32c::crc32c(bytes) == self.footer;
            return if good { Ok(()) } else { Err(differs(from, from + bytes.len() as u64)) };
        }
        let first = usize::try_from(from / PIECE_BYTES).unwrap_or(usize::MAX);
        let mut at = from;
        for (i, piece) in bytes.chunks(PIECE_BYTES as usize).enumerate() {
            if self.pieces.get(first + i) != Some(&crc32c::crc32c(piece)) {
                return Err(differs(at, at + piece.len() as u64));
            }
            at += piece.len() as u64;
        }
        Ok(())
    }
}
