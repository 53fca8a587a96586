//! Operators and their modifiers.

use super::{EXPERIMENTAL, Parser};
use crate::ast::*;
use crate::error::ParseError;
use crate::lexer::Tok;

impl Parser<'_> {
    pub(super) fn binary_op(&self) -> Option<BinaryOp> {
        let op = match &self.peek().tok {
            Tok::Sym(symbol) => match *symbol {
                "+" => BinaryOp::Add,
                "-" => BinaryOp::Sub,
                "*" => BinaryOp::Mul,
                "/" => BinaryOp::Div,
                "%" => BinaryOp::Mod,
                "^" => BinaryOp::Pow,
                "==" => BinaryOp::Equal,
                "!=" => BinaryOp::NotEqual,
                "<" => BinaryOp::Less,
                "<=" => BinaryOp::LessEqual,
                ">" => BinaryOp::Greater,
                ">=" => BinaryOp::GreaterEqual,
                "</" => BinaryOp::TrimUpper,
                ">/" => BinaryOp::TrimLower,
                _ => return None,
            },
            Tok::Word => match self.keyword()?.as_str() {
                "and" => BinaryOp::And,
                "or" => BinaryOp::Or,
                "unless" => BinaryOp::Unless,
                "atan2" => BinaryOp::Atan2,
                _ => return None,
            },
            _ => return None,
        };
        Some(op)
    }

    /// `bool`, `on`/`ignoring`, `group_left`/`group_right`, `fill…`.
    pub(super) fn binary_modifiers(
        &mut self,
        op: BinaryOp,
    ) -> Result<(bool, VectorMatching), ParseError> {
        let mut matching = VectorMatching::default();
        if op.is_set() {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let mut return_bool = false;
        if self.is_keyword("bool") {
            let span = self.bump().span;
            if !op.is_comparison() {
                let message = "bool modifier can only be used on comparison operators";
                return Err(self.error(span, message));
            }
            return_bool = true;
        }
        if self.is_keyword("on") || self.is_keyword("ignoring") {
            matching.on = self.is_keyword("on");
            self.bump();
            matching.labels = self.label_list()?;
            if self.is_keyword("group_left") || self.is_keyword("group_right") {
                let left = self.is_keyword("group_left");
                let span = self.bump().span;
                if op.is_set() {
                    let message = format!("no grouping allowed for {:?} operation", op.as_str());
                    return Err(self.error(span, message));
                }
                matching.cardinality =
                    if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.is_sym("(") && self.is_label_list_ahead() {
                    matching.include = self.label_list()?;
                }
                let doubled = matching.include.iter().find(|l| matching.labels.contains(l));
                if let (true, Some(label)) = (matching.on, doubled) {
                    let message =
                        format!("label {label:?} must not occur in ON and GROUP clause at once");
                    return Err(self.error(span, message));
                }
            }
        }
        self.fill_modifiers(op, &mut matching)?;
        Ok((return_bool, matching))
    }

    /// Whether the parenthesis opens a list of labels rather than an operand: after `group_left`
    /// both are possible, and Prometheus prefers the list.
    fn is_label_list_ahead(&self) -> bool {
        let mut at = 1;
        loop {
            match &self.ahead(at).tok {
                Tok::Sym(")") => return true,
                Tok::Word | Tok::Str(_) => at += 1,
                _ => return false,
            }
            match &self.ahead(at).tok {
                Tok::Sym(",") => at += 1,
                Tok::Sym(")") => return true,
                _ => return false,
            }
        }
    }

    fn fill_modifiers(
        &mut self,
        op: BinaryOp,
        matching: &mut VectorMatching,
    ) -> Result<(), ParseError> {
        while let Some(word) = self.keyword() {
            let (left, right) = match word.as_str() {
                "fill" => (true, true),
                "fill_left" => (true, false),
                "fill_right" => (false, true),
                _ => return Ok(()),
            };
            // `a + fill` and `a + fill{…}` name a metric; so does `a + fill (…)` never.
            if !self.is_sym_ahead(1, "(") {
                return Ok(());
            }
            let span = self.bump().span;
            if !self.options.fill_modifiers {
                let message = format!("fill modifiers are not enabled ({EXPERIMENTAL})");
                return Err(self.error(span, message));
            }
            if op.is_set() {
                let message = format!(
                    "filling in missing series not allowed for set operators, got {:?}",
                    op.as_str()
                );
                return Err(self.error(span, message));
            }
            self.expect_sym("(", "fill modifier")?;
            let value = self.signed_number("fill modifier")?;
            self.expect_sym(")", "fill modifier")?;
            if left {
                matching.fill_left = Some(Fill(value));
            }
            if right {
                matching.fill_right = Some(Fill(value));
            }
        }
        Ok(())
    }
}
