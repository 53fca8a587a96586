//! What can be set: where the data is, when an append counts as durable, and the bounds.

use std::path::PathBuf;
use std::time::Duration;

/// How a [`Store`](crate::Store) is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// The data folder; made when missing. One process at a time may use it.
    pub data_dir: PathBuf,
    /// When an append is acknowledged.
    pub sync: SyncPolicy,
    /// A WAL segment is closed once it has reached this many bytes, label sets aside unless they are
    /// four times as much, or once what is in it would take a quarter of what the head is flushed
    /// at. It may be exceeded by one batch. At most 512 MiB.
    pub segment_bytes: u64,
    /// Appends are refused while the head holds more than this many bytes: flushing does not keep
    /// up, or fails.
    pub max_head_bytes: u64,
    /// When recent data goes to blocks, and what happens to blocks.
    pub blocks: BlockConfig,
    /// Memory for what is kept of blocks that have been read: footers, series, places of chunks.
    pub cache_bytes: u64,
    /// Appends are refused while less than this is free on the disk.
    pub disk_floor: DiskFloor,
    /// Most batches that wait for the appender. Further appends wait for a place: back-pressure
    /// reaches the sender, nothing is dropped.
    pub queue_len: usize,
    /// The state log is compacted by itself once it is this large and has doubled since the last
    /// snapshot.
    pub compact_state_bytes: u64,
    /// Settings of the head.
    pub head: crate::head::HeadConfig,
}

impl StoreConfig {
    /// The defaults for a data folder: fsync before every acknowledgement, segments of 64 MiB, a
    /// head of at most 1 GiB.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            sync: SyncPolicy::EachCommit,
            segment_bytes: 64 << 20,
            max_head_bytes: 1 << 30,
            blocks: BlockConfig::default(),
            cache_bytes: 256 << 20,
            disk_floor: DiskFloor::Auto,
            queue_len: 256,
            compact_state_bytes: 4 << 20,
            head: crate::head::HeadConfig::default(),
        }
    }
}

/// Flush, compaction and retention.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockConfig {
    /// Whether a thread does all of it by itself. Without, only
    /// [`Store::flush`](crate::Store::flush) and [`Store::maintain`](crate::Store::maintain) do.
    pub automatic: bool,
    /// The head is flushed once it holds this many bytes, at the latest at half of
    /// [`StoreConfig::max_head_bytes`]. Default 256 MiB.
    pub flush_bytes: u64,
    /// The head is flushed once its oldest batch is in it for this long. Default 2 hours.
    pub flush_age: Duration,
    /// So many neighbouring blocks of one size class become one. At least 2; default 4.
    pub compact_count: usize,
    /// Blocks are not merged beyond this size. Default 256 MiB.
    pub compact_bytes: u64,
    /// How long samples stay. Default 90 days.
    pub metrics: Retention,
    /// How long log records stay. Default 15 days.
    pub logs: Retention,
    /// How long spans stay. Default 15 days.
    pub spans: Retention,
}

impl Default for BlockConfig {
    fn default() -> Self {
        Self {
            automatic: true,
            flush_bytes: 256 << 20,
            flush_age: Duration::from_secs(2 * 3600),
            compact_count: 4,
            compact_bytes: 256 << 20,
            metrics: Retention::days(90),
            logs: Retention::days(15),
            spans: Retention::days(15),
        }
    }
}

/// When blocks of a signal are removed: whichever comes first. A block goes as a whole, once all of
/// it is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age of the newest sample or event of a block.
    pub age: Duration,
    /// Bytes of all blocks of the signal; beyond it the oldest go. `None`: no bound.
    pub bytes: Option<u64>,
}

impl Retention {
    /// By age only.
    pub const fn days(days: u64) -> Self {
        Self { age: Duration::from_secs(days * 86_400), bytes: None }
    }
}

/// How much of the disk must stay free. Below it appends are refused; queries, the state log and
/// retention go on in what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskFloor {
    /// 1 GiB, or 5 % of the disk where that is less.
    #[default]
    Auto,
    /// This many bytes; 0 for no floor.
    Bytes(u64),
}

/// When an append is acknowledged. The state log always syncs before it acknowledges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After the batch has been fsynced, together with all that waited with it: nothing
    /// acknowledged is lost by a crash or a power failure.
    #[default]
    EachCommit,
    /// After the batch has been written; an fsync follows within this time. A crash of the
    /// process loses nothing; one of the machine loses what was acknowledged within the interval.
    Interval(Duration),
}
