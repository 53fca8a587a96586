//! Counting the series of the head.
//!
//! Constraints: the index lock is held while its lists are counted and series are picked, never
//! while series are looked at one by one; of a million labels only those of the answer are copied.

use std::collections::HashMap;
use std::sync::Arc;

use skopos_model::storage::{QueryBudget, StorageError};
use skopos_model::{Labels, METRIC_NAME};

use super::Head;
use super::guard::grown_label;
use super::series::Series;
use crate::cardinality::{
    CardinalityQuery, CardinalityReport, LabelCounts, MetricCounts, SeriesCounts, TsdbStatus,
    ValueCounts, largest, look_like_ids,
};

/// How many series are looked at between two looks at the budget.
const BUDGET_STEP: usize = 4096;
/// Values shown of a label.
const EXAMPLES: usize = 3;
/// Values from which on a label may be said to hold ids.
const LEAST_IDS: usize = 20;
/// Values that are looked at to tell whether they are ids.
const LOOKED_AT: usize = 16;
/// The newest series of a metric that are looked at for the label with the most values.
const NEWEST: usize = 5_000;

/// Label → value → (series, active series), borrowed from the series.
type Tally<'a> = HashMap<&'a str, HashMap<&'a str, (u64, u64)>>;

impl Head {
    /// Time of the earliest sample; `None` when there is none.
    pub(crate) fn first_ms(&self) -> Option<i64> {
        self.metrics.first_ms()
    }

    /// Fills in what the head knows: all but `day_ago`.
    pub(crate) fn cardinality(
        &self,
        query: &CardinalityQuery,
        active_from_ms: i64,
        budget: &QueryBudget,
    ) -> Result<CardinalityReport, StorageError> {
        let mut report = CardinalityReport {
            limits: self.guard.limits().clone(),
            at: self.clock.now(),
            ..CardinalityReport::default()
        };
        (report.created, report.removed) = self.guard.turnover();
        let series = match (&query.metric, &query.label) {
            (None, None) => self.fill_all(query.limit, &mut report),
            (Some(metric), _) => self.of_metric(metric, &mut report),
            (None, Some(label)) => self.fill_values(label, query.limit, &mut report),
        };
        budget.charge_bytes((series.len() * size_of::<Arc<Series>>()) as u64)?;
        report.total.series = series.len() as u64;
        let is_active = |series: &Series| series.newest_ms() >= active_from_ms;
        match (&query.metric, &query.label) {
            (Some(_), Some(label)) => {
                let tally = tally(&series, Some(label), is_active, budget)?;
                let values = tally.get(label.as_str());
                report.values_total = values.map_or(0, |values| values.len() as u64);
                let counts = values.into_iter().flatten().map(|(value, (n, _))| (*value, *n));
                for (value, n) in largest(counts, query.limit) {
                    let active = values.and_then(|v| v.get(value.as_str())).map(|(_, n)| *n);
                    let counts = SeriesCounts { series: n, active, day_ago: None };
                    report.values.push(ValueCounts { value, counts });
                }
            }
            (Some(_), None) => {
                let tally = tally(&series, None, is_active, budget)?;
                report.labels_total = tally.len() as u64;
                let counts = tally.iter().map(|(label, values)| (*label, values.len() as u64));
                for (label, _) in largest(counts, query.limit) {
                    let values = tally.get(label.as_str());
                    report.labels.extend(values.map(|values| label_counts(label, values)));
                }
            }
            _ => {}
        }
        // Who is active, of all and of the rows.
        let mut active = 0;
        let mut of_row: HashMap<&str, u64> = HashMap::new();
        let row_of = |labels: &'_ Labels| match &query.label {
            Some(label) => labels.get(label).map(str::to_owned),
            None => Some(labels.metric_name().to_owned()),
        };
        let wants_rows = query.metric.is_none();
        if wants_rows {
            let metrics = report.metrics.iter().map(|row| row.metric.as_str());
            of_row.extend(
                metrics
                    .chain(report.values.iter().map(|row| row.value.as_str()))
                    .map(|row| (row, 0)),
            );
        }
        for chunk in series.chunks(BUDGET_STEP) {
            budget.check()?;
            for one in chunk.iter().filter(|one| is_active(one)) {
                active += 1;
                if wants_rows
                    && let Some(row) = row_of(&one.labels)
                    && let Some(count) = of_row.get_mut(row.as_str())
                {
                    *count += 1;
                }
            }
        }
        let of_row: HashMap<String, u64> =
            of_row.into_iter().map(|(row, count)| (row.to_owned(), count)).collect();
        report.total.active = Some(active);
        for row in &mut report.metrics {
            row.counts.active = of_row.get(&row.metric).copied();
        }
        if wants_rows {
            for row in &mut report.values {
                row.counts.active = of_row.get(&row.value).copied();
            }
        } else if let [row] = report.metrics.as_mut_slice() {
            row.counts = report.total;
        }
        Ok(report)
    }

    /// Metrics and labels; returns all series.
    fn fill_all(&self, limit: usize, report: &mut CardinalityReport) -> Vec<Arc<Series>> {
        let index = self.metrics.lookup();
        let postings = index.postings();
        let metrics = || postings.counts(METRIC_NAME).map(|(name, n)| (name, n as u64));
        report.metrics_total = metrics().count() as u64;
        for (metric, series) in largest(metrics(), limit) {
            let (label, values) = grown_label(&index, &metric, &[], NEWEST).unwrap_or_default();
            let counts = SeriesCounts { series, ..SeriesCounts::default() };
            let label_values = values as u64;
            report.metrics.push(MetricCounts { metric, counts, label, label_values });
        }
        let labels = || postings.names().filter(|name| *name != METRIC_NAME);
        report.labels_total = labels().count() as u64;
        let values = labels().map(|name| (name, postings.values(name).count() as u64));
        for (label, values) in largest(values, limit) {
            let series = postings.counts(&label).map(|(_, n)| n as u64).sum();
            let some: Vec<&str> = postings.values(&label).take(LOOKED_AT).collect();
            let id_like = values >= LEAST_IDS as u64 && look_like_ids(some.iter().copied());
            report.labels.push(LabelCounts {
                values,
                values_day_ago: None,
                counts: SeriesCounts { series, ..SeriesCounts::default() },
                id_like,
                examples: examples(some.into_iter()),
                label,
            });
        }
        index.all_series()
    }

    /// The metric's row; returns its series.
    fn of_metric(&self, metric: &str, report: &mut CardinalityReport) -> Vec<Arc<Series>> {
        let index = self.metrics.lookup();
        let series = index.series(index.metric_series(metric));
        if let Some((label, values)) = grown_label(&index, metric, &[], NEWEST) {
            report.metrics_total = 1;
            report.metrics.push(MetricCounts {
                metric: metric.to_owned(),
                label,
                label_values: values as u64,
                ..MetricCounts::default()
            });
        } else if !series.is_empty() {
            report.metrics_total = 1;
            report.metrics.push(MetricCounts { metric: metric.to_owned(), ..Default::default() });
        }
        series
    }

    /// Values of a label over all metrics; returns the series that have it.
    fn fill_values(
        &self,
        label: &str,
        limit: usize,
        report: &mut CardinalityReport,
    ) -> Vec<Arc<Series>> {
        let index = self.metrics.lookup();
        let values = || index.postings().counts(label).map(|(value, n)| (value, n as u64));
        report.values_total = values().count() as u64;
        for (value, series) in largest(values(), limit) {
            let counts = SeriesCounts { series, ..SeriesCounts::default() };
            report.values.push(ValueCounts { value, counts });
        }
        let mut refs = Vec::new();
        for (value, _) in index.postings().counts(label) {
            refs.extend_from_slice(index.postings().of_value(label, value));
        }
        index.series(&refs)
    }

    /// See [`Cardinality::tsdb_status`](crate::cardinality::Cardinality::tsdb_status).
    pub(crate) fn tsdb_status(
        &self,
        limit: usize,
        budget: &QueryBudget,
    ) -> Result<TsdbStatus, StorageError> {
        let stats = self.stats();
        let (series, mut status) = {
            let index = self.metrics.lookup();
            let postings = index.postings();
            let metrics = postings.counts(METRIC_NAME).map(|(name, n)| (name, n as u64));
            let values = |name| postings.values(name);
            let count = |name| (name, values(name).count() as u64);
            let bytes = |name| (name, values(name).map(|value| value.len() as u64).sum());
            let mut pairs: Vec<(String, u64)> = Vec::new();
            for name in postings.names() {
                budget.check()?;
                let of_name = postings.counts(name).map(|(value, n)| (value, n as u64));
                let most = largest(of_name, limit).into_iter();
                pairs.extend(most.map(|(value, n)| (format!("{name}={value}"), n)));
            }
            let status = TsdbStatus {
                series: index.series_count() as u64,
                label_pairs: postings.names().map(|name| count(name).1).sum(),
                chunks: stats.chunks,
                series_by_metric: largest(metrics, limit),
                values_by_label: largest(postings.names().map(count), limit),
                bytes_by_label: largest(postings.names().map(bytes), limit),
                series_by_pair: largest(pairs.iter().map(|(p, n)| (p.as_str(), *n)), limit),
                ..TsdbStatus::default()
            };
            (index.all_series(), status)
        };
        let newest = series.iter().map(|series| series.newest_ms());
        status.max_time_ms = newest.max().filter(|newest| *newest != i64::MIN);
        status.min_time_ms = status.max_time_ms.and(self.first_ms());
        Ok(status)
    }
}

