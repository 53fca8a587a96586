//! The demo's processes: `skopos serve` and the shop's services, started and stopped together.

#![expect(clippy::disallowed_methods, reason = "the demo waits for real processes")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::sink::Sink;
use super::{DemoArgs, EXIT_WITH_PARENT, Part, SHUTDOWN_GRACE};
use crate::cli::ServerArgs;
use crate::client::Client;

/// A runbook of the guide's rules: the file's name and its text.
macro_rules! runbook {
    ($name:literal) => {
        (
            concat!($name, ".md"),
            include_str!(concat!("../../../../examples/guide/runbooks/", $name, ".md")),
        )
    };
}

/// The guide's alert rules, verbatim.
const GUIDE_RULES: &str = include_str!("../../../../examples/guide/rules.yml");
/// The runbooks that they link: the addresses end in these names.
const RUNBOOKS: [(&str, &str); 5] = [
    runbook!("high-error-rate"),
    runbook!("high-latency"),
    runbook!("no-traffic"),
    runbook!("slo-fast-burn"),
    runbook!("slo-slow-burn"),
];
/// The shop's objectives.
const SHOP_SLOS: &str = include_str!("../../../../examples/shop/slo.yml");
/// By how much the demo shortens every `for` of the guide.
const FOR_DIVISOR: u64 = 100;
/// The server's name among the processes.
const SERVER: &str = "skopos";
/// How long the server may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that runs.
pub(super) struct Fleet {
    /// Base URL of order-service.
    pub(super) order_url: String,
    /// The server's API.
    pub(super) api: Client,
    /// The server's base URL.
    pub(super) api_url: String,
    /// OTLP addresses: gRPC, HTTP.
    pub(super) otlp: (String, String),
    /// Where data and logs lie.
    pub(super) data: PathBuf,
    /// Base URL of the service that has a fault, by the fault's name.
    pub(super) fault_urls: BTreeMap<&'static str, String>,
    http: reqwest::Client,
    /// The server first, then the services in the order of their start.
    processes: Mutex<Vec<(&'static str, Child)>>,
    temporary: bool,
}

impl Fleet {
    pub(super) async fn start(args: &DemoArgs, sink: &Sink) -> Result<Self> {
        let (data, temporary) = match &args.data {
            Some(data) => (data.clone(), false),
            None => {
                (std::env::temp_dir().join(format!("skopos-demo-{}", std::process::id())), true)
            }
        };
        std::fs::create_dir_all(data.join("log")).context("create the demo's data folder")?;
        let rules = data.join("rules.yml");
        std::fs::write(&rules, demo_rules()).context("write the demo's rules")?;
        let slos = data.join("slo.yml");
        std::fs::write(&slos, SHOP_SLOS).context("write the demo's objectives")?;
        let runbooks = data.join("runbooks");
        std::fs::create_dir_all(&runbooks).context("create the folder of runbooks")?;
        for (name, text) in RUNBOOKS {
            std::fs::write(runbooks.join(name), text).context("write the demo's runbooks")?;
        }

        // All ports are chosen while all are held, so that no two services get the same one.
        let ports = [
            Port::claim(8081)?,
            Port::claim(8082)?,
            Port::claim(8083)?,
            Port::claim(4317)?,
            Port::claim(4318)?,
            Port::claim(4319)?,
        ];
        let [order, payment, inventory, grpc, http, api] = ports.map(Port::release);
        let urls = [&order, &payment, &inventory].map(|a| format!("http://{a}"));

        let ready_file = data.join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        let mut serve = reexecute(&data, SERVER)?;
        serve.arg("serve").arg("--no-open").args(["--evaluation-interval", "1s"]);
        serve.arg("--data").arg(data.join("data")).arg("--rules").arg(&rules);
        serve.arg("--slo").arg(&slos).arg("--runbooks").arg(&runbooks);
        serve.arg("--ready-file").arg(&ready_file);
        serve.args(["--listen", &api, "--otlp-grpc", &grpc, "--otlp-http", &http]);
        serve.args(["--webhook", &sink.webhook_url]);
        serve.env("SKOPOS__SCRAPE__INTERVAL", "1s");
        // A job each, named as the service names itself in its spans: metrics and spans meet by that name.
        for (job, url) in
            ["order-service", "payment-service", "inventory-service"].iter().zip(&urls)
        {
            serve.args(["--scrape", &format!("{job}={url}/metrics")]);
        }
        let mut server = serve.spawn().context("start skopos serve")?;
        wait_until_ready(&mut server, &data, &ready_file).await?;
        let mut processes = vec![(SERVER, server)];
        let fleet = Self {
            order_url: urls[0].clone(),
            api: Client::new(&ServerArgs { server: format!("http://{api}"), token: None })?,
            api_url: format!("http://{api}"),
            otlp: (grpc, format!("http://{http}")),
            data: data.clone(),
            fault_urls: BTreeMap::from([
                ("payment-errors", urls[1].clone()),
                ("payment-latency", urls[1].clone()),
                ("db-pool", urls[0].clone()),
            ]),
            http: reqwest::Client::new(),
            processes: Mutex::default(),
            temporary,
        };

        let services = [
            ("inventory-service", &inventory),
            ("payment-service", &payment),
            ("order-service", &order),
        ];
        for (name, listen) in services {
            if name == "payment-service" && args.without == Some(Part::PaymentService) {
                continue;
            }
            let mut command = reexecute(&data, name)?;
            command.args(["demo", name]);
            command.env("SHOP_LISTEN", listen);
            command.env("SHOP_PAYMENT_URL", &urls[1]).env("SHOP_INVENTORY_URL", &urls[2]);
            let database = data.join("orders.sqlite");
            command.env("SHOP_DATABASE_URL", format!("sqlite://{}", database.display()));
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &fleet.otlp.1);
            // They are scraped: pushed as well, every order would count twice.
            command.env("OTEL_METRICS_EXPORTER", "none");
            // Short batches, so that a log line is there when its alert fires.
            command.env("OTEL_BSP_SCHEDULE_DELAY", "200").env("OTEL_BLRP_SCHEDULE_DELAY", "200");
            command.env("ENVIRONMENT", "production");
            let child = command.spawn().with_context(|| format!("start {name}"))?;
            processes.push((name, child));
        }
        Ok(Self { processes: Mutex::new(processes), ..fleet })
    }

