//! The bodies of the state log's frames.

use skopos_model::SeriesSamples;
use skopos_model::storage::{CommitId, StateCommit, StateKind, StateRecord};

use crate::codec::{self, DecodeError, Decoder, Encoder};

/// A commit's body.
pub(crate) fn encode_commit(commit: &StateCommit) -> Vec<u8> {
    let mut out = Encoder::default();
    out.string(&commit.id.source);
    out.zigzag(commit.id.slot);
    encode_records(
        &mut out,
        commit.records.iter().map(|r| (r.kind, &*r.key, r.value.as_deref())),
        commit.records.len(),
    );
    codec::encode_series(&mut out, &commit.samples);
    out.finish()
}

/// Reads a commit's body.
pub(crate) fn decode_commit(body: &[u8]) -> Result<StateCommit, DecodeError> {
    let mut from = Decoder::with_table(body)?;
    let id = CommitId { source: from.string()?.into(), slot: from.zigzag()? };
    let records = read_records(&mut from)?;
    let samples = codec::decode_series(&mut from)?;
    from.finish()?;
    Ok(StateCommit { id, records, samples })
}

/// The body of a snapshot's records frame.
pub(crate) fn encode_snapshot_records(records: &[(StateKind, &str, &[u8])]) -> Vec<u8> {
    let mut out = Encoder::default();
    let present = records.iter().map(|(kind, key, value)| (*kind, *key, Some(*value)));
    encode_records(&mut out, present, records.len());
    out.finish()
}

/// Reads a snapshot's records frame.
pub(crate) fn decode_records(body: &[u8]) -> Result<Vec<StateRecord>, DecodeError> {
    let mut from = Decoder::with_table(body)?;
    let records = read_records(&mut from)?;
    from.finish()?;
    Ok(records)
}

/// The body of a snapshot's slots frame.
pub(crate) fn encode_slots(slots: &[(&str, i64)]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.count(slots.len());
    for (source, slot) in slots {
        out.string(source);
        out.zigzag(*slot);
    }
    out.finish()
}

/// Reads a snapshot's slots frame.
pub(crate) fn decode_slots(body: &[u8]) -> Result<Vec<(String, i64)>, DecodeError> {
    let mut from = Decoder::with_table(body)?;
    let mut slots = Vec::new();
    for _ in 0..from.count()? {
        slots.push((from.string()?.into(), from.zigzag()?));
    }
    from.finish()?;
    Ok(slots)
}

/// The body of a snapshot's samples frame.
pub(crate) fn encode_samples(samples: &[SeriesSamples]) -> Vec<u8> {
    let mut out = Encoder::default();
    codec::encode_series(&mut out, samples);
    out.finish()
}

/// Reads a snapshot's samples frame.
pub(crate) fn decode_samples(body: &[u8]) -> Result<Vec<SeriesSamples>, DecodeError> {
    let mut from = Decoder::with_table(body)?;
    let samples = codec::decode_series(&mut from)?;
    from.finish()?;
    Ok(samples)
}

/// The body of a snapshot's end frame.
pub(crate) fn encode_end(frames: u64) -> Vec<u8> {
    let mut out = Encoder::default();
    out.varint(frames);
    out.finish()
}

/// Reads a snapshot's end frame.
pub(crate) fn decode_end(body: &[u8]) -> Result<u64, DecodeError> {
    let mut from = Decoder::with_table(body)?;
    let frames = from.varint()?;
    from.finish()?;
    Ok(frames)
}

fn encode_records<'a>(
    out: &mut Encoder,
    records: impl Iterator<Item = (StateKind, &'a str, Option<&'a [u8]>)>,
    count: usize,
) {
    out.count(count);
    for (kind, key, value) in records {
        out.byte(kind as u8);
        out.string(key);
        match value {
            None => out.byte(0),
            Some(value) => {
                out.byte(1);
                out.bytes(value);
            }
        }
    }
}

fn read_records(from: &mut Decoder<'_>) -> Result<Vec<StateRecord>, DecodeError> {
    let mut records = Vec::new();
    for _ in 0..from.count()? {
        let number = from.byte()?;
        let kind =
            StateKind::from_number(number).ok_or_else(|| from.error("unknown kind of state"))?;
        let key = from.string()?.into();
        let value = if from.flag()? { Some(from.bytes()?.to_vec()) } else { None };
        records.push(StateRecord { kind, key, value });
    }
    Ok(records)
}

/// Fuzz entry: decodes arbitrary bytes as every frame of the state log.
pub fn fuzz_state(data: &[u8]) {
    if let Ok(commit) = decode_commit(data) {
        let again = encode_commit(&commit);
        let decoded = decode_commit(&again).expect("own encoding decodes");
        assert_eq!(encode_commit(&decoded), again);
    }
    let _ = (decode_records(data), decode_slots(data), decode_samples(data), decode_end(data));
}
