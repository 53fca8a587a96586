//! Errors on spans: what went wrong, on the span in which it did.

use std::fmt::Display;

use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Records the error of a result on the current span.
pub trait ResultExt: Sized {
    /// On an error, gives the current span the status ERROR with the error's text, an `error.type` and an event `exception`;
    /// the result is returned as it was. The text goes through the redactor like everything on a span.
    ///
    /// ```
    /// use skopos::ResultExt as _;
    /// let parsed = "x".parse::<u8>().record_err();
    /// assert!(parsed.is_err());
    /// ```
    #[must_use = "this is the result, unchanged"]
    fn record_err(self) -> Self;
}

impl<T, E: Display> ResultExt for Result<T, E> {
    fn record_err(self) -> Self {
        if let Err(error) = &self {
            record(&Span::current(), std::any::type_name::<E>(), &error.to_string());
        }
        self
    }
}

/// Records a failure on a span.
pub(crate) fn record(span: &Span, kind: &'static str, text: &str) {
    span.set_status(Status::error(text.to_owned()));
    span.set_attribute("error.type", kind);
    let attributes = vec![
        KeyValue::new("exception.type", kind),
        KeyValue::new("exception.message", text.to_owned()),
    ];
    span.add_event("exception", attributes);
}
