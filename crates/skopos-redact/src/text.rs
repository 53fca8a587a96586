//! Secrets in free text.
//!
//! One Aho-Corasick pass finds the places where a secret *may* begin (a denied name, `Bearer`, `://`, …) and one count of
//! digits says whether a number may be one. Only those places are looked at more closely. A denied name is followed by a
//! separator and a value in many notations: `k=v`, `k: v`, `"k":"v"`, `k: Some("v")`, `("k", "v")`, `<k>v</k>`, `--k v`.
//! A value whose closing quote or bracket is missing ends with the text: when in doubt, hide.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::detect::{Detector, Detectors};
use crate::names::Names;
use crate::rules::PathRule;
use crate::{Error, REDACTED, Redactor, detect, names};

/// Numbers of fewer digits are neither cards nor social security numbers.
const FEWEST_DIGITS: usize = 9;

/// What a match of the search points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clue {
    Name,
    Bearer,
    Jwt,
    PrivateKey,
    Url,
    /// `?sig=` and its like: the name says so only inside a URL.
    Signature,
    ProviderKey,
    Email,
}

impl Clue {
    /// The detector behind the clue; a name has none and is always looked at.
    fn detector(self) -> Option<Detector> {
        match self {
            Clue::Name => None,
            Clue::Bearer => Some(Detector::Bearer),
            Clue::Jwt => Some(Detector::Jwt),
            Clue::PrivateKey => Some(Detector::PrivateKey),
            Clue::Url | Clue::Signature => Some(Detector::Url),
            Clue::ProviderKey => Some(Detector::ProviderKey),
            Clue::Email => Some(Detector::Email),
        }
    }
}

const MARKS: &[(&str, Clue)] = &[
    ("bearer", Clue::Bearer),
    ("basic", Clue::Bearer),
    ("eyj", Clue::Jwt),
    ("-----begin", Clue::PrivateKey),
    ("://", Clue::Url),
    ("?sig=", Clue::Signature),
    ("&sig=", Clue::Signature),
    ("?signature=", Clue::Signature),
    ("&signature=", Clue::Signature),
    ("akia", Clue::ProviderKey),
    ("asia", Clue::ProviderKey),
    ("ghp_", Clue::ProviderKey),
    ("gho_", Clue::ProviderKey),
    ("ghs_", Clue::ProviderKey),
    ("github_pat_", Clue::ProviderKey),
    ("glpat-", Clue::ProviderKey),
    ("xoxb-", Clue::ProviderKey),
    ("xoxp-", Clue::ProviderKey),
    ("sk_live_", Clue::ProviderKey),
    ("sk_test_", Clue::ProviderKey),
    ("rk_live_", Clue::ProviderKey),
    ("sk-proj-", Clue::ProviderKey),
    ("sk-ant-", Clue::ProviderKey),
    ("aiza", Clue::ProviderKey),
    ("npm_", Clue::ProviderKey),
    ("pypi-", Clue::ProviderKey),
    ("whsec_", Clue::ProviderKey),
    ("shpat_", Clue::ProviderKey),
    ("@", Clue::Email),
];

/// The compiled search.
#[derive(Debug)]
pub(crate) struct Scanner {
    text: AhoCorasick,
    clues: Vec<Clue>,
    names: AhoCorasick,
    detectors: Detectors,
}

/// Where secrets may begin, in text order.
#[derive(Debug)]
pub(crate) struct Candidates {
    clues: Vec<(Range<usize>, Clue)>,
    has_numbers: bool,
}

/// A secret, and the rule that says so.
#[derive(Debug, Clone)]
pub(crate) struct Secret<'r> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) rule: &'r str,
}

impl Scanner {
    pub(crate) fn compile(
        names: &Names,
        deny: &[PathRule],
        detectors: Detectors,
    ) -> Result<Scanner, Error> {
        let mut patterns: Vec<(String, Clue)> =
            names.literals().into_iter().map(|literal| (literal, Clue::Name)).collect();
        patterns.extend(
            deny.iter().filter_map(PathRule::literal).map(|name| (name.to_owned(), Clue::Name)),
        );
        patterns.extend(
            MARKS
                .iter()
                .filter(|(_, clue)| clue.detector().is_none_or(|detector| detectors.has(detector)))
                .map(|(mark, clue)| ((*mark).to_owned(), *clue)),
        );
        let compile = |patterns: Vec<&str>| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                // A few hundred kilobytes once, for one table look-up a byte.
                .kind(Some(AhoCorasickKind::DFA))
                .build(patterns)
                .map_err(|error| Error::Compile { reason: error.to_string() })
        };
        Ok(Scanner {
            text: compile(patterns.iter().map(|(pattern, _)| pattern.as_str()).collect())?,
            clues: patterns.iter().map(|(_, clue)| *clue).collect(),
            names: compile(names.last_words().collect())?,
            detectors,
        })
    }

    /// Returns whether a path contains the last word of any built-in rule.
    pub(crate) fn may_name(&self, path: &str) -> bool {
        // Other alphabets have letters whose lower case is ASCII (the Kelvin sign): leave those to the exact rules.
        !path.is_ascii() || self.names.is_match(path)
    }

    /// Returns where to look, or nothing for a clean text.
    pub(crate) fn candidates(&self, text: &str) -> Option<Candidates> {
        let looks_at_numbers =
            self.detectors.has(Detector::CardNumber) || self.detectors.has(Detector::UsSsn);
        let has_numbers =
            looks_at_numbers && text.bytes().filter(u8::is_ascii_digit).count() >= FEWEST_DIGITS;
        // The plain search is faster than the one that reports all overlapping matches.
        if !self.text.is_match(text) {
            return has_numbers.then(|| Candidates { clues: Vec::new(), has_numbers });
        }
        let clues: Vec<(Range<usize>, Clue)> = self
            .text
            .find_overlapping_iter(text)
            .filter_map(|found| Some((found.range(), *self.clues.get(found.pattern().as_usize())?)))
            .collect();
        Some(Candidates { clues, has_numbers })
    }
}

