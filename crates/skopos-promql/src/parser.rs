//! The parser: recursive descent, with precedence climbing for operators.
//!
//! It accepts Prometheus 3's language and checks types as it goes, so that an [`Expr`] is always
//! well typed. Depth is bounded ([`MAX_DEPTH`]): no input overflows the stack.

mod aggregate;
mod check;
mod duration;
mod operator;
mod selector;
mod suggest;

use crate::ast::*;
use crate::error::ParseError;
use crate::functions::{Function, FunctionKind};
use crate::lexer::{Tok, Token, lex};
use crate::span::Span;

/// Deepest nesting accepted.
pub const MAX_DEPTH: usize = 128;

/// Most operators in one chain such as `a + b + c`. A chain is a deep tree too, and trees are
/// walked recursively; parts in parentheses count for themselves.
pub const MAX_CHAIN: usize = MAX_DEPTH * 8;

/// Longest query accepted, bytes.
pub const MAX_QUERY_BYTES: usize = 1 << 20;

/// Why a part of the language is not there, and what brings it.
pub(crate) const EXPERIMENTAL: &str = "it is experimental: query.experimental switches it on";

/// Which parts of the language are switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions and aggregations that Prometheus keeps behind a switch (`info`, `limitk`, …).
    pub experimental_functions: bool,
    /// Arithmetic in durations (`[5m * 2]`); on by default in Prometheus 3.14.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            experimental_functions: false,
            duration_expressions: true,
            extended_range_selectors: false,
            fill_modifiers: false,
        }
    }
}

impl ParseOptions {
    /// Everything on, as in Prometheus' own conformance scripts.
    pub const fn all() -> Self {
        Self {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
        }
    }
}

/// Reads a query.
pub fn parse(query: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    if query.len() > MAX_QUERY_BYTES {
        let message =
            format!("query is longer than {MAX_QUERY_BYTES} bytes, the most there may be");
        return Err(ParseError::new("", Span::default(), message));
    }
    let mut parser = Parser {
        query,
        tokens: lex(query)?,
        next: 0,
        options: *options,
        depth: 0,
        empty_selector_at: None,
    };
    if parser.peek().tok == Tok::End {
        return Err(parser.error(parser.peek().span, "no expression found in input"));
    }
    let parsed = parser.binary(0).and_then(|expr| parser.expect_end().map(|()| expr));
    parsed.map_err(|error| parser.or_unclosed(error))
}

/// Reads a series selector such as `up{job="x"}`, as the `match[]` parameter of the API has it.
pub fn parse_selector(query: &str) -> Result<VectorSelector, ParseError> {
    let expr = parse(query, &ParseOptions::default())?;
    match expr.kind {
        ExprKind::Vector(selector) if selector.offset.is_none() && selector.at.is_none() => {
            Ok(selector)
        }
        _ => Err(ParseError::new(query, expr.span, "expected a series selector")),
    }
}

pub(crate) struct Parser<'q> {
    pub(crate) query: &'q str,
    tokens: Vec<Token>,
    next: usize,
    pub(crate) options: ParseOptions,
    depth: usize,
    /// Token index at which a selector may be without conditions.
    empty_selector_at: Option<usize>,
}

