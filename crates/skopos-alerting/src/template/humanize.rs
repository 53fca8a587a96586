//! Numbers as Go's strconv writes them, and Prometheus' humanize functions on top.

/// Writes a number as Go's `strconv.FormatFloat(value, format, precision, 64)` does; `format` is
/// one of `e`, `E`, `f`, `F`, `g`, `G`, and no precision means the fewest digits that read back
/// as the same number.
pub fn format_float(value: f64, format: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let magnitude = value.abs();
    let text = match format {
        'f' | 'F' => match precision {
            Some(precision) => format!("{magnitude:.precision$}"),
            None => format!("{magnitude}"),
        },
        'e' | 'E' => exponent_form(magnitude, precision),
        _ => general_form(magnitude, precision),
    };
    let text = if format.is_ascii_uppercase() { text.to_uppercase() } else { text };
    format!("{sign}{text}")
}

/// `1.5e+06`: at least two digits of exponent, always signed.
fn exponent_form(magnitude: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{magnitude:.precision$e}"),
        None => format!("{magnitude:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// `%g`: the exponent form for very small and very large numbers, no trailing zeros in either.
fn general_form(magnitude: f64, precision: Option<usize>) -> String {
    if magnitude == 0.0 {
        return "0".into();
    }
    let precision = precision.map(|p| p.max(1));
    let text = match precision {
        Some(precision) => format!("{magnitude:.*e}", precision - 1),
        None => format!("{magnitude:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let point = exponent + 1;
    // Go's rule: shortest output turns to the exponent form at a million, and a precision longer
    // than the digits at hand shrinks to them.
    let threshold = match precision.map(|p| i32::try_from(p).unwrap_or(i32::MAX)) {
        None => 6,
        Some(p) if p > count && count >= point => count,
        Some(p) => p,
    };
    if exponent < -4 || exponent >= threshold {
        let fraction = &digits[1..];
        let dot = if fraction.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}{dot}{fraction}e{sign}{:02}", &digits[..1], exponent.abs());
    }
    if point <= 0 {
        return format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    let point = point as usize;
    match digits.len() <= point {
        true => format!("{digits}{}", "0".repeat(point - digits.len())),
        false => format!("{}.{}", &digits[..point], &digits[point..]),
    }
}

/// `%.4g`, the precision of all humanize functions.
fn four_digits(value: f64) -> String {
    format_float(value, 'g', Some(4))
}

fn scaled(mut value: f64, base: f64, prefixes: [&str; 8]) -> String {
    let mut prefix = "";
    for candidate in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = candidate;
        value /= base;
    }
    format!("{}{prefix}", four_digits(value))
}

fn scaled_down(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for candidate in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = candidate;
        value *= 1000.0;
    }
    (value, prefix)
}

/// With a metric prefix: `1234` is `1.234k`, `0.0012` is `1.2m`.
pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four_digits(value);
    }
    if value.abs() >= 1.0 {
        return scaled(value, 1000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"]);
    }
    let (value, prefix) = scaled_down(value);
    format!("{}{prefix}", four_digits(value))
}

/// With a binary prefix: `2048` is `2ki`.
pub(super) fn humanize1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four_digits(value);
    }
    scaled(value, 1024.0, ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])
}

