//! Questions about events (log records and spans): which signal, when, and predicates on fields.
//!
//! One meaning for every caller: the filter language, the compatible APIs and the store all use
//! [`Predicate`], and [`Predicate::matches`] is its definition. A store may prune by other means,
//! but must return exactly what this function accepts.

use std::borrow::Cow;
use std::fmt::Write as _;

use regex::Regex;

use crate::attributes::{AnyValue, Attributes};
use crate::id::EventId;
use crate::log::LogRecord;
use crate::resource::{Resource, Scope};
use crate::time::TimeRange;
use crate::trace::Span;

/// The two signals stored as events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventSignal {
    /// Log records, timed by [`LogRecord::time`].
    Logs,
    /// Spans, timed by [`Span::start_time`].
    Spans,
}

/// A request for events.
#[derive(Clone, Debug)]
pub struct EventScan {
    /// Which signal.
    pub signal: EventSignal,
    /// Events whose time lies inside.
    pub range: TimeRange,
    /// All of these must hold.
    pub predicates: Vec<Predicate>,
    /// Columns wanted, by name of the documented schema; `None` for all.
    pub projection: Option<Vec<String>>,
    /// Order of the result.
    pub order: EventOrder,
    /// At most so many events, the first in `order`.
    pub limit: Option<usize>,
    /// Only events that come after this one in `order`: how a reader pages through events without
    /// seeing one twice, whatever is stored meanwhile.
    pub after: Option<EventId>,
}

impl EventScan {
    /// Everything of a signal within a range, oldest first.
    pub fn new(signal: EventSignal, range: TimeRange) -> Self {
        Self {
            signal,
            range,
            predicates: Vec::new(),
            projection: None,
            order: EventOrder::OldestFirst,
            limit: None,
            after: None,
        }
    }

    /// Whether an event of this id comes after [`after`](Self::after).
    pub fn is_after(&self, id: EventId) -> bool {
        match (self.after, self.order) {
            (None, _) => true,
            (Some(after), EventOrder::OldestFirst) => id > after,
            (Some(after), EventOrder::NewestFirst) => id < after,
        }
    }
}

/// Order by (time, event id).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventOrder {
    /// Ascending.
    #[default]
    OldestFirst,
    /// Descending.
    NewestFirst,
}

/// A field of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The resource's `service.name`.
    Service,
    /// Span name, or a log record's event name.
    Name,
    /// Severity number (logs); compares numerically, text compares with the severity's name.
    Severity,
    /// A log record's body in its string form.
    Body,
    /// Trace id in hexadecimal.
    TraceId,
    /// Span id in hexadecimal.
    SpanId,
    /// Parent span id in hexadecimal (spans).
    ParentSpanId,
    /// Span kind in lower case (spans).
    Kind,
    /// Status code in capitals: UNSET, OK, ERROR (spans).
    Status,
    /// Status message (spans).
    StatusMessage,
    /// Duration in seconds (spans).
    Duration,
    /// Instrumentation scope's name.
    Scope,
    /// An attribute of the event, else of its resource, in its string form or as a number.
    Attribute(String),
    /// An attribute of the event itself.
    EventAttribute(String),
    /// An attribute of the resource.
    ResourceAttribute(String),
    /// An attribute of the instrumentation scope.
    ScopeAttribute(String),
    /// Everything a person would read in it: of a log record the body; of a span its name, status
    /// message, attribute values, and the names and attribute values of its events, a line each.
    Text,
}

/// What a field holds in one event.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Number.
    Number(f64),
}

/// A condition on one event.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// All hold; true when empty.
    All(Vec<Predicate>),
    /// At least one holds; false when empty.
    Any(Vec<Predicate>),
    /// The inner one does not hold.
    Not(Box<Predicate>),
    /// The field exists (and is not the empty string).
    Exists(Field),
    /// The field equals this text, or this number when both are numbers.
    Equals(Field, String),
    /// The field compares so with a number (severity, duration, numeric attributes).
    Compare(Field, Comparison, f64),
    /// The field's text contains this, ignoring ASCII case.
    Contains(Field, String),
    /// The field's text matches this expression somewhere.
    Matches(Field, Regex),
}

