//! Limits of spans and log records: `OTEL_SPAN_*`, `OTEL_EVENT_*`, `OTEL_LINK_*`, `OTEL_LOGRECORD_*`, `OTEL_ATTRIBUTE_*`.

use super::{Lookup, number};

/// How much one span or log record may hold; what is beyond is dropped and counted in it.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) span_attributes: u32,
    pub(crate) span_events: u32,
    pub(crate) span_links: u32,
    pub(crate) event_attributes: u32,
    pub(crate) link_attributes: u32,
    pub(crate) log_attributes: u32,
    /// Longest text of an attribute, in characters.
    pub(crate) span_value_length: Option<usize>,
    pub(crate) log_value_length: Option<usize>,
}

impl Limits {
    pub(super) fn read(variable: Lookup<'_>, warnings: &mut Vec<String>) -> Limits {
        let mut read = |key: &str| {
            variable(key).and_then(|text| number(key, &text, warnings)).map(|limit| {
                // More than this is no limit.
                u32::try_from(limit).unwrap_or(u32::MAX)
            })
        };
        let all = read("OTEL_ATTRIBUTE_COUNT_LIMIT");
        let length = read("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT");
        let as_length = |limit: Option<u32>| limit.and_then(|limit| usize::try_from(limit).ok());
        let mut count = |key: &str| read(key).or(all).unwrap_or(128);
        let (span_attributes, log_attributes, event_attributes, link_attributes) = (
            count("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
            count("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT"),
            count("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"),
            count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"),
        );
        Limits {
            span_attributes,
            span_events: read("OTEL_SPAN_EVENT_COUNT_LIMIT").unwrap_or(128),
            span_links: read("OTEL_SPAN_LINK_COUNT_LIMIT").unwrap_or(128),
            event_attributes,
            link_attributes,
            log_attributes,
            span_value_length: as_length(read("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT").or(length)),
            log_value_length: as_length(
                read("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT").or(length),
            ),
        }
    }
}

/// Cuts a text after so many characters.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
pub(crate) fn cut(text: &mut String, limit: Option<usize>) {
    // Fewer bytes than the limit are fewer characters too.
    if let Some(limit) = limit.filter(|limit| text.len() > *limit)
        && let Some((end, _)) = text.char_indices().nth(limit)
    {
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, cut};

    fn with(variables: &[(&str, &str)]) -> (Limits, usize) {
        let mut warnings = Vec::new();
        let look_up = |key: &str| {
            variables.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        };
        (Limits::read(&look_up, &mut warnings), warnings.len())
    }

    #[test]
    fn the_particular_wins_over_the_general() {
        let (limits, _) = with(&[]);
        assert_eq!(
            (limits.span_attributes, limits.span_events, limits.span_links),
            (128, 128, 128)
        );
        assert_eq!((limits.log_attributes, limits.span_value_length), (128, None));
        let (limits, warnings) = with(&[
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "10"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "20"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "3"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"),
            ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "50"),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", "few"),
        ]);
        assert_eq!((limits.span_attributes, limits.log_attributes), (20, 10));
        assert_eq!((limits.event_attributes, limits.span_events, limits.span_links), (10, 3, 128));
        assert_eq!((limits.span_value_length, limits.log_value_length), (Some(100), Some(50)));
        assert_eq!(warnings, 1);
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        for (text, limit, expected) in [
            ("größer", Some(3), "grö"),
            ("größer", Some(6), "größer"),
            ("größer", Some(0), ""),
            ("a", None, "a"),
        ] {
            let mut cut_text = text.to_owned();
            cut(&mut cut_text, limit);
            assert_eq!(cut_text, expected);
        }
    }
}