/// Returns the secrets of a text, sorted, without overlap.
pub(crate) fn secrets<'r>(
    redactor: &'r Redactor,
    text: &str,
    candidates: &Candidates,
) -> Vec<Secret<'r>> {
    let bytes = text.as_bytes();
    let mut secrets: Vec<Secret<'r>> = Vec::new();
    // Names are met from left to right; what lies inside a hidden value or a judged name is not looked at again,
    // which keeps the whole linear.
    let mut hidden_to = 0;
    let mut judged_to = 0;
    for (range, clue) in &candidates.clues {
        if range.start < hidden_to {
            continue;
        }
        let found = match clue {
            Clue::Name | Clue::Jwt if range.start < judged_to => None,
            Clue::Name => {
                let name = identifier(bytes, range);
                judged_to = name.end;
                denied_value(redactor, text, name)
            }
            Clue::Jwt => {
                let token = detect::encoded_run(bytes, range.start);
                judged_to = judged_to.max(token.end);
                detect::is_jwt(bytes, &token).then_some((token, detect::JWT))
            }
            Clue::Bearer => {
                detect::bearer(bytes, range.start, range.end).map(|range| (range, detect::BEARER))
            }
            Clue::PrivateKey => {
                detect::private_key(bytes, range.start).map(|range| (range, detect::PRIVATE_KEY))
            }
            Clue::Url => detect::url_credentials(bytes, range.end)
                .map(|range| (range, detect::URL_CREDENTIALS)),
            Clue::Signature => Some((detect::query_value(bytes, range.end), detect::URL_SIGNATURE)),
            Clue::Email => detect::email(bytes, range.start).map(|range| (range, detect::EMAIL)),
            Clue::ProviderKey => detect::provider_key(bytes, range.start, range.end)
                .map(|range| (range, detect::PROVIDER_KEY)),
        };
        if let Some((range, rule)) = found {
            hidden_to = hidden_to.max(range.end);
            secrets.push(Secret { start: range.start, end: range.end, rule });
        }
    }
    if candidates.has_numbers {
        let detectors = redactor.inner.scanner.detectors;
        detect::numbers(bytes, |range, rule| {
            let detector =
                if rule == detect::CARD { Detector::CardNumber } else { Detector::UsSsn };
            if detectors.has(detector) {
                secrets.push(Secret { start: range.start, end: range.end, rule });
            }
        });
    }
    merge(text, secrets)
}

/// Sorts, joins what overlaps, and drops what is redacted already.
fn merge<'r>(text: &str, mut secrets: Vec<Secret<'r>>) -> Vec<Secret<'r>> {
    secrets.sort_by(|left, right| left.start.cmp(&right.start).then(right.end.cmp(&left.end)));
    let mut merged: Vec<Secret<'r>> = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let is_text = text
            .get(secret.start..secret.end)
            .is_some_and(|value| !value.is_empty() && value != REDACTED);
        if !is_text {
            continue;
        }
        match merged.last_mut() {
            Some(last) if secret.start < last.end => last.end = last.end.max(secret.end),
            _ => merged.push(secret),
        }
    }
    merged
}

fn at(text: &[u8], index: usize) -> u8 {
    text.get(index).copied().unwrap_or(0)
}

fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80
}

/// Widens a match to the whole dotted name around it.
fn identifier(text: &[u8], found: &Range<usize>) -> Range<usize> {
    let mut start = found.start;
    while start > 0 && is_identifier(at(text, start - 1)) {
        start -= 1;
    }
    let mut end = found.end;
    while is_identifier(at(text, end)) {
        end += 1;
    }
    start..end
}

