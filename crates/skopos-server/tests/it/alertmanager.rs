//! Alertmanager's API, by hand, by Debian's amtool and by Debian's Prometheus; and handing alerts
//! over to Debian's Alertmanager.

mod differential;
mod tools;

use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock, Timestamp};
use skopos_server::config::Secret;

use crate::harness::TestServer;
use tools::{Tool, free_port, patiently};

async fn send(server: &TestServer, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = server.client.request(method, server.http(path));
    request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request.header("x-skopos-request", "1"),
    };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn alert(name: &str, severity: &str) -> Value {
    json!({
        "labels": {"alertname": name, "severity": severity, "empty": ""},
        "annotations": {"summary": format!("{name} happened")},
        "generatorURL": "http://prometheus.example/graph",
    })
}

/// A moment that many seconds from now, RFC 3339.
fn in_seconds(seconds: i64) -> String {
    Timestamp(SystemClock::new().now().0 + seconds * 1_000_000_000).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nine_operations_answer_as_alertmanagers_do() {
    let server = TestServer::start().await;
    let alerts = json!([alert("Down", "critical"), alert("Slow", "warning")]);
    assert_eq!(send(&server, "POST", "/api/v2/alerts", Some(alerts)).await, (200, json!("")));

    let listed = server.get_json("/api/v2/alerts").await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let down = listed.as_array().unwrap().iter().find(|a| a["labels"]["alertname"] == "Down");
    let down = down.unwrap();
    assert_eq!(down["labels"], json!({"alertname": "Down", "severity": "critical"}));
    assert_eq!(down["annotations"]["summary"], "Down happened");
    assert_eq!(down["generatorURL"], "http://prometheus.example/graph");
    assert_eq!(down["status"]["state"], "active");
    assert_eq!(down["status"]["silencedBy"], json!([]));
    assert!(down["fingerprint"].as_str().unwrap().len() == 16);
    for time in ["startsAt", "endsAt", "updatedAt"] {
        let text = down[time].as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "{time}: {text}");
    }

    for (query, want) in [
        ("filter=alertname%3D%22Down%22", 1),
        ("filter=severity%3D~%22c.*%22&filter=alertname%21%3DDown", 0),
        ("filter=nothing%3D", 2),
        ("receiver=no.*such", 0),
        ("receiver=.*", 2),
        ("active=false", 0),
        ("silenced=false&inhibited=false&unprocessed=false", 2),
    ] {
        let found = server.get_json(&format!("/api/v2/alerts?{query}")).await;
        assert_eq!(found.as_array().unwrap().len(), want, "{query}");
        let groups = server.get_json(&format!("/api/v2/alerts/groups?{query}")).await;
        let alerts: usize =
            groups.as_array().unwrap().iter().map(|g| g["alerts"].as_array().unwrap().len()).sum();
        assert_eq!(alerts, want, "{query}");
    }

    let silence = json!({
        "matchers": [{"name": "alertname", "value": "Do.*", "isRegex": true}],
        "startsAt": in_seconds(0),
        "endsAt": in_seconds(3600),
        "createdBy": "ada",
        "comment": "upgrade",
    });
    let (status, made) = send(&server, "POST", "/api/v2/silences", Some(silence.clone())).await;
    assert_eq!(status, 200, "{made}");
    let id = made["silenceID"].as_str().unwrap().to_owned();
    let down = &server.get_json("/api/v2/alerts?active=false").await[0];
    assert_eq!(down["status"]["state"], "suppressed");
    assert_eq!(down["status"]["silencedBy"], json!([id]));
    let one = server.get_json(&format!("/api/v2/silence/{id}")).await;
    assert_eq!(one["status"]["state"], "active");
    assert_eq!(
        one["matchers"],
        json!([{"name": "alertname", "value": "Do.*", "isRegex": true, "isEqual": true}])
    );
    let listed = server.get_json("/api/v2/silences?filter=alertname%3D%22Do.*%22").await;
    assert_eq!(listed, json!([one]));
    assert_eq!(server.get_json("/api/v2/silences?filter=alertname%3D%22x%22").await, json!([]));

    // Silences and alerts are there after a crash.
    let server = TestServer::reopen(server.kill(), |_| {}).await;
    assert_eq!(server.get_json("/api/v2/alerts").await.as_array().unwrap().len(), 2);
    assert_eq!(server.get_json(&format!("/api/v2/silence/{id}")).await["comment"], "upgrade");

    let path = format!("/api/v2/silence/{id}");
    assert_eq!(send(&server, "DELETE", &path, None).await.0, 200);
    assert_eq!(server.get_json(&path).await["status"]["state"], "expired");
    let (status, error) = send(&server, "DELETE", &path, None).await;
    assert_eq!((status, error), (500, json!(format!("silence {id} already expired"))));

    let past = json!({"endsAt": in_seconds(-60), "startsAt": in_seconds(-120)});
    let reversed = json!({"endsAt": in_seconds(60), "startsAt": in_seconds(120)});
    let unknown = json!({"id": "00000000-0000-4000-8000-000000000000"});
    for (change, want) in [
        (past, (400, json!("Failed to create silence: end time can't be in the past"))),
        (reversed, (400, json!("Failed to create silence: start time must be before end time"))),
        (
            json!({"comment": ""}),
            (422, json!({"code": 602, "message": "comment in body is required"})),
        ),
        (unknown, (404, json!("silence not found"))),
        (json!({"matchers": []}), (400, json!("silence invalid: at least one matcher required"))),
    ] {
        let mut wrong = silence.clone();
        for (key, value) in change.as_object().unwrap() {
            wrong[key] = value.clone();
        }
        let found = send(&server, "POST", "/api/v2/silences", Some(wrong)).await;
        assert_eq!(found, want, "{change}");
    }
    assert_eq!(send(&server, "GET", "/api/v2/silence/x", None).await.0, 422);
    assert_eq!(send(&server, "GET", "/api/v2/alerts?filter=%3D", None).await.0, 400);
    assert_eq!(send(&server, "GET", "/api/v2/alerts?active=maybe", None).await.0, 422);
    let (status, error) =
        send(&server, "POST", "/api/v2/alerts", Some(json!([{"labels": {}}]))).await;
    assert_eq!((status, error), (400, json!("at least one label pair required")));

    let status = server.get_json("/api/v2/status").await;
    assert_eq!(status["cluster"]["status"], "disabled");
    assert!(status["config"]["original"].as_str().unwrap().contains("receiver"), "{status}");
    let receivers = server.get_json("/api/v2/receivers").await;
    assert!(receivers.as_array().unwrap().iter().all(|r| r["name"].is_string()), "{receivers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_acknowledged_and_the_response_is_timed() {
    let server = TestServer::start().await;
    send(&server, "POST", "/api/v2/alerts", Some(json!([alert("Down", "critical")]))).await;
    let listed = server.get_json("/api/v1/skopos/alerts").await;
    let alert = &listed["alerts"][0];
    assert_eq!((&alert["severity"], &alert["acknowledged"]), (&json!("P1"), &Value::Null));
    assert_eq!(alert["overdue"], false);
    let fingerprint = alert["fingerprint"].as_str().unwrap().to_owned();
    let ack = |by: &str| json!({"fingerprint": fingerprint, "by": by, "comment": "on it"});
    let path = "/api/v1/alerts/ack";
    assert_eq!(send(&server, "POST", path, Some(ack(""))).await.0, 400);
    let (status, answer) = send(&server, "POST", path, Some(ack("ada"))).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["acknowledged"]["response_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(send(&server, "POST", path, Some(ack("bob"))).await.0, 422);
    let unknown = json!({"fingerprint": "0000000000000000", "by": "ada"});
    assert_eq!(send(&server, "POST", path, Some(unknown)).await.0, 404);
    let metrics = server.get_text("/metrics").await;
    let count = "skopos_alerts_response_seconds_count{severity=\"P1\"} 1";
    assert!(metrics.contains(count), "{metrics}");
    let server = TestServer::reopen(server.kill(), |_| {}).await;
    let listed = server.get_json("/api/v1/skopos/alerts").await;
    assert_eq!(listed["alerts"][0]["acknowledged"]["by"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn amtool_works() {
    let Some(amtool) = Tool::find("amtool", "SKOPOS_AMTOOL", "prometheus-alertmanager").await
    else {
        return;
    };
    let server = TestServer::start().await;
    let url = format!("--alertmanager.url={}", server.http("/"));
    let run = |words: &'static str| {
        let mut arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
        arguments.push(url.clone());
        amtool.run(arguments)
    };
    let ok = |(status, out): (bool, String), what: &str| {
        assert!(status, "amtool {what}: {out}");
        out
    };
    for words in [
        "alert add alertname=Down node=a severity=critical --annotation=summary=gone",
        "alert add alertname=Slow node=b",
    ] {
        ok(run(words).await, words);
    }
    let all = ok(run("alert query -o json").await, "alert query");
    let all: Value = serde_json::from_str(&all).expect(&all);
    assert_eq!(all.as_array().unwrap().len(), 2);
    let one = ok(run("alert query node=a -o simple").await, "alert query node=a");
    assert!(one.contains("Down") && one.contains("gone") && !one.contains("Slow"), "{one}");

    let id =
        ok(run("silence add alertname=~D.* --author=ada --comment=upgrade -d 1h").await, "add");
    let id = id.trim().to_owned();
    let quiet = ok(run("silence query -o simple").await, "silence query");
    assert!(quiet.contains(&id) && quiet.contains("alertname=~\"D.*\""), "{quiet}");
    let silenced = ok(run("alert query --silenced -o simple").await, "alert query --silenced");
    assert!(silenced.contains("Down") && !silenced.contains("Slow"), "{silenced}");
    let arguments =
        vec!["silence".into(), "update".into(), "-d".into(), "2h".into(), id.clone(), url.clone()];
    let updated = ok(amtool.run(arguments).await, "silence update");
    assert!(updated.contains(&id), "an active silence keeps its id: {updated}");
    ok(
        amtool.run(vec!["silence".into(), "expire".into(), id.clone(), url.clone()]).await,
        "expire",
    );
    let expired = ok(run("silence query --expired -o simple").await, "silence query --expired");
    assert!(expired.contains(&id), "{expired}");
    assert!(!run("silence query -o simple").await.1.contains(&id));

    let config = ok(run("config show").await, "config show");
    assert!(config.contains("receiver"), "{config}");
    ok(run("config routes show").await, "config routes show");
    let receiver = ok(run("config routes test severity=critical").await, "config routes test");
    assert!(!receiver.trim().is_empty());
    let cluster = ok(run("cluster show").await, "cluster show");
    assert!(cluster.contains("disabled"), "{cluster}");
}

/// What we show of a configuration is one that amtool takes, and its routes are the file's.
#[tokio::test(flavor = "multi_thread")]
async fn amtool_checks_our_configuration_and_finds_its_routes() {
    let Some(amtool) = Tool::find("amtool", "SKOPOS_AMTOOL", "prometheus-alertmanager").await
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = include_str!("../../testdata/alerting/alertmanager.yml");
    let text = text.replace("url: SINK", "url: http://127.0.0.1:9/hunter2");
    std::fs::write(path("file.yml"), text).unwrap();
    let server =
        TestServer::with(|settings| settings.alertmanager_config = Some(path("file.yml"))).await;
    let status = server.get_json("/api/v2/status").await;
    let shown = status["config"]["original"].as_str().unwrap();
    assert!(!shown.contains("hunter2"), "{shown}");
    std::fs::write(path("shown.yml"), shown).unwrap();
    for name in ["file.yml", "shown.yml"] {
        let check = vec!["check-config".into(), path(name).display().to_string()];
        let (is_good, out) = amtool.run(check).await;
        assert!(is_good && out.contains("8 receivers"), "{name}: {out}");
    }
    let broken = shown.replace("receiver: default", "receiver: nobody");
    std::fs::write(path("broken.yml"), broken).unwrap();
    let check = vec!["check-config".into(), path("broken.yml").display().to_string()];
    assert!(!amtool.run(check).await.0, "amtool looks at the file");
    let url = format!("--alertmanager.url={}", server.http("/"));
    let file = format!("--config.file={}", path("file.yml").display());
    for (labels, want) in [
        ("alertname=HighErrorRate zone=eu service=checkout", "zone,rest"),
        ("alertname=HighErrorRate zone=eu service=search", "zone"),
        ("alertname=HighErrorRate zone=ap service=search", "team"),
        ("severity=critical service=checkout", "audit,pager"),
        ("severity=info", "muted"),
        ("node=a", "disks"),
        ("node=a zone=eu", "default"),
    ] {
        for from in [&url, &file] {
            let mut words = vec!["config".to_owned(), "routes".into(), "test".into(), from.clone()];
            words.extend(labels.split(' ').map(str::to_owned));
            let (is_good, out) = amtool.run(words).await;
            assert_eq!((is_good, out.trim()), (true, want), "{labels} {from}");
        }
    }
}

const ALWAYS: &str = "
groups:
- name: g
  interval: 1s
  rules:
  - alert: Always
    expr: vector(1)
    labels: {severity: critical}
    annotations: {summary: 'value {{ $value }}'}
";

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_has_us_as_its_alertmanager() {
    let Some(prometheus) = Tool::find("prometheus", "SKOPOS_PROMETHEUS", "prometheus").await else {
        return;
    };
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    // It learns of its Alertmanager after five seconds, and repeats after a minute what it told nobody.
    let rules = ALWAYS.replace("expr: vector(1)", "expr: vector(1)\n    for: 8s");
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let target = server.server.addresses().http;
    let config = format!(
        "global: {{evaluation_interval: 1s, external_labels: {{dc: x}}}}\nrule_files: [rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{target}']}}]}}]}}\n"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let _prometheus = prometheus.spawn(&[
        format!("--config.file={}", folder.path().join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.path().join("data").display()),
        format!("--web.listen-address=127.0.0.1:{}", free_port()),
        "--log.level=error".into(),
    ]);
    patiently("Prometheus' alert", || async {
        let alerts = server.get_json("/api/v2/alerts").await;
        alerts[0]["labels"]["alertname"] == "Always"
    })
    .await;
    let alert = &server.get_json("/api/v2/alerts").await[0];
    assert_eq!(alert["labels"], json!({"alertname": "Always", "dc": "x", "severity": "critical"}));
    assert_eq!(alert["annotations"]["summary"], "value 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_handed_over_to_alertmanager() {
    let Some(alertmanager) =
        Tool::find("prometheus-alertmanager", "SKOPOS_ALERTMANAGER", "prometheus-alertmanager")
            .await
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("am.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
    std::fs::write(path("rules.yml"), ALWAYS).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let _alertmanager = alertmanager.spawn(&[
        format!("--config.file={}", path("am.yml")),
        format!("--storage.path={}", path("data")),
        format!("--web.listen-address={address}"),
        "--cluster.listen-address=".into(),
        "--log.level=error".into(),
    ]);
    let base = format!("http://{address}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    patiently("Alertmanager", || async {
        client.get(format!("{base}/-/ready")).send().await.is_ok_and(|r| r.status().is_success())
    })
    .await;
    let server = TestServer::with(|settings| {
        settings.rule_files = vec![path("rules.yml")];
        // Beside one that is away.
        let away = format!("http://127.0.0.1:{}", free_port());
        settings.alertmanagers = vec![Secret::new(base.clone()), Secret::new(away)];
    })
    .await;
    let alerts = || async {
        let response = client.get(format!("{base}/api/v2/alerts")).send().await.unwrap();
        response.json::<Value>().await.unwrap()
    };
    patiently("our alert", || async { alerts().await[0]["labels"]["alertname"] == "Always" }).await;
    let found = &alerts().await[0];
    assert_eq!(found["annotations"]["summary"], "value 1");
    let ours = &server.get_json("/api/v2/alerts").await[0];
    for field in ["labels", "annotations", "fingerprint", "startsAt", "generatorURL"] {
        assert_eq!(found[field], ours[field], "{field}");
    }
    let metrics = server.get_text("/metrics").await;
    assert!(!metrics.contains("skopos_alertmanager_sent_alerts_total 0"), "{metrics}");
    assert!(!metrics.contains("skopos_alertmanager_failed_alerts_total 0"), "{metrics}");
    // Gone rules are over there as well.
    std::fs::write(path("rules.yml"), "groups: []\n").unwrap();
    server.server.state().rules.reload().await.unwrap();
    patiently("its end", || async { alerts().await == json!([]) }).await;
}
