//! Functions over instant vectors and scalars.

use skopos_model::Labels;

use super::Evaluator;
use crate::ast::pick;
use crate::error::EvalError;
use crate::functions::{Function, FunctionKind, HistogramPart};
use crate::histogram;
use crate::plan::{Grid, Node, NodeKind};
use crate::span::Span;
use crate::value::{Block, Column};

/// Keeps the steps for which `map` has a value; histograms are left out.
fn map_floats(blocks: &mut Vec<Block>, map: impl Fn(usize, f64) -> Option<f64>) {
    for block in blocks.iter_mut() {
        let column = &mut block.column;
        column.drop_histograms();
        for i in 0..column.len() {
            if column.present.get(i) {
                match map(i, column.values[i]) {
                    Some(value) => column.values[i] = value,
                    None => column.present.clear(i),
                }
            }
        }
    }
    blocks.retain(|b| b.column.any());
}

impl Evaluator<'_> {
    pub(super) fn scalar_call(
        &mut self,
        span: Span,
        func: &Function,
        args: &[Node],
        grid: Grid,
    ) -> Result<Vec<f64>, EvalError> {
        match (func.kind, args) {
            (FunctionKind::Time, _) => {
                Ok((0..grid.steps).map(|i| grid.time(i) as f64 / 1000.0).collect())
            }
            (FunctionKind::Pick { max }, [a, b]) => {
                let (a, b) = (self.scalar(a, grid)?, self.scalar(b, grid)?);
                Ok(a.iter().zip(&b).map(|(a, b)| pick(max, *a, *b)).collect())
            }
            (FunctionKind::ScalarOf, [arg]) => {
                let blocks = self.vector(arg, grid)?;
                Ok((0..grid.steps)
                    .map(|i| {
                        let mut found = blocks.iter().filter_map(|b| b.column.float(i));
                        match (found.next(), found.next()) {
                            (Some(value), None) => value,
                            _ => f64::NAN,
                        }
                    })
                    .collect())
            }
            _ => Err(EvalError::execution(span, format!("{} yields no scalar", func.name))),
        }
    }

    fn scalars(&mut self, nodes: &[Node], grid: Grid) -> Result<Vec<Vec<f64>>, EvalError> {
        nodes.iter().map(|node| self.scalar(node, grid)).collect()
    }

    pub(super) fn vector_call(
        &mut self,
        span: Span,
        func: &Function,
        args: &[Node],
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        match (func.kind, args) {
            (FunctionKind::Range(range), _) => {
                let is_range = |n: &&Node| matches!(n.kind, NodeKind::Range(_));
                let scalars: Vec<Node> = args.iter().filter(|n| !is_range(n)).cloned().collect();
                let spans: Vec<Span> = scalars.iter().map(|n| n.span).collect();
                let params = self.scalars(&scalars, grid)?;
                let Some(arg) = args.iter().find(is_range) else {
                    return Err(EvalError::execution(span, "expected a range vector"));
                };
                self.range_call(span, range, arg, &params, &spans, grid)
            }
            (FunctionKind::Map(map), [arg]) => {
                let mut blocks = self.vector(arg, grid)?;
                map_floats(&mut blocks, |_, value| Some(map(value)));
                self.drop_names(blocks, span)
            }
            (FunctionKind::Date(part), []) => {
                let now = (0..grid.steps).map(|i| grid.time(i) as f64 / 1000.0);
                let column = Column::full(now.map(|t| super::dates::part(part, t)).collect());
                Ok(vec![Block { labels: Labels::empty(), drop_name: false, column }])
            }
            (FunctionKind::Date(part), [arg]) => {
                let mut blocks = self.vector(arg, grid)?;
                map_floats(&mut blocks, |_, value| Some(super::dates::part(part, value)));
                self.drop_names(blocks, span)
            }
            (FunctionKind::HistogramPart(part), [arg]) => {
                let blocks = self.vector(arg, grid)?;
                let blocks = blocks.into_iter().map(|b| histogram_part(b, part));
                self.drop_names(blocks.filter(|b| b.column.any()).collect(), span)
            }
            (FunctionKind::Clamp, [arg, min, max]) => {
                let mut blocks = self.vector(arg, grid)?;
                let (min, max) = (self.scalar(min, grid)?, self.scalar(max, grid)?);
                map_floats(&mut blocks, |i, value| {
                    (max[i] >= min[i] || min[i].is_nan() || max[i].is_nan())
                        .then(|| pick(true, min[i], pick(false, max[i], value)))
                });
                self.drop_names(blocks, span)
            }
            (FunctionKind::ClampMin, [arg, bound]) => {
                let mut blocks = self.vector(arg, grid)?;
                let bound = self.scalar(bound, grid)?;
                map_floats(&mut blocks, |i, value| Some(pick(true, bound[i], value)));
                self.drop_names(blocks, span)
            }
            (FunctionKind::ClampMax, [arg, bound]) => {
                let mut blocks = self.vector(arg, grid)?;
                let bound = self.scalar(bound, grid)?;
                map_floats(&mut blocks, |i, value| Some(pick(false, bound[i], value)));
                self.drop_names(blocks, span)
            }
            (FunctionKind::Round, [arg, rest @ ..]) => {
                let mut blocks = self.vector(arg, grid)?;
                let nearest = match rest {
                    [nearest] => self.scalar(nearest, grid)?,
                    _ => vec![1.0; grid.steps],
                };
                // Multiplying by the inverse keeps 0.1 and the like exact where they can be.
                map_floats(&mut blocks, |i, value| {
                    let inverse = 1.0 / nearest[i];
                    Some((value * inverse + 0.5).floor() / inverse)
                });
                self.drop_names(blocks, span)
            }
            (FunctionKind::Timestamp, [arg]) => {
                let mut blocks = self.vector(arg, grid)?;
                for block in &mut blocks {
                    block.column.histograms = Vec::new();
                    for (i, value) in block.column.values.iter_mut().enumerate() {
                        *value = grid.time(i) as f64 / 1000.0;
                    }
                }
                self.drop_names(blocks, span)
            }
            (FunctionKind::StartTimestamp, [arg]) => {
                // Only samples as they were stored have a start; see `NodeKind::SampleStart`.
                self.vector(arg, grid)?;
                Ok(Vec::new())
            }
            (FunctionKind::VectorOf, [arg]) => {
                let column = Column::full(self.scalar(arg, grid)?);
                Ok(vec![Block { labels: Labels::empty(), drop_name: false, column }])
            }
            (FunctionKind::HistogramQuantile, [q, arg]) => {
                let quantiles = vec![(self.scalar(q, grid)?, q.span)];
                self.histogram_quantile(arg, &quantiles, None, span, grid)
            }
            (FunctionKind::HistogramQuantiles, [arg, label, quantiles @ ..]) => {
                let label = super::labels::label_param(label, "histogram_quantiles")?;
                let mut all = Vec::new();
                for q in quantiles {
                    all.push((self.scalar(q, grid)?, q.span));
                }
                self.histogram_quantile(arg, &all, Some(&label), span, grid)
            }
            (FunctionKind::HistogramFraction, [lower, upper, arg]) => {
                let (lower, upper) = (self.scalar(lower, grid)?, self.scalar(upper, grid)?);
                self.histogram_fraction(arg, &lower, &upper, span, grid)
            }
            (FunctionKind::LabelReplace, _) => self.label_replace(args, span, grid),
            (FunctionKind::LabelJoin, _) => self.label_join(args, span, grid),
            (FunctionKind::Sort { descending }, [arg]) => {
                self.sort_by_value(arg, descending, span, grid)
            }
            (FunctionKind::SortByLabel { descending }, [arg, labels @ ..]) => {
                self.sort_by_label(arg, labels, func.name, descending, span, grid)
            }
            _ => Err(EvalError::execution(span, format!("{} yields no vector", func.name))),
        }
    }
}

fn histogram_part(mut block: Block, part: HistogramPart) -> Block {
    let mut column = Column::empty(block.column.len());
    for i in block.column.present.ones() {
        let Some(h) = block.column.histogram(i) else { continue };
        let value = match part {
            HistogramPart::Count => h.count,
            HistogramPart::Sum => h.sum,
            HistogramPart::Avg => h.sum / h.count,
            HistogramPart::Stdvar => histogram::variance(h),
            HistogramPart::Stddev => histogram::variance(h).sqrt(),
        };
        column.set(i, value);
    }
    block.column = column;
    block
}
