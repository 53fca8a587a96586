//! Series chunks on disk: `docs/formats/block.md`, "Chunks".
//!
//! Constraints: bit-exact for every value, NaN payloads and −0 among them; what was encoded is
//! decoded again before it is trusted; decoding damaged bytes is an error, never a panic, and takes
//! no more memory than the chunk says it has samples.

use std::ops::Range;
use std::sync::Arc;

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress_into};
use skopos_model::storage::{SampleBuffer, StorageError};

use super::damaged;
use crate::head::chunk::bytes::{Reader, put_varint};
use crate::head::chunk::{Damaged, histograms, pack_values, unpack_values};

/// Most samples of a chunk: a day at one every 15 s.
pub(crate) const MOST_SAMPLES: usize = 5760;
/// What decoding believes.
const SANE_SAMPLES: u32 = 1 << 20;

/// Numbers only, with their times; up to version 1.
const FLOATS: u8 = 1;
/// Native histograms, or histograms and numbers, with their times; up to version 1.
const HISTOGRAMS: u8 = 2;
/// Numbers only; their times are a row of the table of times.
pub(crate) const TIMELESS_FLOATS: u8 = 3;
/// Native histograms, or histograms and numbers; their times are a row of the table of times.
pub(crate) const TIMELESS_HISTOGRAMS: u8 = 4;

/// Values are floats to `pco`.
const AS_FLOATS: u8 = 0;
/// Values are their bits to `pco`.
const AS_BITS: u8 = 1;
/// All values are the same.
const CONSTANT: u8 = 2;
/// Values are packed: for short chunks. What `pco` needs before it decodes the first number takes
/// longer than to unpack hundreds.
const PACKED: u8 = 3;
/// Most values that are packed.
const MOST_PACKED: usize = 512;
/// Bytes per value up to which nothing better than packing is looked for.
const PACKED_WELL: usize = 2;

/// Encodes the samples `range` of a buffer, whose times are `run` of the table of times: the
/// chunk's kind and its bytes.
pub(crate) fn encode(
    samples: &SampleBuffer,
    range: Range<usize>,
    run: u32,
) -> Result<(u8, Vec<u8>), StorageError> {
    let values = samples.values.get(range.clone());
    let values = values.ok_or_else(|| damaged("(new)", "range lies outside of the samples"))?;
    let mut out = Vec::new();
    put_varint(&mut out, run.into());
    let values = encode_values(values)?;
    let from = samples.histograms.partition_point(|(i, _)| *i < range.start);
    let to = samples.histograms.partition_point(|(i, _)| *i < range.end);
    let found = samples.histograms.get(from..to).unwrap_or_default();
    if found.is_empty() {
        out.extend_from_slice(&values);
        return Ok((TIMELESS_FLOATS, out));
    }
    put_varint(&mut out, values.len() as u64);
    out.extend_from_slice(&values);
    histograms::encode(found, range.start, &mut out);
    Ok((TIMELESS_HISTOGRAMS, out))
}

/// The row of the table of times that a chunk names; `None` for one with its own times.
pub(super) fn run_of(kind: u8, data: &[u8]) -> Result<Option<u32>, Damaged> {
    match kind {
        TIMELESS_FLOATS | TIMELESS_HISTOGRAMS => {
            let run = Reader::new(data).varint()?;
            Ok(Some(u32::try_from(run).map_err(|_| Damaged)?))
        }
        _ => Ok(None),
    }
}

