//! Prometheus remote write: a snappy block that holds one `prometheus.WriteRequest` (1.0) or one
//! `io.prometheus.write.v2.Request` (2.0, in [`decode_v2`]).
//!
//! A request of tens of thousands of series is mostly repeated text, so it is read in place: no
//! message is built, label texts are borrowed until a series' labels are frozen. What decoding
//! allocates is counted against [`Limits::decoded_bytes`], because an empty message takes two bytes
//! on the wire and many in memory.
//!
//! Three kinds of outcome, as for OTLP: bytes that are no `WriteRequest` are a [`WriteError`];
//! a series, sample or histogram that breaks a rule is *rejected* and the rest goes on; what can be
//! kept in a changed form is *adjusted*. Labels may come in any order; an empty value means "no such
//! label". Values keep their bits, stale markers among them. As with scrapes, labels are stored as
//! they were sent: what they mean is known to Prometheus' own configuration.

mod encode;
mod histogram;
mod label_cache;
mod series;
mod v2;
mod wire;

use skopos_model::{Metadata, MetricBatch, MetricType};

pub use encode::{encode, encode_v2};
pub use label_cache::LabelCache;
pub use v2::{decode_v2, decode_v2_with};

use crate::limits::Limits;
use crate::report::{Ingested, Tally};
use label_cache::Session;
use series::Scratch;
use wire::{Message, Value};

/// The longest output of one snappy element, a copy of 64 bytes, takes three bytes: no honest block
/// claims to grow more than this.
const MAX_GROWTH: usize = 22;

/// Why a body is no write request. All are the sender's fault and not to be repeated: HTTP 400,
/// 413 for [`WriteError::TooLarge`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The request is larger than allowed, after decompression or decoded.
    #[error("request exceeds limit `{limit}` of {max_bytes} bytes")]
    TooLarge {
        /// The name of the limit.
        limit: &'static str,
        /// Its value.
        max_bytes: usize,
    },
    /// The body is not a snappy block.
    #[error("body is not a valid snappy block: {reason}")]
    CorruptSnappy {
        /// What the decompressor said.
        reason: String,
    },
    /// The bytes are no such message.
    #[error("body is not a valid remote-write message: {what} (at byte {offset})")]
    Malformed {
        /// What was met.
        what: &'static str,
        /// Where, in bytes from the start of the decompressed body.
        offset: usize,
    },
}

impl WriteError {
    /// A word of a closed set, for labels: `request_bytes`, `decoded_bytes`, `corrupt_encoding`,
    /// `malformed_protobuf`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { limit, .. } => limit,
            Self::CorruptSnappy { .. } => "corrupt_encoding",
            Self::Malformed { .. } => "malformed_protobuf",
        }
    }
}

/// Says how long a snappy block is decompressed, without decompressing it; refuses what is beyond
/// the limit or cannot be true.
pub fn decompressed_len(block: &[u8], max_bytes: usize) -> Result<usize, WriteError> {
    let len = snap::raw::decompress_len(block).map_err(corrupt)?;
    if len > max_bytes {
        return Err(WriteError::TooLarge { limit: "request_bytes", max_bytes });
    }
    if len > block.len().saturating_mul(MAX_GROWTH) {
        let reason = format!("{} bytes cannot decompress to {len}", block.len());
        return Err(WriteError::CorruptSnappy { reason });
    }
    Ok(len)
}

/// Decompresses a snappy block (not the framed format). The limit is checked before anything is
/// allocated.
pub fn decompress(block: &[u8], max_bytes: usize) -> Result<Vec<u8>, WriteError> {
    let mut out = vec![0; decompressed_len(block, max_bytes)?];
    let written = snap::raw::Decoder::new().decompress(block, &mut out).map_err(corrupt)?;
    out.truncate(written);
    Ok(out)
}

fn corrupt(error: snap::Error) -> WriteError {
    WriteError::CorruptSnappy { reason: error.to_string() }
}

/// Decodes a decompressed `prometheus.WriteRequest`. Rejections count samples; their sender is the
/// label `job`.
///
/// ```
/// use skopos_ingest::{Limits, remote_write};
/// use skopos_model::{Labels, MetricBatch, SeriesSamples};
///
/// let labels = Labels::from_pairs([("__name__", "up"), ("job", "shop")]);
/// let series = vec![SeriesSamples::single(labels, 1_700_000_000_000, 1.0)];
/// let sent = MetricBatch { series, metadata: vec![] };
///
/// let block = remote_write::encode(&sent);
/// let body = remote_write::decompress(&block, 1 << 20)?;
/// let received = remote_write::decode(&body, &Limits::default())?;
/// assert_eq!(received.decoded.value, sent);
/// # Ok::<(), remote_write::WriteError>(())
/// ```
pub fn decode(body: &[u8], limits: &Limits) -> Result<Ingested<MetricBatch>, WriteError> {
    decode_with(body, limits, None)
}

