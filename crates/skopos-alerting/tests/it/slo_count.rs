//! What the engine of objectives counts, against brute force over raw events: resets, restarts, groups, each budgeting
//! method, each kind of indicator; and what cannot be meant.

use std::collections::BTreeMap;

use skopos_model::{Labels, SampleValue};

use crate::fuzzing::Random;
use crate::slo_world::{DAY, HOUR, MINUTE, SLOTS, START, World, at, slo, status};

/// Raw events of one process: how many of each code in each 15 s, and when it began anew.
pub(crate) struct Events {
    /// By instance and code: increments by the time of the sample that shows them.
    increments: BTreeMap<(usize, &'static str), Vec<(i64, u64)>>,
}

impl Events {
    /// Two processes, codes 200 and 500, `count` samples each; now and then a process begins anew.
    pub(crate) fn random(random: &mut Random, count: i64, store: &mut World) -> Self {
        let mut increments = BTreeMap::new();
        for instance in 0..2 {
            let restarts: Vec<i64> = (0..3).map(|_| random.below(count as usize) as i64).collect();
            for code in ["200", "500"] {
                let mut value = random.below(10_000) as u64;
                let mut own = Vec::new();
                let mut points = Vec::new();
                for step in 0..=count {
                    let time = START + step * SLOTS;
                    let most = if code == "500" { 3 } else { 40 };
                    // Some minutes have no events at all.
                    let is_quiet = (step / 8) % 5 == 4;
                    let events = if is_quiet { 0 } else { random.below(most) as u64 };
                    if step == 0 {
                        points.push((time, value as f64));
                        continue;
                    }
                    // A process that begins anew shows what happened since; it must be less than what
                    // was there before, or nobody can tell.
                    value = if restarts.contains(&step) { events } else { value + events };
                    let shown = points.last().map_or(0.0, |(_, v): &(i64, f64)| *v);
                    let seen = if (value as f64) < shown { value } else { value - shown as u64 };
                    own.push((time, seen));
                    points.push((time, value as f64));
                }
                let name = instance.to_string();
                let labels =
                    [("__name__", "req_total"), ("code", code), ("instance", &name), ("job", "j")];
                store.counter(&labels, &points);
                increments.insert((instance, code), own);
            }
        }
        Self { increments }
    }

