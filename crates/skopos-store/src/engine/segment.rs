//! What the appender knows of the WAL segment that its next frame goes to: how full it is, and which
//! series have a number in it.
//!
//! Constraints: frames come out in the order in which they are written, and the appender alone says
//! where a segment ends, because a number holds for one segment. Whatever becomes a frame is written,
//! or nothing after it is.

use skopos_model::MetricBatch;

use crate::codec::{self, SeriesNumbers};
use crate::error::StoreError;
use crate::head::PreparedBatch;
use crate::wal::frame::{self, MAX_BODY_BYTES};

/// Kind and body of a WAL frame.
pub(super) type Frame = (u8, Vec<u8>);

/// Series per frame of what is carried over to a new segment.
const CARRIED_SERIES: usize = 8192;
/// Bytes of the head that a sample takes on average until it is sealed.
const SAMPLE_BYTES: u64 = 24;
/// A segment is not ended for the sake of its label sets before they are so many times what it may
/// hold of everything else: the next one would begin with them again.
const LABELS_FACTOR: u64 = 4;

/// When a segment is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentBounds {
    /// Bytes of frames, label sets aside.
    pub(super) bytes: u64,
    /// Bytes that they take in the head, about: replay flushes between segments only.
    pub(super) head_bytes: u64,
}

/// The segment that is being filled.
pub(super) struct Segment {
    bounds: SegmentBounds,
    numbers: SeriesNumbers,
    frames: u64,
    /// Bytes of frames, label sets aside.
    bytes: u64,
    head_bytes: u64,
    label_bytes: u64,
}

impl Segment {
    pub(super) fn new(bounds: SegmentBounds) -> Self {
        let numbers = SeriesNumbers::new();
        Self { bounds, numbers, frames: 0, bytes: 0, head_bytes: 0, label_bytes: 0 }
    }

    /// The next one, which is empty.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.bounds);
    }

    /// Whether the next frame should go to the next segment.
    pub(super) fn is_full(&self) -> bool {
        let SegmentBounds { bytes, head_bytes } = self.bounds;
        self.frames > 0
            && (self.bytes >= bytes
                || self.head_bytes >= head_bytes
                || self.label_bytes >= bytes.saturating_mul(LABELS_FACTOR)
                || self.numbers.is_full())
    }

    /// A prepared batch as the next frame.
    pub(super) fn frame(&mut self, batch: &PreparedBatch) -> Result<Frame, StoreError> {
        let invalid = |reason: String| StoreError::InvalidInput { reason };
        let deep = |error: codec::TooDeep| invalid(error.to_string());
        let (kind, body, label_bytes) = match batch {
            PreparedBatch::Metrics(batch) => {
                let (body, label_bytes) = codec::encode_numbered_split(batch, &mut self.numbers);
                (frame::NUMBERED, body, label_bytes)
            }
            PreparedBatch::Logs { first_sequence, batch } => {
                (frame::LOGS, codec::encode_logs(*first_sequence, batch).map_err(deep)?, 0)
            }
            PreparedBatch::Traces { first_sequence, batch } => {
                (frame::TRACES, codec::encode_traces(*first_sequence, batch).map_err(deep)?, 0)
            }
        };
        if body.len() > MAX_BODY_BYTES {
            if kind == frame::NUMBERED {
                self.numbers.take_back();
            }
            return Err(invalid("batch is larger than 256 MiB: send smaller ones".into()));
        }
        let samples = if kind == frame::NUMBERED { batch.len() } else { 0 };
        self.count(body.len(), label_bytes, samples);
        Ok((kind, body))
    }

    /// The first frames of a segment: what a head's successor is told of it.
    pub(super) fn carried_frames(&mut self, carried: &MetricBatch) -> Vec<Frame> {
        let metadata = MetricBatch { series: Vec::new(), metadata: carried.metadata.clone() };
        let series = carried.series.chunks(CARRIED_SERIES);
        let series = series.map(|some| MetricBatch { series: some.to_vec(), metadata: Vec::new() });
        std::iter::once(metadata)
            .filter(|batch| !batch.metadata.is_empty())
            .chain(series)
            .map(|batch| {
                let (body, label_bytes) = codec::encode_numbered_split(&batch, &mut self.numbers);
                self.count(body.len(), label_bytes, batch.sample_count());
                (frame::NUMBERED, body)
            })
            .collect()
    }

    fn count(&mut self, body: usize, label_bytes: usize, samples: usize) {
        let bytes = (frame::FRAME_HEADER_BYTES + body - label_bytes) as u64;
        self.frames += 1;
        self.bytes += bytes;
        self.label_bytes += label_bytes as u64;
        self.head_bytes += bytes.max((samples as u64).saturating_mul(SAMPLE_BYTES));
    }
}
