//! Is the target right? Tighten, loosen or keep, and why.
//!
//! The guide: "Review quarterly – never approach budget? Tighten. Constantly breach? Loosen or
//! invest." A period (by the policy a month, a quarter or a year) says something when most of it has data. Two
//! periods in a row that spent less than a fifth of the budget make a target that could be
//! tighter; two that overspent it make one that is not kept.

use std::time::Duration;

use serde::Serialize;
use skopos_model::{Labels, Timestamp};

use super::engine::{SloEngine, as_object, name_of, percent};
use super::notes::AnnotationKind;
use super::{Period, Review, Slo, tidy};

/// The share of a period that must have data.
const ENOUGH_DATA: f64 = 0.8;
/// Below this share of the budget a period never approached it.
const NEVER_APPROACHED: f64 = 0.2;
/// Bad events without which a spent share is chance.
const FEW_BAD_EVENTS: f64 = 10.0;

const DAY_MS: i64 = 86_400_000;

/// Targets that people choose.
const LADDER: [f64; 13] =
    [0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.999_95, 0.999_99];

/// What to do with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suggestion {
    /// Promise more.
    Tighten,
    /// Promise less, or make it better.
    Loosen,
    /// Leave it.
    Keep,
    /// Nothing can be said yet.
    InsufficientData,
}

impl Suggestion {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tighten => "tighten",
            Self::Loosen => "loosen or invest",
            Self::Keep => "keep",
            Self::InsufficientData => "insufficient data",
        }
    }
}

/// One period.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReviewPeriod {
    /// From when, milliseconds since the epoch.
    pub start_ms: i64,
    /// Until when.
    pub end_ms: i64,
    /// The share of good events.
    pub good_ratio: Option<f64>,
    /// The share of the budget spent.
    pub spent: Option<f64>,
    /// Bad events, or bad slices.
    pub bad: f64,
    /// The share of the period with data.
    pub coverage: f64,
    /// Whether the target was met.
    pub is_met: Option<bool>,
    /// Deploys in it.
    pub deploys: usize,
    /// Incidents in it.
    pub incidents: usize,
    /// The share of the budget spent during incidents.
    pub spent_by_incidents: f64,
}

/// The review of one budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReviewReport {
    /// The objective.
    pub slo: String,
    /// The group's labels.
    #[serde(serialize_with = "as_object")]
    pub group: Vec<(String, String)>,
    /// Its target.
    pub target: f64,
    /// What to do with it.
    pub suggestion: Suggestion,
    /// The target to take instead.
    pub suggested_target: Option<f64>,
    /// Why, in a sentence.
    pub why: String,
    /// The periods looked at, newest first.
    pub periods: Vec<ReviewPeriod>,
}

/// A year is looked at by halves: two whole ones are not kept.
fn length(review: Review) -> Duration {
    let days = match review {
        Review::Monthly => 30,
        Review::Quarterly => 90,
        Review::Yearly => 180,
    };
    Duration::from_secs(days * 86_400)
}

/// Reviews every objective, or one.
pub fn review(engine: &SloEngine, slo: Option<&str>, now: Timestamp) -> Vec<ReviewReport> {
    let mut reports = Vec::new();
    for of_name in engine.slos().filter(|other| slo.is_none_or(|slo| slo == other.name)) {
        let groups = engine.groups(&of_name.name);
        if groups.is_empty() {
            reports.push(conclude(of_name, Vec::new(), &Labels::empty()));
        }
        for labels in groups {
            let periods = periods(engine, of_name, &labels, now);
            reports.push(conclude(of_name, periods, &labels));
        }
    }
    reports
}

/// The last two periods.
fn periods(engine: &SloEngine, slo: &Slo, labels: &Labels, now: Timestamp) -> Vec<ReviewPeriod> {
    let length = super::millis(length(slo.policy.review));
    let now_ms = now.as_millis().div_euclid(DAY_MS) * DAY_MS;
    let mut periods = Vec::new();
    for back in 0..2 {
        let end_ms = now_ms - back * length;
        let period = Period { start_ms: end_ms - length, end_ms };
        let Some(budget) = engine.budget_over(&slo.name, labels, period) else { continue };
        let (start, end) =
            (Timestamp::from_millis(period.start_ms), Timestamp::from_millis(end_ms));
        let notes = engine.annotations(Some(&slo.service), start, end);
        let of_kind = |kind| notes.iter().filter(move |note| note.kind == kind);
        let mut spent_by_incidents = 0.0;
        for note in of_kind(AnnotationKind::Incident) {
            let during = Period {
                start_ms: note.start_ms.max(period.start_ms),
                end_ms: note.end_ms.unwrap_or(note.start_ms).min(end_ms),
            };
            let bad = engine.budget_over(&slo.name, labels, during).map_or(0.0, |b| b.sum.bad);
            let allowed = budget.sum.total * slo.budget();
            spent_by_incidents += if allowed > 0.0 { bad / allowed } else { 0.0 };
        }
        // The whole period counts, whatever the window is.
        let ratio = budget.sum.error_ratio();
        let spent = ratio.map(|ratio| ratio / slo.budget());
        periods.push(ReviewPeriod {
            start_ms: period.start_ms,
            end_ms,
            good_ratio: ratio.map(|ratio| 1.0 - ratio),
            spent,
            bad: budget.sum.bad,
            coverage: budget.coverage,
            is_met: spent.map(|spent| spent <= 1.0),
            deploys: of_kind(AnnotationKind::Deploy).count(),
            incidents: of_kind(AnnotationKind::Incident).count(),
            spent_by_incidents,
        });
    }
    periods
}

