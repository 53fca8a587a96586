//! The command line: what can be said and what it is called.

use std::ffi::OsStr;

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, FromArgMatches as _, Parser, Subcommand, ValueEnum as _};

use crate::Outcome;
use crate::commands;
use crate::output::{ColorChoice, Format};

#[cfg(feature = "demo")]
macro_rules! demo_example {
    () => {
        "  skopos demo                     see the whole story on three real services\n"
    };
}

#[cfg(not(feature = "demo"))]
macro_rules! demo_example {
    () => {
        ""
    };
}

const AFTER_HELP: &str = concat!(
    "Examples:
  skopos serve --rules rules.yml --webhook http://127.0.0.1:9000/hook
  skopos query 'sum(rate(http_requests_total[5m]))'
  skopos audit                    what leaves this repository's services flying blind?
",
    demo_example!(),
    "
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing found, 4 a checked condition does not hold. Of audit:
1 findings, 2 it could not be done."
);

/// Production monitoring in one binary: logs, traces, metrics, alerts.
///
/// An alert fires on a metric; its logs lead to a trace; the trace leads to the slow service; the
/// fix shows in the metric. `skopos serve` takes OpenTelemetry data and Prometheus scrapes, stores
/// them, answers queries and evaluates alert rules; the other commands ask a running server.
#[derive(Debug, Parser)]
#[command(name = "skopos", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Output format.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, help_heading = "Output")]
    pub(crate) format: Format,
    /// Whether to colour the output.
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, help_heading = "Output")]
    pub(crate) color: ColorChoice,
}

/// Which server a client command asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    /// Address of the server's API.
    #[arg(
        long,
        env = "SKOPOS_SERVER",
        default_value = "http://127.0.0.1:4319",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// Access token, when the server wants one.
    #[arg(long, env = "SKOPOS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: take telemetry, store it, answer queries, evaluate rules, notify.
    Serve(Box<commands::serve::ServeArgs>),
    /// Run the whole story on three real services: alert, logs, trace, fix, recovery.
    #[cfg(feature = "demo")]
    Demo(crate::demo::DemoArgs),
    /// Evaluate a PromQL query, now or over a range.
    Query(commands::query::QueryArgs),
    /// Run PromQL test scripts: load series, evaluate queries, compare with what is expected.
    #[command(name = "promqltest")]
    PromqlTest(commands::promqltest::PromqlTestArgs),
    /// Query logs, spans and metrics with SQL.
    Sql(commands::sql::SqlArgs),
    /// Write stored data as plain rows that other engines read.
    Export(commands::export::ExportArgs),
    /// Show log records.
    Logs(commands::logs::LogsArgs),
    /// Follow spans and log records as they arrive.
    Tail(commands::tail::TailArgs),
    /// Show one trace as a tree with its logs, or find traces.
    Trace(commands::trace::TraceArgs),
    /// Show alerts and say why they fire or do not.
    Alerts(commands::alerts::AlertsArgs),
    /// Show how many series there are, of what, and who went beyond limits.
    Cardinality(commands::cardinality::CardinalityArgs),
    /// Show a server in one look: ingest, storage, rules, problems and what to do about them.
    Status(commands::status::StatusArgs),
    /// Open the web UI: its start page, a trace, an alert, logs.
    Open(commands::open::OpenArgs),
    /// Ask a probe; the exit code says what it answered.
    Health(commands::health::HealthArgs),
    // Its words stand at its arguments.
    Audit(Box<skopos_audit::cli::Args>),
    /// Check a running service, in any language, against the guide.
    Doctor(Box<commands::doctor::DoctorArgs>),
    /// Print what Kubernetes needs to know of a service.
    #[command(subcommand)]
    K8s(commands::k8s::K8sCommand),
    /// Check and test rule files.
    #[command(subcommand)]
    Rules(commands::rules::RulesCommand),
    /// Begin and check runbooks.
    #[command(subcommand)]
    Runbook(commands::runbook::RunbookCommand),
    /// Service level objectives: write, check, watch, and decide whether to deploy.
    #[command(subcommand)]
    Slo(commands::slo::SloCommand),
    /// Check who is told of alerts, try it, and see what became of it.
    #[command(subcommand)]
    Notify(commands::notify::NotifyCommand),
    /// Show and check the configuration.
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// Copy all data, consistently, into a new folder.
    Snapshot(commands::snapshot::SnapshotArgs),
    /// Make a data folder out of a snapshot.
    Restore(commands::snapshot::RestoreArgs),
    /// Check every block of a data folder against its checksum.
    Verify(commands::verify::VerifyArgs),
    /// Create and list access tokens.
    #[command(subcommand)]
    Token(commands::token::TokenCommand),
    /// Print a shell's completion script.
    Completions(commands::completions::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands.
    Man(commands::man::ManArgs),
}