impl<'q> Parser<'q> {
    pub(crate) fn peek(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, n: usize) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.next + n).min(last)]
    }

    pub(crate) fn bump(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    pub(crate) fn text(&self, span: Span) -> &'q str {
        self.query.get(span.start..span.end).unwrap_or("")
    }

    pub(crate) fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.query, span, message)
    }

    pub(crate) fn is_sym(&self, symbol: &str) -> bool {
        matches!(self.peek().tok, Tok::Sym(s) if s == symbol)
    }

    fn is_sym_ahead(&self, n: usize, symbol: &str) -> bool {
        matches!(self.ahead(n).tok, Tok::Sym(s) if s == symbol)
    }

    pub(crate) fn eat_sym(&mut self, symbol: &str) -> Option<Span> {
        self.is_sym(symbol).then(|| self.bump().span)
    }

    pub(crate) fn expect_sym(&mut self, symbol: &str, context: &str) -> Result<Span, ParseError> {
        match self.eat_sym(symbol) {
            Some(span) => Ok(span),
            None => Err(self.unexpected(context, &format!("{symbol:?}"))),
        }
    }

    /// The next token as a keyword, in lower case.
    pub(crate) fn keyword(&self) -> Option<String> {
        self.keyword_ahead(0)
    }

    fn keyword_ahead(&self, n: usize) -> Option<String> {
        let token = self.ahead(n);
        (token.tok == Tok::Word).then(|| self.text(token.span).to_ascii_lowercase())
    }

    pub(crate) fn is_keyword(&self, word: &str) -> bool {
        self.keyword().as_deref() == Some(word)
    }

    pub(crate) fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = self.peek();
        let found = match &token.tok {
            Tok::End => "end of input".to_owned(),
            Tok::Str(_) => format!("string {}", self.text(token.span)),
            Tok::Number(_) => format!("number {:?}", self.text(token.span)),
            Tok::Duration(_) => format!("duration {:?}", self.text(token.span)),
            Tok::Word => format!("identifier {:?}", self.text(token.span)),
            Tok::Sym(symbol) => format!("{symbol:?}"),
        };
        let context = if context.is_empty() { String::new() } else { format!(" in {context}") };
        let expected =
            if expected.is_empty() { String::new() } else { format!(", expected {expected}") };
        self.error(token.span, format!("unexpected {found}{context}{expected}"))
            .suggest(self.near_keyword())
    }

    fn expect_end(&self) -> Result<(), ParseError> {
        match &self.peek().tok {
            Tok::End => Ok(()),
            Tok::Sym(")") => Err(self.error(self.peek().span, "unexpected right parenthesis ')'")),
            _ => Err(self.unexpected("", "an operator or the end")),
        }
    }

    pub(crate) fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth >= MAX_DEPTH {
            let message =
                format!("expression is nested more than {MAX_DEPTH} deep, the most there may be");
            return Err(self.error(self.peek().span, message));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Operators that bind at least as tightly as `min`.
    pub(crate) fn binary(&mut self, min: u8) -> Result<Expr, ParseError> {
        self.deeper(|parser| parser.binary_inner(min))
    }

    fn binary_inner(&mut self, min: u8) -> Result<Expr, ParseError> {
        let mut lhs = self.unary()?;
        let mut length = 0;
        while let Some(op) = self.binary_op() {
            if op.precedence() < min {
                break;
            }
            // A long chain of left-associative operators makes a deep tree as well.
            length += 1;
            if length > MAX_CHAIN {
                let message = format!(
                    "more than {MAX_CHAIN} operators in one chain; put parts of it in parentheses"
                );
                return Err(self.error(self.peek().span, message));
            }
            let op_span = self.bump().span;
            let (return_bool, matching) = self.binary_modifiers(op)?;
            // `^` groups to the right, all others to the left.
            let next_min = op.precedence() + u8::from(op != BinaryOp::Pow);
            let rhs = self.binary(next_min)?;
            lhs = self.checked_binary(op, op_span, lhs, rhs, return_bool, matching)?;
        }
        Ok(lhs)
    }

    /// A number with an optional sign; durations count in seconds.
    pub(crate) fn signed_number(&mut self, context: &str) -> Result<f64, ParseError> {
        let mut sign = 1.0;
        if self.eat_sym("-").is_some() {
            sign = -1.0;
        } else {
            self.eat_sym("+");
        }
        match self.number_literal() {
            Some((number, _)) => Ok(sign * number.value),
            None => Err(self.unexpected(context, "number")),
        }
    }

    /// A number, duration, `inf` or `nan`, when one comes next.
    pub(crate) fn number_literal(&mut self) -> Option<(NumberLiteral, Span)> {
        let token = self.peek();
        let number = match &token.tok {
            Tok::Number(value) => NumberLiteral { value: *value, is_duration: false },
            Tok::Duration(ms) => NumberLiteral { value: *ms as f64 / 1000.0, is_duration: true },
            Tok::Word => match self.keyword()?.as_str() {
                "inf" => NumberLiteral { value: f64::INFINITY, is_duration: false },
                "nan" => NumberLiteral { value: f64::NAN, is_duration: false },
                _ => return None,
            },
            _ => return None,
        };
        Some((number, self.bump().span))
    }

    fn unary(&mut self) -> Result<Expr, ParseError> {
        let start = self.peek().span;
        let negative = match &self.peek().tok {
            Tok::Sym("-") => true,
            Tok::Sym("+") => false,
            _ => return self.postfix(),
        };
        self.bump();
        // A sign binds as tightly as `*`, so only `^` goes first.
        let expr = self.binary(BinaryOp::Pow.precedence())?;
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                expr.value_type().describe()
            );
            return Err(self.error(start.to(expr.span), message));
        }
        let span = start.to(expr.span);
        Ok(Expr { span, kind: ExprKind::Unary { negative, expr: Box::new(expr) } })
    }

    fn postfix(&mut self) -> Result<Expr, ParseError> {
        let mut expr = self.primary()?;
        let mut length = 0;
        loop {
            length += 1;
            if length > MAX_DEPTH {
                return Err(self.error(self.peek().span, "too many modifiers"));
            }
            if self.is_sym("[") {
                expr = self.brackets(expr)?;
            } else if self.is_keyword("offset") {
                expr = self.offset(expr)?;
            } else if self.is_sym("@") {
                expr = self.at(expr)?;
            } else if self.is_keyword("anchored") || self.is_keyword("smoothed") {
                expr = self.range_mode(expr)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        if let Some((number, span)) = self.number_literal() {
            return Ok(Expr { span, kind: ExprKind::Number(number) });
        }
        let token = self.peek().clone();
        match token.tok {
            Tok::Str(text) => {
                self.bump();
                let literal = StringLiteral { value: text.text, invalid: text.invalid };
                Ok(Expr { span: token.span, kind: ExprKind::String(literal) })
            }
            Tok::Sym("(") => {
                self.bump();
                let inner = self.binary(0)?;
                if self.peek().tok == Tok::End {
                    return Err(self.error(token.span, "unclosed left parenthesis"));
                }
                let end = self.expect_sym(")", "parenthesised expression")?;
                Ok(Expr { span: token.span.to(end), kind: ExprKind::Paren(Box::new(inner)) })
            }
            Tok::Sym("{") => self.vector_selector(),
            Tok::Word => self.word(),
            _ => Err(self.unexpected("", "an expression")),
        }
    }

    fn word(&mut self) -> Result<Expr, ParseError> {
        let span = self.peek().span;
        let word = self.text(span);
        let lower = word.to_ascii_lowercase();
        if let Some(op) = AggregateOp::from_name(word) {
            let next = self.keyword_ahead(1);
            let is_grouping = matches!(next.as_deref(), Some("by" | "without"));
            if self.is_sym_ahead(1, "(") || is_grouping {
                return self.aggregate(op);
            }
        }
        if self.is_sym_ahead(1, "(") {
            return self.call();
        }
        let reserved = matches!(
            lower.as_str(),
            "bool" | "on" | "ignoring" | "group_left" | "group_right" | "atan2"
        );
        if reserved {
            return Err(self.unexpected("", "an expression"));
        }
        self.vector_selector()
    }

    fn call(&mut self) -> Result<Expr, ParseError> {
        let name_span = self.bump().span;
        let name = self.text(name_span);
        let lower = name.to_ascii_lowercase();
        // The query's constants are keywords, and keywords know no case.
        let found = Function::find(name).or_else(|| {
            matches!(lower.as_str(), "start" | "end" | "step" | "range" | "min_of" | "max_of")
                .then(|| Function::find(&lower))
                .flatten()
        });
        let Some(func) = found else {
            let suggestion = suggest::keyword(name).or_else(|| Function::nearest(name));
            let suggestion = suggestion.map(str::to_owned);
            return Err(self
                .error(name_span, format!("unknown function with name {name:?}"))
                .suggest(suggestion));
        };
        if func.experimental && !self.options.experimental_functions {
            let message = format!("function {name:?} is not enabled ({EXPERIMENTAL})");
            return Err(self.error(name_span, message));
        }
        let (args, end) =
            self.arguments("function call", matches!(func.kind, FunctionKind::Info))?;
        let span = name_span.to(end);
        self.check_call(func, name_span, &args, span)?;
        Ok(Expr { span, kind: ExprKind::Call(Call { func, args }) })
    }

    fn arguments(&mut self, context: &str, is_info: bool) -> Result<(Vec<Expr>, Span), ParseError> {
        let open = self.expect_sym("(", context)?;
        let mut args = Vec::new();
        if let Some(end) = self.eat_sym(")") {
            return Ok((args, end));
        }
        loop {
            args.push(self.binary(0)?);
            if let Some(end) = self.eat_sym(")") {
                return Ok((args, end));
            }
            if self.peek().tok == Tok::End {
                return Err(self.error(open, "unclosed left parenthesis"));
            }
            self.expect_sym(",", context)?;
            if self.is_sym(")") {
                let message = format!("trailing commas not allowed in {context} args");
                return Err(self.error(self.peek().span, message));
            }
            if is_info {
                self.empty_selector_at = Some(self.next);
            }
        }
    }
}
