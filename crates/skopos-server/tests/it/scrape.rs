//! Scraping of a fixture target: labels, reports, failures and stale markers.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use skopos_model::is_stale;

use crate::harness::{TestServer, eventually};
use crate::otlp::gzip;

/// A page that can be changed while it is scraped.
#[derive(Clone)]
struct Target {
    page: Arc<Mutex<(StatusCode, &'static str, String)>>,
    address: std::net::SocketAddr,
    stop: tokio_util::sync::CancellationToken,
}

const TEXT: &str = "text/plain; version=0.0.4";

impl Target {
    async fn start(body: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Self {
            page: Arc::new(Mutex::new((StatusCode::OK, TEXT, body.to_owned()))),
            address: listener.local_addr().unwrap(),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        let app = axum::Router::new()
            .route("/metrics", axum::routing::get(serve))
            .with_state(target.clone());
        let stop = target.stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stop).await });
        target
    }

    fn set(&self, status: StatusCode, content_type: &'static str, body: &str) {
        *self.page.lock().unwrap() = (status, content_type, body.to_owned());
    }
}

async fn serve(State(target): State<Target>, headers: HeaderMap) -> Response {
    assert!(headers[header::ACCEPT].to_str().unwrap().contains("openmetrics"));
    assert_eq!(headers["x-prometheus-scrape-timeout-seconds"], "0.05");
    let (status, content_type, body) = target.page.lock().unwrap().clone();
    let headers = [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, "gzip")];
    (status, headers, gzip(body.as_bytes())).into_response()
}

