//! What the store's tests share: a clock, a store on the faulty disk, data of every kind.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{
    CommitId, QueryBudget, SampleBuffer, SelectSeries, SeriesSelect, StateCommit, StateKind,
    StateRecord,
};
use skopos_model::{
    AnyValue, Attributes, BucketSpan, Clock, CounterResetHint, Exemplar, Histogram, LabelMatcher,
    Labels, LogBatch, LogRecord, Metadata, MetricBatch, MetricType, Resource, STALE_NAN, Sample,
    SampleValue, Scope, ScopedLogs, ScopedSpans, SeriesSamples, SeverityNumber, SignalBatch, Span,
    SpanEvent, SpanId, SpanKind, SpanLink, SpanStatus, StatusCode, Temporality, TimeRange,
    Timestamp, TraceBatch, TraceId,
};
use skopos_store::scan::ScanEvents;
use skopos_store::{BlockConfig, ReplayProgress, Store, StoreConfig, StoreError, event};
use skopos_testkit::fault_fs::FaultFs;

/// The time at which all tests take place, milliseconds.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;
/// The data folder on the faulty disk.
pub(crate) const DATA: &str = "/data";

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW_MS)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Waits until `holds`; fails after ten seconds, so that a broken store fails its test.
pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("did not happen within ten seconds");
}

pub(crate) fn config() -> StoreConfig {
    let blocks = BlockConfig { automatic: false, compact_count: 2, ..BlockConfig::default() };
    StoreConfig { segment_bytes: 700, blocks, ..StoreConfig::new(DATA) }
}

pub(crate) fn open_with(fs: &FaultFs, config: StoreConfig) -> Result<Store, StoreError> {
    Store::open_on(config, Arc::new(fs.clone()), Arc::new(Still), ReplayProgress::new())
}

pub(crate) fn open(fs: &FaultFs) -> Result<Store, StoreError> {
    open_with(fs, config())
}

pub(crate) fn wal_path(number: u64) -> std::path::PathBuf {
    Path::new(DATA).join(format!("default/wal/{number:010}.wal"))
}

pub(crate) fn state_path(name: &str) -> std::path::PathBuf {
    Path::new(DATA).join("default/state").join(name)
}

/// One float sample of series `name`, `i` seconds before now… the later the larger `i`.
pub(crate) fn metric(name: &str, i: i64) -> SignalBatch {
    let labels = Labels::from_pairs([("__name__", name), ("job", "test")]);
    let series = vec![SeriesSamples::single(labels, NOW_MS - 60_000 + i * 1000, i as f64)];
    SignalBatch::Metrics(MetricBatch { series, metadata: vec![] })
}

pub(crate) fn sender() -> (Arc<Resource>, Arc<Scope>) {
    let attributes = Attributes::from_iter([("service.name", "payment")]);
    (Arc::new(Resource { attributes, ..Resource::default() }), Arc::default())
}

/// One log record with this body.
pub(crate) fn log(body: &str) -> SignalBatch {
    let (resource, scope) = sender();
    let time = Timestamp::from_millis(NOW_MS);
    let record = LogRecord { time, observed_time: time, body: body.into(), ..LogRecord::default() };
    SignalBatch::Logs(LogBatch {
        groups: vec![ScopedLogs { resource, scope, records: vec![record] }],
    })
}

/// One span with this name.
pub(crate) fn span(name: &str) -> SignalBatch {
    let (resource, scope) = sender();
    let span = Span {
        trace_id: TraceId([7; 16]),
        span_id: SpanId([1; 8]),
        name: name.into(),
        start_time: Timestamp::from_millis(NOW_MS),
        end_time: Timestamp::from_millis(NOW_MS + 5),
        ..Span::default()
    };
    SignalBatch::Traces(TraceBatch {
        groups: vec![ScopedSpans { resource, scope, spans: vec![span] }],
    })
}

