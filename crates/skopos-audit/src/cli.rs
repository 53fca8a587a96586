//! `skopos audit`: its arguments, and what it does with them. The binary prints what comes out and ends with the code.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};

use crate::baseline::Baseline;
use crate::output::{annotations, markdown, sarif, text};
use crate::{Config, FILE_NAME, FolderTree, Report, Rule, Severity, Tree as _, audit, since};

/// Finds what leaves the services of a repository flying blind.
///
/// Reads code and configuration, finds the services, and says per service what production monitoring lacks, what leaks, and
/// what to mend next. Works offline, runs nothing, changes nothing.
///
/// Exit codes: 0 nothing found, 1 findings, 2 it could not be done.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(after_help = "Examples:
  skopos audit                                   this folder, as text
  skopos audit services/api --format sarif --output audit.sarif
  skopos audit --write-baseline audit.json       accept what there is
  skopos audit --baseline audit.json             fail on what is new
  skopos audit --since origin/main               only lines that changed
  skopos audit --production-check                six pillars, pass or fail
  skopos audit --explain MET004")]
pub struct Args {
    /// The folder to look at.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// How the report is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write the report to a file instead.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Judge only these rules or areas (`LOG,SEC001`).
    #[arg(long, value_delimiter = ',', value_name = "RULES")]
    pub select: Vec<String>,
    /// Do not judge these rules or areas.
    #[arg(long, value_delimiter = ',', value_name = "RULES")]
    pub ignore: Vec<String>,
    /// Configuration; `skopos-audit.toml` of the folder otherwise.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Report only what concerns this service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Hold back what this file knows.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write what is found to a baseline, and end well.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub write_baseline: Option<PathBuf>,
    /// Report only findings on lines that changed since this revision of git.
    #[arg(long, value_name = "REV")]
    pub since: Option<String>,
    /// The least weight that makes it end with 1.
    #[arg(long, value_name = "SEVERITY", value_parser = ["low", "normal", "important", "critical"])]
    pub fail_on: Option<String>,
    /// End with 1 when a service has a lower grade.
    #[arg(long, value_name = "GRADE", value_parser = ["A", "B", "C", "D", "E"])]
    pub min_grade: Option<String>,
    /// End well whatever is found.
    #[arg(long)]
    pub exit_zero: bool,
    /// Say for each service which of the six pillars pass; end with 1 when one fails.
    #[arg(long)]
    pub production_check: bool,
    /// Print a rule's page.
    #[arg(long, value_name = "RULE", conflicts_with = "list_rules")]
    pub explain: Option<String>,
    /// List every rule.
    #[arg(long)]
    pub list_rules: bool,
    /// Say what was looked at.
    #[arg(long)]
    pub stats: bool,
    /// Show what is mitigated and what cannot be told, too.
    #[arg(long, short)]
    pub verbose: bool,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, with the lines of code.
    #[default]
    Text,
    /// One line a finding.
    Concise,
    /// JSON, versioned.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// Workflow commands of GitHub.
    Github,
    /// Code quality of GitLab.
    Gitlab,
    /// Markdown, for a pull request.
    Markdown,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub notes: String,
    /// 0 or 1.
    pub code: u8,
}

/// Why an audit could not be done: exit code 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder cannot be walked.
    #[error(transparent)]
    Walk(#[from] crate::WalkError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// A file cannot be read or written.
    #[error("{path}: {message}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// There is no such rule.
    #[error("there is no rule `{code}`; `skopos audit --list-rules` lists them")]
    NoRule {
        /// As given.
        code: String,
    },
    /// There is no such service.
    #[error("there is no service `{name}`; there are: {known}")]
    NoService {
        /// As given.
        name: String,
        /// What there is.
        known: String,
    },
    /// git could not tell what changed.
    #[error("--since: {message}")]
    Since {
        /// What it said.
        message: String,
    },
}

