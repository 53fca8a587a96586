//! What is wrong with an objective itself: good events that nobody ever saw, buckets that are not there, and when a
//! budget is gone at the present rate.

use skopos_alerting::slo::{Health, SloStatus, Verdict, good_percent, left_percent};

use crate::fuzzing::Random;
use crate::slo_world::{DAY, HOUR, MINUTE, START, World, at, unread_plans};

fn slo(sli: &str, more: &str) -> String {
    format!(
        "slo: web\nservice: s\nowner: o\nrunbook: r\nsli: {sli}\ntarget: 95%\nwindow: 30d\n{more}"
    )
}

fn points(from: i64, to: i64, each: f64) -> Vec<(i64, f64)> {
    (from..=to).map(|m| (START + m * MINUTE, (m - from) as f64 * each)).collect()
}

fn status(world: &World, now: i64) -> SloStatus {
    world.engine.statuses(at(now)).remove(0)
}

const GOOD: &str = "{good: 'req_total{code=\"200\"}', total: req_total}";

/// From the first request on everything failed. Nobody knows whether `good` is right; once it is seen, it was all bad.
#[test]
fn good_events_that_were_never_seen_are_no_data_until_they_are() {
    for is_restarted in [false, true] {
        let mut world = World::new(&slo(GOOD, ""), MINUTE, START);
        world.counter(&[("__name__", "req_total"), ("code", "500")], &points(0, 120, 10.0));
        for minute in 1..=60 {
            world.step(START + minute * MINUTE);
        }
        let now = START + HOUR;
        let found = status(&world, now);
        assert_eq!((found.total, found.health), (0.0, Health::NoData), "{}", found.sentence);
        let problem = found.problem.unwrap();
        assert!(problem.contains("nothing matches the selector of its good events"), "{problem}");
        assert!(found.sentence.contains(&problem), "{}", found.sentence);
        let gate = world.engine.gate("s", at(now));
        assert_eq!(gate.verdict, Verdict::Caution);
        assert!(gate.sentence.contains(&problem), "{}", gate.sentence);
        assert_eq!(world.rules.firing().into_iter().collect::<Vec<_>>(), ["SLODataAbsent"]);

        // The first good ones, by another process: the selector is right.
        let labels = [("__name__", "req_total"), ("code", "200")];
        world.counter(&labels, &points(61, 90, 10.0));
        if is_restarted {
            world.restart(now + MINUTE);
        }
        for minute in 61..=90 {
            world.step(START + minute * MINUTE);
        }
        let found = status(&world, START + 90 * MINUTE);
        assert_eq!(found.problem, None);
        // A restart forgets from where on nothing was good; what is read again every quarter of an hour is bad by then.
        match is_restarted {
            false => assert_eq!((found.bad, found.total), (900.0, 1190.0)),
            true => assert!(found.bad >= 300.0 && found.total - found.bad == 290.0),
        }
        // They stop being there: that is an outage, and no mistake.
        for minute in 91..=120 {
            world.step(START + minute * MINUTE);
        }
        let found = status(&world, START + 120 * MINUTE);
        assert_eq!((found.problem, found.total - found.bad), (None, 290.0));
        assert!(world.rules.firing().contains("SLOBurnMedium"), "{:?}", world.rules.firing());
    }
}

#[test]
fn the_same_holds_for_history() {
    let mut world = World::new(&slo(GOOD, ""), MINUTE, START + 2 * DAY);
    let end = 2 * 1440;
    world.counter(&[("__name__", "req_total"), ("code", "500")], &points(0, end, 1.0));
    world.counter(&[("__name__", "req_total"), ("code", "200")], &points(1441, end, 1.0));
    let now = START + 2 * DAY;
    world.backfill(now, 3 * DAY);
    for slot in 1..=3 {
        world.slot(now + slot * MINUTE);
        let plans = unread_plans(&mut world.engine, now + slot * MINUTE);
        world.fill(plans, now + slot * MINUTE);
    }
    let found = status(&world, now + 3 * MINUTE);
    assert_eq!((found.bad, found.total - found.bad), (2_880.0, 1_439.0), "{}", found.sentence);
}

