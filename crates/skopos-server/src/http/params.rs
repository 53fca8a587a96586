//! Request parameters: from the URL's query and, for POST, from a form in the body.
//!
//! Values are read by hand, so that every error names its parameter, and so that each API keeps
//! its own rule about unknown names: Prometheus and Jaeger ignore them, ours refuses them.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use http::{Method, header};
use skopos_model::{SeverityNumber, Timestamp};

use crate::config::parse_duration;
use crate::error::{ApiError, ErrorClass};
use crate::yaml::nearest;

/// Most bytes of a form body, as in Prometheus (Go's `ParseForm`).
const MAX_FORM_BYTES: usize = 10 << 20;

/// Most characters of a value shown in an error.
const MAX_SHOWN: usize = 200;

/// The parameters of one request, in order; names may repeat.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the URL's query and, for a POST with a form, the body, whose values come first.
    pub(crate) async fn read(request: Request) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let mut pairs = Vec::new();
        if head.method == Method::POST {
            let content_type = head.headers.get(header::CONTENT_TYPE);
            let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or("");
            let media_type = content_type.split(';').next().unwrap_or("").trim();
            let is_form = media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
            if !is_form && !media_type.is_empty() {
                return Err(ApiError::new(
                    ErrorClass::UnsupportedMediaType,
                    "send the parameters as application/x-www-form-urlencoded or in the URL",
                ));
            }
            let bytes = to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| {
                ApiError::new(
                    ErrorClass::TooLarge,
                    format!(
                        "the form was cut off or is larger than {MAX_FORM_BYTES} bytes, the most \
                         that is read"
                    ),
                )
            })?;
            pairs.extend(form_urlencoded::parse(&bytes).into_owned());
        }
        let query = head.uri.query().unwrap_or("");
        pairs.extend(form_urlencoded::parse(query.as_bytes()).into_owned());
        Ok(Self(pairs))
    }

    /// The members of a JSON object, as a form would have them, and the URL's query.
    pub(crate) fn of_json(body: &[u8], query: &str) -> Result<Self, ApiError> {
        let wrong =
            |what: &str| ApiError::bad_request(format!("the body is no JSON object: {what}"));
        let value: serde_json::Value =
            serde_json::from_slice(body).map_err(|error| wrong(&error.to_string()))?;
        let serde_json::Value::Object(members) = value else {
            return Err(wrong("write {\"query\": \"…\"}"));
        };
        let mut pairs = Vec::new();
        for (name, value) in members {
            match value {
                serde_json::Value::String(text) => pairs.push((name, text)),
                serde_json::Value::Number(number) => pairs.push((name, number.to_string())),
                serde_json::Value::Null => {}
                _ => return Err(invalid(&name, &value.to_string(), "text or a number")),
            }
        }
        pairs.extend(form_urlencoded::parse(query.as_bytes()).into_owned());
        Ok(Self(pairs))
    }

    /// The first value of `name`; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All non-empty values of `name`.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// Refuses names that are not `known`, proposing the nearest, and repeats of those that are
    /// not `repeatable`.
    pub(crate) fn check_names(&self, known: &[&str], repeatable: &[&str]) -> Result<(), ApiError> {
        for (i, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(hint) => format!("did you mean `{hint}`?"),
                    None => format!("known are {}", known.join(", ")),
                };
                return Err(ApiError::bad_request(format!(
                    "unknown parameter `{}`, {hint}",
                    shown(name)
                )));
            }
            let earlier = &self.0[..i];
            if !repeatable.contains(&name.as_str()) && earlier.iter().any(|(n, _)| n == name) {
                return Err(ApiError::bad_request(format!("parameter `{name}` occurs twice")));
            }
        }
        Ok(())
    }

    /// The value of `name` read by `parse`, whose `None` is an error that says what is wanted.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| invalid(name, text, wanted))
    }

    /// A time: RFC 3339, Unix seconds, `now`, `now-15m`.
    pub(crate) fn time(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
        if self.get(name).is_some_and(is_beyond_time) {
            return Err(beyond_time(name, self.get(name).unwrap_or("")));
        }
        self.parsed(name, "a time: RFC 3339, Unix seconds, or now-15m", |text| {
            parse_time(text, now)
        })
    }
}

/// The error for a value that is not what it should be.
pub(crate) fn invalid(name: &str, text: &str, wanted: &str) -> ApiError {
    let text = shown(text);
    ApiError::bad_request(format!("invalid parameter `{name}`: {text:?} is not {wanted}"))
}

