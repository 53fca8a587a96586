//! Samples, exemplars and metadata of metrics.

use std::sync::Arc;

use crate::histogram::Histogram;
use crate::labels::Labels;

/// The bits of Prometheus' stale marker: "this series ended here". A signalling NaN that no
/// arithmetic produces; compare bits, never with `is_nan`.
pub const STALE_NAN: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether `value` is the stale marker, bit for bit.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN.to_bits()
}

/// What a sample holds.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A plain number; NaN and infinities are legal and keep their bits.
    Float(f64),
    /// A native histogram, shared because one decode serves many readers.
    Histogram(Arc<Histogram>),
}

impl SampleValue {
    /// Whether this marks the end of a series (for histograms the marker sits in `sum`).
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(value) => is_stale(*value),
            Self::Histogram(histogram) => is_stale(histogram.sum),
        }
    }
}

/// One measurement of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The value.
    pub value: SampleValue,
}

impl Sample {
    /// A float sample.
    pub fn float(timestamp_ms: i64, value: f64) -> Self {
        Self { timestamp_ms, value: SampleValue::Float(value) }
    }
}

/// Samples of one series, in time order as the sender gave them (senders may be out of order).
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSamples {
    /// Which series.
    pub labels: Labels,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// Whether values stand for themselves or are to be added up.
    pub temporality: Temporality,
    /// When the counter started, milliseconds, where the sender says so.
    pub start_timestamp_ms: Option<i64>,
    /// Exemplars that came with them.
    pub exemplars: Vec<Exemplar>,
}

impl SeriesSamples {
    /// One float sample of one series.
    pub fn single(labels: Labels, timestamp_ms: i64, value: f64) -> Self {
        let samples = vec![Sample::float(timestamp_ms, value)];
        Self {
            labels,
            samples,
            temporality: Temporality::Cumulative,
            start_timestamp_ms: None,
            exemplars: Vec::new(),
        }
    }
}

/// How a sender counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Values are absolute: gauges, and counts since the start of the counter.
    #[default]
    Cumulative,
    /// Values are changes since the sender's last report. The store adds them up and keeps the
    /// sums, so that everything read back is cumulative.
    Delta,
}

/// A single observation kept as an example, usually with the trace it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The exemplar's own labels: `trace_id` and `span_id` in hexadecimal, filtered attributes.
    pub labels: Labels,
    /// When it was observed, milliseconds.
    pub timestamp_ms: i64,
    /// The observed value.
    pub value: f64,
}

/// The kind of a metric as its producer declared it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricType {
    /// Nothing declared.
    #[default]
    Unknown,
    /// Only ever grows, except at restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic or native histogram.
    Histogram,
    /// Histogram of current state, not of events.
    GaugeHistogram,
    /// Quantiles computed by the producer.
    Summary,
    /// Constant 1 whose labels carry facts.
    Info,
    /// One of a set of states.
    StateSet,
}

impl MetricType {
    /// The name used in Prometheus' metadata API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// Type, unit and help text of a metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metadata {
    /// The metric family's name (for counters as scraped or translated, `_total` included).
    pub metric: String,
    /// Declared type.
    pub metric_type: MetricType,
    /// Declared unit, empty when none.
    pub unit: String,
    /// Help text, empty when none.
    pub help: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_marker_is_bits_not_nan() {
        assert!(is_stale(STALE_NAN));
        assert!(!is_stale(f64::NAN));
        assert!(SampleValue::Float(STALE_NAN).is_stale());
        let h = Histogram { sum: STALE_NAN, ..Default::default() };
        assert!(SampleValue::Histogram(Arc::new(h)).is_stale());
    }
}
