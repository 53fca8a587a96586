//! Crashes at every kind of point on random timelines: what is restored from the log goes on
//! exactly as the run that never crashed.
//!
//! Seeds are fixed; `SKOPOS_CRASH_RUNS` makes more runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skopos_alerting::{NoData, NotificationSettings, OnError, Policies, Settings};
use skopos_model::storage::{Committed, StateKind};
use skopos_model::{Labels, METRIC_NAME, SampleValue};

use crate::fuzzing::Random;
use crate::harness::{Elements, World, elements, seconds, settings};

/// Rules whose states interact: two rules of one name, every duration, a limit, a recording rule,
/// rules with policies for no data and errors. The first rule is taken out half way.
const RULES: &str = "groups:
- name: first
  interval: 15s
  rules:
  - {record: a:b, expr: m}
  - {alert: Now, expr: m}
  - {alert: Soon, expr: m, for: 30s, labels: {rule: one}, annotations: {s: '{{ $value | humanize }}'}}
  - {alert: Soon, expr: m, for: 15s, keep_firing_for: 30s, labels: {rule: two}}
- name: second
  interval: 15s
  limit: 2
  query_offset: 5s
  rules:
  - {alert: Limited, expr: m, keep_firing_for: 15s}
  - {alert: Long, expr: m, for: 2m}
- name: third
  interval: 15s
  rules:
  - {alert: Watched, expr: m, for: 15s, keep_firing_for: 15s}
  - {alert: Kept, expr: m}
";

/// The rule that goes.
const GONE: &str = "  - {record: a:b, expr: m}\n";

const SLOTS: usize = 40;
/// Group and index of each rule, at first.
const PLACES: [(usize, usize); 8] =
    [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0), (2, 1)];
const RULE_COUNT: usize = PLACES.len();

/// Policies for the last two rules.
fn policies() -> Policies {
    Policies {
        no_data: vec![("Watched".into(), NoData::Alert), ("Kept".into(), NoData::Keep)],
        on_error: vec![("Watched".into(), OnError::Alert)],
    }
}

/// The answer to each rule at each slot.
fn timeline(random: &mut Random) -> Vec<Vec<Elements>> {
    let answer = |random: &mut Random, before: &Elements| match random.below(10) {
        0 => elements("!"),
        1..4 => before.clone(),
        _ => Ok(["a", "b", "c"]
            .into_iter()
            .filter_map(|name| {
                let (is_there, value) = (random.below(3) > 0, random.below(5) as f64 / 4.0);
                let labels = Labels::from_pairs([(METRIC_NAME, "m"), ("instance", name)]);
                is_there.then_some((labels, SampleValue::Float(value)))
            })
            .collect()),
    };
    let mut last: Vec<Elements> = vec![elements("-"); RULE_COUNT];
    (0..SLOTS)
        .map(|_| {
            last = last.iter().map(|before| answer(random, before)).collect();
            last.clone()
        })
        .collect()
}

/// Where a run loses its memory.
#[derive(Clone, Copy, Debug)]
enum Crash {
    /// Evaluated, not committed.
    BeforeCommit,
    /// Committed, the intents not queued.
    AfterCommit,
    /// Sent, the outcome not recorded.
    AfterSend,
}

struct Outcome {
    /// The view after every slot.
    views: Vec<String>,
    received: BTreeMap<String, String>,
    records: BTreeMap<(StateKind, String), Vec<u8>>,
    samples: BTreeSet<String>,
    crashes: usize,
}

