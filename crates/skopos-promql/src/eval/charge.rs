//! What a query makes is charged to its budget before it is made: columns, labels, histograms.
//!
//! Charges only add up: what is dropped on the way is not given back, except memory that is known
//! to be empty or short-lived. A refusal may therefore come early, never late.

use skopos_model::Labels;

use super::Evaluator;
use crate::error::EvalError;
use crate::plan::Grid;
use crate::span::Span;
use crate::value::Column;

/// What a label costs beside its text: two offsets, and its place in a builder.
const LABEL_OVERHEAD: usize = 48;

impl Evaluator<'_> {
    /// Charges what a result of `series` columns holds.
    pub(super) fn charge(&self, series: usize, grid: Grid) -> Result<(), EvalError> {
        Ok(self.budget.charge_bytes(columns_bytes(series, grid))?)
    }

    /// Gives back the charge of columns that turned out empty.
    pub(super) fn release(&self, series: usize, grid: Grid) {
        self.budget.release_bytes(columns_bytes(series, grid));
    }

    /// Charges a changed copy of some labels, whose text is at most as long.
    pub(super) fn charge_labels(&self, labels: &Labels) -> Result<(), EvalError> {
        Ok(self.budget.charge_bytes(labels.size_bytes() as u64)?)
    }

    /// Charges a copy of some labels with one more, whose value `func` makes; refuses a value that
    /// is longer than a query may make.
    pub(super) fn charge_label(
        &self,
        labels: &Labels,
        name: &str,
        value_bytes: usize,
        func: &'static str,
        span: Span,
    ) -> Result<(), EvalError> {
        let limit = self.params.max_label_bytes;
        if value_bytes > limit {
            return Err(EvalError::LabelTooLong { func, bytes: value_bytes, limit, span });
        }
        let bytes = labels.size_bytes() + name.len() + value_bytes + LABEL_OVERHEAD;
        Ok(self.budget.charge_bytes(bytes as u64)?)
    }

    /// Charges the histograms of a new column. One series' worth is made before it is charged.
    pub(super) fn charge_histograms(&self, column: &Column) -> Result<(), EvalError> {
        if !column.has_histograms() {
            return Ok(());
        }
        let held = column.histograms.iter().flatten().map(|h| h.size_bytes() as u64);
        let slots = (column.histograms.len() * size_of::<usize>()) as u64;
        Ok(self.budget.charge_bytes(held.sum::<u64>() + slots)?)
    }

    /// Runs work that needs `bytes` for its own time only.
    pub(super) fn with_scratch<T>(
        &mut self,
        bytes: usize,
        work: impl FnOnce(&mut Self) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        self.budget.charge_bytes(bytes as u64)?;
        let result = work(self);
        self.budget.release_bytes(bytes as u64);
        result
    }
}

fn columns_bytes(series: usize, grid: Grid) -> u64 {
    (series as u64).saturating_mul((grid.steps as u64).saturating_mul(8).saturating_add(64))
}
