//! What is left of a budget at a moment.
//!
//! Rolling windows take what they have data for. In a unit of the calendar the budget is that of the whole unit, or one
//! failure on the morning of the first would exhaust it: the events of the whole unit are
//! estimated by the unit before, where that is known, and else by those so far.

use std::time::Duration;

use super::ledger::{Ledger, Sum};
use super::{Period, Slo, Window, millis};

const HOUR_MS: f64 = 3_600_000.0;

/// Below this share of data the unit of the calendar before says nothing about this one.
const KNOWN_ENOUGH: f64 = 0.5;

/// A ledger with what does not count of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Book<'a> {
    pub(super) slo: &'a Slo,
    pub(super) ledger: &'a Ledger,
    pub(super) excluded: &'a [(i64, i64)],
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

    /// What the last so much time had.
    pub(super) fn over(&self, window: Duration, now_ms: i64) -> Sum {
        let until = self.until(now_ms);
        self.sum(until - millis(window), until)
    }

    /// The burn rate over the last so much time; none where nothing happened.
    pub(super) fn burn(&self, window: Duration, now_ms: i64) -> Option<f64> {
        self.over(window, now_ms).error_ratio().map(|ratio| ratio / self.slo.budget())
    }

    pub(super) fn budget(&self, now_ms: i64) -> Budget {
        let until = self.until(now_ms);
        let period = match self.slo.window {
            Window::Rolling(_) => self.slo.window.at(until),
            Window::Calendar { .. } => self.slo.window.at(now_ms),
        };
        self.budget_of(period, until.clamp(period.start_ms, period.end_ms))
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
        if passed >= 1.0 || sum.total <= 0.0 {
            return sum.total;
        }
        let before = self.slo.window.before(period.end_ms);
        let had = self.sum(before.start_ms, before.end_ms);
        let known = had.minutes as f64 * 60_000.0 / before.duration_ms().max(1) as f64;
        let estimate = match known >= KNOWN_ENOUGH {
            true => had.total / known.min(1.0) * (length / before.duration_ms().max(1) as f64),
            false => {
                let known = sum.minutes as f64 * 60_000.0 / length;
                sum.total / known.clamp(f64::MIN_POSITIVE, 1.0)
            }
        };
        estimate.max(sum.total)
    }

    /// Hours until nothing is left at a burn rate; none when that is never.
    pub(super) fn hours_left(&self, budget: &Budget, burn: Option<f64>) -> Option<f64> {
        let remaining = budget.remaining()?;
        if remaining <= 0.0 {
            return Some(0.0);
        }
        let burn = burn.filter(|burn| *burn > 0.0)?;
        let length = match self.slo.window {
            Window::Rolling(length) => millis(length) as f64,
            Window::Calendar { .. } => budget.period.duration_ms() as f64,
        };
        Some(remaining * length / HOUR_MS / burn)
    }
}
