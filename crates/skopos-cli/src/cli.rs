//! The command line: what can be said and what it is called.

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

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

impl Command {
    /// Whether the answer can be written so.
    fn can_write(&self, format: Format) -> bool {
        match format {
            Format::Text | Format::Json | Format::Ndjson => true,
            Format::Concise | Format::Github | Format::Gitlab | Format::Markdown => {
                matches!(self, Self::Audit(_))
            }
            Format::Csv => matches!(self, Self::Cardinality(_) | Self::Query(_) | Self::Sql(_)),
            Format::Arrow => matches!(self, Self::Sql(_)),
            Format::Parquet => matches!(self, Self::Export(_)),
            Format::Sarif => match self {
                Self::Audit(_) => true,
                Self::Rules(commands::rules::RulesCommand::Check(args)) => args.can_write_sarif(),
                _ => false,
            },
        }
    }
}

impl Cli {
    pub(crate) fn run(self) -> Result<Outcome> {
        let global = self.global;
        crate::output::set_color(global.color);
        if !self.command.can_write(global.format) {
            let message = match global.format {
                Format::Csv if matches!(self.command, Command::Export(_)) => {
                    "--format csv: `skopos export` writes parquet and ndjson; csv comes from \
                     `skopos sql --format csv`"
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
            <Self as clap::CommandFactory>::command()
                .error(clap::error::ErrorKind::ArgumentConflict, message)
                .exit();
        }
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
