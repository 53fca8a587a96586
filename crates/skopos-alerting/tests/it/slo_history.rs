//! The history of objectives: filled in from the oldest sample on, asked for again where it could not be read (after a
//! restart too), and read anew where samples came late.

use std::time::Duration;

use skopos_alerting::slo::SloEngine;

use crate::slo_world::{
    DAY, HOUR, MINUTE, SLOTS, START, World, all_answers, at, history_plans, set_of, slo, status,
    unread_plans,
};

/// Labels of a counter of requests.
fn req<'a>(code: &'a str, instance: &'a str) -> [(&'a str, &'a str); 4] {
    [("__name__", "req_total"), ("code", code), ("job", "j"), ("instance", instance)]
}

/// A counter that grows by so much a minute, from one minute to another.
fn minutes(from: i64, to: i64, each: f64) -> Vec<(i64, f64)> {
    (from..=to).map(|minute| (START + minute * MINUTE, minute as f64 * each)).collect()
}

#[test]
fn late_samples_rewrite_their_slice() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let point = |step: i64| (START + step * SLOTS, step as f64 * 10.0);
    let labels = [("__name__", "req_total"), ("code", "200")];
    let first: Vec<_> = (0..=40).map(point).collect();
    world.counter(&labels, &first);
    for slot in 1..=40 {
        world.slot(START + slot * SLOTS);
    }
    assert_eq!(status(&world, START + 40 * SLOTS).total, 400.0);
    // Failures of the minutes before arrive at once, later than what every slot reads again.
    let late: Vec<_> = (0..=40).map(|step| (START + step * SLOTS, step as f64)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "500")], &late);
    let more: Vec<_> = (41..=120).map(point).collect();
    world.counter(&labels, &more);
    let last: Vec<_> = (41..=120).map(|step| (START + step * SLOTS, 40.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "500")], &last);
    for slot in 41..=120 {
        world.slot(START + slot * SLOTS);
    }
    let found = status(&world, START + 120 * SLOTS);
    assert_eq!((found.bad, found.total), (40.0, 1240.0));
}

#[test]
fn late_samples_are_seen_at_the_next_slot() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let good = |steps: std::ops::RangeInclusive<i64>| -> Vec<(i64, f64)> {
        steps.map(|step| (START + step * SLOTS, step as f64 * 10.0)).collect()
    };
    let labels = [("__name__", "req_total"), ("code", "200"), ("instance", "a")];
    world.counter(&labels, &good(0..=400));
    // Another process whose samples of the first hour are still on their way.
    let other = [("__name__", "req_total"), ("code", "500"), ("instance", "b")];
    world.counter(&other, &good(240..=400));
    for slot in 1..=400 {
        world.slot(START + slot * SLOTS);
    }
    assert_eq!(status(&world, START + 400 * SLOTS).bad, 1600.0);
    world.counter(&other, &good(0..=239));
    world.engine.changed_since(at(START));
    let now = START + 401 * SLOTS;
    world.counter(&labels, &good(401..=401));
    world.slot(now);
    let found = status(&world, now);
    assert_eq!((found.bad, found.total), (4000.0, 8010.0));
}

