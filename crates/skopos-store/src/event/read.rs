//! Turns rows back into records.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch, StringArray};
use skopos_model::event::EventSignal;
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_model::{
    AnyValue, Attributes, LogRecord, Resource, Scope, SeverityNumber, Span, SpanEvent, SpanId,
    SpanKind, SpanLink, SpanStatus, StatusCode, Timestamp, TraceId,
};

use super::columns::{Dictionary, EventColumns, OwnColumns};
use super::{exact, json};
use crate::scan::{StoredLog, StoredSpan};

/// The log records of a batch that has all columns of [`log_schema`](super::log_schema).
pub fn logs(batch: &RecordBatch) -> Result<Vec<StoredLog>, StorageError> {
    let columns = EventColumns::new(EventSignal::Logs, batch)?;
    let OwnColumns::Logs(own) = &columns.own else { return Ok(Vec::new()) };
    let mut senders = Senders::default();
    let mut texts = Texts::default();
    let mut records = Vec::with_capacity(columns.len());
    for row in 0..columns.len() {
        let damaged = |column| damaged(&columns, row, column);
        let (resource, scope) = senders.get(&columns, row).map_err(damaged)?;
        let body = own.body.value(row);
        let body = match (own.body_structured.value(row), body) {
            (false, text) => AnyValue::from(text),
            (true, "") => AnyValue::Empty,
            (true, text) => value(&columns, row, "body", text).ok_or_else(|| damaged("body"))?,
        };
        let record = LogRecord {
            time: Timestamp(columns.time.value(row)),
            observed_time: Timestamp(own.observed_time.value(row)),
            severity: SeverityNumber(own.severity.value(row)),
            severity_text: texts.get(&own.severity_text, row),
            body,
            attributes: attributes(&columns, row, "attributes", columns.attributes.value(row))
                .ok_or_else(|| damaged("attributes"))?,
            dropped_attributes_count: columns.dropped_attributes_count.value(row),
            flags: columns.flags.value(row),
            trace_id: TraceId(id(columns.trace_id, row)),
            span_id: SpanId(id(columns.span_id, row)),
            event_name: texts.get(&columns.name, row),
        };
        records.push(StoredLog { id: columns.event_id(row), resource, scope, record });
    }
    Ok(records)
}

/// The spans of a batch that has all columns of [`span_schema`](super::span_schema).
pub fn spans(batch: &RecordBatch) -> Result<Vec<StoredSpan>, StorageError> {
    let columns = EventColumns::new(EventSignal::Spans, batch)?;
    let OwnColumns::Spans(own) = &columns.own else { return Ok(Vec::new()) };
    let mut senders = Senders::default();
    let mut texts = Texts::default();
    let mut spans = Vec::with_capacity(columns.len());
    for row in 0..columns.len() {
        let damaged = |column| damaged(&columns, row, column);
        let (resource, scope) = senders.get(&columns, row).map_err(damaged)?;
        let span = Span {
            trace_id: TraceId(id(columns.trace_id, row)),
            span_id: SpanId(id(columns.span_id, row)),
            parent_span_id: SpanId(id(own.parent_span_id, row)),
            trace_state: texts.get(&own.trace_state, row),
            flags: columns.flags.value(row),
            name: texts.get(&columns.name, row),
            kind: kind(own.kind.get(row)),
            start_time: Timestamp(columns.time.value(row)),
            end_time: Timestamp(own.end_time.value(row)),
            attributes: attributes(&columns, row, "attributes", columns.attributes.value(row))
                .ok_or_else(|| damaged("attributes"))?,
            dropped_attributes_count: columns.dropped_attributes_count.value(row),
            events: list(&columns, row, "events", own.events, span_event)
                .ok_or_else(|| damaged("events"))?,
            dropped_events_count: own.dropped_events_count.value(row),
            links: list(&columns, row, "links", own.links, span_link)
                .ok_or_else(|| damaged("links"))?,
            dropped_links_count: own.dropped_links_count.value(row),
            status: SpanStatus {
                code: status(own.status.get(row)),
                message: texts.get(&own.status_message, row),
            },
        };
        spans.push(StoredSpan { id: columns.event_id(row), resource, scope, span });
    }
    Ok(spans)
}

fn damaged(columns: &EventColumns<'_>, row: usize, column: &str) -> StorageError {
    let id = columns.event_id(row);
    StorageError::new(ErrorKind::Corrupt, format!("event {id}: column {column:?} is damaged"))
}

fn value(columns: &EventColumns<'_>, row: usize, column: &str, text: &str) -> Option<AnyValue> {
    let mut value = json::parse(text)?;
    if let Some(notes) = columns.notes(row) {
        exact::restore(column, notes, &mut value)?;
    }
    Some(value)
}

fn attributes(
    columns: &EventColumns<'_>,
    row: usize,
    column: &str,
    text: &str,
) -> Option<Attributes> {
    if columns.notes(row).is_none() {
        return json::parse_attributes(text);
    }
    map(value(columns, row, column, text)?)
}

fn map(value: AnyValue) -> Option<Attributes> {
    match value {
        AnyValue::Map(map) => Some(map),
        _ => None,
    }
}

