//! Errors at the edge: the only place where a failure becomes an HTTP status or a gRPC code.
//!
//! An [`ApiError`] carries two messages: the external one goes to the client and names limits and
//! remedies but never paths, addresses of receivers or causes; the internal one goes to the log.
//! Handlers return `Result<_, ApiError>`; compatible APIs (Prometheus, Jaeger, OTLP) print the same
//! error in their own shapes through [`ApiError::class`] and [`ApiError::external_message`].

use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use skopos_model::storage::{ErrorKind, StorageError};

/// Classes of failure as clients see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The request makes no sense.
    BadRequest,
    /// No token, or one that is not known.
    Unauthenticated,
    /// The token does not cover this route.
    Forbidden,
    /// Nothing is there.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The request did not arrive in time.
    RequestTimeout,
    /// Larger than a named limit.
    TooLarge,
    /// The content type (or encoding) is not one we read.
    UnsupportedMediaType,
    /// The `Host` header names another server (DNS rebinding).
    Misdirected,
    /// A query used up its budget, or cannot be evaluated.
    Unprocessable,
    /// The query ran into its deadline.
    DeadlineExceeded,
    /// The client went away.
    Cancelled,
    /// Temporarily not possible; repeat later.
    Unavailable,
    /// This build or version cannot do it.
    NotImplemented,
    /// Our fault.
    Internal,
}

impl ErrorClass {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::DeadlineExceeded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            // Nobody reads it; the number is what proxies log for a client that went away.
            Self::Cancelled => {
                StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The gRPC code.
    pub fn grpc_code(self) -> tonic::Code {
        match self {
            Self::BadRequest | Self::UnsupportedMediaType => tonic::Code::InvalidArgument,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::Forbidden | Self::Misdirected => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::NotFound,
            Self::MethodNotAllowed | Self::NotImplemented => tonic::Code::Unimplemented,
            // Without RetryInfo: a client must drop what is too large, not send it again.
            Self::TooLarge | Self::Unprocessable => tonic::Code::ResourceExhausted,
            Self::DeadlineExceeded | Self::RequestTimeout => tonic::Code::DeadlineExceeded,
            Self::Cancelled => tonic::Code::Cancelled,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// The `errorType` of Prometheus' HTTP API.
    pub fn prometheus_error_type(self) -> &'static str {
        match self {
            Self::BadRequest
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::Misdirected => "bad_data",
            Self::Unauthenticated | Self::Forbidden => "unauthorized",
            Self::NotFound => "not_found",
            Self::Unprocessable => "execution",
            Self::DeadlineExceeded => "timeout",
            Self::Cancelled => "canceled",
            Self::Unavailable => "unavailable",
            Self::NotImplemented | Self::Internal => "internal",
        }
    }

    /// Name in snake case, as our own API's `error_code` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Misdirected => "misdirected",
            Self::Unprocessable => "unprocessable",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::NotImplemented => "not_implemented",
            Self::Internal => "internal",
        }
    }
}

impl From<ErrorKind> for ErrorClass {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput => Self::BadRequest,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::ResourceExhausted => Self::Unprocessable,
            ErrorKind::DeadlineExceeded => Self::DeadlineExceeded,
            ErrorKind::Cancelled => Self::Cancelled,
            // A poisoned writer needs a restart, but the sender should keep its data and try again.
            ErrorKind::Unavailable | ErrorKind::StorageFull | ErrorKind::Poisoned => {
                Self::Unavailable
            }
            ErrorKind::UnsupportedVersion => Self::NotImplemented,
            _ => Self::Internal,
        }
    }
}

/// How long an overloaded server asks clients to wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a server that must be restarted before it can store anything asks clients to wait.
pub const RETRY_AFTER_RESTART: Duration = Duration::from_secs(60);

/// How long a server whose disk is full or nearly so asks clients to wait: somebody has to make
/// space.
pub const RETRY_AFTER_SPACE: Duration = Duration::from_secs(15);

