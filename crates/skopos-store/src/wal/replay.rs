//! Reading a whole log at start: every segment in order, and the repair of the last one's end.
//!
//! Constraints: reading twice gives the same frames; nothing durable is ever dropped; after the
//! repair every segment on disk ends with an intact frame and is durable as it stands. A writer
//! that has failed for want of space repairs its segment the same way before it goes on.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::LogFormat;
use super::frame::{self, FILE_HEADER_BYTES};
use super::reader::{Frame, Next, Opened, SegmentReader, proof_of_durability};
use crate::error::StoreError;
use crate::fs::{Fs, FsFile, TEMPORARY, replace_file};
use crate::recovery::TornTail;

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) len: u64,
}

/// What reading a log found.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The number of the segment to write next.
    pub(crate) next_number: u64,
    /// Bytes in the segments that stay.
    pub(crate) bytes: u64,
    /// Frames handed out.
    pub(crate) frames: u64,
    /// What was cut off, if anything.
    pub(crate) torn: Option<TornTail>,
}

/// Removes what unfinished rewrites left behind.
pub(crate) fn remove_temporaries(fs: &dyn Fs, dir: &Path) -> Result<(), StoreError> {
    for entry in fs.list(dir).map_err(StoreError::io("list", dir))? {
        if entry.name.ends_with(TEMPORARY) {
            let path = dir.join(&entry.name);
            fs.remove(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The files of a log by number.
pub(crate) fn list_files(
    fs: &dyn Fs,
    dir: &Path,
    format: &LogFormat,
) -> Result<Vec<LogFile>, StoreError> {
    let mut files = Vec::new();
    for entry in fs.list(dir).map_err(StoreError::io("list", dir))? {
        if let Some(number) = format.parse_name(&entry.name) {
            files.push(LogFile { path: dir.join(&entry.name), number, len: entry.len });
        }
    }
    files.sort_by_key(|file| file.number);
    Ok(files)
}

/// Removes the files numbered below `number`, from the front; bytes freed.
pub(crate) fn remove_before(
    fs: &dyn Fs,
    dir: &Path,
    format: &LogFormat,
    number: u64,
) -> Result<u64, StoreError> {
    let mut freed = 0;
    for file in list_files(fs, dir, format)?.iter().filter(|file| file.number < number) {
        fs.remove(&file.path).map_err(StoreError::io("remove", &file.path))?;
        freed += file.len;
    }
    Ok(freed)
}

/// Reads `files` (ascending) and hands every frame but `closed` to `apply`, which is also told the
/// file; then repairs the end of the last one.
pub(crate) fn replay(
    fs: &dyn Fs,
    dir: &Path,
    format: &LogFormat,
    files: &[LogFile],
    mut apply: impl FnMut(&LogFile, Frame<'_>) -> Result<(), StoreError>,
) -> Result<Replayed, StoreError> {
    let mut replayed = Replayed { next_number: 1, ..Replayed::default() };
    let mut expected = None;
    for (index, file) in files.iter().enumerate() {
        if let Some(expected) = expected.filter(|expected| *expected != file.number) {
            let missing = dir.join(format.file_name(expected));
            return Err(StoreError::corrupt(&missing, 0, "file is missing from the sequence"));
        }
        expected = Some(file.number + 1);
        let is_last = index + 1 == files.len();
        let end = read_segment(fs, format, file, |frame| {
            replayed.frames += 1;
            apply(file, frame)
        })?;
        match end {
            _ if !is_last && !matches!(end, SegmentEnd::Clean { .. }) => {
                let (offset, reason) = end.damage();
                return Err(StoreError::corrupt(&file.path, offset, reason));
            }
            SegmentEnd::Clean { .. } if !is_last => replayed.bytes += file.len,
            end => finish_last(fs, dir, format, file, &end, &mut replayed)?,
        }
    }
    Ok(replayed)
}

/// How a segment ends.
enum SegmentEnd {
    /// With an intact frame, or its header.
    Clean { frames: u64 },
    /// In the middle of its making.
    Unborn,
    /// With bytes that are no intact frame, from `offset`.
    Damaged { frames: u64, offset: u64, reason: &'static str },
}

impl SegmentEnd {
    fn damage(&self) -> (u64, &'static str) {
        match self {
            Self::Damaged { offset, reason, .. } => (*offset, reason),
            _ => (0, "header is incomplete"),
        }
    }
}

fn read_segment(
    fs: &dyn Fs,
    format: &LogFormat,
    file: &LogFile,
    mut apply: impl FnMut(Frame<'_>) -> Result<(), StoreError>,
) -> Result<SegmentEnd, StoreError> {
    let opened = SegmentReader::open(fs, &file.path, format, file.number, file.len)?;
    let Opened::Reader(mut reader) = opened else {
        return Ok(SegmentEnd::Unborn);
    };
    let (mut frames, mut closed) = (0, false);
    loop {
        let offset = reader.offset();
        match reader.next()? {
            Next::End => return Ok(SegmentEnd::Clean { frames }),
            Next::Damaged(reason) => return Ok(SegmentEnd::Damaged { frames, offset, reason }),
            Next::Frame(_) if closed => {
                let reason = "frame after the end mark";
                return Err(StoreError::corrupt(&file.path, offset, reason));
            }
            Next::Frame(frame) if frame.kind == frame::CLOSED => closed = true,
            Next::Frame(frame) => {
                frames += 1;
                apply(frame)?;
            }
        }
    }
}

/// Makes the last segment one that others may follow.
fn finish_last(
    fs: &dyn Fs,
    dir: &Path,
    format: &LogFormat,
    file: &LogFile,
    end: &SegmentEnd,
    replayed: &mut Replayed,
) -> Result<(), StoreError> {
    let (frames, keep) = match *end {
        SegmentEnd::Clean { frames } => (frames, file.len),
        SegmentEnd::Unborn => (0, 0),
        SegmentEnd::Damaged { frames, offset, reason } => {
            if let Some(proof) = proof_of_durability(fs, &file.path, file.number, offset)? {
                let reason = format!("{reason}, and the frame at {proof} says it was durable");
                return Err(StoreError::corrupt(&file.path, offset, reason));
            }
            (frames, offset)
        }
    };
    if keep < file.len || matches!(end, SegmentEnd::Unborn) {
        let bytes = file.len - keep;
        replayed.torn = Some(TornTail { path: file.path.clone(), offset: keep, bytes });
    }
    // A segment without frames is simply made again under the same number.
    replayed.next_number = if frames == 0 { file.number } else { file.number + 1 };
    if frames == 0 {
        return Ok(());
    }
    // Also when nothing is torn, and even behind an end mark: after a failed fsync the system may
    // show bytes that are not on disk, and a second fsync would not say so. Bytes written anew can
    // be trusted.
    replayed.bytes += keep;
    write_anew(fs, dir, format, file, keep)
}

/// Puts the first `keep` bytes of a segment in its place, durably.
fn write_anew(
    fs: &dyn Fs,
    dir: &Path,
    format: &LogFormat,
    file: &LogFile,
    keep: u64,
) -> Result<(), StoreError> {
    debug_assert!(keep >= FILE_HEADER_BYTES as u64);
    let name = format.file_name(file.number);
    let mut from = fs.open(&file.path).map_err(StoreError::io("open", &file.path))?.take(keep);
    replace_file(fs, dir, &name, |to| {
        copy(&mut from, to).map_err(StoreError::io("rewrite", &file.path))
    })
}

/// Writes a segment anew that its writer has failed on: the intact frames within its first `keep`
/// bytes. Those within `durable` bytes must all be intact. Yields whether there are any; without,
/// nothing is written, and the segment is to be made again under its number.
pub(crate) fn rewrite(
    fs: &dyn Fs,
    dir: &Path,
    format: &LogFormat,
    number: u64,
    keep: u64,
    durable: u64,
) -> Result<bool, StoreError> {
    let files = list_files(fs, dir, format)?;
    let Some(file) = files.into_iter().find(|file| file.number == number) else {
        // It failed before it had a name.
        return Ok(false);
    };
    let opened = SegmentReader::open(fs, &file.path, format, number, file.len.min(keep))?;
    let Opened::Reader(mut reader) = opened else { return Ok(false) };
    let mut end = FILE_HEADER_BYTES as u64;
    while let Next::Frame(_) = reader.next()? {
        end = reader.offset();
    }
    if end < durable {
        return Err(StoreError::corrupt(&file.path, end, "frame that was durable is damaged"));
    }
    if end == FILE_HEADER_BYTES as u64 {
        return Ok(false);
    }
    write_anew(fs, dir, format, &file, end)?;
    Ok(true)
}

fn copy(from: &mut dyn Read, to: &mut dyn FsFile) -> io::Result<()> {
    let mut chunk = vec![0; 256 << 10];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            n => to.write_all(chunk.get(..n).unwrap_or_default())?,
        }
    }
}
