//! The metric side of the head: which series there are, and their samples, exemplars, metadata.
//!
//! Constraints: the index lock is held for looking series up and for creating them, never while
//! samples are decoded; each series has a lock of its own. Series are found by the 128-bit hash of
//! their labels; a hash that belongs to other labels already (a collision) is noticed and the
//! second series is found by its labels instead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use skopos_model::storage::{
    MetricMetadata, QueryBudget, SampleBuffer, SelectedSeries, SeriesExemplars, SeriesSelect,
    SeriesSet, StorageError,
};
use skopos_model::{
    Exemplar, Labels, Metadata, MetricBatch, Sample, SeriesId, SeriesSamples, Temporality,
};

use super::delta::DeltaSums;
use super::order::{LabelOrder, Picked};
use super::postings::{Postings, SeriesRef};
use super::series::{Change, Series};
use super::{HeadConfig, HeadStats};
use crate::block::metrics::sort_key;

/// Distinct declarations kept per metric: a sender that puts something unbounded into help texts
/// must not fill the memory.
const MOST_DECLARATIONS: usize = 16;
/// How many series are looked at between two looks at the budget.
const BUDGET_STEP: usize = 1024;

/// All series of the head.
pub(crate) struct MetricHead {
    index: RwLock<Index>,
    order: LabelOrder,
    deltas: DeltaSums,
    metadata: RwLock<BTreeMap<String, BTreeSet<Metadata>>>,
    totals: Totals,
    chunk_samples: usize,
    exemplars_per_series: usize,
}

#[derive(Default)]
struct Index {
    by_id: HashMap<SeriesId, SeriesRef, BuildHasherDefault<IdHasher>>,
    /// Series whose id belongs to another one.
    collided: HashMap<Labels, SeriesRef>,
    series: Vec<Arc<Series>>,
    postings: Postings,
}

#[derive(Default)]
struct Totals {
    samples: AtomicI64,
    chunks: AtomicI64,
    chunk_bytes: AtomicI64,
    bytes: AtomicI64,
}

impl Totals {
    fn add(&self, change: Change) {
        for (total, n) in [
            (&self.samples, change.samples),
            (&self.chunks, change.chunks),
            (&self.chunk_bytes, change.chunk_bytes),
            (&self.bytes, change.bytes),
        ] {
            if n != 0 {
                total.fetch_add(n, Ordering::Relaxed);
            }
        }
    }
}

impl MetricHead {
    pub(crate) fn new(config: &HeadConfig) -> Self {
        Self {
            index: RwLock::default(),
            order: LabelOrder::default(),
            deltas: DeltaSums::default(),
            metadata: RwLock::default(),
            totals: Totals::default(),
            chunk_samples: config.chunk_samples.max(1),
            exemplars_per_series: config.exemplars_per_series,
        }
    }

    /// Stores a prepared batch.
    pub(crate) fn apply(&self, batch: MetricBatch) {
        self.add_metadata(batch.metadata);
        let ids: Vec<SeriesId> = batch.series.iter().map(|s| s.labels.series_id()).collect();
        let unknown: Vec<usize> = {
            let index = self.read();
            (0..ids.len())
                .filter(|&i| index.find(ids[i], &batch.series[i].labels).is_none())
                .collect()
        };
        let mut change = Change::default();
        if !unknown.is_empty() {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for i in unknown {
                change += index.create(ids[i], &batch.series[i].labels);
            }
        }
        let index = self.read();
        for (id, samples) in ids.into_iter().zip(batch.series) {
            let Some(series) = index.find(id, &samples.labels) else { continue };
            change += series.append(&samples.samples, self.chunk_samples);
            if !samples.exemplars.is_empty() {
                change += series.add_exemplars(samples.exemplars, self.exemplars_per_series);
            }
        }
        drop(index);
        self.totals.add(change);
    }

    /// What the next head must know: see [`Head::carry_over`](super::Head::carry_over).
    pub(crate) fn carry_over(&self, oldest_ms: i64) -> MetricBatch {
        let series = self.read().series.clone();
        let lately =
            series.iter().filter(|s| s.newest_ms() != i64::MIN && s.newest_ms() >= oldest_ms);
        let series = lately
            .filter_map(|series| {
                let samples = series.to_carry();
                (!samples.is_empty()).then(|| SeriesSamples {
                    labels: series.labels.clone(),
                    samples,
                    temporality: Temporality::Cumulative,
                    start_timestamp_ms: None,
                    exemplars: Vec::new(),
                })
            })
            .collect();
        MetricBatch { series, metadata: self.metadata(None) }
    }

