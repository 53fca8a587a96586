//! The client commands against a real server: what goes in by OTLP comes out on standard output.

use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock};

use crate::harness::{Server, run, skopos};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_shown() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]).await;
    send(&server).await;
    let url = server.http.clone();
    tokio::task::spawn_blocking(move || {
        let ask = |args: &[&str], code: i32| {
            let output = run(&[args, &["--server", &url]].concat());
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {complaint}");
            String::from_utf8(output.stdout).unwrap()
        };

        let text = ask(&["query", "active_users_current"], 0);
        assert!(text.contains("job=\"client-test\"") && text.trim_end().ends_with("  7"), "{text}");
        let text = ask(&["query", "vector(1)", "--format", "json"], 0);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["data"]["result"][0]["value"][1], "1");
        ask(&["query", "no_such_metric"], 3);
        let text = ask(&["query", "active_users_current", "--format", "csv"], 0);
        let (head, row) = text.split_once('\n').unwrap();
        assert!(head.contains("job") && head.ends_with(",timestamp,value"), "{text}");
        assert!(row.contains("client-test") && row.trim_end().ends_with(",7"), "{text}");
        let text = ask(&["query", "1e30", "--format", "csv"], 0);
        assert!(text.starts_with("timestamp,value\n") && text.ends_with(",1e+30\n"), "{text}");
        let range = ["--from", "now-10m", "--step", "60", "--format", "csv"];
        let text = ask(&[&["query", "vector(time())"], &range[..]].concat(), 0);
        assert_eq!(text.lines().count(), 12, "{text}");

        let text = ask(&["cardinality"], 0);
        assert!(text.contains("active_users_current") && text.contains("█"), "{text}");
        let text = ask(&["cardinality", "active_users_current"], 0);
        assert!(text.contains("of 100,000 allowed") && text.contains("client-test"), "{text}");
        let text = ask(&["cardinality", "active_users_current", "job", "--format", "csv"], 0);
        assert_eq!(text, "value,series,active,day_ago\nclient-test,1,1,\n");
        let text = ask(&["cardinality", "--format", "json", "--limit", "1"], 0);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["data"]["metrics"].as_array().unwrap().len(), 1);
        ask(&["cardinality", "no_such_metric"], 3);
        let complain = |args: &[&str], code: i32| {
            let output = run(&[args, &["--server", &url]].concat());
            assert_eq!(output.status.code(), Some(code), "{args:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        let text = complain(&["query", "sum(\n  rat(up[5m]))"], 1);
        assert!(text.contains("2:3: parse error: unknown function"), "{text}");
        assert!(text.contains("2 |   rat(up[5m]))\n  |   ^^^\n"), "{text}");
        let text = complain(&["query", "up[0s]"], 1);
        assert!(text.contains("1 | up[0s]\n  |    ^^\n"), "{text}");
        let text = complain(&["query", "nothing", "--from", "now-1h", "--step", "2m"], 3);
        assert!(text.contains("nothing matches from") && text.contains("of 120 s"), "{text}");
        let text = ask(&["query", "active_users_current", "--explain"], 0);
        assert!(text.contains("(1 series, 1 samples, ") && text.contains("evaluated in"), "{text}");
        let text = ask(&["query", "active_users_current", "--explain", "--format", "json"], 0);
        let plan: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(plan["root"]["cost"]["series"], 1);
        let text = complain(&["query", "info(up)", "--explain"], 1);
        assert!(text.contains("query.experimental") && text.contains("^^^^"), "{text}");

        let text = ask(&["logs", "--severity", "error", "--service", "client-test"], 0);
        assert!(text.contains("ERROR") && text.contains("card declined"), "{text}");
        assert!(text.contains(TRACE), "{text}");
        assert!(!text.contains("hunter2") && text.contains("[REDACTED]"), "{text}");
        assert!(!text.contains('\u{1b}'), "escape sequences of a log line are not obeyed: {text}");
        ask(&["logs", "--contains", "nothing like this"], 3);

        let text = ask(&["tail", "--since", "5m", "--limit", "1", "--format", "ndjson"], 0);
        let log: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(log["service"], "client-test");

        let text = ask(&["trace", TRACE], 0);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains("2 spans"), "{text}");
        assert!(lines[1].contains("client-test POST /orders"), "{text}");
        assert!(lines[2].contains("  client-test charge ✖ declined"), "{text}");
        let text = ask(&["trace", "--service", "client-test", "--errors"], 0);
        assert!(text.contains(TRACE) && text.contains("2 spans"), "{text}");
        ask(&["trace", "00000000000000000000000000000001"], 3);
        ask(&["trace", "xyz"], 1);
    })
    .await
    .unwrap();
}