fn config(target: &Target, more: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prometheus.yml");
    let address = target.address;
    let text = format!(
        "scrape_configs:\n  - job_name: shop\n    scrape_interval: 50ms\n    scrape_timeout: 50ms\n{more}    \
         static_configs:\n      - targets: ['{address}']\n        labels: {{region: eu}}\n"
    );
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

async fn start(target: &Target, more: &str) -> TestServer {
    let (_files, path) = config(target, more);
    TestServer::with(|settings| settings.prometheus_config = Some(path)).await
}

/// The last value of a series; panics when there is not exactly one such series.
async fn last(server: &TestServer, metric: &str) -> Option<f64> {
    let series = server.series(metric).await;
    assert!(series.len() <= 1, "{series:?}");
    series.into_values().next().and_then(|samples| samples.last().map(|(_, value)| *value))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_from_first_scrape_to_loss() {
    let target = Target::start(
        "# TYPE orders_total counter\norders_total{job=\"own\"} 3\nqueue_depth 5\nfixed 1 1000\n",
    )
    .await;
    let server = start(&target, "").await;
    eventually("the first scrape", || async { last(&server, "up").await == Some(1.0) }).await;
    let address = target.address;
    let orders = server.series("orders_total").await;
    let labels = orders.keys().next().unwrap().clone();
    assert_eq!(
        labels.replace(", ", ","),
        format!(
            "orders_total{{exported_job=\"own\",instance=\"{address}\",job=\"shop\",region=\"eu\"}}"
        )
    );
    let up = server.series("up").await.into_keys().next().unwrap();
    assert_eq!(
        up.replace(", ", ","),
        format!("up{{instance=\"{address}\",job=\"shop\",region=\"eu\"}}")
    );
    assert_eq!(last(&server, "scrape_samples_scraped").await, Some(3.0));
    let added = server.series("scrape_series_added").await.into_values().next().unwrap();
    assert_eq!(added[0].1, 2.0, "a series with its own timestamp is not tracked");
    assert!(last(&server, "scrape_duration_seconds").await.unwrap() > 0.0);

    let view = server.server.state().targets.snapshot();
    assert_eq!(view.len(), 1);
    assert_eq!(view[0].health.as_str(), "up");
    assert_eq!(view[0].scrape_url, format!("http://{address}/metrics"));

    target.set(StatusCode::OK, TEXT, "orders_total{job=\"own\"} 4\n");
    eventually("the vanished series is stale", || async {
        last(&server, "queue_depth").await.is_some_and(is_stale)
    })
    .await;
    eventually("the other goes on", || async { last(&server, "orders_total").await == Some(4.0) })
        .await;

    target.stop.cancel();
    eventually("the loss is seen", || async { last(&server, "up").await == Some(0.0) }).await;
    assert!(last(&server, "orders_total").await.is_some_and(is_stale));
    let view = server.server.state().targets.snapshot();
    assert_eq!(view[0].health.as_str(), "down");
    assert!(!view[0].last_error.is_empty());

    // The end of scraping ends all its series, `up` among them.
    let folder = server.stop().await;
    let server = TestServer::reopen(folder, |_| {}).await;
    assert!(last(&server, "up").await.is_some_and(is_stale));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_counts_whole_or_not_at_all() {
    for (what, more, status, content_type, body, error) in [
        ("broken line", "", 200, TEXT, "a 1\nb x\n", "line 2"),
        ("web page", "", 200, "text/html", "<html>", "no metrics format"),
        ("error page", "", 500, TEXT, "a 1\n", "HTTP status 500"),
        ("cut off", "", 200, "application/openmetrics-text; version=1.0.0", "a 1\n", "# EOF"),
        ("too many", "    sample_limit: 1\n", 200, TEXT, "a 1\nb 1\n", "sample_limit"),
        ("too large", "    body_size_limit: 3\n", 200, TEXT, "a 1\nb 1\n", "exceeds"),
    ] {
        let target = Target::start("").await;
        target.set(StatusCode::from_u16(status).unwrap(), content_type, body);
        let server = start(&target, more).await;
        eventually(what, || async { last(&server, "up").await == Some(0.0) }).await;
        assert!(server.series("a").await.is_empty(), "{what}");
        assert_eq!(last(&server, "scrape_samples_scraped").await, Some(0.0), "{what}");
        let view = server.server.state().targets.snapshot();
        assert!(view[0].last_error.contains(error), "{what}: {}", view[0].last_error);
        let receipts = server.get_json("/api/v1/skopos/receipts").await.to_string();
        assert!(receipts.contains("\"transport\":\"scrape\""), "{what}: {receipts}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn honoured_labels_and_open_metrics_with_exemplars() {
    let target = Target::start("").await;
    target.set(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "# TYPE hits counter\nhits_total{job=\"own\"} 5 # {trace_id=\"abc\"} 1.0\n# EOF\n",
    );
    let server = start(&target, "    honor_labels: true\n").await;
    eventually("the scrape", || async { last(&server, "hits_total").await == Some(5.0) }).await;
    let labels = server.series("hits_total").await.into_keys().next().unwrap();
    assert!(labels.contains("job=\"own\"") && !labels.contains("exported_"), "{labels}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_both_scraped_and_pushing_is_reported() {
    let target = Target::start("orders_total 3\n").await;
    let server = start(&target, "").await;
    let push = |service: &'static str| {
        let request = server.client.post(server.otlp("/v1/metrics"));
        let request = request.header("content-type", "application/json");
        request.body(crate::otlp::gauge_json(service, 1.0).to_string()).send()
    };
    let counts_twice = || async {
        let receipts = server.get_json("/api/v1/skopos/receipts").await;
        let senders = receipts["senders"].as_array().unwrap();
        let of = |name: &str| {
            let row = senders.iter().find(|row| row["sender"] == name);
            row.map(|row| row["both_scraped_and_pushed"].as_bool().unwrap())
        };
        (of("shop"), of("other"))
    };
    eventually("the scrape", || async { last(&server, "orders_total").await == Some(3.0) }).await;
    eventually("its receipt", || async { counts_twice().await.0 == Some(false) }).await;
    assert_eq!(push("other").await.unwrap().status(), 200);
    assert_eq!(counts_twice().await, (Some(false), Some(false)));
    // Logs beside scraped metrics are what they should be.
    let logs = server.client.post(server.otlp("/v1/logs"));
    let logs = logs.header("content-type", "application/json");
    let logs = logs.body(crate::otlp::logs_json("shop", "text").to_string()).send().await.unwrap();
    assert_eq!(logs.status(), 200);
    assert_eq!(counts_twice().await, (Some(false), Some(false)));
    assert_eq!(push("shop").await.unwrap().status(), 200);
    eventually("both are seen", || async { counts_twice().await == (Some(true), Some(false)) })
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_is_there_soon_after_the_start() {
    let server = TestServer::with(|settings| {
        settings.scrape_self = true;
        settings.scrape_interval = std::time::Duration::from_secs(3600);
    })
    .await;
    eventually("the first scrape", || async { last(&server, "up").await == Some(1.0) }).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_stores_its_own_metrics() {
    let server = TestServer::with(|settings| {
        settings.scrape_self = true;
        settings.scrape_interval = std::time::Duration::from_millis(50);
    })
    .await;
    eventually("own metrics", || async {
        last(&server, "prometheus_tsdb_head_series").await.is_some_and(|series| series > 0.0)
    })
    .await;
    let labels = server.series("up").await.into_keys().next().unwrap();
    assert!(labels.contains("job=\"skopos\""), "{labels}");
    let metrics = server.series("http_requests_total").await;
    assert!(metrics.is_empty(), "its HTTP metrics are named skopos_http_…: {metrics:?}");
    server.stop().await;
}
