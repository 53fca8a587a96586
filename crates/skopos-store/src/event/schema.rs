//! The documented schemas of events.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use skopos_model::event::EventSignal;

/// The time zone of all time columns.
pub(super) const UTC: &str = "UTC";

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()))
}

/// Text that repeats from row to row.
fn repeated() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn sender_fields() -> Vec<Field> {
    vec![
        Field::new("resource", repeated(), false),
        Field::new("resource_dropped_attributes_count", DataType::UInt32, false),
        Field::new("resource_schema_url", repeated(), false),
        Field::new("scope_name", repeated(), false),
        Field::new("scope_version", repeated(), false),
        Field::new("scope_attributes", repeated(), false),
        Field::new("scope_dropped_attributes_count", DataType::UInt32, false),
        Field::new("scope_schema_url", repeated(), false),
        Field::new("exact", DataType::Utf8, true),
    ]
}

static LOGS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        Field::new("id", DataType::FixedSizeBinary(16), false),
        Field::new("time", time(), false),
        Field::new("observed_time", time(), false),
        Field::new("severity", DataType::UInt8, false),
        Field::new("severity_text", repeated(), false),
        Field::new("service", repeated(), false),
        Field::new("event_name", repeated(), false),
        Field::new("body", DataType::Utf8, false),
        Field::new("body_structured", DataType::Boolean, false),
        Field::new("trace_id", DataType::FixedSizeBinary(16), true),
        Field::new("span_id", DataType::FixedSizeBinary(8), true),
        Field::new("flags", DataType::UInt32, false),
        Field::new("attributes", DataType::Utf8, false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
    ];
    fields.extend(sender_fields());
    Arc::new(Schema::new(fields))
});

static SPANS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        Field::new("id", DataType::FixedSizeBinary(16), false),
        Field::new("time", time(), false),
        Field::new("end_time", time(), false),
        Field::new("duration", DataType::UInt64, false),
        Field::new("service", repeated(), false),
        Field::new("name", repeated(), false),
        Field::new("kind", repeated(), false),
        Field::new("status", repeated(), false),
        Field::new("status_message", repeated(), false),
        Field::new("trace_id", DataType::FixedSizeBinary(16), true),
        Field::new("span_id", DataType::FixedSizeBinary(8), true),
        Field::new("parent_span_id", DataType::FixedSizeBinary(8), true),
        Field::new("trace_state", repeated(), false),
        Field::new("flags", DataType::UInt32, false),
        Field::new("attributes", DataType::Utf8, false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
        Field::new("events", DataType::Utf8, true),
        Field::new("dropped_events_count", DataType::UInt32, false),
        Field::new("links", DataType::Utf8, true),
        Field::new("dropped_links_count", DataType::UInt32, false),
    ];
    fields.extend(sender_fields());
    Arc::new(Schema::new(fields))
});

/// Columns of a log record.
///
/// | column | type | holds |
/// |---|---|---|
/// | `id` | 16 bytes | the [`EventId`](skopos_model::EventId), big-endian, so that byte order is id order |
/// | `time`, `observed_time` | timestamp, ns, UTC | |
/// | `severity` | u8 | OpenTelemetry's number |
/// | `severity_text` | text | as the source wrote it |
/// | `service` | text | `service.name`, empty when there is none |
/// | `event_name` | text | empty for plain logs |
/// | `body` | text | the text, or a structured body as JSON |
/// | `body_structured` | bool | whether `body` is JSON; an empty `body` is then "no body" |
/// | `trace_id`, `span_id` | 16, 8 bytes | null when there is none |
/// | `flags` | u32 | W3C trace flags |
/// | `attributes`, `dropped_attributes_count` | JSON object, u32 | keys in the sender's order |
/// | `resource`, `resource_dropped_attributes_count`, `resource_schema_url` | JSON object, u32, text | the sender |
/// | `scope_name`, `scope_version`, `scope_attributes`, `scope_dropped_attributes_count`, `scope_schema_url` | | the library within it |
/// | `exact` | text | null, or which JSON strings stand for bytes or special floats: `attributes/0/2=b;body=d7ff8000000000000` says that the third item of the first attribute is bytes (base64), and the body a float with these bits |
///
/// Text that repeats (service, resource, scope, names) is dictionary-encoded.
pub fn log_schema() -> SchemaRef {
    Arc::clone(&LOGS)
}

/// Columns of a span. Columns of the same name hold what they hold in [`log_schema`].
///
/// | column | type | holds |
/// |---|---|---|
/// | `time`, `end_time` | timestamp, ns, UTC | start and end |
/// | `duration` | u64 | nanoseconds from start to end |
/// | `name` | text | the operation |
/// | `kind` | text | `server`, `client`, … in lower case |
/// | `status`, `status_message` | text | `UNSET`, `OK`, `ERROR`; description |
/// | `parent_span_id` | 8 bytes | null for a root |
/// | `trace_state` | text | W3C trace state |
/// | `events` | JSON array | null, or `{"time_unix_nano", "name", "attributes", "dropped_attributes_count"}` each |
/// | `links` | JSON array | null, or `{"trace_id", "span_id", "trace_state", "attributes", "dropped_attributes_count", "flags"}` each, ids in hexadecimal |
/// | `dropped_events_count`, `dropped_links_count` | u32 | |
pub fn span_schema() -> SchemaRef {
    Arc::clone(&SPANS)
}

/// The schema of a signal.
pub fn event_schema(signal: EventSignal) -> SchemaRef {
    match signal {
        EventSignal::Logs => log_schema(),
        EventSignal::Spans => span_schema(),
    }
}
