//! Aggregations and lists of labels.

use super::{EXPERIMENTAL, Parser};
use crate::ast::*;
use crate::error::ParseError;
use crate::lexer::Tok;

impl Parser<'_> {
    pub(super) fn aggregate(&mut self, op: AggregateOp) -> Result<Expr, ParseError> {
        let name_span = self.bump().span;
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!("{}() is not enabled ({EXPERIMENTAL})", op.as_str());
            return Err(self.error(name_span, message));
        }
        let mut grouping = self.grouping()?;
        let (mut args, mut end) = self.arguments("aggregation", false)?;
        if grouping.is_none() {
            grouping = self.grouping()?;
            if grouping.is_some() {
                end = self.tokens[self.next - 1].span;
            }
        }
        let span = name_span.to(end);
        let wanted = 1 + usize::from(op.parameter().is_some());
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if args.len() != wanted {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                args.len()
            );
            return Err(self.error(span, message));
        }
        let context = format!("aggregation expression {:?}", op.as_str());
        let Some(expr) = args.pop() else {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        };
        self.expect_type(&expr, ValueType::Vector, &context)?;
        let param = args.pop();
        if let (Some(param), Some(wanted)) = (&param, op.parameter()) {
            let context = format!("aggregation parameter of {:?}", op.as_str());
            self.expect_type(param, wanted, &context)?;
        }
        let (without, grouping) = grouping.unwrap_or_default();
        let aggregate = Aggregate { op, without, grouping, param, expr };
        Ok(Expr { span, kind: ExprKind::Aggregate(Box::new(aggregate)) })
    }

    fn grouping(&mut self) -> Result<Option<(bool, Vec<String>)>, ParseError> {
        let without = match self.keyword().as_deref() {
            Some("by") => false,
            Some("without") => true,
            _ => return Ok(None),
        };
        self.bump();
        Ok(Some((without, self.label_list()?)))
    }

    /// `(a, b, "c.d")`, empty or not, a trailing comma allowed.
    pub(super) fn label_list(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect_sym("(", "grouping opts")?;
        let mut labels = Vec::new();
        loop {
            if self.eat_sym(")").is_some() {
                return Ok(labels);
            }
            let token = self.bump();
            let name = match token.tok {
                Tok::Word => self.text(token.span).to_owned(),
                Tok::Str(text) if text.invalid.is_none() && !text.text.is_empty() => text.text,
                _ => {
                    self.next -= usize::from(token.tok != Tok::End);
                    return Err(self.unexpected("grouping opts", "label"));
                }
            };
            if matches!(self.text(token.span).as_bytes().first(), Some(b) if !b"\"'`".contains(b))
                && name.contains(':')
            {
                let message = format!("invalid label name {name:?} in grouping opts; quote it");
                return Err(self.error(token.span, message));
            }
            labels.push(name);
            if self.eat_sym(",").is_none() && !self.is_sym(")") {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
    }
}
