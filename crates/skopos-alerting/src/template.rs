//! Go's text/template as Prometheus' rule files use it: lexer, parser, evaluator, functions.
//!
//! Known: text, actions, comments, trim markers, pipelines, `if`/`else if`/`else`,
//! `range` (with `else`, `break`, `continue`), `with`, variables, `define`/`template`/`block`, the
//! built-in functions but `call`, and every function of Prometheus. Numbers print as Go prints
//! them: `%.4g` and `humanize` to the letter.
//!
//! Unlike Go this rejects unknown variables' fields only when it runs, and it is bounded: nesting,
//! steps, output and what is made on the way have limits, because templates come from files and data from everywhere.

mod bounds;
mod eval;
mod functions;
mod humanize;
mod inspect;
mod lexer;
mod notification;
mod parser;
mod printf;
mod quote;
mod text;
mod time;
pub(crate) mod value;

use std::collections::BTreeMap;

use skopos_model::{Labels, Timestamp};

pub use humanize::format_float;
pub use inspect::{Use, UseKind};
pub(crate) use notification::{Library, ZERO_TIME, expand as expand_notification};
pub(crate) use quote::{quote, unquote};
pub use text::{graph_link, table_link};

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    parsed: parser::Parsed,
}

/// A template that does not parse, or fails when expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Byte offset in the template.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl TemplateError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), hint: None }
    }
}

/// What a template may know about an alert.
#[derive(Clone, Debug, Default)]
pub struct TemplateData {
    /// `$labels`: the labels of the expression's element, the metric name included.
    pub labels: Labels,
    /// `$value`.
    pub value: f64,
    /// `$externalLabels`.
    pub external_labels: BTreeMap<String, String>,
    /// `$externalURL`.
    pub external_url: String,
}

/// What a template needs of its host.
pub trait TemplateHost {
    /// The time of evaluation.
    fn now(&self) -> Timestamp;

    /// Runs an instant query at [`now`](TemplateHost::now); the error's text ends in the output.
    fn query(&self, expr: &str) -> Result<Vec<(Labels, f64)>, String>;
}

/// A host that runs no queries.
#[derive(Clone, Copy, Debug)]
pub struct NoQueries(
    /// The time of evaluation.
    pub Timestamp,
);

impl TemplateHost for NoQueries {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn query(&self, _expr: &str) -> Result<Vec<(Labels, f64)>, String> {
        Err("queries are not available here".into())
    }
}

impl Template {
    /// Parses a text. Variables and functions must be known.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let parsed = parser::parse(text, &parser::RULES)?;
        Ok(Self { text: text.into(), parsed })
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// Whether expanding this needs no data at all.
    pub fn is_plain_text(&self) -> bool {
        !self.text.contains("{{")
    }

    /// Whether this calls `query`.
    pub fn runs_queries(&self) -> bool {
        self.parsed.runs_queries
    }

    /// Expands the template.
    pub fn try_expand(
        &self,
        data: &TemplateData,
        host: &dyn TemplateHost,
    ) -> Result<String, TemplateError> {
        if self.is_plain_text() {
            return Ok(self.text.clone());
        }
        eval::expand(&self.parsed, data, host)
    }

    /// Expands the template; a failure becomes the text, so that a broken template never costs an
    /// alert.
    pub fn expand(&self, data: &TemplateData, host: &dyn TemplateHost) -> String {
        self.try_expand(data, host)
            .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }
}

/// Parses and expands arbitrary bytes; for fuzzing.
pub fn fuzz_template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Template::parse(text) {
        Err(error) => assert!(error.offset <= text.len(), "{error:?}"),
        Ok(template) => {
            let data = TemplateData {
                labels: Labels::from_pairs([("job", "shop"), ("instance", "a:80")]),
                value: 0.25,
                ..TemplateData::default()
            };
            let _ = template.expand(&data, &NoQueries(Timestamp::from_secs(1)));
        }
    }
}
