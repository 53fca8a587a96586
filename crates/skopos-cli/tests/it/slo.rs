//! `skopos slo`: files without a server, and everything else against one.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock};

use crate::harness::{Server, repository_file, run};

const OBJECTIVE: &str = r#"
slo: shop-availability
service: shop
owner: team-shop
sli:
  bad: http_requests_total{job="shop",status_code=~"5.."}
  total: http_requests_total{job="shop"}
target: 99%
window: 30d
policy: {override: [ada]}
runbook: runbooks/shop.md
"#;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn files_are_checked_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good.yml", OBJECTIVE);
    let output = run(&["slo", "check", &good]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("99 % of 30d  432 min of budget"), "{}", out(&output));
    assert!(out(&output).ends_with("\n1 objective, all good\n"), "{}", out(&output));
    for path in ["examples/guide/slo.yml", "examples/shop/slo.yml"] {
        let path = repository_file(path).display().to_string();
        assert_eq!(run(&["slo", "check", &path]).status.code(), Some(0), "{path}");
    }

    // Nothing is not good.
    let empty = write(folder.path(), "empty.yml", "# later\n");
    let nobody = folder.path().join("nobody");
    std::fs::create_dir(&nobody).unwrap();
    let nobody = nobody.display().to_string();
    for (path, says) in [(&empty, "no objective was found in"), (&nobody, "there is no *.yml")] {
        for verb in ["check", "generate", "import", "export"] {
            let output = run(&["slo", verb, path]);
            assert_eq!((output.status.code(), out(&output).as_str()), (Some(3), ""), "{verb}");
            assert!(err(&output).contains(says), "{verb}: {}", err(&output));
        }
    }
    // The configuration's own files are looked into as well.
    let config = write(folder.path(), "skopos.yaml", &format!("rules: {{slos: [{good:?}]}}\n"));
    assert_eq!(run(&["config", "check", &config]).status.code(), Some(0));
    let wrong = write(folder.path(), "wrong.yml", &OBJECTIVE.replace("99%", "100%"));
    let config = write(folder.path(), "skopos.yaml", &format!("rules: {{slos: [{wrong:?}]}}\n"));
    let output = run(&["config", "check", &config]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    assert!(err(&output).contains(&format!("{wrong}:8:9: a target of 100 %")), "{}", err(&output));

    let text = OBJECTIVE.replace("99%", "100%").replace("owner: team-shop\n", "");
    let bad = write(folder.path(), "bad.yml", &text);
    let output = run(&["slo", "check", &bad]);
    assert_eq!(output.status.code(), Some(4));
    let text = out(&output);
    assert!(text.contains(&format!("{bad}:7:9: error: a target of 100 %")), "{text}");
    assert!(text.contains("owner") && text.contains("2 mistakes"), "{text}");
    let output = run(&["slo", "check", &bad, "--format", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["errors"].as_array().unwrap().len(), 2, "{found:#}");
    // What is rarely meant is told, and no mistake.
    let short = OBJECTIVE.replace("30d", "1h").replace("team-shop", "nobody yet");
    let short = write(folder.path(), "short.yml", &short);
    let output = run(&["slo", "check", &short]);
    assert_eq!(output.status.code(), Some(0));
    for want in [
        &format!("{short}:2: warning: shop-availability: no burn rate pages"),
        "the owner is \"nobody yet\"",
        "1 objective, without mistakes; 2 warnings",
    ] {
        assert!(out(&output).contains(want), "{want}: {}", out(&output));
    }
    let output = run(&["slo", "check", &short, "--format", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["warnings"].as_array().unwrap().len(), 2, "{found:#}");
    // Nothing is written over what was read.
    for verb in ["generate", "import", "export"] {
        let output = run(&["slo", verb, &good, "--output", &good]);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        assert!(err(&output).contains("give another name"), "{verb}: {}", err(&output));
    }
    let only = folder.path().join("only");
    std::fs::create_dir(&only).unwrap();
    let only_file = write(&only, "a.yml", OBJECTIVE);
    let only = only.display().to_string();
    let output = run(&["slo", "import", &only, "--output", &only_file]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert_eq!(std::fs::read_to_string(&good).unwrap(), OBJECTIVE);
    // What cannot be read is not compiled either.
    let output = run(&["slo", "generate", &bad]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(4), ""));
    assert!(err(&output).contains("a target of 100 %"), "{}", err(&output));
}

#[test]
fn objectives_become_rules_and_openslo_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let alerting = "crates/skopos-alerting/corpus/slo_file";
    let promtool = std::env::var("SKOPOS_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let has_promtool = Command::new(&promtool).arg("--version").output().is_ok();
    if !has_promtool {
        println!("skipped: {promtool} is not installed");
    }
    for path in [
        "examples/guide/slo.yml",
        "examples/shop/slo.yml",
        &format!("{alerting}/native.yml"),
        &format!("{alerting}/openslo.yml"),
    ] {
        let file = repository_file(path).display().to_string();
        let rules = folder.path().join("rules.yml").display().to_string();
        let output = run(&["slo", "generate", &file, "--output", &rules]);
        assert_eq!(output.status.code(), Some(0), "{path}: {}", err(&output));
        if has_promtool {
            let checked =
                Command::new(&promtool).args(["check", "rules", &rules]).output().unwrap();
            assert!(checked.status.success(), "{path}: {}{}", out(&checked), err(&checked));
        }
        let native = run(&["slo", "import", &file]);
        assert_eq!(native.status.code(), Some(0), "{path}: {}", err(&native));
        let native = write(folder.path(), "native.yml", &out(&native));
        // Written twice it is the same, and its rules are those of the original.
        assert_eq!(
            out(&run(&["slo", "import", &native])),
            std::fs::read_to_string(&native).unwrap()
        );
        let again = out(&run(&["slo", "generate", &native]));
        assert_eq!(again, std::fs::read_to_string(&rules).unwrap(), "{path}");
        let exported = run(&["slo", "export", &file]);
        assert_eq!(exported.status.code(), Some(0), "{path}: {}", err(&exported));
        assert!(out(&exported).contains("apiVersion: openslo/v1"), "{}", out(&exported));
        let exported = write(folder.path(), "openslo.yml", &out(&exported));
        let checked = run(&["slo", "check", &exported]);
        assert_eq!(checked.status.code(), Some(0), "{path}: {}", out(&checked));
        let back = run(&["slo", "import", &exported]);
        assert_eq!(out(&back), std::fs::read_to_string(&native).unwrap(), "{path}");
    }
}

/// Counters of a shop: 1,000 requests, of which so many failed, over the last five minutes.
fn counters(failed: i64) -> Value {
    let now = SystemClock::new().now().as_nanos();
    let points = |code: &str, count: i64| -> Vec<Value> {
        (0..=20)
            .map(|step| {
                let at = now - (20 - step) * 15_000_000_000;
                json!({
                    "timeUnixNano": at.to_string(), "asInt": (count * step / 20).to_string(),
                    "startTimeUnixNano": (now - 400_000_000_000).to_string(),
                    "attributes": [{"key": "status_code", "value": {"stringValue": code}}],
                })
            })
            .collect()
    };
    let all: Vec<Value> =
        points("200", 1_000 - failed).into_iter().chain(points("500", failed)).collect();
    let sum = json!({"dataPoints": all, "aggregationTemporality": 2, "isMonotonic": true});
    let resource =
        json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
        {"name": "http_requests_total", "sum": sum}
    ]}]}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_decide_and_people_overrule_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "slo.yml", OBJECTIVE);
    let data = tempfile::tempdir().unwrap();
    let more = ["--slo", &file, "--evaluation-interval", "1s"];
    let server = Server::start(data.path(), &more).await;
    let slo = |args: &[&str]| {
        let mut all = vec!["slo"];
        all.extend(args);
        all.extend(["--server", &server.http]);
        run(&all)
    };
    let gate = ["gate", "--service", "shop"];
    let output = slo(&gate);
    assert_eq!(output.status.code(), Some(1), "no data is not go: {}", out(&output));
    assert!(out(&output).contains("no data is not go"), "{}", out(&output));
    let output = slo(&["init", "--service", "shop"]);
    assert_eq!(output.status.code(), Some(3), "nothing was sent yet");
    let noted = ["--from", "now-1h", "--reason", "x", "--by", "a"];
    for (args, says) in [
        (&["status", "nosuch"][..], "there is no objective \"nosuch\""),
        (&["status", "nosuch", "--format", "json"], "there is no objective \"nosuch\""),
        (&["status", "--service", "nosuch"], "no objective is about service \"nosuch\""),
        (&["review", "nosuch"], "there is no objective \"nosuch\""),
        (&[&["correct", "nosuch"][..], &noted].concat(), "there is no objective \"nosuch\""),
        (&["correct", "--revoke", "0123456789abcdef"], "0123456789abcdef"),
        (&["correct", "--list"], "there are no corrections"),
        (&["correct", "--list", "--format", "json"], "there are no corrections"),
        (&["annotate", "--list"], "nothing was noted"),
        (&["annotate", "--list", "--format", "json"], "nothing was noted"),
        (&["gate", "--overrides"], "nobody gave leave"),
        (&["gate", "--overrides", "--format", "json"], "nobody gave leave"),
    ] {
        let output = slo(args);
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(says), "{args:?}: {}", err(&output));
    }

    assert!(server.post("/v1/metrics", &counters(100)).await);
    let mut text = String::new();
    for _ in 0..200 {
        text = out(&slo(&["status"]));
        if text.contains("critical") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(text.contains("critical  shop-availability  99 % of 30d"), "{text}");
    assert!(text.contains("the budget is exhausted"), "{text}");
    let output = slo(&gate);
    assert_eq!(output.status.code(), Some(2), "{}", out(&output));
    assert!(out(&output).starts_with("shop: freeze. shop-availability: "), "{}", out(&output));
    let output = slo(&["gate", "--service", "shop", "--format", "json"]);
    let decision: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&decision["verdict"], output.status.code()), (&json!("freeze"), Some(2)));

    let at = ["--at", "now-5m", "--by", "ci"];
    let output = slo(&[&["annotate", "--service", "shop", "v2"][..], &at].concat());
    assert!(out(&output).starts_with("noted: deploy \"v2\" of shop at "), "{}", err(&output));
    assert!(out(&slo(&["annotate", "--list"])).contains("ci  v2"));
    let output = slo(&["annotate", "--service", "shopp", "v3", "--by", "ci"]);
    assert!(err(&output).contains("no objective is about service \"shopp\""), "{}", err(&output));
    let future = ["correct", "shop-availability", "--from", "now+1h", "--reason", "x", "--by", "a"];
    let output = slo(&future);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("must lie after --from"), "{}", err(&output));
    let text = out(&slo(&["status"]));
    assert!(text.contains("Deploy \"v2\" burned "), "{text}");
    let text = out(&slo(&["status", "shop-availability"]));
    for want in ["team-shop", "SLOBurnFast", "exhausted", "burns", "Deploy \"v2\"", "shop: freeze"]
    {
        assert!(text.to_lowercase().contains(&want.to_lowercase()), "{want}: {text}");
    }
    let output = slo(&["review"]);
    assert!(out(&output).contains("insufficient data"), "{}", out(&output));

    let overrule = |by: &'static str| {
        slo(&["gate", "--service", "shop", "--override", "the fix", "--by", by, "--for", "10m"])
    };
    let output = overrule("intern");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("the policy names ada"), "{}", err(&output));
    let output = overrule("ada");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("by leave of ada"), "{}", out(&output));
    assert!(out(&slo(&["gate", "--overrides"])).contains("ada  the fix"));

    let reason = ["--reason", "load test", "--by", "ada"];
    let correct = ["correct", "shop-availability", "--from", "now-1h"];
    let output = slo(&[&correct[..], &reason].concat());
    let said = out(&output);
    assert!(said.contains("is taken out of the account"), "{said}{}", err(&output));
    let text = out(&slo(&["status", "shop-availability"]));
    assert!(text.contains("load test (ada)"), "{text}");
    let id = said.rsplit("correction ").next().unwrap().trim_end_matches([')', '\n']).to_owned();
    assert!(out(&slo(&["correct", "--revoke", &id])).contains("counts again"));
    assert!(out(&slo(&["correct", "--list"])).contains("taken back"));

    let begun = folder.path().join("begun.yml").display().to_string();
    let output = slo(&["init", "--service", "shop", "--owner", "team-shop", "--output", &begun]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(run(&["slo", "check", &begun]).status.code(), Some(0));
    assert_eq!(slo(&["init", "--service", "shop", "--output", &begun]).status.code(), Some(1));
}

