//! What of a condition on `metrics` the store can be told: matchers and a range of time.
//!
//! The same constraints as for events: see `filter`. A label that is missing is NULL in SQL and the
//! empty text to a matcher.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use skopos_model::{LabelMatcher, MatchOp, TimeRange};

use super::filter::{intersection, time_range};
use super::literal::{column, strip_casts, text};
use crate::json::look_up_of;

/// The label that holds the metric's name.
pub(super) const NAME: &str = "__name__";

/// Conditions as the store understands them.
#[derive(Clone, Debug)]
pub(crate) struct SeriesConditions {
    pub(crate) range: TimeRange,
    pub(crate) matchers: Vec<LabelMatcher>,
    /// Whether they hold for nothing but what the expression holds for.
    pub(crate) exact: bool,
}

impl SeriesConditions {
    /// What the store can be told of an expression; `None` when nothing.
    pub(crate) fn of(expr: &Expr) -> Option<Self> {
        if let Some(range) = time_range(expr) {
            return Some(Self { range, matchers: Vec::new(), exact: true });
        }
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = expr {
            return match (Self::of(left), Self::of(right)) {
                (Some(mut one), Some(two)) => {
                    one.matchers.extend(two.matchers);
                    let range = intersection(one.range, two.range);
                    Some(Self { range, matchers: one.matchers, exact: one.exact && two.exact })
                }
                (Some(one), None) | (None, Some(one)) => Some(Self { exact: false, ..one }),
                (None, None) => None,
            };
        }
        let (matcher, exact) = matcher(expr)?;
        Some(Self { range: TimeRange::ALL, matchers: vec![matcher], exact })
    }
}

/// The label that an expression reads.
fn label(expr: &Expr) -> Option<&str> {
    let expr = strip_casts(expr, &DataType::is_string);
    match look_up_of(expr) {
        // Names of metrics are not among the labels of the table.
        Some(("labels", label, true)) if label != NAME => Some(label),
        Some(_) => None,
        None => (column(expr)? == "metric").then_some(NAME),
    }
}

fn matcher(expr: &Expr) -> Option<(LabelMatcher, bool)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            compare(left, *op, right).or_else(|| compare(right, op.swap()?, left))
        }
        // Spelt out by the planner when there are few values.
        Expr::InList(list) if !list.negated => {
            let label = label(&list.expr)?;
            let values: Option<Vec<String>> =
                list.list.iter().map(|value| text(value).map(regex::escape)).collect();
            one_of(label, values?)
        }
        Expr::IsNull(expr) => {
            let label = label(expr).filter(|label| *label != NAME)?;
            Some((LabelMatcher::equal(label, ""), true))
        }
        Expr::IsNotNull(expr) => {
            let label = label(expr).filter(|label| *label != NAME)?;
            Some((LabelMatcher::new(label, MatchOp::NotEqual, "").ok()?, true))
        }
        _ => None,
    }
}

fn one_of(label: &str, escaped: Vec<String>) -> Option<(LabelMatcher, bool)> {
    // A missing label equals the empty text only to matchers.
    let exact = label == NAME || escaped.iter().all(|value| !value.is_empty());
    Some((LabelMatcher::new(label, MatchOp::Regex, &escaped.join("|")).ok()?, exact))
}

fn compare(expr: &Expr, op: Operator, value: &Expr) -> Option<(LabelMatcher, bool)> {
    if op == Operator::Or {
        return either(expr, value);
    }
    let (label, value) = (label(expr)?, text(value)?);
    match op {
        Operator::Eq => {
            Some((LabelMatcher::equal(label, value), label == NAME || !value.is_empty()))
        }
        // What is missing differs from everything only to matchers.
        Operator::NotEq => {
            let matcher = LabelMatcher::new(label, MatchOp::NotEqual, value).ok()?;
            Some((matcher, label == NAME))
        }
        // SQL's expressions match anywhere, and know classes by Unicode; matchers match the whole,
        // and know them by ASCII.
        Operator::RegexMatch if !value.contains(['\\', '[']) => {
            let whole = format!("(?s:.*)(?:{value})(?s:.*)");
            Some((LabelMatcher::new(label, MatchOp::Regex, &whole).ok()?, false))
        }
        _ => None,
    }
}

/// `metric = 'a' OR metric = 'b'`, which is how the planner writes a short `IN`.
fn either(left: &Expr, right: &Expr) -> Option<(LabelMatcher, bool)> {
    let mut values = Vec::new();
    let label = equals(left, &mut values)?;
    (equals(right, &mut values)? == label).then_some(())?;
    one_of(label, values)
}

fn equals<'a>(expr: &'a Expr, values: &mut Vec<String>) -> Option<&'a str> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    match op {
        Operator::Or => {
            let label = equals(left, values)?;
            (equals(right, values)? == label).then_some(label)
        }
        Operator::Eq => {
            let label = label(left)?;
            values.push(regex::escape(text(right)?));
            Some(label)
        }
        _ => None,
    }
}
