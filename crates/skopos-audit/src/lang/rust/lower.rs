//! Rust to the common form. Macros are read from their tokens: paths, calls and literals, as a log call needs them.

use super::super::Node;
use super::super::builder::{
    Builder, children, guard_of, guarded, placeholders, positional, span, unquote,
};
use super::super::flow::{EACH, PART};
use super::super::ir::{Arg, Catch, Context, Expr, Import, Module, TypeDef};
use super::super::lower::{constant, is_choosy, is_watched};
use crate::{Guard, Span};

/// A file: its module and what types print themselves with care.
pub(super) struct File {
    pub(super) module: Module,
    /// Types with a `Debug` or `Display` of their own.
    pub(super) own_print: Vec<String>,
}

/// Lowers a file.
pub(super) fn lower(text: &str, root: Node<'_>) -> File {
    let mut rust = Rust {
        b: Builder::new(text),
        own_print: Vec::new(),
        attributes: Vec::new(),
        maps_error: false,
    };
    rust.all(root);
    File { module: rust.b.module, own_print: rust.own_print }
}

struct Rust<'t> {
    b: Builder<'t>,
    own_print: Vec<String>,
    /// Attributes that stand before the item to come.
    attributes: Vec<Expr>,
    /// Whether what is read stands in the arguments of `map_err`.
    maps_error: bool,
}

