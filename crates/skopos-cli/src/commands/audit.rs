//! `skopos audit`: the audit itself is `skopos-audit`; here it gets its format, its terminal, and a running server's word.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, anyhow};
use skopos_audit::Live;
use skopos_audit::cli::{Args, Format as AuditFormat};

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, is_colored, print_error, write_answer};

pub(crate) fn run(mut args: Args, global: &GlobalArgs) -> Result<Outcome> {
    args.format = match global.format {
        Format::Json => AuditFormat::Json,
        Format::Ndjson => AuditFormat::Ndjson,
        Format::Sarif => AuditFormat::Sarif,
        Format::Concise => AuditFormat::Concise,
        Format::Github => AuditFormat::Github,
        Format::Gitlab => AuditFormat::Gitlab,
        Format::Markdown => AuditFormat::Markdown,
        // The others are refused before.
        Format::Text | Format::Csv | Format::Arrow | Format::Parquet => AuditFormat::Text,
    };
    args.progress = std::io::stderr().is_terminal();
    args.color = is_colored() && args.output.is_none();
    match audit(args) {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            print_error(&error);
            Ok(Outcome::Verdict(2))
        }
    }
}

fn audit(mut args: Args) -> Result<Outcome> {
    if let Some(address) = &args.live {
        let server = ServerArgs { server: address.clone(), token: args.token.clone() };
        args.seen = Some(block_on(ask(&server)).context("ask the server given by --live")?);
    }
    let done = skopos_audit::cli::run(&args, env!("CARGO_PKG_VERSION"))?;
    write_answer(&done.output)?;
    // Who closed standard error wants no notes.
    let _ = std::io::stderr().write_all(done.notes.as_bytes());
    Ok(if done.code == 0 { Outcome::Done } else { Outcome::Verdict(1) })
}

/// Asks a server for what it has seen of whom.
async fn ask(server: &ServerArgs) -> Result<Live> {
    let client = Client::new(server)?;
    let (path, query) = Live::query();
    let answer = client.get(path, &query).await?;
    Live::of_series(server.server.trim_end_matches('/'), &answer)
        .map_err(|why| anyhow!("{}: {why}", server.server))
}
