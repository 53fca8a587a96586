//! What the head hands to the WAL: a batch that has been checked, numbered and made cumulative.
//!
//! Constraints: plain model types only, so that the codec can write them; applying a prepared
//! batch needs nothing but the batch, so that replay and live appends take the same path.

use skopos_model::{EventId, LogBatch, MetricBatch, Rejection, Timestamp, TraceBatch};

/// The answer of [`Head::prepare`](super::Head::prepare).
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// What is to be stored: to the WAL first, then to [`Head::apply`](super::Head::apply).
    pub batch: PreparedBatch,
    /// Samples, records or spans in `batch`.
    pub accepted: u64,
    /// What was refused, by reason and sender.
    pub rejected: Vec<Rejection>,
    /// What counts in series with the value `other`, by limit and sender.
    pub folded: Vec<Rejection>,
}

/// A checked batch as the WAL stores it.
#[derive(Clone, Debug, PartialEq)]
pub enum PreparedBatch {
    /// Samples, all cumulative. [`Temporality::Delta`](skopos_model::Temporality::Delta) on a
    /// series here means only "the sender counts in deltas": the values are sums already, and the
    /// newest of them is where the adding goes on after a replay.
    Metrics(MetricBatch),
    /// Log records. The n-th record, counted through all groups in order, has the id
    /// `EventId::new(record.time, first_sequence + n)`.
    Logs {
        /// Sequence number of the first record.
        first_sequence: u64,
        /// The records.
        batch: LogBatch,
    },
    /// Spans, numbered like log records, by start time.
    Traces {
        /// Sequence number of the first span.
        first_sequence: u64,
        /// The spans.
        batch: TraceBatch,
    },
}

impl PreparedBatch {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Metrics(batch) => batch.series.is_empty() && batch.metadata.is_empty(),
            Self::Logs { batch, .. } => batch.groups.iter().all(|g| g.records.is_empty()),
            Self::Traces { batch, .. } => batch.groups.iter().all(|g| g.spans.is_empty()),
        }
    }

    /// Samples, records or spans inside.
    pub fn len(&self) -> usize {
        match self {
            Self::Metrics(batch) => batch.sample_count(),
            Self::Logs { batch, .. } => batch.groups.iter().map(|g| g.records.len()).sum(),
            Self::Traces { batch, .. } => batch.groups.iter().map(|g| g.spans.len()).sum(),
        }
    }

    /// Ids of the events in order; none for metrics.
    pub fn event_ids(&self) -> Vec<EventId> {
        let ids = |first: u64, times: &mut dyn Iterator<Item = Timestamp>| {
            times.zip(first..).map(|(time, sequence)| EventId::new(time, sequence)).collect()
        };
        match self {
            Self::Metrics(_) => Vec::new(),
            Self::Logs { first_sequence, batch } => ids(
                *first_sequence,
                &mut batch.groups.iter().flat_map(|g| &g.records).map(|r| r.time),
            ),
            Self::Traces { first_sequence, batch } => ids(
                *first_sequence,
                &mut batch.groups.iter().flat_map(|g| &g.spans).map(|s| s.start_time),
            ),
        }
    }
}
