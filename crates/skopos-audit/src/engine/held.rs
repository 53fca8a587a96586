//! What holds findings back in one audit, comments and the configuration, and what of it is not in force: nobody should
//! believe that something is held back which is not, nor keep a comment whose finding is gone.

use std::collections::BTreeMap;

use crate::config::FILE_NAME;
use crate::report::FileProblem;
use crate::suppress::Ignores;
use crate::{Config, Place, Repository, Tree};

/// Comments and acceptances, and which of them held something back.
pub(super) struct Holders<'a> {
    repository: &'a Repository,
    config: &'a Config,
    /// By the number of the file.
    comments: BTreeMap<usize, (Ignores, Vec<bool>)>,
    accepted: Vec<bool>,
    not_in_force: Vec<FileProblem>,
}

impl<'a> Holders<'a> {
    pub(super) fn of(tree: &dyn Tree, repository: &'a Repository, config: &'a Config) -> Self {
        let mut comments = BTreeMap::new();
        let mut not_in_force = Vec::new();
        for (at, file) in repository.files.iter().enumerate() {
            if file.comments.is_empty() {
                continue;
            }
            // A file that went away since holds nothing back.
            let Ok(bytes) = tree.read(&file.path) else { continue };
            let (ignores, wrong) = Ignores::of(file, &String::from_utf8_lossy(&bytes));
            not_in_force.extend(wrong.into_iter().map(|(line, message)| FileProblem {
                path: file.path.to_string(),
                line,
                message,
            }));
            let used = vec![false; ignores.all().len()];
            comments.insert(at, (ignores, used));
        }
        let accepted = vec![false; config.accepted.len()];
        Self { repository, config, comments, accepted, not_in_force }
    }

    /// By what, and why, what a rule says of a place is held back.
    pub(super) fn hold(&mut self, code: &str, place: &Place) -> Option<(&'static str, String)> {
        self.by_comment(code, place)
            .map(|reason| ("comment", reason))
            .or_else(|| self.by_house(code, place).map(|reason| ("configuration", reason)))
    }

    fn by_comment(&mut self, code: &str, place: &Place) -> Option<String> {
        let files = &self.repository.files;
        let at = files.binary_search_by(|file| file.path.cmp(&place.path)).ok()?;
        let (ignores, used) = self.comments.get_mut(&at)?;
        let line = |byte| files[at].lines.line(byte);
        let lines = line(place.span.start)..=line(place.span.end.max(place.span.start + 1) - 1);
        let by = ignores.covering(code, lines)?;
        used[by] = true;
        Some(ignores.all()[by].reason.clone())
    }

    fn by_house(&mut self, code: &str, place: &Place) -> Option<String> {
        let by = self.config.accepted.iter().position(|a| a.covers(code, &place.path))?;
        self.accepted[by] = true;
        Some(self.config.accepted[by].reason.clone())
    }

    /// What holds nothing back, and why. Whether a code or area was judged at all, `is_judged` knows.
    pub(super) fn not_in_force(mut self, is_judged: impl Fn(&str) -> bool) -> Vec<FileProblem> {
        for (at, (ignores, used)) in &self.comments {
            let file = &self.repository.files[*at];
            for (ignore, used) in ignores.all().iter().zip(used) {
                if !used && ignore.codes.iter().all(|code| is_judged(code)) {
                    let word =
                        if ignore.whole_file { "skopos-ignore-file" } else { "skopos-ignore" };
                    self.not_in_force.push(FileProblem {
                        path: file.path.to_string(),
                        line: file.lines.line(ignore.span.start),
                        message: format!(
                            "`{word}[{}]` has nothing to hold back",
                            ignore.codes.join(",")
                        ),
                    });
                }
            }
        }
        for (accepted, used) in self.config.accepted.iter().zip(&self.accepted) {
            let what = match accepted {
                a if !self.repository.paths.iter().any(|path| a.is_about(path)) => {
                    "there is no such file or folder"
                }
                a if !used && a.rules.iter().all(|code| is_judged(code)) => {
                    "there is nothing to hold back"
                }
                _ => continue,
            };
            let (rules, path) = (accepted.rules.join(", "), &accepted.path);
            let message = format!("accept of {rules} in `{path}`: {what}");
            self.not_in_force.push(FileProblem { path: FILE_NAME.into(), line: 0, message });
        }
        self.not_in_force.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
        self.not_in_force
    }
}
