//! Objectives: what is left of their budgets, what burns, what it cost, and whether to deploy.

mod notes;
mod print;

use axum::Json;
use axum::extract::{Path, Request, State};
use http::Method;
use serde_json::{Value, json};
use skopos_alerting::slo::{SloEngine, init_text, review};
use skopos_model::{Labels, Timestamp};

use super::Route;
use super::params::{Params, invalid, parse_seconds_or_duration};
use crate::auth::Scope;
use crate::error::ApiError;
use crate::slos::observe;
use crate::state::SharedState;

/// Points of a chart when nobody says how many.
const CHART_POINTS: i64 = 400;
/// Most points of a chart.
const MOST_POINTS: i64 = 2_000;
const DAY_MS: i64 = 86_400_000;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    const TAG: &str = "slo";
    vec![
        Route::get("/api/v1/slos", Scope::Read, list)
            .summary("All objectives: what is left of each budget, how fast it burns, and a sentence that says it.")
            .param("service", "Only objectives of this service.")
            .schema("SloList")
            .tag(TAG),
        Route::get("/api/v1/slos/{name}", Scope::Read, one)
            .summary("One objective: its specification, budgets, forecast, what deploys and incidents cost, and the gate.")
            .schema("SloDetail")
            .tag(TAG),
        Route::get("/api/v1/slos/{name}/chart", Scope::Read, chart)
            .summary("A budget over time: what was left at each step, and the events between.")
            .param("start", "The first step: RFC 3339, Unix seconds, or now-1d; the start of the window when absent.")
            .param("end", "The last step; now when absent.")
            .param("step", "Between two steps; a 400th of the time when absent.")
            .repeated("group", "`LABEL=VALUE` of the group, for objectives with several budgets.")
            .schema("SloChart")
            .tag(TAG),
        Route::get("/api/v1/slo/annotations", Scope::Read, notes::annotations)
            .summary("Deploys, incidents and other notes that touch a stretch of time, oldest first.")
            .param("service", "Only notes about this service.")
            .param("start", "From when; 30 days ago when absent.")
            .param("end", "Until when; now when absent.")
            .schema("SloAnnotations")
            .tag(TAG),
        Route::post("/api/v1/slo/annotations", Scope::Admin, notes::annotate)
            .summary("Notes a deploy, an incident, a drill or anything else; the same note said again replaces itself.")
            .schema("SloAnnotationAnswer")
            .tag(TAG),
        Route::get("/api/v1/slo/corrections", Scope::Read, notes::corrections)
            .summary("Stretches of time that do not count, with the reason; those taken back too.")
            .param("slo", "Only corrections of this objective.")
            .schema("SloCorrections")
            .tag(TAG),
        Route::post("/api/v1/slo/corrections", Scope::Admin, notes::correct)
            .summary("Takes a stretch of time out of an objective's account, with the reason; it shows beside the budget.")
            .schema("SloCorrectionAnswer")
            .tag(TAG),
        Route::new(
            Method::DELETE,
            "/api/v1/slo/corrections/{id}",
            Scope::Admin,
            notes::revoke_correction,
        )
        .summary("Takes a correction back; it stays on record.")
        .schema("SloCorrectionAnswer")
        .tag(TAG),
        Route::get("/api/v1/slo/gate", Scope::Read, gate)
            .summary("Whether a service may be changed: go, caution or freeze, and why. No data is not go.")
            .required("service", "The service.")
            .schema("SloGateAnswer")
            .tag(TAG),
        Route::get("/api/v1/slo/overrides", Scope::Read, notes::overrides)
            .summary("Leaves given to deploy although the gate said no, newest first.")
            .schema("SloOverrides")
            .tag(TAG),
        Route::post("/api/v1/slo/overrides", Scope::Admin, notes::override_gate)
            .summary("Gives leave to deploy a service although the gate says no, until a time at most 7 days ahead; it stays on record.")
            .schema("SloOverrideAnswer")
            .tag(TAG),
        Route::get("/api/v1/slo/review", Scope::Read, reviews)
            .summary("Whether targets are right: tighten, loosen or keep, and why.")
            .param("slo", "Only this objective.")
            .schema("SloReviews")
            .tag(TAG),
        Route::get("/api/v1/slo/init", Scope::Read, init)
            .summary("The two objectives to start with for a service, written from what it sends.")
            .required("service", "The service.")
            .schema("SloInit")
            .tag(TAG),
    ]
}

fn success(data: Value) -> Json<Value> {
    Json(json!({"status": "success", "data": data}))
}

/// Looks at the engine, off the threads that serve requests.
async fn look<T: Send + 'static>(
    state: &SharedState,
    look: impl FnOnce(&SloEngine, Timestamp) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let found = state.slos.look(look).await;
    found.ok_or_else(|| ApiError::internal("objectives could not be looked at"))
}

fn unknown_slo(name: &str) -> ApiError {
    let name = super::params::shown(name);
    ApiError::not_found(format!(
        "there is no objective {name:?}: `skopos slo status` lists those in force, `--slo` brings more"
    ))
}

async fn list(State(state): State<SharedState>, request: Request) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["service"], &[])?;
    let service = params.get("service").map(str::to_owned);
    let slos = look(&state, move |engine, now| {
        let of_service = |status: &&skopos_alerting::slo::SloStatus| match &service {
            Some(service) => status.service == *service,
            None => true,
        };
        let statuses = engine.statuses(now);
        statuses.iter().filter(of_service).map(|s| print::status(engine, s)).collect::<Vec<_>>()
    });
    Ok(success(json!({"slos": slos.await?, "state": print::run_state(&state)})))
}

