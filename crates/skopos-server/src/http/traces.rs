//! Our trace API: search, one trace as columns, one span whole, the logs of a trace.

mod columnar;
pub(super) mod print;
mod search;
mod summary;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use skopos_model::event::{EventScan, EventSignal, Field, Predicate};
use skopos_model::{SpanId, TimeRange, TraceId};

use super::events::EventError;
use super::params::Params;
use super::{Route, body, logs};
use crate::auth::Scope;
use crate::error::ApiError;
use crate::query::QueryClass;
use crate::state::SharedState;

const TAG: &str = "traces";

/// Most log records of one trace that are answered.
const MAX_LOGS: usize = 5_000;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    let search = Route::get("/api/v1/traces", Scope::Read, search::search)
        .summary("Traces with a span that meets all conditions of the filter.")
        .param("filter", "Conditions on one span of the trace (docs/filter.md).")
        .param("start", "Only spans that start from this time on; an hour before `end`.")
        .param("end", "Only spans that start before this time; now unless given.")
        .param("limit", "At most so many traces, 20 by default, 200 at most.")
        .param("order", "`newest` (default): latest matching span first, or `slowest`.")
        .param("cursor", "The `next_cursor` of the page before, with the same parameters.")
        .schema("TraceSearch");
    let routes = [
        search,
        Route::get("/api/v1/traces/{trace_id}", Scope::Read, columnar::trace)
            .summary("One trace as columns: spans depth first, children by start.")
            .schema("TraceColumns"),
        Route::get("/api/v1/traces/{trace_id}/spans/{span_id}", Scope::Read, span)
            .summary("One span with all its attributes, events and links.")
            .schema("SpanAnswer"),
        Route::get("/api/v1/traces/{trace_id}/logs", Scope::Read, trace_logs)
            .summary("The log records of a trace in time order, 5000 at most.")
            .schema("LogsAnswer"),
    ];
    routes.into_iter().map(|route| route.tag(TAG)).collect()
}

fn trace_id(text: &str) -> Result<TraceId, ApiError> {
    let id = text.parse::<TraceId>().ok().filter(TraceId::is_valid);
    id.ok_or_else(|| ApiError::bad_request("a trace id has 32 hexadecimal digits, not all zero"))
}

fn of_trace(signal: EventSignal, id: TraceId) -> EventScan {
    EventScan {
        predicates: vec![Predicate::Equals(Field::TraceId, id.to_string())],
        ..EventScan::new(signal, TimeRange::ALL)
    }
}

async fn refuse_parameters(request: Request) -> Result<(), EventError> {
    Ok(Params::read(request).await?.check_names(&[], &[])?)
}

async fn span(
    State(state): State<SharedState>,
    Path((trace, span)): Path<(String, String)>,
    request: Request,
) -> Result<Response, EventError> {
    let headers = request.headers().clone();
    refuse_parameters(request).await?;
    let trace = trace_id(&trace)?;
    let span = span.parse::<SpanId>().ok().filter(SpanId::is_valid);
    let span = span.ok_or_else(|| ApiError::bad_request("a span id has 16 hexadecimal digits"))?;
    let mut scan = of_trace(EventSignal::Spans, trace);
    scan.predicates.push(Predicate::Equals(Field::SpanId, span.to_string()));
    scan.limit = Some(1);
    let read = state.queries.begin("span", None, QueryClass::Interactive).await?;
    let found = read.run(async {
        let batches = state.store.scan(&scan, read.budget()).await?;
        let mut spans = Vec::new();
        for batch in &batches {
            spans.extend(skopos_store::event::spans(batch)?);
        }
        Ok(spans.into_iter().next())
    });
    let found = found.await?.ok_or_else(|| ApiError::not_found("no such span"))?;
    let mut out = String::from(r#"{"status":"success","data":"#);
    print::push_whole_span(&mut out, &found);
    out.push('}');
    Ok(body::json(&headers, std::iter::once(out)))
}

async fn trace_logs(
    State(state): State<SharedState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, EventError> {
    let headers = request.headers().clone();
    refuse_parameters(request).await?;
    let scan = EventScan { limit: Some(MAX_LOGS), ..of_trace(EventSignal::Logs, trace_id(&id)?) };
    let read = state.queries.begin("trace/logs", None, QueryClass::Interactive).await?;
    let found = read.run(async {
        let batches = state.store.scan(&scan, read.budget()).await?;
        read.on_blocking_pool(move || logs::decode(&batches)).await?
    });
    Ok(logs::trace_answer(&headers, found.await?))
}
