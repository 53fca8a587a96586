//! `skopos slo check`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use skopos_alerting::slo;
use skopos_model::{Clock, SystemClock};

use super::super::rules::files_in;
use super::{counted, say_nothing_found};
use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, columns, print_json, printable, write_stdout};

/// Check files of objectives, native or OpenSLO v1.
///
/// What cannot be kept is refused with the reason: a target of 100 %, an alert that cannot fire, an
/// objective without owner or runbook. What is rarely meant is told as a warning: an owner that is nobody yet, a window too
/// short for burn alerts, a threshold in the wrong unit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo check slo.yml
  skopos slo check slos/ --format json

Exit codes: 0 no mistakes (warnings or not), 4 mistakes found, 3 there is no objective, 1 a file could not be read, 2 wrong usage.")]
pub(crate) struct CheckArgs {
    /// Files of objectives, or folders of them; checked together.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(args: CheckArgs, global: &GlobalArgs) -> Result<Outcome> {
    let files = files_in(&args.paths)?;
    let borrowed: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let (set, errors) = match slo::load(&borrowed) {
        Ok(set) => (set, Vec::new()),
        Err(errors) => (slo::SloSet::default(), errors),
    };
    let doubts: Vec<_> = set
        .slos
        .iter()
        .flat_map(|slo| slo::doubts(slo).into_iter().map(move |d| (slo, d)))
        .collect();
    let is_empty = errors.is_empty() && set.slos.is_empty();
    // Units of the calendar differ in length: the present one's budget is told.
    let now = SystemClock::new().now();
    if is_empty {
        say_nothing_found(&args.paths, files.len());
    }
    if global.format == Format::Text {
        if is_empty {
            // Said already.
        } else if errors.is_empty() {
            let mut rows = Vec::new();
            for slo in &set.slos {
                let minutes =
                    format!("{} min of budget", super::figure(slo.budget_minutes_at(now)));
                let target = format!("{} % of {}", slo.target_percent(), slo.window);
                let place = format!("{}:{}", printable(&slo.file), slo.line);
                let (name, service) = (printable(&slo.name), printable(&slo.service));
                rows.push(vec![name, service, target, minutes, place]);
            }
            write_stdout(&columns(&rows));
            for (slo, doubt) in &doubts {
                let place = format!("{}:{}", printable(&slo.file), slo.line);
                write_stdout(&format!("{place}: warning: {}: {doubt}\n", printable(&slo.name)));
            }
            let verdict = match doubts.len() {
                0 => "all good".to_owned(),
                some => format!("without mistakes; {}", counted(some, "warning")),
            };
            write_stdout(&format!("{}, {verdict}\n", counted(set.slos.len(), "objective")));
        } else {
            errors.iter().for_each(|error| write_stdout(&format!("{error}\n")));
            write_stdout(&format!("{}\n", counted(errors.len(), "mistake")));
        }
    } else {
        let slos: Vec<_> = set
            .slos
            .iter()
            .map(|slo| {
                json!({
                    "slo": slo.name, "service": slo.service, "target": slo.target,
                    "window": slo.window.to_string(), "budget_minutes": slo.budget_minutes_at(now),
                    "file": slo.file, "line": slo.line,
                })
            })
            .collect();
        let warnings: Vec<_> = doubts
            .iter()
            .map(|(slo, doubt)| {
                json!({"slo": slo.name, "message": doubt, "file": slo.file, "line": slo.line})
            })
            .collect();
        let errors_json = serde_json::to_value(&errors).context("print the mistakes")?;
        let found = json!({"slos": slos, "errors": errors_json, "warnings": warnings});
        print_json(&found, global.format);
    }
    Ok(match (errors.is_empty(), is_empty) {
        (false, _) => Outcome::ConditionFailed,
        (_, true) => Outcome::NothingFound,
        _ => Outcome::Done,
    })
}
