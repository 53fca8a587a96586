//! `skopos rules check` and `skopos runbook`, as pipelines use them.

use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{repository_file, run, skopos};

fn text(args: &[&str], code: i32) -> String {
    let output = run(args);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stdout}{stderr}");
    stdout + &stderr
}

fn json(args: &[&str], code: i32) -> Value {
    let text = text(args, code);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
}

fn guide(name: &str) -> String {
    repository_file(&format!("examples/guide/{name}")).to_str().unwrap().to_owned()
}

fn codes(report: &Value, alert: &str) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter();
    let of_alert = all.filter(|f| f["rule"] == alert && f["severity"] != "info");
    of_alert.map(|f| f["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_guides_rules_pass_and_its_bad_example_does_not() {
    let report = json(&["rules", "check", &guide("rules.yml"), "--format", "json"], 0);
    assert_eq!((&report["errors"], &report["warnings"]), (&0.into(), &0.into()), "{report:#}");
    let unverified = |report: &Value| {
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|f| f["code"] == "runbook/unverified")
            .count()
    };
    assert_eq!(unverified(&report), 5, "addresses are not fetched");

    let report = json(&["rules", "check", &guide("anti-examples.yml"), "--format", "json"], 4);
    let found = codes(&report, "HighCPU");
    for code in ["alerts/cause", "promql/counter", "runbook/missing"] {
        assert!(found.iter().any(|f| f == code), "{code} of {found:?}");
    }
    assert!(codes(&report, "HighErrorRate").is_empty());

    // The pages that the addresses end in, their owner and their escalation.
    let (rules, pages, owners) = (guide("rules.yml"), guide("runbooks"), guide("owners.yml"));
    let args = ["rules", "check", &rules, "--runbooks", &pages, "--owners", &owners];
    let strict = [&args[..], &["--deny", "warnings", "--format", "json"]].concat();
    let report = json(&strict, 0);
    let notes: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["code"].as_str().unwrap())
        .collect();
    assert_eq!(notes, ["slo/page"], "the guide has no burn-rate alert on latency");
    assert!(text(&args, 0).contains("5 alerting rules"));
}

#[test]
fn findings_have_a_caret_a_hint_and_an_explanation() {
    let shown = text(&["rules", "check", &guide("anti-examples.yml")], 4);
    let caret = shown.lines().skip_while(|l| !l.contains("error[promql/counter]")).nth(2);
    assert!(caret.is_some_and(|line| line.ends_with("^".repeat(22).as_str())), "{shown}");
    assert!(shown.contains("= hint: compare its growth"), "{shown}");
    assert!(shown.lines().last().unwrap().contains("1 error, "), "{shown}");

    assert!(
        text(&["rules", "check", "--explain", "promql/counter"], 0)
            .starts_with("# promql/counter: ")
    );
    assert!(text(&["rules", "check", "--explain", "list"], 0).lines().count() > 30);
    let wrong = text(&["rules", "check", "--explain", "promql/countre"], 1);
    assert!(wrong.contains("promql/counter"), "{wrong}");
    text(&["rules", "check", &guide("rules.yml"), "--only", "nope"], 2);
    text(&["rules", "check"], 2);
}

#[test]
fn warnings_fail_when_they_are_denied_and_comments_hold_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    let rule = "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n    for: 1m";
    std::fs::write(&path, format!("{rule}\n")).unwrap();
    let path = path.to_str().unwrap();
    let only = ["rules", "check", path, "--only", "rule/for"];
    assert!(text(&only, 0).contains("0 errors, 1 warning"));
    text(&[&only[..], &["--deny", "warnings"]].concat(), 4);
    text(&[&only[..], &["--deny", "warnings", "--shortest-for", "30s"]].concat(), 0);
    std::fs::write(path, format!("{rule} # skopos:ignore rule/for it must be fast\n")).unwrap();
    assert!(text(&[&only[..], &["--deny", "warnings"]].concat(), 0).contains("1 suppressed"));
    let sarif = json(&["rules", "check", path, "--format", "sarif"], 0);
    assert_eq!(sarif["version"], "2.1.0");
    let held =
        sarif["runs"][0]["results"].as_array().unwrap().iter().find(|r| r["ruleId"] == "rule/for");
    assert_eq!(held.unwrap()["suppressions"][0]["justification"], "it must be fast");
    text(&["status", "--format", "sarif"], 2);

    let routes = folder.path().join("alertmanager.yml");
    let (routes, file) = (routes.to_str().unwrap(), &routes);
    let args =
        ["rules", "check", path, "--only", "severity/route", "--alertmanager-config", routes];
    std::fs::write(file, "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
    assert!(text(&args, 4).contains("nobody is told"));
    std::fs::write(file, "route: {receiver: none}\nreceivers: [{nam: none}]\n").unwrap();
    assert!(text(&args, 4).contains("alertmanager.yml:2:"), "a wrong configuration is told");
}

