//! Series, samples, histograms, exemplars, metadata.

use std::sync::Arc;

use skopos_model::{
    BucketSpan, CounterResetHint, Exemplar, Histogram, Labels, Metadata, MetricBatch, MetricType,
    Sample, SampleValue, SeriesSamples, Temporality,
};

use super::decoder::{DecodeError, Decoder};
use super::encoder::Encoder;

type Result<T> = std::result::Result<T, DecodeError>;

pub(super) fn encode(out: &mut Encoder, batch: &MetricBatch) {
    encode_series(out, &batch.series);
    encode_metadata(out, &batch.metadata);
}

pub(super) fn encode_metadata(out: &mut Encoder, all: &[Metadata]) {
    out.count(all.len());
    for metadata in all {
        out.text_ref(&metadata.metric);
        out.byte(metric_type_number(metadata.metric_type));
        out.text_ref(&metadata.unit);
        out.string(&metadata.help);
    }
}

pub(super) fn decode(from: &mut Decoder<'_>) -> Result<MetricBatch> {
    Ok(MetricBatch { series: decode_series(from)?, metadata: decode_metadata(from)? })
}

pub(super) fn decode_metadata(from: &mut Decoder<'_>) -> Result<Vec<Metadata>> {
    list(from, |from| {
        Ok(Metadata {
            metric: from.text_ref()?.into(),
            metric_type: decode_metric_type(from)?,
            unit: from.text_ref()?.into(),
            help: from.string()?.into(),
        })
    })
}

pub(super) fn encode_series(out: &mut Encoder, series: &[SeriesSamples]) {
    out.count(series.len());
    for one in series {
        encode_labels(out, &one.labels);
        out.byte(match one.temporality {
            Temporality::Cumulative => 0,
            Temporality::Delta => 1,
        });
        match one.start_timestamp_ms {
            None => out.byte(0),
            Some(start) => {
                out.byte(1);
                out.zigzag(start);
            }
        }
        out.count(one.samples.len());
        for sample in &one.samples {
            out.time(sample.timestamp_ms);
            match &sample.value {
                SampleValue::Float(value) => {
                    out.byte(0);
                    out.float(*value);
                }
                SampleValue::Histogram(histogram) => {
                    out.byte(1);
                    encode_histogram(out, histogram);
                }
            }
        }
        out.count(one.exemplars.len());
        one.exemplars.iter().for_each(|exemplar| encode_exemplar(out, exemplar));
    }
}

pub(super) fn encode_exemplar(out: &mut Encoder, exemplar: &Exemplar) {
    encode_labels(out, &exemplar.labels);
    out.time(exemplar.timestamp_ms);
    out.float(exemplar.value);
}

pub(super) fn decode_exemplar(from: &mut Decoder<'_>) -> Result<Exemplar> {
    Ok(Exemplar { labels: decode_labels(from)?, timestamp_ms: from.time()?, value: from.float()? })
}

pub(super) fn decode_series(from: &mut Decoder<'_>) -> Result<Vec<SeriesSamples>> {
    list(from, |from| {
        Ok(SeriesSamples {
            labels: decode_labels(from)?,
            temporality: match from.byte()? {
                0 => Temporality::Cumulative,
                1 => Temporality::Delta,
                _ => return Err(from.error("unknown temporality")),
            },
            start_timestamp_ms: if from.flag()? { Some(from.zigzag()?) } else { None },
            samples: list(from, decode_sample)?,
            exemplars: list(from, decode_exemplar)?,
        })
    })
}

fn decode_sample(from: &mut Decoder<'_>) -> Result<Sample> {
    let timestamp_ms = from.time()?;
    let value = if from.flag()? {
        SampleValue::Histogram(Arc::new(decode_histogram(from)?))
    } else {
        SampleValue::Float(from.float()?)
    };
    Ok(Sample { timestamp_ms, value })
}

pub(super) fn encode_labels(out: &mut Encoder, labels: &Labels) {
    out.count(labels.len());
    for (name, value) in labels.iter() {
        out.text_ref(name);
        out.text_ref(value);
    }
}

pub(super) fn decode_labels(from: &mut Decoder<'_>) -> Result<Labels> {
    let pairs = list(from, |from| Ok((from.text_ref()?, from.text_ref()?)))?;
    // Refused rather than repaired: an encoder writes labels sorted, and repairing an
    // unsorted list of hostile length would take quadratic time.
    let sorted = pairs.is_sorted_by(|(a, _), (b, _)| a < b);
    if !sorted || pairs.iter().any(|(_, value)| value.is_empty()) {
        return Err(from.error("labels are not sorted, unique and without empty values"));
    }
    Ok(Labels::from_sorted_pairs(pairs.iter().copied()))
}

pub(super) fn encode_histogram(out: &mut Encoder, h: &Histogram) {
    out.byte(match h.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::CounterReset => 1,
        CounterResetHint::NotCounterReset => 2,
        CounterResetHint::Gauge => 3,
    });
    out.zigzag(h.schema.into());
    for value in [h.zero_threshold, h.zero_count, h.count, h.sum] {
        out.float(value);
    }
    encode_spans(out, &h.positive_spans);
    encode_floats(out, &h.positive_buckets);
    encode_spans(out, &h.negative_spans);
    encode_floats(out, &h.negative_buckets);
    encode_floats(out, &h.custom_values);
}

pub(super) fn decode_histogram(from: &mut Decoder<'_>) -> Result<Histogram> {
    Ok(Histogram {
        counter_reset_hint: match from.byte()? {
            0 => CounterResetHint::Unknown,
            1 => CounterResetHint::CounterReset,
            2 => CounterResetHint::NotCounterReset,
            3 => CounterResetHint::Gauge,
            _ => return Err(from.error("unknown counter reset hint")),
        },
        schema: i32_of(from)?,
        zero_threshold: from.float()?,
        zero_count: from.float()?,
        count: from.float()?,
        sum: from.float()?,
        positive_spans: list(from, decode_span)?,
        positive_buckets: list(from, Decoder::float)?,
        negative_spans: list(from, decode_span)?,
        negative_buckets: list(from, Decoder::float)?,
        custom_values: list(from, Decoder::float)?,
    })
}

fn encode_spans(out: &mut Encoder, spans: &[BucketSpan]) {
    out.count(spans.len());
    for span in spans {
        out.zigzag(span.offset.into());
        out.varint(span.length.into());
    }
}

fn decode_span(from: &mut Decoder<'_>) -> Result<BucketSpan> {
    Ok(BucketSpan { offset: i32_of(from)?, length: from.varint_u32()? })
}

fn encode_floats(out: &mut Encoder, values: &[f64]) {
    out.count(values.len());
    for value in values {
        out.float(*value);
    }
}

fn i32_of(from: &mut Decoder<'_>) -> Result<i32> {
    let value = from.zigzag()?;
    i32::try_from(value).map_err(|_| from.error("number exceeds 32 bits"))
}

/// Reads a counted list. Memory grows with what is really there, not with what is claimed.
pub(super) fn list<'a, T>(
    from: &mut Decoder<'a>,
    mut item: impl FnMut(&mut Decoder<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = from.count()?;
    let mut items = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        items.push(item(from)?);
    }
    Ok(items)
}

fn metric_type_number(metric_type: MetricType) -> u8 {
    match metric_type {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

fn decode_metric_type(from: &mut Decoder<'_>) -> Result<MetricType> {
    Ok(match from.byte()? {
        0 => MetricType::Unknown,
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => return Err(from.error("unknown metric type")),
    })
}