/// The forms in which a command answers, by its path.
fn formats(path: &[&str]) -> &'static [Format] {
    use Format::{
        Arrow, Concise, Csv, Github, Gitlab, Json, Markdown, Ndjson, Parquet, Sarif, Text,
    };
    match path {
        ["audit"] => &[Text, Concise, Json, Ndjson, Sarif, Github, Gitlab, Markdown],
        ["cardinality" | "query"] => &[Text, Json, Ndjson, Csv],
        ["sql"] => &[Text, Json, Ndjson, Csv, Arrow],
        ["export"] => &[Text, Json, Ndjson, Parquet],
        ["rules", "check"] => &[Text, Json, Ndjson, Sarif],
        _ => &[Text, Json, Ndjson],
    }
}

/// The command line, each command with the forms in which it answers.
pub(crate) fn command() -> clap::Command {
    fn with_formats(command: clap::Command, path: &[&str]) -> clap::Command {
        let has_commands = command.has_subcommands();
        let command = command.mut_subcommands(|inner| {
            let name = inner.get_name().to_owned();
            with_formats(inner, &[path, &[&name]].concat())
        });
        if has_commands || path.is_empty() {
            return command;
        }
        let format = clap::Arg::new("format")
            .long("format")
            .help("Output format")
            .help_heading("Output")
            .value_name("FORMAT")
            .default_value("text")
            .value_parser(Answers(formats(path)));
        command.arg(format)
    }
    with_formats(<Cli as clap::CommandFactory>::command().bin_name("skopos"), &[])
}

/// Reads any format; names those in which a command answers. What it says of the others is more than a list.
#[derive(Clone)]
struct Answers(&'static [Format]);

impl TypedValueParser for Answers {
    type Value = Format;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Format, clap::Error> {
        let known = value.to_str().and_then(|name| Format::from_str(name, false).ok());
        known.map_or_else(
            || {
                let names = self.0.iter().filter_map(Format::to_possible_value);
                let refused = PossibleValuesParser::new(names);
                refused.parse_ref(command, argument, value).map(|_| Format::Text)
            },
            Ok,
        )
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().filter_map(Format::to_possible_value)))
    }
}

impl Cli {
    /// Reads the arguments of this process. The error may be help that was asked for.
    pub(crate) fn parse_arguments() -> Result<Self, clap::Error> {
        let mut matches = command().try_get_matches()?;
        let mut path = Vec::new();
        let mut inner = &matches;
        while let Some((name, of)) = inner.subcommand() {
            path.push(name.to_owned());
            inner = of;
        }
        let cli = Self::from_arg_matches_mut(&mut matches)
            .map_err(|error| error.format(&mut command()))?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let format = cli.global.format;
        let explains = |command: &Command| match command {
            Command::Rules(commands::rules::RulesCommand::Check(args)) => !args.can_write_sarif(),
            _ => false,
        };
        let is_written = formats(&path).contains(&format)
            && !(format == Format::Sarif && explains(&cli.command));
        if is_written {
            return Ok(cli);
        }
        let message = match format {
            Format::Csv if path == ["export"] => {
                "--format csv: `skopos export` writes parquet and ndjson; csv comes from `skopos sql --format csv`"
            }
            Format::Csv => "--format csv: the answer of this command is no table; use json",
            Format::Arrow => "--format arrow: only `skopos sql` answers so",
            Format::Sarif => {
                "--format sarif: only `skopos audit` and `skopos rules check` answer so"
            }
            Format::Concise | Format::Github | Format::Gitlab | Format::Markdown => {
                "--format concise, github, gitlab, markdown: only `skopos audit` answers so"
            }
            _ => "--format parquet: only `skopos export` writes so",
        };
        Err(command().error(clap::error::ErrorKind::ArgumentConflict, message))
    }

