//! `skopos alerts list`.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{clock, items, labels, word};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, columns, dim, print_json, printable, red, span_of, write_stdout, yellow,
};

/// List alerts: firing, pending, and rules that fail or cannot fire.
///
/// A rule is blind when a selector that it needs matches no series: it cannot fire, whatever
/// happens. Such rules are listed as blind and never as fine. Beside what fires stands who has it and how
/// fast that was, or until when somebody must have it, and the fingerprint that `skopos alerts ack`
/// takes.
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

/// Most characters of a selector in a row.
const MAX_SELECTOR: usize = 80;

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
    let (mut answer, mut firing) = block_on(async {
        let answer = client.get("/api/v1/rules", &query).await?;
        anyhow::Ok((answer, client.get("/api/v1/skopos/alerts", &[]).await?))
    })?;
    answer["data"]["firing"] = firing["alerts"].take();
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
    /// Who has it, or until when somebody must.
    response: String,
    fingerprint: String,
    what: String,
}

fn rows(data: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut notified: Vec<&Value> = items(&data["firing"]).collect();
    for rule in items(&data["groups"]).flat_map(|group| items(&group["rules"])) {
        let name = word(&rule["name"]);
        let row = |state, what: String| Row {
            state,
            alert: name.clone(),
            since: String::new(),
            value: String::new(),
            response: String::new(),
            fingerprint: String::new(),
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
            let told = match state {
                State::Firing => take_same(&mut notified, &alert["labels"]),
                _ => &Value::Null,
            };
            rows.push(Row {
                state,
                alert: name.clone(),
                since: clock(&alert["activeAt"]),
                value: plain(&word(&alert["value"])),
                response: response(told),
                fingerprint: word(&told["fingerprint"]),
                what,
            });
        }
        let blind: Vec<String> = items(&rule["blind"]).map(word).collect();
        if rule["health"] == "err" {
            rows.push(row(State::Failing, word(&rule["lastError"])));
        } else if !blind.is_empty() {
            rows.push(row(State::Blind, no_series(&blind)));
        } else if quiet {
            rows.push(row(State::Inactive, labels(&rule["labels"], &[])));
        }
    }
    // What others than our rules sent: a Prometheus that has us as its Alertmanager.
    rows.extend(notified.into_iter().map(|alert| Row {
        state: State::Firing,
        alert: word(&alert["labels"]["alertname"]),
        since: clock(&alert["starts_at"]),
        value: String::new(),
        response: response(alert),
        fingerprint: word(&alert["fingerprint"]),
        what: labels(&alert["labels"], &["alertname"]),
    }));
    rows.sort_by_key(|row| row.state as u8);
    rows
}

/// What a blind rule lacks, on a line that can be read; `skopos alerts why` has all of it.
fn no_series(selectors: &[String]) -> String {
    let first = selectors.first().map_or("", String::as_str);
    let mut text = "no series match ".to_owned();
    match first.char_indices().nth(MAX_SELECTOR) {
        Some((cut, _)) => text.extend([&first[..cut], "…"]),
        None => text.push_str(first),
    }
    if selectors.len() > 1 {
        let _ = write!(text, " and {} more", selectors.len() - 1);
    }
    text
}

/// Takes what is notified of an alert of a rule: it has the rule's labels and the external ones.
fn take_same<'a>(notified: &mut Vec<&'a Value>, labels: &Value) -> &'a Value {
    let own = labels.as_object();
    let is_same = |told: &Value| {
        own.into_iter().flatten().all(|(name, value)| told["labels"][name] == *value)
    };
    let fitting = notified.iter().enumerate().filter(|(_, told)| is_same(told));
    let nearest = fitting.min_by_key(|(_, told)| told["labels"].as_object().map_or(0, |l| l.len()));
    nearest.map(|(at, _)| at).map_or(&Value::Null, |at| notified.remove(at))
}

