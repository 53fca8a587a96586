//! The engine of objectives against brute force over raw events: late samples, resets, restarts, groups,
//! each budgeting method; and what is said of objectives without data.

use std::collections::BTreeMap;
use std::time::Duration;

use skopos_alerting::slo::{
    Annotation, AnnotationKind, Correction, GateOverride, Health, NoteError, SloStatus,
};
use skopos_model::{Labels, SampleValue};

use crate::fuzzing::Random;
use crate::slo_world::{DAY, HOUR, MINUTE, START, World, all_answers, at, set_of};

const SLOTS: i64 = 15_000;

fn slo(more: &str) -> String {
    format!(
        "slo: shop\nservice: shop\nowner: o\nrunbook: r.md\nsli: {{bad: 'req_total{{code=\"500\"}}', total: req_total}}\n\
         target: 99%\nwindow: 7d\n{more}"
    )
}

/// Raw events of one process: how many of each code in each 15 s, and when it began anew.
struct Events {
    /// By instance and code: increments by the time of the sample that shows them.
    increments: BTreeMap<(usize, &'static str), Vec<(i64, u64)>>,
}

impl Events {
    /// Two processes, codes 200 and 500, `count` samples each; now and then a process begins anew.
    fn random(random: &mut Random, count: i64, store: &mut World) -> Self {
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
    fn sum(&self, start: i64, end: i64, instance: Option<usize>) -> (f64, f64) {
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

fn status(world: &World, now: i64) -> SloStatus {
    world.engine.statuses(at(now)).remove(0)
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
fn no_data_is_not_good_and_holds_what_was() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let before = status(&world, START);
    assert_eq!((before.health, before.budget_remaining), (Health::NoData, None));
    let good: Vec<_> = (0..=240).map(|step| (START + step * SLOTS, step as f64 * 10.0)).collect();
    let bad: Vec<_> = (0..=240).map(|step| (START + step * SLOTS, step as f64 * 5.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200")], &good);
    world.counter(&[("__name__", "req_total"), ("code", "500")], &bad);
    for slot in 1..=240 {
        world.step(START + slot * SLOTS);
    }
    let now = START + 240 * SLOTS;
    let found = status(&world, now);
    assert_eq!(found.health, Health::Critical);
    assert!(found.sentence.contains("exhausted"), "{}", found.sentence);
    assert!(world.rules.firing().contains("SLOBurnFast"));
    // Silence for an hour: the page stays, and the silence is told.
    for slot in 241..=480 {
        world.step(START + slot * SLOTS);
    }
    let later = START + 480 * SLOTS;
    let found = status(&world, later);
    assert_eq!(found.health, Health::NoData);
    assert!(found.sentence.contains("no data has arrived for"), "{}", found.sentence);
    let firing = world.rules.firing();
    assert!(firing.contains("SLOBurnFast") && firing.contains("SLODataAbsent"), "{firing:?}");
    // Data again, all good: the absence is over at once, the page when its short window is clean.
    let after: Vec<_> =
        (481..=520).map(|step| (START + step * SLOTS, step as f64 * 10.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200")], &after);
    for slot in 481..=520 {
        world.step(START + slot * SLOTS);
    }
    let firing = world.rules.firing();
    assert!(!firing.contains("SLOBurnFast") && !firing.contains("SLODataAbsent"), "{firing:?}");
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

#[test]
fn corrections_take_time_out_and_show_it() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let mut random = Random(3);
    let events = Events::random(&mut random, 480, &mut world);
    for slot in 1..=480 {
        world.slot(START + slot * SLOTS);
    }
    let now = START + 480 * SLOTS;
    let (from, to) = (START + 30 * MINUTE, START + 50 * MINUTE);
    let note = Correction {
        id: String::new(),
        slo: "shop".into(),
        start_ms: from,
        end_ms: to,
        reason: "announced maintenance".into(),
        by: "ann".into(),
        created_ms: 0,
        revoked_ms: None,
    };
    let before = status(&world, now);
    let (note, commit) = world.engine.correct(note, at(now)).unwrap();
    world.commit(Some(commit));
    for restarted in [false, true] {
        if restarted {
            world.restart(now);
        }
        let found = status(&world, now);
        let (bad, total) = events.sum(0, now, None);
        let (out_bad, out_total) = events.sum(from, to, None);
        assert_eq!((found.bad, found.total), (bad - out_bad, total - out_total));
        let effect = &found.corrections[0];
        assert_eq!(
            (effect.bad, effect.total, &*effect.correction.reason),
            (out_bad, out_total, "announced maintenance")
        );
        assert_eq!(found.budget_remaining_uncorrected, before.budget_remaining);
    }
    let (_, commit) = world.engine.revoke_correction(&note.id, at(now)).unwrap();
    world.commit(Some(commit));
    assert_eq!(status(&world, now).bad, before.bad);
    assert!(world.engine.corrections(None)[0].revoked_ms.is_some());
}

#[test]
fn a_deploy_is_told_what_it_cost() {
    let mut world = World::new(&slo(""), MINUTE, START);
    let bad = |minute: i64| if minute > 120 { (minute - 120) as f64 * 50.0 } else { 0.0 };
    let all: Vec<_> = (0..=180).map(|m| (START + m * MINUTE, m as f64 * 1000.0)).collect();
    let failed: Vec<_> = (0..=180).map(|m| (START + m * MINUTE, bad(m))).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200")], &all);
    world.counter(&[("__name__", "req_total"), ("code", "500")], &failed);
    for minute in 1..=180 {
        world.slot(START + minute * MINUTE);
    }
    let now = START + 180 * MINUTE;
    let deploy = |minute: i64, text: &str| Annotation {
        id: String::new(),
        kind: AnnotationKind::Deploy,
        service: "shop".into(),
        start_ms: START + minute * MINUTE,
        end_ms: None,
        text: text.into(),
        by: "ci".into(),
        link: String::new(),
    };
    for (minute, text) in [(60, "v1"), (120, "v2")] {
        let (_, commit) = world.engine.annotate(deploy(minute, text), at(now)).unwrap();
        world.commit(Some(commit));
    }
    // Said again it is the same.
    let (_, commit) = world.engine.annotate(deploy(120, "v2"), at(now)).unwrap();
    world.commit(Some(commit));
    world.restart(now);
    let costs = world.engine.costs("shop", at(now));
    let told: Vec<_> =
        costs.iter().map(|c| (&*c.annotation.text, c.until_ms, c.spent_before)).collect();
    assert_eq!(told, [("v2", now, 0.0), ("v1", START + 120 * MINUTE, 0.0)]);
    // 3,000 failures of 183,000 requests against one per cent of them.
    assert!((costs[0].spent - 3000.0 / 1830.0).abs() < 1e-9, "{}", costs[0].spent);
    assert_eq!(costs[1].spent, 0.0);
    assert_eq!(
        costs[0].sentence,
        "Deploy \"v2\" burned 164 % of the budget of shop in 1 h (0 % in as much time before)."
    );
}

#[test]
fn notes_that_make_no_sense_are_refused() {
    let mut world = World::new(&slo("policy: {override: [lead]}\n"), SLOTS, START);
    let now = START + DAY;
    let note = Correction {
        id: String::new(),
        slo: "shop".into(),
        start_ms: START,
        end_ms: START + 1,
        reason: "r".into(),
        by: "b".into(),
        created_ms: 0,
        revoked_ms: None,
    };
    let mut refuse = |change: &dyn Fn(&mut Correction)| {
        let mut note = note.clone();
        change(&mut note);
        world.engine.correct(note, at(now)).unwrap_err()
    };
    assert_eq!(refuse(&|n| n.slo = "x".into()), NoteError::UnknownSlo("x".into()));
    assert_eq!(refuse(&|n| n.reason = " ".into()), NoteError::Empty("the reason"));
    assert_eq!(refuse(&|n| n.by = "x".repeat(5000)), NoteError::TooLong("the author"));
    assert_eq!(refuse(&|n| n.end_ms = n.start_ms), NoteError::EndBeforeStart);
    assert_eq!(refuse(&|n| n.start_ms = now - 500 * DAY), NoteError::OutOfRange);
    assert_eq!(
        refuse(&|n| (n.start_ms, n.end_ms) = (now + 2 * DAY, now + 3 * DAY)),
        NoteError::OutOfRange
    );
    let leave = |by: &str, until: i64| GateOverride {
        id: String::new(),
        service: "shop".into(),
        reason: "fix".into(),
        by: by.into(),
        created_ms: 0,
        until_ms: until,
    };
    let mut ask = |note: GateOverride| world.engine.override_gate(note, at(now)).map(|_| ());
    assert!(matches!(ask(leave("intern", now + HOUR)), Err(NoteError::NotAllowed { .. })));
    assert_eq!(ask(leave("lead", now - 1)), Err(NoteError::BadExpiry));
    assert_eq!(ask(leave("lead", now + 8 * DAY)), Err(NoteError::BadExpiry));
    assert_eq!(ask(leave("lead", now + HOUR)), Ok(()));
    let other = GateOverride { service: "x".into(), ..leave("lead", now + HOUR) };
    assert_eq!(ask(other), Err(NoteError::UnknownService("x".into())));
    assert!(world.engine.revoke_correction("nope", at(now)).is_err());
}

#[test]
fn changed_objectives_keep_slices_unless_they_count_something_else() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let good: Vec<_> = (0..=40).map(|step| (START + step * SLOTS, step as f64 * 10.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200")], &good);
    for slot in 1..=40 {
        world.slot(START + slot * SLOTS);
    }
    let now = START + 40 * SLOTS;
    let tighter = crate::slo_world::set_of(&slo("").replace("target: 99%", "target: 99.9%"));
    assert_eq!(world.engine.reload(&tighter, at(now)), None);
    let found = status(&world, now);
    assert_eq!((found.total, found.target), (400.0, 0.999));
    let other = slo("").replace("total: req_total", "total: 'req_total{code!=\"404\"}'");
    let other = crate::slo_world::set_of(&other);
    let commit = world.engine.reload(&other, at(now)).unwrap();
    assert!(commit.records.iter().all(|record| record.value.is_none()));
    assert_eq!(status(&world, now).total, 0.0);
    // A restart with the new definition finds the old slices and drops them as well.
    world.set = other;
    let saved = world.saved();
    assert!(saved.slices.len() > 1);
    world.restart(now);
    assert_eq!(world.saved().slices, []);
    // What is there may be counted anew.
    world.backfill(now, DAY);
    assert_eq!(status(&world, now).total, 400.0);
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
    let plans = world.engine.begin_backfill(at(now), Duration::from_millis(3 * DAY as u64));
    assert!(plans.len() >= 3, "{}", plans.len());
    assert!(world.engine.is_filling("second") && !world.engine.is_filling("shop"));
    world.step(now);
    let events = |world: &World, name: &str| world.engine.status(name, at(now))[0].total;
    assert_eq!(events(&world, "second"), 0.0);
    assert_eq!(events(&world, "shop"), (DAY / MINUTE + 20) as f64 * 60.0, "slots caught up");
    for mut plan in plans {
        let found = all_answers(&world.store, &world.engine, &mut plan);
        let step = world.engine.take_backfill(&plan, &found, at(now));
        world.commit(step.commit);
    }
    assert!(!world.engine.is_filling("second"));
    let next = now + SLOTS;
    world.step(next);
    assert_eq!(
        events(&world, "second"),
        events(&world, "shop"),
        "the slot began where history ended"
    );
}

/// Counters of three processes as they are in life: series that are born late, restarts, silences, samples at odd times.
struct Life {
    /// By series: its samples.
    series: Vec<(Labels, Vec<(i64, f64)>)>,
}

impl Life {
    fn random(random: &mut Random, minutes: i64) -> Self {
        let mut series = Vec::new();
        for instance in 0..3 {
            let offset = random.below(15_000) as i64;
            let count = minutes * 4;
            let mut silences = Vec::new();
            for _ in 0..4 {
                let begin = random.below(count as usize) as i64;
                silences.push(begin..begin + random.below(120) as i64);
            }
            let restarts: Vec<i64> = (0..3).map(|_| random.below(count as usize) as i64).collect();
            for code in ["200", "404", "500"] {
                let born = if code == "200" { 0 } else { random.below(count as usize) as i64 };
                let (mut value, mut samples) = (random.below(3) as f64, Vec::new());
                for step in born..count {
                    // What happens between two samples around a restart is lost to anybody who reads them.
                    if restarts.contains(&step) {
                        value = 0.0;
                    }
                    value += random.below(if code == "200" { 40 } else { 3 }) as f64;
                    if !silences.iter().any(|silence| silence.contains(&step)) {
                        samples.push((START + step * SLOTS + offset, value));
                    }
                }
                let instance = instance.to_string();
                let labels = [("__name__", "req_total"), ("code", code), ("instance", &instance)];
                series
                    .push((Labels::from_pairs(labels.into_iter().chain([("job", "j")])), samples));
            }
        }
        Self { series }
    }

    /// (bad, total) per minute, by a reader with all the time in the world.
    fn minutes(&self) -> BTreeMap<i64, (f64, f64)> {
        let mut minutes: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        for (labels, samples) in &self.series {
            let of_target = |other: &Labels| other.value("instance") == labels.value("instance");
            let is_known = |at: i64| {
                let mut others = self.series.iter().filter(|(other, _)| of_target(other));
                others.any(|(_, all)| all.iter().any(|(t, _)| (at - 300_000..at).contains(t)))
            };
            let mut before: Option<f64> = None;
            for (at, value) in samples {
                let events = match before {
                    None if is_known(*at) => *value,
                    None => 0.0,
                    Some(old) if *value < old => *value,
                    Some(old) => value - old,
                };
                before = Some(*value);
                let minute = (at - 1).div_euclid(MINUTE) * MINUTE;
                let (bad, total) = minutes.entry(minute).or_default();
                *total += events;
                *bad += if labels.value("code") == "500" { events } else { 0.0 };
            }
        }
        minutes.retain(|_, (_, total)| *total > 0.0);
        minutes
    }
}

fn minutes_of(world: &World, now: i64) -> BTreeMap<i64, (f64, f64)> {
    let minute = Duration::from_secs(60);
    let points = world.engine.chart("shop", &Labels::empty(), at(START - DAY), at(now), minute);
    let points = points.into_iter().filter(|point| point.total > 0.0);
    points.map(|point| (point.at_ms - MINUTE, (point.bad, point.total))).collect()
}

/// However often one looks, whatever one missed: what is counted is what the samples say, minute by minute.
#[test]
fn live_and_backfilled_budgets_are_those_of_the_samples() {
    for seed in 0..6 {
        let mut random = Random(100 + seed);
        let (minutes, interval) = (5 * 60, [SLOTS, 30_000, MINUTE][seed as usize % 3]);
        let life = Life::random(&mut random, minutes);
        let now = START + minutes * MINUTE + 2 * MINUTE;
        let mut live = World::new(&slo(""), interval, START);
        let mut arrived = START - MINUTE;
        let mut slot = START;
        while slot <= now {
            for (labels, samples) in &life.series {
                for (time, value) in samples.iter().filter(|(t, _)| *t > arrived && *t <= slot) {
                    live.store.insert(labels, *time, SampleValue::Float(*value));
                }
            }
            arrived = slot;
            live.slot(slot);
            if random.below(400) == 0 {
                live.restart(slot);
            }
            // A server that is down: its scrapes come later (remote write), or never (see the silences).
            if random.below(300) == 0 && slot < now - 150 * MINUTE {
                slot += random.below(140) as i64 * MINUTE;
                live.restart(slot);
                live.backfill(slot, DAY);
            }
            slot += interval;
        }
        let want = life.minutes();
        let last = *want.keys().next_back().unwrap();
        assert!(want.len() > 200, "{}", want.len());
        assert_eq!(minutes_of(&live, last + MINUTE), want, "seed {seed}: live");
        let mut late = World::new(&slo(""), interval, now);
        late.store = live.store;
        late.backfill(now, 2 * DAY);
        assert_eq!(minutes_of(&late, last + MINUTE), want, "seed {seed}: out of history");
    }
}

#[test]
fn what_happened_in_a_silence_counts_once_where_the_counter_is_seen_again() {
    for (silence, want) in [(4, true), (7, true), (90, true), (23 * 60, true), (31 * 60, false)] {
        let mut world = World::new(&slo(""), MINUTE, START);
        let samples = |each: f64| -> Vec<(i64, f64)> {
            let minutes = (0..=10).chain(10 + silence..=20 + silence);
            minutes.map(|minute| (START + minute * MINUTE, minute as f64 * each)).collect()
        };
        world.counter(&[("__name__", "req_total"), ("code", "200")], &samples(9.0));
        world.counter(&[("__name__", "req_total"), ("code", "500")], &samples(1.0));
        for minute in 1..=20 + silence {
            world.slot(START + minute * MINUTE);
        }
        let now = START + (20 + silence) * MINUTE;
        let found = status(&world, now);
        let all = if want { 20 + silence } else { 20 };
        assert_eq!((found.bad, found.total), (all as f64, 10.0 * all as f64), "{silence} min");
        let back = START + (10 + silence) * MINUTE;
        let before = minutes_of(&world, now).range(START + 10 * MINUTE..back - MINUTE).count();
        assert_eq!(before, 0, "nothing is put down to the silence itself");
        let known = if silence < 5 { 20 + silence } else { 20 + i64::from(want) };
        let minutes = found.coverage * (7 * DAY / MINUTE) as f64;
        assert!((minutes - known as f64).abs() < 1.01, "{silence} min: {minutes} of {known}");
        let mut late = World::new(&slo(""), MINUTE, now);
        late.store = world.store;
        late.backfill(now, 4 * DAY);
        assert_eq!(status(&late, now).total, found.total, "{silence} min, out of history");
    }
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
fn history_that_could_not_be_read_is_asked_for_again() {
    let now = START + DAY;
    let mut world = World::new(&slo(""), SLOTS, now);
    let points: Vec<(i64, f64)> =
        (0..=1440).map(|minute| (START + minute * MINUTE, minute as f64 * 60.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200"), ("job", "j")], &points);
    let plans = world.engine.begin_backfill(at(now), Duration::from_millis(DAY as u64));
    assert_eq!(plans.len(), 4, "a quarter of a day each");
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
    // It fails again, and is known to be missing all the same.
    let plans = world.engine.unread_history();
    assert_eq!(plans.len(), 1);
    let failed = vec![Err("away".to_string()); plans[0].queries.len()];
    world.engine.take_backfill(&plans[0], &failed, at(now));
    for mut plan in world.engine.unread_history() {
        let found = all_answers(&world.store, &world.engine, &mut plan);
        let step = world.engine.take_backfill(&plan, &found, at(now));
        world.commit(step.commit);
    }
    assert_eq!(world.engine.unread_history().len(), 0);
    assert_eq!(status(&world, now).total, 1440.0 * 60.0);
    world.restart(now);
    assert_eq!(status(&world, now).total, 1440.0 * 60.0, "it is written down");
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
            let plan = world.engine.plan(at(now));
            let failed = vec![Err("away".to_string()); plan.queries.len()];
            let step = world.engine.step(&plan, &failed);
            world.commit(step.commit);
        } else {
            world.slot(now);
        }
    }
    assert_eq!(status(&world, START + 200 * MINUTE).total, 12_000.0);
}