fn encode_values(values: &[f64]) -> Result<Vec<u8>, StorageError> {
    if let Some((first, rest)) = values.split_first()
        && rest.iter().all(|value| value.to_bits() == first.to_bits())
    {
        return Ok([&[CONSTANT][..], &first.to_bits().to_le_bytes()].concat());
    }
    let gives_back = |encoded: &[u8]| {
        let mut back = Vec::new();
        let decoded = decode_values(encoded, values.len(), &mut back);
        decoded.is_ok() && values.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits())
    };
    let mut packed = Vec::new();
    if (1..=MOST_PACKED).contains(&values.len()) {
        packed.push(PACKED);
        pack_values(values, &mut packed);
        if !gives_back(&packed) {
            packed.clear();
        } else if packed.len() <= values.len() * PACKED_WELL {
            return Ok(packed);
        }
    }
    let mut out = vec![AS_FLOATS];
    out.extend(compress(values)?);
    // Time counts too: `pco` must save a quarter.
    if !packed.is_empty() && packed.len() * 3 <= out.len() * 4 {
        return Ok(packed);
    }
    if gives_back(&out) {
        return Ok(out);
    }
    let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
    let mut out = vec![AS_BITS];
    out.extend(compress(&bits)?);
    Ok(out)
}

pub(super) fn compress<T: Number>(numbers: &[T]) -> Result<Vec<u8>, StorageError> {
    simple_compress(numbers, &ChunkConfig::default())
        .map_err(|error| damaged("(new)", format!("pco refuses the samples: {error}")))
}

/// The times that [`compress`] has encoded.
pub(super) fn decode_times(data: &[u8], len: u32) -> Result<Arc<[i64]>, Damaged> {
    if len == 0 || len > SANE_SAMPLES {
        return Err(Damaged);
    }
    let mut times = vec![0_i64; len as usize];
    decompress(data, &mut times)?;
    if times.is_sorted_by(|a, b| a < b) { Ok(times.into()) } else { Err(Damaged) }
}

/// Appends the samples of `[start_ms, end_ms]` of a chunk of `len` samples to `out`; `times_of`
/// yields a row of the table of times.
pub(crate) fn decode(
    (kind, len, data): (u8, u32, &[u8]),
    times_of: impl FnOnce(u32) -> Result<Arc<[i64]>, Damaged>,
    start_ms: i64,
    end_ms: i64,
    out: &mut SampleBuffer,
) -> Result<(), Damaged> {
    if len == 0 || len > SANE_SAMPLES {
        return Err(Damaged);
    }
    let mut reader = Reader::new(data);
    let times = match run_of(kind, data)? {
        Some(run) => {
            reader.varint()?;
            times_of(run)?
        }
        None => {
            let times_len = reader.count(data.len())?;
            decode_times(reader.take(times_len)?, len)?
        }
    };
    if times.len() != len as usize {
        return Err(Damaged);
    }
    let from = times.partition_point(|&t| t < start_ms);
    let to = times.partition_point(|&t| t <= end_ms).max(from);
    if from == to {
        return Ok(());
    }
    let values_len = match kind {
        FLOATS | TIMELESS_FLOATS => reader.remaining(),
        HISTOGRAMS | TIMELESS_HISTOGRAMS => reader.count(data.len())?,
        _ => return Err(Damaged),
    };
    // Values are decoded where they stay, and cut there.
    let base = out.values.len();
    let mut found = Vec::new();
    let mut fill = |values: &mut Vec<f64>| {
        decode_values(reader.take(values_len)?, len as usize, values)?;
        match kind {
            HISTOGRAMS | TIMELESS_HISTOGRAMS => {
                let sums = values.get(base..).ok_or(Damaged)?;
                histograms::decode(&mut reader, 0, sums, &mut found)
            }
            _ => Ok(()),
        }
    };
    if let Err(damaged) = fill(&mut out.values) {
        out.values.truncate(base);
        return Err(damaged);
    }
    out.values.truncate(base + to);
    out.values.drain(base..base + from);
    let wanted = found.into_iter().filter(|(i, _)| (from..to).contains(i));
    out.histograms.extend(wanted.map(|(i, histogram)| (base + i - from, histogram)));
    out.timestamps.extend_from_slice(times.get(from..to).unwrap_or_default());
    Ok(())
}