/// A commit of two records and one sample.
pub(crate) fn commit(source: &str, slot: i64) -> StateCommit {
    let record = |kind, key: String, value: String| StateRecord {
        kind,
        key,
        value: Some(value.into_bytes()),
    };
    let labels = Labels::from_pairs([("__name__", "recorded"), ("rule", source)]);
    StateCommit {
        id: CommitId { source: source.into(), slot },
        records: vec![
            record(StateKind::Alert, format!("{source}/{slot}"), format!("value {slot}")),
            record(StateKind::RuleGroup, format!("{source}/last"), slot.to_string()),
        ],
        samples: vec![SeriesSamples::single(labels, NOW_MS - 60_000 + slot * 1000, slot as f64)],
    }
}

/// All samples of all series: (labels, time, bits of the value).
pub(crate) async fn samples(store: &Store) -> Vec<(String, i64, u64)> {
    let select = SeriesSelect {
        matchers: vec![LabelMatcher::new("__name__", skopos_model::MatchOp::Regex, ".+").unwrap()],
        start_ms: i64::MIN,
        end_ms: i64::MAX,
        hints: Default::default(),
    };
    let set = store.select(&select, &QueryBudget::unlimited()).await.unwrap();
    let mut out = Vec::new();
    for series in set.series {
        let mut buffer = SampleBuffer::default();
        series.samples.decode(i64::MIN, i64::MAX, &mut buffer).unwrap();
        for (time, value) in buffer.timestamps.iter().zip(&buffer.values) {
            out.push((series.labels.to_string(), *time, value.to_bits()));
        }
    }
    out
}

/// Ids and bodies of all log records.
pub(crate) async fn logs(store: &Store) -> Vec<(u128, String)> {
    let scan = EventScan::new(EventSignal::Logs, TimeRange::ALL);
    let batches = store.scan(&scan, &QueryBudget::unlimited()).await.unwrap();
    let rows = batches.iter().flat_map(|batch| event::logs(batch).unwrap());
    rows.map(|row| (row.id.0, row.record.body.to_string())).collect()
}

/// Ids and names of all spans.
pub(crate) async fn spans(store: &Store) -> Vec<(u128, String)> {
    let scan = EventScan::new(EventSignal::Spans, TimeRange::ALL);
    let batches = store.scan(&scan, &QueryBudget::unlimited()).await.unwrap();
    let rows = batches.iter().flat_map(|batch| event::spans(batch).unwrap());
    rows.map(|row| (row.id.0, row.span.name.to_string())).collect()
}

/// A metrics batch that uses every corner of the model.
pub(crate) fn rich_metrics() -> MetricBatch {
    let labels = Labels::from_pairs([("__name__", "latency"), ("path", "/käse"), ("le", "+Inf")]);
    let histogram = Histogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: -4,
        zero_threshold: 1e-128,
        zero_count: 2.0,
        count: 9.0,
        sum: STALE_NAN,
        positive_spans: vec![
            BucketSpan { offset: i32::MIN, length: 1 },
            BucketSpan { offset: 3, length: 1 },
        ],
        positive_buckets: vec![1.5, f64::from_bits(0xfff8_dead_beef_0001)],
        negative_spans: vec![BucketSpan { offset: i32::MAX, length: 1 }],
        negative_buckets: vec![-0.0],
        custom_values: vec![0.1, 0.2, f64::INFINITY],
    };
    let exemplar = Exemplar {
        labels: Labels::from_pairs([("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")]),
        timestamp_ms: NOW_MS - 3,
        value: f64::NEG_INFINITY,
    };
    let floats = [0.0, -0.0, 1.0, f64::NAN, STALE_NAN, f64::MAX, 5e-324];
    let floats = floats.iter().enumerate();
    MetricBatch {
        series: vec![
            SeriesSamples {
                labels: labels.clone(),
                samples: floats.map(|(i, v)| Sample::float(NOW_MS + i as i64, *v)).collect(),
                temporality: Temporality::Delta,
                start_timestamp_ms: Some(-1),
                exemplars: vec![exemplar],
            },
            SeriesSamples {
                labels: labels.without_name(),
                samples: vec![
                    Sample {
                        timestamp_ms: i64::MIN,
                        value: SampleValue::Histogram(Arc::new(histogram)),
                    },
                    Sample::float(i64::MAX, 1e300),
                ],
                temporality: Temporality::Cumulative,
                start_timestamp_ms: None,
                exemplars: vec![],
            },
            SeriesSamples::single(Labels::empty(), 0, 0.0),
        ],
        metadata: vec![Metadata {
            metric: "latency".into(),
            metric_type: MetricType::GaugeHistogram,
            unit: "s".into(),
            help: "How long \"it\" takes\n".into(),
        }],
    }
}

