//! `skopos slo init`: objectives to start with.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::write_text;
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, print_json};

/// Write the two objectives to start with, from what a service sends.
///
/// Availability from a counter of requests, latency from a histogram of durations, as found among the metrics
/// of the last hours; for services that send only spans, from what is derived of these. Check targets and runbooks before they are served.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo init --service checkout --owner team-payments --output slo.yml
  skopos slo init --service checkout | skopos slo check /dev/stdin

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the service sends neither.")]
pub(crate) struct InitArgs {
    /// The service, as its telemetry names it.
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Who answers for the objectives.
    #[arg(long, value_name = "WHO")]
    owner: Option<String>,
    /// File to write, which must not exist yet; standard output when absent.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: InitArgs, global: &GlobalArgs) -> Result<Outcome> {
    if let Some(path) = args.output.as_ref().filter(|path| path.exists()) {
        bail!("{} exists; give another name, or remove it first", path.display());
    }
    let query = [("service", args.service.clone())];
    let mut answer = block_on(Client::new(&args.server)?.get("/api/v1/slo/init", &query))?;
    let mut data = answer["data"].take();
    let mut text = data["text"].as_str().unwrap_or("").to_owned();
    if let Some(owner) = &args.owner {
        let owner = serde_json::Value::from(owner.as_str()).to_string();
        text = text.replace("owner: \"nobody yet\"", &format!("owner: {owner}"));
        data["text"] = text.as_str().into();
    }
    let found = &data["found"];
    let is_found = !found["requests"].is_null() || !found["durations"].is_null();
    match (global.format, &args.output) {
        (Format::Text, None) => write_text(&text, None)?,
        (Format::Text, Some(_)) if !is_found => {}
        (Format::Text, output) => write_text(&text, output.as_ref())?,
        (format, _) => print_json(&data, format),
    }
    if !is_found {
        eprintln!(
            "service {:?} sent neither a counter of requests (http_requests_total) nor a histogram of durations \
             (http_request_duration_seconds) nor server spans in the last 6 hours; `skopos status` shows who sends",
            crate::output::printable(&args.service)
        );
        return Ok(Outcome::NothingFound);
    }
    Ok(Outcome::Done)
}
