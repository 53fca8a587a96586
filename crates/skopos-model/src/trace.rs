//! Spans as OpenTelemetry's data model has them.

use std::sync::Arc;
use std::time::Duration;

use crate::attributes::Attributes;
use crate::id::{SpanId, TraceId};
use crate::time::Timestamp;

/// The role of a span in a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanKind {
    /// Not given.
    #[default]
    Unspecified,
    /// Work inside a service.
    Internal,
    /// Handling of a remote request.
    Server,
    /// A request to a remote service.
    Client,
    /// Sending of a message.
    Producer,
    /// Handling of a message.
    Consumer,
}

impl SpanKind {
    /// Name in lower case, as Jaeger's `span.kind` tag has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// From OTLP's number; unknown numbers are unspecified.
    pub fn from_number(n: i32) -> Self {
        match n {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }
}

/// Whether a span's work went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusCode {
    /// Nothing said.
    #[default]
    Unset,
    /// Said to be good.
    Ok,
    /// Failed.
    Error,
}

impl StatusCode {
    /// Name in capitals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "UNSET",
            Self::Ok => "OK",
            Self::Error => "ERROR",
        }
    }
}

/// Status code and, for errors, its description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanStatus {
    /// The code.
    pub code: StatusCode,
    /// Description, empty when none.
    pub message: Arc<str>,
}

/// Something that happened at a point within a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanEvent {
    /// When.
    pub time: Timestamp,
    /// What.
    pub name: Arc<str>,
    /// Facts.
    pub attributes: Attributes,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
}

/// A reference to a span of this or another trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanLink {
    /// The other trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C trace state.
    pub trace_state: Arc<str>,
    /// Facts.
    pub attributes: Attributes,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags.
    pub flags: u32,
}

/// One span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// Its parent, or [`SpanId::INVALID`] for a root.
    pub parent_span_id: SpanId,
    /// W3C trace state.
    pub trace_state: Arc<str>,
    /// W3C trace flags.
    pub flags: u32,
    /// The operation.
    pub name: Arc<str>,
    /// Its role.
    pub kind: SpanKind,
    /// Start.
    pub start_time: Timestamp,
    /// End; never before the start once decoded.
    pub end_time: Timestamp,
    /// Facts.
    pub attributes: Attributes,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// What happened within.
    pub events: Vec<SpanEvent>,
    /// How many events the sender dropped.
    pub dropped_events_count: u32,
    /// References to other spans.
    pub links: Vec<SpanLink>,
    /// How many links the sender dropped.
    pub dropped_links_count: u32,
    /// How it ended.
    pub status: SpanStatus,
}

impl Span {
    /// From start to end.
    pub fn duration(&self) -> Duration {
        self.end_time.since(self.start_time)
    }
}
