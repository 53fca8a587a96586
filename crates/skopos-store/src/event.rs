//! Events (log records and spans) as Arrow batches: schemas, building, reading back.
//!
//! Constraints:
//! - A row holds everything its record held, bit for bit: `StoredLog` and `StoredSpan` read back
//!   equal what was appended.
//! - Columns are plain, so that SQL and other engines can use them: attributes, span events and
//!   links are JSON text. What JSON cannot say (bytes, NaN, infinities) is written in its readable
//!   form, and noted in the column `exact`.
//! - An id's order is the order by (time, arrival), so sorting by id sorts by both.

mod build;
mod columns;
mod count;
mod exact;
mod facet;
pub(crate) mod filter;
mod json;
mod read;
pub(crate) mod scan;
mod schema;

pub use build::{LogBuilder, SpanBuilder, log_batches, span_batches};
pub use count::SeverityCounts;
pub use facet::{Facet, FacetCounter, KeyCounter};
pub use read::{logs, spans};
pub use schema::{event_schema, log_schema, span_schema};

pub(crate) use columns::{EventColumns, OwnColumns, ids};
