//! What can go wrong with a query, in terms its author can act on.

use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use skopos_model::storage::{ErrorKind, StorageError};

use crate::nearest::nearest;
use crate::table::TABLES;

/// A place in the text of a query, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The text is no query that can be answered.
    #[error("{}{message}", Prefix(*position))]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where, when that is known.
        position: Option<Position>,
        /// What to do.
        hint: Option<String>,
    },
    /// The statement would change something.
    #[error("{statement} is refused: SQL only reads; use SELECT, EXPLAIN, DESCRIBE or SHOW")]
    ReadOnly {
        /// Its first words.
        statement: String,
    },
    /// The answer cannot be computed from the data, such as a cast of text that is no number.
    #[error("{message}")]
    Execution {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Sorting, grouping or joining needs more memory than a query may have.
    #[error("{detail}, to sort, group or join")]
    Memory {
        /// Which limit, and what it allows.
        detail: String,
    },
    /// The store could not be read, or the query's budget is used up.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A fault of ours.
    #[error("query failed inside the engine: {message}")]
    Internal {
        /// What happened.
        message: String,
    },
}

struct Prefix(Option<Position>);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |position| write!(f, "{position}: "))
    }
}

impl SqlError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Invalid { hint, .. } | Self::Execution { hint, .. } => hint.as_deref(),
            Self::Memory { .. } => {
                Some("narrow the time range, filter more, or group by fewer distinct values")
            }
            Self::Storage(error) if error.kind == ErrorKind::ResourceExhausted => {
                Some("narrow the time range or filter more")
            }
            _ => None,
        }
    }

    /// Where in the query's text, when that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Invalid { position, .. } => *position,
            _ => None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), position: None, hint: None }
    }

    /// What DataFusion's error means to the author of `sql`.
    pub(crate) fn of(error: &DataFusionError, sql: &str) -> Self {
        if let Some(storage) = storage_error(error) {
            return Self::Storage(StorageError::new(storage.kind, storage.message.clone()));
        }
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
        let position = span.map(|span| Position {
            line: usize::try_from(span.start.line).unwrap_or(0),
            column: usize::try_from(span.start.column).unwrap_or(0),
        });
        match error.find_root() {
            DataFusionError::ResourcesExhausted(detail) => {
                Self::Memory { detail: first_line(detail) }
            }
            DataFusionError::SchemaError(schema, _) => unknown_column(schema, sql, position),
            DataFusionError::SQL(parser, _) => syntax(&parser.to_string()),
            DataFusionError::Plan(message) => planning(message, sql, position),
            DataFusionError::NotImplemented(message) => {
                Self::Invalid { message: first_line(message), position, hint: None }
            }
            DataFusionError::ArrowError(arrow, _) => arithmetic(arrow),
            DataFusionError::Execution(message) => {
                Self::Execution { message: first_line(message), hint: None }
            }
            DataFusionError::Diagnostic(_, inner) => match Self::of(inner, sql) {
                Self::Invalid { message, position: None, hint } => {
                    Self::Invalid { message, position, hint }
                }
                other => other,
            },
            DataFusionError::Collection(all) => match all.first() {
                Some(first) => Self::of(first, sql),
                None => Self::Internal { message: "no error was given".into() },
            },
            other => Self::Internal { message: other.strip_backtrace() },
        }
    }
}

/// The store's error inside an error, however it is wrapped.
fn storage_error(error: &DataFusionError) -> Option<&StorageError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(storage) = this.downcast_ref::<StorageError>() {
            return Some(storage);
        }
        cause = match this.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(&**inner),
            Some(DataFusionError::Shared(inner)) => Some(&**inner),
            Some(DataFusionError::Context(_, inner)) => Some(&**inner),
            _ => match this.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(&**inner),
                _ => this.source(),
            },
        };
    }
    None
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

