//! The metric side of the head: which series there are, and their samples, exemplars, metadata.
//!
//! Constraints: the index lock is held for looking series up and for creating them, never while
//! samples are decoded; each series has a lock of its own. Series are found by the 128-bit hash of
//! their labels; a hash that belongs to other labels already (a collision) is noticed and the
//! second series is found by its labels instead. Where a series was found is noted on the label set
//! (its [`Hints`](skopos_model::Hints)), so that whoever comes with a clone of it finds it without:
//! series are never renumbered, and no two indexes share a number's owner.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use skopos_model::storage::{
    MetricMetadata, QueryBudget, SampleBuffer, SelectedSeries, SeriesExemplars, SeriesSelect,
    SeriesSet, StorageError,
};
use skopos_model::{
    Exemplar, HintOwner, Labels, METRIC_NAME, Metadata, MetricBatch, MetricType, Sample, SeriesId,
    SeriesSamples, Temporality,
};

use super::delta::DeltaSums;
use super::guard::Guard;
use super::order::{LabelOrder, Picked};
use super::postings::{Postings, SeriesRef};
use super::series::{Change, Series};
use super::{HeadConfig, HeadStats};
use crate::block::metrics::sort_key;

/// Distinct declarations kept per metric: a sender that puts something unbounded into help texts
/// must not fill the memory.
const MOST_DECLARATIONS: usize = 16;
/// Metrics whose declarations are kept.
const MOST_DESCRIBED: usize = 100_000;
/// How many series are looked at between two looks at the budget.
const BUDGET_STEP: usize = 1024;

/// All series of the head.
pub(crate) struct MetricHead {
    pub(super) guard: Arc<Guard>,
    index: RwLock<Index>,
    order: LabelOrder,
    deltas: DeltaSums,
    metadata: RwLock<BTreeMap<String, BTreeSet<Metadata>>>,
    totals: Totals,
    chunk_samples: usize,
    exemplars_per_series: usize,
}

/// Series with a newest sample before these times are not carried over, milliseconds.
pub(crate) struct CarriedFrom {
    /// For series whose senders count in deltas: their sums go on.
    pub(crate) delta_ms: i64,
    /// For those whose newest sample says that they have ended.
    pub(crate) stale_ms: i64,
    /// For all others.
    pub(crate) other_ms: i64,
}

impl CarriedFrom {
    fn carries(&self, series: &Series) -> bool {
        let newest_ms = series.newest_ms();
        if newest_ms == i64::MIN {
            return false;
        }
        match series.is_delta() {
            true => newest_ms >= self.delta_ms,
            false if newest_ms >= self.stale_ms => newest_ms >= self.other_ms,
            false => newest_ms >= self.other_ms && !series.has_ended(),
        }
    }
}

struct Index {
    /// Whose the hints are that lead here.
    owner: HintOwner,
    by_id: HashMap<SeriesId, SeriesRef, BuildHasherDefault<IdHasher>>,
    /// Series whose id belongs to another one.
    collided: HashMap<Labels, SeriesRef>,
    series: Vec<Arc<Series>>,
    postings: Postings,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            owner: HintOwner::unique(),
            by_id: HashMap::default(),
            collided: HashMap::new(),
            series: Vec::new(),
            postings: Postings::default(),
        }
    }
}

struct Totals {
    samples: AtomicI64,
    chunks: AtomicI64,
    chunk_bytes: AtomicI64,
    bytes: AtomicI64,
    /// Time of the earliest sample applied, `i64::MAX` before the first.
    first_ms: AtomicI64,
}

