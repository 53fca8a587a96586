//! Turns records into rows.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, FixedSizeBinaryBuilder, StringBuilder, TimestampNanosecondBuilder,
    UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use skopos_model::{
    AnyValue, Attributes, EventId, LogBatch, LogRecord, Resource, Scope, Span, SpanEvent, SpanLink,
    TraceBatch,
};

use super::exact;
use super::schema::{UTC, log_schema, span_schema};

/// Where a batch is cut: text columns have 31-bit offsets, and merging moves whole batches.
const MOST_ROWS: usize = 8192;
const MOST_BYTES: usize = 16 << 20;

/// Rows of a prepared batch of log records, in batches of bounded size.
pub fn log_batches(first_sequence: u64, batch: &LogBatch) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let mut builder = LogBuilder::default();
    let mut sequence = first_sequence;
    for group in &batch.groups {
        let mut sender = None;
        for record in &group.records {
            let of = sender
                .get_or_insert_with(|| builder.columns.sender(&group.resource, &group.scope))
                .clone();
            builder.push_of(EventId::new(record.time, sequence), &of, record);
            sequence += 1;
            if builder.columns.is_full() {
                batches.push(std::mem::take(&mut builder).finish());
                sender = None;
            }
        }
    }
    if !builder.is_empty() {
        batches.push(builder.finish());
    }
    batches
}

/// Rows of a prepared batch of spans, in batches of bounded size.
pub fn span_batches(first_sequence: u64, batch: &TraceBatch) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let mut builder = SpanBuilder::default();
    let mut sequence = first_sequence;
    for group in &batch.groups {
        let mut sender = None;
        for span in &group.spans {
            let of = sender
                .get_or_insert_with(|| builder.columns.sender(&group.resource, &group.scope))
                .clone();
            builder.push_of(EventId::new(span.start_time, sequence), &of, span);
            sequence += 1;
            if builder.columns.is_full() {
                batches.push(std::mem::take(&mut builder).finish());
                sender = None;
            }
        }
    }
    if !builder.is_empty() {
        batches.push(builder.finish());
    }
    batches
}

/// Builds a batch of [`log_schema`] row by row.
#[derive(Default)]
pub struct LogBuilder {
    columns: Columns,
    observed_time: TimestampNanosecondBuilder,
    severity: UInt8Builder,
    severity_text: Repeated,
    event_name: Repeated,
    body: StringBuilder,
    body_structured: BooleanBuilder,
}

impl LogBuilder {
    /// Appends a row.
    pub fn push(&mut self, id: EventId, resource: &Resource, scope: &Scope, record: &LogRecord) {
        let sender = self.columns.sender(resource, scope);
        self.push_of(id, &sender, record);
    }

    fn push_of(&mut self, id: EventId, sender: &Sender, record: &LogRecord) {
        self.columns.text.clear();
        match &record.body {
            AnyValue::String(body) => {
                self.body.append_value(body);
                self.body_structured.append_value(false);
                self.columns.bytes += body.len();
            }
            body => {
                let _ = write!(self.columns.text, "{body}");
                self.body.append_value(&self.columns.text);
                self.body_structured.append_value(true);
                self.columns.bytes += self.columns.text.len();
                exact::note("body", body, &mut self.columns.notes);
            }
        }
        self.observed_time.append_value(record.observed_time.0);
        self.severity.append_value(record.severity.0);
        self.severity_text.push(&record.severity_text);
        self.event_name.push(&record.event_name);
        self.columns.push(
            id,
            sender,
            record.time.0,
            (&record.trace_id.0, &record.span_id.0),
            record.flags,
            (&record.attributes, record.dropped_attributes_count),
        );
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch.
    pub fn finish(mut self) -> RecordBatch {
        let c = &mut self.columns;
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(c.id.finish()),
            Arc::new(c.time.finish().with_timezone(UTC)),
            Arc::new(self.observed_time.finish().with_timezone(UTC)),
            Arc::new(self.severity.finish()),
            self.severity_text.finish(),
            c.service.finish(),
            self.event_name.finish(),
            Arc::new(self.body.finish()),
            Arc::new(self.body_structured.finish()),
            Arc::new(c.trace_id.finish()),
            Arc::new(c.span_id.finish()),
            Arc::new(c.flags.finish()),
            Arc::new(c.attributes.finish()),
            Arc::new(c.dropped_attributes_count.finish()),
        ];
        arrays.extend(c.finish_sender());
        RecordBatch::try_new(log_schema(), arrays).expect("columns stand in the schema's order")
    }
}

/// Builds a batch of [`span_schema`] row by row.
#[derive(Default)]
pub struct SpanBuilder {
    columns: Columns,
    end_time: TimestampNanosecondBuilder,
    duration: UInt64Builder,
    name: Repeated,
    kind: Repeated,
    status: Repeated,
    status_message: Repeated,
    parent_span_id: IdColumn<8>,
    trace_state: Repeated,
    events: StringBuilder,
    dropped_events_count: UInt32Builder,
    links: StringBuilder,
    dropped_links_count: UInt32Builder,
}

