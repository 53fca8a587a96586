//! Values as JSON: column by column, and a line per row.

use std::fmt::Write as _;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::text::type_name;
use crate::error::SqlError;

/// Beyond this, readers that know only floats lose digits.
const EXACT: u64 = 1 << 53;

const FORMAT: FormatOptions<'static> = FormatOptions::new().with_null("");

fn broken(error: ArrowError) -> SqlError {
    SqlError::Internal { message: format!("cannot write rows: {error}") }
}

/// The cells of a column.
pub(super) enum Cells {
    Int(ArrayRef),
    Uint(ArrayRef),
    Float(ArrayRef),
    Bool(ArrayRef),
    Text(ArrayRef),
    /// Items of lists: where each begins, and their cells.
    List(ArrayRef, Vec<usize>, Box<Cells>),
    Struct(ArrayRef, Vec<(String, Cells)>),
    /// Whatever prints itself.
    Other(ArrayRef),
}

impl Cells {
    pub(super) fn new(array: &ArrayRef) -> Result<Self, SqlError> {
        let to = |to: &DataType| cast(array, to).map_err(broken);
        Ok(match array.data_type() {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Self::Int(to(&DataType::Int64)?)
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Self::Uint(to(&DataType::UInt64)?)
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                Self::Float(to(&DataType::Float64)?)
            }
            DataType::Boolean => Self::Bool(array.clone()),
            DataType::Utf8View => Self::Text(array.clone()),
            DataType::Utf8 | DataType::LargeUtf8 => Self::Text(to(&DataType::Utf8View)?),
            DataType::Dictionary(_, of) => Self::new(&to(of)?)?,
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let starts = list.offsets().iter().map(|&at| at as usize).collect();
                Self::List(array.clone(), starts, Box::new(Self::new(list.values())?))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter();
                let named = fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| Ok((field.name().clone(), Self::new(column)?)));
                Self::Struct(array.clone(), named.collect::<Result<_, SqlError>>()?)
            }
            _ => Self::Other(array.clone()),
        })
    }

    fn array(&self) -> &ArrayRef {
        match self {
            Self::Int(array)
            | Self::Uint(array)
            | Self::Float(array)
            | Self::Bool(array)
            | Self::Text(array)
            | Self::List(array, ..)
            | Self::Struct(array, _)
            | Self::Other(array) => array,
        }
    }

    /// Appends a cell as JSON.
    pub(super) fn push(&self, row: usize, out: &mut String) -> Result<(), SqlError> {
        if self.array().is_null(row) || matches!(self.array().data_type(), DataType::Null) {
            out.push_str("null");
            return Ok(());
        }
        match self {
            Self::Int(array) => {
                let number = array.as_primitive::<Int64Type>().value(row);
                push_whole(out, number.unsigned_abs(), number);
            }
            Self::Uint(array) => {
                let number = array.as_primitive::<UInt64Type>().value(row);
                push_whole(out, number, number);
            }
            Self::Float(array) => {
                let number = array.as_primitive::<Float64Type>().value(row);
                if number.is_finite() {
                    push_float(out, number);
                } else {
                    let _ = write!(out, "\"{}\"", special(number));
                }
            }
            Self::Bool(array) => {
                out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
            }
            Self::Text(array) => push_text(out, array.as_string_view().value(row)),
            Self::List(_, starts, items) => {
                out.push('[');
                let (from, to) = (starts[row], starts[row + 1]);
                for at in from..to {
                    if at > from {
                        out.push(',');
                    }
                    items.push(at, out)?;
                }
                out.push(']');
            }
            Self::Struct(_, fields) => {
                out.push('{');
                for (i, (name, cells)) in fields.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    push_text(out, name);
                    out.push(':');
                    cells.push(row, out)?;
                }
                out.push('}');
            }
            Self::Other(array) => push_text(out, &display(array, row)?),
        }
        Ok(())
    }

    /// A cell as plain text; `None` for NULL.
    pub(super) fn plain(&self, row: usize) -> Result<Option<String>, SqlError> {
        let array = self.array();
        if array.is_null(row) || matches!(array.data_type(), DataType::Null) {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Text(array) => array.as_string_view().value(row).to_owned(),
            Self::Int(array) => array.as_primitive::<Int64Type>().value(row).to_string(),
            Self::Uint(array) => array.as_primitive::<UInt64Type>().value(row).to_string(),
            Self::Float(array) => {
                let number = array.as_primitive::<Float64Type>().value(row);
                if !number.is_finite() {
                    return Ok(Some(special(number).to_owned()));
                }
                let mut text = String::new();
                push_float(&mut text, number);
                text
            }
            Self::Other(array) => display(array, row)?,
            _ => {
                let mut text = String::new();
                self.push(row, &mut text)?;
                text
            }
        }))
    }
}

fn display(array: &ArrayRef, row: usize) -> Result<String, SqlError> {
    let formatter = ArrayFormatter::try_new(array, &FORMAT).map_err(broken)?;
    formatter.value(row).try_to_string().map_err(broken)
}

fn push_whole(out: &mut String, size: u64, number: impl std::fmt::Display) {
    let _ = match size > EXACT {
        true => write!(out, "\"{number}\""),
        false => write!(out, "{number}"),
    };
}

