//! The encoding of prepared batches and of samples in commits: `docs/formats/batch.md`.
//!
//! Constraints:
//! - Exact: every model value comes back equal, floats with the same bits.
//! - Decoding trusts nothing: every length is checked against the bytes left before memory is
//!   taken, nesting is bounded, and bytes left over are an error. It cannot panic.
//! - Encoding can fail only on values nested deeper than [`MAX_DEPTH`].

mod attributes;
mod decoder;
mod encoder;
mod events;
mod metrics;
mod numbered;

use skopos_model::{Labels, LogBatch, MetricBatch, SeriesSamples, TraceBatch};

pub use decoder::DecodeError;
pub(crate) use decoder::Decoder;
pub(crate) use encoder::Encoder;
pub use numbered::{NumberedSeries, SeriesNumbers};

/// Deepest nesting of attribute values that is stored; far beyond what senders may send.
pub const MAX_DEPTH: usize = 100;

/// A value that cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attribute values are nested deeper than {MAX_DEPTH}")]
pub struct TooDeep;

/// Encodes a batch of metrics. Never fails.
pub fn encode_metrics(batch: &MetricBatch) -> Vec<u8> {
    let mut encoder = Encoder::default();
    metrics::encode(&mut encoder, batch);
    encoder.finish()
}

/// Decodes a batch of metrics.
pub fn decode_metrics(bytes: &[u8]) -> Result<MetricBatch, DecodeError> {
    let mut decoder = Decoder::with_table(bytes)?;
    let batch = metrics::decode(&mut decoder)?;
    decoder.finish()?;
    Ok(batch)
}

/// Encodes a batch of metrics with the numbers that its series have in the file, and the label sets
/// of those that had none. Never fails.
pub fn encode_numbered(batch: &MetricBatch, numbers: &mut SeriesNumbers) -> Vec<u8> {
    encode_numbered_split(batch, numbers).0
}

/// Also says how many bytes of it are of label sets that had no number.
pub(crate) fn encode_numbered_split(
    batch: &MetricBatch,
    numbers: &mut SeriesNumbers,
) -> (Vec<u8>, usize) {
    let mut encoder = Encoder::default();
    let new_bytes = numbered::encode(&mut encoder, batch, numbers);
    (encoder.finish(), new_bytes)
}

/// Decodes a batch of metrics whose series have numbers; the batches of a file in their order.
pub fn decode_numbered(
    bytes: &[u8],
    known: &mut NumberedSeries,
) -> Result<MetricBatch, DecodeError> {
    decode_numbered_with(bytes, known, |labels| labels)
}

/// Like [`decode_numbered`]; `own` may exchange the label sets that are new for equal ones.
pub(crate) fn decode_numbered_with(
    bytes: &[u8],
    known: &mut NumberedSeries,
    own: impl FnMut(Labels) -> Labels,
) -> Result<MetricBatch, DecodeError> {
    let mut decoder = Decoder::with_table(bytes)?;
    let batch = numbered::decode(&mut decoder, known, own)?;
    decoder.finish()?;
    Ok(batch)
}

/// Encodes log records whose event ids count up from `first_sequence`.
pub fn encode_logs(first_sequence: u64, batch: &LogBatch) -> Result<Vec<u8>, TooDeep> {
    let mut encoder = Encoder::default();
    encoder.varint(first_sequence);
    events::encode_logs(&mut encoder, batch)?;
    Ok(encoder.finish())
}

/// Decodes log records and their first sequence number.
pub fn decode_logs(bytes: &[u8]) -> Result<(u64, LogBatch), DecodeError> {
    let mut decoder = Decoder::with_table(bytes)?;
    let first_sequence = decoder.varint()?;
    let batch = events::decode_logs(&mut decoder)?;
    decoder.finish()?;
    Ok((first_sequence, batch))
}

/// Encodes spans whose event ids count up from `first_sequence`.
pub fn encode_traces(first_sequence: u64, batch: &TraceBatch) -> Result<Vec<u8>, TooDeep> {
    let mut encoder = Encoder::default();
    encoder.varint(first_sequence);
    events::encode_traces(&mut encoder, batch)?;
    Ok(encoder.finish())
}

/// Decodes spans and their first sequence number.
pub fn decode_traces(bytes: &[u8]) -> Result<(u64, TraceBatch), DecodeError> {
    let mut decoder = Decoder::with_table(bytes)?;
    let first_sequence = decoder.varint()?;
    let batch = events::decode_traces(&mut decoder)?;
    decoder.finish()?;
    Ok((first_sequence, batch))
}

/// Adds the samples of a state commit to an encoder.
pub(crate) fn encode_series(encoder: &mut Encoder, series: &[SeriesSamples]) {
    metrics::encode_series(encoder, series);
}

/// Reads the samples of a state commit.
pub(crate) fn decode_series(decoder: &mut Decoder<'_>) -> Result<Vec<SeriesSamples>, DecodeError> {
    metrics::decode_series(decoder)
}

/// Fuzz entry: decodes arbitrary bytes as every kind of batch; what decodes must survive
/// encoding and decoding again.
pub fn fuzz_decode(data: &[u8]) {
    if let Ok(batch) = decode_metrics(data) {
        let again = encode_metrics(&batch);
        let decoded = decode_metrics(&again).expect("own encoding decodes");
        assert_eq!(encode_metrics(&decoded), again);
    }
    if let Ok((first, batch)) = decode_logs(data) {
        let again = encode_logs(first, &batch).expect("decoded values are not too deep");
        let (first, decoded) = decode_logs(&again).expect("own encoding decodes");
        assert_eq!(encode_logs(first, &decoded).as_deref(), Ok(&*again));
    }
    if let Ok((first, batch)) = decode_traces(data) {
        let again = encode_traces(first, &batch).expect("decoded values are not too deep");
        let (first, decoded) = decode_traces(&again).expect("own encoding decodes");
        assert_eq!(encode_traces(first, &decoded).as_deref(), Ok(&*again));
    }
}

/// Fuzz entry: decodes arbitrary bytes as a batch with numbered series, at the beginning of a file
/// and behind a batch of two series; what decodes must survive encoding and decoding again.
pub fn fuzz_numbered(data: &[u8]) {
    let two = ["a", "b"].map(|name| Labels::from_pairs([("__name__", name)]));
    for before in [&two[..0], &two] {
        let series = before.iter().map(|labels| SeriesSamples::single(labels.clone(), 0, 0.0));
        let before = MetricBatch { series: series.collect(), metadata: Vec::new() };
        let head = encode_numbered(&before, &mut SeriesNumbers::new());
        let mut known = NumberedSeries::new();
        decode_numbered(&head, &mut known).expect("own encoding decodes");
        let Ok(batch) = decode_numbered(data, &mut known) else { continue };
        let again = encode_numbered(&batch, &mut SeriesNumbers::new());
        let decoded = decode_numbered(&again, &mut NumberedSeries::new());
        let decoded = decoded.expect("own encoding decodes");
        assert_eq!(encode_metrics(&decoded), encode_metrics(&batch));
    }
}
