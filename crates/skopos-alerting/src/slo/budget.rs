//! What is left of a budget at a moment.
//!
//! Rolling windows take what they have data for. In a unit of the calendar the budget is that of the whole unit, or one
//! failure on the morning of the first would exhaust it: the events of the whole unit are
//! estimated by the unit before, where that is known, and else by all that was seen since that began. So a unit
//! that has just begun has its whole budget, and not none.

use std::time::Duration;

use super::ledger::{Ledger, Sum};
use super::{Period, Slo, Window, millis};

/// Data is fresh for so long: twice the usual time between exports or scrapes.
pub(super) const FRESH_MS: i64 = 2 * 60_000;

const HOUR_MS: f64 = 3_600_000.0;

/// Below this share of data the unit of the calendar before says nothing about this one.
const KNOWN_ENOUGH: f64 = 0.5;

/// A ledger with what does not count of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Book<'a> {
    pub(super) slo: &'a Slo,
    pub(super) ledger: &'a Ledger,
    pub(super) excluded: &'a [(i64, i64)],
    /// Since when it is kept. Data that ended before says what was spent, and nothing about what burns.
    pub(super) since_ms: i64,
}

/// The budget of a window at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The window.
    pub period: Period,
    /// Up to when there is data in it; windows that look back end here.
    pub until_ms: i64,
    /// What it had, corrections applied.
    pub sum: Sum,
    /// All events of the window, expected where it is not over.
    pub expected_total: f64,
    /// The share of the budget spent; above 1 when it is exhausted. None where nothing happened.
    pub spent: Option<f64>,
    /// The share of the window, as far as it has passed, for which there was data.
    pub coverage: f64,
}

impl Budget {
    /// The share of the budget left; below 0 when it is overspent.
    pub fn remaining(&self) -> Option<f64> {
        self.spent.map(|spent| 1.0 - spent)
    }
}

