//! From tokens to a tree; checks that functions and variables exist. Whether templates do is known
//! when they are called: those of notifications may stand in other files, and a rule that calls one
//! that is nowhere has, as in Prometheus, an error in that text and not none of its alerts.

use std::collections::HashMap;

use super::TemplateError;
use super::functions;
use super::lexer::{Token, TokenKind, tokens};
use super::value::Value;
use crate::rules::nearest;

/// A template with the templates defined in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    pub(super) body: Vec<Node>,
    pub(super) defined: HashMap<String, Vec<Node>>,
    /// Names of templates that are called, and where.
    pub(super) called: Vec<(String, usize)>,
    pub(super) runs_queries: bool,
}

/// What a template may name.
pub(super) struct Dialect {
    /// Variables that stand at the start.
    pub(super) variables: &'static [&'static str],
    /// Functions: name, least and most arguments; in order of their names.
    pub(super) functions: &'static [(&'static str, usize, usize)],
}

/// Templates of rules.
pub(super) static RULES: Dialect = Dialect { variables: &PRESET, functions: functions::FUNCTIONS };

impl Dialect {
    fn knows(&self, function: &str) -> bool {
        self.functions.binary_search_by(|(known, ..)| (*known).cmp(function)).is_ok()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { name: String, argument: Option<Pipeline>, offset: usize },
    Break,
    Continue,
}

#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    /// Variables set to the result; two only in `range`.
    pub(super) variables: Vec<String>,
    /// Whether they are declared here (`:=`) rather than changed (`=`).
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
    pub(super) offset: usize,
}

/// An operand, or a function with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) term: Term,
    /// The fields taken of it: `$labels.job`.
    pub(super) fields: Vec<String>,
    pub(super) offset: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Term {
    Dot,
    Variable(String),
    Function(String),
    Literal(Value),
    Nil,
    Parens(Box<Pipeline>),
}

/// Deepest nesting of actions and parentheses.
const MAX_DEPTH: usize = 100;

/// Variables that stand at the start of every template of a rule.
const PRESET: [&str; 5] = ["", "labels", "externalLabels", "externalURL", "value"];

pub(super) fn parse(text: &str, dialect: &'static Dialect) -> Result<Parsed, TemplateError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        dialect,
        variables: dialect.variables.iter().map(|name| name.to_string()).collect(),
        parsed: Parsed::default(),
        depth: 0,
        loops: 0,
    };
    let (body, end) = parser.nodes()?;
    if end.kind != TokenKind::End {
        let TokenKind::Word(word) = &end.kind else { return Err(parser.unexpected(&end)) };
        return Err(TemplateError::new(end.offset, format!("unexpected {{{{{word}}}}}")));
    }
    parser.parsed.body = body;
    Ok(parser.parsed)
}

