//! Why a rule fired, or did not: what its last evaluations returned and what became of each alert.
//!
//! Kept per rule, in memory, bounded: the last [`RECENT`] evaluations one by one; before those,
//! [`RUNS`] runs of evaluations that ended alike, so that quiet hours take one entry. An entry names
//! at most [`NAMED`] alerts, changed ones first, and counts the others. A restart forgets it all.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use skopos_model::{Labels, Timestamp};

use super::alert::{Alert, Timing};
use super::{AlertState, Engine};
use crate::duration::format_duration;
use crate::rules::RuleId;

/// Evaluations kept one by one.
const RECENT: usize = 20;
/// Runs of like evaluations kept before those.
const RUNS: usize = 40;
/// Alerts named per evaluation.
const NAMED: usize = 10;

/// What an evaluation read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Series that each selector of the rule matched, in the order of
    /// [`Expression::selectors`](crate::rules::Expression::selectors).
    pub series: Vec<u64>,
    /// Samples decoded.
    pub samples: u64,
}

impl ReadStats {
    /// Series of all selectors together.
    pub fn total_series(&self) -> u64 {
        self.series.iter().sum()
    }
}

/// One evaluation, or a run of evaluations that ended alike; its figures are the last one's.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The first slot.
    pub first_slot: Timestamp,
    /// The last slot.
    pub slot: Timestamp,
    /// How many slots were evaluated.
    pub count: u64,
    /// How long the last one took.
    pub took: Duration,
    /// Elements that the expression returned; none when it failed.
    pub elements: Option<usize>,
    /// What was read; none when the query failed.
    pub read: Option<ReadStats>,
    /// Needed selectors that matched nothing.
    pub blind: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// What became of alerts, changed ones first.
    pub alerts: Vec<AlertOutcome>,
    /// How many alerts are not named.
    pub more_alerts: usize,
}

/// What became of one alert in an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertOutcome {
    /// The alert.
    pub labels: Labels,
    /// Its state afterwards; none when it is gone.
    pub state: Option<AlertState>,
    /// The value that the expression last gave it.
    pub value: f64,
    /// Why.
    pub reason: Reason,
}

/// Why an alert is in its state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The expression returns it, not long enough yet.
    Pending {
        /// What is left of `for`.
        remaining: Duration,
    },
    /// `for` was raised while it fired; it waits again.
    ForRaised {
        /// What is left of `for`.
        remaining: Duration,
    },
    /// It has begun to fire.
    Fired,
    /// It goes on firing.
    Firing,
    /// The expression no longer returns it; `keep_firing_for` keeps it.
    KeptFiring {
        /// Until then, unless it is returned again.
        until: Timestamp,
    },
    /// The expression does not return it, and after a restart that says nothing yet.
    Held {
        /// Until then; later while no fresh data arrives.
        until: Timestamp,
    },
    /// The expression no longer returns it: it resolved, or `for` begins anew.
    NoResult,
    /// The expression returns it with other labels, as another alert: `for` begins anew.
    LabelsChanged {
        /// The labels it has now.
        now: Labels,
    },
    /// The rule made more alerts than its group allows; all of them were cleared.
    Limit,
    /// The rule failed, which changes nothing.
    KeptByError,
    /// There is no data, which by the rule's policy changes nothing.
    KeptWithoutData,
}

impl Reason {
    /// A word of a closed set for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::ForRaised { .. } => "for_raised",
            Self::Fired => "fired",
            Self::Firing => "firing",
            Self::KeptFiring { .. } => "keep_firing_for",
            Self::Held { .. } => "held",
            Self::NoResult => "no_result",
            Self::LabelsChanged { .. } => "labels_changed",
            Self::Limit => "limit",
            Self::KeptByError => "kept_by_error",
            Self::KeptWithoutData => "kept_without_data",
        }
    }

    /// Whether it says that something changed.
    fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::Pending { .. }
                | Self::Firing
                | Self::KeptFiring { .. }
                | Self::Held { .. }
                | Self::KeptByError
                | Self::KeptWithoutData
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = |d: &Duration| format_duration(*d);
        match self {
            Self::Pending { remaining } => {
                write!(f, "`for` is not over, {} remain", left(remaining))
            }
            Self::ForRaised { remaining } => {
                write!(f, "`for` was raised while it fired, {} remain", left(remaining))
            }
            Self::Fired => f.write_str("the expression returned it for the whole of `for`"),
            Self::Firing => f.write_str("the expression still returns it"),
            Self::KeptFiring { until } => {
                write!(f, "no result; `keep_firing_for` keeps it until {until}")
            }
            Self::Held { until } => {
                write!(
                    f,
                    "no result, but too little fresh data since the restart: held until {until}"
                )
            }
            Self::NoResult => f.write_str("the expression returned nothing for it"),
            Self::LabelsChanged { now } => {
                write!(f, "its labels changed to {now}: that is another alert, `for` begins anew")
            }
            Self::Limit => f.write_str("the group's limit was exceeded: all alerts of the rule go"),
            Self::KeptByError => f.write_str("the rule failed: it stays what it was"),
            Self::KeptWithoutData => f.write_str("there is no data: it stays what it was"),
        }
    }
}

