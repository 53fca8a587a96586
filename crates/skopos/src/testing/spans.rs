//! Captured spans: ended, redacted, and in plain words.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span as Encoded;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};
use skopos_redact::Redactor;

use crate::export::spans::redact;

/// A span that ended, as it would have left.
///
/// ```
/// let capture = skopos::testing::Capture::start();
/// tracing::info_span!("pack", order_id = "o-1").in_scope(|| ());
/// let span = capture.assert_span("pack");
/// assert_eq!((span.parent_span_id, span.error), (None, None));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// Its name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    pub kind: &'static str,
    /// Its trace, 32 hex digits.
    pub trace_id: String,
    /// Its id, 16 hex digits.
    pub span_id: String,
    /// The span that it is part of.
    pub parent_span_id: Option<String>,
    /// The description of its status, when that is ERROR.
    pub error: Option<String>,
    /// How long it took.
    pub duration: Duration,
    /// Its attributes, as text.
    pub attributes: Vec<(String, String)>,
    /// What happened meanwhile.
    pub events: Vec<SpanEvent>,
}

/// Something that happened while a span was open.
///
/// ```
/// let capture = skopos::testing::Capture::start();
/// tracing::info_span!("pack").in_scope(|| tracing::info!("wrapped"));
/// assert_eq!(capture.assert_span("pack").events[0].name, "wrapped");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanEvent {
    /// Its name.
    pub name: String,
    /// Its attributes, as text.
    pub attributes: Vec<(String, String)>,
}

impl Span {
    /// Returns the text of an attribute.
    ///
    /// ```
    /// let capture = skopos::testing::Capture::start();
    /// tracing::info_span!("pack", order_id = "o-1").in_scope(|| ());
    /// assert_eq!(capture.assert_span("pack").attribute("order_id"), Some("o-1"));
    /// ```
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(existing, _)| existing == name)?;
        Some(value)
    }
}

/// Keeps ended spans.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collecting {
    spans: Arc<Mutex<Vec<Span>>>,
    pub(crate) redactor: Redactor,
}

impl Collecting {
    pub(super) fn all(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl SpanProcessor for Collecting {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &opentelemetry::Context) {}

    fn on_end(&self, data: SpanData) {
        let mut encoded = Encoded::from(data);
        redact(&self.redactor, &mut encoded);
        let span = plain(encoded);
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn plain(span: Encoded) -> Span {
    let nanos = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    let kind = match span.kind() {
        opentelemetry_proto::tonic::trace::v1::span::SpanKind::Server => "server",
        opentelemetry_proto::tonic::trace::v1::span::SpanKind::Client => "client",
        opentelemetry_proto::tonic::trace::v1::span::SpanKind::Producer => "producer",
        opentelemetry_proto::tonic::trace::v1::span::SpanKind::Consumer => "consumer",
        _ => "internal",
    };
    let error = span.status.filter(|status| status.code == StatusCode::Error as i32);
    Span {
        kind,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: (!span.parent_span_id.is_empty()).then(|| hex(&span.parent_span_id)),
        error: error.map(|status| status.message),
        duration: Duration::from_nanos(nanos),
        attributes: texts(&span.attributes),
        events: span
            .events
            .iter()
            .map(|event| SpanEvent {
                name: event.name.clone(),
                attributes: texts(&event.attributes),
            })
            .collect(),
        name: span.name,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn texts(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |attribute: &KeyValue| attribute.value.as_ref().map(text_of).unwrap_or_default();
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

fn text_of(value: &AnyValue) -> String {
    match &value.value {
        None => String::new(),
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::ArrayValue(array)) => {
            array.values.iter().map(text_of).collect::<Vec<_>>().join(",")
        }
        Some(other) => format!("{other:?}"),
    }
}

/// Attributes that differ from run to run.
const VARYING: &[&str] =
    &["code.line.number", "thread.id", "thread.name", "server.address", "server.port"];

/// Appends spans as a tree; those whose parent is not among them are roots.
pub(super) fn push_tree(text: &mut String, spans: &[Span]) {
    let is_root = |span: &Span| {
        span.parent_span_id
            .as_ref()
            .is_none_or(|parent| spans.iter().all(|span| span.span_id != *parent))
    };
    for root in spans.iter().filter(|span| is_root(span)) {
        push_span(text, spans, root, 0);
    }
}

fn push_span(text: &mut String, spans: &[Span], span: &Span, depth: usize) {
    let indent = "  ".repeat(depth);
    let _ = write!(text, "{indent}span {} [{}]", span.name, span.kind);
    if let Some(error) = &span.error {
        let _ = write!(text, " ERROR {error:?}");
    }
    for (name, value) in &span.attributes {
        if !VARYING.contains(&name.as_str()) && name != "request_id" {
            let _ = write!(text, " {name}={value}");
        }
    }
    text.push('\n');
    for event in &span.events {
        let _ = writeln!(text, "{indent}  event {}", event.name);
    }
    let children =
        spans.iter().filter(|child| child.parent_span_id.as_ref() == Some(&span.span_id));
    // Bounded: a span is its own ancestor only in a broken trace.
    if depth < 64 {
        for child in children {
            push_span(text, spans, child, depth + 1);
        }
    }
}
