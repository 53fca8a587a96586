//! Which labels an expression's elements can have: shape analysis.
//!
//! Selectors may have any label, so most shapes are open: known is only what was taken away. An
//! aggregation with `by` closes a shape. Recorded metrics are followed into their rules.

use std::collections::{BTreeMap, BTreeSet};

use skopos_model::METRIC_NAME;
use skopos_promql::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, VectorSelector,
};
use skopos_promql::{Expr, ExprKind, Span, ValueType};

use crate::context::Records;
use crate::metric;
use crate::source::Rule;

/// The labels of an expression's elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Labels that every element has, with a value that is not empty.
    pub(crate) certain: BTreeSet<String>,
    /// When closed: all labels that an element can have.
    pub(crate) possible: Option<BTreeSet<String>>,
    /// Labels known to be gone, and the piece that took them.
    pub(crate) gone: BTreeMap<String, Span>,
    /// The piece that closed the shape.
    pub(crate) closed_by: Option<Span>,
}

const MAX_DEPTH: usize = 8;

impl Shape {
    fn closed(labels: impl IntoIterator<Item = String>, by: Span) -> Self {
        let possible = Some(labels.into_iter().collect());
        Self { possible, closed_by: Some(by), ..Self::default() }
    }

    /// Whether an element can have the label.
    pub(crate) fn may_have(&self, label: &str) -> bool {
        match &self.possible {
            Some(possible) => possible.contains(label),
            None => !self.gone.contains_key(label),
        }
    }

    /// The piece that took a label away.
    pub(crate) fn taken_by(&self, label: &str) -> Option<Span> {
        self.gone.get(label).copied().or(self.closed_by)
    }

    fn remove(&mut self, label: &str, by: Span) {
        self.certain.remove(label);
        match &mut self.possible {
            Some(possible) => {
                if possible.remove(label) {
                    self.gone.insert(label.to_owned(), by);
                }
            }
            None => {
                self.gone.insert(label.to_owned(), by);
            }
        }
    }

    fn add(&mut self, label: &str) {
        self.gone.remove(label);
        if let Some(possible) = &mut self.possible {
            possible.insert(label.to_owned());
        }
    }

    /// What an element of either can have.
    fn or(self, other: Self) -> Self {
        let certain = self.certain.intersection(&other.certain).cloned().collect();
        let possible = match (&self.possible, &other.possible) {
            (Some(a), Some(b)) => Some(a.union(b).cloned().collect()),
            _ => None,
        };
        let mut gone = self.gone.clone();
        gone.extend(other.gone.clone());
        gone.retain(|label, _| !self.may_have(label) && !other.may_have(label));
        let closed_by = possible.as_ref().and(self.closed_by.or(other.closed_by));
        Self { certain, possible, gone, closed_by }
    }
}

/// The shape of an expression.
pub(crate) fn labels(expr: &Expr, records: &Records<'_>) -> Shape {
    of(expr, records, 0)
}

fn of(expr: &Expr, records: &Records<'_>, depth: usize) -> Shape {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => Shape::closed([], expr.span),
        ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => of(inner, records, depth),
        ExprKind::Subquery(subquery) => of(&subquery.expr, records, depth),
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            selected(selector, expr.span, records, depth)
        }
        ExprKind::Call(call) => called(call, expr.span, records, depth),
        ExprKind::Aggregate(aggregate) => {
            let inner = of(&aggregate.expr, records, depth);
            aggregated(aggregate, inner, expr.span)
        }
        ExprKind::Binary(binary) => combined(binary, expr.span, records, depth),
    }
}

fn selected(selector: &VectorSelector, span: Span, records: &Records<'_>, depth: usize) -> Shape {
    let recorded = metric::name_of(selector).filter(|_| depth < MAX_DEPTH).and_then(|name| {
        let all: Option<Vec<Shape>> =
            records.rules(name).iter().map(|rule| recorded(rule, span, records, depth)).collect();
        all?.into_iter().reduce(Shape::or)
    });
    let mut shape = recorded.unwrap_or_default();
    for matcher in selector.matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if matcher.literal_values().is_some_and(|values| values == [""]) {
            shape.remove(matcher.name(), span);
        } else if !matcher.matches_empty() && shape.may_have(matcher.name()) {
            shape.certain.insert(matcher.name().to_owned());
        }
    }
    shape
}

