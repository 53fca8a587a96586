//! Derived metrics: what is counted, when it is written, and that nothing is lost, doubled or
//! without bound.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use skopos_ingest::derive::{
    BOUNDS, DeriveLimits, DeriveOptions, DerivedMetrics, IDLE, KEEP_ALIVE, Tally,
};
use skopos_model::{
    Attributes, LogBatch, LogRecord, MetricBatch, Resource, SampleValue, ScopedLogs, ScopedSpans,
    SeverityNumber, SignalBatch, Span, SpanId, SpanKind, SpanStatus, StatusCode, Timestamp,
    TraceBatch, TraceId, is_stale,
};

use crate::support::NOW;

const START: i64 = NOW.as_millis();
const LATEST: Timestamp = NOW;

fn resource(service: &str, environment: &str) -> Arc<Resource> {
    let mut attributes = Attributes::default();
    if !service.is_empty() {
        attributes.set("service.name", service);
    }
    if !environment.is_empty() {
        attributes.set("deployment.environment.name", environment);
    }
    Arc::new(Resource { attributes, ..Resource::default() })
}

fn span(name: &str, micros: i64) -> Span {
    let start_time = Timestamp(NOW.0 - 60_000_000_000);
    Span {
        trace_id: TraceId([7; 16]),
        span_id: SpanId([9; 8]),
        name: name.into(),
        kind: SpanKind::Server,
        start_time,
        end_time: Timestamp(start_time.0 + micros * 1_000),
        ..Span::default()
    }
}

fn spans(service: &str, spans: Vec<Span>) -> SignalBatch {
    let group = ScopedSpans { resource: resource(service, ""), spans, ..ScopedSpans::default() };
    SignalBatch::Traces(TraceBatch { groups: vec![group] })
}

fn record(severity: SeverityNumber) -> LogRecord {
    LogRecord { time: NOW, severity, ..LogRecord::default() }
}

fn logs(service: &str, environment: &str, records: Vec<LogRecord>) -> SignalBatch {
    let resource = resource(service, environment);
    let group = ScopedLogs { resource, records, ..ScopedLogs::default() };
    SignalBatch::Logs(LogBatch { groups: vec![group] })
}

fn tally(mut batch: SignalBatch) -> Tally {
    Tally::of(&mut batch, &DeriveOptions::default(), LATEST).0
}

/// Series by their labels, each with its samples and whether the last one is a stale marker.
fn render(batch: &MetricBatch) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut out = BTreeMap::new();
    for series in &batch.series {
        let samples = series.samples.iter().map(|sample| match sample.value {
            SampleValue::Float(value) => (sample.timestamp_ms - START, value),
            SampleValue::Histogram(_) => panic!("no native histogram is derived"),
        });
        let earlier = out.insert(series.labels.to_string(), samples.collect());
        assert!(earlier.is_none(), "{} occurs twice", series.labels);
    }
    out
}

