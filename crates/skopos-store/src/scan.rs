//! The event-reading seam: log records and spans as Arrow batches.
//!
//! Batches follow one documented schema per signal ([`log_schema`], [`span_schema`]), whether the
//! rows come from the head or, later, from blocks, so that SQL, APIs and exports read one shape.
//! [`StoredLog`] and [`StoredSpan`] turn rows back into model types for callers that print them.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use skopos_model::event::EventScan;
use skopos_model::storage::{QueryBudget, StorageError};
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

    /// All spans of a trace by start time, whatever their age. Empty when the trace is unknown.
    async fn trace(
        &self,
        id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError>;

    /// The events that satisfy `scan` now, and a follower that yields those that come later: in one
    /// step, without gap or repeat.
    async fn follow(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<(Vec<RecordBatch>, Follower), StorageError>;

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

/// Yields events as they are appended. Behind it is a bounded ring: ingest never waits for a slow
/// follower, the follower is told how many events it missed instead.
pub struct Follower {
    pub(crate) receiver: Box<dyn FollowSource>,
}

/// What a [`Follower`] yields.
#[derive(Clone, Debug)]
pub enum Followed {
    /// New events in order of arrival.
    Batch(RecordBatch),
    /// So many matching-or-not events went by unseen because the follower was too slow.
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
