//! Gates: grades and releases by every rule whatever is left out, configuration that is no way to the files of a machine,
//! and what hooks and workflows to copy say.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;
use skopos_audit::cli::{Args, Error, Format, run};

use crate::manners::{BLIND, args, audit, json, rules};

/// The arguments as a binary has them.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn file_of_the_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn blind() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.py"), BLIND).unwrap();
    folder
}

fn with_house(house: &str) -> tempfile::TempDir {
    let folder = blind();
    fs::write(folder.path().join("skopos-audit.toml"), house).unwrap();
    folder
}

const OFF: [&str; 3] = [
    "ignore = ['LOG', 'MET', 'TRC', 'HLT', 'ALR', 'SEC']\n",
    "select = ['MET010']\n",
    "select = ['LOG']\nignore = ['LOG001']\n",
];

#[test]
fn a_release_is_checked_by_rules_that_the_configuration_leaves_out() {
    let check = |root: &Path| {
        let done = audit(&Args { production_check: true, ..args(root) });
        let report: Value = serde_json::from_str(&done.output).unwrap();
        (done.code, done.notes, report)
    };
    let (code, notes, plain) = check(blind().path());
    assert_eq!((code, notes.as_str()), (1, ""));
    for house in OFF {
        let folder = with_house(house);
        let (code, notes, report) = check(folder.path());
        let pillars = |report: &Value| report["production_check"]["services"][0]["pillars"].clone();
        assert_eq!(code, 1, "{house}");
        assert_eq!(pillars(&report), pillars(&plain), "{house}");
        assert!(notes.starts_with("rules that the configuration leaves out ("), "{notes}");
        // Who left them out is not told of each; what holds them back is.
        assert!(!rules(&report).contains(&"LOG001"), "{house}");
        let held = report["suppressed"].as_array().unwrap();
        let held = held.iter().find(|s| s["rule"] == "LOG001").unwrap();
        assert_eq!(held["by"], "configuration", "{house}");
        let text = Args { production_check: true, format: Format::Text, ..args(folder.path()) };
        assert!(audit(&text).output.contains("FAIL  logs"), "{house}");
    }
    for option in ["--select=LOG", "--ignore=LOG"] {
        Cli::try_parse_from(["audit", "--production-check", option]).unwrap_err();
    }
}

#[test]
fn a_grade_that_is_asked_for_is_by_every_rule() {
    let at_least = |root: &Path| Args { min_grade: Some("E".into()), ..args(root) };
    assert_eq!(audit(&at_least(blind().path())).code, 1);
    for house in OFF {
        let folder = with_house(house);
        let done = audit(&at_least(folder.path()));
        assert_eq!(done.code, 1, "{house}");
        assert!(done.notes.contains("count for the grade all the same"), "{}", done.notes);
    }
    let folder = blind();
    let (select, ignore) = (vec!["MET010".to_owned()], vec!["LOG".to_owned()]);
    for partial in
        [Args { select, ..at_least(folder.path()) }, Args { ignore, ..at_least(folder.path()) }]
    {
        let error = run(&partial, "t").unwrap_err();
        assert!(matches!(error, Error::PartialGrade), "{error}");
    }
}

#[test]
fn a_grade_by_some_rules_says_so() {
    let folder = blind();
    let score = |args: &Args| json(args)["services"][0]["score"].clone();
    let plain = args(folder.path());
    assert!(score(&plain)["partial"].is_null());
    for (rule, judged) in [("MET010", 1), ("LIV001", 0)] {
        let some = Args { select: vec![rule.into()], ..args(folder.path()) };
        let said = score(&some)["partial"].as_str().unwrap().to_owned();
        assert!(said.starts_with(&format!("by {judged} of ")), "{said}");
        for format in [Format::Text, Format::Markdown] {
            let output = audit(&Args { format, ..some.clone() }).output;
            assert!(output.contains(&said), "{format:?}: {output}");
        }
        let text = audit(&Args { format: Format::Text, ..some }).output;
        assert!(text.contains(&format!(" (100 of 100), {said}\n")), "{text}");
    }
    let house = with_house(OFF[0]);
    assert!(score(&args(house.path()))["partial"].is_string());
}

