//! Our log API: stored records, and a stream of records as they arrive.
//!
//! Unknown parameters are refused: a misspelt filter that is ignored shows too much and nobody
//! notices.

mod filter;
mod follow;
mod print;

use axum::extract::{Request, State};
use axum::response::Response;
use skopos_model::event::EventOrder;
use skopos_store::scan::StoredLog;

use self::filter::{Filter, MAX_LIMIT};
use super::{Route, body};
use crate::auth::Scope;
use crate::error::ApiError;
use crate::query::{QueryClass, QueryError};
use crate::state::SharedState;

const TAG: &str = "logs";

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    let query = Route::get("/api/v1/logs", Scope::Read, query)
        .summary("Stored log records.")
        .tag(TAG)
        .schema("LogsAnswer");
    let query = filter::document(query)
        .param("end", "Only records before this time; same notations as `start`.")
        .param("direction", "`backward` (default): newest first, or `forward`: oldest first.");
    let follow = Route::get("/api/v1/logs/follow", Scope::Read, follow::follow)
        .summary(
            "Log records as they arrive, one JSON object a line: {\"log\":…}, {\"missed\":n} when \
             the reader was too slow, {\"heartbeat\":true} every 15 s.",
        )
        .tag(TAG)
        .produces("application/x-ndjson")
        .schema("FollowLine");
    let follow = filter::document(follow)
        .param("since", "Begin with the records of this last while, such as 10s; or give `start`.");
    vec![query, follow]
}

async fn query(State(state): State<SharedState>, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let filter = Filter::read(request, state.clock.now(), filter::QUERY).await?;
    let scan = filter.scan(filter.order);
    let read = state.queries.begin("logs", None, QueryClass::Interactive).await?;
    let logs = read.run(async {
        let batches = state.store.scan(&scan, read.budget()).await?;
        let decode = move || decode(&batches);
        read.on_blocking_pool(decode).await?
    });
    let logs = logs.await?;
    let head = r#"{"status":"success","data":{"logs":["#.to_owned();
    let records = logs.into_iter().enumerate().map(|(i, log)| {
        let mut out = String::from(if i > 0 { "," } else { "" });
        print::push_log(&mut out, &log);
        out
    });
    let pieces = std::iter::once(head).chain(records).chain(std::iter::once("]}}".to_owned()));
    Ok(body::json(&headers, pieces))
}

fn decode(batches: &[arrow_array::RecordBatch]) -> Result<Vec<StoredLog>, QueryError> {
    let mut logs = Vec::new();
    for batch in batches {
        logs.extend(skopos_store::event::logs(batch)?);
    }
    debug_assert!(logs.len() <= MAX_LIMIT);
    Ok(logs)
}

/// Whether the newest records come first.
fn order(direction: &str) -> Option<EventOrder> {
    match direction {
        "backward" => Some(EventOrder::NewestFirst),
        "forward" => Some(EventOrder::OldestFirst),
        _ => None,
    }
}
