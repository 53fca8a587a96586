//! `skopos rules check`: can these rules be loaded, can their alerts fire, and do they help whoever is woken?

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use skopos_lint::{Check, Options, Owners, Policies, Priority, Report, Routes, Severity};
use skopos_model::{Clock, SystemClock};

use super::pages::Files;
use super::read_files;
use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, print_json, write_stdout};

/// Check rule files, and the runbooks that their alerts link.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos rules check rules.yml
  skopos rules check rules/ --runbooks runbooks --owners owners.yml --deny warnings
  skopos rules check rules/ --format sarif > rules.sarif
  skopos rules check --explain promql/counter

In a rule file, `# skopos:ignore CODE reason` holds a finding back; pint's comments are honoured.

Exit codes: 0 all good, 4 errors found (with --deny also warnings or notes), 1 a file could not be read.")]
pub(crate) struct CheckArgs {
    /// Prometheus rule files (or Kubernetes' PrometheusRule), or folders of them; checked together.
    #[arg(required_unless_present = "explain", value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Say what a check finds and why, with examples; `list` names them all.
    #[arg(long, value_name = "CODE", conflicts_with = "paths")]
    explain: Option<String>,
    /// Fail on warnings too, or on everything.
    #[arg(long, value_name = "LEVEL")]
    deny: Option<Deny>,
    /// Show findings of at least this weight: info, warning, error.
    #[arg(long, value_name = "LEVEL", default_value = "warning", value_parser = severity)]
    min_severity: Severity,
    /// Only these checks; `alerts/*` is a whole area. May be repeated.
    #[arg(long, value_name = "CODE", value_parser = code)]
    only: Vec<String>,
    /// Not these checks. May be repeated.
    #[arg(long, value_name = "CODE", value_parser = code)]
    disable: Vec<String>,
    /// What a severity label means, such as `urgent=P1`: P1, P2, P3 or none. May be repeated.
    #[arg(long, value_name = "LABEL=PRIORITY", value_parser = meaning)]
    severity: Vec<(String, Priority)>,
    /// The shortest `for` that is not a spike.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    shortest_for: Duration,
    /// Folder of runbooks: paths are looked up here too, and addresses by their last part.
    #[arg(long, value_name = "DIR")]
    runbooks: Vec<PathBuf>,
    /// File of owners: a mapping from names, `schedule` says how they are reached.
    #[arg(long, value_name = "FILE")]
    owners: Option<PathBuf>,
    /// File of policies: labels and annotations that your rules must have, and more (`--explain rule/label`).
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Alertmanager configuration: does each alert reach somebody, and a pager when it is P1?
    #[arg(long, value_name = "FILE")]
    alertmanager_config: Option<PathBuf>,
    /// Fetch runbooks that are addresses.
    #[arg(long)]
    online: bool,
}

