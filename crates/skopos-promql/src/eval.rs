//! The evaluator: series-major, synchronous, pure.
//!
//! Every operator works on whole series over all steps ([`Block`]); only joins, `topk` and the
//! like look across series step by step. An instant query is a range query of one step. Parts of
//! the plan that do not change from step to step are computed once and repeated.

mod aggregate;
mod binary;
mod call;
mod charge;
mod classic;
mod counted;
mod dates;
mod extended;
mod info;
mod join;
mod kernels;
mod key;
mod labels;
mod math;
mod parallel;
mod range;
mod rank;
mod select;
mod sliding;
mod sort;
mod starts;

pub(crate) use math::KahanSum;

use std::collections::HashMap;

use skopos_model::storage::{QueryBudget, SeriesSet};
use skopos_model::{Clock, LabelMatcher, Labels, METRIC_NAME, Sample, SampleValue};

use self::counted::{Apart, Counted};
use self::select::Reads;
use crate::annotations::{Annotations, Remark};
use crate::ast::ValueType;
use crate::error::EvalError;
use crate::plan::explain::{Cost, Profile};
use crate::plan::{EvalParams, Grid, Node, NodeKind, Plan, SharedNode};
use crate::span::Span;
use crate::value::{
    Bitmap, Block, Column, MatrixSeries, QueryResult, QueryStats, Value, VectorSample,
};

/// Evaluates a plan on the data its [`selects`](Plan::selects) asked for, in the same order.
///
/// Samples are charged to the budget as they are decoded, columns as they are made; deadline and
/// cancellation are looked at for every series. Large queries use several threads; the answer does
/// not depend on how many.
pub fn evaluate(
    plan: &Plan,
    data: Vec<SeriesSet>,
    budget: &QueryBudget,
) -> Result<QueryResult, EvalError> {
    evaluate_with(plan, &data, budget, Execution::default()).map(|(result, _)| result)
}

/// How to evaluate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Execution<'a> {
    /// Most threads to use, whatever there is to do; `None` for as many as the machine has, up to
    /// eight, where there is enough to do.
    pub workers: Option<usize>,
    /// Measures what each operator costs by this clock.
    pub clock: Option<&'a dyn Clock>,
    /// Counts what the query looks at ([`QueryStats::queryable`]). Parts that a plan shares count
    /// once, so plan with [`Plan::as_written`] to count as Prometheus does.
    pub count_samples: bool,
}

/// Like [`evaluate`], with a say in how. The profile is empty unless a clock is given;
/// [`Plan::explain`] shows it.
pub fn evaluate_with(
    plan: &Plan,
    data: &[SeriesSet],
    budget: &QueryBudget,
    execution: Execution<'_>,
) -> Result<(QueryResult, Profile), EvalError> {
    if data.len() != plan.selects().len() {
        let (wanted, given) = (plan.selects().len(), data.len());
        return Err(EvalError::WrongData { wanted, given });
    }
    budget.check()?;
    let grid = plan.params.grid();
    let mut evaluator = Evaluator {
        params: plan.params,
        data,
        shared: &plan.shared,
        budget,
        annotations: Annotations::default(),
        stats: QueryStats::default(),
        cache: plan.shared.iter().map(|_| None).collect(),
        profile: execution.clock.map(|clock| Profiler::new(clock, plan.nodes)),
        workers: execution.workers.unwrap_or_else(parallel::default_workers),
        min_work: if execution.workers.is_some() { 0 } else { parallel::MIN_WORK },
        counted: execution.count_samples.then(|| Counted::new(grid.steps)),
    };
    evaluator.stats.steps = grid.steps as u64;
    let value = evaluator.finish(plan, grid)?;
    evaluator.stats.queryable = evaluator.counted.take().map(|c| c.finish(grid));
    let profile = evaluator.profile.map(|p| p.profile).unwrap_or_default();
    let (annotations, stats) = (evaluator.annotations, evaluator.stats);
    Ok((QueryResult { value, annotations, stats }, profile))
}

