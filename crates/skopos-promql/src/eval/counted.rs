//! Samples looked at, counted as Prometheus counts them for `stats`. Only when asked for: it costs a
//! look at every window.

use skopos_model::Histogram;

use super::Evaluator;
use super::range::{Samples, Windows};
use crate::error::EvalError;
use crate::functions::FunctionKind;
use crate::plan::{Grid, Node, NodeKind};
use crate::value::{Block, Column, QueryableSamples};

/// The running count.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    /// By step of the grid being evaluated.
    per_step: Vec<u64>,
    /// Samples of the results that are held now.
    held: u64,
    peak: u64,
    /// What the operator at work gathers from its operands for one step.
    inputs: u64,
    /// The largest window that it looked at.
    window: u64,
}

/// A float with its time takes 16 bytes; a histogram counts as many as it takes. The fixed part is
/// what Prometheus' struct takes.
fn histogram_size(h: &Histogram) -> u64 {
    let spans = h.positive_spans.len() + h.negative_spans.len();
    let numbers = h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len();
    (168 + 8 + 8 * (spans + numbers) as u64) / 16
}

/// Samples of a column, at a step.
fn cost(column: &Column, step: usize) -> u64 {
    column.histogram(step).map_or(1, |h| histogram_size(h))
}

/// Samples of a result: all, and most at one step.
fn points(blocks: &[Block], steps: usize) -> (u64, u64) {
    let mut at_step = vec![0; steps];
    for column in blocks.iter().map(|b| &b.column) {
        column.present.ones().for_each(|step| at_step[step] += cost(column, step));
    }
    (at_step.iter().sum(), at_step.into_iter().max().unwrap_or(0))
}

impl Counted {
    pub(super) fn new(steps: usize) -> Self {
        Self { per_step: vec![0; steps], held: 0, peak: 0, inputs: 0, window: 0 }
    }

    pub(super) fn finish(self, grid: Grid) -> QueryableSamples {
        let per_step = self.per_step.iter().enumerate();
        QueryableSamples {
            total: self.per_step.iter().sum(),
            peak: self.peak,
            per_step: per_step.map(|(i, n)| (grid.time(i), *n)).collect(),
        }
    }

    /// A count that starts at nothing, for a worker.
    pub(super) fn fork(&self) -> Self {
        Self::new(self.per_step.len())
    }

    pub(super) fn merge(&mut self, worker: &Self) {
        for (mine, theirs) in self.per_step.iter_mut().zip(&worker.per_step) {
            *mine += theirs;
        }
        self.window = self.window.max(worker.window);
    }

    /// The operator at work is done: its operands go, its result stays.
    fn leave_operator(&mut self, (held, inputs): (u64, u64), most: u64, own: u64, at_step: u64) {
        self.peak = self.peak.max(most);
        (self.held, self.inputs, self.window) = (held + own, inputs + at_step, 0);
    }

    /// Counts what an instant selector found.
    pub(super) fn instant(&mut self, column: &Column) {
        for step in column.present.ones() {
            self.per_step[step] += cost(column, step);
        }
    }

    /// Counts the windows of a range selector.
    pub(super) fn windows(&mut self, mut windows: Windows<'_>, samples: &Samples) {
        while let Some(bounds) = windows.advance() {
            let histograms = samples.histograms.get(bounds.from..bounds.to).unwrap_or(&[]);
            let beyond: u64 = histograms.iter().flatten().map(|h| histogram_size(h) - 1).sum();
            let all = (bounds.to - bounds.from) as u64 + beyond;
            self.per_step[bounds.step] += all;
            self.window = self.window.max(all);
        }
    }
}

impl<'a> Evaluator<'a> {
    /// Evaluates a node, keeping account of what is held meanwhile: the operands, what is gathered
    /// from them for one step or one window, and the result.
    pub(super) fn account(
        &mut self,
        node: &Node,
        grid: Grid,
        evaluate: impl FnOnce(&mut Self) -> Result<Vec<Block>, EvalError>,
    ) -> Result<Vec<Block>, EvalError> {
        let Some(outer) = self.enter_operator() else { return evaluate(self) };
        let blocks = evaluate(self)?;
        let (own, at_step) = points(&blocks, grid.steps);
        let Some(counted) = &mut self.counted else { return Ok(blocks) };
        let gathered = match &node.kind {
            NodeKind::SampleTime(_) => at_step,
            // Window by window.
            NodeKind::Call { func, .. } if matches!(func.kind, FunctionKind::Range(_)) => 0,
            NodeKind::Absent { arg, .. } if matches!(arg.kind, NodeKind::Range(_)) => 0,
            _ => counted.inputs,
        };
        let held = match &node.kind {
            // Accounted for where it was computed, and repeated.
            _ if node.invariant && grid.steps > 1 => outer.0 + own,
            // Works in place.
            NodeKind::Negate(_) => counted.held,
            _ => counted.held + gathered + counted.window + own,
        };
        counted.leave_operator(outer, held, own, at_step);
        Ok(blocks)
    }

    /// The same for a scalar.
    pub(super) fn account_scalar(
        &mut self,
        grid: Grid,
        evaluate: impl FnOnce(&mut Self) -> Result<Vec<f64>, EvalError>,
    ) -> Result<Vec<f64>, EvalError> {
        let Some(outer) = self.enter_operator() else { return evaluate(self) };
        let values = evaluate(self)?;
        if let Some(counted) = &mut self.counted {
            let own = grid.steps as u64;
            let held = counted.held + counted.inputs + own;
            counted.leave_operator(outer, held, own, 1);
        }
        Ok(values)
    }

    fn enter_operator(&mut self) -> Option<(u64, u64)> {
        let counted = self.counted.as_mut()?;
        counted.window = 0;
        Some((counted.held, std::mem::take(&mut counted.inputs)))
    }

    /// Evaluates something on a grid of its own. `repeat` says whether what it looks at is looked
    /// at again at each step of the grid around (parts that do not change from step to step), or
    /// not counted (subqueries, of which the windows count).
    pub(super) fn counted_apart<T>(
        &mut self,
        steps: usize,
        repeat: bool,
        evaluate: impl FnOnce(&mut Self) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        let Some(counted) = &mut self.counted else { return evaluate(self) };
        let outer = std::mem::replace(&mut counted.per_step, vec![0; steps]);
        let result = evaluate(self);
        if let Some(counted) = &mut self.counted {
            let inner = std::mem::replace(&mut counted.per_step, outer);
            if repeat {
                let all: u64 = inner.iter().sum();
                counted.per_step.iter_mut().for_each(|n| *n += all);
            }
        }
        result
    }
}
