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

/// Values handed over at once. Small enough for the stack and the first-level cache.
const BLOCK: usize = 128;

/// Reads `n` packed values in order, block by block: the loop over a block has nothing to decide,
/// and who takes a block knows how many values to make room for.
pub(super) fn unpack(
    reader: &mut Reader<'_>,
    n: usize,
    mut each_block: impl FnMut(&[u64]),
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
    let mut block = [0; BLOCK];
    for start in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - start);
        let block = block.get_mut(..len).ok_or(Damaged)?;
        unpack_low(packed, width as usize, start, block)?;
        while let Some((at, high)) = exceptions.next_if(|(at, _)| *at < start + len) {
            *block.get_mut(at - start).ok_or(Damaged)? |= high;
        }
        each_block(block);
    }
    Ok(())
}

/// The low bits of the values from `start` on.
fn unpack_low(packed: &[u8], width: usize, start: usize, out: &mut [u64]) -> Result<(), Damaged> {
    if width == 0 {
        out.fill(0);
        return Ok(());
    }
    let mask = u64::MAX >> (64 - width);
    for (i, out) in out.iter_mut().enumerate() {
        let bit = (start + i) * width;
        let (byte, shift) = (bit / 8, bit % 8);
        let low = match packed.get(byte..byte + 8) {
            // One load covers the value: the common case.
            Some(word) if width <= 57 => {
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
        *out = low & mask;
    }
    Ok(())
}
