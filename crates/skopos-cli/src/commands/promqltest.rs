//! `skopos promqltest`: users' own PromQL, tested by scripts in Prometheus' `promqltest` language.
//!
//! Scripts run in this process on an in-memory store; no server is asked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use skopos_promql::promqltest::{self, Report, ScriptError};

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, dim, green, print_json, printable, red, write_stdout};

/// Run PromQL test scripts: load series, evaluate queries, compare with what is expected.
#[derive(Debug, Args)]
#[command(after_help = "\
A script loads series and says what queries must answer:

  load 1m
      requests_total{path=\"/a\"} 0+60x10

  eval instant at 10m rate(requests_total[5m])
      {path=\"/a\"} 1

  eval range from 0 to 2m step 1m requests_total
      requests_total{path=\"/a\"} 0 60 120

Points: 0+60x10 counts up, 5x3 repeats, _ is a gap, stale ends a series, {{schema:0 count:2 sum:3
buckets:[1 1]}} is a native histogram. A blank line ends a block, 'clear' empties the store,
'expect fail', 'expect warn', 'expect info', 'expect ordered' (after 'eval') say what else must be.

Examples:
  skopos promqltest tests/recording-rules.test
  skopos promqltest tests/ --format json | jq '.files[].failures'

Exit codes: 0 all pass, 4 a case fails or a script is malformed, 1 a file could not be read.")]
pub(crate) struct PromqlTestArgs {
    /// Scripts, or folders of *.test files.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

/// One script and what it came to.
struct Tested {
    path: String,
    outcome: Result<Report, Trouble>,
}

/// Why a script did not run.
enum Trouble {
    Malformed(ScriptError),
    /// The file, or the folder, cannot be read.
    Unreadable(String),
}

impl Tested {
    fn is_ok(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|r| r.passed() == r.cases.len())
    }

    fn is_unreadable(&self) -> bool {
        matches!(self.outcome, Err(Trouble::Unreadable(_)))
    }

    fn counts(&self) -> (usize, usize) {
        self.outcome.as_ref().map_or((0, 0), |r| (r.cases.len(), r.passed()))
    }

    fn to_json(&self) -> Value {
        let (cases, passed) = self.counts();
        let failures: Vec<Value> = match &self.outcome {
            Ok(report) => failures(report)
                .map(|(line, query, failure)| {
                    json!({"line": line, "query": query, "failure": failure})
                })
                .collect(),
            Err(Trouble::Malformed(error)) => {
                vec![json!({"line": error.line, "failure": error.message})]
            }
            Err(Trouble::Unreadable(why)) => vec![json!({"failure": why})],
        };
        let malformed = matches!(self.outcome, Err(Trouble::Malformed(_)));
        json!({
            "path": self.path, "ok": self.is_ok(), "malformed": malformed,
            "unreadable": self.is_unreadable(),
            "cases": cases, "passed": passed, "failures": failures,
        })
    }

    fn render(&self, out: &mut String) {
        let path = printable(&self.path);
        let report = match &self.outcome {
            Ok(report) => report,
            Err(Trouble::Unreadable(why)) => {
                out.push_str(&format!("{} {path}: {}\n", red("unreadable"), printable(why)));
                return;
            }
            Err(Trouble::Malformed(error)) => {
                let (line, message) = (error.line, printable(&error.message));
                out.push_str(&format!("{} {path}:{line}: {message}\n", red("malformed")));
                return;
            }
        };
        let (cases, passed) = self.counts();
        let verdict = if self.is_ok() {
            green("ok").to_string()
        } else {
            red(format!("{} failed", cases - passed)).to_string()
        };
        out.push_str(&format!("{verdict} {path} {}\n", dim(format!("({passed}/{cases} cases)"))));
        for (line, query, failure) in failures(report) {
            out.push_str(&format!("  {path}:{line}: {}\n", printable(query)));
            out.push_str(&format!("      {}\n", printable(failure)));
        }
    }
}

fn failures(report: &Report) -> impl Iterator<Item = (usize, &str, &str)> {
    report.cases.iter().filter_map(|case| {
        case.failure.as_deref().map(|failure| (case.line, case.query.as_str(), failure))
    })
}

pub(crate) fn run(args: PromqlTestArgs, global: &GlobalArgs) -> Result<Outcome> {
    let mut tested = Vec::new();
    for path in &args.paths {
        // One that is not there keeps none of the others from being run.
        let unreadable = |path: &Path, error: anyhow::Error| Tested {
            path: path.display().to_string(),
            outcome: Err(Trouble::Unreadable(format!("{:#}", error))),
        };
        match scripts(path) {
            Ok(files) => {
                tested.extend(files.iter().map(|file| match std::fs::read_to_string(file) {
                    Ok(script) => Tested {
                        path: file.display().to_string(),
                        outcome: promqltest::run(&script).map_err(Trouble::Malformed),
                    },
                    Err(error) => unreadable(file, error.into()),
                }))
            }
            Err(error) => tested.push(unreadable(path, error)),
        }
    }
    let all_ok = tested.iter().all(Tested::is_ok);
    match global.format {
        Format::Ndjson => tested.iter().for_each(|t| print_json(&t.to_json(), Format::Ndjson)),
        Format::Text => {
            let mut out = String::new();
            tested.iter().for_each(|t| t.render(&mut out));
            write_stdout(&out);
        }
        _ => {
            let files: Vec<Value> = tested.iter().map(Tested::to_json).collect();
            print_json(&json!({"ok": all_ok, "files": files}), Format::Json);
        }
    }
    let unreadable = tested.iter().filter(|t| t.is_unreadable()).count();
    if unreadable > 0 {
        bail!("{unreadable} of {} files could not be read", tested.len());
    }
    Ok(if all_ok { Outcome::Done } else { Outcome::ConditionFailed })
}

/// The file itself, or the scripts of a folder in order of name.
fn scripts(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let listed = std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
    let mut found = Vec::new();
    for entry in listed {
        let path = entry.with_context(|| format!("read {}", path.display()))?.path();
        if path.extension().is_some_and(|e| e == "test") && path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("no *.test file in {}", path.display());
    }
    found.sort();
    Ok(found)
}
