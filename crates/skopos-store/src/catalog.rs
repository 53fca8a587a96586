//! The catalog: which blocks exist. `docs/formats/catalog.md`.
//!
//! Constraints:
//! - A version is one file, written whole and put in place by one rename: a flush, a compaction
//!   and a retention run happen completely or not at all.
//! - Commits are optimistic: an edit names the version it was made from, and fails when that is no
//!   longer the current one. Who has lost a race looks again.
//! - Readers hold a [`Version`]; files of removed blocks go when no version and no reader holds
//!   them any more, at the latest with the next start.
//! - A block's number is never given twice, also when the commit that was to add it failed: such a
//!   commit may turn out to have reached the disk.

mod record;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::block::{Block, BlockFiles, BlockMeta};
use crate::error::StoreError;
use crate::fs::{Fs, TEMPORARY, replace_file};
use crate::wal::LogFormat;
use crate::wal::frame::Framer;
use crate::wal::reader::{Next, Opened, SegmentReader};
use crate::wal::replay::{LogFile, list_files, remove_temporaries};

pub(crate) use record::Stored;
pub use record::fuzz_catalog;

/// The one frame of a file.
const VERSION: u8 = 32;

/// Versions of the catalog.
const CATALOG: LogFormat =
    LogFormat { magic: b"SKOPCTL\n", extension: ".catalog", version: 1, kinds: &[(VERSION, 1)] };

/// What to do about a block that is not whole.
const ASIDE: &str = "restore a snapshot, or set the block aside with `skopos verify --set-aside`";

/// How many versions stay on disk, the current one included.
const KEPT_VERSIONS: u64 = 2;

/// The blocks at one moment. Whoever holds it can read all of them.
pub(crate) struct Version {
    /// Counts commits.
    pub(crate) number: u64,
    /// First WAL segment whose batches are not in blocks.
    pub(crate) wal_from: u64,
    /// All event sequence numbers in blocks are smaller.
    pub(crate) next_sequence: u64,
    /// In the order in which their data was received, oldest first, per signal.
    pub(crate) blocks: Vec<Arc<Block>>,
}

/// What a commit changes.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    /// Blocks that go.
    pub(crate) removed: Vec<u64>,
    /// Blocks that come: at the place of the first removed one, else at the end.
    pub(crate) added: Vec<BlockMeta>,
    /// New values of the version's fields.
    pub(crate) wal_from: Option<u64>,
    pub(crate) next_sequence: Option<u64>,
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// Somebody else has committed since.
    #[error("edit was made from version {base}, the catalog is at {current}")]
    Conflict {
        /// The version the edit was made from.
        base: u64,
        /// The version there is.
        current: u64,
    },
    /// The file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommitError {
    /// Whether no restart will ever see the edit: its version was not put in place.
    pub(crate) fn left_no_trace(&self) -> bool {
        match self {
            Self::Conflict { .. } => true,
            Self::Store(StoreError::Io { action, path, .. }) => {
                let unfinished = path.to_string_lossy().ends_with(TEMPORARY);
                *action == "write" || unfinished && *action != "rename"
            }
            Self::Store(_) => false,
        }
    }
}

impl From<CommitError> for StoreError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error,
            CommitError::Conflict { .. } => Self::Conflict { reason: error.to_string() },
        }
    }
}

/// The catalog of one data folder.
pub(crate) struct Catalog {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    files: Arc<BlockFiles>,
    current: RwLock<Arc<Version>>,
    /// One commit at a time.
    committing: Mutex<()>,
    next_block: AtomicU64,
    /// Removed blocks whose files are still there, because somebody may read them.
    retired: Mutex<Vec<Arc<Block>>>,
}

