//! Metrics: one registry, instruments without locks, labels of bounded size.
//!
//! An instrument that is held ([`Counter`], [`Gauge`], [`Histogram`]) is a few atomics. A [`Family`] finds the instrument for
//! a set of labels; it never grows beyond its limits: what does not fit is counted under the label value `other`, one WARN
//! names the metric, the label and the call, and `skopos_label_overflow_total{metric,label}` counts on. Nothing on these
//! paths allocates once a series is known.
//!
//! One registry is read in two ways: as text by those who scrape ([`Registry::encode`]), and pushed by OTLP when an endpoint
//! is set. Both tell the same numbers; a histogram made by [`Registry::exponential_histogram`] is pushed with exponential
//! buckets.
//!
//! ```
//! use skopos::metrics::{Bounded, Registry, buckets};
//!
//! skopos::label_values! {
//!     /// How an order was paid.
//!     pub enum PaymentMethod { Card => "card", Invoice => "invoice" }
//! }
//! skopos::labels! {
//!     /// Labels of placed orders.
//!     pub struct OrderLabels { payment_method: PaymentMethod, region: Bounded<16> }
//! }
//!
//! let registry = Registry::new();
//! let orders = registry.counter_family::<OrderLabels>("orders_placed_total", "Orders placed.");
//! orders.get(&OrderLabels { payment_method: PaymentMethod::Card, region: "eu".into() }).inc();
//! let value = registry.histogram("order_value_dollars", "Order value.", &buckets::linear(10.0, 10.0, 5));
//! value.observe(42.0);
//!
//! let text = registry.encode(skopos::metrics::Format::Prometheus);
//! assert!(text.contains(r#"orders_placed_total{payment_method="card",region="eu"} 1"#));
//! ```

use std::borrow::Cow;

#[cfg(any(feature = "metrics-facade", feature = "otel-metrics"))]
pub(crate) mod bridge;
pub(crate) mod dynamic;
mod exponential;
pub(crate) mod family;
mod histogram;
mod instrument;
mod labels;
mod registry;
mod seqlock;
pub(crate) mod source;
mod text;

#[cfg(feature = "metrics-facade")]
pub use bridge::facade::FacadeRecorder;
pub use family::{Family, Instrument};
pub use histogram::Histogram;
pub use instrument::{Counter, Gauge, InFlight};
pub use labels::{Bounded, LabelSet, LabelValue};
pub use registry::Registry;
#[cfg(feature = "derive")]
#[doc(no_inline)]
pub use skopos_macros::{LabelSet, LabelValue};
pub use text::Format;

#[cfg(feature = "otlp")]
pub(crate) use exponential::ExponentialSnapshot;
pub(crate) use histogram::{Exemplar, HistogramSnapshot};
pub(crate) use source::{Kind, Source, Value, Visit};
pub(crate) use text::series;

/// Bucket bounds.
pub mod buckets {
    /// Durations of requests, in seconds: the guide's buckets, and 0.2, because its latency objective asks for `le="0.2"`.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let waits = registry.histogram("wait_seconds", "Waits.", skopos::metrics::buckets::HTTP);
    /// # waits.observe(0.1);
    /// ```
    pub const HTTP: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    /// Durations of calls to databases and caches, in seconds, from half a millisecond.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let reads = registry.histogram("read_seconds", "Reads.", skopos::metrics::buckets::DATABASE);
    /// # reads.observe(0.1);
    /// ```
    pub const DATABASE: &[f64] =
        &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];

    /// Sizes of bodies, in bytes.
    ///
    /// ```
    /// # let registry = skopos::metrics::Registry::new();
    /// let sizes = registry.histogram("upload_bytes", "Uploads.", skopos::metrics::buckets::BYTES);
    /// # sizes.observe(512.0);
    /// ```
    pub const BYTES: &[f64] = &[100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];

    /// `count` bounds from `start`, each `width` above the one before.
    ///
    /// ```
    /// assert_eq!(skopos::metrics::buckets::linear(10.0, 5.0, 3), [10.0, 15.0, 20.0]);
    /// ```
    pub fn linear(start: f64, width: f64, count: usize) -> Vec<f64> {
        std::iter::successors(Some(start), |bound| Some(bound + width)).take(count).collect()
    }

    /// `count` bounds from `start`, each `factor` times the one before.
    ///
    /// ```
    /// assert_eq!(skopos::metrics::buckets::exponential(1.0, 4.0, 3), [1.0, 4.0, 16.0]);
    /// ```
    pub fn exponential(start: f64, factor: f64, count: usize) -> Vec<f64> {
        std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
    }
}

/// Label sets that one family keeps apart, unless said otherwise.
///
/// ```
/// assert_eq!(skopos::metrics::DEFAULT_SERIES_LIMIT, 2_000);
/// ```
pub const DEFAULT_SERIES_LIMIT: usize = 2_000;

/// Replaces what Prometheus does not allow in the name of a metric; `:` is for recording rules.
pub(crate) fn valid_name(name: &str) -> Cow<'_, str> {
    let is_valid = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    let begins_well = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if begins_well && name.chars().all(is_valid) {
        return Cow::Borrowed(name);
    }
    let mut valid = String::with_capacity(name.len() + 1);
    if !begins_well {
        valid.push('_');
    }
    valid.extend(name.chars().map(|letter| if is_valid(letter) { letter } else { '_' }));
    Cow::Owned(valid)
}

/// As [`valid_name`], for a label.
pub(crate) fn valid_label(name: &str) -> Cow<'_, str> {
    match valid_name(name) {
        name if name.contains(':') => Cow::Owned(name.replace(':', "_")),
        name => name,
    }
}
