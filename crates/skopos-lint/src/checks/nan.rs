//! `promql/nan`: quotients added up, of which one is 0 / 0.

use skopos_promql::ast::{AggregateOp, Binary, BinaryOp, selectors};
use skopos_promql::{Expr, ExprKind};

use crate::context::{Draft, Subject};
use crate::interval::values;

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(ast) = subject.rule.ast() else { return };
    for expr in ast.descendants() {
        let ExprKind::Aggregate(aggregate) = &expr.kind else { continue };
        let poisons = matches!(
            aggregate.op,
            AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Stddev | AggregateOp::Stdvar
        );
        if !poisons {
            continue;
        }
        let Some(quotient) = quotient(&aggregate.expr) else { continue };
        let divisor = values(&quotient.rhs, subject.records);
        let may_be_zero = divisor.low <= 0.0 && divisor.high >= 0.0;
        if may_be_zero && !excludes_zero(&quotient.rhs) && !selectors(&quotient.rhs).is_empty() {
            let message = format!(
                "where the divisor is 0 this is NaN or infinite, and so is the whole `{}`",
                aggregate.op.as_str()
            );
            let hint = "divide the sums, or keep zeros out: `… / (… > 0)`";
            found.push(subject.in_expr("promql/nan", quotient.op_span, message).hint(hint));
        }
    }
}

/// The division whose result is aggregated as it is.
fn quotient(expr: &Expr) -> Option<&Binary> {
    match &expr.unparenthesised().kind {
        ExprKind::Binary(binary) => match binary.op {
            BinaryOp::Div => Some(binary),
            BinaryOp::Mul | BinaryOp::Add | BinaryOp::Sub => {
                quotient(&binary.lhs).or_else(|| quotient(&binary.rhs))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a filter keeps zero out.
fn excludes_zero(expr: &Expr) -> bool {
    match &expr.unparenthesised().kind {
        ExprKind::Binary(binary) if !binary.return_bool => match binary.op {
            BinaryOp::Greater | BinaryOp::NotEqual | BinaryOp::Less => true,
            BinaryOp::Mul => excludes_zero(&binary.lhs) && excludes_zero(&binary.rhs),
            _ => false,
        },
        _ => false,
    }
}
