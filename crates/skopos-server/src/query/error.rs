//! Why a query has no answer; every refusal names the limit and the query.

use std::time::Duration;

use skopos_model::storage::{ErrorKind, StorageError};
use skopos_promql::Place;
use skopos_promql::error::{EvalError, ParseError, PlanError};

use crate::config::format_duration;
use crate::error::{ApiError, ErrorClass};

/// Most characters of a query shown in a refusal.
const MAX_SHOWN: usize = 200;

/// A query without an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It is not PromQL.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// It cannot be planned with these parameters.
    #[error("{error}")]
    Plan {
        /// Why.
        error: PlanError,
        /// Where, when a piece of the query is at fault.
        place: Option<Place>,
    },
    /// It asks for more points than are answered.
    #[error("{error} (query: {query})")]
    Points {
        /// The guard and what was asked for.
        error: PlanError,
        /// The query.
        query: String,
    },
    /// It has no value for this data.
    #[error("{error}")]
    Evaluate {
        /// What happened.
        error: EvalError,
        /// The operator or function at fault.
        place: Option<Place>,
    },
    /// Storage failed.
    #[error("{0}")]
    Storage(StorageError),
    /// A limit of its budget was reached.
    #[error("{limit}; narrow the query, or raise the limit (query: {query})")]
    Limit {
        /// The limit by its key in the configuration.
        limit: String,
        /// The query.
        query: String,
        /// What of the query goes beyond it, where that is one piece.
        place: Option<Place>,
    },
    /// It took too long.
    #[error("query timed out after {}", format_duration(*timeout))]
    Timeout {
        /// The time it had.
        timeout: Duration,
    },
    /// It took too long; which query and which limit is known.
    #[error(
        "query timed out after {}; narrow it, or raise {} (query: {query})",
        format_duration(given.timeout),
        if given.by_client { "its timeout parameter" } else { "limits.query_timeout" }
    )]
    TimedOut {
        /// The time it had.
        given: TimeGiven,
        /// The query.
        query: String,
    },
    /// The caller went away.
    #[error("query was cancelled")]
    Cancelled,
    /// Too many reads run and wait already.
    #[error(
        "{running} queries run (limits.concurrent_queries) and {waiting} more wait; come back later"
    )]
    Busy {
        /// Places, all taken.
        running: usize,
        /// Waiting reads, the most there may be.
        waiting: usize,
    },
    /// Too many clients follow already.
    #[error("{limit} clients follow already, which is the most there may be; come back later")]
    TooManyFollowers {
        /// The limit.
        limit: usize,
    },
    /// The evaluation broke off: our fault.
    #[error("evaluation broke off: {reason}")]
    Failed {
        /// What the runtime says.
        reason: String,
    },
}

/// The time a read has, and who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeGiven {
    /// How long.
    pub timeout: Duration,
    /// Whether the client asked for less than the server's limit.
    pub by_client: bool,
}

/// Evaluator and budget know their limits by their own names.
fn in_our_names(message: &str) -> String {
    message
        .replace("max_samples", "limits.query_samples")
        .replace("query_pool_bytes", "the queries' share of memory.limit")
        .replace("max_bytes", "limits.query_bytes")
        .replace("max_series", "limits.query_series")
        .replace("max_label_bytes", "limits.query_label_bytes")
}

impl From<StorageError> for QueryError {
    fn from(error: StorageError) -> Self {
        match error.kind {
            ErrorKind::ResourceExhausted => Self::limit(in_our_names(&error.message)),
            ErrorKind::DeadlineExceeded => Self::Timeout { timeout: Duration::ZERO },
            ErrorKind::Cancelled => Self::Cancelled,
            _ => Self::Storage(error),
        }
    }
}

impl From<EvalError> for QueryError {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Budget(error) | EvalError::Storage(error) => error.into(),
            error => Self::Evaluate { error, place: None },
        }
    }
}

impl From<PlanError> for QueryError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::TooManyPoints { .. } => Self::Points { error, query: String::new() },
            error => Self::Plan { error, place: None },
        }
    }
}

impl QueryError {
    fn limit(limit: String) -> Self {
        Self::Limit { limit, query: String::new(), place: None }
    }