#[test]
fn failures_that_were_never_seen_are_none() {
    let mut world =
        World::new(&slo("{bad: 'req_total{code=\"500\"}', total: req_total}", ""), MINUTE, START);
    world.counter(&[("__name__", "req_total"), ("code", "200")], &points(0, 60, 10.0));
    for minute in 1..=60 {
        world.step(START + minute * MINUTE);
    }
    let found = status(&world, START + HOUR);
    assert_eq!((found.bad, found.total, found.problem), (0.0, 600.0, None));
    assert_eq!(found.health, Health::Ok);
}

#[test]
fn a_missing_bucket_is_told_with_those_that_there_are() {
    let guide = "{good_ratio: 'sum(rate(web_seconds_bucket{le=\"0.2\"}[5m])) / sum(rate(web_seconds_count[5m]))'}";
    for (sli, bound) in [
        (guide, "0.2"),
        ("{histogram: web_seconds, le: 200ms}", "0.2"),
        ("{histogram: web_seconds, le: 300}", "300"),
        (
            "{good: 'sum(increase(web_seconds_bucket{le=\"0.2\"}[$window]))', total: 'sum(increase(web_seconds_count[$window]))'}",
            "0.2",
        ),
    ] {
        let mut world = World::new(&slo(sli, ""), MINUTE, START);
        for (le, each) in [("0.1", 5.0), ("0.25", 8.0), ("1.0", 9.0), ("+Inf", 10.0)] {
            world.counter(&[("__name__", "web_seconds_bucket"), ("le", le)], &points(0, 60, each));
        }
        world.counter(&[("__name__", "web_seconds_count")], &points(0, 120, 10.0));
        for minute in 1..=30 {
            world.step(START + minute * MINUTE);
        }
        let now = START + 30 * MINUTE;
        let found = status(&world, now);
        let want = format!("its histogram has no bucket le=\"{bound}\"; there are 0.1, 0.25, 1.0");
        assert_eq!(found.problem.as_deref(), Some(want.as_str()), "{sli}");
        assert!(found.sentence.contains(&want), "{}", found.sentence);
        assert_eq!((found.total, found.health), (0.0, Health::NoData), "{sli}");
        let gate = world.engine.gate("s", at(now));
        assert!(gate.verdict == Verdict::Caution && gate.sentence.contains(&want), "{gate:?}");

        // The histogram gets the bucket.
        let labels = [("__name__", "web_seconds_bucket"), ("le", bound)];
        world.counter(&labels, &points(30, 60, 9.9));
        for minute in 31..=60 {
            world.step(START + minute * MINUTE);
        }
        let found = status(&world, START + HOUR);
        assert_eq!(found.problem, None, "{sli}");
        assert!(found.total > 250.0 && found.bad < found.total / 2.0, "{sli}: {found:?}");
        // And loses it again: nothing is known from then on, and nobody is paged for it.
        for minute in 61..=75 {
            world.step(START + minute * MINUTE);
        }
        let later = status(&world, START + 75 * MINUTE);
        assert!(later.problem.is_some(), "{sli}");
        assert!(later.bad <= found.bad + 20.0, "{sli}: {later:?}");
        assert_eq!(world.engine.gate("s", at(START + 75 * MINUTE)).verdict, Verdict::Caution);
    }
}

