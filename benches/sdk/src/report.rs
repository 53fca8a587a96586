//! The figures as Markdown, with a verdict for each target.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::measure::Row;

/// A figure that another runtime measured of itself.
pub struct Other {
    name: String,
    nanos: f64,
}

/// Reads `[{"name": "pino 10", "nanos": 1234.5}, …]`.
pub fn others(json: &str) -> Result<Vec<Other>> {
    let list: Vec<serde_json::Value> = serde_json::from_str(json).context("parse the others")?;
    list.iter()
        .map(|entry| {
            let name = entry["name"].as_str().context("a name")?.to_owned();
            Ok(Other { name, nanos: entry["nanos"].as_f64().context("nanos")? })
        })
        .collect()
}

struct Target {
    what: &'static str,
    group: &'static str,
    name: &'static str,
    /// Nanoseconds, after the baseline is taken off.
    at_most: f64,
    baseline: Option<&'static str>,
    /// Whose time must be at least twice ours.
    half_of: Option<&'static str>,
}

const TARGETS: &[Target] = &[
    Target {
        what: "JSON line with redaction ≤ 1.2 µs, and at most half of tracing-subscriber's",
        group: "JSON line, 4 + 4 fields",
        name: "skopos, with redaction",
        at_most: 1200.0,
        baseline: None,
        half_of: Some("tracing-subscriber json, no redaction"),
    },
    Target {
        what: "disabled event ≤ 2 ns (a hundred: ≤ 200 ns)",
        group: crate::logs::OFF,
        name: "skopos, with redaction",
        at_most: 2.0 * crate::logs::OFF_EVENTS as f64,
        baseline: None,
        half_of: None,
    },
    Target {
        what: "HTTP layer ≤ 5 µs a request over bare axum, and at most half of the hand-wired stack",
        group: "request",
        name: "skopos: id, span, metrics, access line",
        at_most: 5000.0,
        baseline: Some("bare axum"),
        half_of: Some("tower-http + axum-prometheus + tracing-opentelemetry"),
    },
    Target {
        what: "counter ≤ 3 ns",
        group: "counter, held",
        name: "skopos",
        at_most: 3.0,
        baseline: None,
        half_of: None,
    },
    Target {
        what: "counter by a closed label ≤ 10 ns",
        group: "counter, by a closed label",
        name: "skopos",
        at_most: 10.0,
        baseline: None,
        half_of: None,
    },
    Target {
        what: "histogram with exemplar ≤ 30 ns",
        group: "histogram, 12 buckets",
        name: "skopos, with exemplar",
        at_most: 30.0,
        baseline: None,
        half_of: None,
    },
];

fn find<'r>(rows: &'r [Row], group: &str, name: &str) -> Option<&'r Row> {
    rows.iter().find(|row| row.group == group && row.name == name && row.threads == 1)
}

fn verdict(rows: &[Row], target: &Target) -> Option<String> {
    let baseline = match target.baseline {
        Some(name) => find(rows, target.group, name)?.fastest(),
        None => 0.0,
    };
    let ours = find(rows, target.group, target.name)?.fastest() - baseline;
    let other = target.half_of.and_then(|name| find(rows, target.group, name));
    let other = other.map(|row| row.fastest() - baseline);
    let is_met = ours <= target.at_most && other.is_none_or(|other| ours * 2.0 <= other);
    let beside = other
        .map(|other| format!("; theirs {}, {:.1} times ours", time(other), other / ours))
        .unwrap_or_default();
    let verdict = if is_met { "met" } else { "**missed**" };
    Some(format!("| {} | {}{beside} | {verdict} |", target.what, time(ours)))
}

fn time(nanos: f64) -> String {
    if nanos >= 1000.0 { format!("{:.2} µs", nanos / 1000.0) } else { format!("{nanos:.1} ns") }
}

/// Prints the report.
pub fn print(circumstances: &str, rows: &[Row], others: &[Other]) -> String {
    let mut text =
        String::from("# The SDK, side by side\n\n`cargo xtask bench sdk` writes this page. ");
    text.push_str(
        "Time per operation of one thread: the fastest of eighty rounds of 4 ms, and their median in brackets, because others work on \
         the machine meanwhile; four passes, each with all contestants in turn. With more threads than cores they share \
         them.\n\n```text\n",
    );
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}\n```\n\n## Targets, on one thread\n", circumstances.trim());
    text.push_str("| target | measured | |\n|---|---|---|\n");
    for line in TARGETS.iter().filter_map(|target| verdict(rows, target)) {
        let _ = writeln!(text, "{line}");
    }
    let mut groups: Vec<&str> = rows.iter().map(|row| row.group).collect();
    groups.dedup();
    let mut told: Vec<&str> = Vec::new();
    for group in groups {
        if told.contains(&group) {
            continue;
        }
        told.push(group);
        let _ = writeln!(
            text,
            "\n## {group}\n\n| | 1 thread | 2 threads | 4 threads |\n|---|---|---|---|"
        );
        let mut names: Vec<&str> = Vec::new();
        for row in rows.iter().filter(|row| row.group == group) {
            if !names.contains(&row.name.as_str()) {
                names.push(&row.name);
            }
        }
        for name in names {
            let _ = write!(text, "| {name} |");
            for threads in [1, 2, 4] {
                let of =
                    |row: &&Row| row.group == group && row.name == name && row.threads == threads;
                match rows.iter().find(of) {
                    Some(row) => {
                        let _ = write!(text, " {} ({}) |", time(row.fastest()), time(row.median()));
                    }
                    None => text.push_str(" |"),
                }
            }
            text.push('\n');
        }
        if group.starts_with("JSON line") {
            for other in others {
                let _ = writeln!(
                    text,
                    "| {}, in its own runtime | {} | | |",
                    other.name,
                    time(other.nanos)
                );
            }
        }
    }
    text.push_str(
        "\nNot measured: the `measured` crate, which needs a newer compiler than this workspace's. Spans of ours go encoded over \
         a socket, those of the others to an exporter that forgets them.\n",
    );
    text
}
