//! A file system in memory that fails when told to and forgets what was not synced.
//!
//! Constraints:
//! - Every operation that changes something (make, write, sync, rename, link, remove) is counted; a test
//!   first runs its workload without faults to learn the count, then once per point.
//! - After the crash point every operation fails, as if the process were gone, until
//!   [`FaultFs::restart`] shows what a disk would hold.
//! - A file's bytes survive only if synced; a name survives only if its folder was synced after it
//!   was made, renamed or removed. What else survives is chosen by [`Survival`], because real
//!   disks do any of it.
//! - After a failed fsync the bytes written before it stay visible and never become durable,
//!   whatever later fsyncs say: what Linux does.
//! - With a [capacity](FaultFs::set_capacity) writes beyond it fail for want of space, after the part
//!   that still fits; removing files makes space.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use skopos_store::fs::{Fs, FsEntry, FsFile, FsRead, LockAttempt, LockGuard, Space};

/// What to break. Operations are numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The operation at which the machine dies. A write dies after
    /// [`torn_bytes`](Self::torn_bytes) of its bytes.
    pub crash_at: Option<u64>,
    /// How many bytes of the write at the crash point reach the file.
    pub torn_bytes: usize,
    /// The fsync (of files and folders, numbered from 1 on their own) that fails.
    pub fail_sync: Option<u64>,
    /// The write (numbered from 1 on their own) that fails after half of its bytes.
    pub fail_write: Option<u64>,
    /// Injected failures say that there is no space on the disk, not that it is broken.
    pub no_space: bool,
}

/// What a disk holds after a crash of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// The first half of each file's unsynced bytes; no unsynced names.
    Half,
    /// All of it, as after a `kill -9`.
    Everything,
    /// Unsynced bytes have the right length and are zero; all names. What some file systems do.
    Zeros,
    /// All names, no unsynced bytes.
    Names,
}

impl Survival {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Nothing, Self::Half, Self::Everything, Self::Zeros, Self::Names];
}

/// How many operations there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpCounts {
    /// All that change something.
    pub all: u64,
    /// Writes.
    pub writes: u64,
    /// Fsyncs of files and folders.
    pub syncs: u64,
}

/// What a disk without a size says it has.
const UNBOUNDED: u64 = 1 << 50;

/// The file system. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct FaultFs(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    disk: Mutex<Disk>,
    /// Tells those who wait that fsyncs may go on.
    resumed: Condvar,
}

#[derive(Debug, Default)]
struct Disk {
    faults: Faults,
    counts: OpCounts,
    crashed: bool,
    torn: bool,
    /// Bytes of all files together.
    capacity: Option<u64>,
    /// Fsyncs of files wait.
    paused: bool,
    /// Counts restarts: files opened and locks taken before one are void after it.
    epoch: u64,
    inodes: Vec<Inode>,
    /// Names as programs see them.
    live: BTreeMap<PathBuf, Node>,
    /// Names as they are on disk.
    durable: BTreeMap<PathBuf, Node>,
    locks: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    /// What a crash certainly leaves.
    synced: Vec<u8>,
    /// From here on nothing can become durable any more: an fsync has failed.
    lost_from: Option<usize>,
}

impl FaultFs {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is to break, counting operations from here.
    pub fn set_faults(&self, faults: Faults) {
        let mut disk = self.disk();
        disk.faults = faults;
        disk.counts = OpCounts::default();
    }