/// Order comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Access to the fields of one event, whatever its representation.
pub trait EventFields {
    /// The field's value; `None` when the event has no such field.
    fn field(&self, field: &Field) -> Option<FieldValue<'_>>;
}

impl Predicate {
    /// Whether the event satisfies the condition. A missing field satisfies only `Not`.
    pub fn matches(&self, event: &dyn EventFields) -> bool {
        match self {
            Self::All(all) => all.iter().all(|p| p.matches(event)),
            Self::Any(any) => any.iter().any(|p| p.matches(event)),
            Self::Not(inner) => !inner.matches(event),
            Self::Exists(field) => match event.field(field) {
                Some(FieldValue::Text(text)) => !text.is_empty(),
                Some(FieldValue::Number(_)) => true,
                None => false,
            },
            Self::Equals(field, wanted) => match event.field(field) {
                Some(FieldValue::Text(text)) => text == wanted.as_str(),
                Some(FieldValue::Number(number)) => {
                    wanted.parse() == Ok(number) || number.to_string() == *wanted
                }
                None => false,
            },
            Self::Compare(field, comparison, wanted) => {
                let number = match event.field(field) {
                    Some(FieldValue::Number(number)) => number,
                    Some(FieldValue::Text(text)) => match text.parse() {
                        Ok(number) => number,
                        Err(_) => return false,
                    },
                    None => return false,
                };
                match comparison {
                    Comparison::Less => number < *wanted,
                    Comparison::LessOrEqual => number <= *wanted,
                    Comparison::Greater => number > *wanted,
                    Comparison::GreaterOrEqual => number >= *wanted,
                }
            }
            Self::Contains(field, needle) => {
                event.field(field).is_some_and(|v| contains_ignore_case(&v.text(), needle))
            }
            Self::Matches(field, regex) => {
                event.field(field).is_some_and(|v| regex.is_match(&v.text()))
            }
        }
    }
}

impl FieldValue<'_> {
    /// The value as text.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
        }
    }
}

fn contains_ignore_case(text: &str, needle: &str) -> bool {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    needle.is_empty() || text.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle))
}

impl<'a> From<&'a AnyValue> for FieldValue<'a> {
    fn from(value: &'a AnyValue) -> Self {
        match value {
            AnyValue::Int(n) => Self::Number(*n as f64),
            AnyValue::Double(n) => Self::Number(*n),
            AnyValue::String(text) => Self::Text(Cow::Borrowed(text)),
            other => Self::Text(Cow::Owned(other.to_string())),
        }
    }
}

fn text(value: &str) -> Option<FieldValue<'_>> {
    (!value.is_empty()).then_some(FieldValue::Text(Cow::Borrowed(value)))
}

/// A log record seen with its sender.
#[derive(Clone, Copy, Debug)]
pub struct LogEvent<'a> {
    /// The sender.
    pub resource: &'a Resource,
    /// The library within it.
    pub scope: &'a Scope,
    /// The record.
    pub record: &'a LogRecord,
}

impl EventFields for LogEvent<'_> {
    fn field(&self, field: &Field) -> Option<FieldValue<'_>> {
        let record = self.record;
        let id = |valid: bool, id: String| valid.then_some(FieldValue::Text(Cow::Owned(id)));
        match field {
            Field::Service => text(self.resource.service_name()),
            Field::Name => text(&record.event_name),
            Field::Severity => Some(FieldValue::Number(record.severity.0.into())),
            Field::Body | Field::Text => Some(FieldValue::Text(match &record.body {
                AnyValue::String(body) => Cow::Borrowed(body),
                other => Cow::Owned(other.to_string()),
            })),
            Field::TraceId => id(record.trace_id.is_valid(), record.trace_id.to_string()),
            Field::SpanId => id(record.span_id.is_valid(), record.span_id.to_string()),
            Field::Scope => text(&self.scope.name),
            Field::Attribute(key) => record
                .attributes
                .get(key)
                .or_else(|| self.resource.attributes.get(key))
                .map(FieldValue::from),
            Field::EventAttribute(key) => record.attributes.get(key).map(FieldValue::from),
            Field::ResourceAttribute(key) => {
                self.resource.attributes.get(key).map(FieldValue::from)
            }
            Field::ScopeAttribute(key) => self.scope.attributes.get(key).map(FieldValue::from),
            Field::ParentSpanId
            | Field::Kind
            | Field::Status
            | Field::StatusMessage
            | Field::Duration => None,
        }
    }
}

