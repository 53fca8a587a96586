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

/// The version in a segment's header.
pub(crate) fn version(bytes: &[u8]) -> u32 {
    u32_at(bytes, 8)
}

/// All frames of a good file.
pub(crate) fn frames(bytes: &[u8], magic: &[u8; 8]) -> Vec<Frame> {
    assert_eq!(&bytes[..8], magic);
    // Of the files here, the log of telemetry has a second version.
    let versions = if magic == b"SKOPWAL\n" { 1..=2 } else { 1..=1 };
    assert!(versions.contains(&version(bytes)), "version {}", version(bytes));
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

/// What the frames of kind 4 say, read from the document alone: the label sets as texts in the order of
/// their numbers, and for every frame the numbers of its series.
pub(crate) fn numbered(frames: &[Frame]) -> (Vec<String>, Vec<Vec<usize>>) {
    let (mut known, mut used) = (Vec::new(), Vec::new());
    for frame in frames.iter().filter(|frame| frame.kind == 4) {
        let mut from = Body { bytes: &frame.body, at: 0 };
        let table: Vec<String> = (0..from.varint()).map(|_| from.string()).collect();
        assert_eq!(from.varint() as usize, known.len(), "first number");
        for _ in 0..from.varint() {
            let mut pairs = Vec::new();
            for _ in 0..from.varint() {
                let (name, value) = (from.varint() as usize, from.varint() as usize);
                pairs.push(format!("{}={}", table[name], table[value]));
            }
            known.push(pairs.join(","));
        }
        let mut numbers: Vec<usize> = Vec::new();
        for _ in 0..from.varint() {
            let next = numbers.last().map_or(0, |last| *last as i64 + 1);
            numbers.push((next + from.zigzag()) as usize);
            // One float sample and nothing else, as the tests here send them.
            assert_eq!(from.byte(), 8 | 16, "shape");
            from.zigzag();
            let float = from.byte();
            from.at += usize::from(float);
        }
        assert_eq!((from.varint(), from.at), (0, frame.body.len()), "no metadata, and the end");
        used.push(numbers);
    }
    (known, used)
}

struct Body<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Body<'_> {
    fn byte(&mut self) -> u8 {
        self.at += 1;
        self.bytes[self.at - 1]
    }

    fn varint(&mut self) -> u64 {
        let byte = self.byte();
        let low = u64::from(byte & 0x7f);
        if byte < 0x80 { low } else { low | self.varint() << 7 }
    }

    fn zigzag(&mut self) -> i64 {
        let n = self.varint();
        (n >> 1) as i64 ^ -((n & 1) as i64)
    }

    fn string(&mut self) -> String {
        let len = self.varint() as usize;
        self.at += len;
        String::from_utf8(self.bytes[self.at - len..self.at].to_vec()).unwrap()
    }
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
