//! `promql/fragile`: expressions that work until a label is added.

use skopos_promql::ast::{AggregateOp, BinaryOp, selectors};
use skopos_promql::{Expr, ExprKind};

use crate::context::{Draft, Subject};
use crate::metric;

const CODE: &str = "promql/fragile";

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(ast) = subject.rule.ast() else { return };
    for expr in ast.descendants() {
        match &expr.kind {
            ExprKind::Aggregate(aggregate) if subject.rule.is_alert && picks(aggregate.op) => {
                let message = format!(
                    "which series `{}` picks changes from one evaluation to the next: alerts resolve and fire anew",
                    aggregate.op.as_str()
                );
                let hint = "compare with a threshold instead, or aggregate to a fixed set of labels";
                found.push(subject.in_expr(CODE, expr.span, message).hint(hint));
            }
            ExprKind::Binary(binary) if matches(binary.op) => {
                let Some(matching) = &binary.matching else { continue };
                if matching.on || !matching.labels.is_empty() {
                    continue;
                }
                let sides = [without(&binary.lhs), without(&binary.rhs)];
                let [Some(left), Some(right)] = sides else { continue };
                if (left || right) && names(&binary.lhs) != names(&binary.rhs) {
                    let message =
                        "a label that is added to one of these metrics makes both sides differ: `without` keeps it";
                    let hint = "aggregate both sides by the same labels, or match `on (…)` those that count";
                    found.push(subject.in_expr(CODE, binary.op_span, message).hint(hint));
                }
            }
            _ => {}
        }
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
    let mut names: Vec<&str> = selectors(expr).iter().filter_map(|(_, s)| metric::name_of(s)).collect();
    names.sort_unstable();
    names.dedup();
    names
}
