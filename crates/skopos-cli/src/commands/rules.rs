//! `skopos rules`: rule files, checked before they are loaded. One file per command in `rules/`.

pub(crate) mod check;
mod pages;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::Outcome;
use crate::cli::GlobalArgs;

/// Check rule files.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Check rules: what does not load, cannot fire, fires for nothing, or has no runbook.
    Check(check::CheckArgs),
}

pub(crate) fn run(command: RulesCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        RulesCommand::Check(args) => check::run(args, global),
    }
}

/// Reads files, and of folders the `*.yml` and `*.yaml` files in order of name, as (path, text).
pub(crate) fn read_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        let named: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        bail!("no *.yml or *.yaml file in {}", named.join(", "));
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
