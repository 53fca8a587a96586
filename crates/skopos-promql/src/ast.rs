//! The syntax tree of a query. Every node knows which bytes of the text it came from.
//!
//! The tree is what the parser accepted: types are checked, names resolved to
//! [`Function`](crate::functions::Function) and [`AggregateOp`], but nothing is computed yet:
//! durations may still depend on the query's step, and `@ start()` on its start.

mod display;

pub(crate) use display::quote_bytes;
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

/// A function with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub func: &'static Function,
    /// Its arguments, checked against the signature.
    pub args: Vec<Expr>,
}

/// The aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PromQL's own")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [AggregateOp; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::CountValues,
        Self::Quantile,
        Self::Limitk,
        Self::LimitRatio,
    ];

    /// The name as written in queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// By name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str().eq_ignore_ascii_case(name))
    }

    /// The type of the parameter before the vector, when there is one.
    pub fn parameter(self) -> Option<ValueType> {
        match self {
            Self::CountValues => Some(ValueType::String),
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            _ => None,
        }
    }

    /// Whether it exists only behind the experimental switch.
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
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

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `</`: drops observations above.
    TrimUpper,
    /// `>/`: drops observations below.
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Less
                | Self::LessEqual
                | Self::Greater
                | Self::GreaterEqual
        )
    }

    /// Whether it works on sets of series.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// How tightly it binds; higher is tighter.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
            _ => 3,
        }
    }

    /// The result on two numbers; 1 or 0 for comparisons, NaN for what numbers do not have.
    pub fn arithmetic(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Mod => a % b,
            Self::Pow => a.powf(b),
            Self::Atan2 => a.atan2(b),
            Self::TrimUpper | Self::TrimLower | Self::And | Self::Or | Self::Unless => f64::NAN,
            _ => f64::from(u8::from(self.compare(a, b))),
        }
    }

    /// Whether the comparison holds; false for other operators.
    pub fn compare(self, a: f64, b: f64) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::LessEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterEqual => a >= b,
            _ => false,
        }
    }
}

/// How many series of each side may match one of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// Plain operators.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How the sides of a vector operator find each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorMatching {
    /// Cardinality.
    pub cardinality: Cardinality,
    /// Whether `labels` are those to match on, rather than those to ignore.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Labels that `group_left`/`group_right` copies from the one side.
    pub include: Vec<String>,
    /// Value that stands in for a missing left side.
    pub fill_left: Option<Fill>,
    /// Value that stands in for a missing right side.
    pub fill_right: Option<Fill>,
}

/// A fill value; equal by bits.
#[derive(Clone, Copy, Debug)]
pub struct Fill(pub f64);

impl PartialEq for Fill {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
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
