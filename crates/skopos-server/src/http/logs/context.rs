//! What stands around a record: those of the same sender right before and after it.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use skopos_model::event::{EventOrder, EventScan, EventSignal, Field, FieldValue, Predicate};
use skopos_model::{EventId, Resource, TimeRange, Timestamp};
use skopos_store::scan::StoredLog;

use super::{decode, pieces, print};
use crate::auth::Scope;
use crate::error::ApiError;
use crate::http::events::{self, EventError, event_id};
use crate::http::params::Params;
use crate::http::{Route, body};
use crate::query::{QueryClass, QueryError, Read};
use crate::state::SharedState;

/// Most records on each side.
const MAX_AROUND: usize = 1000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/logs/{id}/context", Scope::Read, context)
            .summary("A record and those of the same resource around it, in time order.")
            .param("before", "So many records before it, 50 by default, 1000 at most.")
            .param("after", "So many records after it, 50 by default, 1000 at most.")
            .schema("LogsContext"),
    ]
}

async fn context(
    State(state): State<SharedState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, EventError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    params.check_names(&["before", "after"], &[])?;
    let before = events::number(&params, "before", (0, 50, MAX_AROUND))?;
    let after = events::number(&params, "after", (0, 50, MAX_AROUND))?;
    let id = event_id(&id)
        .ok_or_else(|| ApiError::bad_request("a record's id has 32 hexadecimal digits"))?;
    let read = state.queries.begin("logs/context", None, QueryClass::Interactive).await?;
    let found = read.run(async {
        let Some(record) = by_id(&state, &read, id).await? else { return Ok(None) };
        let resource = &record.resource;
        let mut earlier =
            around(&state, &read, id, resource, EventOrder::NewestFirst, before).await?;
        earlier.reverse();
        let later = around(&state, &read, id, resource, EventOrder::OldestFirst, after).await?;
        Ok(Some((earlier, record, later)))
    });
    let Some((earlier, record, later)) = found.await? else {
        return Err(ApiError::not_found("no such log record; it may have been deleted").into());
    };
    let mut middle = String::from(r#"],"record":"#);
    print::push_log(&mut middle, &record);
    middle.push_str(r#","after":["#);
    let head = r#"{"status":"success","data":{"before":["#.to_owned();
    let answer = std::iter::once(head)
        .chain(pieces(earlier))
        .chain(std::iter::once(middle))
        .chain(pieces(later))
        .chain(std::iter::once("]}}".to_owned()));
    Ok(body::json(&headers, answer))
}

async fn logs(
    state: &SharedState,
    read: &Read,
    scan: &EventScan,
) -> Result<Vec<StoredLog>, QueryError> {
    let batches = state.store.scan(scan, read.budget()).await?;
    read.on_blocking_pool(move || decode(&batches)).await?
}

async fn by_id(
    state: &SharedState,
    read: &Read,
    id: EventId,
) -> Result<Option<StoredLog>, QueryError> {
    let time = id.time();
    let range = TimeRange::new(time, Timestamp(time.0.saturating_add(1)));
    // The one right after the id before it, if it is the one.
    let scan = EventScan {
        limit: Some(1),
        after: id.0.checked_sub(1).map(EventId),
        ..EventScan::new(EventSignal::Logs, range)
    };
    let found = logs(state, read, &scan).await?;
    Ok(found.into_iter().find(|log| log.id == id))
}

/// The nearest records of a resource on one side, the nearest first.
async fn around(
    state: &SharedState,
    read: &Read,
    id: EventId,
    resource: &Resource,
    order: EventOrder,
    limit: usize,
) -> Result<Vec<StoredLog>, QueryError> {
    let mut predicates = vec![match resource.service_name() {
        "" => Predicate::Not(Box::new(Predicate::Exists(Field::Service))),
        service => Predicate::Equals(Field::Service, service.to_owned()),
    }];
    predicates.extend(resource.attributes.iter().map(|(key, value)| {
        let text = FieldValue::from(value).text().into_owned();
        Predicate::Equals(Field::ResourceAttribute(key.to_owned()), text)
    }));
    let scan = EventScan {
        predicates,
        order,
        limit: Some(limit),
        after: Some(id),
        ..EventScan::new(EventSignal::Logs, TimeRange::ALL)
    };
    logs(state, read, &scan).await
}
