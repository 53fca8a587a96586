//! Finds the rows of a batch that a scan wants.
//!
//! [`Predicate::matches`] defines what is wanted; everything here is a shorter way to the same
//! answer. Conditions on a single repeated column (service, name, kind, severity, …) are put to
//! each distinct value once; only what is left is put to rows, one by one, cheapest first.

use arrow_array::{Array, RecordBatch};
use skopos_model::event::{EventFields, EventSignal, Field, FieldValue, Predicate};
use skopos_model::storage::StorageError;
use skopos_model::{TimeRange, Timestamp, TraceId};

use super::columns::{Dictionary, EventColumns, OwnColumns, Row};

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
        Some(Field::Body) => 2,
        Some(_) => 3,
        None => 4,
    }
}

fn keep(columns: &EventColumns<'_>, predicate: &Predicate, rows: &mut Vec<u32>) {
    if let (Predicate::Equals(Field::TraceId, wanted), ids) = (predicate, columns.trace_id) {
        // Text of another form than the one ids print in equals no id.
        let id = wanted.parse::<TraceId>().ok().filter(|id| id.to_string() == *wanted);
        return match id {
            Some(id) => {
                rows.retain(|&row| ids.is_valid(row as usize) && ids.value(row as usize) == id.0)
            }
            None => rows.clear(),
        };
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
        if let (Field::Severity, OwnColumns::Logs(logs)) = (field, &columns.own) {
            let fits: Vec<bool> = (0..=u8::MAX)
                .map(|n| predicate.matches(&Single(Some(FieldValue::Number(n.into())))))
                .collect();
            let severities = logs.severity.values();
            return rows.retain(|&row| fits[usize::from(severities[row as usize])]);
        }
    }
    rows.retain(|&row| predicate.matches(&Row { columns, row: row as usize }));
}

/// The repeated column behind a field.
fn dictionary<'a>(columns: &EventColumns<'a>, field: &Field) -> Option<Dictionary<'a>> {
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
