//! `skopos slo`: objectives, checked and compiled without a server; their budgets, and decisions on them, from one.

mod annotate;
mod check;
mod convert;
mod correct;
mod gate;
mod init;
mod review;
mod status;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::Value;
use skopos_alerting::slo::{self, SloSet};

use super::rules::files_in;
use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::client::found;
use crate::output::{printable, write_stdout};

/// Service level objectives: write, check, watch, decide.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  skopos slo init --service checkout > slo.yml     begin with what the service sends
  skopos slo check slo.yml && skopos serve --slo slo.yml
  skopos slo status
  skopos slo gate --service checkout               may it be deployed? exit code 0, 1 or 2
  skopos slo generate slo.yml > rules.yml          the same alerts for plain Prometheus")]
pub(crate) enum SloCommand {
    /// Write the two objectives to start with, from what a service sends.
    Init(init::InitArgs),
    /// Check files of objectives (native or OpenSLO v1).
    Check(check::CheckArgs),
    /// Show what is left of each budget, how fast it burns, and what spent it.
    Status(status::StatusArgs),
    /// Say whether a service may be deployed: go, caution or freeze; or override that.
    Gate(gate::GateArgs),
    /// Say whether targets are right: tighten, loosen or keep, and why.
    Review(review::ReviewArgs),
    /// Note a deploy or an incident, so that what it cost is put down to it; or list notes.
    Annotate(annotate::AnnotateArgs),
    /// Take a stretch of time out of an objective's account, with the reason; or list corrections.
    Correct(correct::CorrectArgs),
    /// Write objectives as rules for plain Prometheus: recording rules and burn-rate alerts.
    Generate(convert::GenerateArgs),
    /// Write OpenSLO v1 in the native form.
    Import(convert::ImportArgs),
    /// Write objectives as OpenSLO v1.
    Export(convert::ExportArgs),
}

pub(crate) fn run(command: SloCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        SloCommand::Init(args) => init::run(args, global),
        SloCommand::Check(args) => check::run(args, global),
        SloCommand::Status(args) => or_nothing(status::run(args, global)),
        // Has exit codes of its own.
        SloCommand::Gate(args) => gate::run(args, global),
        SloCommand::Review(args) => or_nothing(review::run(args, global)),
        SloCommand::Annotate(args) => or_nothing(annotate::run(args, global)),
        SloCommand::Correct(args) => or_nothing(correct::run(args, global)),
        SloCommand::Generate(args) => convert::generate(args, global),
        SloCommand::Import(args) => convert::import(args, global),
        SloCommand::Export(args) => convert::export(args, global),
    }
}

/// What the server does not know is nothing found, and no failure.
fn or_nothing(ended: Result<Outcome>) -> Result<Outcome> {
    Ok(found(ended)?.unwrap_or(Outcome::NothingFound))
}

/// Ends a list, as JSON too: an empty one is nothing found.
fn listed(data: &Value, key: &str, nothing: &str) -> Outcome {
    if items(&data[key]).next().is_some() {
        return Outcome::Done;
    }
    eprintln!("{nothing}");
    Outcome::NothingFound
}

/// Reads objectives. With any mistake, all mistakes are said on standard error, and how the command ends; so it is where
/// there are no objectives.
fn load(paths: &[PathBuf]) -> Result<Result<SloSet, Outcome>> {
    let files = files_in(paths)?;
    let borrowed: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    Ok(match slo::load(&borrowed) {
        Ok(set) if set.slos.is_empty() => {
            say_nothing_found(paths, files.len());
            Err(Outcome::NothingFound)
        }
        Ok(set) => Ok(set),
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}\n"));
            match errors.len() {
                1 => eprintln!("this mistake must be mended first"),
                count => eprintln!("these {count} mistakes must be mended first"),
            }
            Err(Outcome::ConditionFailed)
        }
    })
}

/// Says on standard error that there is no objective where one was looked for.
fn say_nothing_found(paths: &[PathBuf], files: usize) {
    let named: Vec<String> =
        paths.iter().map(|path| printable(&path.display().to_string())).collect();
    let named = named.join(", ");
    match files {
        0 => eprintln!("no objective was found: there is no *.yml or *.yaml file in {named}"),
        _ => eprintln!("no objective was found in {named}"),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Writes a text to a file, or to standard output.
fn write_text(text: &str, output: Option<&PathBuf>) -> Result<()> {
    match output {
        None => write_stdout(text),
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
            eprintln!("wrote {}", path.display());
        }
    }
    Ok(())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    printable(value.as_str().unwrap_or(""))
}

/// An objective's name with its group's values.
fn name_of(status: &Value) -> String {
    let values: Vec<String> =
        status["group"].as_object().into_iter().flatten().map(|(_, value)| word(value)).collect();
    let name = word(&status["slo"]);
    if values.is_empty() { name } else { format!("{name} ({})", values.join(", ")) }
}

/// As many digits as say something: `0.37`, `14.4`, `1300`.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A share in percent, or a dash.
fn percent(share: &Value) -> String {
    share.as_f64().map_or("–".into(), |share| format!("{} %", figure(share * 100.0)))
}

/// A target in percent, as it is written.
fn target_percent(share: &Value) -> String {
    let Some(share) = share.as_f64() else { return "–".into() };
    let text = format!("{:.6}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A share of good events in percent, or a dash; said as in the sentences of the server.
fn good_percent(share: &Value, target: &Value) -> String {
    let said = |share| slo::good_percent(share, target.as_f64().unwrap_or(0.0));
    share.as_f64().map_or("–".into(), said)
}

/// What is left of a whole in percent, or a dash; said as in the sentences of the server.
fn left_percent(share: &Value) -> String {
    share.as_f64().map_or("–".into(), slo::left_percent)
}

/// A moment as people read it, in UTC.
fn moment(millis: &Value) -> String {
    let time = millis.as_i64().map(skopos_model::Timestamp::from_millis);
    time.map_or("–".into(), |time| {
        let text = time.to_string();
        let (date, rest) = text.split_once('T').unwrap_or((&text, ""));
        format!("{date} {}", rest.split(['.', 'Z']).next().unwrap_or(rest)).trim_end().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_have_the_digits_that_say_something() {
        for (value, want) in [(0.0, "0"), (0.374, "0.37"), (14.4, "14.4"), (1300.0, "1300")] {
            assert_eq!(figure(value), want);
        }
        assert_eq!(percent(&json!(-1.905)), "-190 %");
        let target = json!(0.999);
        for (share, want) in
            [(0.999_669, "99.966 %"), (1.0, "100 %"), (0.999_999_9, "99.999 %"), (0.57, "57 %")]
        {
            assert_eq!(good_percent(&json!(share), &target), want);
        }
        assert_eq!(target_percent(&json!(0.999_995)), "99.9995 %");
        assert_eq!(left_percent(&json!(0.999_6)), "99.9 %");
        let none = Value::Null;
        assert!(
            [
                percent(&none),
                target_percent(&none),
                good_percent(&none, &target),
                left_percent(&none)
            ]
            .iter()
            .all(|text| text == "–")
        );
        assert_eq!(moment(&json!(1_700_000_000_000_i64)), "2023-11-14 22:13:20");
        let grouped = json!({"slo": "a", "group": {"region": "eu"}});
        assert_eq!(name_of(&grouped), "a (eu)");
    }
}
