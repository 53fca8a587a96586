//! From syntax tree to plan: durations and `@` resolved, time ranges to fetch known, parts that do
//! not change from step to step marked.
//!
//! A plan is self-contained: it can be kept, sent to another thread and evaluated without its
//! query text.

mod lower;

use skopos_model::storage::SeriesSelect;

use crate::ast::{AggregateOp, BinaryOp, Expr, RangeMode, ValueType, VectorMatching};
use crate::error::PlanError;
use crate::functions::Function;
use crate::span::Span;

/// Most points per series that Prometheus' API answers.
pub const MAX_POINTS_PER_SERIES: u64 = 11_000;

/// Most steps of any query or subquery, whatever the host allows: one column must at least fit
/// memory.
pub(crate) const MAX_STEPS: u64 = 50_000_000;

/// When and how a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalParams {
    /// First step, milliseconds since the epoch.
    pub start_ms: i64,
    /// Last time at which a step may lie, inclusive.
    pub end_ms: i64,
    /// Distance of steps; 0 for an instant query (then start and end are equal).
    pub step_ms: i64,
    /// How long a sample counts as current.
    pub lookback_ms: i64,
    /// Resolution of subqueries that name none (Prometheus' global evaluation interval).
    pub subquery_step_ms: i64,
    /// Whether metric names are dropped at the end instead of at once, as Prometheus' feature
    /// flag `promql-delayed-name-removal` does.
    pub delayed_name_removal: bool,
}

/// Prometheus' default lookback.
pub const DEFAULT_LOOKBACK_MS: i64 = 300_000;

impl EvalParams {
    /// An instant query.
    pub const fn instant(time_ms: i64) -> Self {
        Self {
            start_ms: time_ms,
            end_ms: time_ms,
            step_ms: 0,
            lookback_ms: DEFAULT_LOOKBACK_MS,
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
        }
    }

    /// A range query.
    pub const fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        Self { end_ms, step_ms, ..Self::instant(start_ms) }
    }

    /// Whether this is a range query.
    pub const fn is_range(&self) -> bool {
        self.step_ms != 0
    }

    /// Points per series.
    pub fn points(&self) -> u64 {
        if self.step_ms <= 0 || self.end_ms < self.start_ms {
            return 1;
        }
        (self.end_ms.abs_diff(self.start_ms) / self.step_ms.unsigned_abs()).saturating_add(1)
    }

    /// The API's guard: an error when a range query asks for more than `limit` points
    /// ([`MAX_POINTS_PER_SERIES`] in Prometheus, which counts intervals, not points).
    pub fn check_points(&self, limit: u64) -> Result<(), PlanError> {
        if self.points() > limit.saturating_add(1) {
            return Err(PlanError::TooManyPoints { limit });
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), PlanError> {
        if self.end_ms < self.start_ms {
            return Err(PlanError::EndBeforeStart);
        }
        if self.step_ms < 0 || (self.step_ms == 0 && self.start_ms != self.end_ms) {
            return Err(PlanError::BadStep);
        }
        self.check_points(MAX_STEPS)
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid {
            start_ms: self.start_ms,
            step_ms: self.step_ms.max(1),
            steps: usize::try_from(self.points()).unwrap_or(usize::MAX),
        }
    }
}

/// The times of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) steps: usize,
}

impl Grid {
    pub(crate) fn time(&self, step: usize) -> i64 {
        self.start_ms + self.step_ms * step as i64
    }

    pub(crate) fn end_ms(&self) -> i64 {
        self.time(self.steps.saturating_sub(1))
    }

    /// Only the first step.
    pub(crate) fn first(&self) -> Self {
        Self { steps: self.steps.min(1), ..*self }
    }

    /// The steps at which a subquery is evaluated so that every window of this grid is covered:
    /// absolute multiples of `step_ms` in `(first - range, last]`.
    pub(crate) fn subquery(&self, shift: Shift, range_ms: i64, step_ms: i64) -> Self {
        let (first, last) = shift.bounds(self);
        let after = first.saturating_sub(range_ms);
        let start_ms = (after.div_euclid(step_ms) + 1).saturating_mul(step_ms);
        let steps = if last < start_ms { 0 } else { (last - start_ms) / step_ms + 1 };
        Grid { start_ms, step_ms, steps: usize::try_from(steps).unwrap_or(0) }
    }
}

