//! `skopos query`: PromQL from a terminal.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use skopos_model::Timestamp;
use skopos_promql::{
    EvalParams, MAX_POINTS_PER_SERIES, Operator, ParseOptions, Plan, caret_snippet,
};

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, NoServer, Refusal, block_on};
use crate::output::{Format, columns, csv_row, dim, print_json, printable, write_stdout, yellow};
use crate::timespec::{parse_step, parse_time};

/// Evaluate a PromQL query, now or over a range.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos query 'up'
  skopos query 'histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))'
  skopos query 'sum(rate(http_requests_total[5m]))' --from now-1h --step 1m
  skopos query 'sum(rate(http_requests_total[5m]))' --explain
  skopos query 'rate(http_requests_total[5m])' --from now-1h --step 60 --format csv > rates.csv
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
    /// Distance between the points of the range: a duration or seconds; a sixtieth of it by default.
    #[arg(long, value_name = "DURATION", requires = "from")]
    step: Option<String>,
    /// Show how the query is evaluated: its plan and, when a server answers, what each operator
    /// of it costs there.
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
            Some(step) => parse_step(step).context("read --step")?,
            None => {
                Duration::from_secs_f64((end.since(start).as_secs_f64() / 60.0).max(1.0).round())
            }
        };
        Ok(Self::Range { start, end, step })
    }
}

impl When {
    /// The parameters of a request.
    fn fields(&self, promql: &str) -> Vec<(&'static str, String)> {
        let seconds = |time: &Timestamp| time.as_secs_f64().to_string();
        let mut fields = vec![("query", promql.to_owned())];
        match self {
            Self::At(time) => fields.push(("time", seconds(time))),
            Self::Range { start, end, step } => fields.extend([
                ("start", seconds(start)),
                ("end", seconds(end)),
                ("step", step.as_secs_f64().to_string()),
            ]),
        }
        fields
    }

    /// The times that were looked at, for who found nothing.
    fn describe(&self) -> String {
        match self {
            Self::At(time) => format!("at {time}"),
            Self::Range { start, end, step } => {
                format!("from {start} to {end} in steps of {} s", step.as_secs_f64())
            }
        }
    }
}

/// An error with the line of the query it is about, where the server says which.
fn with_carets(error: anyhow::Error, promql: &str) -> anyhow::Error {
    match error.downcast_ref::<Refusal>().and_then(|refusal| refusal.span) {
        Some(span) => anyhow!("{error}\n{}", caret_snippet(promql, span)),
        None => error,
    }
}

pub(crate) fn run(args: QueryArgs, global: &GlobalArgs) -> Result<Outcome> {
    let when = When::of(&args)?;
    if args.explain {
        return explain(&args, &when, global);
    }
    let client = Client::new(&args.server)?;
    let path = match when {
        When::At(_) => "/api/v1/query",
        When::Range { .. } => "/api/v1/query_range",
    };
    let answer = block_on(client.post_form(path, &when.fields(&args.promql)));
    let answer = answer.map_err(|error| with_carets(error, &args.promql))?;
    for note in ["warnings", "infos"] {
        for text in answer[note].as_array().into_iter().flatten() {
            eprintln!("{}: {}", yellow(note.trim_end_matches('s')), text.as_str().unwrap_or(""));
        }
    }
    let result = &answer["data"]["result"];
    let empty = result.as_array().is_some_and(Vec::is_empty);
    match global.format {
        Format::Csv => write_stdout(&csv(&answer["data"])),
        Format::Ndjson => {
            result.as_array().into_iter().flatten().for_each(|v| print_json(v, Format::Ndjson));
        }
        Format::Text if empty => eprintln!("nothing matches {}", when.describe()),
        Format::Text => write_stdout(&render(&answer["data"])),
        _ => print_json(&answer, Format::Json),
    }
    Ok(if empty { Outcome::NothingFound } else { Outcome::Done })
}

/// The plan as a tree, with what each operator costs when a server answers; what the server
/// refuses is refused.
fn explain(args: &QueryArgs, when: &When, global: &GlobalArgs) -> Result<Outcome> {
    if global.format == Format::Csv {
        bail!("--format csv: a plan is no table; use json");
    }
    let client = Client::new(&args.server)?;
    let fields = when.fields(&args.promql);
    match block_on(client.post_form("/api/v1/skopos/explain", &fields)) {
        Ok(answer) => {
            let plan = &answer["data"];
            match global.format {
                Format::Text => {
                    let seconds = |part: &str| plan["timings"][part].as_f64().unwrap_or(0.0);
                    let took = dim(format!(
                        "{} series, {} samples; fetched in {:.3} ms, evaluated in {:.3} ms",
                        plan["series"],
                        plan["samples"],
                        seconds("fetch") * 1e3,
                        seconds("evaluate") * 1e3,
                    ));
                    let text = plan["text"].as_str().unwrap_or("");
                    write_stdout(&format!("{text}{took}\n"));
                }
                format => print_json(plan, format),
            }
            Ok(Outcome::Done)
        }
        Err(error) if error.is::<NoServer>() => {
            eprintln!("{error}; the plan without costs:");
            explain_here(&args.promql, when, global)
        }
        Err(error) => Err(with_carets(error, &args.promql)),
    }
}

/// The plan alone. Everything experimental is allowed, since no server says what is not.
fn explain_here(promql: &str, when: &When, global: &GlobalArgs) -> Result<Outcome> {
    let expr = skopos_promql::parse(promql, &ParseOptions::all())
        .map_err(|error| anyhow!("{}", error.render()))?;
    let ms = |time: &Timestamp| (time.as_secs_f64() * 1e3).round() as i64;
    let params = match when {
        When::At(time) => EvalParams::instant(ms(time)),
        When::Range { start, end, step } => {
            EvalParams::range(ms(start), ms(end), step.as_millis() as i64)
        }
    };
    params.check_points(MAX_POINTS_PER_SERIES)?;
    let plan = Plan::new(&expr, params).map_err(|error| match error.span() {
        Some(span) => anyhow!("{error}\n{}", caret_snippet(promql, span)),
        None => anyhow!(error),
    })?;
    let plan = plan.explain(None);
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

/// A row per sample: its labels, one column each, then time in Unix seconds and value. A native
/// histogram is JSON.
fn csv(data: &Value) -> String {
    let result = &data["result"];
    let is_table = matches!(data["resultType"].as_str(), Some("vector" | "matrix"));
    let names: BTreeSet<&str> = items(result)
        .filter_map(|series| series["metric"].as_object())
        .flat_map(|labels| labels.keys().map(String::as_str))
        .collect();
    let mut out = csv_row(names.iter().chain(&["timestamp", "value"]));
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut row = |labels: &Value, point: &Value| {
        let labels = names.iter().map(|name| labels[*name].as_str().unwrap_or("").to_owned());
        out.push_str(&csv_row(labels.chain([cell(&point[0]), cell(&point[1])])));
    };
    if !is_table {
        row(&Value::Null, result);
        return out;
    }
    for series in items(result) {
        for one in ["value", "histogram"].iter().filter(|kind| series[**kind].is_array()) {
            row(&series["metric"], &series[*one]);
        }
        for many in ["values", "histograms"] {
            items(&series[many]).for_each(|point| row(&series["metric"], point));
        }
    }
    out
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
