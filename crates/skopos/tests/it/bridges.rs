//! Metrics of libraries that know nothing of us, scraped and pushed with the rest.

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use skopos::metrics::{Format, Registry};

use crate::exposition::parse;

#[test]
fn the_metrics_facade() {
    let registry = Registry::new();
    registry.limit_series(5);
    let recorder = registry.recorder();
    metrics::with_local_recorder(&recorder, || {
        metrics::describe_histogram!("mail.wait", metrics::Unit::Seconds, "Time to send.");
        for (folder, count) in [("in", 2), ("out", 3)] {
            metrics::counter!("mails", "folder" => folder).increment(count);
        }
        metrics::counter!("seen").absolute(9);
        metrics::counter!("seen").absolute(4);
        let depth = metrics::gauge!("queue_depth");
        depth.set(5.0);
        depth.increment(2.0);
        depth.decrement(1.0);
        for _ in 0..100_000 {
            metrics::histogram!("mail.wait").record(0.3);
        }
        for user in 0..50 {
            metrics::counter!("logins", "user" => user.to_string()).increment(1);
        }
    });
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let series = parse(&registry.encode(format), format).series;
        assert_eq!(series[r#"mails_total{folder="in"}"#], 2.0);
        assert_eq!((series["seen_total"], series["queue_depth"]), (9.0, 6.0));
        assert_eq!(series["mail_wait_seconds_count"], 100_000.0);
        assert_eq!(series[r#"mail_wait_seconds_bucket{le="0.2"}"#], 0.0);
        assert_eq!(series[r#"mail_wait_seconds_bucket{le="0.5"}"#], 100_000.0);
        let logins = series.keys().filter(|name| name.starts_with("logins_total")).count();
        assert_eq!(logins, 6, "five users and the rest");
        assert_eq!(series[r#"logins_total{otel_metric_overflow="true"}"#], 45.0);
    }
}

#[test]
fn opentelemetrys_own_instruments() {
    let registry = Registry::new();
    let meters = registry.meter_provider();
    let scope = InstrumentationScope::builder("db-driver").build();
    let meter = meters.meter_with_scope(scope);
    let eu = [KeyValue::new("db.region", "eu")];
    let calls = meter.u64_counter("db.calls").with_description("Calls.").build();
    calls.add(2, &eu);
    // Asked for twice it is the same.
    meter.u64_counter("db.calls").build().add(1, &eu);
    meter.f64_counter("db.time").with_unit("s").build().add(0.5, &[]);
    meter.f64_counter("db.time").with_unit("s").build().add(-3.0, &[]);
    let open = meter.i64_up_down_counter("db.connections").build();
    open.add(5, &[]);
    open.add(-2, &[]);
    meter.f64_gauge("db.load").build().record(0.75, &[]);
    let wait =
        meter.f64_histogram("db.wait").with_unit("s").with_boundaries(vec![0.1, 1.0]).build();
    wait.record(0.5, &eu);
    meter
        .u64_observable_counter("db.pages")
        .with_callback(|observer| observer.observe(17, &[KeyValue::new("kind", "heap")]))
        .build();
    meter
        .i64_observable_gauge("db.lag")
        .with_callback(|observer| observer.observe(-4, &[]))
        .build();
    let text = registry.encode(Format::Prometheus);
    let parsed = parse(&text, Format::Prometheus);
    for (name, expected) in [
        (r#"db_calls_total{db_region="eu"}"#, 3.0),
        ("db_time_seconds_total", 0.5),
        ("db_connections", 3.0),
        ("db_load", 0.75),
        (r#"db_wait_seconds_bucket{db_region="eu",le="0.1"}"#, 0.0),
        (r#"db_wait_seconds_bucket{db_region="eu",le="1"}"#, 1.0),
        (r#"db_pages_total{kind="heap"}"#, 17.0),
        ("db_lag", -4.0),
    ] {
        assert_eq!(parsed.series[name], expected, "{name} in {text}");
    }
    assert_eq!(parsed.types["db_connections"], "gauge");
    assert_eq!(parsed.types["db_pages_total"], "counter");
    assert!(text.contains("# HELP db_calls_total Calls.\n"));
}

#[test]
fn a_library_is_pushed_under_its_own_names() {
    use crate::support::{Collector, Manner, Output, PATIENCE, builder, scoped};
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    drop(guard);
    let meters = telemetry.registry().meter_provider();
    let meter = meters.meter("db-driver");
    meter.f64_histogram("db.wait").with_unit("s").build().record(0.5, &[]);
    assert!(telemetry.flush(PATIENCE));
    let metric = collector.metric("db.wait");
    assert_eq!(metric.unit, "s");
    let pushed = collector.pushes().pop().unwrap();
    let (scope, _) = pushed.iter().find(|(_, metric)| metric.name == "db.wait").unwrap();
    assert_eq!(scope, "db-driver");
}
