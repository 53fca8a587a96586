//! Samples looked at, counted as Prometheus counts them for `stats`. Only when asked for: it costs a
//! look at every window.

use std::ops::Range;

use skopos_model::Histogram;

use super::Evaluator;
use super::range::{Bounds, Samples, Windows};
use crate::error::EvalError;
use crate::functions::FunctionKind;
use crate::plan::{Grid, Node, NodeKind, Shift};
use crate::value::{Block, Column, QueryableSamples};

/// The running count.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    /// By step of the grid being evaluated.
    per_step: Vec<u64>,
    /// The same, of what was read from storage: of windows that overlap, each sample once.
    read_per_step: Vec<u64>,
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
        let none = vec![0; steps];
        Self { per_step: none.clone(), read_per_step: none, held: 0, peak: 0, inputs: 0, window: 0 }
    }

    pub(super) fn finish(self, grid: Grid) -> QueryableSamples {
        let timed = |counts: &[u64]| {
            counts.iter().enumerate().map(|(i, n)| (grid.time(i), *n)).collect::<Vec<_>>()
        };
        QueryableSamples {
            total: self.per_step.iter().sum(),
            read: self.read_per_step.iter().sum(),
            peak: self.peak,
            per_step: timed(&self.per_step),
            read_per_step: timed(&self.read_per_step),
        }
    }

    /// A count that starts at nothing, for a worker.
    pub(super) fn fork(&self) -> Self {
        Self::new(self.per_step.len())
    }

    pub(super) fn merge(&mut self, worker: &Self) {
        add(&mut self.per_step, &worker.per_step);
        add(&mut self.read_per_step, &worker.read_per_step);
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
            self.read_per_step[step] += cost(column, step);
        }
    }

    /// Counts the windows of a range selector; those of a subquery are not `stored`.
    pub(super) fn windows(&mut self, mut windows: Windows<'_>, samples: &Samples, stored: bool) {
        let size = |range: Range<usize>| {
            let histograms = samples.histograms.get(range.clone()).unwrap_or(&[]);
            let beyond: u64 = histograms.iter().flatten().map(|h| histogram_size(h) - 1).sum();
            range.len() as u64 + beyond
        };
        let mut known = 0;
        while let Some(Bounds { step, from, to, .. }) = windows.advance() {
            let all = size(from..to);
            self.per_step[step] += all;
            self.window = self.window.max(all);
            if stored {
                self.read_per_step[step] += size(from.max(known).min(to)..to);
                known = to;
            }
        }
    }
}

fn add(to: &mut [u64], from: &[u64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// Where what a part looks at is counted that has steps of its own.
#[derive(Clone, Copy)]
pub(super) enum Apart {
    /// The part is the same at each step of the grid around: looked at at each, read at the first.
    Invariant,
    /// A subquery with these steps, looked at over this grid: its windows count as looked at, what
    /// its steps read counts at the first step of the grid that needs it.
    Subquery { inner: Grid, outer: Grid, shift: Shift },
    /// Nowhere.
    Uncounted(Grid),
}

impl Apart {
    fn steps(self) -> usize {
        match self {
            Self::Invariant => 1,
            Self::Subquery { inner, .. } => inner.steps,
            Self::Uncounted(grid) => grid.steps,
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

    /// Evaluates something that has steps of its own.
    pub(super) fn counted_apart<T>(
        &mut self,
        apart: Apart,
        evaluate: impl FnOnce(&mut Self) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        let Some(counted) = &mut self.counted else { return evaluate(self) };
        let none = vec![0; apart.steps()];
        let outer = std::mem::replace(&mut counted.per_step, none.clone());
        let outer_read = std::mem::replace(&mut counted.read_per_step, none);
        let result = evaluate(self);
        let Some(counted) = &mut self.counted else { return result };
        let looked_at: u64 = std::mem::replace(&mut counted.per_step, outer).iter().sum();
        let read = std::mem::replace(&mut counted.read_per_step, outer_read);
        match apart {
            Apart::Invariant => {
                counted.per_step.iter_mut().for_each(|n| *n += looked_at);
                add(&mut counted.read_per_step, &read);
            }
            Apart::Subquery { inner, outer, shift } => {
                let mut step = 0;
                for (i, read) in read.iter().enumerate() {
                    while step + 1 < outer.steps && shift.apply(outer.time(step)) < inner.time(i) {
                        step += 1;
                    }
                    counted.read_per_step[step] += read;
                }
            }
            Apart::Uncounted(_) => {}
        }
        result
    }
}
