//! The state of one rule: its alerts, the series it wrote last, and what of that is committed.
//!
//! Records: every alert under its rule and the hash of its labels, written whenever its bytes
//! changed; and the set of series written last, where it cannot be derived from the alerts, so
//! that a series that vanishes across a restart still gets its stale marker.

mod keep;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{StateKind, StateRecord};
use skopos_model::{Labels, METRIC_NAME, STALE_NAN, Sample, SampleValue, SeriesSamples, Timestamp};

use super::alert::{Absent, Alert, AlertState, Instance, Notified, Timing};
use super::evaluated::Outcome;
use super::history::{self, Evaluation, History, Outcomes, Reason};
use super::policy::{NoData, RulePolicy};
use super::view::Health;
use super::{EvalFailure, Evaluated, Transition, millis, record};
use crate::rules::{Rule, RuleId};
use restore::encode_series;
pub(super) use restore::{decode_series, restore};

/// Series of a recording rule that are remembered across a restart. Beyond this its vanished
/// series end by the lookback instead of a stale marker, once, after a restart.
const MAX_SAVED_SERIES: usize = 10_000;

/// After a restart, the longest that a hold waits for fresh data: what stays silent for longer has
/// gone, and its alerts resolve.
const MAX_SILENCE_MS: i64 = 60 * 60 * 1000;

/// Keys of series records begin with this.
pub(super) const SERIES_PREFIX: &str = "series/";

#[derive(Debug)]
pub(super) struct RuleState {
    pub(super) id: RuleId,
    /// Absent for a restored state until its rule is installed.
    pub(super) rule: Option<Arc<Rule>>,
    pub(super) alerts: BTreeMap<Labels, Alert>,
    /// Hashes of the alerts' committed records.
    saved: BTreeMap<Labels, u128>,
    /// Series written by the last successful evaluation.
    previous: BTreeSet<Labels>,
    saved_series: Option<u128>,
    pub(super) last_slot: Option<i64>,
    /// When the server started, until the first evaluation after that.
    resumed_at: Option<i64>,
    /// How long a hold may wait for fresh data; known once evaluation has resumed.
    hold_limit: Option<i64>,
    pub(super) health: Health,
    pub(super) error: Option<String>,
    pub(super) last_evaluation: Option<i64>,
    pub(super) took: Duration,
    pub(super) policy: RulePolicy,
    /// The interval of the group it was last in, milliseconds; 0 when that is not known.
    pub(super) interval: i64,
    pub(super) history: History,
}

/// What an evaluation is subject to, durations in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) alerts_or_series: usize,
    pub(super) resolved_retention: i64,
    pub(super) query_offset: i64,
    pub(super) interval: i64,
    pub(super) restart_hold: bool,
}

/// What an evaluation did, besides changing the state.
#[derive(Debug, Default)]
pub(super) struct Advanced {
    pub(super) samples: Vec<SeriesSamples>,
    pub(super) transitions: Vec<Transition>,
    /// Alerts that are gone although somebody was told of them.
    pub(super) dropped: Vec<Alert>,
    outcomes: Outcomes,
}

/// The slot, and the time that its data has; milliseconds.
#[derive(Clone, Copy, Debug)]
struct At {
    slot: i64,
    data_time: i64,
}

impl RuleState {
    pub(super) fn new(id: RuleId) -> Self {
        Self {
            id,
            rule: None,
            alerts: BTreeMap::new(),
            saved: BTreeMap::new(),
            previous: BTreeSet::new(),
            saved_series: None,
            last_slot: None,
            resumed_at: None,
            hold_limit: None,
            health: Health::Unknown,
            error: None,
            last_evaluation: None,
            took: Duration::ZERO,
            policy: RulePolicy::default(),
            interval: 0,
            history: History::default(),
        }
    }