/// Appends `n` values.
fn decode_values(data: &[u8], n: usize, out: &mut Vec<f64>) -> Result<(), Damaged> {
    let base = out.len();
    match data.split_first() {
        Some((&AS_FLOATS, data)) => {
            out.resize(base + n, 0.0);
            decompress(data, out.get_mut(base..).ok_or(Damaged)?)
        }
        Some((&AS_BITS, data)) => {
            let mut bits = vec![0_u64; n];
            decompress(data, &mut bits)?;
            out.extend(bits.into_iter().map(f64::from_bits));
            Ok(())
        }
        Some((&CONSTANT, bits)) => {
            let bits = <[u8; 8]>::try_from(bits).map_err(|_| Damaged)?;
            out.resize(base + n, f64::from_bits(u64::from_le_bytes(bits)));
            Ok(())
        }
        Some((&PACKED, data)) => unpack_values(data, n, out),
        _ => Err(Damaged),
    }
}

fn decompress<T: Number>(data: &[u8], into: &mut [T]) -> Result<(), Damaged> {
    let progress = simple_decompress_into(data, into).map_err(|_| Damaged)?;
    if progress.n_processed == into.len() { Ok(()) } else { Err(Damaged) }
}

/// Fuzz entry: decodes arbitrary bytes as a chunk of any kind; what decodes must survive encoding
/// and decoding again.
pub fn fuzz_chunk(data: &[u8]) {
    let Some((&len, data)) = data.split_first() else { return };
    for kind in [FLOATS, HISTOGRAMS, TIMELESS_FLOATS, TIMELESS_HISTOGRAMS] {
        let mut out = SampleBuffer::default();
        let any = |_| Ok((0..i64::from(len)).collect());
        if decode((kind, len.into(), data), any, i64::MIN, i64::MAX, &mut out).is_err() {
            continue;
        }
        let (kind, again) = encode(&out, 0..out.len(), 7).expect("decoded samples can be encoded");
        let mut back = SampleBuffer::default();
        let times = |_| Ok(out.timestamps.as_slice().into());
        decode((kind, out.len() as u32, &again), times, i64::MIN, i64::MAX, &mut back)
            .expect("own encoding decodes");
        let bits = |b: &SampleBuffer| b.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((&out.timestamps, bits(&out)), (&back.timestamps, bits(&back)));
    }
}

#[cfg(test)]
mod tests {
    use skopos_model::{BucketSpan, Histogram, STALE_NAN};

    use super::*;

    fn check(samples: &SampleBuffer) -> usize {
        let (kind, data) = encode(samples, 0..samples.len(), 300).unwrap();
        assert_eq!(run_of(kind, &data), Ok(Some(300)));
        let times = compress(&samples.timestamps).unwrap();
        let times_of = |_| decode_times(&times, samples.len() as u32);
        let mut back = SampleBuffer::default();
        let chunk = (kind, samples.len() as u32, &*data);
        decode(chunk, times_of, i64::MIN, i64::MAX, &mut back).unwrap();
        let bits = |b: &SampleBuffer| b.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(back.timestamps, samples.timestamps);
        assert_eq!(bits(&back), bits(samples));
        assert_eq!(format!("{:?}", back.histograms), format!("{:?}", samples.histograms));
        data.len()
    }

    fn floats(values: impl IntoIterator<Item = f64>) -> SampleBuffer {
        let values: Vec<f64> = values.into_iter().collect();
        let timestamps = (0..values.len() as i64).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        SampleBuffer { timestamps, values, ..SampleBuffer::default() }
    }

    #[test]
    fn every_bit_comes_back() {
        let odd = [
            f64::NAN,
            STALE_NAN,
            f64::from_bits(0xfff8_dead_beef_0001),
            -0.0,
            0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            5e-324,
            f64::MAX,
            0.1,
        ];
        for n in [1, 2, 3, 10, 257, 6000] {
            check(&floats((0..n).map(|i| odd[i % odd.len()])));
            check(&floats(
                (0..n).map(|i| if i % 50 == 49 { odd[i % 10] } else { i as f64 / 10.0 }),
            ));
            check(&floats((0..n).map(|_| 7.0)));
        }
        check(&SampleBuffer {
            timestamps: vec![i64::MIN, -1, i64::MAX],
            values: vec![1.0; 3],
            ..SampleBuffer::default()
        });
    }

