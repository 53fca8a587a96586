//! How `skopos audit` behaves: codes, baselines, changed lines, the cache, and trees that nobody would want to read.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use skopos_audit::cli::{Args, Done, Error, Format, run};
use skopos_audit::{Config, Means, MemoryTree, Safety, Tree, fix, judge, read};

pub(crate) const BLIND: &str =
    "from fastapi import FastAPI\napp = FastAPI()\n\ndef f():\n    print('a')\n";

pub(crate) fn args(root: &Path) -> Args {
    Args { path: root.to_owned(), no_cache: true, format: Format::Json, ..Args::default() }
}

pub(crate) fn audit(args: &Args) -> Done {
    run(args, "test").unwrap()
}

pub(crate) fn json(args: &Args) -> Value {
    serde_json::from_str(&audit(args).output).unwrap()
}

pub(crate) fn rules(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap()).collect()
}

#[test]
fn codes_say_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_eq!(audit(&args(root)).code, 0, "an empty folder has no findings");
    assert_eq!(audit(&Args { production_check: true, ..args(root) }).code, 1, "nor a service");
    fs::write(root.join("app.py"), BLIND).unwrap();
    assert_eq!(audit(&args(root)).code, 1);
    assert_eq!(audit(&Args { exit_zero: true, ..args(root) }).code, 0);
    let only = |rule: &str| Args { select: vec![rule.into()], ..args(root) };
    assert_eq!(audit(&Args { fail_on: Some("important".into()), ..only("LOG002") }).code, 0);
    assert_eq!(audit(&Args { fail_on: Some("normal".into()), ..only("LOG002") }).code, 1);
    assert_eq!(audit(&Args { min_grade: Some("E".into()), ..args(root) }).code, 1);
    assert_eq!(audit(&Args { min_grade: Some("E".into()), exit_zero: true, ..args(root) }).code, 0);

    let text = Args { production_check: true, format: Format::Text, ..args(root) };
    let checked = audit(&text);
    assert_eq!(checked.code, 1);
    for pillar in ["logs", "metrics", "tracing", "health", "alerting"] {
        assert!(checked.output.contains(&format!("FAIL  {pillar}")), "{}", checked.output);
    }
    assert!(checked.output.contains("pass  safety"), "{}", checked.output);
    assert!(checked.output.contains("MET001 "), "the rule that blocks: {}", checked.output);

    let wrong = |args: Args| run(&args, "test").unwrap_err();
    assert!(matches!(wrong(only("LOG9")), Error::NoRule { .. }));
    assert!(matches!(
        wrong(Args { service: Some("x".into()), ..args(root) }),
        Error::NoService { .. }
    ));
    assert!(matches!(
        wrong(Args { explain: Some("X1".into()), ..args(root) }),
        Error::NoRule { .. }
    ));
    assert!(matches!(wrong(args(&root.join("no"))), Error::Walk(_)));
    assert!(matches!(
        wrong(Args { baseline: Some(root.join("no")), ..args(root) }),
        Error::File { .. }
    ));
    fs::write(root.join("skopos-audit.toml"), "ignroe = []\n").unwrap();
    assert!(wrong(args(root)).to_string().contains("ignroe"));
}

#[test]
fn a_release_is_checked_whatever_is_held_back() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let check = |args: &Args| {
        let done = audit(&Args { production_check: true, ..args.clone() });
        let report: Value = serde_json::from_str(&done.output).unwrap();
        let verdict = report["production_check"]["verdict"].as_str().unwrap().to_owned();
        assert_eq!(u8::from(verdict == "fail"), done.code);
        report["production_check"].clone()
    };
    let none = check(&args(root));
    assert_eq!(none["verdict"], "fail");
    assert!(none["reason"].as_str().unwrap().contains("no service was found"));
    assert!(json(&args(root))["production_check"].is_null(), "only where it is asked for");

    fs::create_dir_all(root.join("api")).unwrap();
    fs::create_dir_all(root.join("web")).unwrap();
    fs::write(root.join("api/app.py"), BLIND).unwrap();
    fs::write(root.join("api/requirements.txt"), "fastapi\n").unwrap();
    fs::write(root.join("web/Gemfile"), "gem 'rails'\n").unwrap();
    let pillar = |check: &Value, name: &str| {
        let all = check["services"][0]["pillars"].as_array().unwrap();
        all.iter().find(|p| p["pillar"] == name).unwrap().clone()
    };
    let plain = check(&Args { service: Some("api".into()), ..args(root) });
    assert_eq!(plain["services"].as_array().unwrap().len(), 1);
    assert_eq!(pillar(&plain, "metrics")["rules"], serde_json::json!(["MET001"]));
    assert_eq!(pillar(&plain, "safety")["verdict"], "pass");

    let baseline = root.join("known.json");
    audit(&Args { write_baseline: Some(baseline.clone()), ..args(root) });
    let known =
        check(&Args { baseline: Some(baseline), service: Some("api".into()), ..args(root) });
    assert_eq!(known, plain, "a baseline accepts; it does not mend");
}

