//! From syntax tree to plan: durations and `@` resolved, time ranges to fetch known, parts that do
//! not change from step to step marked.
//!
//! A plan is self-contained: it can be kept, sent to another thread and evaluated without its
//! query text.

pub mod explain;
mod fetch;
mod lower;
mod share;

use skopos_model::LabelMatcher;
use skopos_model::storage::SeriesSelect;

use crate::ast::{AggregateOp, BinaryOp, Expr, RangeMode, ValueType, VectorMatching};
use crate::error::PlanError;
use crate::functions::Function;
use crate::span::Span;

/// Most points per series that Prometheus' API answers.
pub const MAX_POINTS_PER_SERIES: u64 = 11_000;

/// Most steps of a query or subquery unless the host says otherwise: one column must at least fit
/// memory.
pub const DEFAULT_MAX_STEPS: u64 = 50_000_000;

/// Longest label value that a query may make unless the host says otherwise, bytes.
pub const DEFAULT_MAX_LABEL_BYTES: usize = 64 << 10;

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
    /// Whether `rate`, `increase`, `irate` and `resets` look at start timestamps, as Prometheus'
    /// feature flag `use-start-timestamps` makes them.
    pub start_timestamps: bool,
    /// Most steps of each of its subqueries.
    pub max_subquery_steps: u64,
    /// Longest label value that `label_replace`, `label_join` and the like may make, bytes.
    pub max_label_bytes: usize,
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
            start_timestamps: false,
            max_subquery_steps: DEFAULT_MAX_STEPS,
            max_label_bytes: DEFAULT_MAX_LABEL_BYTES,
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
        let points = self.points();
        if points > limit.saturating_add(1) {
            return Err(PlanError::TooManyPoints { limit, points });
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
        self.check_points(DEFAULT_MAX_STEPS)
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
    /// Parts that occur more than once, each before the parts that use it.
    pub(crate) shared: Vec<SharedNode>,
    /// Number of operators; their ids are below it.
    pub(crate) nodes: usize,
    selects: Vec<SeriesSelect>,
}

impl Plan {
    /// Plans an expression.
    pub fn new(expr: &Expr, params: EvalParams) -> Result<Plan, PlanError> {
        Self::build(expr, params, true)
    }

    /// Plans an expression just as it is written: every selector is fetched for itself, nothing is
    /// shared. For tests and measurements; the answer is the same.
    pub fn as_written(expr: &Expr, params: EvalParams) -> Result<Plan, PlanError> {
        Self::build(expr, params, false)
    }

    fn build(expr: &Expr, params: EvalParams, share: bool) -> Result<Plan, PlanError> {
        params.validate()?;
        let value_type = expr.value_type();
        let fits = matches!(value_type, ValueType::Scalar | ValueType::Vector);
        if params.is_range() && !fits {
            return Err(PlanError::NotForRangeQuery(value_type.describe()));
        }
        let mut lowering = lower::Lowering::new(params);
        let mut root = lowering.lower(expr, params.grid())?;
        if !share {
            let nodes = number(&mut root, 0);
            let selects = lowering.selects;
            return Ok(Plan { root, params, value_type, shared: Vec::new(), nodes, selects });
        }
        let selects = fetch::merge(&mut root, lowering.selects);
        let count = number(&mut root, 0);
        let mut shared = share::share(&mut root, count, params.grid());
        let nodes = shared.iter_mut().fold(0, |next, part| number(&mut part.node, next));
        let nodes = number(&mut root, nodes);
        Ok(Plan { root, params, value_type, shared, nodes, selects })
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

/// Numbers a tree from `next` on; returns the next number.
fn number(node: &mut Node, next: usize) -> usize {
    node.id = next;
    node.children_mut().into_iter().fold(next + 1, |next, child| number(child, next))
}

/// An operator of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its place in profiles, set once the plan stands.
    pub(crate) id: usize,
    pub(crate) span: Span,
    /// Whether its value is the same at every step.
    pub(crate) invariant: bool,
    pub(crate) kind: NodeKind,
}

/// A part that several operators use: computed once per grid.
#[derive(Clone, Debug)]
pub(crate) struct SharedNode {
    pub(crate) node: Node,
    pub(crate) uses: usize,
}

/// The series of one fetch, or those of them that satisfy some more conditions.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) select: usize,
    pub(crate) filter: Vec<LabelMatcher>,
}

impl Node {
    pub(crate) fn new(span: Span, invariant: bool, kind: NodeKind) -> Self {
        Self { id: 0, span, invariant, kind }
    }

