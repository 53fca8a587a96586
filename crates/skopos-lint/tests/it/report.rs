//! What a run prints, as text, JSON and SARIF, and how much of it.

use skopos_lint::{NoPages, Options, Severity, check, sarif};

const FILE: &str = "groups:\n- name: g\n  rules:\n  - alert: Errors\n    expr: |\n      min(up)\n        < 0\n    labels: {severity: P3}\n    annotations: {summary: 'é {{ $value }}'}\n  - alert: Down # skopos:ignore rule/for quick\n    expr: up == 0\n";

fn options(only: &[&str]) -> Options {
    Options { only: only.iter().map(|s| s.to_string()).collect(), ..Options::default() }
}

#[test]
fn findings_point_into_folded_text_and_count_characters() {
    let report =
        check(&[("a.yml", FILE)], &options(&["alerts/threshold", "alerts/value"]), &NoPages);
    let places: Vec<_> =
        report.findings.iter().map(|f| (f.code, f.line, f.column, f.width)).collect();
    assert_eq!(places, [("alerts/threshold", 6, 7, 7), ("alerts/value", 9, 34, 6)]);
    assert_eq!(
        report.findings[0].to_string(),
        "a.yml:6:7: error[alerts/threshold]: `min(up) < 0` never holds: the left side lies between 0 and 1\n  \
         6 |       min(up)\n    |       ^^^^^^^"
    );
}

#[test]
fn the_summary_counts_and_says_what_is_hidden() {
    let report = check(&[("a.yml", FILE)], &options(&["rule/for", "alerts/*"]), &NoPages);
    assert_eq!(
        report.summary(),
        "1 file (1 group, 2 alerting rules, 0 recording rules): 1 error, 2 warnings, 1 info, 1 suppressed"
    );
    let text = report.render(Severity::Error);
    assert!(text.contains("not shown: 1 alerts/summary, 1 alerts/value, 1 rule/for"), "{text}");
    assert_eq!(report.suppressed[0].reason.as_deref(), Some("quick"));
}

#[test]
fn sarif_names_rules_places_and_suppressions() {
    let report = check(&[("a.yml", FILE)], &options(&["rule/for", "alerts/threshold"]), &NoPages);
    let value = sarif(&report, "1.2.3");
    let run = &value["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    let first = &results[0];
    let index = first["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], first["ruleId"]);
    let region = &results.iter().find(|r| r["ruleId"] == "alerts/threshold").unwrap()["locations"]
        [0]["physicalLocation"]["region"];
    assert_eq!(
        (&region["startLine"], &region["startColumn"], &region["endColumn"]),
        (&6.into(), &7.into(), &14.into())
    );
    assert_eq!(results[2]["suppressions"][0]["justification"], "quick");
}

#[test]
fn pints_comments_are_honoured_and_snoozes_end() {
    let file = "groups:\n- name: g\n  rules:\n  # pint snooze 2026-06-01 promql/counter\n  - alert: A\n    expr: a_total > 1\n  # pint disable promql/counter\n  - alert: B\n    expr: b_total > 1\n";
    for (today, want) in [("2026-05-31", 0), ("2026-06-02", 1)] {
        let options = Options { today: Some(today.into()), ..options(&["promql/counter"]) };
        let report = check(&[("a.yml", file)], &options, &NoPages);
        assert_eq!(report.findings.len(), want, "{today}: {:?}", report.findings);
        assert!(report.suppressed.iter().any(|s| s.finding.rule.as_deref() == Some("B")));
    }
}

#[test]
fn what_does_not_load_is_told_with_everything_else() {
    let bad = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: sum(up\n  - alert: B\n    exprr: up\n  - alert: C\n    expr: count(up) == 0\n";
    let report = check(&[("bad.yml", bad)], &Options::default(), &NoPages);
    let errors: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(|f| (f.line, f.code))
        .collect();
    assert_eq!(
        errors,
        [(5, "promql/syntax"), (6, "rule/schema"), (7, "rule/schema"), (9, "alerts/threshold")]
    );
}

#[test]
fn kubernetes_objects_are_read_by_their_spec() {
    let file = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: é\nspec:\n  groups:\n  - name: g\n    rules:\n    - alert: A\n      expr: count(up) == 0\n";
    let report =
        check(&[("a.yml", file)], &options(&["alerts/threshold", "rule/schema"]), &NoPages);
    let places: Vec<_> = report.findings.iter().map(|f| (f.code, f.line, f.column)).collect();
    assert_eq!(places, [("alerts/threshold", 10, 13)]);
    // Brackets behind the last scalar belong to it.
    for end in ["{severity: page}", "{severity: [page]\n        }"] {
        let file = format!("{file}      labels: {end}\n");
        let report = check(&[("a.yml", &file)], &options(&["yaml/parse"]), &NoPages);
        assert_eq!(report.findings, [], "{file}");
    }
}

#[test]
fn rules_see_what_other_files_record() {
    let records = "groups:\n- name: r\n  rules:\n  - record: job:errors:ratio\n    expr: sum by (job) (rate(e_total{c=\"5\"}[5m])) / sum by (job) (rate(e_total[5m]))\n";
    let alerts = "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: job:errors:ratio > 5\n    annotations: {summary: '{{ $labels.pod }}'}\n";
    let options = options(&["alerts/threshold", "alerts/template", "rule/dependency"]);
    let report = check(&[("r.yml", records), ("a.yml", alerts)], &options, &NoPages);
    let codes: Vec<_> = report.findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["alerts/threshold", "alerts/template"], "{:?}", report.findings);
}