#[test]
fn groups_without_the_bucket_are_named() {
    let sli = "{histogram: web_seconds, le: 200ms}";
    let mut world = World::new(&slo(sli, "group_by: [region]\n"), MINUTE, START);
    for (region, le) in [("eu", "0.2"), ("us", "0.25")] {
        let bucket = [("__name__", "web_seconds_bucket"), ("region", region), ("le", le)];
        world.counter(&bucket, &points(0, 60, 9.0));
        world.counter(
            &[("__name__", "web_seconds_count"), ("region", region)],
            &points(0, 60, 10.0),
        );
    }
    for minute in 1..=30 {
        world.step(START + minute * MINUTE);
    }
    let all = world.engine.statuses(at(START + 30 * MINUTE));
    assert_eq!((all.len(), all[0].group.clone()), (1, vec![("region".into(), "eu".into())]));
    assert_eq!((all[0].bad, all[0].total), (30.0, 300.0));
    let problem = all[0].problem.as_deref().unwrap();
    assert!(
        problem.starts_with(
            "its histogram has no bucket le=\"0.2\" (of region=us); there are 0.2, 0.25"
        ),
        "{problem}"
    );
}

/// Few events more than events in a slot are noise; what an hour showed stays said.
#[test]
fn a_problem_is_told_as_long_as_it_lasts() {
    for (each, total) in [(10.0, 5.0), (1.0, 0.5)] {
        let mut world = World::new(&slo("{good: good_total, total: req_total}", ""), MINUTE, START);
        let mut good = points(0, 600, each);
        // From the sixth hour on as it should be.
        good.iter_mut()
            .skip(361)
            .enumerate()
            .for_each(|(n, p)| p.1 = 360.0 * each + n as f64 * total * 0.9);
        world.counter(&[("__name__", "good_total")], &good);
        world.counter(&[("__name__", "req_total")], &points(0, 600, total));
        let (mut since, mut told) = (None, 0);
        for minute in 1..=600 {
            let now = START + minute * MINUTE;
            world.slot(now);
            let found = status(&world, now);
            if let Some(problem) = &found.problem {
                assert!(problem.contains("more good events than events"), "{problem}");
                assert_ne!(found.health, Health::Ok);
                assert!(found.sentence.contains("cannot be relied on"), "{}", found.sentence);
                assert_eq!(world.engine.gate("s", at(now)).verdict, Verdict::Caution);
                since.get_or_insert(minute);
                told += i64::from(minute <= 360);
            }
        }
        let since = since.unwrap();
        assert!(since <= 75, "{each}: {since}");
        assert_eq!(told, 361 - since, "{each}: told without a gap");
        assert_eq!(status(&world, START + 600 * MINUTE).problem, None, "{each}");
    }
}

/// A rolling deploy whose new processes have other buckets: what they observe is not known to be bad, and is told.
#[test]
fn processes_without_the_bucket_are_left_out_and_named() {
    let guide = "{good_ratio: 'sum(rate(web_seconds_bucket{le=\"0.2\"}[5m])) / sum(rate(web_seconds_count[5m]))'}";
    for sli in [guide, "{histogram: web_seconds, le: 200ms}"] {
        let mut world = World::new(&slo(sli, ""), MINUTE, START);
        for (instance, le, from) in [("a", "0.2", 0), ("b", "0.25", 60)] {
            let target =
                |name: &'static str| [("__name__", name), ("job", "j"), ("instance", instance)];
            let bucket = [&target("web_seconds_bucket")[..], &[("le", le)]].concat();
            world.counter(&bucket, &points(from, 120, 10.0));
            world.counter(&target("web_seconds_count"), &points(from, 120, 10.0));
        }
        for minute in 1..=120 {
            let now = START + minute * MINUTE;
            world.step(now);
            let found = status(&world, now);
            // The first sample of a process says nothing yet.
            let wrong = "some of its series have no bucket le=\"0.2\" (of instance=b, whose requests are not counted)";
            let has_problem = found.problem.as_ref().is_some_and(|text| text.starts_with(wrong));
            assert_eq!(has_problem, minute > 60, "{minute}: {:?}", found.problem);
            assert_eq!(found.bad, 0.0, "{minute} {sli}");
        }
        let now = START + 2 * HOUR;
        let found = status(&world, now);
        assert_eq!(found.total, 1_200.0, "of the other one all");
        assert!(found.problem.unwrap().ends_with("; there are 0.2, 0.25"));
        assert_eq!(world.engine.gate("s", at(now)).verdict, Verdict::Caution);
        assert!(world.rules.firing().is_empty());
    }
    // Series of errors have no bucket of good requests: that is what makes them bad.
    let sli = "{good: 'web_seconds_bucket{le=\"0.2\",code!=\"500\"}', total: web_seconds_count}";
    let mut world = World::new(&slo(sli, ""), MINUTE, START);
    for (code, each) in [("200", 9.0), ("500", 1.0)] {
        let of = |name: &'static str| [("__name__", name), ("code", code)];
        let bucket = [&of("web_seconds_bucket")[..], &[("le", "0.2")]].concat();
        world.counter(&bucket, &points(0, 60, each));
        world.counter(&of("web_seconds_count"), &points(0, 60, each));
    }
    for minute in 1..=60 {
        world.step(START + minute * MINUTE);
    }
    let found = status(&world, START + HOUR);
    assert_eq!((found.bad, found.total, found.problem), (60.0, 600.0, None));
}

