//! `skopos alerts`: what fires, what is pending, what cannot fire, and why; and whose it is.

mod ack;
mod history;
mod list;
mod report;
mod why;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::printable;

/// Show alerts and say why they fire or do not.
///
/// Without a subcommand: the same as `skopos alerts list`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  skopos alerts
  skopos alerts list --state firing
  skopos alerts why HighErrorRate
  skopos alerts why HighErrorRate --time now-3h
  skopos alerts ack e96d9573b3f6c8d6 --by ada
  skopos alerts history HighErrorRate       when it was active, and how long
  skopos alerts report --since 30d          the monthly review of noise
  skopos alerts --format json | jq '.data.groups[].rules[] | select(.blind)'

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such alert."
)]
pub(crate) struct AlertsArgs {
    #[command(subcommand)]
    command: Option<AlertsCommand>,
    #[command(flatten)]
    list: list::ListArgs,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    /// List alerts: firing, pending, and rules that fail or cannot fire.
    List(list::ListArgs),
    /// Say why an alert fires or does not.
    Why(why::WhyArgs),
    /// Acknowledge a firing alert.
    Ack(ack::AckArgs),
    /// Show when alerts were active, also those that are over.
    History(history::HistoryArgs),
    /// Review how noisy alerts were and whether anybody acted on them.
    Report(report::ReportArgs),
}

pub(crate) fn run(args: AlertsArgs, global: &GlobalArgs) -> Result<Outcome> {
    match args.command {
        None => list::run(args.list, global),
        Some(AlertsCommand::List(args)) => list::run(args, global),
        Some(AlertsCommand::Why(args)) => why::run(args, global),
        Some(AlertsCommand::Ack(args)) => ack::run(args, global),
        Some(AlertsCommand::History(args)) => history::run(args, global),
        Some(AlertsCommand::Report(args)) => report::run(args, global),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    printable(value.as_str().unwrap_or(""))
}

/// Labels as people write them, those named left out.
fn labels(value: &Value, without: &[&str]) -> String {
    let pairs: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .map(|(name, value)| {
            format!("{}={}", printable(name), printable(value.as_str().unwrap_or("")))
        })
        .collect();
    pairs.join(" ")
}

/// A time as people read it: `2026-11-22 14:03:15`.
fn clock(time: &Value) -> String {
    let text = word(time);
    match text.split_once('T') {
        Some((date, rest)) => {
            let rest = rest.split(['.', 'Z']).next().unwrap_or(rest);
            format!("{date} {rest}")
        }
        None => text,
    }
}
