//! Typed access to the columns of a batch, and one row seen as an event.

use std::borrow::Cow;
use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampNanosecondType, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, FixedSizeBinaryArray, Int32Array,
    PrimitiveArray, RecordBatch, StringArray,
};
use skopos_model::event::{EventFields, EventSignal, Field, FieldValue};
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_model::{AnyValue, Attributes, EventId};

use super::{exact, json};

/// A batch's columns of one signal. A projected batch has not all of them and is refused.
pub(crate) struct EventColumns<'a> {
    pub(crate) id: &'a FixedSizeBinaryArray,
    pub(crate) time: &'a PrimitiveArray<TimestampNanosecondType>,
    pub(crate) service: Dictionary<'a>,
    /// Span name, or a log record's event name.
    pub(crate) name: Dictionary<'a>,
    pub(crate) trace_id: &'a FixedSizeBinaryArray,
    pub(crate) span_id: &'a FixedSizeBinaryArray,
    pub(crate) flags: &'a PrimitiveArray<UInt32Type>,
    pub(crate) attributes: &'a StringArray,
    pub(crate) dropped_attributes_count: &'a PrimitiveArray<UInt32Type>,
    pub(crate) resource: Dictionary<'a>,
    pub(crate) resource_dropped: &'a PrimitiveArray<UInt32Type>,
    pub(crate) resource_schema_url: Dictionary<'a>,
    pub(crate) scope_name: Dictionary<'a>,
    pub(crate) scope_version: Dictionary<'a>,
    pub(crate) scope_attributes: Dictionary<'a>,
    pub(crate) scope_dropped: &'a PrimitiveArray<UInt32Type>,
    pub(crate) scope_schema_url: Dictionary<'a>,
    pub(crate) exact: &'a StringArray,
    pub(crate) own: OwnColumns<'a>,
}

/// The columns that only one signal has.
pub(crate) enum OwnColumns<'a> {
    Logs(LogColumns<'a>),
    Spans(SpanColumns<'a>),
}

pub(crate) struct LogColumns<'a> {
    pub(crate) observed_time: &'a PrimitiveArray<TimestampNanosecondType>,
    pub(crate) severity: &'a PrimitiveArray<UInt8Type>,
    pub(crate) severity_text: Dictionary<'a>,
    pub(crate) body: &'a StringArray,
    pub(crate) body_structured: &'a BooleanArray,
}

pub(crate) struct SpanColumns<'a> {
    pub(crate) end_time: &'a PrimitiveArray<TimestampNanosecondType>,
    pub(crate) duration: &'a PrimitiveArray<UInt64Type>,
    pub(crate) kind: Dictionary<'a>,
    pub(crate) status: Dictionary<'a>,
    pub(crate) status_message: Dictionary<'a>,
    pub(crate) parent_span_id: &'a FixedSizeBinaryArray,
    pub(crate) trace_state: Dictionary<'a>,
    pub(crate) events: &'a StringArray,
    pub(crate) dropped_events_count: &'a PrimitiveArray<UInt32Type>,
    pub(crate) links: &'a StringArray,
    pub(crate) dropped_links_count: &'a PrimitiveArray<UInt32Type>,
}

/// Dictionary-encoded text.
#[derive(Clone, Copy)]
pub(crate) struct Dictionary<'a> {
    pub(crate) keys: &'a Int32Array,
    pub(crate) values: &'a StringArray,
}

impl<'a> Dictionary<'a> {
    /// The text of a row.
    pub(crate) fn get(&self, row: usize) -> &'a str {
        self.values.value(self.key(row))
    }

    /// The place of a row's text among `values`.
    pub(crate) fn key(&self, row: usize) -> usize {
        self.keys.value(row) as usize
    }
}

