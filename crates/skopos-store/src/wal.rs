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
    /// The version of files that are written; older ones are read.
    pub(crate) version: u32,
    /// Frame kinds that may occur, and since which version.
    pub(crate) kinds: &'static [(u8, u32)],
}

/// Telemetry batches.
pub(crate) const WAL: LogFormat = LogFormat {
    magic: b"SKOPWAL\n",
    extension: ".wal",
    version: 2,
    kinds: &[
        (frame::CLOSED, 1),
        (frame::METRICS, 1),
        (frame::LOGS, 1),
        (frame::TRACES, 1),
        (frame::NUMBERED, 2),
    ],
};

impl LogFormat {
    /// The highest kind that may occur in a file of this version.
    pub(crate) fn highest_kind(&self, version: u32) -> u8 {
        self.kinds_of(version).max().unwrap_or_default()
    }

    /// Whether frames of this kind may occur in a file of this version.
    pub(crate) fn has_kind(&self, kind: u8, version: u32) -> bool {
        self.kinds_of(version).any(|known| known == kind)
    }

    fn kinds_of(&self, version: u32) -> impl Iterator<Item = u8> {
        self.kinds.iter().filter(move |(_, since)| *since <= version).map(|(kind, _)| *kind)
    }

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
