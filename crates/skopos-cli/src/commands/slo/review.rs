//! `skopos slo review`.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::{good_percent, items, moment, name_of, percent, target_percent, word};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, bold, columns, dim, print_json, write_stdout};

/// Say whether targets are right: tighten, loosen or keep, and why.
///
/// Looks at the last two periods of an objective's policy (quarters, when it names none). Budgets that
/// nobody ever approached could be tighter; such as are overspent twice are not kept. Where data is missing, nothing
/// is said.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo review
  skopos slo review checkout-availability --format json

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 there is no such objective, or none at all.")]
pub(crate) struct ReviewArgs {
    /// Only this objective.
    slo: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: ReviewArgs, global: &GlobalArgs) -> Result<Outcome> {
    let query: Vec<(&str, String)> = args.slo.iter().map(|slo| ("slo", slo.clone())).collect();
    let mut answer = block_on(Client::new(&args.server)?.get("/api/v1/slo/review", &query))?;
    let data = answer["data"].take();
    match global.format {
        Format::Text => write_stdout(&text(&data)),
        format => print_json(&data, format),
    }
    if items(&data["reviews"]).next().is_none() {
        eprintln!("the server has no objectives: start it with --slo FILE");
        return Ok(Outcome::NothingFound);
    }
    Ok(Outcome::Done)
}

fn text(data: &Value) -> String {
    let mut out = String::new();
    for review in items(&data["reviews"]) {
        let suggestion = match review["suggestion"].as_str() {
            Some("tighten") => "tighten",
            Some("loosen") => "loosen or invest",
            Some("keep") => "keep",
            _ => "insufficient data",
        };
        let target = target_percent(&review["target"]);
        let instead = match review["suggested_target"].as_f64() {
            Some(_) => {
                format!(", {} instead of {target}", target_percent(&review["suggested_target"]))
            }
            None => format!(" ({target})"),
        };
        out += &format!("{}: {suggestion}{instead}\n", bold(name_of(review)));
        out += &format!("  {}\n", word(&review["why"]));
        let mut rows = Vec::new();
        for period in items(&review["periods"]) {
            let day = |millis: &Value| moment(millis).split(' ').next().unwrap_or("").to_owned();
            rows.push(vec![
                format!("  {} to {}", day(&period["start_ms"]), day(&period["end_ms"])),
                format!("{} good", good_percent(&period["good_ratio"], &review["target"])),
                format!("{} of the budget spent", percent(&period["spent"])),
                format!("{} of it in incidents", percent(&period["spent_by_incidents"])),
                format!("{} deploys, {} incidents", period["deploys"], period["incidents"]),
                format!("{} of the time has data", percent(&period["coverage"])),
            ]);
        }
        out += &dim(columns(&rows)).to_string();
    }
    out
}
