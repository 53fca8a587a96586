//! Git, asked and never let act: it fetches nothing, writes nothing, and starts no program that a configuration names.
//!
//! What could make another repository, or another comparison, of what is asked is taken out of its surroundings: a hook or an
//! alias of git that runs an audit has variables set that are meant for the git that called it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that say which repository is meant (`git rev-parse --local-env-vars`, but for the user's own `-c` and
/// `GIT_CONFIG_COUNT`: `safe.directory` may be among it), and those that change what a comparison or a path means.
const FOREIGN: [&str; 19] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ATTR_SOURCE",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// The repository of a folder.
pub(super) struct Git {
    root: PathBuf,
    /// Settings that switch its filters off.
    off: Vec<String>,
}

/// That git would not.
pub(super) struct Refusal {
    code: Option<i32>,
    /// What it said, in the user's language.
    pub(super) said: String,
}

impl Refusal {
    /// Whether it merely answered no: there is no such thing.
    pub(super) fn is_no(&self) -> bool {
        self.code == Some(1)
    }
}

impl Git {
    /// Of a folder. Comparisons are to wait for [`Git::without_filters`].
    pub(super) fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), off: Vec::new() }
    }

    /// Switches off the filters of its configuration: programs that a comparison runs over each file that it looks into.
    pub(super) fn without_filters(mut self) -> Result<Self, String> {
        let listed =
            match self.ask(&["config", "-z", "--name-only", "--get-regexp", r"^filter\."])? {
                Ok(listed) => listed,
                Err(refusal) if refusal.is_no() => return Ok(self),
                Err(refusal) => return Err(format!("git: {}", refusal.said)),
            };
        let mut names: Vec<&str> = listed
            .split_terminator('\0')
            .filter_map(|key| key.strip_prefix("filter.")?.rsplit_once('.'))
            .map(|(name, _)| name)
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            // Of a setting on the command line, the value begins behind the first such sign.
            if name.contains('=') {
                return Err(format!(
                    "the filter `{name}` of git's configuration cannot be switched off for a comparison: give it a name without `=`"
                ));
            }
            let settings = ["clean=", "smudge=", "process=", "required=false"];
            self.off.extend(settings.map(|setting| format!("filter.{name}.{setting}")));
        }
        Ok(self)
    }

    /// Its folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What git wrote; an error when it would not.
    pub(super) fn run(&self, args: &[&str]) -> Result<String, String> {
        self.ask(args)?.map_err(|refusal| format!("git: {}", refusal.said))
    }

    /// What git wrote, or that it would not; an error when there is no git.
    pub(super) fn ask(&self, args: &[&str]) -> Result<Result<String, Refusal>, String> {
        let output = self.command().args(args).output();
        let output = output.map_err(|error| format!("git cannot be run: {error}"))?;
        Ok(if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Refusal { code: output.status.code(), said })
        })
    }

    /// Git, in the folder.
    pub(super) fn command(&self) -> Command {
        let mut git = Command::new("git");
        for name in FOREIGN {
            git.env_remove(name);
        }
        git.arg("-C")
            .arg(&self.root)
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
            // A folder that merely looks like a repository inside is none.
            .args(["-c", "safe.bareRepository=explicit"])
            // A comparison would write the index anew, whatever it is told about locks.
            .args(["-c", "diff.autoRefreshIndex=false", "-c", "core.quotePath=false"])
            .args(self.off.iter().flat_map(|setting| ["-c", setting.as_str()]))
            .envs([("GIT_NO_LAZY_FETCH", "1"), ("GIT_OPTIONAL_LOCKS", "0")])
            // What asks nobody and may go nowhere, older versions too, does not wait.
            .envs([("GIT_ALLOW_PROTOCOL", "none"), ("GIT_TERMINAL_PROMPT", "0")])
            .env("GIT_LITERAL_PATHSPECS", "1");
        git
    }
}
