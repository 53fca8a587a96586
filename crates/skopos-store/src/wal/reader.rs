//! Reading one segment, frame by frame, trusting nothing.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::LogFormat;
use super::frame::{
    self, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, FrameHeader, check_file_header,
};
use crate::error::StoreError;
use crate::fs::Fs;

/// Reads the frames of one file. Holds one frame.
pub(crate) struct SegmentReader {
    path: PathBuf,
    format: LogFormat,
    version: u32,
    number: u64,
    file: BufReader<Box<dyn Read + Send>>,
    /// Where the next frame starts.
    offset: u64,
    len: u64,
    payload: Vec<u8>,
}

/// What stands at the reader's place.
pub(crate) enum Next<'a> {
    /// An intact frame.
    Frame(Frame<'a>),
    /// The end of the file, right after an intact frame (or the header).
    End,
    /// No intact frame, although the file goes on.
    Damaged(&'static str),
}

/// An intact frame.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Where it starts.
    pub(crate) offset: u64,
    /// One of the format's kinds.
    pub(crate) kind: u8,
    /// What it says.
    pub(crate) body: &'a [u8],
}

/// A reader, or why there is none.
pub(crate) enum Opened {
    /// Ready for the first frame.
    Reader(SegmentReader),
    /// The file is no longer than a header and holds none: it was being made.
    Unborn,
}

impl SegmentReader {
    /// Opens a file of `len` bytes and checks its header.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: &Path,
        format: &LogFormat,
        number: u64,
        len: u64,
    ) -> Result<Opened, StoreError> {
        let file = fs.open(path).map_err(StoreError::io("open", path))?;
        let mut file = BufReader::with_capacity(256 << 10, file);
        let mut header = Vec::with_capacity(FILE_HEADER_BYTES);
        (&mut file)
            .take(FILE_HEADER_BYTES as u64)
            .read_to_end(&mut header)
            .map_err(StoreError::io("read", path))?;
        match check_file_header(format, number, &header) {
            FileHeader::Good(version) => Ok(Opened::Reader(Self {
                path: path.to_path_buf(),
                format: *format,
                version,
                number,
                file,
                offset: FILE_HEADER_BYTES as u64,
                len,
                payload: Vec::new(),
            })),
            FileHeader::Newer(found) => Err(StoreError::UnsupportedVersion {
                path: path.to_path_buf(),
                what: "format version",
                found,
                supported: format.version,
            }),
            // The header is durable before anything follows it.
            FileHeader::Bad(_) if len <= FILE_HEADER_BYTES as u64 => Ok(Opened::Unborn),
            FileHeader::Bad(reason) => Err(StoreError::corrupt(path, 0, reason)),
        }
    }

    /// Where the next frame starts, or the damage.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next frame. After [`Next::Damaged`] or an error there is nothing more to read.
    pub(crate) fn next(&mut self) -> Result<Next<'_>, StoreError> {
        let left = self.len.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < FRAME_HEADER_BYTES as u64 {
            return Ok(Next::Damaged("frame header is incomplete"));
        }
        let mut header = [0; FRAME_HEADER_BYTES];
        self.file.read_exact(&mut header).map_err(StoreError::io("read", &self.path))?;
        let Some(header) = FrameHeader::parse(self.number, self.offset, &header) else {
            return Ok(Next::Damaged("frame header does not check"));
        };
        let frame_len = (FRAME_HEADER_BYTES + header.payload_len) as u64;
        if left < frame_len {
            return Ok(Next::Damaged("frame is longer than the file"));
        }
        self.payload.clear();
        self.payload.shrink_to(4 << 20);
        self.payload.resize(header.payload_len, 0);
        self.file.read_exact(&mut self.payload).map_err(StoreError::io("read", &self.path))?;
        if !header.fits(&self.payload) {
            return Ok(Next::Damaged("frame payload does not check"));
        }
        let (version, kind, body) = frame::split_payload(&self.payload)
            .ok_or_else(|| StoreError::corrupt(&self.path, self.offset, "frame is empty"))?;
        let newer = |what, found: u8, supported| {
            let path = self.path.clone();
            StoreError::UnsupportedVersion { path, what, found: found.into(), supported }
        };
        if version != frame::PAYLOAD_VERSION {
            return Err(newer("frame version", version, frame::PAYLOAD_VERSION.into()));
        }
        if !self.format.has_kind(kind, self.version) {
            let highest = self.format.highest_kind(self.version);
            return Err(newer("frame kind", kind, highest.into()));
        }
        let offset = self.offset;
        self.offset += frame_len;
        Ok(Next::Frame(Frame { offset, kind, body }))
    }
}

/// Looks behind damage at `offset` for a frame header that says the damaged place was durable:
/// then this is no torn tail. Yields where that header stands.
///
/// A header names its own place in its checksum, so a match is no accident; its payload need not
/// be intact to be believed.
pub(crate) fn proof_of_durability(
    fs: &dyn Fs,
    path: &Path,
    number: u64,
    offset: u64,
) -> Result<Option<u64>, StoreError> {
    let mut file = fs.open(path).map_err(StoreError::io("open", path))?;
    let skipped = std::io::copy(&mut (&mut file).take(offset), &mut std::io::sink());
    skipped.map_err(StoreError::io("read", path))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(StoreError::io("read", path))?;
    for (at, bytes) in tail.windows(FRAME_HEADER_BYTES).enumerate().skip(1) {
        let place = offset + at as u64;
        if FrameHeader::parse(number, place, bytes).is_some_and(|header| header.synced > offset) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