impl Rust<'_> {
    fn all(&mut self, node: Node<'_>) -> Vec<Expr> {
        let mut found = Vec::new();
        for child in children(node) {
            let expr = self.any(child);
            if !matches!(child.kind(), "attribute_item" | "line_comment" | "block_comment") {
                self.attributes.clear();
            }
            if !matches!(&expr, Expr::Other(inner, _) if inner.is_empty()) {
                found.push(expr);
            }
        }
        found
    }

    fn any(&mut self, node: Node<'_>) -> Expr {
        let expr = match self.b.down() {
            true => self.node(node),
            false => Expr::Other(Vec::new(), span(node)),
        };
        self.b.up();
        expr
    }

    fn part(&mut self, node: Node<'_>, name: &str) -> Option<Expr> {
        node.child_by_field_name(name).map(|child| self.any(child))
    }

    fn inside(&mut self, at: Context, node: Node<'_>) {
        let before = std::mem::replace(&mut self.b.at, at);
        self.any(node);
        self.b.at = before;
    }

    fn node(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        match node.kind() {
            "line_comment" | "block_comment" => {}
            "attribute_item" => {
                let text = self.b.source(node).trim_matches(['#', '[', ']']);
                let name = text.split('(').next().unwrap_or(text).trim().replace("::", ".");
                let attribute = match text.split_once('(') {
                    Some((_, inner)) => {
                        let argument = Expr::Str(inner.trim_end_matches(')').to_owned(), at);
                        self.b.call(format!("#{name}"), None, vec![positional(argument)], at, at)
                    }
                    None => Expr::Path(format!("#{name}"), at),
                };
                self.attributes.push(attribute);
            }
            "use_declaration" => {
                if let Some(argument) = node.child_by_field_name("argument") {
                    self.import(argument, "");
                }
            }
            // Tests say nothing about production.
            "mod_item" | "function_item" | "impl_item" if self.is_test() => {}
            "function_item" => {
                let decorators = std::mem::take(&mut self.attributes);
                let name = self.b.field(node, "name").unwrap_or_default();
                let function = self.b.function(name, node);
                self.b.module.functions[function].decorators = decorators;
                self.body(function, node);
            }
            "closure_expression" => {
                let function = self.b.function("<anonymous>", node);
                self.body(function, node);
                return Expr::Function(function, at);
            }
            "impl_item" => {
                let name = self.b.field(node, "type").unwrap_or_default();
                let name = name.split('<').next().unwrap_or(name).to_owned();
                let of = self.b.field(node, "trait").unwrap_or_default();
                if matches!(of.rsplit("::").next(), Some("Debug" | "Display")) {
                    self.own_print.push(name.clone());
                }
                let before = self.b.class.replace(name);
                self.attributes.clear();
                if let Some(body) = node.child_by_field_name("body") {
                    self.all(body);
                }
                self.b.class = before;
            }
            "struct_item" => self.structure(node),
            "let_declaration" => {
                let pattern = self.b.field(node, "pattern").unwrap_or_default();
                let target = pattern.trim_start_matches("mut ").trim().to_owned();
                let declared = self.b.field(node, "type").map(str::to_owned);
                let value = self.part(node, "value");
                self.part(node, "alternative");
                if let Some(value) = value {
                    self.bind(&target, value, declared, at);
                }
            }
            "static_item" | "const_item" => {
                let target = self.b.field(node, "name").unwrap_or_default().to_owned();
                let declared = self.b.field(node, "type").map(str::to_owned);
                if let Some(value) = self.part(node, "value") {
                    self.b.assign(&target, value, declared, at);
                }
            }
            "assignment_expression" => {
                let target = self.b.field(node, "left").unwrap_or_default().to_owned();
                let value = self.part(node, "right").unwrap_or(Expr::Null(at));
                self.b.assign(&target, value, None, at);
            }
            "if_expression" => self.branch(node),
            "let_condition" => {
                let pattern = self.b.field(node, "pattern").unwrap_or_default().to_owned();
                let value = self.part(node, "value").unwrap_or(Expr::Null(at));
                self.bind(&pattern, value.clone(), None, at);
                return Expr::Truth(vec![value], at);
            }
            "match_expression" => return self.matched(node),
            "for_expression" | "while_expression" | "loop_expression" => {
                let context = Context { in_loop: true, ..self.b.at };
                let before = std::mem::replace(&mut self.b.at, context);
                self.each(node);
                self.all(node);
                self.b.at = before;
            }
            "return_expression" => {
                let values = self.all(node);
                let context = self.b.at;
                self.b.module.returns.push((Expr::Other(values, at), context));
            }
            "call_expression" => return self.rust_call(node),
            "macro_invocation" => return self.expansion(node),
            "struct_expression" => {
                let name = self.b.field(node, "name").unwrap_or_default().replace("::", ".");
                let mut entries = Vec::new();
                for item in node.child_by_field_name("body").into_iter().flat_map(children) {
                    let key = self.b.field(item, "field").map(str::to_owned);
                    let key = key.or_else(|| Some(self.b.source(item).to_owned()));
                    let value = match self.part(item, "value") {
                        Some(value) => value,
                        None => Expr::Path(self.b.source(item).to_owned(), span(item)),
                    };
                    entries.push((key, value));
                }
                let value = positional(Expr::Dict(entries, at));
                return self.b.call(name, None, vec![value], at, at);
            }
            "identifier"
            | "self"
            | "scoped_identifier"
            | "type_identifier"
            | "scoped_type_identifier"
            | "field_identifier"
            | "shorthand_field_identifier" => {
                self.status(node, at);
                return Expr::Path(path(self.b.source(node)), at);
            }
            "field_expression" => {
                let value = self.part(node, "value");
                let name = self.b.field(node, "field").unwrap_or_default();
                let base = value.map(|value| self.b.path_of(&value).0).unwrap_or_default();
                return Expr::Path(format!("{base}.{name}"), at);
            }
            "reference_expression"
            | "try_expression"
            | "await_expression"
            | "parenthesized_expression"
            | "type_cast_expression"
            | "expression_statement" => {
                if let Some(value) = self.part(node, "value") {
                    return value;
                }
                let mut values = self.all(node);
                return match values.len() {
                    1 => values.remove(0),
                    _ => Expr::Other(values, at),
                };
            }
            "unary_expression" => {
                let text = self.b.source(node);
                let values = self.all(node);
                return match text.starts_with('!') {
                    true => Expr::Truth(values, at),
                    false => values.into_iter().next().unwrap_or(Expr::Null(at)),
                };
            }
            "binary_expression" => {
                let sides: Vec<Expr> =
                    ["left", "right"].iter().filter_map(|side| self.part(node, side)).collect();
                return match self.b.field(node, "operator").unwrap_or_default() {
                    "+" => Expr::Join(sides, at),
                    "==" | "!=" | "<" | ">" | "<=" | ">=" | "&&" | "||" => Expr::Truth(sides, at),
                    _ => Expr::Other(sides, at),
                };
            }
            "array_expression" | "tuple_expression" => return Expr::List(self.all(node), at),
            "index_expression" => {
                let parts = children(node);
                if let [base, index] = parts[..] {
                    let base = self.any(base);
                    return self.indexed(base, index, at);
                }
                let value = Expr::Other(self.all(node), at);
                return self.b.call("[..]".to_owned(), None, vec![positional(value)], at, at);
            }
            "string_literal" | "raw_string_literal" => {
                return Expr::Str(unquote(self.b.source(node)), at);
            }
            "integer_literal" | "float_literal" => {
                return Expr::Number(self.b.source(node).to_owned(), at);
            }
            "boolean_literal" => return Expr::Bool(self.b.source(node) == "true", at),
            _ => return Expr::Other(self.all(node), at),
        }
        Expr::Other(Vec::new(), at)
    }

    /// A status that an error is answered with is no call: it is told of as one.
    fn status(&mut self, node: Node<'_>, at: Span) {
        let is_for_error = self.maps_error || self.b.at.catch.is_some();
        if node.kind() != "scoped_identifier" || !is_for_error {
            return;
        }
        let name = self.b.source(node);
        let callee = |call: Node<'_>| self.b.field(call, "function").unwrap_or_default().to_owned();
        if super::answers::is_status(node, name, callee) {
            self.b.call(path(name), None, Vec::new(), at, at);
        }
    }

    fn is_test(&self) -> bool {
        self.attributes.iter().any(|attribute| match attribute {
            Expr::Call(at, _) => {
                let call = &self.b.module.calls[*at];
                call.callee == "#cfg"
                    && call
                        .args
                        .first()
                        .and_then(|a| a.value.text())
                        .is_some_and(|t| t.trim() == "test" || t.starts_with("any(test"))
            }
            Expr::Path(name, _) => name == "#test" || name.ends_with(".test"),
            _ => false,
        })
    }

    fn import(&mut self, node: Node<'_>, prefix: &str) {
        let join = |name: &str| match prefix {
            "" => path(name),
            prefix => format!("{prefix}.{}", path(name)),
        };
        let text = self.b.source(node);
        let at = span(node);
        match node.kind() {
            "use_as_clause" => {
                let whole = self.b.field(node, "path").unwrap_or_default();
                let alias = self.b.field(node, "alias");
                self.imported(join(whole), alias, at);
            }
            "scoped_use_list" => {
                let prefix = join(self.b.field(node, "path").unwrap_or_default());
                for child in node.child_by_field_name("list").into_iter().flat_map(children) {
                    self.import(child, &prefix);
                }
            }
            "use_list" => {
                for child in children(node) {
                    self.import(child, prefix);
                }
            }
            "use_wildcard" => self.imported(join(text.trim_end_matches("::*")), Some("*"), at),
            "self" => self.imported(prefix.to_owned(), None, at),
            "identifier" | "scoped_identifier" | "crate" => self.imported(join(text), None, at),
            _ => {}
        }
    }

    fn imported(&mut self, module: String, alias: Option<&str>, span: Span) {
        let last = module.rsplit('.').next().unwrap_or(&module).to_owned();
        let alias = alias.map_or(last, str::to_owned);
        self.b.module.imports.push(Import { module, name: None, alias, span });
    }

    fn body(&mut self, function: usize, node: Node<'_>) {
        for parameter in node.child_by_field_name("parameters").into_iter().flat_map(children) {
            let name =
                self.b.field(parameter, "pattern").unwrap_or_else(|| self.b.source(parameter));
            // `State(pool): State<Pool>` binds `pool`.
            let name = name.rsplit('(').next().unwrap_or(name).trim_end_matches(')').trim();
            let name = name.trim_start_matches("mut ").to_owned();
            let declared = self.b.field(parameter, "type").map(str::to_owned);
            self.b.module.functions[function].params.push((name, declared));
        }
        let context =
            Context { function: Some(function), guard: self.b.at.guard, ..Context::default() };
        self.attributes.clear();
        if let Some(body) = node.child_by_field_name("body") {
            if node.kind() == "closure_expression" && body.kind() != "block" {
                let before = std::mem::replace(&mut self.b.at, context);
                let value = self.any(body);
                self.b.at = before;
                self.b.module.returns.push((value, context));
                return;
            }
            self.inside(context, body);
        }
    }

    fn structure(&mut self, node: Node<'_>) {
        let name = self.b.field(node, "name").unwrap_or_default().to_owned();
        let mut bases = Vec::new();
        for attribute in &self.attributes {
            let Expr::Call(at, _) = attribute else { continue };
            let call = &self.b.module.calls[*at];
            if call.callee == "#derive" {
                let list = call.args.first().and_then(|arg| arg.value.text()).unwrap_or_default();
                bases.extend(list.split(',').map(|base| base.trim().to_owned()));
            }
        }
        let mut fields = Vec::new();
        let mut is_skipped = false;
        for field in node.child_by_field_name("body").into_iter().flat_map(children) {
            if field.kind() == "attribute_item" {
                let text = self.b.source(field);
                is_skipped |= text.contains("debug(skip")
                    || text.contains("redact")
                    || text.contains("sensitive");
                continue;
            }
            if field.kind() == "field_declaration" && !std::mem::take(&mut is_skipped) {
                let declared = self.b.field(field, "type").unwrap_or_default().to_owned();
                fields.extend(self.b.field(field, "name").map(|n| (n.to_owned(), declared)));
            }
        }
        self.b.module.types.push(TypeDef { name, bases, fields, span: span(node) });
    }

    fn branch(&mut self, node: Node<'_>) {
        let condition = node.child_by_field_name("condition");
        let text = condition.map(|c| self.b.source(c)).unwrap_or_default().to_owned();
        self.part(node, "condition");
        let mut context = guarded(self.b.at, guard_of(&text));
        let body = node.child_by_field_name("consequence");
        if let (Some(rest), Some(body)) = (text.strip_prefix("let Err("), body) {
            let error = rest.split(')').next().unwrap_or_default().trim().to_owned();
            context.catch = Some(self.catch(error, body));
        }
        if let Some(body) = body {
            self.inside(context, body);
        }
        self.part(node, "alternative");
    }

    /// Binds what a pattern names: `Some(x)`, `Ok(mut x)`, `(a, _)`, `Login { username, password }`.
    fn bind(&mut self, pattern: &str, value: Expr, declared: Option<String>, at: Span) {
        // What a guard asks (`Some(key) if key.len() > 10`) names nothing.
        let pattern = pattern.split(" if ").next().unwrap_or(pattern);
        let bare = pattern.trim().trim_start_matches("mut ").trim_start_matches("ref ").trim();
        let inner = ["Some(", "Ok("]
            .iter()
            .find_map(|start| bare.strip_prefix(start)?.strip_suffix(')'))
            .unwrap_or(bare);
        let inner = inner
            .trim()
            .trim_start_matches("mut ")
            .trim_start_matches("ref ")
            .trim_start_matches('&');
        if let (Some((_, fields)), Expr::Path(path, _)) =
            (inner.strip_suffix('}').and_then(|p| p.split_once('{')), &value)
        {
            for field in fields.split(',').map(str::trim).filter(|f| !f.is_empty() && *f != "..") {
                let (key, name) = field.split_once(':').unwrap_or((field, field));
                let part = Expr::Path(format!("{path}.{}", key.trim()), at);
                self.b.assign(name.trim(), part, None, at);
            }
            return;
        }
        self.b.assign(inner, value, declared, at);
    }

    /// `for (name, value) in req.headers()`: the last name is one of the values, where they are worth following.
    fn each(&mut self, node: Node<'_>) {
        let part = |name| self.b.field(node, name);
        let (Some(pattern), Some(of), Some(body)) = (part("pattern"), part("value"), part("body"))
        else {
            return;
        };
        if !is_watched(of) || is_choosy(body) {
            return;
        }
        let name = pattern
            .trim_matches(['(', ')'])
            .rsplit(',')
            .next()
            .unwrap_or(pattern)
            .trim()
            .to_owned();
        let Some(of) = self.part(node, "value") else { return };
        let start = node.start_byte();
        let at = Span::new(start, start);
        let value = self.b.call(EACH.to_owned(), None, vec![positional(of)], at, at);
        self.b.assign(&name, value, None, at);
    }

    /// A match comes to one of its arms; what `Ok(x)` and `Some(x)` name is what is matched.
    fn matched(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        let value = self.part(node, "value").unwrap_or(Expr::Null(at));
        let mut arms = Vec::new();
        for arm in node.child_by_field_name("body").into_iter().flat_map(children) {
            if arm.kind() == "match_arm" {
                arms.extend(self.arm(arm, &value));
            }
        }
        Expr::Choice(Box::new(value), arms, at)
    }

    /// `headers["x"]` is a part by its name, `token[..4]` a part by its length, `auth[7..]` all but what stands before it.
    fn indexed(&mut self, base: Expr, index: Node<'_>, at: Span) -> Expr {
        let text = self.b.source(index).trim();
        let key = match index.kind() {
            "string_literal" => Some(unquote(text)),
            "identifier" | "scoped_identifier" => constant(&path(text)).map(str::to_owned),
            _ => None,
        };
        let is_range = text.contains("..");
        let (base_path, _) = self.b.path_of(&base);
        self.any(index);
        match key {
            Some(key) => Expr::Path(format!("{base_path}.{key}"), at),
            None if is_range && is_start(text) => base,
            None => {
                let callee = if is_range { PART } else { "[..]" };
                self.b.call(callee.to_owned(), None, vec![positional(base)], at, at)
            }
        }
    }

    fn arm(&mut self, node: Node<'_>, matched: &Expr) -> Option<Expr> {
        let whole = node.child_by_field_name("pattern");
        let pattern = whole.map(|n| self.b.source(n)).unwrap_or_default().to_owned();
        if let Some(whole) = whole {
            self.any(whole);
        }
        if pattern.starts_with("Ok(") || pattern.starts_with("Some(") {
            let at = whole.map(span).unwrap_or_default();
            self.bind(&pattern, matched.clone(), None, at);
        }
        let value = node.child_by_field_name("value")?;
        let mut context = self.b.at;
        if let Some((_, rest)) = pattern.split_once("Err(") {
            let error = rest.split(')').next().unwrap_or_default().trim().to_owned();
            context.catch = Some(self.catch(error, value));
        }
        if guard_of(&pattern) == Guard::Development {
            context.guard = Guard::Development;
        }
        let before = std::mem::replace(&mut self.b.at, context);
        let value = self.any(value);
        self.b.at = before;
        // A block that leaves gives nothing.
        (!matches!(&value, Expr::Other(..))).then_some(value)
    }

    fn catch(&mut self, error: String, body: Node<'_>) -> usize {
        let text = self.b.source(body);
        let raises =
            text.contains("return Err(") || text.trim_end_matches('}').trim().ends_with("Err(e)");
        self.b.module.catches.push(Catch { error: Some(error), span: span(body), raises });
        self.b.module.catches.len() - 1
    }

    fn rust_call(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        let Some(mut function) = node.child_by_field_name("function") else {
            return Expr::Other(self.all(node), at);
        };
        if function.kind() == "generic_function" {
            function = function.child_by_field_name("function").unwrap_or(function);
        }
        let (callee, receiver, name_span) = match function.kind() {
            "field_expression" => {
                let value = self.part(function, "value");
                let name = self.b.field(function, "field").unwrap_or_default();
                let (base, receiver) = value.map(|v| self.b.path_of(&v)).unwrap_or_default();
                let name_node = function.child_by_field_name("field").unwrap_or(function);
                (format!("{base}.{name}"), receiver, span(name_node))
            }
            "identifier" | "scoped_identifier" => {
                (path(self.b.source(function)), None, span(function))
            }
            _ => {
                self.any(function);
                ("?".to_owned(), None, span(function))
            }
        };
        let list = node.child_by_field_name("arguments");
        let around = self.maps_error;
        self.maps_error |= callee.ends_with(".map_err");
        let args = list.into_iter().flat_map(children).map(|n| positional(self.any(n))).collect();
        self.maps_error = around;
        self.b.call(callee, receiver, args, at, name_span)
    }

    /// `name!(…)`: the arguments between commas, each with its name where it has one.
    fn expansion(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        let name = path(self.b.field(node, "macro").unwrap_or_default());
        let name_span = node.child_by_field_name("macro").map_or(at, span);
        let tree = children(node).into_iter().find(|n| n.kind() == "token_tree");
        let args = tree.map(|tree| self.tokens(tree)).unwrap_or_default();
        if matches!(name.as_str(), "panic" | "bail" | "anyhow.bail" | "unreachable" | "todo") {
            let raised = args.first().map(|arg| arg.value.clone());
            let context = self.b.at;
            self.b.module.raises.push((raised, context, at));
        }
        self.b.call(format!("{name}!"), None, args, at, name_span)
    }

    fn tokens(&mut self, tree: Node<'_>) -> Vec<Arg> {
        let all = tree.children();
        // The brackets around it are tokens too.
        let inner = all.get(1..all.len().saturating_sub(1)).unwrap_or_default();
        let mut args = Vec::new();
        for piece in inner.split(|token| matches!(token.kind(), "," | ";")) {
            if piece.is_empty() {
                continue;
            }
            // `name = value`, `name.more = value`; a bare `name` of a field is its own value.
            let equals = piece.iter().position(|token| matches!(token.kind(), "=" | "=>"));
            let is_labelled = piece.len() > 2
                && piece[1].kind() == ":"
                && matches!(self.b.source(piece[0]), "target" | "parent" | "name" | "logger");
            let equals = if is_labelled { Some(1) } else { equals };
            // `for … { … } if let Some(x) = …`: what has a block before its `=` is code, not a named argument.
            let is_code = |at: &usize| {
                piece[..*at].iter().any(|token| {
                    token.kind() == "token_tree" && self.b.source(*token).starts_with('{')
                })
            };
            let equals = equals.filter(|at| !is_code(at));
            let (name, value) = match equals {
                Some(at) if at > 0 && piece.len() > at + 1 => {
                    let end = piece[at - 1].end_byte();
                    let name = self.b.text.get(piece[0].start_byte()..end).unwrap_or_default();
                    (Some(name.trim_matches('"').to_owned()), &piece[at + 1..])
                }
                _ => (None, piece),
            };
            let value = self.token_value(value);
            args.push(Arg { name, value });
        }
        args
    }

    /// An expression from its tokens, as well as tokens tell.
    fn token_value(&mut self, tokens: &[Node<'_>]) -> Expr {
        let at = match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => Span::new(first.start_byte(), last.end_byte()),
            _ => Span::default(),
        };
        if !self.b.down() {
            self.b.up();
            return Expr::Other(Vec::new(), at);
        }
        let mut found: Vec<Expr> = Vec::new();
        let mut is_truth = false;
        let mut is_call_next: Option<(String, Span, Option<usize>)> = None;
        // The call that a name after a dot belongs to.
        let mut receiver: Option<usize> = None;
        let mut index = 0;
        while let Some(token) = tokens.get(index) {
            index += 1;
            match token.kind() {
                "identifier" | "self" | "crate" | "super" | "primitive_type" => {
                    let text = self.b.source(*token);
                    let joins = index >= 2 && matches!(tokens[index - 2].kind(), "." | "::");
                    receiver = receiver.take().filter(|_| joins);
                    match (joins, found.last_mut()) {
                        (true, Some(Expr::Path(path, span))) => {
                            receiver = None;
                            path.push('.');
                            path.push_str(text);
                            span.end = Span::new(0, token.end_byte()).end;
                        }
                        (true, Some(last @ Expr::Call(..))) => {
                            let (base, of) = self.b.path_of(&last.clone());
                            receiver = of;
                            *last = Expr::Path(format!("{base}.{text}"), span(*token));
                        }
                        _ => found.push(Expr::Path(text.to_owned(), span(*token))),
                    }
                    if let (Some(next), Some(Expr::Path(path, _))) =
                        (tokens.get(index), found.last())
                        && next.kind() == "token_tree"
                        && self.b.source(*next).starts_with('(')
                    {
                        is_call_next = Some((path.clone(), span(*token), receiver.take()));
                    }
                    let is_macro = tokens.get(index).is_some_and(|n| n.kind() == "!")
                        && tokens.get(index + 1).is_some_and(|n| n.kind() == "token_tree");
                    if let (true, Some(Expr::Path(path, _))) = (is_macro, found.last()) {
                        is_call_next = Some((format!("{path}!"), span(*token), None));
                        index += 1;
                    }
                }
                // `token[..4]`, `headers["x"]`.
                "token_tree"
                    if index >= 2
                        && tokens[index - 2].end_byte() == token.start_byte()
                        && self.b.source(*token).starts_with('[')
                        && matches!(found.last(), Some(Expr::Path(..) | Expr::Call(..))) =>
                {
                    let text = self.b.source(*token).trim_matches(['[', ']']).trim();
                    let base = found.pop().unwrap_or(Expr::Null(at));
                    let (base_path, _) = self.b.path_of(&base);
                    let is_text = text.starts_with('"') && text.ends_with('"') && text.len() > 1;
                    found.push(match () {
                        () if is_text => Expr::Path(format!("{base_path}.{}", unquote(text)), at),
                        () if text.contains("..") && is_start(text) => base,
                        () => {
                            let callee = if text.contains("..") { PART } else { "[..]" };
                            self.b.call(callee.to_owned(), None, vec![positional(base)], at, at)
                        }
                    });
                }
                "token_tree" => {
                    let args = self.tokens(*token);
                    match is_call_next.take() {
                        Some((callee, name_span, receiver)) => {
                            let start = name_span.start as usize;
                            let at = Span::new(start, token.end_byte());
                            found.pop();
                            let call = self.b.call(callee, receiver, args, at, name_span);
                            found.push(call);
                        }
                        None => {
                            let values = args.into_iter().map(|arg| arg.value).collect();
                            found.push(match self.b.source(*token).starts_with('[') {
                                true => Expr::List(values, span(*token)),
                                false => Expr::Other(values, span(*token)),
                            });
                        }
                    }
                }
                "string_literal" | "raw_string_literal" => {
                    found.push(Expr::Str(unquote(self.b.source(*token)), span(*token)));
                }
                "integer_literal" | "float_literal" => {
                    // `pair.0` is a part of the pair.
                    let is_part = index >= 2 && tokens[index - 2].kind() == ".";
                    if !is_part {
                        found.push(Expr::Number(self.b.source(*token).to_owned(), span(*token)));
                    }
                }
                "boolean_literal" => {
                    found.push(Expr::Bool(self.b.source(*token) == "true", span(*token)));
                }
                "==" | "!=" | "&&" | "||" | "<=" | ">=" => is_truth = true,
                _ => {}
            }
        }
        self.b.up();
        match found.len() {
            _ if is_truth => Expr::Truth(found, at),
            1 => found.remove(0),
            _ => Expr::Other(found, at),
        }
    }
}

/// The message of a formatting macro: its literal with `{}` for each value, and the values that its braces name.
pub(super) fn format_of(args: &[Arg]) -> Option<(String, Vec<Expr>, usize)> {
    let at = args.iter().position(|arg| arg.name.is_none() && arg.value.text().is_some())?;
    let literal = &args[at].value;
    let (text, names) = placeholders(literal.text()?);
    let values = names.into_iter().map(|name| Expr::Path(name, literal.span())).collect();
    Some((text, values, at))
}

/// Whether a range takes off the first few letters only: `7..`.
fn is_start(range: &str) -> bool {
    range.strip_suffix("..").is_some_and(|n| n.trim().parse::<u8>().is_ok_and(|n| n <= 8))
}

/// A path with dots: `a::b::<T>` → `a.b`.
fn path(text: &str) -> String {
    let text = text.split("::<").next().unwrap_or(text);
    text.split_whitespace().collect::<String>().replace("::", ".")
}
