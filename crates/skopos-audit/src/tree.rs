//! Where files come from: a folder, or memory in tests.

use std::collections::BTreeMap;
use std::io;

/// The files of a repository. Paths go from its root, with `/`, in order.
pub trait Tree: Sync {
    /// Every file that is to be looked at.
    fn paths(&self) -> &[String];

    /// The bytes of a file.
    ///
    /// # Errors
    /// What the file system says; a file that went away since is `NotFound`.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Reads the bytes of a file into a buffer, which it empties first: one buffer serves for many files.
    ///
    /// # Errors
    /// As [`Tree::read`].
    fn read_into(&self, path: &str, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        into.append(&mut self.read(path)?);
        Ok(())
    }

    /// Where it lies, for a folder of a disk: services that nothing else names are named after it.
    fn folder(&self) -> Option<String> {
        None
    }

    /// What was left out, and why (`too large`, `link out of the tree`, `not readable`).
    fn left_out(&self) -> &[(String, String)] {
        &[]
    }
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    paths: Vec<String>,
    files: BTreeMap<String, String>,
}

impl MemoryTree {
    /// Of (path, text).
    pub fn of<P: Into<String>, T: Into<String>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let files: BTreeMap<String, String> =
            files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { paths: files.keys().cloned().collect(), files }
    }
}

impl Tree for MemoryTree {
    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let text = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }
}
