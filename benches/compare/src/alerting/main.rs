//! The alerting figures of Skopos: from a sample to the page, and many rules on one core.
//!
//! Usage: `skopos-alerting-bench [ROW…] [--quick] --skopos FILE --report FILE --circumstances FILE`;
//! `cargo xtask bench alerting` does that. Each row is a module and replaces its section of the
//! report. With `--quick` all is small, the report stays as it is, and only the way is tried.
//!
//! Constraints: the server runs alone in a temporary folder on loopback, with default settings but
//! for its rules and its receiver; samples come by remote write, pages go to a webhook of the
//! harness.

mod latency;
mod many_rules;
#[path = "../store/random.rs"]
#[allow(dead_code, reason = "shared with the storage figures")]
mod random;
#[path = "../store/report.rs"]
#[allow(dead_code, reason = "shared with the storage figures")]
mod report;
#[path = "../store/server.rs"]
#[allow(dead_code, reason = "shared with the storage figures")]
mod server;
mod sink;
#[path = "../store/spread.rs"]
#[allow(dead_code, reason = "shared with the storage figures")]
mod spread;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use skopos_model::{Labels, MetricBatch, Sample, SeriesSamples, Temporality};

use report::Section;

const HEAD: &str = "\
# Alerting, measured

Written by `cargo xtask bench alerting [ROW…]`, which replaces the sections of the rows it measures; README.md says how.
Targets are those of the design (DESIGN.md §11) and of the issue.
";

/// What rows are given.
pub struct Setup {
    /// The server's binary.
    pub skopos: PathBuf,
    /// Few alerts, few rules, short.
    pub quick: bool,
}

type Run = fn(&Setup) -> Result<Section>;

/// Rows in the order of the report.
const ROWS: [(&str, Run); 2] = [("latency", latency::run), ("rules", many_rules::run)];

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let mut chosen = Vec::new();
    let (mut skopos, mut report, mut circumstances) = (None, None, None);
    let mut quick = false;
    while let Some(argument) = arguments.next() {
        let into = match argument.as_str() {
            "--quick" => {
                quick = true;
                continue;
            }
            "--skopos" => &mut skopos,
            "--report" => &mut report,
            "--circumstances" => &mut circumstances,
            row if ROWS.iter().any(|(name, _)| *name == row) => {
                chosen.push(argument);
                continue;
            }
            other => {
                let rows: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
                bail!("`{other}` is neither a row ({}) nor an option", rows.join(", "));
            }
        };
        let value = arguments.next().with_context(|| format!("{argument} wants a value"))?;
        *into = Some(PathBuf::from(value));
    }
    let report = report.context("--report FILE is missing")?;
    let circumstances = circumstances.context("--circumstances FILE is missing")?;
    let circumstances = std::fs::read_to_string(circumstances).context("read circumstances")?;
    let skopos: PathBuf = skopos.context("--skopos FILE is missing")?;
    // The server runs in a folder of its own.
    let skopos = skopos.canonicalize().context("find the server's binary")?;
    let setup = Setup { skopos, quick };
    let mut failed = Vec::new();
    for (name, run) in ROWS {
        if !chosen.is_empty() && !chosen.iter().any(|row| row == name) {
            continue;
        }
        eprintln!("\n== {name}");
        match run(&setup) {
            Ok(section) => {
                let text = section.print(name, &circumstances);
                println!("{text}");
                if !quick {
                    report::replace(&report, HEAD, name, &text, &ROWS.map(|(name, _)| name))?;
                }
            }
            // The other row is worth having all the same.
            Err(error) => {
                eprintln!("{name}: {error:#}");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        eprintln!("error: not measured: {}", failed.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The wall clock, in milliseconds.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}

/// A remote-write request of one sample for each series.
fn request<'a>(series: impl Iterator<Item = (&'a Labels, f64)>, at_ms: i64) -> Vec<u8> {
    let one = |(labels, value): (&Labels, f64)| SeriesSamples {
        labels: labels.clone(),
        samples: vec![Sample::float(at_ms, value)],
        temporality: Temporality::Cumulative,
        start_timestamp_ms: None,
        exemplars: Vec::new(),
    };
    let series = series.map(one).collect();
    skopos_ingest::remote_write::encode(&MetricBatch { series, metadata: Vec::new() })
}
