//! Rules: from a metric to a notification and back, across restarts, with a receiver that fails.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use skopos_alerting::AlertState;
use skopos_server::config::Secret;
use tempfile::TempDir;

use crate::harness::{TestServer, eventually, settings, start};
use crate::otlp::gauge_json;

const RULES: &str = r#"
groups:
- name: shop
  interval: 50ms
  rules:
  - record: queue:depth:max
    expr: max(queue_depth)
  - alert: QueueFull
    expr: queue:depth:max > 5
    for: 150ms
    labels: {severity: critical}
    annotations:
      summary: "depth is {{ $value }}"
"#;

/// A webhook receiver that keeps what it was sent.
#[derive(Clone)]
struct Sink {
    address: std::net::SocketAddr,
    received: Arc<Mutex<Vec<(String, Value)>>>,
    /// Answers to give before 200.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Sink {
    async fn start(answers: &[u16]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            answers: Arc::new(Mutex::new(answers.to_vec())),
        };
        let app = axum::Router::new()
            .route("/hooks/T0KEN", axum::routing::post(receive))
            .with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        sink
    }

    fn url(&self) -> Secret<String> {
        Secret::new(format!("http://{}/hooks/T0KEN", self.address))
    }

    /// (key, status) of everything received.
    fn seen(&self) -> Vec<(String, String)> {
        let received = self.received.lock().unwrap();
        let status = |body: &Value| body["status"].as_str().unwrap().to_owned();
        received.iter().map(|(key, body)| (key.clone(), status(body))).collect()
    }

    fn statuses(&self) -> Vec<String> {
        self.seen().into_iter().map(|(_, status)| status).collect()
    }
}

async fn receive(State(sink): State<Sink>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let body = serde_json::from_slice(&body).unwrap();
    sink.received.lock().unwrap().push((key, body));
    let mut answers = sink.answers.lock().unwrap();
    let answer = if answers.is_empty() { 200 } else { answers.remove(0) };
    StatusCode::from_u16(answer).unwrap()
}

