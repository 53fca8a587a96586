//! `skopos rules`: rule files, checked, tested and replayed before they are loaded. One file per command in `rules/`.

pub(crate) mod backtest;
pub(crate) mod builtin;
pub(crate) mod check;
mod pages;
pub(crate) mod test;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::Outcome;
use crate::cli::GlobalArgs;

/// Check and test rule files.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Check rules: what does not load, cannot fire, fires for nothing, or has no runbook.
    Check(check::CheckArgs),
    /// Run tests of rule files, in the format of `promtool test rules`.
    Test(test::TestArgs),
    /// Say when rules would have fired over stored history, and how noisily.
    Backtest(backtest::BacktestArgs),
    /// Show or copy the rules that come with Skopos (`--rules builtin`), with tests and runbooks.
    Builtin(builtin::BuiltinArgs),
}

pub(crate) fn run(command: RulesCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        RulesCommand::Check(args) => check::run(args, global),
        RulesCommand::Test(args) => test::run(args, global),
        RulesCommand::Backtest(args) => backtest::run(args, global),
        RulesCommand::Builtin(args) => builtin::run(args, global),
    }
}

/// Reads files, and of folders the `*.yml` and `*.yaml` files in order of name, as (path, text).
pub(crate) fn read_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let files = files_in(paths)?;
    if files.is_empty() {
        let named: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        bail!("no *.yml or *.yaml file in {}", named.join(", "));
    }
    Ok(files)
}

/// The files that are there, each with its text; none may be.
pub(crate) fn files_in(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    Ok(files)
}

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
