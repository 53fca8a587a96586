//! `skopos slo generate`, `import` and `export`: the same objectives in other words. None needs a server.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use skopos_alerting::slo::rules::prometheus_rules;
use skopos_alerting::slo::{Slo, to_native, to_openslo};

use super::{load, write_text};
use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, print_json};

/// Write objectives as rules for plain Prometheus.
///
/// Recording rules have sloth's names, so that dashboards made for it work. What plain Prometheus cannot
/// do is said in comments: it knows no calendar and no corrections. `skopos serve --slo` needs
/// none of this: it has the alerts by itself, from exact counts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo generate slo.yml > slo-rules.yml && promtool check rules slo-rules.yml
  skopos slo generate slos/ --output slo-rules.yml

`alerts: guide` in an objective makes the guide's two rules instead of the workbook's four.

Exit codes: 0 done, 4 the files have mistakes, 3 there is no objective, 1 a file could not be read or written,
2 wrong usage.")]
pub(crate) struct GenerateArgs {
    /// Files of objectives, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// File to write; standard output when absent.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Write OpenSLO v1 in the native form.
///
/// SLO, SLI, AlertPolicy and AlertCondition are read, across files. What OpenSLO has no words for stands in
/// annotations: `skopos/owner` and `skopos/runbook` are required.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo import openslo/ > slo.yml

Exit codes: 0 done, 4 the files have mistakes, 3 there is no objective, 1 a file could not be read or written,
2 wrong usage.")]
pub(crate) struct ImportArgs {
    /// OpenSLO files, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// File to write; standard output when absent.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Write objectives as OpenSLO v1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos slo export slo.yml > openslo.yml
  skopos slo export openslo/ --as native

Exit codes: 0 done, 4 the files have mistakes, 3 there is no objective, 1 a file could not be read or written,
2 wrong usage.")]
pub(crate) struct ExportArgs {
    /// Files of objectives, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// The form to write.
    #[arg(long = "as", value_enum, default_value_t = Form::Openslo, value_name = "FORM")]
    form: Form,
    /// File to write; standard output when absent.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// OpenSLO v1.
    Openslo,
    /// The native form.
    Native,
}

pub(super) fn generate(args: GenerateArgs, global: &GlobalArgs) -> Result<Outcome> {
    let set = match load(&args.paths)? {
        Ok(set) => set,
        Err(outcome) => return Ok(outcome),
    };
    finish("rules", prometheus_rules(&set.slos), &args.paths, args.output.as_ref(), global)
}

pub(super) fn import(args: ImportArgs, global: &GlobalArgs) -> Result<Outcome> {
    convert(&args.paths, to_native, args.output.as_ref(), global)
}

pub(super) fn export(args: ExportArgs, global: &GlobalArgs) -> Result<Outcome> {
    let print = match args.form {
        Form::Openslo => to_openslo,
        Form::Native => to_native,
    };
    convert(&args.paths, print, args.output.as_ref(), global)
}

fn convert(
    paths: &[PathBuf],
    print: fn(&Slo) -> String,
    output: Option<&PathBuf>,
    global: &GlobalArgs,
) -> Result<Outcome> {
    let set = match load(paths)? {
        Ok(set) => set,
        Err(outcome) => return Ok(outcome),
    };
    let texts: Vec<String> = set.slos.iter().map(|slo| print(slo)).collect();
    finish("text", texts.join("---\n"), paths, output, global)
}

/// Refuses to write over what was read: the objectives would be gone, or the next reading would find rules among them.
fn keep_inputs(inputs: &[PathBuf], output: &Path) -> Result<()> {
    let Ok(target) = std::fs::canonicalize(output) else { return Ok(()) };
    let is_yaml = target.extension().is_some_and(|e| e == "yml" || e == "yaml");
    for input in inputs.iter().filter_map(|path| std::fs::canonicalize(path).ok()) {
        let is_input = input == target || (is_yaml && target.parent() == Some(&*input));
        if is_input && target.is_file() {
            bail!("{} is among the files that were read; give another name", output.display());
        }
    }
    Ok(())
}

/// Writes a text; as JSON it is a member of an object.
fn finish(
    name: &str,
    text: String,
    inputs: &[PathBuf],
    output: Option<&PathBuf>,
    global: &GlobalArgs,
) -> Result<Outcome> {
    if let Some(path) = output {
        keep_inputs(inputs, path)?;
    }
    match (global.format, output) {
        (Format::Text, _) | (_, Some(_)) => write_text(&text, output)?,
        (format, None) => print_json(&json!({ name: text }), format),
    }
    Ok(Outcome::Done)
}
