//! `skopos trace`: one trace as a tree, or a list of traces.

use std::collections::HashMap;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::filter::{Conditions, quoted};
use super::tail::line::is_pending;
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, columns, dim, print_json, printable, red, service_color, write_stdout, yellow,
};
use crate::timespec::WindowArgs;

/// Show one trace as a tree with its logs, or find traces.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos trace 4bf92f3577b34da6a3ce929d0e0e4736
  skopos trace --search 'service=payment status=error duration>500ms' --since 1h
  skopos trace --service payment-service --min-duration 500ms --slowest
  skopos trace --service order-service --errors --format json")]
pub(crate) struct TraceArgs {
    /// The trace's id: 32 hexadecimal digits. Without it, --search or --service finds traces.
    id: Option<String>,
    /// Find traces with a span that meets all conditions.
    #[arg(long, value_name = "FILTER", conflicts_with = "id")]
    search: Option<String>,
    /// … of this service.
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    service: Option<String>,
    /// … of this name.
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    operation: Option<String>,
    /// … that took at least this long.
    #[arg(long, value_name = "DURATION", conflicts_with = "id")]
    min_duration: Option<String>,
    /// … that failed.
    #[arg(long, conflicts_with = "id")]
    errors: bool,
    /// The slowest traces first, not the newest.
    #[arg(long, conflicts_with = "id")]
    slowest: bool,
    /// At most so many traces.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: TraceArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let finds = args.search.is_some()
        || args.service.is_some()
        || args.operation.is_some()
        || args.min_duration.is_some()
        || args.errors
        || args.slowest;
    match &args.id {
        Some(id) => show(&client, id, global.format),
        None if finds => find(&client, &args, global.format),
        None => bail!("give a trace id, or --search FILTER or --service NAME to find traces"),
    }
}

fn show(client: &Client, id: &str, format: Format) -> Result<Outcome> {
    if id.parse::<skopos_model::TraceId>().is_err() {
        bail!("{id:?} is no trace id: 32 hexadecimal digits are needed");
    }
    let found = block_on(async {
        let logs = client.get(&format!("/api/v1/traces/{id}/logs"), &[]).await?;
        let trace = client.get(&format!("/api/traces/{id}"), &[]).await;
        Ok((trace, logs))
    });
    let (trace, mut logs) = found?;
    let Value::Array(mut logs) = logs["data"]["logs"].take() else {
        bail!("the server's answer has no logs");
    };
    let mut trace = match trace {
        Ok(mut answer) => answer["data"][0].take(),
        // A trace may be known by its logs alone.
        Err(error) if error.to_string().contains("answered 404") => {
            if logs.is_empty() {
                eprintln!("no trace {id}");
                return Ok(Outcome::NothingFound);
            }
            json!({"traceID": id, "spans": [], "processes": {}})
        }
        Err(error) => return Err(error),
    };
    match format {
        Format::Text => write_stdout(&tree(&trace, &mut logs)),
        format => {
            trace["log_records"] = logs.into();
            print_json(&trace, format);
        }
    }
    Ok(Outcome::Done)
}

fn find(client: &Client, args: &TraceArgs, format: Format) -> Result<Outcome> {
    let mut conditions = Conditions::default();
    conditions.add_filter(args.search.as_deref().unwrap_or(""));
    conditions.add_equal("service.name", args.service.as_deref());
    conditions.add_equal("name", args.operation.as_deref());
    if let Some(duration) = &args.min_duration {
        conditions.add(format!("duration>={}", quoted(duration)));
    }
    if args.errors {
        conditions.add("status=error".to_owned());
    }
    let (start, end) = args.window.resolve()?;
    let query = [
        ("filter", conditions.filter()),
        ("start", start.to_string()),
        ("end", end.to_string()),
        ("limit", args.limit.to_string()),
        ("order", if args.slowest { "slowest" } else { "newest" }.to_owned()),
    ];
    let answer = block_on(client.get("/api/v1/traces", &query))?;
    let traces = answer["data"]["traces"].as_array().map_or(&[][..], Vec::as_slice);
    match format {
        Format::Ndjson => traces.iter().for_each(|t| print_json(t, Format::Ndjson)),
        Format::Text if traces.is_empty() => eprintln!("no trace matches"),
        Format::Text => write_stdout(&columns(&traces.iter().map(summary).collect::<Vec<_>>())),
        _ => print_json(&answer, Format::Json),
    }
    Ok(if traces.is_empty() { Outcome::NothingFound } else { Outcome::Done })
}

/// Id, start, duration, spans, first operation.
fn summary(trace: &Value) -> Vec<String> {
    let text = |key: &str| printable(trace[key].as_str().unwrap_or(""));
    let nanos = trace["duration_ns"].as_u64().unwrap_or(0);
    let errors = trace["errors"].as_u64().unwrap_or(0);
    let mark = match errors {
        0 => String::new(),
        n => format!(" {}", red(format!("✖ {n}"))),
    };
    let start = text("start");
    vec![
        text("trace_id"),
        start.get(11..23).unwrap_or(&start).to_owned(),
        millis((nanos / 1000).try_into().unwrap_or(i64::MAX)),
        span_count(trace["spans"].as_u64().unwrap_or(0) as usize),
        format!("{} {}{mark}", service_color(&text("root_service")), text("root_name")),
    ]
}