impl Book<'_> {
    /// Where windows end: now, or where data does. While nothing arrives burn rates stay what they
    /// were: no data is no recovery.
    pub(super) fn until(&self, now_ms: i64) -> i64 {
        self.ledger.covered_until().map_or(now_ms, |end| end.min(now_ms))
    }

    pub(super) fn sum(&self, start_ms: i64, end_ms: i64) -> Sum {
        self.ledger.sum_without(start_ms, end_ms, self.excluded)
    }

    /// Whether data arrived since this is kept. While none did, burn rates are unknown: nobody is paged for what
    /// burned hours before the objective was there.
    pub(super) fn was_live(&self) -> bool {
        self.ledger.covered_until().is_none_or(|end| end + FRESH_MS >= self.since_ms)
    }

    /// What the last so much time had.
    pub(super) fn over(&self, window: Duration, now_ms: i64) -> Sum {
        let until = self.until(now_ms);
        self.sum(until - millis(window), until)
    }

    /// The burn rate over the last so much time; none where nothing happened.
    pub(super) fn burn(&self, window: Duration, now_ms: i64) -> Option<f64> {
        self.error_ratio(window, now_ms).map(|ratio| ratio / self.slo.budget())
    }

    /// The share of bad events over the last so much time.
    pub(super) fn error_ratio(&self, window: Duration, now_ms: i64) -> Option<f64> {
        self.over(window, now_ms).error_ratio().filter(|_| self.was_live())
    }

    pub(super) fn budget(&self, now_ms: i64) -> Budget {
        let until = self.until(now_ms);
        let period = match self.slo.window {
            Window::Rolling(_) => self.slo.window.at(until),
            Window::Calendar { .. } => self.slo.window.at(now_ms),
        };
        let mut budget = self.budget_of(period, until.clamp(period.start_ms, period.end_ms));
        // Of a unit that has only begun nothing can have arrived, so nothing is missing.
        if now_ms - period.start_ms <= self.ledger.slice_ms() + FRESH_MS {
            budget.coverage = 1.0;
        }
        budget
    }

    /// Minutes with data in a window's length before a moment: before the unit of the calendar too, which may have
    /// only begun.
    pub(super) fn minutes_known(&self, now_ms: i64) -> i64 {
        let until = self.until(now_ms);
        self.ledger.sum(until - millis(self.slo.window.nominal()), until).minutes
    }

    /// The budget of any period up to a moment in it.
    pub(super) fn budget_of(&self, period: Period, until: i64) -> Budget {
        let sum = self.sum(period.start_ms, until);
        let expected_total = match self.slo.window {
            Window::Rolling(_) => sum.total,
            Window::Calendar { .. } => self.expected(period, until, sum),
        };
        let allowed = expected_total * self.slo.budget();
        let spent = (allowed > 0.0).then(|| sum.bad / allowed);
        let passed = (until - period.start_ms).max(1) as f64;
        let raw = self.ledger.sum(period.start_ms, until);
        let coverage = (raw.minutes as f64 * 60_000.0 / passed).min(1.0);
        Budget { period, until_ms: until, sum, expected_total, spent, coverage }
    }

    /// The events of a whole unit of the calendar.
    fn expected(&self, period: Period, until: i64, sum: Sum) -> f64 {
        let length = period.duration_ms().max(1) as f64;
        let passed = ((until - period.start_ms) as f64 / length).clamp(0.0, 1.0);
        if passed >= 1.0 {
            return sum.total;
        }
        let before = self.slo.window.before(period.end_ms);
        let had = self.sum(before.start_ms, before.end_ms);
        let known = had.minutes as f64 * 60_000.0 / before.duration_ms().max(1) as f64;
        let estimate = match known >= KNOWN_ENOUGH {
            true => had.total / known.min(1.0) * (length / before.duration_ms().max(1) as f64),
            false => {
                let known = had + sum;
                let share = known.minutes as f64 * 60_000.0 / length;
                if share > 0.0 { known.total / share } else { 0.0 }
            }
        };
        estimate.max(sum.total)
    }

    /// Hours until nothing is left at a burn rate; none when that is never: in a unit of the calendar the next one
    /// begins with a whole budget, and from a window that moves on old failures go as new ones come.
    pub(super) fn hours_left(&self, budget: &Budget, burn: Option<f64>) -> Option<f64> {
        let remaining = budget.remaining()?;
        if remaining <= 0.0 {
            return Some(0.0);
        }
        let burn = burn.filter(|burn| *burn > 0.0)?;
        let left_ms = match self.slo.window {
            Window::Rolling(length) => self.rolling_left(budget, burn, millis(length))?,
            Window::Calendar { .. } => {
                let left = remaining * budget.period.duration_ms() as f64 / burn;
                (left < (budget.period.end_ms - budget.until_ms) as f64).then_some(left)?
            }
        };
        Some(left_ms / HOUR_MS)
    }

    /// When a window that moves on has spent its budget if there are as many events as on average, and as many of them
    /// bad as now. What leaves it is known; when all in it is new, nothing changes any more.
    fn rolling_left(&self, budget: &Budget, burn: f64, length: i64) -> Option<f64> {
        const STEPS: i64 = 32;
        let known = budget.sum.minutes as f64 * 60_000.0;
        let allowed_per_ms = budget.sum.total * self.slo.budget() / known.max(1.0);
        // Above 0 the budget is exhausted.
        let over = |later: i64| {
            let stays = self.sum(budget.until_ms - length + later, budget.until_ms);
            let new = (burn - 1.0) * allowed_per_ms * later as f64;
            stays.bad - stays.total * self.slo.budget() + new
        };
        // A rate of exactly 1 spends exactly the budget, and not more.
        let noise = allowed_per_ms * length as f64 * 1e-9;
        let step = (length / STEPS).max(1);
        let later = (1..=STEPS).map(|at| at * step).find(|later| over(*later) > noise)?;
        let (mut low, mut high) = (later - step, later);
        while high - low > 60_000 {
            let middle = low + (high - low) / 2;
            match over(middle) > noise {
                true => high = middle,
                false => low = middle,
            }
        }
        Some(high as f64)
    }
}
