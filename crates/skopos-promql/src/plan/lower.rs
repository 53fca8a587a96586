//! Lowers syntax to operators.

mod calls;
mod wanted;

use skopos_model::storage::{Projection, SelectHints, SeriesSelect};
use skopos_model::{LabelMatcher, METRIC_NAME, MatchOp};

use self::calls::{absent_labels, depends_on_time, folded, keeps_labels};
use self::wanted::Wanted;
use super::*;
use crate::ast::{
    Aggregate, AtModifier, Binary, Call, DurationExpr, ExprKind, Subquery, VectorSelector,
};
use crate::functions::{FunctionKind, QueryConstant};

/// Deepest tree lowered; the parser's bound with room for chains of operators.
const MAX_DEPTH: usize = 2_000;

pub(super) struct Lowering {
    params: EvalParams,
    pub(super) selects: Vec<SeriesSelect>,
    /// The innermost function or aggregation around, for hints.
    func: String,
    /// The labels that matter for what is being lowered, where only some do.
    projection: Option<Projection>,
    wanted: Wanted,
    depth: usize,
}

impl Lowering {
    pub(super) fn new(params: EvalParams) -> Self {
        Self {
            params,
            selects: Vec::new(),
            func: String::new(),
            projection: None,
            wanted: Wanted::default(),
            depth: 0,
        }
    }

