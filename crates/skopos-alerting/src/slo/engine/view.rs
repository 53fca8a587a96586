//! What objectives look like: status, burn rates, charts.

use std::time::Duration;

use serde::Serialize;
use skopos_model::{Labels, Timestamp};

use super::words::{as_object, is_page, pairs, sentence};
use super::{Group, PRESENT, SloEngine, SloState};
use crate::slo::budget::{Book, Budget, FRESH_MS};
use crate::slo::notes::{Correction, GateOverride};
use crate::slo::window::window_text;
use crate::slo::{Period, Slo, Sum, millis};

/// How an objective does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The budget lasts.
    Ok,
    /// A burn-rate condition holds, little is left, or what is counted cannot be what was meant.
    Warning,
    /// The budget is exhausted, or burns at a rate that pages.
    Critical,
    /// Nothing is known: there is no data, or none since a while.
    NoData,
}

impl Health {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::NoData => "no data",
        }
    }
}

/// The budget of one objective, or of one of its groups, at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloStatus {
    /// The objective's name.
    pub slo: String,
    /// Its service.
    pub service: String,
    /// Who answers for it.
    pub owner: String,
    /// The group's labels, for those that are split.
    #[serde(serialize_with = "as_object")]
    pub group: Vec<(String, String)>,
    /// The share of good events wanted.
    pub target: f64,
    /// The window, in words.
    pub window: String,
    /// Where the window begins and ends, milliseconds since the epoch.
    pub window_start_ms: i64,
    /// Where it ends; in the future for a unit of the calendar.
    pub window_end_ms: i64,
    /// The share of good events in it; none where nothing happened.
    pub good_ratio: Option<f64>,
    /// Bad events, or bad slices.
    pub bad: f64,
    /// All of them.
    pub total: f64,
    /// The share of the budget left; below 0 when overspent.
    pub budget_remaining: Option<f64>,
    /// The budget as minutes of total outage under even traffic.
    pub budget_minutes: f64,
    /// Of those, what is left.
    pub budget_minutes_left: Option<f64>,
    /// The share of the window that has data, as far as it has passed.
    pub coverage: f64,
    /// Burn rates, shortest window first.
    pub burn: Vec<BurnStatus>,
    /// The conditions of the burn-rate alerts.
    pub alerts: Vec<AlertStatus>,
    /// Hours until nothing is left, at the burn rate of the last hour; none when that is never.
    pub hours_to_exhaustion: Option<f64>,
    /// Where the last slice with data ends.
    pub last_data_ms: Option<i64>,
    /// How it does.
    pub health: Health,
    /// What corrections change, each by itself.
    pub corrections: Vec<CorrectionEffect>,
    /// The share that would be left without any correction.
    pub budget_remaining_uncorrected: Option<f64>,
    /// Why the last queries failed, if they did.
    pub error: Option<String>,
    /// Why what it counts cannot be what was meant, if so: a bucket that is not there, more good events than events.
    pub problem: Option<String>,
    /// Whether data arrives since less than two minutes, or hardly at all.
    #[serde(skip)]
    pub(in crate::slo) is_scant: bool,
    /// Whether there was no data for longer than the window, while another group of the objective has some: it is gone
    /// (a route that was taken out), and has nothing to say of changes.
    #[serde(skip)]
    pub is_retired: bool,
    /// Minutes with data in the window's length until now.
    #[serde(skip)]
    pub(in crate::slo) minutes_known: i64,
    /// All of it in a sentence.
    pub sentence: String,
}

/// The burn rate over a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BurnStatus {
    /// The window: `1h`.
    pub window: String,
    /// How many times as fast as the budget bears; none where nothing happened.
    pub rate: Option<f64>,
    /// Bad events in it.
    pub bad: f64,
    /// All events in it.
    pub total: f64,
}

/// The condition of a burn-rate alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertStatus {
    /// The alert's name.
    pub name: String,
    /// Its severity.
    pub severity: String,
    /// The burn rate above which it fires.
    pub factor: f64,
    /// Its windows: `1h`, `5m`.
    pub windows: Vec<String>,
    /// Whether the condition holds now.
    pub is_met: bool,
    /// Whether only the guard against low traffic keeps it from firing.
    pub is_guarded: bool,
}

/// A correction with what it changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CorrectionEffect {
    /// The correction.
    #[serde(flatten)]
    pub correction: Correction,
    /// Bad events of the window that it takes out.
    pub bad: f64,
    /// All events of the window that it takes out.
    pub total: f64,
}

/// A point of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ChartPoint {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// The share of the budget left then.
    pub remaining: Option<f64>,
    /// Bad events since the point before.
    pub bad: f64,
    /// All events since then.
    pub total: f64,
}