/// Returns the value that follows a denied name.
fn denied_value<'r>(
    redactor: &'r Redactor,
    text: &str,
    name: Range<usize>,
) -> Option<(Range<usize>, &'r str)> {
    let bytes = text.as_bytes();
    let path = text.get(name.clone())?.trim_matches(['-', '.']);
    let rule = redactor.name_rule(path)?;
    let value = value_after(bytes, &name)?;
    if names::is_address_rule(rule)
        && text.get(value.clone()).is_some_and(names::is_network_address)
    {
        return None;
    }
    let path = path.to_ascii_lowercase();
    let is_header =
        path.ends_with("authorization") || path.ends_with("cookie") || path.ends_with("cookies");
    let is_quoted = matches!(at(bytes, value.start.wrapping_sub(1)), b'"' | b'\'' | b'`');
    if is_header && !is_quoted && !matches!(at(bytes, value.start), b'{' | b'[' | b'(') {
        // A header value goes on over spaces and semicolons, to the end of the line or of what encloses it.
        let mut end = value.start;
        while end < bytes.len()
            && !matches!(at(bytes, end), b'\n' | b'\r' | b'"' | b'\'' | b'`' | b'}' | b']' | b'<')
        {
            end += 1;
        }
        return Some((value.start..end.max(value.end), rule));
    }
    Some((value, rule))
}

/// Finds separator and value after a name; the range does not contain the quotes.
fn value_after(text: &[u8], name: &Range<usize>) -> Option<Range<usize>> {
    let before = name.start.checked_sub(1).map_or(0, |index| at(text, index));
    let mut index = name.end;
    // The closing quote of the name, possibly escaped (JSON inside a string).
    let backslashes = text.get(index..)?.iter().take_while(|byte| **byte == b'\\').count();
    let is_quoted = matches!(at(text, index + backslashes), b'"' | b'\'' | b'`' | b']');
    if is_quoted {
        index += backslashes + 1;
        while matches!(at(text, index), b'"' | b'\'' | b']') {
            index += 1;
        }
    }
    let gap = skip_spaces(text, index);
    let separator_end = match (at(text, gap), at(text, gap + 1)) {
        (b'=', b'>') | (b':', b'=') | (b'=', b'=') => gap + 2,
        (b'=' | b':', _) => gap + 1,
        (b'%', b'3') if at(text, gap + 2).eq_ignore_ascii_case(&b'd') => gap + 3,
        (b'>', _) if before == b'<' => gap + 1,
        (b',', _) if is_quoted => gap + 1,
        // `--password hunter2`
        _ if gap > index && at(text, name.start) == b'-' && at(text, name.start + 1) == b'-' => gap,
        _ => return None,
    };
    let start = skip_spaces(text, separator_end);
    Some(value_at(text, start))
}

fn skip_spaces(text: &[u8], mut index: usize) -> usize {
    while matches!(at(text, index), b' ' | b'\t') {
        index += 1;
    }
    index
}

fn value_at(text: &[u8], start: usize) -> Range<usize> {
    let backslashes =
        text.get(start..).unwrap_or_default().iter().take_while(|byte| **byte == b'\\').count();
    match at(text, start + backslashes) {
        quote @ (b'"' | b'\'' | b'`') => {
            let open = start + backslashes + 1;
            open..quoted_end(text, open, quote, backslashes)
        }
        b'{' | b'[' | b'(' if backslashes == 0 => {
            if text.get(start..).is_some_and(|rest| rest.starts_with(REDACTED.as_bytes())) {
                return start..start + REDACTED.len();
            }
            start..bracketed_end(text, start)
        }
        _ => bare(text, start),
    }
}

/// An unquoted value, or a constructor such as `Some("…")`.
fn bare(text: &[u8], start: usize) -> Range<usize> {
    let mut end = start;
    while end < text.len() {
        match at(text, end) {
            b' ' | b'\t' | b'\n' | b'\r' | b'&' | b',' | b';' | b'"' | b'\'' | b'`' | b')'
            | b']' | b'}' | b'<' | b'>' => break,
            b'(' | b'{' | b'[' => {
                end = bracketed_end(text, end);
                break;
            }
            _ => end += 1,
        }
    }
    // `Bearer abc`, `Basic abc`: the scheme belongs to the value.
    let word = text.get(start..end).unwrap_or_default();
    if word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic") {
        let next = skip_spaces(text, end);
        if next > end && next < text.len() {
            return start..bare(text, next).end.max(end);
        }
    }
    start..end
}

/// The end of a quoted text: the next quote with as many backslashes before it as the opening one.
fn quoted_end(text: &[u8], open: usize, quote: u8, level: usize) -> usize {
    let mut index = open;
    let mut backslashes = 0;
    while index < text.len() {
        match at(text, index) {
            b'\\' => backslashes += 1,
            byte if byte == quote
                && (backslashes == level || (level == 0 && backslashes % 2 == 0)) =>
            {
                return index - backslashes.min(level);
            }
            _ => backslashes = 0,
        }
        if at(text, index) == quote {
            backslashes = 0;
        }
        index += 1;
    }
    text.len()
}

/// The end of a bracketed value, past its closing bracket; quotes inside are respected.
fn bracketed_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut index = start;
    while index < text.len() {
        match at(text, index) {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            b'"' => {
                let end = quoted_end(text, index + 1, b'"', 0);
                index = end;
            }
            _ => {}
        }
        index += 1;
    }
    text.len()
}