const RULES: &str = r#"
groups:
  - name: cli
    interval: 1s
    rules:
      - alert: TooManyUsers
        expr: active_users_current > 5
        labels: { severity: critical }
      - alert: NeverSeen
        expr: rate(no_such_metric_total[5m]) > 0
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_listed_and_explained() {
    let data = tempfile::tempdir().unwrap();
    let rules = data.path().join("cli.yml");
    std::fs::write(&rules, RULES).unwrap();
    let server = Server::start(data.path(), &["--rules", rules.to_str().unwrap()]).await;
    send(&server).await;
    for _ in 0..200 {
        let answer = server.get("/api/v1/alerts", &[]).await;
        if answer["data"]["alerts"][0]["state"] == "firing" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let firing = server.get("/api/v1/skopos/alerts", &[]).await;
    let fingerprint = firing["alerts"][0]["fingerprint"].as_str().unwrap().to_owned();
    let url = server.http.clone();
    tokio::task::spawn_blocking(move || {
        let ask = |args: &[&str], code: i32| {
            let output = run(&[args, &["--server", &url]].concat());
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {complaint}");
            (String::from_utf8(output.stdout).unwrap(), complaint)
        };
        let (_, note) = ask(&["notify", "log"], 3);
        assert!(note.contains("nothing was sent yet"), "{note}");
        ask(&["notify", "dead", "list"], 3);
        ask(&["notify", "dead", "retry"], 3);
        ask(&["notify", "dead", "retry", "1/2"], 3);
        let (text, _) = ask(&["alerts", "ack", &fingerprint, "--by", "ada"], 0);
        assert!(text.starts_with("TooManyUsers is with ada, "), "{text}");
        let (_, complaint) = ask(&["alerts", "ack", &fingerprint, "--by", "bob"], 1);
        assert!(complaint.contains("ada acknowledged it already"), "{complaint}");
        ask(&["alerts", "ack", "0000000000000000", "--by", "bob"], 3);
        let (text, _) = ask(&["alerts"], 0);
        assert!(text.contains("firing    TooManyUsers"), "{text}");
        assert!(text.contains("ada after ") && text.contains(&fingerprint), "{text}");
        assert!(
            text.contains("blind     NeverSeen") && text.contains("no_such_metric_total"),
            "{text}"
        );
        assert!(
            text.ends_with("1 firing · 0 failing · 0 pending · 1 blind · 0 inactive\n"),
            "{text}"
        );
        let (text, _) = ask(&["alerts", "why", "TooManyUsers"], 0);
        assert!(text.contains("it fires, 1 alert") && text.contains("must be > 5"), "{text}");
        assert!(
            text.contains("    7  ") && text.contains("active_users_current  1 series"),
            "{text}"
        );
        let (text, _) = ask(&["alerts", "why", "NeverSeen"], 0);
        assert!(text.contains("it cannot fire: no series match no_such_metric_total"), "{text}");
        let (text, _) = ask(&["alerts", "why", "NeverSeen", "--format", "json"], 0);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["data"]["rules"][0]["blind"][0], "no_such_metric_total");
        let (_, complaint) = ask(&["alerts", "why", "NeverSen"], 3);
        assert!(complaint.contains("did you mean NeverSeen?"), "{complaint}");
        ask(&["alerts", "list", "--state", "odd"], 2);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_token_closes_the_server() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]).await;
    let url = server.http.clone();
    tokio::task::spawn_blocking(move || {
        let ask = |args: &[&str], code: i32| {
            let output = run(&[args, &["--server", &url]].concat());
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {complaint}");
            (String::from_utf8(output.stdout).unwrap().trim().to_owned(), complaint)
        };
        ask(&["query", "vector(1)"], 0);
        let (admin, _) = ask(&["token", "create", "admin", "--scopes", "admin"], 0);
        let admin = admin.as_str();
        assert!(ask(&["query", "vector(1)"], 1).1.contains("401"), "closed without a token");
        ask(&["query", "vector(1)", "--token", admin], 0);
        let (list, _) = ask(&["token", "list", "--token", admin], 0);
        assert!(list.contains("admin") && !list.contains(admin), "{list}");
        let (ingest, _) =
            ask(&["token", "create", "ci", "--scopes", "ingest", "--token", admin], 0);
        assert!(ask(&["query", "vector(1)", "--token", &ingest], 1).1.contains("403"));
        ask(&["token", "revoke", "ci", "--token", admin], 0);
        let (_, refused) = ask(&["token", "revoke", "admin", "--token", admin], 1);
        assert!(refused.contains("--force"), "{refused}");
        ask(&["token", "revoke", "admin", "--force", "--token", admin], 0);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_made_offline_opens_a_server_beyond_loopback() {
    let create = ["token", "create", "admin", "--scopes", "admin+ingest", "--offline"];
    let made = run(&create);
    assert_eq!(made.status.code(), Some(0));
    let text = String::from_utf8(made.stdout).unwrap();
    let [token, entry] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(entry.starts_with("admin:ingest+admin:") && !entry.contains(token), "{text}");
    let json = run(&[&create[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_ne!(json["token"], token, "each is another");
    assert_eq!(json["scopes"], "ingest+admin");
    for (name, scopes) in [("a:b", "read"), ("a", "all")] {
        let refused = run(&["token", "create", name, "--scopes", scopes, "--offline"]);
        assert_eq!(refused.status.code(), Some(1), "{name} {scopes}");
    }

    let data = tempfile::tempdir().unwrap();
    let mut command = skopos();
    command.env("SKOPOS__AUTH__TOKENS", entry);
    let server = Server::start_with(command, "0.0.0.0:0", data.path(), &[]).await;
    let (url, token) = (server.http.clone(), token.to_owned());
    tokio::task::spawn_blocking(move || {
        let query = ["query", "vector(1)", "--server", &url];
        assert_eq!(run(&query).status.code(), Some(1), "refused without");
        let output = run(&[&query[..], &["--token", &token]].concat());
        assert_eq!(output.status.code(), Some(0), "{:?}", String::from_utf8_lossy(&output.stderr));
    })
    .await
    .unwrap();
}

pub(crate) async fn send(server: &Server) {
    let now = SystemClock::new().now().as_nanos();
    let at = |millis: i64| (now - millis * 1_000_000).to_string();
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": "client-test"}}
    ]});
    let logs = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [{
        "timeUnixNano": at(5), "severityNumber": 17, "traceId": TRACE,
        "body": {"stringValue": "card declined \u{1b}[31m"},
        "attributes": [{"key": "password", "value": {"stringValue": "hunter2"}}]
    }]}]}]});
    let spans = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [
        {"traceId": TRACE, "spanId": "00f067aa0ba902b7", "name": "POST /orders", "kind": 2,
         "startTimeUnixNano": at(20), "endTimeUnixNano": at(2)},
        {"traceId": TRACE, "spanId": "00f067aa0ba902b8", "parentSpanId": "00f067aa0ba902b7",
         "name": "charge", "kind": 3, "startTimeUnixNano": at(15), "endTimeUnixNano": at(5),
         "status": {"code": 2, "message": "declined"}}
    ]}]}]});
    let metrics = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
        {"name": "active_users_current", "gauge": {"dataPoints": [{"timeUnixNano": at(1), "asInt": "7"}]}}
    ]}]}]});
    for (path, body) in [("/v1/logs", logs), ("/v1/traces", spans), ("/v1/metrics", metrics)] {
        assert!(server.post(path, &body).await, "{path}");
    }
}
