//! `skopos notify check`: is an alertmanager.yml fit to be loaded, and do we deliver all of it?

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use skopos_server::notify::{FileCheck, Warning, check_file};

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, print_json, write_stdout};

/// Check an alertmanager.yml.
///
/// All of Alertmanager's receivers are checked. Those that Skopos does not deliver to are named as
/// warnings: the file loads, and nobody there is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos notify check alertmanager.yml
  skopos notify check alertmanager.yml --strict --format json

Exit codes: 0 good, 4 mistakes found, or with --strict a route that leads to a receiver nothing is
delivered to; 1 the file could not be read.")]
pub(crate) struct CheckArgs {
    /// The configuration.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Fail when a route leads to a receiver that Skopos cannot deliver to.
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: CheckArgs, global: &GlobalArgs) -> Result<Outcome> {
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("read {}", args.file.display()))?;
    let name = args.file.display().to_string();
    let check = check_file(&name, &text);
    let is_wrong = !check.errors.is_empty() || check.templates.is_some();
    let fails = is_wrong || args.strict && check.loses_notifications();
    match global.format {
        Format::Text => print_text(&name, &check, fails),
        format => {
            let warnings: Vec<_> = check.warnings.iter().map(warning_json).collect();
            let answer = json!({
                "file": name,
                "ok": !fails,
                "receivers": check.receivers,
                "routes": check.routes,
                "errors": check.errors,
                "templates": check.templates,
                "warnings": warnings,
            });
            print_json(&answer, format);
        }
    }
    Ok(if fails { Outcome::ConditionFailed } else { Outcome::Done })
}

fn warning_json(warning: &Warning) -> serde_json::Value {
    json!({
        "receiver": warning.receiver,
        "kind": warning.kind,
        "line": warning.line,
        "reason": warning.reason,
        "undeliverable": warning.undeliverable,
        "reached": warning.reached,
    })
}

fn print_text(name: &str, check: &FileCheck, fails: bool) {
    let mut text = String::new();
    for error in &check.errors {
        let _ = writeln!(text, "{error}\n");
    }
    if let Some(error) = &check.templates {
        let _ = writeln!(text, "error: {error}\n");
    }
    for warning in &check.warnings {
        let Warning { receiver, kind, line, reason, .. } = warning;
        let reached = match (warning.undeliverable, warning.reached) {
            (true, true) => "; a route leads there",
            (true, false) => "; no route leads there",
            _ => "",
        };
        let _ = writeln!(
            text,
            "{name}:{line}: warning: {kind} of receiver {receiver:?}: {reason}{reached}"
        );
    }
    let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let (receivers, routes) = (count(check.receivers, "receiver"), count(check.routes, "route"));
    if !fails {
        write_stdout(&format!("{text}{name} ok: {receivers}, {routes}\n"));
        return;
    }
    let what = match check.errors.len() + usize::from(check.templates.is_some()) {
        0 => "a route leads to a receiver that nothing is delivered to".to_owned(),
        errors => count(errors, "error"),
    };
    eprintln!("{text}{name}: {what}");
}