    /// Stores what a predecessor has carried over, marked as such.
    pub(crate) fn adopt(&self, carried: MetricBatch) {
        self.apply(carried.clone());
        let index = self.read();
        let mut change = Change::default();
        for SeriesSamples { labels, samples, .. } in carried.series {
            if let Some(series) = index.find(labels.series_id(), &labels) {
                change += series.set_carried(samples);
            }
        }
        drop(index);
        self.totals.add(change);
    }

    /// See [`Head::each_series_for_block`](super::Head::each_series_for_block).
    pub(crate) fn each_for_block(
        &self,
        mut each: impl FnMut(&Labels, &SampleBuffer, &[Exemplar]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut series = self.read().series.clone();
        series.sort_by(|a, b| sort_key(&a.labels).cmp(&sort_key(&b.labels)));
        let mut samples = SampleBuffer::default();
        for one in series {
            let exemplars = one.for_block(&mut samples)?;
            each(&one.labels, &samples, &exemplars)?;
        }
        Ok(())
    }

    fn add_metadata(&self, all: Vec<Metadata>) {
        for metadata in all {
            let known = {
                let map = self.metadata.read().unwrap_or_else(PoisonError::into_inner);
                map.get(&metadata.metric)
                    .is_some_and(|set| set.contains(&metadata) || set.len() >= MOST_DECLARATIONS)
            };
            if known {
                continue;
            }
            let size = metadata.help.len() + metadata.metric.len() * 2 + 128;
            self.totals.add(Change { bytes: size as i64, ..Change::default() });
            let mut map = self.metadata.write().unwrap_or_else(PoisonError::into_inner);
            map.entry(metadata.metric.clone()).or_default().insert(metadata);
        }
    }

    pub(crate) fn deltas(&self) -> &DeltaSums {
        &self.deltas
    }

    /// For asking about many series at once.
    pub(crate) fn lookup(&self) -> Lookup<'_> {
        Lookup(self.read())
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.totals.bytes.load(Ordering::Relaxed).max(0) as u64
    }

    pub(crate) fn fill_stats(&self, stats: &mut HeadStats) {
        let get = |total: &AtomicI64| total.load(Ordering::Relaxed).max(0) as u64;
        stats.series = self.read().series.len() as u64;
        stats.samples = get(&self.totals.samples);
        stats.chunks = get(&self.totals.chunks);
        stats.chunk_bytes = get(&self.totals.chunk_bytes);
        stats.metric_bytes = self.size_bytes();
    }

