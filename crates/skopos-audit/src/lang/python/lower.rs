//! Python's tree → the common form.

use crate::lang::Node;
use crate::lang::flow::{EACH, PART};
use crate::lang::ir::{Arg, Call, Catch, Context, Expr, Function, Import, Module, TypeDef};
use crate::lang::lower::{
    DEEPEST, Lowering, children, guard_of, is_choosy, is_watched, otherwise, span, within,
};

/// Lowers a file.
pub(super) fn lower(text: &str, root: Node<'_>) -> Module {
    let mut lowering = Lowering::new(text);
    lowering.statement(root);
    lowering.module
}

impl Lowering<'_> {
    fn statements(&mut self, node: Node<'_>) {
        node.named_children().iter().for_each(|child| self.statement(*child));
    }

    fn statement(&mut self, node: Node<'_>) {
        if self.depth > DEEPEST {
            return;
        }
        self.depth += 1;
        self.statement_inner(node);
        self.depth -= 1;
    }

    fn statement_inner(&mut self, node: Node<'_>) {
        match node.kind() {
            "comment" => {}
            "import_statement" | "import_from_statement" | "future_import_statement" => {
                self.import(node)
            }
            // `del headers["authorization"]`: what was deleted is gone.
            "delete_statement" => {
                for value in self.all(node) {
                    if let Expr::Path(path, at) = value {
                        self.assign(path, Expr::Null(at), None, at);
                    }
                }
            }
            "function_definition" => {
                self.function(node, Vec::new());
            }
            "class_definition" => self.class_definition(node, &[]),
            "decorated_definition" => {
                let decorators: Vec<Expr> = children(node)
                    .into_iter()
                    .filter(|child| child.kind() == "decorator")
                    .filter_map(|child| child.named_child(0))
                    .map(|inner| self.expr(inner))
                    .collect();
                if let Some(definition) = node.child_by_field_name("definition") {
                    match definition.kind() {
                        "function_definition" => {
                            self.function(definition, decorators);
                        }
                        _ => self.class_definition(definition, &decorators),
                    }
                }
            }
            "assignment" | "augmented_assignment" => self.assignment(node),
            // `with connect() as client`: the name is what the call made.
            "as_pattern" => {
                let value = node.named_child(0).map(|child| self.expr(child));
                let alias = node.child_by_field_name("alias").map(|child| self.of(child));
                if let (Some(value), Some(alias)) = (value, alias) {
                    self.assign(alias.trim().to_owned(), value, None, span(node));
                }
            }
            "if_statement" => self.if_statement(node),
            "try_statement" => self.try_statement(node),
            "for_statement" | "while_statement" => {
                let saved = self.at.in_loop;
                let mut each = None;
                for field in ["left", "right", "condition"] {
                    if let Some(child) = node.child_by_field_name(field) {
                        let value = self.expr(child);
                        each = (field == "right").then_some(value).or(each);
                    }
                }
                let part = |name| node.child_by_field_name(name);
                if let (Some(left), Some(right), Some(body), Some(each)) =
                    (part("left"), part("right"), part("body"), each)
                {
                    let is_choosy = is_choosy(self.of(body));
                    self.each(left, right, each, node.start_byte(), is_choosy);
                }
                self.at.in_loop = true;
                if let Some(body) = node.child_by_field_name("body") {
                    self.statements(body);
                }
                self.at.in_loop = saved;
                if let Some(other) = node.child_by_field_name("alternative") {
                    self.statements(other);
                }
            }
            "return_statement" => {
                if let Some(value) = node.named_child(0) {
                    let value = self.expr(value);
                    let at = self.at;
                    self.module.returns.push((value, at));
                }
            }
            "raise_statement" => {
                let value = node.named_child(0).map(|child| self.expr(child));
                let at = self.at;
                self.module.raises.push((value, at, span(node)));
                if let Some(catch) = at.catch {
                    self.module.catches[catch].raises = true;
                }
            }
            kind if is_statement(kind) => self.statements(node),
            _ => {
                self.expr(node);
            }
        }
    }

    fn import(&mut self, node: Node<'_>) {
        let from = node.child_by_field_name("module_name").map(|n| self.of(n).to_owned());
        let names = node.children_by_field_name("name");
        let whole = span(node);
        if names.is_empty()
            && let Some(module) = from.clone()
        {
            let alias = "*".to_owned();
            self.module.imports.push(Import { module, name: Some("*".into()), alias, span: whole });
        }
        for child in names {
            let (name, alias) = match child.kind() {
                "aliased_import" => {
                    let part =
                        |field| child.child_by_field_name(field).map(|n| self.of(n).to_owned());
                    (part("name").unwrap_or_default(), part("alias"))
                }
                _ => (self.of(child).to_owned(), None),
            };
            let import = match &from {
                Some(module) => Import {
                    module: module.clone(),
                    alias: alias.unwrap_or_else(|| name.clone()),
                    name: Some(name),
                    span: whole,
                },
                // `import a.b` binds `a`.
                None => Import {
                    alias: alias.unwrap_or_else(|| name.clone()),
                    module: name,
                    name: None,
                    span: whole,
                },
            };
            self.module.imports.push(import);
        }
    }

    /// What FastAPI is told of a parameter (`= Header(alias="X")`, `Annotated[str, Body()]`) is part of its declaration,
    /// as an annotation before its type: `@Header("X") str`.
    fn given(&self, param: Node<'_>, declared: Option<&str>) -> Option<String> {
        let default = param.child_by_field_name("value").map(|n| self.of(n)).unwrap_or_default();
        let annotated = declared.and_then(|t| t.strip_prefix("Annotated["));
        let said = annotated.and_then(|t| t.split_once(',')).map_or(default, |(_, said)| said);
        let kind = ["Header", "Body", "Cookie"].into_iter().find(|kind| {
            let said = said.trim().trim_start_matches("fastapi.").trim_start_matches("params.");
            said.strip_prefix(kind).is_some_and(|rest| rest.starts_with('('))
        })?;
        let alias = said.split_once("alias").and_then(|(_, rest)| rest.split(['"', '\'']).nth(1));
        let of = match annotated {
            Some(t) => t.split(',').next().unwrap_or_default(),
            None => declared.unwrap_or_default(),
        };
        Some(match alias {
            Some(alias) => format!("@{kind}(\"{alias}\") {of}"),
            None => format!("@{kind} {of}"),
        })
    }

    fn function(&mut self, node: Node<'_>, decorators: Vec<Expr>) -> usize {
        let name =
            node.child_by_field_name("name").map_or("<anonymous>", |n| self.of(n)).to_owned();
        let mut params = Vec::new();
        let mut defaults = Vec::new();
        if let Some(list) = node.child_by_field_name("parameters") {
            for param in children(list) {
                let declared = param.child_by_field_name("type").map(|n| self.of(n).to_owned());
                let declared = self.given(param, declared.as_deref()).or(declared);
                let named = param.child_by_field_name("name").or_else(|| match param.kind() {
                    "identifier" => Some(param),
                    _ => param.named_child(0).filter(|n| n.kind() == "identifier"),
                });
                if let Some(named) = named {
                    params.push((self.of(named).to_owned(), declared));
                }
                defaults.extend(param.child_by_field_name("value"));
            }
        }
        for default in defaults {
            self.expr(default);
        }
        let function = Function {
            name,
            class: self.class.clone(),
            params,
            decorators,
            parent: self.at.function,
            span: span(node),
        };
        let saved = self.open_function(function);
        let index = saved.0;
        if let Some(body) = node.child_by_field_name("body") {
            if node.kind() == "lambda" {
                let value = self.expr(body);
                let at = self.at;
                self.module.returns.push((value, at));
            } else {
                self.statements(body);
            }
        }
        self.close_function(saved);
        index
    }

    fn class_definition(&mut self, node: Node<'_>, decorators: &[Expr]) {
        let name = node.child_by_field_name("name").map_or("", |n| self.of(n)).to_owned();
        let mut bases: Vec<String> = decorators
            .iter()
            .filter_map(|d| match d {
                Expr::Path(path, _) => Some(path.clone()),
                Expr::Call(call, _) => Some(self.module.calls[*call].callee.clone()),
                _ => None,
            })
            .collect();
        if let Some(list) = node.child_by_field_name("superclasses") {
            bases.extend(children(list).into_iter().map(|n| self.of(n).to_owned()));
        }
        let body = node.child_by_field_name("body");
        let mut fields = Vec::new();
        for line in body.into_iter().flat_map(children) {
            let assignment = line.named_child(0).filter(|n| n.kind() == "assignment");
            let Some(assignment) = assignment else { continue };
            if let (Some(left), Some(declared)) =
                (assignment.child_by_field_name("left"), assignment.child_by_field_name("type"))
            {
                fields.push((self.of(left).to_owned(), self.of(declared).to_owned()));
            }
        }
        self.module.types.push(TypeDef { name: name.clone(), bases, fields, span: span(node) });
        let saved = self.class.replace(name);
        if let Some(body) = body {
            self.statements(body);
        }
        self.class = saved;
    }

    fn assignment(&mut self, node: Node<'_>) {
        let Some(left) = node.child_by_field_name("left") else { return };
        let declared = node.child_by_field_name("type").map(|n| self.of(n).to_owned());
        let Some(right) = node.child_by_field_name("right") else {
            return;
        };
        // `a = b = value`
        if right.kind() == "assignment" {
            self.assignment(right);
        }
        let value = self.expr(right);
        let whole = span(node);
        match left.kind() {
            "pattern_list" | "tuple_pattern" => {
                let items = match &value {
                    Expr::List(items, _) => items.clone(),
                    _ => Vec::new(),
                };
                for (at, target) in children(left).into_iter().enumerate() {
                    if let Expr::Path(target, _) = self.expr(target) {
                        let value = items.get(at).unwrap_or(&value).clone();
                        self.assign(target, value, None, whole);
                    }
                }
            }
            _ => {
                if let Expr::Path(target, _) = self.expr(left) {
                    self.assign(target, value, declared, whole);
                }
            }
        }
    }

    /// `for name, value in request.headers.items()`: the last name is one of the values, where they are worth following.
    fn each(&mut self, left: Node<'_>, right: Node<'_>, of: Expr, start: usize, is_choosy: bool) {
        let iterated = self.of(right);
        let names = match left.kind() {
            "pattern_list" | "tuple_pattern" => children(left),
            _ => smallvec::smallvec![left],
        };
        // Messages of a WebSocket, each of them whole.
        let gives_messages = [".iter_text()", ".iter_json()", ".iter_bytes()"];
        if let [name] = names[..]
            && gives_messages.iter().any(|end| iterated.ends_with(end))
        {
            let whole = crate::Span::new(start, start);
            self.assign(self.of(name).to_owned(), of, None, whole);
            return;
        }
        // Going through a mapping itself gives its keys; one that chooses shows what it chose.
        let gives_keys = is_choosy
            || names.len() == 1
                && !["items()", "values()", "ookies"].iter().any(|end| iterated.ends_with(end));
        let Some(name) = names.last().filter(|_| is_watched(iterated) && !gives_keys) else {
            return;
        };
        let (at, whole) = (self.at, crate::Span::new(start, start));
        let args = vec![Arg { name: None, value: of }];
        let callee = EACH.to_owned();
        let call = Call { callee, receiver: None, args, span: whole, name_span: whole, at };
        let value = Expr::Call(self.push_call(call), whole);
        self.assign(self.of(*name).to_owned(), value, None, whole);
    }

    /// A comprehension over headers, cookies or the environment: what one of its values is. One that chooses among them
    /// gives nothing that is worth following.
    fn comprehension(&mut self, node: Node<'_>) -> Expr {
        let whole = span(node);
        let parts = children(node);
        let Some(clause) = parts.iter().find(|part| part.kind() == "for_in_clause") else {
            return Expr::Other(self.all(node), whole);
        };
        let right = clause.child_by_field_name("right");
        let is_followed = right.is_some_and(|right| is_watched(self.of(right)));
        if !is_followed {
            return Expr::Other(self.all(node), whole);
        }
        // Django's headers are what begins so: that is all of them.
        let chooses = match self.of(node).split_once(".startswith(") {
            Some((before, rest)) if rest.trim_start_matches(['"', '\'']).starts_with("HTTP_") => {
                before.matches(" if ").count() > 1 || is_choosy(rest)
            }
            _ => is_choosy(self.of(node)),
        };
        if chooses {
            return Expr::Truth(self.all(node), whole);
        }
        if let (Some(left), Some(right)) = (clause.child_by_field_name("left"), right) {
            let of = self.expr(right);
            self.each(left, right, of, node.start_byte(), false);
        }
        let Some(body) = node.child_by_field_name("body") else {
            return Expr::Other(Vec::new(), whole);
        };
        match body.kind() {
            "pair" => {
                let value = body.child_by_field_name("value").map(|n| self.expr(n));
                Expr::Dict(value.into_iter().map(|value| (None, value)).collect(), whole)
            }
            _ => Expr::List(vec![self.expr(body)], whole),
        }
    }

    fn if_statement(&mut self, node: Node<'_>) {
        let saved = self.at.guard;
        let mut guard = saved;
        if let Some(condition) = node.child_by_field_name("condition") {
            guard = guard_of(self.of(condition));
            self.expr(condition);
        }
        self.at.guard = within(saved, guard);
        if let Some(body) = node.child_by_field_name("consequence") {
            self.statements(body);
        }
        let others = node.children_by_field_name("alternative");
        for other in others {
            self.at.guard = within(saved, otherwise(guard));
            if let Some(condition) = other.child_by_field_name("condition") {
                self.expr(condition);
                let own = guard_of(self.of(condition));
                self.at.guard = within(self.at.guard, own);
            }
            let body = other
                .child_by_field_name("consequence")
                .or_else(|| other.child_by_field_name("body"));
            if let Some(body) = body {
                self.statements(body);
            }
        }
        self.at.guard = saved;
    }

    fn try_statement(&mut self, node: Node<'_>) {
        for child in children(node) {
            match child.kind() {
                "except_clause" | "except_group_clause" => {
                    let mut error = None;
                    for part in children(child) {
                        if part.kind() == "as_pattern" {
                            let alias = part.child_by_field_name("alias");
                            error = alias.map(|n| self.of(n).to_owned());
                        }
                    }
                    self.module.catches.push(Catch { error, span: span(child), raises: false });
                    let saved = self.at.catch.replace(self.module.catches.len() - 1);
                    for part in children(child).into_iter().filter(|n| n.kind() == "block") {
                        self.statements(part);
                    }
                    self.at.catch = saved;
                }
                "finally_clause" => {
                    let saved = std::mem::replace(&mut self.at.in_finally, true);
                    self.statements(child);
                    self.at.in_finally = saved;
                }
                _ => self.statement(child),
            }
        }
    }

    fn expr(&mut self, node: Node<'_>) -> Expr {
        if self.depth > DEEPEST {
            return Expr::Other(Vec::new(), span(node));
        }
        self.depth += 1;
        let expr = self.expr_inner(node);
        self.depth -= 1;
        expr
    }

    fn all(&mut self, node: Node<'_>) -> Vec<Expr> {
        children(node).iter().map(|child| self.expr(*child)).collect()
    }

    fn expr_inner(&mut self, node: Node<'_>) -> Expr {
        let whole = span(node);
        match node.kind() {
            "identifier" | "dotted_name" => Expr::Path(self.of(node).to_owned(), whole),
            "attribute" => {
                let name =
                    node.child_by_field_name("attribute").map_or("", |n| self.of(n)).to_owned();
                let object = node.child_by_field_name("object").map(|n| self.expr(n));
                Expr::Path(self.member(object, &name), whole)
            }
            "subscript" => {
                let object = node.child_by_field_name("value").map(|n| self.expr(n));
                let subscript = node.child_by_field_name("subscript");
                if let (Some("slice"), Some(value)) = (subscript.map(|n| n.kind()), &object) {
                    // `auth[7:]` takes off what stands before the token.
                    let is_start = subscript.is_some_and(|n| {
                        let first = self.of(n).strip_suffix(':').map(str::parse::<u8>);
                        first.is_some_and(|n| n.is_ok_and(|n| n <= 8))
                    });
                    if is_start {
                        return value.clone();
                    }
                    // A part of a value: what is shown of it is for rules to say.
                    let args = vec![Arg { name: None, value: value.clone() }];
                    let (callee, at) = (PART.to_owned(), self.at);
                    let call =
                        Call { callee, receiver: None, args, span: whole, name_span: whole, at };
                    return Expr::Call(self.push_call(call), whole);
                }
                let key = subscript.map(|n| self.expr(n));
                let key = match &key {
                    Some(Expr::Str(key, _)) => key.as_str(),
                    Some(Expr::Path(path, _)) => crate::lang::lower::constant(path).unwrap_or("[]"),
                    _ => "[]",
                };
                Expr::Path(self.member(object, key), whole)
            }
            "dictionary_comprehension"
            | "list_comprehension"
            | "set_comprehension"
            | "generator_expression" => self.comprehension(node),
            "call" => self.call(node),
            "string" => self.string(node),
            "concatenated_string" => {
                let parts = self.all(node);
                if parts.iter().all(|part| matches!(part, Expr::Str(..))) {
                    let text = parts.iter().filter_map(Expr::text).collect();
                    return Expr::Str(text, whole);
                }
                let (mut text, mut values) = (String::new(), Vec::new());
                for part in parts {
                    match part {
                        Expr::Str(piece, _) => text.push_str(&piece),
                        Expr::Interpolated(piece, more, _) => {
                            text.push_str(&piece);
                            values.extend(more);
                        }
                        _ => {}
                    }
                }
                Expr::Interpolated(text, values, whole)
            }
            "integer" | "float" => Expr::Number(self.of(node).to_owned(), whole),
            "true" => Expr::Bool(true, whole),
            "false" => Expr::Bool(false, whole),
            "none" => Expr::Null(whole),
            "list" | "tuple" | "set" | "expression_list" => Expr::List(self.all(node), whole),
            "dictionary" => {
                let mut pairs = Vec::new();
                for pair in children(node) {
                    let key = pair.child_by_field_name("key").map(|n| self.expr(n));
                    let value = pair.child_by_field_name("value").or_else(|| pair.named_child(0));
                    let Some(value) = value.map(|n| self.expr(n)) else { continue };
                    let key = key.and_then(|key| match key {
                        Expr::Str(text, _) => Some(text),
                        // `Resource.create({SERVICE_NAME: …})`
                        Expr::Path(path, _) => Some(path),
                        _ => None,
                    });
                    pairs.push((key, value));
                }
                Expr::Dict(pairs, whole)
            }
            "binary_operator" => {
                let operator = node.child_by_field_name("operator").map_or("", |n| self.of(n));
                let parts = self.all(node);
                match operator {
                    "+" => Expr::Join(parts, whole),
                    "%" if matches!(parts.first(), Some(Expr::Str(..))) => Expr::Join(parts, whole),
                    _ => Expr::Other(parts, whole),
                }
            }
            "comparison_operator" | "not_operator" => Expr::Truth(self.all(node), whole),
            "boolean_operator" => {
                let mut parts = self.all(node);
                // Of `a and b`, b is what is shown.
                let is_and =
                    node.child_by_field_name("operator").is_some_and(|n| self.of(n) == "and");
                let condition = match is_and && parts.len() == 2 {
                    true => parts.remove(0),
                    false => Expr::Null(whole),
                };
                Expr::Choice(Box::new(condition), parts, whole)
            }
            "conditional_expression" => {
                let mut parts = self.all(node);
                let condition = if parts.len() == 3 { parts.remove(1) } else { Expr::Null(whole) };
                Expr::Choice(Box::new(condition), parts, whole)
            }
            "lambda" => Expr::Function(self.function(node, Vec::new()), whole),
            "await" | "parenthesized_expression" | "list_splat" | "dictionary_splat" | "type" => {
                match node.named_child(0) {
                    Some(inner) => self.expr(inner),
                    None => Expr::Other(Vec::new(), whole),
                }
            }
            "assignment" | "augmented_assignment" => {
                self.assignment(node);
                Expr::Other(Vec::new(), whole)
            }
            "named_expression" => {
                let value = node.child_by_field_name("value").map(|n| self.expr(n));
                let name = node.child_by_field_name("name").map(|n| self.of(n).to_owned());
                let value = value.unwrap_or(Expr::Null(whole));
                if let Some(name) = name {
                    self.assign(name, value.clone(), None, whole);
                }
                value
            }
            "comment" => Expr::Other(Vec::new(), whole),
            kind if is_statement(kind)
                || kind.ends_with("_statement")
                || kind.ends_with("_definition") =>
            {
                self.statement(node);
                Expr::Other(Vec::new(), whole)
            }
            _ => Expr::Other(self.all(node), whole),
        }
    }

    /// `object.name` as a path.
    fn member(&self, object: Option<Expr>, name: &str) -> String {
        match object {
            Some(Expr::Path(path, _)) => format!("{path}.{name}"),
            Some(Expr::Call(call, _)) => format!("{}().{name}", self.module.calls[call].callee),
            Some(Expr::Str(..) | Expr::Interpolated(..)) => format!("''.{name}"),
            _ => format!("?.{name}"),
        }
    }

    fn call(&mut self, node: Node<'_>) -> Expr {
        let whole = span(node);
        let Some(function) = node.child_by_field_name("function") else {
            return Expr::Other(Vec::new(), whole);
        };
        let mut receiver = None;
        let mut extra = None;
        let (callee, name_span) = match function.kind() {
            "attribute" => {
                let object = function.child_by_field_name("object").map(|n| self.expr(n));
                if let Some(Expr::Call(call, _)) = &object {
                    receiver = Some(*call);
                }
                // `"text {}".format(value)`: the text is an argument like the values.
                if let Some(Expr::Str(..) | Expr::Interpolated(..)) = &object {
                    extra.clone_from(&object);
                }
                let name = function.child_by_field_name("attribute").unwrap_or(function);
                (self.member(object, self.of(name)), span(name))
            }
            "identifier" => (self.of(function).to_owned(), span(function)),
            _ => match self.expr(function) {
                Expr::Path(path, at) => (path, at),
                Expr::Call(call, at) => {
                    receiver = Some(call);
                    (format!("{}().()", self.module.calls[call].callee), at)
                }
                other => ("?".to_owned(), other.span()),
            },
        };
        let mut args: Vec<Arg> = extra.into_iter().map(|value| Arg { name: None, value }).collect();
        if let Some(list) = node.child_by_field_name("arguments") {
            if list.kind() == "generator_expression" {
                let value = self.comprehension(list);
                args.push(Arg { name: None, value });
            } else {
                for child in children(list) {
                    let (name, value) = match child.kind() {
                        "keyword_argument" => (
                            child.child_by_field_name("name").map(|n| self.of(n).to_owned()),
                            child.child_by_field_name("value"),
                        ),
                        "dictionary_splat" => (Some("**".to_owned()), child.named_child(0)),
                        _ => (None, Some(child)),
                    };
                    if let Some(value) = value {
                        let value = self.expr(value);
                        args.push(Arg { name, value });
                    }
                }
            }
        }
        let at: Context = self.at;
        let call = self.push_call(Call { callee, receiver, args, span: whole, name_span, at });
        Expr::Call(call, whole)
    }

    fn string(&mut self, node: Node<'_>) -> Expr {
        let whole = span(node);
        let mut text = String::new();
        let mut values = Vec::new();
        let parts = node.named_children();
        for part in parts {
            match part.kind() {
                "string_content" => text.push_str(self.of(part)),
                "interpolation" => {
                    text.push_str("{}");
                    if let Some(inner) = part.child_by_field_name("expression") {
                        values.push(self.expr(inner));
                    }
                }
                _ => {}
            }
        }
        if values.is_empty() {
            Expr::Str(text, whole)
        } else {
            Expr::Interpolated(text, values, whole)
        }
    }
}

fn is_statement(kind: &str) -> bool {
    matches!(
        kind,
        "module"
            | "block"
            | "expression_statement"
            | "with_statement"
            | "with_clause"
            | "with_item"
            | "match_statement"
            | "case_clause"
            | "else_clause"
            | "elif_clause"
            | "finally_clause"
            | "try_statement"
            | "if_statement"
            | "for_statement"
            | "while_statement"
            | "return_statement"
            | "ERROR"
            | "delete_statement"
            | "assert_statement"
    )
}

/// Lowers a text, for tests.
#[cfg(test)]
pub(super) fn module_of(text: &str) -> Module {
    crate::lang::read(text, &crate::lang::PYTHON, |root| lower(text, root)).expect("a grammar")
}
