//! Scans over batches of events, in memory and in blocks alike.
//!
//! A scan finds the ids it will answer with first, rows second: with a limit only the best so many
//! are kept, and sources whose times cannot come into the answer any more are not looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;
use skopos_model::event::{EventOrder, EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{ErrorKind, QueryBudget, StorageError};
use skopos_model::{EventId, TimeRange, Timestamp, TraceId};

use super::filter::matching_rows;
use super::{EventColumns, OwnColumns, event_schema, ids};
use crate::block::events::RowGroup;
use crate::head::events::Segment;
use crate::scan::{EventRows, Visitor};

/// Rows of a batch of an answer.
const ANSWER_ROWS: usize = 8192;

/// Some rows of a signal.
pub(crate) enum Source {
    /// A batch of the head.
    Memory(Arc<Segment>),
    /// A part of a block.
    Block(RowGroup),
}

impl Source {
    fn first(&self) -> Timestamp {
        match self {
            Self::Memory(segment) => segment.first,
            Self::Block(group) => group.first,
        }
    }

    fn last(&self) -> Timestamp {
        match self {
            Self::Memory(segment) => segment.last,
            Self::Block(group) => group.last,
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Memory(segment) => segment.batch.num_rows(),
            Self::Block(group) => group.rows,
        }
    }

    fn signal(&self) -> EventSignal {
        match self {
            Self::Memory(segment) => segment.signal,
            Self::Block(group) => group.signal(),
        }
    }

    fn is_ruled_out(
        &self,
        range: TimeRange,
        predicates: &[Predicate],
    ) -> Result<bool, StorageError> {
        match self {
            Self::Memory(segment) => {
                Ok(range.end != Timestamp::MAX && !range.overlaps(segment.first, segment.last))
            }
            Self::Block(group) => group.is_ruled_out(range, predicates),
        }
    }

    /// Ids and places of the rows that satisfy a scan.
    fn matching(&self, scan: &EventScan) -> Result<Vec<(EventId, usize)>, StorageError> {
        match self {
            Self::Memory(segment) => {
                let batch = &segment.batch;
                let rows = matching_rows(scan.signal, batch, scan.range, &scan.predicates)?;
                let ids = if rows.is_empty() { Vec::new() } else { ids(batch)? };
                Ok(rows.into_iter().map(|row| (ids[row as usize], row as usize)).collect())
            }
            Self::Block(group) => group.matching(scan),
        }
    }

    /// All rows with at least these columns; other columns may hold nothing.
    fn batch(&self, columns: &[&str]) -> Result<RecordBatch, StorageError> {
        match self {
            Self::Memory(segment) => Ok(segment.batch.clone()),
            Self::Block(group) => group.padded(columns),
        }
    }
}

/// A row: its id, its source, its place there.
type Hit = (EventId, usize, usize);

/// See [`ScanEvents::scan`](crate::scan::ScanEvents::scan).
pub(crate) fn scan(
    mut sources: Vec<Source>,
    scan: &EventScan,
    budget: &QueryBudget,
) -> Result<Vec<RecordBatch>, StorageError> {
    check_projection(scan)?;
    budget.check()?;
    let narrowed = narrow(scan);
    let scan = narrowed.as_ref().unwrap_or(scan);
    let newest_first = scan.order == EventOrder::NewestFirst;
    if newest_first {
        sources.sort_by_key(|s| std::cmp::Reverse(s.last()));
    } else {
        sources.sort_by_key(Source::first);
    }
    let limit = scan.limit.unwrap_or(usize::MAX);
    let mut hits: Vec<Hit> = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        if let Some(worst) = worst_of_full(&hits, limit) {
            let hopeless = match scan.order {
                EventOrder::OldestFirst => source.first() > worst.time(),
                EventOrder::NewestFirst => source.last() < worst.time(),
            };
            // Sources come in order of their best time: what follows is hopeless too.
            if hopeless {
                break;
            }
        }
        budget.check()?;
        if limit == 0 || source.is_ruled_out(scan.range, &scan.predicates)? {
            continue;
        }
        budget.charge_samples(source.rows() as u64)?;
        let rows = source.matching(scan)?;
        let before = hits.len();
        let rows = rows.into_iter().filter(|(id, _)| scan.is_after(*id));
        hits.extend(rows.map(|(id, row)| (id, at, row)));
        budget.charge_bytes(((hits.len() - before) * size_of::<Hit>()) as u64)?;
        if hits.len() >= limit {
            order(&mut hits, scan.order);
            budget.release_bytes(((hits.len() - limit) * size_of::<Hit>()) as u64);
            hits.truncate(limit);
        }
    }
    order(&mut hits, scan.order);
    hits.truncate(limit);
    answer(&sources, &hits, scan, budget)
}

/// The scan with its range cut to what lies after its `after`.
fn narrow(scan: &EventScan) -> Option<EventScan> {
    let after = scan.after?.time();
    let mut narrowed = scan.clone();
    match scan.order {
        EventOrder::OldestFirst => narrowed.range.start = scan.range.start.max(after),
        EventOrder::NewestFirst => {
            narrowed.range.end = scan.range.end.min(Timestamp(after.0.saturating_add(1)));
        }
    }
    Some(narrowed)
}

