//! OpenTelemetry's own globals, for libraries that are instrumented with its API and know nothing of `tracing`.

use opentelemetry::global;
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::propagators::{B3Propagator, Propagators};

/// The name of the tracer that makes spans out of those of `tracing`.
pub(crate) const OWN_TRACER: &str = "skopos";

/// Makes the provider and the propagators those that the API hands out. Without a provider (the SDK is disabled) the API's
/// tracers do nothing, but headers are still passed on, as the specification asks.
pub(crate) fn install(provider: Option<SdkTracerProvider>, which: Propagators) {
    if let Some(provider) = provider {
        global::set_tracer_provider(provider);
    }
    let mut propagators: Vec<Box<dyn TextMapPropagator + Send + Sync>> = Vec::new();
    if which.trace_context {
        propagators.push(Box::new(TraceContextPropagator::new()));
    }
    if let Some(form) = which.b3 {
        propagators.push(Box::new(B3Propagator::new(form)));
    }
    if which.baggage {
        propagators.push(Box::new(BaggagePropagator::new()));
    }
    global::set_text_map_propagator(TextMapCompositePropagator::new(propagators));
}
