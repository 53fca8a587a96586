//! `alerts/comparison` and `alerts/threshold`: does the expression ever return nothing, and ever
//! something?

use skopos_promql::ast::{AggregateOp, BinaryOp};
use skopos_promql::{Expr, ExprKind, ValueType};

use crate::context::{Draft, Records, Subject};
use crate::interval::{Interval, mirrored, values};
use crate::metric;

pub(super) fn comparison(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(ast) = subject.rule.ast().filter(|_| subject.rule.is_alert) else { return };
    if is_heartbeat(ast) {
        return;
    }
    if !is_condition(ast, subject.records, 0) {
        let span = ast.unparenthesised().span;
        let message = "no comparison: every element alerts, whatever its value";
        let hint = "compare it: `… > 0`; a heartbeat that is meant to fire always is `vector(1)`";
        found.push(subject.in_expr("alerts/comparison", span, message).hint(hint));
        return;
    }
    let ExprKind::Binary(binary) = &ast.unparenthesised().kind else { return };
    if !binary.op.is_comparison() || binary.return_bool || asks_for_presence(&binary.lhs) {
        return;
    }
    let left = values(&binary.lhs, subject.records);
    if left.compare(binary.op, values(&binary.rhs, subject.records)) == Some(true) {
        let message = format!(
            "`{}` always holds: the left side {}",
            subject.quote(ast.unparenthesised().span),
            left.describe()
        );
        found.push(subject.in_expr("alerts/comparison", ast.unparenthesised().span, message));
    }
}

pub(super) fn threshold(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(ast) = subject.rule.ast() else { return };
    for expr in ast.descendants() {
        let ExprKind::Binary(binary) = &expr.kind else { continue };
        // `bool` turns it into a number; that is judged where the number is compared.
        if !binary.op.is_comparison() || binary.return_bool {
            continue;
        }
        let (left, right) =
            (values(&binary.lhs, subject.records), values(&binary.rhs, subject.records));
        if left.compare(binary.op, right) != Some(false) {
            continue;
        }
        // The side that varies is the one to speak of.
        let is_flipped = binary.lhs.value_type() == ValueType::Scalar;
        let (side, interval, bound, op) = match is_flipped {
            false => ("left", left, right, binary.op),
            true => ("right", right, left, mirrored(binary.op)),
        };
        let message = format!(
            "`{}` never holds: the {side} side {}",
            subject.quote(expr.span),
            interval.describe()
        );
        let draft = subject.in_expr("alerts/threshold", expr.span, message);
        let (varying, fixed) = match is_flipped {
            true => (&binary.rhs, &binary.lhs),
            false => (&binary.lhs, &binary.rhs),
        };
        found.push(match hint(varying, fixed, interval, bound, op) {
            Some(hint) => draft.hint(hint),
            None => draft,
        });
    }
}

fn hint(
    varying: &Expr,
    fixed: &Expr,
    interval: Interval,
    bound: Interval,
    op: BinaryOp,
) -> Option<String> {
    if let ExprKind::Aggregate(aggregate) = &varying.unparenthesised().kind
        && aggregate.op == AggregateOp::Count
        && matches!(op, BinaryOp::Equal | BinaryOp::Less | BinaryOp::LessEqual)
    {
        return Some("of nothing there is no count: `absent(…)` says that there is nothing".into());
    }
    let is_share = interval == Interval::SHARE && bound.low == bound.high;
    if !is_share || op != BinaryOp::Greater || bound.low <= 0.0 {
        return None;
    }
    if !matches!(fixed.unparenthesised().kind, ExprKind::Number(_)) {
        return Some(
            "a share reaches 1 at most: of this budget no more than 1 / budget can burn at a time"
                .into(),
        );
    }
    if bound.low <= 100.0 {
        let as_share = skopos_promql::format_value(bound.low / 100.0);
        return Some(format!("a share reaches 1 at most: for percent write {as_share}"));
    }
    None
}

/// Whether it is the constant that says "I am alive".
pub(crate) fn is_heartbeat(ast: &Expr) -> bool {
    match &ast.unparenthesised().kind {
        ExprKind::Number(_) => true,
        ExprKind::Call(call) => call.func.name == "vector" && call.args.iter().all(is_heartbeat),
        _ => false,
    }
}

/// `count(x) >= 1` and its like are true of whatever is there: they ask whether anything is.
fn asks_for_presence(left: &Expr) -> bool {
    match &left.unparenthesised().kind {
        ExprKind::Aggregate(a) => matches!(a.op, AggregateOp::Count | AggregateOp::Group),
        ExprKind::Call(c) => matches!(
            c.func.name,
            "count_over_time" | "present_over_time" | "absent" | "absent_over_time"
        ),
        ExprKind::Vector(selector) => metric::name_of(selector) == Some("ALERTS"),
        _ => false,
    }
}

/// Whether the expression can return nothing although its series are there.
fn is_condition(expr: &Expr, records: &Records<'_>, depth: usize) -> bool {
    let inner = |e: &Expr| is_condition(e, records, depth);
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => false,
        ExprKind::Paren(e) | ExprKind::Unary { expr: e, .. } => inner(e),
        ExprKind::Subquery(subquery) => inner(&subquery.expr),
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            match metric::name_of(selector) {
                // Series that exist only while something is the case.
                Some("ALERTS" | "ALERTS_FOR_STATE") => true,
                Some(name) if depth < 8 => {
                    let recorded = records.expressions(name);
                    recorded.iter().any(|e| is_condition(e, records, depth + 1))
                }
                _ => false,
            }
        }
        ExprKind::Call(call) => match call.func.name {
            "absent" | "absent_over_time" => true,
            "vector" | "scalar" => false,
            _ => call.args.iter().any(inner),
        },
        ExprKind::Aggregate(aggregate) => inner(&aggregate.expr),
        ExprKind::Binary(binary) => match binary.op {
            op if op.is_comparison() && !binary.return_bool => true,
            BinaryOp::Or => inner(&binary.lhs) && inner(&binary.rhs),
            BinaryOp::Unless => true,
            // The right side says which series, and may be a list of those concerned.
            BinaryOp::And => true,
            _ => inner(&binary.lhs) || inner(&binary.rhs),
        },
    }
}
