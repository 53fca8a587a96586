//! Runbooks for whoever is woken: the page as a tree of text, and which steps are done.

use axum::Json;
use axum::extract::{Request, State};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use skopos_lint::runbook::{is_url, steps};

use super::Route;
use super::params::{Params, invalid};
use crate::auth::Scope;
use crate::error::ApiError;
use crate::runbooks::{Firing, Page, TickError};
use crate::state::SharedState;

/// Most characters of who did a step.
const MAX_BY: usize = 100;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    const TAG: &str = "alerts";
    vec![
        Route::get("/api/v1/runbook", Scope::Read, runbook)
            .summary("The runbook that an alert links, as a tree of text without markup, what it lacks, and which steps are done.")
            .required("alert", "Name of the alerting rule.")
            .param("fingerprint", "Fingerprint of the alert's labels: which firing's ticks; with `starts_at_ms`.")
            .param("starts_at_ms", "When the alert became active, milliseconds since the epoch.")
            .schema("Runbook")
            .tag(TAG),
        Route::new(Method::PUT, "/api/v1/runbook/ticks", Scope::Admin, tick)
            .summary("Ticks a step of a runbook for one firing, or takes the tick back; durable when it answers.")
            .schema("RunbookTicks")
            .tag(TAG),
    ]
}

async fn runbook(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["alert", "fingerprint", "starts_at_ms"], &[])?;
    let alert = params
        .get("alert")
        .ok_or_else(|| ApiError::bad_request("`alert` is missing: the name of an alerting rule"))?;
    let start =
        params.parsed("starts_at_ms", "milliseconds since the epoch", |t| t.parse().ok())?;
    let firing = match (params.get("fingerprint"), start) {
        (Some(fingerprint), Some(start_ms)) => Some(firing(fingerprint, start_ms)?),
        (None, None) => None,
        _ => {
            return Err(ApiError::bad_request(
                "`fingerprint` and `starts_at_ms` name a firing together",
            ));
        }
    };
    let linked = state.runbooks.linked(alert, firing.as_ref()).ok_or_else(|| no_alert(alert))?;
    let (page, problem) = match state.runbooks.page(&linked).await {
        Ok(page) => (page, None),
        Err(problem) => (None, Some(problem)),
    };
    let url =
        linked.link.as_deref().map(str::trim).filter(|link| is_url(link) && !link.contains("{{"));
    let problem = problem.or_else(|| match (&linked.link, &page, url) {
        (None, ..) => Some("the rule links no runbook: add the annotation `runbook_url`".into()),
        (Some(link), None, None) if !link.contains("{{") => {
            Some(format!("there is no page {link:?} beside the rule file or in `rules.runbooks`"))
        }
        _ => None,
    });
    let ticks = firing.as_ref().map(|firing| ticks_json(&state, firing));
    Ok(Json(json!({
        "status": "success",
        "data": {
            "alert": alert,
            "link": linked.link,
            "url": url,
            "problem": problem,
            "page": page.as_ref().map(page_json),
            "ticks": ticks.unwrap_or_else(|| json!([])),
        },
    })))
}

fn page_json(page: &Page) -> Value {
    let problems: Vec<Value> = page
        .problems
        .iter()
        .map(|p| json!({"code": p.code, "line": p.line, "message": p.message, "hint": p.hint}))
        .collect();
    json!({
        "name": page.name,
        "title": page.title,
        "owner": page.owner,
        "problems": problems,
        "steps": steps(&page.blocks),
        "blocks": page.blocks,
    })
}

fn ticks_json(state: &SharedState, firing: &Firing) -> Value {
    let ticks = state.runbooks.ticks(firing).into_iter();
    ticks.map(|(step, tick)| json!({"step": step, "at_ms": tick.at_ms, "by": tick.by})).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetTick {
    alert: String,
    fingerprint: String,
    starts_at_ms: i64,
    step: String,
    done: bool,
    #[serde(default)]
    by: Option<String>,
}

async fn tick(
    State(state): State<SharedState>,
    body: bytes::Bytes,
) -> Result<Json<Value>, ApiError> {
    let SetTick { alert, fingerprint, starts_at_ms, step, done, by } =
        serde_json::from_slice(&body)
            .map_err(|error| ApiError::bad_request(format!("cannot read the request: {error}")))?;
    let firing = firing(&fingerprint, starts_at_ms)?;
    if !is_hex(&step) {
        return Err(invalid(
            "step",
            &step,
            "a step's name: 16 hexadecimal digits, as `steps` lists them",
        ));
    }
    let by = by.map(|by| by.trim().to_owned()).filter(|by| !by.is_empty());
    if by.as_ref().is_some_and(|by| by.chars().count() > MAX_BY) {
        return Err(ApiError::bad_request(format!("`by` is longer than {MAX_BY} characters")));
    }
    if !state.runbooks.knows(&alert, &firing) {
        return Err(ApiError::not_found(
            "no such firing: the alert has neither this fingerprint nor this start",
        ));
    }
    state.runbooks.set(&firing, &step, by, done).await.map_err(|error| match error {
        TickError::Storage(error) => ApiError::from(error),
        error => ApiError::bad_request(error.to_string()),
    })?;
    Ok(Json(json!({"status": "success", "data": {"ticks": ticks_json(&state, &firing)}})))
}

fn firing(fingerprint: &str, start_ms: i64) -> Result<Firing, ApiError> {
    if !is_hex(fingerprint) {
        return Err(invalid("fingerprint", fingerprint, "16 hexadecimal digits"));
    }
    Ok(Firing { fingerprint: fingerprint.to_owned(), start_ms })
}

fn is_hex(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn no_alert(alert: &str) -> ApiError {
    ApiError::not_found(format!("no alerting rule is called {:?}", super::params::shown(alert)))
}
