//! What the lowerings of Go, Rust and Java share: a module that grows, what surrounds the place being read, and a limit.
//!
//! A lowering visits every node once and returns an expression for it; statements return what is in them. Nesting beyond
//! [`DEEPEST`] is not read: no person writes it, and the stack is not for a file to fill.

pub(super) use super::lower::{guard_of, span};

use super::ir::{Arg, Assign, Call, Context, Expr, Function, Module};
use super::{Node, Nodes};
use crate::{Guard, Span};

use super::lower::DEEPEST;

/// A module that grows.
pub(super) struct Builder<'t> {
    pub(super) text: &'t str,
    pub(super) module: Module,
    pub(super) at: Context,
    /// The class or type whose body is being read.
    pub(super) class: Option<String>,
    depth: usize,
}

impl<'t> Builder<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let (module, at) = (Module::default(), Context::default());
        Self { text, module, at, class: None, depth: 0 }
    }

    /// The source of a node.
    pub(super) fn source(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    /// The source of a field of a node.
    pub(super) fn field(&self, node: Node<'_>, name: &str) -> Option<&'t str> {
        node.child_by_field_name(name).map(|child| self.source(child))
    }

    /// Goes one level down, unless it is too deep.
    pub(super) fn down(&mut self) -> bool {
        self.depth += 1;
        self.depth <= DEEPEST
    }

    /// Comes back up.
    pub(super) fn up(&mut self) {
        self.depth -= 1;
    }

    /// Adds a function and says which.
    pub(super) fn function(&mut self, name: &str, node: Node<'_>) -> usize {
        self.module.functions.push(Function {
            name: name.to_owned(),
            class: self.class.clone(),
            parent: self.at.function,
            span: span(node),
            ..Function::default()
        });
        self.module.functions.len() - 1
    }

    /// Adds a call.
    pub(super) fn call(
        &mut self,
        callee: String,
        receiver: Option<usize>,
        args: Vec<Arg>,
        span: Span,
        name_span: Span,
    ) -> Expr {
        let at = self.at;
        self.module.calls.push(Call { callee, receiver, args, span, name_span, at });
        Expr::Call(self.module.calls.len() - 1, span)
    }

    /// Adds an assignment.
    pub(super) fn assign(
        &mut self,
        target: &str,
        value: Expr,
        declared: Option<String>,
        span: Span,
    ) {
        let (target, at) = (target.to_owned(), self.at);
        self.module.assigns.push(Assign { target, value, declared, span, at });
    }

    /// The dotted path of an expression that a call is made on, and the call it comes from.
    pub(super) fn path_of(&self, expr: &Expr) -> (String, Option<usize>) {
        match expr {
            Expr::Path(path, _) => (path.clone(), None),
            Expr::Call(at, _) => (format!("{}()", self.module.calls[*at].callee), Some(*at)),
            Expr::Str(..) | Expr::Interpolated(..) | Expr::Join(..) => ("\"\"".to_owned(), None),
            _ => ("?".to_owned(), None),
        }
    }

    /// Runs with another context and comes back to the present one.
    pub(super) fn within<R>(&mut self, at: Context, run: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.at, at);
        let result = run(self);
        self.at = before;
        result
    }
}

/// An argument without a name.
pub(super) fn positional(value: Expr) -> Arg {
    Arg { name: None, value }
}

/// The named children of a node.
pub(super) fn children(node: Node<'_>) -> Nodes<'_> {
    node.named_children()
}

/// The context of a branch that runs only under a condition.
pub(super) fn guarded(at: Context, guard: Guard) -> Context {
    match guard {
        Guard::Always => at,
        guard => Context { guard, ..at },
    }
}

/// Replaces the placeholders of a format (`%s`, `{}`, `{name:?}`) by `{}`, and says which names stand in braces.
pub(super) fn placeholders(text: &str) -> (String, Vec<String>) {
    let mut out = String::new();
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        if rest[at..].starts_with("{{") {
            out.push_str("{{");
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}') else {
            out.push_str(&rest[at..]);
            return (out, names);
        };
        let name = rest[at + 1..at + end].split(':').next().unwrap_or_default().trim();
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        if !name.is_empty()
            && name.chars().all(is_name)
            && !name.starts_with(|c: char| c.is_ascii_digit())
        {
            names.push(name.to_owned());
        }
        out.push_str("{}");
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    (out, names)
}

/// The text of a literal without its quotes and with its usual escapes undone.
pub(super) fn unquote(literal: &str) -> String {
    let inner = literal.trim_start_matches(['r', 'b', '#', 'c']).trim_end_matches('#');
    let inner = inner
        .strip_prefix("\"\"\"")
        .and_then(|s| s.strip_suffix("\"\"\""))
        .or_else(|| inner.strip_prefix('"').and_then(|s| s.strip_suffix('"')))
        .or_else(|| inner.strip_prefix('`').and_then(|s| s.strip_suffix('`')))
        .or_else(|| inner.strip_prefix('\'').and_then(|s| s.strip_suffix('\'')))
        .unwrap_or(inner);
    if !inner.contains('\\') || literal.starts_with(['`', 'r']) {
        return inner.to_owned();
    }
    let mut out = String::new();
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match (c, characters.as_str().chars().next()) {
            ('\\', Some(escape)) => {
                characters.next();
                out.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                });
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_formats() {
        assert_eq!(unquote("\"a\\\"b\""), "a\"b");
        assert_eq!(unquote("r#\"a\"#"), "a");
        assert_eq!(unquote("`a\\n`"), "a\\n");
        let (text, names) = placeholders("user {} {name:?} {{x}} {0}");
        assert_eq!((text.as_str(), names), ("user {} {} {{x}} {}", vec!["name".to_owned()]));
    }
}
