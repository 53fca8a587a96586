//! Metrics whose series have numbers: a label set stands once in a file, and a number afterwards.
//!
//! Constraints:
//! - Numbers are given in ascending order from 0, without gaps, and hold for one file. A batch says
//!   where its own begin, so that a reader who has missed one notices.
//! - The writer notes a number on the label set itself (its [`Hints`](skopos_model::Hints)): nothing
//!   is looked up. An equal label set that is no clone gets a number of its own, which costs a few
//!   bytes and is right.

use skopos_model::{
    HintOwner, Labels, MetricBatch, Sample, SampleValue, SeriesSamples, Temporality,
};

use super::decoder::{DecodeError, Decoder};
use super::encoder::Encoder;
use super::metrics::{
    decode_exemplar, decode_histogram, decode_labels, decode_metadata, encode_exemplar,
    encode_histogram, encode_labels, encode_metadata, list,
};

type Result<T> = std::result::Result<T, DecodeError>;

/// Bits of the byte that says what of a series is there.
mod shape {
    /// The sender counts in deltas.
    pub(super) const DELTA: u8 = 1;
    /// A start time follows.
    pub(super) const START: u8 = 2;
    /// Exemplars follow the samples.
    pub(super) const EXEMPLARS: u8 = 4;
    /// There is exactly one sample, and no count.
    pub(super) const ONE: u8 = 8;
    /// All samples are floats, and do not say so.
    pub(super) const FLOATS: u8 = 16;
    pub(super) const ALL: u8 = 31;
}

/// The writer's side: which label sets have a number in the file that is being written.
#[derive(Debug)]
pub struct SeriesNumbers {
    owner: HintOwner,
    next: u32,
    /// Those that got theirs with the batch encoded last.
    new: Vec<Labels>,
}

impl Default for SeriesNumbers {
    fn default() -> Self {
        Self { owner: HintOwner::unique(), next: 0, new: Vec::new() }
    }
}

impl SeriesNumbers {
    /// For a new file: no label set has a number.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether so many are given that a new file should be begun.
    pub(crate) fn is_full(&self) -> bool {
        self.next > u32::MAX / 2
    }

    /// Takes back the numbers that the batch encoded last has given: it is not going to be written.
    pub fn take_back(&mut self) {
        self.next -= u32::try_from(self.new.len()).unwrap_or(self.next).min(self.next);
        self.new.drain(..).for_each(|labels| labels.hints().name.clear());
    }

    fn number_of(&mut self, labels: &Labels) -> u32 {
        if let Some(number) = labels.hints().name.get(self.owner) {
            return number;
        }
        let number = self.next;
        self.next += 1;
        labels.hints().name.set(self.owner, number);
        self.new.push(labels.clone());
        number
    }
}

/// The reader's side: the label sets of the file so far, by number.
#[derive(Debug, Default)]
pub struct NumberedSeries(Vec<Labels>);

impl NumberedSeries {
    /// At the beginning of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Label sets read so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What of a body the label sets take that were new.
pub(super) fn encode(out: &mut Encoder, batch: &MetricBatch, numbers: &mut SeriesNumbers) -> usize {
    let first = numbers.next;
    numbers.new.clear();
    let all: Vec<u32> = batch.series.iter().map(|one| numbers.number_of(&one.labels)).collect();
    out.varint(first.into());
    out.count(numbers.new.len());
    numbers.new.iter().for_each(|labels| encode_labels(out, labels));
    let new_bytes = out.len();
    out.count(batch.series.len());
    let mut expected = 0;
    for (one, number) in batch.series.iter().zip(all) {
        out.zigzag(i64::from(number) - expected);
        expected = i64::from(number) + 1;
        encode_samples(out, one);
    }
    encode_metadata(out, &batch.metadata);
    new_bytes
}

fn encode_samples(out: &mut Encoder, one: &SeriesSamples) {
    let is_float = |sample: &Sample| matches!(sample.value, SampleValue::Float(_));
    let floats = one.samples.iter().all(is_float);
    let bits = [
        (one.temporality == Temporality::Delta, shape::DELTA),
        (one.start_timestamp_ms.is_some(), shape::START),
        (!one.exemplars.is_empty(), shape::EXEMPLARS),
        (one.samples.len() == 1, shape::ONE),
        (floats, shape::FLOATS),
    ];
    out.byte(bits.iter().filter(|(is, _)| *is).fold(0, |all, (_, bit)| all | bit));
    if let Some(start) = one.start_timestamp_ms {
        out.zigzag(start);
    }
    if one.samples.len() != 1 {
        out.count(one.samples.len());
    }
    for sample in &one.samples {
        out.time(sample.timestamp_ms);
        match &sample.value {
            SampleValue::Float(value) => {
                if !floats {
                    out.byte(0);
                }
                out.float(*value);
            }
            SampleValue::Histogram(histogram) => {
                out.byte(1);
                encode_histogram(out, histogram);
            }
        }
    }
    if !one.exemplars.is_empty() {
        out.count(one.exemplars.len());
        one.exemplars.iter().for_each(|exemplar| encode_exemplar(out, exemplar));
    }
}

/// Reads a batch; `own` may exchange the label sets that are new for equal ones.
pub(super) fn decode(
    from: &mut Decoder<'_>,
    known: &mut NumberedSeries,
    mut own: impl FnMut(Labels) -> Labels,
) -> Result<MetricBatch> {
    let first = from.varint()?;
    if usize::try_from(first).ok() != Some(known.0.len()) {
        return Err(from.error("series do not go on where those before ended"));
    }
    for _ in 0..from.count()? {
        known.0.push(own(decode_labels(from)?));
    }
    if u32::try_from(known.0.len()).is_err() {
        return Err(from.error("more series than there are numbers"));
    }
    let mut expected = 0_i64;
    let series = list(from, |from| {
        let number = from.zigzag()?.wrapping_add(expected);
        let labels = usize::try_from(number).ok().and_then(|number| known.0.get(number));
        let labels = labels.ok_or_else(|| from.error("no series has this number"))?.clone();
        expected = number + 1;
        decode_samples(from, labels)
    })?;
    Ok(MetricBatch { series, metadata: decode_metadata(from)? })
}

fn decode_samples(from: &mut Decoder<'_>, labels: Labels) -> Result<SeriesSamples> {
    let bits = from.byte()?;
    if bits & !shape::ALL != 0 {
        return Err(from.error("unknown bits in what is said of a series"));
    }
    let has = |bit: u8| bits & bit != 0;
    let start_timestamp_ms = if has(shape::START) { Some(from.zigzag()?) } else { None };
    let count = if has(shape::ONE) { 1 } else { from.count()? };
    let mut samples = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        let timestamp_ms = from.time()?;
        let value = if !has(shape::FLOATS) && from.flag()? {
            SampleValue::Histogram(decode_histogram(from)?.into())
        } else {
            SampleValue::Float(from.float()?)
        };
        samples.push(Sample { timestamp_ms, value });
    }
    Ok(SeriesSamples {
        labels,
        samples,
        temporality: match has(shape::DELTA) {
            true => Temporality::Delta,
            false => Temporality::Cumulative,
        },
        start_timestamp_ms,
        exemplars: if has(shape::EXEMPLARS) { list(from, decode_exemplar)? } else { Vec::new() },
    })
}
