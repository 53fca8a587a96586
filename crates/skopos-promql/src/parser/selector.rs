//! Selectors and what may follow them: ranges, subqueries, `offset`, `@`.

use skopos_model::{LabelMatcher, METRIC_NAME, MatchOp};

use super::{EXPERIMENTAL, Parser};
use crate::ast::*;
use crate::error::ParseError;
use crate::lexer::Tok;
use crate::span::Span;

impl Parser<'_> {
    pub(super) fn vector_selector(&mut self) -> Result<Expr, ParseError> {
        let (start, start_at) = (self.peek().span, self.next);
        // The second argument of `info` only narrows a selection, so it may match everything.
        let may_be_empty = self.empty_selector_at == Some(self.next);
        let (mut name, mut matchers, mut end) = (None, Vec::new(), start);
        if self.peek().tok == Tok::Word {
            let text = self.text(start).to_owned();
            self.bump();
            matchers.push(LabelMatcher::equal(METRIC_NAME, &text));
            name = Some(text);
        }
        if self.is_sym("{") {
            end = self.braces(&mut name, &mut matchers)?;
        }
        let span = start.to(end);
        // A name before the braces is the only one there may be.
        let is_named = self.tokens[start_at].tok == Tok::Word;
        let second = matchers.iter().skip(1).find(|m| m.name() == METRIC_NAME);
        if let (true, Some(first), Some(second)) = (is_named, &name, second) {
            let message =
                format!("metric name must not be set twice: {first:?} or {:?}", second.value());
            return Err(self.error(span, message));
        }
        if matchers.iter().all(LabelMatcher::matches_empty) && !may_be_empty {
            let message = "vector selector must contain at least one non-empty matcher";
            return Err(self.error(span, message));
        }
        let selector = VectorSelector { name, matchers, offset: None, at: None, mode: None };
        Ok(Expr { span, kind: ExprKind::Vector(selector) })
    }

    fn braces(
        &mut self,
        name: &mut Option<String>,
        matchers: &mut Vec<LabelMatcher>,
    ) -> Result<Span, ParseError> {
        self.expect_sym("{", "vector selector")?;
        loop {
            if let Some(end) = self.eat_sym("}") {
                return Ok(end);
            }
            let token = self.peek().clone();
            let label = match &token.tok {
                Tok::Word => self.text(token.span).to_owned(),
                Tok::Str(text) if text.invalid.is_none() => text.text.clone(),
                Tok::Str(_) => return Err(self.error(token.span, "label name is not UTF-8")),
                _ => {
                    let expected = "identifier or \"}\"";
                    return Err(self.unexpected("label matching", expected));
                }
            };
            let is_quoted = matches!(token.tok, Tok::Str(_));
            self.bump();
            match self.match_op() {
                Some(op) => {
                    if !is_quoted && label.contains(':') {
                        let message = format!("invalid label name {label:?}; quote it");
                        return Err(self.error(token.span, message));
                    }
                    if label.is_empty() {
                        return Err(self.error(token.span, "label name is empty"));
                    }
                    self.bump();
                    matchers.push(self.matcher_value(&label, op)?);
                }
                None if is_quoted => {
                    if let Some(first) = name {
                        let message =
                            format!("metric name must not be set twice: {first:?} or {label:?}");
                        return Err(self.error(token.span, message));
                    }
                    matchers.insert(0, LabelMatcher::equal(METRIC_NAME, &label));
                    *name = Some(label);
                }
                None => {
                    let error = self.unexpected("label matching", "label matching operator");
                    let single = self.is_sym("==").then(|| "=".to_owned());
                    return Err(error.suggest(single));
                }
            }
            if self.eat_sym(",").is_none() && !self.is_sym("}") {
                return Err(self.unexpected("label matching", "\",\" or \"}\""));
            }
        }
    }

    fn match_op(&self) -> Option<MatchOp> {
        match self.peek().tok {
            Tok::Sym("=") => Some(MatchOp::Equal),
            Tok::Sym("!=") => Some(MatchOp::NotEqual),
            Tok::Sym("=~") => Some(MatchOp::Regex),
            Tok::Sym("!~") => Some(MatchOp::NotRegex),
            _ => None,
        }
    }

    fn matcher_value(&mut self, label: &str, op: MatchOp) -> Result<LabelMatcher, ParseError> {
        let Tok::Str(value) = self.peek().tok.clone() else {
            return Err(self.unexpected("label matching", "string"));
        };
        let span = self.bump().span;
        if value.invalid.is_some() {
            return Err(self.error(span, "label value is not UTF-8"));
        }
        LabelMatcher::new(label, op, &value.text)
            .map_err(|error| self.error(span, error.to_string()))
    }

    /// `[range]`, `[range:]`, `[range:step]`.
    pub(super) fn brackets(&mut self, expr: Expr) -> Result<Expr, ParseError> {
        self.expect_sym("[", "selector")?;
        let range = self.positive_duration()?;
        if self.eat_sym(":").is_none() {
            let end = self.expect_sym("]", "matrix selector")?;
            let span = expr.span.to(end);
            return match expr.kind {
                ExprKind::Vector(selector) if selector.offset.is_some() => {
                    Err(self.error(expr.span, "no offset modifiers allowed before range"))
                }
                ExprKind::Vector(selector) if selector.at.is_some() => {
                    Err(self.error(expr.span, "no @ modifiers allowed before range"))
                }
                ExprKind::Vector(selector) if selector.mode.is_some() => {
                    Err(self.error(expr.span, "no range modifiers allowed before range"))
                }
                ExprKind::Vector(selector) => {
                    Ok(Expr { span, kind: ExprKind::Matrix { selector, range } })
                }
                _ => {
                    let hint = (expr.value_type() == ValueType::Vector).then(|| {
                        let (expr, range) = (expr.span.text(self.query), range.span);
                        format!("{expr}[{}:]", range.text(self.query))
                    });
                    let message = "ranges only allowed for vector selectors";
                    Err(self.error(expr.span, message).suggest(hint))
                }
            };
        }
        let step = if self.is_sym("]") { None } else { Some(self.positive_duration()?) };
        let end = self.expect_sym("]", "subquery selector")?;
        if expr.value_type() != ValueType::Vector {
            let message = format!(
                "subquery is only allowed on instant vector, got {} instead",
                expr.value_type().describe()
            );
            return Err(self.error(expr.span, message));
        }
        let span = expr.span.to(end);
        let subquery = Subquery { expr, range, step, offset: None, at: None };
        Ok(Expr { span, kind: ExprKind::Subquery(Box::new(subquery)) })
    }

    pub(super) fn offset(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        let keyword = self.bump().span;
        let duration = self.offset_duration()?;
        let end = duration.span;
        let slot = match &mut expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => &mut selector.offset,
            ExprKind::Subquery(subquery) => &mut subquery.offset,
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(self.error(keyword, message));
            }
        };
        if slot.is_some() {
            return Err(self.error(keyword, "offset may not be set multiple times"));
        }
        *slot = Some(duration);
        expr.span = expr.span.to(end);
        Ok(expr)
    }

    pub(super) fn at(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        let symbol = self.bump().span;
        let (at, end) = self.at_time()?;
        let slot = match &mut expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => &mut selector.at,
            ExprKind::Subquery(subquery) => &mut subquery.at,
            _ => {
                let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(self.error(symbol, message));
            }
        };
        if slot.is_some() {
            return Err(self.error(symbol, "@ <timestamp> may not be set multiple times"));
        }
        *slot = Some(at);
        expr.span = expr.span.to(end);
        Ok(expr)
    }

    fn at_time(&mut self) -> Result<(AtModifier, Span), ParseError> {
        let start = self.peek().span;
        if let Some(word @ ("start" | "end")) = self.keyword().as_deref() {
            self.bump();
            self.expect_sym("(", "@")?;
            let end = self.expect_sym(")", "@")?;
            let at = if word == "start" { AtModifier::Start } else { AtModifier::End };
            return Ok((at, start.to(end)));
        }
        let seconds = self.signed_number("@")?;
        let end = self.tokens[self.next - 1].span;
        let ms = (seconds * 1000.0).round();
        // The bounds keep sums with ranges and offsets far from overflow.
        if !ms.is_finite() || ms.abs() > (i64::MAX / 4) as f64 {
            let message = format!(
                "timestamp out of bounds for @ modifier: {}",
                crate::format::format_general(seconds)
            );
            return Err(self.error(start.to(end), message));
        }
        Ok((AtModifier::Time(ms as i64), end))
    }

    pub(super) fn range_mode(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        let span = self.peek().span;
        let mode =
            if self.is_keyword("anchored") { RangeMode::Anchored } else { RangeMode::Smoothed };
        self.bump();
        if !self.options.extended_range_selectors {
            let message =
                format!("anchored and smoothed modifiers are not enabled ({EXPERIMENTAL})");
            return Err(self.error(span, message));
        }
        let is_range = matches!(expr.kind, ExprKind::Matrix { .. });
        let selector = match &mut expr.kind {
            ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => selector,
            _ => {
                let message = "anchored and smoothed modifiers must follow a selector";
                return Err(self.error(span, message));
            }
        };
        if mode == RangeMode::Anchored && !is_range {
            return Err(self.error(span, "anchored modifier must follow a range selector"));
        }
        if selector.mode.is_some() {
            return Err(self.error(span, "anchored or smoothed may not be set multiple times"));
        }
        selector.mode = Some(mode);
        expr.span = expr.span.to(span);
        Ok(expr)
    }
}
