//! The conditions of an expression, taken apart: what is compared with what. A rule that returns
//! nothing does not say how far it is from returning something; the left side of its comparison
//! does.

use skopos_promql::ast::{BinaryOp, Expr, ExprKind};
use skopos_promql::{ValueType, format_value};

/// Most parts of an expression.
const MAX_PARTS: usize = 8;

/// One condition: what is looked at, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The expression that is looked at; a query of its own.
    pub expr: String,
    /// The comparison with its other side, such as `> 0.05`; none when it only has to be there.
    pub condition: Option<String>,
    /// Whether it must return nothing: the right side of `unless`.
    pub must_be_empty: bool,
}

/// Takes the conditions joined by `and`, `or` and `unless` apart.
pub(super) fn parts(expr: &Expr) -> Vec<Part> {
    let mut found = Vec::new();
    split(expr, false, &mut found);
    found.truncate(MAX_PARTS);
    found
}

fn split(expr: &Expr, must_be_empty: bool, found: &mut Vec<Part>) {
    let expr = expr.unparenthesised();
    let plain = || Part { expr: expr.to_string(), condition: None, must_be_empty };
    let ExprKind::Binary(binary) = &expr.kind else { return found.push(plain()) };
    match binary.op {
        BinaryOp::And | BinaryOp::Or => {
            split(&binary.lhs, must_be_empty, found);
            split(&binary.rhs, must_be_empty, found);
        }
        BinaryOp::Unless => {
            split(&binary.lhs, must_be_empty, found);
            split(&binary.rhs, !must_be_empty, found);
        }
        op if op.is_comparison() && !binary.return_bool => {
            let is_scalar = |side: &Expr| side.value_type() == ValueType::Scalar;
            let (looked_at, op, other) = match is_scalar(&binary.lhs) && !is_scalar(&binary.rhs) {
                true => (&binary.rhs, mirrored(op), &binary.lhs),
                false => (&binary.lhs, op, &binary.rhs),
            };
            let condition = Some(format!("{} {}", op.as_str(), bound(other)));
            let expr = looked_at.unparenthesised().to_string();
            found.push(Part { expr, condition, must_be_empty });
        }
        _ => found.push(plain()),
    }
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessEqual => BinaryOp::GreaterEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterEqual => BinaryOp::LessEqual,
        same => same,
    }
}

/// The other side; products of numbers (`14.4 * 0.001`) come out as what they are.
fn bound(expr: &Expr) -> String {
    match constant(expr) {
        // As many digits as a person wrote, not those that binary fractions add.
        Some(value) => format_value((value * 1e12).round() / 1e12),
        None => expr.to_string(),
    }
}

fn constant(expr: &Expr) -> Option<f64> {
    match &expr.kind {
        ExprKind::Number(number) => Some(number.value),
        ExprKind::Paren(inner) => constant(inner),
        ExprKind::Unary { negative, expr } => {
            constant(expr).map(|value| if *negative { -value } else { value })
        }
        ExprKind::Binary(binary) => {
            let (a, b) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            match binary.op {
                BinaryOp::Add => Some(a + b),
                BinaryOp::Sub => Some(a - b),
                BinaryOp::Mul => Some(a * b),
                BinaryOp::Div => Some(a / b),
                _ => None,
            }
        }
        _ => None,
    }
    .filter(|value| value.is_finite() && value.abs() < 1e3 || value.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use skopos_promql::ParseOptions;

    use super::*;

    #[test]
    fn conditions_are_taken_apart() {
        for (query, want) in [
            ("rate(a[5m]) > 0.05", "rate(a[5m]) | > 0.05"),
            ("0.05 < rate(a[5m])", "rate(a[5m]) | > 0.05"),
            ("sum(a) / sum(b) > 14.4 * 0.001", "sum(a) / sum(b) | > 0.0144"),
            ("(a > 1 and b < 2) unless c == 3", "a | > 1; b | < 2; not c | == 3"),
            ("a > 1 or b", "a | > 1; b"),
            ("a > b", "a | > b"),
            ("a > on (x) group_left () (b * 2)", "a | > (b * 2)"),
            ("absent(a)", "absent(a)"),
            ("a > bool 1", "a > bool 1"),
            ("up == 0", "up | == 0"),
        ] {
            let expr = skopos_promql::parse(query, &ParseOptions::default()).unwrap();
            let text = |part: &Part| {
                let not = if part.must_be_empty { "not " } else { "" };
                let condition = part.condition.as_ref().map(|c| format!(" | {c}"));
                format!("{not}{}{}", part.expr, condition.unwrap_or_default())
            };
            let found: Vec<String> = parts(&expr).iter().map(text).collect();
            assert_eq!(found.join("; "), want, "{query}");
        }
    }
}