impl Catalog {
    /// Reads the newest version and removes what no version needs: unfinished files, older
    /// versions, blocks that never were committed or have been removed.
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        files: Arc<BlockFiles>,
    ) -> Result<Self, StoreError> {
        remove_temporaries(&*fs, &dir)?;
        let (number, stored) = match newest(&*fs, &dir)? {
            None => (0, Stored::default()),
            Some((file, stored)) => (file.number, stored),
        };
        let mut versions = list_files(&*fs, &dir, &CATALOG)?;
        versions.pop();
        // An earlier process may have put it in place and then failed to make that durable: nothing
        // may be removed for its sake before it is.
        fs.sync_dir(&dir).map_err(StoreError::io("sync", &dir))?;
        for file in &versions {
            fs.remove(&file.path).map_err(StoreError::io("remove", &file.path))?;
        }
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut highest = stored.next_block;
        for block in &stored.blocks {
            needed.extend(block.files.iter().map(|file| file.name.clone()));
        }
        for entry in files.list()? {
            if !needed.remove(&entry.name) {
                files.remove(&entry.name)?;
                // Its number may be known to a commit that failed: it is not used again.
                let number = entry.name.split('-').next().and_then(|n| n.parse::<u64>().ok());
                highest = highest.max(number.map_or(0, |n| n.saturating_add(1)));
            } else if let Some(file) = stored.file(&entry.name).filter(|f| f.len != entry.len) {
                let reason =
                    format!("file has {} bytes, the catalog says {}: {ASIDE}", entry.len, file.len);
                return Err(StoreError::corrupt(&files.path(&entry.name), 0, reason));
            }
        }
        if let Some(missing) = needed.first() {
            let reason = format!("block file is missing: {ASIDE}");
            return Err(StoreError::corrupt(&files.path(missing), 0, reason));
        }
        let block = |meta| Arc::new(Block::new(Arc::clone(&files), meta));
        let version = Version {
            number,
            wal_from: stored.wal_from,
            next_sequence: stored.next_sequence,
            blocks: stored.blocks.into_iter().map(block).collect(),
        };
        Ok(Self {
            fs,
            dir,
            files,
            current: RwLock::new(Arc::new(version)),
            committing: Mutex::new(()),
            next_block: AtomicU64::new(highest.max(1)),
            retired: Mutex::default(),
        })
    }

    /// The blocks as they are now.
    pub(crate) fn snapshot(&self) -> Arc<Version> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The folder of blocks.
    pub(crate) fn files(&self) -> &Arc<BlockFiles> {
        &self.files
    }

    /// A number for a new block.
    pub(crate) fn take_block_number(&self) -> u64 {
        self.next_block.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes an edit of version `base` durable. Files of added blocks must be durable before.
    ///
    /// After an error other than a conflict the edit may or may not be there after a restart;
    /// files of blocks it added must stay.
    pub(crate) fn commit(&self, base: u64, edit: Edit) -> Result<Arc<Version>, CommitError> {
        let _committing = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.snapshot();
        if old.number != base {
            return Err(CommitError::Conflict { base, current: old.number });
        }
        let (blocks, removed) = apply(&old.blocks, edit.removed, edit.added, &self.files);
        let version = Arc::new(Version {
            number: old.number + 1,
            wal_from: edit.wal_from.unwrap_or(old.wal_from),
            next_sequence: edit.next_sequence.unwrap_or(old.next_sequence),
            blocks,
        });
        let next_block = self.next_block.load(Ordering::Relaxed);
        put(&*self.fs, &self.dir, version.number, &record::encode(&version, next_block))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&version);
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).extend(removed);
        if let Some(obsolete) = version.number.checked_sub(KEPT_VERSIONS).filter(|n| *n > 0) {
            // The next start removes what cannot be removed now.
            let _ = self.fs.remove(&self.dir.join(CATALOG.file_name(obsolete)));
        }
        Ok(version)
    }

    /// Removes the files of removed blocks that nobody reads any more; how many blocks still wait.
    pub(crate) fn sweep(&self) -> usize {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|block| {
            let read = Arc::strong_count(block) > 1;
            if !read {
                for file in &block.meta.files {
                    // The next start removes what cannot be removed now.
                    let _ = self.files.remove(&file.name);
                }
            }
            read
        });
        retired.len()
    }
}

fn apply(
    old: &[Arc<Block>],
    removed: Vec<u64>,
    added: Vec<BlockMeta>,
    files: &Arc<BlockFiles>,
) -> (Vec<Arc<Block>>, Vec<Arc<Block>>) {
    let goes = |block: &Arc<Block>| removed.contains(&block.meta.number);
    let place = old.iter().position(goes).unwrap_or(old.len());
    let new = added.into_iter().map(|meta| Arc::new(Block::new(Arc::clone(files), meta)));
    let before = old.iter().take(place).cloned();
    let after = old.iter().skip(place).filter(|block| !goes(block)).cloned();
    let blocks = before.chain(new).chain(after).collect();
    (blocks, old.iter().filter(|block| goes(block)).cloned().collect())
}

/// The newest version in a folder, and its file.
pub(crate) fn newest(fs: &dyn Fs, dir: &Path) -> Result<Option<(LogFile, Stored)>, StoreError> {
    let Some(file) = list_files(fs, dir, &CATALOG)?.pop() else { return Ok(None) };
    let stored = read(fs, &file.path, file.number, file.len)?;
    Ok(Some((file, stored)))
}

/// Writes a version whole and puts it in place; its file's name and bytes.
fn put(fs: &dyn Fs, dir: &Path, number: u64, body: &[u8]) -> Result<(String, Vec<u8>), StoreError> {
    let mut framer = Framer::new(&CATALOG, number);
    framer.push(VERSION, body);
    let name = CATALOG.file_name(number);
    replace_file(fs, dir, &name, |file| {
        let path = dir.join(&name);
        file.write_all(framer.pending()).map_err(StoreError::io("write", &path))
    })?;
    Ok((name, framer.pending().to_vec()))
}

/// Writes a version into a folder that no [`Catalog`] is open on; its file's name and bytes.
pub(crate) fn write(
    fs: &dyn Fs,
    dir: &Path,
    number: u64,
    stored: &Stored,
) -> Result<(String, Vec<u8>), StoreError> {
    put(fs, dir, number, &stored.encode())
}

fn read(fs: &dyn Fs, path: &Path, number: u64, len: u64) -> Result<record::Stored, StoreError> {
    debug_assert!(!path.to_string_lossy().ends_with(TEMPORARY));
    let incomplete = || StoreError::corrupt(path, 0, "catalog is incomplete");
    let Opened::Reader(mut reader) = SegmentReader::open(fs, path, &CATALOG, number, len)? else {
        return Err(incomplete());
    };
    let stored = match reader.next()? {
        Next::Frame(frame) => record::decode(frame.body)
            .map_err(|error| StoreError::corrupt(path, frame.offset, error.to_string()))?,
        Next::End => return Err(incomplete()),
        Next::Damaged(reason) => return Err(StoreError::corrupt(path, reader.offset(), reason)),
    };
    match reader.next()? {
        Next::End => Ok(stored),
        _ => Err(StoreError::corrupt(path, reader.offset(), "bytes after the version")),
    }
}

#[cfg(test)]
mod tests;
