//! What changed since a revision: asked of git, which runs nothing that a configuration of the repository names.
//!
//! [`changed`] says which lines are new and where the others stood, [`Before`] is the tree as it was: what is found now and
//! was not found then is new ([`only_new`]), wherever it stands. Who deletes a probe changes no line of what is then without.
//!
//! Repositories within the repository are compared by themselves: a submodule with the commit that was recorded for it then.
//! One that was not recorded, or whose commit of then is not at hand, is new as a whole.

mod before;
mod diff;
mod git;
mod new;

use std::collections::BTreeMap;
use std::fs;

pub(crate) use before::Before;
pub(crate) use new::only_new;

use self::diff::Edits;
use self::git::Git;
use crate::{FolderTree, Tree as _};

/// The difference of a work tree to the commit it began from.
pub(crate) struct Changed {
    /// The repository, and those within it.
    parts: Vec<Part>,
    /// Paths that the commit has not, or has with other content, or has and the work tree has not.
    files: BTreeMap<String, File>,
    /// Folders that are new as a whole, with a slash behind.
    folders: Vec<String>,
    /// What somebody who reads the report should know.
    pub(crate) notes: Vec<String>,
}

/// One repository.
struct Part {
    /// What stands before its paths: empty, or with a slash behind.
    below: String,
    git: Git,
    /// The commit it is compared with.
    base: String,
}

/// A file that changed.
struct File {
    kind: Kind,
    /// The number of its repository.
    part: usize,
    edits: Edits,
    /// The path that it had then, where that was another.
    from: Option<String>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Added,
    Modified,
    /// It had another path; what has that now is listed by itself.
    Renamed,
    Deleted,
}

impl Changed {
    /// Whether a line is new.
    pub(crate) fn has(&self, path: &str, line: usize) -> bool {
        self.was(path, line).is_none()
    }

    /// Where a line stood then; none when it is new.
    pub(crate) fn was(&self, path: &str, line: usize) -> Option<usize> {
        if self.is_in_new_folder(path) {
            return None;
        }
        match self.files.get(path) {
            Some(file) if file.kind == Kind::Added => None,
            Some(file) => file.edits.was(line),
            None => Some(line),
        }
    }

    /// The path that a file had then.
    pub(crate) fn path_then<'p>(&'p self, path: &'p str) -> &'p str {
        self.files.get(path).and_then(|file| file.from.as_deref()).unwrap_or(path)
    }

    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }

    fn is_in_new_folder(&self, path: &str) -> bool {
        self.folders.iter().any(|folder| path.starts_with(folder.as_str()))
    }

    /// Compares one repository, and says which others are within it.
    fn read(&mut self, part: Part, tree: &FolderTree) -> Result<Vec<Part>, String> {
        let (number, git, below) = (self.parts.len(), &part.git, part.below.as_str());
        let form = ["-U0", "--inter-hunk-context=0"];
        let hunks = git.run(&comparison(&part.base, &form))?;
        let mut hunks = diff::edits(&hunks);
        let listed = git.run(&comparison(&part.base, &["--name-status", "-z"]))?;
        for (path, kind, from) in diff::kinds(&listed) {
            let edits = hunks.remove(path).unwrap_or_default();
            let from = from.map(|from| format!("{below}{from}"));
            if let Some(from) = &from {
                let (kind, edits) = (Kind::Deleted, Edits::default());
                let gone = File { kind, part: number, edits, from: None };
                // Something else may stand there now.
                self.files.entry(from.clone()).or_insert(gone);
            }
            self.files.insert(format!("{below}{path}"), File { kind, part: number, edits, from });
        }
        // What git does not know yet is new as a whole; of a repository that it does not know it names the folder.
        let unknown = git.run(&["ls-files", "-z", "--others", "--exclude-standard"])?;
        for path in unknown.split_terminator('\0') {
            let own = format!("{below}{path}");
            if path.ends_with('/') {
                self.folders.push(own);
            } else {
                let (kind, edits) = (Kind::Added, Edits::default());
                let file = File { kind, part: number, edits, from: None };
                self.files.insert(own, file);
            }
        }
        let within = self.within(&part, tree)?;
        self.parts.push(part);
        Ok(within)
    }

    /// The submodules of a repository of which something is read.
    fn within(&mut self, part: &Part, tree: &FolderTree) -> Result<Vec<Part>, String> {
        let stage = part.git.run(&["ls-files", "-z", "--stage"])?;
        let now: Vec<&str> = diff::links(&stage)
            .into_keys()
            .filter(|path| is_read(tree, &format!("{}{path}/", part.below)))
            .collect();
        if now.is_empty() {
            return Ok(Vec::new());
        }
        let listed =
            part.git.run(&[&["ls-tree", "-z", &part.base, "--"], now.as_slice()].concat())?;
        let then = diff::links(&listed);
        let mut parts = Vec::new();
        for path in now {
            let below = format!("{}{path}/", part.below);
            let folder = part.git.root().join(path);
            // Without a repository of its own git would answer for the one above.
            let is_own = fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir())
                && fs::symlink_metadata(folder.join(".git")).is_ok();
            let Some(base) = then.get(path).filter(|_| is_own) else {
                self.folders.push(below);
                continue;
            };
            let git = Git::of(&folder);
            match git.ask(&known(&format!("{base}^{{commit}}")))? {
                Ok(_) => {
                    let git = git.without_filters()?;
                    parts.push(Part { below, git, base: (*base).to_owned() });
                }
                Err(refusal) if refusal.is_no() => {
                    self.notes.push(format!(
                        "--since: all of {below} counts as new: the submodule has not the commit that it was at then ({base}); fetch its history"
                    ));
                    self.folders.push(below);
                }
                Err(refusal) => return Err(format!("{below}: git: {}", refusal.said)),
            }
        }
        Ok(parts)
    }
}

