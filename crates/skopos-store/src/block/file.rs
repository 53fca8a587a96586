//! The folder of block files: write once, read anywhere, remove. The operations are those of an
//! object store, so that one can stand here later (ADR 0002).
//!
//! Constraint: nothing is handed out that was not compared with a [checksum](super::checksum)
//! first; what differs is noted, for whoever is to mend it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use skopos_model::storage::StorageError;

use super::FileMeta;
use super::cache::BlockCache;
use super::checksum::{self, Checksums, PIECE_BYTES};
use crate::error::StoreError;
use crate::fs::{Fs, FsEntry, FsRead};

/// Bytes handed to the system in one write.
const WRITE_BYTES: usize = 4 << 20;

/// Where blocks are.
pub(crate) struct BlockFiles {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    cache: BlockCache,
    /// What was found so far; at most all files.
    findings: Mutex<Findings>,
}

#[derive(Default)]
struct Findings {
    /// Why a file cannot be read, by its name.
    damaged: BTreeMap<String, String>,
    /// Files without checksums of their own that were as the catalog has them.
    whole: BTreeSet<String>,
}

impl BlockFiles {
    /// A folder, and how many bytes may be kept of what is read there.
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: PathBuf, cache_bytes: u64) -> Self {
        Self { fs, dir, cache: BlockCache::new(cache_bytes), findings: Mutex::default() }
    }

    /// What is kept of blocks.
    pub(crate) fn cache(&self) -> &BlockCache {
        &self.cache
    }

    /// Where a file is, for messages.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// All files.
    pub(crate) fn list(&self) -> Result<Vec<FsEntry>, StoreError> {
        self.fs.list(&self.dir).map_err(StoreError::io("list", &self.dir))
    }

    /// Why files could not be read, by their names.
    pub(crate) fn damaged(&self) -> BTreeMap<String, String> {
        self.findings().damaged.clone()
    }

    /// Notes why a file cannot be read.
    pub(crate) fn note_damage(&self, name: &str, reason: impl ToString) {
        self.findings().damaged.insert(name.to_owned(), reason.to_string());
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a Parquet file whole, with its checksums; it is durable after [`sync`](Self::sync).
    /// After a failure it is not there.
    pub(crate) fn put(&self, name: String, bytes: &[u8]) -> Result<FileMeta, StoreError> {
        let path = self.path(&name);
        let (at, region) = checksum::region(bytes).ok_or_else(|| StoreError::InvalidInput {
            reason: format!("{name} is no Parquet file"),
        })?;
        let (data, footer) = bytes.split_at_checked(at).unwrap_or_default();
        let parts = [data, &region, footer];
        let mut file = self.fs.create(&path).map_err(StoreError::io("create", &path))?;
        let (mut len, mut checksum) = (0, 0);
        let mut write = || {
            for piece in parts.into_iter().flat_map(|part| part.chunks(WRITE_BYTES)) {
                file.write_all(piece).map_err(StoreError::io("write", &path))?;
                len += piece.len() as u64;
                checksum = crc32c::crc32c_append(checksum, piece);
            }
            file.sync().map_err(StoreError::io("sync", &path))
        };
        if let Err(error) = write() {
            drop(file);
            // On a full disk it would be in the way; the next start removes what stays.
            let _ = self.fs.remove(&path);
            return Err(error);
        }
        Ok(FileMeta { name, len, checksum })
    }

    /// Writes the files of a block one after another, or none: what was written before one that
    /// fails is removed.
    pub(super) fn put_all<'a>(
        &self,
        number: u64,
        all: impl IntoIterator<Item = Result<(&'a str, Vec<u8>), StorageError>>,
    ) -> Result<Vec<FileMeta>, StorageError> {
        let mut written: Vec<FileMeta> = Vec::new();
        for next in all {
            let put = next
                .and_then(|(name, bytes)| Ok(self.put(format!("{number:010}-{name}"), &bytes)?));
            match put {
                Ok(file) => written.push(file),
                Err(error) => {
                    for file in &written {
                        // The next start removes what cannot be removed now.
                        let _ = self.remove(&file.name);
                    }
                    return Err(error);
                }
            }
        }
        Ok(written)
    }

    /// Makes the names of files written before durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.fs.sync_dir(&self.dir).map_err(StoreError::io("sync", &self.dir))
    }

    /// Removes a file; one that is not there is fine.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        {
            let mut findings = self.findings();
            findings.damaged.remove(name);
            findings.whole.remove(name);
        }
        match self.fs.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(StoreError::io("remove", &path)),
        }
    }

    /// Checks that a file is, byte for byte, what was written.
    pub(super) fn verify(&self, file: &FileMeta) -> Result<(), StorageError> {
        verify(&*self.fs, &self.path(&file.name), file).map_err(|error| self.blame(file, error))
    }

    /// Opens a file for reading.
    pub(super) fn open(self: &Arc<Self>, file: &FileMeta) -> Result<OpenFile, StorageError> {
        let path = self.path(&file.name);
        let opened = self.fs.open_at(&path).map_err(named).and_then(|read| {
            let checksums = Checksums::read(&*read, file.len)?;
            Ok((read, checksums))
        });
        let (read, checksums) = opened.map_err(|error| self.blame(file, error))?;
        if checksums.is_none() && !self.findings().whole.contains(&file.name) {
            self.verify(file)?;
            self.findings().whole.insert(file.name.clone());
        }
        let (files, name) = (Arc::clone(self), file.name.clone());
        let inner = Inner { files, name, read, checksums, len: file.len };
        Ok(OpenFile(Arc::new(inner)))
    }

    /// What a failure to read a file means, which is noted when it will not pass by itself.
    fn blame(&self, file: &FileMeta, error: io::Error) -> StorageError {
        if !is_damage(&error) {
            return StoreError::io("read", &self.path(&file.name))(error).into();
        }
        self.note_damage(&file.name, &error);
        super::damaged(&file.name, error)
    }
}

