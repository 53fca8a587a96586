//! `skopos serve`: the server.

mod banner;
mod notify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use skopos_model::{Clock, SystemClock};
use skopos_server::config::{Overrides, Settings};
use skopos_server::{Server, ServerError};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Outcome;
use crate::cli::GlobalArgs;
use banner::Banner;
use notify::Manager;

/// How long the server's own last telemetry may take.
const TELEMETRY_PATIENCE: Duration = Duration::from_secs(3);

/// Run the server: take telemetry, store it, answer queries, evaluate rules, notify.
///
/// No configuration is needed. Flags win over `SKOPOS__SECTION__KEY` variables, which win over
/// `skopos.yaml`, which wins over the defaults (`skopos config default` shows them).
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Examples:
  skopos serve
  skopos serve --rules rules.yml --webhook http://127.0.0.1:9000/hook
  skopos serve --rules rules.yml --alertmanager-config alertmanager.yml
  skopos serve --slo slo.yml
  skopos serve --scrape http://127.0.0.1:8080/metrics --data /var/lib/skopos
  skopos serve --listen 0.0.0.0:4319          needs tokens: see `skopos token create`

Then: export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318")]
pub(crate) struct ServeArgs {
    /// Folder for everything stored.
    #[arg(long, env = "SKOPOS_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file; `skopos.yaml` in the working folder is read when it exists.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prometheus rule file, folder of them, or a quoted pattern; may be repeated.
    #[arg(long, value_name = "FILE|DIR|PATTERN")]
    pub(crate) rules: Vec<String>,
    /// File of service level objectives (native or OpenSLO v1), folder of them, or a quoted pattern; may be repeated.
    #[arg(long, value_name = "FILE|DIR|PATTERN")]
    pub(crate) slo: Vec<String>,
    /// After a restart let alerts resolve at once, as Prometheus does, instead of holding what fires
    /// until one full range of fresh data has arrived.
    #[arg(long)]
    pub(crate) no_restart_hold: bool,
    /// Folder of runbooks that alerts link; may be repeated.
    #[arg(long, value_name = "DIR")]
    pub(crate) runbooks: Vec<String>,
    /// URL to scrape for metrics; may be repeated.
    #[arg(long, value_name = "URL")]
    pub(crate) scrape: Vec<String>,
    /// Prometheus configuration whose `scrape_configs` are used.
    #[arg(long, value_name = "FILE")]
    pub(crate) prometheus_config: Option<PathBuf>,
    /// Address of API, metrics and probes.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Address of OTLP over gRPC.
    #[arg(long, value_name = "ADDR")]
    pub(crate) otlp_grpc: Option<String>,
    /// Address of OTLP over HTTP.
    #[arg(long, value_name = "ADDR")]
    pub(crate) otlp_http: Option<String>,
    /// How often rule groups without an interval of their own are evaluated.
    #[arg(long, value_name = "DURATION")]
    pub(crate) evaluation_interval: Option<String>,
    /// Receiver of notifications (Alertmanager's webhook format).
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// An external Alertmanager that alerts are handed over to; may be repeated, all get all.
    #[arg(long, value_name = "URL")]
    pub(crate) alertmanager_url: Vec<String>,
    /// An alertmanager.yml with routes and receivers, unchanged; without it alerts go by their severity to what
    /// `SKOPOS_PAGERDUTY_KEY`, `SKOPOS_SLACK_URL`, `SKOPOS_EMAIL_TO` with `SKOPOS_SMTP_URL` and `SKOPOS_TICKET_URL` name.
    #[arg(long, value_name = "FILE", conflicts_with = "webhook")]
    pub(crate) alertmanager_config: Option<PathBuf>,
    /// Memory for data, such as 2GiB; half of the machine's or the cgroup's by default.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Format of the server's own log.
    #[arg(long, value_name = "FORMAT", value_parser = ["auto", "json", "pretty"])]
    pub(crate) log_format: Option<String>,
    /// Do not open a browser; one is opened only when started at a terminal of a desktop.
    #[arg(long)]
    pub(crate) no_open: bool,
    /// Serve the web UI from this folder (as `npm run build` writes it) instead of the one inside the binary.
    #[arg(long, value_name = "DIR")]
    pub(crate) ui_dir: Option<PathBuf>,
    /// Where to write addresses and process id, as JSON, once the server is ready.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Listen beyond loopback although no token is configured: anyone may read and write.
    #[arg(long)]
    pub(crate) allow_without_tokens: bool,
}

