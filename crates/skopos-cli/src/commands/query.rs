//! `skopos query`: PromQL from a terminal.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::{Value, json};
use skopos_model::Timestamp;
use skopos_promql::{EvalParams, Operator, ParseOptions, Plan};

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
  skopos query 'sum(rate(http_requests_total[5m]))' --explain
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
    /// Show how the query would be evaluated, without asking a server.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// When to evaluate.
enum When {
    At(Timestamp),
    Range { start: Timestamp, end: Timestamp, step: Duration },
}

impl When {
    fn of(args: &QueryArgs) -> Result<Self> {
        let now = now();
        let Some(from) = &args.from else {
            return Ok(Self::At(parse_time(args.at.as_deref().unwrap_or("now"), now)?));
        };
        let (start, end) = (parse_time(from, now)?, parse_time(&args.to, now)?);
        let step = match &args.step {
            Some(step) => parse_duration(step)?,
            None => {
                Duration::from_secs_f64((end.since(start).as_secs_f64() / 60.0).max(1.0).round())
            }
        };
        Ok(Self::Range { start, end, step })
    }
}

pub(crate) fn run(args: QueryArgs, global: &GlobalArgs) -> Result<Outcome> {
    let when = When::of(&args)?;
    if args.explain {
        return explain(&args.promql, &when, global);
    }
    let client = Client::new(&args.server)?;
    let mut query = vec![("query", args.promql.clone())];
    let path = match when {
        When::At(time) => {
            query.push(("time", time.as_secs_f64().to_string()));
            "/api/v1/query"
        }
        When::Range { start, end, step } => {
            query.push(("start", start.as_secs_f64().to_string()));
            query.push(("end", end.as_secs_f64().to_string()));
            query.push(("step", step.as_secs_f64().to_string()));
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
        Format::Json | Format::Csv | Format::Arrow | Format::Parquet | Format::Sarif => {
            print_json(&answer, Format::Json)
        }
        Format::Ndjson => {
            result.as_array().into_iter().flatten().for_each(|v| print_json(v, Format::Ndjson));
        }
        Format::Text if empty => eprintln!("nothing matches"),
        Format::Text => write_stdout(&render(&answer["data"])),
    }
    Ok(if empty { Outcome::NothingFound } else { Outcome::Done })
}

/// The plan, as a tree. Everything experimental is allowed, since nothing is evaluated.
fn explain(promql: &str, when: &When, global: &GlobalArgs) -> Result<Outcome> {
    let expr = skopos_promql::parse(promql, &ParseOptions::all())
        .map_err(|error| anyhow!("{}", error.render()))?;
    let ms = |time: &Timestamp| (time.as_secs_f64() * 1e3).round() as i64;
    let params = match when {
        When::At(time) => EvalParams::instant(ms(time)),
        When::Range { start, end, step } => {
            EvalParams::range(ms(start), ms(end), step.as_millis() as i64)
        }
    };
    let plan = Plan::new(&expr, params).context("plan the query")?.explain(None);
    match global.format {
        Format::Text => write_stdout(&plan.to_string()),
        format => print_json(
            &json!({
                "steps": plan.steps,
                "fetches": plan.fetches,
                "shared": plan.shared.iter().map(operator).collect::<Vec<_>>(),
                "root": operator(&plan.root),
            }),
            format,
        ),
    }
    Ok(Outcome::Done)
}

fn operator(operator: &Operator) -> Value {
    json!({
        "name": operator.name,
        "start": operator.span.start,
        "end": operator.span.end,
        "once": operator.once,
        "children": operator.children.iter().map(self::operator).collect::<Vec<_>>(),
    })
}

fn now() -> Timestamp {
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
                    let time = Timestamp(
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
