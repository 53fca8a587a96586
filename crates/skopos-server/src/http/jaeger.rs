//! Jaeger's query API over our spans, so that Jaeger's UI and Grafana's data source work.
//!
//! Answers and errors have Jaeger's shape: `{"data":…,"total":…,"limit":…,"offset":…,"errors":…}`.
//! Unknown parameters are ignored, as Jaeger does.

mod dependencies;
mod params;
mod search;
mod span;

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Value, json};
use skopos_model::{SpanId, TimeRange, TraceId};
use skopos_store::scan::StoredSpan;

use super::params::Params;
use super::{Route, body};
use crate::auth::Scope;
use crate::error::{ApiError, ErrorClass};
use crate::query::{QueryClass, QueryError, Read};
use crate::state::SharedState;

const TAG: &str = "jaeger";

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    let search = Route::get("/api/traces", Scope::Read, find)
        .summary("Whole traces that have a matching span, newest first; or those named by id.")
        .repeated("traceID", "Fetch these traces; then nothing else is looked at.")
        .param("service", "Only spans of this service; required unless ids are given.")
        .param("operation", "Only spans of this name.")
        .param("tags", "JSON object: only spans with all these attributes.")
        .repeated("tag", "`key:value`: another way to give tags.")
        .param("minDuration", "Only spans at least this long, such as 1.5s, 100ms, 500us.")
        .param("maxDuration", "Only spans at most this long.")
        .param("start", "Only spans that start at or after this time, microseconds since 1970.")
        .param("end", "Only spans that start before this time, microseconds since 1970.")
        .param("lookback", "Window before `end` when there is no `start`, such as 1h.")
        .param("limit", "At most so many traces, 100 by default, 1500 at most.")
        .schema("JaegerTraces");
    let kinds = Route::get("/api/operations", Scope::Read, operations_with_kind)
        .summary("Span names of a service with their kinds.")
        .required("service", "The service.")
        .param("spanKind", "Only this kind: server, client, producer, consumer, internal.");
    let calls = Route::get("/api/dependencies", Scope::Read, dependencies::dependencies)
        .summary("Which service calls which, counted over the spans of a window.")
        .param("endTs", "End of the window, milliseconds since 1970; now by default.")
        .param("lookback", "Width of the window in milliseconds; a day by default.");
    let rest = [
        Route::get("/api/services", Scope::Read, services)
            .summary("Names of the services that sent spans."),
        Route::get("/api/services/{service}/operations", Scope::Read, operations)
            .summary("Span names of a service."),
        kinds,
        search,
        Route::get("/api/traces/{id}", Scope::Read, trace)
            .summary("One trace with all its spans.")
            .schema("JaegerTraces"),
        calls,
    ];
    rest.into_iter().map(|route| route.tag(TAG)).collect()
}

/// A failure in Jaeger's shape.
struct JaegerError(ApiError);

impl<E: Into<ApiError>> From<E> for JaegerError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for JaegerError {
    fn into_response(self) -> Response {
        let Self(error) = self;
        error.log();
        let status = error.class.status();
        let body = json!({
            "data": null, "total": 0, "limit": 0, "offset": 0,
            "errors": [{"code": status.as_u16(), "msg": error.external_message}],
        });
        let mut response = (status, Json(body)).into_response();
        error.add_headers(&mut response);
        response
    }
}

fn list(items: Vec<Value>) -> Json<Value> {
    let total = items.len();
    Json(json!({"data": items, "total": total, "limit": 0, "offset": 0, "errors": null}))
}

/// Answers traces that are JSON already.
fn traces(headers: &HeaderMap, traces: Vec<String>) -> Response {
    let tail = format!("],\"total\":{},\"limit\":0,\"offset\":0,\"errors\":null}}", traces.len());
    let pieces = traces.into_iter().enumerate().flat_map(|(i, trace)| {
        let separator = if i > 0 { "," } else { "" };
        [separator.to_owned(), trace]
    });
    let head = std::iter::once("{\"data\":[".to_owned());
    body::json(headers, head.chain(pieces).chain(std::iter::once(tail)))
}

async fn services(State(state): State<SharedState>) -> Result<Json<Value>, JaegerError> {
    let services = state.store.span_services(TimeRange::ALL).await?;
    Ok(list(services.into_iter().map(Value::String).collect()))
}

