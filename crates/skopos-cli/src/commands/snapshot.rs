//! `skopos snapshot` and `skopos restore`: copies of a data folder, and the way back.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use skopos_store::fs::StdFs;
use skopos_store::snapshot::{self, Damaged, SnapshotReport};
use skopos_store::verify::DamagedBlock;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, print_json, printable, write_stdout, yellow};

/// Copy all data, consistently, into a new folder.
///
/// Without --data the running server is asked, which goes on taking data in and answering; the
/// folder is made on its machine and needs an admin token where tokens are used. With --data the
/// folder of a stopped server is copied. Block files are linked instead of copied where both
/// folders are on one file system, so that a snapshot takes little space. Every block is checked
/// against its checksum: with a damaged one there is no snapshot, unless it is to be left out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos snapshot /backup/2026-07-01                       of the running server
  skopos snapshot /backup/cold --data /var/lib/skopos      of a stopped one
  skopos snapshot /backup/rest --skip-damaged              without what cannot be read
  skopos restore /backup/2026-07-01 --data /var/lib/skopos-new")]
pub(crate) struct SnapshotArgs {
    /// The folder to make, where the server may write; it must not exist or must be empty, and not
    /// be inside of the data folder.
    dir: PathBuf,
    /// Leave damaged blocks out, and list them.
    #[arg(long)]
    skip_damaged: bool,
    /// Copy this data folder, which no server may have open.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Make a data folder out of a snapshot.
///
/// Every file is checked against its checksum before anything is written. A folder that holds data is
/// refused. The snapshot stays as it is and can be restored again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos restore /backup/2026-07-01 --data ./skopos-data
  skopos restore /backup/2026-07-01 --data ./skopos-data --replace")]
pub(crate) struct RestoreArgs {
    /// The snapshot's folder.
    dir: PathBuf,
    /// The data folder to make.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Remove the data that the folder holds.
    #[arg(long)]
    replace: bool,
}

pub(crate) fn take(args: SnapshotArgs, global: &GlobalArgs) -> Result<Outcome> {
    let dir = std::path::absolute(&args.dir).context("find the folder's absolute path")?;
    let answer = match &args.data {
        Some(data) => {
            let damaged = if args.skip_damaged { Damaged::Skip } else { Damaged::Fail };
            report(&dir, snapshot::snapshot(&StdFs, data, &dir, damaged)?)
        }
        None => {
            let body = json!({ "dir": dir, "skip_damaged": args.skip_damaged });
            block_on(Client::new(&args.server)?.post("/api/v1/skopos/snapshot", &body))?
        }
    };
    show(&answer, "snapshot", global.format);
    Ok(Outcome::Done)
}

pub(crate) fn restore(args: RestoreArgs, global: &GlobalArgs) -> Result<Outcome> {
    let done = snapshot::restore(&StdFs, &args.dir, &args.data, args.replace)?;
    show(&report(&args.data, done), "restored", global.format);
    Ok(Outcome::Done)
}

fn report(dir: &Path, report: SnapshotReport) -> Value {
    json!({
        "dir": dir,
        "files": report.files,
        "bytes": report.bytes,
        "linked_bytes": report.linked_bytes,
        "skipped": report.skipped.iter().map(damaged_block).collect::<Vec<_>>(),
    })
}

/// A damaged block as the server tells it.
pub(crate) fn damaged_block(block: &DamagedBlock) -> Value {
    json!({
        "file": block.file,
        "signal": block.signal,
        "from": block.first.to_string(),
        "to": block.last.to_string(),
        "items": block.rows,
        "reason": block.reason,
    })
}

/// It, for people.
pub(crate) fn damaged_line(block: &Value) -> String {
    let text = |key: &str| printable(block[key].as_str().unwrap_or("?"));
    format!(
        "  {} {}: {} {}, {} to {}: {}\n",
        yellow("!"),
        text("file"),
        block["items"].as_u64().unwrap_or(0),
        match text("signal").as_str() {
            "metrics" => "samples",
            "traces" => "spans",
            _ => "log records",
        },
        text("from"),
        text("to"),
        text("reason"),
    )
}

fn show(answer: &Value, what: &str, format: Format) {
    match format {
        Format::Text => {
            let number = |key: &str| answer[key].as_u64().unwrap_or(0);
            write_stdout(&format!(
                "{what}: {}, {} files, {} bytes ({} of them linked)\n",
                answer["dir"].as_str().unwrap_or_default(),
                number("files"),
                number("bytes"),
                number("linked_bytes"),
            ));
            let skipped = answer["skipped"].as_array().map_or(&[][..], Vec::as_slice);
            if !skipped.is_empty() {
                write_stdout(&format!("without {} damaged blocks:\n", skipped.len()));
                skipped.iter().for_each(|block| write_stdout(&damaged_line(block)));
            }
        }
        format => print_json(answer, format),
    }
}