    /// Writes the fuzz corpus anew: `cargo test -p skopos-store -- --ignored write_chunk_corpus`.
    #[test]
    #[ignore = "writes files into the source tree"]
    fn write_chunk_corpus() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/chunk");
        std::fs::create_dir_all(&folder).unwrap();
        let mut mixed = floats((0..9).map(f64::from));
        mixed.histograms.push((2, Arc::new(Histogram { sum: 2.0, ..Histogram::default() })));
        for (name, samples) in [
            ("counter", floats((0..100).map(|i| f64::from(i * i)))),
            ("noise", floats((0..40).map(|i| f64::from(i).sin()))),
            ("odd", floats([f64::NAN, -0.0, STALE_NAN])),
            ("mixed", mixed),
        ] {
            let (_, data) = encode(&samples, 0..samples.len(), 0).unwrap();
            let seed = [&[samples.len() as u8], &*data].concat();
            std::fs::write(folder.join(name), seed).unwrap();
        }
    }

    #[test]
    fn a_counter_takes_little_room() {
        let mut level = 0.0;
        let len = check(&floats((0..480).map(|i| {
            level += f64::from(i * 7919 % 31);
            level
        })));
        assert!(len < 480 * 3 / 4, "{len} bytes");
    }

    #[test]
    fn short_chunks_are_packed_and_long_ones_are_not() {
        let mode = |n: i32| {
            let values: Vec<f64> = (0..n).map(|i| f64::from(i * 7919 % 31)).collect();
            encode_values(&values).unwrap()
        };
        let packed = mode(240);
        assert_eq!((packed[0], mode(513)[0]), (PACKED, AS_FLOATS));
        let mut out = Vec::new();
        for cut in 0..packed.len() {
            assert!(decode_values(&packed[..cut], 240, &mut out).is_err(), "{cut}");
        }
        // One more might hide in the padding of the last byte.
        for n in [1, 239, 250, SANE_SAMPLES as usize] {
            assert!(decode_values(&packed, n, &mut out).is_err(), "{n}");
        }
    }

    #[test]
    fn a_constant_takes_next_to_nothing() {
        for value in [0.0, -0.0, 1.5, STALE_NAN] {
            assert_eq!(check(&floats([value; 5760])), 2 + 1 + 8);
        }
        assert!(check(&floats([0.0, -0.0])) > 11, "these are two");
    }

    #[test]
    fn histograms_lie_beside_and_ranges_are_cut() {
        let mut samples = floats((0..10).map(f64::from));
        for i in [2, 3, 9] {
            let histogram = Histogram {
                schema: 3,
                count: i as f64,
                sum: i as f64,
                positive_spans: vec![BucketSpan { offset: 1, length: 1 }],
                positive_buckets: vec![i as f64],
                ..Histogram::default()
            };
            samples.histograms.push((i, Arc::new(histogram)));
        }
        check(&samples);
        let (kind, data) = encode(&samples, 1..10, 0).unwrap();
        assert_eq!(kind, TIMELESS_HISTOGRAMS);
        let times = |_| Ok(samples.timestamps[1..].into());
        let mut out = floats([0.5]);
        out.timestamps[0] = 0;
        let (start, end) = (samples.timestamps[3], samples.timestamps[8]);
        decode((kind, 9, &data), times, start, end, &mut out).unwrap();
        assert_eq!(out.values, [0.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(out.histograms.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1]);
        assert!(decode((9, 9, &data), times, start, end, &mut out).is_err());
        assert!(decode((kind, 10, &data), times, start, end, &mut out).is_err());
        assert!(decode((kind, 9, &data[..data.len() / 2]), times, start, end, &mut out).is_err());
    }
}
