//! Alerts over time, as tables: what the expression returned at each slot, the states that follow,
//! and the notification that is intended.

use std::time::Duration;

use skopos_alerting::{NotificationSettings, Settings};

use crate::harness::{World, elements, seconds, settings, summary};

/// Runs a table against the one rule of a file. A line is `second | answer | states | notification`
/// (`-` for none); `second | restart` loses the memory; `second | rules ...` is not needed here.
fn check(rules: &str, settings: Settings, table: &str) -> World {
    let mut world = World::new(rules, settings);
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let slot = seconds(cells[0].parse().expect("seconds"));
        if cells[1] == "restart" {
            world.restart(slot);
            continue;
        }
        (world.fresh, world.blind) = (cells[1] != "?", cells[1] == "%");
        let intents = world.step(0, 0, slot, elements(cells[1]));
        let sent = intents.first().map_or("-".to_string(), summary);
        assert_eq!((&*world.states(0, 0), &*sent), (cells[2], cells[3]), "at {line}");
    }
    world
}

fn rule(more: &str) -> String {
    format!(
        "groups:\n- name: g\n  interval: 15s\n  rules:\n  - alert: X\n    expr: rate(m[1m]) > 0\n{more}"
    )
}

fn no_hold() -> Settings {
    Settings { restart_hold: false, ..settings() }
}

#[test]
fn pending_firing_resolved() {
    let world = check(
        &rule("    for: 30s\n"),
        settings(),
        "   0 | a=1 | a:pending  | -
           15 | a=2 | a:pending  | -
           30 | a=3 | a:firing   | firing a
           45 | a=4 | a:firing   | -
           60 | -   | a:resolved | resolved ~a
           75 | -   | a:resolved | -
          960 | -   | a:resolved | -
          975 | -   | -          | -
          990 | a=1 | a:pending  | -
         1005 | -   | -          | -",
    );
    let lines = world.log.sample_lines();
    for line in [
        r#"ALERTS{alertname="X", alertstate="pending", instance="a"} @15000 1"#,
        r#"ALERTS{alertname="X", alertstate="pending", instance="a"} @30000 stale"#,
        r#"ALERTS{alertname="X", alertstate="firing", instance="a"} @30000 1"#,
        r#"ALERTS_FOR_STATE{alertname="X", instance="a"} @45000 0"#,
        r#"ALERTS{alertname="X", alertstate="firing", instance="a"} @60000 stale"#,
        r#"ALERTS_FOR_STATE{alertname="X", instance="a"} @60000 stale"#,
        r#"ALERTS_FOR_STATE{alertname="X", instance="a"} @990000 990"#,
    ] {
        assert!(lines.contains(line), "{line} not in {lines:#?}");
    }
}

#[test]
fn zero_for_fires_at_once_and_small_for_at_the_next_slot() {
    check(
        &rule(""),
        settings(),
        "  0 | a=1     | a:firing            | firing a
          15 | a=1,b=1 | a:firing b:firing   | firing a b
          30 | b=1     | a:resolved b:firing | firing b ~a
          45 | a=1,b=1 | a:firing b:firing   | firing a b
          60 | -       | a:resolved b:resolved | resolved ~a ~b",
    );
    check(
        &rule("    for: 1s\n"),
        settings(),
        "  0 | a=1 | a:pending | -
          15 | a=1 | a:firing  | firing a",
    );
}

#[test]
fn a_gap_starts_pending_anew() {
    check(
        &rule("    for: 30s\n"),
        settings(),
        "  0 | a=1 | a:pending | -
          15 | -   | -         | -
          30 | a=1 | a:pending | -
          45 | a=1 | a:pending | -
          60 | a=1 | a:firing  | firing a",
    );
}

#[test]
fn keep_firing_for_counts_from_the_first_miss_and_restarts_on_a_hit() {
    check(
        &rule("    keep_firing_for: 30s\n"),
        settings(),
        "  0 | a=1 | a:firing   | firing a
          15 | -   | a:firing   | -
          30 | a=1 | a:firing   | -
          45 | -   | a:firing   | -
          60 | -   | a:firing   | -
          75 | -   | a:resolved | resolved ~a",
    );
}