/// A client's text cut to what an error message can bear.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A time as our own API takes it.
pub(crate) fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(rest) = text.strip_prefix("now") {
        if rest.is_empty() {
            return Some(now);
        }
        let back = rest.strip_prefix('-').and_then(parse_duration);
        return back.map(|back| now.saturating_sub(back));
    }
    parse_unix_or_rfc3339(text)
}

/// Whether a text is a time, but one that cannot be stored: the scale is nanoseconds in 64 bits.
pub(crate) fn is_beyond_time(text: &str) -> bool {
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite() && seconds.abs() > (i64::MAX / 1_000_000_000) as f64;
    }
    let time = text.parse::<jiff::Timestamp>();
    time.is_ok_and(|time| i64::try_from(time.as_nanosecond()).is_err())
}

/// The error for such a time.
pub(crate) fn beyond_time(name: &str, text: &str) -> ApiError {
    let text = shown(text);
    ApiError::bad_request(format!(
        "invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp: times lie between \
         {} and {}",
        Timestamp::MIN,
        Timestamp::MAX
    ))
}

/// RFC 3339 or Unix seconds with a fraction, saturating at the ends of the time scale.
pub(crate) fn parse_unix_or_rfc3339(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then(|| {
            // Milliseconds are what a float of today's seconds can hold; rounding to them keeps
            // 1.1 from becoming 1.100000000000000088.
            Timestamp::from_millis((seconds * 1000.0).round() as i64)
        });
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    let nanos = time.as_nanosecond();
    Some(Timestamp(nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
}

/// A duration in Prometheus' notation, or a number of seconds.
pub(crate) fn parse_seconds_or_duration(text: &str) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => parse_duration(text),
    }
}

/// A severity by name or number.
pub(crate) fn parse_severity(text: &str) -> Option<SeverityNumber> {
    match text.parse::<u8>() {
        Ok(number) => (number <= 24).then_some(SeverityNumber(number)),
        Err(_) => SeverityNumber::from_name(text),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn times_in_every_notation() {
        for (text, millis) in [
            ("now", Some(1_700_000_000_000)),
            ("now-15m", Some(1_699_999_100_000)),
            ("1700000000.5", Some(1_700_000_000_500)),
            ("1.1", Some(1_100)),
            ("-1", Some(-1_000)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            ("2023-11-14T23:13:20.25+01:00", Some(1_700_000_000_250)),
            ("now+1m", None),
            ("now-", None),
            ("yesterday", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
        ] {
            let got = parse_time(text, NOW).map(Timestamp::as_millis);
            assert_eq!(got, millis, "{text:?}");
        }
        assert_eq!(parse_time("1e300", NOW), Some(Timestamp::MAX));
        for text in ["1e300", "-9223372037", "9223372037", "2300-01-01T00:00:00Z"] {
            assert!(is_beyond_time(text), "{text}");
            let params = Params(vec![("time".into(), text.into())]);
            let error = params.time("time", NOW).unwrap_err().external_message;
            assert!(error.contains("2262") && error.contains("1677"), "{error}");
        }
        for text in ["1e9", "2262-01-01T00:00:00Z", "NaN", "now-1h", "nonsense", ""] {
            assert!(!is_beyond_time(text), "{text}");
        }
    }

    #[test]
    fn durations_and_severities() {
        assert_eq!(parse_seconds_or_duration("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(parse_seconds_or_duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_seconds_or_duration("-1"), None);
        assert_eq!(parse_seconds_or_duration("1e300"), None);
        assert_eq!(parse_severity("Warning"), Some(SeverityNumber::WARN));
        assert_eq!(parse_severity("18"), Some(SeverityNumber(18)));
        assert_eq!(parse_severity("25"), None);
        assert_eq!(parse_severity("loud"), None);
    }

    #[tokio::test]
    async fn a_form_comes_before_the_url() {
        let request = Request::post("/x?a=url&b=2")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(Body::from("a=form+1&c=%2B"))
            .unwrap();
        let params = Params::read(request).await.unwrap();
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["form 1", "url"]);
        assert_eq!(params.get("c"), Some("+"));
        let request = Request::post("/x").header("content-type", "application/json");
        let error = Params::read(request.body(Body::from("{}")).unwrap()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::UnsupportedMediaType);
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let params = Params(vec![("severty".into(), "x".into())]);
        let error = params.check_names(&["severity", "limit"], &[]).unwrap_err();
        assert_eq!(error.external_message, "unknown parameter `severty`, did you mean `severity`?");
        let twice = Params(vec![("limit".into(), "1".into()), ("limit".into(), "2".into())]);
        assert!(twice.check_names(&["limit"], &[]).is_err());
        assert!(twice.check_names(&["limit"], &["limit"]).is_ok());
    }
}
