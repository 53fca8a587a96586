//! The common form that languages are lowered to before their calls are classified.
//!
//! It keeps what rules need and no more: calls with their arguments, assignments, functions, imports, and for each of
//! them what surrounds it. Calls live in one list; expressions name them by index, so that a classifier walks the list
//! and looks around. Paths are dotted, whatever the language writes: `a.b["c"].d()` is a call of `a.b.c.d`;
//! a call in the middle of a chain is `a.b().c`.

use std::sync::OnceLock;

use super::flow::Index;
use crate::{Guard, Span};

/// A file of code.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// What it imports.
    pub imports: Vec<Import>,
    /// Its functions and methods, outer before inner.
    pub functions: Vec<Function>,
    /// Every call.
    pub calls: Vec<Call>,
    /// Every assignment and declaration with a value.
    pub assigns: Vec<Assign>,
    /// Every `catch`, `except`, error branch.
    pub catches: Vec<Catch>,
    /// Every `return` with a value.
    pub returns: Vec<(Expr, Context)>,
    /// Every `raise` or `throw`, with what is raised where that is said.
    pub raises: Vec<(Option<Expr>, Context, Span)>,
    /// Classes and structs with the declared types of their fields.
    pub types: Vec<TypeDef>,
    /// Where names stand in the lists above; made when it is first asked for, after which the lists stay as they are.
    pub(super) index: OnceLock<Index>,
}

/// An imported name.
#[derive(Clone, Debug)]
pub struct Import {
    /// The module as written (`opentelemetry.sdk.trace`, `pino`, `./logger`).
    pub module: String,
    /// The name taken from it; none for the whole module.
    pub name: Option<String>,
    /// What it is called here.
    pub alias: String,
    /// Where.
    pub span: Span,
}

/// A function or method.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Its name; a made-up one, `<anonymous>`, when it has none.
    pub name: String,
    /// The class or type it belongs to.
    pub class: Option<String>,
    /// Names and declared types of its parameters.
    pub params: Vec<(String, Option<String>)>,
    /// Decorators and annotations.
    pub decorators: Vec<Expr>,
    /// The function around it.
    pub parent: Option<usize>,
    /// All of it.
    pub span: Span,
}

