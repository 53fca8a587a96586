//! `skopos status`: a server in one look.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{
    Format, bold, bytes, compact, dim, green, print_json, printable, red, span_of, write_stdout,
    yellow,
};

/// Show a server in one look: addresses, ingest, what is stored, rules, and what is wrong.
///
/// Every problem comes with what to do about it. The exit code is 4 when the server is unhealthy:
/// data or pages are being lost, or will be soon. Alerts that fire are no fault of the server's.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos status
  skopos status --format json | jq '.data.rates'
  skopos status --server http://monitor:4319 || echo 'look at it'")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: StatusArgs, global: &GlobalArgs) -> Result<Outcome> {
    let answer = block_on(Client::new(&args.server)?.get("/api/v1/status", &[]))?;
    match global.format {
        Format::Text => write_stdout(&screen(&answer["data"])),
        format => print_json(&answer, format),
    }
    let healthy = answer["data"]["state"] == "ok";
    Ok(if healthy { Outcome::Done } else { Outcome::ConditionFailed })
}

fn screen(status: &Value) -> String {
    let text = |value: &Value| printable(value.as_str().unwrap_or("?"));
    let mut out = String::new();
    let state = match status["state"].as_str() {
        Some("ok") => green("✔ ok".to_owned()),
        other => red(format!("✖ {}", other.unwrap_or("?"))),
    };
    let _ = writeln!(
        out,
        "{} {state}  up {}  since {}",
        bold(format!("skopos {}", text(&status["version"]))),
        span_of(status["uptime_seconds"].as_f64().unwrap_or(0.0)),
        dim(text(&status["started_at"])),
    );
    let mut row = |name: &str, facts: &[String]| {
        let _ = writeln!(out, "{name:<10}{}", facts.join(" · "));
    };
    let addresses = &status["addresses"];
    row(
        "Listens",
        &[
            format!("http://{}", text(&addresses["http"])),
            format!("OTLP grpc {}", text(&addresses["otlp_grpc"])),
            format!("OTLP http {}", text(&addresses["otlp_http"])),
        ],
    );
    let signals = ["samples", "logs", "spans"];
    let ingest = match text(&status["ingest"]) {
        ok if ok == "ok" => ok,
        refused => red(format!("refused: {refused}")).to_string(),
    };
    let rate =
        |name: &str| format!("{} {name}/s", compact(status["rates"][name].as_f64().unwrap_or(0.0)));
    row("Ingest", &[&[ingest][..], &signals.map(rate)].concat());
    let total =
        |name: &str| format!("{} {name}", compact(status["totals"][name].as_f64().unwrap_or(0.0)));
    row("Total", &signals.map(total));
    row(
        "Series",
        &[format!("{} in memory", compact(status["head_series"].as_f64().unwrap_or(0.0)))],
    );
    let disk = &status["disk"];
    let size = |value: &Value| value.as_f64().map_or("?".to_owned(), bytes);
    let held =
        ["metrics", "logs", "traces", "wal"].map(|key| format!("{} {key}", size(&disk[key])));
    let free = format!("{} of {} free", size(&disk["free"]), size(&disk["total"]));
    row("Disk", &[&held[..], &[free, text(&disk["path"])]].concat());
    let memory = &status["memory"];
    row(
        "Memory",
        &[
            format!("{} used, {} for data", size(&memory["used"]), size(&memory["budget"])),
            format!("recent data {} of {}", size(&memory["head"]), size(&memory["head_limit"])),
        ],
    );
    let count = |name: &str| format!("{} {name}", status["rules"][name].as_u64().unwrap_or(0));
    let firing = match status["rules"]["firing"].as_u64() {
        Some(0) | None => count("firing"),
        Some(_) => red(count("firing")).to_string(),
    };
    row("Rules", &[count("loaded"), firing, count("pending"), count("failing")]);
    let problems = status["problems"].as_array().map_or(&[][..], Vec::as_slice);
    row("Problems", &[if problems.is_empty() { "none".into() } else { String::new() }]);
    for problem in problems {
        let mark = match problem["severity"].as_str() {
            Some("error") => red("✖ error"),
            _ => yellow("! warning"),
        };
        let _ = writeln!(out, "  {mark}  {}", text(&problem["what"]));
        let _ = writeln!(out, "      {}", dim(format!("→ {}", text(&problem["remedy"]))));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_screen_says_it_all() {
        let status = json!({
            "version": "0.1.0", "state": "unhealthy", "started_at": "2026-11-22T10:00:00.000Z",
            "uptime_seconds": 93_784.2,
            "addresses": {"http": "a:1", "otlp_grpc": "a:2", "otlp_http": "a:3"},
            "ingest": "head full",
            "totals": {"samples": 12_400_000, "logs": 999, "spans": 1_204},
            "rates": {"samples": 1204.4, "logs": 0.25, "spans": 0},
            "head_series": 10_304,
            "disk": {"path": "/data", "free": null, "total": null, "metrics": 1_288_490_188_u64,
                     "logs": 512, "traces": 0, "wal": 67_108_864, "state_log": 9},
            "memory": {"used": 188_743_680, "budget": 1_610_612_736, "head": 0, "head_limit": 1_073_741_824},
            "rules": {"loaded": 12, "failing": 0, "firing": 2, "pending": 1},
            "problems": [
                {"severity": "error", "what": "it \u{1b}[31mburns", "remedy": "put it out"},
                {"severity": "warning", "what": "smoke", "remedy": "look"},
            ],
        });
        let want = "\
skopos 0.1.0 ✖ unhealthy  up 1 d 2 h  since 2026-11-22T10:00:00.000Z
Listens   http://a:1 · OTLP grpc a:2 · OTLP http a:3
Ingest    refused: head full · 1.2k samples/s · 0.25 logs/s · 0 spans/s
Total     12.4M samples · 999 logs · 1.2k spans
";
        let text = screen(&status);
        assert!(text.starts_with(want), "{text}");
        for line in [
            "Series    10.3k in memory",
            "Disk      1.2 GiB metrics · 512 B logs · 0 B traces · 64 MiB wal · ? of ? free · /data",
            "Memory    180 MiB used, 1.5 GiB for data · recent data 0 B of 1 GiB",
            "Rules     12 loaded · 2 firing · 1 pending · 0 failing",
            "  ✖ error  it \\u{1b}[31mburns",
            "      → put it out",
            "  ! warning  smoke",
        ] {
            assert!(text.lines().any(|l| l == line), "{line:?} in\n{text}");
        }
    }
}
