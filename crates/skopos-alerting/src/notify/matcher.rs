//! Matchers on the labels of alerts, written and printed as Alertmanager writes and prints them.
//!
//! They compare as PromQL's do ([`LabelMatcher`]): expressions are RE2's, anchored at both ends, and a
//! missing label is the empty text. What differs is their syntax, see [`parse_matchers`].

mod parse;

use std::cmp::Ordering;
use std::fmt;

use skopos_model::{InvalidRegex, LabelMatcher, Labels, MatchOp};

pub use parse::{InvalidMatcher, fuzz_matchers, parse_matcher, parse_matchers};

use crate::template::quote;
use parse::is_reserved;

/// A condition on one label of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher(LabelMatcher);

impl Matcher {
    /// Builds a matcher; fails only on a bad regular expression.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, InvalidRegex> {
        LabelMatcher::new(name, op, value).map(Self)
    }

    /// A matcher of one value.
    pub fn equal(name: &str, value: &str) -> Self {
        Self(LabelMatcher::equal(name, value))
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The operator.
    pub fn op(&self) -> MatchOp {
        self.0.op()
    }

    /// The right-hand side as written.
    pub fn value(&self) -> &str {
        self.0.value()
    }

    /// Whether a label with this value satisfies it; a missing label is the empty text.
    pub fn matches_value(&self, value: &str) -> bool {
        self.0.matches(value)
    }

    /// Whether an alert with these labels satisfies the condition.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.matches(labels.value(self.name()))
    }

    /// Whether an alert without the label satisfies the condition.
    pub fn matches_empty(&self) -> bool {
        self.0.matches_empty()
    }

    /// Alertmanager's order: by name, value, operator.
    pub fn order(a: &Self, b: &Self) -> Ordering {
        let key = |m: &Self| (m.name().to_owned(), m.value().to_owned(), m.op());
        key(a).cmp(&key(b))
    }
}

impl fmt::Display for Matcher {
    /// Writes `name="value"`: names with reserved characters quoted, in values only `"`, `\` and line
    /// feeds escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name().is_empty() || self.name().contains(is_reserved) {
            return write!(
                f,
                "{}{}{}",
                quote(self.name()),
                self.op().as_str(),
                quote(self.value())
            );
        }
        let value = self.value().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "{}{}\"{value}\"", self.name(), self.op().as_str())
    }
}

/// Whether all matchers hold; with none of them everything does.
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

/// Writes matchers in braces: `{a="b",c=~"d"}`, the form of group keys.
pub fn format_matchers(matchers: &[Matcher]) -> String {
    let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", texts.join(","))
}

#[cfg(test)]
mod tests;
