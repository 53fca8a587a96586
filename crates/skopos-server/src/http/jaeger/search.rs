//! From matching spans to trace ids.
//!
//! Spans are scanned newest first, a window at a time: a search for twenty traces need not read
//! the thousand spans of one of them to the end, nor the whole history.

use std::collections::HashSet;

use arrow_array::{Array as _, FixedSizeBinaryArray, RecordBatch};
use skopos_model::TraceId;
use skopos_model::event::{EventOrder, EventScan, EventSignal};
use skopos_model::storage::{ErrorKind, StorageError};

use super::params::Search;
use crate::query::{QueryError, Read};
use crate::state::Storage;

/// Spans looked at per trace wanted, to begin with.
const SPANS_PER_TRACE: usize = 16;
/// A first scan that was full but did not find enough traces is repeated so much larger.
const GROWTH: usize = 8;

/// The ids of the newest traces with a matching span, newest first, at most `search.limit`.
pub(super) async fn trace_ids(
    store: &dyn Storage,
    search: &Search,
    read: &Read,
) -> Result<Vec<TraceId>, QueryError> {
    let mut spans = search.limit.saturating_mul(SPANS_PER_TRACE);
    loop {
        let scan = EventScan {
            predicates: search.predicates.clone(),
            projection: Some(vec!["trace_id".to_owned()]),
            order: EventOrder::NewestFirst,
            limit: Some(spans),
            ..EventScan::new(EventSignal::Spans, search.range)
        };
        let batches = store.scan(&scan, read.budget()).await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let ids = distinct(&batches, search.limit)?;
        if ids.len() >= search.limit || rows < spans {
            return Ok(ids);
        }
        // The budget ends this when there are more spans than a search may read.
        spans = spans.saturating_mul(GROWTH);
    }
}

fn distinct(batches: &[RecordBatch], limit: usize) -> Result<Vec<TraceId>, StorageError> {
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for batch in batches {
        let column = fixed_bytes(batch, "trace_id")?;
        for row in 0..column.len() {
            if column.is_null(row) {
                continue;
            }
            let Some(id) = TraceId::from_slice(column.value(row)) else { continue };
            if ids.len() < limit && seen.insert(id) {
                ids.push(id);
            }
        }
    }
    Ok(ids)
}

/// A column of ids.
pub(super) fn fixed_bytes<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a FixedSizeBinaryArray, StorageError> {
    let column = batch.column_by_name(name);
    let column = column.and_then(|c| c.as_any().downcast_ref::<FixedSizeBinaryArray>());
    column.ok_or_else(|| unexpected(name))
}

/// The store answered with another schema than the documented one.
pub(super) fn unexpected(name: &str) -> StorageError {
    StorageError::new(ErrorKind::Internal, format!("spans have no column {name} of its type"))
}
