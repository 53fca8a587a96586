//! Which headers carry the context in and out: `OTEL_PROPAGATORS`.
//!
//! The choice belongs to a pipeline, so it is found through the subscriber whose code runs, not in a global.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};

use super::b3::{self, Form};
use super::{format_traceparent, parse_traceparent};
use crate::filter::SignalFilter;

/// What is read from callers and sent to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Propagators {
    pub(crate) trace_context: bool,
    pub(crate) baggage: bool,
    pub(crate) b3: Option<Form>,
}

impl Default for Propagators {
    fn default() -> Propagators {
        Propagators { trace_context: true, baggage: true, b3: None }
    }
}

impl Propagators {
    /// Neither in nor out.
    pub(crate) const NONE: Propagators =
        Propagators { trace_context: false, baggage: false, b3: None };

    /// Reads `tracecontext,baggage`; what is unknown is named in a warning.
    pub(crate) fn read(text: Option<String>, warnings: &mut Vec<String>) -> Propagators {
        let Some(text) = text else { return Propagators::default() };
        let mut propagators = Propagators::NONE;
        let text = text.to_ascii_lowercase();
        for name in text.split(',').map(str::trim) {
            match name {
                "tracecontext" => propagators.trace_context = true,
                "baggage" => propagators.baggage = true,
                "b3" => propagators.b3 = Some(Form::Single),
                "b3multi" => propagators.b3 = Some(Form::Multiple),
                "none" | "" => {}
                other => warnings.push(format!(
                    "propagator {other} is not supported: tracecontext, baggage, b3, b3multi or none"
                )),
            }
        }
        propagators
    }

    /// Those of the pipeline whose code runs.
    pub(crate) fn current() -> Propagators {
        tracing::dispatcher::get_default(|dispatch| {
            dispatch.downcast_ref::<SignalFilter>().map(SignalFilter::propagators)
        })
        .unwrap_or_default()
    }

    /// Reads the caller's span; `traceparent` comes before B3.
    pub(crate) fn extract<'h>(
        self,
        header: impl Fn(&str) -> Option<&'h str>,
    ) -> Option<SpanContext> {
        let by_w3c = || parse_traceparent(header("traceparent")?, header("tracestate"));
        let found = self.trace_context.then(by_w3c).flatten();
        found.or_else(|| self.b3.and_then(|_| b3::extract(&header)))
    }

    /// Writes the headers that tell of a span.
    pub(crate) fn inject(self, span: &SpanContext, mut put: impl FnMut(&'static str, String)) {
        if self.trace_context {
            put("traceparent", format_traceparent(span));
            let state = span.trace_state().header();
            if !state.is_empty() {
                put("tracestate", state);
            }
        }
        if let Some(form) = self.b3 {
            b3::inject(span, form, put);
        }
    }
}

/// B3 for libraries that use OpenTelemetry's own propagation.
#[derive(Debug)]
pub(crate) struct B3Propagator {
    form: Form,
    fields: Vec<String>,
}

impl B3Propagator {
    pub(crate) fn new(form: Form) -> B3Propagator {
        let fields = match form {
            Form::Single => &[b3::SINGLE][..],
            Form::Multiple => &[b3::TRACE_ID, b3::SPAN_ID, b3::SAMPLED],
        };
        B3Propagator { form, fields: fields.iter().map(|name| (*name).to_owned()).collect() }
    }
}

impl TextMapPropagator for B3Propagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span();
        if span.span_context().is_valid() {
            b3::inject(span.span_context(), self.form, |name, value| injector.set(name, value));
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        match b3::extract(|name| extractor.get(name)) {
            Some(span) => context.with_remote_span_context(span),
            None => context.clone(),
        }
    }

    fn fields(&self) -> text_map_propagator::FieldIter<'_> {
        text_map_propagator::FieldIter::new(&self.fields)
    }
}