    /// Takes the result of the evaluation at `slot`, which is later than the last.
    pub(super) fn advance(
        &mut self,
        slot: i64,
        result: Result<Evaluated, EvalFailure>,
        limits: Limits,
        took: Duration,
    ) -> Advanced {
        self.resume(slot, limits);
        self.last_slot = Some(slot);
        self.last_evaluation = Some(slot);
        self.took = took;
        let before: Vec<(Labels, AlertState)> =
            self.alerts.iter().map(|(labels, alert)| (labels.clone(), alert.state)).collect();
        let mut advanced = Advanced::default();
        let read = result.as_ref().ok().and_then(|evaluated| evaluated.read.clone());
        let elements = result.as_ref().ok().map(|evaluated| evaluated.outcome.len());
        let blind = self.blind(read.as_ref());
        let at = At { slot, data_time: slot.saturating_sub(limits.query_offset) };
        let outcome = match result {
            Err(failure) => {
                self.keep_on_error(&failure, at, limits, &mut advanced);
                Err(failure)
            }
            Ok(Evaluated { outcome: Outcome::Series(series), .. }) => {
                self.record(series, at.data_time, limits, &mut advanced)
            }
            Ok(Evaluated { outcome: Outcome::Alerts(instances), .. })
                if instances.is_empty()
                    && !blind.is_empty()
                    && self.policy.no_data != NoData::Ok =>
            {
                self.keep_without_data(&blind, at, limits, &mut advanced);
                Ok(())
            }
            Ok(Evaluated { outcome: Outcome::Alerts(instances), fresh, .. }) => {
                let waits_until = if fresh { None } else { self.silence_ends(slot, limits) };
                self.alert(instances, at, waits_until, limits, &mut advanced)
            }
        };
        match outcome {
            Ok(()) => (self.health, self.error) = (Health::Ok, None),
            Err(failure) => {
                (self.health, self.error) = (Health::Err, Some(failure.to_string()));
            }
        }
        let slot = Timestamp::from_millis(slot);
        let error = self.error.clone();
        self.history.note(
            Evaluation {
                first_slot: slot,
                slot,
                count: 1,
                took,
                elements,
                read,
                blind,
                error,
                alerts: Vec::new(),
                more_alerts: 0,
            },
            std::mem::take(&mut advanced.outcomes),
        );
        advanced.transitions = self.transitions(&before);
        advanced
    }

    /// The first evaluation after a restart: when slots were missed, our own silence must not
    /// resolve what was firing.
    ///
    /// An alert that is held already has been without a result since an earlier restart: what came
    /// before this one counts towards the range of fresh data, so its hold grows by no more than
    /// the time that we were away. Without holds those of an earlier run end.
    fn resume(&mut self, slot: i64, limits: Limits) {
        let Some(resumed_at) = self.resumed_at.take() else { return };
        if !limits.restart_hold {
            for alert in self.alerts.values_mut() {
                (alert.held_until, alert.held) = (None, false);
            }
            return;
        }
        let away = self.last_slot.map(|last| slot.saturating_sub(last));
        let no_slot_missed = away.is_some_and(|away| away <= limits.interval);
        let Some(wait) = self.hold_length(limits) else { return };
        let until = resumed_at.saturating_add(wait);
        self.hold_limit = Some(resumed_at.saturating_add(MAX_SILENCE_MS).max(until));
        if no_slot_missed {
            return;
        }
        for alert in self.alerts.values_mut().filter(|a| a.state == AlertState::Firing) {
            alert.held_until = Some(match (alert.held_until, away) {
                (Some(end), Some(away)) if alert.held => {
                    end.max(end.saturating_add(away).min(until))
                }
                (Some(end), _) => end.max(until),
                (None, _) => until,
            });
        }
    }

    /// How long fresh data must have been arriving before an empty result resolves anything.
    fn hold_length(&self, limits: Limits) -> Option<i64> {
        // Data may be a scrape late, so a range shorter than two slots counts as two.
        let range = millis(self.rule.as_ref()?.expr.range()).max(limits.interval.saturating_mul(2));
        Some(range.saturating_add(limits.query_offset))
    }

    /// When a hold ends if fresh data began to arrive right after this slot.
    fn silence_ends(&self, slot: i64, limits: Limits) -> Option<i64> {
        Some(slot.saturating_add(self.hold_length(limits)?).min(self.hold_limit?))
    }

    /// Whether an alert is held, or may be at the next evaluation.
    pub(super) fn awaits_fresh_data(&self) -> bool {
        let resumes = self.resumed_at.is_some();
        let mut firing = self.alerts.values().filter(|alert| alert.state == AlertState::Firing);
        firing.any(|alert| resumes || alert.held_until.is_some())
    }