/// The shortest text that reads back as the number, with an exponent when it is far from 1.
fn push_float(out: &mut String, number: f64) {
    let size = number.abs();
    let _ = if size != 0.0 && !(1e-7..1e17).contains(&size) {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    };
}

fn special(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Rows as one JSON object per line.
pub fn ndjson(batch: &RecordBatch) -> Result<String, SqlError> {
    let schema = batch.schema();
    let columns = batch.columns().iter().map(Cells::new).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut name = String::new();
            push_text(&mut name, field.name());
            name
        })
        .collect();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        for (i, (name, cells)) in names.iter().zip(&columns).enumerate() {
            text.push(if i == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push(':');
            cells.push(row, &mut text)?;
        }
        text.push_str("}\n");
    }
    Ok(text)
}

/// Gathers rows column by column: `[{"name":…,"type":…,"values":[…]},…]`.
///
/// A column's values stand together in the text, so all rows are held until the end: give a query
/// whose answer is written so a [limit](crate::SqlQuery::max_rows).
pub struct JsonColumns {
    columns: Vec<String>,
    rows: usize,
}

impl JsonColumns {
    /// No rows yet.
    pub fn new(schema: &Schema) -> Self {
        let column = |field: &datafusion::arrow::datatypes::FieldRef| {
            let mut text = String::from("{\"name\":");
            push_text(&mut text, field.name());
            let _ = write!(text, ",\"type\":\"{}\",\"values\":[", type_name(field.data_type()));
            text
        };
        Self { columns: schema.fields().iter().map(column).collect(), rows: 0 }
    }

    /// Adds rows; yields how many bytes are held now.
    pub fn rows(&mut self, batch: &RecordBatch) -> Result<usize, SqlError> {
        for (text, array) in self.columns.iter_mut().zip(batch.columns()) {
            let cells = Cells::new(array)?;
            for row in 0..batch.num_rows() {
                if self.rows + row > 0 {
                    text.push(',');
                }
                cells.push(row, text)?;
            }
        }
        self.rows += batch.num_rows();
        Ok(self.columns.iter().map(String::len).sum())
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The text, a piece per column.
    pub fn end(self) -> impl Iterator<Item = String> + Send {
        let last = self.columns.len().saturating_sub(1);
        let none = self.columns.is_empty().then(|| "[]".to_owned());
        let columns = self.columns.into_iter().enumerate().map(move |(i, mut text)| {
            if i == 0 {
                text.insert(0, '[');
            }
            text.push_str(if i == last { "]}]" } else { "]}," });
            text
        });
        none.into_iter().chain(columns)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        BooleanArray, DictionaryArray, Float64Array, Int64Array, StringArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use datafusion::arrow::datatypes::Int32Type;

    use super::super::text::{csv_header, csv_rows};
    use super::*;

    fn batch() -> RecordBatch {
        let repeated: DictionaryArray<Int32Type> =
            [Some("a,b"), None, Some("")].into_iter().collect();
        let time =
            TimestampNanosecondArray::from(vec![Some(1), None, Some(1_700_000_000_000_000_000)]);
        RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![Some(-1), None, Some(1 << 60)])) as ArrayRef),
            ("u", Arc::new(UInt64Array::from(vec![0, 7, u64::MAX]))),
            ("f", Arc::new(Float64Array::from(vec![0.1, f64::NAN, 1e300]))),
            ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("t", Arc::new(StringArray::from(vec!["x", "quote \" and\nline", "\u{1}"]))),
            ("d", Arc::new(repeated)),
            ("at", Arc::new(time.with_timezone("UTC"))),
        ])
        .unwrap()
    }

    #[test]
    fn json_is_json() {
        let batch = batch();
        let mut columns = JsonColumns::new(&batch.schema());
        columns.rows(&batch.slice(0, 1)).unwrap();
        columns.rows(&batch.slice(1, 2)).unwrap();
        let text: String = columns.end().collect();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["values"], serde_json::json!([-1, null, "1152921504606846976"]));
        assert_eq!(value[1]["values"][2], "18446744073709551615");
        assert_eq!(value[2]["values"], serde_json::json!([0.1, "NaN", 1e300]));
        assert_eq!(value[3]["values"], serde_json::json!([true, false, null]));
        assert_eq!(value[4]["values"][1], "quote \" and\nline");
        assert_eq!(value[5]["values"], serde_json::json!(["a,b", null, ""]));
        assert_eq!(value[6]["values"][0], "1970-01-01T00:00:00.000000001Z");
        assert_eq!(value[6]["type"], "timestamp");

        let lines = ndjson(&batch).unwrap();
        let rows: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[1]["t"], value[4]["values"][1]);
        let empty: String = JsonColumns::new(&Schema::empty()).end().collect();
        assert_eq!(empty, "[]");
    }

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        let batch = batch();
        let text = csv_header(&batch.schema()) + &csv_rows(&batch).unwrap();
        assert_eq!(
            text,
            "n,u,f,b,t,d,at\r\n\
             -1,0,0.1,true,x,\"a,b\",1970-01-01T00:00:00.000000001Z\r\n\
             ,7,NaN,false,\"quote \"\" and\nline\",,\r\n\
             1152921504606846976,18446744073709551615,1e300,,\u{1},\"\",2023-11-14T22:13:20Z\r\n"
        );
    }
}