fn tally<'a>(
    series: &'a [Arc<Series>],
    only: Option<&str>,
    is_active: impl Fn(&Series) -> bool,
    budget: &QueryBudget,
) -> Result<Tally<'a>, StorageError> {
    let mut tally: Tally<'a> = HashMap::new();
    for chunk in series.chunks(BUDGET_STEP) {
        let mut new = 0;
        for one in chunk {
            let active = u64::from(is_active(one));
            for (name, value) in one.labels.iter() {
                if name == METRIC_NAME || only.is_some_and(|only| only != name) {
                    continue;
                }
                let (count, active_count) =
                    tally.entry(name).or_default().entry(value).or_insert_with(|| {
                        new += 1;
                        (0, 0)
                    });
                *count += 1;
                *active_count += active;
            }
        }
        budget.charge_bytes(new * size_of::<(&str, (u64, u64))>() as u64 * 2)?;
        budget.check()?;
    }
    Ok(tally)
}

fn label_counts(label: String, values: &HashMap<&str, (u64, u64)>) -> LabelCounts {
    let some = || values.keys().copied().take(LOOKED_AT);
    let active = values.values().map(|(_, active)| active).sum();
    LabelCounts {
        label,
        values: values.len() as u64,
        values_day_ago: None,
        counts: SeriesCounts {
            series: values.values().map(|(series, _)| series).sum(),
            active: Some(active),
            day_ago: None,
        },
        id_like: values.len() >= LEAST_IDS && look_like_ids(some()),
        examples: examples(some()),
    }
}

/// The first few by name, so that the same values show the same examples.
fn examples<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut some: Vec<&str> = values.collect();
    some.sort_unstable();
    some.truncate(EXAMPLES);
    some.into_iter().map(str::to_owned).collect()
}
