//! `skopos tail`: spans and log records as they arrive.
//!
//! Lines go to standard output, remarks (gaps, what was skipped) to standard error, so that output
//! can be piped. A lost connection is made anew: what came meanwhile follows, and nothing that was
//! shown is shown again.

pub(super) mod line;
mod stream;
mod tree;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use regex::Regex;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::line::Printer;
use self::stream::{Item, Seen, Stream};
use self::tree::Trees;
use super::filter::{FilterArgs, quoted, refuse};
use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, dim, print_json, write_stdout, yellow};

/// Wait before a connection is made anew: doubled each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How often buffered traces are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Which signals are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Only spans.
    Spans,
    /// Only log records.
    Logs,
}

/// Follow spans and log records as they arrive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos tail
  skopos tail 'service=payment -\"health check\"' --level warn
  skopos tail --only spans --slow 500ms --tree
  skopos tail --trace 4bf92f3577b34da6a3ce929d0e0e4736 --since 5m --no-follow
  skopos tail --format ndjson | jq -r 'select(.signal == \"log\") | .body'

A span's line: time, service, ✖ or ▸, name, duration, status code, trace, a bar that grows with the
duration. A record's line: time, service, its level's letter, text, trace, attributes.")]
pub(crate) struct TailArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only one of the two signals.
    #[arg(long, value_enum, value_name = "SIGNAL")]
    only: Option<Only>,
    /// Of spans only those that took at least this long.
    #[arg(long, value_name = "DURATION")]
    slow: Option<String>,
    /// Gather the spans and records of a trace for 2 s and print them as a tree.
    #[arg(long)]
    tree: bool,
    /// Highlight what matches this regular expression.
    #[arg(long, value_name = "REGEX")]
    highlight: Option<String>,
    /// Begin with the events of this last while.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    since: String,
    /// Show what there is and stop.
    #[arg(long)]
    no_follow: bool,
    /// Stop after so many events.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// At most so many events a second; how many more there are is told.
    #[arg(long, value_name = "N", default_value_t = 500)]
    rate: u32,
    #[command(flatten)]
    server: ServerArgs,
}

impl TailArgs {
    /// The filter of all options.
    fn filter(&self) -> String {
        let mut all = self.filter.conditions();
        if let Some(level) = &self.filter.level {
            // Spans have no level; those that failed are what errors are among records.
            all.add(format!("(level>={} OR status=error)", quoted(level)));
        }
        if let Some(slow) = &self.slow {
            all.add(format!("(duration>={} OR NOT has(duration))", quoted(slow)));
        }
        all.filter()
    }

    fn parameters(&self, since: &str) -> Vec<(&'static str, String)> {
        let signals = match self.only {
            None => "logs,spans",
            Some(Only::Logs) => "logs",
            Some(Only::Spans) => "spans",
        };
        let mut parameters = vec![
            ("filter", self.filter()),
            ("signals", signals.to_owned()),
            ("rate", self.rate.to_string()),
            ("since", since.to_owned()),
        ];
        if self.no_follow {
            parameters.push(("follow", "false".to_owned()));
        }
        parameters
    }
}

pub(crate) fn run(args: TailArgs, global: &GlobalArgs) -> Result<Outcome> {
    crate::timespec::parse_duration(&args.since).context("read --since")?;
    let highlight = args.highlight.as_deref().map(|text| {
        Regex::new(text).unwrap_or_else(|error| refuse(&format!("--highlight: {error}")))
    });
    let client = Client::new(&args.server)?;
    let out = Output {
        printer: Printer::new(highlight),
        format: global.format,
        trees: args.tree.then(Trees::default),
        shown: 0,
        limit: args.limit.unwrap_or(u64::MAX),
    };
    block_on(follow(&client, &args, out))
}

async fn follow(client: &Client, args: &TailArgs, mut out: Output) -> Result<Outcome> {
    let mut seen = Seen::default();
    let mut stream = Stream::open(client, &args.parameters(&args.since)).await?;
    loop {
        let mut tick = tokio::time::interval(TICK);
        loop {
            let item = tokio::select! {
                item = stream.next() => item,
                _ = tick.tick() => {
                    out.print_quiet_trees(Instant::now());
                    continue;
                }
            };
            match item {
                Ok(Some(Item::Event(event))) => {
                    if seen.is_new(&event) {
                        out.take(event);
                    }
                }
                Ok(Some(Item::Skipped(count, reason))) => {
                    let what = match reason.as_str() {
                        "slow" => "dropped (this terminal was too slow)",
                        "stored" => "older ones not shown: see `skopos logs` and `skopos trace`",
                        _ => "dropped (rate cap, see --rate)",
                    };
                    remark(&yellow(format!("… {count} {what}")).to_string());
                }
                Ok(Some(Item::Heartbeat)) => {}
                Ok(None) | Err(_) => break,
            }
            if out.is_full() {
                return Ok(Outcome::Done);
            }
        }
        if args.no_follow {
            out.print_all_trees();
            return Ok(if out.shown > 0 { Outcome::Done } else { Outcome::NothingFound });
        }
        stream = reconnect(client, args).await;
    }
}

/// Connects anew, however long it takes; what came meanwhile is asked for.
async fn reconnect(client: &Client, args: &TailArgs) -> Stream {
    let lost = Instant::now();
    let mut wait = RETRY.0;
    remark(&yellow("── connection lost, trying again ──").to_string());
    loop {
        sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
        // A little more than the gap: what was shown already is known by its id.
        let since = lost.elapsed() + RETRY.1;
        let parameters = args.parameters(&format!("{}ms", since.as_millis()));
        if let Ok(stream) = Stream::open(client, &parameters).await {
            let gap = lost.elapsed().as_secs_f64();
            let text = format!("── gap of {gap:.1} s; what is stored of it follows ──");
            remark(&yellow(text).to_string());
            return stream;
        }
    }
}

fn remark(text: &str) {
    eprintln!("{text}");
}

/// Where events go.
struct Output {
    printer: Printer,
    format: Format,
    trees: Option<Trees>,
    shown: u64,
    limit: u64,
}

impl Output {
    fn is_full(&self) -> bool {
        self.shown >= self.limit
    }

    fn take(&mut self, event: Value) {
        match &mut self.trees {
            // Only people look at trees.
            Some(trees) if self.format == Format::Text => {
                if let Some(event) = trees.take(event, Instant::now()) {
                    self.print(&event);
                }
            }
            _ => self.print(&event),
        }
    }

    fn print(&mut self, event: &Value) {
        if self.is_full() {
            return;
        }
        self.shown += 1;
        match self.format {
            Format::Text => {
                let line = self.printer.line(event, 0);
                write_stdout(&line);
            }
            _ => print_json(event, Format::Ndjson),
        }
    }

    fn print_quiet_trees(&mut self, now: Instant) {
        let quiet = self.trees.as_mut().map(|trees| trees.take_quiet(now)).unwrap_or_default();
        quiet.iter().for_each(|tree| self.print_tree(tree));
    }

    fn print_all_trees(&mut self) {
        let all = self.trees.as_mut().map(Trees::take_all).unwrap_or_default();
        all.iter().for_each(|tree| self.print_tree(tree));
    }

    fn print_tree(&mut self, events: &[(usize, Value)]) {
        if self.is_full() {
            return;
        }
        self.shown += events.len() as u64;
        let mut text: String =
            events.iter().map(|(depth, event)| self.printer.line(event, *depth)).collect();
        text.push_str(&dim("\n").to_string());
        write_stdout(&text);
    }
}