/// `offset` and `@` resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
}

impl Shift {
    /// The time looked at when evaluating at `time_ms`.
    pub(crate) fn apply(&self, time_ms: i64) -> i64 {
        self.at_ms.unwrap_or(time_ms) - self.offset_ms
    }

    /// First and last time looked at over a grid.
    pub(crate) fn bounds(&self, grid: &Grid) -> (i64, i64) {
        (self.apply(grid.start_ms), self.apply(grid.end_ms()))
    }
}

/// A planned query.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) root: Node,
    pub(crate) params: EvalParams,
    pub(crate) value_type: ValueType,
    selects: Vec<SeriesSelect>,
}

impl Plan {
    /// Plans an expression.
    pub fn new(expr: &Expr, params: EvalParams) -> Result<Plan, PlanError> {
        params.validate()?;
        let value_type = expr.value_type();
        let fits = matches!(value_type, ValueType::Scalar | ValueType::Vector);
        if params.is_range() && !fits {
            return Err(PlanError::NotForRangeQuery(value_type.describe()));
        }
        let mut lowering = lower::Lowering::new(params);
        let root = lowering.lower(expr, params.grid())?;
        Ok(Plan { root, params, value_type, selects: lowering.selects })
    }

    /// What the host must fetch, in this order, for [`evaluate`](crate::evaluate).
    pub fn selects(&self) -> &[SeriesSelect] {
        &self.selects
    }

    /// The parameters it was planned with.
    pub fn params(&self) -> &EvalParams {
        &self.params
    }

    /// What the expression yields at one step.
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }
}

/// An operator of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    /// Whether its value is the same at every step.
    pub(crate) invariant: bool,
    pub(crate) kind: NodeKind,
}

#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Number(f64),
    Text {
        value: String,
        invalid: Option<Box<[u8]>>,
    },
    /// An instant selector.
    Instant(Leaf),
    /// `timestamp(selector)`: the times of the samples selected.
    SampleTime(Leaf),
    Range(Box<RangeNode>),
    Call {
        func: &'static Function,
        args: Vec<Node>,
    },
    /// `absent…` with the labels its result carries.
    Absent {
        labels: skopos_model::Labels,
        arg: Box<Node>,
    },
    /// `info`: base vector, and the info series (raw, over the whole time they are needed).
    Info(Box<InfoNode>),
    Aggregate(Box<AggregateNode>),
    Binary(Box<BinaryNode>),
    Negate(Box<Node>),
}

#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) select: usize,
    pub(crate) shift: Shift,
    /// `smoothed` instant selectors interpolate.
    pub(crate) smoothed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct RangeNode {
    pub(crate) source: RangeSource,
    pub(crate) range_ms: i64,
    pub(crate) shift: Shift,
    pub(crate) mode: Option<RangeMode>,
}

#[derive(Clone, Debug)]
pub(crate) enum RangeSource {
    Series { select: usize },
    Subquery { node: Node, step_ms: i64 },
}

#[derive(Clone, Debug)]
pub(crate) struct InfoNode {
    pub(crate) base: Node,
    /// The info series.
    pub(crate) info: Leaf,
    /// Conditions on the info series' names.
    pub(crate) name_matchers: Vec<skopos_model::LabelMatcher>,
    /// Conditions on data labels.
    pub(crate) data_matchers: Vec<skopos_model::LabelMatcher>,
}

#[derive(Clone, Debug)]
pub(crate) struct AggregateNode {
    pub(crate) op: AggregateOp,
    pub(crate) without: bool,
    pub(crate) grouping: Vec<String>,
    pub(crate) param: Option<Node>,
    pub(crate) expr: Node,
}

#[derive(Clone, Debug)]
pub(crate) struct BinaryNode {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Node,
    pub(crate) rhs: Node,
    pub(crate) return_bool: bool,
    pub(crate) matching: Option<VectorMatching>,
    pub(crate) scalars: (bool, bool),
}
