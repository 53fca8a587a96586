//! Base64 as protobuf's JSON mapping wants it read: standard or URL-safe alphabet, with or without
//! padding.

/// Returns the bytes, or `None` when `text` is not base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in digits.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_variants() {
        for (text, want) in [
            ("", Some(&b""[..])),
            ("AQIDBA==", Some(&[1, 2, 3, 4][..])),
            ("AQIDBA", Some(&[1, 2, 3, 4][..])),
            ("-_8=", Some(&[0xfb, 0xff][..])),
            ("+/8", Some(&[0xfb, 0xff][..])),
            ("A", None),
            ("A===", None),
            ("AQ ==", None),
        ] {
            assert_eq!(decode(text).as_deref(), want, "{text}");
        }
    }
}