struct Rules(#[expect(dead_code, reason = "keeps the folder")] TempDir, PathBuf);

fn rule_file(text: &str) -> Rules {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    std::fs::write(&path, text).unwrap();
    Rules(folder, path)
}

fn with_rules(
    path: &Path,
    receiver: Option<Secret<String>>,
) -> impl FnOnce(&mut skopos_server::config::Settings) {
    let path = path.display().to_string();
    move |settings| {
        settings.rule_files = vec![path];
        settings.webhooks = receiver.into_iter().collect();
    }
}

async fn push(server: &TestServer, value: f64) {
    let request = server.client.post(server.otlp("/v1/metrics"));
    let request = request.header("content-type", "application/json");
    let response = request.body(gauge_json("shop", value).to_string()).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

fn state(server: &TestServer) -> Option<AlertState> {
    server.server.state().rules.active_alerts().first().map(|alert| alert.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_metric_to_pending_to_firing_to_webhook_to_resolved() {
    let sink = Sink::start(&[]).await;
    let rules = rule_file(RULES);
    let server = TestServer::with(with_rules(&rules.1, Some(sink.url()))).await;
    push(&server, 9.0).await;
    eventually("pending", || async { state(&server) == Some(AlertState::Pending) }).await;
    assert!(sink.seen().is_empty(), "nobody is told of a pending alert");
    eventually("firing", || async { state(&server) == Some(AlertState::Firing) }).await;
    eventually("the webhook", || async { sink.statuses() == ["firing"] }).await;
    {
        let received = sink.received.lock().unwrap();
        let body = &received[0].1;
        assert_eq!(body["version"], "4");
        assert_eq!(body["alerts"][0]["labels"]["alertname"], "QueueFull");
        assert_eq!(body["alerts"][0]["labels"]["severity"], "critical");
        assert_eq!(body["alerts"][0]["annotations"]["summary"], "depth is 9");
        let url = body["alerts"][0]["generatorURL"].as_str().unwrap();
        assert!(url.starts_with(&server.http("/")), "{url}");
    }
    let alerts = server.series("ALERTS").await;
    let states: Vec<&str> = ["pending", "firing"]
        .into_iter()
        .filter(|state| alerts.keys().any(|labels| labels.contains(&format!("\"{state}\""))))
        .collect();
    assert_eq!(states, ["pending", "firing"], "{alerts:?}");
    let recorded = server.series("queue:depth:max").await;
    assert!(recorded.values().next().unwrap().iter().any(|(_, value)| *value == 9.0));

    push(&server, 1.0).await;
    eventually("resolved", || async { sink.statuses() == ["firing", "resolved"] }).await;
    let seen = sink.seen();
    assert_ne!(seen[0].0, seen[1].0, "two notifications, two keys");
    eventually("both are settled", || async {
        server.server.state().rules.deliveries().len() == 2
    })
    .await;
    let metrics = server.get_text("/metrics").await;
    assert!(
        metrics.contains("skopos_notify_deliveries_total{verdict=\"delivered\"} 2"),
        "{metrics}"
    );
    assert!(metrics.contains("skopos_rules_evaluation_failures_total 0"), "{metrics}");
    let ready = server.get_json("/health/ready").await;
    assert_eq!(ready["checks"]["rules"]["status"], "healthy");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_state_survives_a_crash_and_nobody_is_told_twice() {
    let sink = Sink::start(&[]).await;
    let rules = rule_file(RULES);
    let server = TestServer::with(with_rules(&rules.1, Some(sink.url()))).await;
    push(&server, 9.0).await;
    eventually("the webhook", || async { sink.statuses() == ["firing"] }).await;
    eventually("it is settled", || async { !server.server.state().rules.deliveries().is_empty() })
        .await;
    let before = server.server.state().rules.active_alerts().remove(0);
    let folder = server.kill();
    // Down for some slots, so that there is something to be careful about.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;

    let server = TestServer::reopen(folder, with_rules(&rules.1, Some(sink.url()))).await;
    let after = server.server.state().rules.active_alerts().remove(0);
    assert_eq!(after.state, AlertState::Firing);
    assert_eq!(after.active_at, before.active_at);
    assert_eq!(after.labels, before.labels);
    assert_eq!(after.value, 9.0);
    // Some slots pass; the alert stays what it is and nobody is told again.
    let group = || server.server.state().rules.groups().remove(0);
    eventually("slots pass", || async {
        let last = group().last_evaluation;
        last.is_some_and(|last| last.since(before.active_at).as_millis() > 500)
    })
    .await;
    assert_eq!(state(&server), Some(AlertState::Firing));
    assert_eq!(sink.statuses(), ["firing"]);
    // After our own downtime an absent result does not resolve a page: the alert is held.
    push(&server, 1.0).await;
    eventually("it is held", || async {
        let alerts = server.server.state().rules.active_alerts();
        alerts.first().is_some_and(|alert| alert.held_until.is_some())
    })
    .await;
    assert_eq!(sink.statuses(), ["firing"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_after_a_restart_is_not_good_news() {
    let sink = Sink::start(&[]).await;
    let text = RULES.replace("queue:depth:max > 5", "max_over_time(queue_depth[400ms]) > 5");
    let rules = rule_file(&text.replace("    for: 150ms\n", ""));
    let server = TestServer::with(with_rules(&rules.1, Some(sink.url()))).await;
    eventually("the webhook", || async {
        push(&server, 9.0).await;
        sink.statuses() == ["firing"]
    })
    .await;
    let folder = server.kill();
    // Down for some slots.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let server = TestServer::reopen(folder, with_rules(&rules.1, Some(sink.url()))).await;
    let alert = || server.server.state().rules.active_alerts().into_iter().next();
    let began = server.server.state().started_at;
    // Nothing arrives for longer than the rule looks back.
    eventually("a second passes", || async {
        let last = server.server.state().rules.groups()[0].last_evaluation;
        last.is_some_and(|last| last.since(began).as_millis() > 1_000)
    })
    .await;
    assert!(alert().is_some_and(|alert| alert.held_until.is_some()), "{:?}", alert());
    assert_eq!(sink.statuses(), ["firing"]);
    // With data the silence of the expression is an answer.
    eventually("it resolves", || async {
        push(&server, 1.0).await;
        sink.statuses() == ["firing", "resolved"]
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_hold_a_restart_resolves_at_once() {
    let sink = Sink::start(&[]).await;
    let rules = rule_file(RULES);
    let server = TestServer::with(with_rules(&rules.1, Some(sink.url()))).await;
    push(&server, 9.0).await;
    eventually("the webhook", || async { sink.statuses() == ["firing"] }).await;
    let folder = server.stop().await;
    let server = TestServer::reopen(folder, |settings| {
        with_rules(&rules.1, Some(sink.url()))(settings);
        settings.restart_hold = false;
    })
    .await;
    push(&server, 1.0).await;
    eventually("resolved", || async { sink.statuses() == ["firing", "resolved"] }).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_receiver_gets_the_same_key_again() {
    let sink = Sink::start(&[503]).await;
    let rules = rule_file(RULES);
    let server = TestServer::with(with_rules(&rules.1, Some(sink.url()))).await;
    push(&server, 9.0).await;
    eventually("the repetition", || async { sink.seen().len() == 2 }).await;
    let seen = sink.seen();
    assert_eq!(seen[0], seen[1], "same key, same status");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_is_delivered_after_a_crash_with_its_key() {
    // Refuses until the crash.
    let sink = Sink::start(&[503; 50]).await;
    let rules = rule_file(RULES);
    let server = TestServer::with(with_rules(&rules.1, Some(sink.url()))).await;
    push(&server, 9.0).await;
    eventually("a first attempt", || async { !sink.seen().is_empty() }).await;
    let folder = server.kill();
    sink.answers.lock().unwrap().clear();
    let attempts = sink.seen().len();
    let server = TestServer::reopen(folder, with_rules(&rules.1, Some(sink.url()))).await;
    eventually("delivery", || async { sink.seen().len() > attempts }).await;
    let seen = sink.seen();
    assert!(seen.iter().all(|one| one == &seen[0]), "{seen:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_delivery_is_final_and_names_no_address() {
    let sink = Sink::start(&[410]).await;
    let rules = rule_file(RULES);
    let server = TestServer::with(with_rules(&rules.1, Some(sink.url()))).await;
    push(&server, 9.0).await;
    eventually("it is settled", || async { !server.server.state().rules.deliveries().is_empty() })
        .await;
    let answer = server.get_text("/api/v1/skopos/deliveries").await;
    assert!(answer.contains("\"verdict\":\"failed\"") && answer.contains("410"), "{answer}");
    assert!(!answer.contains("T0KEN") && !answer.contains(&sink.address.to_string()), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_takes_good_files_and_refuses_bad_ones_whole() {
    let rules = rule_file(RULES);
    let server = TestServer::with(with_rules(&rules.1, None)).await;
    push(&server, 9.0).await;
    eventually("firing", || async { state(&server) == Some(AlertState::Firing) }).await;
    let since = server.server.state().rules.active_alerts()[0].active_at;

    std::fs::write(&rules.1, RULES.replace("max(queue_depth)", "max(queue_depth")).unwrap();
    let reload = || server.client.post(server.http("/-/reload")).header("x-skopos-request", "1");
    let response = reload().send().await.unwrap();
    assert_eq!(response.status(), 400);
    let message = response.text().await.unwrap();
    assert!(message.contains("rules.yml:7:"), "{message}");
    assert_eq!(server.server.state().rules.groups()[0].rules.len(), 2, "the old ones stay");

    let more = format!("{RULES}  - record: queue:depth:sum\n    expr: sum(queue_depth)\n");
    std::fs::write(&rules.1, more).unwrap();
    assert_eq!(reload().send().await.unwrap().status(), 200);
    assert_eq!(server.server.state().rules.groups()[0].rules.len(), 3);
    let alert = server.server.state().rules.active_alerts().remove(0);
    assert_eq!((alert.state, alert.active_at), (AlertState::Firing, since), "state is kept");
    eventually("the new rule works", || async {
        !server.series("queue:depth:sum").await.is_empty()
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_rule_file_prevents_the_start() {
    let rules = rule_file("groups:\n- name: x\n  rulez: []\n");
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    with_rules(&rules.1, None)(&mut settings);
    let error = match start(settings).await {
        Ok(_) => panic!("started all the same"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("rules.yml:3:3") && error.contains("rules"), "{error}");
}
