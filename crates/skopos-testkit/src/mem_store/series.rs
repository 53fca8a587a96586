//! Reading metrics by looking at every series.

use std::sync::Arc;

use async_trait::async_trait;
use skopos_model::Sample;
use skopos_model::storage::{
    MetricMetadata, QueryBudget, SelectSeries, SelectedSeries, SeriesExemplars, SeriesSelect,
    SeriesSet, StorageError,
};

use super::{Inner, MemSeries, MemStore};

impl Inner {
    fn matching<'a>(&'a self, select: &'a SeriesSelect) -> impl Iterator<Item = &'a MemSeries> {
        self.series.iter().filter(|series| {
            select.matchers.iter().all(|m| m.matches(series.labels.value(m.name())))
        })
    }

    /// Series with samples in range, of any of the selects; all when there are none.
    fn selected<'a>(&'a self, selects: &'a [SeriesSelect]) -> Vec<&'a MemSeries> {
        if selects.is_empty() {
            return self.series.iter().collect();
        }
        let with_samples = |select| {
            self.matching(select).filter(|series| !in_range(&series.samples, select).is_empty())
        };
        selects.iter().flat_map(with_samples).collect()
    }
}

fn in_range(samples: &[Sample], select: &SeriesSelect) -> Vec<Sample> {
    let range = select.start_ms..=select.end_ms;
    samples.iter().filter(|s| range.contains(&s.timestamp_ms)).cloned().collect()
}

#[async_trait]
impl SelectSeries for MemStore {
    async fn select(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<SeriesSet, StorageError> {
        budget.check()?;
        let inner = self.lock();
        let mut series: Vec<_> = inner
            .matching(select)
            .map(|series| (series.labels.clone(), in_range(&series.samples, select)))
            .filter(|(_, samples)| !samples.is_empty())
            .map(|(labels, samples)| SelectedSeries { labels, samples: Arc::new(samples) })
            .collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let samples: usize = series.iter().map(|s| s.samples.len_hint()).sum();
        budget.charge_bytes(samples as u64 * 16)?;
        Ok(SeriesSet { series })
    }

    async fn label_names(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        budget.check()?;
        let inner = self.lock();
        let series = inner.selected(selects);
        Ok(sorted(series.iter().flat_map(|s| s.labels.iter()).map(|(name, _)| name.to_owned())))
    }

    async fn label_values(
        &self,
        name: &str,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        budget.check()?;
        let inner = self.lock();
        let series = inner.selected(selects);
        Ok(sorted(series.iter().filter_map(|s| s.labels.get(name)).map(str::to_owned)))
    }

    async fn metadata(&self, metric: Option<&str>) -> Result<MetricMetadata, StorageError> {
        let inner = self.lock();
        let wanted = |m: &&skopos_model::Metadata| metric.is_none_or(|name| m.metric == name);
        let mut found: Vec<_> = inner.metadata.iter().filter(wanted).cloned().collect();
        found.sort();
        Ok(found)
    }

    async fn oldest_sample_ms(&self) -> Result<Option<i64>, StorageError> {
        let inner = self.lock();
        Ok(inner.series.iter().flat_map(|one| one.samples.first()).map(|s| s.timestamp_ms).min())
    }

    async fn exemplars(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        budget.check()?;
        let inner = self.lock();
        let range = select.start_ms..=select.end_ms;
        let mut found: Vec<_> = inner
            .matching(select)
            .map(|series| SeriesExemplars {
                labels: series.labels.clone(),
                exemplars: series
                    .exemplars
                    .iter()
                    .filter(|e| range.contains(&e.timestamp_ms))
                    .cloned()
                    .collect(),
            })
            .filter(|found| !found.exemplars.is_empty())
            .collect();
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names.dedup();
    names
}