/// Says of a file that is not there no more than that.
fn named(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::NotFound => io::Error::new(kind, "the file is missing"),
        _ => error,
    }
}

/// Whether a file that fails so is gone or damaged: repeating the read is of no use.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    /// Input/output error, as of a disk with a bad sector.
    const EIO: i32 = 5;
    matches!(error.kind(), InvalidData | NotFound | UnexpectedEof)
        || error.raw_os_error() == Some(EIO)
}

/// Checks that a file is, byte for byte, what was written.
pub(crate) fn verify(fs: &dyn Fs, path: &Path, file: &FileMeta) -> io::Result<()> {
    let mut from = fs.open(path).map_err(named)?;
    let (mut len, mut checksum) = (0, 0);
    let mut piece = vec![0; 256 << 10];
    loop {
        match from.read(&mut piece)? {
            0 => break,
            n => {
                len += n as u64;
                checksum = crc32c::crc32c_append(checksum, piece.get(..n).unwrap_or_default());
            }
        }
    }
    if (len, checksum) == (file.len, file.checksum) {
        return Ok(());
    }
    let reason = match len == file.len {
        true => "its bytes are not those that were written".to_owned(),
        false => format!("it has {len} bytes, {} were written", file.len),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// A block file, as the Parquet reader wants it.
#[derive(Clone)]
pub(super) struct OpenFile(Arc<Inner>);

struct Inner {
    files: Arc<BlockFiles>,
    name: String,
    read: Box<dyn FsRead>,
    /// None in files of earlier versions, which were checked whole.
    checksums: Option<Checksums>,
    len: u64,
}

impl OpenFile {
    /// Bytes in memory, about.
    pub(super) fn size_bytes(&self) -> u64 {
        self.0.checksums.as_ref().map_or(0, Checksums::size_bytes)
    }

    /// Reads bytes that are those that were written.
    fn bytes(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let read = self.try_bytes(start, length);
        if let Err(error) = &read
            && is_damage(error)
        {
            self.0.files.note_damage(&self.0.name, error);
        }
        read
    }

    fn try_bytes(&self, start: u64, length: usize) -> io::Result<Bytes> {
        // Before memory is taken: damaged footers name any length.
        let end = start.checked_add(length as u64).filter(|end| *end <= self.0.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let Some(checksums) = &self.0.checksums else {
            let mut bytes = vec![0; length];
            self.0.read.read_at(start, &mut bytes)?;
            return Ok(bytes.into());
        };
        let around = checksums.around(start, end, self.0.len);
        let (from, to) = around.ok_or_else(|| checksum::differs(start, end))?;
        let mut bytes = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
        self.0.read.read_at(from, &mut bytes)?;
        checksums.check(from, &bytes)?;
        // Both are smaller than what was read.
        let skipped = (start - from) as usize;
        Ok(Bytes::from(bytes).slice(skipped..skipped + length))
    }
}

impl Length for OpenFile {
    fn len(&self) -> u64 {
        self.0.len
    }
}

impl ChunkReader for OpenFile {
    type T = From;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(From { file: self.clone(), at: start, piece: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.bytes(start, length)?)
    }
}

/// Reads on from a place.
pub(super) struct From {
    file: OpenFile,
    at: u64,
    /// What has been read from there on and not been taken yet.
    piece: Bytes,
}

impl Read for From {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let Inner { checksums, len, .. } = &*self.file.0;
            let end = checksums.as_ref().map_or(*len, |sums| sums.end_of(self.at, *len));
            let to_piece_end = PIECE_BYTES - self.at % PIECE_BYTES;
            let length = end.saturating_sub(self.at).min(to_piece_end);
            self.piece = self.file.bytes(self.at, length as usize)?;
        }
        let n = to.len().min(self.piece.len());
        let taken = self.piece.split_to(n);
        if let Some(to) = to.get_mut(..n) {
            to.copy_from_slice(&taken);
        }
        self.at += n as u64;
        Ok(n)
    }
}
