//! `skopos rules`: rule files, checked before they are loaded.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use skopos_alerting::rules::CheckReport;

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, print_json, write_stdout};

/// Check rule files.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Check that rule files can be loaded; every error with file, line and column.
    Check(CheckArgs),
}

/// Check that rule files can be loaded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos rules check rules.yml
  skopos rules check rules/ --format json

Exit codes: 0 all good, 4 errors found, 1 a file could not be read.")]
pub(crate) struct CheckArgs {
    /// Prometheus rule files, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(command: RulesCommand, global: &GlobalArgs) -> Result<Outcome> {
    let RulesCommand::Check(args) = command;
    let mut files = Vec::new();
    for path in &args.paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        bail!("no *.yml or *.yaml file in {}", args.paths[0].display());
    }
    let borrowed: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let report = CheckReport::of(&borrowed);
    match global.format {
        Format::Text if report.is_ok() => write_stdout(&format!("{report}\n")),
        Format::Text => eprintln!("{report}"),
        format => print_json(&serde_json::to_value(&report).context("print the report")?, format),
    }
    Ok(if report.is_ok() { Outcome::Done } else { Outcome::ConditionFailed })
}

/// Reads a file, or the rule files of a folder in order of name.
fn collect(path: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    let found = if path.is_dir() {
        let listed = std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
        let mut found = Vec::new();
        for entry in listed {
            let path = entry.with_context(|| format!("read {}", path.display()))?.path();
            if path.extension().is_some_and(|e| e == "yml" || e == "yaml") && path.is_file() {
                found.push(path);
            }
        }
        found.sort();
        found
    } else {
        vec![path.to_owned()]
    };
    for path in found {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        files.push((path.display().to_string(), text));
    }
    Ok(())
}
