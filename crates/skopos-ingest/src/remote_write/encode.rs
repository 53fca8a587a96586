//! The sending side: a batch as a snappy block. Used by tests, benchmarks and whoever forwards.

use std::collections::{HashMap, HashSet};

use skopos_model::{
    BucketSpan, CounterResetHint, Exemplar, Histogram, Labels, MetricBatch, SampleValue,
    SeriesSamples,
};

use super::TYPES;

/// Writes a batch as the body of a remote-write 1.0 request. Histograms are sent as float
/// histograms; start times and temporality have no place in this protocol.
pub fn encode(batch: &MetricBatch) -> Vec<u8> {
    let mut out = Writer::default();
    for series in &batch.series {
        out.message(1, |out| write_series(out, series));
    }
    for metadata in &batch.metadata {
        out.message(3, |out| {
            let number = TYPES.iter().position(|kind| *kind == metadata.metric_type);
            out.varint(1, number.unwrap_or(0) as u64);
            out.bytes(2, metadata.metric.as_bytes());
            out.bytes(4, metadata.help.as_bytes());
            out.bytes(5, metadata.unit.as_bytes());
        });
    }
    // A block of 4 GiB is beyond every limit of ours and of snappy.
    snap::raw::Encoder::new().compress_vec(&out.0).unwrap_or_default()
}

/// Writes a batch as the body of a remote-write 2.0 request. Metadata travels with the first series
/// of its metric, so that of metrics without a series is left out.
pub fn encode_v2(batch: &MetricBatch) -> Vec<u8> {
    let mut symbols = Symbols::default();
    symbols.number("");
    let mut described: HashSet<&str> = HashSet::new();
    let mut all = Writer::default();
    for series in &batch.series {
        let metric = series.labels.metric_name();
        let metadata = batch.metadata.iter().find(|m| m.metric == metric);
        let metadata = metadata.filter(|_| described.insert(metric));
        let start = series.start_timestamp_ms.unwrap_or(0).cast_unsigned();
        all.message(5, |out| {
            out.references(1, &series.labels, &mut symbols);
            for sample in &series.samples {
                let time = sample.timestamp_ms.cast_unsigned();
                match &sample.value {
                    SampleValue::Float(value) => out.message(2, |out| {
                        out.double(1, *value);
                        out.varint(2, time);
                        out.varint(3, start);
                    }),
                    SampleValue::Histogram(histogram) => out.message(3, |out| {
                        write_histogram(out, histogram, sample.timestamp_ms);
                        out.varint(17, start);
                    }),
                }
            }
            for Exemplar { labels, timestamp_ms, value } in &series.exemplars {
                out.message(4, |out| {
                    out.references(1, labels, &mut symbols);
                    out.double(2, *value);
                    out.varint(3, timestamp_ms.cast_unsigned());
                });
            }
            if let Some(metadata) = metadata {
                out.message(5, |out| {
                    let number = TYPES.iter().position(|kind| *kind == metadata.metric_type);
                    out.varint(1, number.unwrap_or(0) as u64);
                    out.varint(3, symbols.number(&metadata.help));
                    out.varint(4, symbols.number(&metadata.unit));
                });
            }
        });
    }
    let mut out = Writer::default();
    symbols.in_order().iter().for_each(|text| out.bytes(4, text.as_bytes()));
    out.0.append(&mut all.0);
    snap::raw::Encoder::new().compress_vec(&out.0).unwrap_or_default()
}

/// Texts by number, each once.
#[derive(Default)]
struct Symbols<'a>(HashMap<&'a str, u64>);

impl<'a> Symbols<'a> {
    fn number(&mut self, text: &'a str) -> u64 {
        let next = self.0.len() as u64;
        *self.0.entry(text).or_insert(next)
    }

    fn in_order(&self) -> Vec<&'a str> {
        let mut all: Vec<_> = self.0.iter().map(|(text, number)| (*number, *text)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, text)| text).collect()
    }
}

fn write_series(out: &mut Writer, series: &SeriesSamples) {
    write_labels(out, &series.labels);
    for sample in &series.samples {
        match &sample.value {
            SampleValue::Float(value) => out.message(2, |out| {
                out.double(1, *value);
                out.varint(2, sample.timestamp_ms.cast_unsigned());
            }),
            SampleValue::Histogram(histogram) => {
                out.message(4, |out| write_histogram(out, histogram, sample.timestamp_ms));
            }
        }
    }
    for Exemplar { labels, timestamp_ms, value } in &series.exemplars {
        out.message(3, |out| {
            write_labels(out, labels);
            out.double(2, *value);
            out.varint(3, timestamp_ms.cast_unsigned());
        });
    }
}

fn write_labels(out: &mut Writer, labels: &Labels) {
    for (name, value) in labels.iter() {
        out.message(1, |out| {
            out.bytes(1, name.as_bytes());
            out.bytes(2, value.as_bytes());
        });
    }
}

fn write_histogram(out: &mut Writer, histogram: &Histogram, timestamp_ms: i64) {
    let h = histogram;
    out.double(2, h.count);
    out.double(3, h.sum);
    out.varint(4, zigzag(h.schema));
    out.double(5, h.zero_threshold);
    out.double(7, h.zero_count);
    write_spans(out, 8, &h.negative_spans);
    out.doubles(10, &h.negative_buckets);
    write_spans(out, 11, &h.positive_spans);
    out.doubles(13, &h.positive_buckets);
    let hint = match h.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::CounterReset => 1,
        CounterResetHint::NotCounterReset => 2,
        CounterResetHint::Gauge => 3,
    };
    out.varint(14, hint);
    out.varint(15, timestamp_ms.cast_unsigned());
    out.doubles(16, &h.custom_values);
}

fn write_spans(out: &mut Writer, field: u8, spans: &[BucketSpan]) {
    for span in spans {
        out.message(field, |out| {
            out.varint(1, zigzag(span.offset));
            out.varint(2, u64::from(span.length));
        });
    }
}

fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)).cast_unsigned())
}

/// Protobuf's wire format. Field numbers here are below 16 except for one, so they fit a byte or two.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u8, wire_type: u64) {
        self.number(u64::from(field) << 3 | wire_type);
    }

    fn varint(&mut self, field: u8, value: u64) {
        self.key(field, 0);
        self.number(value);
    }

    fn double(&mut self, field: u8, value: f64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn doubles(&mut self, field: u8, values: &[f64]) {
        if !values.is_empty() {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
            self.bytes(field, &bytes);
        }
    }

    /// Labels as numbers of symbols, packed.
    fn references<'a>(&mut self, field: u8, labels: &'a Labels, symbols: &mut Symbols<'a>) {
        let mut packed = Self::default();
        for (name, value) in labels.iter() {
            packed.number(symbols.number(name));
            packed.number(symbols.number(value));
        }
        if !packed.0.is_empty() {
            self.bytes(field, &packed.0);
        }
    }

    /// A message within: its length is known only afterwards.
    fn message(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }
}
