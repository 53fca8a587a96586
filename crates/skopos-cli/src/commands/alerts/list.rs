//! `skopos alerts list`.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{clock, items, labels, word};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, bold, columns, dim, print_json, printable, red, write_stdout, yellow};

/// List alerts: firing, pending, and rules that fail or cannot fire.
///
/// A rule is blind when a selector that it needs matches no series: it cannot fire, whatever
/// happens. Such rules are listed as blind and never as fine.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only alerts in this state.
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// Also list rules without alerts.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What an alert can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Firing,
    Failing,
    Pending,
    Blind,
    Inactive,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::Blind => "blind",
            Self::Failing => "failing",
            Self::Inactive => "inactive",
        }
    }
}

pub(crate) fn run(args: ListArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let query = [("type", "alert".to_owned())];
    let answer = block_on(client.get("/api/v1/rules", &query))?;
    match global.format {
        Format::Text => write_stdout(&text(&answer["data"], &args)),
        format => print_json(&answer, format),
    }
    Ok(Outcome::Done)
}

struct Row {
    state: State,
    alert: String,
    since: String,
    value: String,
    what: String,
}

fn rows(data: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    for rule in items(&data["groups"]).flat_map(|group| items(&group["rules"])) {
        let name = word(&rule["name"]);
        let row = |state, what: String| Row {
            state,
            alert: name.clone(),
            since: String::new(),
            value: String::new(),
            what,
        };
        let mut quiet = true;
        for alert in items(&rule["alerts"]) {
            quiet = false;
            let state = if alert["state"] == "firing" { State::Firing } else { State::Pending };
            let mut what = labels(&alert["labels"], &["alertname"]);
            if !alert["heldUntil"].is_null() {
                let _ =
                    write!(what, "  (held after the restart until {})", clock(&alert["heldUntil"]));
            }
            rows.push(Row {
                state,
                alert: name.clone(),
                since: clock(&alert["activeAt"]),
                value: plain(&word(&alert["value"])),
                what,
            });
        }
        let blind: Vec<String> = items(&rule["blind"]).map(word).collect();
        if rule["health"] == "err" {
            rows.push(row(State::Failing, word(&rule["lastError"])));
        } else if !blind.is_empty() {
            rows.push(row(State::Blind, format!("no series match {}", blind.join(", "))));
        } else if quiet {
            rows.push(row(State::Inactive, labels(&rule["labels"], &[])));
        }
    }
    rows.sort_by_key(|row| row.state as u8);
    rows
}

/// `1.5e+00` as people write it.
fn plain(value: &str) -> String {
    value.parse::<f64>().map_or_else(|_| printable(value), |number| number.to_string())
}

fn text(data: &Value, args: &ListArgs) -> String {
    let all = rows(data);
    let count = |state: State| all.iter().filter(|row| row.state == state).count();
    let wanted = |row: &&Row| match args.state {
        Some(state) => row.state == state,
        None => args.all || row.state != State::Inactive,
    };
    let shown: Vec<&Row> = all.iter().filter(wanted).collect();
    let mut out = String::new();
    if !shown.is_empty() {
        let head = ["ALERT", "SINCE", "VALUE", "LABELS OR REASON"].map(|h| bold(h).to_string());
        let mut table = vec![head.to_vec()];
        table.extend(shown.iter().map(|row| {
            let (alert, since, value) = (bold(&row.alert), dim(&row.since), dim(&row.value));
            vec![alert.to_string(), since.to_string(), value.to_string(), row.what.clone()]
        }));
        // The state stands before the columns, because its colours have codes of several lengths.
        let states = std::iter::once(bold(format!("{:<10}", "STATE")).to_string());
        let states = states.chain(shown.iter().map(|row| {
            let word = format!("{:<10}", row.state.as_str());
            match row.state {
                State::Firing | State::Failing => red(word).to_string(),
                State::Pending | State::Blind => yellow(word).to_string(),
                State::Inactive => dim(word).to_string(),
            }
        }));
        for (state, line) in states.zip(columns(&table).lines()) {
            let _ = writeln!(out, "{state}{line}");
        }
    }
    let figures: Vec<String> =
        [State::Firing, State::Failing, State::Pending, State::Blind, State::Inactive]
            .into_iter()
            .map(|state| format!("{} {}", count(state), state.as_str()))
            .collect();
    let _ = writeln!(out, "{}", figures.join(" · "));
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ListArgs,
    }

    fn listed(flags: &[&str]) -> String {
        let line = Line::parse_from([&["list"], flags].concat());
        let data = json!({"groups": [{"rules": [
            {"name": "Quiet", "health": "ok", "labels": {"severity": "warning"}, "alerts": []},
            {"name": "Lost", "health": "unknown", "blind": ["gone{a=\"b\"}"], "alerts": []},
            {"name": "Broken", "health": "err", "lastError": "query timed out", "alerts": []},
            {"name": "Errors", "health": "ok", "alerts": [
                {"state": "pending", "labels": {"alertname": "Errors", "job": "b"},
                 "activeAt": "2026-11-22T10:00:15.000Z", "value": "2.5e-01"},
                {"state": "firing", "labels": {"alertname": "Errors", "job": "a\u{1b}[31m"},
                 "activeAt": "2026-11-22T09:00:00.000Z", "value": "1e+00",
                 "heldUntil": "2026-11-22T10:05:00.000Z"},
            ]},
        ]}]});
        text(&data, &line.args)
    }

    #[test]
    fn the_worst_come_first_and_blind_rules_are_not_fine() {
        let want = "\
STATE     ALERT   SINCE                VALUE  LABELS OR REASON
firing    Errors  2026-11-22 09:00:00  1      job=a\\u{1b}[31m  (held after the restart until 2026-11-22 10:05:00)
failing   Broken                              query timed out
pending   Errors  2026-11-22 10:00:15  0.25   job=b
blind     Lost                                no series match gone{a=\"b\"}
1 firing · 1 failing · 1 pending · 1 blind · 1 inactive
";
        assert_eq!(listed(&[]), want);
        assert!(listed(&["--all"]).contains("inactive  Quiet"), "{}", listed(&["--all"]));
        assert!(!listed(&["--state", "pending"]).contains("09:00:00"));
    }
}
