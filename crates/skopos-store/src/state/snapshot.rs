//! Snapshots: the whole state in one file, written beside the logs and put in place at once.
//!
//! Constraints: memory for one frame at a time, the map aside; a snapshot is never trusted
//! without its end frame.

use std::path::Path;

use skopos_model::SeriesSamples;

use super::recover::StateFiles;
use super::{COMMIT, END, RECORDS, SAMPLES, SLOTS, SNAPSHOT, StateMap, record};
use crate::codec::DecodeError;
use crate::error::StoreError;
use crate::fs::{Fs, FsFile, replace_file};
use crate::wal::LogFormat;
use crate::wal::frame::{CLOSED, Framer};
use crate::wal::reader::{Next, Opened, SegmentReader};
use crate::wal::replay::LogFile;

/// Records per frame.
const RECORDS_PER_FRAME: usize = 1024;
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Writes snapshot `number` from the map and from the samples in `older` files, those
/// before `samples_from_ms` left out. Yields its length.
pub(crate) fn write(
    fs: &dyn Fs,
    dir: &Path,
    number: u64,
    map: &StateMap,
    older: &StateFiles,
    samples_from_ms: i64,
) -> Result<u64, StoreError> {
    let mut len = 0;
    let name = SNAPSHOT.file_name(number);
    replace_file(fs, dir, &name, |file| {
        let mut out = SnapshotFile { file, dir, framer: Framer::new(&SNAPSHOT, number), frames: 0 };
        out.push(SLOTS, &record::encode_slots(&map.slots()))?;
        let records: Vec<_> = map.iter().collect();
        for some in records.chunks(RECORDS_PER_FRAME) {
            out.push(RECORDS, &record::encode_snapshot_records(some))?;
        }
        if let Some(snapshot) = &older.snapshot {
            copy_samples(fs, snapshot, &SNAPSHOT, samples_from_ms, &mut out)?;
        }
        for log in older.logs.iter().filter(|log| log.number < number) {
            copy_samples(fs, log, &super::LOG, samples_from_ms, &mut out)?;
        }
        let frames = out.frames;
        out.push(END, &record::encode_end(frames))?;
        out.flush()?;
        len = out.framer.len();
        Ok(())
    })?;
    Ok(len)
}

struct SnapshotFile<'a> {
    file: &'a mut dyn FsFile,
    dir: &'a Path,
    framer: Framer,
    frames: u64,
}

impl SnapshotFile<'_> {
    fn push(&mut self, kind: u8, body: &[u8]) -> Result<(), StoreError> {
        self.framer.push(kind, body);
        self.frames += 1;
        if self.framer.pending().len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let written = self.file.write_all(self.framer.pending());
        written.map_err(StoreError::io("write a snapshot in", self.dir))?;
        self.framer.clear();
        Ok(())
    }
}

/// Copies the samples of one older file.
fn copy_samples(
    fs: &dyn Fs,
    file: &LogFile,
    format: &LogFormat,
    samples_from_ms: i64,
    out: &mut SnapshotFile<'_>,
) -> Result<(), StoreError> {
    read_frames(fs, file, format, |kind, body| {
        let mut samples = match kind {
            COMMIT => record::decode_commit(body)?.samples,
            SAMPLES => record::decode_samples(body)?,
            _ => return Ok(()),
        };
        // Sample by sample: of two that overwrite each other, the first must not stay alone.
        for series in &mut samples {
            series.samples.retain(|sample| sample.timestamp_ms >= samples_from_ms);
        }
        samples.retain(|series| !series.samples.is_empty());
        if !samples.is_empty() {
            out.push(SAMPLES, &record::encode_samples(&samples))?;
        }
        Ok(())
    })
}

/// Reads a snapshot into the map; samples go to `samples`. Yields the number of frames.
pub(crate) fn read(
    fs: &dyn Fs,
    file: &LogFile,
    map: &mut StateMap,
    samples: &mut impl FnMut(Vec<SeriesSamples>),
) -> Result<u64, StoreError> {
    let (mut frames, mut end) = (0, None);
    read_frames(fs, file, &SNAPSHOT, |kind, body| {
        match kind {
            SLOTS => {
                for (source, slot) in record::decode_slots(body)? {
                    map.set_slot(source, slot);
                }
            }
            RECORDS => map.apply(record::decode_records(body)?),
            SAMPLES => samples(record::decode_samples(body)?),
            _ => {
                end = Some(record::decode_end(body)? == frames);
                return Ok(());
            }
        }
        // A frame after the end frame makes the count wrong.
        end = None;
        frames += 1;
        Ok(())
    })?;
    match end {
        Some(true) => Ok(frames),
        _ => Err(StoreError::corrupt(&file.path, file.len, "snapshot lacks its end")),
    }
}

/// Why a frame could not be handled.
enum FrameError {
    Decode(DecodeError),
    Store(StoreError),
}

impl From<DecodeError> for FrameError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<StoreError> for FrameError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Reads a file that must be intact to its end.
fn read_frames(
    fs: &dyn Fs,
    file: &LogFile,
    format: &LogFormat,
    mut handle: impl FnMut(u8, &[u8]) -> Result<(), FrameError>,
) -> Result<(), StoreError> {
    let opened = SegmentReader::open(fs, &file.path, format, file.number, file.len)?;
    let Opened::Reader(mut reader) = opened else {
        return Err(StoreError::corrupt(&file.path, 0, "header is incomplete"));
    };
    loop {
        let offset = reader.offset();
        match reader.next()? {
            Next::End => return Ok(()),
            Next::Damaged(reason) => return Err(StoreError::corrupt(&file.path, offset, reason)),
            Next::Frame(frame) if frame.kind == CLOSED => {}
            Next::Frame(frame) => handle(frame.kind, frame.body).map_err(|error| match error {
                FrameError::Store(error) => error,
                FrameError::Decode(error) => {
                    StoreError::corrupt(&file.path, offset, error.to_string())
                }
            })?,
        }
    }
}
