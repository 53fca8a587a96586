//! The envelope: status, data, warnings, infos; errors with Prometheus' types.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::json;
use skopos_promql::Place;

use crate::error::ApiError;
use crate::http::body;
use crate::http::json::push_strings;
use crate::query::QueryError;

/// The warning when `limit` cut an answer.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

/// A failure in Prometheus' shape.
#[derive(Debug)]
pub(in crate::http) struct PrometheusError {
    error: ApiError,
    /// What of the query is at fault; apart, because most errors have none.
    fault: Option<Box<Fault>>,
}

/// A mistake within a query.
#[derive(Debug)]
struct Fault {
    /// Where.
    place: Place,
    /// What was probably meant.
    suggestion: Option<String>,
}

impl From<ApiError> for PrometheusError {
    fn from(error: ApiError) -> Self {
        Self { error, fault: None }
    }
}

impl From<skopos_model::storage::StorageError> for PrometheusError {
    fn from(error: skopos_model::storage::StorageError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<QueryError> for PrometheusError {
    fn from(error: QueryError) -> Self {
        let place = error.place();
        // Prometheus names the parameter when the expression itself is at fault.
        let (error, suggestion) = match error {
            QueryError::Parse(parse) => {
                let mut message = format!("invalid parameter \"query\": {parse}");
                if let Some(suggestion) = &parse.suggestion {
                    message.push_str(&format!(", did you mean {suggestion:?}?"));
                }
                (ApiError::bad_request(message), parse.suggestion)
            }
            QueryError::Plan { error, place: Some(place) } => {
                let message =
                    format!("invalid parameter \"query\": {}: parse error: {error}", place.at);
                (ApiError::bad_request(message), None)
            }
            error => (error.into(), None),
        };
        let fault = place.map(|place| Box::new(Fault { place, suggestion }));
        Self { error, fault }
    }
}

impl IntoResponse for PrometheusError {
    fn into_response(self) -> Response {
        let Self { error, fault } = self;
        error.log();
        let mut body = json!({
            "status": "error",
            "errorType": error.class.prometheus_error_type(),
            "error": error.external_message,
            "error_code": error.class.as_str(),
        });
        // Bytes of the query; line and column count from 1, columns in characters.
        if let Some(fault) = fault {
            let Fault { place: Place { span, at }, suggestion } = *fault;
            body["position"] = json!({
                "line": at.line, "column": at.column, "start": span.start, "end": span.end,
            });
            if let Some(suggestion) = suggestion {
                body["suggestion"] = suggestion.into();
            }
        }
        let mut response = (error.class.status(), Json(body)).into_response();
        error.add_headers(&mut response);
        response
    }
}

/// An answer where no endpoint is: in Prometheus' shape, and in ours as well, since which of them
/// was meant nobody can know.
pub(in crate::http) fn nowhere(error: ApiError) -> Response {
    let body = json!({
        "status": "error",
        "errorType": error.class.prometheus_error_type(),
        "error": error.external_message,
        "error_code": error.class.as_str(),
        "message": error.external_message,
    });
    (error.class.status(), Json(body)).into_response()
}

/// What accompanies an answer.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

impl Remarks {
    /// Only the remark that `limit` cut the answer, if it did.
    pub(super) fn truncated(truncated: bool) -> Self {
        let warnings = if truncated { vec![TRUNCATED.to_owned()] } else { Vec::new() };
        Self { warnings, infos: Vec::new() }
    }
}

/// A good answer; `data` are the pieces of its JSON.
pub(super) fn success<I>(request_headers: &HeaderMap, data: I, remarks: Remarks) -> Response
where
    I: Iterator<Item = String> + Send + 'static,
{
    let mut tail = String::new();
    for (name, texts) in [("warnings", remarks.warnings), ("infos", remarks.infos)] {
        if !texts.is_empty() {
            tail.push_str(&format!(",\"{name}\":"));
            push_strings(&mut tail, texts);
        }
    }
    tail.push('}');
    let head = std::iter::once("{\"status\":\"success\",\"data\":".to_owned());
    body::json(request_headers, head.chain(data).chain(std::iter::once(tail)))
}

/// The pieces of a JSON array.
pub(super) fn array<T: Send + 'static>(
    items: Vec<T>,
    push: impl Fn(&mut String, &T) + Send + 'static,
) -> impl Iterator<Item = String> + Send + 'static {
    let items = items.into_iter().enumerate().map(move |(i, item)| {
        let mut out = String::from(if i > 0 { "," } else { "" });
        push(&mut out, &item);
        out
    });
    std::iter::once("[".to_owned()).chain(items).chain(std::iter::once("]".to_owned()))
}

/// Cuts `items` to `limit` (0: no limit) and tells whether something was cut.
pub(super) fn truncate<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let cut = limit > 0 && items.len() > limit;
    if cut {
        items.truncate(limit);
    }
    cut
}