impl<'a> EventColumns<'a> {
    /// Finds the columns.
    pub(crate) fn new(signal: EventSignal, batch: &'a RecordBatch) -> Result<Self, StorageError> {
        let find = Finder(batch);
        let own = match signal {
            EventSignal::Logs => OwnColumns::Logs(LogColumns {
                observed_time: find.primitive("observed_time")?,
                severity: find.primitive("severity")?,
                severity_text: find.dictionary("severity_text")?,
                body: find.text("body")?,
                body_structured: find.boolean("body_structured")?,
            }),
            EventSignal::Spans => OwnColumns::Spans(SpanColumns {
                end_time: find.primitive("end_time")?,
                duration: find.primitive("duration")?,
                kind: find.dictionary("kind")?,
                status: find.dictionary("status")?,
                status_message: find.dictionary("status_message")?,
                parent_span_id: find.fixed("parent_span_id", 8)?,
                trace_state: find.dictionary("trace_state")?,
                events: find.text("events")?,
                dropped_events_count: find.primitive("dropped_events_count")?,
                links: find.text("links")?,
                dropped_links_count: find.primitive("dropped_links_count")?,
            }),
        };
        let name = match signal {
            EventSignal::Logs => "event_name",
            EventSignal::Spans => "name",
        };
        Ok(Self {
            id: find.fixed("id", 16)?,
            time: find.primitive("time")?,
            service: find.dictionary("service")?,
            name: find.dictionary(name)?,
            trace_id: find.fixed("trace_id", 16)?,
            span_id: find.fixed("span_id", 8)?,
            flags: find.primitive("flags")?,
            attributes: find.text("attributes")?,
            dropped_attributes_count: find.primitive("dropped_attributes_count")?,
            resource: find.dictionary("resource")?,
            resource_dropped: find.primitive("resource_dropped_attributes_count")?,
            resource_schema_url: find.dictionary("resource_schema_url")?,
            scope_name: find.dictionary("scope_name")?,
            scope_version: find.dictionary("scope_version")?,
            scope_attributes: find.dictionary("scope_attributes")?,
            scope_dropped: find.primitive("scope_dropped_attributes_count")?,
            scope_schema_url: find.dictionary("scope_schema_url")?,
            exact: find.text("exact")?,
            own,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.time.len()
    }

    pub(crate) fn event_id(&self, row: usize) -> EventId {
        id_at(self.id, row)
    }

    /// The notes of a row on values that JSON text cannot say.
    pub(crate) fn notes(&self, row: usize) -> Option<&'a str> {
        self.exact.is_valid(row).then(|| self.exact.value(row))
    }
}

fn id_at(ids: &FixedSizeBinaryArray, row: usize) -> EventId {
    EventId(u128::from_be_bytes(ids.value(row).try_into().unwrap_or_default()))
}

/// The ids of a batch that has the column.
pub(crate) fn ids(batch: &RecordBatch) -> Result<Vec<EventId>, StorageError> {
    let ids = Finder(batch).fixed("id", 16)?;
    Ok((0..ids.len()).map(|row| id_at(ids, row)).collect())
}

struct Finder<'a>(&'a RecordBatch);

impl<'a> Finder<'a> {
    fn column(&self, name: &str) -> Result<&'a ArrayRef, StorageError> {
        self.0.column_by_name(name).ok_or_else(|| {
            let message = format!("batch of events has no column {name:?} (projected away?)");
            StorageError::new(ErrorKind::InvalidInput, message)
        })
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        name: &str,
    ) -> Result<&'a PrimitiveArray<T>, StorageError> {
        self.column(name)?.as_primitive_opt().ok_or_else(|| wrong_type(name))
    }

    fn text(&self, name: &str) -> Result<&'a StringArray, StorageError> {
        self.column(name)?.as_string_opt().ok_or_else(|| wrong_type(name))
    }

    fn boolean(&self, name: &str) -> Result<&'a BooleanArray, StorageError> {
        self.column(name)?.as_boolean_opt().ok_or_else(|| wrong_type(name))
    }

    fn fixed(&self, name: &str, width: i32) -> Result<&'a FixedSizeBinaryArray, StorageError> {
        self.column(name)?
            .as_fixed_size_binary_opt()
            .filter(|array| array.value_length() == width)
            .ok_or_else(|| wrong_type(name))
    }

    fn dictionary(&self, name: &str) -> Result<Dictionary<'a>, StorageError> {
        let array =
            self.column(name)?.as_dictionary_opt::<Int32Type>().ok_or_else(|| wrong_type(name))?;
        let values = array.values().as_string_opt().ok_or_else(|| wrong_type(name))?;
        Ok(Dictionary { keys: array.keys(), values })
    }
}

