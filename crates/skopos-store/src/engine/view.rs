//! What a read sees: the head that takes data in, the one that is being flushed, and the blocks.
//!
//! Constraints:
//! - Data is in exactly one of the three. A flush moves it in two steps, each a single exchange of
//!   the whole view: the head becomes the frozen one and gets an empty successor; the frozen one
//!   goes and its blocks come. A read takes one view and keeps it.
//! - In the order of a view (blocks as listed, frozen head, active head) what comes later was
//!   received later: of samples of one series and time the last one counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use arrow_array::RecordBatch;
use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{
    MetricMetadata, QueryBudget, SelectedSeries, SeriesExemplars, SeriesSelect, SeriesSet,
    StorageError,
};
use skopos_model::{Exemplar, Labels, TimeRange, Timestamp, TraceId};

use crate::block::{Block, BlockKind};
use crate::catalog::Version;
use crate::event::scan::{self, Source};
use crate::follow::FilteredFollower;
use crate::head::Head;
use crate::merge;
use crate::scan::{Follower, Visitor};

/// A head that takes nothing more.
pub(super) struct Frozen {
    pub(super) head: Arc<Head>,
    /// First WAL segment with nothing of it.
    pub(super) wal_from: u64,
}

/// Everything there is to read.
#[derive(Clone)]
pub(super) struct View {
    pub(super) active: Arc<Head>,
    pub(super) frozen: Option<Arc<Frozen>>,
    pub(super) blocks: Arc<Version>,
}

/// The current view.
pub(super) struct Views(RwLock<Arc<View>>);

impl Views {
    pub(super) fn new(active: Arc<Head>, blocks: Arc<Version>) -> Self {
        Self(RwLock::new(Arc::new(View { active, frozen: None, blocks })))
    }

    pub(super) fn current(&self) -> Arc<View> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Exchanges the view.
    pub(super) fn change(&self, change: impl FnOnce(&mut View)) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&current);
        change(&mut view);
        *current = Arc::new(view);
    }

    /// See [`ScanEvents::follow_all`](crate::scan::ScanEvents::follow_all).
    pub(super) fn follow(
        &self,
        scans: &[EventScan],
        budget: &QueryBudget,
    ) -> Result<(Vec<Vec<RecordBatch>>, Follower), StorageError> {
        scan::check_scans(scans)?;
        // Under the lock, so that no successor takes events in between the snapshot and the
        // subscription.
        let (view, (mut events, subscription)) = {
            let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&current), current.active.sources_and_subscription())
        };
        let mut stored = Vec::with_capacity(scans.len());
        for wanted in scans {
            let mut sources = view.stored_sources(wanted.signal, wanted.range)?;
            sources.append(events.of(wanted.signal));
            stored.push(scan::scan(sources, wanted, budget)?);
        }
        Ok((stored, Follower::new(FilteredFollower::new(scans, subscription))))
    }
}

impl View {
    /// The heads, oldest first.
    pub(super) fn heads(&self) -> impl Iterator<Item = &Arc<Head>> {
        self.frozen.iter().map(|frozen| &frozen.head).chain([&self.active])
    }

    /// Bytes in memory.
    pub(super) fn head_bytes(&self) -> u64 {
        self.heads().map(|head| head.size_bytes()).sum()
    }

    fn blocks(&self, kind: BlockKind) -> impl Iterator<Item = &Arc<Block>> {
        self.blocks.blocks.iter().filter(move |block| block.meta.kind == kind)
    }

    fn metric_blocks(&self, start_ms: i64, end_ms: i64) -> impl Iterator<Item = &Arc<Block>> {
        let overlaps = move |block: &&Arc<Block>| block.meta.overlaps_ms(start_ms, end_ms);
        self.blocks(BlockKind::Metrics).filter(overlaps)
    }