#[test]
fn what_holds_nothing_back_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let app = BLIND.replace("print('a')", "print('a')  # skopos-ignore[LOG002]: a banner")
        + "    print('b')  # skopos-ignore[LOG02]: no such rule\n    # skopos-ignore[LOG005]\n    return 1\n# skopos-ignore-file[MET004]: there are no labels here\n";
    fs::write(root.join("app.py"), app).unwrap();
    let config = "[[accept]]\nrules = ['LOG002']\npath = 'srv'\nreason = 'old'\n[[accept]]\nrules = ['TRC']\npath = 'app.py'\nreason = 'no'\n[[accept]]\nrules = ['SEC001']\npath = '.'\nreason = 'no'\n";
    fs::write(root.join("skopos-audit.toml"), config).unwrap();
    let told = |args: &Args| -> Vec<String> {
        let report = json(args);
        let all = report["not_in_force"].as_array().unwrap().iter();
        all.map(|p| {
            format!(
                "{}:{} {}",
                p["path"].as_str().unwrap(),
                p["line"],
                p["message"].as_str().unwrap()
            )
        })
        .collect()
    };
    let all = told(&args(root));
    let expected = [
        "app.py:6 `skopos-ignore`: there is no rule `LOG02`",
        "app.py:7 `skopos-ignore[LOG005]` has no reason",
        "app.py:9 `skopos-ignore-file[MET004]` has nothing to hold back",
        "skopos-audit.toml:0 accept of LOG002 in `srv`: there is no such file or folder",
        "skopos-audit.toml:0 accept of SEC001 in `.`: there is nothing to hold back",
    ];
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for (line, start) in all.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}\nnot\n{start}");
    }
    // Of rules that did not judge nobody knows whether there is something to hold back.
    let some = told(&Args { select: vec!["LOG002".into()], ..args(root) });
    assert_eq!(some.len(), 3, "{some:#?}");
    let report = json(&args(root));
    let held: Vec<&str> = report["suppressed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["by"].as_str().unwrap())
        .collect();
    assert!(held.contains(&"comment") && held.contains(&"configuration"));
    for format in [Format::Text, Format::Concise, Format::Markdown, Format::Sarif, Format::Github] {
        let done = audit(&Args { format, ..args(root) });
        assert!(done.output.contains("has no reason"), "{format:?}: {}", done.output);
    }
    for format in [Format::Ndjson, Format::Gitlab] {
        let done = audit(&Args { format, ..args(root) });
        assert!(done.notes.contains("not in force: app.py:7: "), "{format:?}: {}", done.notes);
    }
}

#[test]
fn a_rule_is_explained_and_all_are_listed() {
    let explained = audit(&Args { explain: Some("met004".into()), ..Args::default() });
    assert!(explained.output.starts_with("# MET004: ") && explained.output.contains("\n## Fix\n"));
    let listed = audit(&Args { list_rules: true, ..Args::default() }).output;
    assert!(listed.lines().count() >= 70);
    assert!(
        listed.contains("LIF004") && listed.contains("(has a fix)") && listed.contains("(preview")
    );
    let listed = json(&Args { list_rules: true, format: Format::Json, ..Args::default() });
    let one = listed.as_array().unwrap().iter().find(|r| r["rule"] == "LOG009").unwrap();
    assert_eq!((&one["fixable"], &one["pillar"]), (&true.into(), &"logs".into()));
}

/// A tree that counts how often a file is read.
struct Counting {
    tree: MemoryTree,
    reads: AtomicUsize,
}

impl Tree for Counting {
    fn paths(&self) -> &[String] {
        self.tree.paths()
    }

    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.tree.read(path)
    }
}

#[test]
fn a_file_with_many_findings_is_read_no_more_often_than_one_with_few() {
    let reads = |n: usize| {
        let mut app = "import logging\nfrom fastapi import FastAPI\napp = FastAPI()\nlog = logging.getLogger(__name__)\n".to_owned();
        for n in 0..n {
            app.push_str(&format!("print('a {n}')\nprint('b')  # skopos-ignore[LOG002]: shown\n"));
            app.push_str(&format!("log.error('%s' % (n, {n}))\n"));
        }
        let tree = Counting { tree: MemoryTree::of([("app.py", app)]), reads: AtomicUsize::new(0) };
        let config = Config { select: vec!["LOG".into()], ..Config::default() };
        let (repository, stats) = read(&tree, &config, Means::default());
        let mut report = judge(&tree, &repository, &config, None, stats);
        let fixed = fix::plan(&tree, &repository, &mut report, Some(Safety::Unsafe));
        assert_eq!(fixed[0].findings, 2 * n);
        assert_eq!(report.suppressed.iter().filter(|s| s.by == "comment").count(), n);
        tree.reads.load(Ordering::Relaxed)
    };
    assert_eq!(reads(200), reads(5));
}

