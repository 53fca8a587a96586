//! A secret to plant in tests, and the search for it.

use std::fmt::Write as _;

/// A text that occurs nowhere else, to be planted as a password and looked for in everything that leaves the process.
///
/// It is found in the forms that sinks give to texts: as it is, in either case, reversed, percent-encoded, hexadecimal and
/// base64 (at each of its three alignments).
///
/// ```
/// use skopos_redact::{Canary, Redactor};
///
/// let canary = Canary::new("login");
/// let line = Redactor::default().redact_text(&format!("password={canary}")).text.into_owned();
/// canary.assert_absent("the log line", &line);
/// assert!(canary.is_in(format!("password={canary}")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    text: String,
}

impl Canary {
    /// Makes a canary; the same seed makes the same one.
    ///
    /// ```
    /// let canary = skopos_redact::Canary::new("login");
    /// assert_eq!(canary, skopos_redact::Canary::new("login"));
    /// ```
    pub fn new(seed: &str) -> Canary {
        // FNV-1a: enough to tell canaries apart, and the same on every machine.
        let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Canary { text: format!("cAnArY{hash:016x}") }
    }

    /// Returns the text to plant.
    ///
    /// ```
    /// let canary = skopos_redact::Canary::new("login");
    /// let request = format!("password={}", canary.as_str());
    /// assert!(request.contains("cAnArY"));
    /// ```
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the canary is in these bytes, in any form.
    ///
    /// ```
    /// let canary = skopos_redact::Canary::new("login");
    /// let reversed: String = canary.as_str().chars().rev().collect();
    /// assert!(canary.is_in(&reversed) && !canary.is_in("[REDACTED]"));
    /// ```
    pub fn is_in(&self, bytes: impl AsRef<[u8]>) -> bool {
        self.form_in(bytes.as_ref()).is_some()
    }

    /// Panics when the canary is in these bytes.
    ///
    /// ```
    /// let canary = skopos_redact::Canary::new("login");
    /// canary.assert_absent("the log", "password=[REDACTED]");
    /// ```
    ///
    /// # Panics
    /// It is. The message names the sink and the form, and shows what stands before it.
    #[track_caller]
    pub fn assert_absent(&self, sink: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if let Some((form, at)) = self.form_in(bytes) {
            let before = bytes.get(at.saturating_sub(80)..at).unwrap_or_default();
            panic!(
                "{sink} leaks the canary ({form}) at byte {at}, after {:?}",
                String::from_utf8_lossy(before)
            );
        }
    }

    fn form_in(&self, bytes: &[u8]) -> Option<(&'static str, usize)> {
        let lower = bytes.to_ascii_lowercase();
        let text = self.text.to_ascii_lowercase();
        let reversed: String = text.chars().rev().collect();
        let mut hex = String::new();
        let mut percent = String::new();
        for byte in self.text.bytes() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            let _ = write!(percent, "%{byte:02x}");
        }
        let folded = [
            ("plain", &text),
            ("reversed", &reversed),
            ("hexadecimal", &hex),
            ("percent-encoded", &percent),
        ];
        for (form, needle) in folded {
            if let Some(at) = find(&lower, needle.as_bytes()) {
                return Some((form, at));
            }
        }
        for skipped in 0..3 {
            if let Some(at) = find(bytes, base64_core(self.text.as_bytes(), skipped).as_bytes()) {
                return Some(("base64", at));
            }
        }
        None
    }
}

impl std::fmt::Display for Canary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// The letters of a base64 text that do not depend on what stands before and after the canary.
fn base64_core(text: &[u8], skipped: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = text.get(skipped..).unwrap_or_default();
    let mut core = String::new();
    for group in text.chunks_exact(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            let letter = LETTERS.get(bits >> shift & 63).copied().unwrap_or(b'A');
            core.push(char::from(letter));
        }
    }
    core
}

#[cfg(test)]
mod tests {
    use super::Canary;

    #[test]
    fn every_form_is_found() {
        let canary = Canary::new("seed");
        let text = canary.as_str();
        let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for planted in [
            format!("a{text}b"),
            text.to_uppercase(),
            text.chars().rev().collect(),
            format!("x{hex}"),
            percent,
        ] {
            assert!(canary.is_in(&planted), "{planted}");
        }
        assert!(!canary.is_in("canary") && !canary.is_in(""));
        assert!(!canary.is_in(Canary::new("other").as_str()));
    }

    #[test]
    fn base64_at_each_alignment() {
        // `printf 'xcAnArY…' | base64`, for zero, one and two letters before it.
        let canary = Canary { text: "cAnArY0123".to_owned() };
        for encoded in
            ["Y0FuQXJZMDEyMw==", "eGNBbkFyWTAxMjM=", "eHhjQW5BclkwMTIz", "dXNlcjpjQW5BclkwMTIz"]
        {
            assert!(canary.is_in(encoded), "{encoded}");
        }
    }

    #[test]
    #[should_panic(expected = "the sink leaks the canary (plain) at byte 9, after \"password=\"")]
    fn a_leak_says_where_it_is() {
        let canary = Canary::new("seed");
        canary.assert_absent("the sink", format!("password={canary}"));
    }
}
