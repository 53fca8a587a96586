//! Tests of rule files, beside Debian's promtool: the same verdict on every file.
//!
//! The folders of `testdata/rule_test/` say what the verdict is; `new/` uses what promtool learned
//! after the version in Debian, so only ours is asked there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use skopos_alerting::rule_test::{FileReport, RuleFiles, RunOptions, fuzz_rule_test_file, run};
use skopos_alerting::rules::{self, RuleSet};
use skopos_model::{Labels, MatchOp};
use skopos_promql::{EvalParams, ParseOptions, Plan};

/// Rule files beside the test file. Knows `*` in the last part of a path and `[x]` for `x`.
struct Folder(PathBuf);

impl RuleFiles for Folder {
    fn find(&self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        let path = self.0.join(pattern.replace(['[', ']'], ""));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (start, end) = name.split_once('*').unwrap_or((&name, ""));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path.parent().unwrap()).map_err(|e| e.to_string())? {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            if file == name || name.contains('*') && file.starts_with(start) && file.ends_with(end)
            {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
        found.sort();
        Ok(found)
    }
}

fn ours(path: &Path) -> FileReport {
    let text = std::fs::read_to_string(path).unwrap();
    let files = Folder(path.parent().unwrap().to_owned());
    run(&path.display().to_string(), &text, &files, &RunOptions::default())
}

/// Debian's promtool, or `SKOPOS_PROMTOOL`.
fn promtool() -> Option<String> {
    let promtool = std::env::var("SKOPOS_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    if Command::new(&promtool).arg("--version").output().is_ok() {
        return Some(promtool);
    }
    println!("skipped: {promtool} is not installed");
    None
}

fn promtool_says(promtool: &str, path: &Path) -> (bool, String) {
    let output = Command::new(promtool).args(["test", "rules"]).arg(path).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn test_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/rule_test").join(folder);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_verdict_is_promtools() {
    let promtool = promtool();
    let mut wrong = String::new();
    let mut asked = 0;
    for (folder, expected) in [("pass", true), ("fail", false)] {
        for path in test_files(folder) {
            let report = ours(&path);
            if report.is_ok() != expected {
                let _ = writeln!(wrong, "ours: {}\n{report}", path.display());
            }
            assert!(report.is_ok() || !report.to_string().is_empty(), "{}", path.display());
            if let Some(promtool) = &promtool {
                let (verdict, text) = promtool_says(promtool, &path);
                if verdict != expected {
                    let _ = writeln!(wrong, "promtool: {}\n{text}", path.display());
                }
            }
            asked += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(asked >= 50, "only {asked} files");
}

#[test]
fn what_promtool_learned_later() {
    let mut wrong = String::new();
    for path in test_files("new") {
        let expected = path.file_name().unwrap().to_string_lossy().starts_with("pass-");
        let report = ours(&path);
        if report.is_ok() != expected {
            let _ = writeln!(wrong, "{}\n{report}", path.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_failure_says_where_and_what() {
    let text = |folder: &str, name: &str| {
        let path = test_files(folder).into_iter().find(|p| p.ends_with(name)).unwrap();
        let report = ours(&path);
        let directory = format!("{}/", path.parent().unwrap().display());
        report.to_string().replace(&directory, "")
    };
    let pending = text("fail", "pending-is-not-firing.yml");
    assert!(pending.starts_with("pending-is-not-firing.yml:10: alert Down at 6m\n"), "{pending}");
    assert!(pending.contains("    got: nothing\n"), "{pending}");
    assert!(pending.contains("pending since 5m and fires once that is 2m ago"), "{pending}");
    let unknown = text("fail", "unknown-alert-expected.yml");
    assert!(unknown.contains("no rule file has an alert named \"Dwon\""), "{unknown}");
    let key = text("fail", "unknown-key.yml");
    assert!(key.contains("unknown-key.yml:3:3: error: unknown key \"inputs\""), "{key}");
    let nan = text("fail", "nan-equals-nothing.yml");
    assert!(nan.contains("NaN equals nothing"), "{nan}");
    let limit = text("fail", "rule-makes-more-than-its-limit.yml");
    assert!(limit.contains("rule Many at 1m"), "{limit}");
    assert!(limit.contains("exceeded limit of 1 with 2 alerts"), "{limit}");
    let fuzzy = text("new", "fail-without-fuzzy-compare.yml");
    assert!(
        fuzzy.contains("expected:\n      {} 0.3\n    got:\n      {} 0.30000000000000004"),
        "{fuzzy}"
    );
}

#[test]
fn alerts_that_no_test_saw_are_named() {
    let path = test_files("pass").into_iter().find(|p| p.ends_with("error-rate.yml")).unwrap();
    let report = ours(&path);
    assert_eq!(report.never_fired, ["Bare", "Down"]);
    assert!(report.never_resolved.contains(&"Gone".into()));
    assert!(!report.never_resolved.contains(&"HighErrorRate".into()));
    let only = Some(regex::Regex::new("nothing").unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    let files = Folder(path.parent().unwrap().to_owned());
    let options = RunOptions { only, dump: true, ..RunOptions::default() };
    let report = run("t.yml", &text, &files, &options);
    assert_eq!((report.groups.len(), report.skipped, report.is_ok()), (0, 1, true));
    let options = RunOptions { dump: true, ..RunOptions::default() };
    let dump = run("t.yml", &text, &files, &options).groups[0].dump.clone().unwrap();
    assert!(dump.iter().any(|line| line.starts_with("ALERTS{")), "{dump:?}");
}

#[test]
fn fuzz_rule_test_file_holds() {
    crate::fuzzing::run("rule_test_file", fuzz_rule_test_file);
}

/// kube-prometheus' rules over series made up for them: what fires according to us is written
/// down as expectations, and promtool must agree; with one expectation taken out, it must not.
#[test]
fn kube_prometheus_behaves_as_in_promtool() {
    let folder = std::env::var_os("SKOPOS_KUBE_PROMETHEUS_DIR").map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../../shared/conformance/rules/kube-prometheus")
        },
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no manifests in {} (SKOPOS_KUBE_PROMETHEUS_DIR)", folder.display());
        return;
    };
    let mut manifests: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    manifests.retain(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"));
    manifests.sort();
    let promtool = promtool();
    let work = std::env::temp_dir().join(format!("skopos-rule-tests-{}", std::process::id()));
    std::fs::create_dir_all(&work).unwrap();
    let (mut fired, mut alerts) = (0, 0);
    for manifest in manifests {
        let name = manifest.file_stem().unwrap().to_string_lossy().into_owned();
        let rules_path = work.join(format!("{name}.yml"));
        std::fs::write(&rules_path, spec_of(&std::fs::read_to_string(&manifest).unwrap())).unwrap();
        let text = std::fs::read_to_string(&rules_path).unwrap();
        let set = rules::load(&[("rules.yml", &text)]).unwrap();
        let questions = questions(&set, &format!("{name}.yml"));
        let path = work.join(format!("{name}.test.yml"));
        std::fs::write(&path, questions.to_string()).unwrap();
        let answered = with_answers(questions, &ours(&path));
        let expected = answered["tests"][0]["alert_rule_test"].as_array().unwrap();
        let fires = |test: &&Value| !test["exp_alerts"].as_array().unwrap().is_empty();
        fired += expected.iter().filter(fires).count();
        alerts += expected.len();
        std::fs::write(&path, answered.to_string()).unwrap();
        let report = ours(&path);
        assert!(report.is_ok(), "{report}");
        let mut spoilt = answered.clone();
        let tests = spoilt["tests"][0]["alert_rule_test"].as_array_mut().unwrap();
        let spoils = tests.iter_mut().find(|test| fires(&&**test));
        let is_spoilt = spoils.is_some_and(|test| {
            test["exp_alerts"].as_array_mut().unwrap().pop();
            true
        });
        let spoilt_path = work.join(format!("{name}.spoilt.yml"));
        std::fs::write(&spoilt_path, spoilt.to_string()).unwrap();
        assert_eq!(ours(&spoilt_path).is_ok(), !is_spoilt, "{name}");
        if let Some(promtool) = &promtool {
            let (verdict, text) = promtool_says(promtool, &path);
            assert!(verdict, "{name}: {text}");
            assert_eq!(promtool_says(promtool, &spoilt_path).0, !is_spoilt, "{name}");
        }
    }
    println!("{fired} of {alerts} alert tests expect alerts");
    assert!(fired >= 30, "{fired} of {alerts}");
    std::fs::remove_dir_all(&work).unwrap();
}

/// What stands under `spec:` in a PrometheusRule, moved to the left.
fn spec_of(manifest: &str) -> String {
    let (_, spec) = manifest.split_once("\nspec:\n").unwrap();
    spec.lines().fold(String::new(), |mut out, line| {
        out.push_str(line.strip_prefix("  ").unwrap_or(line));
        out.push('\n');
        out
    })
}

/// A test that expects nothing, about every alert at three times, over two series for each
/// selector of each rule.
fn questions(set: &RuleSet, rule_file: &str) -> Value {
    let mut input: BTreeMap<Labels, String> = BTreeMap::new();
    let mut names = Vec::new();
    for rule in set.groups.iter().flat_map(|group| &group.rules) {
        if rule.alerting().is_some() && !names.contains(&rule.name) {
            names.push(rule.name.clone());
        }
        let expr = skopos_promql::parse(rule.expr.as_str(), &ParseOptions::default()).unwrap();
        let plan = Plan::new(&expr, EvalParams::instant(0)).unwrap();
        let is_recorded = |name: &str| {
            let mut rules = set.groups.iter().flat_map(|group| &group.rules);
            rules.any(|rule| rule.alerting().is_none() && rule.name == name)
        };
        for select in plan.selects() {
            let names = |m: &&skopos_model::LabelMatcher| m.name() == "__name__";
            let name = select.matchers.iter().find(names).map_or("", |m| m.value());
            if is_recorded(name) {
                continue;
            }
            for instance in ["one:9100", "two:9100"] {
                let mut labels = Labels::from_pairs([
                    ("cluster", "c"),
                    ("namespace", "ns"),
                    ("pod", instance.split(':').next().unwrap()),
                    ("container", "app"),
                    ("node", "n"),
                    ("instance", instance),
                ])
                .to_builder();
                for matcher in &select.matchers {
                    match matcher.op() {
                        MatchOp::Equal => drop(labels.set(matcher.name(), matcher.value())),
                        MatchOp::Regex => {
                            let candidates = [
                                matcher.value().split(['|', '(', ')']).find(|p| {
                                    !p.is_empty() && matcher.matches(&p.replace(".+", "x"))
                                }),
                                Some("x"),
                                Some("500"),
                                Some("node-exporter"),
                            ];
                            let mut found = candidates.into_iter().flatten();
                            let value = found.find(|v| matcher.matches(v));
                            labels.set(matcher.name(), value.unwrap_or("x"));
                        }
                        MatchOp::NotEqual | MatchOp::NotRegex => {}
                    }
                }
                let labels = labels.build();
                let name = labels.metric_name().to_string();
                let hash = labels.series_id().0 as u64;
                let slope = [0, 1, 7, 60][(hash % 4) as usize];
                let values = match name.rsplit('_').next() {
                    Some("total" | "count" | "sum" | "bucket") => format!("100000+{slope}x70"),
                    Some("seconds") => format!("{slope}+59x70"),
                    // Rules ask for the greatest of these: of equal ones it would be any.
                    Some("resourcequota") if instance.starts_with("two") => "90+1x70".into(),
                    _ => ["0x70", "1x70", "3+2x70", "400-3x70"][(hash % 4) as usize].to_string(),
                };
                input.insert(labels, values);
            }
        }
    }
    let series: Vec<Value> = input
        .iter()
        .map(|(labels, values)| json!({"series": labels.to_string(), "values": values}))
        .collect();
    let tests: Vec<Value> = names
        .iter()
        .flat_map(|name| {
            let at = ["7m", "21m"];
            at.map(|at| json!({"eval_time": at, "alertname": name, "exp_alerts": []}))
        })
        .collect();
    let order: Vec<&str> = set.groups.iter().map(|group| group.name.as_str()).collect();
    json!({
        "rule_files": [rule_file],
        // Without an order promtool evaluates groups in any.
        "group_eval_order": order,
        "evaluation_interval": "1m",
        // Samples never fall on the edge of a range, where Prometheus 2 and 3 differ.
        "tests": [{"interval": "59s", "input_series": series, "alert_rule_test": tests}],
    })
}

/// The questions with what fired as their expectation.
fn with_answers(mut questions: Value, report: &FileReport) -> Value {
    assert_eq!(report.errors, []);
    let tests = questions["tests"][0]["alert_rule_test"].as_array_mut().unwrap();
    for failure in &report.groups[0].failures {
        assert_eq!(failure.message, None, "{report}");
        let words: Vec<&str> = failure.what.split(' ').collect();
        let test = tests
            .iter_mut()
            .find(|test| test["alertname"] == words[1] && test["eval_time"] == words[3])
            .unwrap();
        let alerts = failure.got.iter().map(|lines| {
            let labels = skopos_promql::promqltest::parse_series(&lines[0]).unwrap().0;
            let labels: BTreeMap<String, String> =
                labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let annotations = lines[1..].iter().map(|line| {
                let (name, value) = line.trim().split_once(": ").unwrap();
                (name.to_string(), serde_json::from_str::<String>(value).unwrap())
            });
            let annotations: BTreeMap<String, String> = annotations.collect();
            json!({"exp_labels": labels, "exp_annotations": annotations})
        });
        test["exp_alerts"] = alerts.collect();
    }
    questions
}
