//! The body of a catalog version.

use super::Version;
use crate::block::{BlockKind, BlockMeta, FileMeta};
use crate::codec::{DecodeError, Decoder, Encoder};

/// A version as it stands on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stored {
    pub(crate) next_block: u64,
    pub(crate) wal_from: u64,
    pub(crate) next_sequence: u64,
    pub(crate) blocks: Vec<BlockMeta>,
}

impl Stored {
    /// The file of this name.
    pub(crate) fn file(&self, name: &str) -> Option<&FileMeta> {
        self.blocks.iter().flat_map(|block| &block.files).find(|file| file.name == name)
    }

    /// The frame's body.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { next_block, wal_from, next_sequence, blocks } = self;
        encode_parts(*next_block, *wal_from, *next_sequence, blocks.iter())
    }
}

pub(crate) fn encode(version: &Version, next_block: u64) -> Vec<u8> {
    let blocks = version.blocks.iter().map(|block| &block.meta);
    encode_parts(next_block, version.wal_from, version.next_sequence, blocks)
}

fn encode_parts<'a>(
    next_block: u64,
    wal_from: u64,
    next_sequence: u64,
    blocks: impl ExactSizeIterator<Item = &'a BlockMeta>,
) -> Vec<u8> {
    let mut out = Encoder::default();
    out.varint(next_block);
    out.varint(wal_from);
    out.varint(next_sequence);
    out.count(blocks.len());
    for block in blocks {
        out.varint(block.number);
        out.byte(block.kind as u8);
        out.varint(block.level.into());
        out.zigzag(block.first_ns);
        out.zigzag(block.last_ns);
        out.varint(block.rows);
        out.count(block.files.len());
        for file in &block.files {
            out.string(&file.name);
            out.varint(file.len);
            out.varint(file.checksum.into());
        }
    }
    out.finish()
}

pub(crate) fn decode(body: &[u8]) -> Result<Stored, DecodeError> {
    let mut from = Decoder::with_table(body)?;
    let mut stored = Stored {
        next_block: from.varint()?,
        wal_from: from.varint()?,
        next_sequence: from.varint()?,
        blocks: Vec::new(),
    };
    for _ in 0..from.count()? {
        let number = from.varint()?;
        let kind = from.byte()?;
        let mut block = BlockMeta {
            number,
            kind: BlockKind::from_number(kind).ok_or_else(|| from.error("unknown block kind"))?,
            level: from.varint_u32()?,
            first_ns: from.zigzag()?,
            last_ns: from.zigzag()?,
            rows: from.varint()?,
            files: Vec::new(),
        };
        for _ in 0..from.count()? {
            let name = from.string()?;
            if name.is_empty() || name.contains(['/', '\\']) || name.contains("..") {
                return Err(from.error("file name leads out of the folder"));
            }
            block.files.push(FileMeta {
                name: name.into(),
                len: from.varint()?,
                checksum: from.varint_u32()?,
            });
        }
        stored.blocks.push(block);
    }
    from.finish()?;
    Ok(stored)
}

/// Fuzz entry: decodes arbitrary bytes as a version of the catalog; what decodes must survive
/// encoding and decoding again.
pub fn fuzz_catalog(data: &[u8]) {
    if let Ok(stored) = decode(data) {
        assert_eq!(decode(&stored.encode()).expect("own encoding decodes"), stored);
    }
}