async fn one(
    State(state): State<SharedState>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let wanted = name.clone();
    let data = look(&state, move |engine, now| {
        let slo = engine.slo(&wanted)?.clone();
        let statuses = engine.status(&wanted, now);
        let budgets: Vec<Value> = statuses.iter().map(|s| print::status(engine, s)).collect();
        let start = statuses.iter().map(|status| status.window_start_ms).min();
        let start = Timestamp::from_millis(start.unwrap_or_else(|| now.as_millis() - 30 * DAY_MS));
        Some(json!({
            "slo": print::definition(&slo),
            "budgets": budgets,
            "forecasts": engine.forecast(&wanted, now),
            "spenders": engine.costs(&wanted, now),
            "annotations": engine.annotations(Some(&slo.service), start, now),
            "corrections": engine.corrections(Some(&wanted)),
            "gate": print::gate(&engine.gate(&slo.service, now)),
        }))
    });
    data.await?.map(success).ok_or_else(|| unknown_slo(&name))
}

async fn chart(
    State(state): State<SharedState>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["start", "end", "step", "group"], &["group"])?;
    let now = state.clock.now();
    let (start, end) = (params.time("start", now)?, params.time("end", now)?);
    let step = params.parsed("step", "a duration: 5m, or seconds", parse_seconds_or_duration)?;
    if step.is_some_and(|step| step.is_zero()) {
        return Err(invalid("step", "0", "longer than nothing"));
    }
    let group = group_of(&params)?;
    let wanted = name.clone();
    let found = look(&state, move |engine, now| {
        let slo = engine.slo(&wanted)?.clone();
        let statuses = engine.status(&wanted, now);
        let is_asked = |labels: &Labels| group.is_empty() || *labels == group;
        let at = engine.groups(&wanted).into_iter().position(|labels| is_asked(&labels));
        let labels = engine.groups(&wanted).into_iter().nth(at.unwrap_or(0));
        if at.is_none() && !group.is_empty() {
            return Some(Err(format!("objective {wanted:?} has no group {group}")));
        }
        let status = statuses.get(at.unwrap_or(0))?;
        let end_ms = end.unwrap_or(now).as_millis();
        let start_ms = start.map_or(status.window_start_ms, Timestamp::as_millis).min(end_ms);
        let least = (end_ms - start_ms) / MOST_POINTS + 1;
        let step_ms = step.map_or((end_ms - start_ms) / CHART_POINTS, |step| {
            i64::try_from(step.as_millis()).unwrap_or(i64::MAX)
        });
        let step_ms = step_ms.max(least);
        let (from, to) = (Timestamp::from_millis(start_ms), Timestamp::from_millis(end_ms));
        let step = std::time::Duration::from_millis(step_ms.unsigned_abs());
        let labels = labels.unwrap_or_else(Labels::empty);
        let points = engine.chart(&wanted, &labels, from, to, step);
        let unit = engine.present_budget(&wanted, &labels, now);
        let unit = unit.filter(|_| slo.window.is_calendar()).map(|budget| budget.expected_total);
        Some(Ok(json!({
            "slo": wanted,
            "group": print::labels(&labels),
            "target": slo.target,
            "window": slo.window.to_string(),
            "start_ms": start_ms,
            "end_ms": end_ms,
            "step_ms": step_ms,
            "window_start_ms": status.window_start_ms,
            "window_end_ms": status.window_end_ms,
            "points": print::points(&points, slo.budget(), unit),
            "annotations": engine.annotations(Some(&slo.service), from, to),
            "corrections": engine
                .corrections(Some(&wanted))
                .into_iter()
                .filter(|c| c.start_ms < end_ms && c.end_ms > start_ms)
                .collect::<Vec<_>>(),
        })))
    });
    match found.await? {
        None => Err(unknown_slo(&name)),
        Some(Err(message)) => Err(ApiError::not_found(message)),
        Some(Ok(data)) => Ok(success(data)),
    }
}

/// The labels of the group asked for.
fn group_of(params: &Params) -> Result<Labels, ApiError> {
    let mut pairs = Vec::new();
    for text in params.all("group") {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        pairs.push(pair.ok_or_else(|| invalid("group", text, "LABEL=VALUE"))?);
    }
    Ok(Labels::from_pairs(pairs))
}

async fn gate(State(state): State<SharedState>, request: Request) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["service"], &[])?;
    let service = service_of(&params)?;
    let decision = look(&state, move |engine, now| engine.gate(&service, now)).await?;
    Ok(success(print::gate(&decision)))
}

fn service_of(params: &Params) -> Result<String, ApiError> {
    let service = params.get("service").map(str::to_owned);
    service.ok_or_else(|| ApiError::bad_request("`service` is missing: the name of a service"))
}

async fn reviews(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["slo"], &[])?;
    let name = params.get("slo").map(str::to_owned);
    let wanted = name.clone();
    let reports = look(&state, move |engine, now| review::review(engine, wanted.as_deref(), now));
    let reports = reports.await?;
    match name {
        Some(name) if reports.is_empty() => Err(unknown_slo(&name)),
        _ => Ok(success(json!({"reviews": reports}))),
    }
}

async fn init(State(state): State<SharedState>, request: Request) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["service"], &[])?;
    let service = service_of(&params)?;
    let observed = observe(&state.queries, &service, state.clock.now()).await?;
    let durations = observed.durations.as_ref().map(|(metric, _)| metric);
    Ok(success(json!({
        "service": service,
        "text": init_text(&observed),
        "found": {
            "requests": observed.requests.as_ref().map(|(metric, _)| metric),
            "durations": durations.or(observed.native_durations.as_ref()),
        },
    })))
}
