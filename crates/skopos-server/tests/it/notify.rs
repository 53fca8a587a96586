//! Notification by configuration: real receivers on ports of their own, HTTPS and SMTP included.

mod mailbox;

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use skopos_server::config::{Secret, Settings};
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::FaultFs;
use tempfile::TempDir;

use crate::harness::{TestServer, eventually, settings, start};
use crate::otlp::gauge_json;
use mailbox::Mailbox;

const RULES: &str = "
groups:
- name: shop
  interval: 50ms
  rules:
  - alert: QueueFull
    expr: queue_depth > 5
    labels: {severity: critical, service: checkout}
    annotations: {summary: 'depth is {{ $value }}', runbook_url: 'https://runbooks.example/queue'}
";

/// What a receiver was sent.
#[derive(Clone, Debug)]
struct Received {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Value,
}

/// Pretends to be every receiver: answers by path.
#[derive(Clone)]
struct Receivers {
    address: std::net::SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receivers {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receivers = Self { address: listener.local_addr().unwrap(), received: Arc::default() };
        let app = axum::Router::new().fallback(answer).with_state(receivers.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receivers
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came to paths that begin so.
    fn at(&self, path: &str) -> Vec<Received> {
        let received = self.received.lock().unwrap();
        received.iter().filter(|r| r.uri.path().starts_with(path)).cloned().collect()
    }
}

async fn answer(
    State(receivers): State<Receivers>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let path = uri.path().to_owned();
    receivers.received.lock().unwrap().push(Received { method, uri, headers, body });
    let json = ("content-type", "application/json");
    let text = ("content-type", "text/plain");
    match path.as_str() {
        "/slack/api" => (StatusCode::OK, [json], r#"{"ok":true,"ts":"1.2"}"#),
        "/slack/denied" => (StatusCode::OK, [json], r#"{"ok":false,"error":"invalid_auth"}"#),
        "/slack/hook" => (StatusCode::OK, [text], "ok"),
        "/teams" => (StatusCode::OK, [text], "1"),
        "/broken" => (StatusCode::INTERNAL_SERVER_ERROR, [text], "hunter2"),
        // It repeats what it was sent.
        "/echo/v2/enqueue" => (
            StatusCode::BAD_REQUEST,
            [json],
            r#"{"message":"no key HUNTER2","errors":["aHVudGVyMg== is none"]}"#,
        ),
        "/moved" => (StatusCode::PERMANENT_REDIRECT, [("location", "/elsewhere")], ""),
        _ => (StatusCode::ACCEPTED, [json], "{}"),
    }
}

/// A folder with rules and an `alertmanager.yml`.
struct Files(TempDir);

impl Files {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yml"), RULES).unwrap();
        std::fs::write(folder.path().join("am.yml"), config).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn settings(&self) -> impl FnOnce(&mut Settings) {
        let folder = self.path().to_owned();
        move |settings| {
            settings.rule_files = vec![folder.join("rules.yml").display().to_string()];
            settings.alertmanager_config = Some(folder.join("am.yml"));
        }
    }
}

async fn push(server: &TestServer, value: f64) {
    let request = server.client.post(server.otlp("/v1/metrics"));
    let request = request.header("content-type", "application/json");
    let response = request.body(gauge_json("shop", value).to_string()).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

/// Asks the server for a test; status and answer.
async fn test(server: &TestServer, body: Value) -> (u16, Value) {
    let request = server.client.post(server.http("/api/v1/skopos/notify/test"));
    let response = request.header("x-skopos-request", "test").json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// (integration, status, outcome, reason) of every trial.
fn trials(answer: &Value) -> Vec<(String, String, String, String)> {
    let text = |trial: &Value, name: &str| trial[name].as_str().unwrap().to_owned();
    let trials = answer["trials"].as_array().unwrap().iter();
    trials
        .map(|t| (text(t, "integration"), text(t, "status"), text(t, "outcome"), text(t, "reason")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_alertmanager_yml_reaches_every_receiver() {
    let (receivers, mail) = (Receivers::start().await, Mailbox::start(None).await);
    let files = Files::new(&format!(
        r#"
global: {{smtp_smarthost: '{mail}', smtp_from: skopos@example.org, smtp_require_tls: false}}
templates: ['*.tmpl']
route:
  receiver: nobody
  routes:
  - matchers: ['severity="critical"']
    receiver: everyone
    group_by: [alertname]
    group_wait: 0s
    group_interval: 100ms
receivers:
- name: nobody
- name: everyone
  webhook_configs: [{{url_file: url}}]
  pagerduty_configs: [{{routing_key_file: key, url: '{pagerduty}'}}]
  slack_configs:
  - {{api_url: '{hook}', send_resolved: true, title: '{{{{ template "shop.title" . }}}}'}}
  - {{app_token: xoxb-hunter2, app_url: '{api}', channel: '#shop', send_resolved: true}}
  opsgenie_configs: [{{api_key: hunter2, api_url: '{opsgenie}'}}]
  msteams_configs: [{{webhook_url: '{teams}'}}]
  msteamsv2_configs: [{{webhook_url: '{flow}'}}]
  email_configs: [{{to: 'a@example.org, b@example.org', send_resolved: true}}]
"#,
        mail = mail.address,
        pagerduty = receivers.url("/pagerduty"),
        hook = receivers.url("/slack/hook"),
        api = receivers.url("/slack/api"),
        opsgenie = receivers.url("/opsgenie"),
        teams = receivers.url("/teams"),
        flow = receivers.url("/flow"),
    ));
    let template =
        r#"{{ define "shop.title" }}{{ .Status }}: {{ .CommonLabels.service }}{{ end }}"#;
    std::fs::write(files.path().join("shop.tmpl"), template).unwrap();
    std::fs::write(files.path().join("url"), receivers.url("/webhook\n")).unwrap();
    std::fs::write(files.path().join("key"), "hunter2\n").unwrap();

    let server = TestServer::with(files.settings()).await;
    push(&server, 9.0).await;
    eventually("all eight are told", || async {
        server.server.state().rules.deliveries().len() == 8
    })
    .await;
    push(&server, 1.0).await;
    eventually("all eight are told that it is over", || async {
        server.server.state().rules.deliveries().len() == 16
    })
    .await;
    let deliveries = server.server.state().rules.deliveries();
    assert!(deliveries.iter().all(|d| d.verdict.as_str() == "delivered"), "{deliveries:#?}");

    let webhook = receivers.at("/webhook");
    assert_eq!(webhook.len(), 2);
    assert_eq!(webhook[0].body["status"], "firing");
    assert_eq!(webhook[0].body["receiver"], "everyone");
    assert_eq!(webhook[0].body["groupLabels"]["alertname"], "QueueFull");
    assert_eq!(webhook[1].body["status"], "resolved");
    let key = |r: &Received| r.headers["idempotency-key"].to_str().unwrap().to_owned();
    assert_ne!(key(&webhook[0]), key(&webhook[1]));

    let pagerduty = receivers.at("/pagerduty");
    assert_eq!(pagerduty[0].body["routing_key"], "hunter2");
    assert_eq!(pagerduty[0].body["event_action"], "trigger");
    assert_eq!(pagerduty[1].body["event_action"], "resolve");
    assert_eq!(pagerduty[0].body["dedup_key"], pagerduty[1].body["dedup_key"]);
    assert_eq!(pagerduty[0].body["links"][0]["href"], "https://runbooks.example/queue");

    let hook = receivers.at("/slack/hook");
    assert_eq!(hook[0].body["attachments"][0]["title"], "firing: checkout");
    let api = receivers.at("/slack/api");
    assert_eq!(api[0].headers["authorization"], "Bearer xoxb-hunter2");
    assert_eq!(api[0].body["channel"], "#shop");

    let opsgenie = receivers.at("/opsgenie");
    assert_eq!(opsgenie[0].uri.path(), "/opsgenie/v2/alerts");
    assert_eq!(opsgenie[0].headers["authorization"], "GenieKey hunter2");
    let alias = opsgenie[0].body["alias"].as_str().unwrap();
    assert_eq!(opsgenie[1].uri.path(), format!("/opsgenie/v2/alerts/{alias}/close"));
    assert_eq!(opsgenie[1].uri.query(), Some("identifierType=alias"));
    assert_eq!(opsgenie[1].method, Method::POST);

    assert_eq!(receivers.at("/teams")[0].body["@type"], "MessageCard");
    assert_eq!(receivers.at("/flow")[0].body["attachments"][0]["content"]["type"], "AdaptiveCard");

    let messages = mail.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].to, ["a@example.org", "b@example.org"]);
    let subject = "Subject: [FIRING:1] QueueFull (shop checkout critical)";
    assert!(messages[0].data.contains(subject), "{}", messages[0].data);
    assert!(messages[1].data.contains("Subject: [RESOLVED]"), "{}", messages[1].data);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_report_what_receivers_answer() {
    let receivers = Receivers::start().await;
    let files = Files::new(&format!(
        "
route: {{receiver: good, routes: [{{matchers: ['severity=~\"P1|critical\"'], receiver: bad}}]}}
receivers:
- name: good
  webhook_configs: [{{url: '{0}/ok', send_resolved: false}}]
- name: bad
  slack_configs: [{{api_url: '{0}/slack/denied'}}]
  webhook_configs:
  - {{url: '{0}/broken'}}
  - {{url: '{0}/moved'}}
  - {{url: 'http://127.0.0.1:9/hunter2'}}
  - {{url_file: missing}}
  - {{url: 'http://no-such-host.invalid/hunter2'}}
  pagerduty_configs: [{{routing_key: hunter2, url: '{0}/echo/v2/enqueue'}}]
  telegram_configs: [{{bot_token: hunter2, chat_id: 1}}]
- name: empty
",
        receivers.url("")
    ));
    let server = TestServer::with(files.settings()).await;
    let (status, answer) = test(&server, json!({"receiver": "good"})).await;
    assert_eq!(status, 200);
    let delivered =
        ("webhook[0]".to_owned(), "firing".to_owned(), "delivered".to_owned(), String::new());
    assert_eq!(trials(&answer), [delivered]);
    let sent = &receivers.at("/ok")[0].body;
    assert_eq!(sent["alerts"][0]["labels"]["test"], "true");
    let summary = sent["alerts"][0]["annotations"]["summary"].as_str().unwrap();
    assert!(summary.starts_with("[TEST]"), "{summary}");

    let (status, answer) = test(&server, json!({"severity": "P1"})).await;
    assert_eq!(status, 200);
    assert_eq!(answer["receivers"], json!(["bad"]));
    let firing: Vec<_> = trials(&answer)
        .into_iter()
        .filter(|(_, status, ..)| status == "firing")
        .map(|(integration, _, outcome, reason)| format!("{integration} {outcome}: {reason}"))
        .collect();
    let missing = files.path().join("missing");
    assert_eq!(
        firing,
        [
            "slack[0] failed: receiver answered 200: invalid_auth".to_owned(),
            "webhook[1] retry: receiver answered 500".to_owned(),
            "webhook[2] failed: receiver answered 308".to_owned(),
            "webhook[3] retry: unreachable: connection refused".to_owned(),
            format!(
                "webhook[4] retry: cannot read the secret file {}: No such file or directory (os error 2)",
                missing.display()
            ),
            "webhook[5] retry: unreachable: cannot resolve host no-such-host.invalid".to_owned(),
            "pagerduty[6] failed: receiver answered 400: no key <secret>: <secret> is none"
                .to_owned(),
            "telegram[7] failed: Skopos does not deliver to telegram".to_owned(),
        ]
    );
    assert!(!answer.to_string().contains("hunter2"));
    assert!(receivers.at("/elsewhere").is_empty(), "redirects are not followed");

    let (status, answer) = test(&server, json!({"receiver": "god"})).await;
    assert_eq!(status, 404);
    assert!(answer.to_string().contains("did you mean \\\"good\\\"?"), "{answer}");
    let (_, answer) = test(&server, json!({"receiver": "empty"})).await;
    assert_eq!(answer["trials"], json!([]));
    let (status, _) = test(&server, json!({})).await;
    assert_eq!(status, 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_over_starttls_with_a_password() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mail = Mailbox::start(Some(&certificate)).await;
    let port = mail.address.port();
    let config = |password: &str, ca: &str| {
        format!(
            "
route: {{receiver: mail}}
receivers:
- name: mail
  email_configs:
  - to: a@example.org
    from: s@example.org
    smarthost: 'localhost:{port}'
    auth_username: skopos
    auth_password: {password}
    {ca}
"
        )
    };
    let trusted = config("hunter2", "tls_config: {ca_file: ca.pem}");
    let files = Files::new(&trusted);
    std::fs::write(files.path().join("ca.pem"), certificate.cert.pem()).unwrap();
    let server = TestServer::with(files.settings()).await;
    let (_, answer) = test(&server, json!({"receiver": "mail"})).await;
    let sent = trials(&answer);
    assert_eq!((sent[0].2.as_str(), sent[0].3.as_str()), ("delivered", ""));
    let messages = mail.messages();
    assert!(messages[0].encrypted);
    assert_eq!(messages[0].login.as_deref(), Some("skopos:hunter2"));
    assert!(messages[0].data.contains("[TEST]"), "{}", messages[0].data);
    server.stop().await;

    for (text, want) in [
        (
            config("wr0ng-pass", "tls_config: {ca_file: ca.pem}"),
            "failed mail server: permanent error (535): AUTH PLAIN <secret> is wrong: <secret>",
        ),
        (config("hunter2", ""), "TLS: the certificate"),
    ] {
        std::fs::write(files.path().join("am.yml"), text).unwrap();
        let server = TestServer::with(files.settings()).await;
        let (_, answer) = test(&server, json!({"receiver": "mail"})).await;
        let got = trials(&answer).remove(0);
        let got = format!("{} {}", got.2, got.3);
        assert!(got.contains(want), "{got}");
        assert!(!answer.to_string().contains("hunter2") && !got.contains("wr0ng"), "{got}");
        server.stop().await;
    }
    assert_eq!(mail.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn https_trusts_what_it_is_told_to_trust() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = mailbox::acceptor(&certificate);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                mailbox::answer_http(&mut stream).await;
            });
        }
    });
    let receiver = |name: &str, tls: &str| {
        format!(
            "- name: {name}\n  webhook_configs: [{{url: 'https://localhost:{port}/x', http_config: {{tls_config: {tls}}}}}]\n"
        )
    };
    let files = Files::new(&format!(
        "route: {{receiver: ca}}\nreceivers:\n{}{}{}",
        receiver("ca", "{ca_file: ca.pem}"),
        receiver("any", "{insecure_skip_verify: true}"),
        receiver("system", "{}"),
    ));
    std::fs::write(files.path().join("ca.pem"), certificate.cert.pem()).unwrap();
    let server = TestServer::with(files.settings()).await;
    for (receiver, want) in [
        ("ca", "delivered"),
        ("any", "delivered"),
        (
            "system",
            "retry unreachable: TLS: the certificate's issuer is not trusted (tls_config.ca_file)",
        ),
    ] {
        let (_, answer) = test(&server, json!({"receiver": receiver})).await;
        let got = trials(&answer).remove(0);
        assert_eq!(format!("{} {}", got.2, got.3).trim(), want, "{receiver}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_are_read_again_and_a_bad_file_changes_nothing() {
    let receivers = Receivers::start().await;
    let config = |path: &str| {
        let url = receivers.url(path);
        format!(
            "route: {{receiver: r, group_wait: 0s}}\nreceivers:\n- name: r\n  webhook_configs: [{{url: '{url}'}}]\n"
        )
    };
    let files = Files::new(&config("/one"));
    let server = TestServer::with(files.settings()).await;
    let reload = || async {
        let request = server.client.post(server.http("/-/reload"));
        let response = request.header("x-skopos-request", "test").send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    std::fs::write(files.path().join("am.yml"), "route: {receivr: r}\n").unwrap();
    let (status, text) = reload().await;
    assert_eq!(status, 400);
    assert!(text.contains("am.yml:1:9"), "{text}");
    test(&server, json!({"receiver": "r"})).await;
    assert_eq!(receivers.at("/one").len(), 2);
    std::fs::write(files.path().join("am.yml"), config("/two")).unwrap();
    assert_eq!(reload().await.0, 200);
    test(&server, json!({"receiver": "r"})).await;
    assert_eq!((receivers.at("/one").len(), receivers.at("/two").len()), (2, 2));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_alerts_go_by_their_severity() {
    let receivers = Receivers::start().await;
    let files = Files::new("");
    let rules = files.path().join("rules.yml").display().to_string();
    let server = TestServer::with(|settings| {
        settings.rule_files = vec![rules];
        settings.notify.slack_url = Some(Secret::new(receivers.url("/slack/hook")));
    })
    .await;
    push(&server, 9.0).await;
    eventually("chat is told of a P1 where there is no pager", || async {
        receivers.at("/slack/hook").len() == 1
    })
    .await;
    let title = &receivers.at("/slack/hook")[0].body["attachments"][0]["title"];
    assert_eq!(title, "[FIRING:1] QueueFull checkout (shop critical)");
    let folder = server.stop().await;

    // A word that the table lacks goes there as well, and is reported.
    let urgent = RULES.replace("severity: critical", "severity: urgent");
    std::fs::write(files.path().join("rules.yml"), urgent).unwrap();
    let rules = files.path().join("rules.yml").display().to_string();
    let server = TestServer::reopen(folder, |settings| settings.rule_files = vec![rules]).await;
    push(&server, 9.0).await;
    eventually("the unknown word is a problem", || async {
        let status = server.get_text("/api/v1/status").await;
        status.contains("unknown severity \\\"urgent\\\"")
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_file_and_missing_certificates_stop_the_start() {
    for (config, want) in [
        ("route: {receivr: r}\n", "am.yml:1:9: error: unknown key \"receivr\""),
        (
            "route: {receiver: r}\nreceivers:\n- name: r\n  slack_configs: [{api_url: 'http://x', title: '{{ template \"nowhere\" . }}'}]\n",
            "template \"nowhere\" is not defined",
        ),
        (
            "route: {receiver: r}\nreceivers:\n- name: r\n  webhook_configs: [{url: 'https://x', http_config: {tls_config: {ca_file: nowhere.pem}}}]\n",
            "tls_config: ca: No such file",
        ),
        ("templates: ['bad.tmpl']\nroute: {receiver: r}\nreceivers:\n- name: r\n", "bad.tmpl:1:"),
    ] {
        let files = Files::new(config);
        std::fs::write(files.path().join("bad.tmpl"), "{{ nofunction }}").unwrap();
        let data = tempfile::tempdir().unwrap();
        let mut settings = settings(data.path());
        files.settings()(&mut settings);
        let Err(error) = start(settings).await else { panic!("{config} starts") };
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_beats_only_while_rules_are_on_time() {
    let receivers = Receivers::start().await;
    let server = TestServer::with(|settings| {
        settings.heartbeat_url = Some(Secret::new(receivers.url("/beat/hunter2")));
        settings.heartbeat_interval = std::time::Duration::from_millis(20);
    })
    .await;
    eventually("beats", || async { receivers.at("/beat").len() >= 3 }).await;
    assert_eq!(receivers.at("/beat")[0].method, Method::GET);
    let metrics = server.get_text("/metrics").await;
    assert!(metrics.contains("skopos_heartbeat_total{outcome=\"sent\"}"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_severity_is_tested_by_the_word_that_the_routes_know() {
    let receivers = Receivers::start().await;
    let files = Files::new(&format!(
        "
route:
  receiver: rest
  routes:
  - {{matchers: ['severity=\"critical\"'], receiver: pager}}
  - {{matchers: ['team=\"shop\"'], receiver: rest, routes: [{{matchers: [severity=~\"low|minor\"], receiver: rest}}]}}
receivers:
- name: rest
- name: pager
  webhook_configs: [{{url: '{0}/ok'}}]
",
        receivers.url("")
    ));
    let server = TestServer::with(files.settings()).await;
    let (_, answer) = test(&server, json!({"severity": "P1"})).await;
    assert_eq!(answer["receivers"], json!(["pager"]), "{answer}");
    assert_eq!(answer["severity"]["label"], "critical");
    assert_eq!(receivers.at("/ok")[0].body["commonLabels"]["severity"], "critical");
    let (_, answer) = test(&server, json!({"severity": "P3"})).await;
    assert_eq!(answer["receivers"], json!(["rest"]), "{answer}");
    let severity = &answer["severity"];
    assert_eq!(severity["routed"], false, "{answer}");
    assert_eq!(severity["tried"], json!(["P3", "info", "ticket", "warning"]), "{answer}");
    assert_eq!(severity["routes_name"], json!(["=critical", "=~low|minor"]), "{answer}");
    server.stop().await;
}

/// What `/api/v1/status` says is wrong, one per line, with the remedy.
async fn problems(server: &TestServer) -> String {
    let answer = server.get_json("/api/v1/status").await;
    let problems = answer["data"]["problems"].as_array().unwrap().iter();
    let line = |p: &Value| {
        let text = |name: &str| p[name].as_str().unwrap().to_owned();
        format!("{} {} -> {}", text("severity"), text("what"), text("remedy"))
    };
    problems.map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_that_hang_and_dead_letters_are_problems_until_somebody_acts() {
    let receivers = Receivers::start().await;
    let files = Files::new(&format!(
        "
route: {{receiver: team, group_wait: 0s, group_interval: 1d}}
receivers:
- name: team
  slack_configs: [{{api_url: '{0}/slack/denied'}}]
  webhook_configs: [{{url: '{0}/broken'}}]
",
        receivers.url("")
    ));
    let clock = Arc::new(VirtualClock::default());
    let disk = FaultFs::new();
    let server = TestServer::on(&disk, &clock, files.settings()).await;
    let at = skopos_model::Clock::now(&*clock).as_nanos().to_string();
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "queue_depth", "gauge": {"dataPoints": [{"timeUnixNano": at, "asDouble": 9.0}]}}
    ]}]}]});
    let request = server.client.post(server.otlp("/v1/metrics")).json(&body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    eventually("slack's refusal is a dead letter, the webhook's failure waits", || async {
        clock.advance(std::time::Duration::from_millis(50));
        let rules = &server.server.state().rules;
        receivers.at("/broken").len() == 1 && rules.deliveries().len() == 1
    })
    .await;
    let found = problems(&server).await;
    let dead = "error 1 notification to team (slack[0]) could not be delivered, the first at ";
    assert!(
        found.contains(dead) && found.contains("receiver answered 200: invalid_auth"),
        "{found}"
    );
    assert!(found.contains("-> mend the receiver, then `skopos notify dead retry`"), "{found}");
    assert!(!found.contains("has not been taken"), "a minute's patience: {found}");

    clock.advance(std::time::Duration::from_secs(61));
    let hangs = "error 1 notification to team (webhook[1]) has not been taken since ";
    eventually("a minute later the other one is a problem as well", || async {
        let found = problems(&server).await;
        found.contains(hangs) && found.contains("receiver answered 500")
    })
    .await;
    let lists = server.get_json("/api/v1/skopos/deliveries").await;
    assert_eq!(lists["waiting"][0]["integration_name"], "webhook[1]", "{lists}");
    assert_eq!(lists["deliveries"][0]["integration_name"], "slack[0]", "{lists}");

    // What is discarded is no problem any more, and the ledger says who did it.
    let discard = |body: Value| {
        let request = server.client.post(server.http("/api/v1/skopos/notify/dead/discard"));
        let request = request.header("x-skopos-request", "test").json(&body);
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.json::<Value>().await.unwrap())
        }
    };
    let letters = server.get_json("/api/v1/skopos/notify/dead").await;
    let id = letters["dead"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(letters["dead"][0]["integration_name"], "slack[0]");
    let unknown = "00000000000000000001/00000000000000aa";
    for (body, want) in [
        (json!({"by": "ada"}), 400),
        (json!({"ids": [id], "all": true, "by": "ada"}), 400),
        (json!({"ids": [id], "by": " "}), 400),
        (json!({"ids": [id], "by": "a\nb"}), 400),
        (json!({"ids": [id, unknown], "by": "ada"}), 404),
        (json!({"ids": ["x"], "by": "ada"}), 404),
    ] {
        assert_eq!(discard(body.clone()).await.0, want, "{body}");
    }
    assert_eq!(server.get_json("/api/v1/skopos/notify/dead").await, letters, "all are still there");
    let (status, answer) = discard(json!({"ids": [id, id], "by": "ada"})).await;
    assert_eq!((status, &answer["discarded"]), (200, &json!(1)), "{answer}");
    assert_eq!(discard(json!({"all": true, "by": "ada"})).await.1["discarded"], 0);
    let found = problems(&server).await;
    assert!(!found.contains("slack[0]") && found.contains(hangs), "{found}");
    let lists = server.get_json("/api/v1/skopos/deliveries").await;
    let entry = lists["deliveries"].as_array().unwrap().iter().find(|d| d["id"] == *id).unwrap();
    assert_eq!(entry["verdict"], "dropped");
    let reason = "discarded by ada; it had failed: receiver answered 200: invalid_auth";
    assert_eq!(entry["reason"], reason);
    server.stop().await;
    // It is durable.
    let server = TestServer::on(&disk, &clock, files.settings()).await;
    assert_eq!(server.get_json("/api/v1/skopos/notify/dead").await["dead"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_fails_says_which_check_helps() {
    let files = Files::new("route: {receiver: r}\nreceivers:\n- name: r\n");
    let server = TestServer::with(files.settings()).await;
    let reload = || async {
        let request = server.client.post(server.http("/-/reload")).header("x-skopos-request", "t");
        request.send().await.unwrap().status().as_u16()
    };
    std::fs::write(files.path().join("am.yml"), "route: {receivr: r}\n").unwrap();
    assert_ne!(reload().await, 200);
    let found = problems(&server).await;
    assert!(found.contains("am.yml:1:") && found.contains("`skopos notify check`"), "{found}");
    std::fs::write(files.path().join("rules.yml"), "groups: [{}]\n").unwrap();
    assert_ne!(reload().await, 200);
    let found = problems(&server).await;
    assert!(found.contains("rules.yml:1") && found.contains("`skopos rules check`"), "{found}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_and_their_templates_are_read_again_when_they_change() {
    let config = |name: &str| {
        format!("templates: ['*.tmpl']\nroute: {{receiver: {name}}}\nreceivers:\n- name: {name}\n")
    };
    let files = Files::new(&config("one"));
    let template = files.path().join("shop.tmpl");
    std::fs::write(&template, "{{ define \"shop\" }}x{{ end }}").unwrap();
    let server = TestServer::with(|settings| {
        files.settings()(settings);
        settings.reload_interval = Some(std::time::Duration::from_millis(30));
    })
    .await;
    let receivers = || async { server.get_text("/api/v2/receivers").await };
    assert!(receivers().await.contains("one"));
    std::fs::write(files.path().join("am.yml"), config("two")).unwrap();
    eventually("the new receiver is in force", || async { receivers().await.contains("two") })
        .await;
    std::fs::write(&template, "{{ end }}").unwrap();
    eventually("the broken template is told", || async {
        let found = problems(&server).await;
        found.contains("shop.tmpl") && found.contains("`skopos notify check`")
    })
    .await;
    std::fs::write(&template, "{{ define \"shop\" }}y{{ end }}").unwrap();
    eventually("it is mended", || async { !problems(&server).await.contains("shop.tmpl") }).await;
    server.stop().await;
}
