//! Times as Alertmanager's API writes and reads them.

use serde::{Deserialize, Deserializer};
use skopos_model::Timestamp;

/// RFC 3339 in UTC with milliseconds.
pub(super) fn millis(time: Timestamp) -> String {
    Timestamp::from_millis(time.as_millis()).to_string()
}

/// Reads RFC 3339; Go's zero time and everything outside of the years that we know is no time.
pub(super) fn parse(text: &str) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let time: jiff::Timestamp =
        text.parse().map_err(|_| format!("{text:?} is not an RFC 3339 time"))?;
    Ok(i64::try_from(time.as_nanosecond()).ok().map(Timestamp))
}

/// For fields that may be absent.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    parse(text.as_deref().unwrap_or("")).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, want) in [
            ("2026-11-22T21:00:00Z", Some("2026-11-22T21:00:00.000Z")),
            ("2026-11-22T21:00:00.123456789Z", Some("2026-11-22T21:00:00.123Z")),
            ("2026-11-22T23:00:00.5+02:00", Some("2026-11-22T21:00:00.500Z")),
            ("0001-01-01T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(parse(text).unwrap().map(millis).as_deref(), want, "{text}");
        }
        assert!(parse("yesterday").is_err());
    }
}
