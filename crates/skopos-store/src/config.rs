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
    /// A WAL segment is closed once it has reached this many bytes. It may be exceeded by one
    /// batch. At most 2 GiB.
    pub segment_bytes: u64,
    /// Appends are refused while the head holds more than this many bytes.
    pub max_head_bytes: u64,
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
            queue_len: 256,
            compact_state_bytes: 4 << 20,
            head: crate::head::HeadConfig::default(),
        }
    }
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
