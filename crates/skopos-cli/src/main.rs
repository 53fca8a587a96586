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

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

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
    end_with_stdout();
    #[cfg(feature = "demo")]
    demo::exit_with_parent();
    let cli = match cli::Cli::parse_arguments() {
        Ok(cli) => cli,
        Err(said) => return say(&said),
    };
    match cli.run() {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            output::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints what the arguments led to before any command: help, the version, or what is wrong with them.
fn say(said: &clap::Error) -> ExitCode {
    let written = said.print().and_then(|()| std::io::stdout().flush());
    match written {
        Err(error) if !said.use_stderr() => output::stdout_failed(&error),
        _ => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2)),
    }
}

/// Lets `println!` in code that knows nothing of [`output::write_stdout`] end as that does. (Rust ignores SIGPIPE at
/// start, and panics where standard output takes no more.)
fn end_with_stdout() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or_default();
        if let Some(why) = message.strip_prefix("failed printing to stdout: ") {
            let is_closed = why.contains("Broken pipe");
            let kind = if is_closed { ErrorKind::BrokenPipe } else { ErrorKind::Other };
            output::stdout_failed(&std::io::Error::new(kind, why.to_owned()));
        }
        if message.starts_with("failed printing to stderr") {
            // Who reads no hints gets none; the command is not done, though.
            std::process::exit(1);
        }
        default_hook(info);
    }));
}