    pub(super) fn lower(&mut self, expr: &Expr, grid: Grid) -> Result<Node, PlanError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PlanError::TooDeep { limit: MAX_DEPTH, span: expr.span });
        }
        let node = self.lower_kind(expr, grid);
        self.depth -= 1;
        node
    }

    fn lower_kind(&mut self, expr: &Expr, grid: Grid) -> Result<Node, PlanError> {
        let span = expr.span;
        let constant = |kind| Ok(Node::new(span, true, kind));
        match &expr.kind {
            ExprKind::Paren(inner) => self.lower(inner, grid),
            ExprKind::Number(number) => constant(NodeKind::Number(number.value)),
            ExprKind::String(text) => constant(NodeKind::Text {
                value: text.value.clone(),
                invalid: text.invalid.clone(),
            }),
            ExprKind::Vector(selector) => {
                let leaf = self.leaf(selector, grid)?;
                let invariant = leaf.shift.at_ms.is_some();
                Ok(Node::new(span, invariant, NodeKind::Instant(leaf)))
            }
            ExprKind::Matrix { selector, range } => self.matrix(span, selector, range, grid),
            ExprKind::Subquery(subquery) => self.subquery(span, subquery, grid),
            ExprKind::Call(call) => self.call(span, call, grid),
            ExprKind::Aggregate(aggregate) => self.aggregate(span, aggregate, grid),
            ExprKind::Binary(binary) => self.binary(span, binary, grid),
            ExprKind::Unary { negative: false, expr } => self.lower(expr, grid),
            ExprKind::Unary { expr, .. } => {
                let node = self.lower(expr, grid)?;
                if let NodeKind::Number(value) = node.kind {
                    return constant(NodeKind::Number(-value));
                }
                let invariant = node.invariant;
                Ok(Node::new(span, invariant, NodeKind::Negate(Box::new(node))))
            }
        }
    }

    fn duration(&self, expr: &DurationExpr, what: &'static str) -> Result<i64, PlanError> {
        let step = self.params.step_ms as f64 / 1000.0;
        let range = (self.params.end_ms - self.params.start_ms) as f64 / 1000.0;
        let seconds = expr.seconds(step, range);
        let ms = (seconds * 1000.0).round();
        // Bounded as Prometheus' nanosecond durations are, so that sums of times cannot overflow.
        if !ms.is_finite() || ms.abs() > (i64::MAX / 1_000_000) as f64 {
            let need = "a finite number of seconds below 292 years";
            return Err(PlanError::BadDuration { what, need, got: seconds, span: expr.span });
        }
        Ok(ms as i64)
    }

    fn positive(&self, expr: &DurationExpr, what: &'static str) -> Result<i64, PlanError> {
        let ms = self.duration(expr, what)?;
        if ms <= 0 {
            let got = ms as f64 / 1000.0;
            let need = "greater than 0";
            return Err(PlanError::BadDuration { what, need, got, span: expr.span });
        }
        Ok(ms)
    }

    fn shift(
        &self,
        offset: &Option<DurationExpr>,
        at: &Option<AtModifier>,
    ) -> Result<Shift, PlanError> {
        let offset_ms = match offset {
            Some(offset) => self.duration(offset, "offset")?,
            None => 0,
        };
        let at_ms = at.map(|at| match at {
            AtModifier::Time(ms) => ms,
            AtModifier::Start => self.params.start_ms,
            AtModifier::End => self.params.end_ms,
        });
        Ok(Shift { offset_ms, at_ms })
    }

    fn select(
        &mut self,
        matchers: &[LabelMatcher],
        (start_ms, end_ms): (i64, i64),
        range_ms: i64,
    ) -> Source {
        let hints = SelectHints {
            step_ms: self.params.step_ms,
            func: self.func.clone(),
            range_ms,
            projection: self.projection.clone(),
        };
        let select = SeriesSelect { matchers: matchers.to_vec(), start_ms, end_ms, hints };
        self.selects.push(select);
        Source { select: self.selects.len() - 1, filter: Vec::new() }
    }

    fn leaf(&mut self, selector: &VectorSelector, grid: Grid) -> Result<Leaf, PlanError> {
        let shift = self.shift(&selector.offset, &selector.at)?;
        let smoothed = selector.mode.is_some();
        let (first, last) = shift.bounds(&grid);
        let lookback = self.params.lookback_ms;
        let ahead = if smoothed { lookback } else { 0 };
        let bounds = (first - lookback + 1, last + ahead);
        let source = self.select(&selector.matchers, bounds, 0);
        Ok(Leaf { source, shift, smoothed, resets: self.wanted.resets() })
    }

    fn matrix(
        &mut self,
        span: Span,
        selector: &VectorSelector,
        range: &DurationExpr,
        grid: Grid,
    ) -> Result<Node, PlanError> {
        let range_ms = self.positive(range, "range")?;
        let shift = self.shift(&selector.offset, &selector.at)?;
        let (first, last) = shift.bounds(&grid);
        let lookback = self.params.lookback_ms;
        let (before, after) = match selector.mode {
            None => (0, 0),
            Some(RangeMode::Anchored) => (lookback, 0),
            Some(RangeMode::Smoothed) => (lookback, lookback),
        };
        let bounds = (first - range_ms - before + 1, last + after);
        let source = RangeSource::Series(self.select(&selector.matchers, bounds, range_ms));
        let resets = self.wanted.resets_of_range(&self.func);
        let range = RangeNode { source, range_ms, shift, mode: selector.mode, resets };
        let invariant = shift.at_ms.is_some();
        Ok(Node::new(span, invariant, NodeKind::Range(Box::new(range))))
    }

    fn subquery(&mut self, span: Span, subquery: &Subquery, grid: Grid) -> Result<Node, PlanError> {
        let range_ms = self.positive(&subquery.range, "range")?;
        let step_ms = match &subquery.step {
            Some(step) => self.positive(step, "step")?,
            None => self.params.subquery_step_ms.max(1),
        };
        let shift = self.shift(&subquery.offset, &subquery.at)?;
        let inner_grid = grid.subquery(shift, range_ms, step_ms);
        let (steps, limit) = (inner_grid.steps as u64, self.params.max_subquery_steps);
        if steps > limit {
            return Err(PlanError::SubqueryTooLong { steps, limit, span });
        }
        let wanted = self.wanted;
        self.wanted = wanted.by_subquery();
        let node = self.lower(&subquery.expr, inner_grid)?;
        self.wanted = wanted;
        let source = RangeSource::Subquery { node, step_ms };
        let resets = Resets::Stored;
        let range = RangeNode { source, range_ms, shift, mode: None, resets };
        let invariant = shift.at_ms.is_some();
        Ok(Node::new(span, invariant, NodeKind::Range(Box::new(range))))
    }

    fn within<T>(
        &mut self,
        func: &str,
        lower: impl FnOnce(&mut Self) -> Result<T, PlanError>,
    ) -> Result<T, PlanError> {
        let outer = std::mem::replace(&mut self.func, func.to_owned());
        let result = lower(self);
        self.func = outer;
        result
    }

    /// Lowers what stands below an operator for which only `projection`'s labels matter.
    fn projected<T>(
        &mut self,
        projection: Option<Projection>,
        lower: impl FnOnce(&mut Self) -> Result<T, PlanError>,
    ) -> Result<T, PlanError> {
        let outer = std::mem::replace(&mut self.projection, projection);
        let result = lower(self);
        self.projection = outer;
        result
    }

    fn call(&mut self, span: Span, call: &Call, grid: Grid) -> Result<Node, PlanError> {
        let func = call.func;
        let constant = |value| Ok(Node::new(span, true, NodeKind::Number(value)));
        match func.kind {
            FunctionKind::Pi => return constant(std::f64::consts::PI),
            FunctionKind::QueryConstant(which) => {
                let params = &self.params;
                let ms = match which {
                    QueryConstant::Start => params.start_ms,
                    QueryConstant::End => params.end_ms,
                    QueryConstant::Step => params.step_ms,
                    QueryConstant::Range => params.end_ms - params.start_ms,
                };
                return constant(ms as f64 / 1000.0);
            }
            _ => {}
        }
        let projection = if keeps_labels(func.kind) { self.projection.clone() } else { None };
        let lower = |this: &mut Self| match func.kind {
            FunctionKind::Timestamp | FunctionKind::StartTimestamp => {
                this.timestamp(span, call, grid)
            }
            FunctionKind::Absent | FunctionKind::AbsentOverTime => {
                let arg = this.lower(&call.args[0], grid)?;
                let labels = absent_labels(&call.args[0]);
                let invariant = arg.invariant;
                Ok(Node::new(span, invariant, NodeKind::Absent { labels, arg: Box::new(arg) }))
            }
            FunctionKind::Info => this.info(span, call, grid),
            _ => {
                let args = call
                    .args
                    .iter()
                    .map(|arg| this.lower(arg, grid))
                    .collect::<Result<Vec<_>, _>>()?;
                if let Some(value) = folded(func.kind, &args) {
                    return constant(value);
                }
                let invariant = !depends_on_time(func.kind) && args.iter().all(|arg| arg.invariant);
                Ok(Node::new(span, invariant, NodeKind::Call { func, args }))
            }
        };
        let wanted = self.wanted;
        self.wanted = wanted.by_call(func.kind);
        let node = self.within(func.name, |this| this.projected(projection, lower));
        self.wanted = wanted;
        node
    }

    fn timestamp(&mut self, span: Span, call: &Call, grid: Grid) -> Result<Node, PlanError> {
        let arg = &call.args[0];
        if let ExprKind::Vector(selector) = &arg.unparenthesised().kind {
            let leaf = self.leaf(selector, grid)?;
            let invariant = leaf.shift.at_ms.is_some();
            let kind = match call.func.kind {
                FunctionKind::StartTimestamp => NodeKind::SampleStart(leaf),
                _ => NodeKind::SampleTime(leaf),
            };
            return Ok(Node::new(span, invariant, kind));
        }
        let args = vec![self.lower(arg, grid)?];
        Ok(Node::new(span, false, NodeKind::Call { func: call.func, args }))
    }

    fn info(&mut self, span: Span, call: &Call, grid: Grid) -> Result<Node, PlanError> {
        let base = self.lower(&call.args[0], grid)?;
        let shift = self.reference_shift(&call.args[0], Shift::default())?.unwrap_or_default();
        let given = match call.args.get(1).map(|arg| &arg.unparenthesised().kind) {
            Some(ExprKind::Vector(selector)) => selector.matchers.as_slice(),
            _ => &[],
        };
        let (mut name_matchers, data_matchers): (Vec<_>, Vec<_>) =
            given.iter().cloned().partition(|m| m.name() == METRIC_NAME);
        let is_positive = |m: &LabelMatcher| matches!(m.op(), MatchOp::Equal | MatchOp::Regex);
        if name_matchers.is_empty() {
            name_matchers.push(LabelMatcher::equal(METRIC_NAME, "target_info"));
        } else if !name_matchers.iter().any(is_positive)
            && let Ok(any_info) = LabelMatcher::new(METRIC_NAME, MatchOp::Regex, ".+_info")
        {
            name_matchers.push(any_info);
        }
        let matchers: Vec<_> = name_matchers.iter().chain(&data_matchers).cloned().collect();
        let (first, last) = shift.bounds(&grid);
        let bounds = (first - self.params.lookback_ms + 1, last);
        let info = Leaf {
            source: self.select(&matchers, bounds, 0),
            shift,
            smoothed: false,
            resets: Resets::Stored,
        };
        let invariant = base.invariant;
        let node = InfoNode { base, info, name_matchers, data_matchers };
        Ok(Node::new(span, invariant, NodeKind::Info(Box::new(node))))
    }

    /// When the first selector below `expr` looks, in terms of the evaluation time: `info` joins
    /// the info series of that time.
    fn reference_shift(&self, expr: &Expr, outer: Shift) -> Result<Option<Shift>, PlanError> {
        let inner = match &expr.kind {
            ExprKind::Vector(s) | ExprKind::Matrix { selector: s, .. } => {
                self.shift(&s.offset, &s.at)?
            }
            ExprKind::Subquery(subquery) => self.shift(&subquery.offset, &subquery.at)?,
            _ => Shift::default(),
        };
        let here = match inner.at_ms {
            Some(_) => inner,
            None => Shift { offset_ms: outer.offset_ms + inner.offset_ms, at_ms: outer.at_ms },
        };
        if matches!(expr.kind, ExprKind::Vector(_) | ExprKind::Matrix { .. }) {
            return Ok(Some(here));
        }
        for child in expr.children() {
            if let Some(found) = self.reference_shift(child, here)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn aggregate(
        &mut self,
        span: Span,
        aggregate: &Aggregate,
        grid: Grid,
    ) -> Result<Node, PlanError> {
        let picks_members = matches!(
            aggregate.op,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::Limitk
                | AggregateOp::LimitRatio
        );
        let projection = (!picks_members).then(|| Projection {
            labels: aggregate.grouping.clone(),
            include: !aggregate.without,
        });
        let wanted = self.wanted;
        self.wanted = wanted.by_aggregate(aggregate.op);
        let lowered = self.within(aggregate.op.as_str(), |this| {
            let param = match &aggregate.param {
                Some(param) => Some(this.projected(None, |this| this.lower(param, grid))?),
                None => None,
            };
            let expr = this.projected(projection, |this| this.lower(&aggregate.expr, grid))?;
            Ok((param, expr))
        });
        self.wanted = wanted;
        let (param, expr) = lowered?;
        let invariant = expr.invariant && param.as_ref().is_none_or(|p| p.invariant);
        let node = AggregateNode {
            op: aggregate.op,
            without: aggregate.without,
            grouping: aggregate.grouping.clone(),
            param,
            expr,
        };
        Ok(Node::new(span, invariant, NodeKind::Aggregate(Box::new(node))))
    }

    fn binary(&mut self, span: Span, binary: &Binary, grid: Grid) -> Result<Node, PlanError> {
        let scalars = (
            binary.lhs.value_type() == ValueType::Scalar,
            binary.rhs.value_type() == ValueType::Scalar,
        );
        let (func, projection) = (std::mem::take(&mut self.func), self.projection.take());
        // Between two vectors the labels decide who meets whom.
        if scalars.0 || scalars.1 {
            self.projection = projection.clone();
        }
        let wanted = self.wanted;
        self.wanted = wanted.by_operator(binary.op);
        // No closures here: chains of operators are long, and each level costs stack.
        let lhs = self.lower(&binary.lhs, grid)?;
        let rhs = self.lower(&binary.rhs, grid)?;
        (self.func, self.projection) = (func, projection);
        self.wanted = wanted;
        Ok(binary_node(span, binary, lhs, rhs, scalars))
    }
}

#[inline(never)]
fn binary_node(span: Span, binary: &Binary, lhs: Node, rhs: Node, scalars: (bool, bool)) -> Node {
    if let (NodeKind::Number(a), NodeKind::Number(b)) = (&lhs.kind, &rhs.kind) {
        return Node::new(span, true, NodeKind::Number(binary.op.arithmetic(*a, *b)));
    }
    let invariant = lhs.invariant && rhs.invariant;
    let node = BinaryNode {
        op: binary.op,
        lhs,
        rhs,
        return_bool: binary.return_bool,
        matching: binary.matching.clone(),
        scalars,
    };
    Node::new(span, invariant, NodeKind::Binary(Box::new(node)))
}
