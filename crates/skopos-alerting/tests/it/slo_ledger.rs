//! The ledger against brute force: whatever is written in whatever order, any window's sum is that of
//! its slices; and what is restored from records is what was.

use std::collections::BTreeMap;
use std::time::Duration;

use skopos_alerting::slo::{CalendarUnit, Ledger, RETENTION_DAYS, Slice, Sum, Window};

use crate::fuzzing::Random;

const MINUTE: i64 = 60_000;
const QUARTER: i64 = 15 * MINUTE;
const DAY: i64 = 96 * QUARTER;
/// A Monday in 2026.
const START: i64 = 1_767_571_200_000;

/// Every slice that was ever written, by its start.
struct Model {
    slice: i64,
    slices: BTreeMap<i64, Slice>,
}

impl Model {
    fn sum(&self, start: i64, end: i64) -> Sum {
        let mut sum = Sum::default();
        for (_, slice) in self.slices.range(start..end) {
            sum.bad += slice.bad;
            sum.total += slice.total;
            sum.minutes += self.slice / MINUTE;
        }
        sum
    }

    fn sum_without(&self, start: i64, end: i64, excluded: &[(i64, i64)]) -> Sum {
        let mut sum = Sum::default();
        for (at, slice) in self.slices.range(start..end) {
            let is_out = excluded.iter().any(|(from, to)| *at < *to && at + self.slice > *from);
            if !is_out {
                sum.bad += slice.bad;
                sum.total += slice.total;
                sum.minutes += self.slice / MINUTE;
            }
        }
        sum
    }
}

fn random_slice(random: &mut Random, fractions: bool) -> Slice {
    let total = random.below(500) as f64;
    let bad = random.below(total as usize + 1) as f64;
    // Quarters are exact in binary, so sums in any order are equal.
    if fractions { Slice { bad: bad / 4.0, total } } else { Slice { bad, total } }
}

/// A border that both tiers have: quarters of an hour, or slices within the last four days.
fn border(random: &mut Random, slice: i64, now: i64, oldest: i64) -> i64 {
    let fine = now.div_euclid(DAY) * DAY - 4 * DAY;
    let at = oldest + (random.next() % ((now + QUARTER - oldest) as u64)) as i64;
    let width = if at >= fine { slice } else { QUARTER };
    at.div_euclid(width) * width
}

#[test]
fn any_window_is_the_sum_of_its_slices() {
    for seed in 0..8 {
        let mut random = Random(seed);
        let slice = [1, 3, 5, 15][seed as usize % 4] * MINUTE;
        let fractions = seed % 3 == 0;
        let mut now = START + random.below(1440) as i64 * MINUTE;
        let mut ledger = Ledger::new(Duration::from_millis(slice as u64), now);
        let mut model = Model { slice, slices: BTreeMap::new() };
        let mut log: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut oldest = now.div_euclid(QUARTER) * QUARTER;
        for step in 0..60 {
            // Time goes on by up to a day, now and then by weeks.
            let ahead = if step % 25 == 24 { 20 * 1440 } else { random.below(700) as i64 };
            now += ahead * MINUTE;
            ledger.advance(now);
            let mut batch = BTreeMap::new();
            // The newest slices, with gaps.
            let mut at = (now - 90 * MINUTE).div_euclid(slice) * slice;
            while at < now {
                if random.below(8) > 0 {
                    batch.insert(at, random_slice(&mut random, fractions));
                }
                at += slice;
            }
            // Late data: up to three days ago.
            let late = now - random.below(3 * 1440) as i64 * MINUTE;
            let late = late.div_euclid(slice) * slice;
            if late >= oldest {
                batch.insert(late, random_slice(&mut random, fractions));
            }
            // Older than the fine tier only whole quarters are written.
            if step == 30 {
                let day = now.div_euclid(DAY) * DAY - 30 * DAY;
                for quarter in 0..96 {
                    for part in 0..QUARTER / slice {
                        let at = day + quarter * QUARTER + part * slice;
                        batch.insert(at, random_slice(&mut random, fractions));
                    }
                }
                oldest = oldest.min(day);
            }
            let batch: Vec<(i64, Slice)> = batch.into_iter().collect();
            ledger.write(&batch);
            model.slices.extend(batch);
            for record in ledger.take_records("k", now) {
                match record.value {
                    Some(value) => drop(log.insert(record.key, value)),
                    None => drop(log.remove(&record.key)),
                }
            }
            for _ in 0..6 {
                let a = border(&mut random, slice, now, oldest - DAY);
                let b = border(&mut random, slice, now, oldest - DAY);
                let (start, end) = (a.min(b), a.max(b));
                assert_eq!(
                    ledger.sum(start, end),
                    model.sum(start, end),
                    "seed {seed} step {step}"
                );
                let mut cuts: Vec<i64> =
                    (0..4).map(|_| border(&mut random, slice, now, oldest - DAY)).collect();
                cuts.sort_unstable();
                let excluded = [(cuts[0], cuts[1]), (cuts[2], cuts[3])];
                assert_eq!(
                    ledger.sum_without(start, end, &excluded),
                    model.sum_without(start, end, &excluded),
                    "seed {seed} step {step}: {start} {end} without {excluded:?}"
                );
            }
            if step % 10 == 9 {
                let restored = skopos_alerting::slo::restore_ledger(
                    Duration::from_millis(slice as u64),
                    now,
                    log.iter().map(|(key, value)| (key.as_str(), value.as_slice())),
                );
                for _ in 0..6 {
                    let a = border(&mut random, slice, now, oldest - DAY);
                    let b = border(&mut random, slice, now, oldest - DAY);
                    let (start, end) = (a.min(b), a.max(b).min(now - slice));
                    if end > start {
                        assert_eq!(restored.sum(start, end), model.sum(start, end), "restored");
                    }
                }
            }
        }
    }
}

