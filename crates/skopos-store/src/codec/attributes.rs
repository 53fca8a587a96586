//! Attributes and values of any type.

use skopos_model::{AnyValue, Attributes};

use super::decoder::{DecodeError, Decoder};
use super::encoder::Encoder;
use super::{MAX_DEPTH, TooDeep};

const EMPTY: u8 = 0;
const STRING: u8 = 1;
const REF: u8 = 2;
const FALSE: u8 = 3;
const TRUE: u8 = 4;
const INT: u8 = 5;
const DOUBLE: u8 = 6;
const ARRAY: u8 = 7;
const MAP: u8 = 8;
const BYTES: u8 = 9;

/// Values up to this many bytes go through the string table: methods, codes, hosts repeat;
/// longer texts seldom do, and hashing them would cost more than it saves.
const TABLE_VALUE_BYTES: usize = 24;

pub(super) fn encode(out: &mut Encoder, attributes: &Attributes) -> Result<(), TooDeep> {
    encode_at(out, attributes, 0)
}

pub(super) fn encode_value(out: &mut Encoder, value: &AnyValue) -> Result<(), TooDeep> {
    encode_value_at(out, value, 0)
}

fn encode_at(out: &mut Encoder, attributes: &Attributes, depth: usize) -> Result<(), TooDeep> {
    out.count(attributes.len());
    for (key, value) in attributes.iter() {
        out.text_ref(key);
        encode_value_at(out, value, depth)?;
    }
    Ok(())
}

fn encode_value_at(out: &mut Encoder, value: &AnyValue, depth: usize) -> Result<(), TooDeep> {
    if depth > MAX_DEPTH {
        return Err(TooDeep);
    }
    match value {
        AnyValue::Empty => out.byte(EMPTY),
        AnyValue::String(text) if text.len() <= TABLE_VALUE_BYTES => {
            out.byte(REF);
            out.text_ref(text);
        }
        AnyValue::String(text) => {
            out.byte(STRING);
            out.string(text);
        }
        AnyValue::Bool(value) => out.byte(if *value { TRUE } else { FALSE }),
        AnyValue::Int(value) => {
            out.byte(INT);
            out.zigzag(*value);
        }
        AnyValue::Double(value) => {
            out.byte(DOUBLE);
            out.float(*value);
        }
        AnyValue::Array(items) => {
            out.byte(ARRAY);
            out.count(items.len());
            for item in items {
                encode_value_at(out, item, depth + 1)?;
            }
        }
        AnyValue::Map(map) => {
            out.byte(MAP);
            encode_at(out, map, depth + 1)?;
        }
        AnyValue::Bytes(bytes) => {
            out.byte(BYTES);
            out.bytes(bytes);
        }
    }
    Ok(())
}

pub(super) fn decode(from: &mut Decoder<'_>) -> Result<Attributes, DecodeError> {
    decode_at(from, 0)
}

pub(super) fn decode_value(from: &mut Decoder<'_>) -> Result<AnyValue, DecodeError> {
    decode_value_at(from, 0)
}

fn decode_at(from: &mut Decoder<'_>, depth: usize) -> Result<Attributes, DecodeError> {
    let mut attributes = Attributes::new();
    for _ in 0..from.count()? {
        let key = from.shared_ref()?;
        attributes.push(key, decode_value_at(from, depth)?);
    }
    Ok(attributes)
}

fn decode_value_at(from: &mut Decoder<'_>, depth: usize) -> Result<AnyValue, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(from.error("values are nested too deep"));
    }
    Ok(match from.byte()? {
        EMPTY => AnyValue::Empty,
        STRING => AnyValue::String(from.string()?.into()),
        REF => AnyValue::String(from.shared_ref()?),
        FALSE => AnyValue::Bool(false),
        TRUE => AnyValue::Bool(true),
        INT => AnyValue::Int(from.zigzag()?),
        DOUBLE => AnyValue::Double(from.float()?),
        ARRAY => {
            let count = from.count()?;
            // Not reserved: a value in memory is many times its shortest encoding.
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(decode_value_at(from, depth + 1)?);
            }
            AnyValue::Array(items)
        }
        MAP => AnyValue::Map(decode_at(from, depth + 1)?),
        BYTES => AnyValue::Bytes(from.bytes()?.into()),
        _ => return Err(from.error("unknown type of value")),
    })
}
