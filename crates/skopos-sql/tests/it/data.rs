//! The fixed data set of the scripts, and stores that hold it in different places.
//!
//! It is ten minutes of a shop on 2026-01-15, from 10:00 on: twelve log records, eight spans of
//! three traces, and a few series.

use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{Append, QueryBudget};
use skopos_model::{
    AnyValue, Attributes, BucketSpan, Clock, Histogram, Labels, LogBatch, LogRecord, MetricBatch,
    Resource, STALE_NAN, Sample, SampleValue, Scope, ScopedLogs, ScopedSpans, SeriesSamples,
    SeverityNumber, SignalBatch, Span, SpanId, SpanKind, SpanStatus, StatusCode, Timestamp,
    TraceBatch, TraceId,
};
use skopos_sql::{SqlEngine, SqlError, SqlQuery};
use skopos_store::{BlockConfig, ReplayProgress, Store, StoreConfig};
use skopos_testkit::fault_fs::FaultFs;

/// 2026-01-15T10:00:00Z, in milliseconds.
pub(crate) const START_MS: i64 = 1_768_471_200_000;

/// A clock that stands still, ten minutes after the start.
#[derive(Debug)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START_MS + 600_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Where the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Head,
    Blocks,
    /// The first batches in blocks, the others in the head.
    Both,
}

pub(crate) const PLACES: [Place; 3] = [Place::Head, Place::Blocks, Place::Both];

pub(crate) fn open() -> Store {
    let blocks = BlockConfig { automatic: false, ..BlockConfig::default() };
    let config = StoreConfig { blocks, ..StoreConfig::new("/data") };
    let disk = Arc::new(FaultFs::default());
    Store::open_on(config, disk, Arc::new(Still), ReplayProgress::new()).unwrap()
}

/// A store that holds these batches.
pub(crate) async fn store_of(batches: Vec<SignalBatch>, place: Place) -> Arc<Store> {
    let store = open();
    let half = batches.len() / 2;
    for (i, batch) in batches.into_iter().enumerate() {
        if place == Place::Both && i == half {
            store.flush().await.unwrap();
        }
        let receipt = store.append(batch).await.unwrap();
        assert_eq!(receipt.rejected, [], "the data set must fit the store's rules");
    }
    if place == Place::Blocks {
        store.flush().await.unwrap();
    }
    Arc::new(store)
}

/// An engine and its store, which must be closed by [`Bench::close`].
pub(crate) struct Bench {
    pub(crate) store: Arc<Store>,
    pub(crate) engine: SqlEngine,
}

impl Bench {
    pub(crate) async fn new(batches: Vec<SignalBatch>, place: Place) -> Self {
        Self::of(store_of(batches, place).await)
    }

    pub(crate) fn of(store: Arc<Store>) -> Self {
        let engine = SqlEngine::new(Arc::clone(&store) as _, Arc::clone(&store) as _, 2);
        Self { store, engine }
    }

    /// Columns with their values, as the API shows them.
    pub(crate) async fn ask(&self, query: SqlQuery) -> Result<Table, SqlError> {
        let rows = self.engine.run(query).await?;
        let mut columns = skopos_sql::encode::JsonColumns::new(rows.schema());
        for batch in rows.collect().await? {
            columns.rows(&batch)?;
        }
        let text: String = columns.end().collect();
        Ok(Table(serde_json::from_str(&text).expect("the answer is JSON")))
    }

    pub(crate) async fn query(&self, sql: &str) -> Result<Table, SqlError> {
        self.ask(SqlQuery::new(sql, QueryBudget::unlimited())).await
    }