/// A failure of one request.
#[derive(Debug)]
pub struct ApiError {
    /// What class of failure.
    pub class: ErrorClass,
    /// For the client.
    pub external_message: String,
    /// For the log; equals the external one where there is nothing to hide.
    pub internal_message: String,
    /// When to come back; set for [`ErrorClass::Unavailable`].
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error whose message may be seen by the client.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            class,
            internal_message: message.clone(),
            external_message: message,
            retry_after: (class == ErrorClass::Unavailable).then_some(RETRY_AFTER),
        }
    }

    /// A 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::BadRequest, message)
    }

    /// A 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::NotFound, message)
    }

    /// A 503 with `Retry-After`.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unavailable, message)
    }

    /// A 500: the client learns only that it was our fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            class: ErrorClass::Internal,
            external_message: "internal error, see the server's log".into(),
            internal_message: message.into(),
            retry_after: None,
        }
    }

    /// The same failure as a gRPC status.
    pub fn to_grpc(&self) -> tonic::Status {
        self.log();
        tonic::Status::new(self.class.grpc_code(), self.external_message.clone())
    }

    /// Writes our own faults to the log; clients' mistakes are counted, not logged.
    pub fn log(&self) {
        if self.class == ErrorClass::Internal {
            tracing::error!(error = %self.internal_message, "request failed");
        }
    }

    /// Adds `Retry-After` where the error has one.
    pub fn add_headers(&self, response: &mut Response) {
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs().max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        if self.class == ErrorClass::Unauthenticated {
            let value = HeaderValue::from_static("Bearer realm=\"skopos\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.external_message)
    }
}

impl std::error::Error for ApiError {}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        let class = ErrorClass::from(error.kind);
        let internal_message = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        match class {
            // Which file it is and what to do about it is what who asks needs to know.
            ErrorClass::Internal if error.kind == ErrorKind::Corrupt => {
                Self { internal_message, ..Self::new(class, error.message) }
            }
            ErrorClass::Internal => Self::internal(internal_message),
            _ => {
                let mut answer = Self { internal_message, ..Self::new(class, error.message) };
                match error.kind {
                    ErrorKind::Poisoned => answer.retry_after = Some(RETRY_AFTER_RESTART),
                    ErrorKind::StorageFull => answer.retry_after = Some(RETRY_AFTER_SPACE),
                    _ => {}
                }
                answer
            }
        }
    }
}

impl IntoResponse for ApiError {
    /// Our own API's shape: `{"error_code":…,"message":…}`.
    fn into_response(self) -> Response {
        self.log();
        let body = json!({"error_code": self.class.as_str(), "message": self.external_message});
        let mut response = (self.class.status(), Json(body)).into_response();
        self.add_headers(&mut response);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_internal_errors_stay_inside() {
        for (kind, tells) in [(ErrorKind::Internal, false), (ErrorKind::Corrupt, true)] {
            let source = std::io::Error::other("/secret/path");
            let error = StorageError::with_source(kind, "block file 3 is damaged", source);
            let error = ApiError::from(error);
            assert_eq!(error.class, ErrorClass::Internal);
            assert_eq!(error.external_message.contains("block file 3"), tells, "{kind:?}");
            assert!(!error.external_message.contains("/secret/path"));
            assert!(error.internal_message.contains("/secret/path"));
        }
    }

    #[test]
    fn a_poisoned_writer_asks_the_sender_to_come_back() {
        let error = ApiError::from(StorageError::new(ErrorKind::Poisoned, "writer stopped"));
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "60");
        let full = ApiError::from(StorageError::new(ErrorKind::Unavailable, "head is full"));
        assert_eq!(full.into_response().headers()[header::RETRY_AFTER], "1");
        let disk = ApiError::from(StorageError::new(ErrorKind::StorageFull, "disk floor"));
        assert_eq!(disk.class.grpc_code(), tonic::Code::Unavailable);
        let response = disk.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "15");
    }
}
