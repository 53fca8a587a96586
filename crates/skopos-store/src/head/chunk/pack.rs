//! Packs integers with one bit width and sets the few that need more aside ("patched frame of
//! reference"): a single gap in a regular series then costs a few bytes, not a wider chunk.
//!
//! ```text
//! width (1 byte, 0–64) | exceptions (varint) | { index delta, value >> width } (varints) …
//! | ceil(n × width / 8) bytes of packed low bits, lowest bit first
//! ```

use super::Damaged;
use super::bytes::{Reader, put_varint};

/// The width to use and about how many bytes the packed values take.
pub(super) fn plan(values: &[u64]) -> (u32, usize) {
    let mut of_width = [0_usize; 65];
    for value in values {
        of_width[(64 - value.leading_zeros()) as usize] += 1;
    }
    let widest = of_width.iter().rposition(|&n| n > 0).unwrap_or(0);
    let mut best = (widest, (values.len() * widest).div_ceil(8));
    let mut exceptions = 0;
    for width in (0..widest).rev() {
        exceptions += of_width[width + 1];
        let each = 1 + (widest - width).div_ceil(7);
        let cost = (values.len() * width).div_ceil(8) + exceptions * each;
        if cost < best.1 {
            best = (width, cost);
        }
    }
    (best.0 as u32, best.1 + 2)
}

/// Appends packed values.
pub(super) fn pack(values: &[u64], out: &mut Vec<u8>) {
    let (width, cost) = plan(values);
    out.reserve(cost);
    out.push(width as u8);
    let fits = |value: u64| width == 64 || value >> width == 0;
    put_varint(out, values.iter().filter(|&&v| !fits(v)).count() as u64);
    let mut last = 0;
    for (i, &value) in values.iter().enumerate().filter(|(_, v)| !fits(**v)) {
        put_varint(out, (i - last) as u64);
        put_varint(out, value >> width);
        last = i;
    }
    if width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - width);
    let (mut buffer, mut filled) = (0_u128, 0);
    for &value in values {
        buffer |= u128::from(value & mask) << filled;
        filled += width;
        while filled >= 8 {
            out.push(buffer as u8);
            buffer >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(buffer as u8);
    }
}

/// Reads `n` packed values in order.
pub(super) fn unpack(
    reader: &mut Reader<'_>,
    n: usize,
    mut each: impl FnMut(u64),
) -> Result<(), Damaged> {
    let width = u32::from(reader.byte()?);
    if width > 64 {
        return Err(Damaged);
    }
    let exception_count = reader.count(n)?;
    let mut exceptions = Vec::with_capacity(exception_count);
    let mut at = 0_usize;
    for i in 0..exception_count {
        let step = reader.count(n)?;
        at += step;
        if at >= n || (i > 0 && step == 0) || width == 64 {
            return Err(Damaged);
        }
        exceptions.push((at, reader.varint()? << width));
    }
    let packed = reader.take((n * width as usize).div_ceil(8))?;
    let mut exceptions = exceptions.into_iter().peekable();
    let mut with_exception = |i: usize, low: u64| match exceptions.next_if(|(at, _)| *at == i) {
        Some((_, high)) => low | high,
        None => low,
    };
    if width == 0 {
        (0..n).for_each(|i| each(with_exception(i, 0)));
        return Ok(());
    }
    let mask = u64::MAX >> (64 - width);
    let width = width as usize;
    for i in 0..n {
        let bit = i * width;
        let (byte, shift) = (bit / 8, bit % 8);
        let low = match packed.get(byte..byte + 8) {
            // One load covers the value: the common case.
            Some(word) if shift + width <= 64 => {
                u64::from_le_bytes(word.try_into().map_err(|_| Damaged)?) >> shift
            }
            _ => {
                let mut word = [0; 16];
                let part = packed.get(byte..).ok_or(Damaged)?;
                let len = part.len().min(16);
                word[..len].copy_from_slice(&part[..len]);
                (u128::from_le_bytes(word) >> shift) as u64
            }
        };
        each(with_exception(i, low & mask));
    }
    Ok(())
}
