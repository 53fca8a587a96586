//! The tree as it was at a commit: the work tree, but for what changed, which is read from git's objects.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use super::{Changed, Kind, command};
use crate::{FolderTree, Tree};

/// A work tree without its changes.
pub(crate) struct Before<'a> {
    now: &'a FolderTree,
    paths: Vec<String>,
    /// What the commit has of changed files.
    old: BTreeMap<String, Vec<u8>>,
}

impl<'a> Before<'a> {
    /// Reads what changed files were.
    ///
    /// # Errors
    /// What went wrong with git.
    pub(crate) fn of(now: &'a FolderTree, changed: &Changed) -> Result<Self, String> {
        let was_there = |path: &&str| changed.files[*path] != Kind::Added && now.takes(path);
        let asked: Vec<&str> = changed.files.keys().map(String::as_str).filter(was_there).collect();
        let old = read(now.root(), &changed.base, &asked)
            .map_err(|error| format!("git does not give the files of {}: {error}", changed.base))?;
        let same = now.paths().iter().filter(|path| !changed.files.contains_key(*path));
        let mut paths: Vec<String> = same.chain(old.keys()).cloned().collect();
        paths.sort_unstable();
        Ok(Self { now, paths, old })
    }
}

impl Tree for Before<'_> {
    fn paths(&self) -> &[String] {
        &self.paths
    }

    fn folder(&self) -> Option<String> {
        self.now.folder()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.old.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.now.read(path),
        }
    }
}

/// Files of a commit; what is no file there, or larger than is read, is left out.
fn read(root: &Path, base: &str, paths: &[&str]) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    // A line is a question: a name with a break in it cannot be asked for.
    let paths: Vec<&str> = paths.iter().copied().filter(|p| !p.contains('\n')).collect();
    if paths.is_empty() {
        return Ok(files);
    }
    let mut child = command(root)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let asked: String = paths.iter().map(|path| format!("{base}:./{path}\n")).collect();
    std::thread::scope(|scope| {
        // Git answers while it is asked: who only asked first would wait for ever.
        scope.spawn(move || stdin.write_all(asked.as_bytes()));
        let mut answers = BufReader::new(stdout);
        for path in paths {
            // `NAME blob SIZE`, or `QUESTION missing`.
            let mut head = Vec::new();
            answers.read_until(b'\n', &mut head)?;
            let head = String::from_utf8_lossy(&head);
            let mut parts = head.trim_end().rsplitn(3, ' ');
            let (size, kind) = (parts.next().unwrap_or_default(), parts.next());
            let Ok(size) = size.parse::<u64>() else { continue };
            let mut bytes = Vec::new();
            if kind == Some("blob") && FolderTree::is_small(size) {
                (&mut answers).take(size).read_to_end(&mut bytes)?;
                files.insert(path.to_owned(), bytes);
            } else {
                io::copy(&mut (&mut answers).take(size), &mut io::sink())?;
            }
            answers.read_until(b'\n', &mut Vec::new())?;
        }
        Ok::<(), io::Error>(())
    })?;
    child.wait()?;
    Ok(files)
}