pub(super) fn not_defined(name: &str, offset: usize) -> TemplateError {
    TemplateError::new(offset, format!("template {name:?} not defined"))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    dialect: &'static Dialect,
    variables: Vec<String>,
    parsed: Parsed,
    depth: usize,
    loops: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        // The last token is `End` and `next` never moves past it.
        &self.tokens[self.at]
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn unexpected(&self, token: &Token) -> TemplateError {
        let what = match &token.kind {
            TokenKind::Text(_) => "text".into(),
            TokenKind::Open => "{{".into(),
            TokenKind::Close => "}}".into(),
            TokenKind::Word(word) => format!("{word:?}"),
            TokenKind::Field(name) => format!("<.{name}>"),
            TokenKind::Dot => "<.>".into(),
            TokenKind::Variable(name) => format!("<${name}>"),
            TokenKind::Str(text) => format!("{text:?}"),
            TokenKind::Int(n) => n.to_string(),
            TokenKind::Float(n) => n.to_string(),
            TokenKind::Pipe => "|".into(),
            TokenKind::LeftParen => "(".into(),
            TokenKind::RightParen => ")".into(),
            TokenKind::Declare => ":=".into(),
            TokenKind::Assign => "=".into(),
            TokenKind::Comma => ",".into(),
            TokenKind::End => "end of the template".into(),
        };
        TemplateError::new(token.offset, format!("unexpected {what}"))
    }

    fn expect(&mut self, kind: TokenKind) -> Result<Token, TemplateError> {
        let token = self.next();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token)) }
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::new(self.peek().offset, "template is nested too deeply"));
        }
        Ok(())
    }

    /// Reads nodes up to the end of the template, or up to `end` or `else`, which is returned with
    /// the `{{` before it consumed.
    fn nodes(&mut self) -> Result<(Vec<Node>, Token), TemplateError> {
        self.deeper()?;
        let mut nodes = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Text(text) => nodes.push(Node::Text(text)),
                TokenKind::Open => {
                    let keyword = match &self.peek().kind {
                        TokenKind::Word(word) => word.clone(),
                        _ => String::new(),
                    };
                    if matches!(&*keyword, "end" | "else") {
                        self.depth -= 1;
                        return Ok((nodes, self.next()));
                    }
                    self.action(&keyword, &mut nodes)?;
                }
                TokenKind::End => {
                    self.depth -= 1;
                    return Ok((nodes, token));
                }
                _ => return Err(self.unexpected(&token)),
            }
        }
    }

    fn action(&mut self, keyword: &str, nodes: &mut Vec<Node>) -> Result<(), TemplateError> {
        let offset = self.peek().offset;
        match keyword {
            "if" | "with" | "range" => {
                self.next();
                let branch = self.branch(keyword)?;
                nodes.push(match keyword {
                    "if" => Node::If(branch),
                    "with" => Node::With(branch),
                    _ => Node::Range(branch),
                });
            }
            "break" | "continue" => {
                self.next();
                self.expect(TokenKind::Close)?;
                if self.loops == 0 {
                    let message = format!("{{{{{keyword}}}}} outside {{{{range}}}}");
                    return Err(TemplateError::new(offset, message));
                }
                nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
            }
            "template" | "define" | "block" => {
                self.next();
                let name = self.next();
                let TokenKind::Str(name) = name.kind else { return Err(self.unexpected(&name)) };
                let mut argument = None;
                if keyword != "define" && self.peek().kind != TokenKind::Close {
                    argument = Some(self.pipeline(false)?);
                }
                self.expect(TokenKind::Close)?;
                if keyword != "template" {
                    self.definition(&name, offset)?;
                }
                if keyword != "define" {
                    self.parsed.called.push((name.clone(), offset));
                    nodes.push(Node::Template { name, argument, offset });
                }
            }
            _ => {
                nodes.push(Node::Action(self.pipeline(false)?));
                self.expect(TokenKind::Close)?;
            }
        }
        Ok(())
    }

    fn definition(&mut self, name: &str, offset: usize) -> Result<(), TemplateError> {
        // A defined template sees only what it is given.
        let outer = std::mem::replace(&mut self.variables, vec![String::new()]);
        let outer_loops = std::mem::take(&mut self.loops);
        let (body, end) = self.nodes()?;
        self.variables = outer;
        self.loops = outer_loops;
        if end.kind != TokenKind::Word("end".into()) {
            return Err(TemplateError::new(offset, "missing {{end}}"));
        }
        self.expect(TokenKind::Close)?;
        self.parsed.defined.insert(name.into(), body);
        Ok(())
    }

    fn branch(&mut self, keyword: &str) -> Result<Branch, TemplateError> {
        let start = self.peek().offset;
        let scope = self.variables.len();
        let pipeline = self.pipeline(keyword == "range")?;
        self.expect(TokenKind::Close)?;
        self.loops += usize::from(keyword == "range");
        let (body, mut end) = self.nodes()?;
        self.loops -= usize::from(keyword == "range");
        let mut otherwise = Vec::new();
        if end.kind == TokenKind::Word("else".into()) {
            let chained = match &self.peek().kind {
                TokenKind::Word(word) if matches!(&**word, "if" | "with") => Some(word.clone()),
                _ => None,
            };
            match chained {
                Some(word) if word == keyword || keyword == "if" && word == "if" => {
                    self.deeper()?;
                    self.next();
                    let inner = self.branch(&word)?;
                    self.depth -= 1;
                    self.variables.truncate(scope);
                    let node = if word == "if" { Node::If(inner) } else { Node::With(inner) };
                    return Ok(Branch { pipeline, body, otherwise: vec![node] });
                }
                _ => {
                    self.expect(TokenKind::Close)?;
                    (otherwise, end) = self.nodes()?;
                }
            }
        }
        self.variables.truncate(scope);
        if end.kind != TokenKind::Word("end".into()) {
            let message = format!("{{{{{keyword}}}}} has no {{{{end}}}}");
            return Err(TemplateError::new(start, message));
        }
        self.expect(TokenKind::Close)?;
        Ok(Branch { pipeline, body, otherwise })
    }

    fn pipeline(&mut self, in_range: bool) -> Result<Pipeline, TemplateError> {
        let offset = self.peek().offset;
        let (variables, declares) = self.declaration(in_range)?;
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            let first = &command.operands[0];
            if !commands.is_empty()
                && !matches!(first.term, Term::Function(_))
                && first.fields.is_empty()
            {
                let message = "only a function can follow a pipe";
                return Err(TemplateError::new(first.offset, message));
            }
            commands.push(command);
            match self.peek().kind {
                TokenKind::Pipe => drop(self.next()),
                _ => break,
            }
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, declares, commands, offset })
    }

    fn declaration(&mut self, in_range: bool) -> Result<(Vec<String>, bool), TemplateError> {
        let kind = |parser: &Self, ahead: usize| {
            parser.tokens.get(parser.at + ahead).map(|t| t.kind.clone()).unwrap_or(TokenKind::End)
        };
        let mut names = Vec::new();
        let mut ahead = 0;
        while let TokenKind::Variable(name) = kind(self, ahead) {
            names.push(name);
            ahead += 1;
            if in_range && names.len() == 1 && kind(self, ahead) == TokenKind::Comma {
                ahead += 1;
                continue;
            }
            break;
        }
        let declares = match kind(self, ahead) {
            TokenKind::Declare => true,
            TokenKind::Assign => false,
            _ => return Ok((Vec::new(), false)),
        };
        if names.is_empty() {
            return Ok((Vec::new(), false));
        }
        for name in &names {
            if !declares && !self.variables.contains(name) {
                return Err(self.unknown_variable(name, self.peek().offset));
            }
        }
        self.at += ahead + 1;
        Ok((names, declares))
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        let mut operands = Vec::new();
        loop {
            match self.peek().kind {
                TokenKind::Close | TokenKind::Pipe | TokenKind::RightParen | TokenKind::End => {
                    break;
                }
                _ if !operands.is_empty() && !self.peek().spaced => {
                    let token = self.next();
                    return Err(self.unexpected(&token));
                }
                _ => operands.push(self.operand()?),
            }
        }
        let Some(first) = operands.first() else {
            return Err(TemplateError::new(self.peek().offset, "missing value for command"));
        };
        let callable = matches!(first.term, Term::Function(_)) || !first.fields.is_empty();
        if operands.len() > 1 && !callable {
            let message = "can't give argument to non-function";
            return Err(TemplateError::new(operands[1].offset, message));
        }
        Ok(Command { operands })
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let token = self.next();
        let offset = token.offset;
        let mut fields = Vec::new();
        let term = match token.kind {
            TokenKind::Dot => Term::Dot,
            TokenKind::Field(name) => {
                fields.push(name);
                Term::Dot
            }
            TokenKind::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(self.unknown_variable(&name, offset));
                }
                Term::Variable(name)
            }
            TokenKind::Str(text) => Term::Literal(Value::from(text)),
            TokenKind::Int(n) => Term::Literal(Value::Int(n)),
            TokenKind::Float(n) => Term::Literal(Value::Float(n)),
            TokenKind::Word(word) => self.word(word, offset)?,
            TokenKind::LeftParen => {
                self.deeper()?;
                let pipeline = self.pipeline(false)?;
                self.depth -= 1;
                self.expect(TokenKind::RightParen)?;
                Term::Parens(Box::new(pipeline))
            }
            _ => return Err(self.unexpected(&token)),
        };
        while let (TokenKind::Field(name), false) = (&self.peek().kind, self.peek().spaced) {
            fields.push(name.clone());
            self.next();
        }
        Ok(Operand { term, fields, offset })
    }

    fn word(&mut self, word: String, offset: usize) -> Result<Term, TemplateError> {
        Ok(match &*word {
            "true" => Term::Literal(Value::Bool(true)),
            "false" => Term::Literal(Value::Bool(false)),
            "nil" => Term::Nil,
            "end" | "else" | "if" | "with" | "range" | "define" | "template" | "block"
            | "break" | "continue" => {
                return Err(TemplateError::new(offset, format!("unexpected {word:?} in action")));
            }
            name if self.dialect.knows(name) => {
                self.parsed.runs_queries |= name == "query";
                Term::Function(word)
            }
            name => {
                let names = self.dialect.functions.iter().map(|(name, ..)| *name);
                let near = nearest(name, names);
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                let message = format!("function {name:?} not defined");
                return Err(TemplateError { offset, message, hint });
            }
        })
    }

    fn unknown_variable(&self, name: &str, offset: usize) -> TemplateError {
        let known = self.variables.iter().map(String::as_str).filter(|n| !n.is_empty());
        let hint = nearest(name, known).map(|near| format!("did you mean `${near}`?"));
        TemplateError { offset, message: format!("undefined variable \"${name}\""), hint }
    }
}
