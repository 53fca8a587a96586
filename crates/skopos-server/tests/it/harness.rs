//! A server in this process on ports of the system's choice, with a data folder of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{QueryBudget, SampleBuffer, SelectHints, SelectSeries, SeriesSelect};
use skopos_model::{Clock, LabelMatcher, SystemClock, TimeRange};
use skopos_server::config::Settings;
use skopos_server::listen::ListenAddr;
use skopos_server::{RunningServer, Server, ServerError, telemetry};
use skopos_store::StoreError;
use skopos_store::scan::{ScanEvents, StoredLog, StoredSpan};
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::FaultFs;
use tempfile::TempDir;

/// A running server and a client.
pub(crate) struct TestServer {
    pub(crate) server: RunningServer,
    pub(crate) client: reqwest::Client,
    folder: TempDir,
}

/// Settings with all ports chosen by the system and nothing that runs by itself.
pub(crate) fn settings(data: &Path) -> Settings {
    Settings {
        data_dir: data.to_path_buf(),
        http_listen: ListenAddr::any_port(),
        otlp_grpc_listen: ListenAddr::any_port(),
        otlp_http_listen: ListenAddr::any_port(),
        scrape_self: false,
        derive_spans: false,
        derive_logs: false,
        ..Settings::defaults()
    }
}

pub(crate) async fn start(settings: Settings) -> Result<RunningServer, ServerError> {
    let telemetry = telemetry::silent().unwrap();
    Server::start(settings, Arc::new(SystemClock::new()), telemetry).await
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::reopen(tempfile::tempdir().unwrap(), change).await
    }

    /// Starts on an existing data folder.
    pub(crate) async fn reopen(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(folder.path());
        change(&mut settings);
        let server = loop {
            match start(settings.clone()).await {
                Ok(server) => break server,
                // The killed one is still letting go.
                Err(ServerError::Store(StoreError::Locked { .. })) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server, client, folder }
    }

    /// Starts with a clock and a disk of the test's.
    pub(crate) async fn on(
        disk: &FaultFs,
        clock: &Arc<VirtualClock>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings { data_dir: "/data".into(), ..settings(folder.path()) };
        change(&mut settings);
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        let disk = Arc::new(disk.clone());
        let server = Server::start_on(settings, clock, telemetry::silent().unwrap(), disk).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server: server.unwrap(), client, folder }
    }

    /// Stops in order; the folder stays.
    pub(crate) async fn stop(self) -> TempDir {
        self.server.shutdown().await.unwrap();
        self.folder
    }

    /// Stops without any order, as a crash would; the folder stays and is let go a little later.
    pub(crate) fn kill(self) -> TempDir {
        drop(self.server);
        self.folder
    }

    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.addresses().http)
    }

    pub(crate) fn otlp(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.addresses().otlp_http)
    }

    pub(crate) async fn get_json(&self, path: &str) -> serde_json::Value {
        let response = self.client.get(self.http(path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    pub(crate) async fn get_text(&self, path: &str) -> String {
        self.client.get(self.http(path)).send().await.unwrap().text().await.unwrap()
    }

    /// Stored series by their text, each with its samples as (milliseconds, value).
    pub(crate) async fn series(&self, metric: &str) -> BTreeMap<String, Vec<(i64, f64)>> {
        let select = SeriesSelect {
            matchers: vec![LabelMatcher::equal("__name__", metric)],
            start_ms: i64::MIN / 2_000_000,
            end_ms: i64::MAX / 2_000_000,
            hints: SelectHints::default(),
        };
        let store = &self.server.state().store;
        let set = SelectSeries::select(&**store, &select, &QueryBudget::unlimited()).await.unwrap();
        let mut found = BTreeMap::new();
        for series in set.series {
            let mut buffer = SampleBuffer::default();
            series.samples.decode(select.start_ms, select.end_ms, &mut buffer).unwrap();
            let samples = buffer.timestamps.iter().copied().zip(buffer.values).collect();
            found.insert(series.labels.to_string(), samples);
        }
        found
    }

    pub(crate) async fn logs(&self) -> Vec<StoredLog> {
        let scan = EventScan::new(EventSignal::Logs, TimeRange::ALL);
        let store = &self.server.state().store;
        let batches = ScanEvents::scan(&**store, &scan, &QueryBudget::unlimited()).await.unwrap();
        batches.iter().flat_map(|batch| skopos_store::event::logs(batch).unwrap()).collect()
    }

    pub(crate) async fn spans(&self) -> Vec<StoredSpan> {
        let scan = EventScan::new(EventSignal::Spans, TimeRange::ALL);
        let store = &self.server.state().store;
        let batches = ScanEvents::scan(&**store, &scan, &QueryBudget::unlimited()).await.unwrap();
        batches.iter().flat_map(|batch| skopos_store::event::spans(batch).unwrap()).collect()
    }
}

/// Waits until something becomes true, in small steps; fails loudly after ten seconds.
pub(crate) async fn eventually<F, Fut>(what: &str, mut is_so: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never seen: {what}");
}
