//! How much of what a sender may send.
//!
//! Every limit has a name (its field's name) that stands in the error, in the `reason` of a
//! rejection or in an [`Adjustment`](crate::Adjustment); none acts silently. Limits on series
//! *reject* the data point, because a shortened label would be another series. Limits on log
//! records and spans *shorten*, because most of a record is better than none of it; only
//! [`record_bytes`](Limits::record_bytes) rejects.

/// Limits on one request and on the items inside it. Sizes are in bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request or scrape after decompression; more is refused as a whole (HTTP 413). 64 MiB.
    pub request_bytes: usize,
    /// The structs that decoding an OTLP request makes, its texts not counted; more is refused as a
    /// whole (HTTP 413). Empty messages are much larger in memory than on the wire. 512 MiB.
    pub decoded_bytes: usize,
    /// A log record or span as decoded, events and links included; more is rejected. 4 MiB.
    pub record_bytes: usize,
    /// The text of a log record's body; the rest is cut off. 256 KiB.
    pub body_bytes: usize,
    /// Attributes of a resource, scope, log record, span, event or link, and pairs of a nested
    /// map; further ones are dropped and counted as dropped. 128.
    pub attributes_per_record: usize,
    /// An attribute's name; an attribute with a longer one is dropped. 1,024.
    pub attribute_name_bytes: usize,
    /// Text or bytes of one attribute value at any depth, of a name, description or status message;
    /// the rest is cut off. 64 KiB.
    pub attribute_value_bytes: usize,
    /// Events of a span; further ones are dropped and counted as dropped. 1,024.
    pub events_per_span: usize,
    /// Links of a span; further ones are dropped and counted as dropped. 1,024.
    pub links_per_span: usize,
    /// Labels of a series without its name; a data point with more is rejected. 128.
    pub labels_per_series: usize,
    /// A label's name, the metric's name or its unit; a data point with a longer one is rejected. 1,024.
    pub label_name_bytes: usize,
    /// A label's value; a data point with a longer one is rejected. 2,048.
    pub label_value_bytes: usize,
    /// Buckets of one histogram data point, both signs together; more is rejected. 1,024.
    pub buckets_per_histogram: usize,
    /// Exemplars of one data point; further ones are dropped. 64.
    pub exemplars_per_point: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 64 << 20,
            decoded_bytes: 512 << 20,
            record_bytes: 4 << 20,
            body_bytes: 256 << 10,
            attributes_per_record: 128,
            attribute_name_bytes: 1_024,
            attribute_value_bytes: 64 << 10,
            events_per_span: 1_024,
            links_per_span: 1_024,
            labels_per_series: 128,
            label_name_bytes: 1_024,
            label_value_bytes: 2_048,
            buckets_per_histogram: 1_024,
            exemplars_per_point: 64,
        }
    }
}
