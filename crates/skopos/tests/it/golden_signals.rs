//! The four golden signals: latency of success and failure apart, traffic, errors of every kind, saturation.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use skopos::PoolState;
use skopos::metrics::Format;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::exposition::parse;
use crate::support::{Collector, Manner, Output, PATIENCE, attribute, builder, runtime, scoped};

async fn call(app: &Router, path: &str) -> StatusCode {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

#[test]
fn a_wrong_200_is_an_error_in_metrics_span_and_line() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    runtime().block_on(async {
        let app: Router = Router::new()
            .route("/right", get(|| async { "12345" }))
            .route(
                "/wrong",
                get(|| async {
                    skopos::mark_failed("negative_total");
                    skopos::mark_failed("the first reason stays");
                    "-1"
                }),
            )
            .route(
                "/spawned",
                get(|| async {
                    // A task that carries the span carries the request.
                    let task = async { skopos::mark_failed("stale_price") };
                    tokio::spawn(task.instrument(tracing::Span::current())).await.unwrap();
                    "9"
                }),
            )
            .route("/broken", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/missing", get(|| async { StatusCode::NOT_FOUND }))
            .layer(telemetry.http_layer());
        for path in ["/right", "/right", "/wrong", "/spawned", "/broken", "/missing"] {
            call(&app, path).await;
        }
    });
    skopos::mark_failed("outside any request nothing is marked");
    drop(guard);
    assert!(telemetry.flush(PATIENCE));

    let text = telemetry.registry().encode(Format::OpenMetrics);
    let series = parse(&text, Format::OpenMetrics).series;
    let errors: Vec<(&str, f64)> = series
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("http_request_errors_total")?, *value)))
        .collect();
    assert_eq!(
        errors,
        [
            (r#"{endpoint="/broken",method="GET",reason="503"}"#, 1.0),
            (r#"{endpoint="/spawned",method="GET",reason="stale_price"}"#, 1.0),
            (r#"{endpoint="/wrong",method="GET",reason="negative_total"}"#, 1.0),
        ]
    );
    let of = |metric: &str, endpoint: &str| {
        series.get(&format!("{metric}{{endpoint=\"{endpoint}\",method=\"GET\"}}")).copied()
    };
    for (endpoint, all, failed) in [
        ("/right", 2.0, None),
        ("/wrong", 1.0, Some(1.0)),
        ("/broken", 1.0, Some(1.0)),
        ("/missing", 1.0, None),
    ] {
        assert_eq!(of("http_request_duration_seconds_count", endpoint), Some(all), "{endpoint}");
        let failures = of("http_request_failure_duration_seconds_count", endpoint);
        assert_eq!(failures, failed, "{endpoint}");
    }
    assert_eq!(of("http_response_size_bytes_sum", "/right"), Some(10.0));
    assert_eq!(of("http_response_size_bytes_count", "/broken"), Some(1.0));
    // Still a 200 to those who count codes.
    let wrong = r#"http_requests_total{endpoint="/wrong",method="GET",status_code="200"}"#;
    assert_eq!(series[wrong], 1.0);

    for (name, reason) in [("GET /wrong", "negative_total"), ("GET /spawned", "stale_price")] {
        let span = collector.span(name);
        assert_eq!(span.status.unwrap().code(), SpanStatus::Error);
        assert_eq!(attribute(&span.attributes, "error.type").as_deref(), Some(reason));
    }
    assert_ne!(collector.span("GET /missing").status.unwrap_or_default().code(), SpanStatus::Error);
    let lines = output.lines();
    let line = lines.iter().find(|line| line["endpoint"] == "/wrong").unwrap();
    assert_eq!((line["level"].as_str(), line["status_code"].as_u64()), (Some("WARN"), Some(200)));
    assert_eq!(line["error.type"], "negative_total");
    let missing = lines.iter().find(|line| line["endpoint"] == "/missing").unwrap();
    assert_eq!(missing["level"], "INFO", "the caller's mistake");

    // By OTLP the same under the names of the semantic conventions, and not twice.
    let metric = collector.metric("http.server.request.duration");
    let Some(Data::Histogram(histogram)) = metric.data else { panic!("{metric:?}") };
    let point = histogram
        .data_points
        .iter()
        .find(|point| attribute(&point.attributes, "http.route").as_deref() == Some("/wrong"))
        .unwrap();
    for (key, expected) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("error.type", "negative_total"),
    ] {
        assert_eq!(attribute(&point.attributes, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!((metric.unit.as_str(), point.count, point.exemplars.len()), ("s", 1, 1));
    collector.metric("http.server.active_requests");
    collector.metric("http.server.response.body.size");
    let pushed = collector.pushes().pop().unwrap();
    assert!(!pushed.iter().any(|(_, metric)| metric.name.starts_with("http_re")), "no twins");
}

#[test]
fn saturation_by_the_guides_names() {
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, &[]));
    telemetry.watch_pool("orders", || PoolState { size: 8, idle: 2, max: 10 });
    telemetry.watch_pool("unbounded", || PoolState { size: 0, idle: 0, max: 0 });
    telemetry.watch_queue("emails", || 17);
    telemetry.watch_queue("reports", || 0);
    telemetry.watch_process();
    telemetry.watch_process();
    let runtime = runtime();
    runtime.block_on(async {
        telemetry.watch_runtime(&tokio::runtime::Handle::current());
        telemetry.watch_runtime(&tokio::runtime::Handle::current());
        // The task that measures the lag must run at least once.
        let lag = || {
            let text = telemetry.registry().encode(Format::Prometheus);
            parse(&text, Format::Prometheus).series["tokio_scheduler_lag_seconds_count"]
        };
        while lag() < 2.0 {
            tokio::task::yield_now().await;
        }
    });
    let text = telemetry.registry().encode(Format::Prometheus);
    let series = parse(&text, Format::Prometheus).series;
    for (name, expected) in [
        (r#"db_connection_pool_usage_ratio{pool="orders"}"#, 0.6),
        (r#"db_connection_pool_usage_ratio{pool="unbounded"}"#, 0.0),
        (r#"db_client_connection_count{pool="orders",state="used"}"#, 6.0),
        (r#"db_client_connection_count{pool="orders",state="idle"}"#, 2.0),
        (r#"db_client_connection_max{pool="orders"}"#, 10.0),
        (r#"task_queue_depth{queue_name="emails"}"#, 17.0),
        (r#"task_queue_depth{queue_name="reports"}"#, 0.0),
        ("tokio_workers", 1.0),
    ] {
        assert_eq!(series[name], expected, "{name}");
    }
    for (name, least) in [
        ("process_cpu_seconds_total", 0.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_virtual_memory_bytes", 1e6),
        ("process_open_fds", 3.0),
        ("process_max_fds", 10.0),
        ("process_threads", 2.0),
        ("process_start_time_seconds", 1.7e9),
        ("tokio_alive_tasks", 1.0),
        ("tokio_global_queue_depth", 0.0),
        ("tokio_busy_seconds_total", 0.0),
        ("tokio_park_total", 0.0),
    ] {
        assert!(series[name] >= least, "{name} is {}", series[name]);
        let times = text.lines().filter(|line| line.split(' ').next() == Some(name)).count();
        assert_eq!(times, 1, "{name}: what is watched twice shows once");
    }
}