fn list<T>(
    columns: &EventColumns<'_>,
    row: usize,
    column: &str,
    array: &StringArray,
    item: fn(&Attributes) -> Option<T>,
) -> Option<Vec<T>> {
    if array.is_null(row) {
        return Some(Vec::new());
    }
    match value(columns, row, column, array.value(row))? {
        AnyValue::Array(items) => items.into_iter().map(|value| item(&map(value)?)).collect(),
        _ => None,
    }
}

fn span_event(map: &Attributes) -> Option<SpanEvent> {
    Some(SpanEvent {
        time: Timestamp(int(map, "time_unix_nano")?),
        name: text(map, "name")?,
        attributes: inner(map)?,
        dropped_attributes_count: int(map, "dropped_attributes_count")?.try_into().ok()?,
    })
}

fn span_link(map: &Attributes) -> Option<SpanLink> {
    Some(SpanLink {
        trace_id: map.str("trace_id")?.parse().ok()?,
        span_id: map.str("span_id")?.parse().ok()?,
        trace_state: text(map, "trace_state")?,
        attributes: inner(map)?,
        dropped_attributes_count: int(map, "dropped_attributes_count")?.try_into().ok()?,
        flags: int(map, "flags")?.try_into().ok()?,
    })
}

fn int(map: &Attributes, key: &str) -> Option<i64> {
    match map.get(key)? {
        AnyValue::Int(value) => Some(*value),
        _ => None,
    }
}

fn text(map: &Attributes, key: &str) -> Option<Arc<str>> {
    match map.get(key)? {
        AnyValue::String(text) => Some(Arc::clone(text)),
        _ => None,
    }
}

fn inner(map: &Attributes) -> Option<Attributes> {
    match map.get("attributes")? {
        AnyValue::Map(map) => Some(map.clone()),
        _ => None,
    }
}

fn id<const N: usize>(ids: &FixedSizeBinaryArray, row: usize) -> [u8; N] {
    if ids.is_null(row) {
        return [0; N];
    }
    ids.value(row).try_into().unwrap_or([0; N])
}

fn kind(text: &str) -> SpanKind {
    (1..=5).map(SpanKind::from_number).find(|k| k.as_str() == text).unwrap_or_default()
}

fn status(text: &str) -> StatusCode {
    [StatusCode::Ok, StatusCode::Error]
        .into_iter()
        .find(|code| code.as_str() == text)
        .unwrap_or_default()
}

/// Resources and scopes read so far: rows of one sender share them.
#[derive(Default)]
struct Senders {
    resources: HashMap<(usize, u32, usize), Arc<Resource>>,
    scopes: HashMap<(usize, usize, usize, u32, usize), Arc<Scope>>,
}

impl Senders {
    /// The sender of a row, or the column that is damaged.
    fn get(
        &mut self,
        columns: &EventColumns<'_>,
        row: usize,
    ) -> Result<(Arc<Resource>, Arc<Scope>), &'static str> {
        // With notes two rows of equal text may hold different values.
        let noted = columns.notes(row).is_some();
        let c = columns;
        let key =
            (c.resource.key(row), c.resource_dropped.value(row), c.resource_schema_url.key(row));
        let resource = match self.resources.get(&key).filter(|_| !noted) {
            Some(resource) => Arc::clone(resource),
            None => {
                let text = c.resource.get(row);
                let resource = Arc::new(Resource {
                    attributes: attributes(c, row, "resource", text).ok_or("resource")?,
                    dropped_attributes_count: key.1,
                    schema_url: c.resource_schema_url.get(row).into(),
                });
                if !noted {
                    self.resources.insert(key, Arc::clone(&resource));
                }
                resource
            }
        };
        let key = (
            c.scope_name.key(row),
            c.scope_version.key(row),
            c.scope_attributes.key(row),
            c.scope_dropped.value(row),
            c.scope_schema_url.key(row),
        );
        let scope = match self.scopes.get(&key).filter(|_| !noted) {
            Some(scope) => Arc::clone(scope),
            None => {
                let text = c.scope_attributes.get(row);
                let scope = Arc::new(Scope {
                    name: c.scope_name.get(row).into(),
                    version: c.scope_version.get(row).into(),
                    attributes: attributes(c, row, "scope_attributes", text)
                        .ok_or("scope_attributes")?,
                    dropped_attributes_count: key.3,
                    schema_url: c.scope_schema_url.get(row).into(),
                });
                if !noted {
                    self.scopes.insert(key, Arc::clone(&scope));
                }
                scope
            }
        };
        Ok((resource, scope))
    }
}

/// Repeated texts read so far, so that rows share them.
#[derive(Default)]
struct Texts(HashMap<(usize, usize), Arc<str>>);

impl Texts {
    fn get(&mut self, column: &Dictionary<'_>, row: usize) -> Arc<str> {
        // The column's address tells columns apart.
        let key = (std::ptr::from_ref(column.values) as usize, column.key(row));
        Arc::clone(self.0.entry(key).or_insert_with(|| column.get(row).into()))
    }
}
