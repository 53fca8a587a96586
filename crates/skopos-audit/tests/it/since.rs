//! `--since`: what is new, whatever git is configured to do, and whatever lies within the repository; and what code hosts
//! are told of their paths.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use skopos_audit::cli::{Args, Error, Format, run};

use crate::manners::{BLIND, args, audit, json, rules};

/// Git without anybody's configuration, at a fixed time. Gives what it wrote.
fn git(root: &Path, args: &[&str]) -> String {
    let date = "2026-01-01T12:00:00Z";
    let done = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"])
        .args(args)
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@example.com")])
        .envs([("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.com")])
        .envs([("GIT_AUTHOR_DATE", date), ("GIT_COMMITTER_DATE", date)])
        .output()
        .unwrap();
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn commit(root: &Path) {
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "one"]);
}

/// A folder with files, committed.
fn repository(root: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(root).unwrap();
    git(root, &["init", "-q"]);
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    commit(root);
}

/// An audit by one rule of what is new since a revision.
fn since(root: &Path, revision: &str, rule: &str) -> Args {
    Args { since: Some(revision.to_owned()), select: vec![rule.to_owned()], ..args(root) }
}

/// Where it finds something: `path:line`.
fn found(args: &Args) -> Vec<String> {
    let report = json(args);
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|f| format!("{}:{}", f["path"].as_str().unwrap(), f["line"])).collect()
}

fn wrong(args: &Args) -> String {
    run(args, "t").unwrap_err().to_string()
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
fn what_was_renamed_is_not_new() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text = |n: u32| {
        let log = |n| format!("def f{n}():\n    print('{n}')\n");
        format!("{BLIND}{}", (0..n).map(log).collect::<String>())
    };
    let files = [("a/app.py", &*text(8)), ("a/requirements.txt", "fastapi\n"), ("b/m.py", BLIND)];
    repository(root, &files);
    let all = || Args { since: Some("HEAD".to_owned()), ..args(root) };
    git(root, &["mv", "a/app.py", "a/main.py"]);
    assert_eq!(found(&all()), Vec::<String>::new(), "a pure rename");
    // A service that moves as a whole lacks no more than before.
    git(root, &["mv", "a", "shop"]);
    assert_eq!(found(&all()), Vec::<String>::new());
    // What comes with the rename is new, and so is what then stands at the old place.
    let more = text(8).replace("print('3')", "print('three')");
    fs::write(root.join("shop/main.py"), format!("import os\n{more}print('end')\n")).unwrap();
    assert_eq!(found(&since(root, "HEAD", "LOG002")), ["shop/main.py:14", "shop/main.py:23"]);
    fs::create_dir(root.join("a")).unwrap();
    fs::write(root.join("a/app.py"), BLIND).unwrap();
    git(root, &["add", "-A"]);
    assert!(found(&since(root, "HEAD", "LOG002")).contains(&"shop/main.py:14".to_owned()));
    git(root, &["commit", "-qm", "two"]);
    assert_eq!(found(&since(root, "HEAD", "LOG002")), Vec::<String>::new());
}

#[test]
fn nothing_of_the_repository_is_run_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("shop");
    repository(&root, &[("app.py", BLIND), ("b.py", BLIND), (".gitattributes", "* filter=evil\n")]);
    let ran = folder.path().join("ran");
    let command = format!("echo x >> '{}'; cat", ran.display());
    for key in ["filter.evil.clean", "filter.evil.process", "filter.evil.smudge"] {
        git(&root, &["config", key, &command]);
    }
    git(&root, &["config", "filter.evil.required", "true"]);
    git(&root, &["config", "core.fsmonitor", &command]);
    git(&root, &["config", "diff.external", &command]);
    fs::write(root.join("app.py"), format!("{BLIND}    print('b')\n")).unwrap();
    // The same again: git would note that nothing changed.
    fs::write(root.join("b.py"), BLIND).unwrap();
    let index = fs::read(root.join(".git/index")).unwrap();
    assert_eq!(found(&since(&root, "HEAD", "LOG002")), ["app.py:6"]);
    assert!(!ran.exists(), "a program of the configuration was run");
    assert_eq!(fs::read(root.join(".git/index")).unwrap(), index, "the index was written");

    // A name that no setting on a command line can have.
    git(&root, &["config", "filter.a=b.clean", &command]);
    fs::write(root.join(".gitattributes"), "* filter=a=b\n").unwrap();
    let said = wrong(&since(&root, "HEAD", "LOG002"));
    assert!(said.contains("the filter `a=b` ") && !ran.exists(), "{said}");
}

