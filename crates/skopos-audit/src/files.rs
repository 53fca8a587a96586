//! Configuration files: how they become documents.
//!
//! Code becomes facts (`lang/`); everything else that a repository is run and watched by becomes *documents*: typed, with
//! a span for each piece a rule may point at. A reader never judges and never fails: what it cannot make out it leaves out
//! and says so in [`Read::problems`].
//!
//! To add a reader:
//! 1. `files/<noun>.rs` with its types (public, documented, `Clone + Debug`) and a function
//!    `pub(crate) fn read(path: &str, text: &str) -> Read`.
//! 2. A variant of [`Document`] here for its type.
//! 3. A row in [`READERS`]: which paths it wants (by path alone, cheap), the function. A file goes to *every*
//!    reader that wants it: a YAML file may be a workload and hold a collector's configuration.
//! 4. A `pub fn fuzz_<noun>(data: &[u8])` in the same file, driven by `tests/it/fuzzing.rs`.

pub mod manifest;

use serde::Serialize;

use crate::Span;

pub use manifest::Manifest;

/// What a configuration file says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Document {
    /// A list of dependencies and what a package is: `pyproject.toml`, `package.json`, `go.mod`, …
    Manifest(Manifest),
}

/// Something of a file that could not be made out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, as far as it is known.
    pub span: Span,
    /// What.
    pub message: String,
}

/// What a reader made of a file.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The documents in it, each with its place.
    pub documents: Vec<(Span, Document)>,
    /// Comments, for suppressions: place and text with its sign (`# …`).
    pub comments: Vec<(Span, String)>,
    /// What could not be made out.
    pub problems: Vec<Problem>,
}

impl Read {
    /// Takes in what another reader made of the same file.
    pub(crate) fn extend(&mut self, other: Read) {
        self.documents.extend(other.documents);
        self.comments.extend(other.comments);
        self.problems.extend(other.problems);
    }
}

/// One reader.
pub(crate) struct Reader {
    /// Whether it wants the file at this path (from the root, with `/`).
    pub(crate) wants: fn(&str) -> bool,
    /// Reads it.
    pub(crate) read: fn(&str, &str) -> Read,
}

/// Every reader.
pub(crate) const READERS: &[Reader] = &[Reader { wants: manifest::wants, read: manifest::read }];

/// Whether any reader wants the file at this path.
pub(crate) fn is_wanted(path: &str) -> bool {
    READERS.iter().any(|reader| (reader.wants)(path))
}

/// Reads a file with every reader that wants it.
pub(crate) fn read(path: &str, text: &str) -> Read {
    let mut all = Read::default();
    for reader in READERS.iter().filter(|reader| (reader.wants)(path)) {
        all.extend((reader.read)(path, text));
    }
    all.comments.sort();
    all.comments.dedup();
    all
}

/// The last part of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The folder of a path; empty for the root.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
