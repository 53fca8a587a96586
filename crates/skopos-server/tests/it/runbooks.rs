//! Runbooks through the API: the page as text, never as markup, and ticks that survive a crash.

use std::path::Path;

use serde_json::{Value, json};
use skopos_alerting::notify::fingerprint;
use tempfile::TempDir;

use crate::harness::{TestServer, eventually};
use crate::otlp::gauge_json;

const RULES: &str = r#"
groups:
- name: shop
  interval: 50ms
  rules:
  - alert: QueueFull
    expr: queue_depth > 5
    annotations: {runbook: pages/queue-full.md}
  - alert: ByAddress
    expr: queue_depth > 100
    annotations: {runbook_url: "https://wiki.internal/runbooks/by-address"}
  - alert: OnlyAddress
    expr: queue_depth > 100
    annotations: {runbook_url: "https://wiki.internal/runbooks/elsewhere"}
  - alert: Templated
    expr: queue_depth > 100
    annotations: {runbook: "pages/{{ $labels.job }}.md"}
  - alert: Lost
    expr: queue_depth > 100
    annotations: {runbook: ../../secret.txt}
  - alert: None
    expr: queue_depth > 100
"#;

const PAGE: &str = "# QueueFull\n\nOwner: team-shop\n\n<img src=x onerror=alert(1)>\n\n## First three diagnostic steps\n\n1. Look at [the graph](javascript:alert(1)).\n2. Read the `ERROR` lines.\n3. Open a trace.\n";

fn rules() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir_all(folder.path().join("pages")).unwrap();
    std::fs::create_dir_all(folder.path().join("shared")).unwrap();
    write("rules.yml", RULES);
    write("secret.txt", "nobody may read this");
    write("pages/queue-full.md", PAGE);
    write("shared/by-address.md", "# ByAddress\n");
    folder
}

fn with(folder: &Path) -> impl FnOnce(&mut skopos_server::config::Settings) {
    let folder = folder.to_path_buf();
    move |settings| {
        settings.rule_files = vec![folder.join("rules.yml").display().to_string()];
        settings.runbooks = vec![folder.join("shared")];
    }
}

async fn page(server: &TestServer, query: &str) -> Value {
    server.get_json(&format!("/api/v1/runbook?{query}")).await["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_text_and_only_what_the_rule_file_links() {
    let folder = rules();
    let server = TestServer::with(with(folder.path())).await;
    let data = page(&server, "alert=QueueFull").await;
    assert_eq!(data["page"]["title"], "QueueFull");
    assert_eq!(data["page"]["owner"], "team-shop");
    assert_eq!(data["page"]["steps"].as_array().unwrap().len(), 3);
    let codes = data["page"]["problems"].as_array().unwrap().iter();
    assert_eq!(codes.filter(|p| p["code"] == "runbook/incomplete").count(), 4, "{data:#}");
    let text = data["page"]["blocks"].to_string();
    assert!(text.contains("<img src=x onerror=alert(1)>"), "markup is text: {text}");
    assert!(!text.contains("javascript:") && !text.contains("href"), "{text}");

    assert_eq!(page(&server, "alert=ByAddress").await["page"]["title"], "ByAddress");
    let data = page(&server, "alert=OnlyAddress").await;
    assert_eq!((&data["page"], &data["problem"]), (&Value::Null, &Value::Null));
    assert_eq!(data["url"], "https://wiki.internal/runbooks/elsewhere");
    let data = page(&server, "alert=Templated").await;
    assert_eq!((&data["page"], &data["url"]), (&Value::Null, &Value::Null), "labels name no files");
    for (alert, problem) in [("Lost", "there is no page"), ("None", "links no runbook")] {
        let data = page(&server, &format!("alert={alert}")).await;
        assert!(data["problem"].as_str().unwrap().contains(problem), "{data:#}");
        assert!(!data.to_string().contains("nobody may read"), "{data:#}");
    }
    for (query, status) in
        [("alert=Nope", 404), ("", 400), ("alert=None&fingerprint=x", 400), ("alert=None&x=1", 400)]
    {
        let url = server.http(&format!("/api/v1/runbook?{query}"));
        assert_eq!(server.client.get(url).send().await.unwrap().status(), status, "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_rules_bring_their_pages() {
    let server = TestServer::with(|settings| settings.rule_files = vec!["builtin".into()]).await;
    let data = page(&server, "alert=HighErrorRate").await;
    assert_eq!(data["page"]["name"], "high-error-rate.md", "{data:#}");
    assert!(data["page"]["steps"].as_array().unwrap().len() >= 3, "{data:#}");
    server.stop().await;
}

async fn firing(server: &TestServer) -> (String, i64) {
    let request = server.client.post(server.otlp("/v1/metrics"));
    let request = request.header("content-type", "application/json");
    request.body(gauge_json("shop", 9.0).to_string()).send().await.unwrap();
    eventually("the alert", || async { !server.server.state().rules.active_alerts().is_empty() })
        .await;
    let alert = server.server.state().rules.active_alerts().remove(0);
    (fingerprint(&alert.labels), alert.active_at.as_millis())
}

async fn put(server: &TestServer, body: &Value) -> (u16, Value) {
    let request =
        server.client.put(server.http("/api/v1/runbook/ticks")).header("x-skopos-request", "1");
    let response = request.json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_belong_to_a_firing_and_survive_a_crash() {
    let folder = rules();
    let server = TestServer::with(with(folder.path())).await;
    let (fingerprint, start) = firing(&server).await;
    let query = format!("alert=QueueFull&fingerprint={fingerprint}&starts_at_ms={start}");
    let data = page(&server, &query).await;
    assert_eq!(data["ticks"], json!([]));
    let steps: Vec<String> = serde_json::from_value(data["page"]["steps"].clone()).unwrap();
    let tick = |step: &str, done: bool| json!({"alert": "QueueFull", "fingerprint": fingerprint, "starts_at_ms": start, "step": step, "done": done, "by": "Kim"});
    for step in &steps[..2] {
        let (status, answer) = put(&server, &tick(step, true)).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(put(&server, &tick(&steps[0], false)).await.0, 200);
    let mut unknown = tick(&steps[2], true);
    unknown["starts_at_ms"] = json!(start + 1);
    assert_eq!(put(&server, &unknown).await.0, 404, "no such firing");
    assert_eq!(put(&server, &tick("no step", true)).await.0, 400);

    let data = server.kill();
    let server = TestServer::reopen(data, with(folder.path())).await;
    let ticks = page(&server, &query).await["ticks"].clone();
    assert_eq!(ticks.as_array().unwrap().len(), 1, "{ticks}");
    assert_eq!((&ticks[0]["step"], &ticks[0]["by"]), (&json!(steps[1]), &json!("Kim")));
    assert!(ticks[0]["at_ms"].as_i64().unwrap() >= start);
    assert_eq!(
        put(&server, &tick(&steps[2], true)).await.0,
        200,
        "writing goes on after the restart"
    );
    server.stop().await;
}
