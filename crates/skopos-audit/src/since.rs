//! What changed since a revision: asked of git, with nothing of the repository's own configuration run.
//!
//! [`changed`] says which lines are new, [`Before`] is the tree as it was: what is found now and was not found then is
//! new, too, wherever it stands. Who deletes a probe changes no line of what is then without one.

mod before;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

pub(crate) use before::Before;

/// New lines by path.
type Lines = BTreeMap<String, Vec<RangeInclusive<usize>>>;

/// The difference of a work tree to the commit it began from.
pub(crate) struct Changed {
    /// That commit.
    base: String,
    lines: Lines,
    /// Paths that the commit has not, or has with other content, or has and the work tree has not.
    files: BTreeMap<String, Kind>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Added,
    Modified,
    Deleted,
}

impl Changed {
    /// Whether a line is new.
    pub(crate) fn has(&self, path: &str, line: usize) -> bool {
        self.lines.get(path).is_some_and(|new| new.iter().any(|range| range.contains(&line)))
    }

    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// Asks git what of the work tree is new since `revision`.
pub(crate) fn changed(root: &Path, revision: &str) -> Result<Changed, String> {
    if revision.starts_with('-') || revision.is_empty() {
        return Err(format!("`{revision}` is no revision"));
    }
    let shown = root.display();
    if git(root, &["rev-parse", "--is-inside-work-tree"])?.as_deref() != Ok("true\n") {
        return Err(format!(
            "{shown} is in no work tree of git: nobody knows which lines changed; leave --since out, or use --baseline"
        ));
    }
    let is_empty = git(root, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?.is_err();
    if is_empty && revision != "HEAD" {
        return Err(format!(
            "nothing is committed in {shown} yet, so there is no `{revision}`: everything is new; leave --since out, or say --since HEAD"
        ));
    }
    let commit = format!("{revision}^{{commit}}");
    if !is_empty
        && git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])?.is_err()
    {
        return Err(format!(
            "git knows no revision `{revision}` in {shown}: fetch it first (a pipeline's checkout often has one commit only)"
        ));
    }
    let run = |args: &[&str]| git(root, args)?.map_err(|said| format!("git: {said}"));
    let base = if is_empty {
        // Before the first commit everything is new: that is what a tree with nothing in it says.
        run(&["hash-object", "-t", "tree", "--stdin"])?.trim().to_owned()
    } else {
        // What the other branch changed since this one left it is not this one's.
        let base = git(root, &["merge-base", revision, "HEAD"])?;
        base.map_or_else(|_| revision.to_owned(), |base| base.trim().to_owned())
    };
    let mut lines = parse(&run(&diff(&base, &["-U0"]))?);
    let mut files = kinds(&run(&diff(&base, &["--name-status", "-z"]))?);
    // What git does not know yet is new as a whole.
    for path in run(&["ls-files", "-z", "--others", "--exclude-standard"])?.split_terminator('\0') {
        lines.entry(path.to_owned()).or_default().push(1..=usize::MAX);
        files.insert(path.to_owned(), Kind::Added);
    }
    Ok(Changed { base, lines, files })
}

/// The arguments of a comparison of the work tree with a commit, within the folder.
fn diff<'a>(base: &'a str, form: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["diff", "--relative", "--no-ext-diff", "--no-textconv", "--no-color"];
    args.extend(["--no-renames", "--src-prefix=a/", "--dst-prefix=b/"]);
    args.extend(form);
    args.extend([base, "--", "."]);
    args
}

/// Reads `--name-status -z`: a letter, a path, each closed by a zero.
fn kinds(listed: &str) -> BTreeMap<String, Kind> {
    let mut parts = listed.split_terminator('\0');
    let mut files = BTreeMap::new();
    while let (Some(letter), Some(path)) = (parts.next(), parts.next()) {
        let kind = match letter {
            "A" => Kind::Added,
            "D" => Kind::Deleted,
            _ => Kind::Modified,
        };
        files.insert(path.to_owned(), kind);
    }
    files
}

/// Runs git: what it wrote, or else what it said was wrong.
fn git(root: &Path, args: &[&str]) -> Result<Result<String, String>, String> {
    let output =
        command(root).args(args).output().map_err(|error| format!("git cannot be run: {error}"))?;
    Ok(if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    })
}

/// Git in a folder: it fetches nothing, writes nothing, and starts nothing of the repository's.
fn command(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(root)
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "core.quotePath=false"])
        .envs([("GIT_NO_LAZY_FETCH", "1"), ("GIT_OPTIONAL_LOCKS", "0")]);
    git
}

/// Reads a diff without context.
fn parse(diff: &str) -> Lines {
    let mut changed = Lines::new();
    let mut path: Option<String> = None;
    let mut lines = diff.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("+++ ") {
            path = unquoted(name).strip_prefix("b/").map(str::to_owned);
        } else if let Some(hunk) = line.strip_prefix("@@ ") {
            let side = |sign: char| {
                let part = hunk.split(' ').find_map(|part| part.strip_prefix(sign))?;
                let (start, count) = part.split_once(',').unwrap_or((part, "1"));
                Some((start.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
            };
            let (Some((_, removed)), Some((start, added))) = (side('-'), side('+')) else {
                continue;
            };
            if let Some(path) = path.as_ref().filter(|_| added > 0) {
                let new = start..=start.saturating_add(added - 1);
                changed.entry(path.clone()).or_default().push(new);
            }
            // The lines themselves may look like anything, a head of a diff among it.
            let mut left = removed.saturating_add(added);
            while left > 0 {
                let Some(line) = lines.next() else { break };
                left -= usize::from(!line.starts_with('\\'));
            }
        }
    }
    changed
}

/// A name as git writes it: behind a name with a space stands a tab, and what a terminal could not show is escaped.
fn unquoted(name: &str) -> String {
    let Some(inner) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return name.trim_end_matches('\t').to_owned();
    };
    let (mut out, mut rest) = (Vec::new(), inner.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 11,
            Some(digit @ b'0'..=b'3') => {
                let mut octal = || rest.next().unwrap_or(b'0') & 7;
                ((digit & 7) << 6) | (octal() << 3) | octal()
            }
            Some(other) => other,
            None => break,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_says_which_lines_are_new() {
        let diff = "--- a/app.py\n+++ b/app.py\n@@ -1 +1,2 @@\n-x\n+y\n+z\n@@ -9,2 +10,0 @@\n-a\n-b\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";
        let changed = parse(diff);
        assert_eq!(changed.len(), 1);
        assert_eq!(changed["app.py"], [1..=2]);

        // Lines that look like a head; names that git puts in quotes, or a tab behind.
        let diff = "--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n--- a/x\n+++ b/other.py\n\\ No newline at end of file\n@@ -5,0 +6 @@\n+@@ -1 +1 @@\n+++ \"b/a\\\"\\303\\274.py\"\n@@ -0,0 +1 @@\n+x\n+++ b/a b.py\t\n@@ -0,0 +1,2 @@\n+x\n+y\n";
        let changed = parse(diff);
        let lines: Vec<_> = changed.iter().map(|(path, lines)| (path.as_str(), lines)).collect();
        assert_eq!(
            lines,
            [("a b.py", &vec![1..=2]), ("a\"ü.py", &vec![1..=1]), ("app.py", &vec![1..=1, 6..=6])]
        );
    }
}
