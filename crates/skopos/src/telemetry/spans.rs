//! The layer that makes spans of OpenTelemetry out of those of `tracing`, spared the events that nobody would see.
//!
//! `tracing-opentelemetry` copies every event into the span around it. Where spans go nowhere (no exporter, no test that
//! captures them) that copy is a quarter of the price of a log line, for nothing. Nor does it see values that cannot be shown,
//! at which it would panic.

use std::any::TypeId;

use opentelemetry_sdk::trace::SdkTracer;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::sound;

/// Passes everything on to the layer of `tracing-opentelemetry`, events only if spans are seen.
pub(super) struct SpanLayer<S> {
    inner: OpenTelemetryLayer<S, SdkTracer>,
    has_readers: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> SpanLayer<S> {
    pub(super) fn new(tracer: SdkTracer, has_readers: bool) -> SpanLayer<S> {
        let inner = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        SpanLayer { inner, has_readers }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer<S> {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.inner.on_register_dispatch(subscriber);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.inner.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.inner.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.inner.enabled(metadata, context)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if sound::is_span(attributes) {
            self.inner.on_new_span(attributes, id, context);
        } else {
            sound::with_bare(attributes, |bare| self.inner.on_new_span(bare, id, context));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if sound::is_record(values) {
            self.inner.on_record(id, values, context);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        self.inner.on_follows_from(id, follows, context);
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        self.inner.event_enabled(event, context)
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.has_readers && sound::is_event(event) {
            self.inner.on_event(event, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.inner.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.inner.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.inner.on_close(id, context);
    }

    fn on_id_change(&self, old: &Id, new: &Id, context: Context<'_, S>) {
        self.inner.on_id_change(old, new, context);
    }

    #[expect(unsafe_code, reason = "the trait has it so; it is passed on unchanged")]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        // SAFETY: the pointer is one to (a part of) `inner`, which lives as long as `self`.
        unsafe { self.inner.downcast_raw(id) }
    }
}
