//! A Prometheus of our own on loopback, and the questions to it and to us.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub(super) struct Oracle {
    pub(super) base: String,
    client: reqwest::Client,
    /// Killed when dropped.
    _process: Child,
    _folder: TempDir,
}

/// One way of asking.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Oracle {
    /// `None`, with a printed note, where Prometheus is not installed or is not 2.42.
    pub(super) async fn start() -> Option<Self> {
        let program = std::env::var("SKOPOS_PROMETHEUS").unwrap_or_else(|_| "prometheus".into());
        let version = match Command::new(&program).arg("--version").output().await {
            Ok(output) => {
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
            }
            Err(_) => {
                println!("skipped: {program} is not installed (Debian's package `prometheus`)");
                return None;
            }
        };
        if !version.contains("version 2.42") {
            println!("skipped: the oracle is Prometheus 2.42, {program} is {version}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        // The step of subqueries that name none, as ours.
        std::fs::write(&config, "global: {evaluation_interval: 15s}\n").unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        // Another process may take the free port before Prometheus does: then once more.
        for _ in 0..5 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut process = Command::new(&program)
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
                .arg(format!("--web.listen-address={free}"))
                .arg("--web.enable-remote-write-receiver")
                .arg("--enable-feature=native-histograms,promql-per-step-stats")
                .arg("--log.level=error")
                .kill_on_drop(true)
                .spawn()
                .expect("it has just told its version");
            let base = format!("http://{free}");
            for _ in 0..600 {
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                let ready = client.get(format!("{base}/-/ready")).send().await;
                if ready.is_ok_and(|response| response.status().is_success()) {
                    return Some(Self { base, client, _process: process, _folder: folder });
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        panic!("{program} does not become ready");
    }

    /// Sends a remote-write request that must be taken whole.
    pub(super) async fn write(&self, base: &str, body: Vec<u8>) {
        let request = self.client.post(format!("{base}/api/v1/write")).body(body);
        let request = request
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0");
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 204, "{base}: {text}");
    }

    pub(super) async fn ask(&self, base: &str, query: &str, asked: &Asked) -> Answered {
        self.ask_with(base, vec![("query", query.to_owned())], asked).await
    }

    /// What a query looked at: samples by step and in all.
    pub(super) async fn samples(&self, base: &str, query: &str, asked: &Asked) -> Value {
        let form = vec![("query", query.to_owned()), ("stats", "all".to_owned())];
        let mut samples =
            self.ask_with(base, form, asked).await.body["data"]["stats"]["samples"].take();
        // The peak depends on how an engine goes about it; what was read came with 3.13.
        if let Some(samples) = samples.as_object_mut() {
            samples.retain(|name, _| name.starts_with("totalQueryableSamples"));
        }
        samples
    }

    async fn ask_with(
        &self,
        base: &str,
        mut form: Vec<(&'static str, String)>,
        asked: &Asked,
    ) -> Answered {
        let path = match asked {
            Asked::Instant(time) => {
                form.push(("time", time.to_string()));
                "query"
            }
            Asked::Range { start, end, step } => {
                let numbers = [("start", start), ("end", end), ("step", step)];
                form.extend(numbers.map(|(name, value)| (name, value.to_string())));
                "query_range"
            }
        };
        let request = self.client.post(format!("{base}/api/v1/{path}")).form(&form);
        let response = request.send().await.unwrap();
        Answered { status: response.status().as_u16(), body: response.json().await.unwrap() }
    }

    pub(super) async fn get(&self, base: &str, path: &str) -> Value {
        self.client.get(format!("{base}{path}")).send().await.unwrap().json().await.unwrap()
    }
}
