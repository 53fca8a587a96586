//! JSON by hand, where answers are large or numbers must be printed exactly as Prometheus does.

use std::fmt::Write as _;

use skopos_model::Labels;

/// Appends a string with JSON's escapes.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (i, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain_from..i]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        plain_from = i + 1;
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

/// Appends an array of strings.
pub(crate) fn push_strings<S: AsRef<str>>(out: &mut String, texts: impl IntoIterator<Item = S>) {
    out.push('[');
    for (i, text) in texts.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(out, text.as_ref());
    }
    out.push(']');
}

/// Appends labels as an object.
pub(crate) fn push_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(out, name);
        out.push(':');
        push_string(out, value);
    }
    out.push('}');
}

/// Appends a sample value in quotes as Prometheus' API prints it: `NaN`, `+Inf`, `-Inf`, else the
/// shortest digits that read back the same, with an exponent below 1e-6 and from 1e21 on.
pub(crate) fn push_value(out: &mut String, value: f64) {
    out.push('"');
    push_bare_value(out, value);
    out.push('"');
}

fn push_bare_value(out: &mut String, value: f64) {
    let magnitude = value.abs();
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        // Rust writes 1e-7 and 1e21, Go 1e-07 and 1e+21.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
    } else {
        let _ = write!(out, "{value}");
    }
}

/// Appends milliseconds as seconds with a fraction of three digits, or none.
pub(crate) fn push_seconds(out: &mut String, millis: i64) {
    let _ = match (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000) {
        (whole, 0) if millis < 0 => write!(out, "-{whole}"),
        (whole, 0) => write!(out, "{whole}"),
        (whole, rest) if millis < 0 => write!(out, "-{whole}.{rest:03}"),
        (whole, rest) => write!(out, "{whole}.{rest:03}"),
    };
}

#[cfg(test)]
mod tests {
    use skopos_model::STALE_NAN;

    use super::*;

    #[test]
    fn strings_survive_a_json_reader() {
        for text in ["", "plain", "a\"b\\c\nd\re\tf\u{1}g\u{1f}", "é 漢 🦀", "\u{7f}\u{2028}"] {
            let mut out = String::new();
            push_string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn numbers_print_as_prometheus_prints_them() {
        for (value, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (STALE_NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e22, "-2.5e+22"),
            (0.000_001, "0.000001"),
            (0.000_000_9, "9e-07"),
            (1e100, "1e+100"),
            (1_435_781_430.781, "1435781430.781"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ] {
            let mut out = String::new();
            push_bare_value(&mut out, value);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn times_have_three_decimals_or_none() {
        for (millis, want) in [
            (0, "0"),
            (1_435_781_430_781, "1435781430.781"),
            (1_000, "1"),
            (1_001, "1.001"),
            (-1, "-0.001"),
            (-2_000, "-2"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            let mut out = String::new();
            push_seconds(&mut out, millis);
            assert_eq!(out, want);
        }
    }
}
