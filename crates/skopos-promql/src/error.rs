//! What can go wrong: reading a query, planning it, evaluating it.

use std::fmt;

use skopos_model::storage::{ErrorKind, StorageError};

use crate::format::format_general;
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
        "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX); {} points are asked for",
        grouped(*limit),
        grouped(*points)
    )]
    TooManyPoints {
        /// The guard.
        limit: u64,
        /// What is asked for.
        points: u64,
    },
    /// Strings and range vectors exist only in instant queries.
    #[error("invalid expression type {0:?} for range query, must be Scalar or instant Vector")]
    NotForRangeQuery(&'static str),
    /// A duration that is not above zero, or not finite.
    #[error("{what} must be {need}, got {} s", format_general(*got))]
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
    /// A subquery with more steps than the host allows.
    #[error("subquery makes {steps} points per series, more than max_samples = {limit}")]
    SubqueryTooLong {
        /// Steps it would have.
        steps: u64,
        /// Most steps allowed ([`EvalParams::max_steps`](crate::EvalParams::max_steps)).
        limit: u64,
        /// The subquery.
        span: Span,
    },
    /// The expression is nested too deeply.
    #[error("expression is nested more than {limit} deep")]
    TooDeep {
        /// Deepest nesting planned.
        limit: usize,
        /// What lies deeper.
        span: Span,
    },
}

impl PlanError {
    /// What of the query is at fault, where it is not the parameters.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::BadDuration { span, .. }
            | Self::SubqueryTooLong { span, .. }
            | Self::TooDeep { span, .. } => Some(*span),
            Self::EndBeforeStart
            | Self::BadStep
            | Self::TooManyPoints { .. }
            | Self::NotForRangeQuery(_) => None,
        }
    }
}

/// A number with commas between thousands, as Prometheus writes its guard.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
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
    /// A function would make a label value that is too long.
    #[error("{func} makes a label value of {bytes} bytes, more than max_label_bytes = {limit}")]
    LabelTooLong {
        /// The function or aggregation.
        func: &'static str,
        /// Bytes it would have.
        bytes: usize,
        /// Most bytes allowed ([`EvalParams::max_label_bytes`](crate::EvalParams::max_label_bytes)).
        limit: usize,
        /// The call.
        span: Span,
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
    /// What of the query is at fault, where it is one operator.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Execution { span, .. } | Self::LabelTooLong { span, .. } => Some(*span),
            Self::Budget(_) | Self::Storage(_) | Self::WrongData { .. } => None,
        }
    }

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
