//! Operators on two samples, and between vectors and scalars.

use std::sync::Arc;

use skopos_model::{CounterResetHint, SampleValue};

use super::Evaluator;
use crate::annotations::Remark;
use crate::ast::BinaryOp;
use crate::error::EvalError;
use crate::histogram;
use crate::plan::{BinaryNode, Grid};
use crate::span::Span;
use crate::value::{Block, Cell, Column};

/// Whether a result of the operator is another thing than its operand, so that the name goes.
pub(super) fn drops_name(op: BinaryOp, return_bool: bool) -> bool {
    let arithmetic = matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    );
    arithmetic || return_bool
}

/// What an operator made of two samples.
pub(super) enum Outcome {
    Value(SampleValue),
    /// A comparison that does not hold.
    Filtered,
    /// Nothing, because the types do not fit.
    None,
}

impl Evaluator<'_> {
    pub(super) fn binary(
        &mut self,
        node: &BinaryNode,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        match node.scalars {
            (true, _) => {
                let scalar = self.scalar(&node.lhs, grid)?;
                let blocks = self.vector(&node.rhs, grid)?;
                self.with_scalar(node, blocks, &scalar, true, span)
            }
            (_, true) => {
                let blocks = self.vector(&node.lhs, grid)?;
                let scalar = self.scalar(&node.rhs, grid)?;
                self.with_scalar(node, blocks, &scalar, false, span)
            }
            _ => {
                let left = self.vector(&node.lhs, grid)?;
                let right = self.vector(&node.rhs, grid)?;
                if node.op.is_set() {
                    self.set_operator(node, left, right, span, grid)
                } else {
                    self.join(node, left, right, span, grid)
                }
            }
        }
    }

    fn with_scalar(
        &mut self,
        node: &BinaryNode,
        mut blocks: Vec<Block>,
        scalar: &[f64],
        scalar_left: bool,
        span: Span,
    ) -> Result<Vec<Block>, EvalError> {
        let op = node.op;
        for block in &mut blocks {
            self.budget.check()?;
            let column = &mut block.column;
            if column.has_histograms() || matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
                self.mixed_with_scalar(node, column, scalar, scalar_left, span);
                self.charge_histograms(&block.column)?;
                continue;
            }
            let pair = |value: f64, scalar: f64| {
                if scalar_left { (scalar, value) } else { (value, scalar) }
            };
            if op.is_comparison() && !node.return_bool {
                for (i, scalar) in scalar.iter().enumerate() {
                    let (a, b) = pair(column.values[i], *scalar);
                    if !op.compare(a, b) {
                        column.present.clear(i);
                    }
                }
            } else {
                for (value, scalar) in column.values.iter_mut().zip(scalar) {
                    let (a, b) = pair(*value, *scalar);
                    *value = op.arithmetic(a, b);
                }
            }
        }
        blocks.retain(|b| b.column.any());
        if drops_name(op, node.return_bool) { self.drop_names(blocks, span) } else { Ok(blocks) }
    }

    fn mixed_with_scalar(
        &mut self,
        node: &BinaryNode,
        column: &mut Column,
        scalar: &[f64],
        scalar_left: bool,
        span: Span,
    ) {
        let steps: Vec<usize> = column.present.ones().collect();
        for i in steps {
            let Some(cell) = column.cell(i) else { continue };
            let number = Cell::Float(scalar[i]);
            let (lhs, rhs) = if scalar_left { (number, cell) } else { (cell, number) };
            let kept = column.sample(i);
            let outcome = self.operate(node.op, node.return_bool, lhs, rhs, span);
            column.remove(i);
            match (outcome, kept) {
                // A comparison keeps the vector's value, whichever side it is on.
                (Outcome::Value(_), Some(kept)) if node.op.is_comparison() && !node.return_bool => {
                    column.set_value(i, kept);
                }
                (Outcome::Value(value), _) => column.set_value(i, value),
                (Outcome::Filtered | Outcome::None, _) => {}
            }
        }
    }

    /// An operator on two samples. Comparisons that hold yield the left sample, or with `bool` 1
    /// or 0.
    pub(super) fn operate(
        &mut self,
        op: BinaryOp,
        return_bool: bool,
        lhs: Cell<'_>,
        rhs: Cell<'_>,
        span: Span,
    ) -> Outcome {
        let float = |value| Outcome::Value(SampleValue::Float(value));
        let native = |h| Outcome::Value(SampleValue::Histogram(Arc::new(h)));
        let holds = |holds: bool, kept: SampleValue| match (return_bool, holds) {
            (true, _) => float(f64::from(u8::from(holds))),
            (_, true) => Outcome::Value(kept),
            (_, false) => Outcome::Filtered,
        };
        match (lhs, rhs) {
            (Cell::Float(a), Cell::Float(b)) => match op {
                BinaryOp::TrimLower | BinaryOp::TrimUpper => {
                    self.incompatible("float", op, "float", span)
                }
                _ if op.is_comparison() => holds(op.compare(a, b), SampleValue::Float(a)),
                _ => float(op.arithmetic(a, b)),
            },
            (Cell::Float(a), Cell::Histogram(b)) => match op {
                BinaryOp::Mul => native(histogram::compact(histogram::scale(b, a))),
                _ => self.incompatible("float", op, "histogram", span),
            },
            (Cell::Histogram(a), Cell::Float(b)) => match op {
                BinaryOp::Mul => native(histogram::compact(histogram::scale(a, b))),
                BinaryOp::Div => native(histogram::compact(histogram::divide(a, b))),
                BinaryOp::TrimUpper => native(histogram::trim(a, b, true)),
                BinaryOp::TrimLower => native(histogram::trim(a, b, false)),
                _ => self.incompatible("histogram", op, "float", span),
            },
            (Cell::Histogram(a), Cell::Histogram(b)) => match op {
                BinaryOp::Equal => {
                    holds(histogram::equals(a, b), SampleValue::Histogram(Arc::clone(a)))
                }
                BinaryOp::NotEqual => {
                    holds(!histogram::equals(a, b), SampleValue::Histogram(Arc::clone(a)))
                }
                BinaryOp::Add | BinaryOp::Sub => {
                    let is_add = op == BinaryOp::Add;
                    let operation = if is_add { "addition" } else { "subtraction" };
                    let combined = if is_add { histogram::add(a, b) } else { histogram::sub(a, b) };
                    let Ok((mut result, notes)) = combined else {
                        let op = op.as_str();
                        self.note(Remark::IncompatibleBucketLayout { op }, span);
                        return Outcome::None;
                    };
                    if notes.reset_collision {
                        self.note(Remark::CounterResetCollision { operation }, span);
                    }
                    if notes.reconciled {
                        self.note(Remark::CustomBucketsReconciled { operation }, span);
                    }
                    if !is_add {
                        result.counter_reset_hint = CounterResetHint::Gauge;
                    }
                    native(result)
                }
                _ => self.incompatible("histogram", op, "histogram", span),
            },
        }
    }

    fn incompatible(&mut self, lhs: &str, op: BinaryOp, rhs: &str, span: Span) -> Outcome {
        self.note(Remark::IncompatibleTypes { lhs, op: op.as_str(), rhs }, span);
        Outcome::None
    }
}
