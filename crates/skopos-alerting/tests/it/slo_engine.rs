//! The state of objectives: what is said without data, what changed definitions keep.

use skopos_alerting::slo::Health;

use crate::slo_world::{DAY, HOUR, MINUTE, SLOTS, START, World, at, set_of, slo, status};

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
fn changed_objectives_keep_slices_unless_they_count_something_else() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let good: Vec<_> = (0..=40).map(|step| (START + step * SLOTS, step as f64 * 10.0)).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200")], &good);
    for slot in 1..=40 {
        world.slot(START + slot * SLOTS);
    }
    let now = START + 40 * SLOTS;
    let tighter = set_of(&slo("").replace("target: 99%", "target: 99.9%"));
    assert_eq!(world.engine.reload(&tighter, at(now)), None);
    let found = status(&world, now);
    assert_eq!((found.total, found.target), (400.0, 0.999));
    let other = slo("").replace("total: req_total", "total: 'req_total{code!=\"404\"}'");
    let other = set_of(&other);
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

/// Whoever adds an objective over data that ended hours ago is not paged for what burned then; what burns from now on
/// pages, and a restart in a silence keeps that page.
#[test]
fn nobody_is_paged_for_what_burned_before_an_objective_was_there() {
    let now = START + DAY;
    let ended = now - 2 * HOUR;
    let mut world = World::new(&slo(""), SLOTS, now);
    let points = |from: i64, to: i64| -> Vec<(i64, f64)> {
        let times = (from..=to).step_by(SLOTS as usize);
        times.map(|time| (time, ((time - START) / SLOTS) as f64 * 10.0)).collect()
    };
    let (good, bad) = (
        [("__name__", "req_total"), ("code", "200")],
        [("__name__", "req_total"), ("code", "500")],
    );
    for labels in [&good, &bad] {
        world.counter(labels, &points(ended - 50 * MINUTE, ended));
    }
    world.backfill(now, 7 * DAY);
    for restarted in [false, true] {
        for slot in 1..=8 {
            world.step(now + slot * SLOTS + if restarted { 10 * SLOTS } else { 0 });
        }
        let found = status(&world, now + 20 * SLOTS);
        assert_eq!(found.health, Health::NoData);
        assert!(found.budget_remaining.unwrap() < 0.0, "what was spent is spent");
        assert!(found.alerts.iter().all(|alert| !alert.is_met), "{:?}", found.alerts);
        let firing = world.rules.firing();
        assert!(!firing.iter().any(|name| name.starts_with("SLOBurn")), "{firing:?}");
        if !restarted {
            world.restart(now + 9 * SLOTS);
        }
    }
    let begun = now + HOUR;
    for labels in [&good, &bad] {
        world.counter(labels, &points(begun, begun + 20 * MINUTE));
    }
    for slot in 1..=120 {
        world.step(begun + slot * SLOTS);
        if slot == 90 {
            world.restart(begun + slot * SLOTS);
        }
    }
    assert!(world.rules.firing().contains("SLOBurnFast"), "ten minutes after data ended");
}