#[test]
fn nobody_to_ask_is_not_go() {
    let output = run(&["slo", "gate", "--service", "shop", "--server", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("is `skopos serve` running?"), "{}", err(&output));
    assert_eq!(run(&["slo", "gate"]).status.code(), Some(2), "which service?");
    let nowhere = ["--server", "http://127.0.0.1:1", "--format", "json"];
    let output = run(&[&["slo", "gate", "--service", "shop"][..], &nowhere].concat());
    assert_eq!(output.status.code(), Some(1));
    let decision: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&decision["verdict"], &decision["exit_code"]), (&json!("caution"), &json!(1)));
    assert!(decision["sentence"].as_str().unwrap().contains("skopos serve"), "{decision:#}");
}

/// A proxy that knows no such page, or another program at that address: not an objective that is not there.
#[test]
fn a_page_that_somebody_else_does_not_have_is_a_failure() {
    for (body, code) in [
        ("<html>404 page not found</html>", 1),
        (r#"{"message": "no Route matched with those values"}"#, 1),
        (r#"{"error_code": "not_found", "message": "no such path; try another"}"#, 1),
        (r#"{"error_code": "not_found", "message": "there is no objective \"shop\""}"#, 3),
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let proxy = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(socket.read(&mut request).unwrap() > 0);
            let length = body.len();
            let head = "HTTP/1.1 404 Not Found\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
            socket.write_all(answer.as_bytes()).unwrap();
        });
        let output = run(&["slo", "status", "shop", "--server", &address]);
        proxy.join().unwrap();
        assert_eq!(output.status.code(), Some(code), "{body}: {}", err(&output));
        assert!(!err(&output).is_empty());
    }
}