/// Attributes of every type, nested.
pub(crate) fn rich_attributes() -> Attributes {
    let mut inner = Attributes::new();
    inner.set("empty", AnyValue::Empty);
    inner.set("bytes", AnyValue::Bytes([0, 255, 7][..].into()));
    inner.set("list", AnyValue::Array(vec![AnyValue::Bool(false), AnyValue::Int(i64::MIN)]));
    let mut attributes = Attributes::new();
    attributes.set("service.name", "payment");
    attributes.set("map", AnyValue::Map(inner));
    attributes.set("nan", f64::from_bits(0x7ff8_0000_0000_1234));
    attributes.set("yes", true);
    attributes.set("long", "a text that is longer than what goes through the string table");
    attributes.set("", "");
    attributes
}

/// Log records that use every corner of the model.
pub(crate) fn rich_logs() -> LogBatch {
    let resource = Resource {
        attributes: rich_attributes(),
        dropped_attributes_count: 3,
        schema_url: "https://opentelemetry.io/schemas/1.30.0".into(),
    };
    let scope = Scope {
        name: "lib".into(),
        version: "1.2".into(),
        attributes: rich_attributes(),
        dropped_attributes_count: u32::MAX,
        schema_url: "s".into(),
    };
    let full = LogRecord {
        time: Timestamp(1_700_000_000_123_456_789),
        observed_time: Timestamp::MIN,
        severity: SeverityNumber(255),
        severity_text: "ERROR".into(),
        body: AnyValue::Map(rich_attributes()),
        attributes: rich_attributes(),
        dropped_attributes_count: 1,
        flags: u32::MAX,
        trace_id: TraceId([9; 16]),
        span_id: SpanId([8; 8]),
        event_name: "payment.declined".into(),
    };
    let group = ScopedLogs {
        resource: Arc::new(resource),
        scope: Arc::new(scope),
        records: vec![full, LogRecord::default()],
    };
    LogBatch { groups: vec![group, ScopedLogs::default()] }
}

/// Spans that use every corner of the model.
pub(crate) fn rich_traces() -> TraceBatch {
    let (resource, scope) = sender();
    let full = Span {
        trace_id: TraceId([9; 16]),
        span_id: SpanId([8; 8]),
        parent_span_id: SpanId([7; 8]),
        trace_state: "vendor=1".into(),
        flags: 0x301,
        name: "POST /orders".into(),
        kind: SpanKind::Consumer,
        start_time: Timestamp::MAX,
        end_time: Timestamp::MIN,
        attributes: rich_attributes(),
        dropped_attributes_count: 1,
        events: vec![SpanEvent {
            time: Timestamp(5),
            name: "exception".into(),
            attributes: rich_attributes(),
            dropped_attributes_count: 2,
        }],
        dropped_events_count: 3,
        links: vec![SpanLink {
            trace_id: TraceId([1; 16]),
            span_id: SpanId::INVALID,
            trace_state: "x".into(),
            attributes: rich_attributes(),
            dropped_attributes_count: 4,
            flags: 1,
        }],
        dropped_links_count: 5,
        status: SpanStatus { code: StatusCode::Error, message: "declined".into() },
    };
    TraceBatch { groups: vec![ScopedSpans { resource, scope, spans: vec![full, Span::default()] }] }
}