/// See [`ScanEvents::visit`](crate::scan::ScanEvents::visit).
pub(crate) fn visit(
    sources: Vec<Source>,
    scan: &EventScan,
    budget: &QueryBudget,
    visitor: &mut Visitor,
) -> Result<(), StorageError> {
    check_projection(scan)?;
    budget.check()?;
    let narrowed = narrow(scan);
    let scan = narrowed.as_ref().unwrap_or(scan);
    for source in sources {
        budget.check()?;
        if source.is_ruled_out(scan.range, &scan.predicates)? {
            continue;
        }
        budget.charge_samples(source.rows() as u64)?;
        let (batch, mut rows) = match &source {
            Source::Memory(segment) => {
                let batch = segment.batch.clone();
                let rows = matching_rows(scan.signal, &batch, scan.range, &scan.predicates)?;
                (batch, rows)
            }
            Source::Block(group) => group.visit(scan)?,
        };
        if scan.after.is_some() && !rows.is_empty() {
            let ids = ids(&batch)?;
            rows.retain(|&row| scan.is_after(ids[row as usize]));
        }
        if rows.is_empty() {
            continue;
        }
        let rows = EventRows {
            signal: scan.signal,
            batch: &batch,
            rows: &rows,
            projection: scan.projection.as_deref(),
        };
        if visitor(&rows)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The last id of the answer so far, when there is no room for more.
fn worst_of_full(hits: &[Hit], limit: usize) -> Option<EventId> {
    // Once full, hits are sorted and cut after every source that added to them.
    (hits.len() >= limit).then(|| hits.last().map(|hit| hit.0)).flatten()
}

fn order(hits: &mut [Hit], order: EventOrder) {
    match order {
        EventOrder::OldestFirst => hits.sort_unstable_by_key(|hit| hit.0),
        EventOrder::NewestFirst => hits.sort_unstable_by_key(|hit| std::cmp::Reverse(hit.0)),
    }
}

/// Rows of one source that the answer is put together from.
struct Part {
    source: usize,
    batch: RecordBatch,
    /// The places in the source of the batch's rows, when it has not all of them.
    places: Option<Vec<usize>>,
}

impl Part {
    fn place(&self, row: usize) -> usize {
        self.places.as_ref().map_or(row, |places| places.partition_point(|&p| p < row))
    }
}

fn answer(
    sources: &[Source],
    hits: &[Hit],
    scan: &EventScan,
    budget: &QueryBudget,
) -> Result<Vec<RecordBatch>, StorageError> {
    let mut used: Vec<(usize, usize)> = hits.iter().map(|hit| (hit.1, hit.2)).collect();
    used.sort_unstable();
    let mut parts = Vec::new();
    for of_source in used.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(source, _)) = of_source.first() else { continue };
        // Projected before rows are copied, so that unwanted columns cost nothing.
        let (batch, places) = match &sources[source] {
            Source::Memory(segment) => {
                (project(segment.batch.clone(), scan.projection.as_deref())?, None)
            }
            Source::Block(group) => {
                let rows: Vec<usize> = of_source.iter().map(|(_, row)| *row).collect();
                let batch = group.some_rows(&rows, scan.projection.as_deref())?;
                budget.charge_bytes(batch.get_array_memory_size() as u64)?;
                (batch, Some(rows))
            }
        };
        parts.push(Part { source, batch, places });
    }
    let batches: Vec<&RecordBatch> = parts.iter().map(|part| &part.batch).collect();
    let mut out = Vec::new();
    for hits in hits.chunks(ANSWER_ROWS) {
        let places: Vec<(usize, usize)> = hits
            .iter()
            .map(|&(_, source, row)| {
                let part = parts.partition_point(|part| part.source < source);
                (part, parts[part].place(row))
            })
            .collect();
        let batch = interleave_record_batch(&batches, &places).map_err(internal)?;
        budget.charge_bytes(batch.get_array_memory_size() as u64)?;
        out.push(batch);
    }
    Ok(out)
}

/// Whether the columns asked for exist.
pub(crate) fn check_projection(scan: &EventScan) -> Result<(), StorageError> {
    let schema = event_schema(scan.signal);
    for name in scan.projection.iter().flatten() {
        if schema.index_of(name).is_err() {
            let message = format!("there is no column {name:?} of {:?}", scan.signal);
            return Err(StorageError::new(ErrorKind::InvalidInput, message));
        }
    }
    Ok(())
}

/// Whether scans can be followed together.
pub(crate) fn check_scans(scans: &[EventScan]) -> Result<(), StorageError> {
    for (i, scan) in scans.iter().enumerate() {
        check_projection(scan)?;
        if scans.iter().take(i).any(|earlier| earlier.signal == scan.signal) {
            let message = "a signal is followed twice";
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
pub(crate) fn trace(
    sources: Vec<Source>,
    id: TraceId,
    budget: &QueryBudget,
) -> Result<Vec<RecordBatch>, StorageError> {
    let mut wanted = EventScan::new(EventSignal::Spans, TimeRange::ALL);
    wanted.predicates = vec![Predicate::Equals(Field::TraceId, id.to_string())];
    scan(sources, &wanted, budget)
}

/// See [`ScanEvents::services`](crate::scan::ScanEvents::services).
pub(crate) fn services(
    sources: impl IntoIterator<Item = Source>,
    range: TimeRange,
) -> Result<Vec<String>, StorageError> {
    let mut names = BTreeSet::new();
    for source in sources {
        if source.is_ruled_out(range, &[])? {
            continue;
        }
        let batch = source.batch(&["time", "service"])?;
        let columns = EventColumns::new(source.signal(), &batch)?;
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
pub(crate) fn operations(
    sources: impl IntoIterator<Item = Source>,
    service: &str,
    range: TimeRange,
) -> Result<Vec<(String, String)>, StorageError> {
    let of_service = [Predicate::Equals(Field::Service, service.into())];
    let mut operations = BTreeSet::new();
    for source in sources {
        if source.is_ruled_out(range, &of_service)? {
            continue;
        }
        let batch = source.batch(&["time", "service", "name", "kind"])?;
        let columns = EventColumns::new(source.signal(), &batch)?;
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
