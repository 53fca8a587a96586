//! Conformance suites: what every implementation of a storage seam must pass.
//!
//! A suite takes a function that makes a fresh, empty store on a given clock, so that each case
//! stands alone. It panics with what went wrong.
//!
//! ```
//! use skopos_testkit::{MemStore, conformance};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! conformance::state_suite(async |clock| MemStore::new(clock)).await;
//! # });
//! ```

mod append;
pub mod compare;
mod scan;
mod select;
mod state;

pub use append::append_suite;
pub use scan::{conditions, scan_suite};
pub use select::select_suite;
pub use state::state_suite;

use skopos_model::storage::{Append, SelectSeries, StateLog};
use skopos_model::{
    Appended, LogBatch, MetricBatch, SeriesSamples, SignalBatch, Timestamp, TraceBatch,
};
use skopos_store::scan::ScanEvents;

/// A store that implements every seam.
pub trait FullStore: Append + SelectSeries + ScanEvents + StateLog {}

impl<S: Append + SelectSeries + ScanEvents + StateLog> FullStore for S {}

/// The time at which suites take place, milliseconds: the virtual clock's default.
const NOW_MS: i64 = 1_700_000_000_000;
const NOW: Timestamp = Timestamp::from_millis(NOW_MS);

async fn append_series(store: &impl Append, series: Vec<SeriesSamples>) -> Appended {
    let batch = MetricBatch { series, metadata: vec![] };
    store.append(SignalBatch::Metrics(batch)).await.expect("append of metrics")
}

async fn append_logs(store: &impl Append, batch: LogBatch) -> Appended {
    store.append(SignalBatch::Logs(batch)).await.expect("append of logs")
}

async fn append_traces(store: &impl Append, batch: TraceBatch) -> Appended {
    store.append(SignalBatch::Traces(batch)).await.expect("append of spans")
}
