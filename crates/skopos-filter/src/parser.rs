//! Pieces to tree, by binding power: OR binds loosest, then AND (written or not), then NOT.

use crate::ast::{Comparison, Expr, Node, Operator, Pattern};
use crate::error::{ErrorKind, FilterError, Span};
use crate::field::{OWN, parse_field};
use crate::lexer::{Lexed, Lexer, Token};
use crate::limits;

const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;

const CONDITION: &str = "a condition such as level>=error or \"some text\"";

pub(crate) fn parse(text: &str) -> Result<Node, FilterError> {
    if text.len() > limits::LENGTH {
        let kind = ErrorKind::Limit { what: "bytes", limit: limits::LENGTH };
        return Err(FilterError::new(kind, Span::new(0, text.len())));
    }
    let mut parser = Parser { lexer: Lexer::new(text), terms: 0 };
    if parser.lexer.clone().token()?.token == Token::End {
        return Ok(Node { expr: Expr::All(Vec::new()), span: Span::new(0, text.len()) });
    }
    let node = parser.expression(OR, 0)?;
    let next = parser.lexer.token()?;
    match next.token {
        Token::End => Ok(node),
        _ => Err(parser.unexpected(&next, "AND, OR or the end")),
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    terms: usize,
}

impl Parser<'_> {
    fn expression(&mut self, least: u8, depth: usize) -> Result<Node, FilterError> {
        let mut left = self.prefix(depth)?;
        loop {
            let mut ahead = self.lexer.clone();
            let next = ahead.token()?;
            let (power, is_written) = match next.token {
                Token::End | Token::Close => return Ok(left),
                Token::Or => (OR, true),
                Token::And => (AND, true),
                Token::Operator(_) => return Err(self.unexpected(&next, CONDITION)),
                _ => (AND, false),
            };
            if power < least {
                return Ok(left);
            }
            if is_written {
                self.lexer = ahead;
            }
            let right = self.expression(power + 1, depth)?;
            left = join(power, left, right);
        }
    }

    fn prefix(&mut self, depth: usize) -> Result<Node, FilterError> {
        let Lexed { token, span } = self.lexer.token()?;
        if depth > limits::DEPTH {
            let kind = ErrorKind::Limit { what: "levels of nesting", limit: limits::DEPTH };
            return Err(FilterError::new(kind, span));
        }
        match token {
            Token::Not | Token::Minus => {
                // `-a b` negates `a` alone, as NOT does.
                let inner = self.expression(NOT, depth + 1)?;
                let span = span.to(inner.span);
                Ok(Node { expr: Expr::Not(Box::new(inner)), span })
            }
            Token::Open => {
                let inner = self.expression(OR, depth + 1)?;
                let close = self.lexer.token()?;
                match close.token {
                    Token::Close => Ok(Node { expr: inner.expr, span: span.to(close.span) }),
                    Token::End => Err(FilterError::new(ErrorKind::OpenParenthesis, span)),
                    _ => Err(self.unexpected(&close, "AND, OR or )")),
                }
            }
            Token::Word(pattern) => self.word(pattern, span),
            Token::Quoted(text) => match self.operator()? {
                Some((operator, at)) => self.comparison(&text, span, operator, at),
                None => self.term(Expr::Text(Pattern::text(text)), span),
            },
            token => Err(self.unexpected(&Lexed { token, span }, CONDITION)),
        }
    }

    /// What begins with a word: a comparison, `has(field)`, or text.
    fn word(&mut self, pattern: Pattern, span: Span) -> Result<Node, FilterError> {
        let text = pattern.as_text();
        if text == Some("has") && self.lexer.peek() == Some('(') {
            return self.has(span);
        }
        if let Some((operator, at)) = self.operator()? {
            return match text {
                Some(name) => self.comparison(name, span, operator, at),
                None => Err(FilterError::new(ErrorKind::Wildcard, span)),
            };
        }
        if let Some((name, value)) = text.and_then(|text| text.split_once(':'))
            && (OWN.iter().any(|own| own.0 == name) || matches!(name, "service" | "severity"))
        {
            let error = FilterError::new(ErrorKind::Colon, span);
            return Err(error.suggest(format!("{name}={value}")));
        }
        self.term(Expr::Text(pattern), span)
    }

    /// The operator that comes next, if one does.
    fn operator(&mut self) -> Result<Option<(Operator, Span)>, FilterError> {
        let mut ahead = self.lexer.clone();
        ahead.skip_space();
        if !matches!(ahead.peek(), Some('=' | '<' | '>' | '~' | '!')) {
            return Ok(None);
        }
        let next = ahead.token()?;
        Ok(match next.token {
            Token::Operator(operator) => {
                self.lexer = ahead;
                Some((operator, next.span))
            }
            _ => None,
        })
    }

    fn comparison(
        &mut self,
        name: &str,
        field_span: Span,
        operator: Operator,
        operator_span: Span,
    ) -> Result<Node, FilterError> {
        if name.is_empty() {
            let found = "an empty one".to_owned();
            let kind = ErrorKind::Unexpected { expected: "the name of a field", found };
            return Err(FilterError::new(kind, field_span));
        }
        let (value, value_span) = self.lexer.value(operator)?;
        if value_span.start == value_span.end {
            let next = self.lexer.clone().token()?;
            let error = self.unexpected(&next, "a value");
            return Err(
                error.suggest_all(crate::lower::known_values(&parse_field(name)).iter().copied())
            );
        }
        let field = parse_field(name);
        let comparison =
            Comparison { field, field_span, operator, operator_span, value, value_span };
        self.term(Expr::Compare(comparison), field_span.to(value_span))
    }

    fn has(&mut self, span: Span) -> Result<Node, FilterError> {
        let open = self.lexer.token()?;
        let Lexed { token, span: field_span } = self.lexer.token()?;
        let name = match &token {
            Token::Word(pattern) => pattern.as_text().map(str::to_owned),
            Token::Quoted(text) => Some(text.clone()),
            _ => None,
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(self.unexpected(&Lexed { token, span: field_span }, "the name of a field"));
        };
        let close = self.lexer.token()?;
        match close.token {
            Token::Close => {}
            Token::End => return Err(FilterError::new(ErrorKind::OpenParenthesis, open.span)),
            _ => return Err(self.unexpected(&close, ")")),
        }
        let mut value = Pattern::default();
        value.push_any();
        let comparison = Comparison {
            field: parse_field(&name),
            field_span,
            operator: Operator::Equal,
            operator_span: span,
            value,
            value_span: field_span,
        };
        self.term(Expr::Compare(comparison), span.to(close.span))
    }

    fn term(&mut self, expr: Expr, span: Span) -> Result<Node, FilterError> {
        self.terms += 1;
        if self.terms > limits::TERMS {
            let kind = ErrorKind::Limit { what: "conditions", limit: limits::TERMS };
            return Err(FilterError::new(kind, span));
        }
        Ok(Node { expr, span })
    }

    fn unexpected(&self, next: &Lexed, expected: &'static str) -> FilterError {
        let written = self.lexer.text.get(next.span.start..next.span.end).unwrap_or("");
        let found = match next.token {
            Token::End => "the end".to_owned(),
            Token::And | Token::Or | Token::Not => {
                format!("the keyword {written} (quote it to search for the word)")
            }
            _ => written.to_owned(),
        };
        FilterError::new(ErrorKind::Unexpected { expected, found }, next.span)
    }
}

/// Puts two conditions together; a condition among its like becomes part of the row.
fn join(power: u8, left: Node, right: Node) -> Node {
    let span = left.span.to(right.span);
    let mut all = Vec::new();
    for node in [left, right] {
        match node.expr {
            Expr::All(inner) if power == AND => all.extend(inner),
            Expr::Any(inner) if power == OR => all.extend(inner),
            expr => all.push(Node { expr, span: node.span }),
        }
    }
    Node { expr: if power == AND { Expr::All(all) } else { Expr::Any(all) }, span }
}
