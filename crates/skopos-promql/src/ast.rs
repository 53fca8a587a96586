//! The syntax tree of a query. Every node knows which bytes of the text it came from.
//!
//! The tree is what the parser accepted: types are checked, names resolved to
//! [`Function`](crate::functions::Function) and [`AggregateOp`], but nothing is computed yet:
//! durations may still depend on the query's step, and `@ start()` on its start.

mod display;
mod duration;
mod operators;
mod pretty;

pub(crate) use display::{quote, quote_bytes};
pub(crate) use duration::pick;
pub use duration::{DurationExpr, DurationKind};
pub use operators::{AggregateOp, BinaryOp, Cardinality, Fill, VectorMatching};
mod walk;

pub use walk::{Visitor, aggregations, functions, selectors, walk};

use skopos_model::LabelMatcher;

use crate::functions::Function;
use crate::span::Span;

/// What an expression yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number per step.
    Scalar,
    /// A text.
    String,
    /// At most one sample per series and step.
    Vector,
    /// A window of samples per series and step.
    Matrix,
}

impl ValueType {
    /// The name as Prometheus' messages have it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }

    /// The name as Prometheus' API has it in `resultType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
}

/// A node with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// The bytes it came from.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// The kinds of nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number literal.
    Number(NumberLiteral),
    /// A string literal.
    String(StringLiteral),
    /// An instant vector selector.
    Vector(VectorSelector),
    /// A range vector selector.
    Matrix {
        /// The series and their offset.
        selector: VectorSelector,
        /// The window's width.
        range: DurationExpr,
    },
    /// An expression evaluated at many times.
    Subquery(Box<Subquery>),
    /// A function call.
    Call(Call),
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// An operator between two expressions.
    Binary(Box<Binary>),
    /// A sign.
    Unary {
        /// Whether it is `-` rather than `+`.
        negative: bool,
        /// The operand.
        expr: Box<Expr>,
    },
    /// An expression in parentheses.
    Paren(Box<Expr>),
}

/// A number as written.
#[derive(Clone, Copy, Debug)]
pub struct NumberLiteral {
    /// Its value; seconds for durations.
    pub value: f64,
    /// Whether it was written as a duration (`5m`).
    pub is_duration: bool,
}

impl PartialEq for NumberLiteral {
    fn eq(&self, other: &Self) -> bool {
        (self.value.to_bits(), self.is_duration) == (other.value.to_bits(), other.is_duration)
    }
}

/// A string as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringLiteral {
    /// Its content, with replacement characters where escapes made it invalid UTF-8.
    pub value: String,
    /// The raw bytes when they are not UTF-8.
    pub invalid: Option<Box<[u8]>>,
}

/// A time that `@` fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtModifier {
    /// Milliseconds since the epoch.
    Time(i64),
    /// The query's start.
    Start,
    /// The query's end.
    End,
}

/// How samples outside the window take part (experimental).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeMode {
    /// `anchored`: the sample before the window stands at its start.
    Anchored,
    /// `smoothed`: values at the window's ends are interpolated.
    Smoothed,
}

/// Which series, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric's name when it was written before or first within the braces. Its matcher is in
    /// `matchers` too.
    pub name: Option<String>,
    /// All conditions, the name's included.
    pub matchers: Vec<LabelMatcher>,
    /// How far back.
    pub offset: Option<DurationExpr>,
    /// A fixed time.
    pub at: Option<AtModifier>,
    /// Treatment of window ends.
    pub mode: Option<RangeMode>,
}

/// `expr[range:step]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// The window's width.
    pub range: DurationExpr,
    /// Its resolution; the global evaluation interval when absent.
    pub step: Option<DurationExpr>,
    /// How far back.
    pub offset: Option<DurationExpr>,
    /// A fixed time.
    pub at: Option<AtModifier>,
}

/// A function with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub func: &'static Function,
    /// Its arguments, checked against the signature.
    pub args: Vec<Expr>,
}

/// `op by (labels) (param, expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which aggregation.
    pub op: AggregateOp,
    /// Whether `grouping` lists what to leave out rather than what to keep.
    pub without: bool,
    /// The labels.
    pub grouping: Vec<String>,
    /// The parameter, for those that take one.
    pub param: Option<Expr>,
    /// What is aggregated.
    pub expr: Expr,
}

/// `lhs op rhs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Where it stands.
    pub op_span: Span,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// Whether a comparison yields 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Matching, when both sides are vectors.
    pub matching: Option<VectorMatching>,
}

impl Expr {
    /// What it yields.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix { .. } | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.func.returns,
            ExprKind::Binary(binary) => match (binary.lhs.value_type(), binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => expr.value_type(),
        }
    }

    /// The expression within any parentheses.
    pub fn unparenthesised(&self) -> &Expr {
        match &self.kind {
            ExprKind::Paren(inner) => inner.unparenthesised(),
            _ => self,
        }
    }
}
