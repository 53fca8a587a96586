//! The monthly review: how noisy each alert was and whether anybody acted on it, from stored history.
//!
//! History is read a day at a time, so that what is in memory is a day's samples and a month's firings.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_alerting::noise::{Found, NoiseReport, QUERIES};
use skopos_model::Timestamp;
use skopos_promql::MatrixSeries;
use skopos_promql::value::Value as Answer;

use crate::auth::Scope;
use crate::config::parse_duration;
use crate::error::ApiError;
use crate::http::Route;
use crate::http::params::{Params, invalid};
use crate::query::QueryOptions;
use crate::state::{AppState, SharedState};

/// What is read at a time.
const STRETCH_MS: i64 = 24 * 3_600_000;
/// The longest time reported on.
const MAX_SINCE: Duration = Duration::from_secs(400 * 24 * 3600);
const DEFAULT_SINCE: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn route() -> Route {
    Route::get("/api/v1/skopos/alerts/report", Scope::Read, report)
        .summary(
            "How noisy each alert was: firings, time firing, how many were acknowledged and how fast, \
             flapping, and what to do about it.",
        )
        .param("since", "How far back, a duration of at most 400d; 30d by default.")
        .param("to", "Until when: RFC 3339, Unix seconds, or now-1d; now by default.")
        .schema("AlertReport")
}

async fn report(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["since", "to"], &[])?;
    let is_fit = |since: &Duration| !since.is_zero() && *since <= MAX_SINCE;
    let since = params.parsed("since", "a duration from 1ms to 400d, such as 30d", |text| {
        parse_duration(text).filter(is_fit)
    })?;
    let now = state.clock.now();
    let end = params.time("to", now)?.unwrap_or(now);
    let start = end.saturating_sub(since.unwrap_or(DEFAULT_SINCE));
    if start >= end {
        return Err(invalid(
            "to",
            params.get("to").unwrap_or(""),
            "a time that can be reported on",
        ));
    }
    let report = gather(&state, start, end).await?;
    let mut data = json!({"from": start.to_string(), "to": end.to_string()});
    data["alerts"] = serde_json::to_value(&report.alerts)
        .map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(Json(json!({"status": "success", "data": data})))
}

async fn gather(
    state: &AppState,
    start: Timestamp,
    end: Timestamp,
) -> Result<NoiseReport, ApiError> {
    let (start, end) = (start.as_millis(), end.as_millis());
    let mut found = Found::default();
    let mut from = start;
    while from < end {
        let to = end.min(from.saturating_add(STRETCH_MS));
        let mut answers: [Vec<MatrixSeries>; 3] = Default::default();
        for (query, answer) in QUERIES.iter().zip(&mut answers) {
            // Ranges are open at their beginning, so that no sample is in two of them.
            let query = query.replace("{}", &format!("{}ms", to - from));
            let evaluated = state.queries.instant(&query, to, &QueryOptions::default()).await?;
            if let Answer::Matrix(series) = evaluated.result.value {
                *answer = series;
            }
        }
        found.take(answers);
        from = to;
    }
    let groups = state.rules.groups();
    let rules = groups.iter().flat_map(|group| &group.rules).filter_map(|rule| {
        rule.alerting.as_ref()?;
        Some((rule.name.clone(), rule.labels.get("severity").cloned().unwrap_or_default()))
    });
    Ok(found.report((start, end), &state.settings.external_labels, rules))
}