#[test]
fn failed_queries_lose_nothing() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let good: Vec<_> = (0..=80).map(|step| (START + step * SLOTS, step as f64 * 10.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200")], &good);
    for slot in 1..=80 {
        let now = START + slot * SLOTS;
        if (30..36).contains(&slot) {
            let plan = world.engine.plan(at(now));
            let failed: Vec<_> = plan.queries.iter().map(|_| Err("away".to_string())).collect();
            let step = world.engine.step(&plan, &failed);
            assert_eq!(step.failures.len(), 1);
            world.commit(step.commit);
            assert_eq!(status(&world, now).error.as_deref(), Some("away"));
            continue;
        }
        world.slot(now);
    }
    let found = status(&world, START + 80 * SLOTS);
    assert_eq!((found.total, found.error), (800.0, None));
    // A slot is taken once.
    let plan = world.engine.plan(at(START + 80 * SLOTS));
    assert!(world.engine.step(&plan, &[]).skipped);
}

/// A failure that lasts longer than slots read back.
#[test]
fn an_hour_of_failed_queries_loses_nothing() {
    let mut world = World::new(&slo(""), MINUTE, START);
    let points: Vec<(i64, f64)> =
        (0..=200).map(|minute| (START + minute * MINUTE, minute as f64 * 60.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200"), ("job", "j")], &points);
    for minute in 1..=200 {
        let now = START + minute * MINUTE;
        if (20..120).contains(&minute) {
            world.slot_in_vain(now);
        } else {
            world.slot(now);
        }
    }
    assert_eq!(status(&world, START + 200 * MINUTE).total, 12_000.0);
}

/// Who adds an objective must not stop those that are there.
#[test]
fn objectives_keep_their_slots_while_another_is_filled_in() {
    let mut world = World::new(&slo(""), SLOTS, START + DAY);
    let points: Vec<(i64, f64)> =
        (0..=1500).map(|minute| (START + minute * MINUTE, minute as f64 * 60.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200"), ("job", "j")], &points);
    world.backfill(START + DAY, 400 * DAY);
    world.step(START + DAY);
    let now = START + DAY + 20 * MINUTE;
    let second = slo("").replace("slo: shop", "slo: second");
    let both = set_of(&format!("{}\n---\n{second}", slo("")));
    let commit = world.engine.reload(&both, at(now));
    world.commit(commit);
    let plans = history_plans(&mut world.engine, now, Some(now - 3 * DAY));
    assert!(plans.len() >= 3, "{}", plans.len());
    assert!(world.engine.is_filling("second") && !world.engine.is_filling("shop"));
    world.step(now);
    let events = |world: &World, name: &str| world.engine.status(name, at(now))[0].total;
    assert_eq!(events(&world, "second"), 0.0);
    assert_eq!(events(&world, "shop"), (DAY / MINUTE + 20) as f64 * 60.0, "slots caught up");
    world.fill(plans, now);
    assert!(!world.engine.is_filling("second"));
    let next = now + SLOTS;
    world.step(next);
    assert_eq!(
        events(&world, "second"),
        events(&world, "shop"),
        "the slot began where history ended"
    );
}

#[test]
fn history_that_could_not_be_read_is_asked_for_again() {
    let now = START + DAY;
    let mut world = World::new(&slo(""), SLOTS, now);
    let points: Vec<(i64, f64)> =
        (0..=1440).map(|minute| (START + minute * MINUTE, minute as f64 * 60.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200"), ("job", "j")], &points);
    let plans = history_plans(&mut world.engine, now, Some(now - DAY));
    assert_eq!(plans.len(), 4, "a quarter of a day each");
    assert!(!world.engine.has_unread_history());
    for (chunk, mut plan) in plans.into_iter().enumerate() {
        let mut found = all_answers(&world.store, &world.engine, &mut plan);
        if chunk == 1 {
            found.fill(Err("the disk is away".into()));
        }
        let step = world.engine.take_backfill(&plan, &found, at(now));
        world.commit(step.commit);
    }
    assert_eq!(status(&world, now).total, 1080.0 * 60.0);
    assert!(!world.engine.is_filling("shop"), "slots go on meanwhile");
    // It fails again, and is known to be missing all the same; by the next process too, which takes nothing else for it.
    let plans = unread_plans(&mut world.engine, now);
    assert_eq!(plans.len(), 1);
    world.fill_in_vain(&plans[0], now);
    for _ in 0..2 {
        world.restart(now);
        let again = unread_plans(&mut world.engine, now);
        assert_eq!((again.len(), &again[0].queries), (1, &plans[0].queries));
        assert_eq!(world.engine.begin_backfill(at(now), Some(at(now - DAY))), 0);
    }
    let plans = unread_plans(&mut world.engine, now);
    world.fill(plans, now);
    assert_eq!(unread_plans(&mut world.engine, now).len(), 0);
    assert_eq!(status(&world, now).total, 1440.0 * 60.0);
    world.restart(now);
    assert_eq!(status(&world, now).total, 1440.0 * 60.0, "it is written down");
    assert!(!world.engine.has_unread_history());
}

#[test]
fn nothing_is_asked_of_the_time_before_the_oldest_sample() {
    let many: Vec<String> = (0..100)
        .map(|n| {
            slo("")
                .replace("slo: shop", &format!("slo: shop-{n}"))
                .replace("req_", &format!("r{n}_"))
        })
        .collect();
    let now = START + 10 * DAY + 7 * HOUR;
    let mut world = World::new(&many.join("---\n"), SLOTS, now);
    let queries = |engine: &mut SloEngine, oldest: Option<i64>| {
        let plans = history_plans(engine, now, oldest);
        plans.iter().map(|plan| plan.queries.len()).sum::<usize>()
    };
    // An empty store knows nothing; it is all computed back, and slots begin.
    assert_eq!(queries(&mut world.engine, None), 0);
    assert!(!world.engine.is_filling("shop-7"));
    assert!(!world.engine.plan(at(now)).queries.is_empty());
    // One of an hour has one chunk of history (or two, where a quarter of a day begins), one of 400 days 1,600.
    assert_eq!(queries(&mut world.engine, Some(now - HOUR / 2)), 2 * 100);
    assert_eq!(queries(&mut world.engine, Some(now - 2 * HOUR)), 2 * 2 * 100);
    assert!(world.engine.is_filling("shop-7"));
    world.engine.end_backfill();
    let of_all = queries(&mut world.engine, Some(now - 900 * DAY));
    assert_eq!(of_all, (4 * 400 + 1) * 2 * 100, "no more than is kept");
}

/// The first sample is where counting begins, whatever the quarter of an hour it lies in.
#[test]
fn clipped_history_counts_the_same() {
    for first in [0, 1, 299, 300, 301, 899, 900, 901] {
        let now = START + 9 * HOUR + 60_000;
        let points: Vec<(i64, f64)> =
            (0..2_000).map(|n| (START + (first + 15 * n) * 1000, n as f64)).collect();
        let mut totals = Vec::new();
        for oldest in [points[0].0, now - 7 * DAY] {
            let mut world = World::new(&slo(""), SLOTS, now);
            world.counter(&[("__name__", "req_total"), ("code", "500"), ("job", "j")], &points);
            let plans = history_plans(&mut world.engine, now, Some(oldest));
            world.fill(plans, now);
            totals.push(status(&world, now).total);
        }
        assert_eq!(totals, [1_999.0; 2], "{first} s after a border");
    }
}

/// Samples that come days after their time: what was there, what a silence was put down to, and what comes into it.
#[test]
fn samples_of_days_ago_are_counted_when_that_history_is_read_anew() {
    let now = START + 6 * DAY;
    let labels = [("__name__", "req_total"), ("code", "200"), ("job", "j"), ("instance", "i")];
    let bad = [("__name__", "req_total"), ("code", "500"), ("job", "j"), ("instance", "i")];
    let points = |minutes: &mut dyn Iterator<Item = i64>| -> Vec<(i64, f64)> {
        minutes.map(|minute| (START + minute * MINUTE, minute as f64 * 6.0)).collect()
    };
    // A silence of twenty hours that ended less than an hour ago; and one of two hours, days ago.
    let (long, short) = (6 * 1440 - 21 * 60..6 * 1440 - 50, 1440..1440 + 120);
    let is_late = |minute: &i64| long.contains(minute) || short.contains(minute);
    let mut world = World::new(&slo(""), SLOTS, now);
    world.counter(&labels, &points(&mut (0..=6 * 1440).filter(|minute| !is_late(minute))));
    world.counter(&bad, &points(&mut (0..=6 * 1440).filter(|minute| !is_late(minute))));
    let plans = history_plans(&mut world.engine, now, Some(START));
    world.fill(plans, now);
    world.slot(now);
    let all = 6.0 * 1440.0 * 6.0;
    let before = status(&world, now);
    assert_eq!((before.bad, before.total), (all, 2.0 * all));
    let hour = before.burn.iter().find(|burn| burn.window == "1h").unwrap().total;
    assert!(hour > 15_000.0, "all of the silence is put down to its end: {hour}");

    world.counter(&labels, &points(&mut (0..=6 * 1440).filter(is_late)));
    world.counter(&bad, &points(&mut (0..=6 * 1440).filter(is_late)));
    let span = |of: &std::ops::Range<i64>| {
        (at(START + of.start * MINUTE), at(START + (of.end - 1) * MINUTE))
    };
    for of in [&short, &long] {
        let (start, end) = span(of);
        world.engine.changed_between(start, end, at(now));
    }
    // It is written down with the next slot, and outlives a crash.
    world.slot(now + SLOTS);
    world.restart(now + SLOTS);
    let plans = unread_plans(&mut world.engine, now + SLOTS);
    assert!((9..=12).contains(&plans.len()), "{}: days, not the whole of history", plans.len());
    world.fill(plans, now + SLOTS);
    world.slot(now + 2 * SLOTS);
    let after = status(&world, now + 2 * SLOTS);
    assert_eq!((after.bad, after.total), (all, 2.0 * all), "nothing is counted twice");
    let hour = after.burn.iter().find(|burn| burn.window == "1h").unwrap().total;
    assert!((700.0..=740.0).contains(&hour), "an hour is an hour again: {hour}");
    assert!(after.coverage > before.coverage + 0.1, "{} {}", before.coverage, after.coverage);
    assert!(!world.engine.has_unread_history());
}

/// Slots read six hours back. What they missed beyond that is history.
#[test]
fn half_a_day_of_failed_queries_loses_nothing() {
    let mut world = World::new(&slo(""), MINUTE, START);
    let points: Vec<(i64, f64)> =
        (0..=1_000).map(|minute| (START + minute * MINUTE, minute as f64 * 60.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200"), ("job", "j")], &points);
    for minute in 1..=1_000 {
        let now = START + minute * MINUTE;
        if (20..820).contains(&minute) {
            world.slot_in_vain(now);
        } else {
            world.slot(now);
        }
        if minute == 19 {
            assert!(!world.engine.has_unread_history(), "nothing is missing");
        }
    }
    let now = START + 1_000 * MINUTE;
    assert!(status(&world, now).total < 60_000.0);
    let plans = unread_plans(&mut world.engine, now);
    assert!((1..=3).contains(&plans.len()), "{}", plans.len());
    world.fill(plans, now);
    assert_eq!(status(&world, now).total, 60_000.0);
}

/// What is missing is forgotten with what it is missing of.
#[test]
fn other_counters_have_another_history() {
    let now = START + DAY;
    let mut world = World::new(&slo(""), SLOTS, now);
    world.engine.changed_between(at(START), at(START + HOUR), at(now));
    world.slot(now);
    let of_unread = |world: &World| {
        let saved = world.saved().slices;
        saved.iter().filter(|record| record.key.ends_with("/unread")).count()
    };
    assert_eq!(of_unread(&world), 1);
    let other = set_of(&slo("").replace("total: req_total", "total: 'req_total{code!=\"404\"}'"));
    let commit = world.engine.reload(&other, at(now));
    assert!(!world.engine.has_unread_history());
    world.commit(commit);
    assert_eq!(of_unread(&world), 0);
    // A stretch older than what is kept goes by itself.
    let mut world = World::new(&slo(""), SLOTS, now);
    world.engine.changed_between(at(START), at(START + HOUR), at(now));
    world.slot(now);
    world.restart(now + 300 * DAY);
    assert!(world.engine.has_unread_history());
    world.restart(now + 402 * DAY);
    assert!(!world.engine.has_unread_history());
    assert_eq!(of_unread(&world), 0);
}

/// One sample of January 1970 (in seconds instead of milliseconds, say) beside one of seven hours ago.
#[test]
fn nothing_is_read_of_the_time_before_stored_samples_begin() {
    let now = START + 3 * DAY;
    let mut world = World::new(&slo(""), SLOTS, now);
    world.settings.history = Duration::from_secs(2 * 86_400);
    world.restart(now);
    world.engine.changed_between(at(1_767_571), at(now - 7 * HOUR), at(now));
    world.slot(now);
    world.restart(now);
    let plans = unread_plans(&mut world.engine, now);
    assert!((7..=9).contains(&plans.len()), "two days by quarters: {}", plans.len());
    let first = plans[0].queries.iter().map(|query| query.start_ms).min().unwrap();
    assert!(first >= now - 2 * DAY, "{}", now - first);
    // Of what lies before that altogether there is nothing to do.
    let mut world = World::new(&slo(""), SLOTS, now);
    world.engine.changed_between(at(0), at(HOUR), at(now));
    assert!(!world.engine.has_unread_history());
    // With time the border moves on, whether something was read or not.
    world.engine.changed_between(at(START), at(START + HOUR), at(now));
    assert!(world.engine.has_unread_history());
    assert_eq!(unread_plans(&mut world.engine, now + 402 * DAY).len(), 0);
    assert!(!world.engine.has_unread_history());
}

/// Counters were counted over ten days, the store keeps two: a late sample of another process must not take the account
/// of the days whose samples are gone.
#[test]
fn what_was_counted_outlives_the_samples() {
    let now = START + 10 * DAY;
    let mut world = World::new(&slo("").replace("window: 7d", "window: 30d"), SLOTS, now);
    world.counter(&req("200", "a"), &minutes(0, 10 * 1440, 60.0));
    world.backfill(now, 20 * DAY);
    world.slot(now);
    let all = 10.0 * 1440.0 * 60.0;
    assert_eq!(status(&world, now).total, all);
    world.store = Default::default();
    world.settings.history = Duration::from_secs(2 * 86_400);
    world.counter(&req("200", "a"), &minutes(8 * 1440, 10 * 1440, 60.0));
    world.counter(&req("500", "b"), &minutes(2 * 1440, 2 * 1440 + 30, 1.0));
    world.restart(now + MINUTE);
    let (start, end) = (at(START + 2 * DAY), at(START + 2 * DAY + HOUR / 2));
    world.engine.changed_between(start, end, at(now + MINUTE));
    world.slot(now + MINUTE);
    let plans = unread_plans(&mut world.engine, now + MINUTE);
    world.fill(plans, now + MINUTE);
    assert_eq!(status(&world, now + MINUTE).total, all);
}

/// The time in which slots of the process before failed is nobody's else.
#[test]
fn failed_slots_are_caught_up_by_the_next_process() {
    for (failed, reload) in [(40, false), (55, false), (50, true)] {
        let mut world = World::new(&slo(""), MINUTE, START);
        world.counter(&req("200", "a"), &minutes(0, 200, 60.0));
        for minute in 1..=100 {
            world.slot(START + minute * MINUTE);
        }
        for minute in 101..=100 + failed {
            world.slot_in_vain(START + minute * MINUTE);
        }
        let now = START + (101 + failed) * MINUTE;
        match reload {
            true => world.engine.reload(&world.set.clone(), at(now)),
            false => {
                world.restart(now);
                None
            }
        };
        assert_eq!(world.engine.begin_backfill(at(now), Some(at(START))), 0, "less than an hour");
        world.slot(now);
        assert_eq!(status(&world, now).total, (101 + failed) as f64 * 60.0, "{failed} {reload}");
    }
}

/// What came late was taken note of, and its queries failed until the process ended.
#[test]
fn late_samples_that_were_not_read_are_read_by_the_next_process() {
    let mut world = World::new(&slo(""), MINUTE, START);
    world.counter(&req("200", "a"), &minutes(0, 400, 60.0));
    world.counter(&req("500", "b"), &minutes(300, 400, 1.0));
    for minute in 1..=300 {
        world.slot(START + minute * MINUTE);
    }
    world.counter(&req("500", "b"), &minutes(0, 100, 1.0));
    world.engine.changed_since(at(START));
    world.slot_in_vain(START + 301 * MINUTE);
    let now = START + 302 * MINUTE;
    world.restart(now);
    world.slot(now);
    assert_eq!(status(&world, now).bad, 302.0, "with what it did in the silence between");
    // Once read, the log forgets it.
    let saved = world.saved().slices;
    assert!(saved.iter().all(|record| !record.key.ends_with("/unread")), "{saved:?}");
}

/// A process that is killed when history was filled in for less than an hour, and no slot was there since.
#[test]
fn the_time_in_which_history_was_filled_in_is_not_lost() {
    let (begun, killed) = (START + DAY, START + DAY + 50 * MINUTE);
    let other = slo("").replace("slo: shop", "slo: other");
    let mut world = World::new(&format!("{}---\n{other}", slo("")), MINUTE, begun);
    world.counter(&req("200", "a"), &minutes(0, 2 * 1440, 60.0));
    let plans = history_plans(&mut world.engine, begun, Some(START));
    world.fill(plans, begun);
    // Nobody asks for the second one until it is killed, as when its chunks take that long.
    world.engine.end_backfill();
    let plan = world.engine.plan(at(killed));
    let empty = vec![Err("still filling".to_string()); plan.queries.len()];
    let step = world.engine.step(&plan, &empty);
    let commit = step.commit.map(|mut commit| {
        commit.records.clear();
        commit
    });
    world.commit(commit);
    world.restart(killed + MINUTE);
    world.engine.begin_backfill(at(killed + MINUTE), Some(at(START)));
    world.slot(killed + MINUTE);
    assert_eq!(status(&world, killed + MINUTE).total, (1440 + 51) as f64 * 60.0);
}

/// Samples that are stored after a chunk's queries ran, and noted before its answers are taken.
#[test]
fn what_comes_while_history_is_read_is_read_again() {
    let now = START + 3 * DAY;
    let mut world = World::new(&slo(""), SLOTS, now);
    world.counter(&req("200", "a"), &minutes(0, 3 * 1440, 60.0));
    world.backfill(now, 4 * DAY);
    world.slot(now);
    let late = |from: i64| {
        let of = move |n: i64| (START + (from + n) * MINUTE, 10.0 * n as f64);
        (0..=10).map(of).collect::<Vec<_>>()
    };
    let noted = |world: &mut World, from: i64| {
        let start = START + from * MINUTE;
        world.engine.changed_between(at(start), at(start + 10 * MINUTE), at(now));
    };
    world.counter(&req("500", "b"), &late(700));
    noted(&mut world, 700);
    let mut rounds = 0;
    while let Some(mut plan) = world.engine.next_unread(at(now), None) {
        let answers = all_answers(&world.store, &world.engine, &mut plan);
        if rounds == 0 {
            world.counter(&req("500", "c"), &late(650));
            noted(&mut world, 650);
        }
        let step = world.engine.take_backfill(&plan, &answers, at(now));
        world.commit(step.commit);
        rounds += 1;
        assert!(rounds < 20);
    }
    assert_eq!(status(&world, now).bad, 200.0);
}

/// The same for slots: history finds that what came before was bad, or samples are noted, while a slot is asked.
#[test]
fn what_comes_while_a_slot_is_read_is_read_again() {
    let mut world = World::new(&slo(""), MINUTE, START);
    world.counter(&req("200", "a"), &minutes(0, 100, 60.0));
    for minute in 1..=60 {
        world.slot(START + minute * MINUTE);
    }
    let now = START + 61 * MINUTE;
    let mut plan = world.engine.plan(at(now));
    let answers = all_answers(&world.store, &world.engine, &mut plan);
    world.counter(&req("500", "b"), &minutes(10, 20, 1.0));
    world.engine.changed_since(at(START + 10 * MINUTE));
    let step = world.engine.step(&plan, &answers);
    world.commit(step.commit);
    world.slot(now + MINUTE);
    assert_eq!(status(&world, now + MINUTE).bad, 10.0);
}

/// A chunk that ended in the midst of a quarter of an hour fails, and is read five days later, when of that time whole
/// quarters are left.
#[test]
fn quarters_are_read_whole_however_late() {
    let now = START + DAY + 7 * MINUTE;
    let mut world = World::new(&slo("").replace("7d", "30d"), MINUTE, now);
    world.counter(&req("200", "a"), &minutes(0, 7 * 1440, 60.0));
    let mut plans = history_plans(&mut world.engine, now, Some(START));
    let last = plans.pop().unwrap();
    world.fill(plans, now);
    world.fill_in_vain(&last, now);
    for minute in 8..=30 {
        world.slot(START + DAY + minute * MINUTE);
    }
    let later = START + 6 * DAY + 7 * MINUTE;
    world.restart(later);
    let plans = history_plans(&mut world.engine, later, Some(START));
    world.fill(plans, later);
    world.slot(later);
    let plans = unread_plans(&mut world.engine, later);
    assert!(!plans.is_empty());
    world.fill(plans, later);
    assert_eq!(status(&world, later).total, (6 * 1440 + 7) as f64 * 60.0);
    assert!(!world.engine.has_unread_history());
}

/// A year of many objectives is planned a chunk at a time.
#[test]
fn chunks_are_planned_one_by_one() {
    let many: Vec<String> =
        (0..50).map(|n| slo("").replace("slo: shop", &format!("slo: shop-{n}"))).collect();
    let now = START + 390 * DAY;
    let mut world = World::new(&many.join("---\n"), SLOTS, now);
    let chunks = world.engine.begin_backfill(at(now), Some(at(START)));
    assert_eq!(chunks, 390 * 4);
    let first = world.engine.next_backfill().unwrap();
    assert_eq!(first.slot, at(START + 6 * HOUR));
    assert_eq!(world.engine.next_backfill().unwrap().slot, at(START + 12 * HOUR));
    // A chunk whose answers nobody takes is not handed out again, and keeps slots away until the end is said.
    world.fill(vec![first], START);
    assert!(world.engine.is_filling("shop-7"));
    world.engine.end_backfill();
    assert!(world.engine.next_backfill().is_none());
    world.engine.changed_between(at(START), at(now - DAY), at(now));
    let first = world.engine.next_unread(at(now), None).unwrap();
    assert!(first.queries.len() <= 2, "{}", first.queries.len());
    let next = world.engine.next_unread(at(now), Some(first.slot)).unwrap();
    assert!(next.slot > first.slot, "what fails does not come again in the same round");
}
