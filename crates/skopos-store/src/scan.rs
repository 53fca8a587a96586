//! The event-reading seam: log records and spans as Arrow batches.
//!
//! Batches follow one documented schema per signal ([`log_schema`], [`span_schema`]), whether the
//! rows come from the head or, later, from blocks, so that SQL, APIs and exports read one shape.
//! [`StoredLog`] and [`StoredSpan`] turn rows back into model types for callers that print them.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use async_trait::async_trait;
use skopos_model::event::{EventScan, EventSignal};
use skopos_model::storage::{ErrorKind, QueryBudget, StorageError};
use skopos_model::{EventId, LogRecord, Resource, Scope, Span, TimeRange, TraceId};

/// Reads events.
///
/// A read sees every batch whose append was acknowledged before the read began, and each event
/// once, whatever flush or compaction does meanwhile.
#[async_trait]
pub trait ScanEvents: Send + Sync {
    /// The events that satisfy [`EventScan`], in its order, at most `limit` of them, as batches of
    /// the signal's schema (or of the projected columns, in the order asked for).
    async fn scan(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError>;

    /// Shows the events that satisfy `scan` to `visitor`, each once, in no particular order: for
    /// counting and exporting, where the answer must not be held as a whole. The scan's limit does
    /// not apply, nor does its order, except to [`after`](EventScan::after).
    async fn visit(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
        visitor: Visitor,
    ) -> Result<(), StorageError>;

    /// All spans of a trace by start time, whatever their age. Empty when the trace is unknown.
    async fn trace(
        &self,
        id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError>;

    /// The events that satisfy `scan` now, and a follower that yields those that come later: in one
    /// step, without gap or repeat. The scan's range is for what is stored: what arrives later is
    /// news, however long ago it happened.
    async fn follow(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<(Vec<RecordBatch>, Follower), StorageError> {
        let (mut stored, follower) = self.follow_all(std::slice::from_ref(scan), budget).await?;
        Ok((stored.pop().unwrap_or_default(), follower))
    }

    /// Follows both signals at once, in their one order of arrival: what satisfies each of `scans`
    /// now, and one follower for what comes later of any. At most one scan per signal.
    async fn follow_all(
        &self,
        scans: &[EventScan],
        budget: &QueryBudget,
    ) -> Result<(Vec<Vec<RecordBatch>>, Follower), StorageError>;

    /// Names of the services that sent spans or logs in range, sorted.
    async fn services(&self, range: TimeRange) -> Result<Vec<String>, StorageError>;

    /// Names of the services that sent spans in range, sorted.
    async fn span_services(&self, range: TimeRange) -> Result<Vec<String>, StorageError>;

    /// Span names of a service with their kinds (lower case), sorted, each pair once.
    async fn operations(
        &self,
        service: &str,
        range: TimeRange,
    ) -> Result<Vec<(String, String)>, StorageError>;
}

/// Is shown events, on a blocking pool; `Break` ends the visit.
pub type Visitor =
    Box<dyn FnMut(&EventRows<'_>) -> Result<ControlFlow<()>, StorageError> + Send + 'static>;

/// Some events, as a visitor is shown them.
#[derive(Clone, Copy)]
pub struct EventRows<'a> {
    /// Which signal.
    pub signal: EventSignal,
    /// Columns of the signal's whole schema; those not asked for hold nothing.
    pub(crate) batch: &'a RecordBatch,
    /// The rows that satisfy the scan, ascending.
    pub(crate) rows: &'a [u32],
    pub(crate) projection: Option<&'a [String]>,
}

impl<'a> EventRows<'a> {
    /// Rows of a batch of the signal's whole schema; `projection` as a scan has it.
    pub fn projected(
        signal: EventSignal,
        batch: &'a RecordBatch,
        rows: &'a [u32],
        projection: Option<&'a [String]>,
    ) -> Self {
        Self { signal, batch, rows, projection }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as a batch of their own, with the columns the scan asked for.
    pub fn to_batch(&self) -> Result<RecordBatch, StorageError> {
        let batch = crate::event::scan::project(self.batch.clone(), self.projection)?;
        if self.rows.len() == batch.num_rows() {
            return Ok(batch);
        }
        let rows = UInt32Array::from(self.rows.to_vec());
        arrow_select::take::take_record_batch(&batch, &rows).map_err(|error| {
            StorageError::with_source(ErrorKind::Internal, "cannot take event rows", error)
        })
    }
}

/// Yields events as they are appended. Behind it is a bounded ring: ingest never waits for a slow
/// follower, the follower is told how many events it missed instead.
pub struct Follower {
    pub(crate) receiver: Box<dyn FollowSource>,
}

/// What a [`Follower`] yields.
#[derive(Clone, Debug)]
pub enum Followed {
    /// New events of a signal in order of arrival.
    Batch(EventSignal, RecordBatch),
    /// So many events of the followed signals, matching or not, went by unseen because the follower
    /// was too slow.
    Missed(u64),
}

/// The implementation behind a [`Follower`].
#[async_trait]
pub trait FollowSource: Send {
    /// The next events; `None` when the store is closing.
    async fn next(&mut self) -> Option<Followed>;
}

impl Follower {
    /// A follower over any source.
    pub fn new(source: impl FollowSource + 'static) -> Self {
        Self { receiver: Box::new(source) }
    }

    /// Waits for the next events; `None` when the store is closing.
    pub async fn next(&mut self) -> Option<Followed> {
        self.receiver.next().await
    }
}

/// A log record read back.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLog {
    /// Its id.
    pub id: EventId,
    /// The sender.
    pub resource: Arc<Resource>,
    /// The library within it.
    pub scope: Arc<Scope>,
    /// The record.
    pub record: LogRecord,
}

/// A span read back.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSpan {
    /// Its id.
    pub id: EventId,
    /// The sender.
    pub resource: Arc<Resource>,
    /// The library within it.
    pub scope: Arc<Scope>,
    /// The span.
    pub span: Span,
}