    /// Switches a fault in the service that has it.
    pub(super) async fn switch_fault(&self, name: &str, on: bool) -> Result<()> {
        let Some(url) = self.fault_urls.get(name) else {
            let known: Vec<_> = self.fault_urls.keys().copied().collect();
            bail!("there is no fault {name:?}; there are {}", known.join(", "));
        };
        self.http
            .put(format!("{url}/faults/{name}"))
            .json(&serde_json::json!({ "on": on }))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("switch the fault {name}"))?;
        Ok(())
    }

    /// The faults that are on now, as the services themselves say: they can be switched by anyone.
    pub(super) async fn faults_on(&self) -> BTreeSet<String> {
        let mut on = BTreeSet::new();
        for url in self.fault_urls.values().collect::<BTreeSet<_>>() {
            let answer = self.http.get(format!("{url}/faults")).send().await;
            let Ok(answer) = answer else { continue };
            let states: BTreeMap<String, bool> = answer.json().await.unwrap_or_default();
            on.extend(states.into_iter().filter(|(_, on)| *on).map(|(name, _)| name));
        }
        on
    }

    /// Evaluates a query that gives one number; `None` when it gives nothing.
    pub(super) async fn number(&self, promql: &str) -> Result<Option<f64>> {
        let answer = self.api.get("/api/v1/query", &[("query", promql.into())]).await?;
        let value = match &answer["data"]["result"] {
            Value::Array(items) => items.first().and_then(|v| v["value"][1].as_str()),
            _ => None,
        };
        Ok(value.and_then(|v| v.parse().ok()).filter(|v: &f64| v.is_finite()))
    }

    /// Runs this binary's `slo` command against the demo's server; yields exit code and output.
    pub(super) async fn slo(&self, args: &[&str]) -> Result<(Option<i32>, String)> {
        let binary = std::env::current_exe().context("find this binary")?;
        let output = Command::new(binary)
            .arg("slo")
            .args(args)
            .args(["--server", &self.api_url, "--color", "never"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = output.await.context("run skopos slo")?;
        let text = match output.stdout.is_empty() {
            true => output.stderr,
            false => output.stdout,
        };
        Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Names a process that has ended although nobody asked it to, with its last words.
    pub(super) fn casualty(&self) -> Option<String> {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.iter_mut().find_map(|(name, child)| {
            let status = child.try_wait().ok()??;
            Some(format!("{name} ended ({status}):\n{}", last_lines(&self.data, name)))
        })
    }

    /// Stops the services, then the server, so that their last telemetry still arrives.
    pub(super) async fn stop(self) {
        let mut processes = self.processes.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (_, child) in processes.iter_mut().skip(1) {
            drop(child.stdin.take());
        }
        while let Some((name, mut child)) = processes.pop() {
            drop(child.stdin.take());
            if tokio::time::timeout(SHUTDOWN_GRACE, child.wait()).await.is_err() {
                eprintln!("{name} does not stop in {} s; killing it", SHUTDOWN_GRACE.as_secs());
                let _ = child.kill().await;
            }
        }
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.data);
        }
    }
}

