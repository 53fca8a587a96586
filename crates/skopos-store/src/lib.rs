//! The storage engine of Skopos: metrics, log records and spans of one data folder, durable
//! before they are acknowledged and readable at once.
//!
//! It is made of a write-ahead log (`wal`), recent data in memory ([`head`]), everything older in
//! Parquet files (`block`) listed by a `catalog`, a log of its own for alert states and the like
//! (`state`), and the [`Store`] that puts them behind the contracts of
//! [`skopos_model::storage`] and [`scan`]. What each byte on disk means stands in `docs/formats/`.
//!
//! What it is not: it knows no query language, no protocol and no tenants; it does not decide what
//! a sender may send, except that a sample may be too old or too far in the future and that new
//! series have [limits](SeriesLimits). Appends are refused as a whole only when flushing cannot keep
//! up ([`StoreConfig::max_head_bytes`]) and when the disk is low ([`StoreConfig::disk_floor`]).
//!
//! What it promises:
//! - An acknowledged batch or commit is there after a crash, once, under [`SyncPolicy::EachCommit`].
//! - A batch that was refused cannot be read, not even for a moment.
//! - After a failed write or fsync a log takes nothing more until the store is opened anew; the
//!   other log and all reads go on. When the disk was full, it goes on by itself once there is
//!   space, in a new file.
//! - Bytes on disk are never trusted: damage is reported with file and offset, a newer version by
//!   its number; only the unacknowledged end of the last file is ever cut off.
//!
//! ```
//! use std::sync::Arc;
//! use skopos_model::storage::{Append, QueryBudget, SelectSeries, SeriesSelect};
//! use skopos_model::{
//!     Clock, LabelMatcher, Labels, MetricBatch, SeriesSamples, SignalBatch, SystemClock,
//! };
//! use skopos_store::{Store, StoreConfig};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir()?;
//! let clock = Arc::new(SystemClock::new());
//! let store = Store::open(StoreConfig::new(folder.path()), clock.clone())?;
//!
//! let up = Labels::from_pairs([("__name__", "up"), ("job", "shop")]);
//! let now_ms = clock.now().as_millis();
//! let batch = MetricBatch {
//!     series: vec![SeriesSamples::single(up.clone(), now_ms, 1.0)],
//!     metadata: vec![],
//! };
//! let receipt = store.append(SignalBatch::Metrics(batch)).await?;
//! assert_eq!(receipt.accepted, 1);
//!
//! let select = SeriesSelect {
//!     matchers: vec![LabelMatcher::equal("job", "shop")],
//!     start_ms: now_ms - 1000,
//!     end_ms: now_ms,
//!     hints: Default::default(),
//! };
//! let found = store.select(&select, &QueryBudget::unlimited()).await?;
//! assert_eq!(found.series[0].labels, up);
//! store.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
mod block;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
pub mod cardinality;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
mod catalog;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
pub mod codec;
mod config;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
mod engine;
mod error;
pub mod event;
mod follow;
pub mod fs;
pub mod head;
mod limits;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
mod merge;
mod recovery;
pub mod scan;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
pub mod snapshot;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
mod state;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
pub mod verify;
#[cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
mod wal;

pub use block::cache::CacheStats;
pub use block::fuzz_chunk;
pub use cardinality::SeriesRefusal;
pub use catalog::fuzz_catalog;
pub use config::{BlockConfig, DiskFloor, Retention, StoreConfig, SyncPolicy};
pub use engine::{
    BlockStats, DiskStats, FlushReport, LogStats, MaintenanceReport, Store, StoreHealth, StoreStats,
};
pub use error::StoreError;
pub use limits::{OnLimit, SeriesLimits};
pub use recovery::{RecoveryReport, ReplayProgress, TornTail};
pub use state::record::fuzz_state;
pub use wal::latency::LatencySnapshot;
