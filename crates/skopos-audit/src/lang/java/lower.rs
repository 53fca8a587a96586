//! Java to the common form, and the annotations of its classes.

use super::super::Node;
use super::super::builder::{Builder, children, guard_of, guarded, positional, span, unquote};
use super::super::flow::EACH;
use super::super::ir::{Arg, Catch, Context, Expr, Import, Module, TypeDef};
use super::super::lower::{is_choosy, is_watched};
use crate::Span;

/// A class and what is written above it.
pub(super) struct Class {
    pub(super) name: String,
    pub(super) annotations: Vec<Expr>,
    pub(super) span: Span,
}

/// A file: its module and its classes.
pub(super) struct File {
    pub(super) module: Module,
    pub(super) classes: Vec<Class>,
}

/// Lowers a file.
pub(super) fn lower(text: &str, root: Node<'_>) -> File {
    let mut java = Java { b: Builder::new(text), classes: Vec::new() };
    java.all(root);
    File { module: java.b.module, classes: java.classes }
}

struct Java<'t> {
    b: Builder<'t>,
    classes: Vec<Class>,
}

impl Java<'_> {
    fn all(&mut self, node: Node<'_>) -> Vec<Expr> {
        let lowered = children(node).into_iter().map(|child| self.any(child));
        lowered.filter(|e| !matches!(e, Expr::Other(inner, _) if inner.is_empty())).collect()
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

    fn inside(&mut self, at: Context, node: Node<'_>) -> Vec<Expr> {
        let before = std::mem::replace(&mut self.b.at, at);
        let found = self.all(node);
        self.b.at = before;
        found
    }

    fn node(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        match node.kind() {
            "line_comment" | "block_comment" | "package_declaration" => {}
            "import_declaration" => self.import(node),
            "class_declaration"
            | "record_declaration"
            | "interface_declaration"
            | "enum_declaration" => self.class(node),
            "method_declaration"
            | "constructor_declaration"
            | "compact_constructor_declaration" => {
                let annotations = self.annotations(node);
                let name = self.b.field(node, "name").unwrap_or_default();
                let function = self.b.function(name, node);
                self.b.module.functions[function].decorators = annotations;
                self.function_body(function, node);
            }
            "lambda_expression" => {
                let function = self.b.function("<anonymous>", node);
                self.function_body(function, node);
                return Expr::Function(function, at);
            }
            "field_declaration" | "local_variable_declaration" | "constant_declaration" => {
                self.variables(node);
            }
            "assignment_expression" => {
                let target = self.b.field(node, "left").unwrap_or_default().to_owned();
                let value = self.part(node, "right").unwrap_or(Expr::Null(at));
                self.b.assign(target.trim_start_matches("this."), value, None, at);
            }
            "if_statement" => {
                let condition = self.b.field(node, "condition").unwrap_or_default().to_owned();
                self.part(node, "condition");
                let context = guarded(self.b.at, guard_of(&condition));
                if let Some(body) = node.child_by_field_name("consequence") {
                    self.inside(context, body);
                }
                self.part(node, "alternative");
            }
            "for_statement" | "enhanced_for_statement" | "while_statement" | "do_statement" => {
                let context = Context { in_loop: true, ..self.b.at };
                self.each(node);
                self.inside(context, node);
            }
            "catch_clause" => self.catch(node),
            "finally_clause" => {
                let context = Context { in_finally: true, ..self.b.at };
                self.inside(context, node);
            }
            "return_statement" => {
                let values = self.all(node);
                let context = self.b.at;
                self.b.module.returns.push((Expr::Other(values, at), context));
            }
            "throw_statement" => {
                let raised = self.all(node).into_iter().next();
                let context = self.b.at;
                self.b.module.raises.push((raised, context, at));
            }
            "method_invocation" => return self.invocation(node),
            "object_creation_expression" | "explicit_constructor_invocation" => {
                let name = self.b.field(node, "type").unwrap_or("super").to_owned();
                let name = name.split('<').next().unwrap_or_default().to_owned();
                let args = self.arguments(node);
                for child in children(node).into_iter().filter(|n| n.kind() == "class_body") {
                    self.any(child);
                }
                let name_span = node.child_by_field_name("type").map_or(at, span);
                return self.b.call(name, None, args, at, name_span);
            }
            "identifier"
            | "type_identifier"
            | "scoped_identifier"
            | "this"
            | "scoped_type_identifier" => return Expr::Path(self.b.source(node).to_owned(), at),
            "field_access" => {
                let object = self.part(node, "object");
                let name = self.b.field(node, "field").unwrap_or_default();
                let path = object.map(|object| self.b.path_of(&object).0).unwrap_or_default();
                return Expr::Path(
                    format!("{path}.{name}").trim_start_matches("this.").to_owned(),
                    at,
                );
            }
            "method_reference" => {
                let text = self.b.source(node).replace("::", ".");
                return Expr::Path(text, at);
            }
            "parenthesized_expression" | "cast_expression" | "expression_statement" => {
                if let Some(value) = self.part(node, "value") {
                    return value;
                }
                let mut values = self.all(node);
                return match values.len() {
                    1 => values.remove(0),
                    _ => Expr::Other(values, at),
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
            "unary_expression" => {
                let operand = self.part(node, "operand").unwrap_or(Expr::Null(at));
                return Expr::Truth(vec![operand], at);
            }
            "ternary_expression" => {
                let condition = self.part(node, "condition").unwrap_or(Expr::Null(at));
                let values = ["consequence", "alternative"];
                let values = values.iter().filter_map(|name| self.part(node, name)).collect();
                return Expr::Choice(Box::new(condition), values, at);
            }
            "string_literal" => return Expr::Str(unquote(self.b.source(node)), at),
            "decimal_integer_literal"
            | "decimal_floating_point_literal"
            | "hex_integer_literal" => {
                return Expr::Number(self.b.source(node).to_owned(), at);
            }
            "true" | "false" => return Expr::Bool(node.kind() == "true", at),
            "null_literal" => return Expr::Null(at),
            "array_initializer" | "element_value_array_initializer" => {
                return Expr::List(self.all(node), at);
            }
            _ => return Expr::Other(self.all(node), at),
        }
        Expr::Other(Vec::new(), at)
    }

    fn import(&mut self, node: Node<'_>) {
        let text = self.b.source(node).trim_start_matches("import").trim().trim_end_matches(';');
        let text = text.trim_start_matches("static ").trim();
        let alias = text.rsplit('.').next().unwrap_or(text).to_owned();
        let module = text.trim_end_matches(".*").to_owned();
        self.b.module.imports.push(Import { module, name: None, alias, span: span(node) });
    }

    /// The annotations of a declaration: `@Name` is a path, `@Name(…)` a call.
    fn annotations(&mut self, node: Node<'_>) -> Vec<Expr> {
        let modifiers = children(node).into_iter().find(|child| child.kind() == "modifiers");
        let Some(modifiers) = modifiers else { return Vec::new() };
        let mut found = Vec::new();
        for child in children(modifiers) {
            let at = span(child);
            let name = self.b.field(child, "name").unwrap_or_default();
            let name = name.rsplit('.').next().unwrap_or(name).to_owned();
            match child.kind() {
                "marker_annotation" => found.push(Expr::Path(name, at)),
                "annotation" => {
                    let mut args = Vec::new();
                    let list = child.child_by_field_name("arguments");
                    for item in list.into_iter().flat_map(children) {
                        if item.kind() == "element_value_pair" {
                            let name = self.b.field(item, "key").map(str::to_owned);
                            let value = self.part(item, "value").unwrap_or(Expr::Null(at));
                            args.push(Arg { name, value });
                        } else {
                            args.push(positional(self.any(item)));
                        }
                    }
                    let name_span = child.child_by_field_name("name").map_or(at, span);
                    found.push(self.b.call(name, None, args, at, name_span));
                }
                _ => {}
            }
        }
        found
    }

    fn class(&mut self, node: Node<'_>) {
        let name = self.b.field(node, "name").unwrap_or_default().to_owned();
        let annotations = self.annotations(node);
        let mut bases = Vec::new();
        for field in ["superclass", "interfaces"] {
            let text = self.b.field(node, field).unwrap_or_default();
            let text = text.trim_start_matches("extends").trim_start_matches("implements");
            bases.extend(text.split(',').map(|b| b.trim().to_owned()).filter(|b| !b.is_empty()));
        }
        let mut fields = Vec::new();
        for parameter in node.child_by_field_name("parameters").into_iter().flat_map(children) {
            let declared = self.b.field(parameter, "type").unwrap_or_default().to_owned();
            fields.extend(self.b.field(parameter, "name").map(|n| (n.to_owned(), declared)));
        }
        let body = node.child_by_field_name("body");
        for field in body.into_iter().flat_map(children).filter(|n| n.kind() == "field_declaration")
        {
            let declared = self.b.field(field, "type").unwrap_or_default().to_owned();
            let text = self.b.source(field);
            if text.contains("@ToString.Exclude") || text.contains(" static ") {
                continue;
            }
            let name =
                field.child_by_field_name("declarator").and_then(|d| self.b.field(d, "name"));
            // What is left out of JSON is printed all the same.
            let declared = match text.contains("@JsonIgnore") || text.contains("WRITE_ONLY") {
                true => format!("@JsonIgnore {declared}"),
                false => declared,
            };
            fields.extend(name.map(|name| (name.to_owned(), declared)));
        }
        self.b.module.types.push(TypeDef { name: name.clone(), bases, fields, span: span(node) });
        self.classes.push(Class { name: name.clone(), annotations, span: span(node) });
        let before = self.b.class.replace(name);
        let context = Context { guard: self.b.at.guard, ..Context::default() };
        if let Some(body) = body {
            self.inside(context, body);
        }
        self.b.class = before;
    }

    fn function_body(&mut self, function: usize, node: Node<'_>) {
        let parameters = node.child_by_field_name("parameters");
        for parameter in parameters.into_iter().flat_map(children) {
            let declared = self.b.field(parameter, "type").map(str::to_owned);
            let name = self.b.field(parameter, "name").map(str::to_owned);
            let annotated = self.b.source(parameter).to_owned();
            let bare = (parameter.kind() == "identifier").then(|| annotated.clone());
            // What an annotation says of a parameter (`@RequestBody`) is part of its declaration.
            let declared = match given(&annotated) {
                Some(annotation) => Some(format!("@{annotation} {}", declared.unwrap_or_default())),
                None => declared,
            };
            if let Some(name) = name.or(bare) {
                self.b.module.functions[function].params.push((name, declared));
            }
        }
        let context =
            Context { function: Some(function), guard: self.b.at.guard, ..Context::default() };
        if let Some(body) = node.child_by_field_name("body") {
            let before = std::mem::replace(&mut self.b.at, context);
            self.any(body);
            self.b.at = before;
        }
    }

    fn variables(&mut self, node: Node<'_>) {
        if node.kind() == "field_declaration" {
            self.annotations(node);
        }
        let declared = self.b.field(node, "type").map(str::to_owned);
        let declarators = node.children_by_field_name("declarator");
        for declarator in declarators {
            let name = self.b.field(declarator, "name").unwrap_or_default().to_owned();
            if let Some(value) = self.part(declarator, "value") {
                self.b.assign(&name, value, declared.clone(), span(declarator));
            }
        }
    }

    /// `for (Cookie c : request.getCookies())`: the name is one of the values, where they are worth following.
    fn each(&mut self, node: Node<'_>) {
        let part = |name| self.b.field(node, name);
        let (Some(name), Some(of), Some(body)) = (part("name"), part("value"), part("body")) else {
            return;
        };
        if node.kind() != "enhanced_for_statement"
            || !is_watched(of)
            || of.contains("keySet")
            || is_choosy(body)
        {
            return;
        }
        let Some(of) = self.part(node, "value") else { return };
        let start = node.start_byte();
        let at = Span::new(start, start);
        let value = self.b.call(EACH.to_owned(), None, vec![positional(of)], at, at);
        self.b.assign(name, value, None, at);
    }

    fn catch(&mut self, node: Node<'_>) {
        let parameter = children(node).into_iter().find(|n| n.kind() == "catch_formal_parameter");
        let error = parameter.and_then(|p| self.b.field(p, "name")).map(str::to_owned);
        let raises = node.child_by_field_name("body").is_some_and(|body| self.raises_again(body));
        self.b.module.catches.push(Catch { error, span: span(node), raises });
        let context = Context { catch: Some(self.b.module.catches.len() - 1), ..self.b.at };
        self.inside(context, node);
    }

    /// Whether what is caught is thrown again: in any case, or in a branch that logs it. What one branch throws says
    /// nothing about the line that another one logs.
    fn raises_again(&self, body: Node<'_>) -> bool {
        let mut open = children(body);
        if open.iter().any(|n| n.kind() == "throw_statement") {
            return true;
        }
        let mut left = 400;
        while let Some(node) = open.pop().filter(|_| left > 0) {
            left -= 1;
            let inner = children(node);
            let throws =
                node.kind() == "block" && inner.iter().any(|n| n.kind() == "throw_statement");
            if throws && self.b.source(node).to_lowercase().contains("log") {
                return true;
            }
            open.extend(inner);
        }
        false
    }

    fn arguments(&mut self, node: Node<'_>) -> Vec<Arg> {
        let list = node.child_by_field_name("arguments");
        list.into_iter().flat_map(children).map(|n| positional(self.any(n))).collect()
    }

    fn invocation(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        let name = self.b.field(node, "name").unwrap_or_default().to_owned();
        let name_span = node.child_by_field_name("name").map_or(at, span);
        let (callee, receiver) = match self.part(node, "object") {
            Some(object) => {
                let (path, receiver) = self.b.path_of(&object);
                (format!("{}.{name}", path.trim_start_matches("this.")), receiver)
            }
            None => (name, None),
        };
        let args = self.arguments(node);
        self.for_each(node, &callee, receiver, &args);
        self.b.call(callee, receiver, args, at, name_span)
    }

    /// `headers.forEach((name, values) -> …)`: the second name is one of the values, where they are worth following.
    fn for_each(&mut self, node: Node<'_>, callee: &str, receiver: Option<usize>, args: &[Arg]) {
        let Some(object) = callee.strip_suffix(".forEach") else { return };
        let Some(Expr::Function(function, body)) = args.first().map(|arg| &arg.value) else {
            return;
        };
        let text = self.b.text.get(body.start as usize..body.end as usize).unwrap_or_default();
        let params = self.b.module.functions.get(*function).map(|f| f.params.as_slice());
        let Some([_, (name, _)]) = params else { return };
        if !is_watched(object) || is_choosy(text) {
            return;
        }
        let name = name.clone();
        let start = node.start_byte();
        let at = Span::new(start, start);
        let of = match receiver {
            Some(receiver) => Expr::Call(receiver, at),
            None => Expr::Path(object.to_owned(), at),
        };
        let inside = Context { function: Some(*function), ..self.b.at };
        let before = std::mem::replace(&mut self.b.at, inside);
        let value = self.b.call(EACH.to_owned(), None, vec![positional(of)], at, at);
        self.b.assign(&name, value, None, at);
        self.b.at = before;
    }
}

/// The annotation of a parameter that says where it comes from, with the name it may give: `RequestHeader("X")`.
fn given(parameter: &str) -> Option<String> {
    const KINDS: [&str; 5] =
        ["RequestBody", "RequestHeader", "HeaderParam", "CookieValue", "CookieParam"];
    let first = parameter.strip_prefix('@')?.split(['(', ' ', '\n']).next()?;
    let found = KINDS.iter().find_map(|kind| {
        let (_, rest) = parameter.split_once(&format!("@{kind}"))?;
        (!rest.starts_with(|c: char| c.is_alphanumeric())).then_some((*kind, rest))
    });
    let Some((kind, rest)) = found else { return Some(first.to_owned()) };
    let list = rest.strip_prefix('(').and_then(|rest| rest.split(')').next()).unwrap_or_default();
    let is_name = |text: &str| !text.contains("defaultValue");
    let before = list.split('"').next().unwrap_or_default();
    let key = list.split('"').nth(1).filter(|_| is_name(before));
    Some(match key {
        Some(key) => format!("{kind}(\"{key}\")"),
        None => kind.to_owned(),
    })
}
