//! `skopos verify`: whether the blocks are what was written.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use skopos_store::fs::StdFs;
use skopos_store::verify;

use super::snapshot::{damaged_block, damaged_line};
use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, print_json, write_stdout};

/// Check every block of a data folder against its checksum.
///
/// A server may have the folder open. The exit code is 4 when a block is damaged. With --set-aside
/// damaged blocks are taken out of the folder, so that queries answer again, without what these
/// held; their files are kept in its folder `damaged`. The server must be stopped for that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos verify
  skopos verify --data /var/lib/skopos --format json
  skopos verify --data /var/lib/skopos --set-aside      with the server stopped")]
pub(crate) struct VerifyArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR", default_value = "./skopos-data")]
    data: PathBuf,
    /// Take damaged blocks out and keep their files beside.
    #[arg(long)]
    set_aside: bool,
}

pub(crate) fn run(args: VerifyArgs, global: &GlobalArgs) -> Result<Outcome> {
    let report = match args.set_aside {
        true => verify::set_aside(&StdFs, &args.data)?,
        false => verify::verify(&StdFs, &args.data)?,
    };
    let damaged: Vec<Value> = report.damaged.iter().map(damaged_block).collect();
    match global.format {
        Format::Text => {
            let (blocks, files, bytes) = (report.blocks, report.files, report.bytes);
            let mut text = format!("{blocks} blocks, {files} files, {bytes} bytes: ");
            match damaged.len() {
                0 => text.push_str("all is as it was written\n"),
                n => text.push_str(&format!("{n} blocks are damaged\n")),
            }
            damaged.iter().for_each(|block| text.push_str(&damaged_line(block)));
            if let Some(aside) = &report.set_aside {
                let aside = aside.display();
                text.push_str(&format!("they are set aside; their files are in {aside}\n"));
            } else if !damaged.is_empty() {
                text.push_str(
                    "restore a snapshot, or stop the server and go on without them: \
                     skopos verify --set-aside\n",
                );
            }
            write_stdout(&text);
        }
        format => {
            let answer = json!({
                "data": args.data,
                "blocks": report.blocks,
                "files": report.files,
                "bytes": report.bytes,
                "damaged": damaged,
                "set_aside": report.set_aside,
            });
            print_json(&answer, format);
        }
    }
    let good = damaged.is_empty() || report.set_aside.is_some();
    Ok(if good { Outcome::Done } else { Outcome::ConditionFailed })
}