    pub(crate) async fn close(self) {
        drop(self.engine);
        self.store.close().await.unwrap();
    }
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Table(pub(crate) serde_json::Value);

impl Table {
    pub(crate) fn header(&self) -> Vec<String> {
        let columns = self.0.as_array().into_iter().flatten();
        columns.map(|c| c["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Rows as text, NULL as `NULL` and empty text as `(empty)`.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let columns: Vec<_> = self.0.as_array().into_iter().flatten().collect();
        let rows = columns.first().and_then(|c| c["values"].as_array()).map_or(0, Vec::len);
        let cell = |value: &serde_json::Value| match value {
            serde_json::Value::Null => "NULL".to_owned(),
            serde_json::Value::String(text) if text.is_empty() => "(empty)".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (0..rows).map(|row| columns.iter().map(|c| cell(&c["values"][row])).collect()).collect()
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START_MS + seconds * 1000)
}

fn resource(service: &str) -> Arc<Resource> {
    let host = if service == "checkout" { "web-1" } else { "web-2" };
    let attributes = Attributes::from_iter([("service.name", service), ("host.name", host)]);
    Arc::new(Resource { attributes, ..Resource::default() })
}

fn scope() -> Arc<Scope> {
    Arc::new(Scope { name: "shop".into(), version: "1.2".into(), ..Scope::default() })
}

fn attributes(pairs: &[(&str, AnyValue)]) -> Attributes {
    pairs.iter().map(|(key, value)| (*key, value.clone())).collect()
}

fn logs() -> Vec<LogBatch> {
    let ok = |route: &str, ms: i64| {
        attributes(&[("http.route", route.into()), ("duration_ms", ms.into())])
    };
    let error = [("kind", "timeout".into()), ("retries", 3_i64.into())];
    let failed = |route: &str, code: i64| {
        attributes(&[
            ("http.route", route.into()),
            ("http.response.status_code", code.into()),
            ("error", AnyValue::Map(attributes(&error))),
            ("tags", AnyValue::Array(vec!["slow".into(), "db".into()])),
        ])
    };
    // Seconds after the start, service, severity, body, trace, attributes.
    let all: [(i64, &str, u8, &str, u8, Attributes); 12] = [
        (0, "checkout", 9, "order placed", 1, ok("/orders", 12)),
        (1, "checkout", 9, "order placed", 2, ok("/orders", 15)),
        (2, "payment", 5, "card checked", 1, ok("/pay/{id}", 3)),
        (30, "payment", 13, "pool almost empty", 0, attributes(&[("free", 1_i64.into())])),
        (61, "payment", 17, "pool timeout", 2, failed("/pay/{id}", 503)),
        (62, "checkout", 17, "payment failed: pool timeout", 2, failed("/orders", 502)),
        (63, "checkout", 18, "order \"77\" lost", 0, Attributes::new()),
        (120, "checkout", 9, "order placed", 3, ok("/orders", 11)),
        (121, "payment", 9, "card charged", 3, attributes(&[("amount", 12.5.into())])),
        (300, "", 0, "no service said this", 0, Attributes::new()),
        (301, "payment", 21, "out of memory", 0, attributes(&[("oom", true.into())])),
        (302, "checkout", 9, "order placed", 0, ok("/orders", 9)),
    ];
    let batch = |part: &[(i64, &str, u8, &str, u8, Attributes)]| LogBatch {
        groups: part
            .iter()
            .map(|(seconds, service, severity, body, trace, attributes)| {
                let severity = SeverityNumber(*severity);
                let record = LogRecord {
                    time: at(*seconds),
                    observed_time: at(*seconds),
                    severity,
                    severity_text: severity.name().to_lowercase().into(),
                    body: (*body).into(),
                    attributes: attributes.clone(),
                    trace_id: TraceId([*trace; 16]),
                    span_id: SpanId([*trace; 8]),
                    ..LogRecord::default()
                };
                let resource = match *service {
                    "" => Arc::new(Resource::default()),
                    service => resource(service),
                };
                ScopedLogs { resource, scope: scope(), records: vec![record] }
            })
            .collect(),
    };
    vec![batch(&all[..6]), batch(&all[6..])]
}

fn spans() -> Vec<TraceBatch> {
    // Trace, span, parent, service, name, kind, seconds after the start, milliseconds, failed.
    type Row = (u8, u8, u8, &'static str, &'static str, SpanKind, i64, i64, bool);
    let all: [Row; 8] = [
        (1, 1, 0, "checkout", "POST /orders", SpanKind::Server, 0, 12, false),
        (1, 2, 1, "checkout", "POST /pay/{id}", SpanKind::Client, 0, 8, false),
        (1, 3, 2, "payment", "POST /pay/{id}", SpanKind::Server, 0, 5, false),
        (2, 4, 0, "checkout", "POST /orders", SpanKind::Server, 60, 2050, true),
        (2, 5, 4, "checkout", "POST /pay/{id}", SpanKind::Client, 60, 2010, true),
        (2, 6, 5, "payment", "POST /pay/{id}", SpanKind::Server, 60, 2000, true),
        (3, 7, 0, "checkout", "POST /orders", SpanKind::Server, 120, 11, false),
        (3, 8, 7, "payment", "POST /pay/{id}", SpanKind::Server, 120, 4, false),
    ];
    let batch = |part: &[Row]| TraceBatch {
        groups: part
            .iter()
            .map(|&(trace, span, parent, service, name, kind, seconds, millis, failed)| {
                let code = if failed { 503_i64 } else { 200 };
                let span = Span {
                    trace_id: TraceId([trace; 16]),
                    span_id: SpanId([span; 8]),
                    parent_span_id: SpanId([parent; 8]),
                    name: name.into(),
                    kind,
                    start_time: at(seconds),
                    end_time: Timestamp(at(seconds).0 + millis * 1_000_000),
                    attributes: attributes(&[("http.response.status_code", code.into())]),
                    status: match failed {
                        true => {
                            SpanStatus { code: StatusCode::Error, message: "pool timeout".into() }
                        }
                        false => SpanStatus::default(),
                    },
                    ..Span::default()
                };
                ScopedSpans { resource: resource(service), scope: scope(), spans: vec![span] }
            })
            .collect(),
    };
    vec![batch(&all[..4]), batch(&all[4..])]
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> SeriesSamples {
    let samples = samples.iter().map(|&(seconds, value)| Sample {
        timestamp_ms: START_MS + seconds * 1000,
        value: SampleValue::Float(value),
    });
    SeriesSamples {
        samples: samples.collect(),
        ..SeriesSamples::single(Labels::from_pairs(labels.iter().copied()), 0, 0.0)
    }
}

fn metrics() -> Vec<MetricBatch> {
    let requests = |job: &'static str, code: &'static str| {
        [("__name__", "http_requests_total"), ("job", job), ("status_code", code)]
    };
    let part = |from: i64, also: Vec<SeriesSamples>| {
        let counted = |rate: f64| -> Vec<(i64, f64)> {
            (from..from + 3).map(|i| (i * 60, i as f64 * rate)).collect()
        };
        let mut all = vec![
            series(&requests("checkout", "200"), &counted(60.0)),
            series(&requests("checkout", "502"), &counted(1.0)),
            series(&requests("payment", "200"), &counted(45.0)),
        ];
        all.extend(also);
        MetricBatch { series: all, metadata: vec![] }
    };
    let up = [("__name__", "up"), ("job", "checkout"), ("instance", "web-1:8080")];
    let histogram = Histogram {
        schema: 0,
        count: 6.0,
        sum: 4.5,
        zero_threshold: 0.001,
        zero_count: 1.0,
        positive_spans: vec![BucketSpan { offset: -1, length: 2 }],
        positive_buckets: vec![2.0, 3.0],
        ..Histogram::default()
    };
    let name = [("__name__", "http_request_duration_seconds"), ("job", "checkout")];
    let mut latency = series(&name, &[(60, 0.0)]);
    for sample in &mut latency.samples {
        sample.value = SampleValue::Histogram(Arc::new(histogram.clone()));
    }
    vec![
        part(0, vec![series(&up, &[(0, 1.0), (60, 1.0)]), latency]),
        part(3, vec![series(&up, &[(180, 0.0), (240, STALE_NAN)])]),
    ]
}

/// The data set, in two halves.
pub(crate) fn shop() -> Vec<SignalBatch> {
    let mut halves = [Vec::new(), Vec::new()];
    for (half, batch) in halves.iter_mut().zip(logs()) {
        half.push(SignalBatch::Logs(batch));
    }
    for (half, batch) in halves.iter_mut().zip(spans()) {
        half.push(SignalBatch::Traces(batch));
    }
    for (half, batch) in halves.iter_mut().zip(metrics()) {
        half.push(SignalBatch::Metrics(batch));
    }
    halves.into_iter().flatten().collect()
}
