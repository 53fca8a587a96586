//! Burn-rate alerts: those that measure how fast an error budget is spent.

use skopos_promql::ast::{BinaryOp, selectors};
use skopos_promql::{Expr, ExprKind};

use crate::context::Subject;
use crate::interval::{Interval, values};
use crate::metric;

/// Whether a rule alerts on the burn rate of an SLO: by its name, by what it reads, or because it compares
/// a share with a factor times a budget.
pub(super) fn is_burn_rate(subject: &Subject<'_>) -> bool {
    let Some(ast) = subject.rule.ast() else { return false };
    let name = subject.rule.name.value.to_lowercase();
    if name.contains("burn") || name.contains("errorbudget") {
        return true;
    }
    let labelled = ["sloth_slo", "slo"].iter().any(|label| subject.rule.label(label).is_some());
    let reads_slo =
        selectors(ast).iter().filter_map(|(_, s)| metric::name_of(s)).any(is_slo_metric);
    labelled || reads_slo || ast.descendants().into_iter().any(|e| compares_with_budget(e, subject))
}

/// Whether a recorded metric is an indicator of an SLO, as generators name them.
pub(super) fn is_slo_metric(name: &str) -> bool {
    name.starts_with("slo:") || name.contains(":burnrate") || name.contains(":burn_rate")
}

/// `share > factor * budget`, or `share / budget > factor`.
fn compares_with_budget(expr: &Expr, subject: &Subject<'_>) -> bool {
    let ExprKind::Binary(binary) = &expr.kind else { return false };
    if !matches!(binary.op, BinaryOp::Greater | BinaryOp::GreaterEqual) {
        return false;
    }
    let is_share = |e: &Expr| values(e, subject.records) == Interval::SHARE;
    if is_share(&binary.lhs) && is_factor_times_budget(&binary.rhs) {
        return true;
    }
    match &binary.lhs.unparenthesised().kind {
        ExprKind::Binary(b) if b.op == BinaryOp::Div => {
            is_share(&b.lhs) && number(&b.rhs).is_some_and(|n| n > 0.0 && n < 0.5)
        }
        _ => false,
    }
}

fn is_factor_times_budget(expr: &Expr) -> bool {
    let ExprKind::Binary(binary) = &expr.unparenthesised().kind else { return false };
    if binary.op != BinaryOp::Mul {
        return false;
    }
    let (Some(a), Some(b)) = (number(&binary.lhs), number(&binary.rhs)) else { return false };
    let (factor, budget) = if a > b { (a, b) } else { (b, a) };
    factor >= 1.0 && budget > 0.0 && budget < 0.5
}

/// The value of an expression of numbers only.
pub(super) fn number(expr: &Expr) -> Option<f64> {
    match &expr.kind {
        ExprKind::Number(number) => Some(number.value),
        ExprKind::Paren(inner) => number(inner),
        ExprKind::Unary { negative, expr } => {
            number(expr).map(|value| if *negative { -value } else { value })
        }
        ExprKind::Binary(binary) if !binary.op.is_set() => {
            Some(binary.op.arithmetic(number(&binary.lhs)?, number(&binary.rhs)?))
        }
        _ => None,
    }
}
