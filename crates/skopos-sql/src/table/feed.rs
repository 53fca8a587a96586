//! Batches from work on a blocking pool to a stream, a few at a time.

use std::ops::ControlFlow;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use skopos_model::storage::StorageError;
use tokio::sync::mpsc;

/// Batches under way: the work waits when nobody takes them.
const UNDER_WAY: usize = 2;

/// Rows of a batch; larger ones are cut, which copies nothing.
pub(super) const BATCH_ROWS: usize = 8192;

/// The end that work feeds. [`give`](Self::give) must not be used on a thread that others wait on.
#[derive(Clone)]
pub(super) struct Feed(mpsc::Sender<Result<RecordBatch>>);

/// A feed and what comes out of it.
pub(super) fn feed() -> (Feed, mpsc::Receiver<Result<RecordBatch>>) {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    (Feed(sender), receiver)
}

impl Feed {
    /// Hands on rows; `Break` when nobody reads any more.
    pub(super) fn give(&self, batch: &RecordBatch) -> ControlFlow<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = BATCH_ROWS.min(batch.num_rows() - from);
            if self.0.blocking_send(Ok(batch.slice(from, rows))).is_err() {
                return ControlFlow::Break(());
            }
            from += rows;
        }
        ControlFlow::Continue(())
    }

    /// Hands on why there are no more rows.
    pub(super) async fn fail(&self, error: DataFusionError) {
        // Nobody reading is nobody to tell.
        let _ = self.0.send(Err(error)).await;
    }
}

/// A failure of the store on its way through DataFusion.
pub(super) fn from_store(error: StorageError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A failure of DataFusion on its way through the store.
pub(super) fn through_store(error: DataFusionError) -> StorageError {
    StorageError::with_source(
        skopos_model::storage::ErrorKind::Internal,
        "rows of the store could not be made rows of a table",
        error,
    )
}
