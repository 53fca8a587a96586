//! What can go wrong: reading a query, planning it, evaluating it.

use std::fmt;

use skopos_model::storage::{ErrorKind, StorageError};

use crate::span::{LineColumn, Span, caret_snippet};

/// A query that is not PromQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, without place.
    pub message: String,
    /// The offending piece.
    pub span: Span,
    /// Line and column of its start, from 1.
    pub at: LineColumn,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// The line with carets beneath.
    snippet: String,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span,
            at: LineColumn::of(query, span.start),
            suggestion: None,
            snippet: caret_snippet(query, span),
        }
    }

    pub(crate) fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }

    /// The error over several lines: message, the line of the query with carets, suggestion.
    pub fn render(&self) -> String {
        let mut out = format!("{self}\n{}", self.snippet);
        if let Some(suggestion) = &self.suggestion {
            out.push_str(&format!("\nhelp: did you mean {suggestion:?}?"));
        }
        out
    }
}

impl fmt::Display for ParseError {
    /// One line in Prometheus' form: `line:column: parse error: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.at, self.message)
    }
}

impl std::error::Error for ParseError {}

/// A query that is PromQL but cannot be planned with these parameters.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// `end` lies before `start`.
    #[error("end timestamp must not be before start time")]
    EndBeforeStart,
    /// A range query needs a step above zero.
    #[error(
        "zero or negative query resolution step widths are not accepted; try a positive number"
    )]
    BadStep,
    /// More steps than the guard allows.
    #[error(
        "exceeded maximum resolution of {limit} points per timeseries; try decreasing the query resolution (?step=XX)"
    )]
    TooManyPoints {
        /// The guard.
        limit: u64,
    },
    /// Strings and range vectors exist only in instant queries.
    #[error("invalid expression type {0:?} for range query, must be Scalar or instant Vector")]
    NotForRangeQuery(&'static str),
    /// A duration that is not above zero, or not finite.
    #[error("{what} must be {need}, got {got} s")]
    BadDuration {
        /// Which duration.
        what: &'static str,
        /// What it must be.
        need: &'static str,
        /// Seconds found.
        got: f64,
        /// Where.
        span: Span,
    },
    /// The expression is nested too deeply.
    #[error("expression is nested too deeply")]
    TooDeep,
}

/// A query that failed while it ran.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The query's budget is used up: time, samples, bytes, or it was cancelled.
    #[error("{0}")]
    Budget(StorageError),
    /// Stored samples could not be decoded.
    #[error("cannot decode samples: {0}")]
    Storage(StorageError),
    /// The data given does not answer the plan's selects.
    #[error("plan selects {wanted} series sets, but {given} were given")]
    WrongData {
        /// Number of selects in the plan.
        wanted: usize,
        /// Number of sets given.
        given: usize,
    },
    /// The expression has no value for this data: duplicate label sets, many-to-many matching,
    /// invalid parameters.
    #[error("{message}")]
    Execution {
        /// What happened.
        message: String,
        /// The operator or function at fault.
        span: Span,
    },
}

impl EvalError {
    pub(crate) fn execution(span: Span, message: impl Into<String>) -> Self {
        Self::Execution { message: message.into(), span }
    }
}

impl From<StorageError> for EvalError {
    fn from(error: StorageError) -> Self {
        match error.kind {
            ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded | ErrorKind::Cancelled => {
                Self::Budget(error)
            }
            _ => Self::Storage(error),
        }
    }
}
