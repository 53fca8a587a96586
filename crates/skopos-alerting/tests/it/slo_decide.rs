//! Decisions: the gate, the review of targets, forecasts; and the objectives one starts with.

use skopos_alerting::slo::review::{Suggestion, review};
use skopos_alerting::slo::{
    self, Annotation, AnnotationKind, GateOverride, Health, Observed, Outcome, Verdict,
};

use crate::slo_world::{DAY, HOUR, MINUTE, START, World, at};

fn text(more: &str) -> String {
    format!(
        "slo: shop\nservice: shop\nowner: o\nrunbook: r.md\nsli: {{bad: bad_total, total: all_total}}\n\
         target: 99%\nwindow: 28d\n{more}"
    )
}

/// A world whose service had 1,000 requests a minute, read once every five, of which a share that
/// depends on the minute failed; filled in from history.
fn lived(more: &str, minutes: i64, share: impl Fn(i64) -> f64) -> (World, i64) {
    let now = START + minutes * MINUTE;
    let mut world = World::new(&text(more), MINUTE, now);
    let (mut all, mut bad) = (Vec::new(), Vec::new());
    let mut failed = 0.0;
    for minute in 0..=minutes {
        failed += 1000.0 * share(minute);
        if minute % 5 == 0 {
            all.push((START + minute * MINUTE, minute as f64 * 1000.0));
            bad.push((START + minute * MINUTE, f64::floor(failed)));
        }
    }
    world.counter(&[("__name__", "all_total")], &all);
    world.counter(&[("__name__", "bad_total")], &bad);
    world.backfill(now, 400 * DAY);
    (world, now)
}

#[test]
fn the_gate_says_go_caution_freeze() {
    for (share, want, says) in [
        // Of one per cent: a tenth, nine tenths, twice.
        (0.001, Verdict::Go, "90 % of the budget is left"),
        (0.009, Verdict::Caution, "10 % of the budget is left, less than 25 %"),
        (0.02, Verdict::Freeze, "the budget is exhausted (200 % spent)"),
    ] {
        let (world, now) = lived("", 2 * 1440, |_| share);
        let found = world.engine.gate("shop", at(now));
        assert_eq!((found.verdict, found.verdict.exit_code()), (want, want as u8), "{found:?}");
        assert!(found.sentence.contains(says), "{}", found.sentence);
    }
}

#[test]
fn a_burn_that_pages_freezes_before_the_budget_is_gone() {
    // Clean for four weeks, then a fifth of all requests fail for an hour.
    let minutes = 28 * 1440;
    let (world, now) = lived("", minutes, |minute| if minute > minutes - 60 { 0.2 } else { 0.0 });
    let found = world.engine.gate("shop", at(now));
    assert_eq!(found.verdict, Verdict::Freeze);
    assert!(found.sentence.contains("SLOBurnFast"), "{}", found.sentence);
    assert!(found.reasons[0].budget_remaining.is_some_and(|left| left > 0.9));
}

#[test]
fn no_data_is_not_go() {
    let world = World::new(&text(""), MINUTE, START);
    let found = world.engine.gate("shop", at(START));
    assert_eq!((found.verdict, found.verdict.exit_code()), (Verdict::Caution, 1));
    assert!(found.sentence.contains("no data is not go"), "{}", found.sentence);
    let found = world.engine.gate("unknown", at(START));
    assert_eq!(found.verdict, Verdict::Caution);
    // Data that stopped is no data either.
    let (world, now) = lived("", 1440, |_| 0.0);
    assert_eq!(world.engine.gate("shop", at(now)).verdict, Verdict::Go);
    let found = world.engine.gate("shop", at(now + HOUR));
    assert_eq!(found.verdict, Verdict::Caution, "{}", found.sentence);
}

