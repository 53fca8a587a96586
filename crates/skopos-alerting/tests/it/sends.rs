//! What Alertmanagers are sent, and when: as Prometheus sends, and better where it would let an
//! alert resolve that is not over.

use std::time::Duration;

use skopos_alerting::{SentAlert, Settings};

use crate::harness::{World, elements, seconds, settings};

/// `a@0..240` fires since 0 and may be taken for over at 240; `~a@0..60` is over since 60.
fn text(sent: &[SentAlert]) -> String {
    let one = |sent: &SentAlert| {
        let over = if sent.resolved { "~" } else { "" };
        let name = sent.labels.get("instance").unwrap_or("*");
        let second = |time: skopos_model::Timestamp| time.as_millis() / 1000;
        format!("{over}{name}@{}..{}", second(sent.starts_at), second(sent.ends_at))
    };
    let mut words: Vec<String> = sent.iter().map(one).collect();
    words.sort();
    if words.is_empty() { "-".into() } else { words.join(" ") }
}

/// Runs a table against the first rule: `second | answer | sent`. What is not in the table is not
/// evaluated.
fn check(rules: &str, settings: Settings, table: &str) -> World {
    let mut world = World::new(rules, settings);
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let slot = seconds(cells[0].parse().unwrap());
        if cells[1] == "restart" {
            world.restart(slot);
            continue;
        }
        let step = world.evaluate(0, 0, slot, elements(cells[1]));
        step.commit.map(|commit| world.log.commit(commit));
        assert_eq!(text(&step.sends), cells[2], "at {line}");
    }
    world
}

fn rule(interval: &str, more: &str) -> String {
    format!(
        "groups:\n- name: g\n  interval: {interval}\n  rules:\n  - alert: X\n    expr: m > 0\n{more}"
    )
}

#[test]
fn firing_is_sent_when_more_than_the_delay_has_passed() {
    check(
        &rule("15s", "    for: 15s\n"),
        settings(),
        "  0 | a=1 | -
          15 | a=1 | a@15..255
          30 | a=1 | -
          45 | a=1 | -
          60 | a=1 | -
          75 | a=1 | -
          90 | a=1 | a@15..330
         105 | a=1,b=1 | -
         120 | a=1,b=1 | b@120..360
         165 | a=1,b=1 | a@15..405
         180 | a=1,b=1 | -
         195 | a=1,b=1 | b@120..435",
    );
    // An interval longer than the delay decides how long it is valid.
    check(
        &rule("2m", ""),
        settings(),
        "  0 | a=1 | a@0..480
         120 | a=1 | a@0..600",
    );
    let given = Settings { resend_delay: Duration::from_secs(10), ..settings() };
    check(
        &rule("15s", ""),
        given,
        "  0 | a=1 | a@0..60
          15 | a=1 | a@0..75",
    );
}

#[test]
fn resolved_is_sent_at_once_and_again_for_fifteen_minutes() {
    check(
        &rule("15s", ""),
        settings(),
        "  0 | a=1 | a@0..240
          60 | -   | ~a@0..60
          75 | -   | -
         120 | -   | -
         135 | -   | ~a@0..60
         210 | -   | ~a@0..60
         885 | -   | ~a@0..60
         960 | -   | ~a@0..60
         975 | -   | -
        1050 | -   | -",
    );
}

#[test]
fn what_fires_again_while_it_is_sent_as_over_is_sent_anew() {
    check(
        &rule("15s", "    for: 30s\n"),
        settings(),
        "  0 | a=1 | -
          30 | a=1 | a@30..270
          45 | -   | ~a@30..45
          60 | a=1 | -
          75 | a=1 | -
          90 | a=1 | a@90..330",
    );
}

#[test]
fn errors_do_not_let_receivers_take_an_alert_for_over() {
    check(
        &rule("15s", ""),
        settings(),
        "  0 | a=1 | a@0..240
          15 | !   | -
          75 | !   | a@0..315
         150 | !   | a@0..390
         165 | -   | ~a@0..165
         240 | !   | ~a@0..165",
    );
}

#[test]
fn when_it_was_sent_survives_a_restart() {
    let given = Settings { restart_hold: false, ..settings() };
    check(
        &rule("15s", ""),
        given,
        "  0 | a=1 | a@0..240
          10 | restart
          15 | a=1 | -
          70 | restart
          75 | a=1 | a@0..315
          80 | restart
          90 | -   | ~a@0..90
         100 | restart
         105 | -   | -
         165 | -   | ~a@0..90",
    );
}

#[test]
fn what_ceases_to_exist_is_sent_as_over_once() {
    let limited = rule("15s", "").replace("interval: 15s", "interval: 15s\n  limit: 1");
    check(
        &limited,
        settings(),
        "  0 | a=1     | a@0..240
          15 | a=1,b=1 | ~a@0..15
          90 | a=1,b=1 | -",
    );
    let mut world = check(&rule("15s", ""), settings(), "0 | a=1 | a@0..240");
    world.set =
        skopos_alerting::rules::load(&[("rules.yml", &rule("15s", "    for: 1m\n"))]).unwrap();
    world.engine.reload(&world.set, seconds(5));
    let mut sent = |second: i64| {
        let step = world.evaluate(0, 0, seconds(second), elements("a=1"));
        step.commit.map(|commit| world.log.commit(commit));
        text(&step.sends)
    };
    assert_eq!(sent(15), "~a@0..15", "`for` was raised");
    assert_eq!(sent(30), "-");
    assert_eq!(sent(60), "a@60..300");
}

#[test]
fn external_labels_come_with_what_is_sent_unless_it_has_them() {
    let mut given = settings();
    given.external_labels.insert("region".into(), "eu".into());
    given.external_labels.insert("instance".into(), "x".into());
    let mut world = World::new(&rule("15s", "    annotations: {s: '{{ $value }}'}\n"), given);
    let sent = world.evaluate(0, 0, seconds(15), elements("a=1")).sends.remove(0);
    assert_eq!(sent.labels.to_string(), r#"{alertname="X", instance="a", region="eu"}"#);
    assert_eq!(sent.annotations["s"], "1");
    assert_eq!(sent.generator_url, "http://skopos.example/graph?g0.expr=m+%3E+0&g0.tab=1");
}