#[test]
fn configuration_is_no_way_to_files_of_the_machine() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.txt");
    fs::write(&secret, "hunter2 = 'hunter2'\n").unwrap();
    let said = |args: &Args| run(args, "t").unwrap_err().to_string();

    let folder = blind();
    let path = folder.path().join("skopos-audit.toml");
    for target in [&secret, &outside.path().join("no"), &outside.path().to_owned()] {
        symlink(target, &path).unwrap();
        for config in [None, Some(path.clone())] {
            let error = said(&Args { config, ..args(folder.path()) });
            assert!(error.starts_with("skopos-audit.toml: a link to no file of"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        fs::remove_file(&path).unwrap();
    }
    // Nor to what lies in the folder and should be in no log.
    fs::write(folder.path().join(".env"), "hunter2 = 'hunter2'\n").unwrap();
    symlink(".env", &path).unwrap();
    let error = said(&args(folder.path()));
    assert!(error.starts_with("skopos-audit.toml: what the link leads to"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    fs::write(folder.path().join(".env"), "select = ['LOG002']\n").unwrap();
    assert_eq!(rules(&json(&args(folder.path()))), ["LOG002"], "a link within is followed");
    // Who names a file means it, and hears what is wrong with it.
    let error = said(&Args { config: Some(secret), ..args(folder.path()) });
    assert!(error.contains("hunter2"), "{error}");
}

#[test]
fn an_address_that_is_none_is_refused_by_the_name_of_its_option() {
    let error = Cli::try_parse_from(["audit", "--live", "notaurl"]).unwrap_err().to_string();
    assert!(error.contains("'--live <URL>'") && error.contains("no URL; write it as"), "{error}");
    for wrong in ["http://", "ftp://a", "127.0.0.1:4319"] {
        Cli::try_parse_from(["audit", "--live", wrong]).unwrap_err();
    }
    let given = Cli::try_parse_from(["audit", "--live", "https://skopos.shop.test"]).unwrap();
    assert_eq!(given.args.live.as_deref(), Some("https://skopos.shop.test"));
}

#[test]
fn a_baseline_is_the_same_wherever_a_clone_lies() {
    let above = tempfile::tempdir().unwrap();
    let written = |name: &str| {
        let root = above.path().join(name);
        fs::create_dir(&root).unwrap();
        fs::write(root.join("app.py"), BLIND).unwrap();
        let file = above.path().join(format!("{name}.json"));
        audit(&Args { write_baseline: Some(file.clone()), ..args(&root) });
        fs::read_to_string(file).unwrap()
    };
    let (one, other) = (written("checkout-of-ann"), written("checkout-of-ben"));
    assert_eq!(one, other);
    assert!(one.contains("\"service\": \".\"") && !one.contains("checkout-of"), "{one}");
}

#[test]
fn what_the_documents_show_is_so() {
    let read = |path: &str| fs::read_to_string(file_of_the_repository(path)).unwrap();
    let readme = read("docs/audit/README.md");
    let blind = Args { format: Format::Text, ..args(&file_of_the_repository("examples/blind")) };
    let output = audit(&blind).output;
    let shown = readme.split("$ skopos audit examples/blind\n").nth(1).unwrap();
    let shown = shown.split("\n```").next().unwrap();
    // Every new rule moves the numbers a little: the example need not follow each step.
    let masked = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "0");
    let points = |text: &str| -> i32 {
        let score = text.split("blind: F (").nth(1).unwrap();
        score.split(' ').next().unwrap().parse().unwrap()
    };
    assert!((points(shown) - points(&output)).abs() <= 3, "{output}");
    for line in shown.lines().filter(|line| !line.trim().is_empty() && line.trim() != "…") {
        let is_there = output.lines().any(|own| masked(own) == masked(line));
        assert!(is_there, "{line}\nis not in\n{output}");
    }
    // A push has no base to compare with.
    assert!(readme.contains("since: ${{ github.base_ref && format("), "the workflow to copy");
    assert!(!readme.contains("origin/${{"));
    // pre-commit leaves files that are deleted out of its list, and hooks without files.
    let hooks = read(".pre-commit-hooks.yaml");
    let hooks: Vec<&str> = hooks.split("- id: ").skip(1).collect();
    assert_eq!(hooks.len(), 2);
    for hook in hooks {
        assert!(hook.contains("\n  always_run: true\n"), "{hook}");
    }
}