    /// (bad, total) after `start` and up to `end`, of an instance or of both.
    pub(crate) fn sum(&self, start: i64, end: i64, instance: Option<usize>) -> (f64, f64) {
        let (mut bad, mut total) = (0, 0);
        for ((of, code), own) in &self.increments {
            if instance.is_some_and(|instance| instance != *of) {
                continue;
            }
            let events: u64 =
                own.iter().filter(|(t, _)| *t > start && *t <= end).map(|(_, n)| n).sum();
            total += events;
            bad += if *code == "500" { events } else { 0 };
        }
        (bad as f64, total as f64)
    }
}

#[test]
fn budgets_are_those_of_the_raw_events_across_resets_and_restarts() {
    for seed in 0..4 {
        let mut random = Random(seed);
        let mut world = World::new(&slo(""), SLOTS, START);
        let count = 4 * 240;
        let events = Events::random(&mut random, count, &mut world);
        let mut step = 1;
        while step <= count {
            let now = START + step * SLOTS;
            world.slot(now);
            if random.below(60) == 0 {
                world.restart(now);
            }
            // Downtime: slots are missed, and read later.
            if random.below(100) == 0 {
                step += random.below(40) as i64;
            }
            if step % 40 == 0 {
                let found = status(&world, now);
                assert_eq!((found.bad, found.total), events.sum(0, now, None), "seed {seed}");
                let burn = found.burn.iter().find(|burn| burn.window == "1h").unwrap();
                // The window begins at the border of a slice.
                let from = (now - HOUR).div_euclid(MINUTE) * MINUTE;
                assert_eq!((burn.bad, burn.total), events.sum(from, now, None), "seed {seed}");
            }
            step += 1;
        }
        // The same again out of stored history, by an engine that knows nothing.
        let now = START + count * SLOTS;
        let (bad, total) = events.sum(0, now, None);
        let mut other = World::new(&slo(""), SLOTS, now);
        other.store = world.store;
        other.backfill(now, 2 * DAY);
        let found = status(&other, now);
        assert_eq!((found.bad, found.total), (bad, total), "seed {seed}");
    }
}

#[test]
fn each_method_counts_as_by_hand() {
    // Minute by minute: bad and all events.
    let minutes = [(0, 100), (1, 100), (2, 100), (50, 100), (0, 0), (100, 100), (0, 50)];
    let cases = [
        ("budgeting: occurrences\n", (153.0, 550.0)),
        // A minute is good from 99 %; the one without events does not count.
        ("budgeting: {timeslices: {slice: 1m, good: 99%}}\n", (3.0, 6.0)),
        ("budgeting: {timeslices: {slice: 1m, good: 99%, empty: good}}\n", (3.0, 7.0)),
        ("budgeting: {timeslices: {slice: 1m, good: 99%, empty: bad}}\n", (4.0, 7.0)),
        ("budgeting: ratio_timeslices\n", (1.53, 6.0)),
    ];
    for (budgeting, want) in cases {
        let mut world = World::new(&slo(budgeting), SLOTS, START);
        let (mut good, mut bad) = (vec![(START, 5.0)], vec![(START, 7.0)]);
        for (at, (failed, all)) in minutes.iter().enumerate() {
            let time = START + (at as i64 + 1) * MINUTE;
            // All of it shows in the first sample of the minute.
            for quarter in (0..4).rev() {
                let more = |last: f64, n: i32| last + f64::from(n);
                let first = quarter == 3;
                let (g, b) = (good.last().unwrap().1, bad.last().unwrap().1);
                good.push((time - quarter * SLOTS, more(g, if first { all - failed } else { 0 })));
                bad.push((time - quarter * SLOTS, more(b, if first { *failed } else { 0 })));
            }
        }
        world.counter(&[("__name__", "req_total"), ("code", "200")], &good);
        world.counter(&[("__name__", "req_total"), ("code", "500")], &bad);
        for slot in 1..=minutes.len() as i64 * 4 {
            world.slot(START + slot * SLOTS);
        }
        let now = START + minutes.len() as i64 * MINUTE;
        let found = status(&world, now);
        assert!((found.bad - want.0).abs() < 1e-9, "{budgeting}: {}", found.bad);
        assert_eq!(found.total, want.1, "{budgeting}");
        let spent = want.0 / want.1 / 0.01;
        assert!((found.budget_remaining.unwrap() - (1.0 - spent)).abs() < 1e-9, "{budgeting}");
    }
}

#[test]
fn groups_have_budgets_of_their_own() {
    let mut world = World::new(&slo("group_by: [instance]\n"), SLOTS, START);
    let mut random = Random(7);
    let events = Events::random(&mut random, 240, &mut world);
    for slot in 1..=240 {
        world.slot(START + slot * SLOTS);
        if slot == 100 {
            world.restart(START + slot * SLOTS);
        }
    }
    let now = START + 240 * SLOTS;
    let found = world.engine.statuses(at(now));
    assert_eq!(found.len(), 2);
    for (instance, status) in found.iter().enumerate() {
        assert_eq!(status.group, [("instance".to_string(), instance.to_string())]);
        assert_eq!((status.bad, status.total), events.sum(0, now, Some(instance)));
    }
}

#[test]
fn the_first_failure_of_a_known_process_counts() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let good: Vec<_> = (0..=40).map(|step| (START + step * SLOTS, step as f64 * 10.0)).collect();
    let target = [("job", "j"), ("instance", "i")];
    let labels = |code: &'static str| {
        [&[("__name__", "req_total"), ("code", code)][..], &target[..]].concat()
    };
    world.counter(&labels("200"), &good);
    // The series of failures appears with its first three.
    let bad: Vec<_> = (20..=40).map(|step| (START + step * SLOTS, 3.0)).collect();
    world.counter(&labels("500"), &bad);
    // One of a process that nobody knew says nothing about when its failures were.
    world.counter(&[("__name__", "req_total"), ("code", "500"), ("instance", "new")], &bad);
    for slot in 1..=40 {
        world.slot(START + slot * SLOTS);
    }
    let found = status(&world, START + 40 * SLOTS);
    assert_eq!((found.bad, found.total), (3.0, 403.0));
}

#[test]
fn native_histograms_count_what_is_within_the_threshold() {
    let text = "slo: rpc\nservice: s\nowner: o\nrunbook: r\nsli: {histogram: rpc_seconds, le: 1, native: true}\ntarget: 95%\nwindow: 7d\n";
    let mut world = World::new(text, SLOTS, START);
    // Schema 0: bucket 0 ends at 1, bucket 1 at 2. Three within a second, one not, every 15 s; it begins anew once.
    let (labels, points) = skopos_promql::promqltest::parse_series(
        "rpc_seconds {{schema:0 sum:4 count:4 buckets:[3 1]}}+{{schema:0 sum:4 count:4 buckets:[3 1]}}x40 {{schema:0 sum:4 count:4 buckets:[3 1]}}+{{schema:0 sum:4 count:4 buckets:[3 1]}}x39",
    )
    .unwrap();
    for (step, point) in points.into_iter().enumerate() {
        world.store.insert(&labels, START + step as i64 * SLOTS, point.unwrap());
    }
    for slot in 1..=80 {
        world.slot(START + slot * SLOTS);
    }
    let found = status(&world, START + 80 * SLOTS);
    assert_eq!((found.bad, found.total), (80.0, 320.0));
}