/// Neither waits the gate for the alert of absent data, nor does it take the first seconds for a month.
#[test]
fn stale_data_and_the_first_seconds_are_not_go() {
    for alerts in ["", "alerts: off\n", "alerts: {absent: {after: 1h}}\n"] {
        let more = format!("policy: {{go_after: 1m}}\n{alerts}");
        let mut world = World::new(&text(&more), 15_000, START);
        let points = |each: f64| -> Vec<(i64, f64)> {
            (0..=40).map(|step| (START + 5_000 + step * 15_000, step as f64 * each)).collect()
        };
        world.counter(&[("__name__", "all_total")], &points(10.0));
        world.counter(&[("__name__", "bad_total")], &points(0.0));
        let mut verdicts = Vec::new();
        for slot in 1..=60 {
            let now = START + slot * 15_000;
            world.slot(now);
            let found = world.engine.gate("shop", at(now));
            if verdicts.last().is_none_or(|(_, last, _)| *last != found.verdict) {
                verdicts.push((slot * 15, found.verdict, found.sentence));
            }
        }
        let [(_, young, why), (go_at, go, _), (stale_at, stale, stopped)] = &verdicts[..] else {
            panic!("{verdicts:?}")
        };
        assert_eq!([young, go, stale], [&Verdict::Caution, &Verdict::Go, &Verdict::Caution]);
        assert!(why.contains("no data") || why.contains("too little data"), "{why}");
        assert!((60..=120).contains(go_at), "{verdicts:?}");
        // The last sample is 605 s after the start.
        assert!((605..=605 + 195).contains(stale_at), "{verdicts:?}");
        assert!(stopped.contains("data stopped arriving"), "{stopped}");
    }
}

/// Half an hour of data, or what the policy says, is needed to say go; that of days ago counts, and so does that of another
/// group.
#[test]
fn too_little_data_is_not_go() {
    for (more, needed) in
        [("", 30), ("policy: {go_after: 10m}\n", 10), ("policy: {go_after: 1h}\n", 60)]
    {
        let mut world = World::new(&text(more), 15_000, START);
        let points: Vec<(i64, f64)> =
            (0..=400).map(|step| (START + step * 15_000, step as f64 * 10.0)).collect();
        world.counter(&[("__name__", "all_total")], &points);
        world.counter(&[("__name__", "bad_total")], &[(START, 0.0), (START + DAY, 0.0)]);
        for slot in 1..=4 * (needed + 2) {
            let now = START + slot * 15_000;
            world.slot(now);
            let found = world.engine.gate("shop", at(now));
            let minutes = (slot + 3) / 4;
            assert_eq!(
                found.verdict == Verdict::Go,
                minutes >= needed,
                "{slot}: {}",
                found.sentence
            );
            if minutes == needed - 1 {
                let want = format!("too little data to say go: {minutes} of {needed} minutes");
                assert!(found.sentence.contains(&want), "{}", found.sentence);
            }
        }
    }
    // All fails from the first second: that is no reason to wait.
    let (world, now) = lived("", 10, |_| 0.5);
    assert_eq!(world.engine.gate("shop", at(now)).verdict, Verdict::Freeze);
    // A day off after a week of data, then two minutes of it.
    let (mut world, now) = lived("", 7 * 1440, |_| 0.0);
    let back = now + DAY;
    let points: Vec<(i64, f64)> = (0..=12).map(|n| (back + n * 15_000, 1e9 + n as f64)).collect();
    world.counter(&[("__name__", "all_total")], &points);
    world.counter(&[("__name__", "bad_total")], &[(back, 0.0), (back + 12 * 15_000, 0.0)]);
    let now = back + 12 * 15_000;
    world.slot(now);
    let found = world.engine.gate("shop", at(now));
    assert_eq!(found.verdict, Verdict::Go, "{}", found.sentence);
    // A region that opened a minute ago does not close the gate of all.
    let mut world = World::new(&text("group_by: [region]\n"), 15_000, START);
    for (region, from) in [("eu", 0), ("us", 160)] {
        let points: Vec<(i64, f64)> =
            (from..=172).map(|n| (START + n * 15_000, n as f64 * 10.0)).collect();
        world.counter(&[("__name__", "all_total"), ("region", region)], &points);
        world.counter(&[("__name__", "bad_total"), ("region", region)], &[points[0], points[0]]);
    }
    for slot in 1..=172 {
        world.slot(START + slot * 15_000);
    }
    let found = world.engine.gate("shop", at(START + 172 * 15_000));
    assert_eq!((found.verdict, found.reasons.len()), (Verdict::Go, 2), "{}", found.sentence);
}

