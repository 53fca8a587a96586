//! What an expression reads: its selectors, and which of them it cannot do without.
//!
//! A rule whose selector matches nothing looks exactly like one whose condition does not hold.
//! What is missing is therefore asked per selector, and only where something must be there:
//! the arguments of `absent` may be absent, what `unless` takes away may be nothing, one side of
//! `or` is enough, and a side that `fill` replaces may be missing.

use skopos_model::{LabelMatcher, METRIC_NAME};
use skopos_promql::ast::{BinaryOp, Expr, ExprKind, VectorSelector};

/// A selector of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Its text in one form, without range, offset and `@`: `up{job="shop"}`.
    pub text: String,
    /// All its conditions, the name's included.
    pub matchers: Vec<LabelMatcher>,
}

/// The selectors of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reads {
    selectors: Vec<Selector>,
    need: Need,
}

/// What must be there for an expression to return anything.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Selector(usize),
    All(Vec<Need>),
    Any(Vec<Need>),
}

impl Reads {
    pub(super) fn of(expr: &Expr) -> Self {
        let mut reads = Self { selectors: Vec::new(), need: Need::Nothing };
        reads.need = reads.visit(expr);
        reads
    }

    /// Each selector once, in the order of the text.
    pub(super) fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// The selectors that are missing and needed, when `found` says which matched something.
    pub(super) fn missing(&self, found: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut missing = missing(&self.need, &found);
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn add(&mut self, selector: &VectorSelector) -> usize {
        if let Some(at) = self.selectors.iter().position(|s| s.matchers == selector.matchers) {
            return at;
        }
        self.selectors.push(Selector { text: text(selector), matchers: selector.matchers.clone() });
        self.selectors.len() - 1
    }

    fn all<'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expr>) -> Need {
        Need::All(expressions.into_iter().map(|e| self.visit(e)).collect())
    }

    fn visit(&mut self, expr: &Expr) -> Need {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => Need::Nothing,
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
                Need::Selector(self.add(selector))
            }
            ExprKind::Subquery(subquery) => self.visit(&subquery.expr),
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => self.visit(expr),
            ExprKind::Aggregate(aggregate) => {
                self.all(aggregate.param.iter().chain([&aggregate.expr]))
            }
            ExprKind::Call(call) => {
                let need = self.all(&call.args);
                match call.func.name {
                    "absent" | "absent_over_time" => Need::Nothing,
                    _ => need,
                }
            }
            ExprKind::Binary(binary) => {
                let (left, right) = (self.visit(&binary.lhs), self.visit(&binary.rhs));
                let filled = binary.matching.as_ref().map_or((false, false), |matching| {
                    (matching.fill_left.is_some(), matching.fill_right.is_some())
                });
                match (binary.op, filled) {
                    (BinaryOp::Or, _) | (_, (true, true)) => Need::Any(vec![left, right]),
                    (BinaryOp::Unless, _) | (_, (false, true)) => left,
                    (_, (true, false)) => right,
                    _ => Need::All(vec![left, right]),
                }
            }
        }
    }
}

fn missing(need: &Need, found: &impl Fn(usize) -> bool) -> Vec<usize> {
    match need {
        Need::Nothing => Vec::new(),
        Need::Selector(at) if found(*at) => Vec::new(),
        Need::Selector(at) => vec![*at],
        Need::All(parts) => parts.iter().flat_map(|part| missing(part, found)).collect(),
        Need::Any(parts) => {
            let parts: Vec<Vec<usize>> = parts.iter().map(|part| missing(part, found)).collect();
            match parts.iter().any(Vec::is_empty) {
                true => Vec::new(),
                false => parts.concat(),
            }
        }
    }
}

fn text(selector: &VectorSelector) -> String {
    let name = selector.name.as_deref();
    let says_name = |m: &&LabelMatcher| name.is_some() && m.name() == METRIC_NAME;
    let others: Vec<String> =
        selector.matchers.iter().filter(|m| !says_name(m)).map(ToString::to_string).collect();
    match name {
        Some(name) if others.is_empty() => name.to_owned(),
        name => format!("{}{{{}}}", name.unwrap_or(""), others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use skopos_promql::ParseOptions;

    use super::*;

    /// What is missing when only `there` and `also` match something.
    fn blind(query: &str) -> Vec<String> {
        let expr = skopos_promql::parse(query, &ParseOptions::all()).unwrap();
        let reads = Reads::of(&expr);
        let is_there = |at: usize| {
            ["there", "also"].iter().any(|known| reads.selectors()[at].text.starts_with(known))
        };
        reads.missing(is_there).into_iter().map(|at| reads.selectors()[at].text.clone()).collect()
    }

    #[test]
    fn only_what_must_be_there_is_missed() {
        let none: &[&str] = &[];
        for (query, want) in [
            ("there > 1", none),
            ("rate(gone[5m]) > 1", &["gone"]),
            ("gone{a=\"b\", c=~\"d.*\"} > 1", &["gone{a=\"b\", c=~\"d.*\"}"]),
            ("{__name__=~\"gone.*\", job=\"x\"}", &["{__name__=~\"gone.*\", job=\"x\"}"]),
            ("sum(gone) / sum(there) > 0.1", &["gone"]),
            ("sum(gone) / sum(gone2) > 0.1", &["gone", "gone2"]),
            ("there and gone", &["gone"]),
            ("there unless gone", none),
            ("gone unless there", &["gone"]),
            ("rate(there[5m]) or rate(gone[5m])", none),
            ("rate(gone[5m]) or rate(gone2[5m])", &["gone", "gone2"]),
            ("(sum(gone) or vector(0)) == 0", none),
            ("absent(gone)", none),
            ("absent_over_time(gone[5m]) and there", none),
            ("there + fill(0) gone > 1", none),
            ("there + fill_right(0) gone > 1", none),
            ("there + fill_left(0) gone > 1", &["gone"]),
            ("topk(scalar(gone), there)", &["gone"]),
            ("max_over_time(rate(gone[5m])[1h:1m])", &["gone"]),
            ("vector(1)", none),
            ("gone + gone offset 1d", &["gone"]),
        ] {
            assert_eq!(blind(query), want, "{query}");
        }
    }
}
