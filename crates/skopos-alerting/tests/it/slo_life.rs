//! Counters as they are in life, live and out of history: however often one looks and whatever one missed, what is
//! counted is what the samples say.

use std::collections::BTreeMap;
use std::time::Duration;

use skopos_model::{Labels, SampleValue};

use crate::fuzzing::Random;
use crate::slo_world::{DAY, MINUTE, SLOTS, START, World, at, slo, status};

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
                live.engine.changed_since(at(arrived));
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