/// Asks git what of the work tree is new since `revision`.
pub(crate) fn changed(tree: &FolderTree, revision: &str) -> Result<Changed, String> {
    if revision.starts_with('-') || revision.is_empty() {
        return Err(format!("`{revision}` is no revision"));
    }
    let shown = tree.root().display();
    let git = Git::of(tree.root());
    let said = match git.ask(&["rev-parse", "--is-inside-work-tree"])? {
        Ok(answer) if answer == "true\n" => None,
        Ok(_) => Some("it is a part of git's own files".to_owned()),
        Err(refusal) => Some(format!("git: {}", refusal.said)),
    };
    if let Some(said) = said {
        return Err(format!(
            "{shown} is in no work tree of git that can be read ({said}): nobody knows which lines changed; mend that, leave --since out, or use --baseline"
        ));
    }
    let is_empty = git.ask(&known("HEAD^{commit}"))?.is_err_and(|refusal| refusal.is_no());
    let base = if is_empty && revision == "HEAD" {
        // Before the first commit everything is new: that is what a tree with nothing in it says.
        git.run(&["hash-object", "-t", "tree", "--stdin"])?.trim().to_owned()
    } else {
        branch_point(&git, revision, is_empty)?
    };
    let (parts, files, folders, notes) = Default::default();
    let mut changed = Changed { parts, files, folders, notes };
    let mut open = vec![Part { below: String::new(), git: git.without_filters()?, base }];
    while let Some(part) = open.pop() {
        open.extend(changed.read(part, tree)?);
    }
    Ok(changed)
}

/// The commit that the branch left `revision` at.
fn branch_point(git: &Git, revision: &str, is_empty: bool) -> Result<String, String> {
    let shown = git.root().display();
    if let Err(refusal) = git.ask(&known(&format!("{revision}^{{commit}}")))? {
        if is_empty {
            return Err(format!(
                "nothing is committed in {shown} yet, so there is no `{revision}`: everything is new; leave --since out, or say --since HEAD"
            ));
        }
        let said = Some(refusal.said).filter(|said| !said.is_empty());
        let said = said.map_or_else(String::new, |said| format!(" ({said})"));
        return Err(format!(
            "git knows no revision `{revision}` in {shown}{said}: fetch it first (a pipeline's checkout often has one commit only)"
        ));
    }
    // What the other branch changed since this one left it is not this one's.
    let base = match is_empty {
        true => None,
        false => match git.ask(&["merge-base", revision, "HEAD"])? {
            Ok(base) => Some(base.trim().to_owned()),
            Err(refusal) if refusal.is_no() => None,
            Err(refusal) => return Err(format!("git: {}", refusal.said)),
        },
    };
    base.ok_or_else(|| {
        format!(
            "git knows no commit in {shown} that this branch and `{revision}` have in common: fetch more of both (`git fetch --unshallow`, or `fetch-depth: 0` in a workflow); for histories that have nothing in common, use --baseline"
        )
    })
}

/// The arguments of a question: whether there is such a commit.
fn known(commit: &str) -> [&str; 5] {
    ["rev-parse", "--verify", "--quiet", "--end-of-options", commit]
}

/// The arguments of a comparison of the work tree with a commit, within the folder.
fn comparison<'a>(base: &'a str, form: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["diff", "--relative", "--no-ext-diff", "--no-textconv", "--no-color"];
    args.extend(["-M", "--src-prefix=a/", "--dst-prefix=b/"]);
    // For submodules git would start itself, with what their configurations name.
    args.push("--ignore-submodules=all");
    args.extend(form);
    args.extend([base, "--", "."]);
    args
}

/// Whether anything below a folder is read.
fn is_read(tree: &FolderTree, folder: &str) -> bool {
    let paths = tree.paths();
    let first = paths.partition_point(|path| path.as_str() < folder);
    paths.get(first).is_some_and(|path| path.starts_with(folder))
}
