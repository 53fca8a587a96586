//! Blocks: what has been flushed, as Parquet files. `docs/formats/block.md`.
//!
//! Constraints:
//! - Files are written once, whole, and are durable before the catalog names them; they are never
//!   changed. A file that no version of the catalog names is not there.
//! - Opening and reading are lazy and synchronous, for a blocking pool. What is kept in memory per
//!   block once it has been read: the file's footer, and of metric blocks the series with the
//!   places of their chunks; all of it in one bounded [`cache`].
//! - Bytes on disk are not trusted: they are compared with [checksums](checksum) before they are
//!   used, and whatever they are, reading ends with an error, not a panic.

pub(crate) mod cache;
mod checksum;
pub(crate) mod chunk;
pub(crate) mod compact;
pub(crate) mod events;
mod file;
mod grams;
pub(crate) mod metrics;
mod parquet_file;
pub(crate) mod series;
mod stored;
mod times;
mod traces;

use std::sync::{Arc, Mutex, PoisonError};

use skopos_model::event::EventSignal;
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_model::{TimeRange, Timestamp};

pub use chunk::fuzz_chunk;
pub(crate) use file::{BlockFiles, is_damage, verify};

use events::EventFile;
use series::MetricIndex;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum BlockKind {
    /// Samples, exemplars, metadata.
    Metrics = 1,
    /// Log records.
    Logs = 2,
    /// Spans.
    Spans = 3,
}

impl BlockKind {
    pub(crate) const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Spans];

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The kind of an event signal.
    pub(crate) fn of(signal: EventSignal) -> Self {
        match signal {
            EventSignal::Logs => Self::Logs,
            EventSignal::Spans => Self::Spans,
        }
    }
}

/// What the catalog knows about a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlockMeta {
    /// Its name; unique in the data folder.
    pub(crate) number: u64,
    pub(crate) kind: BlockKind,
    /// How often its data has been compacted.
    pub(crate) level: u32,
    /// Time of the earliest sample or event, nanoseconds.
    pub(crate) first_ns: i64,
    /// Time of the latest sample or event, nanoseconds.
    pub(crate) last_ns: i64,
    /// Samples or events.
    pub(crate) rows: u64,
    pub(crate) files: Vec<FileMeta>,
}

impl BlockMeta {
    /// Bytes on disk.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// Whether it may hold something in this range.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        range.end == Timestamp::MAX && Timestamp(self.last_ns) >= range.start
            || range.overlaps(Timestamp(self.first_ns), Timestamp(self.last_ns))
    }

    /// Whether it may hold a sample of these milliseconds, both inclusive. Stored nanoseconds
    /// saturate, so ends are compared after the same conversion.
    pub(crate) fn overlaps_ms(&self, start_ms: i64, end_ms: i64) -> bool {
        let ns = |ms| Timestamp::from_millis(ms).0;
        start_ms <= end_ms && self.first_ns <= ns(end_ms) && ns(start_ms) <= self.last_ns
    }
}

/// A file of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileMeta {
    pub(crate) name: String,
    pub(crate) len: u64,
    /// CRC-32C of all its bytes.
    pub(crate) checksum: u32,
}

/// A block, read as far as somebody needed it.
pub(crate) struct Block {
    pub(crate) meta: BlockMeta,
    files: Arc<BlockFiles>,
    /// Held while it is opened: many that want it open it once.
    opening: Mutex<()>,
}

impl Block {
    pub(crate) fn new(files: Arc<BlockFiles>, meta: BlockMeta) -> Self {
        Self { meta, files, opening: Mutex::default() }
    }

    /// Checks that all files are, byte for byte, what was written.
    pub(crate) fn verify(&self) -> Result<(), StorageError> {
        self.meta.files.iter().try_for_each(|file| self.files.verify(file))
    }

    /// The series of a metric block.
    pub(crate) fn metrics(&self) -> Result<Arc<MetricIndex>, StorageError> {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        self.files.cache().get(self.meta.number, || {
            let index = MetricIndex::open(&self.files, &self.meta)?;
            let bytes = index.size_bytes();
            Ok((index, bytes))
        })
    }

    /// The file of an event block.
    pub(crate) fn events(&self) -> Result<Arc<EventFile>, StorageError> {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        self.files.cache().get(self.meta.number, || {
            let file = EventFile::open(&self.files, &self.meta)?;
            let bytes = file.size_bytes();
            Ok((file, bytes))
        })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.files.cache().forget(self.meta.number);
    }
}

/// Damage in a block's file.
fn damaged(name: &str, reason: impl std::fmt::Display) -> StorageError {
    let message = format!(
        "block file {name} is damaged: {reason}; what it holds cannot be read: restore a snapshot, \
         or set the block aside with `skopos verify --set-aside`"
    );
    StorageError::new(ErrorKind::Corrupt, message)
}
