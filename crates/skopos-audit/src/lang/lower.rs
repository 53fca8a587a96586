//! What every lowering shares: the state while a tree is walked, and how conditions tell environments apart.

use super::ir::{Assign, Call, Context, Expr, Function, Module};
use super::{Node, Nodes};
use crate::{Guard, Span};

/// Trees deeper than this are not followed: no person nests so, and the stack is finite.
pub(crate) const DEEPEST: usize = 220;

/// A walk over a tree in the making of a module.
pub(crate) struct Lowering<'t> {
    pub(crate) text: &'t str,
    pub(crate) module: Module,
    pub(crate) at: Context,
    pub(crate) class: Option<String>,
    pub(crate) depth: usize,
    /// What the constructor of the class being read gives its objects (`this.name = …`).
    pub(crate) own: Vec<String>,
}

impl<'t> Lowering<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            module: Module::default(),
            at: Context::default(),
            class: None,
            depth: 0,
            own: Vec::new(),
        }
    }

    /// The text of a node.
    pub(crate) fn of(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    pub(crate) fn push_call(&mut self, call: Call) -> usize {
        self.module.calls.push(call);
        self.module.calls.len() - 1
    }

    pub(crate) fn assign(
        &mut self,
        target: String,
        value: Expr,
        declared: Option<String>,
        span: Span,
    ) {
        let at = self.at;
        self.module.assigns.push(Assign { target, value, declared, span, at });
    }

    /// Opens a function; what is lowered until [`Lowering::close_function`] belongs to it.
    pub(crate) fn open_function(&mut self, function: Function) -> (usize, Context, Option<String>) {
        let saved = (self.at, self.class.take());
        self.module.functions.push(function);
        let index = self.module.functions.len() - 1;
        self.at = Context { function: Some(index), guard: self.at.guard, ..Context::default() };
        (index, saved.0, saved.1)
    }

    pub(crate) fn close_function(&mut self, saved: (usize, Context, Option<String>)) {
        self.at = saved.1;
        self.class = saved.2;
    }
}

/// The name of a constant at the end of a path (`HttpHeaders.AUTHORIZATION`): it stands for the key it holds.
pub(crate) fn constant(path: &str) -> Option<&str> {
    let last = path.rsplit('.').next().unwrap_or(path);
    let is_constant = last.len() > 2
        && last.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    is_constant.then_some(last)
}

/// Whether the values of what a loop goes through are worth following: headers, cookies, the environment.
pub(crate) fn is_watched(iterated: &str) -> bool {
    const WORDS: [&str; 6] = ["eader", "ookie", "environ", "process.env", "etadata", ".META"];
    iterated.len() < 200
        && WORDS.iter().any(|word| iterated.contains(word))
        && !iterated.contains("ames()")
        && !iterated.contains("keys")
}

/// Whether the body of a loop looks at what it shows: by a condition, or by a call that takes secrets out.
pub(crate) fn is_choosy(body: &str) -> bool {
    let lower = format!(" {}", body.get(..2000).unwrap_or(body).to_ascii_lowercase());
    const WORDS: [&str; 13] = [
        " if ",
        "if(",
        "if (",
        "continue",
        "? ",
        "match ",
        "switch",
        "mask",
        "redact",
        "sanit",
        "filter",
        "sensitive",
        "allow",
    ];
    WORDS.iter().any(|word| lower.contains(word))
}

/// A node's bytes.
pub(crate) fn span(node: Node<'_>) -> Span {
    Span::new(node.start_byte(), node.end_byte())
}

/// The named children of a node, comments left out.
pub(crate) fn children(node: Node<'_>) -> Nodes<'_> {
    node.said_children()
}

/// Every comment of a tree that speaks to us, wherever the grammar hangs it.
pub(crate) fn comments(root: Node<'_>, text: &str) -> Vec<(Span, String)> {
    let mut found = Vec::new();
    if !text.contains("skopos-ignore") {
        return found;
    }
    let mut cursor = root.raw().walk();
    loop {
        let node = cursor.node();
        if node.kind().contains("comment") {
            found.push((
                node.byte_range().into(),
                text.get(node.byte_range()).unwrap_or_default().to_owned(),
            ));
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
        }
    }
}

/// Which environment a condition asks for.
pub(crate) fn guard_of(condition: &str) -> Guard {
    let text: String = condition
        .to_ascii_lowercase()
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '(')
        .collect();
    if text.contains("__name__") || text.contains("require.main") {
        return Guard::Main;
    }
    let production = ["production", "'prod'", "\"prod\"", "is_prod", "isprod", "inprod", ".prod"];
    if production.iter().any(|word| text.contains(word)) {
        let denied = text.contains("!=")
            || text.starts_with("not")
            || text.starts_with('!')
            || text.contains("notin");
        return if denied { Guard::Development } else { Guard::Production };
    }
    let development = [
        "debug",
        "development",
        "'dev'",
        "\"dev\"",
        "is_dev",
        "isdev",
        "is_local",
        "islocal",
        "'local'",
        "\"local\"",
        "'test'",
        "\"test\"",
        "testing",
        ".dev",
        "isatty",
        "verbose",
        "istty",
    ];
    if development.iter().any(|word| text.contains(word)) {
        let denied = text.contains("!=") || text.starts_with("not") || text.starts_with('!');
        return if denied { Guard::Production } else { Guard::Development };
    }
    Guard::Always
}

/// What holds in the other branch.
pub(crate) fn otherwise(guard: Guard) -> Guard {
    match guard {
        Guard::Development => Guard::Production,
        Guard::Production => Guard::Development,
        Guard::Always | Guard::Main => Guard::Always,
    }
}

/// The inner of two conditions counts, unless it says nothing.
pub(crate) fn within(outer: Guard, inner: Guard) -> Guard {
    if inner == Guard::Always || outer == Guard::Development { outer } else { inner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_tell_environments_apart() {
        let cases = [
            ("settings.DEBUG", Guard::Development),
            ("not settings.debug", Guard::Production),
            ("process.env.NODE_ENV !== 'production'", Guard::Development),
            ("environment == \"production\"", Guard::Production),
            ("__name__ == '__main__'", Guard::Main),
            ("user.is_admin", Guard::Always),
        ];
        for (condition, guard) in cases {
            assert_eq!(guard_of(condition), guard, "{condition}");
        }
    }
}