impl Default for Totals {
    fn default() -> Self {
        let zero = || AtomicI64::new(0);
        Self {
            samples: zero(),
            chunks: zero(),
            chunk_bytes: zero(),
            bytes: zero(),
            first_ms: AtomicI64::new(i64::MAX),
        }
    }
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
    pub(crate) fn new(config: &HeadConfig, guard: Arc<Guard>) -> Self {
        Self {
            guard,
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
        let created = self.store(batch);
        if created > 0 {
            self.guard.note_created(created);
        }
    }

    /// Stores a prepared batch and returns how many series it brought into being.
    fn store(&self, batch: MetricBatch) -> u64 {
        self.add_metadata(batch.metadata);
        let (mut change, mut first_ms) = (Change::default(), i64::MAX);
        let mut unknown = Vec::new();
        let index = self.read();
        index.touch(&batch.series);
        for samples in batch.series {
            match index.look_up(&samples.labels) {
                Ok(series) => change += self.add(series, samples, &mut first_ms),
                Err(id) => unknown.push((id, samples)),
            }
        }
        drop(index);
        let mut created = 0;
        if !unknown.is_empty() {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let before = index.series.len();
            for (id, samples) in &unknown {
                change += index.create(*id, &samples.labels);
            }
            created = index.series.len() - before;
            drop(index);
            let index = self.read();
            for (_, samples) in unknown {
                if let Some(series) = index.find(&samples.labels) {
                    change += self.add(series, samples, &mut first_ms);
                }
            }
        }
        self.totals.add(change);
        self.totals.first_ms.fetch_min(first_ms, Ordering::Relaxed);
        created as u64
    }

    fn add(&self, series: &Series, samples: SeriesSamples, first_ms: &mut i64) -> Change {
        *first_ms = samples.samples.iter().map(|s| s.timestamp_ms).fold(*first_ms, i64::min);
        let mut change = series.append(&samples.samples, self.chunk_samples);
        if samples.temporality == Temporality::Delta {
            series.set_delta();
        }
        if !samples.exemplars.is_empty() {
            change += series.add_exemplars(samples.exemplars, self.exemplars_per_series);
        }
        change
    }

    /// What the next head must know: see [`Head::carry_over`](super::Head::carry_over).
    pub(crate) fn carry_over(&self, oldest: &CarriedFrom) -> MetricBatch {
        let all = self.read().series.clone();
        let carried = all.iter().filter(|series| oldest.carries(series));
        let series = carried
            .map(|series| SeriesSamples {
                labels: series.labels.clone(),
                samples: series.to_carry(),
                temporality: match series.is_delta() {
                    true => Temporality::Delta,
                    false => Temporality::Cumulative,
                },
                start_timestamp_ms: None,
                exemplars: Vec::new(),
            })
            .filter(|series| !series.samples.is_empty())
            .collect();
        MetricBatch { series, metadata: self.metadata(None) }
    }

    /// Whether there are series that would not be carried over.
    pub(crate) fn holds_ended(&self, oldest: &CarriedFrom) -> bool {
        let series = self.read().series.clone();
        series.iter().any(|series| !oldest.carries(series))
    }

    /// Stores what a predecessor has carried over, marked as such.
    pub(crate) fn adopt(&self, carried: MetricBatch) {
        self.store(carried.clone());
        let index = self.read();
        let mut change = Change::default();
        for SeriesSamples { labels, samples, .. } in carried.series {
            if let Some(series) = index.find(&labels) {
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
                match map.get(&metadata.metric) {
                    Some(set) => set.contains(&metadata) || set.len() >= MOST_DECLARATIONS,
                    None => map.len() >= MOST_DESCRIBED,
                }
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

    /// Whether a series of this name only ever grows: as declared, else as its name says.
    pub(crate) fn is_counter(&self, name: &str) -> bool {
        use MetricType::{Counter, Histogram, Summary, Unknown};
        let map = self.metadata.read().unwrap_or_else(PoisonError::into_inner);
        let declared = |name: &str| {
            let known = map.get(name).into_iter().flatten().map(|m| m.metric_type);
            known.filter(|t| *t != Unknown).collect::<Vec<_>>()
        };
        let of_name = declared(name);
        if !of_name.is_empty() {
            return of_name.iter().all(|t| *t == Counter);
        }
        let Some((base, suffix)) = name.rsplit_once('_') else { return false };
        let of_base = declared(base);
        match suffix {
            "total" => of_base.iter().all(|t| *t == Counter),
            "bucket" | "count" | "sum" => of_base.iter().all(|t| matches!(t, Histogram | Summary)),
            _ => false,
        }
    }

    /// Time of the earliest sample, also of those replaced since; `None` when there is none.
    pub(crate) fn first_ms(&self) -> Option<i64> {
        let first = self.totals.first_ms.load(Ordering::Relaxed);
        (first != i64::MAX).then_some(first)
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

    /// Hands out the series that satisfy one of the selects and may have samples in its range.
    pub(crate) fn each_with_samples(
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
    /// The series of these labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<&Series> {
        self.look_up(labels).ok()
    }

    /// The series of these labels, or the id that none has yet.
    pub(crate) fn look_up(&self, labels: &Labels) -> Result<&Series, SeriesId> {
        self.0.look_up(labels).map(|series| &**series)
    }

    /// Reads the series of a batch, so that the waits for memory overlap.
    pub(crate) fn touch(&self, batch: &[SeriesSamples]) {
        self.0.touch(batch);
    }

    /// Series known.
    pub(crate) fn series_count(&self) -> usize {
        self.0.series.len()
    }

    /// The series of a metric, in the order in which they came into being.
    pub(crate) fn metric_series(&self, metric: &str) -> &[SeriesRef] {
        self.0.postings.of_value(METRIC_NAME, metric)
    }

    /// The labels of a series by its number.
    pub(crate) fn labels(&self, at: SeriesRef) -> Option<&Labels> {
        self.0.series.get(at as usize).map(|series| &series.labels)
    }

    /// The series of these numbers.
    pub(crate) fn series(&self, refs: &[SeriesRef]) -> Vec<Arc<Series>> {
        refs.iter().filter_map(|at| self.0.series.get(*at as usize).cloned()).collect()
    }

    /// All series.
    pub(crate) fn all_series(&self) -> Vec<Arc<Series>> {
        self.0.series.clone()
    }

    /// The label index.
    pub(crate) fn postings(&self) -> &Postings {
        &self.0.postings
    }

    /// The newest sample of a series that is not a stale marker.
    pub(crate) fn last_value(&self, labels: &Labels) -> Option<Sample> {
        self.0.find(labels)?.last_value()
    }
}

impl Index {
    /// Reads the series that hints lead to. One after another each would wait for the memory: the
    /// locks between them keep the processor from reading ahead.
    fn touch(&self, batch: &[SeriesSamples]) {
        let hints = batch.iter().filter_map(|one| one.labels.hints().place.get(self.owner));
        let series = hints.filter_map(|number| self.series.get(number as usize));
        let newest = series.fold(i64::MIN, |newest, series| newest.max(series.newest_ms()));
        std::hint::black_box(newest);
    }

    fn find(&self, labels: &Labels) -> Option<&Arc<Series>> {
        self.look_up(labels).ok()
    }

    fn look_up(&self, labels: &Labels) -> Result<&Arc<Series>, SeriesId> {
        let hint = labels.hints().place.get(self.owner);
        match hint.and_then(|number| self.series.get(number as usize)) {
            Some(series) => {
                debug_assert!(series.labels == *labels);
                Ok(series)
            }
            None => {
                let id = labels.series_id();
                self.find_by(id, labels).ok_or(id)
            }
        }
    }

    fn find_by(&self, id: SeriesId, labels: &Labels) -> Option<&Arc<Series>> {
        let mut number = *self.by_id.get(&id)?;
        let mut series = self.series.get(number as usize)?;
        if series.labels != *labels {
            number = *self.collided.get(labels)?;
            series = self.series.get(number as usize)?;
        }
        labels.hints().place.set(self.owner, number);
        Some(series)
    }

    fn create(&mut self, id: SeriesId, labels: &Labels) -> Change {
        // A batch may name a new series twice.
        let (Ok(number), None) = (SeriesRef::try_from(self.series.len()), self.find_by(id, labels))
        else {
            return Change::default();
        };
        let before = self.postings.size_bytes();
        let series = Arc::new(Series::new(labels.clone()));
        match self.by_id.entry(id) {
            Entry::Vacant(entry) => drop(entry.insert(number)),
            Entry::Occupied(_) => drop(self.collided.insert(labels.clone(), number)),
        }
        let bytes = series.base_bytes() + 64;
        self.postings.add(number, labels);
        self.series.push(series);
        labels.hints().place.set(self.owner, number);
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
            // By the hint, by the hint of another index, and without.
            let unhinted = labels.to_builder().build();
            assert_eq!(index.find(labels).unwrap().labels, *labels);
            labels.hints().place.set(Index::default().owner, 0);
            for labels in [labels, &unhinted] {
                assert_eq!(index.find_by(SeriesId(7), labels).unwrap().labels, *labels);
                assert_eq!(index.find(labels).unwrap().labels, *labels);
            }
        }
        assert!(index.find_by(SeriesId(7), &Labels::from_pairs([("l", "d")])).is_none());
    }
}
