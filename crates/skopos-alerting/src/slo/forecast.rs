//! When will the budget be gone? A range, or an honest "insufficient data".
//!
//! The future is drawn from the past. Nobody knows how long what happens now goes on, so a quarter of the
//! futures each is drawn from the last day, three days, week and four weeks: each six hours to come are a random six
//! hours of the same time of day from then. What leaves a rolling window is known. Of 200 such futures, the
//! tenth, the middle and the ninetieth of a hundred say when nothing is left. The draw is seeded by the
//! objective, so that the same data says the same.

use serde::Serialize;
use skopos_model::{Labels, Timestamp};

use super::engine::{SloEngine, as_object, hours, name_of, percent};
use super::ledger::{QUARTER_MS, Sum};
use super::{Slo, Window};

const FUTURES: usize = 200;
/// Quarters of an hour drawn at once.
const BLOCK: usize = 24;
const PER_DAY: usize = 96;
/// Days of the past to draw from: each is the memory of some futures.
const MEMORIES: [usize; 4] = [1, 3, 7, PAST_DAYS];
const PAST_DAYS: usize = 28;
/// Bad events without which there is nothing to draw from.
const FEW_BAD_EVENTS: f64 = 10.0;
/// Quarters with data without which there is not.
const FEW_QUARTERS: usize = PER_DAY;

/// What is to be expected of a budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// The objective.
    pub slo: String,
    /// The group's labels.
    #[serde(serialize_with = "as_object")]
    pub group: Vec<(String, String)>,
    /// What can be said.
    pub outcome: Outcome,
    /// It in a sentence.
    pub sentence: String,
}

/// What can be said.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// Nothing, and why.
    InsufficientData {
        /// Why.
        reason: String,
    },
    /// It is gone already.
    Exhausted,
    /// It lasts until the end of the horizon in nine of ten futures.
    Lasts {
        /// The end of the horizon: one window on, or the end of the calendar's unit.
        until_ms: i64,
    },
    /// It may not.
    Exhaustion {
        /// In one of ten futures it is gone by then.
        early_ms: i64,
        /// In half of them; none when it lasts in more than half.
        middle_ms: Option<i64>,
        /// In nine of ten; none when it lasts in more than one of ten.
        late_ms: Option<i64>,
        /// The share of futures in which it does not last.
        probability: f64,
    },
}

/// Pseudo-random numbers (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

impl SloEngine {
    /// When an objective's budgets will be gone.
    pub fn forecast(&self, slo: &str, now: Timestamp) -> Vec<Forecast> {
        let Some(of_name) = self.slo(slo).cloned() else { return Vec::new() };
        let groups = self.groups(slo);
        if groups.is_empty() {
            let reason = "there is no data".to_string();
            return vec![told(
                &of_name,
                &Labels::empty(),
                Outcome::InsufficientData { reason },
                now,
            )];
        }
        let forecast = |labels: Labels| {
            let outcome = self.outcome(&of_name, &labels, now);
            told(&of_name, &labels, outcome, now)
        };
        groups.into_iter().map(forecast).collect()
    }

    fn outcome(&self, slo: &Slo, labels: &Labels, now: Timestamp) -> Outcome {
        let insufficient = |reason: String| Outcome::InsufficientData { reason };
        let Some(budget) = self.present_budget(&slo.name, labels, now) else {
            return insufficient("there is no data".into());
        };
        let Some(remaining) = budget.remaining() else {
            return insufficient("nothing happened in the window".into());
        };
        if remaining <= 0.0 {
            return Outcome::Exhausted;
        }
        if self.has_fallen_silent(&slo.name, labels, now) {
            return insufficient("data stopped arriving".into());
        }
        // Whole quarters only; the present one goes on.
        let end = budget.until_ms.div_euclid(QUARTER_MS) * QUARTER_MS;
        let past = self.quarter_sums(
            &slo.name,
            labels,
            end - (PAST_DAYS * PER_DAY) as i64 * QUARTER_MS,
            end,
        );
        let known = past.iter().filter(|sum| sum.minutes > 0).count();
        if known < FEW_QUARTERS {
            let had = hours(known as f64 / 4.0);
            return insufficient(format!(
                "there are {had} of data, and a day is needed to know its course"
            ));
        }
        let bad: f64 = past.iter().map(|sum| sum.bad).sum();
        if bad < FEW_BAD_EVENTS {
            return insufficient(format!("{bad} bad events in four weeks do not make a rate"));
        }
        let (horizon, leaving) = match slo.window {
            Window::Rolling(length) => {
                let steps = (super::millis(length) / QUARTER_MS).min(PER_DAY as i64 * 90);
                let from = budget.period.start_ms.div_euclid(QUARTER_MS) * QUARTER_MS;
                (steps, self.quarter_sums(&slo.name, labels, from, from + steps * QUARTER_MS))
            }
            Window::Calendar { .. } => ((budget.period.end_ms - end) / QUARTER_MS, Vec::new()),
        };
        let expected =
            matches!(slo.window, Window::Calendar { .. }).then_some(budget.expected_total);
        let start = Start { sum: budget.sum, leaving: &leaving, expected, allowed: slo.budget() };
        let mut draw = Draw(slo.id.0);
        let mut gone: Vec<Option<i64>> = (0..FUTURES)
            .map(|at| {
                let days = MEMORIES[at % MEMORIES.len()];
                future(&past, days, &start, horizon.max(0) as usize, end, &mut draw)
            })
            .collect();
        gone.sort_by_key(|at| at.unwrap_or(i64::MAX));
        let at = |share: f64| gone[((FUTURES as f64 * share) as usize).min(FUTURES - 1)];
        match at(0.1) {
            None => Outcome::Lasts { until_ms: end + horizon * QUARTER_MS },
            Some(early_ms) => Outcome::Exhaustion {
                early_ms,
                middle_ms: at(0.5),
                late_ms: at(0.9),
                probability: gone.iter().flatten().count() as f64 / FUTURES as f64,
            },
        }
    }
}