/// Like [`decode`], with the label sets of requests before: what comes out is the same.
pub fn decode_with(
    body: &[u8],
    limits: &Limits,
    cache: Option<&LabelCache>,
) -> Result<Ingested<MetricBatch>, WriteError> {
    let mut decoder = Decoder::new(limits, cache);
    let (mut scratch, mut group) = (Scratch::default(), Vec::with_capacity(GROUP));
    let mut request = Message::new(body);
    loop {
        let field = request.next_field();
        if let Ok(Some((1, Value::Bytes(series)))) = field {
            group.push(series);
            if group.len() < GROUP {
                continue;
            }
        }
        decoder.group(&mut group, &mut scratch)?;
        match field? {
            None => break,
            Some((3, Value::Bytes(metadata))) => decoder.metadata(metadata)?,
            Some((1, Value::Bytes(_))) => {}
            Some((1 | 3, _)) => return Err(request.malformed(WRONG_TYPE)),
            Some(_) => {}
        }
    }
    Ok(decoder.finish())
}

/// Series of a request that are looked up together.
const GROUP: usize = 32;

const WRONG_TYPE: &str = "a field is not of its type";

struct Decoder<'a> {
    limits: &'a Limits,
    /// What decoding may still allocate.
    left_bytes: usize,
    tally: Tally,
    batch: MetricBatch,
    /// Label sets of requests before.
    known: Option<Session<'a>>,
}

impl<'l> Decoder<'l> {
    fn new(limits: &'l Limits, cache: Option<&'l LabelCache>) -> Self {
        let (left_bytes, tally) = (limits.decoded_bytes, Tally::default());
        let known = cache.and_then(|cache| cache.session(limits));
        Self { limits, left_bytes, tally, batch: MetricBatch::default(), known }
    }

    fn finish(self) -> Ingested<MetricBatch> {
        if let Some(known) = self.known {
            known.finish();
        }
        self.tally.finish(self.batch)
    }
}

impl Decoder<'_> {
    /// Takes `bytes` from what may be allocated.
    fn spend(&mut self, bytes: usize) -> Result<(), WriteError> {
        match self.left_bytes.checked_sub(bytes) {
            Some(left) => {
                self.left_bytes = left;
                Ok(())
            }
            None => {
                let max_bytes = self.limits.decoded_bytes;
                Err(WriteError::TooLarge { limit: "decoded_bytes", max_bytes })
            }
        }
    }

    fn metadata(&mut self, mut message: Message<'_>) -> Result<(), WriteError> {
        let (mut metric_type, mut metric, mut help, mut unit) = (0, "", "", "");
        while let Some((number, value)) = message.next_field()? {
            match (number, value) {
                (1, Value::Varint(value)) => metric_type = value,
                (2, Value::Bytes(text)) => metric = utf8(text)?,
                (4, Value::Bytes(text)) => help = utf8(text)?,
                (5, Value::Bytes(text)) => unit = utf8(text)?,
                (1 | 2 | 4 | 5, _) => return Err(message.malformed(WRONG_TYPE)),
                _ => {}
            }
        }
        self.keep_metadata(metric, metric_type, help, unit)
    }

    fn keep_metadata(
        &mut self,
        metric: &str,
        metric_type: u64,
        help: &str,
        unit: &str,
    ) -> Result<(), WriteError> {
        let max = self.limits.label_name_bytes;
        if metric.is_empty() || metric.len() > max || unit.len() > max {
            self.tally.adjust("invalid_metadata", 1, || {
                format!(
                    "metadata left out: its metric has no name, or name or unit exceed {max} bytes"
                )
            });
            return Ok(());
        }
        let kept = help.floor_char_boundary(self.limits.attribute_value_bytes);
        if kept < help.len() {
            self.tally.adjust("attribute_value_bytes", 1, || format!("help of `{metric}` was cut"));
        }
        let help = help.get(..kept).unwrap_or_default();
        self.spend(size_of::<Metadata>() + metric.len() + help.len() + unit.len())?;
        self.batch.metadata.push(Metadata {
            metric: metric.to_owned(),
            metric_type: type_of(metric_type),
            unit: unit.to_owned(),
            help: help.to_owned(),
        });
        Ok(())
    }
}

/// protobuf demands UTF-8 of every string; one that is not makes the request undecodable.
fn utf8<'a>(text: Message<'a>) -> Result<&'a str, WriteError> {
    std::str::from_utf8(text.bytes()).map_err(|_| text.malformed("text is not UTF-8"))
}

/// Numbers of `MetricMetadata.MetricType`, in order.
const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

fn type_of(number: u64) -> MetricType {
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    TYPES.get(index).copied().unwrap_or_default()
}
