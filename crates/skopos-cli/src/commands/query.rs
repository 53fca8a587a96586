//! `skopos query`: PromQL from a terminal.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, columns, dim, print_json, printable, write_stdout, yellow};
use crate::timespec::{parse_duration, parse_time};

/// Evaluate a PromQL query, now or over a range.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos query 'up'
  skopos query 'histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))'
  skopos query 'sum(rate(http_requests_total[5m]))' --from now-1h --step 1m
  skopos query 'ALERTS{alertstate=\"firing\"}' --format json | jq .data.result")]
pub(crate) struct QueryArgs {
    /// The query.
    promql: String,
    /// Evaluate at this time: RFC 3339, Unix seconds, or now-1h.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "step"])]
    at: Option<String>,
    /// Evaluate over a range that starts here.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the range.
    #[arg(long, value_name = "TIME", default_value = "now", requires = "from")]
    to: String,
    /// Distance between the points of the range.
    #[arg(long, value_name = "DURATION", requires = "from")]
    step: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: QueryArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let now = now();
    let mut query = vec![("query", args.promql.clone())];
    let path = match &args.from {
        None => {
            let at = args.at.as_deref().unwrap_or("now");
            query.push(("time", parse_time(at, now)?.as_secs_f64().to_string()));
            "/api/v1/query"
        }
        Some(from) => {
            let (start, end) = (parse_time(from, now)?, parse_time(&args.to, now)?);
            let step = match &args.step {
                Some(step) => parse_duration(step)?.as_secs_f64(),
                None => (end.since(start).as_secs_f64() / 60.0).max(1.0).round(),
            };
            query.push(("start", start.as_secs_f64().to_string()));
            query.push(("end", end.as_secs_f64().to_string()));
            query.push(("step", step.to_string()));
            "/api/v1/query_range"
        }
    };
    let answer = block_on(client.get(path, &query))?;
    for note in ["warnings", "infos"] {
        for text in answer[note].as_array().into_iter().flatten() {
            eprintln!("{}: {}", yellow(note.trim_end_matches('s')), text.as_str().unwrap_or(""));
        }
    }
    let result = &answer["data"]["result"];
    let empty = result.as_array().is_some_and(Vec::is_empty);
    match global.format {
        Format::Json => print_json(&answer, Format::Json),
        Format::Ndjson => {
            result.as_array().into_iter().flatten().for_each(|v| print_json(v, Format::Ndjson));
        }
        Format::Text if empty => eprintln!("nothing matches"),
        Format::Text => write_stdout(&render(&answer["data"])),
    }
    Ok(if empty { Outcome::NothingFound } else { Outcome::Done })
}

fn now() -> skopos_model::Timestamp {
    skopos_model::Clock::now(&skopos_model::SystemClock::new())
}

fn render(data: &Value) -> String {
    let point = |pair: &Value| pair[1].as_str().unwrap_or("").to_owned();
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("vector") => {
            let rows: Vec<_> = items(result)
                .map(|v| {
                    let value = if v["histogram"].is_array() {
                        v["histogram"][1].to_string()
                    } else {
                        point(&v["value"])
                    };
                    vec![series(&v["metric"]), value]
                })
                .collect();
            columns(&rows)
        }
        Some("matrix") => {
            let mut out = String::new();
            for v in items(result) {
                out.push_str(&format!("{}\n", series(&v["metric"])));
                for pair in items(&v["values"]) {
                    let time = skopos_model::Timestamp(
                        (pair[0].as_f64().unwrap_or(0.0) * 1e3).round() as i64 * 1_000_000,
                    );
                    out.push_str(&format!("  {}  {}\n", dim(time), point(pair)));
                }
            }
            out
        }
        _ => point(result) + "\n",
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn series(metric: &Value) -> String {
    let pairs = metric.as_object().into_iter().flatten();
    let labels = skopos_model::Labels::from_pairs(
        pairs.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or(""))),
    );
    printable(&labels.to_string())
}
