//! The trees of JavaScript and TypeScript → the common form.

mod imports;
mod types;

use smallvec::smallvec;

use crate::Guard;
use crate::lang::Node;
use crate::lang::flow::{EACH, looked_up};
use crate::lang::ir::{Arg, Call, Catch, Expr, Function, Module};
use crate::lang::lower::{
    DEEPEST, Lowering, children, constant, guard_of, is_choosy, is_watched, otherwise, span, within,
};

/// Lowers a file.
pub(super) fn lower(text: &str, root: Node<'_>) -> Module {
    let mut lowering = Lowering::new(text);
    lowering.js_statements(root);
    lowering.module
}

impl Lowering<'_> {
    fn js_statements(&mut self, node: Node<'_>) {
        let saved = self.at.guard;
        for &child in &node.named_children() {
            self.js(child);
            // `if (production) return;`: what follows runs elsewhere only.
            if child.kind() == "if_statement" && child.child_by_field_name("alternative").is_none()
            {
                let leaves = child.child_by_field_name("consequence").is_some_and(|body| {
                    let first = if body.kind() == "statement_block" {
                        body.named_child(0)
                    } else {
                        Some(body)
                    };
                    first.is_some_and(|n| n.kind() == "return_statement")
                });
                if leaves && let Some(condition) = child.child_by_field_name("condition") {
                    let guard = otherwise(guard_of(self.of(condition)));
                    self.at.guard = within(self.at.guard, guard);
                }
            }
        }
        self.at.guard = saved;
    }

    fn js(&mut self, node: Node<'_>) -> Expr {
        if self.depth > DEEPEST {
            return Expr::Other(Vec::new(), span(node));
        }
        self.depth += 1;
        let expr = self.js_inner(node);
        self.depth -= 1;
        expr
    }

    fn js_all(&mut self, node: Node<'_>) -> Vec<Expr> {
        children(node).iter().map(|child| self.js(*child)).collect()
    }

    fn js_inner(&mut self, node: Node<'_>) -> Expr {
        let whole = span(node);
        let nothing = Expr::Other(Vec::new(), whole);
        match node.kind() {
            "comment" | "html_comment" => {}
            "import_statement" => self.js_import(node),
            "program" | "statement_block" | "class_static_block" => self.js_statements(node),
            "function_declaration"
            | "generator_function_declaration"
            | "function_expression"
            | "arrow_function"
            | "generator_function"
            | "method_definition" => {
                return Expr::Function(self.js_function(node, None, Vec::new()), whole);
            }
            "class_declaration" | "class" | "abstract_class_declaration" => self.js_class(node),
            "variable_declarator" => self.js_declarator(node),
            "assignment_expression" | "augmented_assignment_expression" => {
                let value = node
                    .child_by_field_name("right")
                    .map(|n| self.js_named(n, node.child_by_field_name("left")));
                if let Some(left) = node.child_by_field_name("left") {
                    let value = value.unwrap_or(Expr::Null(whole));
                    self.js_made(left);
                    self.js_bind(left, &value, None, whole);
                    return value;
                }
            }
            "if_statement" => self.js_if(node),
            "try_statement" => self.js_try(node),
            "for_statement" | "for_in_statement" | "while_statement" | "do_statement" => {
                let saved = std::mem::replace(&mut self.at.in_loop, true);
                self.js_each(node);
                self.js_statements(node);
                self.at.in_loop = saved;
            }
            "return_statement" => {
                if let Some(value) = node.named_child(0) {
                    let value = self.js(value);
                    let at = self.at;
                    self.module.returns.push((value, at));
                }
            }
            "throw_statement" => {
                let value = node.named_child(0).map(|child| self.js(child));
                let at = self.at;
                self.module.raises.push((value, at, whole));
                if let Some(catch) = at.catch {
                    self.module.catches[catch].raises = true;
                }
            }
            "identifier"
            | "this"
            | "super"
            | "property_identifier"
            | "shorthand_property_identifier"
            | "private_property_identifier" => return Expr::Path(self.of(node).to_owned(), whole),
            "undefined" | "null" => return Expr::Null(whole),
            "true" => return Expr::Bool(true, whole),
            "false" => return Expr::Bool(false, whole),
            "number" => return Expr::Number(self.of(node).to_owned(), whole),
            "string" => return Expr::Str(self.js_text(node), whole),
            "regex" => return nothing,
            "template_string" => return self.js_template(node),
            "member_expression" => {
                let object = node.child_by_field_name("object").map(|n| self.js(n));
                let name =
                    node.child_by_field_name("property").map_or("", |n| self.of(n)).to_owned();
                // `cookies().get('session')?.value`: what was looked up keeps its name.
                if let (Some(Expr::Call(call, _)), "value") = (&object, name.as_str())
                    && let Some(path) = looked_up(&self.module.calls[*call])
                {
                    return Expr::Path(format!("{path}.{name}"), whole);
                }
                return Expr::Path(self.js_member(object, &name), whole);
            }
            "subscript_expression" => {
                let object = node.child_by_field_name("object").map(|n| self.js(n));
                let key = node.child_by_field_name("index").map(|n| self.js(n));
                let key = match &key {
                    Some(Expr::Str(key, _)) => key.as_str(),
                    Some(Expr::Path(path, _)) => constant(path).unwrap_or("[]"),
                    _ => "[]",
                };
                return Expr::Path(self.js_member(object, key), whole);
            }
            "call_expression" | "new_expression" => return self.js_call(node),
            "array" => return Expr::List(self.js_all(node), whole),
            "object" => return self.js_object(node),
            "binary_expression" => {
                let operator = node.child_by_field_name("operator").map_or("", |n| self.of(n));
                let mut parts = self.js_all(node);
                // Of `a && b`, b is what is shown.
                if operator == "&&" && parts.len() == 2 {
                    let condition = parts.remove(0);
                    return Expr::Choice(Box::new(condition), parts, whole);
                }
                return match operator {
                    "+" => Expr::Join(parts, whole),
                    "||" | "??" => Expr::Choice(Box::new(Expr::Null(whole)), parts, whole),
                    "==" | "===" | "!=" | "!==" | "<" | ">" | "<=" | ">=" | "in" | "instanceof" => {
                        Expr::Truth(parts, whole)
                    }
                    _ => Expr::Other(parts, whole),
                };
            }
            "unary_expression" => {
                let operator = node.child_by_field_name("operator").map_or("", |n| self.of(n));
                let parts = self.js_all(node);
                // `delete headers.authorization`: what was deleted is gone.
                if let ("delete", Some(Expr::Path(path, at))) = (operator, parts.first()) {
                    self.assign(path.clone(), Expr::Null(*at), None, whole);
                }
                return if matches!(operator, "!" | "typeof" | "void") {
                    Expr::Truth(parts, whole)
                } else {
                    Expr::Other(parts, whole)
                };
            }
            "ternary_expression" => {
                let condition = node.child_by_field_name("condition").map(|n| self.js(n));
                let saved = self.at.guard;
                let guard = node
                    .child_by_field_name("condition")
                    .map_or(Guard::Always, |n| guard_of(self.of(n)));
                let mut parts = Vec::new();
                for (field, guard) in [("consequence", guard), ("alternative", otherwise(guard))] {
                    self.at.guard = within(saved, guard);
                    parts.extend(node.child_by_field_name(field).map(|n| self.js(n)));
                }
                self.at.guard = saved;
                return Expr::Choice(
                    Box::new(condition.unwrap_or(Expr::Null(whole))),
                    parts,
                    whole,
                );
            }
            "await_expression"
            | "parenthesized_expression"
            | "non_null_expression"
            | "as_expression"
            | "satisfies_expression"
            | "spread_element"
            | "type_assertion" => {
                let inner = match node.kind() {
                    "type_assertion" => {
                        node.named_child(node.named_child_count().saturating_sub(1) as u32)
                    }
                    _ => children(node).first().copied(),
                };
                return match inner {
                    Some(inner) => self.js(inner),
                    None => nothing,
                };
            }
            // `(0, express.default)()`: the last is what it comes to.
            "sequence_expression" => {
                return self.js_all(node).pop().unwrap_or(nothing);
            }
            "interface_declaration" | "type_alias_declaration" => self.js_interface(node),
            "type_annotation" | "type_arguments" | "type_parameters" => {}
            _ => return Expr::Other(self.js_all(node), whole),
        }
        nothing
    }

    fn js_member(&self, object: Option<Expr>, name: &str) -> String {
        match object {
            Some(Expr::Path(path, _)) => format!("{path}.{name}"),
            Some(Expr::Call(call, _)) => format!("{}().{name}", self.module.calls[call].callee),
            _ => format!("?.{name}"),
        }
    }

    fn js_text(&self, node: Node<'_>) -> String {
        let text = self.of(node);
        text.get(1..text.len().saturating_sub(1)).unwrap_or_default().to_owned()
    }

    fn js_template(&mut self, node: Node<'_>) -> Expr {
        let whole = span(node);
        let (mut text, mut values, mut at) = (String::new(), Vec::new(), node.start_byte() + 1);
        let parts = node.named_children();
        for part in parts.into_iter().filter(|part| part.kind() == "template_substitution") {
            text.push_str(self.text.get(at..part.start_byte()).unwrap_or_default());
            text.push_str("{}");
            at = part.end_byte();
            values.extend(self.js_all(part));
        }
        text.push_str(self.text.get(at..node.end_byte().saturating_sub(1)).unwrap_or_default());
        if values.is_empty() {
            Expr::Str(text, whole)
        } else {
            Expr::Interpolated(text, values, whole)
        }
    }

    fn js_object(&mut self, node: Node<'_>) -> Expr {
        let mut pairs = Vec::new();
        for child in children(node) {
            match child.kind() {
                "pair" => {
                    let key = child.child_by_field_name("key");
                    let name = key.and_then(|key| match key.kind() {
                        "property_identifier" | "number" => Some(self.of(key).to_owned()),
                        "string" => Some(self.js_text(key)),
                        // `[ATTR_SERVICE_NAME]: …`
                        "computed_property_name" => {
                            key.named_child(0).map(|n| self.of(n).to_owned())
                        }
                        _ => None,
                    });
                    if let Some(value) = child.child_by_field_name("value") {
                        let value = self.js_named(value, key);
                        pairs.push((name, value));
                    }
                }
                "shorthand_property_identifier" => {
                    let name = self.of(child).to_owned();
                    pairs.push((Some(name.clone()), Expr::Path(name, span(child))));
                }
                "method_definition" => {
                    let name = child.child_by_field_name("name").map(|n| self.of(n).to_owned());
                    let value = self.js(child);
                    pairs.push((name, value));
                }
                _ => {
                    let value = self.js(child);
                    pairs.push((None, value));
                }
            }
        }
        Expr::Dict(pairs, span(node))
    }

    fn js_call(&mut self, node: Node<'_>) -> Expr {
        let whole = span(node);
        let is_new = node.kind() == "new_expression";
        let function = node.child_by_field_name(if is_new { "constructor" } else { "function" });
        let Some(function) = function else { return Expr::Other(Vec::new(), whole) };
        let mut receiver = None;
        let (callee, name_span) = match function.kind() {
            "member_expression" => {
                let object = function.child_by_field_name("object").map(|n| self.js(n));
                if let Some(Expr::Call(call, _)) = &object {
                    receiver = Some(*call);
                }
                let property = function.child_by_field_name("property").unwrap_or(function);
                (self.js_member(object, self.of(property)), span(property))
            }
            _ => match self.js(function) {
                Expr::Path(path, at) => (path, at),
                Expr::Call(call, at) => {
                    receiver = Some(call);
                    (format!("{}().()", self.module.calls[call].callee), at)
                }
                other => (
                    if function.kind() == "import" { "import" } else { "?" }.to_owned(),
                    other.span(),
                ),
            },
        };
        let callee = if is_new { format!("new {callee}") } else { callee };
        let mut args = Vec::new();
        if let Some(list) = node.child_by_field_name("arguments") {
            if list.kind() == "template_string" {
                args.push(Arg { name: None, value: self.js(list) });
            } else {
                for child in children(list) {
                    let value = self.js(child);
                    args.push(Arg { name: None, value });
                }
            }
        }
        let at = self.at;
        let call = self.push_call(Call { callee, receiver, args, span: whole, name_span, at });
        self.js_for_each(call, node);
        Expr::Call(call, whole)
    }

    /// `for (const [name, value] of Object.entries(req.headers))`: the last name is one of the values, where they are
    /// worth following.
    fn js_each(&mut self, node: Node<'_>) {
        let part = |name| node.child_by_field_name(name);
        let (Some(left), Some(right), Some(body)) = (part("left"), part("right"), part("body"))
        else {
            return;
        };
        let is_of = part("operator").is_none_or(|n| self.of(n) == "of");
        if !is_of || !is_watched(self.of(right)) || is_choosy(self.of(body)) {
            return;
        }
        let name = match left.kind() {
            "array_pattern" => children(left).last().map(|n| self.of(*n).to_owned()),
            "identifier" => Some(self.of(left).to_owned()),
            _ => None,
        };
        let of = self.js(right);
        if let Some(name) = name {
            let at = self.at;
            self.js_bind_each(name, of, at, node.start_byte());
        }
    }

    /// `Object.entries(req.headers).forEach(([name, value]) => …)`, `headers.forEach((value, name) => …)`.
    fn js_for_each(&mut self, call: usize, node: Node<'_>) {
        let Some(made) = self.module.calls.get(call) else { return };
        if !matches!(made.name(), "forEach" | "map") {
            return;
        }
        let Some(Expr::Function(function, body)) = made.args.first().map(|arg| &arg.value) else {
            return;
        };
        let (function, body, callee) = (*function, *body, made.callee.clone());
        let receiver = made.receiver;
        let params =
            self.module.functions.get(function).map(|f| f.params.as_slice()).unwrap_or_default();
        let Some((first, _)) = params.first() else { return };
        let pair = first.strip_prefix('[').and_then(|p| p.strip_suffix(']')?.split(',').nth(1));
        let name = pair.unwrap_or(first).trim().to_owned();
        let iterated = node.child_by_field_name("function").map(|n| self.of(n)).unwrap_or_default();
        let text = self.text.get(body.start as usize..body.end as usize).unwrap_or_default();
        if !is_watched(iterated) || is_choosy(text) {
            return;
        }
        let whole = span(node);
        let of = match receiver {
            Some(receiver) => Expr::Call(receiver, whole),
            None => Expr::Path(callee.rsplit_once('.').map_or("", |(o, _)| o).to_owned(), whole),
        };
        let at = crate::lang::ir::Context { function: Some(function), ..self.at };
        self.js_bind_each(name, of, at, node.start_byte());
    }

    fn js_bind_each(&mut self, name: String, of: Expr, at: crate::lang::ir::Context, start: usize) {
        let whole = crate::Span::new(start, start);
        let (callee, args) = (EACH.to_owned(), vec![Arg { name: None, value: of }]);
        let call = Call { callee, receiver: None, args, span: whole, name_span: whole, at };
        let value = Expr::Call(self.push_call(call), whole);
        let saved = std::mem::replace(&mut self.at, at);
        self.assign(name, value, None, whole);
        self.at = saved;
    }

    /// `this.name = …` in a constructor is a field of its class.
    fn js_made(&mut self, left: Node<'_>) {
        let is_own = left.child_by_field_name("object").is_some_and(|n| n.kind() == "this");
        let function = self.at.function.and_then(|at| self.module.functions.get(at));
        if is_own && function.is_some_and(|f| f.name == "constructor") {
            let name = left.child_by_field_name("property").map_or("", |n| self.of(n)).to_owned();
            self.own.push(name);
        }
    }

    /// A value that takes its name from what it is bound to, if it is a function.
    fn js_named(&mut self, value: Node<'_>, name: Option<Node<'_>>) -> Expr {
        match value.kind() {
            "arrow_function" | "function_expression" | "generator_function" => {
                let name =
                    name.map(|n| self.of(n).rsplit('.').next().unwrap_or_default().to_owned());
                Expr::Function(self.js_function(value, name, Vec::new()), span(value))
            }
            _ => self.js(value),
        }
    }

    fn js_declarator(&mut self, node: Node<'_>) {
        let Some(name) = node.child_by_field_name("name") else { return };
        let declared = node
            .child_by_field_name("type")
            .map(|n| self.of(n).trim_start_matches(':').trim().to_owned());
        let Some(value) = node.child_by_field_name("value") else { return };
        let value = self.js_named(value, Some(name));
        // `const x = require("x")`, `const { a } = require("x")`
        if let Expr::Call(call, _) = &value {
            let call = &self.module.calls[*call];
            // What compilers of TypeScript and Babel put around it.
            let inner = call.positional(0).filter(|_| {
                let wraps = ["__importDefault", "__importStar", "_interopRequire", "__toESM"];
                wraps.iter().any(|wrap| call.callee.contains(wrap))
            });
            let call = match inner {
                Some(Expr::Call(inner, _)) => &self.module.calls[*inner],
                _ => call,
            };
            if call.callee == "require"
                && let Some(module) = call.positional(0).and_then(Expr::text)
            {
                let module = module.to_owned();
                self.js_require(name, &module);
            }
        }
        self.js_bind(name, &value, declared, span(node));
    }

    /// Binds a pattern to a value.
    fn js_bind(
        &mut self,
        pattern: Node<'_>,
        value: &Expr,
        declared: Option<String>,
        whole: crate::Span,
    ) {
        match pattern.kind() {
            "object_pattern" => {
                for child in children(pattern) {
                    let (key, target) = match child.kind() {
                        "shorthand_property_identifier_pattern" => (self.of(child), self.of(child)),
                        "pair_pattern" => {
                            let part = |f| child.child_by_field_name(f).map_or("", |n| self.of(n));
                            (part("key"), part("value"))
                        }
                        "object_assignment_pattern" => {
                            let left = child.child_by_field_name("left").map_or("", |n| self.of(n));
                            (left, left)
                        }
                        _ => continue,
                    };
                    let from = match value {
                        Expr::Path(path, at) => Expr::Path(format!("{path}.{key}"), *at),
                        Expr::Call(call, at) => {
                            Expr::Path(format!("{}().{key}", self.module.calls[*call].callee), *at)
                        }
                        // `const { id } = req.body || {}`
                        Expr::Choice(_, parts, _) => match parts.first() {
                            Some(Expr::Path(path, at)) => Expr::Path(format!("{path}.{key}"), *at),
                            _ => value.clone(),
                        },
                        other => other.clone(),
                    };
                    self.assign(target.to_owned(), from, None, whole);
                }
            }
            "array_pattern" => {
                for child in children(pattern) {
                    let target = self.of(child).to_owned();
                    self.assign(target, value.clone(), None, whole);
                }
            }
            // `headers["Authorization"] = …`
            "subscript_expression" => {
                if let Expr::Path(target, _) = self.js(pattern) {
                    let target = target.trim_start_matches("this.").to_owned();
                    self.assign(target, value.clone(), declared, whole);
                }
            }
            "identifier" | "member_expression" => {
                let target = self.of(pattern).trim_start_matches("this.").to_owned();
                self.assign(target, value.clone(), declared, whole);
            }
            _ => {}
        }
    }

    /// What Nest is told of a parameter (`@Body() order: Order`, `@Headers('x') x: string`) is part of its declaration:
    /// `@Body Order`, `@Headers("x") string`.
    fn js_given(&self, param: Node<'_>, declared: Option<&str>) -> Option<String> {
        let decorator = children(param).into_iter().find(|n| n.kind() == "decorator")?;
        let text = self.of(decorator).trim_start_matches('@');
        let (kind, rest) = text.split_once('(')?;
        let of = declared.unwrap_or_default();
        let key =
            rest.split(['"', '\'', '`']).nth(1).filter(|_| rest.starts_with(['"', '\'', '`']));
        match (kind, key) {
            ("Headers", Some(key)) => Some(format!("@Headers(\"{key}\") {of}")),
            // A part of the body is what its own name says.
            ("Body", None) | ("Headers", None) => Some(format!("@{kind} {of}")),
            _ => None,
        }
    }

    fn js_function(
        &mut self,
        node: Node<'_>,
        name: Option<String>,
        decorators: Vec<Expr>,
    ) -> usize {
        let own = node.child_by_field_name("name").map(|n| self.of(n).to_owned());
        let name = own.or(name).unwrap_or_else(|| "<anonymous>".to_owned());
        let mut params = Vec::new();
        let list = node
            .child_by_field_name("parameters")
            .or_else(|| node.child_by_field_name("parameter"));
        if let Some(list) = list {
            let all = if list.kind() == "identifier" { smallvec![list] } else { children(list) };
            for param in all {
                let pattern = param.child_by_field_name("pattern").unwrap_or(param);
                let declared = param.child_by_field_name("type");
                let declared =
                    declared.map(|n| self.of(n).trim_start_matches(':').trim().to_owned());
                let declared = self.js_given(param, declared.as_deref()).or(declared);
                params.push((self.of(pattern).to_owned(), declared));
            }
        }
        let class = (node.kind() == "method_definition").then(|| self.class.clone()).flatten();
        let parent = self.at.function;
        let function = Function { name, class, params, decorators, parent, span: span(node) };
        let saved = self.open_function(function);
        let index = saved.0;
        if let Some(body) = node.child_by_field_name("body") {
            if body.kind() == "statement_block" {
                self.js_statements(body);
            } else {
                let value = self.js(body);
                let at = self.at;
                self.module.returns.push((value, at));
            }
        }
        self.close_function(saved);
        index
    }

    fn js_if(&mut self, node: Node<'_>) {
        let saved = self.at.guard;
        let mut guard = Guard::Always;
        let mut error_branch = None;
        if let Some(condition) = node.child_by_field_name("condition") {
            let text = self.of(condition);
            guard = guard_of(text);
            let bare = text.trim_matches(['(', ')', ' ']);
            if matches!(bare, "err" | "error" | "e") {
                error_branch = Some(bare.to_owned());
            }
            self.js(condition);
        }
        self.at.guard = within(saved, guard);
        if let Some(body) = node.child_by_field_name("consequence") {
            let outer = self.at.catch;
            if let Some(error) = error_branch {
                self.module.catches.push(Catch {
                    error: Some(error),
                    span: span(body),
                    raises: false,
                });
                self.at.catch = Some(self.module.catches.len() - 1);
            }
            self.js(body);
            self.at.catch = outer;
        }
        self.at.guard = within(saved, otherwise(guard));
        if let Some(other) = node.child_by_field_name("alternative") {
            self.js_statements(other);
        }
        self.at.guard = saved;
    }

    fn js_try(&mut self, node: Node<'_>) {
        if let Some(body) = node.child_by_field_name("body") {
            self.js(body);
        }
        if let Some(handler) = node.child_by_field_name("handler") {
            let error = handler.child_by_field_name("parameter").map(|n| self.of(n).to_owned());
            self.module.catches.push(Catch { error, span: span(handler), raises: false });
            let saved = self.at.catch.replace(self.module.catches.len() - 1);
            if let Some(body) = handler.child_by_field_name("body") {
                self.js(body);
            }
            self.at.catch = saved;
        }
        if let Some(last) = node.child_by_field_name("finalizer") {
            let saved = std::mem::replace(&mut self.at.in_finally, true);
            self.js_statements(last);
            self.at.in_finally = saved;
        }
    }
}