/// A span seen with its sender.
#[derive(Clone, Copy, Debug)]
pub struct SpanRecord<'a> {
    /// The sender.
    pub resource: &'a Resource,
    /// The library within it.
    pub scope: &'a Scope,
    /// The span.
    pub span: &'a Span,
}

impl EventFields for SpanRecord<'_> {
    fn field(&self, field: &Field) -> Option<FieldValue<'_>> {
        let span = self.span;
        let id = |valid: bool, id: String| valid.then_some(FieldValue::Text(Cow::Owned(id)));
        match field {
            Field::Service => text(self.resource.service_name()),
            Field::Name => text(&span.name),
            Field::TraceId => id(span.trace_id.is_valid(), span.trace_id.to_string()),
            Field::SpanId => id(span.span_id.is_valid(), span.span_id.to_string()),
            Field::ParentSpanId => {
                id(span.parent_span_id.is_valid(), span.parent_span_id.to_string())
            }
            Field::Kind => text(span.kind.as_str()),
            Field::Status => text(span.status.code.as_str()),
            Field::StatusMessage => text(&span.status.message),
            Field::Duration => Some(FieldValue::Number(span.duration().as_secs_f64())),
            Field::Scope => text(&self.scope.name),
            Field::Attribute(key) => span
                .attributes
                .get(key)
                .or_else(|| self.resource.attributes.get(key))
                .map(FieldValue::from),
            Field::EventAttribute(key) => span.attributes.get(key).map(FieldValue::from),
            Field::ResourceAttribute(key) => {
                self.resource.attributes.get(key).map(FieldValue::from)
            }
            Field::ScopeAttribute(key) => self.scope.attributes.get(key).map(FieldValue::from),
            Field::Text => Some(FieldValue::Text(Cow::Owned(span_text(span)))),
            Field::Severity | Field::Body => None,
        }
    }
}

/// What [`Field::Text`] is of a span.
pub fn span_text(span: &Span) -> String {
    let mut text = String::new();
    push_line(&mut text, &span.name);
    push_line(&mut text, &span.status.message);
    push_values(&mut text, &span.attributes);
    for event in &span.events {
        push_line(&mut text, &event.name);
        push_values(&mut text, &event.attributes);
    }
    text
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn push_values(text: &mut String, attributes: &Attributes) {
    for (_, value) in attributes.iter() {
        let _ = writeln!(text, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attributes;
    use crate::log::SeverityNumber;

    #[test]
    fn predicates_on_a_log_record() {
        let resource = Resource {
            attributes: Attributes::from_iter([("service.name", "payment"), ("region", "eu")]),
            ..Default::default()
        };
        let mut record = LogRecord {
            severity: SeverityNumber::ERROR,
            body: AnyValue::from("Card declined"),
            ..Default::default()
        };
        record.attributes.set("http.status_code", 503_i64);
        let event = LogEvent { resource: &resource, scope: &Scope::default(), record: &record };
        let attribute = |key: &str| Field::Attribute(key.into());
        for (predicate, want) in [
            (Predicate::Equals(Field::Service, "payment".into()), true),
            (Predicate::Compare(Field::Severity, Comparison::GreaterOrEqual, 17.0), true),
            (Predicate::Compare(Field::Severity, Comparison::Greater, 17.0), false),
            (Predicate::Contains(Field::Body, "DECLINED".into()), true),
            (Predicate::Matches(Field::Body, Regex::new("^Card").unwrap()), true),
            (Predicate::Equals(attribute("http.status_code"), "503".into()), true),
            (Predicate::Equals(attribute("region"), "eu".into()), true),
            (Predicate::Exists(Field::TraceId), false),
            (Predicate::Not(Box::new(Predicate::Exists(Field::TraceId))), true),
            (Predicate::All(vec![]), true),
            (Predicate::Any(vec![]), false),
            (Predicate::Compare(attribute("missing"), Comparison::Less, 1.0), false),
        ] {
            assert_eq!(predicate.matches(&event), want, "{predicate:?}");
        }
    }
}
