//! Failures of SQL: status, message, place, hint.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use skopos_filter::FilterError;
use skopos_sql::{Position, SqlError};

use crate::error::{ApiError, ErrorClass};
use crate::query::QueryError;

/// A failure in the shape of our own query APIs; of a wrong query it says where and what to do.
#[derive(Debug)]
pub(super) struct SqlFailure {
    error: ApiError,
    position: Option<Position>,
    hint: Option<String>,
}

impl SqlFailure {
    pub(super) fn filter(error: FilterError) -> Self {
        let hint = error.suggestions.first().map(|text| format!("did you mean {text}?"));
        Self { error: ApiError::bad_request(format!("filter: {error}")), position: None, hint }
    }

    /// What broke an answer off whose beginning is sent already.
    pub(super) fn message(&self) -> &str {
        &self.error.internal_message
    }
}

impl From<ApiError> for SqlFailure {
    fn from(error: ApiError) -> Self {
        Self { error, position: None, hint: None }
    }
}

impl From<QueryError> for SqlFailure {
    fn from(error: QueryError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<SqlError> for SqlFailure {
    fn from(error: SqlError) -> Self {
        let (position, hint) = (error.position(), error.hint().map(str::to_owned));
        let message = error.to_string();
        let error = match error {
            SqlError::Invalid { .. } | SqlError::ReadOnly { .. } => ApiError::bad_request(message),
            SqlError::Execution { .. } | SqlError::Memory { .. } => {
                ApiError::new(ErrorClass::Unprocessable, message)
            }
            SqlError::Storage(error) => ApiError::from(QueryError::from(error)),
            _ => ApiError::internal(message),
        };
        Self { error, position, hint }
    }
}

impl IntoResponse for SqlFailure {
    fn into_response(self) -> Response {
        let Self { error, position, hint } = self;
        error.log();
        let mut body = json!({
            "status": "error",
            "errorType": error.class.prometheus_error_type(),
            "error": error.external_message,
        });
        if let Some(Position { line, column }) = position {
            body["position"] = json!({"line": line, "column": column});
        }
        if let Some(hint) = hint {
            body["hint"] = hint.into();
        }
        let mut response = (error.class.status(), Json(body)).into_response();
        error.add_headers(&mut response);
        response
    }
}
