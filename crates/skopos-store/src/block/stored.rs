//! What of an event's columns is in a file: what other columns say already is left out.
//!
//! | column of the schema | in the file |
//! |---|---|
//! | `id` | `sequence`: the half of it that is not `time` |
//! | `observed_time` | `observed_after`: from `time` until then, which is short or the same everywhere |
//! | `end_time` | null where it is `time` plus `duration` |
//!
//! Constraints: nothing is lost, whatever the numbers are: differences wrap around. Files of before
//! version 4 have the columns of the schema as they are, and are read by the same functions.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Int64Array, PrimitiveArray, RecordBatch, TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use skopos_model::event::EventSignal;
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_model::{EventId, Timestamp};

use crate::event::{event_schema, ids};

/// Stands for `id`.
pub(super) const SEQUENCE: &str = "sequence";
/// Stands for `observed_time`.
pub(super) const OBSERVED_AFTER: &str = "observed_after";

/// The columns of a file.
pub(super) fn schema(signal: EventSignal) -> SchemaRef {
    static LOGS: LazyLock<SchemaRef> = LazyLock::new(|| stored(EventSignal::Logs));
    static SPANS: LazyLock<SchemaRef> = LazyLock::new(|| stored(EventSignal::Spans));
    match signal {
        EventSignal::Logs => Arc::clone(&LOGS),
        EventSignal::Spans => Arc::clone(&SPANS),
    }
}

fn stored(signal: EventSignal) -> SchemaRef {
    let field = |field: &Arc<Field>| match field.name().as_str() {
        "id" => Arc::new(Field::new(SEQUENCE, DataType::UInt64, false)),
        "observed_time" => Arc::new(Field::new(OBSERVED_AFTER, DataType::Int64, false)),
        "end_time" => Arc::new(field.as_ref().clone().with_nullable(true)),
        _ => Arc::clone(field),
    };
    let fields: Vec<Arc<Field>> = event_schema(signal).fields().iter().map(field).collect();
    Arc::new(Schema::new(fields))
}

/// Rows as they are written.
pub(super) fn from_rows(
    signal: EventSignal,
    rows: &RecordBatch,
) -> Result<RecordBatch, StorageError> {
    let schema = schema(signal);
    let column = |field: &Arc<Field>| match field.name().as_str() {
        SEQUENCE => sequences(rows),
        OBSERVED_AFTER => observed_after(rows),
        "end_time" => ends_unsaid(rows),
        name => rows.column_by_name(name).cloned(),
    };
    let columns: Option<Vec<ArrayRef>> = schema.fields().iter().map(column).collect();
    let columns = columns.ok_or_else(|| wrong("rows of events are not of their schema"))?;
    RecordBatch::try_new(schema, columns).map_err(|error| {
        StorageError::with_source(ErrorKind::Internal, "cannot put event rows together", error)
    })
}

fn wrong(message: &str) -> StorageError {
    StorageError::new(ErrorKind::Internal, message)
}

/// `None` also when an id does not begin with its row's time, which nobody would notice later.
fn sequences(rows: &RecordBatch) -> Option<ArrayRef> {
    let (ids, times) = (ids(rows).ok()?, numbers::<TimestampNanosecondType>(rows, "time")?);
    let belong = ids.iter().zip(times.values()).all(|(id, time)| id.time().0 == *time);
    belong.then(|| Arc::new(ids.iter().map(|id| id.sequence()).collect::<UInt64Array>()) as _)
}

fn observed_after(rows: &RecordBatch) -> Option<ArrayRef> {
    let times = numbers::<TimestampNanosecondType>(rows, "time")?.values();
    let observed = numbers::<TimestampNanosecondType>(rows, "observed_time")?.values();
    let after = observed.iter().zip(times).map(|(observed, time)| observed.wrapping_sub(*time));
    Some(Arc::new(after.collect::<Int64Array>()))
}

fn ends_unsaid(rows: &RecordBatch) -> Option<ArrayRef> {
    let ends = numbers::<TimestampNanosecondType>(rows, "end_time")?;
    let zone = ends.timezone().map(Arc::from);
    let unsaid = |(end, follows): (&i64, i64)| (*end != follows).then_some(*end);
    let ends = ends.values().iter().zip(following_ends(rows)?).map(unsaid);
    Some(Arc::new(ends.collect::<TimestampNanosecondArray>().with_timezone_opt(zone)))
}

/// Start plus duration of each row.
fn following_ends(rows: &RecordBatch) -> Option<impl Iterator<Item = i64>> {
    let times = numbers::<TimestampNanosecondType>(rows, "time")?.values();
    let durations = numbers::<UInt64Type>(rows, "duration")?.values();
    Some(times.iter().zip(durations).map(|(time, duration)| time.wrapping_add_unsigned(*duration)))
}

fn numbers<'a, T: ArrowPrimitiveType>(
    rows: &'a RecordBatch,
    name: &str,
) -> Option<&'a PrimitiveArray<T>> {
    rows.column_by_name(name)?.as_primitive_opt()
}

/// What must be read of a file for these columns of the schema; `has` says which columns it has.
pub(super) fn columns<'a>(wanted: &[&'a str], has: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let mut columns = wanted.to_vec();
    for name in wanted {
        match *name {
            "id" if !has("id") => columns.extend([SEQUENCE, "time"]),
            "observed_time" if !has("observed_time") => columns.extend([OBSERVED_AFTER, "time"]),
            "end_time" if has(SEQUENCE) => columns.extend(["time", "duration"]),
            _ => {}
        }
    }
    columns
}

