//! Rule files: what loads, and what is refused where.

use std::path::{Path, PathBuf};
use std::time::Duration;

use skopos_alerting::rules::{CheckReport, fuzz_rule_file, load};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_guides_rules_load() {
    let text = std::fs::read_to_string(repository().join("examples/guide/rules.yml")).unwrap();
    let set = load(&[("examples/guide/rules.yml", &text)]).unwrap();
    let names: Vec<&str> =
        set.groups.iter().flat_map(|g| g.rules.iter().map(|r| r.name.as_str())).collect();
    assert_eq!(names, ["HighErrorRate", "HighLatency", "NoTraffic", "SLOFastBurn", "SLOSlowBurn"]);
    for rule in set.groups.iter().flat_map(|g| &g.rules) {
        let spec = rule.alerting().unwrap();
        assert!(spec.annotations["runbook"].starts_with("https://wiki.internal/runbooks/"));
        assert!(spec.hold >= Duration::from_secs(120));
    }
    let slow = &set.groups[1].rules[1];
    assert_eq!(slow.expr.range(), Duration::from_secs(3600));
    assert_eq!(set.groups[0].rules[0].labels["severity"], "critical");
}

#[test]
fn kube_prometheus_rules_load() {
    let folder = repository().join("../shared/conformance/rules/kube-prometheus");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is absent", folder.display());
        return;
    };
    let mut rules = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // A Kubernetes object: the rule file is what stands under `spec`.
        let spec = text.split_once("\nspec:\n").expect("no spec").1;
        match load(&[(path.to_str().unwrap(), spec)]) {
            Ok(set) => rules += set.rule_count(),
            Err(errors) => panic!("{}", errors[0]),
        }
    }
    assert!(rules > 100, "only {rules} rules");
}

fn report(text: &str) -> String {
    CheckReport::of(&[("rules.yml", text)]).to_string()
}

#[test]
fn a_misspelt_key_is_shown_with_its_line() {
    let text = "groups:\n  - name: a\n    rules:\n      - alert: X\n        exprr: up == 0\n        for: 5m\n";
    assert_eq!(
        report(text),
        "rules.yml:4:16: error: rule \"X\" needs an `expr`
  4 |       - alert: X
    |                ^

rules.yml:5:9: error: unknown key \"exprr\" in a rule
  5 |         exprr: up == 0
    |         ^^^^^
    = hint: did you mean `expr`?

2 errors in 1 file"
    );
}

