//! What opening a data folder does and found: progress while it runs, a report when it is done.
//!
//! The work itself stands in `wal::replay` (segments, torn tails) and `state::recover`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How far replay has come; shared, so that a health endpoint can tell before the store is open.
#[derive(Clone, Debug, Default)]
pub struct ReplayProgress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    finished: AtomicBool,
}

impl ReplayProgress {
    /// Nothing done yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add_total(&self, bytes: u64) {
        self.0.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_done(&self, bytes: u64) {
        self.0.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.0.finished.store(true, Ordering::Release);
    }

    /// Whether replay has finished and the store takes work.
    pub fn is_finished(&self) -> bool {
        self.0.finished.load(Ordering::Acquire)
    }

    /// Bytes of log to read.
    pub fn total_bytes(&self) -> u64 {
        self.0.total_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of log read.
    pub fn done_bytes(&self) -> u64 {
        self.0.done_bytes.load(Ordering::Relaxed)
    }

    /// Share done, 0 to 1.
    pub fn fraction(&self) -> f64 {
        let (done, total) = (self.done_bytes(), self.total_bytes());
        if self.is_finished() || total == 0 {
            return f64::from(u8::from(self.is_finished()));
        }
        (done as f64 / total as f64).min(1.0)
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveryReport {
    /// Batches read from the WAL.
    pub wal_batches: u64,
    /// Commits and snapshot frames read from the state log.
    pub state_frames: u64,
    /// Ends of files that a crash had torn off and that were cut; at most one per log. Nothing in
    /// them was ever acknowledged.
    pub torn: Vec<TornTail>,
    /// How long it took.
    pub took: Duration,
}

/// The end of a file that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where its intact part ends.
    pub offset: u64,
    /// Bytes cut off.
    pub bytes: u64,
}
