//! Why an alert is what it is: what the engine remembers of evaluations.

use std::time::Duration;

use skopos_alerting::{Evaluation, Settings, rules};

use crate::harness::{World, elements, seconds, settings};

fn rule(more: &str) -> String {
    format!(
        "groups:\n- name: g\n  interval: 15s\n  rules:\n  - alert: X\n    expr: rate(m[1m]) > 0\n{more}"
    )
}

fn history(world: &World) -> Vec<Evaluation> {
    world.engine.history(world.set.groups[0].rules[0].id)
}

/// The reasons of the last evaluation: `a pending(30s)`.
fn reasons(world: &World) -> String {
    let last = history(world).pop().expect("an evaluation");
    let mut words: Vec<String> = last
        .alerts
        .iter()
        .map(|o| format!("{} {}", o.labels.get("instance").unwrap_or("*"), o.reason.as_str()))
        .collect();
    words.sort();
    words.join(", ")
}

fn check(rules: &str, settings: Settings, table: &str) -> World {
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
        assert_eq!(reasons(&world), cells[2], "at {line}");
    }
    world
}

#[test]
fn every_change_has_its_reason() {
    let world = check(
        &rule("    for: 30s\n    keep_firing_for: 30s\n"),
        settings(),
        "  0 | a=1     | a pending
          15 | a=1,b=1 | a pending, b pending
          30 | a=1     | a fired, b no_result
          45 | !       | a kept_by_error
          60 | a=1     | a firing
          75 | -       | a keep_firing_for
          90 | -       | a keep_firing_for
         105 | -       | a no_result
         120 | -       | ",
    );
    let all = history(&world);
    let texts: Vec<String> =
        all.iter().flat_map(|e| &e.alerts).map(|outcome| outcome.reason.to_string()).collect();
    assert_eq!(texts[0], "`for` is not over, 30s remain");
    assert_eq!(texts[1], "`for` is not over, 15s remain");
    assert!(
        texts.contains(
            &"no result; `keep_firing_for` keeps it until 1970-01-01T00:01:45.000Z".into()
        ),
        "{texts:#?}"
    );
    let failed = &all[3];
    assert_eq!((failed.elements, failed.read.as_ref()), (None, None));
    assert_eq!(failed.error.as_deref(), Some("storage is away"));
    assert_eq!((all[1].elements, all[1].read.as_ref().unwrap().samples), (Some(2), 3));
}

#[test]
fn the_hold_the_limit_and_a_raised_for_are_named() {
    check(
        &rule(""),
        settings(),
        "  0 | a=1 | a fired
         600 | restart
         615 | -   | a held",
    );
    check(
        &rule("").replace("interval: 15s", "interval: 15s\n  limit: 1"),
        settings(),
        "  0 | a=1     | a fired
          15 | a=1,b=1 | a limit, b limit",
    );
    let mut world = check(&rule(""), settings(), "0 | a=1 | a fired");
    world.set = rules::load(&[("rules.yml", &rule("    for: 1m\n"))]).unwrap();
    world.engine.reload(&world.set, seconds(5));
    world.step(0, 0, seconds(15), elements("a=1"));
    assert_eq!(reasons(&world), "a for_raised");
}

#[test]
fn a_label_made_of_the_value_starts_anew_and_that_is_said() {
    let world = check(
        &rule("    for: 1h\n    labels: {value: '{{ $value }}'}\n"),
        settings(),
        "  0 | a=1     | a pending
          15 | a=2,b=1 | a labels_changed, a pending, b pending
          30 | b=1     | a no_result, b pending",
    );
    let all = history(&world);
    let changed = all[1].alerts.iter().find(|o| o.reason.as_str() == "labels_changed").unwrap();
    assert_eq!(changed.state, None);
    assert!(changed.reason.to_string().contains(r#"value="2""#), "{}", changed.reason);
}

#[test]
fn rules_without_data_are_told_from_rules_whose_condition_does_not_hold() {
    let mut world = World::new(&rule(""), settings());
    world.step(0, 0, seconds(0), elements("-"));
    world.blind = true;
    world.step(0, 0, seconds(15), elements("%"));
    let all = history(&world);
    assert_eq!((all[0].blind.len(), &all[1].blind[..]), (0, &["m".to_string()][..]));
}

#[test]
fn quiet_hours_take_one_entry_and_memory_is_bounded() {
    let mut world = World::new(&rule(""), settings());
    for slot in 0..1_000 {
        world.step(0, 0, seconds(15 * slot), elements("-"));
    }
    let all = history(&world);
    assert_eq!(all.len(), 21);
    assert_eq!(
        (all[0].count, all[0].first_slot, all[0].slot),
        (980, seconds(0), seconds(15 * 979))
    );
    assert_eq!(all[20].slot, seconds(15 * 999));
    // What changes all the time is forgotten in the end.
    for slot in 1_000..2_000 {
        let answer = if slot % 2 == 0 { "a=1" } else { "-" };
        world.step(0, 0, seconds(15 * slot), elements(answer));
    }
    assert_eq!(history(&world).len(), 60);
    let many: Vec<String> = (0..500).map(|n| format!("i{n}=1")).collect();
    world.step(0, 0, seconds(15 * 2_000), elements(&many.join(",")));
    let last = history(&world).pop().unwrap();
    assert_eq!((last.alerts.len(), last.more_alerts, last.elements), (10, 490, Some(500)));
    assert_eq!(last.took, Duration::from_millis(1));
}