impl CheckArgs {
    /// Findings have a form in SARIF, explanations have none.
    pub(crate) fn can_write_sarif(&self) -> bool {
        self.explain.is_none()
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Deny {
    /// Warnings count as errors.
    Warnings,
    /// Everything counts as an error.
    Info,
}

pub(crate) fn run(args: CheckArgs, global: &GlobalArgs) -> Result<Outcome> {
    if let Some(code) = &args.explain {
        return explain(code, global.format);
    }
    let files = read_files(&args.paths)?;
    let borrowed: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let mut options = Options {
        shortest_for: args.shortest_for,
        policies: args.policy.as_deref().map(read_policies).transpose()?,
        owners: args.owners.as_deref().map(read_owners).transpose()?,
        today: SystemClock::new().now().to_string().split('T').next().map(str::to_owned),
        only: args.only,
        except: args.disable,
        ..Options::default()
    };
    if let Some(path) = &args.alertmanager_config {
        let path = path.display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        options.routes = match Routes::load(&path, &text) {
            Ok(routes) => Some(routes),
            Err(errors) => {
                errors.iter().for_each(|error| eprintln!("{error}\n"));
                return Ok(Outcome::ConditionFailed);
            }
        };
    }
    for (label, priority) in &args.severity {
        options.severities.set(label, *priority);
    }
    let pages = Files::new(args.runbooks, args.online)?;
    let report = skopos_lint::check(&borrowed, &options, &pages);
    print(&report, args.min_severity, global.format)?;
    let least = match args.deny {
        None => Severity::Error,
        Some(Deny::Warnings) => Severity::Warning,
        Some(Deny::Info) => Severity::Info,
    };
    Ok(if report.is_below(least) { Outcome::Done } else { Outcome::ConditionFailed })
}

fn print(report: &Report, least: Severity, format: Format) -> Result<()> {
    match format {
        Format::Text => write_stdout(&report.render(least)),
        Format::Sarif => {
            print_json(&skopos_lint::sarif(report, env!("CARGO_PKG_VERSION")), Format::Json);
        }
        Format::Ndjson => {
            for finding in &report.findings {
                let line = serde_json::to_value(finding).context("print the findings")?;
                print_json(&line, format);
            }
        }
        format => {
            let mut value = serde_json::to_value(report).context("print the report")?;
            value["errors"] = report.count(Severity::Error).into();
            value["warnings"] = report.count(Severity::Warning).into();
            print_json(&value, format);
        }
    }
    Ok(())
}

fn explain(code: &str, format: Format) -> Result<Outcome> {
    if code == "list" {
        let all = Check::all();
        if format == Format::Text {
            let rows: Vec<Vec<String>> = all
                .iter()
                .map(|c| vec![c.code.into(), c.severity.to_string(), c.title.into()])
                .collect();
            write_stdout(&crate::output::columns(&rows));
        } else {
            let rows = all.iter().map(|c| {
                serde_json::json!({
                    "code": c.code, "severity": c.severity.as_str(), "title": c.title, "source": c.source,
                })
            });
            print_json(&rows.collect(), format);
        }
        return Ok(Outcome::Done);
    }
    let Some(check) = Check::find(code) else { bail!("{}", unknown(code)) };
    match format {
        Format::Text => write_stdout(check.page),
        format => print_json(
            &serde_json::json!({
                "code": check.code, "severity": check.severity.as_str(), "title": check.title,
                "source": check.source, "page": check.page,
            }),
            format,
        ),
    }
    Ok(Outcome::Done)
}

fn unknown(code: &str) -> String {
    match Check::nearest(code) {
        Some(near) => format!("there is no check {code:?}; did you mean `{near}`?"),
        None => {
            format!("there is no check {code:?}; `skopos rules check --explain list` names them")
        }
    }
}

fn read_policies(path: &std::path::Path) -> Result<Policies> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Policies::parse(&text).map_err(|error| {
        let line = text[..error.offset.min(text.len())].matches('\n').count() + 1;
        anyhow::anyhow!("{}:{line}: {error}", path.display())
    })
}

/// Reads a file of owners.
pub(crate) fn read_owners(path: &std::path::Path) -> Result<Owners> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Owners::parse(&text).map_err(|error| {
        let line = text[..error.offset.min(text.len())].matches('\n').count() + 1;
        anyhow::anyhow!("{}:{line}: {error}", path.display())
    })
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_name(text).ok_or_else(|| "one of info, warning, error".to_owned())
}

fn code(text: &str) -> Result<String, String> {
    let area = text.strip_suffix("/*");
    let is_known = match area {
        Some(area) => {
            Check::all().iter().any(|c| c.code.split_once('/').is_some_and(|(of, _)| of == area))
        }
        None => Check::find(text).is_some(),
    };
    if is_known { Ok(text.to_owned()) } else { Err(unknown(text)) }
}

fn meaning(text: &str) -> Result<(String, Priority), String> {
    let form = "write LABEL=P1, LABEL=P2, LABEL=P3 or LABEL=none";
    let (label, priority) = text.split_once('=').ok_or(form)?;
    let priority = match priority.to_ascii_lowercase().as_str() {
        "p1" => Priority::P1,
        "p2" => Priority::P2,
        "p3" => Priority::P3,
        "none" => Priority::Nobody,
        _ => return Err(form.to_owned()),
    };
    Ok((label.to_owned(), priority))
}

fn duration(text: &str) -> Result<Duration, String> {
    skopos_alerting::parse_duration(text).map_err(|error| error.to_string())
}