/// `ada after 3m`, `P1 due 2026-11-22 09:05:00`, `P1 overdue since …`; why nobody was told.
fn response(told: &Value) -> String {
    let acknowledged = &told["acknowledged"];
    if let Some(seconds) = acknowledged["response_seconds"].as_f64() {
        let late = if told["overdue"] == true { ", late" } else { "" };
        return format!("{} after {}{late}", word(&acknowledged["by"]), span_of(seconds));
    }
    for (list, text) in
        [("silenced_by", "silenced"), ("inhibited_by", "inhibited"), ("muted_by", "muted")]
    {
        if items(&told[list]).next().is_some() {
            return text.into();
        }
    }
    let severity = word(&told["severity"]);
    match (&told["respond_by"], told["overdue"] == true) {
        (Value::Null, _) => String::new(),
        (by, true) => format!("{severity} overdue since {}", clock(by)),
        (by, false) => format!("{severity} due {}", clock(by)),
    }
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
        let has_notified = shown.iter().any(|row| !row.fingerprint.is_empty());
        let line = |cells: [String; 6]| -> Vec<String> {
            let is_shown = |at: usize| has_notified || !(3..5).contains(&at);
            cells.into_iter().enumerate().filter(|(at, _)| is_shown(*at)).map(|(_, c)| c).collect()
        };
        let head = ["ALERT", "SINCE", "VALUE", "RESPONSE", "FINGERPRINT", "LABELS OR REASON"];
        let mut table = vec![line(head.map(|h| bold(h).to_string()))];
        table.extend(shown.iter().map(|row| {
            let response = match row.response.contains("overdue") {
                true => bold(&row.response),
                false => dim(&row.response),
            };
            line([
                bold(&row.alert).to_string(),
                dim(&row.since).to_string(),
                dim(&row.value).to_string(),
                response.to_string(),
                dim(&row.fingerprint).to_string(),
                row.what.clone(),
            ])
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
        ]}], "firing": [
            {"labels": {"alertname": "Errors", "job": "a\u{1b}[31m", "dc": "x"}, "fingerprint": "00000000000000aa",
             "severity": "P1", "respond_by": "2026-11-22T09:05:00.000Z", "overdue": true},
            {"labels": {"alertname": "Posted", "node": "n"}, "fingerprint": "00000000000000bb",
             "starts_at": "2026-11-22T08:00:00.000Z", "severity": "P2", "overdue": false,
             "acknowledged": {"by": "ada", "response_seconds": 200.0}},
        ]});
        text(&data, &line.args)
    }

    #[test]
    fn the_worst_come_first_and_blind_rules_are_not_fine() {
        let want = "\
STATE     ALERT   SINCE                VALUE  RESPONSE                              FINGERPRINT       LABELS OR REASON
firing    Errors  2026-11-22 09:00:00  1      P1 overdue since 2026-11-22 09:05:00  00000000000000aa  job=a\\u{1b}[31m  (held after the restart until 2026-11-22 10:05:00)
firing    Posted  2026-11-22 08:00:00         ada after 3 min 20 s                  00000000000000bb  node=n
failing   Broken                                                                                      query timed out
pending   Errors  2026-11-22 10:00:15  0.25                                                           job=b
blind     Lost                                                                                        no series match gone{a=\"b\"}
2 firing · 1 failing · 1 pending · 1 blind · 1 inactive
";
        assert_eq!(listed(&[]), want);
        assert!(listed(&["--all"]).contains("inactive  Quiet"), "{}", listed(&["--all"]));
        assert!(!listed(&["--state", "pending"]).contains("09:00:00"));
        assert!(!listed(&["--state", "pending"]).contains("FINGERPRINT"));
    }

    #[test]
    fn rows_of_blind_rules_stay_short() {
        let selectors = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(no_series(&selectors(&["a", "b", "c"])), "no series match a and 2 more");
        let long = no_series(&selectors(&[&"ä".repeat(500)]));
        assert_eq!(long, format!("no series match {}…", "ä".repeat(MAX_SELECTOR)));
    }

    #[test]
    fn who_responds_or_why_nobody_must_yet() {
        for (told, want) in [
            (
                json!({"severity": "P3", "respond_by": "2026-11-23T24:00:00Z", "overdue": false}),
                "P3 due 2026-11-23 24:00:00",
            ),
            (json!({"severity": null, "respond_by": null, "overdue": false}), ""),
            (
                json!({"severity": "P1", "respond_by": "x", "overdue": true, "silenced_by": ["1"]}),
                "silenced",
            ),
            (json!({"severity": "P1", "inhibited_by": ["1"]}), "inhibited"),
            (
                json!({"acknowledged": {"by": "bob", "response_seconds": 7.9}, "overdue": true}),
                "bob after 7 s, late",
            ),
            (Value::Null, ""),
        ] {
            assert_eq!(response(&told), want);
        }
    }
}
