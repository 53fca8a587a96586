//! Metrics derived at ingest, from OTLP in to PromQL out: complete, soon, across restarts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use skopos_server::config::Settings;

use crate::harness::{TestServer, eventually};
use crate::otlp::now_nanos;

const OFTEN: Duration = Duration::from_millis(30);
const NEVER: Duration = Duration::from_secs(3600);

fn derive(interval: Duration) -> impl Fn(&mut Settings) {
    move |settings| {
        settings.derive_spans = true;
        settings.derive_logs = true;
        settings.derive_interval = interval;
    }
}

fn resource(service: &str, environment: &str) -> Value {
    json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": service}},
        {"key": "deployment.environment.name", "value": {"stringValue": environment}},
    ]})
}

/// Sends spans, each of 30 ms, one a name; the last one fails.
async fn send_spans(server: &TestServer, service: &str, names: &[String]) {
    let end = now_nanos();
    let span = |(i, name): (usize, &String)| {
        json!({
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
            "name": name, "kind": 2, "status": {"code": if i + 1 == names.len() { 2 } else { 0 }},
            "startTimeUnixNano": (end - 30_000_000).to_string(),
            "endTimeUnixNano": end.to_string(),
        })
    };
    let spans: Vec<Value> = names.iter().enumerate().map(span).collect();
    let body = json!({"resourceSpans": [
        {"resource": resource(service, "test"), "scopeSpans": [{"spans": spans}]}
    ]});
    assert_eq!(send(server, "/v1/traces", &body).await, json!({}));
}

/// Sends one log record for each severity number; the answer.
async fn send_logs(server: &TestServer, service: &str, environment: &str, numbers: &[u8]) -> Value {
    let record = |number: &u8| {
        json!({
            "timeUnixNano": now_nanos().to_string(), "severityNumber": number,
            "body": {"stringValue": "text"},
        })
    };
    let records: Vec<Value> = numbers.iter().map(record).collect();
    let body = json!({"resourceLogs": [
        {"resource": resource(service, environment), "scopeLogs": [{"logRecords": records}]}
    ]});
    send(server, "/v1/logs", &body).await
}