/// A route that was taken out closes the gate as long as its data is of the window, and is forgotten with its slices.
#[test]
fn groups_that_are_gone_say_nothing_of_changes() {
    let text = text("group_by: [route]\npolicy: {go_after: 1m}\n").replace("28d", "1d");
    let mut world = World::new(&text, MINUTE, START);
    let grow = |from: i64, to: i64, more: f64| -> Vec<(i64, f64)> {
        (from..=to).map(|n| (START + n * MINUTE, n as f64 * more)).collect()
    };
    for (route, to) in [("/new", 3 * 1440), ("/old", 60)] {
        world.counter(&[("__name__", "all_total"), ("route", route)], &grow(0, to, 10.0));
        world.counter(&[("__name__", "bad_total"), ("route", route)], &grow(0, to, 0.0));
    }
    for minute in 1..=3 * 1440 {
        world.slot(START + minute * MINUTE);
    }
    let gate = |world: &World, now: i64| world.engine.gate("shop", at(now));
    let now = START + 3 * DAY;
    let found = gate(&world, now);
    assert_eq!((found.verdict, found.reasons.len()), (Verdict::Go, 1), "{}", found.sentence);
    let all = world.engine.statuses(at(now));
    assert_eq!(all.iter().map(|s| s.is_retired).collect::<Vec<_>>(), [false, true]);
    // Nobody knows anything when all are silent.
    let found = gate(&world, now + HOUR);
    assert_eq!((found.verdict, found.reasons.len()), (Verdict::Caution, 2));
    // The slices go after 400 days, and with them the group, here and in the log.
    let later = START + 402 * DAY;
    let labels = [("__name__", "all_total"), ("route", "/new")];
    world.counter(&labels, &[(later - MINUTE, 1e6), (later, 1e6 + 10.0)]);
    let groups = |world: &World| {
        let all = world.engine.groups("shop");
        all.iter().map(|group| group.value("route").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(groups(&world), ["/new", "/old"]);
    let mut crashed = World::new(&text, MINUTE, START);
    crashed.log = world.log.clone();
    world.slot(later);
    assert_eq!(groups(&world), ["/new"]);
    let names = |world: &World| {
        let saved = world.saved().slices;
        saved.iter().filter(|record| record.key.ends_with("/s")).count()
    };
    assert_eq!(names(&world), 1);
    world.restart(later);
    assert_eq!(groups(&world), ["/new"]);
    // So does a process that was away meanwhile.
    crashed.restart(later);
    assert_eq!((groups(&crashed), names(&crashed)), (vec!["/new".to_string()], 1));
}

/// The first minutes of a month, in which nothing can have happened yet, take nothing from who was well before.
#[test]
fn a_month_that_has_just_begun_is_judged_by_what_was_before() {
    let february: i64 = "2026-02-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    for days in [25, 2] {
        let calendar = text("").replace("window: 28d", "calendar: month");
        let mut world = World::new(&calendar, MINUTE, february - days * DAY);
        let minutes = days * 1440;
        let points = |each: f64| -> Vec<(i64, f64)> {
            let at = |minute: i64| february - (minutes - minute) * MINUTE;
            (0..=minutes + 90).map(|minute| (at(minute), minute as f64 * each)).collect()
        };
        world.counter(&[("__name__", "all_total")], &points(1000.0));
        world.counter(&[("__name__", "bad_total")], &points(1.0));
        world.backfill(february - MINUTE, 400 * DAY);
        for minute in (0..10).chain([30, 90]) {
            let now = february + minute * MINUTE;
            world.slot(now);
            for seconds in [1, 59] {
                let now = now + seconds * 1000;
                let found = world.engine.statuses(at(now)).remove(0);
                assert_eq!(found.health, Health::Ok, "{minute}:{seconds} {}", found.sentence);
                let left = found.budget_remaining.unwrap();
                assert!(left > 0.89, "{minute}:{seconds} {left}");
                assert!(found.coverage > 0.9, "{minute}:{seconds} {}", found.coverage);
                let gate = world.engine.gate("shop", at(now));
                assert_eq!(gate.verdict, Verdict::Go, "{minute}:{seconds} {}", gate.sentence);
            }
        }
    }
    // Of an objective that has only begun nothing is known, in whatever month.
    let calendar = text("").replace("window: 28d", "calendar: month");
    let world = World::new(&calendar, MINUTE, february);
    let found = world.engine.statuses(at(february + MINUTE)).remove(0);
    assert_eq!((found.health, found.budget_remaining), (Health::NoData, None));
    assert_eq!(world.engine.gate("shop", at(february + MINUTE)).verdict, Verdict::Caution);
}

/// A rolling window loses as much as it gains at a rate of 1; a unit of the calendar ends, and the next begins whole.
#[test]
fn a_budget_that_lasts_is_not_gone_in_weeks() {
    for (share, is_going) in [(0.005, false), (0.009_9, false), (0.02, true)] {
        let clean = 26 * 1440;
        let (world, now) = lived("", 28 * 1440, |minute| if minute > clean { share } else { 0.0 });
        let found = world.engine.statuses(at(now)).remove(0);
        assert_eq!(found.hours_to_exhaustion.is_some(), is_going, "{share}: {}", found.sentence);
        assert_eq!(found.sentence.contains("is gone in"), is_going, "{}", found.sentence);
    }
    // The 29th of January, midnight: 28 of 31 days were clean. Three are left, and 168 hours' worth of failures.
    let calendar = text("").replace("window: 28d", "calendar: month");
    let january = "2026-01-29T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    for (share, is_going) in [(0.05, false), (0.2, true)] {
        let minutes = (january - START) / MINUTE;
        let (mut world, now) = lived("", minutes, |m| if m > minutes - 60 { share } else { 0.0 });
        world.engine.reload(&crate::slo_world::set_of(&calendar), at(now));
        let found = world.engine.statuses(at(now)).remove(0);
        assert_eq!(found.hours_to_exhaustion.is_some(), is_going, "{share}: {}", found.sentence);
    }
}

