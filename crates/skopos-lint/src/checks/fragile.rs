//! `promql/fragile`: expressions that work until a label is added.

use skopos_promql::ast::{AggregateOp, BinaryOp, Cardinality, selectors};
use skopos_promql::{Expr, ExprKind};

use crate::context::{Draft, Subject};
use crate::metric;

const CODE: &str = "promql/fragile";

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(ast) = subject.rule.ast() else { return };
    if subject.rule.is_alert {
        for (expr, op) in visible_picks(ast) {
            let message = format!(
                "which series `{}` picks changes from one evaluation to the next: alerts resolve and fire anew",
                op.as_str()
            );
            let hint = "compare with a threshold instead, or aggregate to a fixed set of labels";
            found.push(subject.in_expr(CODE, expr.span, message).hint(hint));
        }
    }
    for expr in ast.descendants() {
        match &expr.kind {
            ExprKind::Binary(binary) if matches(binary.op) => {
                let Some(matching) = &binary.matching else { continue };
                if matching.on || !matching.labels.is_empty() {
                    continue;
                }
                let sides = [without(&binary.lhs), without(&binary.rhs)];
                let [Some(left), Some(right)] = sides else { continue };
                if (left || right) && names(&binary.lhs) != names(&binary.rhs) {
                    let message = "a label that is added to one of these metrics makes both sides differ: `without` keeps it";
                    let hint = "aggregate both sides by the same labels, or match `on (…)` those that count";
                    found.push(subject.in_expr(CODE, binary.op_span, message).hint(hint));
                }
            }
            _ => {}
        }
    }
}

/// The picks whose labels become the alert's. What an aggregation sums up, what only says which series are meant,
/// and the one side of a join (where `topk by (…) (1, …)` makes labels unique) is none of them.
fn visible_picks(expr: &Expr) -> Vec<(&Expr, AggregateOp)> {
    match &expr.kind {
        ExprKind::Aggregate(aggregate) if picks(aggregate.op) => vec![(expr, aggregate.op)],
        ExprKind::Aggregate(_) => Vec::new(),
        ExprKind::Binary(binary) => {
            let cardinality = binary.matching.as_ref().map(|m| m.cardinality);
            let left = || visible_picks(&binary.lhs);
            let right = || visible_picks(&binary.rhs);
            match (binary.op, cardinality) {
                (BinaryOp::And | BinaryOp::Unless, _) => left(),
                (_, Some(Cardinality::ManyToOne)) => left(),
                (_, Some(Cardinality::OneToMany)) => right(),
                _ => left().into_iter().chain(right()).collect(),
            }
        }
        _ => expr.children().into_iter().flat_map(visible_picks).collect(),
    }
}

fn picks(op: AggregateOp) -> bool {
    matches!(
        op,
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
    )
}

fn matches(op: BinaryOp) -> bool {
    !op.is_set()
}

/// Whether it is an aggregation, and if so one with `without`.
fn without(expr: &Expr) -> Option<bool> {
    match &expr.unparenthesised().kind {
        ExprKind::Aggregate(aggregate) => Some(aggregate.without),
        _ => None,
    }
}

fn names(expr: &Expr) -> Vec<&str> {
    let mut names: Vec<&str> =
        selectors(expr).iter().filter_map(|(_, s)| metric::name_of(s)).collect();
    names.sort_unstable();
    names.dedup();
    names
}