    pub(crate) fn run(self) -> Result<Outcome> {
        let global = self.global;
        crate::output::set_color(global.color);
        match self.command {
            Command::Serve(args) => commands::serve::run(*args, &global),
            #[cfg(feature = "demo")]
            Command::Demo(args) => crate::demo::run(args, &global),
            Command::Query(args) => commands::query::run(args, &global),
            Command::PromqlTest(args) => commands::promqltest::run(args, &global),
            Command::Sql(args) => commands::sql::run(args, &global),
            Command::Export(args) => commands::export::run(args, &global),
            Command::Logs(args) => commands::logs::run(args, &global),
            Command::Tail(args) => commands::tail::run(args, &global),
            Command::Trace(args) => commands::trace::run(args, &global),
            Command::Alerts(args) => commands::alerts::run(args, &global),
            Command::Cardinality(args) => commands::cardinality::run(args, &global),
            Command::Status(args) => commands::status::run(args, &global),
            Command::Open(args) => commands::open::run(args, &global),
            Command::Health(args) => commands::health::run(args, &global),
            Command::Audit(args) => commands::audit::run(*args, &global),
            Command::Doctor(args) => commands::doctor::run(*args, &global),
            Command::K8s(command) => commands::k8s::run(command, &global),
            Command::Rules(command) => commands::rules::run(command, &global),
            Command::Runbook(command) => commands::runbook::run(command, &global),
            Command::Slo(command) => commands::slo::run(command, &global),
            Command::Notify(command) => commands::notify::run(command, &global),
            Command::Config(command) => commands::config::run(command, &global),
            Command::Snapshot(args) => commands::snapshot::take(args, &global),
            Command::Restore(args) => commands::snapshot::restore(args, &global),
            Command::Verify(args) => commands::verify::run(args, &global),
            Command::Token(command) => commands::token::run(command, &global),
            Command::Completions(args) => commands::completions::run(args),
            Command::Man(args) => commands::man::run(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(path: &[&str]) -> clap::Command {
        let mut command = command();
        command.build();
        path.iter().fold(command, |command, name| {
            command.find_subcommand(name).cloned().expect("a command")
        })
    }

    #[test]
    fn every_command_lists_the_forms_in_which_it_answers_and_no_other() {
        command().debug_assert();
        for (path, listed, not) in [
            (&["audit"][..], "sarif", "parquet"),
            (&["rules", "check"], "sarif", "gitlab"),
            (&["sql"], "arrow", "sarif"),
            (&["export"], "parquet", "csv"),
            (&["status"], "ndjson", "csv"),
            (&["slo", "gate"], "json", "markdown"),
        ] {
            let leaf = leaf(path);
            let format = leaf.get_arguments().find(|arg| arg.get_id() == "format").unwrap();
            let values = format.get_possible_values();
            let names: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
            assert!(names.contains(&listed) && !names.contains(&not), "{path:?}: {names:?}");
        }
    }

    #[test]
    fn the_format_counts_before_a_command_and_behind_it() {
        let of = |words: &[&str]| {
            let matches = command().try_get_matches_from(words);
            matches
                .map(|mut matches| Cli::from_arg_matches_mut(&mut matches).unwrap().global.format)
        };
        assert_eq!(of(&["skopos", "audit"]).unwrap(), Format::Text);
        assert_eq!(of(&["skopos", "audit", "--format", "sarif"]).unwrap(), Format::Sarif);
        assert_eq!(of(&["skopos", "--format", "json", "audit"]).unwrap(), Format::Json);
        assert_eq!(
            of(&["skopos", "rules", "--format", "json", "check", "x"]).unwrap(),
            Format::Json
        );
        assert_eq!(of(&["skopos", "status", "--format", "table"]).unwrap(), Format::Text);
        let refused = of(&["skopos", "audit", "--format", "xml"]).unwrap_err().to_string();
        assert!(refused.contains("gitlab") && !refused.contains("parquet"), "{refused}");
        let usage = command().try_get_matches_from(["/opt/other", "audit", "--help"]).unwrap_err();
        assert!(usage.to_string().contains("Usage: skopos audit"), "{usage}");
    }
}
