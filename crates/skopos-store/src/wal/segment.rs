//! Writing one segment.

use std::path::{Path, PathBuf};

use super::LogFormat;
use super::frame::Framer;
use crate::error::StoreError;
use crate::fs::{Fs, FsFile};

/// A segment open for writing. After any error it must not be used again.
pub(crate) struct SegmentWriter {
    path: PathBuf,
    number: u64,
    file: Box<dyn FsFile>,
    framer: Framer,
}

impl SegmentWriter {
    /// Makes a segment with a durable header and a durable name.
    pub(crate) fn create(
        fs: &dyn Fs,
        dir: &Path,
        format: &LogFormat,
        number: u64,
    ) -> Result<Self, StoreError> {
        let path = dir.join(format.file_name(number));
        let file = fs.create(&path).map_err(StoreError::io("create", &path))?;
        let mut writer = Self { path, number, file, framer: Framer::new(format, number) };
        writer.write()?;
        writer.sync()?;
        fs.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
        Ok(writer)
    }

    /// Adds a frame to what the next [`write`](Self::write) writes.
    pub(crate) fn push(&mut self, kind: u8, body: &[u8]) {
        self.framer.push(kind, body);
    }

    /// Hands all pending frames to the system in one write.
    pub(crate) fn write(&mut self) -> Result<(), StoreError> {
        self.file.write_all(self.framer.pending()).map_err(StoreError::io("write", &self.path))?;
        self.framer.clear();
        Ok(())
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.file.sync().map_err(StoreError::io("sync", &self.path))?;
        self.framer.mark_synced();
        Ok(())
    }

    /// Whether something was written since the last sync.
    pub(crate) fn is_dirty(&self) -> bool {
        self.framer.synced() < self.framer.len()
    }

    /// Bytes of the segment.
    pub(crate) fn len(&self) -> u64 {
        self.framer.len()
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}