    fn record(
        &mut self,
        series: Vec<(Labels, SampleValue)>,
        data_time: i64,
        limits: Limits,
        advanced: &mut Advanced,
    ) -> Result<(), EvalFailure> {
        let limit = limits.alerts_or_series;
        if limit > 0 && series.len() > limit {
            return Err(EvalFailure::LimitExceeded { limit, found: series.len(), what: "series" });
        }
        self.write(series, data_time, advanced);
        Ok(())
    }

    fn timing(&self, limits: Limits) -> Timing {
        let spec = self.rule.as_ref().and_then(|rule| rule.alerting());
        Timing {
            hold: spec.map_or(0, |s| millis(s.hold)),
            keep_firing_for: spec.map_or(0, |s| millis(s.keep_firing_for)),
            resolved_retention: limits.resolved_retention,
        }
    }

    /// An alert is there at `slot`. `before` is what was known of it, unless it is still among
    /// the alerts.
    fn present(
        &mut self,
        instance: Instance,
        before: Option<Alert>,
        slot: i64,
        timing: Timing,
        advanced: &mut Advanced,
    ) {
        let labels = instance.labels.clone();
        let before = before.or_else(|| self.alerts.remove(&labels));
        let state_before = before.as_ref().map(|alert| alert.state);
        let alert = Alert::present(before, instance, slot, timing);
        let reason = history::of_present(state_before, &alert, slot, timing);
        advanced.outcomes.add(&alert, Some(alert.state), reason);
        self.alerts.insert(labels, alert);
    }

    fn alert(
        &mut self,
        instances: Vec<Instance>,
        at: At,
        waits_until: Option<i64>,
        limits: Limits,
        advanced: &mut Advanced,
    ) -> Result<(), EvalFailure> {
        let timing = self.timing(limits);
        let mut before = std::mem::take(&mut self.alerts);
        let known: BTreeSet<Labels> = match self.has_moving_labels() {
            true => before.keys().cloned().collect(),
            false => BTreeSet::new(),
        };
        for instance in instances {
            let known = before.remove(&instance.labels);
            self.present(instance, known, at.slot, timing, advanced);
        }
        for (labels, mut alert) in before {
            let state_before = alert.state;
            let stays = alert.absent(at.slot, timing, waits_until) == Absent::Keep;
            if let Some(mut reason) = history::of_absent(state_before, &alert, timing) {
                if reason == Reason::NoResult
                    && let Some(now) = self.moved_to(&labels, &known)
                {
                    reason = Reason::LabelsChanged { now };
                }
                advanced.outcomes.add(&alert, stays.then_some(alert.state), reason);
            }
            if stays {
                self.alerts.insert(labels, alert);
            }
        }
        let found = self.alerts.values().filter(|alert| alert.is_active()).count();
        let limit = limits.alerts_or_series;
        if limit > 0 && found > limit {
            advanced.outcomes = Outcomes::default();
            let alerts = std::mem::take(&mut self.alerts).into_values();
            for alert in alerts {
                if alert.is_active() {
                    advanced.outcomes.add(&alert, None, Reason::Limit);
                }
                if alert.notified == Notified::Firing || alert.last_sent.is_some() {
                    advanced.dropped.push(alert);
                }
            }
            return Err(EvalFailure::LimitExceeded { limit, found, what: "alerts" });
        }
        self.write_alerts(at.data_time, advanced);
        Ok(())
    }

    /// Whether a label of the rule's alerts depends on what the expression returns.
    fn has_moving_labels(&self) -> bool {
        let spec = self.rule.as_ref().and_then(|rule| rule.alerting());
        spec.is_some_and(|s| s.label_templates.values().any(|text| !text.is_plain_text()))
    }

    /// The new alert that is this one but for labels made by templates.
    fn moved_to(&self, labels: &Labels, known: &BTreeSet<Labels>) -> Option<Labels> {
        let spec = self.rule.as_ref()?.alerting()?;
        let moving =
            |name: &str| spec.label_templates.get(name).is_some_and(|t| !t.is_plain_text());
        if !self.has_moving_labels() {
            return None;
        }
        let fixed = labels.filtered(|name| !moving(name));
        let new = self.alerts.keys().filter(|other| !known.contains(other));
        new.into_iter().find(|other| other.filtered(|name| !moving(name)) == fixed).cloned()
    }

    fn write_alerts(&mut self, data_time: i64, advanced: &mut Advanced) {
        let series =
            self.alert_series().map(|(labels, v)| (labels, SampleValue::Float(v))).collect();
        self.write(series, data_time, advanced);
    }

