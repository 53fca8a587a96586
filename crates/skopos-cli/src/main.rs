//! The `skopos` binary: arguments in, output and exit codes out.
//!
//! Each command is one file under `commands`. Data goes to standard output, everything else
//! (progress, hints, errors) to standard error, so that every command can be piped.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing found, 4 a checked condition does not
//! hold, 130 interrupted. `skopos slo gate` and `skopos audit` have codes of their own.

mod cli;
mod client;
mod commands;
#[cfg(feature = "demo")]
mod demo;
mod output;
mod timespec;

use std::process::ExitCode;

use clap::Parser;

/// How a command ended, other than by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what was asked.
    Done,
    /// It worked, but there was nothing to show.
    NothingFound,
    /// It worked, and what was checked does not hold.
    ConditionFailed,
    /// It decided; the code says what (`skopos slo gate`, `skopos audit`).
    Verdict(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::NothingFound => 3,
            Outcome::ConditionFailed => 4,
            Outcome::Verdict(code) => code,
        })
    }
}

fn main() -> ExitCode {
    restore_sigpipe();
    #[cfg(feature = "demo")]
    demo::exit_with_parent();
    match cli::Cli::parse().run() {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            output::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Lets `skopos logs | head` end quietly: writes to a closed pipe are treated as the reader's wish
/// to stop, in [`output::write_stdout`], not as a failure. (Rust ignores SIGPIPE at start.)
fn restore_sigpipe() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or_default();
        if message.contains("failed printing to stdout") {
            std::process::exit(0);
        }
        default_hook(info);
    }));
}