fn wrong_type(name: &str) -> StorageError {
    let message = format!("column {name:?} of a batch of events has an unknown type");
    StorageError::new(ErrorKind::InvalidInput, message)
}

/// One row as an event that predicates can be put to.
pub(crate) struct Row<'a> {
    pub(crate) columns: &'a EventColumns<'a>,
    pub(crate) row: usize,
}

impl<'a> EventFields for Row<'a> {
    fn field(&self, field: &Field) -> Option<FieldValue<'_>> {
        let (columns, row) = (self.columns, self.row);
        let repeated = |dictionary: &Dictionary<'a>| {
            let text = dictionary.get(row);
            (!text.is_empty()).then_some(FieldValue::Text(Cow::Borrowed(text)))
        };
        match (field, &columns.own) {
            (Field::Service, _) => repeated(&columns.service),
            (Field::Name, _) => repeated(&columns.name),
            (Field::Scope, _) => repeated(&columns.scope_name),
            (Field::TraceId, _) => hex(columns.trace_id, row),
            (Field::SpanId, _) => hex(columns.span_id, row),
            (Field::Attribute(key), _) => self.attribute(key),
            (Field::EventAttribute(key), _) => self.found_in("attributes", key),
            (Field::ResourceAttribute(key), _) => self.found_in("resource", key),
            (Field::ScopeAttribute(key), _) => self.found_in("scope_attributes", key),
            (Field::Text, OwnColumns::Spans(spans)) => {
                Some(FieldValue::Text(Cow::Owned(self.span_text(spans))))
            }
            (Field::Severity, OwnColumns::Logs(logs)) => {
                Some(FieldValue::Number(logs.severity.value(row).into()))
            }
            (Field::Body | Field::Text, OwnColumns::Logs(logs)) => {
                Some(FieldValue::Text(Cow::Borrowed(logs.body.value(row))))
            }
            (Field::Kind, OwnColumns::Spans(spans)) => repeated(&spans.kind),
            (Field::Status, OwnColumns::Spans(spans)) => repeated(&spans.status),
            (Field::StatusMessage, OwnColumns::Spans(spans)) => repeated(&spans.status_message),
            (Field::ParentSpanId, OwnColumns::Spans(spans)) => hex(spans.parent_span_id, row),
            (Field::Duration, OwnColumns::Spans(spans)) => {
                let duration = std::time::Duration::from_nanos(spans.duration.value(row));
                Some(FieldValue::Number(duration.as_secs_f64()))
            }
            _ => None,
        }
    }
}

