//! What is wrong, without the value that is wrong.
//!
//! The messages of deserialisers repeat the input ("invalid type: string \"hunter2\", expected u32"). Of a message only its
//! beginning, which is a constant, and what was expected, which the program says, are taken; a message of any other form is
//! `invalid value`.

use axum::extract::path::ErrorKind;
use serde_path_to_error::{Path, Segment};

/// Longest name of a field; a longer one is no name.
const LONGEST_NAME: usize = 64;
/// Longest path of a field.
const LONGEST_PATH: usize = 256;

/// Where the input is wrong, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// `items[3].price`
    pub(super) field: String,
    /// `items[].price`: fit for a label.
    pub(super) label: String,
    pub(super) reason: String,
}

impl Problem {
    /// A problem of the input as a whole.
    pub(super) fn whole(reason: &str) -> Problem {
        Problem { field: String::new(), label: "(whole)".to_owned(), reason: reason.to_owned() }
    }

    pub(super) fn of_json(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
        match error.inner().classify() {
            serde_json::error::Category::Data => {
                Problem::at(error.path(), &error.inner().to_string())
            }
            serde_json::error::Category::Eof => Problem::whole("the JSON ends too early"),
            _ => Problem::whole(&format!(
                "no valid JSON at line {} column {}",
                error.inner().line(),
                error.inner().column()
            )),
        }
    }

    pub(super) fn of_text<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> Problem {
        Problem::at(error.path(), &error.inner().to_string())
    }

    /// A problem of the parameters of this route; where the extractor knows only a place, the template has the name.
    pub(super) fn of_path(kind: &ErrorKind, template: &str) -> Problem {
        let of_template = |index: usize| parameters(template).nth(index);
        let named = |name: &str, expected: &str| {
            let name = safe_name(name);
            Problem {
                field: name.clone(),
                label: name,
                reason: format!("invalid value, expected {expected}"),
            }
        };
        match kind {
            ErrorKind::ParseErrorAtKey { key, expected_type, .. } => named(key, expected_type),
            ErrorKind::ParseErrorAtIndex { index, expected_type, .. } => {
                let place = format!("parameter_{index}");
                named(of_template(*index).unwrap_or(&place), expected_type)
            }
            ErrorKind::InvalidUtf8InPathParam { key } => named(key, "UTF-8"),
            ErrorKind::ParseError { expected_type, .. } => {
                named(of_template(0).unwrap_or("parameter"), expected_type)
            }
            ErrorKind::DeserializeError { key, .. } => named(key, "another form"),
            ErrorKind::WrongNumberOfParameters { .. } => {
                Problem::whole("the route has another number of parameters")
            }
            _ => Problem::whole("invalid value"),
        }
    }

    fn at(path: &Path, message: &str) -> Problem {
        let (reason, missing, is_unknown) = reason(message);
        let (mut field, mut label) = (String::new(), String::new());
        let mut push = |name: &str, label_name: &str| {
            for (text, name) in [(&mut field, name), (&mut label, label_name)] {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
        };
        let segments: Vec<&Segment> = path.iter().collect();
        let last = segments.len().saturating_sub(1);
        let mut indices: Vec<(usize, usize)> = Vec::new();
        for (place, segment) in segments.into_iter().enumerate() {
            match segment {
                Segment::Map { key } if is_unknown && place == last => {
                    // The caller's own word: no label.
                    push(&safe_name(key), "unknown_field");
                }
                Segment::Map { key } => {
                    let name = safe_name(key);
                    push(&name, &name);
                }
                Segment::Enum { variant } => {
                    let name = safe_name(variant);
                    push(&name, &name);
                }
                Segment::Seq { index } => {
                    indices.push((place, *index));
                    push(&format!("[{index}]"), "[]");
                }
                Segment::Unknown => {}
            }
        }
        if let Some(missing) = missing {
            push(&missing, &missing);
        }
        let tidy = |text: String| {
            let mut text = text.replace(".[", "[");
            if text.len() > LONGEST_PATH {
                // Names are ASCII: any place will do.
                text.truncate(LONGEST_PATH);
            }
            text
        };
        let (field, mut label) = (tidy(field), tidy(label));
        if label.is_empty() {
            label = "(whole)".to_owned();
        }
        Problem { field, label, reason }
    }
}

/// A name as programs have them, or `*`: a key of a map is the caller's own text.
fn safe_name(name: &str) -> String {
    let is_name = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'));
    let is_secret = !skopos_redact::Redactor::default().redact_text(name).hits.is_empty();
    if is_name && !is_secret { name.to_owned() } else { "*".to_owned() }
}

/// Returns the reason, the field that is missing, and whether a field is unknown.
fn reason(message: &str) -> (String, Option<String>, bool) {
    let quoted = |text: &str| {
        let name = text.split('`').nth(1)?;
        Some(safe_name(name))
    };
    if message.starts_with("missing field `") {
        return ("missing".to_owned(), quoted(message), false);
    }
    if message.starts_with("duplicate field `") {
        return ("given twice".to_owned(), quoted(message), false);
    }
    if message.starts_with("unknown field `") {
        return ("unknown field".to_owned(), None, true);
    }
    let what = ["invalid type", "invalid value", "invalid length", "unknown variant"]
        .into_iter()
        .find(|what| message.starts_with(*what));
    let Some(what) = what else { return ("invalid value".to_owned(), None, false) };
    // The last "expected" is the program's; one before it may be the caller's.
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| {
        let expected = expected.split(" at line ").next().unwrap_or_default();
        expected.chars().filter(|letter| !letter.is_control()).take(200).collect::<String>()
    });
    let reason = match expected {
        Some(expected) => format!("{what}, expected {expected}"),
        None => what.to_owned(),
    };
    (reason, None, false)
}

