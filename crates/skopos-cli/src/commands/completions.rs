//! `skopos completions`: completion scripts, made from the command line's own definition.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::Outcome;
use crate::cli::command;
use crate::output::write_stdout;

/// Print a shell's completion script.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos completions bash > ~/.local/share/bash-completion/completions/skopos
  skopos completions zsh > ~/.zfunc/_skopos
  skopos completions fish > ~/.config/fish/completions/skopos.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: CompletionsArgs) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "skopos", &mut script);
    write_stdout(&String::from_utf8_lossy(&script));
    Ok(Outcome::Done)
}
