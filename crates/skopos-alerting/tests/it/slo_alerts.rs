//! Burn-rate alerts on the virtual clock: they fire and resolve when the SRE workbook's formulas say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use skopos_alerting::AlertState;

use crate::slo_world::{DAY, HOUR, MINUTE, START, World};

/// Between two slots.
const STEP: i64 = 2 * MINUTE;

/// By how much a time may differ from the formula's: a slot, and the slice in which a window begins.
const TOLERANCE: i64 = STEP + MINUTE;

/// Events a minute.
const TRAFFIC: f64 = 60_000.0;

/// When each alert fires after the outage began and until when, in milliseconds.
fn run(
    target: &str,
    more: &str,
    error_ratio: f64,
    outage: i64,
    watch: i64,
) -> (World, BTreeMap<String, Vec<(i64, i64)>>) {
    let text = format!(
        "slo: shop\nservice: shop\nowner: o\nrunbook: r.md\nsli: {{bad: bad_total, total: all_total}}\n\
         target: {target}\nwindow: 30d\n{more}"
    );
    let began = START + 3 * DAY;
    let live = began - 10 * MINUTE;
    let mut world = World::new(&text, MINUTE, live);
    let end = began + watch;
    let bad_at = |time: i64| {
        let lasted = (time - began).clamp(0, outage);
        lasted as f64 / MINUTE as f64 * TRAFFIC * error_ratio
    };
    let minutes = (end - START) / MINUTE;
    let times = || (0..=minutes).map(|m| START + m * MINUTE);
    let all: Vec<_> = times().map(|t| (t, (t - START) as f64 / MINUTE as f64 * TRAFFIC)).collect();
    let bad: Vec<_> = times().map(|t| (t, bad_at(t).round())).collect();
    world.counter(&[("__name__", "all_total")], &all);
    world.counter(&[("__name__", "bad_total")], &bad);
    world.backfill(live, 4 * DAY);
    let mut firings: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    let mut slot = live + STEP;
    while slot <= end {
        world.step(slot);
        for name in world.rules.firing() {
            let own = firings.entry(name).or_default();
            match own.last_mut() {
                Some(last) if last.1 == slot - began - STEP => last.1 = slot - began,
                _ => own.push((slot - began, slot - began)),
            }
        }
        slot += STEP;
    }
    (world, firings)
}

#[test]
fn alerts_fire_and_resolve_when_the_workbook_says() {
    // Total outage, a fifth of requests for hours, a trickle for half a day.
    let shapes = [(1.0, 20 * MINUTE), (0.2, 3 * HOUR), (0.02, 12 * HOUR)];
    let mut told = String::new();
    let mut compared = 0;
    for target in ["99%", "99.9%", "99.99%"] {
        for (error_ratio, outage) in shapes {
            let (world, firings) = run(target, "", error_ratio, outage, outage + 7 * HOUR);
            let slo = &world.set.slos[0];
            for alert in &slo.alerts.burn {
                let found = firings.get(&alert.name).cloned().unwrap_or_default();
                let after =
                    alert.detection_time(slo.target, error_ratio).map(|d| d.as_millis() as i64);
                let case = format!("{target} {error_ratio} {outage} {}: {found:?}", alert.name);
                let Some(after) = after.filter(|after| *after < outage) else {
                    // It may only fire when the outage goes on long enough.
                    assert_eq!(found, [], "{case}");
                    let _ = writeln!(told, "{case}");
                    continue;
                };
                let short = alert.short.unwrap().as_millis() as i64;
                let [(fired, last)] = found[..] else { panic!("{case}") };
                assert!((fired - after).abs() <= TOLERANCE, "{case}, wanted {after}");
                // The formula holds for outages that fill the short window.
                if outage >= short {
                    let reset = alert.reset_time(slo.target, error_ratio).as_millis() as i64;
                    let want = outage + reset;
                    assert!((last - want).abs() <= TOLERANCE, "{case}, wanted {want}");
                    compared += 1;
                }
                let _ = writeln!(told, "{case}");
            }
        }
    }
    println!("{told}");
    assert!(compared >= 18, "{compared}\n{told}");
}

