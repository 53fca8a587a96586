//! `skopos audit`: its arguments, and what it does with them. The binary prints what comes out and ends with the code.

mod host;
mod list;
mod run;

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use crate::Live;

pub use run::run;

/// Find what leaves the services of a repository flying blind.
///
/// Reads code and configuration, finds the services, and says per service what production monitoring lacks, what leaks, and
/// what to mend next. Works offline, runs nothing of the repository, and changes nothing unless told to fix.
#[derive(Clone, Default, ClapArgs)]
#[command(after_help = "Examples:
  skopos audit                                   this folder, as text
  skopos audit services/api --format sarif --output audit.sarif
  skopos audit --write-baseline audit.json       accept what there is
  skopos audit --baseline audit.json             fail on what is new
  skopos audit --since origin/main               fail on what this branch brings
  skopos audit --fix --diff                      what safe fixes would change
  skopos audit --production-check                six pillars, pass or fail
  skopos audit --live http://127.0.0.1:4319      what has never been traced or counted
  skopos audit --explain MET004

Exit codes: 0 nothing found, 1 findings (or a grade, a pillar below what was asked for), 2 it could not be done.")]
pub struct Args {
    /// The folder to look at.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// How the report is written.
    #[arg(skip)]
    pub format: Format,
    /// Write the report to a file instead.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Judge only these rules or areas (`LOG,SEC001`).
    #[arg(long, value_delimiter = ',', value_name = "RULES")]
    pub select: Vec<String>,
    /// Do not judge these rules or areas.
    #[arg(long, value_delimiter = ',', value_name = "RULES")]
    pub ignore: Vec<String>,
    /// Configuration; `skopos-audit.toml` of the folder otherwise.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Report only what concerns this service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Hold back what this file knows.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write what is found to a baseline, and end well.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub write_baseline: Option<PathBuf>,
    /// Report only what is new since the branch left this revision of git: findings on lines that changed, and those that the
    /// tree of then had not (who deletes a probe changes no line of the service that is then without).
    #[arg(long, value_name = "REV")]
    pub since: Option<String>,
    /// The least weight that makes it end with 1.
    #[arg(long, value_name = "SEVERITY", value_parser = ["low", "normal", "important", "critical"])]
    pub fail_on: Option<String>,
    /// End with 1 when a service has a lower grade. Every rule counts, also those that the configuration leaves out.
    #[arg(long, value_name = "GRADE", value_parser = ["A", "B", "C", "D", "E"])]
    pub min_grade: Option<String>,
    /// End well whatever is found.
    #[arg(long)]
    pub exit_zero: bool,
    /// Say for each service which of the six pillars pass; end with 1 when one fails, or no service can be judged.
    #[arg(long, conflicts_with_all = ["select", "ignore", "min_grade", "fail_on"])]
    pub production_check: bool,
    /// Mend what can be mended without a change of meaning, then report the rest.
    #[arg(long)]
    pub fix: bool,
    /// With --fix: also what is likely to be right and should be read before it is kept.
    #[arg(long, requires = "fix")]
    pub unsafe_fixes: bool,
    /// With --fix: show what would change, and change nothing; ends with 1 when something would.
    #[arg(long, requires = "fix")]
    pub diff: bool,
    /// Compare with what a running `skopos serve` has seen.
    #[arg(long, value_name = "URL", value_parser = address)]
    pub live: Option<String>,
    /// Access token of that server, when it wants one.
    #[arg(long, env = "SKOPOS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// What that server answered.
    #[arg(skip)]
    pub seen: Option<Live>,
    /// Folder for what is remembered of files between runs; $SKOPOS_AUDIT_CACHE, or the user's folder for caches, otherwise.
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub cache: Option<PathBuf>,
    /// Read every file anew, and remember nothing.
    #[arg(long)]
    pub no_cache: bool,
    /// Whether progress is shown on standard error.
    #[arg(skip)]
    pub progress: bool,
    /// Whether text is coloured.
    #[arg(skip)]
    pub color: bool,
    /// Print a rule's page.
    #[arg(long, value_name = "RULE", conflicts_with = "list_rules")]
    pub explain: Option<String>,
    /// List every rule.
    #[arg(long)]
    pub list_rules: bool,
    /// Say what was looked at.
    #[arg(long)]
    pub stats: bool,
    /// Show what is mitigated and what cannot be told, too.
    #[arg(long, short)]
    pub verbose: bool,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, with the lines of code.
    #[default]
    Text,
    /// One line a finding.
    Concise,
    /// JSON, versioned.
    Json,
    /// One finding a line, each a JSON document.
    Ndjson,
    /// SARIF 2.1.0.
    Sarif,
    /// Workflow commands of GitHub.
    Github,
    /// Code quality of GitLab.
    Gitlab,
    /// Markdown, for a pull request.
    Markdown,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub notes: String,
    /// 0 or 1.
    pub code: u8,
}

/// Why an audit could not be done: exit code 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder cannot be walked.
    #[error(transparent)]
    Walk(#[from] crate::WalkError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// A file cannot be read or written.
    #[error("{path}: {message}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// There is no such rule.
    #[error("there is no rule `{code}`; `skopos audit --list-rules` lists them")]
    NoRule {
        /// As given.
        code: String,
    },
    /// A grade is asked for, and rules are left out that it rests on.
    #[error(
        "--min-grade asks for a grade by every rule: leave --select and --ignore out (an accepted finding wants a comment or `[[accept]]`, and counts all the same)"
    )]
    PartialGrade,
    /// There is no such service.
    #[error("there is no service `{name}`; there are: {known}")]
    NoService {
        /// As given.
        name: String,
        /// What there is.
        known: String,
    },
    /// git could not tell what changed.
    #[error("--since: {message}")]
    Since {
        /// What it said.
        message: String,
    },
}

impl std::fmt::Debug for Args {
    // Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").field("path", &self.path).finish_non_exhaustive()
    }
}

/// An address of a server; before anything is read.
fn address(given: &str) -> Result<String, &'static str> {
    let rest = given.strip_prefix("http://").or_else(|| given.strip_prefix("https://"));
    match rest {
        Some(host) if !host.trim_start_matches('/').is_empty() => Ok(given.to_owned()),
        _ => Err("no URL; write it as http://127.0.0.1:4319"),
    }
}

impl Error {
    fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), message: error.to_string() }
    }
}
