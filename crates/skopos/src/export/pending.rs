//! A request that has begun, told before it ends: in development, so that a live tail shows what hangs.
//!
//! A span is one item of OTLP and goes out when it ended; sent twice it would count twice wherever it is stored. So the
//! beginning goes out as what it is, a log record, with trace and span id of the span and its attributes so far,
//! [`ATTRIBUTE`] among them. Only where a request, message or job enters the process: a span inside of it would say little
//! more and cost as much.

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use skopos_redact::Redactor;

use super::logs::{attribute, cut_value};
use super::spans::redact;
use crate::config::limits::Limits;

/// Marks the record of a span that has not ended; also the name of the event.
pub(crate) const ATTRIBUTE: &str = "skopos.pending";

/// Returns the record of a span that began just now.
pub(crate) fn record(redactor: &Redactor, limits: &Limits, mut span: Span) -> LogRecord {
    redact(redactor, &mut span);
    let text = |text: String| any_value::Value::StringValue(text);
    let kind = span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_ascii_lowercase();
    let mut attributes = vec![attribute(ATTRIBUTE, any_value::Value::BoolValue(true))];
    attributes.push(attribute("span.name", text(span.name.clone())));
    if span.kind() != SpanKind::Unspecified {
        attributes.push(attribute("span.kind", text(kind)));
    }
    attributes.append(&mut span.attributes);
    let most = usize::try_from(limits.log_attributes).unwrap_or(usize::MAX);
    let beyond = u32::try_from(attributes.len().saturating_sub(most)).unwrap_or(u32::MAX);
    attributes.truncate(most);
    if limits.log_value_length.is_some() {
        for attribute in &mut attributes {
            cut_value(attribute.value.as_mut(), limits.log_value_length);
        }
    }
    LogRecord {
        time_unix_nano: span.start_time_unix_nano,
        observed_time_unix_nano: span.start_time_unix_nano,
        severity_number: SeverityNumber::Info as i32,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue { value: Some(text(format!("{} began", span.name))) }),
        attributes,
        dropped_attributes_count: span.dropped_attributes_count.saturating_add(beyond),
        flags: span.flags & 0xff,
        trace_id: span.trace_id,
        span_id: span.span_id,
        event_name: ATTRIBUTE.to_owned(),
    }
}
