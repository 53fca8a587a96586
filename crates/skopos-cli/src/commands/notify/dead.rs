//! `skopos notify dead`: notifications that could not be delivered.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, columns, print_json, printable, write_stdout};

/// Notifications that could not be delivered: a receiver refused them, or was away for a day.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  skopos notify dead list
  skopos notify dead retry                                     all of them
  skopos notify dead retry 00000001795213515000/5b6f0e0c1d2a3f44
  skopos notify dead discard 00000001795213515000/5b6f0e0c1d2a3f44
  skopos notify dead discard --all --by ada

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 there are none.")]
pub(crate) enum DeadCommand {
    /// Show them, oldest first.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Send one, or all, again under the old key.
    Retry {
        /// Its id; all without one.
        id: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Discard some, or all: nobody will be told. The server's log and `skopos notify log` say who did.
    Discard {
        /// Their ids.
        #[arg(value_name = "KEY", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
        /// Who discards them.
        #[arg(long, env = "USER", value_name = "WHO")]
        by: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub(crate) fn run(command: DeadCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        DeadCommand::List { server } => {
            let answer = block_on(Client::new(&server)?.get("/api/v1/skopos/notify/dead", &[]))?;
            let letters = answer["dead"].as_array().map_or(&[][..], Vec::as_slice);
            let row = |letter: &Value| -> Vec<String> {
                ["id", "failed_at", "receiver", "integration_name", "status", "group", "reason"]
                    .iter()
                    .map(|name| printable(letter[name].as_str().unwrap_or("")))
                    .collect()
            };
            match global.format {
                Format::Text if letters.is_empty() => eprintln!("there are none"),
                Format::Text => {
                    write_stdout(&columns(&letters.iter().map(row).collect::<Vec<_>>()));
                }
                format => print_json(&answer, format),
            }
            Ok(if letters.is_empty() { Outcome::NothingFound } else { Outcome::Done })
        }
        DeadCommand::Retry { id, server } => {
            let path = "/api/v1/skopos/notify/dead/retry";
            let asked = block_on(Client::new(&server)?.post(path, &json!({"id": id})));
            let answer = match asked {
                Err(error) if error.to_string().contains("answered 404") => json!({"retried": 0}),
                answer => answer?,
            };
            let count = answer["retried"].as_u64().unwrap_or(0);
            match global.format {
                Format::Text => eprintln!("{count} are sent again"),
                format => print_json(&answer, format),
            }
            Ok(if count == 0 { Outcome::NothingFound } else { Outcome::Done })
        }
        DeadCommand::Discard { ids, all, by, server } => {
            let path = "/api/v1/skopos/notify/dead/discard";
            let body = json!({"ids": ids, "all": all, "by": by});
            let answer = match block_on(Client::new(&server)?.post(path, &body)) {
                // It names the one that is none; then all are still there.
                Err(error) if error.to_string().contains("answered 404") => {
                    eprintln!("nothing was discarded: {}", printable(&format!("{error:#}")));
                    return Ok(Outcome::NothingFound);
                }
                answer => answer?,
            };
            let count = answer["discarded"].as_u64().unwrap_or(0);
            match global.format {
                Format::Text => eprintln!("{count} discarded"),
                format => print_json(&answer, format),
            }
            Ok(if count == 0 { Outcome::NothingFound } else { Outcome::Done })
        }
    }
}
