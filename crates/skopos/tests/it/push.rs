//! Metrics as they are pushed by OTLP: the same numbers as on `/metrics`, in either temporality, whatever the collector does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, number_data_point,
};
use skopos::Telemetry;
use skopos::metrics::{Bounded, Format, buckets};

use crate::exposition::parse;
use crate::support::{Collector, Manner, Output, PATIENCE, attribute, builder, hex, scoped};

skopos::labels! {
    struct OrderLabels { region: Bounded<3> }
}

fn numbers(metric: &Metric) -> Vec<NumberDataPoint> {
    match metric.data.clone() {
        Some(Data::Sum(sum)) => sum.data_points,
        Some(Data::Gauge(gauge)) => gauge.data_points,
        other => panic!("{other:?}"),
    }
}

fn value(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsInt(number)) => number as f64,
        Some(number_data_point::Value::AsDouble(number)) => number,
        None => panic!("no value"),
    }
}

fn histograms(metric: &Metric) -> Vec<HistogramDataPoint> {
    match metric.data.clone() {
        Some(Data::Histogram(histogram)) => histogram.data_points,
        other => panic!("{other:?}"),
    }
}

fn flush(telemetry: &Telemetry) {
    assert!(telemetry.flush(PATIENCE));
}

#[test]
fn pull_and_push_tell_the_same() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    let registry = telemetry.registry();
    let orders = registry.counter_family::<OrderLabels>("orders_placed_total", "Orders placed.");
    for (region, number) in [("eu", 3), ("us", 2), ("ap", 1), ("sa", 4), ("", 1)] {
        orders.add(&OrderLabels { region: region.into() }, number);
    }
    registry.gauge("pool_usage_ratio", "Pool.").set(0.25);
    registry.sum_fn("busy_seconds_total", "Busy.", &[("worker", "1")], || 1.5);
    let latency = registry.histogram("latency_seconds", "Latency.", &[0.1, 1.0]);
    let trace = tracing::info_span!("work").in_scope(|| {
        latency.observe(0.05);
        skopos::current_trace_id().unwrap()
    });
    latency.observe(7.0);
    drop(guard);
    flush(&telemetry);

    let orders = collector.metric("orders_placed_total");
    assert_eq!((orders.description.as_str(), orders.unit.as_str()), ("Orders placed.", ""));
    let Some(Data::Sum(sum)) = &orders.data else { panic!("{orders:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
    let parsed = parse(&registry.encode(Format::Prometheus), Format::Prometheus);
    let points = numbers(&orders);
    assert_eq!(points.len(), 4, "three regions and the rest");
    for point in &points {
        let region = attribute(&point.attributes, "region");
        let text = region.map(|region| format!("orders_placed_total{{region=\"{region}\"}}"));
        assert_eq!(parsed.series[&text.unwrap()], value(point));
        assert!(point.start_time_unix_nano > 0 && point.time_unix_nano > 0);
    }
    let usage = collector.metric("pool_usage_ratio");
    assert_eq!((value(&numbers(&usage)[0]), usage.unit.as_str()), (0.25, "1"));
    let busy = collector.metric("busy_seconds_total");
    assert_eq!((value(&numbers(&busy)[0]), busy.unit.as_str()), (1.5, "s"));
    assert_eq!(attribute(&numbers(&busy)[0].attributes, "worker").as_deref(), Some("1"));

    let latency = collector.metric("latency_seconds");
    let [point] = histograms(&latency).try_into().unwrap();
    assert_eq!((point.count, point.sum, latency.unit.as_str()), (2, Some(7.05), "s"));
    assert_eq!(point.bucket_counts, [1, 0, 1]);
    assert_eq!(point.explicit_bounds, [0.1, 1.0]);
    let [exemplar] = point.exemplars.as_slice() else { panic!("{:?}", point.exemplars) };
    assert_eq!(hex(&exemplar.trace_id), trace);
    // What the SDK says of itself goes the same way.
    let overflow = collector.metric("skopos_telemetry_exported_total");
    assert_eq!(numbers(&overflow).len(), 3, "logs, spans and metrics");
}

#[test]
fn exponential_buckets_are_pushed_and_bounds_are_scraped() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    let sizes = telemetry.registry().exponential_histogram("upload_size_bytes", "U.", &[10.0]);
    for value in [0.0, 1.5, 1.5, 3.0, 1e6, -2.0] {
        sizes.observe(value);
    }
    drop(guard);
    flush(&telemetry);
    let metric = collector.metric("upload_size_bytes");
    let Some(Data::ExponentialHistogram(histogram)) = &metric.data else { panic!("{metric:?}") };
    let [point] = histogram.data_points.as_slice() else { panic!("{histogram:?}") };
    assert_eq!((point.count, point.zero_count, point.scale), (6, 1, 3));
    assert_eq!((metric.unit.as_str(), point.sum), ("By", Some(1_000_004.0)));
    let positive = point.positive.clone().unwrap();
    let base = 2f64.powf(1.0 / 8.0);
    let mut told: Vec<(f64, u64)> = Vec::new();
    for (place, count) in positive.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0)
    {
        told.push((base.powi(positive.offset + place as i32 + 1), *count));
    }
    let counts: Vec<u64> = told.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [2, 1, 1]);
    for ((upper, _), value) in told.iter().zip([1.5, 3.0, 1e6]) {
        assert!(value <= *upper && value > upper / base, "{value} in a bucket up to {upper}");
    }
    assert_eq!(point.negative.clone().unwrap().bucket_counts, [1]);
    let text = telemetry.registry().encode(Format::OpenMetrics);
    assert!(text.contains("upload_size_bytes_bucket{le=\"10.0\"} 5\n"), "{text}");
    assert!(text.contains("# UNIT upload_size_bytes bytes\n"), "{text}");
}

