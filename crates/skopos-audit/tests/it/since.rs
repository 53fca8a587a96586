//! `--since` over repositories of git, and what code hosts are told of their paths.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use skopos_audit::cli::{Args, Done, Error, Format, run};

const BLIND: &str = "from fastapi import FastAPI\napp = FastAPI()\n\ndef f():\n    print('a')\n";

fn args(root: &Path) -> Args {
    Args { path: root.to_owned(), no_cache: true, format: Format::Json, ..Args::default() }
}

fn audit(args: &Args) -> Done {
    run(args, "test").unwrap()
}

fn json(args: &Args) -> Value {
    serde_json::from_str(&audit(args).output).unwrap()
}

fn rules(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap()).collect()
}

fn git(root: &Path, args: &[&str]) {
    let done = Command::new("git")
        .arg("-C")
        .arg(root)
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn only_lines_that_changed_since_the_branch_began() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let path = root.join("häuser/app.py");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, BLIND).unwrap();
    git(root, &["init", "-q"]);
    git(root, &["add", "."]);
    git(root, &["commit", "-qm", "one"]);
    git(root, &["checkout", "-qb", "work"]);
    let since = |revision: &str| Args {
        since: Some(revision.to_owned()),
        select: vec!["LOG002".into()],
        ..args(root)
    };
    assert_eq!(audit(&since("main")).code, 0, "what was there is not new");
    fs::write(&path, BLIND.to_owned() + "\ndef g():\n    print('b')\n").unwrap();
    fs::write(root.join("new.py"), BLIND).unwrap();
    git(root, &["checkout", "-q", "main"]);
    git(root, &["commit", "-q", "--allow-empty", "-m", "elsewhere"]);
    git(root, &["checkout", "-q", "work"]);
    let report = json(&since("main"));
    let places: Vec<(&str, u64)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["path"].as_str().unwrap(), f["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(places, [("häuser/app.py", 8), ("new.py", 5)]);
    let wrong = |args: Args| run(&args, "t").unwrap_err().to_string();
    let said = wrong(since("nowhere"));
    assert!(said.starts_with("--since: git knows no revision `nowhere` in "), "{said}");
    let alone = tempfile::tempdir().unwrap();
    fs::write(alone.path().join("app.py"), BLIND).unwrap();
    let said = wrong(Args { path: alone.path().to_owned(), ..since("main") });
    assert!(said.contains("is in no work tree of git"), "{said}");
    assert!(matches!(run(&since("--output=x"), "t"), Err(Error::Since { .. })));
    assert!(!root.join("x").exists());
}

#[test]
fn what_a_branch_takes_away_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let app = |route: &str| format!("{BLIND}\n{route}");
    let live = "@app.get('/health/live')\ndef live():\n    return {}\n";
    fs::create_dir_all(root.join("ops/runbooks")).unwrap();
    fs::write(root.join("app.py"), app(live)).unwrap();
    fs::write(root.join("ops/runbooks/errors.md"), "# Errors").unwrap();
    let alert = "groups:\n- name: api\n  rules:\n  - alert: Errors\n    expr: rate(errors_total[5m]) > 1\n    for: 5m\n    labels: {severity: page, team: shop}\n    annotations: {summary: x, runbook: runbooks/errors.md}\n";
    fs::write(root.join("ops/rules.yml"), alert).unwrap();
    git(root, &["init", "-q"]);
    git(root, &["add", "."]);
    git(root, &["commit", "-qm", "one"]);
    let since = || Args {
        since: Some("HEAD".to_owned()),
        select: vec!["HLT001".into(), "ALR003".into(), "LOG002".into()],
        ..args(root)
    };
    assert_eq!(rules(&json(&since())), Vec::<&str>::new(), "nothing changed");
    fs::write(root.join("app.py"), app("")).unwrap();
    fs::remove_file(root.join("ops/runbooks/errors.md")).unwrap();
    // What is deleted and would not have been looked at is none of its business.
    let mut found = rules(&json(&since())).join(" ");
    assert_eq!(found, "HLT001 ALR003", "the print was there before");
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "two"]);
    found = rules(&json(&since())).join(" ");
    assert_eq!(found, "", "it is not new for the next change");
}

#[test]
fn code_hosts_are_told_paths_from_the_top_of_the_work_tree() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("services/api")).unwrap();
    fs::write(root.join("services/api/app.py"), BLIND).unwrap();
    git(root, &["init", "-q"]);
    let of = |format: Format| {
        let select = vec!["LOG002".into()];
        audit(&Args { format, select, ..args(&root.join("services/api")) }).output
    };
    let github = of(Format::Github);
    assert!(github.contains("file=services/api/app.py,line=5"), "{github}");
    let gitlab: Value = serde_json::from_str(&of(Format::Gitlab)).unwrap();
    assert_eq!(gitlab[0]["location"]["path"], "services/api/app.py");
    let sarif: Value = serde_json::from_str(&of(Format::Sarif)).unwrap();
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "services/api/app.py");
    assert!(of(Format::Concise).starts_with("app.py:5"), "people stand in the folder");
}

#[test]
fn before_the_first_commit_everything_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("app.py"), BLIND).unwrap();
    git(root, &["init", "-q"]);
    git(root, &["add", "."]);
    fs::write(root.join("more.py"), BLIND).unwrap();
    let since = |revision: &str| Args {
        since: Some(revision.to_owned()),
        select: vec!["LOG002".into()],
        ..args(root)
    };
    let report = json(&since("HEAD"));
    let found = report["findings"].as_array().unwrap().iter();
    let paths: Vec<&str> = found.map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["app.py", "more.py"], "in the index, and not yet in it");
    let said = run(&since("main"), "t").unwrap_err().to_string();
    assert!(said.contains("nothing is committed in"), "{said}");
    assert!(said.ends_with("everything is new; leave --since out, or say --since HEAD"), "{said}");
}
