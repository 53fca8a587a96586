//! `skopos tail`, `skopos logs FILTER` and `skopos trace --search` against a real server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock};

use crate::harness::{Server, run, skopos};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";

fn nanos(millis_ago: i64) -> String {
    (SystemClock::new().now().as_nanos() - millis_ago * 1_000_000).to_string()
}

fn resource(service: &str) -> Value {
    json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]})
}

/// A request with one record.
fn log(service: &str, severity: u8, body: &str) -> Value {
    json!({"resourceLogs": [{"resource": resource(service), "scopeLogs": [{"logRecords": [{
        "timeUnixNano": nanos(5), "severityNumber": severity, "traceId": TRACE,
        "spanId": "00f067aa0ba902b8", "body": {"stringValue": body},
        "attributes": [{"key": "user", "value": {"intValue": "42"}}],
    }]}]}]})
}

/// A request with a root span that failed and its child.
fn spans(service: &str) -> Value {
    let attribute = |key: &str, value: i64| json!({"key": key, "value": {"intValue": value}});
    json!({"resourceSpans": [{"resource": resource(service), "scopeSpans": [{"spans": [
        {"traceId": TRACE, "spanId": "00f067aa0ba902b8", "parentSpanId": "00f067aa0ba902b7",
         "name": "charge", "kind": 3, "startTimeUnixNano": nanos(900),
         "endTimeUnixNano": nanos(100)},
        {"traceId": TRACE, "spanId": "00f067aa0ba902b7", "name": "POST /pay", "kind": 2,
         "startTimeUnixNano": nanos(1000), "endTimeUnixNano": nanos(0), "status": {"code": 2},
         "attributes": [attribute("http.response.status_code", 500)]},
    ]}]}]})
}

async fn send(server: &Server, path: &str, body: &Value) {
    assert!(server.post(path, body).await, "{path} is acknowledged");
}

/// A running `skopos tail`; killed when dropped.
struct Tail {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Tail {
    fn start(url: &str, args: &[&str]) -> Self {
        let mut child = skopos()
            .args(["tail", "--server", url])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_and_logs_are_tailed_together() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]).await;
    send(&server, "/v1/logs", &log("payment", 17, "pool timeout")).await;
    send(&server, "/v1/traces", &spans("payment")).await;
    let url = server.http.clone();
    tokio::task::spawn_blocking(move || {
        let ask = |args: &[&str], code: i32| {
            let output = run(&[args, &["--server", &url]].concat());
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {complaint}");
            (String::from_utf8(output.stdout).unwrap(), complaint)
        };
        let stored = ["tail", "--since", "5m", "--no-follow"];
        let with = |more: &[&'static str]| [&stored[..], more].concat();
        let (text, _) = ask(&stored, 0);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains("payment  ✖ POST /pay 1.00s 500  5b8efff7 ▇"), "{text}");
        assert!(lines[1].contains("▸ charge 800ms"), "{text}");
        assert!(lines[2].contains("E pool timeout  5b8efff7 user=42"), "{text}");
        let (text, _) = ask(&with(&["--tree"]), 0);
        let after_service = |line: &str| line.split_once("payment  ").unwrap().1.to_owned();
        let lines: Vec<_> = text.lines().filter(|l| !l.is_empty()).map(after_service).collect();
        assert!(lines[0].starts_with("✖ POST /pay"), "{text}");
        assert!(lines[1].starts_with("  ▸ charge"), "{text}");
        assert!(lines[2].starts_with("    E pool timeout"), "{text}");
        for (args, want) in [
            (vec!["--only", "logs"], 1),
            (vec!["--only", "spans"], 2),
            (vec!["--slow", "900ms"], 2),
            (vec!["--level", "error"], 2),
            (vec!["--service", "payment", "--exclude", "charge or pool"], 1),
            (vec!["duration>1ms"], 2),
            (vec!["--trace", TRACE, "--highlight", "pool"], 3),
            (vec!["--limit", "1"], 1),
        ] {
            let (text, _) = ask(&with(&args), 0);
            assert_eq!(text.lines().count(), want, "{args:?}: {text}");
        }
        let (text, _) = ask(&with(&["--format", "ndjson"]), 0);
        let signals: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["signal"].to_string())
            .collect();
        assert_eq!(signals, ["\"span\"", "\"span\"", "\"log\""]);
        ask(&with(&["nobody-said-this"]), 3);
        let (_, complaint) = ask(&with(&["level>=eror"]), 2);
        assert!(complaint.contains("did you mean error?"), "{complaint}");
        assert!(complaint.contains("       ^^^^"), "{complaint}");

        let (text, _) = ask(&["logs", "level>=error", "pool", "service=pay*"], 0);
        assert_eq!(text.lines().count(), 1, "{text}");
        ask(&["logs", "level>=error -pool"], 3);
        ask(&["logs", "level>="], 2);
        let (text, _) = ask(&["trace", "--search", "status=error duration>=1s"], 0);
        assert!(text.contains(TRACE) && text.contains("2 spans  payment POST /pay ✖ 1"), "{text}");
        ask(&["trace", "--search", "status=ok"], 3);
        let (text, _) = ask(&["trace", TRACE], 0);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("2 spans  1 log record"), "{text}");
        assert!(lines[2].contains("  payment charge"), "{text}");
        assert!(lines[3].contains("    E payment pool timeout"), "beneath its span: {text}");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_made_anew_without_gap_or_repeat() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]).await;
    let url = server.http.clone();
    let address = url.trim_start_matches("http://").to_owned();
    send(&server, "/v1/logs", &log("a", 9, "first")).await;
    let mut tail = Tail::start(&url, &["--since", "5m", "--format", "ndjson"]);
    let (mut tail, first) = tokio::task::spawn_blocking(move || {
        let first = tail.next();
        (tail, first)
    })
    .await
    .unwrap();
    assert!(first.contains("\"first\""), "{first}");
    server.kill();
    // On the same port: the tail finds it again.
    let server = Server::start_with(skopos(), &address, data.path(), &[]).await;
    send(&server, "/v1/logs", &log("a", 9, "second")).await;
    let second = tokio::task::spawn_blocking(move || tail.next()).await.unwrap();
    assert!(second.contains("\"second\""), "the first is not shown again: {second}");
}
