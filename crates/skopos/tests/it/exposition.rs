//! The text formats, read back by a small parser that shares no code with the encoder.

use std::collections::BTreeMap;

use skopos::metrics::{Bounded, Format, Registry, buckets};

skopos::label_values! {
    enum Outcome { Approved => "approved", Declined => "declined" }
}

skopos::labels! {
    struct PaymentLabels { outcome: Outcome, currency: Bounded<3> }
}

skopos::labels! {
    struct UserLabels { region: Bounded<2>, shard: Bounded<90> }
}

/// Series by text (`name{a="b"}`, labels sorted), and the type of each family.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) series: BTreeMap<String, f64>,
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) exemplars: BTreeMap<String, String>,
}

/// Parses either format, strictly.
pub(crate) fn parse(text: &str, format: Format) -> Parsed {
    let mut parsed = Parsed::default();
    let mut is_ended = false;
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        assert!(!is_ended, "text after # EOF");
        if line == "# EOF" {
            is_ended = true;
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                parsed.types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "two types of {name}"
            );
            continue;
        }
        if line.starts_with("# HELP ") || line.starts_with("# UNIT ") {
            continue;
        }
        let name_end = line.find(['{', ' ']).unwrap();
        let name = &line[..name_end];
        let mut labels = BTreeMap::new();
        let mut rest = &line[name_end..];
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                let mut value = String::new();
                let mut characters = after.char_indices();
                let end = loop {
                    match characters.next().unwrap() {
                        (_, '\\') => value.push(match characters.next().unwrap().1 {
                            'n' => '\n',
                            other => other,
                        }),
                        (end, '"') => break end,
                        (_, other) => value.push(other),
                    }
                };
                assert!(labels.insert(label.to_owned(), value).is_none(), "label twice: {line}");
                rest = &after[end + 1..];
                if let Some(after) = rest.strip_prefix(',') {
                    rest = after;
                } else {
                    rest = rest.strip_prefix('}').unwrap();
                    break;
                }
            }
        }
        let rest = rest.strip_prefix(' ').unwrap();
        let (value, exemplar) = match rest.split_once(" # ") {
            Some((value, exemplar)) => (value, Some(exemplar)),
            None => (rest, None),
        };
        let value: f64 = match value {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            "NaN" => f64::NAN,
            other => other.parse().expect(line),
        };
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let series = if labels.is_empty() {
            name.to_owned()
        } else {
            format!("{name}{{{}}}", labels.join(","))
        };
        assert!(parsed.series.insert(series.clone(), value).is_none(), "series twice: {series}");
        if let Some(exemplar) = exemplar {
            parsed.exemplars.insert(series, exemplar.to_owned());
        }
    }
    assert_eq!(is_ended, format == Format::OpenMetrics, "# EOF");
    parsed
}