impl Row<'_> {
    fn attribute(&self, key: &str) -> Option<FieldValue<'_>> {
        self.found_in("attributes", key).or_else(|| self.found_in("resource", key))
    }

    /// The text of a column that holds a JSON object.
    fn object(&self, column: &str) -> &str {
        match column {
            "resource" => self.columns.resource.get(self.row),
            "scope_attributes" => self.columns.scope_attributes.get(self.row),
            _ => self.columns.attributes.value(self.row),
        }
    }

    /// The value under a key of a column that holds a JSON object.
    fn found_in(&self, column: &str, key: &str) -> Option<FieldValue<'_>> {
        let text = self.object(column);
        match self.notes_on(column) {
            None => json::find(text, key),
            Some(notes) => {
                let mut value = json::parse(text)?;
                exact::restore(column, notes, &mut value)?;
                match value {
                    AnyValue::Map(map) => map.get(key).map(|v| owned(FieldValue::from(v))),
                    _ => None,
                }
            }
        }
    }

    /// The row's notes, when one may be on this column.
    fn notes_on(&self, column: &str) -> Option<&str> {
        self.columns.notes(self.row).filter(|notes| notes.contains(column))
    }

    /// What [`Field::Text`] is of a span.
    fn span_text(&self, spans: &SpanColumns<'_>) -> String {
        let row = self.row;
        let mut text = String::new();
        let mut push = |line: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{line}");
        };
        push(&self.columns.name.get(row));
        push(&spans.status_message.get(row));
        let read = |column: &str, json: &str| {
            let mut value = json::parse(json)?;
            if let Some(notes) = self.notes_on(column) {
                exact::restore(column, notes, &mut value)?;
            }
            Some(value)
        };
        let mut push_values = |value: Option<&AnyValue>| {
            if let Some(AnyValue::Map(map)) = value {
                map.iter().for_each(|(_, value)| push(value));
            }
        };
        push_values(read("attributes", self.columns.attributes.value(row)).as_ref());
        if spans.events.is_valid(row)
            && let Some(AnyValue::Array(events)) = read("events", spans.events.value(row))
        {
            for event in &events {
                let AnyValue::Map(event) = event else { continue };
                let name = Attributes::from_iter(event.get("name").map(|name| ("", name.clone())));
                push_values(Some(&AnyValue::Map(name)));
                push_values(event.get("attributes"));
            }
        }
        text
    }

    /// Whether [`Field::Text`] of the row cannot contain this: what JSON writes as it is stands in
    /// the columns as it is.
    pub(crate) fn lacks_text(&self, finder: &TextFinder) -> bool {
        let OwnColumns::Spans(spans) = &self.columns.own else { return false };
        let row = self.row;
        let texts = [
            self.columns.name.get(row),
            spans.status_message.get(row),
            self.columns.attributes.value(row),
            spans.events.value(row),
        ];
        finder.is_plain && !texts.iter().any(|text| finder.is_in(text))
    }
}

/// Looks for text in any ASCII case.
pub(crate) struct TextFinder {
    needle: Vec<u8>,
    /// Whether the text is the same within JSON.
    is_plain: bool,
}

impl TextFinder {
    pub(crate) fn new(needle: &str) -> Self {
        let is_plain = !needle.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'));
        Self { needle: needle.to_ascii_lowercase().into_bytes(), is_plain }
    }

    /// Whether the text stands in `text`.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let Some((&first, rest)) = self.needle.split_first() else { return true };
        let text = text.as_bytes();
        let Some(last_start) = text.len().checked_sub(self.needle.len()) else { return false };
        let mut at = 0;
        while at <= last_start {
            let window = text.get(at..=last_start).unwrap_or_default();
            let Some(found) = memchr::memchr2(first, first.to_ascii_uppercase(), window) else {
                return false;
            };
            at += found + 1;
            let tail = text.get(at..at + rest.len()).unwrap_or_default();
            if tail.eq_ignore_ascii_case(rest) {
                return true;
            }
        }
        false
    }
}

fn owned(value: FieldValue<'_>) -> FieldValue<'static> {
    match value {
        FieldValue::Text(text) => FieldValue::Text(Cow::Owned(text.into_owned())),
        FieldValue::Number(number) => FieldValue::Number(number),
    }
}

fn hex(ids: &FixedSizeBinaryArray, row: usize) -> Option<FieldValue<'static>> {
    if ids.is_null(row) {
        return None;
    }
    let mut text = String::with_capacity(32);
    for byte in ids.value(row) {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    Some(FieldValue::Text(Cow::Owned(text)))
}
