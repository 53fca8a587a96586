//! Rules for plain Prometheus: promtool accepts them, and no text of people breaks them.

use std::process::Command;

use skopos_alerting::slo::rules::{alert_rules, prometheus_rules};
use skopos_promql::promqltest::Store;

use crate::slo_world::{HOUR, MINUTE, Rules, START, set_of};

const EVERY_FORM: &str = include_str!("../../corpus/slo_file/native.yml");
const OPENSLO: &str = include_str!("../../corpus/slo_file/openslo.yml");

/// The objective of sloth's first example.
const GETTING_STARTED: &str = r#"
slo: myservice-requests-availability
service: myservice
owner: myteam
runbook: runbooks/myservice.md
sli:
  bad: sum(rate(http_request_duration_seconds_count{job="myservice",code=~"(5..|429)"}[{{.window}}]))
  total: sum(rate(http_request_duration_seconds_count{job="myservice"}[{{.window}}]))
target: 99.9%
window: 30d
"#;

#[test]
fn promtool_accepts_what_is_generated() {
    let mut slos = set_of(EVERY_FORM).slos;
    slos.extend(set_of(OPENSLO).slos);
    slos.extend(set_of(GETTING_STARTED).slos);
    let text = prometheus_rules(&slos);
    let ours = skopos_alerting::rules::load(&[("generated.yml", &text)]);
    let ours = ours.unwrap_or_else(|errors| panic!("{}", errors[0]));
    let promtool = std::env::var("SKOPOS_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let path = std::env::temp_dir().join(format!("skopos-slo-rules-{}.yml", std::process::id()));
    std::fs::write(&path, &text).unwrap();
    let Ok(output) = Command::new(&promtool).args(["check", "rules"]).arg(&path).output() else {
        println!("skipped: {promtool} is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{} rules found", ours.rule_count())), "{said}");
    // It does refuse what is wrong.
    std::fs::write(&path, text.replace("avg_over_time", "avrg_over_time")).unwrap();
    let output = Command::new(&promtool).args(["check", "rules"]).arg(&path).output().unwrap();
    assert!(!output.status.success());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn texts_of_people_break_no_template() {
    let text = GETTING_STARTED
        .replace("owner: myteam", "owner: 'a {{ b }} \"c\" \\'")
        .replace("runbooks/myservice.md", "'https://x/{{y'");
    let set = set_of(&text);
    let rules = alert_rules(&set).unwrap();
    let mut rules = Rules::new(rules, START);
    let mut store = Store::default();
    rules.step(&mut store, START + MINUTE);
    rules.step(&mut store, START + HOUR);
    let alerts = rules.engine.active_alerts();
    assert_eq!(alerts.len(), 1, "no data is told");
    assert_eq!(alerts[0].labels.value("owner"), "a {{ b }} \"c\" \\");
    assert_eq!(alerts[0].annotations["runbook"], "https://x/{{y");
}
