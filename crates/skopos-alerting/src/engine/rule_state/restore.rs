//! Rule states as the log holds them.

use std::collections::{BTreeSet, HashMap};

use skopos_model::{Labels, Timestamp};

use super::super::alert::Alert;
use super::super::saved::{CorruptRecord, SavedState};
use super::super::source;
use super::{RuleState, SERIES_PREFIX};
use crate::codec::{DecodeError, Reader, Writer};
use crate::rules::RuleId;

/// Reads the rule states of an earlier run. What cannot be read is reported and left out.
pub(in crate::engine) fn restore(
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

pub(super) fn encode_series(series: &BTreeSet<Labels>) -> Vec<u8> {
    let mut writer = Writer::new(1);
    writer.unsigned(series.len() as u64);
    for labels in series {
        writer.labels(labels);
    }
    writer.finish()
}

pub(in crate::engine) fn decode_series(data: &[u8]) -> Result<BTreeSet<Labels>, DecodeError> {
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