#[test]
fn failing_queries_keep_what_was_and_go_on_reminding() {
    let mut short = settings();
    short.notification = Some(NotificationSettings {
        repeat_interval: Duration::from_secs(45),
        ..NotificationSettings::default()
    });
    check(
        &rule("    for: 15s\n"),
        short,
        "  0 | a=1 | a:pending | -
          15 | !   | a:pending | -
          30 | a=1 | a:firing  | firing a
          45 | !   | a:firing  | -
          60 | !   | a:firing  | -
          75 | !   | a:firing  | firing a
          90 | a=1 | a:firing  | -
         120 | a=1 | a:firing  | firing a
         135 | -   | a:resolved | resolved ~a
         300 | -   | a:resolved | -",
    );
}

#[test]
fn exceeding_the_limit_clears_the_rule_and_says_so() {
    let limited = rule("").replace("interval: 15s", "interval: 15s\n  limit: 1");
    let world = check(
        &limited,
        settings(),
        "  0 | a=1     | a:firing | firing a
          15 | a=1,b=1 | -        | resolved ~a
          30 | a=1     | a:firing | firing a",
    );
    let view = &world.engine.view()[0].rules[0];
    assert_eq!(view.last_error, None);
    let lines = world.log.sample_lines();
    assert!(!lines.iter().any(|line| line.contains("@15000")), "no samples, no stale markers");
}

#[test]
fn the_limit_is_reported_as_an_error() {
    let limited = rule("").replace("interval: 15s", "interval: 15s\n  limit: 1");
    let world = check(&limited, settings(), "0 | a=1,b=1 | - | -");
    let view = &world.engine.view()[0].rules[0];
    assert_eq!(view.last_error.as_deref(), Some("exceeded limit of 1 with 2 alerts"));
}

#[test]
fn state_survives_a_restart_exactly_for_any_for() {
    check(
        &rule("    for: 45s\n    keep_firing_for: 30s\n"),
        no_hold(),
        "  0 | a=1 | a:pending | -
          15 | a=1 | a:pending | -
          20 | restart
          30 | a=1 | a:pending | -
          31 | restart
          45 | a=1 | a:firing  | firing a
          50 | restart
          60 | -   | a:firing  | -
          61 | restart
          75 | -   | a:firing  | -
          76 | restart
          90 | -   | a:resolved | resolved ~a
          91 | restart
         105 | -   | a:resolved | -",
    );
}

#[test]
fn our_own_downtime_does_not_resolve_a_page() {
    // The expression looks back five minutes, so the hold ends at 600 + 300.
    check(
        &rule("    for: 15s\n").replace("[1m]", "[5m]"),
        settings(),
        "  0 | a=1,b=1 | a:pending b:pending | -
          15 | a=1,b=1 | a:firing b:firing   | firing a b
         600 | restart
         615 | -       | a:firing(held) b:firing(held) | -
         630 | a=1     | a:firing b:firing(held) | -
         645 | -       | a:firing(held) b:firing(held) | -
         646 | restart
         660 | -       | a:firing(held) b:firing(held) | -
         885 | a=1     | a:firing b:firing(held) | -
         900 | a=1     | a:firing b:resolved | firing a ~b
         915 | -       | a:resolved b:resolved | resolved ~a",
    );
    check(
        &rule(""),
        no_hold(),
        "  0 | a=1 | a:firing | firing a
         600 | restart
         615 | -   | a:resolved | resolved ~a",
    );
}

