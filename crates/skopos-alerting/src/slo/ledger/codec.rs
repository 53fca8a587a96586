//! The bytes of quarters and days. Whole numbers, which counts nearly always are, take as many bytes
//! as they need.

use super::{Slice, Sum};
use crate::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// What stands before a pair of numbers.
const MISSING: u8 = 0;
const ZERO: u8 = 1;
const WHOLE: u8 = 2;
const FRACTIONS: u8 = 3;

/// Above this a number with fractions is no longer told from a whole one.
const MOST_WHOLE: f64 = 9_007_199_254_740_992.0;

pub(super) fn quarter_key(quarter: i64) -> String {
    format!("q/{quarter:010}")
}

pub(super) fn day_key(day: i64) -> String {
    format!("d/{day:010}")
}

fn is_whole(value: f64) -> bool {
    value >= 0.0
        && value.fract() == 0.0
        && value < MOST_WHOLE
        && value.to_bits() != (-0.0f64).to_bits()
}

fn pair(writer: &mut Writer, bad: f64, total: f64) {
    if bad.to_bits() == 0 && total.to_bits() == 0 {
        writer.byte(ZERO);
    } else if is_whole(bad) && is_whole(total) {
        writer.byte(WHOLE);
        writer.unsigned(bad as u64);
        writer.unsigned(total as u64);
    } else {
        writer.byte(FRACTIONS);
        writer.float(bad);
        writer.float(total);
    }
}

/// `None` for what is missing.
fn read_pair(reader: &mut Reader<'_>) -> Result<Option<(f64, f64)>, DecodeError> {
    let wrong = DecodeError { what: "events", offset: 0 };
    match reader.byte("events")? {
        MISSING => Ok(None),
        ZERO => Ok(Some((0.0, 0.0))),
        WHOLE => {
            let (bad, total) = (reader.unsigned("bad events")?, reader.unsigned("events")?);
            let fits = |n: u64| n < MOST_WHOLE as u64;
            let is_shortest = bad > 0 || total > 0;
            if !fits(bad) || !fits(total) || !is_shortest {
                return Err(wrong);
            }
            Ok(Some((bad as f64, total as f64)))
        }
        FRACTIONS => {
            let (bad, total) = (reader.float("bad events")?, reader.float("events")?);
            let is_valid = bad.is_finite() && total.is_finite() && bad >= 0.0 && total >= 0.0;
            if !is_valid || (is_whole(bad) && is_whole(total)) {
                return Err(wrong);
            }
            Ok(Some((bad, total)))
        }
        _ => Err(wrong),
    }
}

/// Version, width in minutes, number of slices, slices.
pub(super) fn encode_quarter(slice_ms: i64, slices: &[Slice]) -> Vec<u8> {
    let mut writer = Writer::new(VERSION);
    writer.unsigned(slice_ms.unsigned_abs() / 60_000);
    writer.unsigned(slices.len() as u64);
    for slice in slices {
        match slice.is_missing() {
            true => writer.byte(MISSING),
            false => pair(&mut writer, slice.bad, slice.total),
        }
    }
    writer.finish()
}

/// Width in milliseconds and slices.
pub(in crate::slo) fn decode_quarter(data: &[u8]) -> Result<(i64, Vec<Slice>), DecodeError> {
    let mut reader = Reader::new(data, VERSION)?;
    let minutes = reader.unsigned("width of slices")?;
    let count = reader.unsigned("number of slices")?;
    if !matches!(minutes, 1 | 3 | 5 | 15) || count > 15 / minutes {
        return Err(DecodeError { what: "number of slices", offset: 1 });
    }
    let mut slices = Vec::new();
    for _ in 0..count {
        slices.push(match read_pair(&mut reader)? {
            Some((bad, total)) => Slice { bad, total },
            None => Slice::MISSING,
        });
    }
    reader.finish()?;
    Ok((minutes as i64 * 60_000, slices))
}

/// The 96 quarters of a day: minutes with data, and events where there are any.
pub(super) fn encode_quarters(quarters: &[Sum; 96]) -> Vec<u8> {
    let mut writer = Writer::new(VERSION);
    for sum in quarters {
        if sum.minutes <= 0 {
            writer.byte(MISSING);
            continue;
        }
        pair(&mut writer, sum.bad, sum.total);
        writer.unsigned(sum.minutes.unsigned_abs());
    }
    writer.finish()
}

pub(in crate::slo) fn decode_quarters(data: &[u8]) -> Result<[Sum; 96], DecodeError> {
    let mut reader = Reader::new(data, VERSION)?;
    let mut quarters = [Sum::default(); 96];
    for sum in &mut quarters {
        if let Some((bad, total)) = read_pair(&mut reader)? {
            let minutes = reader.unsigned("minutes")?;
            if !(1..=15).contains(&minutes) {
                return Err(DecodeError { what: "minutes", offset: 0 });
            }
            *sum = Sum { bad, total, minutes: minutes as i64 };
        }
    }
    reader.finish()?;
    Ok(quarters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_and_days_survive() {
        let slices = [
            Slice { bad: 1.0, total: 300.0 },
            Slice::MISSING,
            Slice { bad: 0.25, total: 1.0 },
            Slice::default(),
        ];
        let bytes = encode_quarter(60_000, &slices);
        assert_eq!(bytes.len(), 3 + 4 + 1 + 17 + 1);
        let (width, again) = decode_quarter(&bytes).unwrap();
        assert_eq!(width, 60_000);
        assert_eq!(again.len(), 4);
        assert!(again[1].is_missing());
        assert_eq!((again[0], again[2], again[3]), (slices[0], slices[2], slices[3]));
        let mut quarters = [Sum::default(); 96];
        quarters[3] = Sum { bad: 2.0, total: 70_000.0, minutes: 15 };
        quarters[95] = Sum { bad: 0.0, total: 0.0, minutes: 3 };
        assert_eq!(decode_quarters(&encode_quarters(&quarters)).unwrap(), quarters);
        for cut in 0..bytes.len() {
            assert!(decode_quarter(&bytes[..cut]).is_err(), "{cut}");
        }
    }
}
