//! `skopos slo status`: what is left, what burns, what spent it.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::{
    figure, good_percent, items, left_percent, moment, name_of, percent, target_percent, word,
};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, columns, dim, green, print_json, red, span_of, write_stdout, yellow,
};

/// Objectives in trouble whose spenders are asked for, at most.
const MOST_DETAILS: usize = 10;

/// Show what is left of each budget, how fast it burns, and what spent it.
///
/// Each objective has a line of figures; those that are not well have a sentence that says what happened.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo status
  skopos slo status checkout-availability
  skopos slo status --service checkout --format json

BURN is how many times as fast as it can bear the budget was spent over the last hour and the last six;
OUT IN is when the budget is gone if it goes on like the last hour: – when it lasts. DATA the share of the window for
which there is data.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 there is no such objective, or none at all.")]
pub(crate) struct StatusArgs {
    /// Only this objective, with everything that is known of it.
    slo: Option<String>,
    /// Only objectives of this service.
    #[arg(long, value_name = "NAME", conflicts_with = "slo")]
    service: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: StatusArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    if let Some(name) = &args.slo {
        let mut answer = block_on(client.get(&path_of(name), &[]))?;
        let data = answer["data"].take();
        match global.format {
            Format::Text => write_stdout(&detail(&data)),
            format => print_json(&data, format),
        }
        return Ok(Outcome::Done);
    }
    let query: Vec<_> = args.service.iter().map(|s| ("service", s.clone())).collect();
    let (data, details) = block_on(async {
        let mut answer = client.get("/api/v1/slos", &query).await?;
        let data = answer["data"].take();
        let mut details = Vec::new();
        let mut names: Vec<&str> = items(&data["slos"])
            .filter(|status| status["health"] != "ok")
            .filter_map(|status| status["slo"].as_str())
            .collect();
        names.dedup();
        for name in names.into_iter().take(MOST_DETAILS) {
            let mut answer = client.get(&path_of(name), &[]).await?;
            details.push((name.to_owned(), answer["data"].take()));
        }
        anyhow::Ok((data, details))
    })?;
    let spenders = |name: &Value| -> Value {
        let found = details.iter().find(|(other, _)| name == other);
        found.map_or(json!([]), |(_, detail)| detail["spenders"].clone())
    };
    match global.format {
        Format::Text => write_stdout(&list(&data, &spenders)),
        format => {
            let mut data = data.clone();
            for status in data["slos"].as_array_mut().into_iter().flatten() {
                status["spenders"] = spenders(&status["slo"]);
            }
            print_json(&data, format);
        }
    }
    if items(&data["slos"]).next().is_none() {
        match &args.service {
            Some(service) => eprintln!("no objective is about service {service:?}"),
            None => eprintln!("the server has no objectives: start it with --slo FILE"),
        }
        return Ok(Outcome::NothingFound);
    }
    Ok(Outcome::Done)
}

/// The path of an objective; names have no characters that need escaping, and what is no name is not found.
fn path_of(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
        .collect();
    // Dots alone would lead elsewhere.
    let name = if name.chars().all(|c| c == '.') { "_".into() } else { name };
    format!("/api/v1/slos/{name}")
}

fn health(status: &Value) -> String {
    let word = word(&status["health"]).replace('_', " ");
    // Columns count characters, so colours come after the padding.
    let padded = format!("{word:8}");
    match word.as_str() {
        "ok" => green(padded).to_string(),
        "critical" => red(padded).to_string(),
        _ => yellow(padded).to_string(),
    }
}

fn burn(status: &Value, window: &str) -> String {
    let found = items(&status["burn"]).find(|burn| burn["window"] == window);
    found
        .and_then(|burn| burn["rate"].as_f64())
        .map_or("–".into(), |rate| format!("{}×", figure(rate)))
}

fn left(status: &Value) -> String {
    match (status["budget_remaining"].as_f64(), status["budget_minutes_left"].as_f64()) {
        (Some(_), Some(minutes)) => {
            let of = status["budget_minutes"].as_f64().unwrap_or(0.0);
            format!(
                "{} ({} of {} min)",
                left_percent(&status["budget_remaining"]),
                figure(minutes),
                figure(of)
            )
        }
        _ => "–".into(),
    }
}

