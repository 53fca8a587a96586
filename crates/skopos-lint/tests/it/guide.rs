//! The guide's own rules, good and bad.

use std::path::Path;

use skopos_lint::{NoPages, Options, Report, Severity, check};

fn example(name: &str) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guide").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    check(&[(name, &text)], &Options::default(), &NoPages)
}

/// The codes found for one alert, of a weight or more.
fn codes<'r>(report: &'r Report, alert: &str, least: Severity) -> Vec<&'r str> {
    let of_alert = report.findings.iter().filter(|f| f.rule.as_deref() == Some(alert));
    of_alert.filter(|f| f.severity >= least).map(|f| f.code).collect()
}

#[test]
fn the_guides_rules_get_no_error_and_no_warning() {
    let report = example("rules.yml");
    assert_eq!((report.groups, report.alerting_rules), (2, 5));
    assert!(report.is_below(Severity::Warning), "{}", report.render(Severity::Warning));
    let counts = report.counts();
    assert_eq!(counts.get("runbook/unverified"), Some(&5), "addresses are not fetched: {counts:?}");
    // `for: 2m` stands, because it is a burn rate.
    assert!(!counts.contains_key("rule/for"), "{counts:?}");
}

#[test]
fn high_cpu_is_a_cause_and_a_raw_counter() {
    let report = example("anti-examples.yml");
    let wrong = codes(&report, "HighCPU", Severity::Warning);
    for code in
        ["alerts/cause", "promql/counter", "rule/for", "severity/missing", "runbook/missing"]
    {
        assert!(wrong.contains(&code), "{code} of {wrong:?}");
    }
    assert!(!report.is_below(Severity::Error));
    let good = codes(&report, "HighErrorRate", Severity::Warning);
    assert!(good.is_empty(), "{good:?}");
}
