//! `skopos man`: manual pages, made from the command line's own definition.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::Outcome;
use crate::cli::command;
use crate::output::write_stdout;

/// Print the manual page, or write the pages of all commands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos man | man -l -
  skopos man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write one page for each command into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: ManArgs) -> Result<Outcome> {
    let Some(folder) = args.out else {
        let mut page = Vec::new();
        let man = clap_mangen::Man::new(command());
        man.render(&mut page).context("write the manual page")?;
        write_stdout(&String::from_utf8_lossy(&page));
        return Ok(Outcome::Done);
    };
    let within = || format!("write manual pages into {}", folder.display());
    std::fs::create_dir_all(&folder).with_context(within)?;
    clap_mangen::generate_to(command(), &folder).with_context(within)?;
    Ok(Outcome::Done)
}