/// Does what the arguments ask. `version` is the binary's.
///
/// # Errors
/// It could not be done; findings are no error.
pub fn run(args: &Args, version: &str) -> Result<Done, Error> {
    if let Some(code) = &args.explain {
        let rule = Rule::find(code).ok_or_else(|| Error::NoRule { code: code.clone() })?;
        return Ok(Done { output: rule.page.to_owned(), notes: String::new(), code: 0 });
    }
    if args.list_rules {
        return Ok(Done { output: rules(args.format), notes: String::new(), code: 0 });
    }
    let config = configuration(args)?;
    let tree = FolderTree::open(&args.path, &config)?;
    let mut report = audit(&tree, &config);
    if let Some(path) = &args.write_baseline {
        let baseline = Baseline::of(&report);
        write(path, &baseline.render())?;
        let notes =
            format!("{} findings are known now: {}\n", report.failures().count(), path.display());
        return Ok(Done { output: String::new(), notes, code: 0 });
    }
    if let Some(path) = &args.baseline {
        let wrong = |message| Error::File { path: path.display().to_string(), message };
        Baseline::parse(&read(path)?).map_err(wrong)?.apply(&mut report);
    }
    if let Some(name) = &args.service {
        only_service(&mut report, name)?;
    }
    if let Some(revision) = &args.since {
        let changed =
            since::changed(tree.root(), revision).map_err(|message| Error::Since { message })?;
        let is_new = |path: &str, line: usize| {
            changed.get(path).is_some_and(|c| c.iter().any(|r| r.contains(&line)))
        };
        report.findings.retain(|f| is_new(&f.path, f.line));
    }
    let code = u8::from(!args.exit_zero && fails(args, &report));
    let mut notes = String::new();
    if args.stats {
        let s = &report.stats;
        notes = format!(
            "{} files: {} of code parsed, {} skipped for want of any literal, {} documents; {} facts, {} rules, {} services\n",
            tree.paths().len(),
            s.parsed,
            s.skipped,
            s.documents,
            s.facts,
            s.rules,
            report.services.len(),
        );
    }
    let mut output =
        if args.production_check && matches!(args.format, Format::Text | Format::Concise) {
            text::production_check(&report)
        } else {
            render(&report, args, version)
        };
    if let Some(path) = &args.output {
        write(path, &output)?;
        notes.push_str(&format!("{}\n", text::summary(&report)));
        output = String::new();
    }
    Ok(Done { output, notes, code })
}

fn configuration(args: &Args) -> Result<Config, Error> {
    let mut config = match &args.config {
        Some(path) => Config::parse(&read(path)?)?,
        None => {
            let path = args.path.join(FILE_NAME);
            if path.is_file() { Config::parse(&read(&path)?)? } else { Config::default() }
        }
    };
    for code in args.select.iter().chain(&args.ignore) {
        let is_known = Rule::all()
            .iter()
            .any(|r| r.code.get(..code.len()).is_some_and(|c| c.eq_ignore_ascii_case(code)));
        if !is_known || code.is_empty() {
            return Err(Error::NoRule { code: code.clone() });
        }
    }
    if !args.select.is_empty() {
        config.select.clone_from(&args.select);
    }
    config.ignore.extend(args.ignore.iter().cloned());
    Ok(config)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::File {
        path: path.display().to_string(),
        message: error.to_string(),
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| Error::File {
        path: path.display().to_string(),
        message: error.to_string(),
    })
}

fn only_service(report: &mut Report, name: &str) -> Result<(), Error> {
    if !report.services.iter().any(|service| service.name == name) {
        let known: Vec<&str> =
            report.services.iter().map(|service| service.name.as_str()).collect();
        return Err(Error::NoService { name: name.to_owned(), known: known.join(", ") });
    }
    report.services.retain(|service| service.name == name);
    report.findings.retain(|finding| finding.service.as_deref().is_none_or(|of| of == name));
    report.suppressed.retain(|s| s.finding.service.as_deref().is_none_or(|of| of == name));
    Ok(())
}

fn fails(args: &Args, report: &Report) -> bool {
    let scores = || report.services.iter().filter_map(|service| service.score.as_ref());
    if args.production_check {
        return scores().any(|score| score.pillars.iter().any(|pillar| !pillar.passes));
    }
    if let Some(least) = &args.min_grade
        && scores().any(|score| score.grade.trim_end_matches('?') > least.as_str())
    {
        return true;
    }
    if args.min_grade.is_some() && args.fail_on.is_none() {
        return false;
    }
    let least = args.fail_on.as_deref().and_then(Severity::from_name).unwrap_or(Severity::Low);
    report.failures().any(|finding| finding.severity >= least)
}

fn render(report: &Report, args: &Args, version: &str) -> String {
    let json =
        |value: &dyn Fn() -> Result<String, serde_json::Error>| value().unwrap_or_default() + "\n";
    match args.format {
        Format::Text => text::text(report, text::Show { concise: false, verbose: args.verbose }),
        Format::Concise => text::text(report, text::Show { concise: true, verbose: args.verbose }),
        Format::Json => json(&|| serde_json::to_string_pretty(report)),
        Format::Sarif => json(&|| serde_json::to_string_pretty(&sarif::sarif(report, version))),
        Format::Github => annotations::github(report),
        Format::Gitlab => json(&|| serde_json::to_string_pretty(&annotations::gitlab(report))),
        Format::Markdown => markdown::markdown(report),
    }
}

fn rules(format: Format) -> String {
    if format == Format::Json {
        let all: Vec<serde_json::Value> = Rule::all()
            .iter()
            .map(|rule| {
                serde_json::json!({
                    "rule": rule.code, "title": rule.title, "severity": rule.severity, "pillar": rule.pillar,
                    "guide": rule.guide, "judges": rule.judges, "preview": rule.preview,
                })
            })
            .collect();
        return serde_json::to_string_pretty(&all).unwrap_or_default() + "\n";
    }
    let line = |rule: &Rule| {
        let preview = if rule.preview { " (preview)" } else { "" };
        format!(
            "{}  {:<9}  {:<8}  {}{preview}\n",
            rule.code,
            rule.severity.as_str(),
            rule.pillar.as_str(),
            rule.title
        )
    };
    Rule::all().iter().map(line).collect()
}
