//! The shop's three services, each a process: what one order leaves behind in metrics, logs and
//! its trace, and what a leaking connection pool does to readiness.
#![cfg(feature = "demo")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Server, skopos};

struct Shop {
    order: String,
    children: Vec<Child>,
    http: reqwest::Client,
}

impl Shop {
    async fn start(data: &Path, otlp: &str) -> Self {
        let claims: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = |i: usize| claims[i].local_addr().unwrap().to_string();
        let (order, payment, inventory) = (address(0), address(1), address(2));
        drop(claims);
        let start = |service: &str, listen: &str| {
            skopos()
                .args(["demo", service])
                .env("SHOP_LISTEN", listen)
                .env("SHOP_PAYMENT_URL", format!("http://{payment}"))
                .env("SHOP_INVENTORY_URL", format!("http://{inventory}"))
                .env("SHOP_DATABASE_URL", format!("sqlite://{}", data.join("o.sqlite").display()))
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", otlp)
                .env("OTEL_BSP_SCHEDULE_DELAY", "50")
                .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let children = vec![
            start("inventory-service", &inventory),
            start("payment-service", &payment),
            start("order-service", &order),
        ];
        let shop =
            Self { order: format!("http://{order}"), children, http: reqwest::Client::new() };
        for address in [&order, &payment, &inventory] {
            let url = format!("http://{address}/health/ready");
            eventually("the service is ready", async || shop.status(&url).await == Some(200)).await;
        }
        shop
    }

    async fn status(&self, url: &str) -> Option<u16> {
        Some(self.http.get(url).send().await.ok()?.status().as_u16())
    }

    async fn metrics(&self) -> String {
        let answer = self.http.get(format!("{}/metrics", self.order)).send().await.unwrap();
        answer.text().await.unwrap()
    }

    async fn place_order(&self) -> u16 {
        let order = json!({"user_id": "user-789", "sku": "desk", "quantity": 2,
                           "payment_method": "card", "region": "eu"});
        let request = self.http.post(format!("{}/orders", self.order)).json(&order);
        request.send().await.unwrap().status().as_u16()
    }

    async fn fault(&self, name: &str, on: bool) {
        let request = self.http.put(format!("{}/faults/{name}", self.order));
        let answer = request.json(&json!({ "on": on })).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 204);
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(30), "not seen: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_leaves_metrics_a_log_line_and_a_trace() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]).await;
    let shop = Shop::start(data.path(), &server.otlp_http).await;
    assert_eq!(shop.place_order().await, 201);

    let metrics = shop.metrics().await;
    for line in [
        r#"orders_placed_total{payment_method="card",region="eu"} 1"#,
        r#"order_value_dollars_sum 898"#,
        r#"active_users_current 0"#,
        r#"http_requests_total{method="POST",endpoint="/orders",status_code="201"} 1"#,
        r#"http_requests_in_progress{method="POST",endpoint="/orders"} 0"#,
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }
    let bounds: Vec<_> = metrics
        .lines()
        .filter_map(|l| l.strip_prefix("order_value_dollars_bucket{le=\"")?.split_once('"'))
        .map(|(bound, _)| bound)
        .collect();
    assert_eq!(bounds, ["10", "25", "50", "100", "250", "500", "1000", "5000", "+Inf"]);

    let mut log = Value::Null;
    eventually("the log line has arrived", async || {
        let query = [("service", "order-service"), ("contains", "order_placed")];
        let answer = server.get("/api/v1/logs", &query).await;
        log = answer["data"]["logs"][0].clone();
        log.is_object()
    })
    .await;
    assert_eq!(log["severity"], "INFO");
    let attributes = &log["attributes"];
    assert_eq!(attributes["user_id"], "user-789");
    assert_eq!(attributes["amount"], 898.0);
    assert_eq!(attributes["currency"], "EUR");
    assert!(attributes["request_id"].is_string() && attributes["order_id"] == 1, "{log}");

    let trace_id = log["trace_id"].as_str().unwrap().to_owned();
    let mut spans = Vec::new();
    eventually("the whole trace has arrived", async || {
        let Some(trace) = trace(&server, &trace_id).await else { return false };
        spans = trace["spans"].as_array().unwrap().clone();
        spans.len() >= 9
    })
    .await;
    let span = |name: &str| {
        spans
            .iter()
            .find(|s| s["operationName"] == name)
            .unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    let tag = |span: &Value, key: &str| {
        let tags = span["tags"].as_array().unwrap();
        tags.iter().find(|t| t["key"] == key).map_or(Value::Null, |t| t["value"].clone())
    };
    let order = span("process_order");
    assert_eq!(tag(order, "order.id"), 1, "{order}");
    assert_eq!(tag(order, "user.id"), "user-789");
    assert!(order["logs"].to_string().contains("order_placed"), "an event of the span: {order}");
    for name in ["validate_inventory", "charge_payment", "INSERT orders"] {
        let parent = &span(name)["references"][0];
        assert_eq!(parent["spanID"], order["spanID"], "{name} is a child of process_order");
    }
    assert_eq!(tag(span("charge_payment"), "payment.amount"), 898.0);
    assert_eq!(tag(span("INSERT orders"), "db.system.name"), "sqlite");
    assert_eq!(tag(span("INSERT orders"), "span.kind"), "client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaking_pool_shows_as_saturation_and_takes_the_service_out_of_traffic() {
    let data = tempfile::tempdir().unwrap();
    let shop = Shop::start(data.path(), "http://127.0.0.1:9").await;
    let ready = format!("{}/health/ready", shop.order);
    let usage = async |wanted: &str| {
        let line = format!("db_connection_pool_usage_ratio {wanted}");
        shop.metrics().await.lines().any(|l| l == line)
    };
    assert!(usage("0").await);

    shop.fault("db-pool", true).await;
    eventually("the pool is exhausted", async || usage("1").await).await;
    assert_eq!(shop.status(&ready).await, Some(503), "not ready: a critical dependency is gone");
    assert_eq!(shop.status(&format!("{}/health/live", shop.order)).await, Some(200), "still alive");
    assert_eq!(shop.place_order().await, 503);

    shop.fault("db-pool", false).await;
    eventually("the pool is free again", async || usage("0").await).await;
    assert_eq!(shop.status(&ready).await, Some(200));
    assert_eq!(shop.place_order().await, 201);
}

async fn trace(server: &Server, id: &str) -> Option<Value> {
    let answer = reqwest::get(format!("{}/api/traces/{id}", server.http)).await.ok()?;
    let answer: Value = answer.json().await.ok()?;
    answer["data"].get(0).cloned()
}
