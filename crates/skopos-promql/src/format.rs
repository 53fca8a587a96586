//! Numbers, durations and label sets as Prometheus prints them.

use skopos_model::Labels;
use skopos_model::labels::is_legacy_label_name;

use crate::ast::quote;

/// A sample value as Prometheus' API answers it: `NaN`, `+Inf`, `-Inf`, else the shortest digits
/// that read back the same, with an exponent only below 1e-6 and from 1e21.
pub fn format_value(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || !value.is_finite() || (1e-6..1e21).contains(&magnitude) {
        return format_plain(value);
    }
    with_exponent(value)
}

/// A sample value without any exponent, as `count_values` makes label values.
pub fn format_plain(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{value}")
    }
}

/// A number as Go's `%g` prints it: with an exponent below 1e-4 and from 1e6. Used in messages,
/// and for native histograms as text.
pub fn format_general(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        return format_plain(value);
    }
    with_exponent(value)
}

/// A number with two significant digits, as Go's `%.2g` prints it.
pub(crate) fn format_two_digits(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return format_plain(value);
    }
    let rounded: f64 = format!("{value:.1e}").parse().unwrap_or(value);
    let magnitude = rounded.abs();
    if (1e-4..100.0).contains(&magnitude) { format_plain(rounded) } else { with_exponent(rounded) }
}

/// A number as OpenMetrics has label values of numbers: like `%g`, but whole numbers end in `.0`.
pub fn format_openmetrics(value: f64) -> String {
    let mut text = format_general(value);
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

/// Shortest digits with an exponent of two digits or more.
fn with_exponent(value: f64) -> String {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Labels as Prometheus' messages have them: the name among the others, all in braces.
pub(crate) fn format_labels(labels: &Labels) -> String {
    let label = |(name, value): (&str, &str)| match is_legacy_label_name(name) {
        true => format!("{name}={}", quote(value)),
        false => format!("{}={}", quote(name), quote(value)),
    };
    format!("{{{}}}", labels.iter().map(label).collect::<Vec<_>>().join(", "))
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
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
        ] {
            assert_eq!(format_value(value), want);
        }
        assert_eq!(format_plain(1e22), "10000000000000000000000");
        for (value, want) in
            [(1e6, "1e+06"), (999_999.0, "999999"), (0.00001, "1e-05"), (2.5, "2.5")]
        {
            assert_eq!(format_general(value), want);
        }
        for (value, want) in [(123.0, "1.2e+02"), (12.34, "12"), (0.0456, "0.046"), (2.0, "2")] {
            assert_eq!(format_two_digits(value), want);
        }
        for (value, want) in [(0.0, "0.0"), (1.0, "1.0"), (0.25, "0.25"), (1e7, "1e+07")] {
            assert_eq!(format_openmetrics(value), want);
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
