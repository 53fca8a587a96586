//! `skopos notify`: files are checked as promised by exit code and place; a test reaches a receiver.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Server, run, skopos};

fn config(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("alertmanager.yml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_file_is_checked_for_mistakes_and_for_what_is_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let telegram = "route: {receiver: a, routes: [{receiver: b}]}\nreceivers:\n- name: a\n- name: b\n  telegram_configs: [{bot_token: hunter2, chat_id: 1}]\n";
    let path = config(folder.path(), telegram);
    let path = path.to_str().unwrap();
    let output = run(&["notify", "check", path]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let warning = "alertmanager.yml:5: warning: telegram of receiver \"b\": Skopos does not deliver to telegram; a route leads there";
    assert!(text.contains(warning), "{text}");
    assert!(text.contains("ok: 2 receivers, 2 routes"), "{text}");

    let output = run(&["notify", "check", path, "--strict", "--format", "json"]);
    assert_eq!(output.status.code(), Some(4));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["warnings"][0]["reached"], true);
    assert!(!answer.to_string().contains("hunter2"));

    let unreached = telegram.replace("routes: [{receiver: b}]", "group_wait: 1s");
    config(folder.path(), &unreached);
    assert_eq!(run(&["notify", "check", path, "--strict"]).status.code(), Some(0));

    for (text, want) in [
        ("route: {receivr: a}\n", "alertmanager.yml:1:9: error: unknown key \"receivr\""),
        (
            "route: {receiver: a, routes: [{receiver: a, matchers: ['x=~\"(\"']}]}\nreceivers:\n- name: a\n",
            "alertmanager.yml:1:",
        ),
        ("templates: [t.tmpl]\nroute: {receiver: a}\nreceivers:\n- name: a\n", "t.tmpl:1:"),
    ] {
        config(folder.path(), text);
        std::fs::write(folder.path().join("t.tmpl"), "{{ end }}").unwrap();
        let output = run(&["notify", "check", path]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains(want), "{said}");
    }
    assert_eq!(run(&["notify", "check", "no-such-file.yml"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_reaches_the_receiver_and_reports_its_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                // The payload's last but one key: what follows is short and comes along.
                while !seen.windows(15).any(|part| part == b"truncatedAlerts") {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(length) => seen.extend_from_slice(&buffer[..length]),
                    }
                }
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                    .await;
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "route: {{receiver: none, routes: [{{matchers: ['severity=\"P1\"'], receiver: good}}]}}\nreceivers:\n- name: none\n- name: good\n  webhook_configs: [{{url: '{url}'}}]\n- name: bad\n  webhook_configs: [{{url: 'http://127.0.0.1:9/hunter2'}}]\n"
    );
    let path = config(folder.path(), &text);
    let server =
        Server::start(folder.path(), &["--alertmanager-config", path.to_str().unwrap()]).await;
    let ask = |args: &'static [&'static str]| {
        let server = server.http.clone();
        tokio::task::spawn_blocking(move || {
            let output =
                skopos().args(["notify", "test", "--server", &server]).args(args).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            (output.status.code(), text)
        })
    };
    let (code, text) = ask(&["--severity", "P1"]).await.unwrap();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("good") && text.contains("webhook[0]"), "{text}");
    assert_eq!(text.matches("delivered").count(), 2, "firing and resolved: {text}");
    let (code, text) = ask(&["--receiver", "bad"]).await.unwrap();
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("connection refused") && !text.contains("hunter2"), "{text}");
    let (code, text) = ask(&["--severity", "P3"]).await.unwrap();
    assert_eq!(code, Some(3), "{text}");
    let (code, text) = ask(&["--receiver", "goood"]).await.unwrap();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("did you mean \"good\""), "{text}");
}

/// A receiver that refuses everything.
async fn refuser() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let answer =
                    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(answer).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_and_discarded_and_alerts_are_reviewed() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yml");
    let rule = "groups:\n- name: g\n  interval: 100ms\n  rules:\n  - {alert: Full, expr: queue_depth > 5, labels: {severity: critical}}\n  - {alert: Never, expr: queue_depth > 500}\n";
    std::fs::write(&rules, rule).unwrap();
    let (url, rules) = (refuser().await, rules.display().to_string());
    let server = Server::start(folder.path(), &["--rules", &rules, "--webhook", &url]).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let body = serde_json::json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "queue_depth", "gauge": {"dataPoints": [
            {"timeUnixNano": now.as_nanos().to_string(), "asDouble": 9.0}]}}
    ]}]}]});
    assert!(server.post("/v1/metrics", &body).await);
    let ask = |args: Vec<String>| {
        let server = server.http.clone();
        async move {
            tokio::task::spawn_blocking(move || {
                let output = skopos().args(args).args(["--server", &server]).output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr);
                (output.status.code(), text)
            })
            .await
            .unwrap()
        }
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for attempt in 0.. {
        let (code, text) = ask(words("notify dead list")).await;
        if code == Some(0) {
            assert!(text.contains("webhook[0]") && text.contains("answered 400"), "{text}");
            break;
        }
        assert!(attempt < 600, "no dead letter: {text}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (code, text) = ask(words("status")).await;
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("(webhook[0]) could not be delivered"), "{text}");
    assert!(text.contains("skopos notify dead discard"), "{text}");

    let unknown = "00000000000000000001/00000000000000aa";
    let (code, text) = ask(words(&format!("notify dead discard {unknown} --by ada"))).await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("nothing was discarded") && text.contains(unknown), "{text}");
    assert_eq!(
        ask(words("notify dead discard --by ada")).await.0,
        Some(2),
        "neither keys nor --all"
    );
    let (code, text) = ask(words("notify dead discard --all --by ada")).await;
    assert_eq!((code, text.trim()), (Some(0), "1 discarded"));
    let (_, text) = ask(words("notify log")).await;
    assert!(text.contains("webhook[0]") && text.contains("discarded by ada"), "{text}");

    // The review: one firing, and somebody acted on it.
    let alerts = server.get("/api/v1/skopos/alerts", &[]).await;
    let fingerprint = alerts["alerts"][0]["fingerprint"].as_str().unwrap().to_owned();
    let (code, text) = ask(words(&format!("alerts ack {fingerprint} --by ada"))).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = ask(words("alerts history Full")).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Full ") && text.contains("still"), "{text}");
    assert_eq!(ask(words("alerts history Nothing")).await.0, Some(3), "nothing was active");
    let (code, text) = ask(words("alerts report --format json --all")).await;
    assert_eq!(code, Some(0), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let full = &report["data"]["alerts"][0];
    assert_eq!(
        (&full["name"], &full["severity"]),
        (&"Full".into(), &"critical".into()),
        "{report}"
    );
    assert_eq!((&full["firings"], &full["acknowledged"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(full["verdict"], "useful");
    assert_eq!(report["data"]["alerts"][1]["verdict"], "silent", "{report}");
    let (_, text) = ask(words("alerts report --since 1d")).await;
    assert!(text.contains("1 (100 %)") && text.contains("1 rule did not fire"), "{text}");
    assert_eq!(ask(words("alerts report --since 2y")).await.0, Some(1), "more than is answered");
    server.kill();
}