impl SloState {
    fn alert_statuses(&self, book: &Book<'_>, now_ms: i64) -> Vec<AlertStatus> {
        let slo = &self.slo;
        let over = |window: Duration, factor: f64| {
            book.burn(window, now_ms).is_some_and(|burn| burn > factor)
        };
        slo.alerts
            .burn
            .iter()
            .map(|alert| {
                let burns = over(alert.long, alert.factor)
                    && alert.short.is_none_or(|short| over(short, alert.factor));
                let bad = book.over(alert.long, now_ms).bad;
                let enough = bad >= f64::from(slo.alerts.min_bad_events);
                let windows = [Some(alert.long), alert.short].into_iter().flatten();
                AlertStatus {
                    name: alert.name.clone(),
                    severity: alert.severity.clone(),
                    factor: alert.factor,
                    windows: windows.map(window_text).collect(),
                    is_met: burns && enough,
                    is_guarded: burns && !enough,
                }
            })
            .collect()
    }

    fn status(&self, labels: &Labels, group: &Group, now_ms: i64) -> SloStatus {
        let slo = &self.slo;
        let book = self.book(group);
        let budget = book.budget(now_ms);
        let remaining = budget.remaining();
        let present = book.burn(PRESENT, now_ms);
        let alerts = self.alert_statuses(&book, now_ms);
        let burn = super::windows(slo)
            .into_iter()
            .map(|window| {
                let Sum { bad, total, .. } = book.over(window, now_ms);
                let rate = book.burn(window, now_ms);
                BurnStatus { window: window_text(window), rate, bad, total }
            })
            .collect();
        let last_data_ms = group.ledger.covered_until();
        let raw = Book { excluded: &[], ..book };
        let uncorrected = match self.excluded.is_empty() {
            true => remaining,
            false => raw.budget(now_ms).remaining(),
        };
        let hours_to_exhaustion = book.hours_left(&budget, present);
        let problem = self.problem.as_ref().filter(|problem| problem.concerns(labels));
        let problem = problem.map(|problem| problem.text.clone());
        let mut health = health(slo, remaining, &alerts, self.is_silent(group, now_ms));
        if health == Health::Ok && problem.is_some() {
            health = Health::Warning;
        }
        let budget_minutes = slo.budget_minutes_of(budget.period);
        let mut status = SloStatus {
            slo: slo.name.clone(),
            service: slo.service.clone(),
            owner: slo.owner.clone(),
            group: pairs(labels),
            target: slo.target,
            window: slo.window.to_string(),
            window_start_ms: budget.period.start_ms,
            window_end_ms: budget.period.end_ms,
            good_ratio: budget.sum.error_ratio().map(|ratio| 1.0 - ratio),
            bad: budget.sum.bad,
            total: budget.sum.total,
            budget_remaining: remaining,
            budget_minutes,
            budget_minutes_left: remaining.map(|left| left * budget_minutes),
            coverage: budget.coverage,
            burn,
            alerts,
            hours_to_exhaustion,
            last_data_ms,
            health,
            corrections: Vec::new(),
            budget_remaining_uncorrected: uncorrected,
            error: self.error.clone(),
            problem,
            is_scant: self.is_scant(group, budget.until_ms),
            is_retired: false,
            minutes_known: book.minutes_known(now_ms),
            sentence: String::new(),
        };
        status.sentence = sentence(&status, &budget, present, now_ms, slo.indicator.bucket());
        status
    }

    /// Whether its data stopped: nothing for two minutes, two slices, or twice the time between its samples. The alert for
    /// absent data waits for longer; decisions do not.
    pub(super) fn is_silent(&self, group: &Group, now_ms: i64) -> bool {
        let limit = FRESH_MS.max(2 * group.ledger.slice_ms()).max(2 * group.spacing_ms);
        group.ledger.covered_until().is_none_or(|end| end < now_ms - limit)
    }

    /// Whether less than two of the last minutes with data have any.
    fn is_scant(&self, group: &Group, until_ms: i64) -> bool {
        let window = millis(Duration::from_secs(300)).max(3 * group.spacing_ms);
        group.ledger.sum(until_ms - window, until_ms).minutes < FRESH_MS / 60_000
    }
}

fn health(slo: &Slo, remaining: Option<f64>, alerts: &[AlertStatus], silent: bool) -> Health {
    let Some(remaining) = remaining.filter(|_| !silent) else { return Health::NoData };
    let met = || alerts.iter().filter(|alert| alert.is_met);
    if remaining <= slo.policy.freeze_below || met().any(|alert| is_page(&alert.severity)) {
        Health::Critical
    } else if remaining < slo.policy.caution_below || met().next().is_some() {
        Health::Warning
    } else {
        Health::Ok
    }
}

impl SloEngine {
    /// The status of every budget, in the order of the files, then of group labels. An objective that
    /// never had data has one without any.
    pub fn statuses(&self, now: Timestamp) -> Vec<SloStatus> {
        self.states.iter().flat_map(|state| self.statuses_of(state, now.as_millis())).collect()
    }