#[test]
fn an_alert_tells_what_is_left_and_for_how_long() {
    let (world, _) = run("99.9%", "", 0.05, 2 * HOUR, HOUR);
    let alerts = world.rules.engine.active_alerts();
    let fast =
        alerts.iter().find(|alert| alert.labels.value("alertname") == "SLOBurnFast").unwrap();
    assert_eq!(fast.state, AlertState::Firing);
    assert_eq!(fast.labels.value("severity"), "P1");
    assert_eq!((fast.labels.value("owner"), fast.labels.value("service")), ("o", "shop"));
    // An hour of 5 % is fifty times the budget, of which three days had 72 hours of traffic.
    assert!((fast.value - 50.0).abs() < 1.0, "{}", fast.value);
    assert!(
        fast.annotations["summary"].starts_with("shop burns its error budget"),
        "{:?}",
        fast.annotations
    );
    let left = &fast.annotations["budget_left"];
    let number: f64 = left.trim_end_matches('%').parse().unwrap();
    assert!((number - (1.0 - 3_000.0 * 60.0 / (73.0 * 3_600.0)) * 100.0).abs() < 2.0, "{left}");
    let hours: f64 = fast.annotations["hours_to_exhaustion"].parse().unwrap();
    // There are 73 hours of events, and as many as are new are allowed for the new ones.
    assert!((hours - number / 100.0 * 73.0 / 49.0).abs() < 0.05, "{hours}");
    assert_eq!(fast.annotations["runbook"], "r.md");
}

#[test]
fn the_guides_alerts_fire_over_their_single_windows() {
    // One and a half per cent is fifteen times the budget.
    let (world, firings) = run("99.9%", "alerts: guide\n", 0.015, HOUR, 3 * HOUR);
    let (fast, slow) = (&firings["SLOFastBurn"][0], &firings["SLOSlowBurn"][0]);
    // 14.4 of 15 fill 4.8 of 5 minutes, and `for` is two: until 12 s after the end it is above.
    assert!((fast.0 - (5 * MINUTE + 2 * MINUTE)).abs() <= TOLERANCE, "{fast:?}");
    assert!((fast.1 - HOUR).abs() <= TOLERANCE, "{fast:?}");
    // Ten of fifteen fill 40 minutes of the hour, and `for` is fifteen; until 20 minutes after the end.
    assert!((slow.0 - 55 * MINUTE).abs() <= TOLERANCE, "{slow:?}");
    assert!((slow.1 - 80 * MINUTE).abs() <= TOLERANCE, "{slow:?}");
    let hold: Vec<Duration> =
        world.set.slos[0].alerts.burn.iter().map(|alert| alert.hold).collect();
    assert_eq!(hold, [Duration::from_secs(120), Duration::from_secs(900)]);
}

#[test]
fn little_traffic_pages_nobody_but_says_so() {
    let text = "slo: quiet\nservice: s\nowner: o\nrunbook: r.md\nsli: {bad: bad_total, total: all_total}\ntarget: 99.9%\nwindow: 30d\n";
    for (guard, fires) in [("", false), ("alerts: {min_bad_events: 1}\n", true)] {
        let mut world = World::new(&format!("{text}{guard}"), MINUTE, START);
        // One request a minute, and one failure.
        let all: Vec<_> = (0..=60).map(|m| (START + m * MINUTE, m as f64)).collect();
        let bad: Vec<_> =
            (0..=60).map(|m| (START + m * MINUTE, f64::from(u8::from(m >= 58)))).collect();
        world.counter(&[("__name__", "all_total")], &all);
        world.counter(&[("__name__", "bad_total")], &bad);
        for minute in 1..=60 {
            world.step(START + minute * MINUTE);
        }
        assert_eq!(world.rules.firing().contains("SLOBurnFast"), fires, "{guard}");
        let status = world.engine.statuses(crate::slo_world::at(START + HOUR)).remove(0);
        assert_eq!(status.alerts[0].is_guarded, !fires);
        assert_eq!(status.sentence.contains("too little traffic"), !fires, "{}", status.sentence);
    }
}