#[test]
fn differences_reach_back_to_the_last_push_that_was_taken() {
    let collector = Collector::start(Manner::Busy(1));
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(
        &output,
        &[
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &format!("{endpoint}/v1/metrics")),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ],
    ));
    drop(guard);
    let registry = telemetry.registry();
    let orders = registry.counter("orders_total", "Orders.");
    let users = registry.gauge("users", "Users.");
    let latency = registry.histogram("latency_seconds", "Latency.", buckets::HTTP);
    orders.add(5);
    users.set(7.0);
    latency.observe(0.3);
    // Retried at once: what was told is told whole.
    flush(&telemetry);
    let sum = |name: &str| value(&numbers(&collector.metric(name))[0]);
    assert_eq!((sum("orders_total"), sum("users")), (5.0, 7.0));
    let Some(Data::Sum(told)) = collector.metric("orders_total").data else { panic!() };
    assert_eq!(told.aggregation_temporality(), AggregationTemporality::Delta);
    orders.add(2);
    latency.observe(0.4);
    latency.observe(0.4);
    flush(&telemetry);
    assert_eq!((sum("orders_total"), sum("users")), (2.0, 7.0), "a gauge is as it is");
    let [point] = histograms(&collector.metric("latency_seconds")).try_into().unwrap();
    assert_eq!((point.count, point.bucket_counts.iter().sum::<u64>()), (2, 2));
    assert!((point.sum.unwrap() - 0.8).abs() < 1e-9);
    // Nothing was added: nothing is told of it.
    flush(&telemetry);
    let last = collector.pushes().pop().unwrap();
    assert!(!last.iter().any(|(_, metric)| metric.name == "orders_total"), "{last:?}");
}

#[test]
fn the_first_push_comes_by_itself_and_scraped_services_do_not_push() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(
        &output,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_METRIC_EXPORT_INTERVAL", "20")],
    ));
    drop(guard);
    telemetry.registry().counter("orders_total", "Orders.").inc();
    let told = || {
        let pushes = collector.pushes();
        pushes.iter().flatten().any(|(_, metric)| metric.name == "orders_total")
    };
    let mut turns = 0;
    while !told() {
        // Bounded by the collector's answers: each turn waits for one more push.
        let before = collector.pushes().len();
        while collector.pushes().len() == before {
            std::thread::yield_now();
        }
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(telemetry.shutdown_blocking(PATIENCE).is_complete());

    let quiet = Collector::start(Manner::Accepts);
    let endpoint = quiet.endpoint();
    let (telemetry, guard) = scoped(builder(
        &output,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_METRICS_EXPORTER", "prometheus")],
    ));
    telemetry.registry().counter("orders_total", "Orders.").inc();
    drop(guard);
    flush(&telemetry);
    assert!(quiet.pushes().is_empty());
}

