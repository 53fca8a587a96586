//! Durations, which may depend on the query's step and range.

use super::{BinaryOp, NumberLiteral};
use crate::span::Span;

/// A duration, possibly computed from the query's step and range.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// The bytes it came from.
    pub span: Span,
    /// What it is.
    pub kind: DurationKind,
}

/// The kinds of duration expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// A number of seconds, or a duration literal.
    Literal(NumberLiteral),
    /// `step()`: the query's step.
    Step,
    /// `range()`: the query's end minus its start.
    Range,
    /// A sign.
    Unary {
        /// Whether it is `-` rather than `+`.
        negative: bool,
        /// The operand.
        expr: Box<DurationExpr>,
    },
    /// One of `+ - * / % ^`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        lhs: Box<DurationExpr>,
        /// Right operand.
        rhs: Box<DurationExpr>,
    },
    /// `min_of(a, b)` or `max_of(a, b)`.
    Pick {
        /// Whether it is `max_of`.
        max: bool,
        /// First operand.
        lhs: Box<DurationExpr>,
        /// Second operand.
        rhs: Box<DurationExpr>,
    },
    /// In parentheses.
    Paren(Box<DurationExpr>),
}

impl DurationExpr {
    /// The value in seconds for a query with this step and range (also in seconds).
    pub fn seconds(&self, step: f64, range: f64) -> f64 {
        match &self.kind {
            DurationKind::Literal(number) => number.value,
            DurationKind::Step => step,
            DurationKind::Range => range,
            DurationKind::Unary { negative: true, expr } => -expr.seconds(step, range),
            DurationKind::Unary { expr, .. } | DurationKind::Paren(expr) => {
                expr.seconds(step, range)
            }
            DurationKind::Binary { op, lhs, rhs } => {
                op.arithmetic(lhs.seconds(step, range), rhs.seconds(step, range))
            }
            DurationKind::Pick { max, lhs, rhs } => {
                pick(*max, lhs.seconds(step, range), rhs.seconds(step, range))
            }
        }
    }

    /// The value in milliseconds when it is a plain literal, as in nearly every query.
    pub fn literal_ms(&self) -> Option<i64> {
        match &self.kind {
            DurationKind::Literal(number) => Some((number.value * 1000.0).round() as i64),
            DurationKind::Unary { negative, expr } => {
                expr.literal_ms().map(|ms| if *negative { -ms } else { ms })
            }
            DurationKind::Paren(expr) => expr.literal_ms(),
            _ => None,
        }
    }
}

/// Smaller or larger of two numbers; NaN when either is.
pub(crate) fn pick(max: bool, a: f64, b: f64) -> f64 {
    match (a.is_nan() || b.is_nan(), max) {
        (true, _) => f64::NAN,
        (_, true) => a.max(b),
        (_, false) => a.min(b),
    }
}