    /// The status of one objective's budgets.
    pub fn status(&self, slo: &str, now: Timestamp) -> Vec<SloStatus> {
        let of_name = self.states.iter().filter(|state| state.slo.name == slo);
        of_name.flat_map(|state| self.statuses_of(state, now.as_millis())).collect()
    }

    fn statuses_of(&self, state: &SloState, now_ms: i64) -> Vec<SloStatus> {
        if state.groups.is_empty() {
            let group = Group::new(&state.slo, &Labels::empty(), now_ms);
            return vec![state.status(&Labels::empty(), &group, now_ms)];
        }
        let is_fresh = state.groups.values().any(|group| !state.is_silent(group, now_ms));
        let window = millis(state.slo.window.nominal());
        let groups = state.groups.iter();
        groups
            .map(|(labels, group)| {
                let end = group.ledger.covered_until();
                let is_retired = is_fresh && end.is_none_or(|end| end <= now_ms - window);
                let mut status = state.status(labels, group, now_ms);
                status.is_retired = is_retired;
                status.corrections = self.effects(state, group, &status);
                status
            })
            .collect()
    }

    fn effects(
        &self,
        state: &SloState,
        group: &Group,
        status: &SloStatus,
    ) -> Vec<CorrectionEffect> {
        let (start, end) = (status.window_start_ms, status.window_end_ms);
        let mut effects = Vec::new();
        for correction in self.corrections(Some(&state.slo.name)) {
            let (from, to) = (correction.start_ms.max(start), correction.end_ms.min(end));
            if from < to && correction.revoked_ms.is_none() {
                let Sum { bad, total, .. } = group.ledger.sum(from, to);
                effects.push(CorrectionEffect { correction, bad, total });
            }
        }
        effects
    }

    /// The budget over time: what was left at each step of its window, and what happened between.
    pub fn chart(
        &self,
        slo: &str,
        group: &Labels,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
    ) -> Vec<ChartPoint> {
        const MOST_POINTS: i64 = 2_000;
        let Some((state, group)) = self.find(slo, group) else { return Vec::new() };
        let book = state.book(group);
        let (start, end) = (start.as_millis(), end.as_millis());
        let slice = group.ledger.slice_ms();
        let at_least = ((end - start).max(0) / MOST_POINTS).max(slice);
        let step = millis(step).max(at_least);
        let step = (step + slice - 1) / slice * slice;
        let mut points = Vec::new();
        let mut at = start.div_euclid(step) * step;
        while at <= end {
            let Sum { bad, total, .. } = book.sum(at - step, at);
            let period = state.slo.window.at(at);
            let budget = book.budget_of(period, at.clamp(period.start_ms, period.end_ms));
            points.push(ChartPoint { at_ms: at, remaining: budget.remaining(), bad, total });
            at += step;
        }
        points
    }

    /// The groups of an objective that have data.
    pub fn groups(&self, slo: &str) -> Vec<Labels> {
        let state = self.states.iter().find(|state| state.slo.name == slo);
        state.map_or(Vec::new(), |state| state.groups.keys().cloned().collect())
    }

    /// The budget over any period that is over, corrections applied.
    pub fn budget_over(&self, slo: &str, group: &Labels, period: Period) -> Option<Budget> {
        let (state, group) = self.find(slo, group)?;
        Some(state.book(group).budget_of(period, period.end_ms))
    }

    /// The budget of the present window.
    pub fn present_budget(&self, slo: &str, group: &Labels, now: Timestamp) -> Option<Budget> {
        let (state, group) = self.find(slo, group)?;
        Some(state.book(group).budget(now.as_millis()))
    }

    pub(in crate::slo) fn has_fallen_silent(
        &self,
        slo: &str,
        group: &Labels,
        now: Timestamp,
    ) -> bool {
        let found = self.find(slo, group);
        found.is_none_or(|(state, group)| state.is_silent(group, now.as_millis()))
    }

    pub(in crate::slo) fn quarter_sums(
        &self,
        slo: &str,
        group: &Labels,
        start_ms: i64,
        end_ms: i64,
    ) -> Vec<Sum> {
        let found = self.find(slo, group);
        found.map_or(Vec::new(), |(_, group)| group.ledger.quarter_sums(start_ms, end_ms))
    }

    pub(in crate::slo) fn override_of(
        &self,
        service: &str,
        now: Timestamp,
    ) -> Option<&GateOverride> {
        self.notes.override_of(service, now.as_millis())
    }

    fn find(&self, slo: &str, group: &Labels) -> Option<(&SloState, &Group)> {
        let state = self.states.iter().find(|state| state.slo.name == slo)?;
        Some((state, state.groups.get(group)?))
    }
}
