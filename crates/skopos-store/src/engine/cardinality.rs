//! Cardinality over the whole store: what the head counts, and how it was a day ago.
//!
//! The count of a day ago is taken from the series of the blocks and heads that have samples of
//! that hour; a series that is in several counts once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use skopos_model::storage::{QueryBudget, SeriesSelect, StorageError};
use skopos_model::{LabelMatcher, Labels, METRIC_NAME, MatchOp, SeriesId, Timestamp};

use super::Store;
use super::view::View;
use crate::block::BlockKind;
use crate::cardinality::{
    Cardinality, CardinalityQuery, CardinalityReport, SeriesRefusal, TsdbStatus,
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Bytes charged for a series or value that is remembered.
const ENTRY_BYTES: u64 = 48;

impl Store {
    /// What is to be told to people about series beyond limits: each metric and sender once in ten
    /// minutes. Whoever takes it tells it.
    pub fn take_series_notices(&self) -> Vec<SeriesRefusal> {
        self.ingest.views().current().active.guard().take_notices()
    }
}

#[async_trait]
impl Cardinality for Store {
    async fn cardinality(
        &self,
        query: &CardinalityQuery,
        budget: &QueryBudget,
    ) -> Result<CardinalityReport, StorageError> {
        let query = query.clone();
        self.budgeted(budget, move |view, budget| report(view, &query, budget)).await
    }

    async fn tsdb_status(
        &self,
        limit: usize,
        budget: &QueryBudget,
    ) -> Result<TsdbStatus, StorageError> {
        self.budgeted(budget, move |view, budget| view.active.tsdb_status(limit, budget)).await
    }

    fn refusals(&self) -> Vec<SeriesRefusal> {
        self.ingest.views().current().active.guard().refusals()
    }

    fn name_scope(&self, service: &str, metric: &str, scope: &str) {
        self.ingest.views().current().active.guard().name_scope(service, metric, scope);
    }
}

fn report(
    view: &View,
    query: &CardinalityQuery,
    budget: &QueryBudget,
) -> Result<CardinalityReport, StorageError> {
    let now = view.active.now();
    let active_from_ms = now.saturating_sub(HOUR).as_millis();
    let mut report = view.active.cardinality(query, active_from_ms, budget)?;
    if let Some(day_ago) = DayAgo::count(view, query, &report, now, budget)? {
        day_ago.fill(query, &mut report);
    }
    Ok(report)
}

/// What there was in the hour that ended 24 hours ago.
#[derive(Default)]
struct DayAgo {
    total: u64,
    /// By metric or value: those of the report.
    rows: HashMap<String, u64>,
    /// Label → (series, values), for the labels of a metric.
    labels: HashMap<Box<str>, (u64, HashSet<Box<str>>)>,
}

impl DayAgo {
    /// `None` when nothing is stored that is as old.
    fn count(
        view: &View,
        query: &CardinalityQuery,
        report: &CardinalityReport,
        now: Timestamp,
        budget: &QueryBudget,
    ) -> Result<Option<Self>, StorageError> {
        let end_ms = now.saturating_sub(DAY).as_millis();
        let select = SeriesSelect {
            matchers: matchers(query),
            start_ms: now.saturating_sub(DAY + HOUR).as_millis(),
            end_ms,
            hints: Default::default(),
        };
        let blocks = || view.blocks.blocks.iter().filter(|b| b.meta.kind == BlockKind::Metrics);
        let is_old = |ms: i64| ms <= end_ms;
        let in_blocks = blocks().any(|b| is_old(Timestamp(b.meta.first_ns).as_millis()));
        let heads: Vec<_> =
            view.heads().filter(|head| head.first_ms().is_some_and(is_old)).collect();
        if !in_blocks && heads.is_empty() {
            return Ok(None);
        }
        let mut day_ago = Self::default();
        let metrics = report.metrics.iter().map(|row| &row.metric);
        let rows = metrics.chain(report.values.iter().map(|row| &row.value));
        day_ago.rows.extend(rows.map(|row| (row.clone(), 0)));
        let mut seen: HashSet<SeriesId> = HashSet::new();
        let mut charged = Ok(());
        let mut each = |labels: &Labels| {
            if charged.is_ok() && seen.insert(labels.series_id()) {
                charged = budget.charge_bytes(ENTRY_BYTES);
                if charged.is_ok() {
                    charged = day_ago.add(query, labels, budget);
                }
            }
        };
        for block in blocks().filter(|b| b.meta.overlaps_ms(select.start_ms, end_ms)) {
            block.metrics()?.each_with_samples(&select, budget, &mut each)?;
        }
        for head in heads {
            head.each_with_samples(&select, budget, &mut each)?;
        }
        charged?;
        Ok(Some(day_ago))
    }

    fn add(
        &mut self,
        query: &CardinalityQuery,
        labels: &Labels,
        budget: &QueryBudget,
    ) -> Result<(), StorageError> {
        self.total += 1;
        let row = match &query.label {
            Some(label) => labels.value(label),
            None => labels.metric_name(),
        };
        if let Some(count) = self.rows.get_mut(row) {
            *count += 1;
        }
        if query.metric.is_none() || query.label.is_some() {
            return Ok(());
        }
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            if !self.labels.contains_key(name) {
                self.labels.insert(name.into(), Default::default());
            }
            let Some((series, values)) = self.labels.get_mut(name) else { continue };
            *series += 1;
            if !values.contains(value) {
                budget.charge_bytes(ENTRY_BYTES + value.len() as u64)?;
                values.insert(value.into());
            }
        }
        Ok(())
    }

    fn fill(&self, query: &CardinalityQuery, report: &mut CardinalityReport) {
        report.total.day_ago = Some(self.total);
        for row in &mut report.metrics {
            // With a label asked for, rows are values.
            row.counts.day_ago = match query.label {
                Some(_) => Some(self.total),
                None => self.rows.get(&row.metric).copied(),
            };
        }
        for row in &mut report.values {
            row.counts.day_ago = self.rows.get(&row.value).copied();
        }
        if query.metric.is_some() {
            for row in &mut report.labels {
                let found = self.labels.get(row.label.as_str());
                row.counts.day_ago = Some(found.map_or(0, |(series, _)| *series));
                row.values_day_ago = Some(found.map_or(0, |(_, values)| values.len() as u64));
            }
        }
    }
}

/// Selects what is asked for.
fn matchers(query: &CardinalityQuery) -> Vec<LabelMatcher> {
    let mut matchers = Vec::new();
    if let Some(metric) = &query.metric {
        matchers.push(LabelMatcher::equal(METRIC_NAME, metric));
    }
    if let Some(label) = query.label.as_ref() {
        matchers.extend(LabelMatcher::new(label, MatchOp::NotEqual, ""));
    }
    matchers
}
