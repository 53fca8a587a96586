//! A server whose clock stands still, with data pushed straight into its store: what the tests of
//! the query APIs share.

use std::sync::Arc;

use serde_json::Value;
use skopos_model::storage::Append;
use skopos_model::{
    AnyValue, Attributes, Clock, Labels, LogBatch, LogRecord, MetricBatch, Resource, Sample,
    SampleValue, Scope, ScopedLogs, ScopedSpans, SeriesSamples, SeverityNumber, SignalBatch, Span,
    Temporality, Timestamp, TraceBatch,
};
use skopos_server::config::Settings;
use skopos_server::{RunningServer, Server, telemetry};
use skopos_testkit::VirtualClock;
use tempfile::TempDir;

use crate::harness::settings;

/// Where the clock stands: 2023-11-14T22:13:20Z.
pub(crate) const NOW: i64 = 1_700_000_000;

pub(crate) struct Api {
    pub(crate) server: Option<RunningServer>,
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
    folder: TempDir,
}

impl Api {
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
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_secs(NOW)));
        let server = Server::start(settings, clock, telemetry::silent().unwrap()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let base = format!("http://{}", server.addresses().http);
        Self { server: Some(server), client, base, folder }
    }

    async fn append(&self, batch: SignalBatch) {
        let count = batch.len() as u64;
        let store = &self.server.as_ref().unwrap().state().store;
        let receipt = Append::append(&**store, batch).await.unwrap();
        assert_eq!(receipt.accepted, count, "{:?}", receipt.rejected);
    }

    /// Stores float samples at (seconds before now, value) for one series.
    pub(crate) async fn push(&self, series: &str, samples: &[(i64, f64)]) {
        let samples = samples.iter().map(|(ago, v)| Sample::float((NOW - ago) * 1000, *v));
        self.push_samples(series, samples.collect()).await;
    }

    pub(crate) async fn push_samples(&self, series: &str, samples: Vec<Sample>) {
        let batch = MetricBatch { series: vec![series_samples(series, samples)], metadata: vec![] };
        self.append(SignalBatch::Metrics(batch)).await;
    }

    pub(crate) async fn push_metrics(&self, batch: MetricBatch) {
        self.append(SignalBatch::Metrics(batch)).await;
    }

    pub(crate) async fn push_logs(&self, service: &str, records: Vec<LogRecord>) {
        let (resource, scope) = sender(service);
        let groups = vec![ScopedLogs { resource, scope, records }];
        self.append(SignalBatch::Logs(LogBatch { groups })).await;
    }

    pub(crate) async fn push_spans(&self, service: &str, spans: Vec<Span>) {
        let (resource, scope) = sender(service);
        let groups = vec![ScopedSpans { resource, scope, spans }];
        self.append(SignalBatch::Traces(TraceBatch { groups })).await;
    }

    /// GETs; yields status and JSON.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.base)).query(query);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// POSTs a form; yields status and JSON.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.base)).form(form);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// GETs what must go well.
    pub(crate) async fn ok(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let (status, answer) = self.get(path, query).await;
        assert_eq!(status, 200, "{path} {query:?}: {answer}");
        answer
    }

    pub(crate) async fn stop(self) {
        self.close().await;
    }

    /// Stops; the data folder stays.
    pub(crate) async fn close(mut self) -> TempDir {
        self.server.take().unwrap().shutdown().await.unwrap();
        self.folder
    }

    /// Waits until everything stored lies in blocks; the server must flush at once.
    pub(crate) async fn flushed(&self) {
        crate::harness::eventually("all is flushed", || async {
            let request = self.client.get(format!("{}/metrics", self.base));
            let text = request.send().await.unwrap().text().await.unwrap();
            let value = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("0");
                line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
            };
            value("skopos_store_flushes_total") > 0.0
                && value("skopos_store_head_logs ") == 0.0
                && value("skopos_store_head_spans ") == 0.0
        })
        .await;
    }
}

/// A series given as `name{label="value"}`.
pub(crate) fn labels(series: &str) -> Labels {
    let selector = skopos_promql::parse_selector(series).unwrap();
    Labels::from_pairs(selector.matchers.iter().map(|m| (m.name(), m.value())))
}

pub(crate) fn series_samples(series: &str, samples: Vec<Sample>) -> SeriesSamples {
    SeriesSamples {
        labels: labels(series),
        samples,
        temporality: Temporality::Cumulative,
        start_timestamp_ms: None,
        exemplars: vec![],
    }
}

pub(crate) fn float(ago: i64, value: f64) -> Sample {
    Sample { timestamp_ms: (NOW - ago) * 1000, value: SampleValue::Float(value) }
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_secs(NOW - seconds)
}

pub(crate) fn record(seconds_ago: i64, severity: SeverityNumber, body: &str) -> LogRecord {
    LogRecord {
        time: ago(seconds_ago),
        severity,
        body: AnyValue::from(body),
        ..LogRecord::default()
    }
}

fn sender(service: &str) -> (Arc<Resource>, Arc<Scope>) {
    let attributes = Attributes::from_iter([("service.name", service), ("host.name", "h1")]);
    let resource = Resource { attributes, ..Resource::default() };
    let scope = Scope { name: "lib".into(), version: "1.0".into(), ..Scope::default() };
    (Arc::new(resource), Arc::new(scope))
}