impl Function {
    /// `Class.method` or `function`.
    pub fn qualified(&self) -> String {
        match &self.class {
            Some(class) => format!("{class}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Dotted, as written (`logger.info`, `a.b().c`); macros with their `!` (`println!`).
    pub callee: String,
    /// The call whose result this one is made on.
    pub receiver: Option<usize>,
    /// The arguments.
    pub args: Vec<Arg>,
    /// All of it.
    pub span: Span,
    /// Only the name of the function, the last part of `callee`.
    pub name_span: Span,
    /// What surrounds it.
    pub at: Context,
}

impl Call {
    /// The last part of the callee.
    pub fn name(&self) -> &str {
        self.callee.rsplit('.').next().unwrap_or(&self.callee)
    }

    /// All but the last part of the callee.
    pub fn object(&self) -> &str {
        self.callee.rsplit_once('.').map_or("", |(object, _)| object)
    }

    /// The argument of this name.
    pub fn named(&self, name: &str) -> Option<&Expr> {
        self.args.iter().find(|arg| arg.name.as_deref() == Some(name)).map(|arg| &arg.value)
    }

    /// The argument at this position, among those without a name.
    pub fn positional(&self, at: usize) -> Option<&Expr> {
        self.args.iter().filter(|arg| arg.name.is_none()).nth(at).map(|arg| &arg.value)
    }
}

/// An argument.
#[derive(Clone, Debug)]
pub struct Arg {
    /// For keyword arguments.
    pub name: Option<String>,
    /// The value.
    pub value: Expr,
}

/// `target = value`.
#[derive(Clone, Debug)]
pub struct Assign {
    /// Dotted: `self.logger`, `app.config.DEBUG`.
    pub target: String,
    /// The value.
    pub value: Expr,
    /// The declared type.
    pub declared: Option<String>,
    /// All of it.
    pub span: Span,
    /// What surrounds it.
    pub at: Context,
}

/// A `catch`, `except` or error branch.
#[derive(Clone, Debug)]
pub struct Catch {
    /// The name that the error has in it.
    pub error: Option<String>,
    /// All of it.
    pub span: Span,
    /// Whether it raises, as far as its own lines say.
    pub raises: bool,
}

/// What surrounds a piece of code.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Index of the innermost function.
    pub function: Option<usize>,
    /// Index of the innermost catch.
    pub catch: Option<usize>,
    /// Under which condition it runs.
    pub guard: Guard,
    /// Whether it stands in a loop.
    pub in_loop: bool,
    /// Whether it stands in a `finally` (or is deferred).
    pub in_finally: bool,
}

/// An expression.
#[derive(Clone, Debug)]
pub enum Expr {
    /// A variable, or attributes and literal keys of one: `user.password`.
    Path(String, Span),
    /// A literal text.
    Str(String, Span),
    /// A text with values in it: the text with `{}` for each, and the values.
    Interpolated(String, Vec<Expr>, Span),
    /// A number, as written.
    Number(String, Span),
    /// A truth value.
    Bool(bool, Span),
    /// Nothing: `None`, `null`, `undefined`, `nil`.
    Null(Span),
    /// A call: its index.
    Call(usize, Span),
    /// A list, tuple or array.
    List(Vec<Expr>, Span),
    /// A mapping or object literal: literal keys, or none for computed and spread ones.
    Dict(Vec<(Option<String>, Expr)>, Span),
    /// A function: its index.
    Function(usize, Span),
    /// Joined by `+` or `%`: texts put together.
    Join(Vec<Expr>, Span),
    /// One of two or more: the condition, then what it may be.
    Choice(Box<Expr>, Vec<Expr>, Span),
    /// Only a truth value comes out: comparisons, `not`.
    Truth(Vec<Expr>, Span),
    /// Anything else, with what is in it.
    Other(Vec<Expr>, Span),
}

impl Expr {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Path(_, span)
            | Self::Str(_, span)
            | Self::Interpolated(_, _, span)
            | Self::Number(_, span)
            | Self::Bool(_, span)
            | Self::Null(span)
            | Self::Call(_, span)
            | Self::List(_, span)
            | Self::Dict(_, span)
            | Self::Function(_, span)
            | Self::Join(_, span)
            | Self::Choice(_, _, span)
            | Self::Truth(_, span)
            | Self::Other(_, span) => *span,
        }
    }

    /// The text of a literal.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Str(text, _) => Some(text),
            _ => None,
        }
    }

    /// The literal part of a route: of `base + "/health"` and `${base}/health`, `/health`.
    pub fn route_text(&self) -> Option<&str> {
        match self {
            Self::Str(text, _) => Some(text),
            Self::Join(parts, _) => {
                let last = parts.last()?.route_text()?;
                last.starts_with('/').then_some(last)
            }
            Self::Interpolated(text, _, _) => {
                let rest = text.strip_prefix("{}")?;
                (rest.starts_with('/') && !rest.contains("{}")).then_some(rest)
            }
            _ => None,
        }
    }

    /// The path of a variable.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Path(path, _) => Some(path),
            _ => None,
        }
    }

    /// The value of a key of a mapping.
    pub fn key(&self, key: &str) -> Option<&Expr> {
        match self {
            Self::Dict(pairs, _) => {
                pairs.iter().find(|(k, _)| k.as_deref() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The literal texts of a list.
    pub fn texts(&self) -> Vec<(String, Span)> {
        match self {
            Self::List(items, _) => items
                .iter()
                .filter_map(|item| Some((item.text()?.to_owned(), item.span())))
                .collect(),
            Self::Str(text, span) => vec![(text.clone(), *span)],
            _ => Vec::new(),
        }
    }
}

/// A class or struct.
#[derive(Clone, Debug)]
pub struct TypeDef {
    /// Its name.
    pub name: String,
    /// What it extends or derives, as written.
    pub bases: Vec<String>,
    /// Its fields and their declared types.
    pub fields: Vec<(String, String)>,
    /// All of it.
    pub span: Span,
}
