//! Remote write 2.0: `io.prometheus.write.v2.Request`.
//!
//! Texts stand once in a table of symbols, and series refer to them by number. The table may stand
//! anywhere in the message, so series are read after it. A series that refers to a symbol that is
//! not there is rejected; the others go on. Metadata travels with its series; of several for one
//! metric the first counts.

use std::collections::HashSet;

use skopos_model::{METRIC_NAME, MetricBatch, MetricType, Sample};

use super::label_cache::Key;
use super::series::{Floats, Scratch};
use super::wire::{Message, Value};
use super::{Decoder, LabelCache, WRONG_TYPE, WriteError, type_of, utf8};
use crate::limits::Limits;
use crate::report::{Ingested, Refusal};

/// Decodes a decompressed `io.prometheus.write.v2.Request`; like [`decode`](super::decode).
///
/// ```
/// use skopos_ingest::{Limits, remote_write};
/// use skopos_model::{Labels, MetricBatch, SeriesSamples};
///
/// let labels = Labels::from_pairs([("__name__", "up"), ("job", "shop")]);
/// let series = vec![SeriesSamples::single(labels, 1_700_000_000_000, 1.0)];
/// let sent = MetricBatch { series, metadata: vec![] };
///
/// let block = remote_write::encode_v2(&sent);
/// let body = remote_write::decompress(&block, 1 << 20)?;
/// let received = remote_write::decode_v2(&body, &Limits::default())?;
/// assert_eq!(received.decoded.value, sent);
/// # Ok::<(), remote_write::WriteError>(())
/// ```
pub fn decode_v2(body: &[u8], limits: &Limits) -> Result<Ingested<MetricBatch>, WriteError> {
    decode_v2_with(body, limits, None)
}

/// Like [`decode_v2`], with the label sets of requests before: what comes out is the same.
pub fn decode_v2_with(
    body: &[u8],
    limits: &Limits,
    cache: Option<&LabelCache>,
) -> Result<Ingested<MetricBatch>, WriteError> {
    let mut decoder = Decoder::new(limits, cache);
    let (mut symbols, mut all) = (Vec::new(), Vec::new());
    let mut request = Message::new(body);
    while let Some((number, value)) = request.next_field()? {
        match (number, value) {
            (4, Value::Bytes(text)) => {
                // With its hash.
                decoder.spend(size_of::<&str>() + size_of::<SymbolHash>())?;
                symbols.push(utf8(text)?);
            }
            (5, Value::Bytes(series)) => {
                decoder.spend(size_of::<Message<'_>>())?;
                all.push(series);
            }
            (4 | 5, _) => return Err(request.malformed(WRONG_TYPE)),
            // Version 1 under the name of version 2.
            (1..=3, _) => return Err(request.malformed("a field of remote write 1.0")),
            _ => {}
        }
    }
    if symbols.first().is_some_and(|first| !first.is_empty()) {
        return Err(Message::new(body).malformed("the first symbol is not the empty text"));
    }
    let hashes = match &decoder.known {
        Some(known) => symbols.iter().map(|text| known.symbol(text)).collect(),
        None => Vec::new(),
    };
    let described = HashSet::new();
    let mut reader = Reader { symbols, hashes, spelling: Vec::new(), described };
    let mut scratch = Scratch::default();
    for series in all {
        reader.series(&mut decoder, series, &mut scratch)?;
    }
    Ok(decoder.finish())
}

/// What stands for a symbol in the key of a label set.
type SymbolHash = [u8; 16];

struct Reader<'a> {
    symbols: Vec<&'a str>,
    /// Of the symbols; empty without a cache.
    hashes: Vec<SymbolHash>,
    /// Those of a series, one after another.
    spelling: Vec<u8>,
    /// Metrics whose metadata is known.
    described: HashSet<&'a str>,
}

/// A reference to a symbol that is not there.
struct NoSuchSymbol(u64);

impl<'a> Reader<'a> {
    fn series(
        &mut self,
        decoder: &mut Decoder<'_>,
        mut message: Message<'a>,
        scratch: &mut Scratch<'a>,
    ) -> Result<(), WriteError> {
        scratch.clear();
        let (mut floats, mut items) = (Floats::default(), 0_u64);
        let (mut metadata, mut refs) = (None, Vec::new());
        // What is beyond this breaks the limit in any case.
        let most = 2 * (decoder.limits.labels_per_series + 2);
        while let Some((number, value)) = message.next_field()? {
            match (number, value) {
                (1, value) => references(value, &message, most, &mut refs)?,
                (2, Value::Bytes(sample)) => {
                    decoder.spend(size_of::<Sample>() + 8)?;
                    items += 1;
                    let (timestamp_ms, start_ms, value) = read_sample(sample)?;
                    floats.push_started(timestamp_ms, start_ms, value);
                }
                (3, Value::Bytes(histogram)) => {
                    items += 1;
                    scratch.histograms.push(histogram);
                }
                (4, Value::Bytes(exemplar)) => scratch.exemplars.push(exemplar),
                (5, Value::Bytes(found)) => metadata = Some(found),
                (1..=5, _) => return Err(message.malformed(WRONG_TYPE)),
                _ => {}
            }
        }
        let key = self.key(decoder, &refs);
        let known = key.and_then(|key| decoder.known.as_mut()?.find(key));
        if known.is_none()
            && let Err(refusal) = self.labels(&refs, &mut scratch.labels)
        {
            let job = scratch.labels.iter().find(|(name, _)| *name == "job");
            decoder.name_sender(job.map_or("", |(_, job)| job));
            decoder.tally.reject(refusal, items.max(1));
            return Ok(());
        }
        let (is_new, before) = (known.is_none(), decoder.batch.series.len());
        let symbols = &self.symbols;
        let kept = decoder.keep(scratch, known, floats, &|mut message, pairs| {
            let (mut timestamp_ms, mut number, mut refs) = (0, 0.0, Vec::new());
            while let Some(field) = message.next_field()? {
                match field {
                    (1, value) => references(value, &message, most, &mut refs)?,
                    (2, Value::Fixed64(bits)) => number = f64::from_bits(bits),
                    (3, Value::Varint(ms)) => timestamp_ms = ms.cast_signed(),
                    (2 | 3, _) => return Err(message.malformed(WRONG_TYPE)),
                    _ => {}
                }
            }
            Ok(match pair_up(symbols, &refs, pairs) {
                Ok(()) => Ok((timestamp_ms, number)),
                Err(_) => Err("its labels refer to symbols that are not there"),
            })
        })?;
        if let (true, Some(key), Some(kept), Some(known)) =
            (is_new, key, decoder.batch.series.get(before), &mut decoder.known)
        {
            known.add(key, &kept.labels);
        }
        match metadata {
            Some(metadata) if kept => self.metadata(decoder, metadata, &refs),
            _ => Ok(()),
        }
    }