fn run(
    answers: &[Vec<Elements>],
    settings: &Settings,
    mut crash: impl FnMut() -> Option<Crash>,
) -> Outcome {
    let mut world = World::new(RULES, settings.clone());
    let mut views = Vec::new();
    let mut crashes = 0;
    let mut first = 0;
    for (at, answers) in answers.iter().enumerate() {
        let slot = seconds(15 * (at as i64 + 1));
        if at == SLOTS / 2 {
            crashes += take_out_the_first(&mut world, slot, &mut crash);
            first = 1;
        }
        let mut rule = first;
        while rule < RULE_COUNT {
            let (group, index) = PLACES[rule];
            let index = index - usize::from(group == 0) * first;
            // An empty answer is now and then one for want of data.
            world.blind = matches!(&answers[rule], Ok(found) if found.is_empty()) && at % 3 == 0;
            let step = world.evaluate(group, index, slot, answers[rule].clone());
            let planned = crash();
            crashes += usize::from(planned.is_some());
            if matches!(planned, Some(Crash::BeforeCommit)) {
                world.restart(slot);
                // The slot is taken up again from its first rule, as a restarted server does.
                rule = first;
                continue;
            }
            if let Some(commit) = step.commit {
                assert_eq!(world.log.commit(commit.clone()), Committed::Applied);
                assert_eq!(world.log.commit(commit), Committed::AlreadyApplied);
            }
            if matches!(planned, Some(Crash::AfterCommit)) {
                world.restart(slot);
                rule = first;
                continue;
            }
            assert_eq!(world.queue.accept(step.intents, slot), None);
            if matches!(planned, Some(Crash::AfterSend)) {
                let sent = world.queue.due(slot);
                sent.iter().for_each(|d| world.receive(&d.idempotency_key, &d.body));
                world.restart(slot);
                rule = first;
                continue;
            }
            rule += 1;
        }
        world.deliver(slot, |_| 200);
        if let Some(commit) = world.engine.end_retired(slot) {
            if crash().is_some() {
                crashes += 1;
                world.restart(slot);
            }
            let again = world.engine.end_retired(slot).unwrap_or(commit);
            assert_eq!(world.log.commit(again), Committed::Applied);
        }
        // Evaluation times and the last slot of quiet rules are not part of the state.
        let alerts: Vec<_> =
            world.engine.view().into_iter().flat_map(|g| g.rules).map(|r| r.alerting).collect();
        views.push(format!("{alerts:?}"));
    }
    // Groups deliver one at a time, so drain what is left.
    let mut now = seconds(15 * SLOTS as i64);
    while !world.queue.is_empty() {
        now = now.saturating_add(Duration::from_secs(1));
        world.deliver(now, |_| 200);
    }
    Outcome {
        views,
        records: world.log.alert_records(),
        samples: world.log.sample_lines(),
        received: world.received,
        crashes,
    }
}

/// Reads rules without the first one, and crashes before or after that is durable. Says how often.
fn take_out_the_first(
    world: &mut World,
    slot: skopos_model::Timestamp,
    crash: &mut impl FnMut() -> Option<Crash>,
) -> usize {
    let fewer = RULES.replace(GONE, "");
    world.set = skopos_alerting::rules::load(&[("rules.yml", &fewer)]).unwrap();
    // After the slot before.
    let now = slot.saturating_add(Duration::from_secs(10)).saturating_sub(Duration::from_secs(15));
    let loaded = world.engine.reload(&world.set, now);
    match crash() {
        Some(Crash::BeforeCommit) => {
            // A restart with the new files finds the old rule's state and does the same.
            world.restart(now);
            1
        }
        planned => {
            if let Some(commit) = loaded.commit {
                assert_eq!(world.log.commit(commit), Committed::Applied);
            }
            assert_eq!(world.queue.accept(loaded.intents, now), None);
            if planned.is_some() {
                world.restart(now);
            }
            usize::from(planned.is_some())
        }
    }
}

#[test]
fn crashed_runs_equal_their_uninterrupted_twins() {
    let runs = std::env::var("SKOPOS_CRASH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let mut crashes = 0;
    let mut notifications = 0;
    for seed in 0..runs {
        let mut random = Random(seed);
        let answers = timeline(&mut random);
        let mut given = settings();
        given.notification = Some(NotificationSettings {
            repeat_interval: Duration::from_secs(60),
            ..NotificationSettings::default()
        });
        given.policies = policies();
        // Both with and without the hold: no slot is missed here, so it must not matter.
        given.restart_hold = seed % 2 == 0;
        let twin = run(&answers, &given, || None);
        let rate = 3 + random.below(20);
        let crashed = run(&answers, &given, || {
            (random.below(rate) == 0).then(|| match random.below(3) {
                0 => Crash::BeforeCommit,
                1 => Crash::AfterCommit,
                _ => Crash::AfterSend,
            })
        });
        for (slot, (twin, crashed)) in twin.views.iter().zip(&crashed.views).enumerate() {
            assert_eq!(twin, crashed, "seed {seed}, slot {slot}");
        }
        let keys = |outcome: &Outcome| outcome.received.keys().cloned().collect::<BTreeSet<_>>();
        let only = |a: &Outcome, b: &Outcome| -> Vec<String> {
            keys(a).difference(&keys(b)).map(|key| a.received[key].clone()).collect()
        };
        // One by one, so that a failure can be read.
        assert_eq!(only(&twin, &crashed), Vec::<String>::new(), "seed {seed}: lost");
        assert_eq!(only(&crashed, &twin), Vec::<String>::new(), "seed {seed}: invented");
        for (key, body) in &twin.received {
            assert_eq!(Some(body), crashed.received.get(key), "seed {seed}");
        }
        assert_eq!(twin.records, crashed.records, "seed {seed}");
        assert_eq!(twin.samples, crashed.samples, "seed {seed}");
        crashes += crashed.crashes;
        notifications += twin.received.len();
    }
    // Equal down to the byte, as asserted above: nothing is lost, nothing is there twice.
    println!("proof: alert state over crashes: {crashes} points, lost 0, doubled 0");
    assert!(
        crashes > 1_000 && notifications > 500,
        "{crashes} crashes, {notifications} notifications"
    );
}
