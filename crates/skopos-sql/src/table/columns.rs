//! The columns of `logs` and `spans`, and how they come from the store's.
//!
//! The store's columns are kept under their names. Three things differ, so that queries read well:
//! ids are hexadecimal text; repeated text is plain text; and there are columns made of others:
//! `level` (the name of the severity's band) and `duration_ms`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, Float64Array, RecordBatch,
    RecordBatchOptions, StringBuilder, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{
    DataType, Field, Int32Type, Schema, SchemaRef, UInt8Type, UInt64Type,
};
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use skopos_model::SeverityNumber;
use skopos_model::event::EventSignal;
use skopos_store::event::event_schema;

/// How a column comes from the store's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// As it is.
    Same,
    /// Repeated text, spelt out.
    Text,
    /// Bytes in hexadecimal.
    Hex,
    /// The name of the severity's band, such as `ERROR`; empty when unspecified.
    Level,
    /// Nanoseconds in milliseconds.
    Millis,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// The store's column.
    pub(crate) stored: &'static str,
    pub(crate) made: Made,
}

const fn same(name: &'static str) -> Column {
    Column { name, stored: name, made: Made::Same }
}

const fn text(name: &'static str) -> Column {
    Column { name, stored: name, made: Made::Text }
}

const fn hex(name: &'static str) -> Column {
    Column { name, stored: name, made: Made::Hex }
}

const fn made(name: &'static str, stored: &'static str, made: Made) -> Column {
    Column { name, stored, made }
}

/// In the order of `SELECT *`: what people look at first comes first.
const LOGS: [Column; 24] = [
    same("time"),
    made("level", "severity", Made::Level),
    text("service"),
    same("body"),
    same("attributes"),
    hex("trace_id"),
    hex("span_id"),
    same("severity"),
    text("severity_text"),
    text("event_name"),
    same("body_structured"),
    same("observed_time"),
    same("flags"),
    same("resource"),
    text("scope_name"),
    text("scope_version"),
    same("scope_attributes"),
    same("dropped_attributes_count"),
    same("resource_dropped_attributes_count"),
    text("resource_schema_url"),
    same("scope_dropped_attributes_count"),
    text("scope_schema_url"),
    same("exact"),
    hex("id"),
];

const SPANS: [Column; 30] = [
    same("time"),
    text("service"),
    text("name"),
    text("kind"),
    text("status"),
    made("duration_ms", "duration", Made::Millis),
    same("attributes"),
    hex("trace_id"),
    hex("span_id"),
    hex("parent_span_id"),
    same("duration"),
    same("end_time"),
    text("status_message"),
    same("events"),
    same("links"),
    text("trace_state"),
    same("flags"),
    same("resource"),
    text("scope_name"),
    text("scope_version"),
    same("scope_attributes"),
    same("dropped_attributes_count"),
    same("dropped_events_count"),
    same("dropped_links_count"),
    same("resource_dropped_attributes_count"),
    text("resource_schema_url"),
    same("scope_dropped_attributes_count"),
    text("scope_schema_url"),
    same("exact"),
    hex("id"),
];

/// The columns of a signal's table.
pub(crate) fn columns(signal: EventSignal) -> &'static [Column] {
    match signal {
        EventSignal::Logs => &LOGS,
        EventSignal::Spans => &SPANS,
    }
}

/// The schema of a signal's table.
pub(crate) fn table_schema(signal: EventSignal) -> SchemaRef {
    let stored = event_schema(signal);
    let fields = columns(signal).iter().filter_map(|column| {
        let of = stored.field_with_name(column.stored).ok()?;
        let data_type = match column.made {
            Made::Same => of.data_type().clone(),
            Made::Text | Made::Level => DataType::Utf8View,
            Made::Hex => DataType::Utf8,
            Made::Millis => DataType::Float64,
        };
        Some(Field::new(column.name, data_type, of.is_nullable()))
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The store's columns that `wanted` are made of, each once; never none, so that rows can be
/// counted.
pub(crate) fn stored_names(wanted: &[Column]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(wanted.len());
    for column in wanted {
        if !names.iter().any(|name| name == column.stored) {
            names.push(column.stored.to_owned());
        }
    }
    if names.is_empty() {
        names.push("time".to_owned());
    }
    names
}

/// A batch of the table out of a batch of the store that has all columns of `wanted`.
pub(crate) fn table_batch(
    batch: &RecordBatch,
    wanted: &[Column],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let arrays = wanted
        .iter()
        .map(|column| {
            let stored = batch.column_by_name(column.stored).ok_or_else(|| {
                internal_datafusion_err!("the store left out column {:?}", column.stored)
            })?;
            make(column.made, stored)
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

fn make(how: Made, stored: &ArrayRef) -> Result<ArrayRef> {
    Ok(match how {
        Made::Same => Arc::clone(stored),
        Made::Text => {
            let repeated: &DictionaryArray<Int32Type> =
                stored.as_dictionary_opt().ok_or_else(|| unknown(stored))?;
            let texts = cast(repeated.values(), &DataType::Utf8View)?;
            take(&texts, repeated.keys(), None)?
        }
        Made::Hex => {
            let ids = stored.as_fixed_size_binary_opt().ok_or_else(|| unknown(stored))?;
            Arc::new(hexadecimal(ids).finish())
        }
        Made::Level => {
            let numbers = stored.as_primitive_opt::<UInt8Type>().ok_or_else(|| unknown(stored))?;
            let mut names = StringViewBuilder::with_capacity(numbers.len());
            for &number in numbers.values() {
                names.append_value(SeverityNumber(number).name());
            }
            let names: StringViewArray = names.finish();
            Arc::new(names)
        }
        Made::Millis => {
            let nanos = stored.as_primitive_opt::<UInt64Type>().ok_or_else(|| unknown(stored))?;
            let millis: Float64Array = nanos.unary(|nanos| nanos as f64 / 1e6);
            Arc::new(millis)
        }
    })
}

fn unknown(stored: &ArrayRef) -> DataFusionError {
    internal_datafusion_err!("the store gave a column of an unknown type {}", stored.data_type())
}

fn hexadecimal(ids: &FixedSizeBinaryArray) -> StringBuilder {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let width = usize::try_from(ids.value_length()).unwrap_or(0) * 2;
    let mut out = StringBuilder::with_capacity(ids.len(), ids.len() * width);
    let mut text = String::with_capacity(width);
    for row in 0..ids.len() {
        if ids.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        for byte in ids.value(row) {
            text.push(DIGITS[usize::from(byte >> 4)].into());
            text.push(DIGITS[usize::from(byte & 15)].into());
        }
        out.append_value(&text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_column_can_be_queried() {
        for signal in [EventSignal::Logs, EventSignal::Spans] {
            assert_eq!(table_schema(signal).fields().len(), columns(signal).len());
            for field in event_schema(signal).fields() {
                assert!(columns(signal).iter().any(|c| c.stored == field.name()), "{field}");
            }
        }
    }
}
