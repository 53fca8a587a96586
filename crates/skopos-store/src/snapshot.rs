//! Snapshots of a data folder: a consistent copy that opens like the folder after a crash at that
//! moment, and the way back. `docs/formats/snapshot.md`.
//!
//! Constraints:
//! - Whoever takes a snapshot keeps flushes, compaction and retention out meanwhile: nobody else
//!   commits to the catalog. Appends and commits of state go on; what they add after their file was
//!   looked at is left out.
//! - Block files are never changed, so they are linked where the file system can; the rest is copied.
//! - The manifest comes last and at once: a folder without one is no snapshot.
//! - Every block is verified before anything is made: a damaged one fails the snapshot by name, or
//!   is left out of it and told, as who asks wishes. So nothing is in a snapshot that cannot be
//!   restored.
//! - A restore checks every byte before it touches the target, and marks the target as unfinished
//!   until it is done.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

mod manifest;
mod restore;

use crate::block::{BlockMeta, FileMeta};
use crate::catalog::{self, Stored};
use crate::error::StoreError;
use crate::fs::{self, Fs, LockAttempt, LockGuard};
use crate::state::recover::find_files;
use crate::verify::{self, DamagedBlock};
use crate::wal::WAL;
use crate::wal::replay::{LogFile, list_files};
pub use manifest::fuzz_manifest;
use manifest::{Listed, Manifest};
pub(crate) use restore::check_finished;
pub use restore::restore;

/// Where in a data folder things are.
pub(crate) const PARTS: [&str; 4] = ["wal", "state", "blocks", "catalog"];
/// How often the state log is looked at again because it was compacted meanwhile.
const MOST_LOOKS: usize = 10;
/// Bytes read at once.
const PIECE_BYTES: usize = 256 << 10;

/// What becomes of a snapshot of damaged blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damaged {
    /// There is none: it fails and names them.
    #[default]
    Fail,
    /// They are left out, and named in the report.
    Skip,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of them in files that share their space with the original.
    pub linked_bytes: u64,
    /// Damaged blocks that were left out.
    pub skipped: Vec<DamagedBlock>,
}

/// Takes a snapshot of a data folder that no server has open. `to` must be missing or empty; the
/// folder is locked meanwhile.
pub fn snapshot(
    fs: &dyn Fs,
    data: &Path,
    to: &Path,
    damaged: Damaged,
) -> Result<SnapshotReport, StoreError> {
    if !fs.is_dir(&data.join("default").join("catalog")) {
        let reason = format!("{} is no data folder of skopos", data.display());
        return Err(StoreError::InvalidInput { reason });
    }
    let _lock = lock(fs, data)?;
    check_finished(fs, data)?;
    take(fs, data, to, damaged)
}

/// Locks a data folder for this process.
pub(crate) fn lock(fs: &dyn Fs, root: &Path) -> Result<LockGuard, StoreError> {
    let path = root.join("lock");
    match fs.lock(&path).map_err(StoreError::io("lock", &path))? {
        LockAttempt::Acquired(guard) => Ok(guard),
        LockAttempt::Held(pid) => Err(StoreError::Locked { path: root.to_path_buf(), pid }),
    }
}

/// Takes a snapshot of a data folder whose catalog nobody changes meanwhile.
pub(crate) fn take(
    fs: &dyn Fs,
    data: &Path,
    to: &Path,
    damaged: Damaged,
) -> Result<SnapshotReport, StoreError> {
    check_target(data, to)?;
    let newest = catalog::newest(fs, &data.join("default").join("catalog"))?;
    let mut skipped = Vec::new();
    if let Some((_, stored)) = &newest {
        skipped = verify::damaged_of(fs, data, &stored.blocks)?;
        if !skipped.is_empty() && damaged == Damaged::Fail {
            return Err(StoreError::DamagedBlocks { damaged: skipped });
        }
    }
    prepare_folder(fs, to)?;
    let report = SnapshotReport { skipped, ..SnapshotReport::default() };
    let mut copy = Copy { fs, data, to, manifest: Manifest::default(), report };
    let wal_from = match newest {
        None => 0,
        Some((file, mut stored)) => {
            stored.blocks.retain(|block| !copy.is_skipped(block));
            for block in stored.blocks.iter().flat_map(|block| &block.files) {
                copy.link(block)?;
            }
            match copy.report.skipped.is_empty() {
                true => copy.copy_whole("catalog", &file)?,
                false => copy.write_catalog(file.number, &stored)?,
            }
            stored.wal_from
        }
    };
    let wal_dir = data.join("default").join("wal");
    for file in list_files(fs, &wal_dir, &WAL)?.iter().filter(|file| file.number >= wal_from) {
        copy.copy_whole("wal", file)?;
    }
    copy.state()?;
    copy.finish()
}

/// Refuses a target inside the data folder: it would go with it, and the server cleans up there.
fn check_target(data: &Path, to: &Path) -> Result<(), StoreError> {
    let absolute = |path: &Path| {
        // What is there of it, links resolved, and what is to be made.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let there = path.ancestors().find_map(|above| {
            let real = std::fs::canonicalize(above).ok()?;
            Some(real.join(path.strip_prefix(above).ok()?))
        });
        there.unwrap_or(path)
    };
    match absolute(to).starts_with(absolute(data)) {
        false => Ok(()),
        true => {
            let reason = format!(
                "{} is inside of the data folder {}: name a folder outside, best on another disk",
                to.display(),
                data.display()
            );
            Err(StoreError::InvalidInput { reason })
        }
    }
}

