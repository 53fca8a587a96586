//! `topk`, `bottomk`, `limitk`, `limit_ratio`: aggregations that pick members, step by step.

use super::Evaluator;
use super::aggregate::{Group, group};
use crate::annotations::Remark;
use crate::ast::AggregateOp;
use crate::error::EvalError;
use crate::format::format_general;
use crate::plan::{AggregateNode, Grid};
use crate::span::Span;
use crate::value::{Bitmap, Block};

impl Evaluator<'_> {
    pub(super) fn rank(
        &mut self,
        node: &AggregateNode,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let Some(param) = &node.param else { return Ok(Vec::new()) };
        let params = self.scalar(param, grid)?;
        self.check_rank_params(node.op, &params, param.span)?;
        let blocks = self.vector(&node.expr, grid)?;
        let groups = group(&blocks, node.without, &node.grouping);
        if matches!(node.op, AggregateOp::Topk | AggregateOp::Bottomk) {
            let ignored = blocks.iter().any(|b| {
                b.column.has_histograms()
                    && b.column.present.ones().any(|i| b.column.histogram(i).is_some())
            });
            if ignored {
                let op = node.op.as_str();
                self.note(Remark::HistogramIgnoredInAggregation { op }, node.expr.span);
            }
        }
        let mut chosen: Vec<Bitmap> = vec![Bitmap::empty(grid.steps); blocks.len()];
        // At one step the order of a result is its rank.
        let mut order = Vec::new();
        for (step, param) in params.iter().enumerate() {
            self.budget.check()?;
            for group in &groups {
                let picked = match node.op {
                    AggregateOp::Topk => extremes(&blocks, group, step, *param, true),
                    AggregateOp::Bottomk => extremes(&blocks, group, step, *param, false),
                    AggregateOp::Limitk => first_present(&blocks, group, step, *param),
                    _ => by_hash(&blocks, group, step, *param),
                };
                for member in picked {
                    chosen[member].set(step);
                    if grid.steps == 1 {
                        order.push(member);
                    }
                }
            }
        }
        let mut blocks: Vec<Option<Block>> = blocks
            .into_iter()
            .zip(&chosen)
            .map(|(mut block, chosen)| {
                block.column.present.intersect(chosen);
                block.column.any().then_some(block)
            })
            .collect();
        if grid.steps == 1 {
            return Ok(order.into_iter().filter_map(|i| blocks[i].take()).collect());
        }
        Ok(blocks.into_iter().flatten().collect())
    }

    fn check_rank_params(
        &mut self,
        op: AggregateOp,
        params: &[f64],
        span: Span,
    ) -> Result<(), EvalError> {
        for param in params {
            if op == AggregateOp::LimitRatio {
                if param.is_nan() {
                    return Err(EvalError::execution(span, "Ratio value is NaN"));
                }
                if param.abs() > 1.0 {
                    let capped = param.clamp(-1.0, 1.0);
                    self.note(Remark::InvalidRatio { got: *param, capped }, span);
                }
            } else if param.is_nan() {
                return Err(EvalError::execution(span, "Parameter value is NaN"));
            } else if param.abs() >= i64::MAX as f64 {
                let how = if *param > 0.0 { "overflows" } else { "underflows" };
                let message = format!("Scalar value {} {how} int64", format_general(*param));
                return Err(EvalError::execution(span, message));
            }
        }
        Ok(())
    }
}

/// The `k` largest or smallest; NaN comes last, ties keep the order of the series.
fn extremes(blocks: &[Block], group: &Group, step: usize, k: f64, largest: bool) -> Vec<usize> {
    if k < 1.0 {
        return Vec::new();
    }
    let mut found: Vec<(f64, usize)> = group
        .members
        .iter()
        .filter_map(|m| blocks[*m].column.float(step).map(|value| (value, *m)))
        .collect();
    let compare = |a: &(f64, usize), b: &(f64, usize)| {
        let by_value = match a.0.partial_cmp(&b.0) {
            Some(order) if largest => order.reverse(),
            Some(order) => order,
            None => a.0.is_nan().cmp(&b.0.is_nan()),
        };
        by_value.then(a.1.cmp(&b.1))
    };
    let k = (k as usize).min(found.len());
    if k == 0 {
        return Vec::new();
    }
    if k < found.len() {
        found.select_nth_unstable_by(k - 1, compare);
        found.truncate(k);
    }
    found.sort_unstable_by(compare);
    found.into_iter().map(|(_, member)| member).collect()
}

fn first_present(blocks: &[Block], group: &Group, step: usize, k: f64) -> Vec<usize> {
    let k = if k < 1.0 { 0 } else { k as usize };
    let is_present = |m: &usize| blocks[*m].column.present.get(step);
    group.members.iter().copied().filter(is_present).take(k).collect()
}

/// A share of the series, picked by a hash of their labels: the same ones at every step, and
/// `ratio` and `ratio - 1` pick complements.
fn by_hash(blocks: &[Block], group: &Group, step: usize, ratio: f64) -> Vec<usize> {
    let is_in = |m: &usize| {
        let block = &blocks[*m];
        let place = (block.labels.series_id().0 >> 64) as u64 as f64 / u64::MAX as f64;
        let ratio = ratio.clamp(-1.0, 1.0);
        let chosen = if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio };
        block.column.present.get(step) && (chosen || ratio == 1.0)
    };
    group.members.iter().copied().filter(is_in).collect()
}
