//! `skopos config`: what the configuration is, and whether it is right.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use skopos_server::config::{self, ConfigError, ConfigFile, Effective, Overrides, Settings};
use skopos_server::slos::check_files;

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, green, print_json, write_stdout};

/// Read when it exists and no other file is named.
const USUAL_FILE: &str = "skopos.yaml";

/// Show and check the configuration.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  skopos config default > skopos.yaml
  skopos config show                     effective values, each with where it came from
  skopos config check skopos.yaml        exit code 0 or 4")]
pub(crate) enum ConfigCommand {
    /// Print every key with its default and meaning, as a file to start from.
    Default,
    /// Print the effective values, each with where it came from; secrets are redacted.
    Show {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration file, and the files of rules and objectives that it names.
    Check {
        /// The file.
        #[arg(default_value = USUAL_FILE, value_name = "FILE")]
        file: PathBuf,
    },
}

pub(crate) fn run(command: ConfigCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        ConfigCommand::Default => write_stdout(&config::default_yaml()),
        ConfigCommand::Show { config } => {
            let (_, effective) = load(config.as_deref(), &Overrides::default())?;
            match global.format {
                Format::Text => write_stdout(&effective.to_yaml()),
                format => print_json(&as_json(&effective), format),
            }
        }
        ConfigCommand::Check { file } => return check(&file, global.format),
    }
    Ok(Outcome::Done)
}

/// Reads the file (the named one, or the usual one when it exists), the environment and the flags.
pub(crate) fn load(file: Option<&Path>, overrides: &Overrides) -> Result<(Settings, Effective)> {
    let usual = Path::new(USUAL_FILE);
    let file = match file {
        None if usual.exists() => Some(usual),
        file => file,
    };
    let file = file.map(read).transpose()?;
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let effective = Effective::new(file.as_ref(), variables, overrides).map_err(together)?;
    let settings = config::resolve(&effective).map_err(together)?;
    Ok((settings, effective))
}

fn read(path: &Path) -> Result<ConfigFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    ConfigFile::parse(path, &text).map_err(together)
}

fn check(path: &Path, format: Format) -> Result<Outcome> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut errors = config::check(path, &text);
    if errors.is_empty() {
        let file = ConfigFile::parse(path, &text).map_err(together)?;
        let effective = Effective::new(Some(&file), [], &Overrides::default()).map_err(together)?;
        errors = check_files(&config::resolve(&effective).map_err(together)?);
    }
    if format == Format::Text {
        if errors.is_empty() {
            write_stdout(&format!("{} {}\n", path.display(), green("is good")));
        }
        errors.iter().for_each(|error| eprintln!("{error}"));
    } else {
        let list: Vec<_> =
            errors.iter().map(|e| json!({ "place": e.place, "message": e.message })).collect();
        print_json(&json!({ "file": path, "errors": list }), format);
    }
    Ok(if errors.is_empty() { Outcome::Done } else { Outcome::ConditionFailed })
}

fn as_json(effective: &Effective) -> Value {
    let entries = effective.iter().map(|(key, value)| {
        let hide = |item: &String| {
            if key.is_secret() { json!("[REDACTED]") } else { json!(item) }
        };
        let items: Vec<_> = value.items.iter().map(hide).collect();
        let shown = if key.is_list() { json!(items) } else { json!(items.first()) };
        (key.name.to_owned(), json!({ "value": shown, "origin": value.origin.to_string() }))
    });
    Value::Object(entries.collect::<Map<_, _>>())
}

fn together(errors: Vec<ConfigError>) -> anyhow::Error {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the configuration is wrong:\n  {}", lines.join("\n  "))
}