/// Makes the folders of a snapshot; refuses one that holds anything.
fn prepare_folder(fs: &dyn Fs, to: &Path) -> Result<(), StoreError> {
    if fs.is_dir(to) && !holds_nothing(fs, to)? {
        let reason = format!("{} is not empty: name a new folder", to.display());
        return Err(StoreError::InvalidInput { reason });
    }
    for part in PARTS {
        let dir = to.join("default").join(part);
        fs::create_dirs(fs, &dir).map_err(StoreError::io("create", &dir))?;
    }
    Ok(())
}

/// Whether a folder and the parts of a data folder below it hold no file.
fn holds_nothing(fs: &dyn Fs, root: &Path) -> Result<bool, StoreError> {
    let parts = PARTS.map(|part| root.join("default").join(part));
    for dir in std::iter::once(root.to_path_buf()).chain(parts) {
        if !fs.is_dir(&dir) {
            continue;
        }
        let entries = fs.list(&dir).map_err(StoreError::io("list", &dir))?;
        if entries.iter().any(|entry| entry.name != "lock") {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Copy<'a> {
    fs: &'a dyn Fs,
    data: &'a Path,
    to: &'a Path,
    manifest: Manifest,
    report: SnapshotReport,
}

impl Copy<'_> {
    fn paths(&self, part: &str, name: &str) -> (PathBuf, PathBuf) {
        let place = |root: &Path| root.join("default").join(part).join(name);
        (place(self.data), place(self.to))
    }

    fn is_skipped(&self, block: &BlockMeta) -> bool {
        self.report.skipped.iter().any(|skipped| skipped.number == block.number)
    }

    /// Writes the catalog without the blocks that are left out.
    fn write_catalog(&mut self, number: u64, stored: &Stored) -> Result<(), StoreError> {
        let dir = self.to.join("default").join("catalog");
        let (name, bytes) = catalog::write(self.fs, &dir, number, stored)?;
        self.list("catalog", &name, bytes.len() as u64, crc32c::crc32c(&bytes));
        Ok(())
    }

    /// Copies a block's file, which is never changed, by a link where that is possible.
    fn link(&mut self, listed: &FileMeta) -> Result<(), StoreError> {
        let (from, to) = self.paths("blocks", &listed.name);
        match self.fs.hard_link(&from, &to) {
            Ok(()) => self.report.linked_bytes += listed.len,
            // Another file system, or one without links.
            Err(_) => {
                let copied = copy_file(self.fs, &from, &to, listed.len)
                    .map_err(StoreError::io("copy", &from))?;
                if copied != (listed.len, listed.checksum) {
                    return Err(StoreError::corrupt(&from, 0, "bytes are not those written"));
                }
            }
        }
        self.list("blocks", &listed.name, listed.len, listed.checksum);
        Ok(())
    }

    /// Copies a file as long as it was when it was listed.
    fn copy_whole(&mut self, part: &str, file: &LogFile) -> Result<(), StoreError> {
        self.try_copy(part, file).map_err(StoreError::io("copy", &file.path))
    }

    fn try_copy(&mut self, part: &str, file: &LogFile) -> io::Result<()> {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (from, to) = self.paths(part, &name);
        let (len, checksum) = copy_file(self.fs, &from, &to, file.len)?;
        self.list(part, &name, len, checksum);
        Ok(())
    }

    fn list(&mut self, part: &str, name: &str, len: u64, checksum: u32) {
        let path = format!("default/{part}/{name}");
        self.manifest.files.push(Listed { path, len, checksum });
        self.report.files += 1;
        self.report.bytes += len;
    }

    /// Copies the state log, which may be compacted meanwhile: then what was listed is gone, and
    /// what has come instead is taken.
    fn state(&mut self) -> Result<(), StoreError> {
        let dir = self.data.join("default").join("state");
        let (listed, report) = (self.manifest.files.len(), self.report.clone());
        let mut looks = 0;
        loop {
            looks += 1;
            let files = find_files(self.fs, &dir)?;
            let all = files.snapshot.iter().chain(&files.logs);
            let copied = all.map(|file| (file, self.try_copy("state", file)));
            let failed = copied.into_iter().find_map(|(file, copied)| Some((file, copied.err()?)));
            let Some((file, error)) = failed else { return Ok(()) };
            if error.kind() != io::ErrorKind::NotFound || looks == MOST_LOOKS {
                return Err(StoreError::io("copy", &file.path)(error));
            }
            for file in self.manifest.files.split_off(listed) {
                let path = self.to.join(&file.path);
                self.fs.remove(&path).map_err(StoreError::io("remove", &path))?;
            }
            self.report = report.clone();
        }
    }

    /// Makes everything durable, the manifest last.
    fn finish(self) -> Result<SnapshotReport, StoreError> {
        for part in PARTS {
            let dir = self.to.join("default").join(part);
            self.fs.sync_dir(&dir).map_err(StoreError::io("sync", &dir))?;
        }
        self.manifest.write(self.fs, self.to)?;
        Ok(self.report)
    }
}

/// Copies the first `len` bytes of a file, durably; how many there were, and their checksum.
pub(crate) fn copy_file(fs: &dyn Fs, from: &Path, to: &Path, len: u64) -> io::Result<(u64, u32)> {
    let mut source = fs.open(from)?;
    let mut target = fs.create(to)?;
    let summed = sum(&mut source, len, |piece| target.write_all(piece))?;
    target.sync()?;
    Ok(summed)
}

/// Reads up to `len` bytes; how many there were, and their checksum.
fn sum(
    from: &mut dyn Read,
    len: u64,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, u32)> {
    let mut from = from.take(len);
    let mut piece = vec![0; PIECE_BYTES];
    let (mut read, mut checksum) = (0, 0);
    loop {
        let n = from.read(&mut piece)?;
        let bytes = piece.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            return Ok((read, checksum));
        }
        each(bytes)?;
        read += n as u64;
        checksum = crc32c::crc32c_append(checksum, bytes);
    }
}
