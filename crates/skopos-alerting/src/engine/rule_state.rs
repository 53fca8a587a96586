//! The state of one rule: its alerts, the series it wrote last, and what of that is committed.
//!
//! Records: every alert under its rule and the hash of its labels, written whenever its bytes
//! changed; and the set of series written last, where it cannot be derived from the alerts, so
//! that a series that vanishes across a restart still gets its stale marker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use skopos_model::storage::{StateKind, StateRecord};
use skopos_model::{Labels, METRIC_NAME, STALE_NAN, Sample, SampleValue, SeriesSamples, Timestamp};

use super::alert::{Absent, Alert, AlertState, Instance, Notified, Timing};
use super::evaluated::Outcome;
use super::saved::{CorruptRecord, SavedState};
use super::view::Health;
use super::{EvalFailure, Evaluated, Transition, millis, record, source};
use crate::codec::{DecodeError, Reader, Writer};
use crate::rules::{Rule, RuleId};

/// Series of a recording rule that are remembered across a restart. Beyond this its vanished
/// series end by the lookback instead of a stale marker, once, after a restart.
const MAX_SAVED_SERIES: usize = 10_000;

/// After a restart, the longest that a hold waits for fresh data: what stays silent for longer has
/// gone, and its alerts resolve.
const MAX_SILENCE_MS: i64 = 60 * 60 * 1000;