#[test]
fn restarts_in_a_row_make_a_hold_longer_only_by_the_time_away() {
    // `a` is held until 600 + 300. Nothing is evaluated from 690 to 720 and from 780 to 825: that
    // is added. `b` had a result until the last restart, and so needs a whole range after it.
    check(
        &rule("").replace("[1m]", "[5m]"),
        settings(),
        "  0 | a=1,b=1 | a:firing b:firing | firing a b
         600 | restart
         615 | b=1     | a:firing(held) b:firing       | -
         690 | b=1     | a:firing(held) b:firing       | -
         701 | restart
         720 | b=1     | a:firing(held) b:firing       | -
         780 | b=1     | a:firing(held) b:firing       | -
         820 | restart
         825 | -       | a:firing(held) b:firing(held) | -
         960 | -       | a:firing(held) b:firing(held) | -
         975 | -       | a:resolved b:firing(held)     | firing b ~a
        1110 | -       | a:resolved b:firing(held)     | -
        1125 | -       | a:resolved b:resolved         | resolved ~b",
    );
}

#[test]
fn without_holds_those_of_an_earlier_run_end() {
    let mut world = World::new(&rule("").replace("[1m]", "[5m]"), settings());
    world.step(0, 0, seconds(0), elements("a=1"));
    world.restart(seconds(600));
    world.step(0, 0, seconds(615), elements("-"));
    assert_eq!(world.states(0, 0), "a:firing(held)");
    // At once, and after slots that were missed as well.
    world.settings.restart_hold = false;
    world.restart(seconds(620));
    let told = world.step(0, 0, seconds(630), elements("-"));
    assert_eq!(world.states(0, 0), "a:resolved");
    assert_eq!(told.iter().map(summary).collect::<Vec<_>>(), ["resolved ~a"]);
}

#[test]
fn silence_after_a_restart_resolves_nothing_for_an_hour() {
    // Data comes back at 1815: one range of it, 300 s, must be seen first.
    let rules = rule("").replace("[1m]", "[5m]");
    check(
        &rules,
        settings(),
        "  0 | a=1 | a:firing       | firing a
         600 | restart
         615 | ?   | a:firing(held) | -
        1200 | ?   | a:firing(held) | -
        1201 | restart
        1215 | ?   | a:firing(held) | -
        1800 | ?   | a:firing(held) | -
        1815 | -   | a:firing(held) | -
        2085 | -   | a:firing(held) | -
        2100 | -   | a:resolved     | resolved ~a
        2115 | ?   | a:resolved     | -",
    );
    check(
        &rules,
        settings(),
        "  0 | a=1 | a:firing       | firing a
         600 | restart
         615 | ?   | a:firing(held) | -
        3615 | ?   | a:firing(held) | -
        4185 | ?   | a:firing(held) | -
        4200 | ?   | a:resolved     | resolved ~a",
    );
    check(
        &rules,
        no_hold(),
        "0 | a=1 | a:firing | firing a
        600 | restart
        615 | ? | a:resolved | resolved ~a",
    );
    // Without a restart an empty result is what it is.
    check(
        &rules,
        settings(),
        "0 | a=1 | a:firing | firing a
        15 | ? | a:resolved | resolved ~a",
    );
}

#[test]
fn only_held_alerts_ask_for_fresh_data() {
    let mut world = World::new(&rule(""), settings());
    let id = world.set.groups[0].rules[0].id;
    world.step(0, 0, seconds(0), elements("a=1"));
    assert!(!world.engine.awaits_fresh_data(id));
    world.restart(seconds(600));
    assert!(world.engine.awaits_fresh_data(id), "it will be held");
    world.step(0, 0, seconds(615), elements("-"));
    assert!(world.engine.awaits_fresh_data(id), "it is held");
    world.step(0, 0, seconds(660), elements("a=1"));
    assert!(!world.engine.awaits_fresh_data(id), "the range is over");
}

#[test]
fn a_quick_restart_holds_nothing() {
    check(
        &rule(""),
        settings(),
        "  0 | a=1 | a:firing   | firing a
           5 | restart
          15 | -   | a:resolved | resolved ~a",
    );
}

