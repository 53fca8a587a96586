//! Numbers and durations as Prometheus prints them.

/// A sample value: `NaN`, `+Inf`, `-Inf`, else the shortest digits that read back the same,
/// without an exponent (as in Prometheus' API answers).
pub fn format_value(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{value}")
    }
}

/// A number as Go's `%g` prints it: an exponent when it is below 1e-4 or not below 1e21. Used in
/// messages, and for native histograms as text.
pub fn format_general(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || value == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return format_value(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A duration in Prometheus' notation: `1h30m`, `250ms`, `0s`, with a sign when negative.
pub fn format_duration_ms(ms: i64) -> String {
    if ms == 0 {
        return "0s".into();
    }
    let mut rest = ms.unsigned_abs();
    let mut out = String::from(if ms < 0 { "-" } else { "" });
    // Years and weeks only when they fit exactly, so that odd durations stay readable.
    let units: [(&str, u64, bool); 7] = [
        ("y", 31_536_000_000, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    for (unit, size, exact) in units {
        if exact && !rest.is_multiple_of(size) {
            continue;
        }
        if rest >= size {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (value, want) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            (1e22, "10000000000000000000000"),
        ] {
            assert_eq!(format_value(value), want);
        }
        for (value, want) in
            [(1e21, "1e+21"), (1e20, "100000000000000000000"), (0.00001, "1e-05"), (2.5, "2.5")]
        {
            assert_eq!(format_general(value), want);
        }
    }

    #[test]
    fn durations() {
        for (ms, want) in [
            (0, "0s"),
            (5_400_000, "1h30m"),
            (1, "1ms"),
            (604_800_000, "1w"),
            (90_000_000, "1d1h"),
            (-5_000, "-5s"),
            (86_400_000 * 30, "30d"),
        ] {
            assert_eq!(format_duration_ms(ms), want);
        }
    }
}