#[test]
fn a_missed_target_is_never_rounded_up_to_a_met_one() {
    for (target, share, says) in [
        ("99%", 0.000_004, "99.999 % good"),
        ("99.9%", 0.001_4, "99.86 % good"),
        ("99.9%", 0.000_333, "99.966 % good"),
        ("99.99%", 0.000_1, "99.99 % good"),
        ("99.999%", 0.000_012, "99.9988 % good"),
        ("99%", 0.0, "100 % good"),
    ] {
        let text = text("").replace("99%", target);
        let (mut world, now) = lived("", 1440, |_| share);
        world.engine.reload(&crate::slo_world::set_of(&text), at(now));
        let sentence = world.engine.statuses(at(now)).remove(0).sentence;
        assert!(sentence.contains(says), "{target}: {sentence}");
    }
}

#[test]
fn minutes_are_those_of_the_month_that_it_is() {
    let month = text("").replace("window: 28d", "calendar: month\ntz: Europe/Athens");
    for (day, minutes) in [
        // 30 days, 31, 28, and March with an hour less. One per cent of each.
        ("2026-04-15", 432.0),
        ("2026-05-15", 446.4),
        ("2026-02-15", 403.2),
        ("2026-03-15", 445.8),
    ] {
        let now: jiff::Timestamp = format!("{day}T12:00:00Z").parse().unwrap();
        let now = now.as_millisecond();
        let world = World::new(&month, MINUTE, now);
        let status = world.engine.statuses(at(now)).remove(0);
        assert_eq!(status.budget_minutes, minutes, "{day}");
        assert_eq!(world.set.slos[0].budget_minutes_at(at(now)), minutes, "{day}");
    }
}

#[test]
fn an_override_opens_the_gate_for_a_while_and_shows() {
    let (mut world, now) = lived("", 2 * 1440, |_| 0.02);
    let note = GateOverride {
        id: String::new(),
        service: "shop".into(),
        reason: "the fix for the outage".into(),
        by: "ann".into(),
        created_ms: 0,
        until_ms: now + HOUR,
    };
    let (_, commit) = world.engine.override_gate(note, at(now)).unwrap();
    world.commit(Some(commit));
    world.restart(now);
    let found = world.engine.gate("shop", at(now + MINUTE));
    assert_eq!((found.verdict, found.verdict_without_override), (Verdict::Go, Verdict::Freeze));
    assert!(
        found.sentence.contains("by override of ann (the fix for the outage)"),
        "{}",
        found.sentence
    );
    let found = world.engine.gate("shop", at(now + HOUR));
    assert_eq!((found.verdict, found.overridden), (Verdict::Freeze, None));
    assert_eq!(world.engine.overrides().len(), 1, "it stays on record");
}

