//! `skopos health`: whether a server is ready, as an exit code.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::Outcome;
use crate::cli::GlobalArgs;
use crate::client::block_on;
use crate::output::{Format, print_json, write_stdout};
use crate::timespec::parse_duration;

/// Ask a server's probe and say with the exit code what it answered: 0 good, 1 not.
///
/// Made for HEALTHCHECK in containers without a shell or curl. A URL without a path asks
/// /health/ready; any service whose probes answer in JSON can be asked, not
/// only Skopos.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos health
  skopos health http://127.0.0.1:4319/health/live
  HEALTHCHECK CMD [\"skopos\", \"health\", \"http://127.0.0.1:4319\"]")]
pub(crate) struct HealthArgs {
    /// Address of the server, or of one of its probes.
    #[arg(value_name = "URL", env = "SKOPOS_SERVER", default_value = "http://127.0.0.1:4319")]
    url: String,
    /// Longest wait for the answer.
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    timeout: String,
}

pub(crate) fn run(args: HealthArgs, global: &GlobalArgs) -> Result<Outcome> {
    let timeout = parse_duration(&args.timeout).context("read --timeout")?;
    let url = probe_url(&args.url)?;
    let (status, body) = block_on(ask(&url, timeout))?;
    if status != 200 {
        bail!("{url} answered {status}: {}", body.trim());
    }
    // A path without a probe may well answer 200, with a web page.
    let answer: Value = serde_json::from_str(&body)
        .with_context(|| format!("{url} is no probe: its answer is not JSON"))?;
    match global.format {
        Format::Text => write_stdout(&format!("{url} is healthy\n")),
        format => print_json(&answer, format),
    }
    Ok(Outcome::Done)
}

async fn ask(url: &str, timeout: Duration) -> Result<(u16, String)> {
    // A probe is asked where it is: a proxy of the environment would answer for itself.
    let http = reqwest::Client::builder().no_proxy().timeout(timeout).build();
    let answer = http.context("set up the HTTP client")?.get(url).send().await;
    let answer = answer.with_context(|| format!("ask {url}"))?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await.unwrap_or_default()))
}

/// The readiness probe of an address without a path; else the URL as it is.
fn probe_url(url: &str) -> Result<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        bail!("{url:?} is no URL; write it as http://127.0.0.1:4319");
    };
    Ok(match rest.split_once('/') {
        None | Some((_, "")) => format!("{}/health/ready", url.trim_end_matches('/')),
        Some(_) => url.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_means_its_readiness() {
        for (url, want) in [
            ("http://a:1", "http://a:1/health/ready"),
            ("https://a/", "https://a/health/ready"),
            ("http://a:1/health/live", "http://a:1/health/live"),
        ] {
            assert_eq!(probe_url(url).unwrap(), want);
        }
        assert!(probe_url("a:1").is_err() && probe_url("http://").is_err());
    }
}
