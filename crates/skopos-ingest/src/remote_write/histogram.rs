//! Native histograms of remote write, integer and float, into the model's one kind. Both versions of
//! the protocol write them alike; the second adds since when they have been counted.
//!
//! Integer buckets come as differences from bucket to bucket and become absolute counts. What
//! Prometheus would not store is rejected: unknown schemas, spans that do not fit their buckets,
//! negative counts, a count that the buckets contradict, custom bounds out of order.

use std::sync::Arc;

use skopos_model::{
    BucketSpan, CounterResetHint, Histogram, STALE_NAN, Sample, SampleValue, is_stale,
};

use super::series::{invalid_time, is_representable};
use super::wire::{Message, Value, zigzag};
use super::{Decoder, WRONG_TYPE, WriteError};
use crate::report::Refusal;

/// A histogram as it stands on the wire.
#[derive(Default)]
struct Wire {
    histogram: Histogram,
    timestamp_ms: i64,
    start_ms: i64,
    negative_deltas: Vec<i64>,
    positive_deltas: Vec<i64>,
    is_float: bool,
    schema: i64,
}

impl Decoder<'_> {
    /// A histogram with its start, 0 when it tells none.
    pub(super) fn histogram(
        &mut self,
        message: Message<'_>,
    ) -> Result<Result<(Sample, i64), Refusal>, WriteError> {
        self.spend(size_of::<Sample>() + size_of::<Histogram>() + 16)?;
        let wire = self.read(message)?;
        let start_ms = wire.start_ms;
        let sample = sample(wire, self.limits.buckets_per_histogram);
        Ok(sample.map(|sample| (sample, start_ms)))
    }

    fn read(&mut self, mut message: Message<'_>) -> Result<Wire, WriteError> {
        let mut wire = Wire::default();
        while let Some((number, value)) = message.next_field()? {
            let h = &mut wire.histogram;
            match (number, value) {
                (1, Value::Varint(count)) => h.count = count as f64,
                (2, Value::Fixed64(bits)) => {
                    h.count = f64::from_bits(bits);
                    wire.is_float = true;
                }
                (3, Value::Fixed64(bits)) => h.sum = f64::from_bits(bits),
                (4, Value::Varint(schema)) => wire.schema = zigzag(schema),
                (5, Value::Fixed64(bits)) => h.zero_threshold = f64::from_bits(bits),
                (6, Value::Varint(count)) => h.zero_count = count as f64,
                (7, Value::Fixed64(bits)) => h.zero_count = f64::from_bits(bits),
                (8, Value::Bytes(span)) => self.span(span, &mut h.negative_spans)?,
                (9, value) => self.deltas(value, &message, &mut wire.negative_deltas)?,
                (10, value) => self.floats(value, &message, &mut h.negative_buckets)?,
                (11, Value::Bytes(span)) => self.span(span, &mut h.positive_spans)?,
                (12, value) => self.deltas(value, &message, &mut wire.positive_deltas)?,
                (13, value) => self.floats(value, &message, &mut h.positive_buckets)?,
                (14, Value::Varint(hint)) => {
                    h.counter_reset_hint = match hint {
                        1 => CounterResetHint::CounterReset,
                        2 => CounterResetHint::NotCounterReset,
                        3 => CounterResetHint::Gauge,
                        _ => CounterResetHint::Unknown,
                    }
                }
                (15, Value::Varint(ms)) => wire.timestamp_ms = ms.cast_signed(),
                (16, value) => self.floats(value, &message, &mut h.custom_values)?,
                (17, Value::Varint(ms)) => wire.start_ms = ms.cast_signed(),
                (1..=17, _) => return Err(message.malformed(WRONG_TYPE)),
                _ => {}
            }
        }
        Ok(wire)
    }

    fn span(
        &mut self,
        mut message: Message<'_>,
        spans: &mut Vec<BucketSpan>,
    ) -> Result<(), WriteError> {
        let (mut offset, mut length) = (0, 0);
        while let Some(field) = message.next_field()? {
            match field {
                // protobuf cuts what is too long for 32 bits.
                (1, Value::Varint(value)) => offset = zigzag(value & u64::from(u32::MAX)) as i32,
                (2, Value::Varint(value)) => length = value as u32,
                (1 | 2, _) => return Err(message.malformed(WRONG_TYPE)),
                _ => {}
            }
        }
        self.spend(size_of::<BucketSpan>())?;
        spans.push(BucketSpan { offset, length });
        Ok(())
    }

    /// Numbers packed into one field or one field each, as protobuf allows.
    fn deltas(
        &mut self,
        value: Value<'_>,
        at: &Message<'_>,
        deltas: &mut Vec<i64>,
    ) -> Result<(), WriteError> {
        match value {
            Value::Varint(delta) => {
                self.spend(16)?;
                deltas.push(zigzag(delta));
            }
            Value::Bytes(mut packed) => {
                while !packed.bytes().is_empty() {
                    self.spend(16)?;
                    deltas.push(zigzag(packed.varint()?));
                }
            }
            _ => return Err(at.malformed(WRONG_TYPE)),
        }
        Ok(())
    }

    fn floats(
        &mut self,
        value: Value<'_>,
        at: &Message<'_>,
        floats: &mut Vec<f64>,
    ) -> Result<(), WriteError> {
        match value {
            Value::Fixed64(bits) => {
                self.spend(8)?;
                floats.push(f64::from_bits(bits));
            }
            Value::Bytes(mut packed) => {
                while !packed.bytes().is_empty() {
                    self.spend(8)?;
                    floats.push(f64::from_bits(packed.fixed64()?));
                }
            }
            _ => return Err(at.malformed(WRONG_TYPE)),
        }
        Ok(())
    }
}