struct Evaluator<'a> {
    params: EvalParams,
    data: &'a [SeriesSet],
    shared: &'a [SharedNode],
    budget: &'a QueryBudget,
    annotations: Annotations,
    stats: QueryStats,
    /// By slot: what shared parts came to.
    cache: Vec<Option<Shared>>,
    profile: Option<Profiler<'a>>,
    workers: usize,
    min_work: u64,
    counted: Option<Counted>,
}

/// The value of a shared part on a grid, kept until it was used as often as the plan says.
struct Shared {
    grid: Grid,
    blocks: Vec<Block>,
    uses_left: usize,
}

struct Profiler<'a> {
    clock: &'a dyn Clock,
    profile: Profile,
}

impl<'a> Profiler<'a> {
    fn new(clock: &'a dyn Clock, nodes: usize) -> Self {
        Self { clock, profile: Profile { costs: vec![Cost::default(); nodes] } }
    }
}

impl Evaluator<'_> {
    fn finish(&mut self, plan: &Plan, grid: Grid) -> Result<Value, EvalError> {
        let is_range = self.params.is_range();
        let timestamp_ms = grid.start_ms;
        match plan.value_type {
            ValueType::String => {
                let NodeKind::Text { value, .. } = &plan.root.kind else {
                    return Err(EvalError::execution(plan.root.span, "no string here"));
                };
                Ok(Value::String { timestamp_ms, value: value.clone() })
            }
            ValueType::Scalar => {
                let values = self.scalar(&plan.root, grid)?;
                if !is_range {
                    let value = values.first().copied().unwrap_or(f64::NAN);
                    return Ok(Value::Scalar { timestamp_ms, value });
                }
                let column = Column::full(values);
                let labels = Labels::empty();
                Ok(Value::Matrix(vec![to_series(Block { labels, drop_name: false, column }, grid)]))
            }
            ValueType::Matrix => self.raw_matrix(&plan.root, grid).map(Value::Matrix),
            ValueType::Vector => {
                let blocks = self.vector(&plan.root, grid)?;
                let blocks = self.remove_dropped_names(blocks, plan.root.span)?;
                if !is_range {
                    return Ok(Value::Vector(
                        blocks.into_iter().filter_map(|b| to_sample(b, timestamp_ms)).collect(),
                    ));
                }
                let mut series = Vec::with_capacity(blocks.len());
                for block in blocks.into_iter().filter(|b| b.column.any()) {
                    // Samples take the place of their column.
                    let samples = block.column.present.ones().count() * size_of::<Sample>();
                    self.budget.charge_bytes(samples as u64)?;
                    series.push(to_series(block, grid));
                    self.release(1, grid);
                }
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
                Ok(Value::Matrix(series))
            }
        }
    }

    /// Drops the names that operators marked, where removal was delayed.
    fn remove_dropped_names(
        &mut self,
        mut blocks: Vec<Block>,
        span: Span,
    ) -> Result<Vec<Block>, EvalError> {
        if !blocks.iter().any(|b| b.drop_name) {
            return Ok(blocks);
        }
        for block in blocks.iter_mut().filter(|b| b.drop_name) {
            self.charge_labels(&block.labels)?;
            block.labels = without_identity(&block.labels);
            block.drop_name = false;
        }
        merge_duplicates(blocks, span)
    }

    /// The metric's name goes: at once, or marked for later.
    fn drop_names(&self, mut blocks: Vec<Block>, span: Span) -> Result<Vec<Block>, EvalError> {
        if self.params.delayed_name_removal {
            for block in &mut blocks {
                block.drop_name = true;
            }
            return Ok(blocks);
        }
        // Series that differ in more than the name stay different without it.
        let same_name = blocks.windows(2).all(|pair| {
            let same = |name| pair[0].labels.get(name) == pair[1].labels.get(name);
            IDENTITY.into_iter().all(same)
        });
        for block in &mut blocks {
            self.charge_labels(&block.labels)?;
            block.labels = without_identity(&block.labels);
        }
        if same_name { Ok(blocks) } else { merge_duplicates(blocks, span) }
    }

    fn note(&mut self, remark: Remark<'_>, span: Span) {
        self.annotations.add(remark, span);
    }

    /// A scalar at every step.
    fn scalar(&mut self, node: &Node, grid: Grid) -> Result<Vec<f64>, EvalError> {
        if self.counted.is_some() {
            return self.account_scalar(grid, |this| this.unaccounted_scalar(node, grid));
        }
        self.unaccounted_scalar(node, grid)
    }

    fn unaccounted_scalar(&mut self, node: &Node, grid: Grid) -> Result<Vec<f64>, EvalError> {
        if node.invariant && grid.steps > 1 {
            self.charge(1, grid)?;
            let first =
                self.counted_apart(Apart::Invariant, |this| this.scalar(node, grid.first()))?;
            return Ok(vec![first.first().copied().unwrap_or(f64::NAN); grid.steps]);
        }
        self.charge(1, grid)?;
        match &node.kind {
            NodeKind::Number(value) => Ok(vec![*value; grid.steps]),
            NodeKind::Negate(inner) => {
                Ok(self.scalar(inner, grid)?.into_iter().map(|v| -v).collect())
            }
            NodeKind::Binary(binary) => {
                let lhs = self.scalar(&binary.lhs, grid)?;
                let rhs = self.scalar(&binary.rhs, grid)?;
                Ok(lhs.iter().zip(&rhs).map(|(a, b)| binary.op.arithmetic(*a, *b)).collect())
            }
            NodeKind::Call { func, args } => self.scalar_call(node.span, func, args, grid),
            _ => Err(EvalError::execution(node.span, "expected a scalar")),
        }
    }

    /// An instant vector at every step.
    fn vector(&mut self, node: &Node, grid: Grid) -> Result<Vec<Block>, EvalError> {
        if self.counted.is_some() {
            return self.account(node, grid, |this| this.measured_vector(node, grid));
        }
        if self.profile.is_some() {
            return self.measured_vector(node, grid);
        }
        self.unmeasured_vector(node, grid)
    }

    #[inline(never)]
    fn measured_vector(&mut self, node: &Node, grid: Grid) -> Result<Vec<Block>, EvalError> {
        let Some(profiler) = &self.profile else { return self.unmeasured_vector(node, grid) };
        let (began, samples) = (profiler.clock.monotonic(), self.stats.samples);
        let result = self.unmeasured_vector(node, grid);
        let samples = self.stats.samples - samples;
        if let Some(profiler) = &mut self.profile
            && let Some(cost) = profiler.profile.costs.get_mut(node.id)
        {
            cost.time += profiler.clock.monotonic().saturating_sub(began);
            cost.samples += samples;
            cost.series += result.as_ref().map_or(0, |blocks| blocks.len() as u64);
            cost.calls += 1;
        }
        result
    }

    /// What several operators use: computed for the first, kept for the others.
    #[inline(never)]
    fn shared_part(
        &mut self,
        slot: usize,
        filter: &[LabelMatcher],
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let Some(shared) = self.shared.get(slot) else { return Ok(Vec::new()) };
        let known = matches!(self.cache.get(slot), Some(Some(s)) if s.grid == grid);
        if !known {
            let blocks = self.vector(&shared.node, grid)?;
            self.cache[slot] = Some(Shared { grid, blocks, uses_left: shared.uses });
        }
        let keep = |b: &Block| filter.iter().all(|m| m.matches(b.labels.value(m.name())));
        let Some(kept) = &mut self.cache[slot] else { return Ok(Vec::new()) };
        kept.uses_left = kept.uses_left.saturating_sub(1);
        if kept.uses_left > 0 {
            let wanted = || kept.blocks.iter().filter(|b| keep(b));
            let bytes = wanted().count() as u64 * (grid.steps as u64 * 8 + 64);
            self.budget.charge_bytes(bytes)?;
            return Ok(wanted().cloned().collect());
        }
        let mut blocks =
            std::mem::take(&mut self.cache[slot]).map(|s| s.blocks).unwrap_or_default();
        if !filter.is_empty() {
            blocks.retain(keep);
        }
        Ok(blocks)
    }

    fn unmeasured_vector(&mut self, node: &Node, grid: Grid) -> Result<Vec<Block>, EvalError> {
        if node.invariant && grid.steps > 1 {
            let first = grid.first();
            let once = |this: &mut Self| {
                this.account(node, first, |this| this.unmeasured_vector(node, first))
            };
            let blocks = self.counted_apart(Apart::Invariant, once)?;
            self.charge(blocks.len(), grid)?;
            return Ok(blocks
                .into_iter()
                .map(|b| Block { column: b.column.broadcast(grid.steps), ..b })
                .collect());
        }
        self.budget.check()?;
        match &node.kind {
            NodeKind::Shared { slot, filter } => self.shared_part(*slot, filter, grid),
            NodeKind::Instant(leaf) => self.instant(leaf, grid, Reads::Value),
            NodeKind::SampleTime(leaf) => {
                let blocks = self.instant(leaf, grid, Reads::Time)?;
                self.drop_names(blocks, node.span)
            }
            NodeKind::SampleStart(leaf) => {
                let blocks = self.instant(leaf, grid, Reads::Start)?;
                self.drop_names(blocks, node.span)
            }
            NodeKind::Call { func, args } => self.vector_call(node.span, func, args, grid),
            NodeKind::Absent { labels, arg } => self.absent(labels, arg, grid),
            NodeKind::Info(info) => self.info(info, node.span, grid),
            NodeKind::Aggregate(aggregate) => self.aggregate(aggregate, node.span, grid),
            NodeKind::Binary(binary) => self.binary(binary, node.span, grid),
            NodeKind::Negate(inner) => {
                let mut blocks = self.vector(inner, grid)?;
                for block in &mut blocks {
                    negate(&mut block.column);
                    self.charge_histograms(&block.column)?;
                }
                self.drop_names(blocks, node.span)
            }
            NodeKind::Number(_) | NodeKind::Text { .. } | NodeKind::Range(_) => {
                Err(EvalError::execution(node.span, "expected an instant vector"))
            }
        }
    }
}

