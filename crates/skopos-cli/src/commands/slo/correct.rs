//! `skopos slo correct`: time that does not count.

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock};

use super::{items, listed, moment, word};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, columns, print_json, write_stdout};
use crate::timespec::parse_time;

/// Take a stretch of time out of an objective's account, with the reason; or list corrections.
///
/// Nothing is rewritten: the correction shows beside the budget with what it changes, and can be taken back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo correct checkout-availability --from now-3h --to now-2h --reason 'load test' --by ada
  skopos slo correct --list
  skopos slo correct --revoke 1f0c9a4477b01e55

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 there is no such objective or correction, or none at all (--list).")]
pub(crate) struct CorrectArgs {
    /// The objective.
    #[arg(required_unless_present_any = ["list", "revoke"])]
    slo: Option<String>,
    /// From when: RFC 3339, Unix seconds, or now-3h.
    #[arg(long, value_name = "TIME", required_unless_present_any = ["list", "revoke"])]
    from: Option<String>,
    /// Until when.
    #[arg(long, value_name = "TIME", default_value = "now")]
    to: String,
    /// Why this time does not count.
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["list", "revoke"])]
    reason: Option<String>,
    /// Who says so.
    #[arg(long, env = "USER", default_value = "", value_name = "WHO")]
    by: String,
    /// List corrections instead, those taken back too; of the objective, when one is named.
    #[arg(long, conflicts_with_all = ["revoke", "from", "reason"])]
    list: bool,
    /// Take a correction back; it stays on record.
    #[arg(long, value_name = "ID", conflicts_with_all = ["slo", "from", "reason"])]
    revoke: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: CorrectArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    if args.list {
        return list(&client, args.slo.as_deref(), global);
    }
    const PATH: &str = "/api/v1/slo/corrections";
    let mut answer = if let Some(id) = &args.revoke {
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            bail!(
                "--revoke {id:?}: an id has 16 hexadecimal digits; `skopos slo correct --list` shows them"
            );
        }
        block_on(client.delete(&format!("{PATH}/{id}")))?
    } else {
        let now = SystemClock::new().now();
        let from = args.from.as_deref().unwrap_or("now");
        let from = parse_time(from, now).context("read --from")?;
        let to = parse_time(&args.to, now).context("read --to")?;
        if to <= from {
            bail!("--to ({to}) must lie after --from ({from})");
        }
        let body = json!({
            "slo": args.slo, "reason": args.reason, "by": args.by,
            "start_ms": from.as_millis(), "end_ms": to.as_millis(),
        });
        block_on(client.post(PATH, &body))?
    };
    let note = answer["data"]["correction"].take();
    match global.format {
        Format::Text => {
            let (from, to) = (moment(&note["start_ms"]), moment(&note["end_ms"]));
            let slo = word(&note["slo"]);
            let what = match note["revoked_ms"].is_null() {
                true => "is taken out of the account",
                false => "counts again",
            };
            let id = word(&note["id"]);
            write_stdout(&format!("{slo}: {from} to {to} UTC {what} (correction {id})\n"));
        }
        format => print_json(&note, format),
    }
    Ok(Outcome::Done)
}

fn list(client: &Client, slo: Option<&str>, global: &GlobalArgs) -> Result<Outcome> {
    let query: Vec<(&str, String)> = slo.iter().map(|slo| ("slo", (*slo).to_owned())).collect();
    let mut answer = block_on(client.get("/api/v1/slo/corrections", &query))?;
    let data = answer["data"].take();
    let ended = listed(&data, "corrections", "there are no corrections");
    if global.format != Format::Text {
        print_json(&data, global.format);
        return Ok(ended);
    }
    let row = |note: &Value| {
        let state = if note["revoked_ms"].is_null() { "in force" } else { "taken back" };
        vec![
            word(&note["id"]),
            word(&note["slo"]),
            moment(&note["start_ms"]),
            moment(&note["end_ms"]),
            state.to_owned(),
            word(&note["by"]),
            word(&note["reason"]),
        ]
    };
    let mut rows: Vec<_> = items(&data["corrections"]).map(row).collect();
    if rows.is_empty() {
        return Ok(ended);
    }
    let head = ["ID", "SLO", "FROM (UTC)", "TO (UTC)", "STATE", "BY", "REASON"].map(str::to_owned);
    rows.insert(0, head.to_vec());
    write_stdout(&columns(&rows));
    Ok(ended)
}
