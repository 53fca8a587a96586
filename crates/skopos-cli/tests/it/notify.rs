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
