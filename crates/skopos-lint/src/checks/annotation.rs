//! `alerts/summary`, `alerts/value`, `alerts/unit`: does the text say what is wrong, and in the unit that
//! the value has?

use skopos_alerting::template::{Use, UseKind};
use skopos_promql::ast::{AggregateOp, BinaryOp, selectors};
use skopos_promql::{Expr, ExprKind};

use super::burn::number;
use super::condition::is_heartbeat;
use super::template::uses;
use crate::Priority;
use crate::context::{Draft, Subject};
use crate::interval::{Interval, values};
use crate::metric;

/// Annotations that tell people what happens; any of them will do.
const TEXTS: [&str; 4] = ["summary", "description", "message", "title"];

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let rule = subject.rule;
    let Some(ast) = rule.ast().filter(|ast| rule.is_alert && !is_heartbeat(ast)) else { return };
    let is_told = TEXTS
        .iter()
        .any(|name| rule.annotation(name).is_some_and(|(_, text)| !text.value.trim().is_empty()));
    if !is_told && subject.priority() != Some(Priority::Nobody) {
        let message = "whoever is woken reads a name and labels, and no sentence";
        let hint =
            "say in `summary` what is wrong, for whom, and how much: `{{ $value | humanize }}`";
        found.push(subject.about("alerts/summary", message).hint(hint));
    }
    for (_, text) in &rule.annotations {
        for one in uses(text) {
            if one.kind != UseKind::Value {
                continue;
            }
            if one.functions.is_empty() && !is_whole(value_of(ast)) {
                let message = "the value is printed with all its digits";
                let hint = "`{{ $value | humanize }}`, or `humanizePercentage`, `humanizeDuration`, `humanize1024`, `printf \"%.2f\"`";
                found.push(subject.in_text("alerts/value", text, one.offset, message).hint(hint));
            }
            if let Some((message, hint)) = unit(&one, &text.value, value_of(ast), subject) {
                found.push(subject.in_text("alerts/unit", text, one.offset, message).hint(hint));
            }
        }
    }
    for expr in ast.descendants() {
        let Some(message) = percent_of_ratio(expr) else { continue };
        let hint = "a ratio lies between 0 and 1: compare with 0.8, not with 80";
        found.push(subject.in_expr("alerts/unit", expr.span, message).hint(hint));
    }
}

/// The expression whose value the alert shows: what stands left of the comparison.
fn value_of(ast: &Expr) -> &Expr {
    let ast = ast.unparenthesised();
    match &ast.kind {
        ExprKind::Binary(b) if b.op.is_comparison() && !b.return_bool => match number(&b.lhs) {
            Some(_) => value_of(&b.rhs),
            None => value_of(&b.lhs),
        },
        ExprKind::Binary(b) if matches!(b.op, BinaryOp::And | BinaryOp::Unless) => value_of(&b.lhs),
        _ => ast,
    }
}

/// Whether the value is a whole number, which has no digits to spare.
fn is_whole(value: &Expr) -> bool {
    match &value.unparenthesised().kind {
        ExprKind::Aggregate(a) => matches!(a.op, AggregateOp::Count | AggregateOp::Group),
        ExprKind::Call(c) => matches!(c.func.name, "changes" | "resets" | "count_over_time"),
        _ => false,
    }
}

fn unit(one: &Use, text: &str, value: &Expr, subject: &Subject<'_>) -> Option<(String, String)> {
    let interval = values(value, subject.records);
    let passes = |name: &str| one.functions.iter().any(|f| f == name);
    if passes("humanizePercentage") && is_percent(value, interval) {
        return Some((
            "the value is in percent already: `humanizePercentage` multiplies by 100".into(),
            "`{{ $value | humanize }}%`, or leave the factor 100 out of the expression".into(),
        ));
    }
    if passes("humanizeDuration")
        && let Some(name) =
            names(value).into_iter().find(|name| has_word(name, &["milliseconds", "ms"]))
    {
        return Some((
            format!("`humanizeDuration` takes seconds, and `{name}` is in milliseconds"),
            "divide by 1000".into(),
        ));
    }
    let is_share = interval == Interval::SHARE && !is_percent(value, interval);
    if is_share && !passes("humanizePercentage") && followed_by_percent(one, text) {
        return Some((
            "the value is a share between 0 and 1, and a percent sign follows it".into(),
            "`{{ $value | humanizePercentage }}` multiplies and writes the sign".into(),
        ));
    }
    None
}

/// Whether the value is a share times a hundred.
fn is_percent(value: &Expr, interval: Interval) -> bool {
    let has_factor = has_factor(value);
    has_factor || interval == (Interval { low: 0.0, high: 100.0 })
}

/// Whether a hundred is one of the factors.
fn has_factor(value: &Expr) -> bool {
    let is_hundred = |e: &Expr| number(e) == Some(100.0);
    match &value.unparenthesised().kind {
        ExprKind::Binary(b) if b.op == BinaryOp::Mul => {
            is_hundred(&b.lhs) || is_hundred(&b.rhs) || has_factor(&b.lhs) || has_factor(&b.rhs)
        }
        ExprKind::Binary(b) if b.op == BinaryOp::Div => has_factor(&b.lhs),
        _ => false,
    }
}

fn followed_by_percent(one: &Use, text: &str) -> bool {
    let rest = text.get(one.offset..).unwrap_or("");
    rest.split_once("}}").is_some_and(|(_, after)| after.trim_start_matches(' ').starts_with('%'))
}

/// `x_ratio > 80`: by its name the metric never gets there.
fn percent_of_ratio(expr: &Expr) -> Option<String> {
    let ExprKind::Binary(b) = &expr.kind else { return None };
    if !b.op.is_comparison() {
        return None;
    }
    let (side, bound) = match (number(&b.lhs), number(&b.rhs)) {
        (None, Some(bound)) => (&b.lhs, bound),
        (Some(bound), None) => (&b.rhs, bound),
        _ => return None,
    };
    let ExprKind::Vector(selector) = &side.unparenthesised().kind else { return None };
    let name = metric::name_of(selector)?;
    let is_ratio = name.ends_with("_ratio") && bound > 1.0 && bound <= 100.0;
    is_ratio.then(|| format!("`{name}` is a ratio by its name, and {bound} looks like percent"))
}

fn names(expr: &Expr) -> Vec<&str> {
    selectors(expr).into_iter().filter_map(|(_, selector)| metric::name_of(selector)).collect()
}

fn has_word(name: &str, words: &[&str]) -> bool {
    name.split(['_', '.', ':']).any(|word| words.contains(&word))
}