fn gone_in(status: &Value) -> String {
    let hours = status["hours_to_exhaustion"].as_f64();
    match hours {
        Some(hours) if hours > 0.0 => span_of(hours * 3600.0),
        Some(_) => "gone".into(),
        None => "–".into(),
    }
}

fn list(data: &Value, spenders: &dyn Fn(&Value) -> Value) -> String {
    let head = ["", "SLO", "TARGET", "GOOD", "BUDGET LEFT", "BURN 1h", "6h", "OUT IN", "DATA"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut healths = vec![format!("{:8}", "HEALTH")];
    let mut sentences = String::new();
    for status in items(&data["slos"]) {
        healths.push(health(status));
        rows.push(vec![
            String::new(),
            name_of(status),
            format!("{} of {}", target_percent(&status["target"]), word(&status["window"])),
            good_percent(&status["good_ratio"], &status["target"]),
            left(status),
            burn(status, "1h"),
            burn(status, "6h"),
            gone_in(status),
            left_percent(&status["coverage"]),
        ]);
        if status["health"] != "ok" {
            sentences += &format!("\n{}\n", word(&status["sentence"]));
            let of_group = |spender: &&Value| spender["group"] == status["group"];
            if let Some(spender) = items(&spenders(&status["slo"])).find(of_group) {
                sentences += &format!("{}\n", word(&spender["sentence"]));
            }
            if let Some(error) = status["error"].as_str() {
                sentences += &format!("  its queries fail: {}\n", crate::output::printable(error));
            }
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    let mut out = String::new();
    for (health, line) in healths.iter().zip(columns(&rows).lines()) {
        out += &format!("{health}{line}\n");
    }
    out + &sentences + &progress(&data["state"])
}

/// What is said of the whole, where it is not as it should be.
fn progress(state: &Value) -> String {
    let mut out = String::new();
    let fill = &state["backfill"];
    if fill["state"] == "running" {
        let done = fill["done"].as_f64().unwrap_or(0.0) / fill["chunks"].as_f64().unwrap_or(1.0);
        out += &format!("\nhistory is being filled in: {} is done\n", percent(&json!(done)));
    }
    if let Some(error) = fill["error"].as_str() {
        out +=
            &format!("\npart of history could not be read: {}\n", crate::output::printable(error));
    }
    if let Some(error) = state["error"].as_str() {
        let error = crate::output::printable(error);
        out += &format!("\nchanged files are not in force: {error}\n");
    }
    out
}

fn detail(data: &Value) -> String {
    let slo = &data["slo"];
    let mut out = format!("{}  {}\n", bold(word(&slo["name"])), word(&slo["description"]));
    let mut rows = vec![
        vec!["service".into(), word(&slo["service"])],
        vec!["owner".into(), word(&slo["owner"])],
        vec![
            "target".into(),
            format!("{} of {}", target_percent(&slo["target"]), word(&slo["window"])),
        ],
        vec!["runbook".into(), word(&slo["runbook"])],
        vec!["file".into(), format!("{}:{}", word(&slo["file"]), slo["line"])],
    ];
    for (name, query) in slo["queries"].as_object().into_iter().flatten() {
        if let Some(query) = query.as_str() {
            let query: Vec<&str> = query.split_whitespace().collect();
            rows.push(vec![name.replace('_', " "), crate::output::printable(&query.join(" "))]);
        }
    }
    out += &dim(columns(&rows)).to_string();
    for status in items(&data["budgets"]) {
        out += &format!("\n{} {}\n", health(status), word(&status["sentence"]));
        out += &budget(status);
    }
    for (title, list) in [("forecast", &data["forecasts"]), ("spent by", &data["spenders"])] {
        let mut sentences = items(list).map(|item| word(&item["sentence"])).peekable();
        if sentences.peek().is_some() {
            out += &format!("\n{}\n", bold(title));
            sentences.take(10).for_each(|sentence| out += &format!("  {sentence}\n"));
        }
    }
    out + &format!("\n{} {}\n", bold("gate"), word(&data["gate"]["sentence"]))
}

fn budget(status: &Value) -> String {
    let mut rows = vec![
        vec!["  budget left".into(), left(status)],
        vec![
            "  events".into(),
            format!("{} bad of {}", whole(&status["bad"]), whole(&status["total"])),
        ],
        vec![
            "  window".into(),
            format!(
                "{} to {} UTC, {} of it has data",
                moment(&status["window_start_ms"]),
                moment(&status["window_end_ms"]),
                left_percent(&status["coverage"])
            ),
        ],
    ];
    if status["is_filling"] == true {
        rows.push(vec!["  history".into(), "is being filled in".into()]);
    }
    if let Some(error) = status["error"].as_str() {
        rows.push(vec!["  error".into(), crate::output::printable(error)]);
    }
    let burns: Vec<String> = items(&status["burn"])
        .filter_map(|b| Some(format!("{} {}×", word(&b["window"]), figure(b["rate"].as_f64()?))))
        .collect();
    let burns = if burns.is_empty() { "–".into() } else { burns.join(", ") };
    rows.push(vec!["  burn".into(), burns]);
    for alert in items(&status["alerts"]) {
        let windows: Vec<String> = items(&alert["windows"]).map(word).collect();
        let state = match (alert["is_met"] == true, alert["is_guarded"] == true) {
            (true, _) => "burns",
            (_, true) => "would burn, but there is too little traffic to say",
            _ => "quiet",
        };
        let factor = figure(alert["factor"].as_f64().unwrap_or(0.0));
        let what = format!(
            "{} {factor}× over {}: {state}",
            word(&alert["severity"]),
            windows.join(" and ")
        );
        rows.push(vec![format!("  {}", word(&alert["name"])), what]);
    }
    for correction in items(&status["corrections"]) {
        rows.push(vec![
            "  corrected".into(),
            format!(
                "{} to {} UTC, {} bad of {} events taken out: {} ({})",
                moment(&correction["start_ms"]),
                moment(&correction["end_ms"]),
                whole(&correction["bad"]),
                whole(&correction["total"]),
                word(&correction["reason"]),
                word(&correction["by"])
            ),
        ]);
    }
    if items(&status["corrections"]).next().is_some() {
        let without = left_percent(&status["budget_remaining_uncorrected"]);
        rows.push(vec!["  without that".into(), format!("{without} of the budget would be left")]);
    }
    columns(&rows)
}

fn whole(number: &Value) -> String {
    let number = number.as_f64().unwrap_or(0.0);
    if number.fract() == 0.0 { format!("{number:.0}") } else { figure(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(health: &str) -> Value {
        json!({
            "slo": "shop", "group": {}, "health": health, "target": 0.999, "window": "30d",
            "good_ratio": 0.9971, "coverage": 0.5, "budget_remaining": -1.9, "budget_minutes": 43.2,
            "budget_minutes_left": -82.08, "hours_to_exhaustion": 0.0, "sentence": "It burns.",
            "burn": [{"window": "1h", "rate": 28.93}, {"window": "6h", "rate": null}],
        })
    }

    #[test]
    fn what_is_not_well_has_a_sentence() {
        let data = json!({
            "slos": [status("critical")],
            "state": {"backfill": {"state": "running", "done": 3, "chunks": 30}},
        });
        let spender = json!([{"group": {}, "sentence": "Deploy \"v2\" burned it."}]);
        let text = list(&data, &|_| spender.clone());
        for want in [
            "99.9 % of 30d",
            "-190 % (-82.1 of 43.2 min)",
            "99.71 %",
            "28.9×",
            "gone",
            "It burns.\nDeploy \"v2\"",
            "10 % is done",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
        let data = json!({"slos": [status("ok")], "state": {"backfill": {}}});
        assert!(!list(&data, &|_| json!([])).contains("It burns"));
        assert_eq!(list(&json!({"slos": [], "state": {}}), &|_| json!([])), "");
    }

    #[test]
    fn what_is_no_name_makes_no_other_path() {
        assert_eq!(path_of("a-b_c.d"), "/api/v1/slos/a-b_c.d");
        assert_eq!(path_of("../x?y"), "/api/v1/slos/.._x_y");
        assert_eq!(path_of(".."), "/api/v1/slos/_");
    }
}
