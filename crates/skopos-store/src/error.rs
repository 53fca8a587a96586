//! What can go wrong in the store, with file names and offsets as fields.
//!
//! [`StoreError`] is what opening reports. Behind the storage traits it becomes a
//! [`StorageError`], whose kind tells a caller what to do.

use std::io;
use std::path::{Path, PathBuf};

use skopos_model::storage::{ErrorKind, StorageError};

use crate::verify::DamagedBlock;
use crate::wal::poison::is_no_space;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system refused.
    #[error("failed to {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the data folder open.
    #[error("data folder {} is in use by {}", path.display(), holder(*pid))]
    Locked {
        /// The data folder.
        path: PathBuf,
        /// Who holds it, when the lock file says so.
        pid: Option<u32>,
    },
    /// Durable bytes are damaged.
    #[error("{} is corrupt at offset {offset}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it, bytes from its start.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Blocks to be copied are not what was written.
    #[error("{}", crate::verify::listed(damaged))]
    DamagedBlocks {
        /// All of them.
        damaged: Vec<DamagedBlock>,
    },
    /// The file was written by a newer version of Skopos.
    #[error(
        "{} has {what} {found}, this version of skopos reads up to {supported}: \
         use the newer version, or another data folder", path.display()
    )]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Which number is too high: `format version`, `frame version`, `frame kind`.
        what: &'static str,
        /// What the file says.
        found: u32,
        /// The highest number understood.
        supported: u32,
    },
    /// A write or fsync failed earlier, not for want of space; the writer has stopped for good.
    #[error("{log} has stopped after a failure and needs a restart: {cause}")]
    Poisoned {
        /// Which log: `write-ahead log` or `state log`.
        log: &'static str,
        /// The first failure.
        cause: String,
    },
    /// A write or fsync found no space; the writer goes on by itself once there is some.
    #[error("{log} has stopped for want of space and goes on by itself: {cause}")]
    NoSpace {
        /// Which log: `write-ahead log` or `state log`.
        log: &'static str,
        /// The first failure.
        cause: String,
    },
    /// The disk has less free space than it must keep.
    #[error(
        "{} has {free_bytes} bytes free, less than the disk floor of {floor_bytes} bytes: free space, or lower \
         retention.*_bytes if blocks take it; until then nothing is taken in, and then it goes on by itself",
        path.display()
    )]
    DiskFloor {
        /// The data folder.
        path: PathBuf,
        /// What is free there.
        free_bytes: u64,
        /// What must stay free.
        floor_bytes: u64,
    },
    /// The request cannot be stored as it is.
    #[error("invalid input: {reason}")]
    InvalidInput {
        /// What is wrong with it.
        reason: String,
    },
    /// The head has reached its bound.
    #[error("head holds {size_bytes} bytes, more than max_head_bytes = {max_bytes}: retry later")]
    HeadFull {
        /// What it holds.
        size_bytes: u64,
        /// What it may hold.
        max_bytes: u64,
    },
    /// Somebody else has changed the catalog at the same time.
    #[error("catalog was changed by somebody else: {reason}")]
    Conflict {
        /// Which versions disagree.
        reason: String,
    },
    /// Blocks could not be read or put together.
    #[error("{action}: {source}")]
    Block {
        /// What was tried, as a verb.
        action: &'static str,
        /// What went wrong.
        source: StorageError,
    },
    /// The store is closing or closed.
    #[error("store is closed")]
    Closed,
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("pid {pid}"))
}

impl StoreError {
    /// Wraps an I/O error with what was tried and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Wraps a failure of blocks with what was tried.
    pub(crate) fn block(action: &'static str) -> impl FnOnce(StorageError) -> Self {
        move |source| Self::Block { action, source }
    }

    /// Damage at a place.
    pub(crate) fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), offset, reason: reason.into() }
    }

    /// Whether the system refused for want of space.
    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            // Told on: who hears of it is no worse off than who met it.
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } => is_no_space(source),
            _ => false,
        }
    }

    /// The class a caller of the storage traits sees.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSpace { .. } | Self::DiskFloor { .. } => ErrorKind::StorageFull,
            Self::Io { .. } if self.is_no_space() => ErrorKind::StorageFull,
            Self::Io { .. } | Self::Conflict { .. } => ErrorKind::Internal,
            Self::Block { source, .. } => source.kind,
            Self::Locked { .. } | Self::HeadFull { .. } | Self::Closed => ErrorKind::Unavailable,
            Self::Corrupt { .. } | Self::DamagedBlocks { .. } => ErrorKind::Corrupt,
            Self::UnsupportedVersion { .. } => ErrorKind::UnsupportedVersion,
            Self::Poisoned { .. } => ErrorKind::Poisoned,
            Self::InvalidInput { .. } => ErrorKind::InvalidInput,
        }
    }
}

impl From<StoreError> for StorageError {
    fn from(error: StoreError) -> Self {
        let kind = error.kind();
        let message = error.to_string();
        match error {
            StoreError::Io { source, .. } => Self::with_source(kind, message, source),
            _ => Self::new(kind, message),
        }
    }
}
