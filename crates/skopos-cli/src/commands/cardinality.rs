//! `skopos cardinality`: which metrics and labels have how many series, and who went beyond limits.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, columns, csv_row, dim, green, print_json, printable, red, write_stdout, yellow,
};

/// Widest bar, in characters.
const BAR: usize = 16;

/// Show how many series there are, of what, and who went beyond limits.
///
/// Without arguments: the largest metrics and labels. With a metric: its labels. With a metric and a
/// label: the label's values. `active` counts series with a sample in the last hour, `day ago` those
/// with a sample in the hour that ended 24 hours ago.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos cardinality
  skopos cardinality http_requests_total
  skopos cardinality http_requests_total user_id --limit 50
  skopos cardinality --format csv > metrics.csv
  skopos cardinality --format json | jq .data.refusals")]
pub(crate) struct CardinalityArgs {
    /// Only this metric, with its labels.
    metric: Option<String>,
    /// The values of this label of the metric.
    label: Option<String>,
    /// At most so many rows of each kind.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: CardinalityArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.metric.clone().map(|metric| ("metric", metric)));
    query.extend(args.label.clone().map(|label| ("label", label)));
    let answer = block_on(client.get("/api/v1/cardinality", &query))?;
    let data = &answer["data"];
    // What was refused as a whole has no series but is worth showing.
    let empty = data["total"]["series"] == 0 && items(&data["refusals"]).next().is_none();
    match global.format {
        Format::Csv => write_stdout(&csv(data, &args)),
        Format::Text if empty => match &args.metric {
            Some(metric) => eprintln!("no series of {}", printable(metric)),
            None => eprintln!("no series"),
        },
        Format::Text => write_stdout(&text(data, &args)),
        _ => {
            print_json(&answer, global.format);
        }
    }
    Ok(if empty { Outcome::NothingFound } else { Outcome::Done })
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    printable(value.as_str().unwrap_or(""))
}