async fn send(server: &TestServer, path: &str, body: &Value) -> Value {
    let response = server.client.post(server.otlp(path)).json(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

/// The values of an instant query by the labels' values.
async fn query(server: &TestServer, query: &str) -> BTreeMap<String, f64> {
    let url = server.http("/api/v1/query");
    let answer = server.client.get(url).query(&[("query", query)]).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let rows = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let row = |row: &Value| {
        let labels = row["metric"].as_object().unwrap();
        let labels: Vec<&str> = labels.values().map(|value| value.as_str().unwrap()).collect();
        (labels.join(" "), row["value"][1].as_str().unwrap().parse().unwrap())
    };
    rows.iter().map(row).collect()
}

/// What a reader sees of a metric in all its life, resets respected.
async fn increases(server: &TestServer, metric: &str) -> f64 {
    let mut sum = 0.0;
    for samples in server.series(metric).await.into_values() {
        assert_eq!(samples[0].1, 0.0, "a counter begins at 0");
        for pair in samples.windows(2) {
            let (before, after) = (pair[0].1, pair[1].1);
            sum += if after < before { after } else { after - before };
        }
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_logs_are_metrics_an_interval_later() {
    let server = TestServer::with(derive(OFTEN)).await;
    let names = ["POST /orders", "GET /orders", "POST /orders"].map(str::to_owned);
    send_spans(&server, "checkout", &names).await;
    send_logs(&server, "checkout", "test", &[9, 17, 18]).await;
    eventually("all are counted", || async {
        query(&server, "sum(traces_spanmetrics_calls_total)").await.get("") == Some(&3.0)
            && query(&server, "sum(log_records_total)").await.get("") == Some(&3.0)
    })
    .await;
    let by = "sum by (span_name, status_code) (traces_spanmetrics_calls_total)";
    let want = [
        ("GET /orders STATUS_CODE_UNSET", 1.0),
        ("POST /orders STATUS_CODE_ERROR", 1.0),
        ("POST /orders STATUS_CODE_UNSET", 1.0),
    ];
    assert_eq!(query(&server, by).await, want.map(|(k, v)| (k.to_owned(), v)).into());
    let p99 = "histogram_quantile(0.99, sum by (le) (traces_spanmetrics_latency_bucket))";
    let p99 = query(&server, p99).await[""];
    assert!((0.025..0.05).contains(&p99), "{p99}");
    let mean = "sum(traces_spanmetrics_latency_sum) / sum(traces_spanmetrics_latency_count)";
    assert_eq!(query(&server, mean).await[""], 0.03);
    let errors = r#"log_records_total{service_name="checkout", severity="ERROR"}"#;
    assert_eq!(query(&server, errors).await.into_values().collect::<Vec<_>>(), [2.0]);

    let now = now_nanos() / 1_000_000_000;
    let range = format!("start={}&end={}", now - 60, now + 60);
    let path = format!("/api/v1/query_exemplars?query=traces_spanmetrics_latency_bucket&{range}");
    let exemplars = server.get_json(&path).await;
    let labels = &exemplars["data"][0]["exemplars"][0]["labels"];
    assert_eq!(labels["trace_id"], "5b8efff798038103d269b633813fc60c", "{exemplars}");
    assert_eq!(labels["span_id"], "eee19b7ec3c1b174");
    let metadata = server.get_json("/api/v1/metadata?metric=traces_spanmetrics_latency").await;
    assert_eq!(metadata["data"]["traces_spanmetrics_latency"][0]["type"], "histogram");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_counted_once_across_stops_and_crashes() {
    let names = |n: usize| (0..n).map(|i| format!("op{}", i % 7)).collect::<Vec<_>>();
    // An orderly stop counts to the last acknowledgement, without waiting for a tick.
    let server = TestServer::with(derive(NEVER)).await;
    let mut senders = Vec::new();
    for i in 0..8 {
        let (server, names) = (&server, names(25));
        senders.push(async move {
            send_spans(server, &format!("service-{}", i % 3), &names).await;
            send_logs(server, "logger", "test", &[17; 10]).await;
        });
    }
    futures_util::future::join_all(senders).await;
    let folder = server.stop().await;

    // A crash costs what came after the last tick, and counts nothing twice.
    let server = TestServer::reopen(folder, derive(OFTEN)).await;
    assert_eq!(increases(&server, "traces_spanmetrics_calls_total").await, 200.0);
    assert_eq!(increases(&server, "log_records_total").await, 80.0);
    // More than in the whole life before: a reset that the values alone would not show.
    send_spans(&server, "service-0", &names(300)).await;
    eventually("they are counted", || async {
        increases(&server, "traces_spanmetrics_calls_total").await == 500.0
    })
    .await;
    let folder = server.kill();

    let server = TestServer::reopen(folder, derive(NEVER)).await;
    send_spans(&server, "service-0", &names(40)).await;
    send_logs(&server, "logger", "test", &[17]).await;
    let folder = server.stop().await;
    let server = TestServer::reopen(folder, |_| {}).await;
    assert_eq!(increases(&server, "traces_spanmetrics_calls_total").await, 540.0);
    assert_eq!(increases(&server, "traces_spanmetrics_latency_count").await, 540.0);
    assert_eq!(increases(&server, "log_records_total").await, 81.0);
    assert_eq!(server.spans().await.len(), 540, "as many as are stored");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_line_of_any_service_fires_the_example_alert() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/derived/rules.yml");
    let server = TestServer::with(|settings| {
        derive(OFTEN)(settings);
        settings.rule_files = vec![path.to_owned()];
        settings.evaluation_interval = OFTEN;
    })
    .await;
    send_logs(&server, "healthy", "test", &[9, 13]).await;
    send_logs(&server, "newcomer", "test", &[17]).await;
    eventually("the first ERROR line of its life fires", || async {
        let answer = server.get_json("/api/v1/alerts").await;
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        assert!(alerts.iter().all(|a| a["labels"]["service_name"] != "healthy"), "{answer}");
        alerts.iter().any(|alert| {
            alert["labels"]["alertname"] == "ErrorLogs"
                && alert["labels"]["service_name"] == "newcomer"
                && alert["state"] == "firing"
        })
    })
    .await;
    let status = server.get_json("/api/v1/status").await;
    assert_eq!(status["data"]["rules"]["firing"], 1, "{status}");
    assert_eq!(status["data"]["rules"]["loaded"], 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_in_production_is_counted_and_on_request_not_stored() {
    for drop in [false, true] {
        let server = TestServer::with(|settings| {
            derive(OFTEN)(settings);
            settings.drop_debug_in_production = drop;
        })
        .await;
        // What the operator wants dropped is no failure of the sender's.
        let answer = send_logs(&server, "checkout", "production", &[1, 5, 9]).await;
        assert_eq!(answer, json!({}));
        send_logs(&server, "checkout", "staging", &[5]).await;
        let kept = if drop { 2 } else { 4 };
        assert_eq!(server.logs().await.len(), kept);
        eventually("both are counted", || async {
            let debug = query(&server, "sum(skopos_debug_logs_in_production_total)").await;
            let stored = query(&server, "sum(log_records_total)").await;
            debug.get("") == Some(&2.0) && stored.get("") == Some(&(kept as f64))
        })
        .await;
        let receipts = server.get_json("/api/v1/skopos/receipts").await;
        let checkout = &receipts["senders"][0];
        assert_eq!(checkout["accepted"]["logs"], kept, "{receipts}");
        let rejected = checkout["rejected"].as_array().unwrap();
        let told = rejected.iter().map(|r| (r["reason"].as_str().unwrap(), r["count"].as_u64()));
        let want = if drop { vec![("debug_in_production", Some(2))] } else { vec![] };
        assert_eq!(told.collect::<Vec<_>>(), want);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_span_names_is_bounded_and_named() {
    let server = TestServer::with(|settings| {
        derive(OFTEN)(settings);
        settings.max_derived_span_names = 5;
    })
    .await;
    let names: Vec<String> = (0..500).map(|i| format!("GET /users/{i}")).collect();
    send_spans(&server, "careless", &names).await;
    eventually("all are counted", || async {
        query(&server, "sum(traces_spanmetrics_calls_total)").await.get("") == Some(&500.0)
    })
    .await;
    let names = query(&server, "count by (span_name) (traces_spanmetrics_calls_total)").await;
    assert_eq!(names.len(), 6, "{names:?}");
    let other = r#"sum(traces_spanmetrics_calls_total{span_name="other"})"#;
    assert_eq!(query(&server, other).await[""], 495.0);
    let status = server.get_json("/api/v1/status").await;
    let problems = status["data"]["problems"].as_array().unwrap();
    let named = |problem: &&Value| {
        let what = problem["what"].as_str().unwrap();
        ["careless", "495", "GET /users/5"].iter().all(|word| what.contains(word))
    };
    let problem = problems.iter().find(named).unwrap_or_else(|| panic!("{status}"));
    assert_eq!(problem["severity"], "warning", "{status}");
    assert_eq!(status["data"]["state"], "ok");
    let metrics = server.get_text("/metrics").await;
    assert!(metrics.contains("\nskopos_derive_folded_items_total 495\n"), "{metrics}");
    server.stop().await;
}

#[test]
fn every_example_rule_has_its_runbook() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/derived");
    let rules = std::fs::read_to_string(folder.join("rules.yml")).unwrap();
    let pages = rules.lines().filter_map(|line| line.trim().strip_prefix("runbook: "));
    let pages: Vec<&str> =
        pages.filter_map(|url| url.trim_matches('"').rsplit_once('/')).map(|(_, p)| p).collect();
    assert_eq!(pages.len(), rules.matches("- alert:").count());
    for page in pages {
        let path = folder.join(format!("runbooks/{page}.md"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert_eq!(text.matches("\n## ").count(), 5, "{page} answers five questions");
    }
}
