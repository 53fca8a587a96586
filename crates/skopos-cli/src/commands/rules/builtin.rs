//! `skopos rules builtin`: what comes with `--rules builtin`, to read and to copy.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::json;
use skopos_alerting::builtin::{self, BuiltinFile};
use skopos_alerting::rules;

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, columns, dim, print_json, write_stdout};

/// Show or copy the rules that come with Skopos.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos rules builtin                                 every alert with its severity and summary
  skopos rules builtin golden-signals.yml              a file
  skopos rules builtin HighLatency                     an alert's runbook
  skopos rules builtin --export my-rules               copy rules, tests and runbooks, to change them
  skopos serve --rules builtin                         use them as they are

Exit codes: 0 done, 1 failed, 3 there is no such file or alert.")]
pub(crate) struct BuiltinArgs {
    /// A file of the pack, or an alert.
    #[arg(value_name = "FILE|ALERT")]
    name: Option<String>,
    /// Copy the whole pack into a new folder.
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    export: Option<PathBuf>,
}

/// An alert of the pack.
struct Alert {
    name: String,
    severity: String,
    file: &'static str,
    summary: String,
    runbook: String,
}

pub(crate) fn run(args: BuiltinArgs, global: &GlobalArgs) -> Result<Outcome> {
    let alerts = alerts()?;
    match (args.export, args.name) {
        (Some(folder), _) => export(folder),
        (None, Some(name)) => {
            let page = alerts.iter().find(|alert| alert.name == name);
            let page = page.and_then(|alert| builtin::runbook(&alert.runbook));
            let found = files().find(|file| file.name() == name || file.path == name).or(page);
            let Some(file) = found else {
                let mut names: Vec<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
                for file in files() {
                    names.push(file.name());
                }
                let near = rules::nearest(&name, names);
                let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                eprintln!("the pack has no file or alert {name:?}{hint}");
                return Ok(Outcome::NothingFound);
            };
            match global.format {
                Format::Text => write_stdout(file.text),
                format => print_json(&json!({"path": file.path, "text": file.text}), format),
            }
            Ok(Outcome::Done)
        }
        (None, None) => {
            list(&alerts, global);
            Ok(Outcome::Done)
        }
    }
}

fn files() -> impl Iterator<Item = &'static BuiltinFile> {
    [builtin::rule_files(), builtin::test_files(), builtin::runbooks()].into_iter().flatten()
}

fn alerts() -> Result<Vec<Alert>> {
    let mut alerts = Vec::new();
    for file in builtin::rule_files() {
        let set = rules::load(&[(file.path, file.text)])
            .map_err(|errors| anyhow!("{}", errors[0]))
            .context("read the built-in rules")?;
        for rule in set.groups.iter().flat_map(|group| &group.rules) {
            let Some(spec) = rule.alerting() else { continue };
            let annotation = |name| spec.annotations.get(name).cloned().unwrap_or_default();
            alerts.push(Alert {
                name: rule.name.clone(),
                severity: rule.labels.get("severity").cloned().unwrap_or_default(),
                file: file.name(),
                summary: annotation("description"),
                runbook: annotation("runbook"),
            });
        }
    }
    Ok(alerts)
}

fn list(alerts: &[Alert], global: &GlobalArgs) {
    if global.format != Format::Text {
        let rows = alerts.iter().map(|alert| {
            json!({
                "alert": alert.name, "severity": alert.severity, "file": alert.file,
                "description": alert.summary, "runbook": alert.runbook,
            })
        });
        print_json(&rows.collect(), global.format);
        return;
    }
    let mut rows = vec![["ALERT", "SEVERITY", "FILE", ""].map(String::from).to_vec()];
    for alert in alerts {
        let what = alert.summary.replace("{{ $labels.service }}", "the service");
        let what = what.replace("{{ $labels.queue_name }}", "the queue");
        rows.push(vec![alert.name.clone(), alert.severity.clone(), alert.file.into(), what]);
    }
    write_stdout(&columns(&rows));
    let count = |files: &[BuiltinFile]| files.len();
    let text = format!(
        "{} test files and {} runbooks belong to them; `skopos rules builtin --export DIR` copies all",
        count(builtin::test_files()),
        count(builtin::runbooks())
    );
    write_stdout(&format!("{}\n", dim(text)));
}

fn export(folder: PathBuf) -> Result<Outcome> {
    if folder.exists() {
        bail!("{} exists already; name a new folder", folder.display());
    }
    for file in files() {
        let path = folder.join(file.name());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("create {}", parent.display()))?;
        }
        std::fs::write(&path, file.text).with_context(|| format!("write {}", path.display()))?;
    }
    let folder = folder.display();
    write_stdout(&format!(
        "copied to {folder}; change what you like, run `skopos rules test {folder}/tests`, then `skopos serve --rules {folder}`\n"
    ));
    Ok(Outcome::Done)
}
