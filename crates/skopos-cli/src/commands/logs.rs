//! `skopos logs`: stored log records.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, dim, print_json, printable, red, service_color, write_stdout, yellow,
};
use crate::timespec::WindowArgs;

/// Which records are wanted; the same for `logs` and `tail`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogFilter {
    /// Only this service.
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// At least this severe: trace, debug, info, warn, error, fatal.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) severity: Option<String>,
    /// Only records whose text contains this, in any case.
    #[arg(long, value_name = "TEXT")]
    pub(crate) contains: Option<String>,
    /// Only records of this trace.
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,
    /// Only records with this attribute; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) attr: Vec<String>,
}

impl LogFilter {
    /// As parameters of the logs API.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        let optional = [
            ("service", &self.service),
            ("severity", &self.severity),
            ("contains", &self.contains),
            ("trace_id", &self.trace),
        ];
        for (name, value) in optional {
            parameters.extend(value.clone().map(|v| (name, v)));
        }
        parameters.extend(self.attr.iter().map(|a| ("attr", a.clone())));
        parameters
    }
}

/// Show log records, newest last.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos logs --severity error --since 1h
  skopos logs --service payment-service --contains declined
  skopos logs --trace 4bf92f3577b34da6a3ce929d0e0e4736 --format ndjson")]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    filter: LogFilter,
    #[command(flatten)]
    window: WindowArgs,
    /// At most so many records, the newest.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: LogsArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let (start, end) = args.window.resolve()?;
    let mut query = args.filter.parameters();
    query.push(("start", start.to_string()));
    query.push(("end", end.to_string()));
    query.push(("limit", args.limit.to_string()));
    query.push(("direction", "backward".into()));
    let mut answer = block_on(client.get("/api/v1/logs", &query))?;
    let Some(logs) = answer["data"]["logs"].as_array_mut() else {
        anyhow::bail!("the server's answer has no logs");
    };
    logs.reverse();
    let outcome = if logs.is_empty() { Outcome::NothingFound } else { Outcome::Done };
    match global.format {
        Format::Json | Format::Csv => print_json(&answer, Format::Json),
        Format::Ndjson => logs.iter().for_each(|log| print_json(log, Format::Ndjson)),
        Format::Text if logs.is_empty() => eprintln!("no log record matches"),
        Format::Text => write_stdout(&logs.iter().map(line).collect::<String>()),
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