#[test]
fn classic_buckets_and_shares_count_too() {
    let latency = "slo: web\nservice: s\nowner: o\nrunbook: r\nsli: {histogram: web_seconds, le: 1s}\ntarget: 95%\nwindow: 7d\n";
    let probe = "slo: probe\nservice: s\nowner: o\nrunbook: r\nsli: {good_ratio: avg(up)}\nbudgeting: ratio_timeslices\ntarget: 95%\nwindow: 7d\n";
    let mut world = World::new(&format!("{latency}---\n{probe}"), SLOTS, START);
    let points =
        |each: f64| (0..=40).map(|s| (START + s * SLOTS, s as f64 * each)).collect::<Vec<_>>();
    for (bound, each) in [("0.5", 5.0), ("1.0", 8.0), ("+Inf", 10.0)] {
        world.counter(&[("__name__", "web_seconds_bucket"), ("le", bound)], &points(each));
    }
    world.counter(&[("__name__", "web_seconds_count")], &points(10.0));
    for step in 0..=40 {
        for (name, value) in [("a", 1.0), ("b", f64::from(u8::from(step >= 20)))] {
            let labels = Labels::from_pairs([("__name__", "up"), ("instance", name)]);
            world.store.insert(&labels, START + step * SLOTS, SampleValue::Float(value));
        }
    }
    for slot in 1..=40 {
        world.slot(START + slot * SLOTS);
    }
    let found = world.engine.statuses(at(START + 40 * SLOTS));
    assert_eq!((found[0].bad, found[0].total), (80.0, 400.0));
    // Half of the targets was away in the first minutes, of which one ended when samples began.
    assert_eq!((found[1].bad, found[1].total), (2.5, 11.0));
}

/// The guide's latency query over a histogram that has no such bound: in Prometheus it yields nothing, and so it is here.
#[test]
fn a_bucket_that_is_not_there_is_no_data_and_no_outage() {
    let query = |bound: &str| {
        format!(
            "{{good_ratio: 'sum(rate(web_seconds_bucket{{le=\"{bound}\"}}[5m])) / sum(rate(web_seconds_count[5m]))'}}"
        )
    };
    let counters = "{good: 'web_seconds_bucket{le=\"0.2\"}', total: web_seconds_count}".to_string();
    let slow = "{bad_ratio: '1 - sum(rate(web_seconds_bucket{le=\"0.2\"}[5m])) / sum(rate(web_seconds_count[5m]))'}";
    for (sli, is_there) in [
        (query("0.2"), false),
        (counters, false),
        (slow.to_string(), false),
        ("{histogram: web_seconds, le: 200ms}".into(), false),
        (query("0.25"), true),
    ] {
        let text = format!(
            "slo: web\nservice: s\nowner: o\nrunbook: r\nsli: {sli}\ntarget: 95%\nwindow: 30d\n"
        );
        let mut world = World::new(&text, SLOTS, START);
        let points =
            |each: f64| (0..=240).map(|s| (START + s * SLOTS, s as f64 * each)).collect::<Vec<_>>();
        for (bound, each) in [("0.1", 5.0), ("0.25", 8.0), ("+Inf", 10.0)] {
            world.counter(&[("__name__", "web_seconds_bucket"), ("le", bound)], &points(each));
        }
        world.counter(&[("__name__", "web_seconds_count")], &points(10.0));
        for slot in 1..=240 {
            world.step(START + slot * SLOTS);
        }
        let found = status(&world, START + 240 * SLOTS);
        let want = if is_there { (480.0, 2_400.0) } else { (0.0, 0.0) };
        assert_eq!((found.bad, found.total), want, "{sli}");
        assert_eq!(found.budget_remaining.is_some(), is_there, "{sli}");
        assert!(is_there || !world.rules.firing().contains("SLOBurnFast"), "{sli}");
        let bucket = world.set.slos[0].indicator.bucket();
        assert_eq!(bucket.as_deref(), Some(if is_there { "0.25" } else { "0.2" }));
    }
}

#[test]
fn more_good_events_than_events_is_a_mistake_and_not_go() {
    for (sli, says) in [
        ("{good: good_total, total: req_total}", Some("more good events than events")),
        ("{bad: good_total, total: req_total}", Some("more bad events than events")),
        ("{bad: req_total, total: good_total}", None),
        ("{good_ratio: avg(up)}\nbudgeting: ratio_timeslices", Some("not between 0 and 1")),
    ] {
        let text = format!(
            "slo: web\nservice: s\nowner: o\nrunbook: r\nsli: {sli}\ntarget: 95%\nwindow: 30d\n"
        );
        let mut world = World::new(&text, SLOTS, START);
        let points =
            |each: f64| (0..=240).map(|s| (START + s * SLOTS, s as f64 * each)).collect::<Vec<_>>();
        world.counter(&[("__name__", "good_total")], &points(10.0));
        world.counter(&[("__name__", "req_total")], &points(5.0));
        let up = Labels::from_pairs([("__name__", "up")]);
        for step in 0..=240 {
            world.store.insert(&up, START + step * SLOTS, SampleValue::Float(99.0));
        }
        for slot in 1..=240 {
            world.slot(START + slot * SLOTS);
        }
        let now = START + 240 * SLOTS;
        let found = status(&world, now);
        assert_eq!(found.problem.is_some(), says.is_some(), "{sli}: {:?}", found.problem);
        assert_eq!(found.error, None, "its queries do not fail");
        let gate = world.engine.gate("s", at(now));
        if let Some(says) = says {
            assert!(found.problem.unwrap().contains(says), "{sli}");
            assert_ne!(gate.verdict.exit_code(), 0, "{}", gate.sentence);
        }
    }
}
