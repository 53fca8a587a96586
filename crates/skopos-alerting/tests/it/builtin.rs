//! The rules that come with Skopos: each is tested, documented and sensible.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use skopos_alerting::builtin;
use skopos_alerting::rule_test::{RuleFiles, RunOptions, run};
use skopos_alerting::rules::{self, Rule, RuleSet};

const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules");

/// The headings that answer the five questions, in order.
const QUESTIONS: [&str; 5] = [
    "## What does this mean?",
    "## User impact",
    "## First three diagnostic steps",
    "## Common causes and fixes",
    "## Escalation path",
];

struct Embedded;

impl RuleFiles for Embedded {
    fn find(&self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        let name = pattern.trim_start_matches("../");
        let files = builtin::rule_files().iter().filter(|file| file.name() == name);
        Ok(files.map(|file| (file.path.to_string(), file.text.to_string())).collect())
    }
}

fn pack() -> RuleSet {
    let files: Vec<_> = builtin::rule_files().iter().map(|file| (file.path, file.text)).collect();
    rules::load(&files).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn alerts(set: &RuleSet) -> impl Iterator<Item = &Rule> {
    let rules = set.groups.iter().flat_map(|group| &group.rules);
    rules.map(AsRef::as_ref).filter(|rule: &&Rule| rule.alerting().is_some())
}

#[test]
fn every_rule_fires_and_resolves_in_a_test() {
    let (mut fired, mut resolved) = (BTreeSet::new(), BTreeSet::new());
    let set = pack();
    let names: BTreeSet<String> = alerts(&set).map(|rule| rule.name.clone()).collect();
    for file in builtin::test_files() {
        let report = run(file.path, file.text, &Embedded, &RunOptions::default());
        assert!(report.is_ok(), "{report}");
        assert_eq!(report.warnings, [""; 0]);
        for name in names.iter().filter(|name| file.text.contains(&format!("alertname: {name}\n")))
        {
            if !report.never_fired.contains(name) {
                fired.insert(name.clone());
            }
            if !report.never_resolved.contains(name) {
                resolved.insert(name.clone());
            }
        }
    }
    assert_eq!(fired, names);
    assert_eq!(resolved, names);
}

/// WARN means that something was handled: nobody is called for it, however much of it there is.
#[test]
fn warnings_alone_alert_nobody() {
    let set = pack();
    let names: BTreeSet<&str> = alerts(&set).map(|rule| rule.name.as_str()).collect();
    let files = builtin::rule_files().iter().map(|file| format!("'{}'", file.name()));
    let files = files.collect::<Vec<_>>().join(", ");
    for (severity, want) in [("WARN", ""), ("INFO", ""), ("ERROR", "ErrorLogs")] {
        // A day of calm, then a storm of a day.
        let text = format!(
            "rule_files: [{files}]\nevaluation_interval: 5m\ntests:\n- interval: 5m\n  input_series:\n  \
             - {{series: 'log_records_total{{service_name=\"shop\", severity=\"{severity}\"}}', values: '0x288 0+9000x288'}}\n  \
             alert_rule_test:\n  - {{eval_time: 47h, alertname: NoTraffic}}\n"
        );
        let report = run("warnings.yml", &text, &Embedded, &RunOptions::default());
        assert!(report.is_ok(), "{report}");
        let quiet: BTreeSet<&str> = report.never_fired.iter().map(String::as_str).collect();
        let fired: Vec<&str> = names.difference(&quiet).copied().collect();
        assert_eq!(fired.join(" "), want, "{severity}");
    }
}

#[test]
fn promtool_agrees_on_the_packs_tests() {
    let promtool = std::env::var("SKOPOS_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    if Command::new(&promtool).arg("--version").output().is_err() {
        println!("skipped: {promtool} is not installed");
        return;
    }
    let paths = builtin::test_files().iter().map(|file| format!("{PACK}/{}", file.name()));
    let output = Command::new(&promtool).args(["test", "rules"]).args(paths).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let set = pack();
    let mut linked = BTreeSet::new();
    for rule in alerts(&set) {
        let spec = rule.alerting().unwrap();
        let severity = rule.labels["severity"].as_str();
        assert!(["critical", "high", "warning"].contains(&severity), "{}: {severity}", rule.name);
        assert!(spec.hold.as_secs() >= 300, "{} fires on a transient spike", rule.name);
        for name in ["summary", "description", "runbook"] {
            assert!(spec.annotations.contains_key(name), "{} has no {name}", rule.name);
        }
        let page = builtin::runbook(&spec.annotations["runbook"])
            .unwrap_or_else(|| panic!("{} links to no page", rule.name));
        let title = page.text.lines().next().unwrap();
        assert_eq!(title, format!("# {}", rule.name), "{}", page.path);
        let level = match severity {
            "critical" => "critical (P1)",
            "high" => "high (P2)",
            _ => "warning (P3)",
        };
        assert!(page.text.contains(&format!("Severity: {level}")), "{}: {level}", page.path);
        let mut rest = page.text;
        for question in QUESTIONS {
            let (_, after) = rest
                .split_once(&format!("\n{question}\n"))
                .unwrap_or_else(|| panic!("{}: no {question:?}", page.path));
            let answer = after.split("\n## ").next().unwrap().trim();
            assert!(answer.len() > 80, "{}: {question:?} is hardly answered", page.path);
            rest = after;
        }
        for step in ["\n1. ", "\n2. ", "\n3. "] {
            assert!(page.text.contains(step), "{}: three steps", page.path);
        }
        linked.insert(page.name());
    }
    let pages: BTreeSet<_> = builtin::runbooks().iter().map(|page| page.name()).collect();
    assert_eq!(linked, pages);
}

#[test]
fn only_what_users_feel_or_may_lose_pages() {
    let set = pack();
    let critical: Vec<_> = alerts(&set)
        .filter(|rule| rule.labels["severity"] == "critical")
        .map(|rule| rule.name.as_str())
        .collect();
    let pages =
        ["HighErrorRate", "HighLatency", "SkoposWriteFailure", "SkoposNotificationFailures"];
    assert_eq!(critical, pages);
}

#[test]
fn every_file_of_the_folder_is_embedded() {
    let mut found = BTreeSet::new();
    for folder in ["", "tests/", "runbooks/"] {
        for entry in std::fs::read_dir(Path::new(PACK).join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                found.insert(format!("{folder}{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    found.remove("README.md");
    let all = [builtin::rule_files(), builtin::test_files(), builtin::runbooks()].concat();
    let embedded: BTreeSet<String> = all.iter().map(|file| file.name().to_string()).collect();
    assert_eq!(found, embedded);
    assert_eq!(
        builtin::runbook("builtin/runbooks/no-traffic.md"),
        builtin::runbook("runbooks/no-traffic.md")
    );
    assert_eq!(builtin::runbook("runbooks/../skopos.yml"), None);
}