impl SpanBuilder {
    /// Appends a row.
    pub fn push(&mut self, id: EventId, resource: &Resource, scope: &Scope, span: &Span) {
        let sender = self.columns.sender(resource, scope);
        self.push_of(id, &sender, span);
    }

    fn push_of(&mut self, id: EventId, sender: &Sender, span: &Span) {
        self.end_time.append_value(span.end_time.0);
        self.duration.append_value(u64::try_from(span.duration().as_nanos()).unwrap_or(u64::MAX));
        self.name.push(&span.name);
        self.kind.push(span.kind.as_str());
        self.status.push(span.status.code.as_str());
        self.status_message.push(&span.status.message);
        self.parent_span_id.push(&span.parent_span_id.0);
        self.trace_state.push(&span.trace_state);
        let c = &mut self.columns;
        c.push_list("events", &mut self.events, span.events.iter().map(event_value));
        self.dropped_events_count.append_value(span.dropped_events_count);
        c.push_list("links", &mut self.links, span.links.iter().map(link_value));
        self.dropped_links_count.append_value(span.dropped_links_count);
        c.push(
            id,
            sender,
            span.start_time.0,
            (&span.trace_id.0, &span.span_id.0),
            span.flags,
            (&span.attributes, span.dropped_attributes_count),
        );
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch.
    pub fn finish(mut self) -> RecordBatch {
        let c = &mut self.columns;
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(c.id.finish()),
            Arc::new(c.time.finish().with_timezone(UTC)),
            Arc::new(self.end_time.finish().with_timezone(UTC)),
            Arc::new(self.duration.finish()),
            c.service.finish(),
            self.name.finish(),
            self.kind.finish(),
            self.status.finish(),
            self.status_message.finish(),
            Arc::new(c.trace_id.finish()),
            Arc::new(c.span_id.finish()),
            Arc::new(self.parent_span_id.finish()),
            self.trace_state.finish(),
            Arc::new(c.flags.finish()),
            Arc::new(c.attributes.finish()),
            Arc::new(c.dropped_attributes_count.finish()),
            Arc::new(self.events.finish()),
            Arc::new(self.dropped_events_count.finish()),
            Arc::new(self.links.finish()),
            Arc::new(self.dropped_links_count.finish()),
        ];
        arrays.extend(c.finish_sender());
        RecordBatch::try_new(span_schema(), arrays).expect("columns stand in the schema's order")
    }
}

/// A sender's places in the repeated columns, found once per group.
#[derive(Clone)]
struct Sender {
    service: i32,
    resource: i32,
    resource_dropped: u32,
    resource_schema_url: i32,
    scope: [i32; 4],
    scope_dropped: u32,
    notes: Arc<str>,
}

/// The columns both signals have.
#[derive(Default)]
struct Columns {
    id: IdColumn<16, false>,
    time: TimestampNanosecondBuilder,
    service: Repeated,
    trace_id: IdColumn<16>,
    span_id: IdColumn<8>,
    flags: UInt32Builder,
    attributes: StringBuilder,
    dropped_attributes_count: UInt32Builder,
    resource: Repeated,
    resource_dropped: UInt32Builder,
    resource_schema_url: Repeated,
    /// Name, version, attributes, schema URL.
    scope: [Repeated; 4],
    scope_dropped: UInt32Builder,
    exact: StringBuilder,
    rows: usize,
    bytes: usize,
    /// Notes of the row that is being built.
    notes: String,
    /// Reused for text.
    text: String,
}

impl Columns {
    fn len(&self) -> usize {
        self.rows
    }

    fn is_full(&self) -> bool {
        self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES
    }

    fn sender(&mut self, resource: &Resource, scope: &Scope) -> Sender {
        let mut notes = String::new();
        exact::note_attributes("resource", &resource.attributes, &mut notes);
        exact::note_attributes("scope_attributes", &scope.attributes, &mut notes);
        let to_json = |attributes: &Attributes| {
            let mut text = String::new();
            let _ = attributes.write_json(&mut text);
            text
        };
        let (resource_json, scope_json) =
            (to_json(&resource.attributes), to_json(&scope.attributes));
        self.bytes += resource_json.len() + scope_json.len();
        let [name, version, attributes, schema_url] = &mut self.scope;
        Sender {
            service: self.service.place(resource.service_name()),
            resource: self.resource.place(&resource_json),
            resource_dropped: resource.dropped_attributes_count,
            resource_schema_url: self.resource_schema_url.place(&resource.schema_url),
            scope: [
                name.place(&scope.name),
                version.place(&scope.version),
                attributes.place(&scope_json),
                schema_url.place(&scope.schema_url),
            ],
            scope_dropped: scope.dropped_attributes_count,
            notes: notes.into(),
        }
    }

