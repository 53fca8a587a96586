//! The state log: `docs/formats/state.md`.
//!
//! Constraints:
//! - A commit is one frame: all of it or none of it.
//! - A commit is acknowledged after its fsync, whatever the WAL's sync policy is; commits that wait
//!   together share one fsync.
//! - What readers see ([`StateMap`]) changes only after the fsync: nobody acts on state that a
//!   crash could take back.
//! - Its files, thread and poison are its own: a poisoned WAL does not stop it.

pub(crate) mod map;
pub(crate) mod record;
pub(crate) mod recover;
pub(crate) mod snapshot;
pub(crate) mod writer;

use skopos_model::SeriesSamples;

use crate::wal::{LogFormat, frame};

pub(crate) use map::StateMap;

/// A commit.
pub(crate) const COMMIT: u8 = 16;
/// The last slot of each source.
pub(crate) const SLOTS: u8 = 17;
/// Current records.
pub(crate) const RECORDS: u8 = 18;
/// Samples of an earlier commit.
pub(crate) const SAMPLES: u8 = 19;
/// A snapshot is complete.
pub(crate) const END: u8 = 20;

const MAGIC: &[u8; 8] = b"SKOPSTA\n";

/// Commits in order.
pub(crate) const LOG: LogFormat = LogFormat {
    magic: MAGIC,
    extension: ".log",
    version: 1,
    kinds: &[(frame::CLOSED, 1), (COMMIT, 1)],
};

/// Everything that logs with smaller numbers said.
pub(crate) const SNAPSHOT: LogFormat = LogFormat {
    magic: MAGIC,
    extension: ".snapshot",
    version: 1,
    kinds: &[(SLOTS, 1), (RECORDS, 1), (SAMPLES, 1), (END, 1)],
};

/// Where a commit's samples go.
pub(crate) trait SampleSink: Send {
    /// The samples that will be stored; refuses the others, and counts them.
    fn prepare(&self, samples: Vec<SeriesSamples>) -> Vec<SeriesSamples>;

    /// Makes prepared samples readable.
    fn apply(&self, samples: Vec<SeriesSamples>);

    /// Samples applied before this time are in blocks: the log need not keep them.
    fn needed_from_ms(&self) -> i64;
}
