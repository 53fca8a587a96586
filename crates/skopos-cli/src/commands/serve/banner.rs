//! What somebody who starts a server at a terminal sees: where things are, and that data comes in.
//!
//! Elsewhere nothing of it is shown: the log line of the start and the ready file say the same to
//! machines.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use skopos_server::RunningServer;
use skopos_server::config::Settings;
use skopos_server::listen::Addresses;
use skopos_server::receipts::Signal;

use crate::output::{bold, green, printable, yellow};

/// The sender of the server's own metrics, which are no sign of life from outside.
const OURSELVES: &str = "skopos";
/// From one look at what came to the next.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the banner says that is known before the start.
pub(super) struct Banner {
    data: String,
    is_fresh: bool,
    is_exposed: bool,
}

impl Banner {
    /// Looks at the settings; none where nobody is there to read.
    pub(super) fn at_terminal(settings: &Settings) -> Option<Self> {
        if !std::io::stderr().is_terminal() {
            return None;
        }
        let listens =
            [&settings.http_listen, &settings.otlp_grpc_listen, &settings.otlp_http_listen];
        Some(Self {
            data: settings.data_dir.display().to_string(),
            is_fresh: is_empty(&settings.data_dir),
            is_exposed: settings.allow_without_tokens
                && settings.tokens.is_empty()
                && listens.iter().any(|address| !address.is_loopback()),
        })
    }

    pub(super) fn print(&self, addresses: &Addresses, took: Duration) {
        eprint!("{}", self.text(addresses, took));
    }

    fn text(&self, at: &Addresses, took: Duration) -> String {
        let Addresses { http, otlp_grpc, otlp_http } = at;
        let name = bold(concat!("skopos ", env!("CARGO_PKG_VERSION")));
        let fresh = if self.is_fresh { " (fresh)" } else { "" };
        let (data, took) = (&self.data, took.as_millis());
        let ui = format!("http://{http}");
        // Only where the command exists.
        let demo = if cfg!(feature = "demo") { "No app? skopos demo        " } else { "" };
        let mut text = format!(
            "\n  {name}   data {data}{fresh}   ready in {took} ms\n  \
             UI      {ui:<30} OTLP  grpc {otlp_grpc} · http {otlp_http}\n  \
             Send    export OTEL_EXPORTER_OTLP_ENDPOINT=http://{otlp_http}\n  \
             {demo}Live here? skopos tail        Ctrl-C stops\n",
        );
        if self.is_exposed {
            let exposed =
                yellow("! Whoever reaches these addresses may read and write: no token is set");
            text += &format!("  {exposed}\n");
        }
        text.push('\n');
        text
    }
}

/// Says once for each signal that its first record came; ends when all have.
pub(super) async fn first_records(server: &RunningServer) {
    let ui = format!("http://{}", server.addresses().http);
    let mut told = BTreeSet::new();
    while told.len() < 3 {
        tokio::time::sleep(LOOK_EVERY).await;
        for (sender, receipt) in server.state().receipts.snapshot() {
            for (signal, count) in receipt.accepted {
                if sender != OURSELVES && count > 0 && told.insert(signal) {
                    let (what, page) = first_of(signal);
                    eprintln!(
                        "  {} first {what} from {}, {ui}{page}",
                        green("✔"),
                        printable(&sender)
                    );
                }
            }
        }
    }
}

/// What a record of a signal is called and where it is seen.
fn first_of(signal: Signal) -> (&'static str, &'static str) {
    match signal {
        Signal::Logs => ("log record", "/logs"),
        Signal::Metrics => ("metric", "/"),
        Signal::Traces => ("span", "/traces"),
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_says_where_everything_is() {
        let at = |port: u16| ([127, 0, 0, 1], port).into();
        let addresses = Addresses { http: at(4319), otlp_grpc: at(4317), otlp_http: at(4318) };
        let mut banner = Banner { data: "./d".into(), is_fresh: true, is_exposed: false };
        let want = concat!(
            "\n  skopos ",
            env!("CARGO_PKG_VERSION"),
            "   data ./d (fresh)   ready in 84 ms
  UI      http://127.0.0.1:4319          OTLP  grpc 127.0.0.1:4317 · http 127.0.0.1:4318
  Send    export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
  DEMOLive here? skopos tail        Ctrl-C stops

"
        );
        let demo = if cfg!(feature = "demo") { "No app? skopos demo        " } else { "" };
        let want = want.replace("DEMO", demo);
        assert_eq!(banner.text(&addresses, Duration::from_millis(84)), want);
        banner.is_fresh = false;
        banner.is_exposed = true;
        let text = banner.text(&addresses, Duration::from_millis(84));
        assert!(!text.contains("fresh") && text.contains("no token is set"), "{text}");
    }
}
