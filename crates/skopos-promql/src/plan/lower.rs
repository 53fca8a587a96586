//! Lowers syntax to operators.

use skopos_model::storage::{SelectHints, SeriesSelect};
use skopos_model::{LabelMatcher, LabelsBuilder, METRIC_NAME, MatchOp};

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
    depth: usize,
}

impl Lowering {
    pub(super) fn new(params: EvalParams) -> Self {
        Self { params, selects: Vec::new(), func: String::new(), depth: 0 }
    }

    pub(super) fn lower(&mut self, expr: &Expr, grid: Grid) -> Result<Node, PlanError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PlanError::TooDeep);
        }
        let node = self.lower_kind(expr, grid);
        self.depth -= 1;
        node
    }

    fn lower_kind(&mut self, expr: &Expr, grid: Grid) -> Result<Node, PlanError> {
        let span = expr.span;
        let constant = |kind| Ok(Node { span, invariant: true, kind });
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
                Ok(Node { span, invariant, kind: NodeKind::Instant(leaf) })
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
                Ok(Node { span, invariant, kind: NodeKind::Negate(Box::new(node)) })
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
    ) -> usize {
        let hints = SelectHints { step_ms: self.params.step_ms, func: self.func.clone(), range_ms };
        let select = SeriesSelect { matchers: matchers.to_vec(), start_ms, end_ms, hints };
        match self.selects.iter().position(|s| *s == select) {
            Some(at) => at,
            None => {
                self.selects.push(select);
                self.selects.len() - 1
            }
        }
    }

    fn leaf(&mut self, selector: &VectorSelector, grid: Grid) -> Result<Leaf, PlanError> {
        let shift = self.shift(&selector.offset, &selector.at)?;
        let smoothed = selector.mode.is_some();
        let (first, last) = shift.bounds(&grid);
        let lookback = self.params.lookback_ms;
        let ahead = if smoothed { lookback } else { 0 };
        let select = self.select(&selector.matchers, (first - lookback + 1, last + ahead), 0);
        Ok(Leaf { select, shift, smoothed })
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
        let select = self.select(&selector.matchers, bounds, range_ms);
        let source = RangeSource::Series { select };
        let range = RangeNode { source, range_ms, shift, mode: selector.mode };
        let invariant = shift.at_ms.is_some();
        Ok(Node { span, invariant, kind: NodeKind::Range(Box::new(range)) })
    }

    fn subquery(&mut self, span: Span, subquery: &Subquery, grid: Grid) -> Result<Node, PlanError> {
        let range_ms = self.positive(&subquery.range, "range")?;
        let step_ms = match &subquery.step {
            Some(step) => self.positive(step, "step")?,
            None => self.params.subquery_step_ms.max(1),
        };
        let shift = self.shift(&subquery.offset, &subquery.at)?;
        let inner_grid = grid.subquery(shift, range_ms, step_ms);
        if inner_grid.steps as u64 > MAX_STEPS {
            return Err(PlanError::TooManyPoints { limit: MAX_STEPS });
        }
        let node = self.lower(&subquery.expr, inner_grid)?;
        let source = RangeSource::Subquery { node, step_ms };
        let range = RangeNode { source, range_ms, shift, mode: None };
        let invariant = shift.at_ms.is_some();
        Ok(Node { span, invariant, kind: NodeKind::Range(Box::new(range)) })
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

    fn call(&mut self, span: Span, call: &Call, grid: Grid) -> Result<Node, PlanError> {
        let func = call.func;
        let constant = |value| Ok(Node { span, invariant: true, kind: NodeKind::Number(value) });
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
        self.within(func.name, |this| match func.kind {
            FunctionKind::Timestamp => this.timestamp(span, call, grid),
            FunctionKind::Absent | FunctionKind::AbsentOverTime => {
                let arg = this.lower(&call.args[0], grid)?;
                let labels = absent_labels(&call.args[0]);
                let invariant = arg.invariant;
                Ok(Node { span, invariant, kind: NodeKind::Absent { labels, arg: Box::new(arg) } })
            }
            FunctionKind::Info => this.info(span, call, grid),
            _ => {
                let args = call
                    .args
                    .iter()
                    .map(|arg| this.lower(arg, grid))
                    .collect::<Result<Vec<_>, _>>()?;
                let invariant = !depends_on_time(func.kind) && args.iter().all(|arg| arg.invariant);
                Ok(Node { span, invariant, kind: NodeKind::Call { func, args } })
            }
        })
    }

    fn timestamp(&mut self, span: Span, call: &Call, grid: Grid) -> Result<Node, PlanError> {
        let arg = &call.args[0];
        if let ExprKind::Vector(selector) = &arg.unparenthesised().kind {
            let leaf = self.leaf(selector, grid)?;
            let invariant = leaf.shift.at_ms.is_some();
            return Ok(Node { span, invariant, kind: NodeKind::SampleTime(leaf) });
        }
        let args = vec![self.lower(arg, grid)?];
        Ok(Node { span, invariant: false, kind: NodeKind::Call { func: call.func, args } })
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
        let select = self.select(&matchers, (first - self.params.lookback_ms + 1, last), 0);
        let info = Leaf { select, shift, smoothed: false };
        let invariant = base.invariant;
        let node = InfoNode { base, info, name_matchers, data_matchers };
        Ok(Node { span, invariant, kind: NodeKind::Info(Box::new(node)) })
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
        let (param, expr) = self.within(aggregate.op.as_str(), |this| {
            let param = match &aggregate.param {
                Some(param) => Some(this.lower(param, grid)?),
                None => None,
            };
            Ok((param, this.lower(&aggregate.expr, grid)?))
        })?;
        let invariant = expr.invariant && param.as_ref().is_none_or(|p| p.invariant);
        let node = AggregateNode {
            op: aggregate.op,
            without: aggregate.without,
            grouping: aggregate.grouping.clone(),
            param,
            expr,
        };
        Ok(Node { span, invariant, kind: NodeKind::Aggregate(Box::new(node)) })
    }

    fn binary(&mut self, span: Span, binary: &Binary, grid: Grid) -> Result<Node, PlanError> {
        let (lhs, rhs) = self.within("", |this| {
            Ok((this.lower(&binary.lhs, grid)?, this.lower(&binary.rhs, grid)?))
        })?;
        if let (NodeKind::Number(a), NodeKind::Number(b)) = (&lhs.kind, &rhs.kind) {
            let kind = NodeKind::Number(binary.op.arithmetic(*a, *b));
            return Ok(Node { span, invariant: true, kind });
        }
        let invariant = lhs.invariant && rhs.invariant;
        let scalars = (
            binary.lhs.value_type() == ValueType::Scalar,
            binary.rhs.value_type() == ValueType::Scalar,
        );
        let node = BinaryNode {
            op: binary.op,
            lhs,
            rhs,
            return_bool: binary.return_bool,
            matching: binary.matching.clone(),
            scalars,
        };
        Ok(Node { span, invariant, kind: NodeKind::Binary(Box::new(node)) })
    }
}

/// Functions whose value changes with the evaluation time though their arguments may not.
fn depends_on_time(kind: FunctionKind) -> bool {
    matches!(
        kind,
        FunctionKind::Time
            | FunctionKind::Timestamp
            | FunctionKind::Date(_)
            | FunctionKind::Range(crate::functions::RangeFn::PredictLinear)
    )
}

/// The labels of `absent`'s result: those that the selector fixes by one `=` and nothing else.
fn absent_labels(arg: &Expr) -> skopos_model::Labels {
    let selector = match &arg.unparenthesised().kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => selector,
        _ => return skopos_model::Labels::empty(),
    };
    let mut labels = LabelsBuilder::default();
    for matcher in selector.matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        let mentions = selector.matchers.iter().filter(|m| m.name() == matcher.name()).count();
        if matcher.op() == MatchOp::Equal && mentions == 1 {
            labels.set(matcher.name(), matcher.value());
        }
    }
    labels.build()
}
