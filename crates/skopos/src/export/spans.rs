//! Finished spans as OTLP.
//!
//! The thread that ends a span only queues it. Turning it into OTLP, taking its secrets out and cutting its texts is the work of the
//! exporting thread: it costs as much as all the rest of a span's life. Nothing leaves that thread unredacted.

use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};
use prost::Message as _;
use skopos_redact::{REDACTED, Redactor};

use super::logs::{Logs, cut_value, scope};
use super::{Exporter, Signal, pending};
use crate::config::limits::Limits;
use crate::context::global::OWN_TRACER;

/// The signal of spans.
pub(crate) struct Spans {
    pub(crate) resource: Resource,
    pub(crate) redactor: Redactor,
    pub(crate) value_length: Option<usize>,
}

impl Spans {
    /// Makes of an ended span what may leave.
    fn shown(&self, data: SpanData) -> Span {
        let mut span = Span::from(data);
        redact(&self.redactor, &mut span);
        if self.value_length.is_some() {
            let of_events = span.events.iter_mut().flat_map(|event| &mut event.attributes);
            for attribute in span.attributes.iter_mut().chain(of_events) {
                cut_value(attribute.value.as_mut(), self.value_length);
            }
        }
        span
    }
}

impl Signal for Spans {
    type Item = SpanData;
    const NAME: &'static str = "spans";

    fn encode(&self, items: Vec<SpanData>) -> Vec<u8> {
        // By who made them: nobody named means us. A service has few such libraries: a linear search is enough.
        let mut by_library: Vec<(Option<InstrumentationScope>, Vec<Span>)> = vec![];
        for data in items {
            let library = (data.instrumentation_scope.name() != OWN_TRACER)
                .then(|| data.instrumentation_scope.clone());
            let span = self.shown(data);
            match by_library.iter_mut().find(|(known, _)| *known == library) {
                Some((_, spans)) => spans.push(span),
                None => by_library.push((library, vec![span])),
            }
        }
        let scope_spans = by_library.into_iter().map(|(library, spans)| ScopeSpans {
            scope: Some(library.map_or_else(scope, |library| (library, None).into())),
            spans,
            ..ScopeSpans::default()
        });
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: scope_spans.collect(),
                ..ResourceSpans::default()
            }],
        }
        .encode_to_vec()
    }

    fn rejected(&self, response: &[u8]) -> (u64, String) {
        ExportTraceServiceResponse::decode(response)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| {
                (u64::try_from(partial.rejected_spans).unwrap_or(0), partial.error_message)
            })
            .unwrap_or_default()
    }
}

/// Queues ended spans for export.
#[derive(Debug)]
pub(crate) struct Processor {
    pub(crate) exporter: Exporter<Spans>,
    /// Where the beginning of a request is told, if it is.
    pub(crate) pending: Option<Pending>,
}

/// Tells of requests when they begin.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) logs: Exporter<Logs>,
    pub(crate) limits: Limits,
    pub(crate) redactor: Redactor,
}

impl SpanProcessor for Processor {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, parent: &opentelemetry::Context) {
        let Some(pending) = &self.pending else { return };
        let parent = parent.span();
        let parent = parent.span_context();
        if parent.is_valid() && !parent.is_remote() {
            return;
        }
        let Some(data) = span.exported_data().filter(|data| data.span_context.is_sampled()) else {
            return;
        };
        pending.logs.push(pending::record(&pending.redactor, &pending.limits, Span::from(data)));
    }

    fn on_end(&self, data: SpanData) {
        if data.span_context.is_sampled() {
            self.exporter.push(data);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        // Flushing is bounded and belongs to `Telemetry`.
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Takes the secrets out of everything that a span says.
pub(crate) fn redact(redactor: &Redactor, span: &mut Span) {
    redact_in_place(redactor, &mut span.name);
    if let Some(status) = &mut span.status {
        redact_in_place(redactor, &mut status.message);
    }
    redact_attributes(redactor, &mut span.attributes);
    for event in &mut span.events {
        redact_in_place(redactor, &mut event.name);
        redact_attributes(redactor, &mut event.attributes);
    }
    for link in &mut span.links {
        redact_attributes(redactor, &mut link.attributes);
    }
}

fn redact_attributes(redactor: &Redactor, attributes: &mut [KeyValue]) {
    for attribute in attributes {
        let is_denied = redactor.redact_name(&attribute.key);
        let Some(value) = attribute.value.as_mut().and_then(|value| value.value.as_mut()) else {
            continue;
        };
        if is_denied {
            *value = any_value::Value::StringValue(REDACTED.to_owned());
        } else {
            redact_value(redactor, value);
        }
    }
}

fn redact_value(redactor: &Redactor, value: &mut any_value::Value) {
    match value {
        any_value::Value::StringValue(text) => redact_in_place(redactor, text),
        any_value::Value::IntValue(number)
            if !redactor.redact_text(&number.to_string()).hits.is_empty() =>
        {
            *value = any_value::Value::StringValue(REDACTED.to_owned());
        }
        any_value::Value::ArrayValue(array) => {
            for value in array.values.iter_mut().filter_map(|value| value.value.as_mut()) {
                redact_value(redactor, value);
            }
        }
        any_value::Value::KvlistValue(list) => redact_attributes(redactor, &mut list.values),
        _ => {}
    }
}

fn redact_in_place(redactor: &Redactor, text: &mut String) {
    if let std::borrow::Cow::Owned(redacted) = redactor.redact_text(text).text {
        *text = redacted;
    }
}