/// Labels that say what a metric is: its name, and the type and unit that Prometheus can attach. A
/// computed value is another thing, so they go.
pub(crate) const IDENTITY: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

fn without_identity(labels: &Labels) -> Labels {
    if IDENTITY.iter().all(|name| labels.get(name).is_none()) {
        return labels.clone();
    }
    labels.filtered(|name| !IDENTITY.contains(&name))
}

fn negate(column: &mut Column) {
    for value in &mut column.values {
        *value = -*value;
    }
    for histogram in column.histograms.iter_mut().flatten() {
        *histogram = crate::histogram::scale(histogram, -1.0).into();
    }
}

fn to_sample(block: Block, timestamp_ms: i64) -> Option<VectorSample> {
    let value = block.column.sample(0)?;
    Some(VectorSample { labels: block.labels, timestamp_ms, value })
}

fn to_series(block: Block, grid: Grid) -> MatrixSeries {
    let column = &block.column;
    let samples = column
        .present
        .ones()
        .map(|i| Sample {
            timestamp_ms: grid.time(i),
            value: column.sample(i).unwrap_or(SampleValue::Float(f64::NAN)),
        })
        .collect();
    MatrixSeries { labels: block.labels, samples }
}

/// Joins series that now have the same labels. Two of them at one step are an error.
fn merge_duplicates(blocks: Vec<Block>, span: Span) -> Result<Vec<Block>, EvalError> {
    let mut merged: Vec<Block> = Vec::with_capacity(blocks.len());
    let mut index: HashMap<Labels, usize> = HashMap::with_capacity(blocks.len());
    for block in blocks {
        match index.get(&block.labels) {
            None => {
                index.insert(block.labels.clone(), merged.len());
                merged.push(block);
            }
            Some(&at) => {
                let earlier = &mut merged[at];
                if earlier.column.present.overlaps(&block.column.present) {
                    let message = "vector cannot contain metrics with the same labelset";
                    return Err(EvalError::execution(span, message));
                }
                earlier.drop_name |= block.drop_name;
                earlier.column.absorb(block.column);
            }
        }
    }
    Ok(merged)
}

/// The steps at which any of the series is present.
fn any_present<'b>(blocks: impl IntoIterator<Item = &'b Block>, steps: usize) -> Bitmap {
    let mut any = Bitmap::empty(steps);
    for block in blocks {
        any.union(&block.column.present);
    }
    any
}
