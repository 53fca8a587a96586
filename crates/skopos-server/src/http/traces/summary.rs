//! What a list shows of some traces, gathered in one visit of their spans.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, DictionaryArray, RecordBatch};
use serde_json::{Value, json};
use skopos_model::event::{EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_model::{EventId, TimeRange, Timestamp, TraceId};

use crate::http::events;
use crate::query::{QueryError, Read};
use crate::state::SharedState;

/// One trace.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    start: i64,
    end: i64,
    /// Start, service and name of the span without parent, else of the earliest.
    root: (bool, i64, String, String),
    spans: u64,
    errors: u64,
    services: HashMap<String, (u64, u64)>,
    /// Spans that meet the conditions, and the latest of them in the window.
    pub(super) matched: u64,
    pub(super) latest: Option<EventId>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            start: i64::MAX,
            end: i64::MIN,
            root: (false, i64::MAX, String::new(), String::new()),
            spans: 0,
            errors: 0,
            services: HashMap::new(),
            matched: 0,
            latest: None,
        }
    }
}

impl Summary {
    pub(super) fn to_json(&self, id: TraceId) -> Value {
        let mut services: Vec<_> = self.services.iter().collect();
        services.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(b.0)));
        let services: Vec<Value> = services
            .into_iter()
            .map(|(service, (spans, errors))| {
                json!({"service": service, "spans": spans, "errors": errors})
            })
            .collect();
        json!({
            "trace_id": id.to_string(),
            "root_service": self.root.2,
            "root_name": self.root.3,
            "start": Timestamp(self.start).to_string(),
            "start_unix_nano": self.start.to_string(),
            "duration_ns": self.end.saturating_sub(self.start),
            "spans": self.spans,
            "errors": self.errors,
            "matched": self.matched,
            "services": services,
        })
    }
}

/// Columns of spans that are read here.
pub(super) struct Columns<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Self {
        Self { batch }
    }

    fn wrong(name: &str) -> StorageError {
        StorageError::new(ErrorKind::Internal, format!("spans have no column {name} of its type"))
    }

    pub(super) fn trace_ids(
        &self,
    ) -> Result<impl Fn(usize) -> Option<TraceId> + use<'a>, StorageError> {
        let column = self.batch.column_by_name("trace_id");
        let column = column.and_then(|c| c.as_fixed_size_binary_opt());
        let column = column.ok_or_else(|| Self::wrong("trace_id"))?;
        Ok(move |row: usize| {
            column.is_valid(row).then(|| TraceId::from_slice(column.value(row))).flatten()
        })
    }

    pub(super) fn ids(&self) -> Result<impl Fn(usize) -> EventId + use<'a>, StorageError> {
        let column = self.batch.column_by_name("id").and_then(|c| c.as_fixed_size_binary_opt());
        let column = column.ok_or_else(|| Self::wrong("id"))?;
        Ok(move |row: usize| {
            EventId(u128::from_be_bytes(column.value(row).try_into().unwrap_or_default()))
        })
    }

    pub(super) fn times(&self) -> Result<&'a [i64], StorageError> {
        let column = self.batch.column_by_name("time");
        let column = column.and_then(|c| c.as_primitive_opt::<TimestampNanosecondType>());
        Ok(column.ok_or_else(|| Self::wrong("time"))?.values())
    }

    pub(super) fn durations(&self) -> Result<&'a [u64], StorageError> {
        let column = self.batch.column_by_name("duration");
        let column = column.and_then(|c| c.as_primitive_opt::<UInt64Type>());
        Ok(column.ok_or_else(|| Self::wrong("duration"))?.values())
    }

    fn text(&self, name: &str) -> Result<impl Fn(usize) -> &'a str + use<'a>, StorageError> {
        let column: Option<&DictionaryArray<Int32Type>> =
            self.batch.column_by_name(name).and_then(|c| c.as_dictionary_opt());
        let column = column.ok_or_else(|| Self::wrong(name))?;
        let values = column.values().as_string_opt::<i32>().ok_or_else(|| Self::wrong(name))?;
        Ok(move |row: usize| values.value(column.keys().value(row) as usize))
    }
}

/// Summaries of some traces: of their spans within `around`, and of those within `window` that
/// meet the conditions.
pub(super) async fn summaries(
    state: &SharedState,
    read: &Read,
    ids: &[TraceId],
    predicates: &[Predicate],
    window: TimeRange,
    around: TimeRange,
) -> Result<HashMap<TraceId, Summary>, QueryError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted = ids.iter().map(|id| Predicate::Equals(Field::TraceId, id.to_string()));
    let wanted = Predicate::Any(wanted.collect());
    let scan = EventScan {
        predicates: vec![wanted.clone()],
        projection: events::columns([
            "id",
            "trace_id",
            "parent_span_id",
            "service",
            "name",
            "status",
            "time",
            "duration",
        ]),
        ..EventScan::new(EventSignal::Spans, around)
    };
    let all = events::fold(state, read, &scan, HashMap::new(), |all, events| {
        add(all, &events.to_batch()?)?;
        Ok(ControlFlow::Continue(()))
    });
    let all = all.await?;
    let mut conditions = vec![wanted];
    conditions.extend(predicates.iter().cloned());
    let scan = EventScan {
        predicates: conditions,
        projection: events::columns(["id", "trace_id"]),
        ..EventScan::new(EventSignal::Spans, window)
    };
    let add = |all: &mut HashMap<TraceId, Summary>, events: &skopos_store::scan::EventRows<'_>| {
        let batch = events.to_batch()?;
        let columns = Columns::new(&batch);
        let (trace_ids, ids) = (columns.trace_ids()?, columns.ids()?);
        for row in 0..batch.num_rows() {
            let Some(summary) = trace_ids(row).and_then(|id| all.get_mut(&id)) else { continue };
            summary.matched += 1;
            summary.latest = summary.latest.max(Some(ids(row)));
        }
        Ok(ControlFlow::Continue(()))
    };
    events::fold(state, read, &scan, all, add).await
}

fn add(all: &mut HashMap<TraceId, Summary>, batch: &RecordBatch) -> Result<(), StorageError> {
    let columns = Columns::new(batch);
    let (trace_ids, times, durations) =
        (columns.trace_ids()?, columns.times()?, columns.durations()?);
    let (service, name, status) =
        (columns.text("service")?, columns.text("name")?, columns.text("status")?);
    let parents = batch.column_by_name("parent_span_id");
    let parents = parents.ok_or_else(|| Columns::wrong("parent_span_id"))?;
    for row in 0..batch.num_rows() {
        let Some(id) = trace_ids(row) else { continue };
        let summary = all.entry(id).or_default();
        let start = times[row];
        summary.start = summary.start.min(start);
        summary.end = summary.end.max(start.saturating_add_unsigned(durations[row]));
        let is_root = parents.is_null(row);
        // A span without parent stands before all others, then the earlier one.
        if (!is_root, start) < (!summary.root.0, summary.root.1) {
            summary.root = (is_root, start, service(row).to_owned(), name(row).to_owned());
        }
        let failed = u64::from(status(row) == "ERROR");
        summary.spans += 1;
        summary.errors += failed;
        let of_service = match summary.services.get_mut(service(row)) {
            Some(of_service) => of_service,
            None => summary.services.entry(service(row).to_owned()).or_default(),
        };
        of_service.0 += 1;
        of_service.1 += failed;
    }
    Ok(())
}
