//! What counters had before the stretch of time that is read: asked for where a series begins in it, and
//! remembered as long as that series is read again.
//!
//! A read begins five minutes before its first slice. A series whose first sample comes later is new, or comes back
//! after a silence; only a look further back tells which. Bounded: what is forgotten is asked for again.

use std::collections::HashMap;

use skopos_model::{Labels, SampleValue};
use skopos_promql::MatrixSeries;

use super::super::indicator::Reading;

/// Most series remembered.
const MOST: usize = 50_000;

/// What was known of a series before its first sample of a read.
pub(in crate::slo) enum Earlier<'a> {
    /// Its last value.
    Value(&'a SampleValue),
    /// It was not there.
    Nothing,
    /// Nobody looked.
    Unknown,
}

/// The beginnings of series that were looked into.
#[derive(Debug, Default)]
pub(in crate::slo) struct Births {
    /// By series: its first sample, and what it had before that.
    known: HashMap<Labels, (i64, Option<SampleValue>)>,
}

impl Births {
    /// What a series had before a sample.
    pub(super) fn before(&self, labels: &Labels, first_ms: i64) -> Earlier<'_> {
        match self.known.get(labels) {
            Some((at, value)) if *at == first_ms => {
                value.as_ref().map_or(Earlier::Nothing, Earlier::Value)
            }
            _ => Earlier::Unknown,
        }
    }

    /// The series of an answer that begin after `start_ms`, with their first samples.
    fn of(
        series: &[MatrixSeries],
        reading: Reading,
        start_ms: i64,
    ) -> impl Iterator<Item = (&Labels, i64)> {
        series.iter().filter_map(move |one| {
            let first = reading.first_of(one)?;
            (first > start_ms).then_some((&one.labels, first))
        })
    }

    /// Of the series of an answer those that begin after `start_ms` and were not looked into, with their first samples.
    pub(in crate::slo) fn unknown<'a>(
        &self,
        series: &'a [MatrixSeries],
        reading: Reading,
        start_ms: i64,
    ) -> Vec<(&'a Labels, i64)> {
        let born = Self::of(series, reading, start_ms);
        let is_unknown = |(labels, first): &(&Labels, i64)| {
            matches!(self.before(labels, *first), Earlier::Unknown)
        };
        born.filter(is_unknown).collect()
    }

    /// Takes what was found of the series of an answer.
    pub(in crate::slo) fn take(
        &mut self,
        series: &[MatrixSeries],
        reading: Reading,
        start_ms: i64,
        found: &[MatrixSeries],
    ) {
        let found: HashMap<&Labels, &SampleValue> = found
            .iter()
            .filter_map(|one| Some((&one.labels, &one.samples.last()?.value)))
            .collect();
        for (labels, first) in Self::of(series, reading, start_ms) {
            if matches!(self.before(labels, first), Earlier::Unknown) {
                let value = found.get(labels).map(|value| (*value).clone());
                self.known.insert(labels.clone(), (first, value));
            }
        }
    }

    /// Forgets series that began before a moment.
    pub(in crate::slo) fn forget(&mut self, before_ms: i64) {
        if self.known.len() > MOST {
            self.known.clear();
        }
        self.known.retain(|_, (first, _)| *first > before_ms);
    }
}
