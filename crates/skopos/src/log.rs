//! Log lines: from a `tracing` event to one redacted record, and from there to every sink.
//!
//! The record is redacted once, while it is collected; the sinks (JSON, pretty, OTLP) only ever see the redacted form. Fields
//! of the enclosing spans come first, those of the event last, and the last value of a name wins, so no key repeats. The
//! names `timestamp`, `level`, `service`, `version`, `environment`, `trace_id` and `span_id` belong to the line: an event's
//! own field of such a name is shown as `event.<name>`. So is an event's own `request_id` that is another than the request's.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use skopos_redact::Redactor;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::clock::Clock;
use crate::context::{self, BoundRequestId, RequestContext, TraceIds};
use crate::metrics::{Bounded, Counter, Family, LabelValue, Registry};

pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod limit;
pub(crate) mod metrics;
pub(crate) mod panic;
pub(crate) mod pretty;
pub(crate) mod record;
pub(crate) mod spans;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod writer;

use limit::{Limiter, Verdict};
use record::{Record, Value};

/// The field that says how many lines of a call site were suppressed before this one.
const SUPPRESSED: &str = "suppressed_lines";

/// The target of spans that the SDK makes itself. Their many semantic fields are not repeated on each line.
pub(crate) const HTTP_TARGET: &str = "skopos::http";

/// Takes finished records. Must not block and must not log.
pub(crate) trait Sink: Send + Sync {
    fn write(&self, record: &Record);
}

impl Sink for Arc<dyn Sink> {
    fn write(&self, record: &Record) {
        (**self).write(record);
    }
}