#[test]
fn a_slot_is_never_evaluated_twice() {
    let mut world = World::new(&rule(""), settings());
    world.step(0, 0, seconds(15), elements("a=1"));
    let before = world.log.records.clone();
    for slot in [15, 0] {
        assert!(world.evaluate(0, 0, seconds(slot), elements("-")).skipped);
        world.restart(seconds(16));
        assert!(world.evaluate(0, 0, seconds(slot), elements("-")).skipped);
    }
    assert_eq!(world.log.records, before);
    assert_eq!(world.states(0, 0), "a:firing");
}

#[test]
fn templates_reach_labels_annotations_and_the_payload() {
    let rules = rule(
        "    labels: {severity: '{{ if gt $value 5.0 }}page{{ else }}warn{{ end }}', gone: ''}\n    annotations:\n      summary: '{{ $labels.instance }} at {{ $value | humanizePercentage }} in {{ $externalLabels.region }}'\n      broken: '{{ index $labels 3 }}'\n      lost: '{{ template \"nowhere\" . }}'\n",
    );
    let mut given = settings();
    given.external_labels.insert("region".into(), "eu".into());
    let mut world = World::new(&rules, given);
    let intent = world.step(0, 0, seconds(15), elements("a=0.12345")).remove(0);
    let payload: serde_json::Value = serde_json::from_str(&intent.body).unwrap();
    assert_eq!(
        payload,
        serde_json::json!({
            "receiver": "webhook",
            "status": "firing",
            "alerts": [{
                "status": "firing",
                "labels": {"alertname": "X", "instance": "a", "region": "eu", "severity": "warn"},
                "annotations": {
                    "broken": "<error expanding template: error calling index: cannot index map[string]string with type int>",
                    "lost": "<error expanding template: template \"nowhere\" not defined>",
                    "summary": "a at 12.35% in eu",
                },
                "startsAt": "1970-01-01T00:00:15Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://skopos.example/graph?g0.expr=rate%28m%5B1m%5D%29+%3E+0&g0.tab=1",
                "fingerprint": payload["alerts"][0]["fingerprint"],
            }],
            "groupLabels": {"alertname": "X"},
            "commonLabels": {"alertname": "X", "instance": "a", "region": "eu", "severity": "warn"},
            "commonAnnotations": payload["alerts"][0]["annotations"],
            "externalURL": "http://skopos.example",
            "version": "4",
            "groupKey": "{}:{alertname=\"X\"}",
            "truncatedAlerts": 0,
        })
    );
}

#[test]
fn equal_label_sets_fail_the_whole_rule() {
    let rules = rule("    labels: {instance: same}\n");
    let mut world = World::new(&rules, settings());
    world.step(0, 0, seconds(0), elements("a=1"));
    let step = world.evaluate(0, 0, seconds(15), elements("a=1,b=1"));
    let error = step.error.unwrap();
    assert!(
        error.starts_with(
            "vector contains metrics with the same labelset after applying alert labels"
        ),
        "{error}"
    );
    assert_eq!(world.states(0, 0), "same:firing");
    assert_eq!(world.engine.view()[0].rules[0].health.as_str(), "err");
}

#[test]
fn recording_rules_write_series_and_their_ends() {
    let rules = "groups:\n- name: g\n  query_offset: 30s\n  limit: 2\n  rules:\n  - record: a:b\n    expr: m\n    labels: {team: web, instance: ''}\n  - record: c:d\n    expr: m\n";
    let mut world = World::new(rules, settings());
    world.step(0, 1, seconds(60), elements("a=1,b=2"));
    world.step(0, 1, seconds(75), elements("b=3"));
    world.step(0, 1, seconds(90), elements("!"));
    world.restart(seconds(91));
    world.step(0, 1, seconds(105), elements("c=4"));
    let step = world.evaluate(0, 1, seconds(120), elements("a=1,b=1,c=1"));
    assert_eq!(step.error.as_deref(), Some("exceeded limit of 2 with 3 series"));
    world.step(0, 0, seconds(60), elements("a=1"));
    let step = world.evaluate(0, 0, seconds(75), elements("a=1,b=2"));
    assert!(step.error.unwrap().contains("after applying rule labels"));
    let lines: Vec<String> = world.log.sample_lines().into_iter().collect();
    assert_eq!(
        lines,
        [
            r#"a:b{team="web"} @30000 1"#,
            r#"c:d{instance="a"} @30000 1"#,
            r#"c:d{instance="a"} @45000 stale"#,
            r#"c:d{instance="b"} @30000 2"#,
            r#"c:d{instance="b"} @45000 3"#,
            r#"c:d{instance="b"} @75000 stale"#,
            r#"c:d{instance="c"} @75000 4"#,
        ]
    );
}