#[test]
fn reviews_tighten_loosen_and_keep() {
    let monthly = "policy: {review: monthly}\n";
    for (days, share, want, target) in [
        // Ten times better than promised, twice; worse, twice; about right; too young; nothing.
        (61, 0.001, Suggestion::Tighten, Some(0.995)),
        (61, 0.03, Suggestion::Loosen, Some(0.95)),
        (61, 0.006, Suggestion::Keep, None),
        (40, 0.001, Suggestion::Keep, None),
        (10, 0.001, Suggestion::InsufficientData, None),
    ] {
        let (world, now) = lived(monthly, days * 1440, |_| share);
        let found = review(&world.engine, None, at(now)).remove(0);
        assert_eq!(
            (found.suggestion, found.suggested_target),
            (want, target),
            "{days} {share}: {}",
            found.why
        );
        assert!(found.why.starts_with("shop: "), "{}", found.why);
    }
    let world = World::new(&text(""), MINUTE, START);
    let found = review(&world.engine, None, at(START)).remove(0);
    assert_eq!(found.suggestion, Suggestion::InsufficientData);
}

#[test]
fn a_review_says_what_incidents_spent() {
    // Two hours of trouble in sixty days.
    let trouble = 50 * 1440..50 * 1440 + 120;
    let (mut world, now) = lived("policy: {review: monthly}\n", 61 * 1440, |m| {
        if trouble.contains(&m) { 0.5 } else { 0.001 }
    });
    let note = Annotation {
        id: String::new(),
        kind: AnnotationKind::Incident,
        service: "shop".into(),
        start_ms: START + trouble.start * MINUTE - 10 * MINUTE,
        end_ms: Some(START + trouble.end * MINUTE + 10 * MINUTE),
        text: "database away".into(),
        by: "ann".into(),
        link: String::new(),
    };
    let (_, commit) = world.engine.annotate(note, at(now)).unwrap();
    world.commit(Some(commit));
    let found = review(&world.engine, Some("shop"), at(now)).remove(0);
    let last = &found.periods[0];
    assert_eq!((last.incidents, last.deploys, last.is_met), (1, 0, Some(true)));
    // 60,000 of 432,000 allowed failures.
    assert!((last.spent_by_incidents - 60_000.0 / 432_000.0).abs() < 0.01, "{last:?}");
    assert_eq!(found.suggestion, Suggestion::Keep);
}

#[test]
fn forecasts_have_a_range_or_say_that_they_cannot() {
    // Five good days, then good and bad ones in turn: more is spent than comes back.
    let course = |minute: i64| match minute / 1440 {
        day if day < 5 => 0.002,
        day if day % 2 == 0 => 0.006,
        _ => 0.02,
    };
    let (world, now) = lived("", 10 * 1440, course);
    let found = world.engine.forecast("shop", at(now)).remove(0);
    let Outcome::Exhaustion { early_ms, middle_ms, .. } = found.outcome else {
        panic!("{}", found.sentence)
    };
    assert!(
        early_ms > now && middle_ms.is_none_or(|middle| middle >= early_ms),
        "{}",
        found.sentence
    );
    assert_eq!(
        world.engine.forecast("shop", at(now)).remove(0),
        found,
        "the same data says the same"
    );

    // Three times too fast since two days, in a window that was clean before: gone in days, not weeks.
    let (world, now) = lived("", 14 * 1440, |m| if m > 12 * 1440 { 0.03 } else { 0.002 });
    let found = world.engine.forecast("shop", at(now)).remove(0);
    let Outcome::Exhaustion { early_ms, late_ms, probability, .. } = found.outcome else {
        panic!("{}", found.sentence)
    };
    assert!((0.4..=0.9).contains(&probability), "{}", found.sentence);
    assert!(
        early_ms < now + 10 * DAY && late_ms.is_none_or(|late| late > early_ms),
        "{}",
        found.sentence
    );

    let (world, now) = lived("", 10 * 1440, |_| 0.002);
    let found = world.engine.forecast("shop", at(now)).remove(0);
    assert_eq!(found.outcome, Outcome::Lasts { until_ms: now + 28 * DAY }, "{}", found.sentence);

    for (minutes, share, reason) in
        [(300, 0.005, "a day is needed"), (3 * 1440, 0.000_001, "do not make a rate")]
    {
        let (world, now) = lived("", minutes, |_| share);
        let found = world.engine.forecast("shop", at(now)).remove(0);
        assert!(
            matches!(&found.outcome, Outcome::InsufficientData { reason: r } if r.contains(reason)),
            "{}",
            found.sentence
        );
        assert!(found.sentence.contains("insufficient data"));
    }
    let (world, now) = lived("", 3 * 1440, |_| 0.05);
    assert_eq!(world.engine.forecast("shop", at(now)).remove(0).outcome, Outcome::Exhausted);
}