/// Where every future begins.
struct Start<'a> {
    sum: Sum,
    /// What leaves a rolling window, quarter by quarter.
    leaving: &'a [Sum],
    /// The events of a whole unit of the calendar.
    expected: Option<f64>,
    allowed: f64,
}

/// When the budget is gone in one future.
fn future(
    past: &[Sum],
    memory: usize,
    start: &Start<'_>,
    horizon: usize,
    from_ms: i64,
    draw: &mut Draw,
) -> Option<i64> {
    let mut sum = start.sum;
    // Where in the day the future begins, by quarters.
    let first = from_ms.div_euclid(QUARTER_MS).rem_euclid(PER_DAY as i64) as usize;
    let begins = from_ms.div_euclid(QUARTER_MS) - past.len() as i64;
    let past_first = begins.rem_euclid(PER_DAY as i64) as usize;
    let mut step = 0;
    while step < horizon {
        let time_of_day = (first + step) % PER_DAY;
        let block = past_block(past, memory, past_first, time_of_day, draw);
        for at in 0..BLOCK.min(horizon - step) {
            let drawn = block.and_then(|block| past.get(block + at)).copied().unwrap_or_default();
            sum.bad += drawn.bad;
            sum.total += drawn.total;
            if let Some(left) = start.leaving.get(step + at) {
                sum.bad = (sum.bad - left.bad).max(0.0);
                sum.total = (sum.total - left.total).max(0.0);
            }
            let total = start.expected.map_or(sum.total, |expected| expected.max(sum.total));
            if total > 0.0 && sum.bad >= total * start.allowed {
                return Some(from_ms + (step + at + 1) as i64 * QUARTER_MS);
            }
        }
        step += BLOCK;
    }
    None
}

/// A stretch of the last days that begins at a time of the day and has data.
fn past_block(
    past: &[Sum],
    memory: usize,
    past_first: usize,
    time_of_day: usize,
    draw: &mut Draw,
) -> Option<usize> {
    let offset = (time_of_day + PER_DAY - past_first) % PER_DAY;
    let days = (past.len().saturating_sub(offset)) / PER_DAY;
    let has_data = |block: usize| past.iter().skip(block).take(BLOCK).any(|sum| sum.minutes > 0);
    for _ in 0..8 {
        let back = draw.below(memory.min(days));
        let block = offset + days.checked_sub(1 + back)? * PER_DAY;
        if has_data(block) {
            return Some(block);
        }
    }
    // The newest that has data; there is one, or nobody would draw.
    (0..days).rev().map(|day| offset + day * PER_DAY).find(|block| has_data(*block))
}

fn told(slo: &Slo, labels: &Labels, outcome: Outcome, now: Timestamp) -> Forecast {
    let name = name_of(&slo.name, labels.iter().map(|(_, value)| value));
    let from_now = |ms: i64| hours((ms - now.as_millis()).max(0) as f64 / 3_600_000.0);
    let sentence = match &outcome {
        Outcome::InsufficientData { reason } => format!("{name}: insufficient data: {reason}."),
        Outcome::Exhausted => format!("{name}: the budget is exhausted."),
        Outcome::Lasts { until_ms } => {
            format!(
                "{name}: at the rates of the last weeks the budget lasts for the next {}.",
                from_now(*until_ms)
            )
        }
        Outcome::Exhaustion { early_ms, late_ms: Some(late), middle_ms: Some(middle), .. } => {
            format!(
                "{name}: at the rates of the last weeks the budget is gone in {} to {}, most likely in {}.",
                from_now(*early_ms),
                from_now(*late),
                from_now(*middle)
            )
        }
        Outcome::Exhaustion { early_ms, probability, .. } => format!(
            "{name}: at the rates of the last weeks the budget does not last in {} of the cases, at the earliest in {}.",
            percent(*probability),
            from_now(*early_ms)
        ),
    };
    let group = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    Forecast { slo: slo.name.clone(), group, outcome, sentence }
}
