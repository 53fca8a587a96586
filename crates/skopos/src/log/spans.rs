//! Spans that ended, as lines: `OTEL_TRACES_EXPORTER=console`, for a look without a collector.
//!
//! A line of the target [`TARGET`] for each sampled span, with its ids, kind, duration, status and attributes, redacted like
//! every other line. It is for a desk: each attribute is formatted, and nothing limits how many spans there are.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};
use skopos_redact::{REDACTED, Redactor};
use tracing::Level;

use super::Sink;
use super::record::{Record, Value};
use crate::context::TraceIds;

/// The target of these lines.
pub(crate) const TARGET: &str = "skopos::span";

/// Writes a line for each span that ends.
pub(crate) struct ConsoleSpans {
    pub(crate) lines: Arc<dyn Sink>,
    pub(crate) redactor: Redactor,
}

impl std::fmt::Debug for ConsoleSpans {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConsoleSpans").finish_non_exhaustive()
    }
}

impl SpanProcessor for ConsoleSpans {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &opentelemetry::Context) {}

    fn on_end(&self, data: SpanData) {
        if data.span_context.is_sampled() {
            self.lines.write(&self.record(&data));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        // Lines are flushed by `Telemetry`.
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl ConsoleSpans {
    fn record(&self, data: &SpanData) -> Record {
        let shown = |text: &str| self.redactor.redact_text(text).text.into_owned();
        let mut record = Record::default();
        record.reset(data.end_time, Level::INFO, TARGET);
        record.trace = Some(TraceIds::from(&data.span_context));
        record.put("message", Value::Text(&shown(&data.name)));
        record.put("span.kind", Value::Text(&format!("{:?}", data.span_kind).to_lowercase()));
        if data.parent_span_id != opentelemetry::trace::SpanId::INVALID {
            record.put("parent_span_id", Value::Text(&data.parent_span_id.to_string()));
        }
        let duration = data.end_time.duration_since(data.start_time).unwrap_or_default();
        let micros = (duration.as_secs_f64() * 1e6).round();
        record.put("duration_ms", Value::Float(micros / 1e3));
        if let Status::Error { description } = &data.status {
            record.put("status", Value::Text("ERROR"));
            if !description.is_empty() {
                record.put("status_description", Value::Text(&shown(description)));
            }
        }
        // Names of attributes are not known when the program is compiled, as those of fields are: one field has them all.
        let mut attributes = String::new();
        for attribute in &data.attributes {
            let name = attribute.key.as_str();
            let value = attribute.value.as_str();
            let value = match self.redactor.redact_name(name) {
                true => Cow::Borrowed(REDACTED),
                false => self.redactor.redact_text(&value).text,
            };
            let gap = if attributes.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(attributes, "{gap}{name}={value}");
        }
        if !attributes.is_empty() {
            record.put("attributes", Value::Text(&attributes));
        }
        record
    }
}