/// Thirteen percent too many good events at ten requests a minute: of a slot nobody can tell, of an hour everybody.
#[test]
fn a_problem_that_an_hour_shows_is_not_gone_with_the_next_slot() {
    let mut world = World::new(&slo("{good: good_total, total: req_total}", ""), MINUTE, START);
    world.counter(&[("__name__", "good_total")], &points(0, 600, 11.3));
    world.counter(&[("__name__", "req_total")], &points(0, 600, 10.0));
    let (mut since, mut told) = (None, 0);
    for minute in 1..=600 {
        let now = START + minute * MINUTE;
        world.slot(now);
        if status(&world, now).problem.is_some() {
            since.get_or_insert(minute);
            told += 1;
        }
    }
    assert_eq!(told, 601 - since.unwrap(), "told without a gap");
}

/// The group that a problem is about goes: so does the problem.
#[test]
fn a_problem_goes_with_its_group() {
    let text = slo("{good: good_total, total: req_total}", "group_by: [region]\n");
    let mut world = World::new(&text, MINUTE, START);
    for (region, good, to) in [("eu", 9.0, 200), ("us", 20.0, 90)] {
        let of = |name: &'static str| [("__name__", name), ("region", region)];
        world.counter(&of("good_total"), &points(0, to, good));
        world.counter(&of("req_total"), &points(0, to, 10.0));
    }
    let mut has_problem = Vec::new();
    for minute in 1..=200 {
        let now = START + minute * MINUTE;
        world.slot(now);
        let all = world.engine.statuses(at(now));
        has_problem.push(all.iter().any(|status| status.problem.is_some()));
    }
    assert!(has_problem[80] && !has_problem[199]);
    // What looks an hour back still sees it for a while.
    let last = has_problem.iter().rposition(|has| *has).unwrap();
    assert!((89..170).contains(&last), "{last}");
}

/// Minute by minute: the first at which the window has more bad events than it may have.
fn gone_after(bad: &[f64], rate: f64, length: usize) -> Option<f64> {
    let total = 100.0;
    (1..=length).find_map(|later| {
        let stays: f64 = bad[later.min(bad.len())..].iter().sum();
        let events = (bad.len().saturating_sub(later) + later) as f64 * total;
        let left = 0.05 * events - stays - rate * later as f64;
        (left < -1e-6).then_some(later as f64 / 60.0)
    })
}