/// Draws the spans as a tree with a bar that shows when each ran; records stand under their span,
/// those of no span that is there at the end.
fn tree(trace: &Value, logs: &mut Vec<Value>) -> String {
    let spans = trace["spans"].as_array().map_or(&[][..], Vec::as_slice);
    let mut children: HashMap<&str, Vec<&Value>> = HashMap::new();
    let ids: std::collections::HashSet<_> =
        spans.iter().filter_map(|s| s["spanID"].as_str()).collect();
    // What has ended needs no record that it began.
    logs.retain(|log| {
        !(is_pending(log) && log["span_id"].as_str().is_some_and(|id| ids.contains(id)))
    });
    for span in spans {
        let parent = span["references"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|r| (r["refType"] == "CHILD_OF").then(|| r["spanID"].as_str()).flatten());
        children.entry(parent.filter(|p| ids.contains(p)).unwrap_or("")).or_default().push(span);
    }
    for list in children.values_mut() {
        list.sort_by_key(|s| s["startTime"].as_i64());
    }
    let start = spans.iter().filter_map(|s| s["startTime"].as_i64()).min().unwrap_or(0);
    let end = spans.iter().filter_map(|s| Some(s["startTime"].as_i64()? + s["duration"].as_i64()?));
    let total = (end.max().unwrap_or(start) - start).max(1);
    let mut rows = Vec::new();
    // Depth first with an explicit stack: a stored trace may be as deep as its sender liked.
    let mut stack: Vec<(&Value, usize)> =
        children.get("").into_iter().flatten().rev().map(|s| (*s, 0)).collect();
    while let Some((span, depth)) = stack.pop() {
        rows.push(row(trace, span, depth, start, total));
        let id = span["spanID"].as_str().unwrap_or("");
        let of_span = logs.extract_if(.., |log| !id.is_empty() && log["span_id"] == id);
        rows.extend(of_span.map(|log| log_row(&log, depth + 1)));
        if let Some(list) = children.remove(id).filter(|_| !id.is_empty()) {
            stack.extend(list.into_iter().rev().map(|s| (s, depth + 1)));
        }
    }
    let said = logs.len() + rows.len() - spans.len();
    rows.extend(logs.iter().map(|log| log_row(log, 0)));
    let id = trace["traceID"].as_str().unwrap_or("");
    let said = match said {
        0 => String::new(),
        1 => "  1 log record".to_owned(),
        n => format!("  {n} log records"),
    };
    let total = if spans.is_empty() { 0 } else { total };
    let head =
        format!("trace {}  {}  {}{said}\n", bold(id), millis(total), span_count(spans.len()));
    head + &columns(&rows)
}

/// A log record within the tree: its time stands where a span's bar does.
fn log_row(log: &Value, depth: usize) -> Vec<String> {
    let time = printable(log["time"].as_str().unwrap_or(""));
    let severity = log["severity"].as_str().unwrap_or("");
    let letter = severity.get(..1).unwrap_or("-");
    let letter = match severity {
        "ERROR" | "FATAL" => red(letter).to_string(),
        "WARN" => yellow(letter).to_string(),
        _ => letter.to_owned(),
    };
    let body = match &log["body"] {
        Value::String(body) => printable(body),
        Value::Null => printable(log["event_name"].as_str().unwrap_or("")),
        other => printable(&other.to_string()),
    };
    let service = printable(log["service"].as_str().unwrap_or(""));
    let clock = time.get(11..).unwrap_or(&time).trim_end_matches('Z').to_owned();
    vec![
        format!("{:24}", clock.get(..12).unwrap_or(&clock)),
        String::new(),
        format!("{}{letter} {} {body}", "  ".repeat(depth.min(40)), service_color(&service)),
    ]
}

fn row(trace: &Value, span: &Value, depth: usize, start: i64, total: i64) -> Vec<String> {
    const WIDTH: i64 = 24;
    let at = span["startTime"].as_i64().unwrap_or(start) - start;
    let duration = span["duration"].as_i64().unwrap_or(0);
    let left = (at * WIDTH / total).clamp(0, WIDTH - 1) as usize;
    let filled = (duration * WIDTH / total).clamp(1, WIDTH - left as i64) as usize;
    let bar = format!(
        "{}{}{}",
        " ".repeat(left),
        "▇".repeat(filled),
        " ".repeat(WIDTH as usize - left - filled)
    );
    let name = printable(span["operationName"].as_str().unwrap_or(""));
    let mark = if is_error(span) { red(" ✖").to_string() } else { String::new() };
    let note = tag(span, "otel.status_description").unwrap_or_default();
    vec![
        bar,
        millis(duration),
        format!(
            "{}{} {name}{mark} {}",
            "  ".repeat(depth.min(40)),
            service_color(&service(trace, span)),
            dim(printable(&note))
        ),
    ]
}

fn service(trace: &Value, span: &Value) -> String {
    let process = span["processID"].as_str().unwrap_or("");
    printable(trace["processes"][process]["serviceName"].as_str().unwrap_or(""))
}

fn tag(span: &Value, key: &str) -> Option<String> {
    let tag = span["tags"].as_array()?.iter().find(|t| t["key"] == key)?;
    Some(match &tag["value"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

fn is_error(span: &Value) -> bool {
    tag(span, "error").as_deref() == Some("true")
}

fn span_count(count: usize) -> String {
    if count == 1 { "1 span".into() } else { format!("{count} spans") }
}

fn millis(micros: i64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}