/// A number with its thousands apart.
fn number(value: &Value) -> String {
    let Some(n) = value.as_u64() else { return "–".into() };
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What has become more or less since yesterday.
fn growth(row: &Value) -> String {
    let (Some(now), Some(before)) = (row["active"].as_u64(), row["day_ago"].as_u64()) else {
        return String::new();
    };
    let change = now as i128 - before as i128;
    match (change, before) {
        (0, _) => "=".into(),
        (_, 0) => red("new").to_string(),
        _ => {
            let percent = format!("{:+.0} %", change as f64 / before as f64 * 100.0);
            match change > 0 {
                true => yellow(percent).to_string(),
                false => green(percent).to_string(),
            }
        }
    }
}

fn bar(n: &Value, most: u64) -> String {
    let share = n.as_u64().unwrap_or(0) as f64 / most.max(1) as f64;
    let width = (share * BAR as f64).ceil() as usize;
    "█".repeat(width.clamp(usize::from(n != 0), BAR))
}

fn text(data: &Value, args: &CardinalityArgs) -> String {
    let mut out = String::new();
    let total = &data["total"];
    let limit = match args.metric {
        Some(_) if args.label.is_none() => &data["limits"]["metric_series"],
        Some(_) => &Value::Null,
        None => &data["limits"]["head_series"],
    };
    let series = total["series"].as_u64().unwrap_or(0);
    let of_limit = match limit.as_u64() {
        Some(most) => {
            let share = format!("{:.1} %", series as f64 / most.max(1) as f64 * 100.0);
            let share = match series * 10 >= most * 8 {
                true => red(share).to_string(),
                false => share,
            };
            format!(" of {} allowed ({share})", number(limit))
        }
        None => String::new(),
    };
    out.push_str(&format!("{} series in memory{of_limit}\n", bold(number(&total["series"]))));
    out.push_str(&format!("{} active in the last hour", number(&total["active"])));
    if total["day_ago"].is_null() {
        out.push_str(&format!("; {}\n", dim("nothing is stored from a day ago")));
    } else {
        let growth = growth(total);
        out.push_str(&format!("; {} a day ago ({growth})\n", number(&total["day_ago"])));
    }
    let head = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let most = |rows: &Value, field: &str| {
        items(rows).filter_map(|row| row[field].as_u64()).max().unwrap_or(0)
    };
    let mut table = |title: &str, rows: Vec<Vec<String>>, total: &Value| {
        if rows.len() < 2 {
            return;
        }
        let shown = rows.len() - 1;
        let more = match total.as_u64() {
            Some(all) if all > shown as u64 => format!(" ({shown} of {})", number(total)),
            _ => String::new(),
        };
        out.push_str(&format!("\n{}{more}\n{}", bold(title), columns(&rows)));
    };
    if args.metric.is_none() {
        let mut rows = vec![head(&["series", "", "day ago", "", "metric", "most values"])];
        let largest = most(&data["metrics"], "series");
        for row in items(&data["metrics"]) {
            let label = match row["label"].as_str() {
                Some("") | None => String::new(),
                Some(label) => {
                    format!("{} ({})", printable(label), number(&row["label_values"]))
                }
            };
            rows.push(vec![
                number(&row["series"]),
                bar(&row["series"], largest),
                number(&row["day_ago"]),
                growth(row),
                word(&row["metric"]),
                label,
            ]);
        }
        table("Metrics", rows, &data["metrics_total"]);
    }
    let mut rows = vec![head(&["values", "", "day ago", "series", "label", ""])];
    let largest = most(&data["labels"], "values");
    for row in items(&data["labels"]) {
        let examples: Vec<String> = items(&row["examples"]).map(word).collect();
        let mut note = dim(examples.join(", ")).to_string();
        if row["id_like"] == true {
            note = format!("{} {note}", red("looks like ids:"));
        }
        rows.push(vec![
            number(&row["values"]),
            bar(&row["values"], largest),
            number(&row["values_day_ago"]),
            number(&row["series"]),
            word(&row["label"]),
            note,
        ]);
    }
    table("Labels", rows, &data["labels_total"]);
    let mut rows = vec![head(&["series", "", "day ago", "", "value"])];
    let largest = most(&data["values"], "series");
    for row in items(&data["values"]) {
        rows.push(vec![
            number(&row["series"]),
            bar(&row["series"], largest),
            number(&row["day_ago"]),
            growth(row),
            word(&row["value"]),
        ]);
    }
    table("Values", rows, &data["values_total"]);
    let refusals: Vec<&Value> = items(&data["refusals"]).collect();
    if !refusals.is_empty() {
        out.push_str(&format!("\n{}\n", red("Beyond limits")));
        refusals.iter().for_each(|row| out.push_str(&refusal(row)));
    }
    out
}

fn refusal(row: &Value) -> String {
    let sender: Vec<String> = ["job", "service", "scope"]
        .iter()
        .filter(|name| row[**name].as_str().is_some_and(|text| !text.is_empty()))
        .map(|name| format!("{name}={}", word(&row[*name])))
        .collect();
    let sender = if sender.is_empty() { "an unnamed sender".into() } else { sender.join(" ") };
    let label = match row["label"].as_str() {
        Some("") | None => word(&row["first_value"]),
        Some(label) => {
            format!("label {}, first value {:?}", printable(label), word(&row["first_value"]))
        }
    };
    format!(
        "  {} from {sender}\n    {} samples {} at limits.{} = {}: {label}\n    {}\n",
        bold(word(&row["metric"])),
        number(&row["samples"]),
        word(&row["action"]),
        word(&row["reason"]),
        number(&row["limit"]),
        dim(format!("from {} to {}", word(&row["first_at"]), word(&row["last_at"]))),
    )
}

/// The rows asked for: values, labels or metrics.
fn csv(data: &Value, args: &CardinalityArgs) -> String {
    let (rows, fields): (_, &[&str]) = match (&args.metric, &args.label) {
        (_, Some(_)) => ("values", &["value", "series", "active", "day_ago"]),
        (Some(_), None) => (
            "labels",
            &["label", "values", "values_day_ago", "series", "active", "day_ago", "id_like"],
        ),
        (None, None) => {
            ("metrics", &["metric", "series", "active", "day_ago", "label", "label_values"])
        }
    };
    let mut out = csv_row(fields.iter().copied());
    for row in items(&data[rows]) {
        let cells = fields.iter().map(|field| match &row[*field] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        out.push_str(&csv_row(cells));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_growth_and_bars() {
        for (n, want) in [(json!(0), "0"), (json!(1234567), "1,234,567"), (Value::Null, "–")] {
            assert_eq!(number(&n), want);
        }
        for (active, day_ago, want) in [
            (json!(120), json!(100), "+20 %"),
            (json!(50), json!(100), "-50 %"),
            (json!(7), json!(7), "="),
            (json!(7), json!(0), "new"),
            (json!(7), Value::Null, ""),
        ] {
            assert_eq!(growth(&json!({"active": active, "day_ago": day_ago})), want);
        }
        assert_eq!(bar(&json!(1), 1_000_000), "█");
        assert_eq!(bar(&json!(10), 10).chars().count(), BAR);
        assert_eq!(bar(&json!(0), 10), "");
    }
}