fn arithmetic(error: &ArrowError) -> SqlError {
    let hint = matches!(error, ArrowError::CastError(_) | ArrowError::ParseError(_))
        .then(|| "TRY_CAST(… AS …) makes NULL of what cannot be cast".to_owned());
    match error {
        ArrowError::DivideByZero
        | ArrowError::CastError(_)
        | ArrowError::ParseError(_)
        | ArrowError::ComputeError(_)
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::InvalidArgumentError(_) => {
            SqlError::Execution { message: first_line(&error.to_string()), hint }
        }
        other => SqlError::Internal { message: other.to_string() },
    }
}

/// `sql parser error: Expected: …, found: … at Line: 1, Column: 8`
fn syntax(message: &str) -> SqlError {
    let message = message.strip_prefix("sql parser error: ").unwrap_or(message);
    let (text, place) = message.rsplit_once(" at Line: ").unwrap_or((message, ""));
    let position = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Position { line: line.parse().ok()?, column: column.trim().parse().ok()? })
    });
    let mut message = first_line(text);
    if message == "RecursionLimitExceeded" || message.contains("recursion limit") {
        message = "the query is nested too deeply".to_owned();
    }
    SqlError::Invalid { message, position, hint: None }
}

fn planning(message: &str, sql: &str, position: Option<Position>) -> SqlError {
    // `table 'skopos.public.lgs' not found`
    let missing = message
        .strip_prefix("table '")
        .and_then(|rest| rest.split_once("' not found"))
        .and_then(|(name, _)| name.rsplit('.').next());
    if let Some(name) = missing {
        let tables = TABLES.join(", ");
        let hint = match nearest(name, TABLES) {
            Some(close) => format!("did you mean {close}? Tables are {tables}"),
            None => format!("tables are {tables}"),
        };
        return SqlError::Invalid {
            message: format!("there is no table {name:?}"),
            position: position.or_else(|| find(sql, name)),
            hint: Some(hint),
        };
    }
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default().trim_end_matches('.').to_owned();
    let hint = lines.find(|line| line.starts_with("Did you mean")).map(|line| {
        let line = line.trim_end_matches('.');
        format!("d{}", line.strip_prefix('D').unwrap_or(line))
    });
    SqlError::Invalid { message: first, position, hint }
}

fn unknown_column(error: &SchemaError, sql: &str, position: Option<Position>) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names = valid_fields.iter().map(|column| column.name());
            let hint = match nearest(field.name(), names.clone()) {
                Some(close) => Some(format!("did you mean {close}?")),
                None if valid_fields.is_empty() => None,
                None => Some(format!("columns are {}", names.collect::<Vec<_>>().join(", "))),
            };
            SqlError::Invalid {
                message: format!("there is no column {:?}", field.name()),
                position: position.or_else(|| find(sql, field.name())),
                hint,
            }
        }
        SchemaError::AmbiguousReference { field } => SqlError::Invalid {
            message: format!("column {:?} is in more than one table", field.name()),
            position: position.or_else(|| find(sql, field.name())),
            hint: Some("write the table's name or alias and a dot before it".into()),
        },
        other => SqlError::Invalid { message: other.to_string(), position, hint: None },
    }
}

/// Where a name stands in the text, as a word of its own.
fn find(sql: &str, name: &str) -> Option<Position> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let lower = sql.to_ascii_lowercase();
    let at = lower.match_indices(&name.to_ascii_lowercase()).map(|(at, _)| at).find(|&at| {
        let before = lower[..at].chars().next_back();
        let after = lower[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })?;
    let before = &sql[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some(Position {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_words() {
        let sql = "SELECT blogs\nFROM é, logs";
        assert_eq!(find(sql, "LOGS"), Some(Position { line: 2, column: 9 }));
        assert_eq!(find(sql, "log"), None);
    }

    #[test]
    fn a_parser_error_has_its_place() {
        let error =
            syntax("sql parser error: Expected: an expression, found: FROM at Line: 3, Column: 8");
        assert_eq!(error.to_string(), "line 3, column 8: Expected: an expression, found: FROM");
    }
}