    /// The key of a label set; none without a cache, or when a symbol is not there.
    fn key(&mut self, decoder: &Decoder<'_>, refs: &[u64]) -> Option<Key> {
        let known = decoder.known.as_ref()?;
        self.spelling.clear();
        for at in refs {
            self.spelling.extend_from_slice(self.hashes.get(usize::try_from(*at).ok()?)?);
        }
        refs.len().is_multiple_of(2).then(|| known.symbols(&self.spelling))
    }

    fn labels(&self, refs: &[u64], pairs: &mut Vec<(&'a str, &'a str)>) -> Result<(), Refusal> {
        pair_up(&self.symbols, refs, pairs).map_err(|NoSuchSymbol(at)| {
            let message = match at {
                u64::MAX => "a label has a name and no value".to_owned(),
                at => format!("a label refers to symbol {at}, of {}", self.symbols.len()),
            };
            Refusal::new("invalid_symbol", message)
        })
    }

    fn metadata(
        &mut self,
        decoder: &mut Decoder<'_>,
        mut message: Message<'a>,
        refs: &[u64],
    ) -> Result<(), WriteError> {
        let (mut metric_type, mut help, mut unit) = (0, 0, 0);
        while let Some((number, value)) = message.next_field()? {
            match (number, value) {
                (1, Value::Varint(value)) => metric_type = value,
                (3, Value::Varint(at)) => help = at,
                (4, Value::Varint(at)) => unit = at,
                (1 | 3 | 4, _) => return Err(message.malformed(WRONG_TYPE)),
                _ => {}
            }
        }
        let symbol = |at: u64| symbol(&self.symbols, at).unwrap_or_default();
        let (help, unit) = (symbol(help), symbol(unit));
        let mut pairs = refs.chunks_exact(2).map(|pair| (symbol(pair[0]), symbol(pair[1])));
        let metric = pairs.find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value);
        let says_nothing =
            type_of(metric_type) == MetricType::Unknown && help.is_empty() && unit.is_empty();
        if says_nothing || self.described.contains(metric) {
            return Ok(());
        }
        decoder.spend(2 * size_of::<&str>())?;
        self.described.insert(metric);
        decoder.keep_metadata(metric, metric_type, help, unit)
    }
}

fn symbol<'a>(symbols: &[&'a str], at: u64) -> Option<&'a str> {
    symbols.get(usize::try_from(at).ok()?).copied()
}

/// The first numbers of symbols, at most `most`, packed into one field or one field each.
fn references(
    value: Value<'_>,
    at: &Message<'_>,
    most: usize,
    refs: &mut Vec<u64>,
) -> Result<(), WriteError> {
    let mut push = |number| {
        if refs.len() < most {
            refs.push(number);
        }
    };
    match value {
        Value::Varint(number) => push(number),
        Value::Bytes(mut packed) => {
            while !packed.bytes().is_empty() {
                push(packed.varint()?);
            }
        }
        _ => return Err(at.malformed(WRONG_TYPE)),
    }
    Ok(())
}

/// Names and values in turns.
fn pair_up<'a>(
    symbols: &[&'a str],
    refs: &[u64],
    pairs: &mut Vec<(&'a str, &'a str)>,
) -> Result<(), NoSuchSymbol> {
    let find = |at: u64| symbol(symbols, at).ok_or(NoSuchSymbol(at));
    let mut refs = refs.iter().copied();
    while let Some(name) = refs.next() {
        let value = refs.next().ok_or(NoSuchSymbol(u64::MAX))?;
        pairs.push((find(name)?, find(value)?));
    }
    Ok(())
}

fn read_sample(mut message: Message<'_>) -> Result<(i64, i64, f64), WriteError> {
    let (mut timestamp_ms, mut start_ms, mut number) = (0, 0, 0.0);
    while let Some(field) = message.next_field()? {
        match field {
            (1, Value::Fixed64(bits)) => number = f64::from_bits(bits),
            (2, Value::Varint(ms)) => timestamp_ms = ms.cast_signed(),
            (3, Value::Varint(ms)) => start_ms = ms.cast_signed(),
            (1..=3, _) => return Err(message.malformed(WRONG_TYPE)),
            _ => {}
        }
    }
    Ok((timestamp_ms, start_ms, number))
}
