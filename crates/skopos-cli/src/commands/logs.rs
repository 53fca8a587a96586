//! `skopos logs`: stored log records.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::filter::{FilterArgs, quoted};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, dim, print_json, printable, red, service_color, write_stdout, yellow,
};
use crate::timespec::WindowArgs;

/// Records of one request to the server.
const PAGE: u32 = 5_000;

/// Show log records, newest last.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos logs --level error --since 1h
  skopos logs 'service=payment level>=warn -\"card declined\"'
  skopos logs --since 1h -- -level=info -service=gateway       neither of both
  skopos logs 'http.response.status_code>=500 http.route=/pay/*' --since 1d --limit 20000
  skopos logs --trace 4bf92f3577b34da6a3ce929d0e0e4736 --format ndjson")]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    window: WindowArgs,
    /// At most so many records, the newest.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: LogsArgs, global: &GlobalArgs) -> Result<Outcome> {
    let mut conditions = args.filter.conditions();
    if let Some(level) = &args.filter.level {
        conditions.add(format!("level>={}", quoted(level)));
    }
    let filter = conditions.filter();
    let client = Client::new(&args.server)?;
    let (start, end) = args.window.resolve()?;
    let mut logs = block_on(async {
        let mut logs: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let wanted = args.limit.saturating_sub(logs.len() as u32).clamp(1, PAGE);
            let query = [
                ("filter", filter.clone()),
                ("start", start.to_string()),
                ("end", end.to_string()),
                ("limit", wanted.to_string()),
                ("cursor", cursor),
            ];
            let mut answer = client.get("/api/v1/logs", &query).await?;
            let Value::Array(page) = answer["data"]["logs"].take() else {
                anyhow::bail!("the server's answer has no logs");
            };
            logs.extend(page);
            match answer["data"]["next_cursor"].as_str() {
                Some(next) if logs.len() < args.limit as usize => cursor = next.to_owned(),
                _ => return Ok(logs),
            }
        }
    })?;
    logs.reverse();
    let outcome = if logs.is_empty() { Outcome::NothingFound } else { Outcome::Done };
    match global.format {
        Format::Ndjson => logs.iter().for_each(|log| print_json(log, Format::Ndjson)),
        Format::Text if logs.is_empty() => eprintln!("no log record matches"),
        Format::Text => write_stdout(&logs.iter().map(line).collect::<String>()),
        _ => {
            print_json(&json!({"status": "success", "data": {"logs": logs}}), Format::Json);
        }
    }
    Ok(outcome)
}

/// One record on one line: time, service, level, text, attributes, trace.
pub(crate) fn line(log: &Value) -> String {
    let text = |key: &str| printable(log[key].as_str().unwrap_or(""));
    let time = text("time");
    let clock = time.split_once('T').map_or(time.as_str(), |(_, clock)| clock);
    let clock = clock.get(..12).unwrap_or(clock).trim_end_matches('Z');
    let severity = log["severity"].as_str().unwrap_or("");
    let level = format!("{severity:<5}");
    let level = match severity {
        "ERROR" | "FATAL" => red(level).to_string(),
        "WARN" => yellow(level).to_string(),
        "INFO" => level,
        _ => dim(level).to_string(),
    };
    let service = text("service");
    let body = match &log["body"] {
        Value::String(body) => printable(body),
        Value::Null => text("event_name"),
        other => printable(&other.to_string()),
    };
    let mut line = format!("{} {} {level} {}", dim(clock), service_color(&service), bold(body));
    for (key, value) in log["attributes"].as_object().into_iter().flatten() {
        let value = match value {
            Value::String(value) => printable(value),
            other => printable(&other.to_string()),
        };
        line.push_str(&format!(" {}{value}", dim(format!("{}=", printable(key)))));
    }
    if let Some(trace) = log["trace_id"].as_str().filter(|t| !t.is_empty()) {
        line.push_str(&format!(" {}", dim(format!("trace={}", printable(trace)))));
    }
    line.push('\n');
    line
}
