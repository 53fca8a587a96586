use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use serde_json::{Value, json};
use skopos_ingest::otlp::{NameTranslation, Translation};
use skopos_model::MetricType;

use crate::support::{adjustments, attributes, metrics_with, rejections, render};

/// A resource that adds no label but `job` and no `target_info`.
fn request(metrics: Value) -> Value {
    let resource = attributes(&[("service.name", json!("shop"))]);
    with_resource(resource, metrics)
}

fn with_resource(resource: Value, metrics: Value) -> Value {
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource},
        "scopeMetrics": [{"scope": {"name": "lib", "version": "2"}, "metrics": metrics}],
    }]})
}

fn check(metric: Value, want: &[&str]) {
    let report = metrics_with(request(json!([metric.clone()])), Translation::default());
    assert_eq!(report.decoded.rejected, [], "{metric}");
    assert_eq!(render(&report.decoded.value), want, "{metric}");
}

fn check_rejected(metric: Value, reason: &str, count: u64) {
    let good = json!({"name": "good", "gauge": {"dataPoints": [{"timeUnixNano": "5000000", "asInt": "1"}]}});
    let report = metrics_with(request(json!([metric.clone(), good])), Translation::default());
    let want = format!("{reason}×{count} of \"shop\"");
    assert_eq!(rejections(&report.decoded.rejected), [want], "{metric}");
    assert_eq!(render(&report.decoded.value), [r#"good{job="shop"} 1 @5"#], "{metric}");
}

#[test]
fn gauges() {
    check(
        json!({"name": "active.users", "unit": "{user}", "gauge": {"dataPoints": [
            {"timeUnixNano": "1500000000", "startTimeUnixNano": "1", "asInt": "-3",
             "attributes": attributes(&[("user.tier", json!("gold")), ("n", json!(7)), ("x", json!(1.5)), ("on", json!(true)), ("whole", json!(2.0)), ("nothing", json!(""))])},
            {"timeUnixNano": 1_500_999_999, "asDouble": "-Infinity"},
        ]}}),
        &[
            r#"active_users{job="shop", n="7", on="true", user_tier="gold", whole="2", x="1.5"} -3 @1500"#,
            r#"active_users{job="shop"} -inf @1500"#,
        ],
    );
}

#[test]
fn sums() {
    let point =
        json!({"timeUnixNano": "2000000000", "startTimeUnixNano": "1000000000", "asDouble": 4.5});
    for (temporality, monotonic, want) in [
        (2, true, r#"bytes_sent_bytes_total{job="shop"} 4.5 @2000 since 1000"#),
        (1, true, r#"bytes_sent_bytes_total{job="shop"} 4.5 @2000 since 1000 delta"#),
        (2, false, r#"bytes_sent_bytes{job="shop"} 4.5 @2000"#),
        (1, false, r#"bytes_sent_bytes{job="shop"} 4.5 @2000 since 1000 delta"#),
    ] {
        let sum = json!({"aggregationTemporality": temporality, "isMonotonic": monotonic, "dataPoints": [point]});
        // `bytes` stands in the name already, so it is not appended again.
        let want = want.replace("bytes_sent_bytes", "bytes_sent");
        check(json!({"name": "bytes.sent", "unit": "By", "sum": sum}), &[want.as_str()]);
    }
}

#[test]
fn histograms_become_classic_buckets() {
    let exemplar = |value: f64, trace: &str| {
        json!({"asDouble": value, "timeUnixNano": "1900000000", "traceId": trace, "spanId": "0102030405060708",
               "filteredAttributes": attributes(&[("user.id", json!("u1"))])})
    };
    let trace = "0102030405060708090a0b0c0d0e0f10";
    check(
        json!({"name": "http.server.request.duration", "unit": "s", "histogram": {
            "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
            "dataPoints": [{
                "timeUnixNano": "2000000000", "startTimeUnixNano": "1000000000",
                "count": "6", "sum": 7.5, "min": 0.1, "max": 5,
                "explicitBounds": [0.2, 1, "1000000"], "bucketCounts": ["1", 2, "3", 0],
                "attributes": attributes(&[("http.route", json!("/a")), ("le", json!("mine"))]),
                "exemplars": [exemplar(0.5, trace), exemplar(2e6, ""), exemplar(0.2, trace)],
            }],
        }}),
        &[
            r#"http_server_request_duration_seconds_bucket{http_route="/a", job="shop", le="0.2"} 1 @2000 since 1000 # {span_id="0102030405060708", trace_id="0102030405060708090a0b0c0d0e0f10", user_id="u1"} 0.2 @1900"#,
            r#"http_server_request_duration_seconds_bucket{http_route="/a", job="shop", le="1.0"} 3 @2000 since 1000 # {span_id="0102030405060708", trace_id="0102030405060708090a0b0c0d0e0f10", user_id="u1"} 0.5 @1900"#,
            r#"http_server_request_duration_seconds_bucket{http_route="/a", job="shop", le="1e+06"} 6 @2000 since 1000"#,
            r#"http_server_request_duration_seconds_bucket{http_route="/a", job="shop", le="+Inf"} 6 @2000 since 1000 # {span_id="0102030405060708", user_id="u1"} 2000000 @1900"#,
            r#"http_server_request_duration_seconds_sum{http_route="/a", job="shop", le="mine"} 7.5 @2000 since 1000"#,
            r#"http_server_request_duration_seconds_count{http_route="/a", job="shop", le="mine"} 6 @2000 since 1000"#,
        ],
    );
    // Without buckets and sum there are still the count and the last bucket.
    check(
        json!({"name": "h", "histogram": {"aggregationTemporality": 1, "dataPoints": [
            {"timeUnixNano": "2000000000", "count": 3}]}}),
        &[
            r#"h_bucket{job="shop", le="+Inf"} 3 @2000 delta"#,
            r#"h_count{job="shop"} 3 @2000 delta"#,
        ],
    );
}

#[test]
fn exponential_histograms_become_native() {
    let histogram = |point: Value| {
        json!({"name": "e", "unit": "ms", "exponentialHistogram": {
            "aggregationTemporality": 2, "dataPoints": [point]}})
    };
    check(
        histogram(json!({
            "timeUnixNano": "2000000000", "count": "9", "sum": 10, "scale": 3, "zeroCount": "1", "zeroThreshold": 0.001,
            "positive": {"offset": 1, "bucketCounts": ["0", "2", "3"]},
            "negative": {"offset": -4, "bucketCounts": ["3"]},
        })),
        &[
            r#"e_milliseconds{job="shop"} schema=3 count=9 sum=10 zero=1≤1e-3 +[(3, 2)][2.0, 3.0] -[(-3, 1)][3.0] @2000"#,
        ],
    );
    // Scale 10 is merged down by two steps: 0..=7 make two buckets of four.
    check(
        histogram(json!({
            "timeUnixNano": "2000000000", "count": "8", "scale": 10,
            "positive": {"offset": 0, "bucketCounts": [1, 1, 1, 1, 1, 1, 1, 1]},
        })),
        &[
            r#"e_milliseconds{job="shop"} schema=8 count=8 sum=0 zero=0≤1e-128 +[(1, 2)][4.0, 4.0] -[][] @2000"#,
        ],
    );
}

#[test]
fn summaries() {
    check(
        json!({"name": "rpc.time", "summary": {"dataPoints": [{
            "timeUnixNano": "2000000000", "startTimeUnixNano": "1000000000", "count": 10, "sum": 2.5,
            "quantileValues": [{"quantile": 0.99, "value": 7}, {"quantile": 1, "value": "NaN"}],
        }]}}),
        &[
            r#"rpc_time{job="shop", quantile="0.99"} 7 @2000"#,
            r#"rpc_time{job="shop", quantile="1.0"} NaN @2000"#,
            r#"rpc_time_sum{job="shop"} 2.5 @2000 since 1000"#,
            r#"rpc_time_count{job="shop"} 10 @2000 since 1000"#,
        ],
    );
}

#[test]
fn no_recorded_value_becomes_the_stale_marker() {
    let times = json!({"timeUnixNano": "2000000000", "flags": 1});
    check(
        json!({"name": "g", "gauge": {"dataPoints": [times]}}),
        &[r#"g{job="shop"} stale @2000"#],
    );
    check(
        json!({"name": "c", "sum": {"isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [times]}}),
        &[r#"c_total{job="shop"} stale @2000"#],
    );
    check(
        json!({"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [times]}}),
        &[r#"e{job="shop"} stale @2000"#],
    );
    check(
        json!({"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": "2000000000", "flags": 1, "explicitBounds": [1]}]}}),
        &[
            r#"h_bucket{job="shop", le="1.0"} stale @2000"#,
            r#"h_bucket{job="shop", le="+Inf"} stale @2000"#,
            r#"h_sum{job="shop"} stale @2000"#,
            r#"h_count{job="shop"} stale @2000"#,
        ],
    );
}

#[test]
fn values_keep_their_bits() {
    let nan = f64::from_bits(0x7ff8_0000_dead_beef);
    let mut request = ExportMetricsServiceRequest::default();
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point::Value as Number,
    };
    let points = [nan, f64::INFINITY, -0.0].map(|value| NumberDataPoint {
        time_unix_nano: 1,
        value: Some(Number::AsDouble(value)),
        ..Default::default()
    });
    let data = Some(Data::Gauge(Gauge { data_points: points.to_vec() }));
    let metrics = vec![Metric { name: "g".to_owned(), data, ..Default::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
    request.resource_metrics.push(ResourceMetrics { scope_metrics, ..Default::default() });
    let report = skopos_ingest::otlp::convert_metrics(request, &Default::default());
    let bits: Vec<_> = report
        .decoded
        .value
        .series
        .iter()
        .map(|series| match series.samples[0].value {
            skopos_model::SampleValue::Float(value) => value.to_bits(),
            _ => panic!("a float"),
        })
        .collect();
    assert_eq!(bits, [nan.to_bits(), f64::INFINITY.to_bits(), (-0.0_f64).to_bits()]);
}

#[test]
fn resources_become_job_instance_and_target_info() {
    let metric = json!([{"name": "up.time", "unit": "s", "gauge": {"dataPoints": [
        {"timeUnixNano": "1000000000", "asInt": 1}, {"timeUnixNano": "201000000000", "asInt": 2}]}}]);
    for (resource, want) in [
        (
            attributes(&[
                ("service.name", json!("orders")),
                ("service.namespace", json!("shop")),
                ("service.instance.id", json!("pod-1")),
                ("host.name", json!("a")),
                ("process.pid", json!(42)),
            ]),
            vec![
                r#"up_time_seconds{instance="pod-1", job="shop/orders"} 1 @1000"#,
                r#"up_time_seconds{instance="pod-1", job="shop/orders"} 2 @201000"#,
                r#"target_info{host_name="a", instance="pod-1", job="shop/orders", process_pid="42"} 1 @1000"#,
                r#"target_info{host_name="a", instance="pod-1", job="shop/orders", process_pid="42"} 1 @151000"#,
                r#"target_info{host_name="a", instance="pod-1", job="shop/orders", process_pid="42"} 1 @201000"#,
            ],
        ),
        (
            attributes(&[("service.instance.id", json!("i"))]),
            vec![
                r#"up_time_seconds{instance="i", job="unknown_service"} 1 @1000"#,
                r#"up_time_seconds{instance="i", job="unknown_service"} 2 @201000"#,
            ],
        ),
    ] {
        let report = metrics_with(with_resource(resource, metric.clone()), Translation::default());
        assert_eq!(render(&report.decoded.value), want);
    }
}

#[test]
fn attributes_that_become_one_label_are_joined() {
    let points = json!([{"timeUnixNano": "1000000", "asInt": 1, "attributes": attributes(&[
        ("a_b", json!("3")), ("a.b", json!("2")), ("a-b", json!("1")), ("job", json!("mine")), ("...", json!("gone")),
    ])}]);
    let report = metrics_with(
        request(json!([{"name": "g", "gauge": {"dataPoints": points}}])),
        Translation::default(),
    );
    assert_eq!(render(&report.decoded.value), [r#"g{a_b="1;2;3", job="shop"} 1 @1"#]);
    assert_eq!(adjustments(&report.adjusted), ["invalid_label_name×1 of \"shop\""]);
}

#[test]
fn translation_options() {
    let metric = json!([{"name": "queue.size", "unit": "1", "gauge": {"dataPoints": [
        {"timeUnixNano": "1000000", "asInt": 1, "attributes": attributes(&[("queue.name", json!("q"))])}]}}]);
    let resource = attributes(&[("service.name", json!("shop")), ("host.name", json!("a"))]);
    let check = |translation: Translation, want: &str| {
        let report =
            metrics_with(with_resource(resource.clone(), metric.clone()), translation.clone());
        assert_eq!(render(&report.decoded.value), [want], "{translation:?}");
    };
    let quiet = Translation { target_info: false, ..Translation::default() };
    check(quiet.clone(), r#"queue_size_ratio{job="shop", queue_name="q"} 1 @1"#);
    for (names, want) in [
        (
            NameTranslation::UnderscoresWithoutSuffixes,
            r#"queue_size{job="shop", queue_name="q"} 1 @1"#,
        ),
        (
            NameTranslation::Utf8WithSuffixes,
            r#"{"queue.size_ratio", job="shop", "queue.name"="q"} 1 @1"#,
        ),
        (NameTranslation::Unchanged, r#"{"queue.size", job="shop", "queue.name"="q"} 1 @1"#),
    ] {
        check(Translation { names, ..quiet.clone() }, want);
    }
    let promote = vec!["host.name".to_owned(), "absent".to_owned()];
    check(
        Translation { promote_resource_attributes: promote, ..quiet.clone() },
        r#"queue_size_ratio{host_name="a", job="shop", queue_name="q"} 1 @1"#,
    );
    check(
        Translation { promote_scope: true, ..quiet },
        r#"queue_size_ratio{job="shop", otel_scope_name="lib", otel_scope_version="2", queue_name="q"} 1 @1"#,
    );
}

#[test]
fn metadata_is_declared_once() {
    let point = json!([{"timeUnixNano": "1000000", "asInt": 1}]);
    let sum = json!({"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": point});
    let counter = json!({"name": "io", "unit": "By/s", "description": "Bytes moved", "sum": sum});
    let report = metrics_with(request(json!([counter, counter])), Translation::default());
    let [metadata] = &report.decoded.value.metadata[..] else { panic!("one") };
    assert_eq!(metadata.metric, "io_bytes_per_second_total");
    assert_eq!(metadata.metric_type, MetricType::Counter);
    assert_eq!(
        (metadata.unit.as_str(), metadata.help.as_str()),
        ("bytes_per_second", "Bytes moved")
    );
}

#[test]
fn bad_points_are_rejected_one_by_one() {
    let gauge = |points: Value| json!({"name": "bad", "gauge": {"dataPoints": points}});
    let at = "1000000";
    check_rejected(gauge(json!([{"asInt": 1}])), "missing_timestamp", 1);
    check_rejected(gauge(json!([{"timeUnixNano": u64::MAX, "asInt": 1}])), "invalid_timestamp", 1);
    check_rejected(gauge(json!([{"timeUnixNano": at}, {"timeUnixNano": at}])), "no_value", 2);
    let sum = json!({"isMonotonic": true, "dataPoints": [{"timeUnixNano": at, "asInt": 1}, {}]});
    check_rejected(json!({"name": "bad", "sum": sum}), "unspecified_temporality", 2);
    let mut nameless = gauge(json!([{"timeUnixNano": at, "asInt": 1}, {}]));
    for name in ["", "...", "___"] {
        nameless["name"] = json!(name);
        check_rejected(nameless.clone(), "empty_name", 2);
    }

    let histogram = |fields: Value| {
        let mut point = json!({"timeUnixNano": at, "count": 2, "sum": 1});
        for (key, value) in fields.as_object().unwrap() {
            point[key] = value.clone();
        }
        json!({"name": "bad", "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}})
    };
    for (fields, reason) in [
        (json!({"explicitBounds": [1, 2], "bucketCounts": [1, 1]}), "mismatched_buckets"),
        (json!({"explicitBounds": [], "bucketCounts": [1, 1]}), "mismatched_buckets"),
        (json!({"explicitBounds": [2, 1], "bucketCounts": [1, 1, 0]}), "invalid_bounds"),
        (json!({"explicitBounds": [1, 1], "bucketCounts": [1, 1, 0]}), "invalid_bounds"),
        (json!({"explicitBounds": ["NaN"], "bucketCounts": [1, 1]}), "invalid_bounds"),
        (json!({"explicitBounds": ["Infinity"], "bucketCounts": [1, 1]}), "invalid_bounds"),
    ] {
        check_rejected(histogram(fields), reason, 1);
    }

    let exponential = |fields: Value| {
        let mut point = json!({"timeUnixNano": at, "count": 2, "zeroCount": 2});
        for (key, value) in fields.as_object().unwrap() {
            point[key] = value.clone();
        }
        json!({"name": "bad", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [point]}})
    };
    for (fields, reason) in [
        (json!({"scale": -5}), "unsupported_scale"),
        (json!({"scale": i32::MIN}), "unsupported_scale"),
        (json!({"zeroThreshold": -1}), "invalid_zero_threshold"),
        (json!({"zeroThreshold": "NaN"}), "invalid_zero_threshold"),
        (json!({"zeroCount": 3}), "mismatched_count"),
        (json!({"zeroCount": 1}), "mismatched_count"),
        (
            json!({"zeroCount": 1, "positive": {"offset": i32::MAX, "bucketCounts": [1]}}),
            "invalid_bucket_offset",
        ),
    ] {
        check_rejected(exponential(fields), reason, 1);
    }

    for quantile in [json!(-0.1), json!(1.5), json!("NaN")] {
        let point =
            json!({"timeUnixNano": at, "quantileValues": [{"quantile": quantile, "value": 1}]});
        let summary = json!({"name": "bad", "summary": {"dataPoints": [point]}});
        check_rejected(summary, "invalid_quantile", 1);
    }
}

#[test]
fn bad_exemplars_cost_only_themselves() {
    let at = "1000000";
    let exemplars = json!([
        {"timeUnixNano": at, "asInt": 1, "traceId": "01"},
        {"timeUnixNano": at},
        {"timeUnixNano": u64::MAX, "asInt": 2},
        {"asInt": 3},
    ]);
    let sum = json!({"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": at, "asInt": 9, "startTimeUnixNano": "2000000", "exemplars": exemplars}]});
    let report = metrics_with(request(json!([{"name": "c", "sum": sum}])), Translation::default());
    assert_eq!(render(&report.decoded.value), [r#"c_total{job="shop"} 9 @1 # {} 3 @1"#]);
    assert_eq!(
        adjustments(&report.adjusted),
        ["invalid_exemplar×3 of \"shop\"", "start_after_time×1 of \"shop\""]
    );
}

#[test]
fn an_unknown_kind_of_metric_is_counted() {
    let report =
        metrics_with(request(json!([{"name": "m", "newKind": {}}])), Translation::default());
    assert_eq!(adjustments(&report.adjusted), ["empty_metric×1 of \"shop\""]);
    assert!(report.decoded.value.series.is_empty() && report.decoded.value.metadata.is_empty());
}