/// What is set where an audit is begun by git, or by somebody with habits.
const SURROUNDINGS: &str = "SKOPOS_TEST_SURROUNDINGS";

#[test]
fn the_folder_says_which_repository_is_meant_and_no_variable_does() {
    let Some(root) = std::env::var_os(SURROUNDINGS) else {
        // The variables are those of a process: this very test is run again with them.
        let folder = tempfile::tempdir().unwrap();
        let (root, other) = (folder.path().join("shop"), folder.path().join("other"));
        repository(&root, &[("app.py", &BLIND.replace("def f", "\n\ndef f"))]);
        let more = "    print('a')\n    x = 1\n    y = 2\n    print('new')\n";
        fs::write(root.join("app.py"), BLIND.replace("def f", "\n\ndef f") + more).unwrap();
        repository(&other, &[("x.py", BLIND)]);
        let global = folder.path().join("config");
        fs::write(&global, "[diff]\n\tinterHunkContext = 9\n\tnoprefix = true\n").unwrap();
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("since::the_folder_says_which_repository_is_meant_and_no_variable_does")
            .env(SURROUNDINGS, &root)
            .env("GIT_DIR", other.join(".git"))
            .env("GIT_WORK_TREE", &other)
            .env("GIT_INDEX_FILE", other.join(".git/index"))
            .env("GIT_DIFF_OPTS", "--unified=5")
            .env("GIT_CONFIG_GLOBAL", &global)
            .env("GIT_GLOB_PATHSPECS", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let all = said + &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && all.contains("1 passed"), "{all}");
        return;
    };
    assert_eq!(found(&since(Path::new(&root), "HEAD", "LOG002")), ["app.py:8", "app.py:11"]);
}

#[test]
fn context_between_changes_is_not_new() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let before = "import logging\nprint('old')\nx = 1\n";
    repository(root, &[("app.py", &format!("{BLIND}{before}")), ("b.py", BLIND)]);
    git(root, &["config", "diff.interHunkContext", "9"]);
    let now = format!("{BLIND}import os\nprint('old')\nx = 1\nprint('new')\n");
    fs::write(root.join("app.py"), now).unwrap();
    fs::write(root.join("b.py"), format!("{BLIND}    print('newer')\n")).unwrap();
    assert_eq!(found(&since(root, "HEAD", "LOG002")), ["app.py:9", "b.py:6"]);
}

#[test]
fn without_the_commit_that_a_branch_began_from_nothing_is_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let (origin, clone) = (folder.path().join("origin"), folder.path().join("clone"));
    repository(&origin, &[("app.py", BLIND)]);
    git(&origin, &["checkout", "-qb", "work"]);
    fs::write(origin.join("b.py"), "x = 1\n").unwrap();
    commit(&origin);
    git(&origin, &["checkout", "-q", "main"]);
    fs::write(origin.join("app.py"), BLIND.replace("print('a')", "pass")).unwrap();
    commit(&origin);
    let (from, to) = (format!("file://{}", origin.display()), clone.display().to_string());
    let shallow = ["clone", "-q", "--depth", "1", "--no-single-branch", "-b", "work", &from, &to];
    git(folder.path(), &shallow);
    let said = wrong(&since(&clone, "origin/main", "LOG002"));
    assert!(said.contains("`origin/main` have in common: fetch more"), "{said}");
    assert_eq!(found(&since(&clone, "HEAD", "LOG002")), Vec::<String>::new());
    git(&clone, &["fetch", "-q", "--unshallow"]);
    assert_eq!(found(&since(&clone, "origin/main", "LOG002")), Vec::<String>::new());
}

#[test]
fn what_git_says_is_handed_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    repository(root, &[("app.py", BLIND)]);
    fs::write(root.join(".git/config"), "[core\n").unwrap();
    let said = wrong(&since(root, "HEAD", "LOG002"));
    assert!(said.contains("bad config line 1") && said.contains("--baseline"), "{said}");
}