impl ServeArgs {
    /// What the flags set.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            data: self.data.clone(),
            rules: self.rules.clone(),
            slos: self.slo.clone(),
            no_restart_hold: self.no_restart_hold,
            runbooks: self.runbooks.clone(),
            scrape: self.scrape.clone(),
            prometheus_config: self.prometheus_config.clone(),
            listen: self.listen.clone(),
            otlp_grpc: self.otlp_grpc.clone(),
            otlp_http: self.otlp_http.clone(),
            evaluation_interval: self.evaluation_interval.clone(),
            webhook: self.webhook.clone(),
            alertmanagers: self.alertmanager_url.clone(),
            alertmanager_config: self.alertmanager_config.clone(),
            memory: self.memory.clone(),
            log_format: self.log_format.clone(),
            no_open: self.no_open,
            ui_dir: self.ui_dir.clone(),
            ready_file: self.ready_file.clone(),
            allow_without_tokens: self.allow_without_tokens,
        }
    }
}

pub(crate) fn run(args: ServeArgs, _global: &GlobalArgs) -> Result<Outcome> {
    let (settings, _) = super::config::load(args.config.as_deref(), &args.overrides())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    runtime.block_on(serve(settings))?;
    Ok(Outcome::Done)
}

async fn serve(settings: Settings) -> Result<()> {
    let telemetry = skopos_server::telemetry::install(&settings).context("set up logging")?;
    let banner = Banner::at_terminal(&settings);
    let opens_browser = settings.open_browser && banner.is_some() && super::open::has_desktop();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let started = clock.monotonic();
    let mut stop = Stop::listen()?;
    let starting = Server::start(settings, Arc::clone(&clock), telemetry.clone());
    let server = tokio::select! {
        server = starting => server.map_err(with_advice)?,
        () = stop.asked() => anyhow::bail!("stopped before the server was ready"),
    };
    if let Some(banner) = &banner {
        banner.print(&server.addresses(), clock.monotonic().saturating_sub(started));
    }
    if opens_browser {
        let url = format!("http://{}", server.addresses().http);
        // Not waited for: some openers stay as long as the browser. Its failure is no concern here.
        drop(std::thread::spawn(move || super::open::start_browser(&url)));
    }
    let manager = Manager::from_env();
    manager.ready();
    let greet = async {
        if banner.is_some() {
            banner::first_records(&server).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop.asked() => {}
        () = greet => {}
    }
    manager.stopping();
    let stopped = server.shutdown().await;
    let report = telemetry.shutdown(TELEMETRY_PATIENCE).await;
    if !report.is_complete() {
        eprintln!("telemetry lost at shutdown: {report}");
    }
    stopped.context("stop the server")
}

/// The signals that ask a server to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listen for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Adds what to do about an error of the start.
fn with_advice(error: ServerError) -> anyhow::Error {
    let advice = match &error {
        ServerError::PortTaken { purpose, .. } => {
            let flag = match *purpose {
                "OTLP over gRPC" => "--otlp-grpc",
                "OTLP over HTTP" => "--otlp-http",
                _ => "--listen",
            };
            format!("; stop it, or choose another with {flag} 127.0.0.1:PORT (0 for any free one)")
        }
        _ => String::new(),
    };
    if advice.is_empty() { error.into() } else { anyhow::anyhow!("{error}{advice}") }
}
