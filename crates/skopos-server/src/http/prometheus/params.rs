//! Parameters in Prometheus' notations.

use std::time::Duration;

use skopos_model::Timestamp;
use skopos_model::storage::{SelectHints, SeriesSelect};
use skopos_promql::parser::parse_selector;

use crate::error::ApiError;
use crate::http::params::{
    Params, beyond_time, is_beyond_time, parse_seconds_or_duration, parse_unix_or_rfc3339, shown,
};
use crate::query::QueryOptions;

/// The times that Go's clients send for "from the beginning" and "to the end".
const MIN_TIME: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME: &str = "292277025-08-18T07:12:54.999999999Z";

fn invalid(name: &str, text: &str, what: &str) -> ApiError {
    let text = shown(text);
    ApiError::bad_request(format!(
        "invalid parameter {name:?}: cannot parse {text:?} to a valid {what}"
    ))
}

/// A required expression.
pub(super) fn query(params: &Params) -> Result<&str, ApiError> {
    params.get("query").ok_or_else(|| {
        ApiError::bad_request("invalid parameter \"query\": no expression found in input")
    })
}

/// A time in milliseconds.
pub(super) fn time_ms(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let time = match text {
        MIN_TIME => Some(Timestamp::MIN),
        MAX_TIME => Some(Timestamp::MAX),
        text if is_beyond_time(text) => return Err(beyond_time(name, text)),
        text => parse_unix_or_rfc3339(text),
    };
    time.map(|t| Some(t.as_millis())).ok_or_else(|| invalid(name, text, "timestamp"))
}

/// A time that must be there.
pub(super) fn required_time_ms(params: &Params, name: &str) -> Result<i64, ApiError> {
    time_ms(params, name)?.ok_or_else(|| invalid(name, "", "timestamp"))
}

/// A duration or a number of seconds.
pub(super) fn duration(params: &Params, name: &str) -> Result<Option<Duration>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    parse_seconds_or_duration(text).map(Some).ok_or_else(|| invalid(name, text, "duration"))
}

/// The step of a range query in milliseconds.
pub(super) fn step_ms(params: &Params) -> Result<i64, ApiError> {
    let text = params.get("step").unwrap_or("");
    let not_positive = || {
        ApiError::bad_request(
            "invalid parameter \"step\": zero or negative query resolution step widths are not \
             accepted. Try a positive integer",
        )
    };
    // Go reads a negative step and refuses it for what it is.
    if text.starts_with('-') && parse_seconds_or_duration(&text[1..]).is_some() {
        return Err(not_positive());
    }
    let step = duration(params, "step")?.ok_or_else(|| invalid("step", text, "duration"))?;
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    if step == 0 { Err(not_positive()) } else { Ok(step) }
}

/// A limit of items; 0 and absence mean none.
pub(super) fn limit(params: &Params, name: &str) -> Result<usize, ApiError> {
    let Some(text) = params.get(name) else { return Ok(0) };
    text.parse().map_err(|_| {
        let text = shown(text);
        ApiError::bad_request(format!(
            "invalid parameter {name:?}: cannot parse {text:?} to a whole number, 0 or above"
        ))
    })
}

/// Start, end and step of a range query, milliseconds.
pub(super) fn range(params: &Params) -> Result<(i64, i64, i64), ApiError> {
    let start_ms = required_time_ms(params, "start")?;
    let end_ms = required_time_ms(params, "end")?;
    if end_ms < start_ms {
        return Err(ApiError::bad_request(
            "invalid parameter \"end\": end timestamp must not be before start time",
        ));
    }
    Ok((start_ms, end_ms, step_ms(params)?))
}

/// `true` or `false`.
pub(super) fn switch(params: &Params, name: &str, default: bool) -> Result<bool, ApiError> {
    match params.get(name) {
        None => Ok(default),
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(text) => Err(invalid(name, text, "switch, true or false")),
    }
}

/// How an expression is to be evaluated.
pub(super) fn options(params: &Params) -> Result<QueryOptions, ApiError> {
    let timeout = duration(params, "timeout")?;
    let lookback = duration(params, "lookback_delta")?;
    if lookback.is_some_and(|d| d.is_zero()) {
        return Err(ApiError::bad_request("invalid parameter \"lookback_delta\": must be above 0"));
    }
    Ok(QueryOptions { timeout, lookback, ..QueryOptions::default() })
}

/// How much of what a query cost is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stats {
    /// Nothing.
    None,
    /// Times and totals: any `stats`.
    Totals,
    /// Samples of each step too: `stats=all`.
    PerStep,
}

/// How an expression is to be evaluated, and what of its cost to tell.
pub(super) fn options_and_stats(params: &Params) -> Result<(QueryOptions, Stats), ApiError> {
    let stats = match params.get("stats") {
        None => Stats::None,
        Some("all") => Stats::PerStep,
        Some(_) => Stats::Totals,
    };
    let options = options(params)?;
    Ok((QueryOptions { count_samples: stats != Stats::None, ..options }, stats))
}

/// Start and end in milliseconds, all of time by default.
pub(super) fn window(params: &Params) -> Result<(i64, i64), ApiError> {
    let start = time_ms(params, "start")?.unwrap_or(Timestamp::MIN.as_millis());
    let end = time_ms(params, "end")?.unwrap_or(Timestamp::MAX.as_millis());
    if end < start {
        return Err(ApiError::bad_request(
            "invalid parameter \"end\": end timestamp must not be before start time",
        ));
    }
    Ok((start, end))
}

/// The series that `match[]`, `start` and `end` describe; empty when none of them is given.
pub(super) fn selects(params: &Params) -> Result<Vec<SeriesSelect>, ApiError> {
    let (start_ms, end_ms) = window(params)?;
    let hints = || SelectHints { func: "series".into(), ..SelectHints::default() };
    let mut selects = Vec::new();
    for text in params.all("match[]") {
        let selector = parse_selector(text).map_err(|error| {
            ApiError::bad_request(format!("invalid parameter \"match[]\": {error}"))
        })?;
        let matchers = selector.matchers;
        selects.push(SeriesSelect { matchers, start_ms, end_ms, hints: hints() });
    }
    let windowed = params.get("start").is_some() || params.get("end").is_some();
    if selects.is_empty() && windowed {
        selects.push(SeriesSelect { matchers: Vec::new(), start_ms, end_ms, hints: hints() });
    }
    Ok(selects)
}
