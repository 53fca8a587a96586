//! A second reading of `docs/formats/wal.md`, written from the document alone: what it says must
//! be enough to read and to write the files.

use skopos_store::fs::Fs;
use skopos_testkit::fault_fs::FaultFs;
use std::path::Path;

/// Bytes before the first frame.
pub(crate) const HEADER: usize = 24;
/// Bytes before a frame's payload.
pub(crate) const FRAME_HEADER: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) offset: usize,
    pub(crate) synced: u32,
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    /// Where the frame ends.
    pub(crate) fn end(&self) -> usize {
        self.offset + FRAME_HEADER + 2 + self.body.len()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The number in a segment's header.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[12..20].try_into().unwrap())
}

/// All frames of a good file.
pub(crate) fn frames(bytes: &[u8], magic: &[u8; 8]) -> Vec<Frame> {
    assert_eq!(&bytes[..8], magic);
    assert_eq!(u32_at(bytes, 8), 1, "version");
    assert_eq!(u32_at(bytes, 20), crc32c::crc32c(&bytes[..20]));
    let mut frames = Vec::new();
    let mut at = HEADER;
    while at < bytes.len() {
        let length = u32_at(bytes, at) as usize;
        let payload = &bytes[at + FRAME_HEADER..at + FRAME_HEADER + length];
        assert_eq!(u32_at(bytes, at + 8), crc32c::crc32c(payload));
        assert_eq!(u32_at(bytes, at + 12), header_checksum(number(bytes), at, &bytes[at..at + 12]));
        frames.push(Frame {
            offset: at,
            synced: u32_at(bytes, at + 4),
            version: payload[0],
            kind: payload[1],
            body: payload[2..].to_vec(),
        });
        at += FRAME_HEADER + length;
    }
    frames
}

fn header_checksum(number: u64, offset: usize, fields: &[u8]) -> u32 {
    let mut covered = number.to_le_bytes().to_vec();
    covered.extend((offset as u64).to_le_bytes());
    covered.extend(fields);
    crc32c::crc32c(&covered)
}

/// A file with these frames.
pub(crate) fn file(
    magic: &[u8; 8],
    version: u32,
    number: u64,
    frames: &[(u8, u8, &[u8])],
) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    for (version, kind, body) in frames {
        let payload = [&[*version, *kind][..], body].concat();
        let offset = bytes.len();
        let mut header = (payload.len() as u32).to_le_bytes().to_vec();
        header.extend((offset as u32).to_le_bytes());
        header.extend(crc32c::crc32c(&payload).to_le_bytes());
        header.extend(header_checksum(number, offset, &header).to_le_bytes());
        bytes.extend(header);
        bytes.extend(payload);
    }
    bytes
}

/// Copies a folder of the machine onto the faulty disk.
pub(crate) fn load_folder(fs: &FaultFs, from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            load_folder(fs, &entry.path(), &target);
        } else {
            fs.put(&target, std::fs::read(entry.path()).unwrap());
        }
    }
    assert!(fs.is_dir(to), "{} holds nothing", from.display());
}
