//! Secrets recognised by their own form, wherever they stand.
//!
//! Each function is given the text and a place that the search pointed at, and returns the bytes to hide. All work on bytes;
//! every boundary they return is next to an ASCII character and so falls between characters.

use std::ops::Range;

/// Payment card numbers: 13 to 19 digits, alone or in groups, of a known issuer range and with a valid check digit.
pub(crate) const CARD: &str = "card_number_value";
/// US social security numbers, `078-05-1120`.
pub(crate) const SSN: &str = "us_ssn_value";
/// JSON web tokens.
pub(crate) const JWT: &str = "jwt_value";
/// `Bearer …` and `Basic …`.
pub(crate) const BEARER: &str = "bearer_value";
/// PEM blocks with a private key.
pub(crate) const PRIVATE_KEY: &str = "private_key_block";
/// `scheme://user:password@host`.
pub(crate) const URL_CREDENTIALS: &str = "url_credentials";
/// Keys of well-known providers, recognised by their prefix.
pub(crate) const PROVIDER_KEY: &str = "provider_key";

/// `?sig=…` and `&signature=…`.
pub(crate) const URL_SIGNATURE: &str = "url_signature";
/// `ann@example.org`, where that is asked for.
pub(crate) const EMAIL: &str = "email_value";

/// What is recognised by its form. All but [`Detector::Email`] are on unless they are turned off.
///
/// ```
/// use skopos_redact::{Detector, Redactor};
///
/// let redactor = Redactor::builder().ignore(Detector::UsSsn).detect(Detector::Email).build()?;
/// assert_eq!(redactor.redact_text("part 078-05-1120 for ann@example.org").text, "part 078-05-1120 for [REDACTED]");
/// # Ok::<(), skopos_redact::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detector {
    /// Payment card numbers with a valid check digit.
    CardNumber,
    /// US social security numbers.
    UsSsn,
    /// JSON web tokens.
    Jwt,
    /// `Bearer …` and `Basic …`.
    Bearer,
    /// PEM blocks with a private key.
    PrivateKey,
    /// Credentials and signatures in URLs.
    Url,
    /// Keys of well-known providers, by their prefix.
    ProviderKey,
    /// E-mail addresses anywhere in a text.
    Email,
}

/// A set of detectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detectors(u16);

impl Detectors {
    pub(crate) fn has(self, detector: Detector) -> bool {
        self.0 & (1 << detector as u16) != 0
    }

    pub(crate) fn set(&mut self, detector: Detector, is_on: bool) {
        let bit = 1 << detector as u16;
        self.0 = if is_on { self.0 | bit } else { self.0 & !bit };
    }
}