#[test]
#[cfg(feature = "grpc")]
fn metrics_go_over_grpc_too() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(
        &output,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ));
    drop(guard);
    telemetry.registry().counter("orders_total", "Orders.").add(3);
    flush(&telemetry);
    assert_eq!(value(&numbers(&collector.metric("orders_total"))[0]), 3.0);
}

#[test]
fn a_collector_without_metrics_costs_no_more_than_the_counting() {
    let collector = Collector::start(Manner::Refuses);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    drop(guard);
    let report = telemetry.shutdown_blocking(PATIENCE);
    assert!(report.metrics_lost && !report.timed_out && !report.is_complete(), "{report:?}");
    assert!(report.to_string().contains("the last metrics"), "{report}");
}

#[test]
fn a_closure_that_panics_costs_its_own_series_and_no_push() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ];
    let (telemetry, guard) = scoped(builder(&Output::default(), &variables));
    drop(guard);
    let registry = telemetry.registry();
    let evictions = Arc::new(AtomicU64::new(3));
    let read = evictions.clone();
    let is_broken = Arc::new(AtomicBool::new(false));
    let breaks = is_broken.clone();
    registry.counter_fn("evictions_total", "Evictions.", &[("cache", "carts")], move || {
        assert!(!breaks.load(Ordering::SeqCst), "the cache is gone");
        read.load(Ordering::SeqCst)
    });
    let orders = registry.counter("orders_total", "Orders.");
    let told = |evicted, is_now_broken| {
        evictions.store(evicted, Ordering::SeqCst);
        is_broken.store(is_now_broken, Ordering::SeqCst);
        orders.inc();
        flush(&telemetry);
        assert_eq!(value(&numbers(&collector.metric("orders_total"))[0]), 1.0);
        let last = collector.pushes().pop().unwrap();
        let found = last.into_iter().find(|(_, metric)| metric.name == "evictions_total");
        found.map(|(_, metric)| value(&numbers(&metric)[0]))
    };
    assert_eq!(told(3, false), Some(3.0));
    assert_eq!(told(5, true), None);
    assert_eq!(told(5, false), Some(2.0), "what was told before is not told again");
    is_broken.store(true, Ordering::SeqCst);
    let text = registry.encode(Format::Prometheus);
    assert!(text.contains("\norders_total 3\n") && !text.contains("\nevictions_total"), "{text}");
    let text = registry.encode(Format::Prometheus);
    let panics = parse(&text, Format::Prometheus);
    let panics = &panics.series[r#"skopos_metric_panics_total{metric="evictions_total"}"#];
    // Its own series stands before or after the reading that panics.
    assert!((2.0..=3.0).contains(panics), "{text}");
}

#[test]
fn on_the_console_what_changed_is_a_line() {
    for (exporter, disabled, expected) in
        [("console", "false", true), ("none", "false", false), ("console", "true", false)]
    {
        let output = Output::default();
        let variables = [("OTEL_METRICS_EXPORTER", exporter), ("OTEL_SDK_DISABLED", disabled)];
        let (telemetry, _guard) = scoped(builder(&output, &variables));
        let placed = telemetry.registry().counter_family::<OrderLabels>("placed_total", "Orders.");
        placed.inc(&OrderLabels { region: "eu".into() });
        assert!(telemetry.flush(PATIENCE));
        placed.inc(&OrderLabels { region: "eu".into() });
        assert!(telemetry.shutdown_blocking(PATIENCE).is_complete());
        let lines = output.lines();
        let values: Vec<_> = lines
            .iter()
            .filter(|line| line["message"] == r#"placed_total{region="eu"}"#)
            .map(|line| (line["target"].as_str().unwrap(), line["value"].as_u64().unwrap()))
            .collect();
        let told = [("skopos::metric", 1), ("skopos::metric", 2)];
        assert_eq!(values, if expected { &told[..] } else { &[] }, "{exporter}, {disabled}");
        // What did not change is told once.
        let mut messages: Vec<_> = lines.iter().map(|line| line["message"].to_string()).collect();
        messages.retain(|message| !message.contains("placed_total"));
        messages.sort();
        assert!(messages.windows(2).all(|pair| pair[0] != pair[1]), "{messages:?}");
    }
}