    fn push(
        &mut self,
        id: EventId,
        sender: &Sender,
        time: i64,
        (trace_id, span_id): (&[u8; 16], &[u8; 8]),
        flags: u32,
        (attributes, dropped): (&Attributes, u32),
    ) {
        self.id.push(&id.0.to_be_bytes());
        self.time.append_value(time);
        self.service.push_place(sender.service);
        self.trace_id.push(trace_id);
        self.span_id.push(span_id);
        self.flags.append_value(flags);
        self.text.clear();
        let _ = attributes.write_json(&mut self.text);
        self.attributes.append_value(&self.text);
        self.bytes += self.text.len() + 200;
        exact::note_attributes("attributes", attributes, &mut self.notes);
        self.dropped_attributes_count.append_value(dropped);
        self.resource.push_place(sender.resource);
        self.resource_dropped.append_value(sender.resource_dropped);
        self.resource_schema_url.push_place(sender.resource_schema_url);
        for (column, place) in self.scope.iter_mut().zip(sender.scope) {
            column.push_place(place);
        }
        self.scope_dropped.append_value(sender.scope_dropped);
        if !sender.notes.is_empty() {
            if !self.notes.is_empty() {
                self.notes.push(';');
            }
            self.notes.push_str(&sender.notes);
        }
        self.exact.append_option((!self.notes.is_empty()).then_some(&self.notes));
        self.notes.clear();
        self.rows += 1;
    }

    fn push_list(
        &mut self,
        column: &str,
        into: &mut StringBuilder,
        items: impl ExactSizeIterator<Item = AnyValue>,
    ) {
        if items.len() == 0 {
            return into.append_null();
        }
        let list = AnyValue::Array(items.collect());
        exact::note(column, &list, &mut self.notes);
        self.text.clear();
        let _ = list.write_json(&mut self.text);
        self.bytes += self.text.len();
        into.append_value(&self.text);
    }

    fn finish_sender(&mut self) -> Vec<ArrayRef> {
        let [name, version, attributes, schema_url] = &mut self.scope;
        vec![
            self.resource.finish(),
            Arc::new(self.resource_dropped.finish()),
            self.resource_schema_url.finish(),
            name.finish(),
            version.finish(),
            attributes.finish(),
            Arc::new(self.scope_dropped.finish()),
            schema_url.finish(),
            Arc::new(self.exact.finish()),
        ]
    }
}

/// Dictionary-encoded text whose places can be looked up ahead.
#[derive(Default)]
struct Repeated {
    keys: Vec<i32>,
    values: StringBuilder,
    places: HashMap<Box<str>, i32>,
}

impl Repeated {
    fn place(&mut self, text: &str) -> i32 {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        let place = self.places.len() as i32;
        self.values.append_value(text);
        self.places.insert(text.into(), place);
        place
    }

    fn push_place(&mut self, place: i32) {
        self.keys.push(place);
    }

    fn push(&mut self, text: &str) {
        let place = self.place(text);
        self.keys.push(place);
    }

    fn finish(&mut self) -> ArrayRef {
        let keys = Int32Array::from(std::mem::take(&mut self.keys));
        let values: StringArray = self.values.finish();
        Arc::new(DictionaryArray::try_new(keys, Arc::new(values)).expect("every key has its value"))
    }
}

/// Ids of fixed size; all zeros means "none" where the column may be null.
struct IdColumn<const N: usize, const NULLABLE: bool = true>(FixedSizeBinaryBuilder);

impl<const N: usize, const NULLABLE: bool> Default for IdColumn<N, NULLABLE> {
    fn default() -> Self {
        Self(FixedSizeBinaryBuilder::new(N as i32))
    }
}

impl<const N: usize, const NULLABLE: bool> IdColumn<N, NULLABLE> {
    fn push(&mut self, id: &[u8; N]) {
        if NULLABLE && *id == [0; N] {
            return self.0.append_null();
        }
        self.0.append_value(id).expect("the array has the column's width");
    }

    fn finish(&mut self) -> arrow_array::FixedSizeBinaryArray {
        self.0.finish()
    }
}

/// A span event as it stands in its column.
fn event_value(event: &SpanEvent) -> AnyValue {
    let mut map = Attributes::new();
    map.push("time_unix_nano", event.time.0);
    map.push("name", AnyValue::String(Arc::clone(&event.name)));
    map.push("attributes", AnyValue::Map(event.attributes.clone()));
    map.push("dropped_attributes_count", i64::from(event.dropped_attributes_count));
    AnyValue::Map(map)
}

/// A span link as it stands in its column.
fn link_value(link: &SpanLink) -> AnyValue {
    let mut map = Attributes::new();
    map.push("trace_id", link.trace_id.to_string());
    map.push("span_id", link.span_id.to_string());
    map.push("trace_state", AnyValue::String(Arc::clone(&link.trace_state)));
    map.push("attributes", AnyValue::Map(link.attributes.clone()));
    map.push("dropped_attributes_count", i64::from(link.dropped_attributes_count));
    map.push("flags", i64::from(link.flags));
    AnyValue::Map(map)
}