#[test]
fn alerts_of_one_name_are_one_group_whatever_rule_makes_them() {
    let rules = "groups:\n- name: g\n  rules:\n  - {alert: Burn, expr: m, labels: {window: short}}\n  - {alert: Burn, expr: m, labels: {window: long}}\n";
    let mut world = World::new(rules, settings());
    let sent = |intents: Vec<_>| intents.first().map_or("-".to_string(), summary);
    assert_eq!(sent(world.step(0, 0, seconds(15), elements("a=1"))), "firing a");
    assert_eq!(sent(world.step(0, 1, seconds(15), elements("b=1"))), "firing a b");
    assert_eq!(sent(world.step(0, 0, seconds(30), elements("-"))), "firing b ~a");
    assert_eq!(sent(world.step(0, 1, seconds(30), elements("-"))), "resolved ~b");
    assert_eq!(world.received.len(), 4, "every notification has a key of its own");
}

#[test]
fn a_group_that_ends_and_begins_again_in_one_slot_is_told_both_times() {
    let rules = "groups:\n- name: g\n  rules:\n  - {alert: Burn, expr: m, labels: {window: short}}\n  - {alert: Burn, expr: m, labels: {window: long}}\n";
    let mut world = World::new(rules, settings());
    let sent = |intents: Vec<_>| intents.first().map_or("-".to_string(), summary);
    assert_eq!(sent(world.step(0, 0, seconds(15), elements("a=1"))), "firing a");
    assert_eq!(sent(world.step(0, 0, seconds(30), elements("-"))), "resolved ~a");
    assert_eq!(sent(world.step(0, 1, seconds(30), elements("b=1"))), "firing b");
    assert_eq!(world.received.len(), 3, "every notification has a key of its own");
}

#[test]
fn raising_for_while_firing_takes_the_alert_back() {
    let mut world = World::new(&rule(""), settings());
    world.step(0, 0, seconds(0), elements("a=1"));
    let longer = rule("    for: 1m\n");
    let set = skopos_alerting::rules::load(&[("rules.yml", &longer)]).unwrap();
    let loaded = world.engine.reload(&set, seconds(5));
    assert_eq!((loaded.commit, loaded.intents.len()), (None, 0));
    world.set = set;
    let intents = world.step(0, 0, seconds(15), elements("a=1"));
    assert_eq!(
        (world.states(0, 0).as_str(), summary(&intents[0]).as_str()),
        ("a:pending", "resolved ~a")
    );
    let intents = world.step(0, 0, seconds(60), elements("a=1"));
    assert_eq!(
        (world.states(0, 0).as_str(), summary(&intents[0]).as_str()),
        ("a:firing", "firing a")
    );
}

