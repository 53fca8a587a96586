//! Our log API: stored records page by page, counts of them, and a stream of records as they
//! arrive.

mod context;
mod counts;
mod filter;
mod follow;
pub(super) mod print;

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use skopos_model::event::EventOrder;
use skopos_store::scan::StoredLog;

use self::filter::Filter;
use super::events::EventError;
use super::{Route, body};
use crate::auth::Scope;
use crate::query::{QueryClass, QueryError};
use crate::state::SharedState;

const TAG: &str = "logs";

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    let query = Route::get("/api/v1/logs", Scope::Read, query)
        .summary("Stored log records, page by page: no record twice or lost, whatever arrives.")
        .schema("LogsAnswer");
    let query = filter::document(query)
        .param("end", "Only records before this time; same notations as `start`.")
        .param("limit", "At most so many stored records, 100 by default, 5000 at most.")
        .param("direction", "`backward` (default): newest first, or `forward`: oldest first.")
        .param("cursor", "The `next_cursor` of the page before, with the same parameters.");
    let follow = Route::get("/api/v1/logs/follow", Scope::Read, follow::follow)
        .summary(
            "Log records as they arrive, one JSON object a line: {\"log\":…}, {\"missed\":n} when \
             the reader was too slow, {\"heartbeat\":true} every 15 s.",
        )
        .produces("application/x-ndjson")
        .schema("FollowLine");
    let follow = filter::document(follow)
        .param("limit", "At most so many stored records, 100 by default, 5000 at most.")
        .param("since", "Begin with the records of this last while, such as 10s; or give `start`.");
    let mut routes = vec![query, follow];
    routes.extend(counts::routes());
    routes.extend(context::routes());
    routes.into_iter().map(|route| route.tag(TAG)).collect()
}

async fn query(State(state): State<SharedState>, request: Request) -> Result<Response, EventError> {
    let headers = request.headers().clone();
    let filter = Filter::read(request, state.clock.now(), filter::QUERY).await?;
    let mut scan = filter.scan(filter.order);
    // One more tells whether there is a next page.
    scan.limit = Some(filter.limit + 1);
    let read = state.queries.begin("logs", None, QueryClass::Interactive).await?;
    let logs = read.run(async {
        let batches = state.store.scan(&scan, read.budget()).await?;
        read.on_blocking_pool(move || decode(&batches)).await?
    });
    let mut logs = logs.await?;
    let is_more = logs.len() > filter.limit;
    logs.truncate(filter.limit);
    let next = logs.last().filter(|_| is_more).map(|log| log.id);
    let tail = match next {
        Some(id) => format!(r#"],"next_cursor":"{id}"}}}}"#),
        None => r#"],"next_cursor":null}}"#.to_owned(),
    };
    Ok(answer(&headers, r#"{"logs":["#, logs, tail))
}

/// An answer of records between two pieces of JSON.
fn answer(headers: &HeaderMap, head: &str, logs: Vec<StoredLog>, tail: String) -> Response {
    let head = format!(r#"{{"status":"success","data":{head}"#);
    let pieces = std::iter::once(head).chain(pieces(logs)).chain(std::iter::once(tail));
    body::json(headers, pieces)
}

/// Records as items of a JSON list.
fn pieces(logs: Vec<StoredLog>) -> impl Iterator<Item = String> {
    logs.into_iter().enumerate().map(|(i, log)| {
        let mut out = String::from(if i > 0 { "," } else { "" });
        print::push_log(&mut out, &log);
        out
    })
}

/// The records of a trace, for its own endpoint.
pub(super) fn trace_answer(headers: &HeaderMap, logs: Vec<StoredLog>) -> Response {
    answer(headers, r#"{"logs":["#, logs, "]}}".to_owned())
}

pub(super) fn decode(batches: &[arrow_array::RecordBatch]) -> Result<Vec<StoredLog>, QueryError> {
    let mut logs = Vec::new();
    for batch in batches {
        logs.extend(skopos_store::event::logs(batch)?);
    }
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
