//! Scans over a snapshot of event batches.
//!
//! A scan finds the ids it will answer with first, rows second: with a limit only the best so many
//! are kept, and batches whose times cannot come into the answer any more are not looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;
use skopos_model::event::{EventOrder, EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{ErrorKind, QueryBudget, StorageError};
use skopos_model::{EventId, TimeRange, Timestamp, TraceId};

use super::events::Segment;
use crate::event::filter::matching_rows;
use crate::event::{EventColumns, OwnColumns, event_schema, ids};

/// Rows of a batch of an answer.
const ANSWER_ROWS: usize = 8192;

/// A row: its id, its segment, its place there.
type Hit = (EventId, usize, usize);

/// See [`ScanEvents::scan`](crate::scan::ScanEvents::scan).
pub(super) fn scan(
    mut segments: Vec<Arc<Segment>>,
    scan: &EventScan,
    budget: &QueryBudget,
) -> Result<Vec<RecordBatch>, StorageError> {
    check_projection(scan)?;
    budget.check()?;
    let to_the_end = scan.range.end == Timestamp::MAX;
    segments.retain(|s| to_the_end || scan.range.overlaps(s.first, s.last));
    let newest_first = scan.order == EventOrder::NewestFirst;
    if newest_first {
        segments.sort_by_key(|s| std::cmp::Reverse(s.last));
    } else {
        segments.sort_by_key(|s| s.first);
    }
    let limit = scan.limit.unwrap_or(usize::MAX);
    let mut hits: Vec<Hit> = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        if let Some(worst) = worst_of_full(&hits, limit) {
            let hopeless = match scan.order {
                EventOrder::OldestFirst => segment.first > worst.time(),
                EventOrder::NewestFirst => segment.last < worst.time(),
            };
            // Segments come in order of their best time: what follows is hopeless too.
            if hopeless {
                break;
            }
        }
        budget.charge_samples(segment.batch.num_rows() as u64)?;
        let rows = matching_rows(scan.signal, &segment.batch, scan.range, &scan.predicates)?;
        if rows.is_empty() {
            continue;
        }
        let ids = ids(&segment.batch)?;
        hits.extend(rows.into_iter().map(|row| (ids[row as usize], at, row as usize)));
        if hits.len() >= limit {
            order(&mut hits, scan.order);
            hits.truncate(limit);
        }
    }
    order(&mut hits, scan.order);
    hits.truncate(limit);
    answer(&segments, &hits, scan, budget)
}

/// The last id of the answer so far, when there is no room for more.
fn worst_of_full(hits: &[Hit], limit: usize) -> Option<EventId> {
    // Once full, hits are sorted and cut after every segment that added to them.
    (hits.len() >= limit).then(|| hits.last().map(|hit| hit.0)).flatten()
}

fn order(hits: &mut [Hit], order: EventOrder) {
    match order {
        EventOrder::OldestFirst => hits.sort_unstable_by_key(|hit| hit.0),
        EventOrder::NewestFirst => hits.sort_unstable_by_key(|hit| std::cmp::Reverse(hit.0)),
    }
}

fn answer(
    segments: &[Arc<Segment>],
    hits: &[Hit],
    scan: &EventScan,
    budget: &QueryBudget,
) -> Result<Vec<RecordBatch>, StorageError> {
    let mut used: Vec<usize> = hits.iter().map(|hit| hit.1).collect();
    used.sort_unstable();
    used.dedup();
    // Projected before rows are copied, so that unwanted columns cost nothing.
    let batches = used
        .iter()
        .map(|&at| project(segments[at].batch.clone(), scan.projection.as_deref()))
        .collect::<Result<Vec<_>, _>>()?;
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let mut out = Vec::new();
    for hits in hits.chunks(ANSWER_ROWS) {
        let places: Vec<(usize, usize)> =
            hits.iter().map(|&(_, at, row)| (used.partition_point(|&u| u < at), row)).collect();
        let batch = interleave_record_batch(&batches, &places).map_err(internal)?;
        budget.charge_bytes(batch.get_array_memory_size() as u64)?;
        out.push(batch);
    }
    Ok(out)
}

/// Whether the columns asked for exist.
pub(super) fn check_projection(scan: &EventScan) -> Result<(), StorageError> {
    let schema = event_schema(scan.signal);
    for name in scan.projection.iter().flatten() {
        if schema.index_of(name).is_err() {
            let message = format!("there is no column {name:?} of {:?}", scan.signal);
            return Err(StorageError::new(ErrorKind::InvalidInput, message));
        }
    }
    Ok(())
}

/// The columns asked for, in the order asked for.
pub(crate) fn project(
    batch: RecordBatch,
    projection: Option<&[String]>,
) -> Result<RecordBatch, StorageError> {
    let Some(names) = projection else { return Ok(batch) };
    let columns = names
        .iter()
        .map(|name| batch.schema_ref().index_of(name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(internal)?;
    batch.project(&columns).map_err(internal)
}

fn internal(error: ArrowError) -> StorageError {
    StorageError::with_source(ErrorKind::Internal, "cannot put event rows together", error)
}

/// See [`ScanEvents::trace`](crate::scan::ScanEvents::trace).
pub(super) fn trace(
    segments: Vec<Arc<Segment>>,
    id: TraceId,
    (first, last): (Timestamp, Timestamp),
    budget: &QueryBudget,
) -> Result<Vec<RecordBatch>, StorageError> {
    let end = Timestamp(last.0.saturating_add(1));
    let mut wanted = EventScan::new(EventSignal::Spans, TimeRange::new(first, end));
    wanted.predicates = vec![Predicate::Equals(Field::TraceId, id.to_string())];
    scan(segments, &wanted, budget)
}

/// See [`ScanEvents::services`](crate::scan::ScanEvents::services).
pub(super) fn services<const N: usize>(
    tables: [Vec<Arc<Segment>>; N],
    range: TimeRange,
) -> Result<Vec<String>, StorageError> {
    let mut names = BTreeSet::new();
    for segment in tables.iter().flatten() {
        let columns = EventColumns::new(segment.signal, &segment.batch)?;
        let mut seen = vec![false; columns.service.values.len()];
        for row in 0..columns.len() {
            let key = columns.service.key(row);
            if !seen[key] && range.contains(Timestamp(columns.time.value(row))) {
                seen[key] = true;
                names.insert(columns.service.get(row).to_owned());
            }
        }
    }
    names.remove("");
    Ok(names.into_iter().collect())
}

/// See [`ScanEvents::operations`](crate::scan::ScanEvents::operations).
pub(super) fn operations(
    segments: Vec<Arc<Segment>>,
    service: &str,
    range: TimeRange,
) -> Result<Vec<(String, String)>, StorageError> {
    let mut operations = BTreeSet::new();
    for segment in &segments {
        let columns = EventColumns::new(segment.signal, &segment.batch)?;
        let OwnColumns::Spans(spans) = &columns.own else { continue };
        let wanted: Vec<bool> =
            columns.service.values.iter().map(|value| value == Some(service)).collect();
        let mut seen = BTreeSet::new();
        for row in 0..columns.len() {
            if wanted[columns.service.key(row)]
                && range.contains(Timestamp(columns.time.value(row)))
                && seen.insert((columns.name.key(row), spans.kind.key(row)))
            {
                operations.insert((columns.name.get(row).into(), spans.kind.get(row).into()));
            }
        }
    }
    Ok(operations.into_iter().collect())
}
