//! Durations and byte sizes as people write them.

use std::time::Duration;

/// Reads a Prometheus duration: `15s`, `1h30m`, `250ms`, `0`. Units from large to small, each at
/// most once: y w d h m s ms.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let at = UNITS.iter().position(|(name, _)| *name == unit)?;
        if at < next_unit {
            return None;
        }
        next_unit = at + 1;
        let part = number.parse::<u64>().ok()?.checked_mul(UNITS.get(at)?.1)?;
        millis = millis.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(Duration::from_millis(millis))
}

/// Writes a duration as Prometheus does: `1h30m`, `15s`, `250ms`.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, size) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        if millis >= size {
            out.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    out
}

/// Reads a byte size: `64MiB`, `1GB`, `4096`, `512 KiB`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("15s", Some(15_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0", Some(0)),
            ("1d2h3m4s5ms", Some(93_784_005)),
            ("", None),
            ("15", None),
            ("5m1h", None),
            ("1m1m", None),
            ("99999999999y", None),
            ("5 s", None),
        ] {
            let got = parse_duration(text).map(|d| d.as_millis());
            assert_eq!(got, want, "{text}");
            if let (Some(d), true) = (parse_duration(text), text != "0") {
                assert_eq!(parse_duration(&format_duration(d)), Some(d), "{text}");
            }
        }
    }

    #[test]
    fn sizes() {
        for (text, want) in [
            ("64MiB", Some(64 << 20)),
            ("1 GB", Some(1_000_000_000)),
            ("4096", Some(4096)),
            ("x", None),
            ("1 parsec", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(parse_bytes(text), want, "{text}");
        }
    }
}
