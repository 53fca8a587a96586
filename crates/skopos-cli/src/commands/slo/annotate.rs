//! `skopos slo annotate`: deploys and incidents.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock, Timestamp};

use super::{items, listed, moment, word};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, columns, print_json, printable, write_stdout};
use crate::timespec::parse_time;

/// Note a deploy or an incident, so that what it cost is put down to it; or list notes.
///
/// A deploy is blamed for what is spent until the next one, for six hours at most. The same note said again
/// replaces itself: pipelines may repeat it, and an incident may be given its end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo annotate --service checkout --kind deploy v1.4.2 --by ci
  skopos slo annotate --service checkout --kind incident 'pool exhausted' --at now-40m --until now-5m
  skopos slo annotate --list --service checkout

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 there are no notes (--list).")]
pub(crate) struct AnnotateArgs {
    /// What happened: a version, a title.
    #[arg(required_unless_present = "list")]
    text: Option<String>,
    /// The service concerned.
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    service: Option<String>,
    /// What the note is about.
    #[arg(long, value_enum, default_value_t = Kind::Deploy, value_name = "KIND")]
    kind: Kind,
    /// When it was, or began: RFC 3339, Unix seconds, or now-10m.
    #[arg(long, value_name = "TIME", default_value = "now")]
    at: String,
    /// When it was over.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Who says so.
    #[arg(long, env = "USER", default_value = "", value_name = "WHO")]
    by: String,
    /// Where more is found.
    #[arg(long, default_value = "", value_name = "URL")]
    link: String,
    /// List the notes of the last 30 days instead.
    #[arg(long, conflicts_with = "text")]
    list: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A change went out.
    Deploy,
    /// Something was wrong.
    Incident,
    /// Something was made to look wrong.
    Drill,
    /// Anything else.
    Note,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Incident => "incident",
            Self::Drill => "drill",
            Self::Note => "note",
        }
    }
}

pub(super) fn run(args: AnnotateArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let (Some(text), Some(service)) = (&args.text, &args.service) else {
        return list(&client, args.service.as_deref(), global);
    };
    let now = SystemClock::new().now();
    let start = parse_time(&args.at, now).context("read --at")?;
    let end = args.until.as_deref().map(|until| parse_time(until, now)).transpose();
    let end = end.context("read --until")?;
    if end.is_some_and(|end| end <= start) {
        bail!("--until must lie after --at");
    }
    let body = json!({
        "kind": args.kind.as_str(), "service": service, "text": text,
        "start_ms": start.as_millis(), "end_ms": end.map(Timestamp::as_millis),
        "by": args.by, "link": args.link,
    });
    let (mut answer, of_service) = block_on(async {
        let answer = client.post("/api/v1/slo/annotations", &body).await?;
        let of_service = client.get("/api/v1/slos", &[("service", service.clone())]).await?;
        anyhow::Ok((answer, of_service))
    })?;
    if items(&of_service["data"]["slos"]).next().is_none() {
        let service = printable(service);
        eprintln!("no objective is about service {service:?}: what this cost will not be told");
    }
    let note = answer["data"]["annotation"].take();
    match global.format {
        Format::Text => {
            let (kind, text, service) =
                (word(&note["kind"]), word(&note["text"]), word(&note["service"]));
            let at = moment(&note["start_ms"]);
            write_stdout(&format!("noted: {kind} \"{text}\" of {service} at {at} UTC\n"));
        }
        format => print_json(&note, format),
    }
    Ok(Outcome::Done)
}

fn list(client: &Client, service: Option<&str>, global: &GlobalArgs) -> Result<Outcome> {
    let query: Vec<(&str, String)> = service.iter().map(|s| ("service", (*s).to_owned())).collect();
    let mut answer = block_on(client.get("/api/v1/slo/annotations", &query))?;
    let data = answer["data"].take();
    let ended = listed(&data, "annotations", "nothing was noted in the last 30 days");
    if global.format != Format::Text {
        print_json(&data, global.format);
        return Ok(ended);
    }
    let row = |note: &Value| {
        vec![
            moment(&note["start_ms"]),
            moment(&note["end_ms"]),
            word(&note["kind"]),
            word(&note["service"]),
            word(&note["by"]),
            word(&note["text"]),
        ]
    };
    let mut rows: Vec<_> = items(&data["annotations"]).map(row).collect();
    if rows.is_empty() {
        return Ok(ended);
    }
    let head = ["FROM (UTC)", "UNTIL", "KIND", "SERVICE", "BY", "WHAT"].map(str::to_owned);
    rows.insert(0, head.to_vec());
    write_stdout(&columns(&rows));
    Ok(ended)
}