/// Keys of series records begin with this.
const SERIES_PREFIX: &str = "series/";

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
    /// Alerts that are gone although receivers believe they fire.
    pub(super) dropped: Vec<Alert>,
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
        }
    }

    /// Takes the result of the evaluation at `slot`, which is later than the last.
    pub(super) fn advance(
        &mut self,
        slot: i64,
        result: Result<Evaluated, EvalFailure>,
        limits: Limits,
    ) -> Advanced {
        self.resume(slot, limits);
        self.last_slot = Some(slot);
        self.last_evaluation = Some(slot);
        let before: Vec<(Labels, AlertState)> =
            self.alerts.iter().map(|(labels, alert)| (labels.clone(), alert.state)).collect();
        let mut advanced = Advanced::default();
        let data_time = slot.saturating_sub(limits.query_offset);
        let outcome = match result {
            Err(failure) => Err(failure),
            Ok(Evaluated { outcome: Outcome::Series(series), .. }) => {
                self.record(series, data_time, limits, &mut advanced)
            }
            Ok(Evaluated { outcome: Outcome::Alerts(instances), fresh }) => {
                let waits_until = if fresh { None } else { self.silence_ends(slot, limits) };
                self.alert(instances, slot, data_time, waits_until, limits, &mut advanced)
            }
        };
        match outcome {
            Ok(()) => (self.health, self.error) = (Health::Ok, None),
            Err(failure) => {
                (self.health, self.error) = (Health::Err, Some(failure.to_string()));
            }
        }
        advanced.transitions = self.transitions(&before);
        advanced
    }

    /// The first evaluation after a restart: when slots were missed, our own silence must not
    /// resolve what was firing.
    fn resume(&mut self, slot: i64, limits: Limits) {
        let Some(resumed_at) = self.resumed_at.take() else { return };
        let no_slot_missed =
            self.last_slot.is_some_and(|last| slot.saturating_sub(last) <= limits.interval);
        if !limits.restart_hold {
            return;
        }
        let Some(wait) = self.hold_length(limits) else { return };
        let until = resumed_at.saturating_add(wait);
        self.hold_limit = Some(resumed_at.saturating_add(MAX_SILENCE_MS).max(until));
        if no_slot_missed {
            return;
        }
        for alert in self.alerts.values_mut().filter(|a| a.state == AlertState::Firing) {
            alert.held_until = Some(alert.held_until.map_or(until, |end| end.max(until)));
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

    fn alert(
        &mut self,
        instances: Vec<Instance>,
        slot: i64,
        data_time: i64,
        waits_until: Option<i64>,
        limits: Limits,
        advanced: &mut Advanced,
    ) -> Result<(), EvalFailure> {
        let spec = self.rule.as_ref().and_then(|rule| rule.alerting());
        let timing = Timing {
            hold: spec.map_or(0, |s| millis(s.hold)),
            keep_firing_for: spec.map_or(0, |s| millis(s.keep_firing_for)),
            resolved_retention: limits.resolved_retention,
        };
        let mut before = std::mem::take(&mut self.alerts);
        for instance in instances {
            let labels = instance.labels.clone();
            let alert = Alert::present(before.remove(&labels), instance, slot, timing);
            self.alerts.insert(labels, alert);
        }
        for (labels, mut alert) in before {
            if alert.absent(slot, timing, waits_until) == Absent::Keep {
                self.alerts.insert(labels, alert);
            }
        }
        let found = self.alerts.values().filter(|alert| alert.is_active()).count();
        let limit = limits.alerts_or_series;
        if limit > 0 && found > limit {
            let alerts = std::mem::take(&mut self.alerts).into_values();
            advanced.dropped = alerts.filter(|a| a.notified == Notified::Firing).collect();
            return Err(EvalFailure::LimitExceeded { limit, found, what: "alerts" });
        }
        let series =
            self.alert_series().map(|(labels, v)| (labels, SampleValue::Float(v))).collect();
        self.write(series, data_time, advanced);
        Ok(())
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

    /// Ends every series this rule wrote last.
    pub(super) fn end_series(&mut self, at: i64, samples: &mut Vec<SeriesSamples>) {
        let ended = std::mem::take(&mut self.previous);
        samples.extend(ended.into_iter().map(|l| SeriesSamples::single(l, at, STALE_NAN)));
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

/// Reads the rule states of an earlier run. What cannot be read is reported and left out.
pub(super) fn restore(
    saved: &SavedState,
    now: Timestamp,
    corrupt: &mut Vec<CorruptRecord>,
) -> HashMap<RuleId, RuleState> {
    let mut states: HashMap<RuleId, RuleState> = HashMap::new();
    let rule_of = |text: &str| u64::from_str_radix(text, 16).ok().map(RuleId);
    for record in &saved.alerts {
        let bytes = record.value.as_deref().unwrap_or_default();
        let rule = record.key.split_once('/').and_then(|(rule, _)| rule_of(rule));
        let (alert, rule) = match (Alert::decode(bytes), rule) {
            (Err(error), _) => {
                corrupt.push(CorruptRecord::new(record, error));
                continue;
            }
            (Ok(alert), Some(rule)) => (alert, rule),
            (Ok(_), None) => {
                corrupt.push(CorruptRecord::mismatch(record));
                continue;
            }
        };
        let state = states.entry(rule).or_insert_with(|| RuleState::new(rule));
        if state.alert_key(&alert.labels) != record.key {
            corrupt.push(CorruptRecord::mismatch(record));
            continue;
        }
        state.saved.insert(alert.labels.clone(), xxhash_rust::xxh3::xxh3_128(bytes));
        state.alerts.insert(alert.labels.clone(), alert);
    }
    for state in states.values_mut() {
        state.previous = state.alert_series().map(|(labels, _)| labels).collect();
    }
    for record in &saved.groups {
        let Some(rule) = record.key.strip_prefix(SERIES_PREFIX) else { continue };
        let bytes = record.value.as_deref().unwrap_or_default();
        match (decode_series(bytes), rule_of(rule)) {
            (Err(error), _) => corrupt.push(CorruptRecord::new(record, error)),
            (Ok(_), None) => corrupt.push(CorruptRecord::mismatch(record)),
            (Ok(series), Some(rule)) => {
                let state = states.entry(rule).or_insert_with(|| RuleState::new(rule));
                state.previous = series;
                state.saved_series = Some(xxhash_rust::xxh3::xxh3_128(bytes));
            }
        }
    }
    // A rule that committed but left no record still must not repeat a slot.
    for (name, slot) in &saved.last_slots {
        if let Some(rule) = name.strip_prefix("rule/").and_then(rule_of) {
            debug_assert_eq!(&source(rule), name);
            let state = states.entry(rule).or_insert_with(|| RuleState::new(rule));
            state.last_slot = Some(*slot);
        }
    }
    for state in states.values_mut() {
        state.resumed_at = Some(now.as_millis());
    }
    states
}

fn encode_series(series: &BTreeSet<Labels>) -> Vec<u8> {
    let mut writer = Writer::new(1);
    writer.unsigned(series.len() as u64);
    for labels in series {
        writer.labels(labels);
    }
    writer.finish()
}

pub(super) fn decode_series(data: &[u8]) -> Result<BTreeSet<Labels>, DecodeError> {
    let mut reader = Reader::new(data, 1)?;
    let mut series = BTreeSet::new();
    for _ in 0..reader.unsigned("series")? {
        let labels = reader.labels("series")?;
        if series.last().is_some_and(|last| *last >= labels) {
            return Err(DecodeError { what: "series", offset: data.len() });
        }
        series.insert(labels);
    }
    reader.finish()?;
    Ok(series)
}
