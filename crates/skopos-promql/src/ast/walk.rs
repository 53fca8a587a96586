//! Visiting syntax trees.

use super::{AggregateOp, Expr, ExprKind, VectorSelector};
use crate::functions::Function;

/// Sees every node of a tree, parents before children, left before right.
pub trait Visitor {
    /// Called for each node; children are skipped when it returns false.
    fn enter(&mut self, expr: &Expr) -> bool;

    /// Called after a node's children.
    fn leave(&mut self, _expr: &Expr) {}
}

/// Walks a tree.
pub fn walk(expr: &Expr, visitor: &mut impl Visitor) {
    if visitor.enter(expr) {
        for child in expr.children() {
            walk(child, visitor);
        }
    }
    visitor.leave(expr);
}

impl Expr {
    /// The expressions directly below this one, in the order of the text.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Vector(_)
            | ExprKind::Matrix { .. } => Vec::new(),
            ExprKind::Subquery(subquery) => vec![&subquery.expr],
            ExprKind::Call(call) => call.args.iter().collect(),
            ExprKind::Aggregate(agg) => agg.param.iter().chain([&agg.expr]).collect(),
            ExprKind::Binary(binary) => vec![&binary.lhs, &binary.rhs],
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => vec![expr],
        }
    }

    /// This node and all below it, parents first.
    pub fn descendants(&self) -> Vec<&Expr> {
        let mut found = vec![self];
        let mut next = 0;
        while let Some(expr) = found.get(next).copied() {
            found.splice(next + 1..next + 1, expr.children());
            next += 1;
        }
        found
    }
}

/// All selectors of an expression with their nodes (for range selectors, the node with the range).
pub fn selectors(expr: &Expr) -> Vec<(&Expr, &VectorSelector)> {
    expr.descendants()
        .into_iter()
        .filter_map(|e| match &e.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => Some((e, selector)),
            _ => None,
        })
        .collect()
}

/// All functions called, with their nodes.
pub fn functions(expr: &Expr) -> Vec<(&Expr, &'static Function)> {
    expr.descendants()
        .into_iter()
        .filter_map(|expr| match &expr.kind {
            ExprKind::Call(call) => Some((expr, call.func)),
            _ => None,
        })
        .collect()
}

/// All aggregations used, with their nodes.
pub fn aggregations(expr: &Expr) -> Vec<(&Expr, AggregateOp)> {
    expr.descendants()
        .into_iter()
        .filter_map(|expr| match &expr.kind {
            ExprKind::Aggregate(aggregate) => Some((expr, aggregate.op)),
            _ => None,
        })
        .collect()
}