    pub(crate) fn select(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<SeriesSet, StorageError> {
        let mut series = Vec::new();
        for chunk in self.matching(select, budget)?.chunks(BUDGET_STEP) {
            let mut bytes = 0;
            for one in chunk {
                let Some(snapshot) = one.snapshot(select.start_ms, select.end_ms) else { continue };
                bytes += snapshot.size_bytes() + size_of::<SelectedSeries>();
                let samples = Arc::new(snapshot);
                series.push(SelectedSeries { labels: one.labels.clone(), samples });
            }
            budget.charge_bytes(bytes as u64)?;
        }
        Ok(SeriesSet { series })
    }

    pub(crate) fn label_names(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        let mut names = BTreeSet::new();
        if selects.is_empty() {
            names.extend(self.read().postings.names().map(str::to_owned));
        }
        self.each_with_samples(selects, budget, |series| {
            for (name, _) in series.labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        })?;
        Ok(names.into_iter().collect())
    }

    pub(crate) fn label_values(
        &self,
        name: &str,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        let mut values = BTreeSet::new();
        if selects.is_empty() {
            values.extend(self.read().postings.values(name).map(str::to_owned));
        }
        self.each_with_samples(selects, budget, |series| {
            if let Some(value) = series.labels.get(name)
                && !values.contains(value)
            {
                values.insert(value.to_owned());
            }
        })?;
        Ok(values.into_iter().collect())
    }

    pub(crate) fn metadata(&self, metric: Option<&str>) -> MetricMetadata {
        let map = self.metadata.read().unwrap_or_else(PoisonError::into_inner);
        match metric {
            Some(metric) => map.get(metric).into_iter().flatten().cloned().collect(),
            None => map.values().flatten().cloned().collect(),
        }
    }

    pub(crate) fn exemplars(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        let all = self
            .matching(select, budget)?
            .into_iter()
            .map(|series| SeriesExemplars {
                labels: series.labels.clone(),
                exemplars: series.exemplars(select.start_ms, select.end_ms),
            })
            .filter(|found| !found.exemplars.is_empty())
            .collect();
        Ok(all)
    }

    /// The series that satisfy the matchers, in label order.
    fn matching(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<Arc<Series>>, StorageError> {
        budget.check()?;
        let index = self.read();
        let labels_of = |r: SeriesRef| &index.series[r as usize].labels;
        let refs =
            index.postings.select(&select.matchers, index.series.len(), labels_of, budget)?;
        let all = self.order.wants_all(&refs, index.series.len()).then(|| index.series.clone());
        let mut picked: Picked =
            refs.into_iter().map(|r| (r, Arc::clone(&index.series[r as usize]))).collect();
        drop(index);
        self.order.sort(&mut picked, all.as_deref());
        Ok(picked.into_iter().map(|(_, series)| series).collect())
    }

    fn each_with_samples(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
        mut each: impl FnMut(&Series),
    ) -> Result<(), StorageError> {
        for select in selects {
            for chunk in self.matching(select, budget)?.chunks(BUDGET_STEP) {
                budget.check()?;
                chunk
                    .iter()
                    .filter(|s| s.snapshot(select.start_ms, select.end_ms).is_some())
                    .for_each(|series| each(series));
            }
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Read access to the index for a while.
pub(crate) struct Lookup<'a>(RwLockReadGuard<'a, Index>);

impl Lookup<'_> {
    /// Time of a series' newest sample; `i64::MIN` when it has none or is unknown.
    pub(crate) fn newest_ms(&self, labels: &Labels) -> i64 {
        self.0.find(labels.series_id(), labels).map_or(i64::MIN, |series| series.newest_ms())
    }

    /// The newest sample of a series that is not a stale marker.
    pub(crate) fn last_value(&self, labels: &Labels) -> Option<Sample> {
        self.0.find(labels.series_id(), labels)?.last_value()
    }
}

impl Index {
    fn find(&self, id: SeriesId, labels: &Labels) -> Option<&Arc<Series>> {
        let series = self.series.get(*self.by_id.get(&id)? as usize)?;
        if series.labels == *labels {
            return Some(series);
        }
        self.series.get(*self.collided.get(labels)? as usize)
    }

    fn create(&mut self, id: SeriesId, labels: &Labels) -> Change {
        // A batch may name a new series twice.
        let (Ok(number), None) = (SeriesRef::try_from(self.series.len()), self.find(id, labels))
        else {
            return Change::default();
        };
        let before = self.postings.size_bytes();
        let series = Arc::new(Series::new(labels.clone()));
        match self.by_id.entry(id) {
            std::collections::hash_map::Entry::Vacant(entry) => drop(entry.insert(number)),
            std::collections::hash_map::Entry::Occupied(_) => {
                self.collided.insert(labels.clone(), number);
            }
        }
        let bytes = series.base_bytes() + 64;
        self.postings.add(number, labels);
        self.series.push(series);
        let grown = self.postings.size_bytes() - before;
        Change { bytes: (bytes + grown) as i64, ..Change::default() }
    }
}

/// Series ids are hashes already.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }

    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colliding_series_stay_apart() {
        let mut index = Index::default();
        let labels = ["a", "b", "c"].map(|v| Labels::from_pairs([("l", v)]));
        for labels in labels.iter().chain(&labels) {
            index.create(SeriesId(7), labels);
        }
        assert_eq!(index.series.len(), 3);
        for labels in &labels {
            assert_eq!(index.find(SeriesId(7), labels).unwrap().labels, *labels);
        }
        assert!(index.find(SeriesId(7), &Labels::from_pairs([("l", "d")])).is_none());
    }
}
