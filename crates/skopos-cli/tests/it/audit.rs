//! `skopos audit`, as people and pipelines use it.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{Server, repository_file, skopos};

fn audit(folder: &Path, more: &[&str]) -> Output {
    let mut command = skopos();
    command.args(["audit", "--no-cache"]).arg(folder).args(more);
    command.output().expect("the binary starts")
}

fn report(folder: &Path, more: &[&str], code: i32) -> Value {
    let output = audit(folder, &[more, &["--format", "json"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{more:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

/// Rules with findings.
fn rules(report: &Value) -> Vec<&str> {
    let all = report["findings"].as_array().unwrap().iter();
    let mut rules: Vec<&str> =
        all.filter(|f| f["verdict"] == "finding").map(|f| f["rule"].as_str().unwrap()).collect();
    rules.dedup();
    rules
}

fn blind() -> PathBuf {
    repository_file("examples/blind")
}

#[test]
fn the_guides_anti_patterns_are_found_in_one_small_service() {
    let report = report(&blind(), &[], 1);
    assert_eq!(report["version"], 1);
    let found = rules(&report);
    for rule in [
        "LOG002", "LOG003", "LOG005", "LOG007", "LOG008", "LOG010", "LOG011", "SEC001", "SEC003",
        "SEC004", "MET004", "MET005", "TRC001", "TRC004", "HLT001", "HLT003", "ALR002", "ALR003",
        "ALR004", "ALR010", "LIF004",
    ] {
        assert!(found.contains(&rule), "{rule} is not found: {found:?}");
    }
    let service = &report["services"][0];
    assert_eq!((&service["kind"], &service["score"]["grade"]), (&"service".into(), &"F".into()));
    for finding in report["findings"].as_array().unwrap() {
        for key in ["rule", "severity", "path", "line", "service", "verdict", "message"] {
            assert!(!finding[key].is_null() || key == "service", "{key}: {finding}");
        }
    }

    let text = audit(&blind(), &[]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("    user_id") || text.contains("\"user_id\""), "code frames: {text}");
    assert!(text.contains("mend next: ") && text.contains("--fix does it"), "{text}");
    assert!(!text.contains('\x1b'), "no colours in a pipe");
    let coloured = audit(&blind(), &["--color", "always"]);
    assert!(String::from_utf8(coloured.stdout).unwrap().contains("\x1b[1;31mcritical[SEC001]"));
}

#[test]
fn every_form_is_written_and_codes_are_kept() {
    for (format, begins) in [
        ("text", "service"),
        ("concise", "Dockerfile:"),
        ("json", "{"),
        ("ndjson", "{\"rule\""),
        ("sarif", "{"),
        ("github", "::"),
        ("gitlab", "["),
        ("markdown", "## skopos audit"),
    ] {
        let output = audit(&blind(), &["--format", format]);
        assert_eq!(output.status.code(), Some(1), "{format}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(begins), "{format}: {text}");
    }
    let code = |more: &[&str]| audit(&blind(), more).status.code();
    assert_eq!(code(&["--exit-zero"]), Some(0));
    assert_eq!(code(&["--select", "MET009"]), Some(0));
    assert_eq!(code(&["--production-check"]), Some(1));
    assert_eq!(code(&["--select", "NOPE"]), Some(2));
    assert_eq!(code(&["--format", "csv"]), Some(2));
    assert_eq!(code(&["--unsafe-fixes"]), Some(2), "only with --fix");
    assert_eq!(audit(Path::new("/nowhere/at/all"), &[]).status.code(), Some(2));
    assert_eq!(code(&["--live", "http://127.0.0.1:9"]), Some(2));
    let explained = audit(&blind(), &["--explain", "SEC004"]);
    assert!(String::from_utf8(explained.stdout).unwrap().starts_with("# SEC004: "));
    let status = skopos().args(["status", "--format", "markdown"]).output().unwrap();
    assert_eq!(status.status.code(), Some(2), "of audit only");
}

#[test]
fn a_release_is_checked_pillar_by_pillar() {
    let report = report(&blind(), &["--production-check"], 1);
    let check = &report["production_check"];
    assert_eq!(check["verdict"], "fail");
    let service = &check["services"][0];
    assert_eq!((&service["verdict"], &service["grade"]), (&json!("fail"), &json!("F")));
    let pillars = service["pillars"].as_array().unwrap();
    let named: Vec<&str> = pillars.iter().map(|p| p["pillar"].as_str().unwrap()).collect();
    assert_eq!(named, ["logs", "metrics", "tracing", "health", "alerting", "safety"]);
    for pillar in pillars {
        let by = pillar["rules"].as_array().unwrap().len();
        assert_eq!(pillar["verdict"] == "fail", by > 0, "{pillar}");
    }
    let text = String::from_utf8(audit(&blind(), &["--production-check"]).stdout).unwrap();
    assert!(
        text.ends_with("production check: FAIL  0 of 1 service passes every pillar\n"),
        "{text}"
    );
    let refused = audit(&blind(), &["--production-check", "--select", "LOG"]);
    assert_eq!(refused.status.code(), Some(2), "a check of two pillars is none");
}

#[test]
fn what_is_not_in_force_and_what_cannot_be_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let app = "from fastapi import FastAPI\napp = FastAPI()\nprint('x')  # skopos-ignore[LOG002]\n";
    std::fs::write(folder.path().join("app.py"), app).unwrap();
    let text = String::from_utf8(audit(folder.path(), &[]).stdout).unwrap();
    let told = "not in force: app.py:3: `skopos-ignore[LOG002]` has no reason: write `skopos-ignore[LOG002]: reason`";
    assert!(text.contains(told), "{text}");
    assert!(text.contains("app.py:3:1: normal[LOG002]"), "{text}");
    let annotated = audit(folder.path(), &["--format", "github"]);
    let annotated = String::from_utf8(annotated.stdout).unwrap();
    assert!(
        annotated.contains("::warning file=app.py,line=3,title=skopos-ignore::"),
        "{annotated}"
    );
    let lines = audit(folder.path(), &["--format", "ndjson"]);
    assert!(String::from_utf8_lossy(&lines.stderr).contains("not in force: app.py:3: "));

    let toml = folder.path().join("skopos-audit.toml");
    std::fs::write(&toml, "[[service]]\nname = 'api'\npath = 'srv/api'\n").unwrap();
    let refused = audit(folder.path(), &[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("skopos-audit.toml: service `api`: there is no folder `srv/api`"),
        "{said}"
    );

    std::fs::remove_file(&toml).unwrap();
    let outside = audit(folder.path(), &["--since", "main"]);
    let said = String::from_utf8_lossy(&outside.stderr);
    assert_eq!(outside.status.code(), Some(2), "{said}");
    assert!(said.contains("is in no work tree of git"), "{said}");
}

#[test]
fn a_baseline_a_file_and_fixes() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["app.py", "Dockerfile", "requirements.txt", "rules.yml", "slo.yml"] {
        std::fs::copy(blind().join(name), folder.path().join(name)).unwrap();
    }
    let known = folder.path().join("known.json");
    let known = known.to_str().unwrap();
    assert_eq!(audit(folder.path(), &["--write-baseline", known]).status.code(), Some(0));
    assert_eq!(audit(folder.path(), &["--baseline", known]).status.code(), Some(0));
    let app = folder.path().join("app.py");
    let more = std::fs::read_to_string(&app).unwrap() + "\n\ndef more():\n    print('new')\n";
    std::fs::write(&app, more).unwrap();
    assert_eq!(rules(&report(folder.path(), &["--baseline", known], 1)), ["LOG002"]);

    let sarif = folder.path().join("audit.sarif");
    let output = audit(folder.path(), &["--format", "sarif", "--output", sarif.to_str().unwrap()]);
    assert!(
        output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("findings")
    );
    let sarif: Value = serde_json::from_slice(&std::fs::read(sarif).unwrap()).unwrap();
    assert_eq!(sarif["version"], "2.1.0");

    let diff = audit(folder.path(), &["--fix", "--diff"]);
    assert_eq!(diff.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&diff.stdout).contains("+CMD [\"uvicorn\", \"app:app\""));
    audit(folder.path(), &["--fix", "--unsafe-fixes"]);
    let after = std::fs::read_to_string(folder.path().join("rules.yml")).unwrap();
    assert!(after.contains("for: 5m"), "{after}");
    let left = report(folder.path(), &[], 1);
    for rule in ["LIF004", "ALR002", "ALR010", "LOG010", "LOG011"] {
        assert!(!rules(&left).contains(&rule), "{rule} was mended");
    }
}

/// A repository of git in which the blind service's handlers are new.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.arg("-C").arg(folder.path());
        let command = command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
        assert!(command.args(args).output().unwrap().status.success(), "git {args:?}");
    };
    git(&["init", "-q"]);
    std::fs::write(folder.path().join("app.py"), "import logging\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    std::fs::copy(blind().join("app.py"), folder.path().join("app.py")).unwrap();
    git(&["add", "."]);
    folder
}

/// Runs a script as a pipeline does, `skopos` on its PATH.
fn script(folder: &Path, line: &str, variables: &[(String, String)]) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_skopos")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = std::process::Command::new("bash");
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", line]);
    command.current_dir(folder).env("PATH", path).env("SKOPOS_AUDIT_CACHE", folder.join(".cache"));
    command.envs(variables.iter().map(|(k, v)| (k, v))).output().unwrap()
}

#[test]
fn the_hooks_for_pre_commit_do_what_they_say() {
    let text = std::fs::read_to_string(repository_file(".pre-commit-hooks.yaml")).unwrap();
    let hooks: Value = serde_saphyr::from_str(&text).unwrap();
    for hook in hooks.as_array().unwrap() {
        let folder = checkout();
        let entry = hook["entry"].as_str().unwrap();
        assert_eq!((&hook["language"], &hook["pass_filenames"]), (&"system".into(), &false.into()));
        let output = script(folder.path(), entry, &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{}: {text}{error}", hook["id"]);
        assert!(text.contains("critical[SEC001]"), "{}: {text}", hook["id"]);
    }
    assert!(hooks.as_array().is_some_and(|hooks| hooks.len() == 2));
}

#[test]
fn the_action_for_github_annotates_summarises_and_fails() {
    let text = std::fs::read_to_string(repository_file("action.yml")).unwrap();
    let action: Value = serde_saphyr::from_str(&text).unwrap();
    let run = |given: &[(&str, &str)]| {
        let folder = checkout();
        let mut output = None;
        for step in action["runs"]["steps"].as_array().unwrap() {
            let mut variables = vec![("GITHUB_STEP_SUMMARY".to_owned(), "summary.md".to_owned())];
            for (name, value) in step["env"].as_object().unwrap() {
                let value = value.as_str().unwrap();
                let value = match value.strip_prefix("${{ inputs.") {
                    Some(input) => {
                        let input = input.trim_end_matches(" }}");
                        let default = action["inputs"][input]["default"].as_str().expect(input);
                        given.iter().find(|(k, _)| *k == input).map_or(default, |(_, v)| v)
                    }
                    None => value,
                };
                variables.push((name.clone(), value.to_owned()));
            }
            output = Some(script(folder.path(), step["run"].as_str().unwrap(), &variables));
        }
        (folder, output.unwrap())
    };
    let (folder, output) = run(&[("since", "HEAD"), ("sarif", "audit.sarif")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("::error file=app.py,line="), "{text}");
    let summary = std::fs::read_to_string(folder.path().join("summary.md")).unwrap();
    assert!(summary.starts_with("## skopos audit") && summary.contains("SEC001"), "{summary}");
    let sarif = std::fs::read(folder.path().join("audit.sarif")).unwrap();
    assert!(serde_json::from_slice::<Value>(&sarif).is_ok());
    assert_eq!(run(&[("fail-on", "never")]).1.status.code(), Some(0));
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_is_compared_with_what_a_running_server_has_seen() {
    let data = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let app = "from fastapi import FastAPI\napp = FastAPI()\n\n@app.get('/orders/{order_id}')\ndef order(order_id):\n    return {}\n\n@app.post('/refunds')\ndef refund():\n    return {}\n";
    std::fs::write(folder.path().join("app.py"), app).unwrap();
    let project = "[project]\nname = \"orders\"\ndependencies = [\"fastapi\"]\n";
    std::fs::write(folder.path().join("pyproject.toml"), project).unwrap();
    let server = Server::start(data.path(), &[]).await;
    let address = server.http.clone();
    let ask = |code: i32| report(folder.path(), &["--select", "LIV", "--live", &address], code);

    let before = ask(1);
    assert!(
        before["findings"][0]["message"].as_str().unwrap().contains("has never heard of `orders`")
    );

    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let span = |name: &str| {
        json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "kind": 2,
               "name": name, "startTimeUnixNano": nanos.to_string(), "endTimeUnixNano": (nanos + 1_000_000).to_string()})
    };
    let of = |service: &str, name: &str| json!({"resource": {"attributes": [attribute("service.name", service)]}, "scopeSpans": [{"spans": [span(name)]}]});
    let spans =
        json!({"resourceSpans": [of("orders", "GET /orders/{order_id}"), of("oders", "GET /x")]});
    assert!(server.post("/v1/traces", &spans).await);
    let point = json!({"attributes": [attribute("http.route", "/orders/{order_id}")], "count": "1", "sum": 0.1,
        "bucketCounts": ["1", "0"], "explicitBounds": [1.0],
        "startTimeUnixNano": nanos.to_string(), "timeUnixNano": (nanos + 1_000_000).to_string()});
    let metrics = json!({"resourceMetrics": [{"resource": {"attributes": [attribute("service.name", "orders")]},
        "scopeMetrics": [{"metrics": [{"name": "http.server.request.duration", "unit": "s",
            "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}}]}]}]});
    assert!(server.post("/v1/metrics", &metrics).await);

    // What follows from spans is written at the server's own pace.
    let mut seen = Value::Null;
    for _ in 0..200 {
        seen = ask(1);
        if seen.to_string().contains("oders") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let said: Vec<String> = seen["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            format!(
                "{} {} {}",
                f["rule"].as_str().unwrap(),
                f["verdict"].as_str().unwrap(),
                f["message"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(
        said.iter().any(|s| s.starts_with("LIV001 finding /refunds has never sent a span")),
        "{said:#?}"
    );
    assert!(
        said.iter().any(|s| s.starts_with("LIV002 finding ") && s.contains("/refunds")),
        "{said:#?}"
    );
    assert!(said.iter().any(|s| s.starts_with("LIV003 unknown `oders` sends to ")), "{said:#?}");
}