/// Why an alert that the expression returned is what it is.
pub(super) fn of_present(before: Option<AlertState>, now: &Alert, slot: i64, t: Timing) -> Reason {
    let left = t.hold.saturating_sub(slot.saturating_sub(now.active_at)).max(0);
    let remaining = Duration::from_millis(left.unsigned_abs());
    match (now.state, before) {
        (AlertState::Pending, Some(AlertState::Firing)) => Reason::ForRaised { remaining },
        (AlertState::Pending, _) => Reason::Pending { remaining },
        (_, Some(AlertState::Firing)) => Reason::Firing,
        _ => Reason::Fired,
    }
}

/// Why an alert that the expression did not return is what it is; nothing for one that was over.
pub(super) fn of_absent(before: AlertState, now: &Alert, t: Timing) -> Option<Reason> {
    if before == AlertState::Resolved {
        return None;
    }
    Some(match (now.state, now.held, now.held_until, now.keep_firing_since) {
        (AlertState::Firing, true, Some(until), _) => {
            Reason::Held { until: Timestamp::from_millis(until) }
        }
        (AlertState::Firing, _, _, Some(since)) => {
            let until = Timestamp::from_millis(since.saturating_add(t.keep_firing_for));
            Reason::KeptFiring { until }
        }
        _ => Reason::NoResult,
    })
}

/// What one evaluation did, as it is put together.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    changed: Vec<AlertOutcome>,
    steady: Vec<AlertOutcome>,
    all: usize,
}

impl Outcomes {
    pub(super) fn add(&mut self, alert: &Alert, state: Option<AlertState>, reason: Reason) {
        self.all += 1;
        let list = if reason.is_change() { &mut self.changed } else { &mut self.steady };
        if list.len() < NAMED {
            let (labels, value) = (alert.labels.clone(), alert.value);
            list.push(AlertOutcome { labels, state, value, reason });
        }
    }

    fn named(self) -> (Vec<AlertOutcome>, usize) {
        let mut named = self.changed;
        named.extend(self.steady);
        named.truncate(NAMED);
        let more = self.all - named.len();
        (named, more)
    }
}

/// The memory of one rule.
#[derive(Debug, Default)]
pub(super) struct History {
    recent: VecDeque<Evaluation>,
    runs: VecDeque<Evaluation>,
}

impl History {
    pub(super) fn note(&mut self, mut evaluation: Evaluation, outcomes: Outcomes) {
        (evaluation.alerts, evaluation.more_alerts) = outcomes.named();
        self.recent.push_back(evaluation);
        if self.recent.len() <= RECENT {
            return;
        }
        let Some(oldest) = self.recent.pop_front() else { return };
        match self.runs.back_mut() {
            Some(run) if is_like(run, &oldest) => {
                let (first_slot, count) = (run.first_slot, run.count + oldest.count);
                *run = Evaluation { first_slot, count, ..oldest };
            }
            _ => self.runs.push_back(oldest),
        }
        if self.runs.len() > RUNS {
            self.runs.pop_front();
        }
    }

    /// The last evaluation.
    pub(super) fn last(&self) -> Option<&Evaluation> {
        self.recent.back()
    }

    /// All that is remembered, the oldest first.
    fn all(&self) -> impl Iterator<Item = &Evaluation> {
        self.runs.iter().chain(&self.recent)
    }
}

fn is_like(a: &Evaluation, b: &Evaluation) -> bool {
    let alike = |(a, b): (&AlertOutcome, &AlertOutcome)| {
        a.labels == b.labels
            && a.state == b.state
            && a.reason.as_str() == b.reason.as_str()
            && !b.reason.is_change()
    };
    a.error == b.error
        && a.blind == b.blind
        && a.more_alerts == b.more_alerts
        && a.alerts.len() == b.alerts.len()
        && a.alerts.iter().zip(&b.alerts).all(alike)
}

impl Engine {
    /// Rules that could not return anything in their last evaluation, because a selector that they
    /// need matched no series.
    pub fn blind_rules(&self) -> usize {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        rules.filter(|rule| rule.history.last().is_some_and(|last| !last.blind.is_empty())).count()
    }

    /// What is remembered of a rule's evaluations, the oldest first.
    pub fn history(&self, rule: RuleId) -> Vec<Evaluation> {
        let state = self.index.get(&rule).and_then(|&(g, r)| self.groups.get(g)?.rules.get(r));
        state.map_or_else(Vec::new, |state| state.history.all().cloned().collect())
    }
}
