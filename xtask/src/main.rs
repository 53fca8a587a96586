//! `cargo xtask`: the project's own commands, in Rust, so that a fresh clone needs nothing but cargo.
//!
//! What it is not: part of the product. It depends on no Skopos crate, so it builds in seconds and still runs when
//! the workspace does not compile. Each command is one file; `system` alone starts processes and reads the clock.
//!
//! Exit codes: 0 all is well; 1 a check, test or proof failed; 2 the command line was not understood.

mod bench;
mod dist;
mod fuzz;
mod prove;
mod system;
mod test;
mod tidy;
mod ui;

use std::process::ExitCode;

const HELP: &str = "\
The project's own commands.

Usage: cargo xtask <command>

Commands:
  test [--fast]                  install what tests need, then fmt, clippy, tidy, all tests, doctests,
                                 and the web UI's: types, units, a walk in a browser
                                 --fast: fmt, tidy and the tests of the crates that build in seconds
  tidy [--pending ISSUE]         check the rules that no compiler knows (layers, docs, coverage, licences)
                                 --pending: list the coverage rows that wait for an issue
  bench [NAME]                   run a benchmark, or all of one crate; without NAME, list them
  bench sdk [WORD]               measure the SDK beside other libraries and write docs/benchmarks/sdk.md
  bench store [ROW...] [--quick] measure the storage rows and write docs/benchmarks/store.md
  bench alerting [ROW...] [--quick]
                                 the same of alerting: docs/benchmarks/alerting.md
                                 rows: metrics bytes logs traces restart idle; --quick: small, writes no report
  prove [NAME]                   run an acceptance proof; without NAME, list them
  shots                          photograph every screen of the web UI in both themes, into docs/screens/
  dist                           build the release archive with its checksum in dist/; prints size and build time
  fuzz [TARGET] [--seconds N]    mutate inputs of one decoder for N seconds (default 30); without TARGET, list them

Examples:
  cargo xtask test                         what CI runs
  cargo xtask tidy --pending 2             what issue 2 has still to prove in docs/coverage.md
  cargo xtask bench skopos-store           the benchmarks of one crate
  cargo xtask bench sdk counter            counters of the SDK and of others; no report
  cargo xtask bench store bytes            bytes per sample beside Prometheus and VictoriaMetrics
  cargo xtask bench promql                 queries beside Prometheus and VictoriaMetrics; docs/benchmarks/promql.md
  cargo xtask prove loop                   from an alert to the slow span and back, played and verified
  cargo xtask fuzz otlp_logs --seconds 600

Environment:
  CARGO_TARGET_DIR      where to build; the Python environment for tests lies there too
  SKOPOS_NO_INSTALL=1   never install anything; say what is missing instead
  SKOPOS_PY_OTEL=DIR    use this Python environment with the OpenTelemetry SDK instead of making one

Exit codes: 0 all is well; 1 something failed; 2 the command line was not understood.
";

/// The command line was not understood: exit code 2, with the help's first lines as a hint.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<Usage>() {
                eprintln!("see `cargo xtask --help`");
                return ExitCode::from(2);
            }
            ExitCode::from(1)
        }
    }
}

/// Runs one command; `Ok(false)` means that it ran and found something wrong, and has said so.
fn run(args: &[String]) -> anyhow::Result<bool> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["help"] => {
            print!("{HELP}");
            Ok(true)
        }
        all if all.iter().any(|word| matches!(*word, "--help" | "-h")) => {
            print!("{HELP}");
            Ok(true)
        }
        ["test"] => test::run(test::Extent::Full),
        ["test", "--fast"] => test::run(test::Extent::Fast),
        ["shots"] => ui::shots(),
        ["tidy"] => tidy::run(),
        ["tidy", "--pending", issue] => tidy::pending(issue),
        ["bench"] => bench::list(),
        ["bench", "store", rest @ ..] => bench::store(rest),
        ["bench", "alerting", rest @ ..] => bench::alerting(rest),
        ["bench", "sdk", rest @ ..] => bench::sdk(rest),
        ["bench", name] => bench::run(name),
        ["dist"] => dist::run(),
        ["prove"] => prove::list(),
        ["prove", name] => prove::run(name),
        ["fuzz"] => fuzz::list(),
        ["fuzz", target] => fuzz::run(target, fuzz::DEFAULT_SECONDS),
        ["fuzz", target, "--seconds", seconds] => {
            let seconds = seconds
                .parse()
                .map_err(|_| Usage(format!("--seconds wants a whole number, not `{seconds}`")))?;
            fuzz::run(target, seconds)
        }
        [
            command @ ("test" | "shots" | "tidy" | "bench" | "dist" | "prove" | "fuzz"),
            rest @ ..,
        ] => Err(Usage(format!("`{command}` does not understand `{}`", rest.join(" "))).into()),
        [other, ..] => Err(Usage(format!("there is no command `{other}`")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_kind(line: &str) -> &'static str {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match run(&args) {
            Ok(true) => "ok",
            Ok(false) => "failed",
            Err(error) if error.is::<Usage>() => "usage",
            Err(_) => "error",
        }
    }

    #[test]
    fn wrong_command_lines_are_usage_errors() {
        for line in [
            "nonsense",
            "test --slow",
            "fuzz x --seconds many",
            "tidy --pending",
            "prove a b",
            "bench store all",
            "bench alerting all",
            "bench sdk one two",
        ] {
            assert_eq!(exit_kind(line), "usage", "{line}");
        }
    }

    #[test]
    fn help_is_shown_wherever_it_is_asked_for() {
        for line in ["", "help", "--help", "test --help", "fuzz -h"] {
            assert_eq!(exit_kind(line), "ok", "{line}");
        }
    }

    #[test]
    fn unknown_names_are_usage_errors() {
        for line in ["prove no-such-proof", "bench no-such-bench", "fuzz no_such_target"] {
            assert_eq!(exit_kind(line), "usage", "{line}");
        }
    }
}