/// Seconds as days, hours, minutes and seconds, or with a metric prefix below one second.
pub(super) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return four_digits(value);
    }
    if value == 0.0 {
        return format!("{}s", four_digits(value));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = scaled_down(value);
        return format!("{}{prefix}s", four_digits(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let whole = value.abs() as i64;
    let (days, hours) = (whole / 86_400, whole / 3_600 % 24);
    let (minutes, seconds) = (whole / 60 % 60, whole % 60);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", four_digits(value.abs()))
    }
}

/// A ratio as a percentage.
pub(super) fn humanize_percentage(value: f64) -> String {
    format!("{}%", four_digits(value * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected outputs worked out by hand from Go's documented rules for %g, %e and %f.
    #[test]
    fn numbers_print_as_go_prints_them() {
        for (value, format, precision, want) in [
            (0.0, 'g', Some(4), "0"),
            (-0.0, 'g', None, "-0"),
            (1.0, 'g', Some(4), "1"),
            (100.0, 'g', Some(4), "100"),
            (9999.0, 'g', Some(4), "9999"),
            (9999.5, 'g', Some(4), "1e+04"),
            (10000.0, 'g', Some(4), "1e+04"),
            (12345.0, 'g', Some(4), "1.234e+04"),
            (0.012345, 'g', Some(4), "0.01235"),
            (0.0001, 'g', Some(4), "0.0001"),
            (0.00001, 'g', Some(4), "1e-05"),
            (1.5, 'g', Some(0), "2"),
            (2.5, 'g', Some(1), "2"),
            (0.1 + 0.2, 'g', None, "0.30000000000000004"),
            (100_000.0, 'g', None, "100000"),
            (1_000_000.0, 'g', None, "1e+06"),
            (123_456_789.0, 'g', None, "1.23456789e+08"),
            (9_007_199_254_740_992.0, 'g', None, "9.007199254740992e+15"),
            (0.00012, 'g', None, "0.00012"),
            (0.000012, 'g', None, "1.2e-05"),
            (1e100, 'g', None, "1e+100"),
            (2.5, 'f', Some(0), "2"),
            (0.125, 'f', Some(2), "0.12"),
            (1234.5678, 'f', Some(2), "1234.57"),
            (1234.5678, 'e', Some(3), "1.235e+03"),
            (1234.5678, 'E', Some(1), "1.2E+03"),
            (0.0, 'e', Some(2), "0.00e+00"),
            (f64::INFINITY, 'g', Some(4), "+Inf"),
            (f64::NEG_INFINITY, 'f', Some(4), "-Inf"),
            (f64::NAN, 'g', None, "NaN"),
            (-1.5, 'f', Some(1), "-1.5"),
        ] {
            assert_eq!(format_float(value, format, precision), want, "{value} %{format}");
        }
    }

    #[test]
    fn humanized_numbers() {
        for (value, want, want1024) in [
            (0.0, "0", "0"),
            (1.0, "1", "1"),
            (1_234_567.0, "1.235M", "1.177Mi"),
            (1_048_576.0, "1.049M", "1Mi"),
            (0.12, "120m", "0.12"),
            (0.0000123, "12.3u", "1.23e-05"),
            (-4567.8, "-4.568k", "-4.461ki"),
            (999.0, "999", "999"),
            (1e27, "1000Y", "827.2Yi"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!(humanize(value), want, "{value}");
            assert_eq!(humanize1024(value), want1024, "{value}");
        }
    }

    #[test]
    fn humanized_durations_and_percentages() {
        for (value, want) in [
            (0.0, "0s"),
            (1.0, "1s"),
            (2.34567, "2.346s"),
            (60.0, "1m 0s"),
            (3_600.0, "1h 0m 0s"),
            (86_400.0, "1d 0h 0m 0s"),
            (86_400.0 + 3_600.0, "1d 1h 0m 0s"),
            (-(86_400.0 * 2.0 + 3_600.0 * 3.0 + 60.0 * 4.0 + 5.0), "-2d 3h 4m 5s"),
            (899.99, "14m 59s"),
            (0.1, "100ms"),
            (0.0001, "100us"),
            (0.12345, "123.5ms"),
            (1234.5678, "20m 34s"),
            (43_200.0, "12h 0m 0s"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(humanize_duration(value), want, "{value}");
        }
        for (value, want) in [
            (-1.0, "-100%"),
            (0.0, "0%"),
            (0.1234567, "12.35%"),
            (1.0 / 3.0, "33.33%"),
            (0.0123, "1.23%"),
        ] {
            assert_eq!(humanize_percentage(value), want, "{value}");
        }
    }
}