/// A wiki: pages that are there, that are gone, that are Markdown, and one that only answers GET.
async fn wiki() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let read = socket.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let is_head = request.starts_with("HEAD ");
                let path = request.split(' ').nth(1).unwrap_or_default();
                let (status, kind, body) = match path {
                    "/there" => ("200 OK", "text/html", "<p>page</p>"),
                    "/page.md" => ("200 OK", "text/markdown", "# A\n\n## Impact\n\nnone at all\n"),
                    "/get" if is_head => ("405 Method Not Allowed", "text/plain", ""),
                    "/get" => ("200 OK", "text/html", "<p>page</p>"),
                    "/broken" => ("500 Internal Server Error", "text/plain", ""),
                    _ => ("404 Not Found", "text/plain", ""),
                };
                let sent = if is_head { "" } else { body };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{sent}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_runbooks_are_fetched_when_asked_for() {
    let wiki = wiki().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    let mut rules = String::from("groups:\n- name: g\n  rules:\n");
    let names = ["there", "page.md", "get", "broken", "gone"];
    for name in names {
        rules += &format!(
            "  - alert: {name}\n    expr: up == 0\n    annotations: {{runbook: '{wiki}/{name}'}}\n"
        );
    }
    rules += "  - alert: nobody\n    expr: up == 0\n    annotations: {runbook: 'http://127.0.0.1:9/x'}\n";
    std::fs::write(&path, rules).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let verdicts = |args: Vec<String>, code: i32| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let report = json(&args, code);
        let all = report["findings"].as_array().unwrap().iter();
        all.map(|f| {
            format!(
                "{} {} {}",
                f["rule"].as_str().unwrap(),
                f["severity"].as_str().unwrap(),
                f["code"].as_str().unwrap()
            )
        })
        .collect::<Vec<_>>()
    };
    let base: Vec<String> =
        ["rules", "check", &path, "--only", "runbook/*", "--format", "json"].map(Into::into).into();
    let (offline, online) = tokio::task::spawn_blocking(move || {
        let offline = verdicts(base.clone(), 0);
        let online = verdicts([base, vec!["--online".into()]].concat(), 4);
        (offline, online)
    })
    .await
    .unwrap();
    assert!(
        offline.len() == 6 && offline.iter().all(|v| v.ends_with("info runbook/unverified")),
        "{offline:?}"
    );
    let wrong: Vec<&str> =
        online.iter().map(String::as_str).filter(|v| !v.starts_with("page.md")).collect();
    assert_eq!(
        wrong,
        [
            "broken warning runbook/unverified",
            "gone error runbook/not-found",
            "nobody warning runbook/unverified"
        ]
    );
    assert!(
        online.iter().filter(|v| v.starts_with("page.md warning runbook/incomplete")).count() == 4,
        "{online:?}"
    );
}

#[test]
fn a_runbook_is_begun_checked_and_finished() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("runbooks");
    let out = out.to_str().unwrap();
    let rules = guide("rules.yml");
    let new = ["runbook", "new", "HighErrorRate", "--rules", &rules, "--out", out];
    assert!(text(&new, 0).contains("high-error-rate.md"));
    assert!(text(&new, 1).contains("--force"), "what is there is not overwritten");
    let page = Path::new(out).join("high-error-rate.md");
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(written.contains("for 5m") && written.contains("status_code=~\"5..\""), "{written}");
    let report = json(&["runbook", "check", out, "--format", "json"], 4);
    assert_eq!(
        report["findings"].as_array().unwrap().len(),
        6,
        "five questions and an owner: {report:#}"
    );

    std::fs::copy(guide("runbooks/high-error-rate.md"), &page).unwrap();
    let owners = guide("owners.yml");
    assert!(text(&["runbook", "check", out, "--owners", &owners], 0).contains("1 page: 1 good"));
    text(&["runbook", "new", "Nope", "--rules", &rules, "--out", out], 3);
    let printed = text(&["runbook", "new", "Nope", "--out", "-"], 0);
    assert!(printed.starts_with("# Nope\n"), "{printed}");
}

#[test]
fn the_link_that_a_new_runbook_suggests_leads_from_its_rule_file() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    let file = rules.join("shop.yml");
    let rule = |link: &str| {
        format!(
            "groups:\n- name: g\n  rules:\n  - alert: QueueFull\n    expr: queue_depth > 5\n    for: 5m\n    annotations: {{runbook: '{link}'}}\n"
        )
    };
    std::fs::write(&file, rule("")).unwrap();
    let new = |out: &str| {
        let output = skopos()
            .current_dir(folder.path())
            .args(["runbook", "new", "QueueFull", "--rules", "rules", "--out", out])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for (out, link) in [
        ("pages", "../pages/queue-full.md"),
        ("rules/pages", "pages/queue-full.md"),
        ("rules", "queue-full.md"),
    ] {
        let said = new(out);
        assert!(said.contains(&format!("annotations: {{ runbook: {link} }}")), "{said}");
        assert!(said.contains(&format!("runbook check {out}/queue-full.md")), "{said}");
        // What was suggested is what the check finds.
        std::fs::write(&file, rule(link)).unwrap();
        let output = skopos()
            .current_dir(folder.path())
            .args(["rules", "check", "rules/shop.yml"])
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!found.contains("runbook/not-found"), "{found}");
        assert!(found.contains("runbook/incomplete"), "the page is found and read: {found}");
    }
}
