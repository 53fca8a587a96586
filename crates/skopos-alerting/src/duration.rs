//! Durations as Prometheus writes them: `1h30m`, `15s`, `100ms`, `0`.
//!
//! Units descend, each at most once, whole numbers only; years have 365 days. Not PromQL's
//! duration *expressions*: those belong to the query language.

use std::time::Duration;

/// The units, largest first, with their length in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDuration {
    /// Nothing was given.
    #[error("empty duration; write a number and a unit, such as 5m")]
    Empty,
    /// Not numbers followed by units in descending order.
    #[error(
        "not a duration; write numbers with the units y, w, d, h, m, s, ms in this order, such as 1h30m"
    )]
    Syntax,
    /// More than 292 years, the longest that nanoseconds in 64 bits hold.
    #[error("duration is out of range")]
    OutOfRange,
}

/// Reads a duration.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    match text {
        "" => return Err(InvalidDuration::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let mut rest = text;
    let mut allowed = &UNITS[..];
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(InvalidDuration::Syntax)?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = &rest[digits..unit_end];
        let at = allowed.iter().position(|(u, _)| *u == unit).ok_or(InvalidDuration::Syntax)?;
        if digits == 0 {
            return Err(InvalidDuration::Syntax);
        }
        let count: u64 = rest[..digits].parse().map_err(|_| InvalidDuration::OutOfRange)?;
        millis = count
            .checked_mul(allowed[at].1)
            .and_then(|ms| millis.checked_add(ms))
            .filter(|ms| *ms <= (i64::MAX / 1_000_000) as u64)
            .ok_or(InvalidDuration::OutOfRange)?;
        allowed = &allowed[at + 1..];
        rest = &rest[unit_end..];
    }
    Ok(Duration::from_millis(millis))
}

/// Writes a duration; parts of a millisecond are dropped. Like Prometheus, years, weeks and days
/// are only used where they divide the whole (`90d`, but `25h`).
pub fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (i, (unit, length)) in UNITS.iter().enumerate() {
        let exact_only = i < 3;
        if millis < *length || (exact_only && !millis.is_multiple_of(*length)) {
            continue;
        }
        text.push_str(&format!("{}{unit}", millis / length));
        millis %= length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads() {
        for (text, want) in [
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("5m", Ok(300_000)),
            ("1h30m", Ok(5_400_000)),
            ("1y2w3d4h5m6s7ms", Ok(31_536_000_000 + 1_209_600_000 + 259_200_000 + 14_706_007)),
            ("100ms", Ok(100)),
            ("", Err(InvalidDuration::Empty)),
            ("5", Err(InvalidDuration::Syntax)),
            ("m", Err(InvalidDuration::Syntax)),
            ("5m1h", Err(InvalidDuration::Syntax)),
            ("5m5m", Err(InvalidDuration::Syntax)),
            ("-5m", Err(InvalidDuration::Syntax)),
            ("1.5h", Err(InvalidDuration::Syntax)),
            ("5 m", Err(InvalidDuration::Syntax)),
            ("5min", Err(InvalidDuration::Syntax)),
            ("300y", Err(InvalidDuration::OutOfRange)),
            ("99999999999999999999s", Err(InvalidDuration::OutOfRange)),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), want, "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["0s", "5m", "1h30m", "1y", "2w", "90d", "25h", "1m30s", "1s500ms"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }
}
