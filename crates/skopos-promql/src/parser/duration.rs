//! Durations in brackets and after `offset`.

use super::Parser;
use crate::ast::*;
use crate::error::ParseError;
use crate::lexer::Tok;
use crate::span::Span;

impl Parser<'_> {
    /// A whole duration expression, as stands in brackets.
    pub(super) fn duration(&mut self) -> Result<DurationExpr, ParseError> {
        let expr = self.duration_binary(0)?;
        let is_plain = matches!(expr.kind, DurationKind::Literal(_));
        if !is_plain && !self.options.duration_expressions {
            return Err(self.error(expr.span, "duration expressions are not enabled"));
        }
        Ok(expr)
    }

    /// The same where nothing but a duration above zero makes sense. What depends on the query's
    /// step and range shows only when the query is run.
    pub(super) fn positive_duration(&mut self) -> Result<DurationExpr, ParseError> {
        let expr = self.duration()?;
        match expr.literal_ms() {
            Some(ms) if ms <= 0 => Err(self.error(expr.span, "duration must be greater than 0")),
            _ => Ok(expr),
        }
    }

    /// What may follow `offset`: one operand with an optional sign. Arithmetic needs parentheses.
    pub(super) fn offset_duration(&mut self) -> Result<DurationExpr, ParseError> {
        let expr = self.duration_operand()?;
        let is_plain = match &expr.kind {
            DurationKind::Unary { expr, .. } => matches!(expr.kind, DurationKind::Literal(_)),
            kind => matches!(kind, DurationKind::Literal(_)),
        };
        if !is_plain && !self.options.duration_expressions {
            return Err(self.error(expr.span, "duration expressions are not enabled"));
        }
        Ok(expr)
    }

    fn duration_binary(&mut self, min: u8) -> Result<DurationExpr, ParseError> {
        self.deeper(|parser| {
            let mut lhs = parser.duration_unary()?;
            while let Some(op) = parser.duration_op() {
                if op.precedence() < min {
                    break;
                }
                parser.bump();
                let next_min = op.precedence() + u8::from(op != BinaryOp::Pow);
                let rhs = parser.duration_binary(next_min)?;
                let span = lhs.span.to(rhs.span);
                let (lhs_box, rhs) = (Box::new(lhs), Box::new(rhs));
                lhs = DurationExpr { span, kind: DurationKind::Binary { op, lhs: lhs_box, rhs } };
            }
            Ok(lhs)
        })
    }

    fn duration_op(&self) -> Option<BinaryOp> {
        let Tok::Sym(symbol) = self.peek().tok else { return None };
        let op = match symbol {
            "+" => BinaryOp::Add,
            "-" => BinaryOp::Sub,
            "*" => BinaryOp::Mul,
            "/" => BinaryOp::Div,
            "%" => BinaryOp::Mod,
            "^" => BinaryOp::Pow,
            _ => return None,
        };
        Some(op)
    }

    fn sign(&mut self) -> Option<(bool, Span)> {
        match self.eat_sym("-") {
            Some(span) => Some((true, span)),
            None => self.eat_sym("+").map(|span| (false, span)),
        }
    }

    fn duration_unary(&mut self) -> Result<DurationExpr, ParseError> {
        let Some((negative, start)) = self.sign() else { return self.duration_primary() };
        let expr = self.duration_binary(BinaryOp::Pow.precedence())?;
        let span = start.to(expr.span);
        Ok(DurationExpr { span, kind: DurationKind::Unary { negative, expr: Box::new(expr) } })
    }

    fn duration_operand(&mut self) -> Result<DurationExpr, ParseError> {
        let Some((negative, start)) = self.sign() else { return self.duration_primary() };
        let expr = self.duration_primary()?;
        let span = start.to(expr.span);
        Ok(DurationExpr { span, kind: DurationKind::Unary { negative, expr: Box::new(expr) } })
    }

    fn duration_primary(&mut self) -> Result<DurationExpr, ParseError> {
        if let Some((number, span)) = self.number_literal() {
            return Ok(DurationExpr { span, kind: DurationKind::Literal(number) });
        }
        if let Some(start) = self.eat_sym("(") {
            let inner = self.duration_binary(0)?;
            let end = self.expect_sym(")", "duration expression")?;
            let kind = DurationKind::Paren(Box::new(inner));
            return Ok(DurationExpr { span: start.to(end), kind });
        }
        let start = self.peek().span;
        let word = self.keyword();
        let max = match word.as_deref() {
            Some(word @ ("step" | "range")) => {
                self.bump();
                self.expect_sym("(", "duration expression")?;
                let end = self.expect_sym(")", "duration expression")?;
                let kind = if word == "step" { DurationKind::Step } else { DurationKind::Range };
                return Ok(DurationExpr { span: start.to(end), kind });
            }
            Some("min_of") => false,
            Some("max_of") => true,
            _ => return Err(self.unexpected("duration expression", "number or duration")),
        };
        self.bump();
        self.expect_sym("(", "duration expression")?;
        let lhs = Box::new(self.duration_binary(0)?);
        self.expect_sym(",", "duration expression")?;
        let rhs = Box::new(self.duration_binary(0)?);
        let end = self.expect_sym(")", "duration expression")?;
        Ok(DurationExpr { span: start.to(end), kind: DurationKind::Pick { max, lhs, rhs } })
    }
}
