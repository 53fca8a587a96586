//! `skopos k8s`: what Kubernetes needs to know of a service.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::output::{Format, print_json, write_stdout};

/// Print what Kubernetes needs to know of a service.
#[derive(Debug, Subcommand)]
pub(crate) enum K8sCommand {
    /// Print the guide's three probes, with its numbers, for a container.
    Probes(ProbesArgs),
}

/// Print the guide's three probes, with its numbers, for a container.
///
/// The same as `Health::k8s_yaml()` prints from code, which also knows how slow the service's own checks may be.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos k8s probes --port 8000
  skopos k8s probes --port 9090 --path-prefix /internal
  skopos k8s probes --port 8000 --format json")]
pub(crate) struct ProbesArgs {
    /// Port of the container that serves the probes.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Path before /health, where the service is not served from its root.
    #[arg(long, value_name = "PATH", default_value = "", value_parser = path)]
    path_prefix: String,
}

pub(crate) fn run(command: K8sCommand, global: &GlobalArgs) -> Result<Outcome> {
    let K8sCommand::Probes(args) = command;
    let yaml = skopos::health::k8s_probes_yaml_under(args.port, &args.path_prefix);
    match global.format {
        Format::Text => write_stdout(&yaml),
        format => {
            let probes: serde_json::Value =
                serde_saphyr::from_str(&yaml).context("read the probes back")?;
            print_json(&probes, format);
        }
    }
    Ok(Outcome::Done)
}

fn path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    match path.is_empty() || path.starts_with('/') && path.chars().all(is_plain) {
        true => Ok(path.to_owned()),
        false => {
            Err("write a path such as /internal: a slash, then letters, digits, - _ . ~".to_owned())
        }
    }
}
