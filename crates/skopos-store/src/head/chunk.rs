//! Sealed chunks: some hundred samples of one series, encoded.
//!
//! Constraints: immutable; bit-exact for every value, NaN payloads and −0 among them; decoding
//! never panics, whatever the bytes. Blocks on disk keep the values of short chunks in this
//! encoding (`docs/formats/block.md`, "packed"): to change it is to add another one.
//!
//! ```text
//! times    first (zigzag varint), first delta (zigzag varint), packed delta of deltas
//! values   see `values`: decimal integers or XOR, packed; for a histogram sample its sum
//! histograms (when any)   see `histograms`
//! ```

pub(crate) mod bytes;
pub(crate) mod histograms;
mod pack;
mod values;

use skopos_model::storage::{ErrorKind, SampleBuffer, StorageError};

use bytes::Reader;

/// Encoded samples of one series with strictly ascending times.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Time of the first sample.
    pub(crate) first_ms: i64,
    /// Time of the last sample.
    pub(crate) last_ms: i64,
    /// Number of samples, at least 1.
    pub(crate) len: u32,
    has_histograms: bool,
    bytes: Box<[u8]>,
}

impl Chunk {
    /// Encodes the samples `range` of a buffer.
    pub(crate) fn encode(samples: &SampleBuffer, range: std::ops::Range<usize>) -> Self {
        let times = &samples.timestamps[range.clone()];
        let mut out = Vec::with_capacity(times.len() * 2 + 32);
        encode_times(times, &mut out);
        values::encode(&samples.values[range.clone()], &mut out);
        let from = samples.histograms.partition_point(|(i, _)| *i < range.start);
        let to = samples.histograms.partition_point(|(i, _)| *i < range.end);
        let found = &samples.histograms[from..to];
        if !found.is_empty() {
            histograms::encode(found, range.start, &mut out);
        }
        Self {
            first_ms: times.first().copied().unwrap_or_default(),
            last_ms: times.last().copied().unwrap_or_default(),
            len: times.len() as u32,
            has_histograms: !found.is_empty(),
            bytes: out.into(),
        }
    }

    /// Appends the samples of `[start_ms, end_ms]` to `out`.
    pub(crate) fn decode(
        &self,
        start_ms: i64,
        end_ms: i64,
        out: &mut SampleBuffer,
    ) -> Result<(), StorageError> {
        let base = out.timestamps.len();
        let n = self.len as usize;
        self.decode_all(out).map_err(|Damaged| {
            StorageError::new(
                ErrorKind::Corrupt,
                format!("head chunk of {} … {} ms is damaged", self.first_ms, self.last_ms),
            )
        })?;
        if start_ms <= self.first_ms && self.last_ms <= end_ms {
            return Ok(());
        }
        let times = &out.timestamps[base..];
        let from = times.partition_point(|&t| t < start_ms);
        let to = times.partition_point(|&t| t <= end_ms).max(from);
        debug_assert_eq!(times.len(), n);
        out.timestamps.truncate(base + to);
        out.timestamps.drain(base..base + from);
        out.values.truncate(base + to);
        out.values.drain(base..base + from);
        out.histograms.retain_mut(|(i, _)| {
            if *i < base {
                return true;
            }
            let keep = (base + from..base + to).contains(i);
            *i -= if keep { from } else { 0 };
            keep
        });
        Ok(())
    }

    fn decode_all(&self, out: &mut SampleBuffer) -> Result<(), Damaged> {
        let base = out.timestamps.len();
        let mut reader = Reader::new(&self.bytes);
        decode_times(&mut reader, self.len as usize, &mut out.timestamps)?;
        values::decode(&mut reader, self.len as usize, &mut out.values)?;
        if self.has_histograms {
            let sums = out.values.get(base..).ok_or(Damaged)?;
            histograms::decode(&mut reader, base, sums, &mut out.histograms)?;
        }
        Ok(())
    }

    /// Bytes held.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>() + 16
    }
}

/// The bytes do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Appends values, as blocks keep those of short chunks.
pub(crate) fn pack_values(values: &[f64], out: &mut Vec<u8>) {
    values::encode(values, out);
}

/// Reads what [`pack_values`] wrote: appends `n` values.
pub(crate) fn unpack_values(data: &[u8], n: usize, out: &mut Vec<f64>) -> Result<(), Damaged> {
    let mut reader = Reader::new(data);
    values::decode(&mut reader, n, out)?;
    if reader.remaining() == 0 { Ok(()) } else { Err(Damaged) }
}

/// Differences wrap, so that any two times have one and the round trip is exact.
fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    let Some((&first, rest)) = times.split_first() else { return };
    bytes::put_varint(out, bytes::zigzag(first));
    let Some((&second, rest)) = rest.split_first() else { return };
    let mut delta = second.wrapping_sub(first);
    bytes::put_varint(out, bytes::zigzag(delta));
    let mut last = second;
    let second_deltas: Vec<u64> = rest
        .iter()
        .map(|&time| {
            let next = time.wrapping_sub(last);
            let change = next.wrapping_sub(delta);
            (last, delta) = (time, next);
            bytes::zigzag(change)
        })
        .collect();
    pack::pack(&second_deltas, out);
}

fn decode_times(reader: &mut Reader<'_>, n: usize, out: &mut Vec<i64>) -> Result<(), Damaged> {
    if n == 0 {
        return Ok(());
    }
    let mut time = bytes::unzigzag(reader.varint()?);
    out.push(time);
    if n == 1 {
        return Ok(());
    }
    let mut delta = bytes::unzigzag(reader.varint()?);
    time = time.wrapping_add(delta);
    out.push(time);
    out.reserve(n - 2);
    pack::unpack(reader, n - 2, |changes| {
        out.extend(changes.iter().map(|&change| {
            delta = delta.wrapping_add(bytes::unzigzag(change));
            time = time.wrapping_add(delta);
            time
        }));
    })
}

#[cfg(test)]
mod tests;
