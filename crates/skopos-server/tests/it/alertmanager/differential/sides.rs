//! The two sides: Debian's programs and Skopos, each with the same files, and receivers of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use super::super::tools::{Tool, free_port, patiently};
use super::normal;
use crate::harness::TestServer;

const RULES: &str = include_str!("../../../../testdata/alerting/rules.yml");
const ROUTING: &str = include_str!("../../../../testdata/alerting/alertmanager.yml");

/// One of the two that are compared.
pub(super) trait Side {
    /// Its name, also the beginning of its receivers' paths.
    fn name(&self) -> &'static str;
    /// Where its rules, series and remote write are.
    fn prometheus(&self) -> &str;
    /// Where its notifications and silences are.
    fn alertmanager(&self) -> &str;
}

/// Receivers of both sides; keeps what came in order: path and body.
#[derive(Clone)]
pub(super) struct Sinks {
    address: std::net::SocketAddr,
    received: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Sinks {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sinks = Self { address: listener.local_addr().unwrap(), received: Arc::default() };
        let app = axum::Router::new().fallback(receive).with_state(sinks.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        sinks
    }

    fn routing(&self, side: &str) -> String {
        ROUTING.replace("url: SINK", &format!("url: http://{}/{side}", self.address))
    }

    pub(super) fn len(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// How many notifications came to a path of a side.
    pub(super) fn count(&self, side: &dyn Side, path: &str) -> usize {
        let path = format!("/{}{path}", side.name());
        self.received.lock().unwrap().iter().filter(|(to, _)| *to == path).count()
    }

    /// What came from some place on, in words.
    pub(super) fn texts(&self, from: usize) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received[from..].iter().map(|(to, body)| format!("{to} {body}")).collect()
    }

    /// `path groupKey` → the last notification since some place, without times and addresses.
    pub(super) fn told(&self, from: usize, side: &dyn Side) -> Value {
        let received = self.received.lock().unwrap();
        let prefix = format!("/{}", side.name());
        let last: BTreeMap<String, Value> = received[from..]
            .iter()
            .filter_map(|(to, body)| {
                let path = to.strip_prefix(&prefix)?;
                let group = body["groupKey"].as_str().unwrap_or("?");
                Some((format!("{path} {group}"), normal::payload(body)))
            })
            .collect();
        last.into_iter().collect()
    }
}

async fn receive(State(sinks): State<Sinks>, uri: Uri, body: Bytes) -> StatusCode {
    let Ok(body) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    sinks.received.lock().unwrap().push((uri.path().to_owned(), body));
    StatusCode::OK
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Debian's Prometheus, which tells Debian's Alertmanager.
pub(super) struct Debian {
    prometheus: String,
    alertmanager: String,
    /// Killed when dropped.
    _processes: [Child; 2],
    _folder: TempDir,
}

impl Debian {
    pub(super) async fn start(prometheus: &Tool, alertmanager: &Tool, sinks: &Sinks) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let (own, other) = (free_port(), free_port());
        let rules = write(folder.path(), "rules.yml", RULES);
        let routing = write(folder.path(), "alertmanager.yml", &sinks.routing("debian"));
        let config = format!(
            "global: {{evaluation_interval: 1s, external_labels: {{dc: x}}}}\n\
             rule_files: ['{rules}']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{other}']}}]}}]}}\n"
        );
        let config = write(folder.path(), "prometheus.yml", &config);
        let routes = alertmanager.spawn(&[
            format!("--config.file={routing}"),
            format!("--storage.path={}", place("alertmanager")),
            format!("--web.listen-address=127.0.0.1:{other}"),
            "--cluster.listen-address=".into(),
            "--log.level=error".into(),
        ]);
        let evaluates = prometheus.spawn(&[
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={}", place("prometheus")),
            format!("--web.listen-address=127.0.0.1:{own}"),
            "--web.enable-remote-write-receiver".into(),
            "--log.level=error".into(),
        ]);
        let side = Self {
            prometheus: format!("http://127.0.0.1:{own}"),
            alertmanager: format!("http://127.0.0.1:{other}"),
            _processes: [routes, evaluates],
            _folder: folder,
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        patiently("Alertmanager", || async {
            let ready = client.get(format!("{}/-/ready", side.alertmanager)).send().await;
            ready.is_ok_and(|response| response.status().is_success())
        })
        .await;
        // It learns of its Alertmanager some seconds after its start, and tells nobody before.
        patiently("Prometheus that knows its Alertmanager", || async {
            let url = format!("{}/api/v1/alertmanagers", side.prometheus);
            let Ok(answer) = client.get(url).send().await else { return false };
            let known: Value = answer.json().await.unwrap_or_default();
            known["data"]["activeAlertmanagers"].as_array().is_some_and(|known| !known.is_empty())
        })
        .await;
        side
    }
}

impl Side for Debian {
    fn name(&self) -> &'static str {
        "debian"
    }

    fn prometheus(&self) -> &str {
        &self.prometheus
    }

    fn alertmanager(&self) -> &str {
        &self.alertmanager
    }
}

pub(super) struct Skopos {
    base: String,
    _server: TestServer,
    _folder: TempDir,
}

impl Skopos {
    pub(super) async fn start(sinks: &Sinks) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = write(folder.path(), "rules.yml", RULES);
        write(folder.path(), "alertmanager.yml", &sinks.routing("skopos"));
        let server = TestServer::with(|settings| {
            settings.rule_files = vec![rules];
            settings.alertmanager_config = Some(folder.path().join("alertmanager.yml"));
            settings.external_labels = BTreeMap::from([("dc".to_owned(), "x".to_owned())]);
        })
        .await;
        Self { base: server.http(""), _server: server, _folder: folder }
    }
}

impl Side for Skopos {
    fn name(&self) -> &'static str {
        "skopos"
    }

    fn prometheus(&self) -> &str {
        &self.base
    }

    fn alertmanager(&self) -> &str {
        &self.base
    }
}