#[test]
fn what_was_held_back_or_mitigated_then_and_is_not_now_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let held = "    # skopos-ignore[LOG002]: a banner\n";
    let app = |held: &str| format!("{BLIND}\ndef g():\n{held}    print('a')\n");
    let compose = |init: &str| format!("services:\n  shop:\n    build: .\n{init}");
    repository(
        root,
        &[
            ("app.py", &app(held)),
            ("requirements.txt", "fastapi\n"),
            ("Dockerfile", "FROM python:3.13\nCMD uvicorn app:app --port 80\n"),
            ("docker-compose.yml", &compose("    init: true\n")),
        ],
    );
    fs::write(root.join("app.py"), app("")).unwrap();
    assert_eq!(found(&since(root, "HEAD", "LOG002")), ["app.py:8"], "not line 5");
    assert_eq!(found(&since(root, "HEAD", "LIF004")), Vec::<String>::new());
    fs::write(root.join("docker-compose.yml"), compose("")).unwrap();
    assert_eq!(found(&since(root, "HEAD", "LIF004")), ["Dockerfile:2"]);
}

#[test]
fn repositories_within_are_compared_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (sub, apart) = (root.join("sub"), root.join("apart"));
    repository(&sub, &[("häuser/old.py", BLIND), ("same.py", BLIND)]);
    repository(root, &[("app.py", BLIND)]);
    assert_eq!(git(root, &["ls-files", "sub"]), "sub\n");
    let new = || found(&since(root, "HEAD", "LOG002"));
    assert_eq!(new(), Vec::<String>::new(), "nothing changed");

    // Work that is not committed there, then committed there, then recorded here.
    fs::write(sub.join("häuser/old.py"), format!("{BLIND}    print('b')\n")).unwrap();
    fs::write(sub.join("new.py"), BLIND).unwrap();
    let expected = ["sub/häuser/old.py:6", "sub/new.py:5"];
    assert_eq!(new(), expected);
    commit(&sub);
    assert_eq!(new(), expected);
    commit(root);
    assert_eq!(found(&since(root, "HEAD^", "LOG002")), expected);
    assert_eq!(new(), Vec::<String>::new());

    // What its own configuration names is not run either.
    let ran = sub.join("ran");
    fs::write(sub.join(".git/info/attributes"), "* filter=evil\n").unwrap();
    let command = format!("touch '{}'; cat", ran.display());
    git(&sub, &["config", "filter.evil.clean", &command]);
    git(&sub, &["config", "core.fsmonitor", &command]);
    fs::write(sub.join("same.py"), format!("x = 1\n{BLIND}")).unwrap();
    assert_eq!(new(), Vec::<String>::new());
    assert!(!ran.exists(), "a program of the configuration was run");
    fs::write(sub.join("same.py"), BLIND).unwrap();

    // One that nobody has recorded is new, as a file would be; so is what has no history.
    repository(&apart, &[("x.py", BLIND)]);
    assert_eq!(new(), ["apart/x.py:5"]);
    fs::remove_dir_all(&apart).unwrap();
    let from = format!("file://{}", sub.display());
    git(folder.path(), &["clone", "-q", "--depth", "1", &from, "shallow"]);
    fs::remove_dir_all(&sub).unwrap();
    fs::rename(root.join("shallow"), &sub).unwrap();
    let done = audit(&since(root, "HEAD^", "LOG002"));
    assert!(done.notes.contains("all of sub/ counts as new"), "{}", done.notes);
    let all = ["sub/häuser/old.py:5", "sub/häuser/old.py:6", "sub/new.py:5", "sub/same.py:5"];
    assert_eq!(found(&since(root, "HEAD^", "LOG002")), all);
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
    let since = |revision: &str| since(root, revision, "LOG002");
    let paths = ["app.py:5", "more.py:5"];
    assert_eq!(found(&since("HEAD")), paths, "in the index, and not yet in it");
    let said = wrong(&since("main"));
    assert!(said.contains("nothing is committed in"), "{said}");
    assert!(said.ends_with("everything is new; leave --since out, or say --since HEAD"), "{said}");
    // A branch without a commit, in a repository that has some.
    commit(root);
    git(root, &["checkout", "-q", "--orphan", "other"]);
    let said = wrong(&since("main"));
    assert!(said.contains("`main` have in common"), "{said}");
}