#[test]
fn stats_say_what_was_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.py"), BLIND).unwrap();
    fs::write(folder.path().join("area.py"), "def area(a, b):\n    return a * b\n").unwrap();
    fs::write(folder.path().join("requirements.txt"), "fastapi\n").unwrap();
    let done = audit(&Args { stats: true, ..args(folder.path()) });
    assert!(
        done.notes.starts_with(
            "3 files of the tree: 1 of code parsed, 0 known from before, 1 without any word of interest; 1 document of configuration\n"
        ),
        "{}",
        done.notes
    );
}

#[test]
fn what_was_parsed_is_not_parsed_again_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let caches = tempfile::tempdir().unwrap();
    let root = folder.path();
    let cached = Args { no_cache: false, cache: Some(caches.path().join("a/b")), ..args(root) };
    let text: String = BLIND.repeat(3);
    for n in 0..5 {
        fs::write(root.join(format!("m{n}.py")), &text).unwrap();
    }
    let plain = json(&args(root));
    let counts = |report: &Value| {
        (report["stats"]["parsed"].as_u64().unwrap(), report["stats"]["cached"].as_u64().unwrap())
    };
    assert_eq!(counts(&json(&cached)), (5, 0));
    let warm = json(&cached);
    assert_eq!(counts(&warm), (0, 5));
    assert_eq!(warm["findings"], plain["findings"], "the same whether remembered or not");
    assert_eq!(warm["services"], plain["services"]);
    fs::write(root.join("m1.py"), text.replace("'a'", "'b'")).unwrap();
    assert_eq!(counts(&json(&cached)), (1, 4), "content decides, not time");
    assert_eq!(counts(&json(&args(root))), (5, 0), "--no-cache");

    // A cache that cannot be read, or written, is none.
    let file = fs::read_dir(caches.path().join("a/b")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, b"skopos-audit-cache 1\nzz\n\xff").unwrap();
    assert_eq!(counts(&json(&cached)), (5, 0));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(counts(&json(&cached)), (5, 0));
    assert!(!root.join(".cache").exists());
}

#[test]
fn trees_that_nobody_would_want_to_read_are_survived_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let put = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("app.py", BLIND.as_bytes());
    use std::os::unix::ffi::OsStrExt as _;
    let odd = root.join(std::ffi::OsStr::from_bytes(b"odd\xff.py"));
    fs::write(odd, "print(1)").unwrap();
    put("deploy/bad.yaml", b"a: [1, 2\nb: }{\n\t- x");
    put("deploy/bomb.yaml", b"a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: *c\n");
    put("package.json", b"{\"name\": ");
    put("pyproject.toml", b"[project\nname=");
    put("binary.py", &[0, 159, 146, 150]);
    put("zeros.js", &[0; 4096]);
    put("deep.json", "[".repeat(100_000).as_bytes());
    put("deep.py", "(".repeat(100_000).as_bytes());
    put("deep.yaml", "- ".repeat(50_000).as_bytes());
    put("line.ts", format!("const x = \"{}\";", "log ".repeat(300_000)).as_bytes());
    // A gigabyte that takes no room.
    let huge = fs::File::create(root.join("huge.py")).unwrap();
    huge.set_len(1 << 30).unwrap();
    for (to, at) in [("..", "deploy/up"), ("loop", "loop"), ("/etc/passwd", "passwd.py")] {
        std::os::unix::fs::symlink(to, root.join(at)).unwrap();
    }
    put("closed/app.py", b"print(1)");
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    put("pipe/x.py", b"");
    let made = Command::new("mkfifo").arg(root.join("pipe/fifo.py")).status();
    assert!(made.is_ok_and(|status| status.success()));

    let report = json(&args(root));
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(rules(&report).contains(&"LOG002"), "the rest is judged");
    let told: Vec<&str> = report["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row[0].as_str().unwrap())
        .chain(report["problems"].as_array().unwrap().iter().map(|p| p["path"].as_str().unwrap()))
        .collect();
    for path in
        ["huge.py", "passwd.py", "binary.py", "deploy/bad.yaml", "package.json", "pyproject.toml"]
    {
        assert!(told.contains(&path), "{path} is not told: {told:?}");
    }
    let odd = report["left_out"].as_array().unwrap().iter().find(|row| row[0] == "odd\u{fffd}.py");
    assert_eq!(odd.unwrap()[1], "its path is not UTF-8: rename it to have it read");
}

/// Panics at one file, as a defect in a reader would.
struct Trap(MemoryTree);

impl Tree for Trap {
    fn paths(&self) -> &[String] {
        self.0.paths()
    }

    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        assert!(!path.ends_with("trap.py"), "a defect");
        self.0.read(path)
    }
}

#[test]
fn a_defect_at_one_file_leaves_the_rest_of_the_report() {
    let tree = Trap(MemoryTree::of([("app.py", BLIND), ("trap.py", "print(1)")]));
    let (repository, _) = read(&tree, &Config::default(), Means::default());
    assert_eq!(repository.services.len(), 1);
    assert_eq!(repository.left_out[0].0, "trap.py");
    assert!(repository.left_out[0].1.contains("please report"), "{:?}", repository.left_out);
}