impl Default for Detectors {
    fn default() -> Self {
        let mut all = Detectors(u16::MAX);
        all.set(Detector::Email, false);
        all
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn at(text: &[u8], index: usize) -> u8 {
    text.get(index).copied().unwrap_or(0)
}

fn before(text: &[u8], index: usize) -> u8 {
    index.checked_sub(1).map_or(0, |index| at(text, index))
}

/// Calls `found` with every card number and social security number in the text.
pub(crate) fn numbers(text: &[u8], mut found: impl FnMut(Range<usize>, &'static str)) {
    let mut index = 0;
    while index < text.len() {
        if !at(text, index).is_ascii_digit() {
            index += 1;
            continue;
        }
        let start = index;
        // A run: digits, with single spaces or dashes between groups.
        let mut digits: Vec<u8> = Vec::with_capacity(20);
        let mut ends: Vec<usize> = Vec::with_capacity(20);
        while at(text, index).is_ascii_digit()
            || (matches!(at(text, index), b' ' | b'-')
                && at(text, index + 1).is_ascii_digit()
                && digits.len() < 64)
        {
            if at(text, index).is_ascii_digit() {
                digits.push(at(text, index) - b'0');
                ends.push(index + 1);
            }
            index += 1;
        }
        let starts_word = !is_word(before(text, start)) && before(text, start) != b'.';
        if !starts_word || is_word(at(text, index)) {
            continue;
        }
        if is_ssn(text.get(start..index).unwrap_or_default()) {
            found(start..index, SSN);
        } else if is_card(&digits) && !looks_like_time(text.get(start..index).unwrap_or_default()) {
            found(start..index, CARD);
        } else {
            grouped(text, start, index, &mut found);
        }
    }
}

/// Looks for a number among several groups that only stand side by side: `order 17 4111111111111111`.
fn grouped(
    text: &[u8],
    start: usize,
    end: usize,
    found: &mut impl FnMut(Range<usize>, &'static str),
) {
    let run = text.get(start..end).unwrap_or_default();
    let group_starts: Vec<usize> = std::iter::once(0)
        .chain(
            run.iter()
                .enumerate()
                .filter(|(_, byte)| !byte.is_ascii_digit())
                .map(|(index, _)| index + 1),
        )
        .collect();
    if group_starts.len() < 2 {
        return;
    }
    let mut skip_to = 0;
    for (number, &group_start) in group_starts.iter().enumerate() {
        if group_start < skip_to {
            continue;
        }
        // The longest candidate first: at most 19 digits, so at most 19 groups.
        for next in (number..group_starts.len().min(number + 19)).rev() {
            let group_end = group_starts.get(next + 1).map_or(run.len(), |start| start - 1);
            let candidate = run.get(group_start..group_end).unwrap_or_default();
            let digits: Vec<u8> = candidate
                .iter()
                .filter(|byte| byte.is_ascii_digit())
                .map(|byte| byte - b'0')
                .collect();
            let rule = if is_ssn(candidate) {
                SSN
            } else if is_card(&digits) && !looks_like_time(candidate) {
                CARD
            } else {
                continue;
            };
            found(start + group_start..start + group_end, rule);
            skip_to = group_end;
            break;
        }
    }
}

/// `2026-11-22 13…`: a date is not a card, whatever its check digit says.
fn looks_like_time(text: &[u8]) -> bool {
    matches!(text, [b'1' | b'2', b'0' | b'9', _, _, b'-', _, _, b'-', ..])
}

fn is_ssn(text: &[u8]) -> bool {
    let [a, b, c, s1, d, e, s2, f, g, h, i] = text else { return false };
    let digits = [a, b, c, d, e, f, g, h, i];
    digits.iter().all(|byte| byte.is_ascii_digit())
        && s1 == s2
        && matches!(s1, b'-' | b' ')
        && *a != b'9'
        && ![b"000", b"666"].contains(&&[*a, *b, *c])
        && [*d, *e] != *b"00"
        && [*f, *g, *h, *i] != *b"0000"
}

fn is_card(digits: &[u8]) -> bool {
    let prefix = |length: usize| {
        digits.iter().take(length).fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit))
    };
    let plausible = match digits.len() {
        13 => prefix(1) == 4,
        14 => matches!(prefix(3), 300..=305) || matches!(prefix(2), 36 | 38 | 39),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            prefix(1) == 4
                || matches!(prefix(2), 51..=55 | 60 | 62 | 64 | 65)
                || matches!(prefix(4), 2221..=2720 | 3528..=3589)
        }
        17 | 18 => matches!(prefix(2), 62),
        19 => prefix(1) == 4 || matches!(prefix(2), 60 | 62 | 64 | 65),
        _ => false,
    };
    let zeros_only = digits.iter().skip(1).all(|digit| *digit == 0);
    plausible && !zeros_only && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let digit = u32::from(*digit);
            match index % 2 {
                0 => digit,
                _ if digit > 4 => digit * 2 - 9,
                _ => digit * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The run of base64url letters and dots that begins here.
pub(crate) fn encoded_run(text: &[u8], start: usize) -> Range<usize> {
    let mut end = start;
    while is_base64(at(text, end)) || at(text, end) == b'.' {
        end += 1;
    }
    start..end
}

/// Whether a run of [`encoded_run`] is a JSON web token: it begins with `eyJ` and has two dots.
pub(crate) fn is_jwt(text: &[u8], run: &Range<usize>) -> bool {
    let token = text.get(run.clone()).unwrap_or_default();
    !is_word(before(text, run.start))
        && token.starts_with(b"eyJ")
        && token.len() >= 16
        && token.iter().filter(|byte| **byte == b'.').count() >= 2
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/' | b'=')
}

/// The credentials after `Bearer` or `Basic`, whose last letter is before `end`.
pub(crate) fn bearer(text: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    if is_word(before(text, start)) {
        return None;
    }
    let mut value = end;
    while matches!(at(text, value), b' ' | b'\t') {
        value += 1;
    }
    if value == end {
        return None;
    }
    let mut value_end = value;
    while is_base64(at(text, value_end)) || matches!(at(text, value_end), b'.' | b'~') {
        value_end += 1;
    }
    let credentials = text.get(value..value_end)?;
    let is_bearer = text.get(start..start + 6)?.eq_ignore_ascii_case(b"bearer");
    let is_secret = if is_bearer {
        let lower = credentials.to_ascii_lowercase();
        credentials.len() >= 6
            && ![
                &b"authentication"[..],
                b"authorization",
                b"tokens",
                b"token.",
                b"tokens.",
                b"scheme",
                b"scheme.",
                b"credentials",
                b"schema",
                b"format",
            ]
            .contains(&lower.as_slice())
    } else {
        // "basic" is also an English word: ask for something that looks encoded.
        let has = |test: fn(&u8) -> bool| credentials.iter().any(test);
        credentials.len() >= 6
            && (has(|byte| matches!(byte, b'=' | b'+')) || has(u8::is_ascii_digit))
            || credentials.len() >= 8 && credentials.iter().skip(1).any(u8::is_ascii_uppercase)
    };
    is_secret.then_some(value..value_end)
}

/// A private key block whose first dash is at `start`; to the end of the text if it is cut off.
pub(crate) fn private_key(text: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = text.get(start..)?;
    let label_end = find(rest.get(11..)?, b"-----")? + 11;
    let label = rest.get(11..label_end)?;
    if label.len() > 64 || find(label, b"PRIVATE KEY").is_none() {
        return None;
    }
    let body = label_end + 5;
    let length = match find(rest.get(body..)?, b"-----END") {
        Some(found) => {
            let tail = body + found + 8;
            find(rest.get(tail..)?, b"-----").map_or(rest.len(), |dashes| tail + dashes + 5)
        }
        None => rest.len(),
    };
    Some(start..start + length)
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// The password in `://user:password@`, given the place after `://`.
pub(crate) fn url_credentials(text: &[u8], authority: usize) -> Option<Range<usize>> {
    let mut end = authority;
    let (mut colon, mut host) = (None, None);
    // Bounded: credentials longer than this are no URL.
    while end < text.len() && end - authority < 1024 {
        match at(text, end) {
            b'/' | b'?' | b'#' | b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'<' | b'>'
            | b'`' => break,
            b':' if colon.is_none() => colon = Some(end + 1),
            b'@' => host = Some(end),
            _ => {}
        }
        end += 1;
    }
    let (start, end) = (colon?, host?);
    (start < end).then_some(start..end)
}

/// The value of a query parameter that begins here.
pub(crate) fn query_value(text: &[u8], start: usize) -> Range<usize> {
    let mut end = start;
    while end < text.len()
        && !matches!(
            at(text, end),
            b'&' | b'#'
                | b' '
                | b'\t'
                | b'\n'
                | b'\r'
                | b'"'
                | b'\''
                | b'<'
                | b'>'
                | b'`'
                | b')'
                | b','
        )
    {
        end += 1;
    }
    start..end
}

/// Letters of a mailbox's name that are bounded in number by the standard.
const LONGEST_MAILBOX: usize = 64;
const LONGEST_DOMAIN: usize = 255;

/// The e-mail address around this `@`.
pub(crate) fn email(text: &[u8], sign: usize) -> Option<Range<usize>> {
    let is_local =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-');
    let mut start = sign;
    while start > 0 && sign - start < LONGEST_MAILBOX && is_local(at(text, start - 1)) {
        start -= 1;
    }
    let mut end = sign + 1;
    while end - sign <= LONGEST_DOMAIN
        && (at(text, end).is_ascii_alphanumeric() || matches!(at(text, end), b'.' | b'-'))
    {
        end += 1;
    }
    // A full stop after the address belongs to the sentence.
    while end > sign + 1 && matches!(at(text, end - 1), b'.' | b'-') {
        end -= 1;
    }
    let domain = text.get(sign + 1..end)?;
    let top = domain.rsplit(|byte| *byte == b'.').next()?;
    let is_address = start < sign
        && domain.contains(&b'.')
        && top.len() >= 2
        && top.iter().all(u8::is_ascii_alphabetic);
    is_address.then_some(start..end)
}

/// A provider's key that begins at `start` with the prefix that ends at `end`.
pub(crate) fn provider_key(text: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    if is_word(before(text, start)) {
        return None;
    }
    let mut key_end = end;
    while is_word(at(text, key_end)) && at(text, key_end) < 0x80 || at(text, key_end) == b'-' {
        key_end += 1;
    }
    (key_end - end >= 12).then_some(start..key_end)
}

#[cfg(test)]
mod tests {
    use super::{CARD, SSN, numbers};

    fn check(text: &str) -> Vec<(&str, &'static str)> {
        let mut found = Vec::new();
        numbers(text.as_bytes(), |range, rule| found.push((&text[range], rule)));
        found
    }

    #[test]
    fn cards_and_social_security_numbers() {
        assert_eq!(check("paid with 4111111111111111."), [("4111111111111111", CARD)]);
        assert_eq!(check("4111 1111 1111 1111"), [("4111 1111 1111 1111", CARD)]);
        assert_eq!(check("card 5500-0000-0000-0004 ok"), [("5500-0000-0000-0004", CARD)]);
        assert_eq!(check("amex 378282246310005"), [("378282246310005", CARD)]);
        assert_eq!(check("order 17 4111111111111111 2"), [("4111111111111111", CARD)]);
        assert_eq!(check("ssn 078-05-1120"), [("078-05-1120", SSN)]);
        assert_eq!(check("a 078 05 1120 b"), [("078 05 1120", SSN)]);
    }

    #[test]
    fn other_numbers_stay() {
        for text in [
            "4111111111111112",    // wrong check digit
            "1763820000123456789", // nanoseconds
            "0.4111111111111111",  // a fraction
            "a4111111111111111",   // part of an identifier
            "4111111111111111f",   // hex
            "2026-11-22 13:58:05", // time
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "123-45 6789",
            "0000000000000000",
            "4000000000000000",
            "",
            "1",
        ] {
            assert_eq!(check(text), [], "{text}");
        }
    }
}
