//! The commands around a server: what it says of itself, probes, the UI's addresses, completions,
//! manual pages.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Server, run, skopos};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must end with `code`; its standard output.
fn expect(args: &[&str], code: i32) -> String {
    check(args, run(args), code).0
}

fn check(args: &[&str], output: Output, code: i32) -> (String, String) {
    let (out, complaint) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{complaint}");
    (out, complaint)
}

const RULES: &str = "
groups:
- name: g
  interval: 100ms
  rules:
  - alert: HighErrorRate
    expr: vector(1)
  - alert: Broken
    expr: skopos_store_blocks * on () skopos_store_blocks
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_looked_at_probed_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, RULES).unwrap();
    let server = Server::start(folder.path(), &["--rules", rules.to_str().unwrap()]).await;
    let url = server.http.clone();
    tokio::task::spawn_blocking(move || {
        let server = ["--server", &url];
        // Until the own metrics that break a rule were scraped, all is well.
        let started = Instant::now();
        let (status, code) = loop {
            let output = run(&[&["status", "--format", "json"][..], &server].concat());
            let status: Value = serde_json::from_slice(&output.stdout).unwrap();
            if status["data"]["state"] != "ok" || started.elapsed() > Duration::from_secs(30) {
                break (status, output.status.code());
            }
            assert_eq!(output.status.code(), Some(0), "{status}");
        };
        assert_eq!(code, Some(4), "{status}");
        let screen = expect(&[&["status"][..], &server].concat(), 4);
        for want in [
            "✖ unhealthy",
            "2 loaded · 1 firing · 0 pending · 1 failing",
            "✖ error  rule Broken cannot be evaluated",
            "      → ",
        ] {
            assert!(screen.contains(want), "{want:?} in\n{screen}");
        }
        assert!(screen.contains(&url), "{screen}");

        expect(&["health", &url], 0);
        expect(&["health", &format!("{url}/health/live")], 0);
        expect(&["health", &format!("{url}/no/such/probe")], 1);
        expect(&["health", "http://127.0.0.1:1"], 1);

        let trace = "5b8efff798038103d269b633813fc60c";
        for (target, path) in [
            (&[][..], "/".to_owned()),
            (&[trace], format!("/traces/{trace}")),
            (&["Broken"], "/alerts/Broken".to_owned()),
            (&["--logs", "level>=error"], "/logs?q=level%3E%3Derror".to_owned()),
        ] {
            let args = [&["open", "--print-url"], target, &server].concat();
            assert_eq!(expect(&args, 0), format!("{url}{path}\n"));
        }
        // One that fires: its labels' fingerprint and when it began.
        let args = [&["open", "--print-url", "HighErrorRate"][..], &server].concat();
        let opened = expect(&args, 0);
        let place = opened.trim_end().strip_prefix(&format!("{url}/alerts/HighErrorRate/"));
        let (fingerprint, start) = place.and_then(|p| p.split_once('/')).expect(&opened);
        assert_eq!(fingerprint, fnv1a(&["alertname", "HighErrorRate"]), "{opened}");
        assert!(start.parse::<i64>().unwrap() > 1_700_000_000_000, "{opened}");
        let args = [&["open", "--print-url", "HighErorRate"][..], &server].concat();
        let (_, complaint) = check(&args, run(&args), 3);
        assert!(complaint.contains("there are HighErrorRate, Broken"), "{complaint}");

        let tools = tempfile::tempdir().unwrap();
        let seen = tools.path().join("seen");
        script(&tools.path().join("xdg-open"), &format!("echo \"$1\" > {}", seen.display()));
        let mut command = skopos();
        command.args(["open", trace]).args(server);
        command.env("PATH", format!("{}:/usr/bin:/bin", tools.path().display()));
        check(&["open"], command.output().unwrap(), 0);
        if cfg!(target_os = "linux") {
            let opened = std::fs::read_to_string(&seen).unwrap();
            assert_eq!(opened, format!("{url}/traces/{trace}\n"));
        }
    })
    .await
    .unwrap();
}

/// Alertmanager's fingerprint, as the UI computes it.
fn fnv1a(texts: &[&str]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in texts.iter().flat_map(|text| text.bytes().chain([0xff])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// An executable shell script.
fn script(path: &Path, body: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let help = expect(&["--help"], 0);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|word| *word != "help" && help.contains(&format!("\n  {word} ")))
        .collect();
    assert!(commands.contains(&"serve") && commands.contains(&"status"), "{commands:?}");

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = expect(&["completions", shell], 0);
        for command in &commands {
            assert!(script.contains(command), "{command} for {shell}");
        }
    }
    expect(&["completions", "csh"], 2);

    assert!(expect(&["man"], 0).contains(".TH skopos 1"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    expect(&["man", "--out", out.to_str().unwrap()], 0);
    for command in &commands {
        let page = std::fs::read_to_string(out.join(format!("skopos-{command}.1")));
        assert!(page.unwrap().contains(".SH OPTIONS"), "{command}");
    }
    assert!(out.join("skopos.1").exists() && out.join("skopos-rules-check.1").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_is_told_when_the_server_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = skopos();
    command.env("NOTIFY_SOCKET", &path);
    let server = Server::start_with(command, "127.0.0.1:0", folder.path(), &[]).await;
    let mut bytes = [0; 64];
    let len = socket.recv(&mut bytes).unwrap();
    assert!(bytes[..len].starts_with(b"READY=1\n"));
    drop(server);
}
