//! When rules would have fired over stored history, and how noisily.
//!
//! A range query yields at each of its steps what an instant query at that time would, so one query
//! per rule and stretch of time answers for thousands of evaluations. Its steps then run through
//! the real [`Engine`] at the slots that the server would use: `for`, `keep_firing_for` and labels
//! are those of a running rule.
//!
//! Recorded series need not be stored: where a rule reads a series that a rule of the same files
//! records, that rule's expression takes its place. What `ALERTS` was is not
//! replayed, and templates run no queries.

mod inline;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::{Labels, SampleValue, Timestamp};
use skopos_promql::{MatrixSeries, ParseOptions};

pub use report::{BacktestReport, Firing, RuleBacktest, Verdict};
pub(crate) use report::{bearable_per_week, is_flap};

use crate::engine::{AlertState, Engine, EvalFailure, SavedState, Schedule, Settings};
use crate::rules::{Rule, RuleGroup, RuleSet};
use crate::template::NoQueries;

/// Most steps of one query, below the 11,000 points that Prometheus' API answers.
const STEPS_PER_QUERY: i64 = 5_000;

/// Stored history.
pub trait History {
    /// Evaluates an expression at every step from `start_ms` to `end_ms`, both included.
    fn range(
        &self,
        expr: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Vec<MatrixSeries>, String>;
}

/// What to replay.
#[derive(Clone, Debug)]
pub struct BacktestOptions {
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// The interval of groups that give none.
    pub evaluation_interval: Duration,
    /// Only alerts of this name.
    pub only: Option<String>,
    /// Which parts of PromQL rules may use.
    pub language: ParseOptions,
}

/// Replays the alerting rules of a set over history.
pub fn backtest(set: &RuleSet, history: &dyn History, options: &BacktestOptions) -> BacktestReport {
    let settings = Settings {
        evaluation_interval: options.evaluation_interval,
        restart_hold: false,
        ..Settings::default()
    };
    let (mut engine, _) = Engine::restore(settings, set, &SavedState::default(), options.start);
    let recorded = inline::Recorded::of(set, options);
    let mut report = BacktestReport {
        start_ms: options.start.as_millis(),
        end_ms: options.end.as_millis(),
        rules: Vec::new(),
    };
    for group in &set.groups {
        for rule in &group.rules {
            let is_wanted = options.only.as_ref().is_none_or(|name| *name == rule.name);
            if rule.alerting().is_some() && is_wanted {
                report.rules.push(replay(&mut engine, group, rule, history, &recorded, options));
            }
        }
    }
    report
}

fn replay(
    engine: &mut Engine,
    group: &Arc<RuleGroup>,
    rule: &Rule,
    history: &dyn History,
    recorded: &inline::Recorded,
    options: &BacktestOptions,
) -> RuleBacktest {
    let interval = group.interval.unwrap_or(options.evaluation_interval);
    let mut result = RuleBacktest::new(group, rule, interval);
    let step = millis(interval).max(1);
    let offset = millis(group.query_offset.unwrap_or_default());
    let expr = match recorded.inlined(rule.expr.as_str()) {
        Ok(expr) => expr,
        Err(message) => {
            result.error = Some(message);
            return result;
        }
    };
    let schedule = Schedule::new(group.id, interval);
    let end = options.end.as_millis();
    let mut from = schedule.first(options.start).as_millis();
    let mut open: BTreeMap<Labels, usize> = BTreeMap::new();
    while from <= end {
        let to = end.min(from.saturating_add(step.saturating_mul(STEPS_PER_QUERY - 1)));
        let to = from + (to - from) / step * step;
        let answer = history.range(&expr, from - offset, to - offset, step);
        let series = match answer {
            Ok(series) => series,
            Err(message) => {
                result.error = Some(message);
                break;
            }
        };
        let mut elements = by_slot(series, offset);
        let mut slot = from;
        while slot <= to {
            let found = elements.remove(&slot).unwrap_or_default();
            result.evaluations += 1;
            result.evaluations_with_result += u64::from(!found.is_empty());
            evaluate(engine, rule, slot, found, &mut result, &mut open);
            slot = slot.saturating_add(step);
        }
        from = to.saturating_add(step);
    }
    result.finish(options.start.as_millis(), end);
    result
}

/// The elements of each step, by the slot whose evaluation sees them.
fn by_slot(series: Vec<MatrixSeries>, offset: i64) -> BTreeMap<i64, Vec<(Labels, SampleValue)>> {
    let mut elements: BTreeMap<i64, Vec<(Labels, SampleValue)>> = BTreeMap::new();
    for MatrixSeries { labels, samples } in series {
        for sample in samples {
            let slot = sample.timestamp_ms.saturating_add(offset);
            elements.entry(slot).or_default().push((labels.clone(), sample.value));
        }
    }
    elements
}

fn evaluate(
    engine: &mut Engine,
    rule: &Rule,
    slot: i64,
    elements: Vec<(Labels, SampleValue)>,
    result: &mut RuleBacktest,
    open: &mut BTreeMap<Labels, usize>,
) {
    let time = Timestamp::from_millis(slot);
    let applied: Result<_, EvalFailure> =
        rule.apply(elements, &BTreeMap::new(), "", &NoQueries(time));
    let step = engine.step(rule.id, time, applied, Duration::ZERO);
    if let Some(error) = step.error {
        result.failed_evaluations += 1;
        result.error.get_or_insert(error);
    }
    for change in step.transitions {
        match (change.from, change.to) {
            (_, Some(AlertState::Firing)) => {
                open.insert(change.labels.clone(), result.firings.len());
                result.firings.push(Firing {
                    labels: change.labels.to_string(),
                    since_ms: slot,
                    until_ms: None,
                });
            }
            (Some(AlertState::Firing), _) => {
                if let Some(firing) =
                    open.remove(&change.labels).and_then(|i| result.firings.get_mut(i))
                {
                    firing.until_ms = Some(slot);
                }
            }
            (Some(AlertState::Pending), None) => result.pending_only += 1,
            _ => {}
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
