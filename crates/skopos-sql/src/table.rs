//! The tables: `logs`, `spans` and `metrics`.
//!
//! Constraints:
//! - A table answers what its rows are; filters, order and limit that reach it only spare work.
//!   A filter it takes as *exact* is its duty alone; all others are put to its rows once more.
//! - A scan holds a few batches at a time: the store's work waits for whoever reads.
//! - Every row read is charged to the query's budget by the store.

mod columns;
mod events;
mod feed;
mod filter;
mod histogram;
mod literal;
mod metrics;
mod order;
mod series_filter;
mod yielding;

pub(crate) use events::EventTable;
pub(crate) use metrics::MetricTable;
pub(crate) use order::NewestOrOldestFirst;
pub(crate) use yielding::MultipliersYield;

/// Names of the tables, in the order in which they are listed.
pub const TABLES: [&str; 3] = ["logs", "spans", "metrics"];
