//! Type checks.

use super::Parser;
use crate::ast::*;
use crate::error::ParseError;
use crate::functions::{Function, FunctionKind};
use crate::span::Span;

impl Parser<'_> {
    pub(super) fn expect_type(
        &self,
        expr: &Expr,
        wanted: ValueType,
        context: &str,
    ) -> Result<(), ParseError> {
        let found = expr.value_type();
        if found == wanted {
            return Ok(());
        }
        let message =
            format!("expected type {} in {context}, got {}", wanted.describe(), found.describe());
        let hint = (wanted == ValueType::Matrix
            && matches!(expr.unparenthesised().kind, ExprKind::Vector(_)))
        .then(|| format!("{}[5m]", expr.span.text(self.query)));
        Err(self.error(expr.span, message).suggest(hint))
    }

    pub(super) fn check_call(
        &self,
        func: &'static Function,
        name_span: Span,
        args: &[Expr],
        span: Span,
    ) -> Result<(), ParseError> {
        let (name, count) = (func.name, args.len());
        let message = match func.max_args() {
            Some(max) if max == func.required && count != max => {
                Some(format!("expected {max} argument(s) in call to {name:?}, got {count}"))
            }
            Some(max) if count > max => {
                Some(format!("expected at most {max} argument(s) in call to {name:?}, got {count}"))
            }
            _ if count < func.required => Some(format!(
                "expected at least {} argument(s) in call to {name:?}, got {count}",
                func.required
            )),
            _ => None,
        };
        if let Some(message) = message {
            return Err(self.error(span, message));
        }
        for (i, arg) in args.iter().enumerate() {
            if let Some(wanted) = func.param(i) {
                self.expect_type(arg, wanted, &format!("call to function {name:?}"))?;
            }
        }
        self.check_range_modes(func, args)?;
        if matches!(func.kind, FunctionKind::Info)
            && let Some(second) = args.get(1)
            && !matches!(second.kind, ExprKind::Vector(_))
        {
            let message = "expected label selectors as the second argument of \"info\"";
            return Err(self.error(second.span, message));
        }
        if matches!(func.kind, FunctionKind::HistogramQuantiles) && args.len() > 12 {
            return Err(self.error(name_span, "histogram_quantiles takes at most 10 quantiles"));
        }
        Ok(())
    }

    /// Windows with synthetic ends make sense only where ends are compared.
    fn check_range_modes(&self, func: &'static Function, args: &[Expr]) -> Result<(), ParseError> {
        for arg in args {
            let ExprKind::Matrix { selector, .. } = &arg.unparenthesised().kind else { continue };
            let (word, allowed): (_, &[&str]) = match selector.mode {
                Some(RangeMode::Anchored) => {
                    ("anchored", &["changes", "delta", "increase", "rate", "resets"])
                }
                Some(RangeMode::Smoothed) => ("smoothed", &["delta", "increase", "rate"]),
                None => continue,
            };
            if !allowed.contains(&func.name) {
                let message = format!(
                    "{word} modifier can only be used with: {} - not with {}",
                    allowed.join(", "),
                    func.name
                );
                return Err(self.error(arg.span, message));
            }
        }
        Ok(())
    }

    pub(super) fn checked_binary(
        &self,
        op: BinaryOp,
        op_span: Span,
        lhs: Expr,
        rhs: Expr,
        return_bool: bool,
        matching: VectorMatching,
    ) -> Result<Expr, ParseError> {
        use ValueType::{Scalar, Vector};
        for side in [&lhs, &rhs] {
            if !matches!(side.value_type(), Scalar | Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(self.error(side.span, message));
            }
        }
        let types = (lhs.value_type(), rhs.value_type());
        let both_vectors = types == (Vector, Vector);
        if op.is_comparison() && !return_bool && types == (Scalar, Scalar) {
            let message = "comparisons between scalars must use BOOL modifier";
            return Err(self.error(op_span, message));
        }
        let trims = matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        if trims && types == (Scalar, Scalar) {
            let message = format!("operator {:?} not allowed for Scalar operations", op.as_str());
            return Err(self.error(op_span, message));
        }
        if op.is_set() && !both_vectors {
            let message =
                format!("set operator {:?} not allowed in binary scalar expression", op.as_str());
            return Err(self.error(op_span, message));
        }
        let has_matching = matching.on
            || !matching.labels.is_empty()
            || matching.fill_left.is_some()
            || matching.fill_right.is_some()
            || matches!(matching.cardinality, Cardinality::ManyToOne | Cardinality::OneToMany);
        if !both_vectors && has_matching {
            let message = "vector matching only allowed between instant vectors";
            return Err(self.error(op_span, message));
        }
        let span = lhs.span.to(rhs.span);
        let matching = both_vectors.then_some(matching);
        let binary = Binary { op, op_span, lhs, rhs, return_bool, matching };
        Ok(Expr { span, kind: ExprKind::Binary(Box::new(binary)) })
    }
}
