//! Writing one segment.

use std::path::{Path, PathBuf};

use super::LogFormat;
use super::frame::Framer;
use super::replay;
use crate::error::StoreError;
use crate::fs::{Fs, FsFile};

/// A segment open for writing. After any error it must not be used again but for
/// [`succeed`](Self::succeed).
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

    /// Begins the segment that follows this one, of which a write or fsync has failed.
    ///
    /// What the system still shows of this file is not to be trusted, and no fsync of it either:
    /// the frames up to `keep` are read back, checked, and written anew in its place; frames behind
    /// them, which were never acknowledged, are gone then, and no restart finds them. Frames up to
    /// where the segment is known to be durable must all be there. This one stays as it is when
    /// anything fails, so that it can be tried again.
    pub(crate) fn succeed(
        &self,
        fs: &dyn Fs,
        dir: &Path,
        format: &LogFormat,
        keep: u64,
    ) -> Result<Self, StoreError> {
        replay::remove_temporaries(fs, dir)?;
        let durable = self.framer.synced();
        let kept = replay::rewrite(fs, dir, format, self.number, keep.max(durable), durable)?;
        Self::create(fs, dir, format, self.number + u64::from(kept))
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

    /// Bytes of it known to be durable.
    pub(crate) fn synced(&self) -> u64 {
        self.framer.synced()
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}
