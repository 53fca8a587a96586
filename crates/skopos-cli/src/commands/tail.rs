//! `skopos tail`: log records as they arrive.

use anyhow::{Context, Result, bail};
use clap::Args;
use futures_util::StreamExt;
use serde_json::Value;

use super::logs::{LogFilter, line};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, print_json, write_stdout, yellow};

/// Follow log records as they arrive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos tail
  skopos tail --service payment-service --severity warn
  skopos tail --format ndjson | jq .body")]
pub(crate) struct TailArgs {
    #[command(flatten)]
    filter: LogFilter,
    /// Begin with the records of this last while.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    since: String,
    /// Stop after so many records.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: TailArgs, global: &GlobalArgs) -> Result<Outcome> {
    crate::timespec::parse_duration(&args.since).context("read --since")?;
    let client = Client::new(&args.server)?;
    block_on(follow(&client, &args, global.format))
}

async fn follow(client: &Client, args: &TailArgs, format: Format) -> Result<Outcome> {
    let mut query = args.filter.parameters();
    query.push(("start", format!("now-{}", args.since)));
    let mut chunks = client.stream("/api/v1/logs/follow", &query).await?.bytes_stream();
    let mut pending = Vec::new();
    let mut shown = 0_u64;
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { break };
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let rest = pending.split_off(end + 1);
            let record = std::mem::replace(&mut pending, rest);
            let item: Value = serde_json::from_slice(&record).context("read the stream")?;
            if let Some(missed) = item["missed"].as_u64() {
                eprintln!("{}", yellow(format!("… {missed} records went by too fast to show")));
            }
            let log = &item["log"];
            if !log.is_object() {
                continue;
            }
            match format {
                Format::Text => write_stdout(&line(log)),
                _ => print_json(log, Format::Ndjson),
            }
            shown += 1;
            if args.limit.is_some_and(|limit| shown >= limit) {
                return Ok(Outcome::Done);
            }
        }
    }
    bail!("the server ended the stream; it is stopping, or has stopped")
}
