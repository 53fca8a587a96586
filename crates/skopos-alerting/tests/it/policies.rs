//! No data and errors, with and without a policy: as tables like those of the timelines.

use skopos_alerting::{NoData, OnError, Policies, Settings};

use crate::harness::{World, elements, seconds, settings};

fn with(no_data: Option<NoData>, on_error: Option<OnError>) -> Settings {
    Settings {
        policies: Policies {
            no_data: no_data.map(|policy| ("*".to_string(), policy)).into_iter().collect(),
            on_error: on_error.map(|policy| ("*".to_string(), policy)).into_iter().collect(),
        },
        ..settings()
    }
}

/// Runs a table against a rule with `for: 15s`: `second | answer | states`, where the name of the
/// alert that stands for a missing result is its reason.
fn check(settings: Settings, table: &str) -> World {
    let rules = "groups:\n- name: g\n  interval: 15s\n  rules:\n  - alert: X\n    expr: rate(m[1m]) > 0\n    for: 15s\n    labels: {severity: page, level: '{{ $value }}'}\n    annotations: {runbook: docs/x.md, summary: '{{ $value }} is too much'}\n";
    let mut world = World::new(rules, settings);
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let slot = seconds(cells[0].parse().unwrap());
        if cells[1] == "restart" {
            world.restart(slot);
            continue;
        }
        world.blind = cells[1] == "%";
        world.step(0, 0, slot, elements(cells[1]));
        assert_eq!(states(&world), cells[2], "at {line}");
    }
    world
}

fn states(world: &World) -> String {
    let view = world.engine.view();
    let alerts = &view[0].rules[0].alerting.as_ref().unwrap().alerts;
    let mut words: Vec<String> = alerts
        .iter()
        .map(|alert| {
            let name = alert.labels.get("reason").or(alert.labels.get("instance")).unwrap_or("*");
            let state = match alert.state {
                skopos_alerting::AlertState::Resolved => "resolved",
                other => other.as_str(),
            };
            format!("{name}:{state}")
        })
        .collect();
    words.sort();
    if words.is_empty() { "-".into() } else { words.join(" ") }
}

#[test]
fn without_a_policy_no_data_is_good_news_and_errors_change_nothing() {
    let world = check(
        with(None, None),
        "  0 | a=1 | a:pending
          15 | a=1 | a:firing
          30 | !   | a:firing
          45 | %   | a:resolved
          60 | %   | a:resolved",
    );
    let rule = &world.engine.view()[0].rules[0];
    assert_eq!(rule.blind, ["m"], "but it shows");
    assert_eq!(rule.series_fetched, Some(0));
    assert_eq!(world.engine.blind_rules(), 1);
}

#[test]
fn no_data_keeps_what_was() {
    check(
        with(Some(NoData::Keep), None),
        "  0 | a=1     | a:pending
          15 | a=1,b=1 | a:firing b:pending
          30 | %       | a:firing b:pending
          45 | %       | a:firing b:pending
          60 | b=1     | a:resolved b:firing
          75 | -       | a:resolved b:resolved",
    );
}

#[test]
fn no_data_is_an_alert_of_its_own() {
    let world = check(
        with(Some(NoData::Alert), None),
        "  0 | a=1 | a:pending
          15 | a=1 | a:firing
          30 | %   | a:firing no_data:pending
          31 | restart
          45 | %   | a:firing no_data:firing
          60 | a=1 | a:firing no_data:resolved
          75 | -   | a:resolved no_data:resolved
          90 | %   | a:resolved no_data:pending",
    );
    let lines = world.log.sample_lines();
    for line in [
        r#"ALERTS{alertname="X", alertstate="firing", level="NaN", reason="no_data", severity="page"} @45000 1"#,
        r#"ALERTS{alertname="X", alertstate="firing", instance="a", level="1", severity="page"} @45000 1"#,
    ] {
        assert!(lines.contains(line), "{line} not in {lines:#?}");
    }
    let view = world.engine.view();
    let alerts = &view[0].rules[0].alerting.as_ref().unwrap().alerts;
    let alert = alerts.iter().find(|a| a.labels.get("reason").is_some()).unwrap();
    assert_eq!(alert.annotations["summary"], "X has no data: no series match m");
    assert_eq!(alert.annotations["runbook"], "docs/x.md");
    assert_eq!(alert.annotations.len(), 2);
}

#[test]
fn an_error_is_an_alert_of_its_own_and_resolves_nothing() {
    let world = check(
        with(None, Some(OnError::Alert)),
        "  0 | a=1 | a:pending
          15 | !   | a:pending error:pending
          30 | !   | a:pending error:firing
          45 | a=1 | a:firing error:resolved
          60 | !   | a:firing error:pending
          75 | -   | a:resolved",
    );
    let view = &world.engine.view()[0].rules[0];
    assert_eq!((view.policy.no_data, view.policy.on_error), (NoData::Ok, OnError::Alert));
}

#[test]
fn a_result_without_elements_is_no_want_of_data_while_series_match() {
    check(
        with(Some(NoData::Alert), None),
        " 0 | a=1 | a:pending
         15 | -   | -
         30 | -   | -",
    );
}
