//! What a request will weigh in memory, worked out before it is decoded.
//!
//! An empty protobuf message takes two bytes on the wire and hundreds in memory, so 64 MiB of them
//! would take gigabytes. This walks the nested messages of a request without building them, adds up
//! the sizes of the structs that decoding would make, and stops at the limit. Malformed input is
//! not its business: it stops there and leaves the error to the decoder.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::trace::v1 as trace;

/// A message: its fields that hold messages.
pub(super) struct Shape(&'static [Field]);

/// Number of the field, bytes that one element of it takes (0 when it lies inside its parent),
/// shape of the element.
type Field = (u64, usize, &'static Shape);

static LEAF: Shape = Shape(&[]);
static ANY: Shape = Shape(&[(5, 0, &ARRAY), (6, 0, &MAP)]);
static ARRAY: Shape = Shape(&[(1, size_of::<AnyValue>(), &ANY)]);
static MAP: Shape = Shape(&[(1, size_of::<KeyValue>(), &PAIR)]);
static PAIR: Shape = Shape(&[(2, 0, &ANY)]);
static RESOURCE: Shape = Shape(&[(1, size_of::<KeyValue>(), &PAIR)]);
static SCOPE: Shape = Shape(&[(3, size_of::<KeyValue>(), &PAIR)]);

pub(super) static LOGS: Shape = Shape(&[(1, size_of::<logs::ResourceLogs>(), &RESOURCE_LOGS)]);
static RESOURCE_LOGS: Shape =
    Shape(&[(1, 0, &RESOURCE), (2, size_of::<logs::ScopeLogs>(), &SCOPE_LOGS)]);
static SCOPE_LOGS: Shape = Shape(&[(1, 0, &SCOPE), (2, size_of::<logs::LogRecord>(), &RECORD)]);
static RECORD: Shape = Shape(&[(5, 0, &ANY), (6, size_of::<KeyValue>(), &PAIR)]);

pub(super) static TRACES: Shape = Shape(&[(1, size_of::<trace::ResourceSpans>(), &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Shape =
    Shape(&[(1, 0, &RESOURCE), (2, size_of::<trace::ScopeSpans>(), &SCOPE_SPANS)]);
static SCOPE_SPANS: Shape = Shape(&[(1, 0, &SCOPE), (2, size_of::<trace::Span>(), &SPAN)]);
static SPAN: Shape = Shape(&[
    (9, size_of::<KeyValue>(), &PAIR),
    (11, size_of::<trace::span::Event>(), &EVENT),
    (13, size_of::<trace::span::Link>(), &LINK),
]);
static EVENT: Shape = Shape(&[(3, size_of::<KeyValue>(), &PAIR)]);
static LINK: Shape = Shape(&[(4, size_of::<KeyValue>(), &PAIR)]);

pub(super) static METRICS: Shape =
    Shape(&[(1, size_of::<metrics::ResourceMetrics>(), &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Shape =
    Shape(&[(1, 0, &RESOURCE), (2, size_of::<metrics::ScopeMetrics>(), &SCOPE_METRICS)]);
static SCOPE_METRICS: Shape = Shape(&[(1, 0, &SCOPE), (2, size_of::<metrics::Metric>(), &METRIC)]);
static METRIC: Shape = Shape(&[
    (5, 0, &NUMBERS),
    (7, 0, &NUMBERS),
    (9, 0, &HISTOGRAMS),
    (10, 0, &EXPONENTIALS),
    (11, 0, &SUMMARIES),
    (12, size_of::<KeyValue>(), &PAIR),
]);
static NUMBERS: Shape = Shape(&[(1, size_of::<metrics::NumberDataPoint>(), &NUMBER)]);
static NUMBER: Shape =
    Shape(&[(5, size_of::<metrics::Exemplar>(), &EXEMPLAR), (7, size_of::<KeyValue>(), &PAIR)]);
static HISTOGRAMS: Shape = Shape(&[(1, size_of::<metrics::HistogramDataPoint>(), &HISTOGRAM)]);
static HISTOGRAM: Shape =
    Shape(&[(8, size_of::<metrics::Exemplar>(), &EXEMPLAR), (9, size_of::<KeyValue>(), &PAIR)]);
static EXPONENTIALS: Shape =
    Shape(&[(1, size_of::<metrics::ExponentialHistogramDataPoint>(), &EXPONENTIAL)]);
static EXPONENTIAL: Shape =
    Shape(&[(1, size_of::<KeyValue>(), &PAIR), (11, size_of::<metrics::Exemplar>(), &EXEMPLAR)]);
static SUMMARIES: Shape = Shape(&[(1, size_of::<metrics::SummaryDataPoint>(), &SUMMARY)]);
static SUMMARY: Shape = Shape(&[
    (6, size_of::<metrics::summary_data_point::ValueAtQuantile>(), &LEAF),
    (7, size_of::<KeyValue>(), &PAIR),
]);
static EXEMPLAR: Shape = Shape(&[(7, size_of::<KeyValue>(), &PAIR)]);

/// Deeper messages are refused by the decoder.
const MAX_DEPTH: usize = 100;

/// Whether the structs of the request in `body` take at most `max` bytes.
pub(super) fn is_within(shape: &'static Shape, body: &[u8], max: usize) -> bool {
    let mut left = max;
    walk(shape, body, &mut left, 0).is_some()
}

/// `None` once `left` is used up.
fn walk(shape: &'static Shape, mut bytes: &[u8], left: &mut usize, depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return Some(());
    }
    while !bytes.is_empty() {
        let Some(key) = varint(&mut bytes) else { break };
        let skipped = match key & 7 {
            0 => varint(&mut bytes).map(|_| &[][..]),
            1 => take(&mut bytes, 8),
            2 => varint(&mut bytes).and_then(|length| take(&mut bytes, length)),
            5 => take(&mut bytes, 4),
            _ => None,
        };
        let Some(content) = skipped else { break };
        if key & 7 != 2 {
            continue;
        }
        if let Some((_, size, inner)) = shape.0.iter().find(|(number, ..)| *number == key >> 3) {
            *left = left.checked_sub(*size)?;
            if !inner.0.is_empty() {
                walk(inner, content, left, depth + 1)?;
            }
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for i in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(head)
}