#[test]
fn removing_a_rule_resolves_its_alerts_and_later_ends_its_series() {
    for restarted in [false, true] {
        let mut world = World::new(&rule(""), settings());
        world.step(0, 0, seconds(0), elements("a=1,b=1"));
        world.set = skopos_alerting::rules::load(&[("rules.yml", "groups: []\n")]).unwrap();
        let intents = if restarted {
            world.restart(seconds(20));
            world.queue.waiting().map(|(intent, ..)| intent.clone()).collect()
        } else {
            let loaded = world.engine.reload(&world.set, seconds(20));
            world.log.commit(loaded.commit.expect("something to end"));
            let over: Vec<_> = loaded.sends.iter().map(|s| (s.resolved, s.ends_at)).collect();
            assert_eq!(over, [(true, seconds(20)); 2]);
            loaded.intents
        };
        assert_eq!(summary(&intents[0]), "resolved ~a ~b");
        assert!(world.log.load(skopos_model::storage::StateKind::Alert).is_empty());
        let ended = |world: &World| {
            let lines = world.log.sample_lines();
            lines.iter().filter(|line| line.ends_with("@20000 stale")).count()
        };
        assert_eq!(world.engine.end_retired(seconds(49)), None);
        // A restart in between does not forget them.
        if restarted {
            world.restart(seconds(49));
        }
        let commit = world.engine.end_retired(seconds(50)).expect("two intervals later");
        assert_eq!(ended(&world), 0);
        world.log.commit(commit);
        assert_eq!(ended(&world), 4);
        assert_eq!(world.engine.end_retired(seconds(60)), None);
        assert!(world.log.load(skopos_model::storage::StateKind::RuleGroup).is_empty());
    }
}

#[test]
fn a_rule_that_moves_to_another_group_leaves_no_hole() {
    let text = "groups:\n- name: old\n  interval: 15s\n  rules:\n  - {record: 'a:b', expr: m}\n";
    let mut world = World::new(text, settings());
    world.step(0, 0, seconds(0), elements("a=1,b=1"));
    let moved = text.replace("old", "new");
    world.set = skopos_alerting::rules::load(&[("rules.yml", &moved)]).unwrap();
    let loaded = world.engine.reload(&world.set, seconds(5));
    world.log.commit(loaded.commit.expect("something to note"));
    world.step(0, 0, seconds(20), elements("a=1"));
    let commit = world.engine.end_retired(seconds(35)).expect("two intervals later");
    world.log.commit(commit);
    let lines: Vec<String> = world.log.sample_lines().into_iter().collect();
    assert_eq!(
        lines,
        [
            r#"a:b{instance="a"} @0 1"#,
            r#"a:b{instance="a"} @20000 1"#,
            r#"a:b{instance="b"} @0 1"#,
            r#"a:b{instance="b"} @5000 stale"#,
        ],
        "what the new rule writes goes on, the rest ends"
    );
}

#[test]
fn the_guides_rules_fire_and_resolve() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/guide/rules.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut world = World::new(&text, settings());
    // Group, rule, value when bad, seconds of `for`, what the summary says.
    let cases = [
        (0, 0, 0.0234, 300, "Error rate 2.34% exceeds 1%"),
        (0, 1, 2.5, 600, "p99 latency 2.5s exceeds 2s"),
        (0, 2, 0.0, 300, "Zero requests for 5 minutes"),
        (1, 0, 0.02, 120, "Error budget burning 14.4x"),
        (1, 1, 0.012, 900, "Error budget burning 10x"),
    ];
    let one = |value: f64| Ok(vec![(Default::default(), skopos_model::SampleValue::Float(value))]);
    for (group, rule, value, hold, text) in cases {
        let mut slot = 0;
        while slot < hold {
            assert!(world.step(group, rule, seconds(slot), one(value)).is_empty());
            assert_eq!(world.states(group, rule), "*:pending");
            slot += 15;
        }
        let intents = world.step(group, rule, seconds(slot), one(value));
        assert_eq!(world.states(group, rule), "*:firing");
        let payload: serde_json::Value = serde_json::from_str(&intents[0].body).unwrap();
        assert_eq!(payload["commonAnnotations"]["summary"], text);
        let runbook = payload["commonAnnotations"]["runbook"].as_str().unwrap();
        assert!(runbook.starts_with("https://wiki.internal/runbooks/"));
        let intents = world.step(group, rule, seconds(slot + 15), Ok(Vec::new()));
        assert_eq!(summary(&intents[0]), "resolved ~*");
    }
    assert_eq!(world.received.len(), 10);
}