/// Fields of a span, redacted when they were recorded.
struct SpanFields(Vec<(&'static str, Value<Arc<str>>)>);

/// Where records are made and go: shared by the layer and the handle that flushes.
pub(crate) struct Pipeline {
    redactor: Redactor,
    /// Tells the redactors of a process apart in [`NAMES`].
    redactor_id: u32,
    clock: Clock,
    sinks: Vec<Box<dyn Sink>>,
    limiter: Option<Limiter>,
    events: Family<EventLabels, Counter>,
}

/// Turns events into records.
pub(crate) struct LogLayer {
    pipeline: Arc<Pipeline>,
    dispatch: OnceLock<WeakDispatch>,
}

crate::labels! {
    struct EventLabels { level: LevelLabel, target: Bounded<50> }
}

/// Only these two are counted: they are what somebody has to look at.
#[derive(Debug, Clone, Copy)]
struct LevelLabel(&'static str);

impl LabelValue for LevelLabel {
    const LIMIT: usize = 2;

    fn label(&self) -> &str {
        self.0
    }
}

thread_local! {
    /// One record a thread, so that a line does not allocate. Taken out while in use: a field whose `Debug` logs finds none
    /// and makes its own.
    static RECORD: Cell<Option<Box<Record>>> = const { Cell::new(None) };
}

/// Names that are known to be harmless, by address: a field's name is a constant of the program, so one look is enough.
const NAMES_KEPT: usize = 256;

/// The place of a name. The names of one event lie side by side, so neighbours must not meet.
fn place_of(address: usize, length: usize) -> usize {
    let mixed = (address as u64 ^ (length as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 56).unwrap_or(0) % NAMES_KEPT
}

/// Address and length of a name, and the redactor that let it pass.
type KnownName = (usize, usize, u32);

thread_local! {
    static NAMES: RefCell<Vec<KnownName>> = const { RefCell::new(Vec::new()) };
}

impl Pipeline {
    pub(crate) fn new(
        redactor: Redactor,
        clock: Clock,
        sinks: Vec<Box<dyn Sink>>,
        limit_per_second: Option<u32>,
        metrics: &Registry,
    ) -> Arc<Pipeline> {
        static REDACTORS: AtomicU32 = AtomicU32::new(1);
        let help = "ERROR and WARN events, by target.";
        let events = metrics.counter_family("skopos_log_events_total", help);
        let pipeline = Arc::new(Pipeline {
            redactor,
            redactor_id: REDACTORS.fetch_add(1, Ordering::Relaxed),
            clock,
            sinks,
            limiter: limit_per_second.map(Limiter::new),
            events,
        });
        let weak = Arc::downgrade(&pipeline);
        metrics.counter_fn(
            "skopos_log_lines_suppressed_total",
            "Log lines beyond the limit of their call site.",
            &[],
            move || weak.upgrade().map_or(0, |pipeline| pipeline.suppressed()),
        );
        pipeline
    }

    pub(crate) fn suppressed(&self) -> u64 {
        self.limiter.as_ref().map_or(0, Limiter::suppressed)
    }

    /// Writes a line for each call site whose suppressed lines no other line has told of.
    pub(crate) fn tell_suppressed(&self) {
        let Some(limiter) = &self.limiter else { return };
        for (call_site, suppressed) in limiter.take_untold() {
            let mut record = Record::default();
            record.reset(self.clock.now(), Level::WARN, "skopos");
            record.put("message", Value::Text("log lines suppressed"));
            record.put("call_site", Value::Text(&call_site));
            record.put(SUPPRESSED, Value::Unsigned(suppressed));
            self.write(&record);
        }
    }

    fn write(&self, record: &Record) {
        for sink in &self.sinks {
            sink.write(record);
        }
    }

    /// Whether a value of this name may be shown, its text aside.
    fn is_harmless(&self, name: &'static str) -> bool {
        let key = (name.as_ptr().addr(), name.len(), self.redactor_id);
        let place = place_of(key.0, key.1);
        let is_known = NAMES
            .try_with(|names| names.borrow().get(place).is_some_and(|known| *known == key))
            .unwrap_or(false);
        if is_known {
            return true;
        }
        let is_harmless = !self.redactor.redact_name(name);
        if is_harmless {
            let _ = NAMES.try_with(|names| {
                let mut names = names.borrow_mut();
                names.resize(NAMES_KEPT, (0, 0, 0));
                if let Some(known) = names.get_mut(place) {
                    *known = key;
                }
            });
        }
        is_harmless
    }

    fn count(&self, level: Level, target: &str) {
        let level = match level {
            Level::ERROR => LevelLabel("ERROR"),
            Level::WARN => LevelLabel("WARN"),
            _ => return,
        };
        self.events.get(&EventLabels { level, target: target.into() }).inc();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        let _ = self.dispatch.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = SpanFields(Vec::new());
        let mut request_id = None;
        let mut collect = Collect {
            pipeline: &self.pipeline,
            put: |name, value: Value<&str>| put(&mut fields.0, name, value),
        };
        if span.metadata().target() == HTTP_TARGET {
            attributes.record(&mut RequestIdOf(&mut request_id));
        } else {
            attributes.record(&mut collect);
        }
        let mut extensions = span.extensions_mut();
        if let Some(id) = request_id {
            extensions.replace(BoundRequestId(id));
        }
        extensions.replace(fields);
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if span.metadata().target() == HTTP_TARGET {
            return;
        }
        // Collected before the extensions are locked: a value's `Debug` is foreign code.
        let mut recorded = Vec::new();
        values.record(&mut Collect {
            pipeline: &self.pipeline,
            put: |name, value: Value<&str>| put(&mut recorded, name, value),
        });
        if let Some(fields) = span.extensions_mut().get_mut::<SpanFields>() {
            for (name, value) in recorded {
                put(&mut fields.0, name, value.borrowed());
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        // A record of the `log` crate names its own target; the event's is that of the bridge.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let pipeline = &*self.pipeline;
        pipeline.count(*metadata.level(), metadata.target());
        if pipeline.sinks.is_empty() {
            return;
        }
        let time = pipeline.clock.now();
        let of_bridge = normalized.is_some();
        let suppressed = match &pipeline.limiter {
            None => 0,
            Some(limiter) => match limiter.judge(metadata, of_bridge, time) {
                Verdict::Write { suppressed } => suppressed,
                Verdict::Suppress => return,
            },
        };
        let mut record = RECORD.try_with(Cell::take).ok().flatten().unwrap_or_default();
        record.reset(time, *metadata.level(), metadata.target());
        let span = context.event_span(event);
        if let Some(span) = &span {
            record.trace = context::known_trace(span).or_else(|| self.trace_of(&span.id()));
            if span.parent().is_none() {
                put_span(&mut record, span);
            } else {
                for ancestor in span.scope().from_root() {
                    put_span(&mut record, &ancestor);
                }
            }
        }
        if record.request_id.is_none() || record.trace.is_none() {
            fill_from_request(&mut record);
        }
        {
            let record = &mut *record;
            event.record(&mut Collect {
                pipeline,
                put: |name: &'static str, value: Value<&str>| {
                    if !of_bridge || !name.starts_with("log.") {
                        record.put(name, value);
                    }
                },
            });
        }
        if suppressed > 0 {
            record.put(SUPPRESSED, Value::Unsigned(suppressed));
        }
        pipeline.write(&record);
        let _ = RECORD.try_with(|kept| kept.set(Some(record)));
    }
}

impl LogLayer {
    pub(crate) fn new(pipeline: Arc<Pipeline>) -> LogLayer {
        LogLayer { pipeline, dispatch: OnceLock::new() }
    }

    fn trace_of(&self, id: &Id) -> Option<TraceIds> {
        context::trace_of(&self.dispatch.get()?.upgrade()?, id)
    }
}

/// Where the request's span is filtered out, the request itself still knows its ids.
fn fill_from_request(record: &mut Record) {
    let Some(request) = RequestContext::current() else { return };
    if record.trace.is_none() {
        record.trace = request.remote.as_ref().map(TraceIds::from);
    }
    record.request_id.get_or_insert_with(|| request.request_id.clone());
}

/// Adds what is bound to a span.
fn put_span<'r, R: LookupSpan<'r>>(record: &mut Record, span: &SpanRef<'r, R>) {
    let extensions = span.extensions();
    if let Some(BoundRequestId(id)) = extensions.get::<BoundRequestId>() {
        record.request_id = Some(id.clone());
    }
    if let Some(SpanFields(fields)) = extensions.get::<SpanFields>() {
        for (name, value) in fields {
            record.put(name, value.borrowed());
        }
    }
}

fn put(fields: &mut Vec<(&'static str, Value<Arc<str>>)>, name: &'static str, value: Value<&str>) {
    let value = value.map(Arc::from);
    match fields.iter_mut().find(|(existing, _)| *existing == name) {
        Some((_, existing)) => *existing = value,
        None => fields.push((name, value)),
    }
}

/// Redacts values while they are visited.
struct Collect<'r, F> {
    pipeline: &'r Pipeline,
    put: F,
}

impl<F: FnMut(&'static str, Value<&str>)> Collect<'_, F> {
    fn text(&mut self, field: &Field, text: &str) {
        let name = field_name(field);
        let is_cut = record::is_beyond(text);
        // What is cut off below needs not be looked through here, on the caller's thread.
        let text = record::bounded(text);
        let shown = if name == "message" || self.pipeline.is_harmless(name) {
            self.pipeline.redactor.redact_text(text).text
        } else {
            self.pipeline.redactor.redact_value(name, text)
        };
        if is_cut {
            (self.put)(name, Value::Text(&record::beginning(&shown)));
        } else {
            (self.put)(name, Value::Text(&shown));
        }
    }

    fn plain(&mut self, field: &Field, value: Value<&str>) {
        let name = field_name(field);
        let hidden = !self.pipeline.is_harmless(name);
        let redactor = &self.pipeline.redactor;
        // A card number may also come as a number.
        let is_secret = hidden
            || match &value {
                // Card numbers have at least thirteen digits.
                Value::Signed(number @ 1_000_000_000_000..) => {
                    !redactor.redact_text(&number.to_string()).hits.is_empty()
                }
                Value::Unsigned(number @ 1_000_000_000_000..) => {
                    !redactor.redact_text(&number.to_string()).hits.is_empty()
                }
                _ => false,
            };
        (self.put)(name, if is_secret { Value::Text(skopos_redact::REDACTED) } else { value });
    }
}

/// `r#type` is the field `type`.
fn field_name(field: &Field) -> &'static str {
    let name = field.name();
    name.strip_prefix("r#").unwrap_or(name)
}

impl<F: FnMut(&'static str, Value<&str>)> Visit for Collect<'_, F> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, Value::Unsigned(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.text(field, &value.to_string());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.text(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // An error means that it cannot be shown: what there is must do. (`to_string` would panic.)
        let mut text = String::new();
        let _ = write!(text, "{value}");
        let mut source = value.source();
        // Bounded: a cause may, wrongly, name itself.
        for _ in 0..16 {
            let Some(cause) = source else { break };
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.text(field, &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        record::with_debug_text(value, |text| self.text(field, text));
    }
}

/// Finds the request id that the HTTP layer gave its span.
struct RequestIdOf<'a>(&'a mut Option<Arc<str>>);

impl Visit for RequestIdOf<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "request_id" {
            *self.0 = Some(Arc::from(value));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
