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
pub(crate) struct Sink {
    address: std::net::SocketAddr,
    received: Arc<Mutex<Vec<(String, Value)>>>,
    /// Answers to give before 200.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Sink {
    pub(crate) async fn start(answers: &[u16]) -> Self {
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

    pub(crate) fn url(&self) -> Secret<String> {
        Secret::new(format!("http://{}/hooks/T0KEN", self.address))
    }

    /// (key, status) of everything received.
    fn seen(&self) -> Vec<(String, String)> {
        let received = self.received.lock().unwrap();
        let status = |body: &Value| body["status"].as_str().unwrap().to_owned();
        received.iter().map(|(key, body)| (key.clone(), status(body))).collect()
    }

    pub(crate) fn statuses(&self) -> Vec<String> {
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
async fn changed_files_are_noticed_and_mistakes_are_told() {
    let rules = rule_file(RULES);
    let folder = rules.1.parent().unwrap().to_owned();
    let server = TestServer::with(|settings| {
        settings.rule_files = vec![folder.join("*.yml").display().to_string()];
        settings.reload_interval = Some(std::time::Duration::from_millis(30));
    })
    .await;
    let groups = || server.server.state().rules.groups();
    assert_eq!(groups().len(), 1);
    // A file that comes is found, since the argument was a pattern.
    let more = RULES.replace("name: shop", "name: more").replace("QueueFull", "More");
    std::fs::write(folder.join("more.yml"), &more).unwrap();
    eventually("the new file is in force", || async { groups().len() == 2 }).await;

    std::fs::write(folder.join("more.yml"), more.replace("for: 150ms", "for: soon")).unwrap();
    let error = || server.server.state().rules.reload_status().failure.map(|f| f.error);
    eventually("the mistake is seen", || async { error().is_some() }).await;
    assert!(error().unwrap().contains("more.yml:10:"), "{:?}", error());
    assert_eq!(groups().len(), 2, "the running rules go on");
    let status = server.get_json("/api/v1/status").await;
    let problems = status["data"]["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|p| p["what"].as_str().unwrap().contains("more.yml:10:")),
        "{problems:?}"
    );
    let metrics = server.get_text("/metrics").await;
    assert!(metrics.contains("skopos_rules_reload_failures_total 1"), "tried once: {metrics}");

    // By API, both ways, with the header that every change wants.
    for (method, path) in [("PUT", "/-/reload"), ("POST", "/api/v1/skopos/reload")] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = || server.client.request(method.clone(), server.http(path));
        let response = request().header("x-skopos-request", "1").send().await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
    }
    std::fs::remove_file(folder.join("more.yml")).unwrap();
    eventually("it is gone", || async { groups().len() == 1 && error().is_none() }).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_an_alert_does_not_fire_is_answered() {
    const MORE: &str = "
  - alert: Blind
    expr: sum(no_such_metric{job=\"x\"}) > 0
  - alert: Slow
    expr: queue_depth > 8
    for: 1h
";
    let text = format!("{}{MORE}", RULES.trim_end());
    let rules = rule_file(&text);
    let server = TestServer::with(with_rules(&rules.1, None)).await;
    push(&server, 3.0).await;
    let why = async |query: &str| server.get_json(&format!("/api/v1/rules/why?{query}")).await;
    let answer = async |alert: &str| -> String {
        let answer = why(&format!("alert={alert}")).await;
        answer["data"]["rules"][0]["answer"].as_str().unwrap_or("").to_owned()
    };
    eventually("a value is there", || async {
        answer("QueueFull").await.contains("queue:depth:max is 3 and not > 5")
    })
    .await;
    assert_eq!(answer("Blind").await, "it cannot fire: no series match no_such_metric{job=\"x\"}");
    push(&server, 9.0).await;
    eventually("pending", || async {
        answer("Slow").await.starts_with("it is pending, 1 alert: `for` is not over")
    })
    .await;
    eventually("firing", || async { answer("QueueFull").await.starts_with("it fires, 1 alert: ") })
        .await;
    let all = why("alert=QueueFull").await;
    let rule = &all["data"]["rules"][0];
    assert_eq!(rule["line"], 8);
    assert_eq!(rule["selectors"][0]["selector"], "queue:depth:max");
    assert_eq!(rule["selectors"][0]["series"], 1);
    assert_eq!(rule["conditions"][0]["condition"], "> 5");
    assert_eq!(rule["conditions"][0]["values"][0]["value"], "9");
    let evaluations = rule["evaluations"].as_array().unwrap();
    let reasons: Vec<&str> = evaluations
        .iter()
        .flat_map(|e| e["alerts"].as_array().unwrap())
        .map(|outcome| outcome["reason"].as_str().unwrap())
        .collect();
    assert!(reasons.contains(&"pending") && reasons.contains(&"fired"), "{reasons:?}");
    assert!(evaluations[0]["samples"].as_u64().unwrap() >= 1, "{}", evaluations[0]);
    // A time of its own: before anything was pushed the condition had nothing to look at.
    let then = why("alert=QueueFull&time=now-1h").await;
    assert_eq!(then["data"]["rules"][0]["conditions"][0]["elements"], 0);

    // Blind rules are never ok, in the API of Prometheus neither.
    let listed = server.get_json("/api/v1/rules?type=alert").await;
    let rules = listed["data"]["groups"][0]["rules"].as_array().unwrap();
    let blind: Vec<&Value> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
    assert_eq!(blind.len(), 1, "{rules:?}");
    assert_eq!(blind[0]["name"], "Blind");
    assert_eq!(blind[0]["health"], "unknown");
    assert_eq!(blind[0]["blind"][0], "no_such_metric{job=\"x\"}");
    let metrics = server.get_text("/metrics").await;
    assert!(metrics.contains("skopos_rules_blind 1"), "{metrics}");

    let missing = server.client.get(server.http("/api/v1/rules/why?alert=QueueFul"));
    let missing = missing.send().await.unwrap();
    assert_eq!(missing.status(), 404);
    assert!(missing.text().await.unwrap().contains("did you mean QueueFull?"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn want_of_data_is_an_alert_where_a_policy_says_so() {
    let rules = rule_file(
        "groups:\n- name: g\n  interval: 50ms\n  rules:\n  - {alert: Gone, expr: no_such_metric > 1, labels: {severity: page}}\n  - {alert: Other, expr: no_such_metric > 1}\n",
    );
    let server = TestServer::with(|settings| {
        with_rules(&rules.1, None)(settings);
        settings.rule_policies.no_data = vec![("Gone".into(), skopos_alerting::NoData::Alert)];
    })
    .await;
    eventually("it fires", || async { state(&server) == Some(AlertState::Firing) }).await;
    let alerts = server.server.state().rules.active_alerts();
    assert_eq!(alerts.len(), 1);
    assert_eq!(
        alerts[0].labels.to_string(),
        r#"{alertname="Gone", reason="no_data", severity="page"}"#
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_do_not_touch_each_other_are_all_evaluated_in_their_slot() {
    let chain: String = (0..20)
        .map(|n| format!("  - {{record: 'a:{n}', expr: 'vector({n})'}}\n  - {{record: 'b:{n}', expr: 'a:{n} * 2'}}\n"))
        .collect();
    let rules = rule_file(&format!("groups:\n- name: g\n  interval: 200ms\n  rules:\n{chain}"));
    let server = TestServer::with(|settings| {
        with_rules(&rules.1, None)(settings);
        settings.rule_concurrency = 3;
    })
    .await;
    eventually("two slots are over", || async {
        server.series("b:19").await.values().next().is_some_and(|points| points.len() >= 2)
    })
    .await;
    for n in 0..20 {
        let (read, written) = (
            server.series(&format!("a:{n}")).await.into_values().next().unwrap(),
            server.series(&format!("b:{n}")).await.into_values().next().unwrap(),
        );
        // In the very slot in which it was written, not one later.
        assert_eq!(written[0], (read[0].0, read[0].1 * 2.0), "rule {n}");
    }
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