    /// What of the query is at fault, where that is one piece of it.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Parse(error) => Some(Place { span: error.span, at: error.at }),
            Self::Plan { place, .. } | Self::Evaluate { place, .. } | Self::Limit { place, .. } => {
                *place
            }
            _ => None,
        }
    }

    /// Completes a refusal with the query, the place in it and the time it had.
    pub(super) fn about(self, what: &str, given: TimeGiven) -> Self {
        let mut query = what.trim().to_owned();
        if let Some((end, _)) = query.char_indices().nth(MAX_SHOWN) {
            query.truncate(end);
            query.push('…');
        }
        match self {
            Self::Plan { error, .. } => {
                let place = error.span().map(|span| Place::of(what, span));
                match error {
                    PlanError::SubqueryTooLong { .. } => {
                        Self::Limit { limit: in_our_names(&error.to_string()), query, place }
                    }
                    error => Self::Plan { error, place },
                }
            }
            Self::Evaluate { error, .. } => {
                let place = error.span().map(|span| Place::of(what, span));
                match error {
                    EvalError::LabelTooLong { .. } => {
                        Self::Limit { limit: in_our_names(&error.to_string()), query, place }
                    }
                    error => Self::Evaluate { error, place },
                }
            }
            Self::Points { error, .. } => Self::Points { error, query },
            Self::Limit { limit, place, .. } => Self::Limit { limit, query, place },
            Self::Timeout { .. } => Self::TimedOut { given, query },
            other => other,
        }
    }

    /// What class of failure, in storage's terms.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::Plan { .. } | Self::Points { .. } | Self::Evaluate { .. } => {
                ErrorKind::InvalidInput
            }
            Self::Storage(error) => error.kind,
            Self::Limit { .. } => ErrorKind::ResourceExhausted,
            Self::Timeout { .. } | Self::TimedOut { .. } => ErrorKind::DeadlineExceeded,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Busy { .. } | Self::TooManyFollowers { .. } => ErrorKind::Unavailable,
            Self::Failed { .. } => ErrorKind::Internal,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            // PromQL that was understood but has no value: Prometheus answers 422.
            QueryError::Evaluate { .. } => Self::new(ErrorClass::Unprocessable, error.to_string()),
            QueryError::Storage(error) => error.into(),
            QueryError::Failed { .. } => Self::internal(error.to_string()),
            _ => Self::new(ErrorClass::from(error.kind()), error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use skopos_model::storage::{BudgetLimit, QueryBudget};

    use super::*;

    #[test]
    fn refusals_name_the_limit_and_the_query() {
        let long = format!("sum({})", "x".repeat(1000));
        let tight =
            BudgetLimit { timeout: None, max_samples: 5, max_bytes: 7, ..BudgetLimit::default() };
        let given = |by_client| TimeGiven { timeout: Duration::from_secs(90), by_client };
        let clock = std::sync::Arc::new(skopos_model::SystemClock::new());
        for (error, class, want) in [
            (
                QueryError::from(StorageError::new(
                    ErrorKind::ResourceExhausted,
                    "query reads more than max_samples = 5",
                )),
                ErrorClass::Unprocessable,
                "query reads more than limits.query_samples = 5; narrow",
            ),
            (
                QueryError::from(QueryBudget::new(tight, clock).charge_bytes(8).unwrap_err()),
                ErrorClass::Unprocessable,
                "limits.query_bytes = 7; narrow",
            ),
            (
                QueryError::from(StorageError::new(ErrorKind::DeadlineExceeded, "late")),
                ErrorClass::DeadlineExceeded,
                "timed out after 1m30s; narrow it, or raise limits.query_timeout",
            ),
        ] {
            let error = ApiError::from(error.about(&long, given(false)));
            assert_eq!(error.class, class);
            assert!(error.external_message.contains(want), "{}", error.external_message);
            assert!(error.external_message.contains("query: sum(xxx"));
            assert!(error.external_message.len() < 500);
        }
        let late = QueryError::from(StorageError::new(ErrorKind::DeadlineExceeded, "late"));
        let late = late.about("up", given(true)).to_string();
        assert!(late.contains("raise its timeout parameter"), "{late}");
        let damaged = QueryError::from(StorageError::new(ErrorKind::Corrupt, "block file 3"));
        let error = ApiError::from(damaged);
        assert_eq!(error.class, ErrorClass::Internal);
        assert_eq!(error.external_message, "block file 3");
    }
}
