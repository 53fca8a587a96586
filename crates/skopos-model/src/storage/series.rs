//! Reading metrics: [`SelectSeries`].

use std::sync::Arc;

use async_trait::async_trait;

use super::budget::QueryBudget;
use super::error::StorageError;
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::LabelMatcher;
use crate::metric::{Exemplar, Metadata, Sample, SampleValue};

/// A request for series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSelect {
    /// All must hold.
    pub matchers: Vec<LabelMatcher>,
    /// First millisecond wanted, inclusive.
    pub start_ms: i64,
    /// Last millisecond wanted, inclusive.
    pub end_ms: i64,
    /// What the samples are for; a store may use this to fetch less, never to answer differently.
    pub hints: SelectHints,
}

/// What a query will do with the samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelectHints {
    /// Step of the range query in milliseconds, 0 for instant queries.
    pub step_ms: i64,
    /// The function applied, such as `rate`; empty when none.
    pub func: String,
    /// The range selector's width in milliseconds, 0 for instant selectors.
    pub range_ms: i64,
    /// The labels that can show in the answer; `None` when all can. Series stay apart whatever it
    /// says.
    pub projection: Option<Projection>,
}

/// Some labels, or all but some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The labels named.
    pub labels: Vec<String>,
    /// Whether the labels named are those that matter, or those that do not.
    pub include: bool,
}

/// Series in label order.
#[derive(Clone, Default)]
pub struct SeriesSet {
    /// The series. Every label set occurs once; series without a sample in range may occur.
    pub series: Vec<SelectedSeries>,
}

/// One fetched series: labels and still encoded samples.
#[derive(Clone)]
pub struct SelectedSeries {
    /// Which series.
    pub labels: Labels,
    /// Its samples.
    pub samples: Arc<dyn SampleSource>,
}

/// Encoded samples of one series, decoded on demand on a thread that may work but not wait.
pub trait SampleSource: Send + Sync {
    /// Appends the samples of `[start_ms, end_ms]` (both inclusive) in ascending time order, each
    /// time once. Stale markers are included, bit-exact. Damaged bytes are
    /// [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt).
    fn decode(
        &self,
        start_ms: i64,
        end_ms: i64,
        out: &mut SampleBuffer,
    ) -> Result<(), StorageError>;

    /// About how many samples there are; for sizing buffers.
    fn len_hint(&self) -> usize;
}

/// Decoded samples of one series, column by column.
///
/// `values[i]` belongs to `timestamps[i]`. A histogram sample sits in `histograms` under its index
/// `i`, and `values[i]` is then its `sum`, so that the stale check is the same for both kinds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleBuffer {
    /// Milliseconds, strictly ascending.
    pub timestamps: Vec<i64>,
    /// Values.
    pub values: Vec<f64>,
    /// Histograms by sample index, ascending. Empty for float series.
    pub histograms: Vec<(usize, Arc<Histogram>)>,
    /// Start timestamps, milliseconds: since when each value has been counted, 0 when that is not
    /// known. Empty when it is known of none, else as long as `timestamps`.
    pub starts: Vec<i64>,
}

impl SampleBuffer {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Forgets the samples and keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
    }

    /// Appends a sample later than all before it, counted since `start_ms`.
    pub fn push_started(&mut self, timestamp_ms: i64, start_ms: i64, value: &SampleValue) {
        self.push(timestamp_ms, value);
        if start_ms != 0 {
            self.starts.resize(self.timestamps.len(), 0);
            if let Some(last) = self.starts.last_mut() {
                *last = start_ms;
            }
        }
    }

    /// Appends a sample later than all before it.
    pub fn push(&mut self, timestamp_ms: i64, value: &SampleValue) {
        debug_assert!(self.timestamps.last().is_none_or(|&last| last < timestamp_ms));
        match value {
            SampleValue::Float(value) => self.values.push(*value),
            SampleValue::Histogram(histogram) => {
                self.histograms.push((self.timestamps.len(), Arc::clone(histogram)));
                self.values.push(histogram.sum);
            }
        }
        self.timestamps.push(timestamp_ms);
        if !self.starts.is_empty() {
            self.starts.push(0);
        }
    }

    /// The histogram at sample index `i`, when that sample is one.
    pub fn histogram(&self, i: usize) -> Option<&Arc<Histogram>> {
        let at = self.histograms.binary_search_by_key(&i, |(index, _)| *index).ok()?;
        self.histograms.get(at).map(|(_, h)| h)
    }
}

impl SampleSource for Vec<Sample> {
    /// Plain samples in ascending time order: the simplest source, for tests and small results.
    fn decode(
        &self,
        start_ms: i64,
        end_ms: i64,
        out: &mut SampleBuffer,
    ) -> Result<(), StorageError> {
        let from = self.partition_point(|s| s.timestamp_ms < start_ms);
        for sample in self[from..].iter().take_while(|s| s.timestamp_ms <= end_ms) {
            out.push(sample.timestamp_ms, &sample.value);
        }
        Ok(())
    }

    fn len_hint(&self) -> usize {
        self.len()
    }
}

/// Metadata of one metric with all distinct declarations seen.
pub type MetricMetadata = Vec<Metadata>;

/// Exemplars of one series in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// Reads metrics.
///
/// A read sees every batch whose append was acknowledged before the read began, and each sample
/// once, whatever flush or compaction does meanwhile. The fetch is async; decoding what it
/// returned is not.
#[async_trait]
pub trait SelectSeries: Send + Sync {
    /// The series that satisfy all matchers and may have samples in range, in label order.
    async fn select(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<SeriesSet, StorageError>;

    /// Names of all labels of the series selected by any of `selects` (of all series when empty),
    /// sorted.
    async fn label_names(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError>;

    /// Values of label `name` in the series selected by any of `selects` (of all series when
    /// empty), sorted.
    async fn label_values(
        &self,
        name: &str,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError>;

    /// Metadata of one metric, or of all, sorted by metric.
    async fn metadata(&self, metric: Option<&str>) -> Result<MetricMetadata, StorageError>;

    /// The time of the oldest sample, milliseconds since the epoch; `None` when there is none. No sample is older; it may
    /// be earlier than that of any sample that is left, where samples were deleted, or came with older exemplars.
    async fn oldest_sample_ms(&self) -> Result<Option<i64>, StorageError>;

    /// Exemplars of the selected series within the range, in label order.
    async fn exemplars(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, StorageError>;
}