#[test]
fn a_span_becomes_rate_errors_and_duration() {
    let mut derived = DerivedMetrics::new(DeriveLimits::default(), START);
    let mut failed = span("POST /orders", 70_000);
    failed.status = SpanStatus { code: StatusCode::Error, message: "declined".into() };
    let batch =
        spans("checkout", vec![span("POST /orders", 5_000), span("POST /orders", 5_001), failed]);
    assert!(derived.add(&tally(batch)).is_empty());
    let batch = derived.tick(START + 5_000);
    let series = render(&batch);
    assert_eq!(series.len(), 2 * (BOUNDS.len() + 4), "{series:#?}");
    let operation = |metric: &str, more: &str, status: &str| {
        let name = format!(
            r#"{metric}{{{more}service_name="checkout", span_kind="SPAN_KIND_SERVER", span_name="POST /orders", status_code="STATUS_CODE_{status}"}}"#
        );
        series.get(&name).unwrap_or_else(|| panic!("{name} in {series:#?}")).clone()
    };
    let from_zero = |value: f64| vec![(1, 0.0), (5_000, value)];
    assert_eq!(operation("traces_spanmetrics_calls_total", "", "UNSET"), from_zero(2.0));
    assert_eq!(operation("traces_spanmetrics_calls_total", "", "ERROR"), from_zero(1.0));
    assert_eq!(operation("traces_spanmetrics_latency_count", "", "UNSET"), from_zero(2.0));
    assert_eq!(operation("traces_spanmetrics_latency_sum", "", "UNSET"), from_zero(0.010_001));
    // A bound is inclusive.
    for (le, count) in [("0.001", 0.0), ("0.005", 1.0), ("0.01", 2.0), ("10", 2.0), ("+Inf", 2.0)] {
        let le = format!(r#"le="{le}", "#);
        let bucket = operation("traces_spanmetrics_latency_bucket", &le, "UNSET");
        assert_eq!(bucket, from_zero(count), "{le}");
    }

    let exemplars: Vec<_> = batch.series.iter().flat_map(|s| &s.exemplars).collect();
    assert_eq!(exemplars.len(), 3, "one a bucket");
    let example = exemplars.iter().find(|e| e.value == 0.07).unwrap();
    assert_eq!(
        example.labels.to_string(),
        r#"{span_id="0909090909090909", trace_id="07070707070707070707070707070707"}"#
    );
    let kinds: Vec<_> = batch.metadata.iter().map(|m| m.metric_type.as_str()).collect();
    assert_eq!(kinds, ["counter", "histogram", "counter", "counter"]);
    assert!(batch.series.iter().all(|s| s.start_timestamp_ms == Some(START + 1)));
}

#[test]
fn bounds_as_text_and_as_numbers_agree() {
    let mut derived = DerivedMetrics::new(DeriveLimits::default(), START);
    let just_over = |bound: &&str| (bound.parse::<f64>().unwrap() * 1e6) as i64 + 1;
    let batch = BOUNDS.iter().map(|bound| span("x", just_over(bound))).collect();
    derived.add(&tally(spans("s", batch)));
    let series = render(&derived.tick(START + 5_000));
    for (i, bound) in BOUNDS.iter().enumerate() {
        let le = format!(r#"le="{bound}""#);
        let bucket = series.iter().find(|(name, _)| name.contains(&le)).unwrap();
        assert_eq!(bucket.1[1].1, i as f64, "{bound}");
    }
}

#[test]
fn log_records_count_by_service_and_severity() {
    let mut derived = DerivedMetrics::new(DeriveLimits::default(), START);
    let by_text = LogRecord { severity_text: "err".into(), ..record(SeverityNumber::UNSPECIFIED) };
    let too_late = LogRecord { time: Timestamp(LATEST.0 + 1), ..record(SeverityNumber::ERROR) };
    let records = vec![
        record(SeverityNumber::ERROR),
        record(SeverityNumber(20)),
        record(SeverityNumber::UNSPECIFIED),
        by_text,
        too_late,
    ];
    derived.add(&tally(logs("checkout", "", records)));
    derived.add(&tally(logs("", "", vec![record(SeverityNumber::DEBUG)])));
    let series = render(&derived.tick(START + 5_000));
    let want = [
        (r#"{service_name="checkout", severity="ERROR"}"#, 3.0),
        (r#"{service_name="checkout", severity="UNSPECIFIED"}"#, 1.0),
        (r#"{service_name="unknown_service", severity="DEBUG"}"#, 1.0),
    ];
    assert_eq!(series.len(), want.len(), "{series:#?}");
    for (labels, count) in want {
        assert_eq!(series[&format!("log_records_total{labels}")], [(1, 0.0), (5_000, count)]);
    }
}

#[test]
fn debug_in_production_is_counted_and_on_request_dropped() {
    let records = || {
        vec![
            record(SeverityNumber::TRACE),
            record(SeverityNumber::INFO),
            LogRecord { severity_text: "DEBUG".into(), ..record(SeverityNumber::UNSPECIFIED) },
        ]
    };
    for (environment, drop, debug, kept) in [
        ("production", false, 2.0, 3),
        ("Prod", true, 2.0, 1),
        ("staging", true, 0.0, 3),
        ("", true, 0.0, 3),
    ] {
        let options = DeriveOptions { drop_debug_in_production: drop, ..DeriveOptions::default() };
        let mut batch = logs("checkout", environment, records());
        let (tally, dropped) = Tally::of(&mut batch, &options, LATEST);
        assert_eq!(batch.len(), kept, "{environment}");
        let mut derived = DerivedMetrics::new(options.limits, START);
        derived.add(&tally);
        let series = render(&derived.tick(START + 5_000));
        let counted: f64 = series.values().map(|samples| samples[1].1).sum::<f64>() - debug;
        assert_eq!(counted as usize, kept, "what is stored counts: {series:#?}");
        let name = r#"skopos_debug_logs_in_production_total{service_name="checkout"}"#;
        assert_eq!(series.get(name).map_or(0.0, |samples| samples[1].1), debug, "{environment}");
        let told: Vec<_> = dropped.iter().map(|r| (&*r.reason, &*r.sender, r.count)).collect();
        let want = if kept < 3 { vec![("debug_in_production", "checkout", 2)] } else { vec![] };
        assert_eq!(told, want, "{environment}");
    }
}

#[test]
fn what_does_not_change_is_kept_alive_and_ends_when_idle() {
    let mut derived = DerivedMetrics::new(DeriveLimits::default(), START);
    derived.add(&tally(logs("s", "", vec![record(SeverityNumber::WARN)])));
    let mut now = START;
    let mut tick = |derived: &mut DerivedMetrics, after: i64| {
        now += after;
        let series = render(&derived.tick(now));
        derived.stored();
        series.into_values().next().unwrap_or_default()
    };
    assert_eq!(tick(&mut derived, 5_000), [(1, 0.0), (5_000, 1.0)]);
    assert_eq!(tick(&mut derived, 5_000), []);
    let alive = KEEP_ALIVE.as_millis() as i64;
    assert_eq!(tick(&mut derived, alive - 5_000), [(5_000 + alive, 1.0)]);
    let end = tick(&mut derived, IDLE.as_millis() as i64);
    assert!(is_stale(end[0].1), "{end:?}");
    assert_eq!(tick(&mut derived, 60_000), []);
    // Who comes back begins anew, from 0.
    derived.add(&tally(logs("s", "", vec![record(SeverityNumber::WARN)])));
    let again = tick(&mut derived, 5_000);
    assert_eq!(again.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [0.0, 1.0]);
    assert!(again[0].0 < again[1].0);
}

#[test]
fn a_clock_that_is_set_back_pauses_for_a_minute_at_most() {
    let mut derived = DerivedMetrics::new(DeriveLimits::default(), START);
    let mut count = |at: i64| {
        derived.add(&tally(logs("s", "", vec![record(SeverityNumber::INFO)])));
        let written = !derived.tick(START + at).series.is_empty();
        derived.stored();
        written
    };
    for (at, written) in [
        (600_000, true),
        (600_000, false),
        (541_000, false),
        (600_005, true),
        (300_000, true),
        (305_000, true),
    ] {
        assert_eq!(count(at), written, "{at}");
    }
}

#[test]
fn a_flood_of_names_is_folded_counted_and_named() {
    let limits = DeriveLimits { services: 3, span_names: 4, operations: 8 };
    let mut derived = DerivedMetrics::new(limits, START);
    let flood = |service: &str| {
        let names = (0..100).map(|i| span(&format!("GET /users/{i}"), 1_000)).collect();
        tally(spans(service, names))
    };
    let news = derived.add(&flood("a"));
    assert_eq!(news.len(), 1);
    assert_eq!((news[0].limit, &*news[0].first), ("span_names", "GET /users/4"));
    assert!(derived.add(&flood("a")).is_empty(), "said once");
    for service in ["b", "c", "d", "e"] {
        derived.add(&flood(service));
    }
    let folded: Vec<_> =
        derived.folded().map(|f| (&*f.service, f.limit, f.count, &*f.first)).collect();
    assert_eq!(
        folded,
        [
            ("a", "span_names", 192, "GET /users/4"),
            ("b", "operations", 1, "GET /users/3"),
            ("b", "span_names", 96, "GET /users/4"),
            ("c", "operations", 100, "GET /users/0"),
            ("other", "services", 200, "d"),
        ]
    );
    assert!(derived.operation_count() <= 12 + 18, "{}", derived.operation_count());
    let series = render(&derived.tick(START + 5_000));
    let calls = series.iter().filter(|(name, _)| name.starts_with("traces_spanmetrics_calls"));
    assert_eq!(calls.map(|(_, samples)| samples[1].1).sum::<f64>(), 600.0, "all are counted");
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Spans(u8, Vec<(u8, u8, u32)>),
    Logs(u8, Vec<u8>),
    /// A tick after so many seconds, stored or not.
    Tick(u16, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let spans = (0..5_u8, prop::collection::vec((0..12_u8, 0..3_u8, 0..20_000_000_u32), 0..12));
    let step = prop_oneof![
        3 => spans.prop_map(|(service, spans)| Step::Spans(service, spans)),
        2 => (0..5_u8, prop::collection::vec(0..25_u8, 0..8)).prop_map(|(s, l)| Step::Logs(s, l)),
        4 => (prop_oneof![4 => 1..30_u16, 1 => 800..2_000_u16], prop::bool::weighted(0.8))
            .prop_map(|(seconds, stored)| Step::Tick(seconds, stored)),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a reader sees of one series: the sum of its increases, resets respected.
#[derive(Default)]
struct Reader {
    last: Option<(i64, f64)>,
    increase: f64,
}

impl Reader {
    fn read(&mut self, at: i64, value: f64) {
        if let Some((before, _)) = self.last {
            assert!(at > before, "time goes on: {before} then {at}");
        } else {
            assert_eq!(value, 0.0, "a series begins at 0");
        }
        if is_stale(value) {
            return self.last = Some((at, f64::NAN));
        }
        match self.last {
            Some((_, last)) if last.is_nan() || value < last => {
                assert_eq!(value, 0.0, "a counter falls to 0 only");
            }
            Some((_, last)) => self.increase += value - last,
            None => {}
        }
        self.last = Some((at, value));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// After every stored tick a reader has seen exactly what was counted, whatever failed before.
    #[test]
    fn readers_see_exactly_what_was_counted(steps in steps()) {
        let limits = DeriveLimits { services: 3, span_names: 5, operations: 12 };
        let mut derived = DerivedMetrics::new(limits, START);
        let mut readers: HashMap<String, Reader> = HashMap::new();
        let (mut spans_counted, mut logs_counted, mut now) = (0_u64, 0_u64, START);
        for step in steps {
            match step {
                Step::Spans(service, list) => {
                    let made = list.iter().map(|(name, status, micros)| {
                        let mut span = span(&format!("op{name}"), i64::from(*micros));
                        span.status.code =
                            [StatusCode::Unset, StatusCode::Ok, StatusCode::Error][*status as usize];
                        span
                    });
                    derived.add(&tally(spans(&format!("s{service}"), made.collect())));
                    spans_counted += list.len() as u64;
                }
                Step::Logs(service, list) => {
                    let records = list.iter().map(|s| record(SeverityNumber(*s))).collect();
                    derived.add(&tally(logs(&format!("s{service}"), "", records)));
                    logs_counted += list.len() as u64;
                }
                Step::Tick(seconds, stored) => {
                    now += i64::from(seconds) * 1_000;
                    let batch = derived.tick(now);
                    if !stored {
                        continue;
                    }
                    derived.stored();
                    check_histograms(&batch);
                    for (name, samples) in render(&batch) {
                        let reader = readers.entry(name).or_default();
                        for (at, value) in samples {
                            reader.read(at, value);
                        }
                    }
                    let seen = |prefix: &str| -> f64 {
                        let of = readers.iter().filter(|(name, _)| name.starts_with(prefix));
                        of.map(|(_, reader)| reader.increase).sum()
                    };
                    prop_assert_eq!(seen("traces_spanmetrics_calls_total"), spans_counted as f64);
                    prop_assert_eq!(seen("traces_spanmetrics_latency_count"), spans_counted as f64);
                    prop_assert_eq!(seen("log_records_total"), logs_counted as f64);
                    prop_assert!(derived.operation_count() <= 18 + 18);
                }
            }
        }
    }
}

/// Buckets never fall with their bound, and the last one is the count.
fn check_histograms(batch: &MetricBatch) {
    let value = |series: &skopos_model::SeriesSamples| match series.samples.last().unwrap().value {
        SampleValue::Float(value) => value,
        SampleValue::Histogram(_) => f64::NAN,
    };
    let mut last = 0.0;
    for series in &batch.series {
        match (series.labels.metric_name(), series.labels.value("le")) {
            ("traces_spanmetrics_calls_total", _) => last = 0.0,
            ("traces_spanmetrics_latency_bucket", le) if !is_stale(value(series)) => {
                assert!(value(series) >= last, "{le}");
                last = value(series);
            }
            ("traces_spanmetrics_latency_count", _) if !is_stale(value(series)) => {
                assert_eq!(value(series), last);
            }
            _ => {}
        }
    }
}