    pub(super) fn select(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<SeriesSet, StorageError> {
        let mut lists: Vec<Vec<SelectedSeries>> = Vec::new();
        for block in self.metric_blocks(select.start_ms, select.end_ms) {
            lists.push(block.metrics()?.select(select, budget)?);
        }
        for head in self.heads() {
            lists.push(head.select(select, budget)?.series);
        }
        lists.retain(|list| !list.is_empty());
        let series = match <[_; 1]>::try_from(lists) {
            Ok([only]) => only,
            Err(lists) => merge::series(lists),
        };
        Ok(SeriesSet { series })
    }

    pub(super) fn label_names(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        let mut names = BTreeSet::new();
        if selects.is_empty() {
            for block in self.blocks(BlockKind::Metrics) {
                names.extend(block.metrics()?.label_names().map(str::to_owned));
            }
        }
        self.each_in_blocks(selects, budget, |labels| {
            for (name, _) in labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        })?;
        for head in self.heads() {
            names.extend(head.label_names(selects, budget)?);
        }
        Ok(names.into_iter().collect())
    }

    pub(super) fn label_values(
        &self,
        name: &str,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        let mut values = BTreeSet::new();
        if selects.is_empty() {
            for block in self.blocks(BlockKind::Metrics) {
                values.extend(block.metrics()?.label_values(name).map(str::to_owned));
            }
        }
        self.each_in_blocks(selects, budget, |labels| {
            if let Some(value) = labels.get(name)
                && !values.contains(value)
            {
                values.insert(value.to_owned());
            }
        })?;
        for head in self.heads() {
            values.extend(head.label_values(name, selects, budget)?);
        }
        Ok(values.into_iter().collect())
    }

    fn each_in_blocks(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
        mut each: impl FnMut(&Labels),
    ) -> Result<(), StorageError> {
        for select in selects {
            for block in self.metric_blocks(select.start_ms, select.end_ms) {
                block.metrics()?.each_with_samples(select, budget, &mut each)?;
            }
        }
        Ok(())
    }

    pub(super) fn metadata(&self, metric: Option<&str>) -> Result<MetricMetadata, StorageError> {
        let mut all = BTreeSet::new();
        for block in self.blocks(BlockKind::Metrics) {
            let index = block.metrics()?;
            let wanted = index.metadata().iter().filter(|m| metric.is_none_or(|n| m.metric == n));
            all.extend(wanted.cloned());
        }
        for head in self.heads() {
            all.extend(head.metadata(metric));
        }
        Ok(all.into_iter().collect())
    }

    /// The time of the oldest sample in any block or head, as their bounds say.
    pub(super) fn oldest_sample_ms(&self) -> Option<i64> {
        let blocks = self.blocks(BlockKind::Metrics);
        let in_blocks = blocks.map(|block| Timestamp(block.meta.first_ns).as_millis());
        in_blocks.chain(self.heads().filter_map(|head| head.first_ms())).min()
    }

    pub(super) fn exemplars(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        let mut all: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        let mut add = |found: Vec<SeriesExemplars>| {
            for SeriesExemplars { labels, exemplars } in found {
                all.entry(labels).or_default().extend(exemplars);
            }
        };
        for block in self.metric_blocks(select.start_ms, select.end_ms) {
            add(block.metrics()?.exemplars(select, budget)?);
        }
        for head in self.heads() {
            add(head.exemplars(select, budget)?);
        }
        let merged = |(labels, mut exemplars)| {
            merge::exemplars(&mut exemplars);
            SeriesExemplars { labels, exemplars }
        };
        Ok(all.into_iter().map(merged).collect())
    }

    /// Events in blocks and in the frozen head.
    fn stored_sources(
        &self,
        signal: EventSignal,
        range: TimeRange,
    ) -> Result<Vec<Source>, StorageError> {
        let mut sources = Vec::new();
        for block in self.blocks(BlockKind::of(signal)).filter(|b| b.meta.overlaps(range)) {
            sources.extend(block.events()?.row_groups().map(Source::Block));
        }
        if let Some(frozen) = &self.frozen {
            sources.extend(frozen.head.sources(signal));
        }
        Ok(sources)
    }

    fn sources(&self, signal: EventSignal, range: TimeRange) -> Result<Vec<Source>, StorageError> {
        let mut sources = self.stored_sources(signal, range)?;
        sources.extend(self.active.sources(signal));
        Ok(sources)
    }

    pub(super) fn scan(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        scan::check_projection(scan)?;
        scan::scan(self.sources(scan.signal, scan.range)?, scan, budget)
    }

    pub(super) fn visit(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
        visitor: &mut Visitor,
    ) -> Result<(), StorageError> {
        scan::visit(self.sources(scan.signal, scan.range)?, scan, budget, visitor)
    }

    pub(super) fn trace(
        &self,
        id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        let mut sources = Vec::new();
        for block in self.blocks(BlockKind::Spans) {
            sources.extend(block.events()?.row_groups().map(Source::Block));
        }
        for head in self.heads() {
            sources.extend(head.trace_sources(id));
        }
        scan::trace(sources, id, budget)
    }

    pub(super) fn services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        let mut sources = self.sources(EventSignal::Logs, range)?;
        sources.extend(self.sources(EventSignal::Spans, range)?);
        scan::services(sources, range)
    }

    pub(super) fn span_services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        scan::services(self.sources(EventSignal::Spans, range)?, range)
    }

    pub(super) fn operations(
        &self,
        service: &str,
        range: TimeRange,
    ) -> Result<Vec<(String, String)>, StorageError> {
        scan::operations(self.sources(EventSignal::Spans, range)?, service, range)
    }
}