#[test]
fn both_formats_read_back() {
    let registry = Registry::new();
    registry.counter("jobs", "Jobs \\ with\nhelp.").add(3);
    let payments = registry.counter_family::<PaymentLabels>("payments_total", "Payments.");
    payments
        .get(&PaymentLabels { outcome: Outcome::Approved, currency: "e\"u\\r\no".into() })
        .inc();
    payments.get(&PaymentLabels { outcome: Outcome::Declined, currency: "".into() }).add(2);
    registry.gauge("db_connection_pool_usage_ratio", "Pool utilization (0-1)").set(0.25);
    registry.gauge_fn("task_queue_depth", "Tasks waiting", &[("queue_name", "emails")], || 7.0);
    registry
        .gauge_fn("task_queue_depth", "Tasks waiting", &[("queue_name", "orders")], || f64::NAN);
    let value = registry.histogram("order_value_dollars", "Order value", &[10.0, 25.0, 1e-7]);
    for amount in [5.0, 10.0, 11.0, 1e9] {
        value.observe(amount);
    }

    for format in [Format::Prometheus, Format::OpenMetrics] {
        let parsed = parse(&registry.encode(format), format);
        let series = &parsed.series;
        assert_eq!(series["jobs_total"], 3.0);
        assert_eq!(series[r#"payments_total{currency="e\"u\\r\no",outcome="approved"}"#], 1.0);
        assert_eq!(series[r#"payments_total{outcome="declined"}"#], 2.0);
        assert_eq!(series["db_connection_pool_usage_ratio"], 0.25);
        assert_eq!(series[r#"task_queue_depth{queue_name="emails"}"#], 7.0);
        assert!(series[r#"task_queue_depth{queue_name="orders"}"#].is_nan());
        let bound = |plain: &str, open: &str| {
            let le = if format == Format::OpenMetrics { open } else { plain };
            series[&format!("order_value_dollars_bucket{{le=\"{le}\"}}")]
        };
        assert_eq!(bound("1e-7", "1e-7"), 0.0);
        assert_eq!(bound("10", "10.0"), 2.0);
        assert_eq!(bound("25", "25.0"), 3.0);
        assert_eq!(bound("+Inf", "+Inf"), 4.0);
        assert_eq!(series["order_value_dollars_count"], 4.0);
        assert_eq!(series["order_value_dollars_sum"], 1_000_000_026.0);
        let family = if format == Format::OpenMetrics { "payments" } else { "payments_total" };
        assert_eq!(parsed.types[family], "counter");
        assert_eq!(parsed.types["order_value_dollars"], "histogram");
        assert_eq!(parsed.types["task_queue_depth"], "gauge");
        assert!(parsed.exemplars.is_empty());
    }
}

#[test]
fn values_beyond_a_labels_bound_are_other_and_counted() {
    let registry = Registry::new();
    let payments = registry.counter_family::<PaymentLabels>("payments_total", "Payments.");
    for number in 0..1000 {
        let currency = format!("c{number}").into();
        payments.get(&PaymentLabels { outcome: Outcome::Approved, currency }).inc();
    }
    let parsed = parse(&registry.encode(Format::Prometheus), Format::Prometheus);
    let payments: Vec<(&String, &f64)> =
        parsed.series.iter().filter(|(name, _)| name.starts_with("payments_total")).collect();
    assert_eq!(payments.len(), 4, "{payments:?}");
    assert_eq!(parsed.series[r#"payments_total{currency="other",outcome="approved"}"#], 997.0);
    assert_eq!(
        parsed.series[r#"skopos_label_overflow_total{label="currency",metric="payments_total"}"#],
        997.0
    );
}

#[test]
fn a_family_never_grows_beyond_the_series_limit() {
    let registry = Registry::new();
    registry.limit_series(20);
    let users = registry.gauge_family::<UserLabels>("users", "Users.");
    for number in 0..90 {
        for region in ["eu", "us", "ap"] {
            users
                .get(&UserLabels { region: region.into(), shard: format!("s{number}").into() })
                .inc();
        }
    }
    let parsed = parse(&registry.encode(Format::Prometheus), Format::Prometheus);
    let users: Vec<(&String, &f64)> =
        parsed.series.iter().filter(|(name, _)| name.starts_with("users{")).collect();
    assert!(users.len() <= 21, "{}", users.len());
    // Nothing is lost, only folded.
    assert_eq!(users.iter().map(|(_, value)| **value).sum::<f64>(), 270.0);
    assert!(parsed.series[r#"skopos_label_overflow_total{label="shard",metric="users"}"#] > 0.0);
}

#[test]
fn the_warning_names_metric_and_label_once() {
    use crate::support::{Output, PATIENCE, builder, scoped};
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    let users = telemetry.registry().counter_family::<UserLabels>("logins_total", "Logins.");
    for number in 0..50 {
        users.get(&UserLabels { region: format!("r{number}").into(), shard: "s".into() }).inc();
    }
    drop(guard);
    telemetry.flush(PATIENCE);
    let lines = output.lines();
    assert_eq!(lines.len(), 1, "{}", output.text());
    assert_eq!(
        (lines[0]["metric"].as_str(), lines[0]["label"].as_str()),
        (Some("logins_total"), Some("region"))
    );
    assert_eq!(lines[0]["level"], "WARN");
}

#[test]
fn the_same_name_is_the_same_instrument_and_a_conflict_harms_nobody() {
    let registry = Registry::new();
    registry.counter("a_total", "A.").inc();
    registry.counter("a", "A.").inc();
    let detached = registry.gauge("a_total", "Not a counter.");
    detached.set(9.0);
    let parsed = parse(&registry.encode(Format::Prometheus), Format::Prometheus);
    assert_eq!(parsed.series.into_iter().collect::<Vec<_>>(), [("a_total".to_owned(), 2.0)]);
}

/// The buckets of the guide's request histogram, and 0.2, which its latency objective asks for.
pub(crate) const GUIDE_BUCKETS: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[test]
fn the_guides_buckets_are_shown_in_order_and_no_others() {
    let registry = Registry::new();
    registry.histogram("d", "D.", buckets::HTTP).observe(0.15);
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = registry.encode(format);
        let shown: Vec<f64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("d_bucket{le=\"")?.split('"').next())
            .map(|bound| bound.parse().unwrap())
            .collect();
        assert_eq!(shown.split_last().unwrap(), (&f64::INFINITY, &GUIDE_BUCKETS[..]));
    }
}

#[test]
fn the_guides_latency_objective_has_its_bucket() {
    let registry = Registry::new();
    registry.histogram("d", "D.", buckets::HTTP).observe(0.15);
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let parsed = parse(&registry.encode(format), format);
        assert_eq!(parsed.series[r#"d_bucket{le="0.2"}"#], 1.0);
    }
}

#[test]
fn counts_survive_many_threads() {
    let registry = Registry::new();
    let payments = registry.counter_family::<PaymentLabels>("payments_total", "Payments.");
    let histogram = registry.histogram("h", "H.", &[1.0]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (payments, histogram) = (&payments, &histogram);
            scope.spawn(move || {
                for number in 0..10_000 {
                    let currency = format!("c{}", (number + thread) % 7).into();
                    payments.get(&PaymentLabels { outcome: Outcome::Approved, currency }).inc();
                    histogram.observe(f64::from(number % 2) * 2.0);
                }
            });
        }
    });
    let parsed = parse(&registry.encode(Format::Prometheus), Format::Prometheus);
    let sum: f64 = parsed
        .series
        .iter()
        .filter(|(name, _)| name.starts_with("payments_total"))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(sum, 40_000.0);
    assert_eq!(parsed.series["h_count"], 40_000.0);
    assert_eq!(parsed.series[r#"h_bucket{le="1"}"#], 20_000.0);
    assert_eq!(parsed.series["h_sum"], 40_000.0);
}
