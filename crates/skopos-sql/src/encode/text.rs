//! Values as text: CSV, and the names of types.

use std::fmt::Write as _;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema};

use super::json::Cells;
use crate::error::SqlError;

/// What a type is called in answers.
pub fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => "integer",
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "float",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "decimal",
        DataType::Timestamp(..) => "timestamp",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Duration(_) | DataType::Interval(_) => "interval",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytes",
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => "list",
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => "struct",
        DataType::Dictionary(_, of) => type_name(of),
        _ => "text",
    }
}

/// The first line of a CSV document.
pub fn csv_header(schema: &Schema) -> String {
    let mut line = String::new();
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            line.push(',');
        }
        push_field(&mut line, field.name());
    }
    line.push_str("\r\n");
    line
}

/// Rows as lines of a CSV document (RFC 4180).
pub fn csv_rows(batch: &RecordBatch) -> Result<String, SqlError> {
    let columns = batch.columns().iter().map(Cells::new).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        for (i, cells) in columns.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            if let Some(cell) = cells.plain(row)? {
                push_field(&mut text, &cell);
            }
        }
        text.push_str("\r\n");
    }
    Ok(text)
}

fn push_field(line: &mut String, field: &str) {
    let quoted = field.is_empty() || field.contains([',', '"', '\r', '\n']);
    if quoted {
        let _ = write!(line, "\"{}\"", field.replace('"', "\"\""));
    } else {
        line.push_str(field);
    }
}
