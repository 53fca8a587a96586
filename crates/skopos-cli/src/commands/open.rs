//! `skopos open`: the web UI at the right place.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;
use skopos_model::Labels;

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, print_json, write_stdout};

/// Open the web UI: its start page, a trace, an alert, or logs that match a filter.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skopos open
  skopos open 5b8efff798038103d269b633813fc60c       a trace
  skopos open HighErrorRate                          an alert that fires, with its logs and traces
  skopos open --logs 'service.name=checkout level>=error'
  skopos open HighErrorRate --print-url              for a chat message, or without a browser")]
pub(crate) struct OpenArgs {
    /// A trace id, the name of an alerting rule, a path of the UI such as /live, or a URL.
    #[arg(value_name = "TARGET", conflicts_with = "logs")]
    target: Option<String>,
    /// Open the logs that match this filter.
    #[arg(long, value_name = "FILTER")]
    logs: Option<String>,
    /// Print the address instead of opening it.
    #[arg(long)]
    print_url: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What a target is.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// Known without asking.
    Url(String),
    /// An alerting rule, if the server has it.
    Alert(String),
}

pub(crate) fn run(args: OpenArgs, global: &GlobalArgs) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let base = args.server.server.trim_end_matches('/');
    let url = match (&args.logs, &args.target) {
        (Some(filter), _) => format!("{base}/logs?q={}", encoded(filter)),
        (None, target) => match understand(base, target.as_deref().unwrap_or("/")) {
            Target::Url(url) => url,
            Target::Alert(name) => {
                let known = alert_names(&client)?;
                if !known.contains(&name) {
                    eprintln!("there is no alerting rule {name:?}; {}", advice(&known));
                    return Ok(Outcome::NothingFound);
                }
                match firing(&client, &name)? {
                    Some(path) => format!("{base}{path}"),
                    None => {
                        eprintln!("{name} does not fire now; its rule is shown");
                        format!("{base}/alerts/{}", encoded(&name))
                    }
                }
            }
        },
    };
    match global.format {
        Format::Text => write_stdout(&format!("{url}\n")),
        format => print_json(&serde_json::json!({ "url": url }), format),
    }
    if !args.print_url && !start_browser(&url) {
        eprintln!("no browser could be started here; open the address above in yours");
    }
    Ok(Outcome::Done)
}

fn understand(base: &str, target: &str) -> Target {
    if target.starts_with("http://") || target.starts_with("https://") {
        return Target::Url(target.to_owned());
    }
    if target.starts_with('/') {
        return Target::Url(format!("{base}{target}"));
    }
    match target.parse::<skopos_model::TraceId>() {
        Ok(id) => Target::Url(format!("{base}/traces/{id}")),
        Err(_) => Target::Alert(target.to_owned()),
    }
}

fn alert_names(client: &Client) -> Result<Vec<String>> {
    let query = [("type", "alert".to_owned()), ("exclude_alerts", "true".to_owned())];
    let answer = block_on(client.get("/api/v1/rules", &query))?;
    let Some(groups) = answer["data"]["groups"].as_array() else {
        bail!("the server's list of rules cannot be read");
    };
    let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
    let mut names: Vec<String> =
        rules.filter_map(|rule: &Value| rule["name"].as_str()).map(str::to_owned).collect();
    names.dedup();
    Ok(names)
}

/// The page of a firing alert, with its logs and traces: of the one that began last, one that is
/// pending only where none fires.
fn firing(client: &Client, name: &str) -> Result<Option<String>> {
    let answer = block_on(client.get("/api/v1/alerts", &[]))?;
    let alerts = answer["data"]["alerts"].as_array().map_or(&[][..], Vec::as_slice);
    let of_rule = alerts.iter().filter(|alert| alert["labels"]["alertname"] == name);
    let newest = of_rule.filter_map(|alert| {
        let active_at: jiff::Timestamp = alert["activeAt"].as_str()?.parse().ok()?;
        let labels = alert["labels"].as_object()?.iter();
        let labels = labels.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let fingerprint = skopos_alerting::notify::fingerprint(&Labels::from_pairs(labels));
        Some((alert["state"] == "firing", active_at.as_millisecond(), fingerprint))
    });
    let path = |(_, start, fingerprint)| format!("/alerts/{}/{fingerprint}/{start}", encoded(name));
    Ok(newest.max().map(path))
}

fn advice(known: &[String]) -> String {
    const SHOWN: usize = 10;
    if known.is_empty() {
        return "none is loaded (`skopos serve --rules FILE`)".into();
    }
    let more = if known.len() > SHOWN { ", …" } else { "" };
    format!("there are {}{more}", known[..known.len().min(SHOWN)].join(", "))
}

/// Percent-encodes everything that could mean something in a URL.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Whether a browser would have a place to show itself.
pub(super) fn has_desktop() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Whether the system's opener took the address.
pub(super) fn start_browser(url: &str) -> bool {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(opener);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart_by_their_form() {
        let id = "5B8EFFF798038103d269b633813fc60c";
        let url = |path: &str| Target::Url(format!("http://s:1{path}"));
        assert_eq!(understand("http://s:1", id), url(&format!("/traces/{}", id.to_lowercase())));
        assert_eq!(understand("http://s:1", "/live?q=a"), url("/live?q=a"));
        assert_eq!(understand("http://s:1", "HighLatency"), Target::Alert("HighLatency".into()));
        let elsewhere = "https://wiki/runbook";
        assert_eq!(understand("http://s:1", elsewhere), Target::Url(elsewhere.into()));
    }

    #[test]
    fn filters_survive_the_address_bar() {
        assert_eq!(
            encoded("a=\"b c\"&level>=error ü"),
            "a%3D%22b%20c%22%26level%3E%3Derror%20%C3%BC"
        );
    }
}
