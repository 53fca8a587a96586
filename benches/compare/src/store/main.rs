//! The storage figures of Skopos, beside Prometheus 2.42 and VictoriaMetrics 1.79 where they do the
//! same, beside `zstd` and `grep` where they do not.
//!
//! Usage: `skopos-store-bench [ROW…] [--quick] --skopos FILE --report FILE --circumstances FILE
//! --cache DIR`; `cargo xtask bench store` does that. Each row is a module, replaces its section of
//! the report, and says there when, on what commit and on how loaded a machine it was measured. With
//! `--quick` all is small, the report stays as it is, and only the way is tried.
//!
//! Constraints: every server runs alone in a temporary folder on loopback and ends with the harness;
//! what counts is processor time of the server's process, because other work on the machine
//! lengthens wall time; the same bytes go to all systems.

mod bytes;
mod idle;
mod logs;
mod metrics;
mod otlp;
mod random;
mod recording;
mod report;
mod restart;
mod server;
mod spread;
mod traces;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use report::Section;

const HEAD: &str = "\
# Storage, measured

Written by `cargo xtask bench store [ROW…]`, which replaces the sections of the rows it measures; README.md says how.
Processor seconds are those of the server's process (user and system); they count more than wall time, because the machine has
other work. Ratios are of one run on one machine. Targets are those of the design (DESIGN.md §11).
";

/// What rows are given.
pub struct Setup {
    /// The server's binary.
    pub skopos: PathBuf,
    /// Where what is made once is kept.
    pub cache: PathBuf,
    /// Small data, few rounds.
    pub quick: bool,
}

type Run = fn(&Setup) -> Result<Section>;

/// Rows in the order of the report.
const ROWS: [(&str, Run); 6] = [
    ("metrics", metrics::run),
    ("bytes", bytes::run),
    ("logs", logs::run),
    ("traces", traces::run),
    ("restart", restart::run),
    ("idle", idle::run),
];

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let mut chosen = Vec::new();
    let (mut skopos, mut report, mut circumstances, mut cache) = (None, None, None, None);
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
            "--cache" => &mut cache,
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
    let setup = Setup {
        skopos: skopos.context("--skopos FILE is missing")?,
        cache: cache.context("--cache DIR is missing")?,
        quick,
    };
    std::fs::create_dir_all(&setup.cache).context("make the cache folder")?;
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
            // The other rows are worth having all the same.
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
