//! Rejected input, seen: the extractors [`Json`], [`Query`] and [`Path`] in the place of axum's.
//!
//! What cannot be deserialised is a WARN line with the field's path and the reason, an event on the request's span, and one
//! more in `validation_failures_total{endpoint,field}`. The value is never repeated: not in the line, not in the metric, not in
//! the answer. The caller is told field and reason as JSON, with the status codes that axum's own extractors use.
//!
//! ```
//! use axum::{Router, routing::post};
//!
//! #[derive(serde::Deserialize)]
//! struct NewOrder { quantity: u32 }
//!
//! async fn place(skopos::Json(order): skopos::Json<NewOrder>) -> String {
//!     format!("{} ordered", order.quantity)
//! }
//! let app: Router = Router::new().route("/orders", post(place));
//! # let _ = app;
//! ```

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::RequestContext;
use crate::http::UNMATCHED;
use crate::metrics::{Bounded, Counter, Family, Registry};

mod reason;

use reason::Problem;

crate::labels! {
    pub(crate) struct FailureLabels { endpoint: Bounded<200>, field: Bounded<99> }
}

/// Failures by endpoint and field, of one registry.
pub(crate) type Failures = Family<FailureLabels, Counter>;

pub(crate) fn register(registry: &Registry) -> Failures {
    registry.counter_family(
        "validation_failures_total",
        "Input that was rejected, by endpoint and field.",
    )
}

/// A JSON body. In an answer it is axum's `Json`.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct NewOrder { quantity: u32 }
///
/// async fn place(skopos::Json(order): skopos::Json<NewOrder>) -> String {
///     format!("{} ordered", order.quantity)
/// }
/// # let _: axum::Router = axum::Router::new().route("/orders", axum::routing::post(place));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// The query of the URL.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Page { page: u32 }
///
/// async fn list(skopos::Query(query): skopos::Query<Page>) -> String {
///     format!("page {}", query.page)
/// }
/// # let _: axum::Router = axum::Router::new().route("/orders", axum::routing::get(list));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

/// The parameters of the route.
///
/// ```
/// async fn show(skopos::Path(id): skopos::Path<u64>) -> String {
///     format!("order {id}")
/// }
/// # let _: axum::Router = axum::Router::new().route("/orders/{id}", axum::routing::get(show));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// The answer to input that was rejected: `{"error":"invalid input","field":…,"reason":…}`.
///
/// ```
/// use skopos::{InvalidInput, Path};
///
/// async fn show(order: Result<Path<u64>, InvalidInput>) -> String {
///     match order {
///         Ok(Path(id)) => format!("order {id}"),
///         Err(problem) => format!("{}: {}", problem.field(), problem.reason()),
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/orders/{id}", axum::routing::get(show));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidInput {
    status: StatusCode,
    field: String,
    reason: String,
}

impl InvalidInput {
    /// Returns the status code of the answer.
    ///
    /// ```
    /// fn tell(problem: &skopos::InvalidInput) -> String {
    ///     problem.status().to_string()
    /// }
    /// # let _ = tell;
    /// ```
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns where the input is wrong: `items[3].price`, or nothing for the whole of it.
    ///
    /// ```
    /// fn tell(problem: &skopos::InvalidInput) -> String {
    ///     problem.field().to_string()
    /// }
    /// # let _ = tell;
    /// ```
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns what is wrong with it, without the value.
    ///
    /// ```
    /// fn tell(problem: &skopos::InvalidInput) -> String {
    ///     problem.reason().to_string()
    /// }
    /// # let _ = tell;
    /// ```
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl IntoResponse for InvalidInput {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "error": "invalid input",
            "field": self.field,
            "reason": self.reason,
        });
        (self.status, [(header::CONTENT_TYPE, "application/json")], body.to_string())
            .into_response()
    }
}

/// Where the input came from.
#[derive(Clone, Copy)]
struct Source<'a> {
    name: &'static str,
    endpoint: &'a str,
}

impl<'a> Source<'a> {
    fn new(name: &'static str, extensions: &'a axum::http::Extensions) -> Source<'a> {
        let endpoint = extensions.get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str);
        Source { name, endpoint }
    }

    /// Records a problem and makes the answer to it.
    fn reject(self, status: StatusCode, problem: Problem) -> InvalidInput {
        let Problem { field, label, reason } = problem;
        // Inside the request's span, of which this becomes an event too.
        tracing::warn!(
            target: "skopos::validation",
            source = self.name,
            endpoint = self.endpoint,
            field,
            reason,
            "invalid input"
        );
        if let Some(failures) =
            RequestContext::current().and_then(|request| request.validation.clone())
        {
            let endpoint = Bounded::new(self.endpoint.to_owned());
            failures.get(&FailureLabels { endpoint, field: Bounded::new(label) }).inc();
        }
        InvalidInput { status, field, reason }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = InvalidInput;

    async fn from_request(request: Request, state: &S) -> Result<Self, InvalidInput> {
        let (parts, body) = request.into_parts();
        let source = Source::new("body", &parts.extensions);
        if !is_json(&parts.headers) {
            let problem = Problem::whole("the content type is not application/json");
            return Err(source.reject(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem));
        }
        let request = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = match &rejection {
                BytesRejection::FailedToBufferBody(failed) => failed.status(),
                _ => StatusCode::BAD_REQUEST,
            };
            let text = match status {
                StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
                _ => "the body could not be read",
            };
            source.reject(status, Problem::whole(text))
        })?;
        let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let status = match error.inner().classify() {
                serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::BAD_REQUEST,
            };
            source.reject(status, Problem::of_json(&error))
        })?;
        match deserializer.end() {
            Ok(()) => Ok(Json(value)),
            Err(_) => {
                let problem = Problem::whole("there is more after the JSON value");
                Err(source.reject(StatusCode::BAD_REQUEST, problem))
            }
        }
    }
}

/// `application/json` and `application/*+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = InvalidInput;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, InvalidInput> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        let deserializer = serde_urlencoded::Deserializer::new(pairs);
        serde_path_to_error::deserialize(deserializer).map(Query).map_err(|error| {
            let source = Source::new("query", &parts.extensions);
            source.reject(StatusCode::BAD_REQUEST, Problem::of_text(&error))
        })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = InvalidInput;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, InvalidInput> {
        let extracted = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        extracted.map(|path| Path(path.0)).map_err(|rejection| {
            let source = Source::new("path", &parts.extensions);
            match rejection {
                PathRejection::FailedToDeserializePathParams(failed) => {
                    let status = failed.status();
                    source.reject(status, Problem::of_path(&failed.into_kind(), source.endpoint))
                }
                other => {
                    source.reject(other.status(), Problem::whole("the route has no parameters"))
                }
            }
        })
    }
}