fn recorded(rule: &Rule, span: Span, records: &Records<'_>, depth: usize) -> Option<Shape> {
    let mut shape = of(rule.ast()?, records, depth + 1);
    // Places are those of another expression: here the selector is what took them.
    shape.closed_by = shape.closed_by.map(|_| span);
    shape.gone.values_mut().for_each(|by| *by = span);
    for (key, value) in &rule.labels {
        if value.value.is_empty() {
            shape.remove(&key.value, span);
        } else {
            shape.add(&key.value);
            shape.certain.insert(key.value.clone());
        }
    }
    Some(shape)
}

fn called(call: &Call, span: Span, records: &Records<'_>, depth: usize) -> Shape {
    let argument = call
        .args
        .iter()
        .find(|arg| matches!(arg.value_type(), ValueType::Vector | ValueType::Matrix));
    let text = |at: usize| match call.args.get(at).map(|e| &e.unparenthesised().kind) {
        Some(ExprKind::String(literal)) => Some(literal.value.as_str()),
        _ => None,
    };
    let Some(argument) = argument else { return Shape::closed([], span) };
    let inner = || of(argument, records, depth);
    match call.func.name {
        // Back to a number, and a number made a vector.
        "scalar" | "vector" => Shape::closed([], span),
        "absent" | "absent_over_time" => {
            let equal = match &argument.unparenthesised().kind {
                ExprKind::Vector(s) | ExprKind::Matrix { selector: s, .. } => {
                    let named = s.matchers.iter().filter(|m| {
                        m.op() == skopos_model::MatchOp::Equal && m.name() != METRIC_NAME
                    });
                    named.map(|m| m.name().to_owned()).collect()
                }
                _ => Vec::new(),
            };
            let mut shape = Shape::closed(equal.clone(), span);
            shape.certain.extend(equal);
            shape
        }
        "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
            let mut shape = inner();
            shape.remove("le", span);
            if call.func.name == "histogram_quantiles"
                && let Some(label) = text(1)
            {
                shape.add(label);
            }
            shape
        }
        "label_replace" | "label_join" => {
            let mut shape = inner();
            match text(1) {
                Some(label) => {
                    shape.add(label);
                    shape.certain.remove(label);
                }
                None => return Shape::default(),
            }
            shape
        }
        "info" => Shape { certain: inner().certain, ..Shape::default() },
        _ => inner(),
    }
}

fn aggregated(aggregate: &Aggregate, inner: Shape, span: Span) -> Shape {
    let picks = matches!(
        aggregate.op,
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
    );
    if picks {
        return inner;
    }
    let mut shape = if aggregate.without {
        let mut shape = inner;
        aggregate.grouping.iter().for_each(|label| shape.remove(label, span));
        shape
    } else {
        let kept = aggregate.grouping.iter().filter(|label| inner.may_have(label));
        let mut shape = Shape::closed(kept.cloned(), span);
        shape.certain = inner
            .certain
            .intersection(shape.possible.as_ref().unwrap_or(&BTreeSet::new()))
            .cloned()
            .collect();
        shape.gone = inner.gone;
        shape
    };
    if aggregate.op == AggregateOp::CountValues
        && let Some(ExprKind::String(label)) =
            aggregate.param.as_ref().map(|e| &e.unparenthesised().kind)
    {
        shape.add(&label.value);
    }
    shape
}

