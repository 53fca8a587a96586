//! PromQL without a server: `skopos promqltest` runs users' own scripts, `skopos query --explain`
//! shows plans.

use serde_json::Value;

use crate::harness::run;

const GOOD: &str = "\
load 1m
    requests_total{path=\"/a\"} 0+60x10

eval instant at 10m rate(requests_total[5m])
    {path=\"/a\"} 1
";

fn ask(args: &[&str], code: i32) -> (String, String) {
    let output = run(&[&["promqltest"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stdout}{stderr}");
    (stdout, stderr)
}

#[test]
fn scripts_pass_fail_or_are_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = write("good.test", GOOD);
    let wrong = write("wrong.test", &GOOD.replace("} 1\n", "} 2\n"));
    let malformed = write("malformed.test", "load 1m\n  m 1 2 x\n");
    write("notes.txt", "no script");
    let all = folder.path().to_str().unwrap();

    let (text, _) = ask(&[&good], 0);
    assert!(text.starts_with("ok ") && text.contains("(1/1 cases)"), "{text}");

    let (text, _) = ask(&[&wrong], 4);
    assert!(text.contains("wrong.test:4: rate(requests_total[5m])"), "{text}");
    assert!(text.contains("expected 2"), "{text}");

    let (text, _) = ask(&[&malformed], 4);
    assert!(text.contains("malformed.test:2:"), "{text}");

    let (text, _) = ask(&[all, "--format", "json"], 4);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["ok"], false);
    let files = answer["files"].as_array().unwrap();
    let verdicts: Vec<_> =
        files.iter().map(|f| (f["ok"].as_bool(), f["passed"].as_u64())).collect();
    assert_eq!(verdicts, [(Some(true), Some(1)), (Some(false), Some(0)), (Some(false), Some(0))]);
    assert_eq!(files[1]["malformed"], true);
    assert_eq!(files[2]["failures"][0]["line"], 4);

    // What is missing keeps nothing else from being run.
    let (text, complaint) = ask(&[&format!("{all}/none.test"), &wrong, &good], 1);
    assert!(text.contains("unreadable") && text.contains("none.test"), "{text}");
    assert!(text.contains("wrong.test:4:") && text.contains("(1/1 cases)"), "{text}");
    assert!(complaint.contains("1 of 3 files"), "{complaint}");
    let failing = write("failing.test", "eval instant at 0 1 + rat(m[5m])\n");
    let (text, _) = ask(&[&failing], 4);
    assert!(text.contains("failed: 1:5: unknown function"), "{text}");
    let (help, _) = ask(&["--help"], 0);
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
}

#[test]
fn plans_are_explained_without_a_server() {
    let ask = |args: &[&str], code: i32| {
        let nowhere = ["query", "--explain", "--server", "http://127.0.0.1:9"];
        let output = run(&[&nowhere[..], args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stdout}{stderr}");
        (stdout, stderr)
    };
    let query = "rate(m{code=\"500\"}[5m]) / rate(m[5m])";
    let (text, note) = ask(&[query], 0);
    assert!(note.contains("the plan without costs"), "{note}");
    assert!(text.contains("fetch 0:") && !text.contains("fetch 1:"), "{text}");
    assert!(text.contains("├─ shared 0 where {code=\"500\"}"), "{text}");
    let (text, _) = ask(&[query, "--from", "now-1h", "--step", "1m", "--format", "json"], 0);
    let plan: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((plan["steps"].as_u64(), plan["root"]["name"].as_str()), (Some(61), Some("/")));
    let (_, complaint) = ask(&["rat(m[5m])"], 1);
    assert!(complaint.contains("rate") && complaint.contains('^'), "{complaint}");
}