    /// Whether the last evaluation wrote this series.
    pub(super) fn writes(&self, labels: &Labels) -> bool {
        self.previous.contains(labels)
    }

    /// `ALERTS` and `ALERTS_FOR_STATE` of the active alerts.
    fn alert_series(&self) -> impl Iterator<Item = (Labels, f64)> {
        self.alerts.values().filter(|alert| alert.is_active()).flat_map(|alert| {
            let mut state = alert.labels.to_builder();
            state.set(METRIC_NAME, "ALERTS").set("alertstate", alert.state.as_str());
            let mut since = alert.labels.to_builder();
            since.set(METRIC_NAME, "ALERTS_FOR_STATE");
            let active_at = alert.active_at.div_euclid(1000) as f64;
            [(state.build(), 1.0), (since.build(), active_at)]
        })
    }

    /// Writes the series of this evaluation, and stale markers for those that are gone.
    fn write(&mut self, series: Vec<(Labels, SampleValue)>, at: i64, advanced: &mut Advanced) {
        let now: BTreeSet<Labels> = series.iter().map(|(labels, _)| labels.clone()).collect();
        for (labels, value) in series {
            let mut single = SeriesSamples::single(labels, at, 0.0);
            single.samples = vec![Sample { timestamp_ms: at, value }];
            advanced.samples.push(single);
        }
        let gone = self.previous.difference(&now);
        advanced
            .samples
            .extend(gone.map(|labels| SeriesSamples::single(labels.clone(), at, STALE_NAN)));
        self.previous = now;
    }

    /// The series this rule wrote last, which it will not write again.
    pub(super) fn take_series(&mut self) -> BTreeSet<Labels> {
        std::mem::take(&mut self.previous)
    }

    fn transitions(&self, before: &[(Labels, AlertState)]) -> Vec<Transition> {
        let mut changed: BTreeMap<Labels, Transition> = BTreeMap::new();
        for (labels, from) in before {
            let to = self.alerts.get(labels).map(|alert| alert.state);
            if to != Some(*from) {
                let transition = Transition { labels: labels.clone(), from: Some(*from), to };
                changed.insert(labels.clone(), transition);
            }
        }
        for (labels, alert) in &self.alerts {
            if before.binary_search_by(|(l, _)| l.cmp(labels)).is_err() {
                let to = Some(alert.state);
                let transition = Transition { labels: labels.clone(), from: None, to };
                changed.insert(labels.clone(), transition);
            }
        }
        changed.into_values().collect()
    }

    fn alert_key(&self, labels: &Labels) -> String {
        format!("{}/{:032x}", self.id, labels.series_id().0)
    }

    /// Adds the records of alerts that differ from what is committed.
    pub(super) fn changed_alerts(&mut self, records: &mut Vec<StateRecord>) {
        for (labels, alert) in &self.alerts {
            let bytes = alert.encode();
            let hash = xxhash_rust::xxh3::xxh3_128(&bytes);
            if self.saved.get(labels) != Some(&hash) {
                records.push(record(StateKind::Alert, self.alert_key(labels), Some(bytes)));
                self.saved.insert(labels.clone(), hash);
            }
        }
        let gone: Vec<Labels> =
            self.saved.keys().filter(|labels| !self.alerts.contains_key(labels)).cloned().collect();
        for labels in gone {
            records.push(record(StateKind::Alert, self.alert_key(&labels), None));
            self.saved.remove(&labels);
        }
    }

    /// Adds the record of the series written last, if it differs from what is committed.
    pub(super) fn changed_series(&mut self, records: &mut Vec<StateRecord>) {
        let is_derived = || {
            let derived: BTreeSet<Labels> = self.alert_series().map(|(labels, _)| labels).collect();
            derived == self.previous
        };
        let is_needed = !self.previous.is_empty()
            && self.previous.len() <= MAX_SAVED_SERIES
            && (self.alerts.is_empty() || !is_derived());
        let bytes = is_needed.then(|| encode_series(&self.previous));
        let hash = bytes.as_deref().map(xxhash_rust::xxh3::xxh3_128);
        if hash != self.saved_series {
            self.saved_series = hash;
            records.push(record(
                StateKind::RuleGroup,
                format!("{SERIES_PREFIX}{}", self.id),
                bytes,
            ));
        }
    }
}
