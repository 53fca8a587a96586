//! Aggregations that yield one series per group. Groups are resolved once per series, not once
//! per step.

use std::collections::HashMap;
use std::sync::Arc;

use skopos_model::{Histogram, Labels};

use super::key::Keys;
use super::math::{Deviation, KahanSum, Mean, quantile};
use super::{Evaluator, IDENTITY, merge_duplicates};
use crate::annotations::Remark;
use crate::ast::AggregateOp;
use crate::error::EvalError;
use crate::histogram::{self, HistogramSum};
use crate::plan::{AggregateNode, Grid, Node, NodeKind};
use crate::span::Span;
use crate::value::{Block, Cell, Column};

/// Most bytes that an aggregation keeps for a step of a group beside the result.
const SCRATCH_BYTES: usize = 40;

/// A group: its labels and its members by index.
pub(super) struct Group {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) members: Vec<usize>,
}

/// Whether a label is part of the group that a series belongs to.
fn is_grouped(name: &str, without: bool, grouping: &[String]) -> bool {
    let listed = grouping.iter().any(|g| g == name);
    // What says which metric it is goes with the name.
    if without { !IDENTITY.contains(&name) && !listed } else { listed }
}

/// The labels of the group that a series belongs to.
fn group_labels(labels: &Labels, without: bool, grouping: &[String]) -> Labels {
    labels.filtered(|name| is_grouped(name, without, grouping))
}

/// Sorts series into groups, groups in the order in which they first occur.
pub(super) fn group(blocks: &[Block], without: bool, grouping: &[String]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut index: HashMap<u128, usize> = HashMap::new();
    let mut keys = Keys::default();
    // Names (and types and units) survive only where they are grouped by; then a dropped name in any member drops it.
    let names = !without && grouping.iter().any(|g| IDENTITY.contains(&g.as_str()));
    for (member, block) in blocks.iter().enumerate() {
        let key = keys.of(&block.labels, |name| is_grouped(name, without, grouping));
        let at = *index.entry(key).or_insert_with(|| {
            let labels = group_labels(&block.labels, without, grouping);
            groups.push(Group { labels, drop_name: false, members: Vec::new() });
            groups.len() - 1
        });
        groups[at].members.push(member);
        groups[at].drop_name |= names && block.drop_name;
    }
    groups
}