/// The names of a template's parameters, in order: `id` and `rest` of `/orders/{id}/{*rest}`.
fn parameters(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').filter_map(|segment| {
        let (_, rest) = segment.split_once('{')?;
        let (name, _) = rest.split_once('}')?;
        Some(name.trim_start_matches('*')).filter(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::{Problem, reason};

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only deserialised")]
    struct Order {
        items: Vec<Item>,
        #[serde(default)]
        notes: std::collections::HashMap<String, u8>,
        #[serde(default)]
        method: Option<Method>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only deserialised")]
    struct Item {
        price: u32,
        #[serde(default, deserialize_with = "picky")]
        code: String,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Method {
        Card,
        Invoice,
    }

    fn picky<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let text: String = serde::Deserialize::deserialize(deserializer)?;
        Err(serde::de::Error::custom(format!("no such code: {text}")))
    }

    fn problem(json: &str) -> Problem {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let error = serde_path_to_error::deserialize::<_, Order>(&mut deserializer).unwrap_err();
        Problem::of_json(&error)
    }

    #[test]
    fn field_and_reason_without_the_value() {
        for (json, field, label, reason) in [
            (
                r#"{"items":[{"price":1},{"price":"hunter2"}]}"#,
                "items[1].price",
                "items[].price",
                "invalid type, expected u32",
            ),
            (
                r#"{"items":[{"price":-7123}]}"#,
                "items[0].price",
                "items[].price",
                "invalid value, expected u32",
            ),
            (r#"{"items":[{}]}"#, "items[0].price", "items[].price", "missing"),
            (r#"{}"#, "items", "items", "missing"),
            (r#"{"items":[],"hunter2":1}"#, "hunter2", "unknown_field", "unknown field"),
            (r#"{"items":[],"items":[]}"#, "items", "items", "given twice"),
            (
                r#"{"items":[{"price":1,"code":"hunter2"}]}"#,
                "items[0].code",
                "items[].code",
                "invalid value",
            ),
            (
                r#"{"items":[],"method":"hunter2, expected x"}"#,
                "method",
                "method",
                "unknown variant, expected `card` or `invoice`",
            ),
            (
                r#"{"items":[],"notes":{"a b hunter2":"x"}}"#,
                "notes.*",
                "notes.*",
                "invalid type, expected u8",
            ),
            (
                r#"{"items":"hunter2, expected fun"}"#,
                "items",
                "items",
                "invalid type, expected a sequence",
            ),
            (r#""hunter2""#, "", "(whole)", "invalid type, expected struct Order"),
            (r#"{"items":["#, "", "(whole)", "the JSON ends too early"),
            (r#"{"items":hunter2}"#, "", "(whole)", "no valid JSON at line 1 column 10"),
        ] {
            let found = problem(json);
            assert_eq!(
                (found.field.as_str(), found.label.as_str(), found.reason.as_str()),
                (field, label, reason),
                "{json}"
            );
            let says_it = format!("{}{}", found.label, found.reason).contains("hunter2");
            assert!(!says_it, "{found:?}");
        }
    }

    #[test]
    fn a_foreign_message_says_nothing() {
        for message in
            ["", "hunter2", "expected hunter2", "price must not be hunter2, expected less"]
        {
            assert_eq!(reason(message).0, "invalid value", "{message}");
        }
    }
}