    /// The operators directly below.
    pub(crate) fn children(&self) -> Vec<&Node> {
        match &self.kind {
            NodeKind::Number(_)
            | NodeKind::Text { .. }
            | NodeKind::Instant(_)
            | NodeKind::SampleTime(_)
            | NodeKind::SampleStart(_)
            | NodeKind::Shared { .. } => Vec::new(),
            NodeKind::Range(range) => match &range.source {
                RangeSource::Series(_) => Vec::new(),
                RangeSource::Subquery { node, .. } => vec![node],
            },
            NodeKind::Call { args, .. } => args.iter().collect(),
            NodeKind::Absent { arg, .. } => vec![arg],
            NodeKind::Info(info) => vec![&info.base],
            NodeKind::Aggregate(node) => node.param.iter().chain([&node.expr]).collect(),
            NodeKind::Binary(node) => vec![&node.lhs, &node.rhs],
            NodeKind::Negate(inner) => vec![inner],
        }
    }

    /// See [`Node::children`].
    pub(crate) fn children_mut(&mut self) -> Vec<&mut Node> {
        match &mut self.kind {
            NodeKind::Number(_)
            | NodeKind::Text { .. }
            | NodeKind::Instant(_)
            | NodeKind::SampleTime(_)
            | NodeKind::SampleStart(_)
            | NodeKind::Shared { .. } => Vec::new(),
            NodeKind::Range(range) => match &mut range.source {
                RangeSource::Series(_) => Vec::new(),
                RangeSource::Subquery { node, .. } => vec![node],
            },
            NodeKind::Call { args, .. } => args.iter_mut().collect(),
            NodeKind::Absent { arg, .. } => vec![arg],
            NodeKind::Info(info) => vec![&mut info.base],
            NodeKind::Aggregate(node) => {
                let AggregateNode { param, expr, .. } = &mut **node;
                param.iter_mut().chain([expr]).collect()
            }
            NodeKind::Binary(node) => {
                let BinaryNode { lhs, rhs, .. } = &mut **node;
                vec![lhs, rhs]
            }
            NodeKind::Negate(inner) => vec![inner],
        }
    }

    /// Where it reads series itself, not through operators below.
    pub(crate) fn source_mut(&mut self) -> Option<&mut Source> {
        match &mut self.kind {
            NodeKind::Instant(leaf) | NodeKind::SampleTime(leaf) | NodeKind::SampleStart(leaf) => {
                Some(&mut leaf.source)
            }
            NodeKind::Info(info) => Some(&mut info.info.source),
            NodeKind::Range(range) => match &mut range.source {
                RangeSource::Series(source) => Some(source),
                RangeSource::Subquery { .. } => None,
            },
            _ => None,
        }
    }

    /// See [`Node::source_mut`].
    pub(crate) fn source(&self) -> Option<&Source> {
        match &self.kind {
            NodeKind::Instant(leaf) | NodeKind::SampleTime(leaf) | NodeKind::SampleStart(leaf) => {
                Some(&leaf.source)
            }
            NodeKind::Info(info) => Some(&info.info.source),
            NodeKind::Range(range) => match &range.source {
                RangeSource::Series(source) => Some(source),
                RangeSource::Subquery { .. } => None,
            },
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    /// The value of a shared part, or those of its series that satisfy some conditions.
    Shared {
        slot: usize,
        filter: Vec<LabelMatcher>,
    },
    Number(f64),
    Text {
        value: String,
        invalid: Option<Box<[u8]>>,
    },
    /// An instant selector.
    Instant(Leaf),
    /// `timestamp(selector)`: the times of the samples selected.
    SampleTime(Leaf),
    /// `start_timestamp(selector)`: since when the samples selected have been counted.
    SampleStart(Leaf),
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
    pub(crate) source: Source,
    pub(crate) shift: Shift,
    /// `smoothed` instant selectors interpolate.
    pub(crate) smoothed: bool,
    pub(crate) resets: Resets,
}

/// What histograms read are to say of counter resets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Resets {
    /// What they said when they were stored.
    #[default]
    Stored,
    /// Where they said nothing, what comparing them to the one before shows. Prometheus does so
    /// where only counts and sums are wanted, since it drops the buckets there; then resets that
    /// contradict each other are found, and remarked on.
    Compared,
}

#[derive(Clone, Debug)]
pub(crate) struct RangeNode {
    pub(crate) source: RangeSource,
    pub(crate) range_ms: i64,
    pub(crate) shift: Shift,
    pub(crate) mode: Option<RangeMode>,
    pub(crate) resets: Resets,
}

#[derive(Clone, Debug)]
pub(crate) enum RangeSource {
    Series(Source),
    Subquery { node: Node, step_ms: i64 },
}

#[derive(Clone, Debug)]
pub(crate) struct InfoNode {
    pub(crate) base: Node,
    /// The info series.
    pub(crate) info: Leaf,
    /// Conditions on the info series' names.
    pub(crate) name_matchers: Vec<LabelMatcher>,
    /// Conditions on data labels.
    pub(crate) data_matchers: Vec<LabelMatcher>,
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