impl Evaluator<'_> {
    pub(super) fn aggregate(
        &mut self,
        node: &AggregateNode,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        match node.op {
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => return self.rank(node, grid),
            AggregateOp::CountValues => return self.count_values(node, span, grid),
            _ => {}
        }
        let quantiles = match (&node.op, &node.param) {
            (AggregateOp::Quantile, Some(param)) => {
                let quantiles = self.scalar(param, grid)?;
                for q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                    self.note(Remark::InvalidQuantile(*q), param.span);
                }
                quantiles
            }
            _ => Vec::new(),
        };
        let blocks = self.vector(&node.expr, grid)?;
        let groups = group(&blocks, node.without, &node.grouping);
        self.charge(groups.len(), grid)?;
        // Sums and deviations keep this much for each step while a group is summed up.
        let scratch = grid.steps.saturating_mul(SCRATCH_BYTES);
        self.budget.charge_bytes(scratch as u64)?;
        let mut out = Vec::with_capacity(groups.len());
        for group in groups {
            self.charge_labels(&group.labels)?;
            let members: Vec<&Column> = group.members.iter().map(|i| &blocks[*i].column).collect();
            let metric = |i: usize| blocks[group.members[i]].labels.metric_name();
            let column = match node.op {
                AggregateOp::Sum => self.sum(&members, false, metric, node.expr.span, grid),
                AggregateOp::Avg => self.sum(&members, true, metric, node.expr.span, grid),
                AggregateOp::Count => count(&members, grid),
                AggregateOp::Group => {
                    let mut column = count(&members, grid);
                    column.values.fill(1.0);
                    column
                }
                _ => self.floats(node.op, &members, &quantiles, node.expr.span, grid),
            };
            self.charge_histograms(&column)?;
            if column.any() {
                out.push(Block { labels: group.labels, drop_name: group.drop_name, column });
            }
        }
        self.budget.release_bytes(scratch as u64);
        Ok(out)
    }

    /// `sum` and `avg`, of floats or of histograms, but not of both. `metric` names a member.
    fn sum<'b>(
        &mut self,
        members: &[&Column],
        average: bool,
        metric: impl Fn(usize) -> &'b str,
        span: Span,
        grid: Grid,
    ) -> Column {
        let mut column = Column::empty(grid.steps);
        if average {
            let mut means = vec![Mean::default(); grid.steps];
            for_each_float(members, |i, value| means[i].add(value));
            for (i, mean) in means.iter().enumerate() {
                column.values[i] = mean.value();
            }
        } else {
            let mut sums = vec![KahanSum::default(); grid.steps];
            for_each_float(members, |i, value| sums[i].add(value));
            for (i, sum) in sums.iter().enumerate() {
                column.values[i] = sum.value();
            }
        }
        for member in members {
            column.present.union(&member.present);
        }
        if members.iter().any(|m| m.has_histograms()) {
            for i in 0..grid.steps {
                self.sum_histograms(members, average, &metric, i, span, &mut column);
            }
        }
        column
    }

    /// The sum at a step at which histograms may be; corrects what stands in the column.
    fn sum_histograms<'b>(
        &mut self,
        members: &[&Column],
        average: bool,
        metric: &impl Fn(usize) -> &'b str,
        step: usize,
        span: Span,
        column: &mut Column,
    ) {
        let cells = || members.iter().enumerate().filter_map(|(i, m)| Some((i, m.cell(step)?)));
        let histograms: Vec<(usize, &Arc<Histogram>)> = cells()
            .filter_map(|(i, cell)| if let Cell::Histogram(h) = cell { Some((i, h)) } else { None })
            .collect();
        let Some(((_, first), rest)) = histograms.split_first() else { return };
        if cells().count() != histograms.len() {
            self.note(Remark::MixedFloatsHistogramsInAggregation, span);
            column.remove(step);
            return;
        }
        let mut sum = HistogramSum::starting_at(first);
        for (member, next) in rest {
            if sum.add(next).is_err() {
                let metric = metric(*member);
                self.note(Remark::MixedExponentialCustom { metric }, span);
                column.remove(step);
                return;
            }
        }
        let operation = "aggregation";
        if sum.reconciled {
            self.note(Remark::CustomBucketsReconciled { operation }, span);
        }
        if sum.hints_collide() {
            self.note(Remark::CounterResetCollision { operation }, span);
        }
        let all = histograms.iter().map(|(_, h)| &***h);
        let sum = if average { sum.mean(all) } else { sum.sum() };
        column.set_histogram(step, Arc::new(histogram::compact(sum)));
    }

    /// Aggregations of floats alone; histograms are left out with a remark.
    fn floats(
        &mut self,
        op: AggregateOp,
        members: &[&Column],
        quantiles: &[f64],
        span: Span,
        grid: Grid,
    ) -> Column {
        let ignored = members
            .iter()
            .any(|m| m.has_histograms() && m.present.ones().any(|i| m.histogram(i).is_some()));
        if ignored {
            self.note(Remark::HistogramIgnoredInAggregation { op: op.as_str() }, span);
        }
        let mut column = Column::empty(grid.steps);
        match op {
            AggregateOp::Min | AggregateOp::Max => {
                let pick = if op == AggregateOp::Min { f64::min } else { f64::max };
                column.values.fill(f64::NAN);
                for_each_float(members, |i, value| {
                    column.values[i] = pick(column.values[i], value);
                    column.present.set(i);
                });
            }
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                let mut deviations = vec![Deviation::default(); grid.steps];
                for_each_float(members, |i, value| {
                    deviations[i].add(value);
                    column.present.set(i);
                });
                for (value, deviation) in column.values.iter_mut().zip(&deviations) {
                    let variance = deviation.variance();
                    *value = if op == AggregateOp::Stddev { variance.sqrt() } else { variance };
                }
            }
            AggregateOp::Quantile => {
                let mut values = Vec::with_capacity(members.len());
                for (i, q) in quantiles.iter().enumerate() {
                    values.clear();
                    values.extend(members.iter().filter_map(|m| m.float(i)));
                    if !values.is_empty() {
                        column.set(i, quantile(*q, &mut values));
                    }
                }
            }
            _ => {}
        }
        column
    }

    /// One series per distinct value, counting the series that have it.
    fn count_values(
        &mut self,
        node: &AggregateNode,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let label = text_param(node.param.as_ref(), span)?;
        let blocks = self.vector(&node.expr, grid)?;
        // The label counted by is set last, so it plays no part in grouping.
        let mut out: Vec<Block> = Vec::new();
        let mut groups: HashMap<Labels, usize> = HashMap::new();
        let mut floats: HashMap<(usize, u64), usize> = HashMap::new();
        let mut texts: HashMap<(usize, String), usize> = HashMap::new();
        for block in &blocks {
            self.budget.check()?;
            let base = group_labels(&block.labels, node.without, &node.grouping).without(&label);
            let next = groups.len();
            let group = *groups.entry(base.clone()).or_insert(next);
            for i in block.column.present.ones() {
                let known = match block.column.cell(i) {
                    Some(Cell::Float(value)) => floats.get(&(group, value.to_bits())).copied(),
                    _ => None,
                };
                let at = match known {
                    Some(at) => at,
                    None => {
                        let text = match block.column.cell(i) {
                            Some(Cell::Float(value)) => crate::format::format_plain(value),
                            Some(Cell::Histogram(h)) => histogram::describe(h),
                            None => continue,
                        };
                        // Different bits can read the same, such as those of NaNs.
                        let at = match texts.get(&(group, text.clone())) {
                            Some(at) => *at,
                            None => {
                                self.charge(1, grid)?;
                                let func = "count_values";
                                self.charge_label(&base, &label, text.len(), func, span)?;
                                let mut labels = base.to_builder();
                                labels.set(&label, &text);
                                let column = Column::empty(grid.steps);
                                let labels = labels.build();
                                out.push(Block { labels, drop_name: false, column });
                                texts.insert((group, text), out.len() - 1);
                                out.len() - 1
                            }
                        };
                        if let Some(Cell::Float(value)) = block.column.cell(i) {
                            floats.insert((group, value.to_bits()), at);
                        }
                        at
                    }
                };
                let column = &mut out[at].column;
                let count = column.float(i).unwrap_or(0.0) + 1.0;
                column.set(i, count);
            }
        }
        merge_duplicates(out, span)
    }
}

