//! `promql/impossible`: selectors that select nothing, and sides that never find each other.

use skopos_model::{LabelMatcher, METRIC_NAME};
use skopos_promql::ast::{
    Aggregate, Binary, BinaryOp, Call, Cardinality, VectorSelector, selectors,
};
use skopos_promql::{Expr, ExprKind, ValueType};

use crate::Severity;
use crate::context::{Draft, Subject};
use crate::metric;
use crate::shape::{Shape, labels};

const CODE: &str = "promql/impossible";

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(ast) = subject.rule.ast() else { return };
    for expr in ast.descendants() {
        match &expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
                contradiction(subject, expr, selector, found);
            }
            ExprKind::Aggregate(aggregate) => grouping(subject, expr, aggregate, found),
            ExprKind::Call(call) if call.func.name == "histogram_quantile" => {
                buckets(subject, expr, call, found);
            }
            ExprKind::Binary(binary) => matching(subject, binary, found),
            _ => {}
        }
    }
}

/// Matchers of one label that no value satisfies.
fn contradiction(
    subject: &Subject<'_>,
    expr: &Expr,
    selector: &VectorSelector,
    found: &mut Vec<Draft>,
) {
    for matcher in &selector.matchers {
        let Some(values) = matcher.literal_values() else { continue };
        let same: Vec<&LabelMatcher> =
            selector.matchers.iter().filter(|m| m.name() == matcher.name()).collect();
        let satisfies = |value: &&&str| same.iter().all(|m| m.matches(value));
        if same.len() > 1 && !values.iter().any(|v| satisfies(&v)) {
            let all: Vec<String> = same
                .iter()
                .map(|m| format!("{}{}{:?}", m.name(), m.op().as_str(), m.value()))
                .collect();
            let message = format!("no value satisfies {}: nothing is selected", all.join(" and "));
            found.push(subject.in_expr(CODE, expr.span, message));
            return;
        }
    }
}

/// Labels to group by that are gone already.
fn grouping(subject: &Subject<'_>, expr: &Expr, aggregate: &Aggregate, found: &mut Vec<Draft>) {
    if aggregate.without {
        return;
    }
    let inner = labels(&aggregate.expr, subject.records);
    for label in aggregate.grouping.iter().filter(|label| !inner.may_have(label)) {
        let by = inner
            .taken_by(label)
            .map_or(String::new(), |s| format!(": `{}` has left it out", subject.quote(s)));
        let message = format!("nothing here has the label `{label}`{by}");
        let hint = format!("leave `{label}` out here, or keep it there");
        found
            .push(subject.in_expr(CODE, expr.span, message).hint(hint).severity(Severity::Warning));
    }
}

/// A quantile of buckets whose bounds are gone.
fn buckets(subject: &Subject<'_>, expr: &Expr, call: &Call, found: &mut Vec<Draft>) {
    let Some(argument) = call.args.get(1) else { return };
    let names = selectors(argument);
    let mut names = names.iter().filter_map(|(_, s)| metric::name_of(s));
    // Native histograms have no label `le`, and no suffix.
    let is_classic = names.any(|name| name.ends_with("_bucket"));
    if is_classic && !labels(argument, subject.records).may_have("le") {
        let message = "without the label `le` there are no buckets: this returns nothing";
        let hint = "keep it: `sum by (le, …) (rate(…_bucket[5m]))`";
        found.push(subject.in_expr(CODE, expr.span, message).hint(hint));
    }
}

/// Sides whose labels do not go together.
fn matching(subject: &Subject<'_>, binary: &Binary, found: &mut Vec<Draft>) {
    let Some(matching) = &binary.matching else { return };
    let is_vector = |e: &Expr| e.value_type() == ValueType::Vector;
    if binary.op == BinaryOp::Or || !is_vector(&binary.lhs) || !is_vector(&binary.rhs) {
        return;
    }
    let sides = [labels(&binary.lhs, subject.records), labels(&binary.rhs, subject.records)];
    let keys: Vec<String> = if matching.on {
        matching.labels.clone()
    } else {
        let of = |shape: &Shape| shape.possible.clone().unwrap_or_default();
        let certain = |shape: &Shape| shape.certain.clone();
        let all = sides.iter().flat_map(|side| of(side).into_iter().chain(certain(side)));
        let mut keys: Vec<String> = all.filter(|l| !matching.labels.contains(l)).collect();
        keys.sort();
        keys.dedup();
        keys
    };
    for label in keys.iter().filter(|label| *label != METRIC_NAME) {
        let [left, right] = &sides;
        let (has, lacks, which) = match (left.may_have(label), right.may_have(label)) {
            (true, false) => (left, right, "right"),
            (false, true) => (right, left, "left"),
            (false, false) if matching.on => {
                let message = format!("neither side has the label `{label}` to match on");
                found.push(
                    subject.in_expr(CODE, binary.op_span, message).severity(Severity::Warning),
                );
                continue;
            }
            _ => continue,
        };
        let is_certain = has.certain.contains(label);
        // An open side may have no such label; one that lists it by `by` is meant to have it.
        if !is_certain && has.possible.is_none() {
            continue;
        }
        let by = lacks
            .taken_by(label)
            .map_or(String::new(), |s| format!(" (`{}` has left it out)", subject.quote(s)));
        let outcome = match binary.op {
            BinaryOp::Unless => "so `unless` takes nothing away",
            _ => "so they match only where it is empty on the other side",
        };
        let outcome = if is_certain && binary.op != BinaryOp::Unless {
            "so nothing ever matches"
        } else {
            outcome
        };
        let message = format!("the {which} side has no label `{label}`{by}, {outcome}");
        let hint = match matching.on {
            true => format!("keep `{label}` there, or take it out of `on`"),
            false => format!("match with `on (…)` or `ignoring ({label})`, or keep the label"),
        };
        let severity = if is_certain { Severity::Error } else { Severity::Warning };
        found.push(subject.in_expr(CODE, binary.op_span, message).hint(hint).severity(severity));
        return;
    }
    if matches!(matching.cardinality, Cardinality::ManyToOne | Cardinality::OneToMany) {
        let one = match matching.cardinality {
            Cardinality::ManyToOne => &sides[1],
            _ => &sides[0],
        };
        for label in matching.include.iter().filter(|label| !one.may_have(label)) {
            let message = format!(
                "there is no label `{label}` to copy: the side of the one does not have it"
            );
            found.push(subject.in_expr(CODE, binary.op_span, message).severity(Severity::Warning));
        }
    }
}