async fn wait_until_ready(server: &mut Child, data: &Path, ready_file: &Path) -> Result<()> {
    let started = Instant::now();
    while !ready_file.exists() {
        if let Some(status) = server.try_wait().context("watch skopos serve")? {
            bail!("skopos serve ended at once ({status}):\n{}", last_lines(data, SERVER));
        }
        if started.elapsed() > READY_TIMEOUT {
            bail!("skopos serve is not ready after {} s", READY_TIMEOUT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// This binary again, as a child that logs to a file and ends with us. It gets a process group of
/// its own, so that Ctrl-C reaches us alone and we stop things in order.
fn reexecute(data: &Path, name: &str) -> Result<Command> {
    let binary = std::env::current_exe().context("find this binary")?;
    let log = std::fs::File::create(log_path(data, name)).context("create a log file")?;
    let mut command = Command::new(binary);
    command
        .env(EXIT_WITH_PARENT, "1")
        .stdin(Stdio::piped())
        .stdout(log.try_clone().context("share a log file")?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

fn log_path(data: &Path, name: &str) -> PathBuf {
    data.join("log").join(format!("{name}.log"))
}

fn last_lines(data: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(log_path(data, name)).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// A loopback port held until its user is about to be started.
struct Port(TcpListener);

impl Port {
    /// The usual port when it is free, else any.
    fn claim(usual: u16) -> Result<Self> {
        TcpListener::bind(("127.0.0.1", usual))
            .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
            .map(Self)
            .context("find a free port")
    }

    fn release(self) -> String {
        self.0.local_addr().map_or_else(|_| "127.0.0.1:0".into(), |a| a.to_string())
    }
}

/// The guide's rules with every `for` a hundredth as long.
fn demo_rules() -> String {
    let shorten = |line: &str| {
        let (indent, minutes) = line.split_once("for: ")?;
        let minutes: u64 = minutes.strip_suffix('m')?.parse().ok()?;
        Some(format!("{indent}for: {}ms", minutes * 60_000 / FOR_DIVISOR))
    };
    let mut rules = String::from(
        "# The guide's rules, each `for` shortened to a hundredth by `skopos demo`.\n",
    );
    for line in GUIDE_RULES.lines() {
        rules.push_str(&shorten(line).unwrap_or_else(|| line.to_owned()));
        rules.push('\n');
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_waits_differ_from_the_guide() {
        let rules = demo_rules();
        assert!(rules.contains("for: 3000ms") && rules.contains("for: 9000ms"));
        let differing = GUIDE_RULES.lines().zip(rules.lines().skip(1)).filter(|(a, b)| a != b);
        assert_eq!(differing.count(), 5, "five alerts, five waits");
    }
}