/// A column of the schema out of what was read; `None` when it was not asked for.
pub(super) fn column(read: &RecordBatch, name: &str) -> Option<ArrayRef> {
    let as_is = read.column_by_name(name);
    match (name, as_is) {
        ("id", None) => event_ids(read),
        ("observed_time", None) => observed_times(read),
        ("end_time", Some(ends)) if ends.null_count() > 0 => end_times(read),
        (_, as_is) => as_is.cloned(),
    }
}

fn event_ids(read: &RecordBatch) -> Option<ArrayRef> {
    let times = numbers::<TimestampNanosecondType>(read, "time")?.values();
    let sequences = numbers::<UInt64Type>(read, SEQUENCE)?.values();
    let mut ids = FixedSizeBinaryBuilder::with_capacity(read.num_rows(), 16);
    for (time, sequence) in times.iter().zip(sequences) {
        ids.append_value(EventId::new(Timestamp(*time), *sequence).0.to_be_bytes()).ok()?;
    }
    Some(Arc::new(ids.finish()))
}

fn observed_times(read: &RecordBatch) -> Option<ArrayRef> {
    let times = numbers::<TimestampNanosecondType>(read, "time")?;
    let zone = times.timezone().map(Arc::from);
    let after = numbers::<Int64Type>(read, OBSERVED_AFTER)?.values();
    let observed = times.values().iter().zip(after).map(|(time, after)| time.wrapping_add(*after));
    let observed = TimestampNanosecondArray::from_iter_values(observed);
    Some(Arc::new(observed.with_timezone_opt(zone)))
}

fn end_times(read: &RecordBatch) -> Option<ArrayRef> {
    let ends = numbers::<TimestampNanosecondType>(read, "end_time")?;
    let zone = ends.timezone().map(Arc::from);
    let ends = ends.iter().zip(following_ends(read)?).map(|(end, follows)| end.unwrap_or(follows));
    Some(Arc::new(TimestampNanosecondArray::from_iter_values(ends).with_timezone_opt(zone)))
}

#[cfg(test)]
mod tests {
    use skopos_model::{LogBatch, LogRecord, ScopedLogs, ScopedSpans, Span, TraceBatch};

    use super::*;
    use crate::event::{log_batches, span_batches};

    const TIMES: [i64; 5] = [0, -1, i64::MIN, i64::MAX, 1_700_000_000_000_000_000];

    /// Rows with all pairs of odd times, of both signals.
    fn rows() -> [(EventSignal, RecordBatch); 2] {
        let pairs = TIMES.iter().flat_map(|a| TIMES.iter().map(|b| (Timestamp(*a), Timestamp(*b))));
        let record =
            |(time, observed_time)| LogRecord { time, observed_time, ..Default::default() };
        let span = |(start_time, end_time)| Span { start_time, end_time, ..Default::default() };
        let records = pairs.clone().map(record).collect();
        let logs = LogBatch { groups: vec![ScopedLogs { records, ..Default::default() }] };
        let spans = pairs.map(span).collect();
        let spans = TraceBatch { groups: vec![ScopedSpans { spans, ..Default::default() }] };
        // The numbers of a folder that is as old as numbers get.
        [
            (EventSignal::Logs, log_batches(u64::MAX - 25, &logs).remove(0)),
            (EventSignal::Spans, span_batches(7, &spans).remove(0)),
        ]
    }

    #[test]
    fn what_is_left_out_comes_back_whatever_the_numbers() {
        for (signal, rows) in rows() {
            let stored = from_rows(signal, &rows).unwrap();
            assert_eq!(stored.schema(), schema(signal));
            for field in rows.schema().fields() {
                let back = column(&stored, field.name()).unwrap();
                assert_eq!(&back, rows.column_by_name(field.name()).unwrap(), "{}", field.name());
            }
        }
    }

    #[test]
    fn only_ends_that_do_not_follow_are_written() {
        let [_, (signal, rows)] = rows();
        let stored = from_rows(signal, &rows).unwrap();
        let ends = stored.column_by_name("end_time").unwrap();
        let spans = crate::event::spans(&rows).unwrap();
        for (at, span) in spans.iter().enumerate() {
            let span = &span.span;
            let follows = span.end_time >= span.start_time;
            // A duration is cut where the nanoseconds of time end.
            let is_cut = span.end_time.0.checked_sub(span.start_time.0).is_none();
            assert!(is_cut || ends.is_null(at) == follows, "{span:?}");
        }
        assert!((1..rows.num_rows()).contains(&ends.null_count()));
    }

    #[test]
    fn rows_whose_id_is_of_another_time_are_refused() {
        let [(signal, rows), _] = rows();
        let mut columns = rows.columns().to_vec();
        let time = rows.schema().index_of("time").unwrap();
        columns[time] = Arc::clone(rows.column_by_name("observed_time").unwrap());
        let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
        assert!(from_rows(signal, &rows).is_err());
    }

    #[test]
    fn only_what_is_needed_is_read_and_files_of_before_are_read_as_they_are() {
        let new = |name: &str| schema(EventSignal::Logs).index_of(name).is_ok();
        let old = |name: &str| event_schema(EventSignal::Logs).index_of(name).is_ok();
        assert_eq!(columns(&["body"], new), ["body"]);
        assert_eq!(columns(&["id", "body"], new), ["id", "body", SEQUENCE, "time"]);
        assert_eq!(columns(&["observed_time"], new), ["observed_time", OBSERVED_AFTER, "time"]);
        assert_eq!(columns(&["id", "observed_time"], old), ["id", "observed_time"]);
        assert_eq!(columns(&["end_time"], |name| name != "id"), ["end_time", "time", "duration"]);
        let [(signal, rows), _] = rows();
        let body = rows.project(&[rows.schema().index_of("body").unwrap()]).unwrap();
        assert!(column(&body, "id").is_none() && column(&body, "observed_time").is_none());
        assert!(column(&from_rows(signal, &rows).unwrap(), "body").is_some());
    }
}