/// Against brute force: what leaves a rolling window is known, and at a rate that it bears it lasts.
#[test]
fn hours_to_exhaustion_are_those_of_the_window_as_it_moves() {
    let text = slo("{bad: bad_total, total: req_total}", "").replace("30d", "1d");
    let (mut gone, mut lasts) = (0, 0);
    for seed in 0..40 {
        let mut random = Random(seed);
        // A bad stretch somewhere in the day, and what the last hour is like.
        let from = random.below(1300);
        let until = from + random.below(1380 - from);
        let dear = random.below(9) as f64;
        let now_bad = [0.0, 1.0, 3.0, 5.0, 5.0, 7.0, 20.0, 60.0][random.below(8)];
        let bad: Vec<f64> = (0..1440)
            .map(|m| match m {
                m if m >= 1380 => now_bad,
                m if (from..until).contains(&m) => dear,
                _ => 0.0,
            })
            .collect();
        let mut world = World::new(&text, MINUTE, START);
        let mut sum = 0.0;
        let mut counter = vec![(START, 0.0)];
        for (minute, bad) in bad.iter().enumerate() {
            sum += bad;
            counter.push((START + (minute as i64 + 1) * MINUTE, sum));
        }
        world.counter(&[("__name__", "bad_total")], &counter);
        world.counter(&[("__name__", "req_total")], &points(0, 1440, 100.0));
        world.backfill(START + DAY, DAY);
        world.slot(START + DAY);
        let found = status(&world, START + DAY);
        if found.budget_remaining.unwrap() <= 0.0 {
            assert_eq!(found.hours_to_exhaustion, Some(0.0));
            continue;
        }
        let want = gone_after(&bad, now_bad, 1440);
        match (found.hours_to_exhaustion, want) {
            (Some(hours), Some(want)) => {
                gone += 1;
                assert!((hours - want).abs() < 0.1, "seed {seed}: {hours} {want}");
                assert!(found.sentence.contains("is gone in"), "{}", found.sentence);
            }
            (None, None) => {
                lasts += 1;
                assert!(!found.sentence.contains("is gone"), "{}", found.sentence);
                assert!(now_bad == 0.0 || found.sentence.contains("lasts at that rate"));
            }
            // Over the line for less than a step of the search.
            (found, want) => panic!("seed {seed}: {found:?} {want:?}"),
        }
    }
    assert!(gone >= 5 && lasts >= 5, "{gone} {lasts}");
}

#[test]
fn shares_are_cut_off_and_never_say_met_for_missed() {
    for (share, target, want) in [
        (0.999_67, 0.999, "99.967 %"),
        (0.999_669_9, 0.999, "99.966 %"),
        (0.57, 0.99, "57 %"),
        (1.0, 0.999, "100 %"),
        (0.999_999_999_999_9, 0.999, "99.999 %"),
        (0.998_999_999_9, 0.999, "99.899 %"),
        (0.999, 0.999, "99.9 %"),
        (0.999_994, 0.999_99, "99.9994 %"),
    ] {
        assert_eq!(good_percent(share, target), want);
    }
    for (share, want) in [
        (1.0, "100 %"),
        (0.999_6, "99.9 %"),
        (0.874_6, "87.4 %"),
        (0.000_44, "0.04 %"),
        (0.000_01, "less than 0.01 %"),
        (0.0, "0 %"),
        (-0.000_01, "0 %"),
        (-1.905, "-190 %"),
    ] {
        assert_eq!(left_percent(share), want, "{share}");
    }
    let mut random = Random(9);
    for _ in 0..20_000 {
        let target = [0.9, 0.99, 0.999, 0.999_5, 0.999_99][random.below(5)];
        let total = 1 + random.below(10_000_000);
        let bad = random.below(total.min(1 + total / 500));
        let share = 1.0 - bad as f64 / total as f64;
        let said: f64 = good_percent(share, target).trim_end_matches(" %").parse().unwrap();
        assert!(said <= share * 100.0 + 1e-7 && said > share * 100.0 - 0.001_1, "{share} {said}");
        assert_eq!(said == 100.0, bad == 0);
        // Whoever reads it, knows whether the target is met.
        let is_met = bad as f64 <= (1.0 - target) * total as f64 + 1e-7;
        assert_eq!(said + 1e-9 >= target * 100.0, is_met, "{bad} of {total}: {said}");
    }
}