fn conclude(slo: &Slo, periods: Vec<ReviewPeriod>, labels: &Labels) -> ReviewReport {
    let target = slo.target;
    let says = |period: &&ReviewPeriod| period.coverage >= ENOUGH_DATA && period.spent.is_some();
    let known: Vec<&ReviewPeriod> = periods.iter().take_while(says).collect();
    let spent: Vec<f64> = known.iter().filter_map(|period| period.spent).collect();
    let worst = known.iter().filter_map(|period| period.good_ratio).fold(1.0, f64::min);
    let days = length(slo.policy.review).as_secs() / 86_400;
    let (suggestion, suggested_target, why) = match spent[..] {
        [] => {
            let most = periods.first().map_or(0.0, |period| period.coverage);
            let why = format!(
                "only {} of the last {days} days have data; {} are needed",
                percent(most),
                percent(ENOUGH_DATA)
            );
            (Suggestion::InsufficientData, None, why)
        }
        [last] if last > 1.0 => {
            let why = format!(
                "the last {days} days spent {} of the budget; one such period may be bad luck",
                percent(last)
            );
            (Suggestion::Keep, None, why)
        }
        [last] => {
            let why = format!(
                "the last {days} days spent {} of the budget; it takes two such periods to say more",
                percent(last)
            );
            (Suggestion::Keep, None, why)
        }
        [last, before, ..] if last > 1.0 && before > 1.0 => {
            // The tightest that both periods would have kept with something in reserve.
            let holds = |t: f64| (1.0 - worst) <= (1.0 - t) * 0.8;
            let loosest = LADDER.iter().rev().find(|t| **t < target && holds(**t)).copied();
            let why = format!(
                "both of the last two periods of {days} days overspent the budget ({} and {}): promise what is kept, \
                 or invest until the target is",
                percent(last),
                percent(before)
            );
            (Suggestion::Loosen, loosest, why)
        }
        [last, before, ..] if last < NEVER_APPROACHED && before < NEVER_APPROACHED => {
            // The tightest that both periods would have met with half of the budget left.
            let holds = |t: f64| (1.0 - worst) <= (1.0 - t) * 0.5;
            let tighter = LADDER.iter().rev().find(|t| **t > target && holds(**t)).copied();
            let bad: f64 = known.iter().map(|period| period.bad).sum();
            match tighter {
                Some(tighter) if bad >= FEW_BAD_EVENTS || worst == 1.0 => {
                    // Two steps of the ladder at once would be a leap in the dark.
                    let at = LADDER.iter().position(|t| *t > target).unwrap_or(0);
                    let next = LADDER.get(at).copied().filter(|next| *next <= tighter);
                    let why = format!(
                        "neither of the last two periods of {days} days approached the budget ({} and {} spent)",
                        percent(last),
                        percent(before)
                    );
                    (Suggestion::Tighten, next.or(Some(tighter)), why)
                }
                _ => {
                    let why = format!(
                        "little was spent ({} and {}), and no tighter target would have kept a reserve",
                        percent(last),
                        percent(before)
                    );
                    (Suggestion::Keep, None, why)
                }
            }
        }
        [last, before, ..] => {
            let why = format!(
                "the last two periods of {days} days spent {} and {} of the budget",
                percent(last),
                percent(before)
            );
            (Suggestion::Keep, None, why)
        }
    };
    ReviewReport {
        slo: slo.name.clone(),
        group: labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
        target,
        suggestion,
        suggested_target: suggested_target.map(tidy),
        why: format!("{}: {why}.", name_of(&slo.name, labels.iter().map(|(_, value)| value))),
        periods,
    }
}
