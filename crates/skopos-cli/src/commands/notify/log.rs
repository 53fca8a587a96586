//! `skopos notify log`: what became of every notification.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, columns, print_json, printable, write_stdout};

/// Show the ledger: notifications delivered, failed, dropped, and those that wait.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos notify log
  skopos notify log --format json | jq '.deliveries[] | select(.verdict != \"delivered\")'

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing was ever sent.")]
pub(crate) struct LogArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: LogArgs, global: &GlobalArgs) -> Result<Outcome> {
    let answer = block_on(Client::new(&args.server)?.get("/api/v1/skopos/deliveries", &[]))?;
    let items = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (settled, waiting) = (items("deliveries"), items("waiting"));
    let row = |item: &Value, time: &str, verdict: &str| {
        let cell = |name: &str| printable(item[name].as_str().unwrap_or(""));
        let attempts = item["attempts"].as_u64().unwrap_or(0).to_string();
        vec![
            cell(time),
            verdict.to_owned(),
            cell("receiver"),
            cell("integration_name"),
            attempts,
            cell("group"),
            cell("reason"),
        ]
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for item in &settled {
        rows.push(row(item, "settled_at", &printable(item["verdict"].as_str().unwrap_or(""))));
    }
    rows.extend(waiting.iter().map(|item| row(item, "created_at", "waiting")));
    match global.format {
        Format::Text if rows.is_empty() => eprintln!("nothing was sent yet"),
        Format::Text => write_stdout(&columns(&rows)),
        format => print_json(&answer, format),
    }
    Ok(if rows.is_empty() { Outcome::NothingFound } else { Outcome::Done })
}
