//! `skopos alerts why`.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::{clock, items, labels, word};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, columns, dim, green, print_json, printable, red, span_of, write_stdout, yellow,
};

/// Say why an alert fires or does not.
///
/// Shows what each condition of the expression returns on its own, how many series each selector
/// matches, and what became of the alert in the last evaluations: pending and what is left of
/// `for`, reset and by what, held after a restart, kept because of an error, cleared by a limit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos alerts why HighErrorRate
  skopos alerts why HighErrorRate --time now-3h      what its conditions were three hours ago
  skopos alerts why HighErrorRate --format json | jq '.data.rules[].evaluations[0]'

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such alert.")]
pub(crate) struct WhyArgs {
    /// The alert's name.
    alert: String,
    /// Only the rule of this group.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// When to look at the conditions: RFC 3339, Unix seconds, now-15m; the last evaluation by
    /// default.
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Evaluations shown at most.
    #[arg(long, default_value_t = 10, value_name = "N")]
    evaluations: usize,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: WhyArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let mut query = vec![("alert", args.alert.clone())];
    query.extend(args.group.clone().map(|group| ("rule_group", group)));
    query.extend(args.time.clone().map(|time| ("time", time)));
    let Some(answer) = block_on(client.get_if_found("/api/v1/rules/why", &query))? else {
        return Ok(Outcome::NothingFound);
    };
    match global.format {
        Format::Text => write_stdout(&text(&answer["data"], args.evaluations)),
        format => print_json(&answer, format),
    }
    Ok(Outcome::Done)
}

fn text(data: &Value, evaluations: usize) -> String {
    let mut out = String::new();
    for rule in items(&data["rules"]) {
        if !out.is_empty() {
            out.push('\n');
        }
        one(&mut out, rule, evaluations);
    }
    out
}

fn one(out: &mut String, rule: &Value, evaluations: usize) {
    let state = match rule["state"].as_str() {
        Some("firing") => red("firing").to_string(),
        Some("pending") => yellow("pending").to_string(),
        _ if items(&rule["blind"]).next().is_some() => yellow("blind").to_string(),
        _ if rule["health"] == "err" => red("failing").to_string(),
        _ => green("inactive").to_string(),
    };
    let _ = writeln!(out, "{} {state}", bold(word(&rule["name"])));
    let place = format!("{}:{}, group {}", word(&rule["file"]), rule["line"], word(&rule["group"]));
    let _ = writeln!(out, "{}", dim(place));
    let _ = writeln!(out, "{}\n", word(&rule["answer"]));
    let mut facts = vec![vec!["expression".to_owned(), word(&rule["query"])]];
    let seconds = |key: &str| rule[key].as_f64().unwrap_or(0.0);
    for (key, name) in [("duration", "for"), ("keepFiringFor", "keep_firing_for")] {
        if seconds(key) > 0.0 {
            facts.push(vec![name.to_owned(), span_of(seconds(key))]);
        }
    }
    if let Some(missed) = rule["iterationsMissed"].as_u64().filter(|missed| *missed > 0) {
        facts.push(vec!["missed".to_owned(), yellow(format!("{missed} evaluations")).to_string()]);
    }
    out.push_str(&columns(&facts));

    let _ = writeln!(
        out,
        "\n{} {}",
        bold("Conditions"),
        dim(format!("at {}", clock(&rule["conditionsAt"])))
    );
    for condition in items(&rule["conditions"]) {
        let mut wanted = condition["condition"].as_str().map(printable).unwrap_or_default();
        if condition["mustBeEmpty"] == true {
            wanted = format!(
                "must return nothing{}",
                if wanted.is_empty() { String::new() } else { format!(" that is {wanted}") }
            );
        } else if !wanted.is_empty() {
            wanted = format!("must be {wanted}");
        }
        let _ = writeln!(out, "  {}  {}", word(&condition["expr"]), dim(wanted));
        if let Some(error) = condition["error"].as_str() {
            let _ = writeln!(out, "    {}", red(printable(error)));
            continue;
        }
        let count = condition["elements"].as_u64().unwrap_or(0);
        if count == 0 {
            let _ = writeln!(out, "    {}", yellow("returns nothing"));
        }
        let rows: Vec<Vec<String>> = items(&condition["values"])
            .map(|value| {
                vec![format!("    {}", word(&value["value"])), labels(&value["labels"], &[])]
            })
            .collect();
        out.push_str(&columns(&rows));
        let more = count.saturating_sub(rows.len() as u64);
        if more > 0 {
            let _ = writeln!(out, "    {}", dim(format!("and {more} more")));
        }
    }

    let _ = writeln!(out, "\n{}", bold("Selectors"));
    let rows: Vec<Vec<String>> = items(&rule["selectors"])
        .map(|selector| {
            let series = match (selector["series"].as_u64(), selector["blind"] == true) {
                (Some(_), true) => yellow("matches nothing").to_string(),
                (Some(1), _) => "1 series".to_owned(),
                (Some(count), _) => format!("{count} series"),
                (None, _) => "not known".to_owned(),
            };
            vec![format!("  {}", word(&selector["selector"])), series]
        })
        .collect();
    out.push_str(&columns(&rows));

    let _ = writeln!(out, "\n{}", bold("Evaluations, the latest first"));
    let all: Vec<&Value> = items(&rule["evaluations"]).collect();
    for evaluation in all.iter().take(evaluations) {
        evaluated(out, evaluation);
    }
    if all.len() > evaluations {
        let more = all.len() - evaluations;
        let _ = writeln!(out, "  {}", dim(format!("{more} more: --evaluations {}", all.len())));
    }
    if all.is_empty() {
        let _ = writeln!(out, "  {}", dim("none since the server started"));
    }
}

