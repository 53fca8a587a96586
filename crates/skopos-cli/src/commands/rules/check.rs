//! `skopos rules check`: is every rule file fit to be loaded?

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use skopos_alerting::rules::CheckReport;

use super::read_files;
use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, print_json, write_stdout};

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

pub(crate) fn run(args: CheckArgs, global: &GlobalArgs) -> Result<Outcome> {
    let files = read_files(&args.paths)?;
    let borrowed: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let report = CheckReport::of(&borrowed);
    match global.format {
        Format::Text if report.is_ok() => write_stdout(&format!("{report}\n")),
        Format::Text => eprintln!("{report}"),
        format => print_json(&serde_json::to_value(&report).context("print the report")?, format),
    }
    Ok(if report.is_ok() { Outcome::Done } else { Outcome::ConditionFailed })
}
