//! The file-system seam: the few operations that the logs need, so that tests can run them on a
//! file system that crashes.
//!
//! Constraints:
//! - Synchronous and object-safe; the logs call it from their own threads, never from async code.
//! - Files are written once, from the start, append-only. Nothing is truncated or written in
//!   place: a file that must change is written anew and renamed.
//! - Durability is explicit: bytes after [`FsFile::sync`], names after [`Fs::sync_dir`].

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::StoreError;

/// How names of unfinished files end.
pub(crate) const TEMPORARY: &str = ".tmp";

/// A file system.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Makes a folder whose parent exists. An existing folder is fine.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether this folder exists.
    fn is_dir(&self, dir: &Path) -> bool;

    /// Makes a file, or empties it when it exists, and opens it for writing from the start.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;

    /// Opens a file for reading from the start.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// Opens a file for reading anywhere in it.
    fn open_at(&self, path: &Path) -> io::Result<Box<dyn FsRead>>;

    /// The files (not folders) in a folder, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<FsEntry>>;

    /// Gives a file another name in the same folder, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, which no file has; both are the same bytes. Fails where the file
    /// system cannot.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable: files created, renamed and removed before this.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The space of the file system that a folder is on.
    fn space(&self, dir: &Path) -> io::Result<Space>;

    /// Tries to lock a file (made when missing) for this process alone and writes the process id
    /// into it. The lock ends with the guard, or with the process.
    fn lock(&self, path: &Path) -> io::Result<LockAttempt>;
}

/// A file open for writing.
pub trait FsFile: Send {
    /// Appends all bytes. After an error an unknown part of them may be in the file.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written durable (data and length).
    fn sync(&mut self) -> io::Result<()>;
}

/// A file open for reading anywhere; it stays readable when its name is removed.
pub trait FsRead: Send + Sync {
    /// Fills `to` with the bytes from `offset` on; an error when the file ends before.
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()>;
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FsEntry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// The space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this process may still write.
    pub free_bytes: u64,
    /// All there is, used or not.
    pub total_bytes: u64,
}

/// What became of [`Fs::lock`].
pub enum LockAttempt {
    /// Locked until the guard is dropped.
    Acquired(LockGuard),
    /// Somebody else has it; the process id when the file says so.
    Held(Option<u32>),
}

/// Holds a lock until dropped.
pub struct LockGuard(#[expect(dead_code, reason = "held for its Drop")] Box<dyn Any + Send + Sync>);

impl LockGuard {
    /// A guard that keeps `holder` alive; dropping `holder` must release the lock.
    pub fn new(holder: impl Any + Send + Sync) -> Self {
        Self(Box::new(holder))
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockGuard")
    }
}

/// Makes a folder and all missing ones above it, durably.
pub(crate) fn create_dirs(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if !fs.is_dir(dir) {
        if let Some(parent) = parent {
            create_dirs(fs, parent)?;
        }
        fs.create_dir(dir)?;
    }
    // Also when the folder is there: an earlier start may have made it and failed right here.
    match fs.sync_dir(parent.unwrap_or(Path::new("."))) {
        // Above the data folder not everything is ours to open.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// Writes a whole file so that it is there completely or not at all, also after a crash. The
/// folder is `dir`, the name `name`; the unfinished file is called `name.tmp`.
pub(crate) fn replace_file(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
    write: impl FnOnce(&mut dyn FsFile) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let temporary = dir.join(format!("{name}{TEMPORARY}"));
    let mut file = fs.create(&temporary).map_err(StoreError::io("create", &temporary))?;
    let written =
        write(&mut *file).and_then(|()| file.sync().map_err(StoreError::io("sync", &temporary)));
    drop(file);
    if let Err(error) = written {
        // Best effort: a leftover is removed at the next start as well.
        let _ = fs.remove(&temporary);
        return Err(error);
    }
    let path = dir.join(name);
    fs.rename(&temporary, &path).map_err(StoreError::io("rename", &temporary))?;
    fs.sync_dir(dir).map_err(StoreError::io("sync", dir))
}

/// The machine's file system. What it creates is its owner's alone (0700, 0600): telemetry and
/// hashes of tokens are nobody else's business.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdFs;

impl Fs for StdFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            result => result,
        }
    }

    fn is_dir(&self, dir: &Path) -> bool {
        dir.is_dir()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(StdFile(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open_at(&self, path: &Path) -> io::Result<Box<dyn FsRead>> {
        Ok(Box::new(StdFile(File::open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FsEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(FsEntry { name, len: metadata.len() });
            }
        }
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) })
    }

    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                write!(file, "{}", std::process::id())?;
                Ok(LockAttempt::Acquired(LockGuard::new(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Who holds it is a courtesy; the answer "held" does not depend on it.
                let _ = file.take(32).read_to_string(&mut text);
                Ok(LockAttempt::Held(text.trim().parse().ok()))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

struct StdFile(File);

impl FsFile for StdFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl FsRead for StdFile {
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, to, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_lock_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let LockAttempt::Acquired(guard) = StdFs.lock(&path).unwrap() else { panic!("held") };
        match StdFs.lock(&path).unwrap() {
            LockAttempt::Held(pid) => assert_eq!(pid, Some(std::process::id())),
            LockAttempt::Acquired(_) => panic!("locked twice"),
        }
        drop(guard);
        assert!(matches!(StdFs.lock(&path).unwrap(), LockAttempt::Acquired(_)));
    }

    #[test]
    fn space_is_what_the_system_says() {
        let dir = tempfile::tempdir().unwrap();
        let space = StdFs.space(dir.path()).unwrap();
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0, "{space:?}");
        assert!(StdFs.space(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn failed_replacement_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let write = |f: &mut dyn FsFile| f.write_all(b"old").map_err(StoreError::io("write", dir));
        replace_file(&StdFs, dir, "a", write).unwrap();
        let failed = replace_file(&StdFs, dir, "a", |_| Err(StoreError::Closed));
        assert!(failed.is_err());
        assert_eq!(fs::read(dir.join("a")).unwrap(), b"old");
        assert_eq!(StdFs.list(dir).unwrap().len(), 1);
    }
}
