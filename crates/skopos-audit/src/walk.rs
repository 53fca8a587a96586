//! The files of a folder: as git sees them, within limits, never out of the folder.
//!
//! `.gitignore`, `.ignore` and `.git/info/exclude` are honoured; hidden folders are left out but for the ones that matter
//! here (`.github`, `.env`). Links are followed neither to folders nor out of the tree. What is left out for size is told.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::overrides::{Override, OverrideBuilder};

use crate::{Config, Tree, files, lang::Language};

/// Files beyond this are not read.
const LARGEST: u64 = 2 << 20;

/// Bytes that a buffer has room for before a file is read.
const ROOM: usize = 16 << 10;

/// Files of a tree beyond this are not looked at.
const MOST_FILES: usize = 500_000;

/// A folder on disk.
#[derive(Clone, Debug)]
pub struct FolderTree {
    root: PathBuf,
    excluded: Override,
    paths: Vec<String>,
    left_out: Vec<(String, String)>,
}

/// Why a folder cannot be walked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The folder is not there, or is no folder.
    #[error("{path}: {source}")]
    Root {
        /// The folder as given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A glob of `exclude` does not parse.
    #[error("exclude `{glob}`: {message}")]
    Glob {
        /// As written.
        glob: String,
        /// What is wrong with it.
        message: String,
    },
}

impl FolderTree {
    /// Lists the files of a folder.
    ///
    /// # Errors
    /// The folder cannot be read, or a glob of the configuration does not parse.
    pub fn open(root: &Path, config: &Config) -> Result<Self, WalkError> {
        let shown = root.display().to_string();
        let root = root
            .canonicalize()
            .map_err(|source| WalkError::Root { path: shown.clone(), source })?;
        if !root.is_dir() {
            let source = io::Error::new(
                io::ErrorKind::NotADirectory,
                "not a folder: an audit needs all of a service, or more",
            );
            return Err(WalkError::Root { path: shown, source });
        }
        let mut excluded = OverrideBuilder::new(&root);
        for glob in &config.exclude {
            excluded.add(&format!("!{glob}")).map_err(|error| WalkError::Glob {
                glob: glob.clone(),
                message: error.to_string(),
            })?;
        }
        let excluded = excluded.build().map_err(|error| WalkError::Glob {
            glob: config.exclude.join(", "),
            message: error.to_string(),
        })?;
        let walk = WalkBuilder::new(&root)
            .hidden(false)
            .follow_links(false)
            .require_git(false)
            .overrides(excluded.clone())
            .filter_entry(|entry| {
                let name = entry.file_name().to_string_lossy();
                let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
                !(is_folder && entry.depth() > 0 && is_skipped(&name))
            })
            .build();
        let (mut paths, mut left_out) = (Vec::new(), Vec::new());
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    left_out.push((String::from("."), format!("not readable: {error}")));
                    continue;
                }
            };
            let Some(kind) = entry.file_type() else { continue };
            let Ok(path) = entry.path().strip_prefix(&root) else { continue };
            let is_text = path.to_str().is_some();
            let path = path.to_string_lossy().replace('\\', "/");
            if kind.is_symlink() {
                let is_inside = fs::canonicalize(entry.path())
                    .is_ok_and(|to| to.starts_with(&root) && to.is_file());
                if !is_inside && Language::of_path(&path).is_some() {
                    left_out.push((path, "a link out of the tree".into()));
                }
                // What a link within the tree points at is read where it stands.
                continue;
            }
            if !kind.is_file() {
                continue;
            }
            let is_read = Language::of_path(&path).is_some() || files::is_wanted(&path);
            if !is_text {
                // It could not be asked for by the name that it is told by.
                if is_read {
                    left_out
                        .push((path, "its path is not UTF-8: rename it to have it read".into()));
                }
                continue;
            }
            let size = || entry.metadata().map_or(0, |metadata| metadata.len());
            if let Some(size) = is_read.then(size).filter(|size| *size > LARGEST) {
                left_out
                    .push((path, format!("{} KiB: larger than {} KiB", size >> 10, LARGEST >> 10)));
                continue;
            }
            paths.push(path);
            if paths.len() >= MOST_FILES {
                left_out.push((
                    String::from("."),
                    format!("more than {MOST_FILES} files: the rest was not looked at"),
                ));
                break;
            }
        }
        paths.sort();
        left_out.sort();
        Ok(Self { root, excluded, paths, left_out })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a file of this path would be looked at if it were there, as far as its name tells.
    pub(crate) fn takes(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| path.get(..at).unwrap_or_default());
        let is_left = |folder: &str| {
            is_skipped(folder.rsplit('/').next().unwrap_or_default())
                || self.excluded.matched(folder, true).is_ignore()
        };
        !folders.into_iter().any(is_left) && !self.excluded.matched(path, false).is_ignore()
    }

    /// Whether a file of so many bytes is read.
    pub(crate) fn is_small(bytes: u64) -> bool {
        bytes <= LARGEST
    }
}

/// Folders that are nobody's own code.
fn is_skipped(name: &str) -> bool {
    let hidden = name.starts_with('.')
        && !matches!(
            name,
            ".github" | ".gitlab" | ".circleci" | ".docker" | ".k8s" | ".deploy" | ".helm"
        );
    hidden || matches!(name, "node_modules" | "__pycache__" | "site-packages")
}

impl Tree for FolderTree {
    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(path, &mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&self, path: &str, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        // Most files come whole with the first read; room for them spares a question for their size.
        into.reserve(ROOM);
        let file = fs::File::open(self.root.join(path))?;
        // It may have grown, or become something else, since it was listed.
        file.take(LARGEST + 1).read_to_end(into)?;
        if into.len() as u64 > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "grew beyond the limit"));
        }
        Ok(())
    }

    fn folder(&self) -> Option<String> {
        Some(self.root.to_string_lossy().replace('\\', "/"))
    }

    fn left_out(&self) -> &[(String, String)] {
        &self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_walked_as_git_sees_it_and_never_left() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.py"), "print(1)").unwrap();
        let root = folder.path();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(".gitignore", "build/\n");
        write("app.py", "print(1)");
        write("build/made.py", "");
        write("node_modules/x/index.js", "");
        write(".github/workflows/ci.yml", "on: push");
        write("old/legacy.py", "");
        write("big.py", &"x = 1\n".repeat(400_000));
        std::os::unix::fs::symlink(outside.path().join("secret.py"), root.join("link.py")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("folder")).unwrap();
        let config = Config { exclude: vec!["old/**".into()], ..Config::default() };
        let tree = FolderTree::open(root, &config).unwrap();
        assert_eq!(tree.paths(), [".github/workflows/ci.yml", ".gitignore", "app.py"]);
        let why: Vec<&str> = tree.left_out().iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(why, ["big.py", "link.py"]);
        assert_eq!(tree.read("app.py").unwrap(), b"print(1)");
        assert!(FolderTree::open(&root.join("app.py"), &config).is_err());
    }
}
