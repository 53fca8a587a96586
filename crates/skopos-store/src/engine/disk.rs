//! The disk floor: how much space must stay free, and what is free.
//!
//! Constraints: the system is asked for each batch, which takes about a microsecond; so ingest
//! stops with the first batch below the floor and goes on with the first above it. When the system
//! cannot tell, nothing is refused: writes will say so.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::DiskFloor;
use crate::error::StoreError;
use crate::fs::{Fs, Space};

/// Floor when none is set: this, or a share of a smaller disk.
const FLOOR_BYTES: u64 = 1 << 30;
/// The share of a small disk: one in so many bytes.
const FLOOR_SHARE: u64 = 20;

/// The disk under the data folder.
pub(super) struct Disk {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    floor: DiskFloor,
    refused: AtomicU64,
}

/// Free space and what must stay free, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Bytes this process may still write; 0 when the system cannot tell.
    pub free_bytes: u64,
    /// Bytes of the whole file system; 0 when the system cannot tell.
    pub total_bytes: u64,
    /// Bytes that must stay free.
    pub floor_bytes: u64,
    /// Batches refused because less was free.
    pub refused: u64,
}

impl DiskStats {
    /// Whether appends are refused.
    pub fn is_low(&self) -> bool {
        self.total_bytes > 0 && self.free_bytes < self.floor_bytes
    }
}

impl Disk {
    pub(super) fn new(fs: Arc<dyn Fs>, dir: PathBuf, floor: DiskFloor) -> Self {
        Self { fs, dir, floor, refused: AtomicU64::new(0) }
    }

    /// How things stand now.
    pub(super) fn stats(&self) -> DiskStats {
        let refused = self.refused.load(Ordering::Relaxed);
        match self.fs.space(&self.dir) {
            Ok(Space { free_bytes, total_bytes }) => DiskStats {
                free_bytes,
                total_bytes,
                floor_bytes: self.floor_bytes(total_bytes),
                refused,
            },
            Err(_) => DiskStats { refused, ..DiskStats::default() },
        }
    }

    fn floor_bytes(&self, total_bytes: u64) -> u64 {
        match self.floor {
            DiskFloor::Auto => FLOOR_BYTES.min(total_bytes / FLOOR_SHARE),
            DiskFloor::Bytes(bytes) => bytes,
        }
    }

    /// Fails, and counts that, when less is free than must stay free.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.floor == DiskFloor::Bytes(0) {
            return Ok(());
        }
        let low = self.low();
        if low.is_some() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        low.map_or(Ok(()), Err)
    }

    /// The refusal that the next batch will get.
    pub(super) fn low(&self) -> Option<StoreError> {
        let stats = self.stats();
        stats.is_low().then(|| StoreError::DiskFloor {
            path: self.dir.clone(),
            free_bytes: stats.free_bytes,
            floor_bytes: stats.floor_bytes,
        })
    }
}
