//! Series of rules that are gone: they end after two intervals, unless somebody writes them again.
//!
//! A rule that was renamed, moved to another group or given other labels is, to the engine, one
//! rule gone and another come. Ending the old series at once would leave a hole until the new rule
//! has been evaluated, and an alert that reads them would resolve because of an edit.

use std::collections::BTreeSet;

use skopos_model::storage::{StateCommit, StateKind, StateRecord};
use skopos_model::{Labels, STALE_NAN, SeriesSamples, Timestamp};

use super::saved::{CorruptRecord, SavedState};
use super::{Engine, RELOAD_SOURCE, commit, record};
use crate::codec::{DecodeError, Reader, Writer};

/// Keys of records begin with this.
const PREFIX: &str = "retired/";

/// Series that somebody took out of the rules at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retired {
    /// When the rules went: where the series end. Milliseconds; also its name.
    pub(super) ended_at: i64,
    /// When they are ended.
    pub(super) due: i64,
    pub(super) series: BTreeSet<Labels>,
}

impl Retired {
    fn key(&self) -> String {
        format!("{PREFIX}{:020}", self.ended_at.max(0))
    }

    pub(super) fn record(&self) -> StateRecord {
        let mut writer = Writer::new(1);
        writer.signed(self.ended_at);
        writer.signed(self.due);
        writer.unsigned(self.series.len() as u64);
        for labels in &self.series {
            writer.labels(labels);
        }
        record(StateKind::RuleGroup, self.key(), Some(writer.finish()))
    }
}

pub(super) fn decode(data: &[u8]) -> Result<Retired, DecodeError> {
    let mut reader = Reader::new(data, 1)?;
    let (ended_at, due) = (reader.signed("ended_at")?, reader.signed("due")?);
    let mut series = BTreeSet::new();
    for _ in 0..reader.unsigned("series")? {
        series.insert(reader.labels("series")?);
    }
    reader.finish()?;
    Ok(Retired { ended_at, due, series })
}

pub(super) fn restore(saved: &SavedState, corrupt: &mut Vec<CorruptRecord>) -> Vec<Retired> {
    let mut all = Vec::new();
    for record in saved.groups.iter().filter(|record| record.key.starts_with(PREFIX)) {
        match decode(record.value.as_deref().unwrap_or_default()) {
            Ok(retired) if retired.key() == record.key => all.push(retired),
            Ok(_) => corrupt.push(CorruptRecord::mismatch(record)),
            Err(error) => corrupt.push(CorruptRecord::new(record, error)),
        }
    }
    all
}

impl Engine {
    /// Whether [`end_retired`](Self::end_retired) has anything to end.
    pub fn has_retired(&self, now: Timestamp) -> bool {
        self.retired.iter().any(|retired| retired.due <= now.as_millis())
    }

    /// Ends the series of rules that went two intervals ago and that no rule writes now. To be
    /// called now and then, and made durable like every commit.
    pub fn end_retired(&mut self, now: Timestamp) -> Option<StateCommit> {
        if !self.has_retired(now) {
            return None;
        }
        let now = now.as_millis();
        let (due, waiting) =
            std::mem::take(&mut self.retired).into_iter().partition(|retired| retired.due <= now);
        self.retired = waiting;
        let due: Vec<Retired> = due;
        let rules = || self.groups.iter().flat_map(|group| &group.rules);
        let (mut records, mut samples) = (Vec::new(), Vec::new());
        for Retired { ended_at, series, .. } in &due {
            let ended = series.iter().filter(|labels| !rules().any(|rule| rule.writes(labels)));
            samples.extend(ended.map(|l| SeriesSamples::single(l.clone(), *ended_at, STALE_NAN)));
        }
        records.extend(due.iter().map(|gone| record(StateKind::RuleGroup, gone.key(), None)));
        self.last_reload = now.max(self.last_reload.saturating_add(1));
        commit(RELOAD_SOURCE, self.last_reload, records, samples)
    }
}
