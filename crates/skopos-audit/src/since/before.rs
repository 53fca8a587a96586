//! The tree as it was at a commit: the work tree, but for what changed, which is read from git's objects.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read as _, Write as _};
use std::process::Stdio;

use super::git::Git;
use super::{Changed, Kind};
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
        let mut old = BTreeMap::new();
        for (number, part) in changed.parts.iter().enumerate() {
            let was_there = changed.files.iter().filter(|(path, file)| {
                file.part == number
                    && !matches!(file.kind, Kind::Added | Kind::Renamed)
                    && now.takes(path)
            });
            let asked: Vec<&str> =
                was_there.filter_map(|(path, _)| path.strip_prefix(&part.below)).collect();
            let files = read(&part.git, &part.base, &asked).map_err(|error| {
                format!("git does not give the files of {}: {error}", part.base)
            })?;
            old.extend(
                files.into_iter().map(|(path, bytes)| (format!("{}{path}", part.below), bytes)),
            );
        }
        let is_same =
            |path: &&String| !changed.files.contains_key(*path) && !changed.is_in_new_folder(path);
        let same = now.paths().iter().filter(is_same);
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
fn read(git: &Git, base: &str, paths: &[&str]) -> io::Result<BTreeMap<String, Vec<u8>>> {
    // A line is a question: a name with a break in it cannot be asked for.
    let paths: Vec<&str> = paths.iter().copied().filter(|p| !p.contains('\n')).collect();
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut child = git
        .command()
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let asked: String = paths.iter().map(|path| format!("{base}:./{path}\n")).collect();
    let files = std::thread::scope(|scope| {
        // Git answers while it is asked: who only asked first would wait for ever.
        scope.spawn(move || stdin.write_all(asked.as_bytes()));
        answers(BufReader::new(stdout), &paths)
    });
    let status = child.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!(
            "`git cat-file` ended with {status}; `git fsck` says more"
        )));
    }
    files
}

/// Reads what git answers, a file for each path.
fn answers(mut answers: impl io::BufRead, paths: &[&str]) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for path in paths {
        // `NAME blob SIZE`, or `QUESTION missing`.
        let mut head = Vec::new();
        answers.read_until(b'\n', &mut head)?;
        if head.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let head = String::from_utf8_lossy(&head);
        let mut parts = head.rsplitn(3, ' ');
        let (size, kind) = (parts.next().unwrap_or_default(), parts.next());
        let Ok(size) = size.parse::<u64>() else { continue };
        let mut body = (&mut answers).take(size);
        let length = if kind == Some("blob") && FolderTree::is_small(size) {
            let mut bytes = Vec::new();
            let length = body.read_to_end(&mut bytes)? as u64;
            files.insert((*path).to_owned(), bytes);
            length
        } else {
            io::copy(&mut body, &mut io::sink())?
        };
        let mut end = [0];
        answers.read_exact(&mut end)?;
        if length != size || end != *b"\n" {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_break_off_are_no_files() {
        let whole = "1f25 blob 3\nabc\nHEAD:./b missing\n77aa tree 2\nxx\n0d5b blob 1\n\n\n";
        let paths = ["a", "b", "c", "d"];
        let read = |text: &str| answers(text.as_bytes(), &paths);
        let files = read(whole).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!((files["a"].as_slice(), files["d"].as_slice()), (&b"abc"[..], &b"\n"[..]));
        for at in 0..whole.len() {
            assert!(read(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_git_that_breaks_off_gives_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let git = Git::of(root);
        let run = |args: &[&str]| {
            let date = "2026-01-01T12:00:00Z";
            let done = git
                .command()
                .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
                .args(args)
                .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
                .envs([("GIT_AUTHOR_DATE", date), ("GIT_COMMITTER_DATE", date)])
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        run(&["init", "-q"]);
        let lines: String =
            (0..9000_u32).map(|n| format!("{:x}\n", n.wrapping_mul(0x9e37_79b9))).collect();
        let paths = ["a.py", "b.py", "c.py"];
        for path in paths {
            std::fs::write(root.join(path), format!("{path}\n{lines}")).unwrap();
        }
        run(&["add", "."]);
        run(&["commit", "-qm", "one"]);
        assert_eq!(read(&git, "HEAD", &paths).unwrap().len(), 3);
        let name = run(&["rev-parse", "HEAD:b.py"]);
        let (folder, file) = name.trim().split_at(2);
        let object = root.join(".git/objects").join(folder).join(file);
        let mut bytes = std::fs::read(&object).unwrap();
        bytes.truncate(bytes.len() / 2);
        std::fs::remove_file(&object).unwrap();
        std::fs::write(&object, bytes).unwrap();
        let error = read(&git, "HEAD", &paths).unwrap_err().to_string();
        assert!(error.starts_with("`git cat-file` ended with "), "{error}");
    }
}