fn evaluated(out: &mut String, evaluation: &Value) {
    let count = evaluation["count"].as_u64().unwrap_or(1);
    let when = match count {
        0 | 1 => clock(&evaluation["slot"]),
        n => format!(
            "{} to {} ({n} times)",
            clock(&evaluation["firstSlot"]),
            clock(&evaluation["slot"])
        ),
    };
    let mut facts = Vec::new();
    match evaluation["elements"].as_u64() {
        Some(0) => facts.push("no result".to_owned()),
        Some(1) => facts.push("1 result".to_owned()),
        Some(n) => facts.push(format!("{n} results")),
        None => facts.push(red("failed").to_string()),
    }
    if let (Some(series), Some(samples)) =
        (evaluation["series"].as_u64(), evaluation["samples"].as_u64())
    {
        facts.push(format!("{series} series, {samples} samples read"));
    }
    let _ = writeln!(out, "  {when}  {}", facts.join(" · "));
    if let Some(error) = evaluation["error"].as_str() {
        let _ = writeln!(out, "    {}", red(printable(error)));
    }
    for alert in items(&evaluation["alerts"]) {
        let state = alert["state"].as_str().unwrap_or("gone");
        let labels = labels(&alert["labels"], &["alertname"]);
        let text = word(&alert["text"]);
        let _ = writeln!(out, "    {state} {} = {}: {text}", dim(labels), word(&alert["value"]));
    }
    if let Some(more) = evaluation["moreAlerts"].as_u64().filter(|more| *more > 0) {
        let _ = writeln!(out, "    {}", dim(format!("and {more} more alerts")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_screen_answers_why() {
        let data = json!({"alert": "Errors", "rules": [{
            "name": "Errors", "group": "api", "file": "rules.yml", "line": 4,
            "query": "rate(errors[5m]) > 0.05", "health": "ok", "state": "pending",
            "duration": 300.0, "keepFiringFor": 0.0, "iterationsMissed": 2, "blind": [],
            "answer": "it is pending, 1 alert: `for` is not over, 4m30s remain",
            "conditionsAt": "2026-11-22T10:00:15.000Z",
            "conditions": [
                {"expr": "rate(errors[5m])", "condition": "> 0.05", "mustBeEmpty": false,
                 "elements": 7, "values": [{"labels": {"job": "shop"}, "value": "0.25"}]},
                {"expr": "maintenance", "condition": "== 1", "mustBeEmpty": true, "elements": 0,
                 "values": []},
                {"expr": "broken", "condition": null, "mustBeEmpty": false, "error": "timed out"},
            ],
            "selectors": [
                {"selector": "errors", "series": 3, "blind": false},
                {"selector": "gone", "series": 0, "blind": true},
            ],
            "evaluations": [
                {"slot": "2026-11-22T10:00:15.000Z", "firstSlot": "2026-11-22T10:00:15.000Z",
                 "count": 1, "elements": 1, "series": 3, "samples": 60, "moreAlerts": 4,
                 "alerts": [{"labels": {"alertname": "Errors", "job": "shop"}, "state": "pending",
                             "value": "0.25", "text": "`for` is not over, 4m30s remain"}]},
                {"slot": "2026-11-22T10:00:00.000Z", "firstSlot": "2026-11-22T09:00:00.000Z",
                 "count": 240, "elements": null, "error": "disk", "alerts": [], "moreAlerts": 0},
                {"slot": "2026-11-22T08:00:00.000Z", "firstSlot": "2026-11-22T08:00:00.000Z",
                 "count": 1, "elements": 0, "alerts": [], "moreAlerts": 0},
            ],
        }]});
        let want = "\
Errors pending
rules.yml:4, group api
it is pending, 1 alert: `for` is not over, 4m30s remain

expression  rate(errors[5m]) > 0.05
for         5 min
missed      2 evaluations

Conditions at 2026-11-22 10:00:15
  rate(errors[5m])  must be > 0.05
    0.25  job=shop
    and 6 more
  maintenance  must return nothing that is == 1
    returns nothing
  broken  \n    timed out

Selectors
  errors  3 series
  gone    matches nothing

Evaluations, the latest first
  2026-11-22 10:00:15  1 result · 3 series, 60 samples read
    pending job=shop = 0.25: `for` is not over, 4m30s remain
    and 4 more alerts
  2026-11-22 09:00:00 to 2026-11-22 10:00:00 (240 times)  failed
    disk
  1 more: --evaluations 3
";
        assert_eq!(text(&data, 2), want);
    }
}
