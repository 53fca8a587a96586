//! `skopos doctor`: a running service, in any language, against the guide.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use skopos_doctor::{Logs, Options, Otlp, Report, Skopos, Status, examine};

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::output::{Format, dim, green, print_error, print_json, red, write_stdout, yellow};

/// How long a service that the doctor starts, or that waits for the doctor's port, may take to answer.
const START: Duration = Duration::from_secs(60);

/// Check a running service, in any language, against the guide.
///
/// The service is asked with GET only: for ids of requests, /metrics, probes, errors. Its spans and log records are taken
/// where it sends them (OTLP, gRPC and HTTP alike), its log lines where they are written. There is one verdict for each
/// demand of the guide, with what was found and what to do; what could not be seen is `unknown`, with what would settle it.
///
/// The doctor listens at the usual OTLP ports of this machine, 4318 and 4317. Where they are taken by a Skopos, that one is
/// asked (--server). With a command after `--` it starts the service itself, points its OTLP here, reads its output, and
/// ends it with SIGTERM.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos doctor http://127.0.0.1:8000
  skopos doctor http://127.0.0.1:8000 -- cargo run -p hello      start it, see everything, end it
  skopos doctor http://127.0.0.1:8000/items -- uvicorn app:app --port 8000
  ./service 2>&1 | skopos doctor http://127.0.0.1:8000 --logs - --wait 30s
  skopos doctor http://127.0.0.1:8000 --otlp 127.0.0.1:4318 --server http://127.0.0.1:4319
  skopos doctor https://shop.example/orders --ops http://10.0.0.7:9090 -H 'Authorization: Bearer …'

Exit codes: 0 nothing failed, 1 the service cannot be reached, 2 wrong usage, 4 a demand is not met
(with --strict also: one that could not be judged).")]
pub(crate) struct DoctorArgs {
    /// Address of a route of the service that GET may ask.
    #[arg(value_name = "URL")]
    url: String,
    /// Where the service's OTLP goes: an address to listen at (port 0: any free one, which is printed), or `none`.
    #[arg(long, value_name = "ADDR", value_parser = otlp)]
    otlp: Option<Otlp>,
    #[command(flatten)]
    server: ServerArgs,
    /// File that the service writes its log lines to; `-` reads them from standard input.
    #[arg(long, value_name = "FILE|-")]
    logs: Option<PathBuf>,
    /// Where probes and /metrics are, when not beside the service's routes.
    #[arg(long, value_name = "URL")]
    ops: Option<String>,
    /// Header for the service's own routes, never sent to probes and /metrics; may be repeated.
    // Taken apart by us: what is wrong with an argument clap shows with its value, which may be a secret.
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// How long to wait until the service answers [default: 0s; 60s with a command or a port 0].
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,
    /// How long to wait for spans and log lines; OpenTelemetry's SDKs send every 5 s.
    #[arg(long, value_name = "DUR", value_parser = duration, default_value = "6s")]
    patience: Duration,
    /// How long one answer may take.
    #[arg(long, value_name = "DUR", value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// How long a probe may take to be good.
    #[arg(long, value_name = "DUR", value_parser = duration, default_value = "2s")]
    probe_limit: Duration,
    /// Fail when a demand could not be judged, too.
    #[arg(long)]
    strict: bool,
    /// Command that starts the service.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: DoctorArgs, global: &GlobalArgs) -> Result<Outcome> {
    let is_strict = args.strict;
    let options = match options(args) {
        Ok(options) => options,
        Err(problem) => return Ok(wrong_usage(&problem)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the async runtime")?;
    let report = runtime.block_on(async {
        let is_quiet = !std::io::stderr().is_terminal() && global.format != Format::Text;
        let step = |step: skopos_doctor::Step| {
            if !is_quiet {
                eprintln!("{}", dim(step));
            }
        };
        tokio::select! {
            report = examine(&options, &step) => Some(report),
            // The visit is dropped, and with it what it started.
            _ = tokio::signal::ctrl_c() => None,
        }
    });
    let Some(report) = report else { std::process::exit(130) };
    let report = match report {
        // Nothing was asked yet: the arguments are wrong.
        Err(
            error @ (skopos_doctor::Error::Address { .. } | skopos_doctor::Error::Header { .. }),
        ) => {
            return Ok(wrong_usage(&error.into()));
        }
        report => report?,
    };
    print(&report, global.format)?;
    let is_met = report.failed() == 0 && !(is_strict && report.count(Status::Unknown) > 0);
    Ok(if is_met { Outcome::Done } else { Outcome::ConditionFailed })
}

fn wrong_usage(problem: &anyhow::Error) -> Outcome {
    print_error(problem);
    Outcome::Verdict(2)
}

fn options(args: DoctorArgs) -> Result<Options> {
    let headers: Result<Vec<_>> = args.header.iter().map(|text| header(text)).collect();
    let waits_for_us = matches!(&args.otlp, Some(Otlp::At(address)) if address.port() == 0);
    let usual = if waits_for_us || !args.command.is_empty() { START } else { Duration::ZERO };
    Ok(Options {
        ops: args.ops,
        headers: headers?,
        otlp: args.otlp.unwrap_or(Otlp::Usual),
        skopos: Skopos { url: args.server.server, token: args.server.token },
        logs: args.logs.map(|path| match path.as_os_str() == "-" {
            true => Logs::Stdin,
            false => Logs::File(path),
        }),
        command: args.command,
        wait: args.wait.unwrap_or(usual),
        patience: args.patience,
        timeout: args.timeout,
        probe_limit: args.probe_limit,
        ..Options::new(args.url)
    })
}

fn print(report: &Report, format: Format) -> Result<()> {
    match format {
        Format::Text => write_stdout(&report.render(&|status, word| match status {
            Status::Ok => green(word).to_string(),
            Status::Failed => red(word).to_string(),
            Status::Unknown => yellow(word).to_string(),
        })),
        Format::Ndjson => {
            for verdict in &report.verdicts {
                print_json(&serde_json::to_value(verdict).context("print a verdict")?, format);
            }
        }
        format => print_json(&report.to_json(), format),
    }
    Ok(())
}

fn otlp(text: &str) -> Result<Otlp, String> {
    if text == "none" {
        return Ok(Otlp::Nowhere);
    }
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let address = address.replace("localhost:", "127.0.0.1:");
    let parsed = address.parse::<SocketAddr>().map(Otlp::At);
    parsed.map_err(|_| "write an address as 127.0.0.1:4318, or `none`".to_owned())
}

fn header(text: &str) -> Result<(String, String)> {
    // Said without the value: it may be a secret.
    let (name, value) =
        text.split_once(':').context("--header: write it as 'Name: value'; there is no colon")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn duration(text: &str) -> Result<Duration, String> {
    skopos_alerting::parse_duration(text).map_err(|error| error.to_string())
}