#[test]
fn an_error_inside_a_block_scalar_points_into_it() {
    let text = "groups:\n- name: a\n  rules:\n  - alert: X\n    expr: |\n      sum(rate(x[5m]))\n        / sum(rate(y[5m])) > )\n";
    let report = CheckReport::of(&[("r.yml", text)]);
    let error = &report.errors[0];
    assert_eq!((error.line, error.column, error.code), (7, 30, "promql"), "{error}");

    let text = "groups:\n- name: a\n  rules:\n  - alert: X\n    expr: up\n    annotations:\n      summary: >-\n        first line\n        {{ $valeu | humanize }}\n";
    let report = CheckReport::of(&[("r.yml", text)]);
    let error = &report.errors[0];
    assert_eq!((error.line, error.column, error.code), (9, 12, "template"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("did you mean `$value`?"));
}

#[test]
fn all_errors_of_all_files_are_reported() {
    let bad = "groups:\n- name: ''\n  interval: 5 minutes\n  limit: many\n  rules:\n  - record: a{b}\n    expr: up\n    for: 5m\n  - alert: X\n    record: y\n    expr: up\n  - expr: up\n  - alert: Y\n    expr: sum(up\n    labels: {__name__: x}\n- name: d\n- name: d\n";
    let errors = load(&[("one.yml", bad), ("two.yml", "groups: 5\n"), ("three.yml", "a: [\n")])
        .expect_err("must be refused");
    let found: Vec<String> =
        errors.iter().map(|e| format!("{}:{}:{} {}", e.file, e.line, e.column, e.code)).collect();
    assert_eq!(
        found,
        [
            "one.yml:2:9 value",
            "one.yml:3:13 value",
            "one.yml:4:10 value",
            "one.yml:6:13 name",
            "one.yml:8:5 conflict",
            "one.yml:10:5 conflict",
            "one.yml:12:5 missing-key",
            "one.yml:14:14 promql",
            "one.yml:15:14 name",
            "one.yml:17:9 duplicate",
            "two.yml:1:9 value",
            "three.yml:1:4 yaml",
        ]
    );
}

#[test]
fn identity_outlives_harmless_edits() {
    let file = |name: &str, expr: &str, hold: &str, label: &str| {
        format!(
            "groups:\n- name: g\n  rules:\n  - alert: Other\n    expr: vector(0)\n  - alert: {name}\n    expr: {expr}\n    for: {hold}\n    labels: {{team: {label}}}\n"
        )
    };
    let id = |path: &str, text: &str| {
        let set = load(&[(path, text)]).unwrap();
        set.groups[0].rules.last().unwrap().id
    };
    let original = id("rules/a.yml", &file("X", "up == 0", "5m", "web"));
    assert_eq!(
        original,
        id("/etc/rules/a.yml", &file("X", "up == 0", "5m", "web")),
        "folder moved"
    );
    assert_eq!(original, id("rules/a.yml", &file("X", "up < 1", "10m", "web")), "expr, for edited");
    assert_ne!(original, id("rules/a.yml", &file("Y", "up == 0", "5m", "web")), "renamed");
    assert_ne!(original, id("rules/a.yml", &file("X", "up == 0", "5m", "db")), "other labels");
    assert_ne!(original, id("rules/b.yml", &file("X", "up == 0", "5m", "web")), "other file");

    let twice =
        "groups:\n- name: g\n  rules:\n  - {alert: X, expr: up}\n  - {alert: X, expr: down}\n";
    let set = load(&[("a.yml", twice)]).unwrap();
    assert_ne!(set.groups[0].rules[0].id, set.groups[0].rules[1].id);
    let set = load(&[("x/a.yml", twice), ("y/a.yml", twice)]).unwrap();
    assert_ne!(set.groups[0].id, set.groups[1].id);
}

#[test]
fn group_labels_and_yaml_features() {
    let text = "groups:\n- name: g\n  interval: 30s\n  query_offset: 1m\n  limit: 10\n  labels: {team: web, tier: 1}\n  rules:\n  - alert: X\n    expr: 1\n    keep_firing_for: 2m\n    labels: {team: db}\n  - record: a:b\n    expr: &e sum(up)\n  - record: a:c\n    expr: *e\n";
    let set = load(&[("a.yml", text)]).unwrap();
    let group = &set.groups[0];
    assert_eq!(group.interval, Some(Duration::from_secs(30)));
    assert_eq!(group.query_offset, Some(Duration::from_secs(60)));
    assert_eq!(group.limit, 10);
    let labels: Vec<_> = group.rules[0].labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(labels, ["team=db", "tier=1"]);
    assert_eq!(group.rules[0].expr.as_str(), "1");
    assert_eq!(group.rules[2].expr.as_str(), "sum(up)");
    assert!(load(&[("empty.yml", ""), ("null.yml", "groups:\n")]).unwrap().groups.is_empty());
}

#[test]
fn the_report_is_json_able() {
    let report = CheckReport::of(&[("a.yml", "groups:\n- name: a\n  rule: []\n")]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["errors"][0]["line"], 3);
    assert_eq!(json["errors"][0]["hint"], "did you mean `rules`?");
    assert_eq!(
        CheckReport::of(&[("a.yml", "")]).to_string(),
        "1 file ok: 0 groups, 0 alerting rules, 0 recording rules"
    );
}

#[test]
fn fuzz() {
    crate::fuzzing::run("rule_file", fuzz_rule_file);
}
