//! Go's `fmt.Sprintf` over template values.

use super::humanize::format_float;
use super::quote::quote;
use super::value::Value;

/// Widest padding and longest fraction: beyond this a format is a mistake or an attack.
const MAX_WIDTH: usize = 10_000;

#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats as Go does, wrong verbs and missing or surplus arguments included
/// (`%!d(float64=1.5)`, `%!s(MISSING)`, `%!(EXTRA int=1)`).
pub(super) fn sprintf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut characters = format.chars().peekable();
    let mut arguments_left = arguments.iter();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = Flags::default();
        while let Some(&c) = characters.peek() {
            match c {
                '-' => flags.minus = true,
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => break,
            }
            characters.next();
        }
        let mut number = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            if characters.next_if_eq(&'*').is_some() {
                return match arguments_left.next() {
                    Some(Value::Int(n)) => Some(*n),
                    _ => None,
                };
            }
            let mut value = None;
            while let Some(digit) = characters.peek().and_then(|c| c.to_digit(10)) {
                value = Some((value.unwrap_or(0) * 10 + i64::from(digit)).min(1 << 32));
                characters.next();
            }
            value
        };
        let limit = |n: i64| usize::try_from(n.unsigned_abs()).unwrap_or(MAX_WIDTH).min(MAX_WIDTH);
        if let Some(width) = number(&mut characters) {
            flags.minus |= width < 0;
            flags.width = Some(limit(width));
        }
        if characters.next_if_eq(&'.').is_some() {
            flags.precision = Some(limit(number(&mut characters).unwrap_or(0).max(0)));
        }
        match characters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments_left.next() {
                Some(value) => out.push_str(&one(value, verb, &flags)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    let extra: Vec<String> =
        arguments_left.map(|v| format!("{}={}", v.type_name(), v.print())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn one(value: &Value, verb: char, flags: &Flags) -> String {
    match (value, verb) {
        (_, 'T') => pad(value.type_name().into(), flags),
        (Value::Int(n), 'v' | 'd') => integer(*n, 10, false, flags),
        (Value::Int(n), 'x' | 'X') => integer(*n, 16, verb == 'X', flags),
        (Value::Int(n), 'o' | 'O') => integer(*n, 8, false, flags),
        (Value::Int(n), 'b') => integer(*n, 2, false, flags),
        (Value::Int(n), 'c' | 'q' | 'U') => {
            let c = u32::try_from(*n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            match verb {
                'c' => pad(c.to_string(), flags),
                'q' => pad(format!("{c:?}"), flags),
                _ => pad(format!("U+{:04X}", u32::from(c)), flags),
            }
        }
        (Value::Float(n), 'v' | 'g' | 'G' | 'e' | 'E' | 'f' | 'F') => float(*n, verb, flags),
        (Value::Bool(b), 'v' | 't') => pad(b.to_string(), flags),
        (Value::Text(text), 'v' | 's') => {
            let cut = flags.precision.unwrap_or(usize::MAX);
            pad(text.chars().take(cut).collect(), flags)
        }
        (Value::Text(text), 'q') => pad(quote(text), flags),
        (Value::Text(text), 'x') => pad(text.bytes().map(|b| format!("{b:02x}")).collect(), flags),
        (Value::Text(text), 'X') => pad(text.bytes().map(|b| format!("{b:02X}")).collect(), flags),
        (Value::Time(_) | Value::Duration(_), 's' | 'v') => pad(value.print(), flags),
        (Value::List(items), verb) if verb != 'v' => {
            let items: Vec<String> = items.iter().map(|item| one(item, verb, flags)).collect();
            format!("[{}]", items.join(" "))
        }
        (Value::Labels(_) | Value::Sample(..) | Value::Alert(_), 's') => pad(value.print(), flags),
        (_, 'v') => pad(value.print(), flags),
        (Value::Nil, verb) => format!("%!{verb}(<nil>)"),
        (value, verb) => format!("%!{verb}({}={})", value.type_name(), value.print()),
    }
}

fn integer(n: i64, radix: u32, upper: bool, flags: &Flags) -> String {
    let magnitude = n.unsigned_abs();
    let digits = match radix {
        16 if upper => format!("{magnitude:X}"),
        16 => format!("{magnitude:x}"),
        8 => format!("{magnitude:o}"),
        2 => format!("{magnitude:b}"),
        _ => magnitude.to_string(),
    };
    let prefix = match (flags.sharp, radix) {
        (true, 16) if upper => "0X",
        (true, 16) => "0x",
        (true, 8) => "0",
        (true, 2) => "0b",
        _ => "",
    };
    let sign = sign(n < 0, flags);
    let digits = match flags.precision {
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    let zeros = flags.zero && flags.precision.is_none();
    signed(sign, &format!("{prefix}{digits}"), zeros, flags)
}

fn float(n: f64, verb: char, flags: &Flags) -> String {
    let precision = match (verb, flags.precision) {
        ('v' | 'g' | 'G', precision) => precision,
        (_, precision) => Some(precision.unwrap_or(6)),
    };
    let format = if verb == 'v' { 'g' } else { verb };
    let text = format_float(n, format, precision);
    let digits = text.trim_start_matches(['-', '+']);
    if n.is_nan() {
        return pad(format!("{}{digits}", if flags.plus { "+" } else { "" }), flags);
    }
    // Go writes +Inf with its sign even when none was asked for.
    let sign =
        if n == f64::INFINITY && !flags.space { "+" } else { sign(text.starts_with('-'), flags) };
    signed(sign, digits, flags.zero && n.is_finite(), flags)
}

fn sign(negative: bool, flags: &Flags) -> &'static str {
    match negative {
        true => "-",
        false if flags.plus => "+",
        false if flags.space => " ",
        false => "",
    }
}

/// Pads a number; zeros go between sign and digits.
fn signed(sign: &str, digits: &str, zeros: bool, flags: &Flags) -> String {
    let width = flags.width.unwrap_or(0).saturating_sub(sign.len());
    match zeros && !flags.minus {
        true => format!("{sign}{digits:0>width$}"),
        false => pad(format!("{sign}{digits}"), flags),
    }
}

fn pad(text: String, flags: &Flags) -> String {
    let width = flags.width.unwrap_or(0);
    match flags.minus {
        true => format!("{text:<width$}"),
        false => format!("{text:>width$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected outputs follow the fmt package's documentation.
    #[test]
    fn formats_as_go_does() {
        let text = |s: &str| Value::from(s.to_string());
        for (format, arguments, want) in [
            ("%v %s %d", vec![text("a"), text("b"), Value::Int(3)], "a b 3"),
            ("%.2f", vec![Value::Float(1.005)], "1.00"),
            ("%0.0f", vec![Value::Float(12.5)], "12"),
            ("%.1f%%", vec![Value::Float(99.95)], "100.0%"),
            ("%.4g", vec![Value::Float(1234567.0)], "1.235e+06"),
            ("%g", vec![Value::Float(1e21)], "1e+21"),
            ("%e", vec![Value::Float(1500.0)], "1.500000e+03"),
            ("%f", vec![Value::Float(0.5)], "0.500000"),
            ("%8.3f|", vec![Value::Float(-1.5)], "  -1.500|"),
            ("%-8.3f|", vec![Value::Float(-1.5)], "-1.500  |"),
            ("%08.3f|", vec![Value::Float(-1.5)], "-001.500|"),
            (
                "%+d % d %05d %x %X %#x %o %b",
                (1..=8).map(|_| Value::Int(27)).collect(),
                "+27  27 00027 1b 1B 0x1b 33 11011",
            ),
            ("%q", vec![text("a\"b")], r#""a\"b""#),
            ("%5s|%-5s|%.1s", vec![text("ab"), text("ab"), text("ab")], "   ab|ab   |a"),
            ("%t", vec![Value::Bool(true)], "true"),
            ("%d", vec![Value::Float(1.5)], "%!d(float64=1.5)"),
            ("%s", vec![Value::Float(1.5)], "%!s(float64=1.5)"),
            ("%f", vec![text("x")], "%!f(string=x)"),
            ("%d", vec![], "%!d(MISSING)"),
            ("a", vec![Value::Int(1), text("x")], "a%!(EXTRA int=1, string=x)"),
            ("100%", vec![], "100%!(NOVERB)"),
            ("%*d", vec![Value::Int(5), Value::Int(42)], "   42"),
            ("%T %T", vec![Value::Float(1.0), text("")], "float64 string"),
            ("%v", vec![Value::Float(f64::INFINITY)], "+Inf"),
            ("%c%c", vec![Value::Int(0x4e16), Value::Int(65)], "世A"),
        ] {
            assert_eq!(sprintf(format, &arguments), want, "{format}");
        }
    }

    #[test]
    fn widths_are_bounded() {
        assert_eq!(sprintf("%99999999999999d", &[Value::Int(1)]).len(), MAX_WIDTH);
    }
}
