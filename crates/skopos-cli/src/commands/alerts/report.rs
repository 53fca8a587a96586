//! `skopos alerts report`: the monthly review of noise.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::{clock, items, word};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, columns, compact, dim, green, print_json, span_of, write_stdout, yellow,
};
use crate::timespec::parse_duration;

/// Review how noisy alerts were and whether anybody acted on them, from stored history.
///
/// A firing counts as acted on when somebody acknowledged it in Skopos (`skopos alerts ack`, the UI, the API).
/// What nobody acts on is noise: delete it, or change it until it is worth a person's time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos alerts report
  skopos alerts report --since 7d --all
  skopos alerts report --format json | jq '.data.alerts[] | select(.verdict == \"ignored\") | .name'

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing fired.")]
pub(crate) struct ReportArgs {
    /// How far back.
    #[arg(long, default_value = "30d", value_name = "DURATION")]
    since: String,
    /// Also list rules that did not fire.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: ReportArgs, global: &GlobalArgs) -> Result<Outcome> {
    parse_duration(&args.since).context("read --since")?;
    let query = [("since", args.since.clone())];
    let client = Client::new(&args.server)?;
    let answer = block_on(client.get("/api/v1/skopos/alerts/report", &query))?;
    match global.format {
        Format::Text => write_stdout(&text(&answer["data"], args.all)),
        format => print_json(&answer, format),
    }
    let fired = items(&answer["data"]["alerts"]).any(|alert| alert["firings"] != 0);
    Ok(if fired { Outcome::Done } else { Outcome::NothingFound })
}

fn text(data: &Value, all: bool) -> String {
    let (fired, silent): (Vec<&Value>, Vec<&Value>) =
        items(&data["alerts"]).partition(|alert| alert["firings"] != 0);
    let mut out =
        format!("{}\n", dim(format!("from {} to {}", clock(&data["from"]), clock(&data["to"]))));
    let shown: Vec<&Value> = fired.iter().chain(silent.iter().filter(|_| all)).copied().collect();
    if !shown.is_empty() {
        let head = [
            "ALERT",
            "SEVERITY",
            "FIRED",
            "PER WEEK",
            "FIRING FOR",
            "MEDIAN",
            "FLAPS",
            "ACTED ON",
            "AFTER",
            "VERDICT",
        ];
        let mut rows = vec![head.map(|name| bold(name).to_string()).to_vec()];
        rows.extend(shown.iter().map(|alert| row(alert)));
        out.push_str(&columns(&rows));
    }
    for alert in &fired {
        let advice = word(&alert["advice"]);
        if !advice.is_empty() {
            out.push_str(&format!("{}\n", dim(format!("{}: {advice}", word(&alert["name"])))));
        }
    }
    let firings: u64 = fired.iter().filter_map(|alert| alert["firings"].as_u64()).sum();
    let acted: u64 = fired.iter().filter_map(|alert| alert["acknowledged"].as_u64()).sum();
    let share = match firings {
        0 => String::new(),
        _ => format!(", {acted} of them acted on ({})", percent(acted as f64 / firings as f64)),
    };
    out.push_str(&format!(
        "{} of {}{share} · {} did not fire\n",
        counted(firings, "firing"),
        counted(fired.len() as u64, "alert"),
        counted(silent.len() as u64, "rule")
    ));
    out
}

fn row(alert: &Value) -> Vec<String> {
    let number = |name: &str| alert[name].as_f64().unwrap_or(0.0);
    let time = |name: &str| match alert[name].as_f64() {
        Some(seconds) if seconds > 0.0 => span_of(seconds),
        _ => "-".to_owned(),
    };
    let acted = match alert["actionable_share"].as_f64() {
        Some(share) => format!("{} ({})", number("acknowledged"), percent(share)),
        None => "-".to_owned(),
    };
    let verdict = match word(&alert["verdict"]).as_str() {
        "useful" => green("useful").to_string(),
        quiet @ ("silent" | "few") => dim(quiet).to_string(),
        trouble => yellow(trouble).to_string(),
    };
    vec![
        word(&alert["name"]),
        word(&alert["severity"]),
        number("firings").to_string(),
        compact(number("firings_per_week")),
        time("firing_seconds"),
        time("median_seconds"),
        number("flaps").to_string(),
        acted,
        time("median_response_seconds"),
        verdict,
    ]
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fired_stands_in_a_table_and_the_rest_is_counted() {
        let data = json!({"from": "2026-10-24T00:00:00.000Z", "to": "2026-11-23T00:00:00.000Z", "alerts": [
            {"name": "DiskFull\u{1b}[31m", "severity": "warning", "firings": 12, "firings_per_week": 2.8,
             "firing_seconds": 7_260.0, "median_seconds": 600.0, "flaps": 1, "acknowledged": 0,
             "actionable_share": 0.0, "median_response_seconds": null, "verdict": "ignored",
             "advice": "nobody acted on any of them: delete it"},
            {"name": "Errors", "severity": "P1", "firings": 2, "firings_per_week": 0.5,
             "firing_seconds": 1_200.0, "median_seconds": 600.0, "flaps": 0, "acknowledged": 2,
             "actionable_share": 1.0, "median_response_seconds": 240.0, "verdict": "useful", "advice": ""},
            {"name": "Never", "severity": "", "firings": 0, "firings_per_week": 0.0, "firing_seconds": 0.0,
             "median_seconds": 0.0, "flaps": 0, "acknowledged": 0, "actionable_share": null,
             "median_response_seconds": null, "verdict": "silent", "advice": ""},
        ]});
        let want = "\
from 2026-10-24 00:00:00 to 2026-11-23 00:00:00
ALERT               SEVERITY  FIRED  PER WEEK  FIRING FOR  MEDIAN  FLAPS  ACTED ON   AFTER  VERDICT
DiskFull\\u{1b}[31m  warning   12     2.8       2 h 1 min   10 min  1      0 (0 %)    -      ignored
Errors              P1        2      0.5       20 min      10 min  0      2 (100 %)  4 min  useful
DiskFull\\u{1b}[31m: nobody acted on any of them: delete it
14 firings of 2 alerts, 2 of them acted on (14 %) · 1 rule did not fire
";
        assert_eq!(text(&data, false), want);
        assert!(text(&data, true).contains("Never"), "{}", text(&data, true));
    }
}
