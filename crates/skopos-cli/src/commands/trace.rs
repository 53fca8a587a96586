//! `skopos trace`: one trace as a tree, or a list of traces.

use std::collections::HashMap;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, columns, dim, print_json, printable, red, service_color, write_stdout,
};
use crate::timespec::WindowArgs;

/// Show one trace as a tree, or find traces.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos trace 4bf92f3577b34da6a3ce929d0e0e4736
  skopos trace --service payment-service --min-duration 500ms
  skopos trace --service order-service --errors --format json")]
pub(crate) struct TraceArgs {
    /// The trace's id: 32 hexadecimal digits. Without it, --service finds traces.
    id: Option<String>,
    /// Find traces that this service took part in.
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    service: Option<String>,
    /// … with a span of this name.
    #[arg(long, value_name = "NAME", requires = "service")]
    operation: Option<String>,
    /// … that took at least this long.
    #[arg(long, value_name = "DURATION", requires = "service")]
    min_duration: Option<String>,
    /// … with a failed span.
    #[arg(long, requires = "service")]
    errors: bool,
    /// At most so many traces.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u32,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: TraceArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    match (&args.id, &args.service) {
        (Some(id), _) => show(&client, id, global.format),
        (None, Some(_)) => find(&client, &args, global.format),
        (None, None) => bail!("give a trace id, or --service NAME to find traces"),
    }
}

fn show(client: &Client, id: &str, format: Format) -> Result<Outcome> {
    if id.parse::<skopos_model::TraceId>().is_err() {
        bail!("{id:?} is no trace id: 32 hexadecimal digits are needed");
    }
    let answer = match block_on(client.get(&format!("/api/traces/{id}"), &[])) {
        Err(error) if error.to_string().contains("answered 404") => {
            eprintln!("no trace {id}");
            return Ok(Outcome::NothingFound);
        }
        answer => answer?,
    };
    match format {
        Format::Text => write_stdout(&tree(&answer["data"][0])),
        format => print_json(&answer["data"][0], format),
    }
    Ok(Outcome::Done)
}

fn find(client: &Client, args: &TraceArgs, format: Format) -> Result<Outcome> {
    let (start, end) = args.window.resolve()?;
    let mut query = vec![
        ("service", args.service.clone().unwrap_or_default()),
        ("start", (start.as_nanos() / 1000).to_string()),
        ("end", (end.as_nanos() / 1000).to_string()),
        ("limit", args.limit.to_string()),
    ];
    query.extend(args.operation.clone().map(|o| ("operation", o)));
    query.extend(args.min_duration.clone().map(|d| ("minDuration", d)));
    if args.errors {
        query.push(("tags", r#"{"error":"true"}"#.into()));
    }
    let answer = block_on(client.get("/api/traces", &query))?;
    let traces = answer["data"].as_array().map_or(&[][..], Vec::as_slice);
    match format {
        Format::Json | Format::Csv => print_json(&answer, Format::Json),
        Format::Ndjson => traces.iter().for_each(|t| print_json(t, Format::Ndjson)),
        Format::Text if traces.is_empty() => eprintln!("no trace matches"),
        Format::Text => write_stdout(&columns(&traces.iter().map(summary).collect::<Vec<_>>())),
    }
    Ok(if traces.is_empty() { Outcome::NothingFound } else { Outcome::Done })
}

/// Id, duration, spans, first operation.
fn summary(trace: &Value) -> Vec<String> {
    let spans = trace["spans"].as_array().map_or(&[][..], Vec::as_slice);
    let start = spans.iter().filter_map(|s| s["startTime"].as_i64()).min().unwrap_or(0);
    let end = spans.iter().filter_map(|s| Some(s["startTime"].as_i64()? + s["duration"].as_i64()?));
    let root = spans.iter().min_by_key(|s| s["startTime"].as_i64());
    let failed = spans.iter().any(is_error);
    vec![
        trace["traceID"].as_str().unwrap_or("").to_owned(),
        millis(end.max().unwrap_or(start) - start),
        span_count(spans.len()),
        root.map_or(String::new(), |s| {
            let name = printable(s["operationName"].as_str().unwrap_or(""));
            let mark = if failed { red(" ✖").to_string() } else { String::new() };
            format!("{} {name}{mark}", service_color(&service(trace, s)))
        }),
    ]
}

/// Draws the spans as a tree with a bar that shows when each ran.
fn tree(trace: &Value) -> String {
    let spans = trace["spans"].as_array().map_or(&[][..], Vec::as_slice);
    let mut children: HashMap<&str, Vec<&Value>> = HashMap::new();
    let ids: std::collections::HashSet<_> =
        spans.iter().filter_map(|s| s["spanID"].as_str()).collect();
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
        if let Some(list) = children.remove(id).filter(|_| !id.is_empty()) {
            stack.extend(list.into_iter().rev().map(|s| (s, depth + 1)));
        }
    }
    let id = trace["traceID"].as_str().unwrap_or("");
    let head = format!("trace {}  {}  {}\n", bold(id), millis(total), span_count(spans.len()));
    head + &columns(&rows)
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
