//! What the endpoints of events (log records, spans) share: the filter parameter, their errors,
//! counting without holding.
//!
//! Answers are `{"status":"success","data":…}`, errors `{"status":"error","errorType":…,"error":…}`;
//! an error in a filter also has its place and what could stand there. Unknown parameters are
//! refused: a misspelt filter that is ignored shows too much and nobody notices.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use skopos_filter::{Filter, FilterError};
use skopos_model::event::{EventScan, Predicate};
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_model::{EventId, TimeRange, Timestamp};
use skopos_store::scan::EventRows;

use super::params::Params;
use crate::error::ApiError;
use crate::query::{QueryError, Read};
use crate::state::SharedState;

/// A failure in the shape of these endpoints.
#[derive(Debug)]
pub(super) struct EventError {
    error: ApiError,
    /// When a filter is wrong.
    filter: Option<Box<FilterError>>,
}

impl<E: Into<ApiError>> From<E> for EventError {
    fn from(error: E) -> Self {
        Self { error: error.into(), filter: None }
    }
}

impl From<FilterError> for EventError {
    fn from(error: FilterError) -> Self {
        let message = format!("filter: {error}");
        Self { error: ApiError::bad_request(message), filter: Some(Box::new(error)) }
    }
}

impl IntoResponse for EventError {
    fn into_response(self) -> Response {
        let Self { error, filter } = self;
        error.log();
        let mut body = json!({
            "status": "error",
            "errorType": error.class.prometheus_error_type(),
            "error": error.external_message,
        });
        if let Some(filter) = filter {
            body["position"] = json!({"start": filter.span.start, "end": filter.span.end});
            body["suggestions"] = filter.suggestions.into();
        }
        let mut response = (error.class.status(), Json(body)).into_response();
        error.add_headers(&mut response);
        response
    }
}

/// An answer that is small.
pub(super) fn success(data: Value) -> Json<Value> {
    Json(json!({"status": "success", "data": data}))
}

/// The filter of a request; without one everything passes.
pub(super) fn filter(params: &Params) -> Result<Vec<Predicate>, EventError> {
    match params.get("filter") {
        Some(text) => Ok(Filter::parse(text)?.predicates()),
        None => Ok(Vec::new()),
    }
}

/// The window of a request: `default` long and ending now unless it says otherwise.
pub(super) fn window(
    params: &Params,
    now: Timestamp,
    default: std::time::Duration,
) -> Result<TimeRange, EventError> {
    let end = params.time("end", now)?.unwrap_or(now);
    let start = params.time("start", now)?.unwrap_or(end.saturating_sub(default));
    if start > end {
        return Err(ApiError::bad_request("`start` lies after `end`").into());
    }
    Ok(TimeRange::new(start, end))
}

/// A whole number between two bounds.
pub(super) fn number(
    params: &Params,
    name: &str,
    (least, default, most): (usize, usize, usize),
) -> Result<usize, EventError> {
    let wanted = format!("a whole number from {least} to {most}");
    let number = params
        .parsed(name, &wanted, |text| text.parse().ok().filter(|n| (least..=most).contains(n)))?;
    Ok(number.unwrap_or(default))
}

/// The id of an event as it is printed.
pub(super) fn event_id(text: &str) -> Option<EventId> {
    let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok().map(EventId)).flatten()
}

/// Shows all events of a scan to `add`, which changes `state`; yields it in the end.
pub(super) async fn fold<T: Send + 'static>(
    app: &SharedState,
    read: &Read,
    scan: &EventScan,
    state: T,
    mut add: impl FnMut(&mut T, &EventRows<'_>) -> Result<ControlFlow<()>, StorageError>
    + Send
    + 'static,
) -> Result<T, QueryError> {
    let shared = Arc::new(Mutex::new(Some(state)));
    let visitor = {
        let shared = Arc::clone(&shared);
        Box::new(move |events: &EventRows<'_>| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            state.as_mut().map_or(Ok(ControlFlow::Break(())), |state| add(state, events))
        })
    };
    app.store.visit(scan, read.budget(), visitor).await?;
    let state = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    state.ok_or_else(|| QueryError::Failed { reason: "counting broke off".to_owned() })
}

/// Column names as scans take them.
pub(super) fn columns<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Vec<String>> {
    Some(names.into_iter().map(str::to_owned).collect())
}

/// The id in the last row of a batch.
pub(super) fn last_id(batch: &RecordBatch) -> Result<Option<EventId>, StorageError> {
    let column = batch.column_by_name("id").and_then(|c| c.as_fixed_size_binary_opt());
    let column = column.ok_or_else(|| {
        StorageError::new(ErrorKind::Internal, "events have no column id of its type")
    })?;
    let last = column.len().checked_sub(1).map(|row| column.value(row));
    Ok(last.and_then(|bytes| bytes.try_into().ok()).map(|b| EventId(u128::from_be_bytes(b))))
}
