//! The storage contracts: how the rest of the system writes, reads and persists.
//!
//! They are object-safe and coarse (one call per batch or per query), async without naming a
//! runtime, and every implementation runs the conformance suites of `skopos-testkit` beside its
//! in-memory oracle. The event-reading seam (`ScanEvents`) speaks a columnar format and therefore
//! stands in `skopos-store`.

mod budget;
mod error;
mod series;
mod state;

pub use budget::{BudgetLimit, MemoryPool, QueryBudget};
pub use error::{ErrorKind, StorageError};
pub use series::{
    MetricMetadata, Projection, SampleBuffer, SampleSource, SelectHints, SelectSeries,
    SelectedSeries, SeriesExemplars, SeriesSelect, SeriesSet,
};
pub use state::{CommitId, Committed, StateCommit, StateKind, StateLog, StateRecord};

use async_trait::async_trait;

use crate::batch::{Appended, SignalBatch};

/// Takes telemetry in.
///
/// `Ok` means: everything not listed in [`Appended::rejected`] is durable under the configured
/// sync policy *and* seen by the next query. `Err` means nothing is promised: the batch may or may
/// not be there after a restart, so a sender that repeats it loses nothing. Repeating a metric
/// batch changes nothing (same series, same timestamp: the last received value wins); repeated
/// events may occur twice. Dropping the future before it is ready promises nothing either.
#[async_trait]
pub trait Append: Send + Sync {
    /// Stores a batch.
    async fn append(&self, batch: SignalBatch) -> Result<Appended, StorageError>;
}
