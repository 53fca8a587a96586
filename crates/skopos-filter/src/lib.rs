//! The filter language for log records and spans: one parser for the API, the terminal and the UI.
//!
//! ```text
//! service.name=checkout level>=error "pool timeout" duration>500ms
//! ```
//!
//! What it is not: it evaluates nothing and reads nothing. A [`Filter`] is text made into a
//! [`Predicate`](skopos_model::event::Predicate), whose meaning stands in `skopos-model`; what
//! fields and values the data has is told by the caller (see [`complete`]).
//!
//! # The language
//!
//! | written | means |
//! |---|---|
//! | `pool`, `"pool timeout"` | the text contains it, in any (ASCII) case: of a log record the body; of a span its name, status message, attribute values, and what its events say |
//! | `a b`, `a AND b`, `a OR b`, `NOT a`, `-a`, `( … )` | both, either, not; NOT binds closest, then AND. Keywords in any case: quote a word to search for it |
//! | `field=value`, `field!=value` | equal as text, or as numbers; `*` in an unquoted value stands for any characters |
//! | `field~regex`, `field!~regex` | the expression matches somewhere; in its quotes only `\"` is an escape. `=~` is read as `~` |
//! | `field>1`, `>=`, `<`, `<=` | compares numbers, levels and durations |
//! | `field=*`, `has(field)`, `field!=*`, `field=""` | the field is there and not empty; or it is missing or empty |
//! | `level>=warn`, `level=error` | levels in their order; a name stands for its whole band (ERROR is 17–20), a number for itself |
//! | `duration>1.5s` | ns, us, ms, s, m, h, also together: `1m30s` |
//!
//! Fields: `service.name` (or `service`), `level` (`severity`), `body`, `name`, `trace_id`, `span_id`,
//! `parent_span_id`, `kind`, `status`, `status_message`, `duration`, `scope.name`. Any other name is an attribute: of
//! the event, else of its resource. `attributes.x`, `resource.x` and `scope.x` say which. Odd
//! names are quoted: `"user name"=x`.
//!
//! **Missing fields.** A condition on a field that an event does not have is false, and `!=` and
//! `!~` are the exact negations of `=` and `~`: `region!=eu` finds the events without a region too,
//! as Loki, KQL and Lucene have it. `region=* region!=eu` asks for both. An unspecified level is a
//! missing field.
//!
//! # What it promises
//! - A filter means the same for logs and spans, wherever it is written: fields that a signal does
//!   not have are missing there.
//! - Errors carry the place in bytes, a snippet with carets, and what could stand there instead.
//! - A filter prints in one normal form that parses to itself ([`Filter`]'s `Display`).
//! - Length, depth, terms and the size of expressions are bounded ([`limits`]).
//!
//! ```
//! use skopos_filter::Filter;
//!
//! let filter = Filter::parse(r#"service=checkout and (level>=error or -"retry")"#)?;
//! assert_eq!(filter.to_string(), "service.name=checkout (level>=error OR NOT retry)");
//!
//! let error = Filter::parse("level>=eror").unwrap_err();
//! assert_eq!((error.span.start, error.span.end), (7, 11));
//! assert_eq!(error.suggestions, ["error"]);
//! # Ok::<(), skopos_filter::FilterError>(())
//! ```

pub mod ast;
pub mod complete;
mod error;
mod field;
pub mod fuzz;
mod lexer;
mod lower;
mod parser;
mod print;

pub use error::{ErrorKind, FilterError, Span, nearest};
pub use field::{field_name, parse_field};

use std::fmt;

use skopos_model::event::Predicate;

/// What a filter may use.
pub mod limits {
    /// Bytes of text.
    pub const LENGTH: usize = 8 << 10;
    /// Parentheses and negations within each other.
    pub const DEPTH: usize = 32;
    /// Conditions.
    pub const TERMS: usize = 200;
    /// Conditions with an expression or a wildcard.
    pub const PATTERNS: usize = 32;
    /// Bytes of one compiled expression.
    pub const PATTERN_SIZE: usize = 1 << 20;
}

/// A filter that has been understood.
#[derive(Clone, Debug)]
pub struct Filter {
    expr: ast::Node,
    predicate: Predicate,
}

impl Filter {
    /// Reads a filter. Nothing but space is the filter that everything passes.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let expr = parser::parse(text)?;
        let predicate = lower::lower(&expr)?;
        Ok(Self { expr, predicate })
    }

    /// The condition it puts to an event of either signal.
    pub fn predicate(&self) -> &Predicate {
        &self.predicate
    }

    /// The conditions that must all hold, as scans take them.
    pub fn predicates(&self) -> Vec<Predicate> {
        match &self.predicate {
            Predicate::All(all) => all.clone(),
            one => vec![one.clone()],
        }
    }

    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        matches!(&self.predicate, Predicate::All(all) if all.is_empty())
    }

    /// Its syntax tree.
    pub fn ast(&self) -> &ast::Node {
        &self.expr
    }
}

impl fmt::Display for Filter {
    /// Writes the normal form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}