    /// Gives the disk a size in bytes; none: it never fills up.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.disk().used_bytes()
    }

    /// Operations since the faults were set.
    pub fn counts(&self) -> OpCounts {
        self.disk().counts
    }

    /// Whether the crash point was reached.
    pub fn has_crashed(&self) -> bool {
        self.disk().crashed
    }

    /// Whether the crash point was a write, so that [`Faults::torn_bytes`] had a meaning.
    pub fn has_torn(&self) -> bool {
        self.disk().torn
    }

    /// The machine comes up again, without faults. Call it when the old store is gone.
    pub fn restart(&self, survival: Survival) {
        let mut disk = self.disk();
        disk.epoch += 1;
        (disk.crashed, disk.torn) = (false, false);
        disk.faults = Faults::default();
        disk.counts = OpCounts::default();
        disk.locks.clear();
        if matches!(survival, Survival::Nothing | Survival::Half) {
            let durable = &disk.durable;
            let reachable = |path: &Path| {
                path.ancestors().skip(1).all(|above| {
                    above.parent().is_none()
                        || above.as_os_str().is_empty()
                        || durable.get(above) == Some(&Node::Folder)
                })
            };
            let survivors = durable.iter().filter(|(path, _)| reachable(path));
            disk.live = survivors.map(|(path, node)| (path.clone(), *node)).collect();
        }
        for inode in &mut disk.inodes {
            inode.crash(survival);
        }
        disk.durable = disk.live.clone();
    }

    /// A copy of the disk as it is, to try several things from one point.
    pub fn fork(&self) -> Self {
        let disk = self.disk();
        let disk = Mutex::new(Disk {
            faults: disk.faults,
            counts: disk.counts,
            crashed: disk.crashed,
            torn: disk.torn,
            capacity: disk.capacity,
            paused: false,
            epoch: disk.epoch + 1,
            inodes: disk.inodes.clone(),
            live: disk.live.clone(),
            durable: disk.durable.clone(),
            locks: Vec::new(),
        });
        Self(Arc::new(Shared { disk, resumed: Condvar::new() }))
    }

    /// The bytes of a file, if it is there.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk();
        match disk.live.get(path) {
            Some(Node::File(inode)) => disk.inodes.get(*inode).map(|inode| inode.bytes.clone()),
            _ => None,
        }
    }

    /// Puts a file there, durably: for damage on purpose.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = self.disk();
        disk.inodes.push(Inode { synced: bytes.clone(), bytes, lost_from: None });
        let node = Node::File(disk.inodes.len() - 1);
        disk.live.insert(path.into(), node);
        disk.durable.insert(path.into(), node);
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            disk.live.insert(above.into(), Node::Folder);
            disk.durable.insert(above.into(), Node::Folder);
        }
    }

    /// Paths of all files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let disk = self.disk();
        let is_file = |node: &Node| matches!(node, Node::File(_));
        disk.live.iter().filter(|(_, node)| is_file(node)).map(|(path, _)| path.clone()).collect()
    }

    /// A hash of all that a program can find on the disk after a [`restart`](Self::restart): of two
    /// disks that have the same, nothing that starts on them can tell one from the other.
    pub fn fingerprint(&self) -> u64 {
        let disk = self.disk();
        let mut hasher = DefaultHasher::new();
        // Links to one file are told by their order, because numbers of files differ between runs.
        let mut numbers = BTreeMap::new();
        for (path, node) in &disk.live {
            path.hash(&mut hasher);
            let Node::File(inode) = node else { continue };
            let next = numbers.len();
            let number = *numbers.entry(*inode).or_insert(next);
            number.hash(&mut hasher);
            if number == next {
                disk.inodes.get(*inode).map(|inode| &inode.bytes).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every fsync of a file wait until the guard is dropped, also by a failing test.
    #[must_use]
    pub fn pause_syncs(&self) -> SyncsPaused {
        self.disk().paused = true;
        SyncsPaused(self.clone())
    }
}

/// Fsyncs wait as long as this lives.
#[derive(Debug)]
pub struct SyncsPaused(FaultFs);

impl Drop for SyncsPaused {
    fn drop(&mut self) {
        self.0.disk().paused = false;
        self.0.0.resumed.notify_all();
    }
}

impl Inode {
    fn crash(&mut self, survival: Survival) {
        let common = self.bytes.iter().zip(&self.synced).take_while(|(a, b)| a == b).count();
        let unsynced = self.bytes.get(common..).unwrap_or_default();
        let mut bytes = self.synced.clone();
        // A file that was emptied and written anew: its old bytes may be there still.
        if common == self.synced.len() {
            match survival {
                Survival::Nothing | Survival::Names => {}
                Survival::Half => bytes.extend(unsynced.iter().take(unsynced.len() / 2)),
                Survival::Everything => bytes.extend(unsynced),
                Survival::Zeros => bytes.resize(self.bytes.len(), 0),
            }
        } else if survival == Survival::Everything {
            bytes.clone_from(&self.bytes);
        }
        *self = Self { synced: bytes.clone(), bytes, lost_from: None };
    }

    fn sync(&mut self, fails: bool) {
        let from = match (self.lost_from, fails) {
            (Some(from), _) => from,
            (None, true) => {
                let unsynced = self.bytes.iter().zip(&self.synced);
                let from = unsynced.take_while(|(a, b)| a == b).count();
                *self.lost_from.insert(from)
            }
            (None, false) => self.bytes.len(),
        };
        if !fails {
            self.synced = self.bytes.iter().take(from).copied().collect();
        }
    }
}

impl Disk {
    /// Counts an operation; fails when the machine is gone or goes now.
    fn step(&mut self) -> io::Result<()> {
        if self.crashed {
            return Err(gone());
        }
        self.counts.all += 1;
        if self.faults.crash_at == Some(self.counts.all) {
            self.crashed = true;
            return Err(gone());
        }
        Ok(())
    }

    /// Counts an fsync; yields whether it is to fail.
    fn step_sync(&mut self) -> io::Result<bool> {
        self.step()?;
        self.counts.syncs += 1;
        Ok(self.faults.fail_sync == Some(self.counts.syncs))
    }

    fn used_bytes(&self) -> u64 {
        let len = |node: &Node| match node {
            Node::File(inode) => {
                self.inodes.get(*inode).map_or(0, |inode| inode.bytes.len() as u64)
            }
            Node::Folder => 0,
        };
        self.live.values().map(len).sum()
    }

    /// Bytes that still fit.
    fn free_bytes(&self) -> u64 {
        self.capacity.map_or(UNBOUNDED, |bytes| bytes.saturating_sub(self.used_bytes()))
    }

    fn injected(&self, what: &str) -> io::Error {
        match self.faults.no_space {
            true => no_space(),
            false => io::Error::other(format!("injected failure of {what}")),
        }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.live.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if parent.parent().is_some() && !self.live.contains_key(parent) => {
                Err(io::ErrorKind::NotFound.into())
            }
            _ => Ok(()),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("injected crash: the machine is gone")
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "injected: no space left on device")
}

impl Fs for FaultFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.check_parent(dir)?;
        disk.live.insert(dir.into(), Node::Folder);
        Ok(())
    }

    fn is_dir(&self, dir: &Path) -> bool {
        dir.parent().is_none() || self.disk().live.get(dir) == Some(&Node::Folder)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let mut disk = self.disk();
        disk.step()?;
        disk.check_parent(path)?;
        let inode = match disk.file(path) {
            Ok(inode) => {
                if let Some(inode) = disk.inodes.get_mut(inode) {
                    inode.bytes.clear();
                    inode.lost_from = None;
                }
                inode
            }
            Err(_) => {
                disk.inodes.push(Inode::default());
                disk.inodes.len() - 1
            }
        };
        disk.live.insert(path.into(), Node::File(inode));
        Ok(Box::new(FaultFile { fs: self.clone(), inode, epoch: disk.epoch }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let disk = self.disk();
        if disk.crashed {
            return Err(gone());
        }
        let inode = disk.inodes.get(disk.file(path)?).cloned().unwrap_or_default();
        Ok(Box::new(Cursor::new(inode.bytes)))
    }

    fn open_at(&self, path: &Path) -> io::Result<Box<dyn FsRead>> {
        let disk = self.disk();
        if disk.crashed {
            return Err(gone());
        }
        let inode = disk.inodes.get(disk.file(path)?).cloned().unwrap_or_default();
        Ok(Box::new(OpenFile(inode.bytes)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FsEntry>> {
        let disk = self.disk();
        if disk.crashed {
            return Err(gone());
        }
        let mut entries = Vec::new();
        for (path, node) in &disk.live {
            if let (Node::File(inode), true) = (node, path.parent() == Some(dir)) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let len = disk.inodes.get(*inode).map_or(0, |inode| inode.bytes.len() as u64);
                entries.push(FsEntry { name, len });
            }
        }
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let inode = disk.file(from)?;
        disk.live.remove(from);
        disk.live.insert(to.into(), Node::File(inode));
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.check_parent(to)?;
        let inode = disk.file(from)?;
        if disk.live.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.live.insert(to.into(), Node::File(inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.file(path)?;
        disk.live.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.step_sync()? {
            return Err(disk.injected("fsync"));
        }
        let within = |path: &Path| path.parent() == Some(dir);
        disk.durable.retain(|path, _| !within(path));
        let now: Vec<_> = disk.live.iter().filter(|(path, _)| within(path)).collect();
        let now: Vec<_> = now.into_iter().map(|(path, node)| (path.clone(), *node)).collect();
        disk.durable.extend(now);
        Ok(())
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let disk = self.disk();
        if disk.crashed {
            return Err(gone());
        }
        let total_bytes = disk.capacity.unwrap_or(UNBOUNDED);
        Ok(Space { free_bytes: disk.free_bytes(), total_bytes })
    }

    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let mut disk = self.disk();
        if disk.crashed {
            return Err(gone());
        }
        if disk.locks.iter().any(|locked| locked == path) {
            return Ok(LockAttempt::Held(Some(std::process::id())));
        }
        disk.locks.push(path.into());
        let held = HeldLock { fs: self.clone(), path: path.into(), epoch: disk.epoch };
        Ok(LockAttempt::Acquired(LockGuard::new(held)))
    }
}

/// What a file held when it was opened: files are written once.
struct OpenFile(Vec<u8>);

impl FsRead for OpenFile {
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = self.0.get(start..start.saturating_add(to.len()));
        to.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

struct FaultFile {
    fs: FaultFs,
    inode: usize,
    epoch: u64,
}

impl FaultFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.fs.disk();
        if disk.epoch == self.epoch { Ok(disk) } else { Err(gone()) }
    }
}

impl FsFile for FaultFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk()?;
        let was_crashed = disk.crashed;
        let step = disk.step();
        disk.torn |= step.is_err() && !was_crashed;
        let failing = step.is_ok() && disk.faults.fail_write == Some(disk.counts.writes + 1);
        let len = match &step {
            Err(_) if was_crashed => 0,
            Err(_) => disk.faults.torn_bytes.min(bytes.len()),
            Ok(()) if failing => bytes.len() / 2,
            Ok(()) => usize::try_from(disk.free_bytes()).unwrap_or(usize::MAX).min(bytes.len()),
        };
        if let Some(inode) = disk.inodes.get_mut(self.inode) {
            inode.bytes.extend(bytes.iter().take(len));
        }
        step?;
        disk.counts.writes += 1;
        match failing {
            true => Err(disk.injected("write")),
            false if len < bytes.len() => Err(no_space()),
            false => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let disk = self.disk()?;
        let waited = self.fs.0.resumed.wait_while(disk, |disk| disk.paused);
        let mut disk = waited.unwrap_or_else(PoisonError::into_inner);
        let fails = disk.step_sync()?;
        if let Some(inode) = disk.inodes.get_mut(self.inode) {
            inode.sync(fails);
        }
        if fails { Err(disk.injected("fsync")) } else { Ok(()) }
    }
}

struct HeldLock {
    fs: FaultFs,
    path: PathBuf,
    epoch: u64,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut disk = self.fs.disk();
        if disk.epoch == self.epoch {
            disk.locks.retain(|locked| *locked != self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(fs: &FaultFs) -> Vec<String> {
        fs.files().iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn unsynced_bytes_and_names_are_lost() {
        let fs = FaultFs::new();
        let dir = Path::new("/d");
        fs.create_dir(dir).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let mut kept = fs.create(&dir.join("kept")).unwrap();
        kept.write_all(b"12").unwrap();
        kept.sync().unwrap();
        fs.sync_dir(dir).unwrap();
        kept.write_all(b"34").unwrap();
        let mut unnamed = fs.create(&dir.join("unnamed")).unwrap();
        unnamed.write_all(b"x").unwrap();
        unnamed.sync().unwrap();
        for (survival, files, bytes) in [
            (Survival::Nothing, 1, &b"12"[..]),
            (Survival::Half, 1, b"123"),
            (Survival::Everything, 2, b"1234"),
            (Survival::Zeros, 2, b"12\0\0"),
            (Survival::Names, 2, b"12"),
        ] {
            let fs = fs.fork();
            fs.restart(survival);
            assert_eq!(names(&fs).len(), files, "{survival:?}");
            assert_eq!(fs.read(&dir.join("kept")).unwrap(), bytes, "{survival:?}");
        }
    }

    #[test]
    fn disks_with_the_same_files_have_the_same_fingerprint() {
        let fill = |names: &[&str], bytes: &[u8]| {
            let fs = FaultFs::new();
            names.iter().for_each(|name| fs.put(Path::new(name), bytes.to_vec()));
            fs
        };
        let one = fill(&["/a", "/b"], b"x");
        assert_eq!(one.fingerprint(), fill(&["/b", "/a"], b"x").fingerprint());
        assert_eq!(one.fingerprint(), one.fork().fingerprint());
        let linked = fill(&["/a"], b"x");
        linked.hard_link(Path::new("/a"), Path::new("/b")).unwrap();
        let folder = fill(&["/a", "/b"], b"x");
        folder.create_dir(Path::new("/c")).unwrap();
        let others = [fill(&["/a", "/b"], b"y"), fill(&["/a", "/c"], b"x"), fill(&["/a"], b"x")];
        for other in others.iter().chain([&linked, &folder]) {
            assert_ne!(one.fingerprint(), other.fingerprint(), "{:?}", names(other));
        }
    }

    #[test]
    fn a_failed_fsync_loses_bytes_for_good() {
        let fs = FaultFs::new();
        let path = Path::new("/f");
        let mut file = fs.create(path).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        file.write_all(b"a").unwrap();
        file.sync().unwrap();
        fs.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
        file.write_all(b"b").unwrap();
        assert!(file.sync().is_err());
        file.write_all(b"c").unwrap();
        file.sync().unwrap();
        assert_eq!(fs.read(path).unwrap(), b"abc");
        fs.restart(Survival::Nothing);
        assert_eq!(fs.read(path).unwrap(), b"a");
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_removing_makes_space() {
        let fs = FaultFs::new();
        let (a, b) = (Path::new("/a"), Path::new("/b"));
        fs.set_capacity(Some(5));
        fs.create(a).unwrap().write_all(b"123").unwrap();
        let error = fs.create(b).unwrap().write_all(b"456").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs.read(b).unwrap(), b"45");
        assert_eq!(fs.space(a).unwrap(), Space { free_bytes: 0, total_bytes: 5 });
        fs.remove(a).unwrap();
        assert_eq!(fs.space(a).unwrap().free_bytes, 3);
        assert_eq!(fs.used_bytes(), 2);
    }

    #[test]
    fn a_crash_tears_its_write_and_ends_everything() {
        let fs = FaultFs::new();
        let path = Path::new("/f");
        let mut file = fs.create(path).unwrap();
        let faults = Faults { crash_at: Some(1), torn_bytes: 2, ..Faults::default() };
        fs.set_faults(faults);
        assert!(file.write_all(b"abcd").is_err());
        assert!(file.write_all(b"e").is_err());
        assert!(fs.open(path).is_err());
        assert!(fs.has_torn());
        fs.restart(Survival::Everything);
        assert_eq!(fs.read(path).unwrap(), b"ab");
        assert!(file.write_all(b"old handles are void").is_err());
    }
}
