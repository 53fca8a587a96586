//! A rule's PromQL: its text, checked, and how far back it looks.

use std::time::Duration;

use skopos_promql::{EvalParams, ParseError, ParseOptions, Plan, ValueType};

use super::parts::{Part, parts};
use super::reads::{Reads, Selector};

/// A PromQL expression that a rule can evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    range: Duration,
    reads: Reads,
    parts: Vec<Part>,
}

/// Why a text is none, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpressionError {
    /// Byte offset in the text given.
    pub(crate) offset: usize,
    /// Bytes meant, at least 1.
    pub(crate) length: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl From<ParseError> for ExpressionError {
    fn from(error: ParseError) -> Self {
        Self {
            offset: error.span.start,
            length: error.span.end.saturating_sub(error.span.start).max(1),
            message: format!("not PromQL: {}", error.message),
            hint: error.suggestion.map(|meant| format!("did you mean `{meant}`?")),
        }
    }
}

impl Expression {
    /// Checks a text. Surrounding white space (block scalars end in a line break) is dropped.
    pub(crate) fn parse(text: &str, language: &ParseOptions) -> Result<Self, ExpressionError> {
        let whole = |message: String| ExpressionError {
            offset: text.len() - text.trim_start().len(),
            length: text.trim().chars().count().max(1),
            message,
            hint: None,
        };
        let expr = skopos_promql::parse(text, language)?;
        if !matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar) {
            let found = expr.value_type().describe();
            return Err(whole(format!(
                "a rule needs an instant vector or a scalar, found a {found}"
            )));
        }
        let plan = Plan::new(&expr, EvalParams::instant(0)).map_err(|e| whole(e.to_string()))?;
        let windows = plan.selects().iter().map(|s| s.end_ms.saturating_sub(s.start_ms));
        let longest = windows.max().map_or(0, |ms| ms.saturating_add(1));
        let range = Duration::from_millis(u64::try_from(longest).unwrap_or(0));
        Ok(Self { text: text.trim().into(), range, reads: Reads::of(&expr), parts: parts(&expr) })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The longest stretch of data that one evaluation reads, offsets aside: how long data must
    /// have been arriving before the answer rests on it alone.
    pub fn range(&self) -> Duration {
        self.range
    }

    /// Its conditions, taken apart.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Its selectors, each once, in the order of the text.
    pub fn selectors(&self) -> &[Selector] {
        self.reads.selectors()
    }

    /// The selectors without which it cannot return anything and which matched nothing. `found`
    /// says how many series each selector matched, in the order of
    /// [`selectors`](Self::selectors).
    pub fn blind_selectors(&self, found: &[u64]) -> Vec<&Selector> {
        let missing = self.reads.missing(|at| found.get(at).is_none_or(|count| *count > 0));
        missing.into_iter().filter_map(|at| self.selectors().get(at)).collect()
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Expression, ExpressionError> {
        Expression::parse(text, &ParseOptions::default())
    }

    #[test]
    fn experimental_parts_are_for_who_asks() {
        let text = "mad_over_time(a[5m]) > 1";
        assert!(parse(text).is_err());
        assert!(Expression::parse(text, &ParseOptions::all()).is_ok());
    }

    #[test]
    fn the_range_is_the_longest_window() {
        for (text, seconds) in [
            ("up == 0", 300),
            ("rate(a[1m]) > 0", 60),
            ("rate(a[1m] offset 1d) > b", 300),
            ("a_b[5m:1m]", 0),
            ("max_over_time(rate(a[5m])[1h:1m]) > 0", 3900),
            ("vector(1)", 0),
        ] {
            let found = parse(text).map_or(0, |e| e.range().as_secs());
            // A subquery's grid may differ by a step.
            assert!(found.abs_diff(seconds) <= 60, "{text}: {found}");
        }
        assert!(parse("\"text\"").unwrap_err().message.contains("found a string"));
        assert!(parse("up[5m]").unwrap_err().message.contains("found a range vector"));
    }
}
