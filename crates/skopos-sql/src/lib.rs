//! SQL over what Skopos has stored: tables `logs`, `spans` and `metrics`.
//!
//! [`SqlEngine`] plans and runs a query with DataFusion and yields Arrow batches ([`SqlRows`]);
//! [`encode`] writes them as JSON, CSV or Arrow; [`plain`] writes them as Parquet that other engines
//! read. This is the only crate that names DataFusion.
//!
//! What it is not: it knows no HTTP and stores nothing. It reads through
//! [`SelectSeries`](skopos_model::storage::SelectSeries) and
//! [`ScanEvents`](skopos_store::scan::ScanEvents) alone.
//!
//! What it promises:
//! - Only reading statements are answered; all others are refused by name.
//! - What the store can be told of a query it is told (`EXPLAIN` shows it): ranges of time, metric
//!   and labels, service, severity, ids, equal attributes, text, columns, `ORDER BY time LIMIT n`.
//!   What it cannot be told is right all the same.
//! - Every query is bounded in time, rows and bytes; reaching a bound is an error that names it.
//! - An error says where it is in the text, and what was probably meant.
//!
//! ```
//! use std::sync::Arc;
//! use skopos_model::storage::{Append, QueryBudget};
//! use skopos_model::{Clock, Labels, MetricBatch, SeriesSamples, SignalBatch, SystemClock};
//! use skopos_sql::{SqlEngine, SqlQuery};
//! use skopos_store::{Store, StoreConfig};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir()?;
//! let clock = Arc::new(SystemClock::new());
//! let store = Arc::new(Store::open(StoreConfig::new(folder.path()), clock.clone())?);
//! let up = Labels::from_pairs([("__name__", "up"), ("job", "shop")]);
//! let series = vec![SeriesSamples::single(up, clock.now().as_millis(), 1.0)];
//! store.append(SignalBatch::Metrics(MetricBatch { series, metadata: vec![] })).await?;
//!
//! let engine = SqlEngine::new(store.clone(), store.clone(), 1);
//! let sql = "SELECT labels->>'job' AS job, max(value) FROM metrics WHERE metric = 'up' GROUP BY job";
//! let rows = engine.run(SqlQuery::new(sql, QueryBudget::unlimited())).await?;
//! let batches = rows.collect().await?;
//! assert_eq!(batches[0].num_rows(), 1);
//! # drop(engine);
//! store.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

pub mod encode;
mod engine;
mod error;
mod json;
mod memory;
mod nearest;
pub mod plain;
mod statement;
mod table;

pub use engine::{SqlEngine, SqlQuery, SqlRows};
pub use error::{Position, SqlError};
pub use table::TABLES;

pub use datafusion::arrow::array::RecordBatch;
