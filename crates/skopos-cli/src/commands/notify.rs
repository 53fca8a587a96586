//! `skopos notify`: receivers, checked before they are needed and tried on purpose; what became of
//! notifications, and those that could not be delivered.

mod check;
mod dead;
mod log;
mod trial;

use anyhow::Result;
use clap::Subcommand;

use crate::Outcome;
use crate::cli::GlobalArgs;

/// Check who is told of alerts, try it, and see what became of it.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  skopos notify check alertmanager.yml
  skopos notify check alertmanager.yml --strict      fail when a route loses notifications
  skopos notify test --receiver team-x
  skopos notify test --severity P1
  skopos notify log
  skopos notify dead list
  skopos notify dead retry                           sends all of them again
  skopos notify dead discard --all                   gives them up")]
pub(crate) enum NotifyCommand {
    /// Check an alertmanager.yml: every mistake with file, line and column.
    Check(check::CheckArgs),
    /// Send a marked test through a running server and show what the receivers answer.
    Test(trial::TestArgs),
    /// Show the ledger: notifications delivered, failed, dropped, waiting.
    Log(log::LogArgs),
    /// Show notifications that could not be delivered, send them again, or discard them.
    #[command(subcommand)]
    Dead(dead::DeadCommand),
}

pub(crate) fn run(command: NotifyCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        NotifyCommand::Check(args) => check::run(args, global),
        NotifyCommand::Test(args) => trial::run(args, global),
        NotifyCommand::Log(args) => log::run(args, global),
        NotifyCommand::Dead(command) => dead::run(command, global),
    }
}
