//! `skopos alerts history`: when alerts were active, also those that are over.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::{clock, items, labels};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, bold, columns, print_json, printable, span_of, write_stdout};
use crate::timespec::parse_duration;

/// Show when alerts were active: when each began, fired and ended, and how fast somebody took it on.
///
/// From stored history, exact to the evaluation, newest first. An alert's page in the web UI says whether its metric recovered.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos alerts history
  skopos alerts history HighErrorRate --since 7d
  skopos alerts history --format json | jq '.data.incidents[] | select(.ended_at == null)'

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing was active.")]
pub(crate) struct HistoryArgs {
    /// Only this alert.
    alert: Option<String>,
    /// How far back, at most 31d.
    #[arg(long, default_value = "24h", value_name = "DURATION")]
    since: String,
    /// Most incidents, 1 to 1000.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u16,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: HistoryArgs, global: &GlobalArgs) -> Result<Outcome> {
    parse_duration(&args.since).context("read --since")?;
    let mut query = vec![("since", args.since.clone()), ("limit", args.limit.to_string())];
    query.extend(args.alert.clone().map(|name| ("rule", name)));
    let client = Client::new(&args.server)?;
    let answer = block_on(client.get("/api/v1/skopos/alerts/history", &query))?;
    match global.format {
        Format::Text => write_stdout(&text(&answer["data"])),
        format => print_json(&answer, format),
    }
    let any = items(&answer["data"]["incidents"]).next().is_some();
    Ok(if any { Outcome::Done } else { Outcome::NothingFound })
}

fn text(data: &Value) -> String {
    let head = ["ALERT", "BEGAN", "FIRED FOR", "ENDED", "TAKEN ON AFTER", "LABELS"];
    let mut rows = vec![head.map(|name| bold(name).to_string()).to_vec()];
    rows.extend(items(&data["incidents"]).map(row));
    let mut out = if rows.len() > 1 { columns(&rows) } else { "nothing was active\n".to_owned() };
    if let Some(more @ 1..) = data["more"].as_u64() {
        out.push_str(&format!("{more} older ones are left out: --limit, or a shorter --since\n"));
    }
    out
}

fn row(incident: &Value) -> Vec<String> {
    let at = |name: &str| incident[name].as_str().and_then(|text| text.parse().ok());
    let fired: Option<jiff::Timestamp> = at("fired_at");
    let ended: Option<jiff::Timestamp> = at("ended_at");
    let fired_for = match (fired, ended) {
        (None, _) => "only pending".to_owned(),
        (Some(_), None) => "still".to_owned(),
        (Some(fired), Some(ended)) => span_of(ended.duration_since(fired).as_secs_f64()),
    };
    let response = incident["response_seconds"].as_f64();
    vec![
        printable(incident["labels"]["alertname"].as_str().unwrap_or("")),
        clock(&incident["active_at"]),
        fired_for,
        if ended.is_some() { clock(&incident["ended_at"]) } else { "-".to_owned() },
        response.map_or_else(|| "-".to_owned(), span_of),
        labels(&incident["labels"], &["alertname"]),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_incident_is_a_row_and_what_is_left_out_is_said() {
        let incident = |name: &str, fired: Value, ended: Value, response: Value| {
            json!({
                "labels": {"alertname": name, "job": "shop"}, "fingerprint": "x",
                "active_at": "2026-11-22T14:00:00.250Z", "fired_at": fired, "ended_at": ended,
                "acknowledged_at": null, "response_seconds": response,
            })
        };
        let (fired, ended) = ("2026-11-22T14:05:00.250Z", "2026-11-22T14:20:00.250Z");
        let data = json!({"more": 2, "incidents": [
            incident("Slow\u{1b}[31m", json!(fired), json!(null), json!(null)),
            incident("Errors", json!(fired), json!(ended), json!(240.0)),
            incident("Blip", json!(null), json!(ended), json!(null)),
        ]});
        let want = "\
ALERT           BEGAN                FIRED FOR     ENDED                TAKEN ON AFTER  LABELS
Slow\\u{1b}[31m  2026-11-22 14:00:00  still         -                    -               job=shop
Errors          2026-11-22 14:00:00  15 min        2026-11-22 14:20:00  4 min           job=shop
Blip            2026-11-22 14:00:00  only pending  2026-11-22 14:20:00  -               job=shop
2 older ones are left out: --limit, or a shorter --since
";
        assert_eq!(text(&data), want);
        assert_eq!(text(&json!({"incidents": [], "more": 0})), "nothing was active\n");
    }
}