/// A string parameter; it must be UTF-8, since it becomes a label.
fn text_param(param: Option<&Node>, span: Span) -> Result<String, EvalError> {
    match param.map(|p| &p.kind) {
        Some(NodeKind::Text { invalid: Some(bytes), .. }) => {
            let quoted = crate::ast::quote_bytes(bytes);
            Err(EvalError::execution(span, format!("invalid label name {quoted}")))
        }
        Some(NodeKind::Text { value, .. }) if value.is_empty() => {
            Err(EvalError::execution(span, "invalid label name \"\""))
        }
        Some(NodeKind::Text { value, .. }) => Ok(value.clone()),
        _ => Err(EvalError::execution(span, "expected a string parameter")),
    }
}

fn for_each_float(members: &[&Column], mut visit: impl FnMut(usize, f64)) {
    for member in members {
        if member.has_histograms() {
            for i in member.present.ones() {
                if let Some(value) = member.float(i) {
                    visit(i, value);
                }
            }
        } else {
            for i in member.present.ones() {
                visit(i, member.values[i]);
            }
        }
    }
}

fn count(members: &[&Column], grid: Grid) -> Column {
    let mut column = Column::empty(grid.steps);
    for member in members {
        for i in member.present.ones() {
            column.values[i] += 1.0;
        }
        column.present.union(&member.present);
    }
    column
}
