//! `skopos alerts ack`: say that an alert is yours.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, print_json, printable, write_stdout};

/// Acknowledge a firing alert: others see that somebody has it, and the time to respond is kept.
///
/// It holds for this firing: when the alert resolves and fires again it is open again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos alerts ack e96d9573b3f6c8d6 --by ada
  skopos alerts ack e96d9573b3f6c8d6 --by ada --comment 'rolling back checkout'

The fingerprint stands in `skopos alerts` and in notifications.

Exit codes: 0 done, 1 failed or somebody else has it, 2 wrong usage, 3 no such alert fires.")]
pub(crate) struct AckArgs {
    /// The alert's fingerprint.
    fingerprint: String,
    /// Who looks after it.
    #[arg(long, env = "USER", value_name = "WHO")]
    by: String,
    /// What they say.
    #[arg(long, default_value = "", value_name = "TEXT")]
    comment: String,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: AckArgs, global: &GlobalArgs) -> Result<Outcome> {
    let body = json!({"fingerprint": args.fingerprint, "by": args.by, "comment": args.comment});
    let answer = match block_on(Client::new(&args.server)?.post("/api/v1/alerts/ack", &body)) {
        Err(error) if error.to_string().contains("answered 404") => {
            eprintln!("no firing alert has the fingerprint {}", printable(&args.fingerprint));
            return Ok(Outcome::NothingFound);
        }
        answer => answer?,
    };
    match global.format {
        Format::Text => {
            let name = printable(answer["labels"]["alertname"].as_str().unwrap_or("the alert"));
            let by = printable(answer["acknowledged"]["by"].as_str().unwrap_or(""));
            let seconds = answer["acknowledged"]["response_seconds"].as_f64().unwrap_or(0.0);
            write_stdout(&format!("{name} is with {by}, {seconds:.0} s after it began to fire\n"));
        }
        format => print_json(&answer, format),
    }
    Ok(Outcome::Done)
}
