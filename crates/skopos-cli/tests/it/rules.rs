//! `skopos rules test`, `backtest` and `builtin`: rules before they wake anybody.

use serde_json::{Value, json};

use crate::harness::{Server, repository_file, run};

fn ask(args: &[&str], code: i32) -> (String, String) {
    let output = run(&[&["rules"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stdout}{stderr}");
    (stdout, stderr)
}

const RULES: &str = "
groups:
- name: g
  rules:
  - {alert: Down, expr: up == 0, for: 2m, annotations: {summary: '{{ $labels.job }} is down'}}
  - {alert: Other, expr: up == 7}
";

const TEST: &str = "
rule_files: ['r?les.yml']
tests:
- name: down
  interval: 1m
  input_series: [{series: 'up{job=\"shop\"}', values: '1x4 0x9'}]
  alert_rule_test:
  - eval_time: 8m
    alertname: Down
    exp_alerts: [{exp_labels: {job: shop}, exp_annotations: {summary: shop is down}}]
- name: up
  interval: 1m
  promql_expr_test: [{expr: 1 + 1, exp_samples: [{value: 2}]}]
";

#[test]
fn rule_tests_pass_fail_or_are_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    write("rules.yml", RULES);
    let good = write("good.yml", TEST);
    let wrong = write("wrong.yml", &TEST.replace("8m", "6m"));
    let malformed = write("malformed.yml", &TEST.replace("exp_alerts", "exp_alert"));

    let (text, _) = ask(&["test", &good], 0);
    assert!(text.starts_with("SUCCESS "), "{text}");
    assert!(text.contains("never seen firing in these tests: Other"), "{text}");

    let (text, _) = ask(&["test", &wrong], 4);
    assert!(text.contains("wrong.yml:8: alert Down at 6m"), "{text}");
    assert!(text.contains("got: nothing"), "{text}");
    let (text, _) = ask(&["test", &wrong, "--diff"], 4);
    assert!(text.contains("- {alertname=\"Down\", job=\"shop\"}"), "{text}");
    let (text, _) = ask(&["test", &wrong, "--run", "^up$", "--debug"], 0);
    assert!(text.contains("(1 test groups"), "{text}");

    let (text, _) = ask(&["test", &malformed], 4);
    assert!(text.contains("malformed.yml:10:5: error: unknown key \"exp_alert\""), "{text}");
    assert!(text.contains("did you mean `exp_alerts`?"), "{text}");

    let junit = folder.path().join("junit.xml");
    let junit = junit.to_str().unwrap();
    let (text, _) =
        ask(&["test", &good, &wrong, &malformed, "--junit", junit, "--format", "json"], 4);
    let answer: Value = serde_json::from_str(&text).unwrap();
    let verdicts: Vec<_> =
        answer["files"].as_array().unwrap().iter().map(|file| file["ok"].clone()).collect();
    assert_eq!(
        (answer["ok"].clone(), verdicts),
        (json!(false), vec![json!(true), json!(false), json!(false)])
    );
    assert_eq!(answer["files"][1]["groups"][0]["failures"][0]["line"], 8);
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("<failure message=\"alert Down at 6m\">"), "{xml}");
    assert!(xml.contains("errors=\"1\""), "{xml}");

    let (_, complaint) = ask(&["test", &format!("{good}.none")], 1);
    assert!(complaint.contains("good.yml.none"), "{complaint}");
    let (help, _) = ask(&["test", "--help"], 0);
    assert!(help.contains("Exit codes"), "{help}");
}

#[test]
fn the_pack_can_be_listed_read_and_copied() {
    let (text, _) = ask(&["builtin"], 0);
    for alert in ["HighErrorRate", "QueueGrowing", "SkoposWriteFailure"] {
        assert!(text.contains(alert), "{text}");
    }
    let (page, _) = ask(&["builtin", "HighLatency"], 0);
    assert!(page.starts_with("# HighLatency\n"), "{page}");
    let (file, _) = ask(&["builtin", "golden-signals.yml"], 0);
    let source = std::fs::read_to_string(repository_file("rules/golden-signals.yml")).unwrap();
    assert_eq!(file, source);
    let (_, complaint) = ask(&["builtin", "HighLatencie"], 3);
    assert!(complaint.contains("did you mean HighLatency?"), "{complaint}");
    let (text, _) = ask(&["builtin", "--format", "json"], 0);
    let alerts: Value = serde_json::from_str(&text).unwrap();
    assert!(alerts.as_array().unwrap().len() >= 16, "{alerts}");

    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let copy = copy.to_str().unwrap();
    ask(&["builtin", "--export", copy], 0);
    let (text, _) = ask(&["test", &format!("{copy}/tests/skopos.yml")], 0);
    assert!(text.starts_with("SUCCESS "), "{text}");
    ask(&["check", copy], 0);
    let (_, complaint) = ask(&["builtin", "--export", copy], 1);
    assert!(complaint.contains("exists already"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_replayed_over_what_a_server_stored() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--rules", "builtin"]).await;
    let loaded = server.get("/api/v1/rules", &[]).await;
    let groups = loaded["data"]["groups"].as_array().unwrap().clone();
    assert!(groups.iter().any(|group| group["file"] == "builtin/golden-signals.yml"), "{loaded}");

    // An hour in which the pool is full from minute 20 to 40.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let start = now.as_secs() / 60 * 60 - 3600;
    let points: Vec<Value> = (0..60)
        .map(|minute| {
            let usage = if (20..40).contains(&minute) { 0.95 } else { 0.3 };
            json!({"timeUnixNano": ((start + minute * 60) * 1_000_000_000).to_string(), "asDouble": usage})
        })
        .collect();
    let metric = json!({"name": "db_connection_pool_usage_ratio", "gauge": {"dataPoints": points}});
    let resource =
        json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    let body = json!({"resourceMetrics": [{
        "resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]});
    assert!(server.post("/v1/metrics", &body).await);

    let address = server.http.clone();
    let (text, answer, never) = tokio::task::spawn_blocking(move || {
        let common = ["backtest", "builtin", "--since", "70m", "--server", &address];
        let (text, _) = ask(&[&common[..], &["--firings"]].concat(), 0);
        let one = ["--rule", "ConnectionPoolSaturated", "--format", "json"];
        let (json, _) = ask(&[&common[..], &one, &["--max-per-week", "1"]].concat(), 4);
        let (_, none) = ask(&[&common[..], &["--rule", "Nothing"]].concat(), 3);
        (text, serde_json::from_str::<Value>(&json).unwrap(), none)
    })
    .await
    .unwrap();
    assert!(text.contains("ConnectionPoolSaturated") && text.contains("job=\"shop\""), "{text}");
    assert!(!text.contains("error"), "{text}");
    let rule = &answer["rules"][0];
    assert_eq!(rule["firings"].as_array().unwrap().len(), 1, "{answer}");
    let firing = rule["firing_seconds"].as_f64().unwrap();
    // Twenty minutes without ten of `for`, with five of lookback.
    assert!((500.0..1000.0).contains(&firing), "{answer}");
    assert_eq!(rule["verdict"], "unclear", "one firing in an hour says little of a week");
    assert!(never.contains("no alerting rule Nothing"), "{never}");
    server.kill();
}
