//! `promql/counter`: counters used for what they are worth now, not for how fast they grow.

use skopos_promql::ast::{AggregateOp, BinaryOp, VectorSelector};
use skopos_promql::{Expr, ExprKind};

use super::burn::number;
use crate::context::{Draft, Subject};
use crate::metric;

const CODE: &str = "promql/counter";

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(ast) = subject.rule.ast() else { return };
    for expr in ast.descendants() {
        match &expr.kind {
            ExprKind::Binary(binary) if binary.op.is_comparison() => {
                // Equal to zero since the start: that is a question to a counter.
                if binary.op == BinaryOp::Equal && number(&binary.rhs) == Some(0.0) {
                    continue;
                }
                let (left, right) = (counters(&binary.lhs), counters(&binary.rhs));
                for (at, name) in left.iter().chain(&right) {
                    // With itself at another time: that is how fast it grows.
                    let other = if left.contains(&(*at, *name)) { &right } else { &left };
                    if other.iter().any(|(_, theirs)| theirs == name) {
                        continue;
                    }
                    let message = format!(
                        "`{name}` is a counter: it only grows, and starts at 0 with its process; its value says nothing"
                    );
                    let hint = format!(
                        "compare its growth: `rate({name}[5m])` per second, or `increase(…)`"
                    );
                    found.push(subject.in_expr(CODE, at.span, message).hint(hint));
                }
            }
            ExprKind::Call(call) if matches!(call.func.name, "delta" | "deriv" | "idelta") => {
                let Some(argument) = call.args.first() else { continue };
                let ExprKind::Matrix { selector, .. } = &argument.kind else { continue };
                if let Some(name) = metric::name_of(selector).filter(|n| metric::is_counter(n)) {
                    let message = format!(
                        "`{}` takes a restart of the counter `{name}` for a fall",
                        call.func.name
                    );
                    let hint = "use `increase` or `rate`: they know that counters start anew";
                    found.push(subject.in_expr(CODE, expr.span, message).hint(hint));
                }
            }
            ExprKind::Call(call) if call.func.name == "histogram_quantile" => {
                let Some(argument) = call.args.get(1) else { continue };
                for (at, name) in buckets(argument) {
                    let message = format!(
                        "the quantile of `{name}` is that of all observations since the process started"
                    );
                    let hint = format!("take the last minutes: `rate({name}[5m])`");
                    found.push(subject.in_expr(CODE, at.span, message).hint(hint));
                }
            }
            _ => {}
        }
    }
}

/// The selectors of counters whose raw value reaches the expression's value.
fn counters(expr: &Expr) -> Vec<(&Expr, &str)> {
    raw(expr, &|selector| metric::name_of(selector).filter(|name| metric::is_counter(name)))
}

fn buckets(expr: &Expr) -> Vec<(&Expr, &str)> {
    let is_bucket = |name: &&str| name.ends_with("_bucket") && !metric::is_recorded(name);
    raw(expr, &|selector| metric::name_of(selector).filter(is_bucket))
}

type Wanted<'w> = dyn for<'s> Fn(&'s VectorSelector) -> Option<&'s str> + 'w;

fn raw<'e>(expr: &'e Expr, wanted: &Wanted<'_>) -> Vec<(&'e Expr, &'e str)> {
    match &expr.kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            wanted(selector).map(|name| (expr, name)).into_iter().collect()
        }
        ExprKind::Paren(e) | ExprKind::Unary { expr: e, .. } => raw(e, wanted),
        ExprKind::Subquery(subquery) => raw(&subquery.expr, wanted),
        ExprKind::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::Count | AggregateOp::Group => Vec::new(),
            _ => raw(&aggregate.expr, wanted),
        },
        ExprKind::Call(call) => match call.func.name {
            "abs" | "avg_over_time" | "ceil" | "clamp" | "clamp_max" | "clamp_min" | "floor"
            | "label_join" | "label_replace" | "last_over_time" | "max_over_time"
            | "min_over_time" | "round" | "scalar" | "sort" | "sort_desc" | "vector" => {
                call.args.iter().flat_map(|argument| raw(argument, wanted)).collect()
            }
            _ => Vec::new(),
        },
        ExprKind::Binary(binary) => match binary.op {
            BinaryOp::And | BinaryOp::Unless => raw(&binary.lhs, wanted),
            op if op.is_comparison() => Vec::new(),
            _ => {
                let (mut left, right) = (raw(&binary.lhs, wanted), raw(&binary.rhs, wanted));
                let names = |side: &[(&Expr, &str)]| {
                    side.iter().map(|(_, n)| n.to_string()).collect::<Vec<_>>()
                };
                // The difference of one counter at two times is its growth; products with an info
                // metric and the like stay.
                if binary.op == BinaryOp::Sub && !left.is_empty() && names(&left) == names(&right) {
                    return Vec::new();
                }
                left.extend(right);
                left
            }
        },
        ExprKind::Number(_) | ExprKind::String(_) => Vec::new(),
    }
}
