//! The forms that other programs read: SARIF by its schema, GitLab's and GitHub's by their shape.
//!
//! `resources/schema/sarif-2.1.0.json` is the schema of the OASIS standard as the crate `serde-sarif` 0.8.0 (MIT) carries it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use skopos_audit::cli::{Args, Format, run};

use crate::schema;

fn blind() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/blind")
}

fn output(path: &Path, format: Format) -> String {
    let args = Args { path: path.to_owned(), no_cache: true, format, ..Args::default() };
    run(&args, "1.2.3").unwrap().output
}

fn validate(instance: &Value) -> Result<(), String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/schema/sarif-2.1.0.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    schema::validate(&schema, instance)
}

#[test]
fn sarif_is_valid_by_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let held = "from fastapi import FastAPI\napp = FastAPI()\n# skopos-ignore[LOG002]: a banner\nprint('x')\n";
    std::fs::write(folder.path().join("a b%ü.py"), held).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/services");
    for path in [blind(), folder.path().to_owned(), empty.path().to_owned(), services] {
        let sarif: Value = serde_json::from_str(&output(&path, Format::Sarif)).unwrap();
        if let Err(error) = validate(&sarif) {
            panic!("{}: {error}", path.display());
        }
    }
    // The test would not see a mistake if the schema forbade nothing.
    let mut sarif: Value = serde_json::from_str(&output(&blind(), Format::Sarif)).unwrap();
    sarif["runs"][0]["results"][0]["kind"] = "failure".into();
    assert!(validate(&sarif).is_err());

    let sarif: Value = serde_json::from_str(&output(folder.path(), Format::Sarif)).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let held = results.iter().find(|r| r["suppressions"].is_array()).unwrap();
    assert_eq!(held["suppressions"][0]["justification"], "a banner");
    let place = &held["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b%25%C3%BC.py");
    for result in results {
        let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"][at]["id"], result["ruleId"]);
    }
}

#[test]
fn gitlab_finds_what_it_asks_for() {
    let report: Value = serde_json::from_str(&output(&blind(), Format::Gitlab)).unwrap();
    let all = report.as_array().unwrap();
    assert!(all.len() > 10);
    let mut seen = std::collections::BTreeSet::new();
    for one in all {
        for key in ["description", "check_name", "fingerprint"] {
            assert!(one[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {one}");
        }
        let severity = one["severity"].as_str().unwrap();
        assert!(["info", "minor", "major", "critical", "blocker"].contains(&severity));
        let path = one["location"]["path"].as_str().unwrap();
        // From the top of the work tree, where there is one.
        let within = path.strip_prefix("examples/blind/").unwrap_or(path);
        assert!(!path.starts_with("./") && blind().join(within).is_file(), "{path}");
        assert!(one["location"]["lines"]["begin"].as_u64().is_some_and(|line| line > 0));
        assert!(seen.insert(one["fingerprint"].as_str().unwrap()), "twice: {one}");
    }
}

#[test]
fn github_reads_a_command_a_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a,b:c%.py"),
        "from fastapi import FastAPI\napp = FastAPI()\nprint('x')\n",
    )
    .unwrap();
    let out = output(folder.path(), Format::Github) + &output(&blind(), Format::Github);
    assert!(out.contains("file=a%2Cb%3Ac%25.py,line=3,"), "{out}");
    for line in out.lines() {
        let (head, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let (level, properties) = head.split_once(' ').unwrap();
        assert!(["notice", "warning", "error"].contains(&level) && !message.is_empty(), "{line}");
        let names: Vec<&str> =
            properties.split(',').map(|p| p.split_once('=').unwrap().0).collect();
        assert_eq!(names, ["file", "line", "col", "title"], "{line}");
    }
}

#[test]
fn a_pull_request_gets_a_table() {
    let out = output(&blind(), Format::Markdown);
    assert!(out.starts_with("## skopos audit\n"));
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let rows: Vec<&str> = out.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10 && rows.iter().all(|row| [5, 10].contains(&cells(row))), "{out}");
}