async fn operations(
    State(state): State<SharedState>,
    Path(service): Path<String>,
) -> Result<Json<Value>, JaegerError> {
    let operations = state.store.operations(&service, TimeRange::ALL).await?;
    // Sorted by name, so equal names with different kinds are neighbours.
    let mut names: Vec<String> = operations.into_iter().map(|(name, _)| name).collect();
    names.dedup();
    Ok(list(names.into_iter().map(Value::String).collect()))
}

async fn operations_with_kind(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, JaegerError> {
    let params = Params::read(request).await?;
    let Some(service) = params.get("service") else {
        return Err(ApiError::bad_request("parameter 'service' is required").into());
    };
    let wanted = params.get("spanKind");
    let operations = state.store.operations(service, TimeRange::ALL).await?;
    let items = operations.into_iter().map(|(name, kind)| {
        let kind = if kind == "unspecified" { String::new() } else { kind };
        (name, kind)
    });
    let items = items.filter(|(_, kind)| wanted.is_none_or(|wanted| wanted == kind));
    Ok(list(items.map(|(name, kind)| json!({"name": name, "spanKind": kind})).collect()))
}

async fn trace(
    State(state): State<SharedState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, JaegerError> {
    let id = params::trace_id(&id)?;
    let read = state.queries.begin("trace", None, QueryClass::Interactive).await?;
    match read.run(fetch_trace(&state, id, &read)).await? {
        Some(trace) => Ok(traces(&headers, vec![trace])),
        None => Err(ApiError::not_found("trace not found").into()),
    }
}

async fn find(State(state): State<SharedState>, request: Request) -> Result<Response, JaegerError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    let ids: Vec<TraceId> =
        params.all("traceID").map(params::trace_id).collect::<Result<_, _>>()?;
    if ids.len() > params::MAX_LIMIT {
        return Err(too_many_ids().into());
    }
    let search =
        if ids.is_empty() { Some(params::Search::new(&params, state.clock.now())?) } else { None };
    let read = state.queries.begin("traces", None, QueryClass::Interactive).await?;
    let found = read.run(async {
        let ids = match search {
            Some(search) => search::trace_ids(&*state.store, &search, &read).await?,
            None => ids,
        };
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(fetch_trace(&state, id, &read).await?);
        }
        Ok(found)
    });
    let found = found.await?;
    Ok(traces(&headers, found))
}

/// Leaves the first of spans that say the same: a sender that got no answer sends them again, and
/// storage keeps both. Spans that share an id but say different things all stay.
fn fold_repeats(spans: &mut Vec<StoredSpan>) {
    let mut first_of: HashMap<SpanId, Vec<usize>> = HashMap::new();
    let mut keep = Vec::with_capacity(spans.len());
    for (at, stored) in spans.iter().enumerate() {
        let before = first_of.entry(stored.span.span_id).or_default();
        let same = |other: &StoredSpan| {
            (&other.span, &other.resource, &other.scope)
                == (&stored.span, &stored.resource, &stored.scope)
        };
        let is_new = !before.iter().any(|&at| spans.get(at).is_some_and(same));
        if is_new {
            before.push(at);
        }
        keep.push(is_new);
    }
    let mut keep = keep.into_iter();
    spans.retain(|_| keep.next().unwrap_or(true));
}

fn too_many_ids() -> ApiError {
    ApiError::new(
        ErrorClass::BadRequest,
        format!("more than {} `traceID`s in one request", params::MAX_LIMIT),
    )
}

/// One trace as JSON; `None` when it is unknown. Its spans are read and written on the blocking
/// pool, because a trace may be large.
async fn fetch_trace(
    state: &SharedState,
    id: TraceId,
    read: &Read,
) -> Result<Option<String>, QueryError> {
    let batches = state.store.trace(id, read.budget()).await?;
    let budget = read.budget().clone();
    read.on_blocking_pool(move || {
        let mut spans = Vec::new();
        for batch in &batches {
            budget.charge_bytes(batch.get_array_memory_size() as u64)?;
            spans.extend(skopos_store::event::spans(batch)?);
        }
        fold_repeats(&mut spans);
        if spans.is_empty() {
            return Ok(None);
        }
        let mut out = String::new();
        span::push_trace(&mut out, &spans);
        Ok(Some(out))
    })
    .await?
}