fn sample(wire: Wire, max_buckets: usize) -> Result<Sample, Refusal> {
    let timestamp_ms = wire.timestamp_ms;
    if !is_representable(timestamp_ms) {
        return Err(invalid_time(&"histogram"));
    }
    let histogram = if is_stale(wire.histogram.sum) {
        Histogram { sum: STALE_NAN, count: STALE_NAN, ..Histogram::default() }
    } else {
        finish(wire, max_buckets)?
    };
    Ok(Sample { timestamp_ms, value: SampleValue::Histogram(Arc::new(histogram)) })
}

fn finish(wire: Wire, max_buckets: usize) -> Result<Histogram, Refusal> {
    let Wire { mut histogram, negative_deltas, positive_deltas, is_float, schema, .. } = wire;
    let invalid = |message: String| Refusal::new("malformed_histogram", message);
    histogram.schema =
        i32::try_from(schema).map_err(|_| invalid(format!("schema {schema} is unknown")))?;
    if !is_float {
        histogram.negative_buckets = absolute(&negative_deltas);
        histogram.positive_buckets = absolute(&positive_deltas);
    }
    let h = &histogram;
    let found = h.negative_buckets.len() + h.positive_buckets.len();
    if found > max_buckets {
        return Err(Refusal::limit("buckets_per_histogram", max_buckets, found, "histogram"));
    }
    if !h.is_well_formed() {
        let schema = h.schema;
        return Err(invalid(format!("buckets and spans disagree, or schema {schema} is unknown")));
    }
    for spans in [&h.negative_spans, &h.positive_spans] {
        let index = |at: Option<i32>, span: &BucketSpan| {
            let length = i32::try_from(span.length).ok()?;
            at?.checked_add(span.offset)?.checked_add(length)
        };
        if spans.iter().fold(Some(0), index).is_none() {
            return Err(invalid("a bucket's index is out of range".into()));
        }
    }
    let buckets = || h.negative_buckets.iter().chain(&h.positive_buckets);
    if buckets().chain([&h.zero_count, &h.count]).any(|count| *count < 0.0) {
        return Err(invalid("a count is negative".into()));
    }
    if !(h.zero_threshold >= 0.0 && h.zero_threshold.is_finite()) {
        return Err(invalid(format!("zero threshold {} is no width", h.zero_threshold)));
    }
    if h.has_custom_buckets() {
        check_custom(h).map_err(|message| invalid(message.to_owned()))?;
    }
    let counted: f64 = buckets().sum::<f64>() + h.zero_count;
    // Observations of NaN are in the count but in no bucket; the sum is NaN then. Whole numbers are
    // exact up to 2^53, floats need not be.
    let exact = !is_float && h.count < 9e15;
    if exact && (counted > h.count || (counted < h.count && !h.sum.is_nan())) {
        return Err(invalid(format!("count is {}, but the buckets hold {counted}", h.count)));
    }
    Ok(histogram)
}

fn check_custom(h: &Histogram) -> Result<(), &'static str> {
    if !h.negative_buckets.is_empty() || h.zero_count != 0.0 {
        return Err("custom buckets know no negative or zero bucket");
    }
    let ascending = h.custom_values.is_sorted_by(|a, b| a < b);
    if !ascending || h.custom_values.iter().any(|bound| bound.is_nan() || *bound == f64::INFINITY) {
        return Err("custom bounds are not ascending numbers below +Inf");
    }
    let end: i64 = h.positive_spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
    let first = h.positive_spans.first().map_or(0, |span| span.offset);
    // One bucket more than there are bounds: the one up to +Inf.
    if first < 0 || end > i64::try_from(h.custom_values.len()).unwrap_or(i64::MAX).saturating_add(1)
    {
        return Err("custom buckets lie outside their bounds");
    }
    Ok(())
}

fn absolute(deltas: &[i64]) -> Vec<f64> {
    let mut count = 0_i64;
    deltas
        .iter()
        .map(|delta| {
            count = count.wrapping_add(*delta);
            count as f64
        })
        .collect()
}
