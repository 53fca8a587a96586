//! The folder of block files: write once, read anywhere, remove. The operations are those of an
//! object store, so that one can stand here later (ADR 0002).

use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use skopos_model::storage::StorageError;

use super::FileMeta;
use super::cache::BlockCache;
use crate::error::StoreError;
use crate::fs::{Fs, FsEntry, FsRead};

/// Bytes handed to the system in one write.
const WRITE_BYTES: usize = 4 << 20;

/// Where blocks are.
pub(crate) struct BlockFiles {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    cache: BlockCache,
}

impl BlockFiles {
    /// A folder, and how many bytes may be kept of what is read there.
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: PathBuf, cache_bytes: u64) -> Self {
        Self { fs, dir, cache: BlockCache::new(cache_bytes) }
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

    /// Writes a file whole; it is durable after [`sync`](Self::sync). After a failure it is not
    /// there.
    pub(crate) fn put(&self, name: String, bytes: &[u8]) -> Result<FileMeta, StoreError> {
        let path = self.path(&name);
        let mut file = self.fs.create(&path).map_err(StoreError::io("create", &path))?;
        let mut write = || {
            for piece in bytes.chunks(WRITE_BYTES) {
                file.write_all(piece).map_err(StoreError::io("write", &path))?;
            }
            file.sync().map_err(StoreError::io("sync", &path))
        };
        if let Err(error) = write() {
            drop(file);
            // On a full disk it would be in the way; the next start removes what stays.
            let _ = self.fs.remove(&path);
            return Err(error);
        }
        Ok(FileMeta { name, len: bytes.len() as u64, checksum: crc32c::crc32c(bytes) })
    }

    /// Makes the names of files written before durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.fs.sync_dir(&self.dir).map_err(StoreError::io("sync", &self.dir))
    }

    /// Removes a file; one that is not there is fine.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        match self.fs.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(StoreError::io("remove", &path)),
        }
    }

    /// Checks that a file is, byte for byte, what was written.
    pub(super) fn verify(&self, file: &FileMeta) -> Result<(), StorageError> {
        let path = self.path(&file.name);
        let mut from = self.fs.open(&path).map_err(StoreError::io("open", &path))?;
        let (mut len, mut checksum) = (0, 0);
        let mut piece = vec![0; 256 << 10];
        loop {
            match from.read(&mut piece).map_err(StoreError::io("read", &path))? {
                0 => break,
                n => {
                    len += n as u64;
                    checksum = crc32c::crc32c_append(checksum, piece.get(..n).unwrap_or_default());
                }
            }
        }
        if (len, checksum) != (file.len, file.checksum) {
            return Err(super::damaged(&file.name, "its bytes are not those that were written"));
        }
        Ok(())
    }

    /// Opens a file for reading.
    pub(super) fn open(&self, file: &FileMeta) -> Result<OpenFile, StoreError> {
        let path = self.path(&file.name);
        let read = self.fs.open_at(&path).map_err(StoreError::io("open", &path))?;
        Ok(OpenFile { read: read.into(), len: file.len })
    }
}

/// A block file, as the Parquet reader wants it.
#[derive(Clone)]
pub(super) struct OpenFile {
    read: Arc<dyn FsRead>,
    len: u64,
}

impl OpenFile {
    fn check(&self, start: u64, length: usize) -> io::Result<()> {
        let inside = start.checked_add(length as u64).is_some_and(|end| end <= self.len);
        if inside { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Length for OpenFile {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for OpenFile {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(From { file: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // Before memory is taken: damaged footers name any length.
        self.check(start, length)?;
        let mut bytes = vec![0; length];
        self.read.read_at(start, &mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads on from a place.
pub(super) struct From {
    file: OpenFile,
    at: u64,
}

impl Read for From {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let n = to.len().min(left);
        let to = to.get_mut(..n).unwrap_or_default();
        self.file.read.read_at(self.at, to)?;
        self.at += n as u64;
        Ok(n)
    }
}
