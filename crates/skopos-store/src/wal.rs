//! The write-ahead log: `docs/formats/wal.md`.
//!
//! Constraints:
//! - One thread writes ([`writer`]); it is handed encoded frames through a bounded queue and tells
//!   each sender when its frame is durable under the sync policy. Many frames share one fsync.
//! - After a failed write or fsync nothing more is written: the log is poisoned.
//! - Only the last segment can be torn, because a segment is fsynced before the next one begins.
//! - Replay holds one frame at a time.
//!
//! The state log is made of the same segments and frames; what differs stands in [`LogFormat`].

pub(crate) mod frame;
pub(crate) mod latency;
pub(crate) mod poison;
pub(crate) mod reader;
pub(crate) mod replay;
pub(crate) mod segment;
pub(crate) mod writer;

/// What distinguishes one kind of log file from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogFormat {
    /// First bytes of each file.
    pub(crate) magic: &'static [u8; 8],
    /// Ending of the file names, with its dot.
    pub(crate) extension: &'static str,
    /// Frame kinds that may occur.
    pub(crate) kinds: &'static [u8],
}

/// Telemetry batches.
pub(crate) const WAL: LogFormat = LogFormat {
    magic: b"SKOPWAL\n",
    extension: ".wal",
    kinds: &[frame::CLOSED, frame::METRICS, frame::LOGS, frame::TRACES],
};

impl LogFormat {
    /// The name of the file with this number.
    pub(crate) fn file_name(&self, number: u64) -> String {
        format!("{number:010}{}", self.extension)
    }

    /// The number in a file name; `None` when it is not a file of this log.
    pub(crate) fn parse_name(&self, name: &str) -> Option<u64> {
        let digits = name.strip_suffix(self.extension)?;
        let number = digits.parse().ok()?;
        (number > 0 && self.file_name(number) == name).then_some(number)
    }
}