#[test]
fn ends_inside_a_slice_are_moved_outwards() {
    let mut ledger = Ledger::new(Duration::from_secs(60), START);
    let one = Slice { bad: 1.0, total: 10.0 };
    ledger.write(&[(START, one), (START + MINUTE, one), (START + 2 * MINUTE, one)]);
    let bad = |from: i64, to: i64| ledger.sum(START + from, START + to).bad;
    assert_eq!(bad(0, 3 * MINUTE), 3.0);
    assert_eq!(bad(MINUTE, 2 * MINUTE), 1.0);
    assert_eq!(bad(MINUTE - 1, 2 * MINUTE + 1), 3.0);
    assert_eq!(bad(MINUTE + 1, MINUTE + 2), 1.0);
    assert_eq!(bad(2 * MINUTE, MINUTE), 0.0);
    // Two stretches in one slice take it off once.
    let without = [(START + 61_000, START + 62_000), (START + 63_000, START + 64_000)];
    assert_eq!(ledger.sum_without(START, START + 3 * MINUTE, &without).bad, 2.0);
}

#[test]
fn a_month_across_summer_time_is_exact() {
    let zone = jiff::tz::TimeZone::get("Europe/Athens").unwrap();
    let window = Window::Calendar { unit: CalendarUnit::Month, zone };
    // One bad event in every minute of March and April.
    let first: jiff::Timestamp = "2026-02-25T00:00:00Z".parse().unwrap();
    let first = first.as_millisecond();
    let now = first + 70 * DAY;
    let mut ledger = Ledger::new(Duration::from_secs(60), now);
    let every: Vec<(i64, Slice)> =
        (0..70 * 1440).map(|m| (first + m * MINUTE, Slice { bad: 1.0, total: 2.0 })).collect();
    ledger.write(&every);
    let march =
        window.at("2026-03-15T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let sum = ledger.sum(march.start_ms, march.end_ms);
    // 31 days less the hour that summer time takes.
    assert_eq!((sum.bad, sum.minutes), (44_580.0, 44_580));
    let april = window.at(march.end_ms + 1);
    assert_eq!(ledger.sum(april.start_ms, april.end_ms).bad, 43_200.0);
}

#[test]
fn days_are_kept_400_days_and_their_records_go() {
    let mut ledger = Ledger::new(Duration::from_secs(60), START);
    let mut keys = std::collections::BTreeSet::new();
    for day in 0..(RETENTION_DAYS + 20) {
        let now = START + day * DAY + DAY / 2;
        ledger.advance(now);
        ledger.write(&[(now - MINUTE, Slice { bad: 1.0, total: 1.0 })]);
        for record in ledger.take_records("k", now) {
            match record.value {
                Some(_) => drop(keys.insert(record.key)),
                None => assert!(keys.remove(&record.key), "{} was never written", record.key),
            }
        }
    }
    let now = START + (RETENTION_DAYS + 20) * DAY;
    assert_eq!(ledger.sum(START - DAY, now).bad as i64, RETENTION_DAYS + 1);
    // Four days and today in quarters, the rest in days.
    assert_eq!(keys.iter().filter(|key| key.starts_with("k/q/")).count(), 5);
    assert_eq!(
        keys.iter().filter(|key| key.starts_with("k/d/")).count() as i64,
        RETENTION_DAYS - 4
    );
    assert!(ledger.size_bytes() < 200_000, "{}", ledger.size_bytes());
}
