//! `skopos export`: plain rows into a file, for other engines.
//!
//! The window is cut into slices of time, so small that the server sorts each within a query's
//! budget; rows come in time order, and neither side holds more than a slice. What is counted and
//! then too much is cut further.

mod slices;
mod target;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use skopos_model::{Clock as _, SystemClock, Timestamp};

use self::slices::Slices;
use self::target::Target;
use super::sql::SqlWindow;
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::Format;

/// Write stored data as plain rows that other engines read.
///
/// Rows are those of the SQL tables (`skopos sql 'DESCRIBE logs'`), in time order. Data that arrives
/// while the export runs may or may not be in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos export --signal logs --format parquet --since 24h -o logs.parquet
  skopos export --signal spans --format ndjson --filter 'status=error' | gzip > failed.ndjson.gz
  skopos export --signal metrics --format parquet --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z -o january.parquet")]
pub(crate) struct ExportArgs {
    /// What to export.
    #[arg(long, value_enum)]
    signal: Signal,
    #[command(flatten)]
    window: SqlWindow,
    /// Only log records or spans that satisfy this filter.
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// The file; standard output unless given. It appears when it is whole.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Signal {
    Logs,
    Spans,
    Metrics,
}

impl Signal {
    fn table(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
            Self::Metrics => "metrics",
        }
    }
}

pub(crate) fn run(args: ExportArgs, global: &GlobalArgs) -> Result<Outcome> {
    if !matches!(global.format, Format::Parquet | Format::Ndjson) {
        bail!("say how rows are written: --format parquet or --format ndjson");
    }
    if args.signal == Signal::Metrics && args.filter.is_some() {
        bail!("--filter is for log records and spans; choose metrics with skopos sql");
    }
    if args.output.is_none() && global.format == Format::Parquet && io::stdout().is_terminal() {
        bail!("Parquet is not for people: give -o FILE, or send standard output to a program");
    }
    let (from, to) = args.window.resolve()?;
    // The end is fixed before the first slice: an export comes to an end while data arrives.
    let to = to.unwrap_or_else(|| SystemClock::new().now());
    let from = from.unwrap_or(Timestamp(0));
    let client = Client::new(&args.server)?;
    let slices = Slices::new(&client, args.signal.table(), args.filter, from, to);
    let target = Target::new(args.output, global.format)?;
    let rows = block_on(export(slices, target))?;
    Ok(if rows == 0 { Outcome::NothingFound } else { Outcome::Done })
}

async fn export(mut slices: Slices<'_>, mut target: Target) -> Result<u64> {
    let progress = Progress::new();
    while let Some(slice) = slices.next().await? {
        let Some(mut answer) = slices.rows(&slice, target.wire_format()).await? else { continue };
        while let Some(chunk) = answer.chunk().await.map_err(|error| {
            anyhow::anyhow!("the server broke off the answer for {slice}: {error}; see its log")
        })? {
            target.bytes(&chunk)?;
        }
        target.end_of_slice()?;
        progress.show(target.rows(), slice.end);
    }
    let rows = target.end(|| slices.schema()).await?;
    progress.end(rows);
    Ok(rows)
}

/// What standard error shows on a terminal while an export runs.
struct Progress {
    live: bool,
}

impl Progress {
    fn new() -> Self {
        Self { live: io::stderr().is_terminal() }
    }

    fn show(&self, rows: u64, to: Timestamp) {
        if self.live {
            eprint!("\r\x1b[K{rows} rows, up to {to}");
        }
    }

    fn end(&self, rows: u64) {
        if self.live {
            eprint!("\r\x1b[K");
        }
        let s = if rows == 1 { "" } else { "s" };
        eprintln!("exported {rows} row{s}");
    }
}