#[test]
fn a_month_of_the_calendar_is_not_exhausted_by_its_first_failure() {
    let calendar = text("").replace("window: 28d", "calendar: month\ntz: Europe/Athens");
    // Midnight of February in Athens, after a clean January; then an hour in which all fails.
    let february: i64 = "2026-01-31T22:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let minutes = (february - START) / MINUTE + 60;
    let (mut world, now) = lived("", minutes, |m| if m > minutes - 60 { 1.0 } else { 0.0 });
    let set = crate::slo_world::set_of(&calendar);
    assert_eq!(
        world.engine.reload(&set, at(now)),
        None,
        "the window is no part of what is counted"
    );
    let found = world.engine.statuses(at(now)).remove(0);
    assert_eq!(found.window_start_ms, february);
    assert_eq!(found.window, "month (Europe/Athens)");
    // An hour of 672, of which one per cent may fail: 8.9 of it are spent by 6.72 allowed hours.
    let spent = 1.0 - found.budget_remaining.unwrap();
    assert!((spent - 1.0 / 6.72).abs() < 0.02, "{spent}: {}", found.sentence);
    assert_eq!(found.health, Health::Critical, "it burns at a rate that pages");
}

#[test]
fn the_sentence_says_it_all() {
    let (world, now) = lived("", 7 * 1440, |_| 0.005);
    let found = world.engine.statuses(at(now)).remove(0);
    assert_eq!(
        found.sentence,
        "shop: 99.5 % good over 28d, 50 % of the budget is left (202 of 403 min); it burns 0.5 times as fast as it \
         can bear and lasts at that rate (25 % of the window has data)."
    );
    assert_eq!(
        (found.budget_minutes, found.budget_minutes_left.map(f64::round)),
        (403.2, Some(202.0))
    );
}

#[test]
fn one_starts_with_the_guides_two_objectives() {
    let all = Observed {
        service: "order-service".into(),
        selector: Some(("job".into(), "order-service".into())),
        requests: Some(("http_requests_total".into(), "status_code".into())),
        durations: Some((
            "http_request_duration_seconds".into(),
            vec![0.1, 0.25, 0.5, f64::INFINITY],
        )),
        native_durations: None,
        only: None,
    };
    let text = slo::init_text(&all);
    let set = slo::load(&[("init.yml", &text)]).unwrap_or_else(|e| panic!("{}\n{text}", e[0]));
    let names: Vec<&str> = set.slos.iter().map(|slo| &*slo.name).collect();
    assert_eq!(names, ["order-service-availability", "order-service-latency"]);
    assert_eq!(set.slos[0].budget_minutes(), 43.2);
    assert!(
        text.contains("http_requests_total{job=\\\"order-service\\\",status_code=~\\\"5..\\\"}"),
        "{text}"
    );
    assert!(text.contains("le: 0.25") && text.contains("The guide asks for 200 ms"), "{text}");
    let native = Observed {
        durations: None,
        requests: None,
        native_durations: Some("http_request_duration_seconds".into()),
        ..all
    };
    let text = slo::init_text(&native);
    let set = slo::load(&[("init.yml", &text)]).unwrap_or_else(|e| panic!("{}\n{text}", e[0]));
    assert_eq!(set.slos.len(), 1);
    assert!(text.contains("there is no availability objective"));
    let spans = Observed {
        service: "order-service".into(),
        selector: Some(("service_name".into(), "order-service".into())),
        requests: Some((slo::SPAN_CALLS.into(), "status_code".into())),
        durations: Some((slo::SPAN_LATENCY.into(), vec![0.1, 0.2, 0.5])),
        only: Some((slo::SERVER_SPANS.0.into(), slo::SERVER_SPANS.1.into())),
        ..Observed::default()
    };
    let text = slo::init_text(&spans);
    assert_eq!(slo::load(&[("init.yml", &text)]).unwrap().slos.len(), 2);
    assert!(
        text.contains("span_kind=\\\"SPAN_KIND_SERVER\\\",status_code=~\\\"STATUS_CODE_ERROR\\\""),
        "{text}"
    );
    let nothing = slo::init_text(&Observed { service: "x".into(), ..Observed::default() });
    assert!(slo::load(&[("init.yml", &nothing)]).unwrap().slos.is_empty());
}