fn combined(binary: &Binary, span: Span, records: &Records<'_>, depth: usize) -> Shape {
    let is_vector = |e: &Expr| e.value_type() == ValueType::Vector;
    let (left, right) = (of(&binary.lhs, records, depth), of(&binary.rhs, records, depth));
    match (is_vector(&binary.lhs), is_vector(&binary.rhs)) {
        (true, false) => return left,
        (false, true) => return right,
        (false, false) => return Shape::closed([], span),
        (true, true) => {}
    }
    match binary.op {
        BinaryOp::And | BinaryOp::Unless => return left,
        BinaryOp::Or => return left.or(right),
        _ => {}
    }
    let matching = binary.matching.clone().unwrap_or_default();
    match matching.cardinality {
        Cardinality::ManyToOne | Cardinality::OneToMany => {
            let (mut many, one) = match matching.cardinality {
                Cardinality::ManyToOne => (left, right),
                _ => (right, left),
            };
            for label in &matching.include {
                if one.may_have(label) {
                    many.add(label);
                } else {
                    many.remove(label, span);
                }
                if !one.certain.contains(label) {
                    many.certain.remove(label);
                }
            }
            many
        }
        _ if matching.on => {
            let kept = matching.labels.iter().filter(|l| left.may_have(l) || right.may_have(l));
            let mut shape = Shape::closed(kept.cloned(), span);
            let certain =
                left.certain.union(&right.certain).filter(|l| matching.labels.contains(*l));
            shape.certain = certain.cloned().collect();
            shape
        }
        // Both sides have the same labels but for those ignored, which go.
        _ => {
            let mut shape = left.clone();
            matching.labels.iter().for_each(|label| shape.remove(label, span));
            let ignored = |label: &String| matching.labels.contains(label);
            shape.certain.extend(right.certain.iter().filter(|l| !ignored(l)).cloned());
            if let Some(theirs) = &right.possible {
                let ours = shape.possible.clone();
                let kept = theirs
                    .iter()
                    .filter(|l| !ignored(l) && ours.as_ref().is_none_or(|o| o.contains(*l)));
                shape.possible = Some(kept.cloned().collect());
                shape.closed_by = shape.closed_by.or(right.closed_by);
            }
            for (label, by) in &right.gone {
                shape.remove(label, *by);
            }
            if let Some(possible) = &shape.possible {
                shape.certain.retain(|label| possible.contains(label));
            }
            shape
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_by_hand() {
        // Closed shapes list what is possible, open ones what is gone; certain labels have a star.
        let cases = [
            ("up", "any"),
            (r#"up{job="a"}"#, "any, job*"),
            (r#"up{job=""}"#, "any but job"),
            ("sum(up)", "none"),
            (r#"sum by (job, x) (up{job="a"})"#, "job*, x"),
            ("sum without (pod) (up)", "any but pod"),
            ("sum by (job) (sum without (job) (up))", "none"),
            ("topk by (job) (1, up)", "any"),
            (r#"count_values("v", up)"#, "v"),
            ("histogram_quantile(0.9, sum by (le, job) (rate(x_bucket[5m])))", "job"),
            (r#"label_replace(sum(up), "a", "$1", "b", "(.*)")"#, "a"),
            (r#"absent(up{job="a", pod=~"x"})"#, "job*"),
            ("a / on(job) b", "job"),
            ("a / ignoring(pod) b", "any but pod"),
            ("sum by (job) (a) / sum by (job, x) (b)", "job"),
            ("a * on(job) group_left(team) b", "any"),
            ("sum by (job) (a) * on(job) group_left(team) b", "job, team"),
            ("sum by (job) (a) and b", "job"),
            ("sum by (job) (a) or sum by (x) (b)", "job, x"),
            ("a > 5", "any"),
            ("5 < sum(a)", "none"),
            ("vector(1)", "none"),
        ];
        for (text, want) in cases {
            let expr = skopos_promql::parse(text, &Default::default()).unwrap();
            let shape = labels(&expr, &Records::default());
            let star = |label: &String| match shape.certain.contains(label) {
                true => format!("{label}*"),
                false => label.clone(),
            };
            let shown = match &shape.possible {
                Some(possible) if possible.is_empty() => "none".into(),
                Some(possible) => possible.iter().map(star).collect::<Vec<_>>().join(", "),
                None => {
                    let gone = shape.gone.keys().cloned().collect::<Vec<_>>().join(", ");
                    let mut parts = vec![if gone.is_empty() {
                        "any".into()
                    } else {
                        format!("any but {gone}")
                    }];
                    parts.extend(shape.certain.iter().map(star));
                    parts.join(", ")
                }
            };
            assert_eq!(shown, want, "{text}");
        }
    }
}
