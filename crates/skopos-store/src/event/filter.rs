//! Finds the rows of a batch that a scan wants.
//!
//! [`Predicate::matches`] defines what is wanted; everything here is a shorter way to the same
//! answer. Conditions on a single repeated column (service, name, kind, severity, …) are put to
//! each distinct value once; only what is left is put to rows, one by one, cheapest first.

use std::collections::HashSet;

use arrow_array::{Array, RecordBatch};
use skopos_model::event::{EventFields, EventSignal, Field, FieldValue, Predicate};
use skopos_model::storage::StorageError;
use skopos_model::{TimeRange, Timestamp};

use super::columns::{Dictionary, EventColumns, OwnColumns, Row, TextFinder};
use crate::block::events::{is_trace_ids, trace_ids};

/// Rows inside `range` that satisfy all `predicates`, ascending.
pub(crate) fn matching_rows(
    signal: EventSignal,
    batch: &RecordBatch,
    range: TimeRange,
    predicates: &[Predicate],
) -> Result<Vec<u32>, StorageError> {
    let columns = EventColumns::new(signal, batch)?;
    let times = columns.time.values();
    let mut rows: Vec<u32> = (0..columns.len() as u32)
        .filter(|&row| range.contains(Timestamp(times[row as usize])))
        .collect();
    let mut conditions = Vec::new();
    flatten(predicates, &mut conditions);
    conditions.sort_by_key(|predicate| cost(&columns, predicate));
    for predicate in conditions {
        if rows.is_empty() {
            break;
        }
        keep(&columns, predicate, &mut rows);
    }
    Ok(rows)
}

fn flatten<'p>(predicates: &'p [Predicate], into: &mut Vec<&'p Predicate>) {
    for predicate in predicates {
        match predicate {
            Predicate::All(inner) => flatten(inner, into),
            other => into.push(other),
        }
    }
}

/// What a condition costs per row, roughly: 0 for a table look-up, up to 4 for parsing JSON.
fn cost(columns: &EventColumns<'_>, predicate: &Predicate) -> u32 {
    match sole_field(predicate) {
        Some(Field::Severity) => 0,
        Some(field) if dictionary(columns, field).is_some() => 0,
        Some(Field::TraceId | Field::SpanId | Field::ParentSpanId | Field::Duration) => 1,
        Some(Field::ResourceAttribute(_) | Field::ScopeAttribute(_)) => 1,
        Some(Field::Body) => 2,
        Some(Field::Text) if matches!(columns.own, OwnColumns::Logs(_)) => 2,
        Some(_) => 3,
        None => 4,
    }
}

fn keep(columns: &EventColumns<'_>, predicate: &Predicate, rows: &mut Vec<u32>) {
    let one = std::slice::from_ref(predicate);
    let traces = match predicate {
        Predicate::Any(any) if is_trace_ids(any) => Some(any.as_slice()),
        Predicate::Equals(Field::TraceId, _) => Some(one),
        _ => None,
    };
    if let Some(traces) = traces {
        let wanted: HashSet<[u8; 16]> = trace_ids(traces).map(|id| id.0).collect();
        let ids = columns.trace_id;
        let is_wanted = |row: usize| {
            let id = ids.is_valid(row).then(|| <[u8; 16]>::try_from(ids.value(row)));
            id.is_some_and(|id| id.is_ok_and(|id| wanted.contains(&id)))
        };
        return rows.retain(|&row| is_wanted(row as usize));
    }
    if let Some(field) = sole_field(predicate) {
        if let Some(column) = dictionary(columns, field) {
            let fits: Vec<bool> = (0..column.values.len())
                .map(|at| {
                    let text = column.values.value(at);
                    let value = (!text.is_empty()).then_some(FieldValue::Text(text.into()));
                    predicate.matches(&Single(value))
                })
                .collect();
            return rows.retain(|&row| fits[column.key(row as usize)]);
        }
        if let Some((name, column)) = sender_object(columns, field) {
            // Put to each distinct sender once; where notes change what its text says, to the row.
            let mut fits: Vec<Option<bool>> = vec![None; column.values.len()];
            return rows.retain(|&row| {
                let row = row as usize;
                let put = || predicate.matches(&Row { columns, row });
                match columns.notes(row) {
                    Some(notes) if notes.contains(name) => put(),
                    _ => *fits[column.key(row)].get_or_insert_with(put),
                }
            });
        }
        if let (Field::Severity, OwnColumns::Logs(logs)) = (field, &columns.own) {
            let fits: Vec<bool> = (0..=u8::MAX)
                .map(|n| predicate.matches(&Single(Some(FieldValue::Number(n.into())))))
                .collect();
            let severities = logs.severity.values();
            return rows.retain(|&row| fits[usize::from(severities[row as usize])]);
        }
    }
    if let Predicate::Contains(field @ (Field::Body | Field::Text), needle) = predicate {
        let finder = TextFinder::new(needle);
        return match &columns.own {
            OwnColumns::Logs(logs) => {
                rows.retain(|&row| finder.is_in(logs.body.value(row as usize)));
            }
            OwnColumns::Spans(_) if *field == Field::Body => rows.clear(),
            OwnColumns::Spans(_) => rows.retain(|&row| {
                let row = Row { columns, row: row as usize };
                !row.lacks_text(&finder) && predicate.matches(&row)
            }),
        };
    }
    rows.retain(|&row| predicate.matches(&Row { columns, row: row as usize }));
}

/// The column of JSON objects behind a field of the sender, and its name in notes.
fn sender_object<'a>(
    columns: &EventColumns<'a>,
    field: &Field,
) -> Option<(&'static str, Dictionary<'a>)> {
    match field {
        Field::ResourceAttribute(_) => Some(("resource", columns.resource)),
        Field::ScopeAttribute(_) => Some(("scope_attributes", columns.scope_attributes)),
        _ => None,
    }
}

/// The repeated column behind a field.
pub(super) fn dictionary<'a>(columns: &EventColumns<'a>, field: &Field) -> Option<Dictionary<'a>> {
    match (field, &columns.own) {
        (Field::Service, _) => Some(columns.service),
        (Field::Name, _) => Some(columns.name),
        (Field::Scope, _) => Some(columns.scope_name),
        (Field::Kind, OwnColumns::Spans(spans)) => Some(spans.kind),
        (Field::Status, OwnColumns::Spans(spans)) => Some(spans.status),
        (Field::StatusMessage, OwnColumns::Spans(spans)) => Some(spans.status_message),
        _ => None,
    }
}

/// The one field a condition looks at, when it is one.
fn sole_field(predicate: &Predicate) -> Option<&Field> {
    match predicate {
        Predicate::All(inner) | Predicate::Any(inner) => {
            let mut fields = inner.iter().map(sole_field);
            let first = fields.next()??;
            fields.all(|field| field == Some(first)).then_some(first)
        }
        Predicate::Not(inner) => sole_field(inner),
        Predicate::Exists(field)
        | Predicate::Equals(field, _)
        | Predicate::Compare(field, _, _)
        | Predicate::Contains(field, _)
        | Predicate::Matches(field, _) => Some(field),
    }
}

/// An event with the same value in whichever field is asked for.
struct Single<'a>(Option<FieldValue<'a>>);

impl EventFields for Single<'_> {
    fn field(&self, _: &Field) -> Option<FieldValue<'_>> {
        self.0.as_ref().map(|value| match value {
            FieldValue::Text(text) => FieldValue::Text(text.as_ref().into()),
            FieldValue::Number(number) => FieldValue::Number(*number),
        })
    }
}
