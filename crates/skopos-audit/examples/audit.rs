//! Tries an audit by hand: `cargo run -p skopos-audit --example audit -- PATH --format json`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "skopos audit", bin_name = "skopos audit")]
struct Cli {
    #[command(flatten)]
    args: skopos_audit::cli::Args,
    #[arg(long, value_enum, default_value_t)]
    format: skopos_audit::cli::Format,
}

fn main() -> ExitCode {
    let Cli { mut args, format } = Cli::parse();
    args.format = format;
    match skopos_audit::cli::run(&args, env!("CARGO_PKG_VERSION")) {
        Ok(done) => {
            let _ = std::io::stderr().write_all(done.notes.as_bytes());
            let mut out = std::io::stdout().lock();
            match out.write_all(done.output.as_bytes()).and_then(|()| out.flush()) {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                    let _ = writeln!(std::io::stderr(), "error: standard output: {error}");
                    ExitCode::from(2)
                }
                // A reader that has gone away wants no more.
                _ => ExitCode::from(done.code),
            }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}
