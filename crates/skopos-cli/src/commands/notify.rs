//! `skopos notify`: what became of notifications, and those that could not be delivered.

mod dead;
mod log;

use anyhow::Result;
use clap::Subcommand;

use crate::Outcome;
use crate::cli::GlobalArgs;

/// Check who is told of alerts, and what became of it.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  skopos notify log
  skopos notify dead list
  skopos notify dead retry                           sends all of them again")]
pub(crate) enum NotifyCommand {
    /// Show the ledger: notifications delivered, failed, dropped, waiting.
    Log(log::LogArgs),
    /// Show notifications that could not be delivered, or send them again.
    #[command(subcommand)]
    Dead(dead::DeadCommand),
}

pub(crate) fn run(command: NotifyCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        NotifyCommand::Log(args) => log::run(args, global),
        NotifyCommand::Dead(command) => dead::run(command, global),
    }
}
