//! Encodes float values, whichever way is smallest for the chunk:
//!
//! - *decimal*: most monitoring values are integers or have few decimals. Values that are exactly
//!   `i / 10^k` for one small `k` are stored as packed differences (or differences of differences,
//!   for steady counters) of `i`; the few that are not (NaN, −0, a stray fraction) lie beside in
//!   full.
//! - *xor*: each value's bits against those before it, without the trailing zeros all have in
//!   common.
//!
//! ```text
//! mode (1 byte)
//! decimal:  k (1 byte) | exceptions (varint) { index delta (varint), bits (8 bytes) } …
//!           | first i (zigzag varint) | packed differences
//! xor:      first bits (8 bytes) | common trailing zeros (1 byte) | packed xors
//! ```

use super::Damaged;
use super::bytes::{Reader, put_varint, unzigzag, zigzag};
use super::pack;

const DELTA: u8 = 0;
const DELTA_OF_DELTA: u8 = 1;
const XOR: u8 = 2;
/// Differences none of which is negative: saves counters the sign bit.
const GROWTH: u8 = 3;

const POWERS: [f64; 8] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
/// Integers up to here are exact in a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends encoded values. There must be as many when they are decoded.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    let xors = xors(values);
    let zeros = xors.iter().map(|x| x.trailing_zeros()).min().unwrap_or(0).min(63);
    let shifted: Vec<u64> = xors.iter().map(|x| x >> zeros).collect();
    let xor_cost = pack::plan(&shifted).1 + 9;
    if let Some(decimal) = Decimal::of(values)
        && decimal.cost() <= xor_cost
    {
        return decimal.write(out);
    }
    out.push(XOR);
    out.extend_from_slice(&first.to_bits().to_le_bytes());
    out.push(zeros as u8);
    pack::pack(&shifted, out);
}

/// Reads `n` values.
pub(super) fn decode(reader: &mut Reader<'_>, n: usize, out: &mut Vec<f64>) -> Result<(), Damaged> {
    if n == 0 {
        return Ok(());
    }
    out.reserve(n);
    match reader.byte()? {
        XOR => {
            let mut bits = reader.u64()?;
            let zeros = u32::from(reader.byte()?);
            if zeros > 63 {
                return Err(Damaged);
            }
            out.push(f64::from_bits(bits));
            pack::unpack(reader, n - 1, |xors| {
                out.extend(xors.iter().map(|xor| {
                    bits ^= xor << zeros;
                    f64::from_bits(bits)
                }));
            })
        }
        mode @ (DELTA | DELTA_OF_DELTA | GROWTH) => {
            let scale = *POWERS.get(usize::from(reader.byte()?)).ok_or(Damaged)?;
            let exception_count = reader.count(n)?;
            let mut exceptions = Vec::with_capacity(exception_count);
            let mut at = 0_usize;
            for _ in 0..exception_count {
                at += reader.count(n)?;
                exceptions.push((at, reader.f64()?));
            }
            let base = out.len();
            let mut integer = unzigzag(reader.varint()?);
            let mut delta = 0_i64;
            out.push(integer as f64 / scale);
            let mut value_after = |delta: i64| {
                integer = integer.wrapping_add(delta);
                // Dividing takes as long as all the rest; most values are whole numbers.
                if scale == 1.0 { integer as f64 } else { integer as f64 / scale }
            };
            pack::unpack(reader, n - 1, |changes| match mode {
                GROWTH => out.extend(changes.iter().map(|&c| value_after(c as i64))),
                DELTA => out.extend(changes.iter().map(|&c| value_after(unzigzag(c)))),
                _ => out.extend(changes.iter().map(|&c| {
                    delta = delta.wrapping_add(unzigzag(c));
                    value_after(delta)
                })),
            })?;
            for (at, value) in exceptions {
                *out.get_mut(base + at).ok_or(Damaged)? = value;
            }
            Ok(())
        }
        _ => Err(Damaged),
    }
}

fn xors(values: &[f64]) -> Vec<u64> {
    values.windows(2).map(|pair| pair[0].to_bits() ^ pair[1].to_bits()).collect()
}

struct Decimal {
    power: u8,
    first: i64,
    mode: u8,
    changes: Vec<u64>,
    changes_cost: usize,
    exceptions: Vec<(usize, f64)>,
}

impl Decimal {
    fn of(values: &[f64]) -> Option<Self> {
        let most_exceptions = values.len() / 16 + 2;
        let power = common_power(values, most_exceptions)?;
        let scale = POWERS[power];
        let mut exceptions = Vec::new();
        let mut integers = Vec::with_capacity(values.len());
        let mut last = 0;
        for (i, &value) in values.iter().enumerate() {
            match exact(value, scale) {
                Some(integer) => {
                    // Exceptions before the first integer repeat it, so that they cost nothing.
                    if integers.len() == exceptions.len() {
                        integers.fill(integer);
                    }
                    last = integer;
                }
                None => exceptions.push((i, value)),
            }
            integers.push(last);
        }
        if exceptions.len() > most_exceptions {
            return None;
        }
        let first = *integers.first()?;
        let deltas: Vec<i64> = integers.windows(2).map(|p| p[1].wrapping_sub(p[0])).collect();
        let mut before = 0;
        let of_deltas: Vec<u64> = deltas
            .iter()
            .map(|&delta| {
                let change = delta.wrapping_sub(before);
                before = delta;
                zigzag(change)
            })
            .collect();
        let of_delta = if deltas.iter().all(|&delta| delta >= 0) { GROWTH } else { DELTA };
        let deltas: Vec<u64> = deltas
            .into_iter()
            .map(|delta| if of_delta == GROWTH { delta as u64 } else { zigzag(delta) })
            .collect();
        let (cost, cost_of_deltas) = (pack::plan(&deltas).1, pack::plan(&of_deltas).1);
        let (mode, changes, changes_cost) = if cost <= cost_of_deltas {
            (of_delta, deltas, cost)
        } else {
            (DELTA_OF_DELTA, of_deltas, cost_of_deltas)
        };
        Some(Self { power: power as u8, first, mode, changes, changes_cost, exceptions })
    }

    fn cost(&self) -> usize {
        4 + self.exceptions.len() * 10 + 4 + self.changes_cost
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.mode);
        out.push(self.power);
        put_varint(out, self.exceptions.len() as u64);
        let mut last = 0;
        for (i, value) in &self.exceptions {
            put_varint(out, (i - last) as u64);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
            last = *i;
        }
        put_varint(out, zigzag(self.first));
        pack::pack(&self.changes, out);
    }
}

/// The integer `i` with `i / scale` equal to `value` bit for bit.
fn exact(value: f64, scale: f64) -> Option<i64> {
    let scaled = (value * scale).round();
    if scaled.abs() >= EXACT || scaled.is_nan() {
        return None;
    }
    let integer = scaled as i64;
    ((integer as f64 / scale).to_bits() == value.to_bits()).then_some(integer)
}

/// The smallest power of ten that makes (nearly) all values integers.
fn common_power(values: &[f64], most_exceptions: usize) -> Option<usize> {
    let mut power = 0;
    let mut failed = 0;
    for &value in values {
        if exact(value, POWERS[power]).is_some() {
            continue;
        }
        match (power + 1..POWERS.len()).find(|&p| exact(value, POWERS[p]).is_some()) {
            Some(larger) => power = larger,
            None => failed += 1,
        }
        if failed > most_exceptions {
            return None;
        }
    }
    Some(power)
}
