//! Go to the common form.

use smallvec::smallvec;

use super::super::builder::{Builder, children, guard_of, guarded, positional, span, unquote};
use super::super::flow::{EACH, PART};
use super::super::ir::{Arg, Catch, Context, Expr, Import, Module, TypeDef};
use super::super::lower::{constant, is_choosy, is_watched};
use super::super::{Node, Nodes};

/// Lowers a file.
pub(super) fn lower(text: &str, root: Node<'_>) -> Module {
    let mut builder = Builder::new(text);
    builder.all(root);
    builder.module
}

impl Builder<'_> {
    /// Every child; what is in them.
    fn all(&mut self, node: Node<'_>) -> Vec<Expr> {
        let lowered = children(node).into_iter().map(|child| self.any(child));
        lowered.filter(|e| !matches!(e, Expr::Other(inner, _) if inner.is_empty())).collect()
    }

    fn any(&mut self, node: Node<'_>) -> Expr {
        if !self.down() {
            self.up();
            return Expr::Other(Vec::new(), span(node));
        }
        let expr = self.node(node);
        self.up();
        expr
    }

    fn part(&mut self, node: Node<'_>, name: &str) -> Option<Expr> {
        node.child_by_field_name(name).map(|child| self.any(child))
    }

    fn node(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        match node.kind() {
            "comment" => {}
            "import_spec" => self.import(node),
            "function_declaration" | "method_declaration" => self.declaration(node),
            "func_literal" => return self.literal(node),
            "type_spec" => self.type_spec(node),
            "if_statement" => self.branch(node),
            "for_statement" => {
                let context = Context { in_loop: true, ..self.at };
                self.within(context, |builder| builder.all(node));
            }
            "range_clause" => self.range(node),
            "defer_statement" => {
                let context = Context { in_finally: true, ..self.at };
                self.within(context, |builder| builder.all(node));
            }
            "return_statement" => {
                let values = self.all(node);
                let context = self.at;
                self.module.returns.push((Expr::Other(values, at), context));
            }
            "short_var_declaration" | "assignment_statement" | "var_spec" | "const_spec" => {
                self.assignment(node);
            }
            "expression_list" | "literal_element" | "parenthesized_expression" => {
                let mut values = self.all(node);
                return match values.len() {
                    1 => values.remove(0),
                    _ => Expr::Other(values, at),
                };
            }
            "call_expression" => return self.go_call(node),
            "composite_literal" => return self.composite(node),
            "literal_value" => return self.literal_value(node),
            "identifier" | "field_identifier" | "package_identifier" | "type_identifier"
            | "qualified_type" => return Expr::Path(self.source(node).to_owned(), at),
            "selector_expression" => {
                let operand = self.part(node, "operand");
                let name = self.field(node, "field").unwrap_or_default();
                let path = operand.map(|operand| self.path_of(&operand).0).unwrap_or_default();
                return Expr::Path(format!("{path}.{name}"), at);
            }
            "index_expression" => {
                let operand = self.part(node, "operand");
                let index = self.part(node, "index");
                return match (operand, index) {
                    (Some(Expr::Path(path, _)), Some(Expr::Str(key, _))) => {
                        Expr::Path(format!("{path}.{key}"), at)
                    }
                    // `os.Args[1]`, `headers[name]`: one of them, unless a constant says which.
                    (Some(Expr::Path(path, _)), Some(Expr::Path(key, _)))
                        if constant(&key).is_some() =>
                    {
                        Expr::Path(format!("{path}.{}", constant(&key).unwrap_or_default()), at)
                    }
                    (operand, index) => Expr::Other(operand.into_iter().chain(index).collect(), at),
                };
            }
            "slice_expression" => {
                let value = self.part(node, "operand");
                // `auth[7:]` takes off what stands before the token.
                let first = self.field(node, "start").and_then(|n| n.parse::<u8>().ok());
                let is_start = first.is_some_and(|n| n <= 8) && self.field(node, "end").is_none();
                if let (true, Some(value)) = (is_start, &value) {
                    return value.clone();
                }
                let args = value.into_iter().map(positional).collect();
                return self.call(PART.to_owned(), None, args, at, at);
            }
            "type_assertion_expression" | "type_conversion_expression" => {
                return self.part(node, "operand").unwrap_or(Expr::Other(Vec::new(), at));
            }
            "unary_expression" => {
                let operand = self.part(node, "operand").unwrap_or(Expr::Null(at));
                return match self.field(node, "operator") {
                    Some("!") => Expr::Truth(vec![operand], at),
                    _ => operand,
                };
            }
            "binary_expression" => {
                let sides: Vec<Expr> =
                    ["left", "right"].iter().filter_map(|side| self.part(node, side)).collect();
                return match self.field(node, "operator").unwrap_or_default() {
                    "+" => Expr::Join(sides, at),
                    "==" | "!=" | "<" | ">" | "<=" | ">=" | "&&" | "||" => Expr::Truth(sides, at),
                    _ => Expr::Other(sides, at),
                };
            }
            "interpreted_string_literal" | "raw_string_literal" => {
                return Expr::Str(unquote(self.source(node)), at);
            }
            "int_literal" | "float_literal" => {
                return Expr::Number(self.source(node).to_owned(), at);
            }
            "true" | "false" => return Expr::Bool(node.kind() == "true", at),
            "nil" => return Expr::Null(at),
            _ => return Expr::Other(self.all(node), at),
        }
        Expr::Other(Vec::new(), at)
    }

    fn import(&mut self, node: Node<'_>) {
        let module = unquote(self.field(node, "path").unwrap_or_default());
        // `…/v5` and `gopkg.in/x.v3` are versions, not names.
        let mut parts = module.rsplit('/');
        let mut last = parts.next().unwrap_or_default();
        if last.len() > 1 && last.starts_with('v') && last[1..].chars().all(|c| c.is_ascii_digit())
        {
            last = parts.next().unwrap_or(last);
        }
        let last = last.split(".v").next().unwrap_or(last).trim_start_matches("go-");
        let alias = self.field(node, "name").unwrap_or(last).to_owned();
        let span = span(node);
        // What gin was called before modules.
        let module = module.replace("gopkg.in/gin-gonic/gin.v1", "github.com/gin-gonic/gin");
        self.module.imports.push(Import { module, name: None, alias, span });
    }

    fn declaration(&mut self, node: Node<'_>) {
        let class = node.child_by_field_name("receiver").map(|receiver| {
            let text = self.source(receiver).trim_matches(['(', ')']);
            let name = text.split_whitespace().last().unwrap_or_default().trim_start_matches('*');
            name.split('[').next().unwrap_or(name).to_owned()
        });
        let before = std::mem::replace(&mut self.class, class);
        let name = self.field(node, "name").unwrap_or_default();
        let function = self.function(name, node);
        self.class = before;
        self.body(function, node);
    }

    fn literal(&mut self, node: Node<'_>) -> Expr {
        let before = self.class.take();
        let function = self.function("<anonymous>", node);
        self.class = before;
        self.body(function, node);
        Expr::Function(function, span(node))
    }

    fn body(&mut self, function: usize, node: Node<'_>) {
        for parameters in ["receiver", "parameters"] {
            let Some(list) = node.child_by_field_name(parameters) else { continue };
            for parameter in children(list) {
                let declared = self.field(parameter, "type").map(str::to_owned);
                let names: Vec<String> = parameter
                    .children_by_field_name("name")
                    .into_iter()
                    .map(|name| self.source(name).to_owned())
                    .collect();
                for name in names {
                    self.module.functions[function].params.push((name, declared.clone()));
                }
            }
        }
        // A literal runs where it is called from: a loop or a branch around its text says nothing.
        // What stands in `defer func() { … }()` is deferred too.
        let (guard, in_finally) = (self.at.guard, self.at.in_finally);
        let context = Context { function: Some(function), guard, in_finally, ..Context::default() };
        if let Some(body) = node.child_by_field_name("body") {
            self.within(context, |builder| builder.all(body));
        }
    }

    fn type_spec(&mut self, node: Node<'_>) {
        let name = self.field(node, "name").unwrap_or_default().to_owned();
        let Some(kind) = node.child_by_field_name("type").filter(|t| t.kind() == "struct_type")
        else {
            self.all(node);
            return;
        };
        let mut fields = Vec::new();
        let mut bases = Vec::new();
        for list in children(kind) {
            for field in children(list).into_iter().filter(|n| n.kind() == "field_declaration") {
                let declared = self.field(field, "type").unwrap_or_default().to_owned();
                let tag = self.field(field, "tag").unwrap_or_default();
                let names = field.children_by_field_name("name");
                if names.is_empty() {
                    bases.push(declared.clone());
                }
                // A field that is never written out cannot leak by writing its struct as JSON.
                if tag.contains("json:\"-\"") {
                    continue;
                }
                for name in names {
                    fields.push((self.source(name).to_owned(), declared.clone()));
                }
            }
        }
        self.module.types.push(TypeDef { name, bases, fields, span: span(node) });
    }

    fn branch(&mut self, node: Node<'_>) {
        for name in ["initializer", "condition"] {
            self.part(node, name);
        }
        let condition = self.field(node, "condition").unwrap_or_default().to_owned();
        let mut context = guarded(self.at, guard_of(&condition));
        if let Some(body) = node.child_by_field_name("consequence") {
            let error = condition
                .split("!= nil")
                .next()
                .filter(|_| condition.contains("!= nil"))
                .and_then(|before| before.split_whitespace().last())
                .filter(|name| name.to_lowercase().ends_with("err") || name.contains("rr"));
            if let Some(error) = error {
                let text = self.source(body);
                let returns = text.lines().any(|line| {
                    let line = line.trim();
                    line.starts_with("panic(")
                        || (line.starts_with("return ") && line.contains(error) && !answers(line))
                });
                self.module.catches.push(Catch {
                    error: Some(error.to_owned()),
                    span: span(body),
                    raises: returns,
                });
                context.catch = Some(self.module.catches.len() - 1);
            }
            self.within(context, |builder| builder.all(body));
        }
        self.part(node, "alternative");
    }

    fn assignment(&mut self, node: Node<'_>) {
        let at = span(node);
        let declared = self.field(node, "type").map(str::to_owned);
        let (left, right) = match node.kind() {
            "var_spec" | "const_spec" => ("name", "value"),
            _ => ("left", "right"),
        };
        let targets = node.children_by_field_name(left);
        let targets: Nodes<'_> = targets
            .into_iter()
            .flat_map(|n| if n.kind() == "expression_list" { children(n) } else { smallvec![n] })
            .filter(Node::is_named)
            .collect();
        let names: Vec<String> = targets.iter().map(|n| self.source(*n).to_owned()).collect();
        let values = match node.child_by_field_name(right) {
            Some(list) if list.kind() == "expression_list" => children(list),
            Some(one) => smallvec![one],
            None => Nodes::new(),
        };
        let values: Vec<Expr> = values.into_iter().map(|value| self.any(value)).collect();
        for (index, name) in names.iter().enumerate().filter(|(_, name)| *name != "_") {
            // Several names of one call all come from it.
            let value = if values.len() == 1 { values.first() } else { values.get(index) };
            if let (1, Some(Expr::Call(call, _))) = (index, value)
                && let Some(of) = self.module.calls[*call].callee.strip_suffix(".BasicAuth")
            {
                let password = Expr::Path(format!("{of}.password"), at);
                self.assign(name, password, None, at);
            } else if let Some(value) = value {
                self.assign(name, value.clone(), declared.clone(), at);
            } else if declared.is_some() && self.at.function.is_some() {
                self.assign(name, Expr::Null(at), declared.clone(), at);
            }
        }
    }

    /// `for name, value := range r.Header`: each value is a part of what is walked through. A single name is an index or a
    /// key, but what comes out of a channel.
    fn range(&mut self, node: Node<'_>) {
        let at = span(node);
        let names: Vec<String> = match node.child_by_field_name("left") {
            Some(left) if left.kind() == "expression_list" => {
                children(left).into_iter().map(|n| self.source(n).to_owned()).collect()
            }
            Some(left) => vec![self.source(left).to_owned()],
            None => Vec::new(),
        };
        let Some(mut value) = self.part(node, "right") else { return };
        // One after another, headers are as good as all of them, unless the loop chooses.
        if is_watched(self.field(node, "right").unwrap_or_default()) {
            let body = node.parent().and_then(|looped| self.field(looped, "body"));
            if body.is_some_and(is_choosy) {
                return;
            }
            value = self.call(EACH.to_owned(), None, vec![positional(value)], at, at);
        }
        let name = match names.as_slice() {
            [_, name] => name,
            [name] if self.is_channel(&value) => name,
            _ => return,
        };
        if name != "_" {
            self.assign(name, value, None, at);
        }
    }

    /// Whether messages come out of a value: by its declared type, or by the call that gave it.
    fn is_channel(&self, value: &Expr) -> bool {
        const GIVES: [&str; 7] =
            ["Consume", "ConsumeWithContext", "Messages", "Channel", "Events", "Chan", "Subscribe"];
        let gives = |call: usize| {
            let call = self.module.calls.get(call);
            call.is_some_and(|call| GIVES.contains(&call.name()))
        };
        match value {
            Expr::Call(at, _) => gives(*at),
            Expr::Path(path, _) => {
                let functions = &self.module.functions;
                let function = self.at.function.and_then(|at| functions.get(at));
                let mut params = function.into_iter().flat_map(|function| &function.params);
                let is_declared = params.any(|(name, declared)| {
                    name == path && declared.as_deref().is_some_and(|t| t.contains("chan "))
                });
                is_declared
                    || self
                        .module
                        .assigns
                        .iter()
                        .rev()
                        .find(|a| a.target == *path)
                        .is_some_and(|a| matches!(&a.value, Expr::Call(at, _) if gives(*at)))
            }
            _ => false,
        }
    }

    fn go_call(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        let Some(function) = node.child_by_field_name("function") else {
            return Expr::Other(self.all(node), at);
        };
        let (callee, receiver, name_span) = match function.kind() {
            "selector_expression" => {
                let operand = self.part(function, "operand");
                let name = self.field(function, "field").unwrap_or_default();
                let (path, receiver) =
                    operand.map(|operand| self.path_of(&operand)).unwrap_or_default();
                let name_node = function.child_by_field_name("field").unwrap_or(function);
                (format!("{path}.{name}"), receiver, span(name_node))
            }
            "func_literal" => {
                let literal = self.any(function);
                (String::from("<anonymous>"), None, literal.span())
            }
            _ => (self.source(function).to_owned(), None, span(function)),
        };
        let args: Vec<Arg> = match node.child_by_field_name("arguments") {
            Some(list) => children(list).into_iter().map(|n| positional(self.any(n))).collect(),
            None => Vec::new(),
        };
        if callee == "panic" {
            let raised = args.first().map(|arg| arg.value.clone());
            let context = self.at;
            self.module.raises.push((raised, context, at));
        }
        self.call(callee, receiver, args, at, name_span)
    }

    /// `T{…}`: a list for slices, a mapping for maps, and the making of a `T` for all else.
    fn composite(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        let Some(kind) = node.child_by_field_name("type") else {
            return Expr::Other(self.all(node), at);
        };
        let value = self.part(node, "body").unwrap_or(Expr::Other(Vec::new(), at));
        match kind.kind() {
            "slice_type" | "array_type" | "implicit_length_array_type" | "map_type" => value,
            _ => {
                let name = self.source(kind).to_owned();
                self.call(name, None, vec![positional(value)], at, span(kind))
            }
        }
    }

    fn literal_value(&mut self, node: Node<'_>) -> Expr {
        let at = span(node);
        let items = children(node);
        if !items.iter().any(|item| item.kind() == "keyed_element") {
            return Expr::List(self.all(node), at);
        }
        let mut entries = Vec::new();
        for item in items {
            if item.kind() != "keyed_element" {
                self.any(item);
                continue;
            }
            let parts = children(item);
            let (Some(key), Some(value)) = (parts.first(), parts.get(1)) else { continue };
            let key = match self.any(*key) {
                Expr::Str(text, _) | Expr::Path(text, _) => Some(text),
                _ => None,
            };
            entries.push((key, self.any(*value)));
        }
        Expr::Dict(entries, at)
    }
}

/// Whether a line returns what a context of echo or fiber answers: `return c.JSON(500, …)` hands no error on.
fn answers(line: &str) -> bool {
    const BY: [&str; 8] =
        ["JSON", "JSONPretty", "String", "NoContent", "HTML", "XML", "Status", "SendStatus"];
    let rest = line.strip_prefix("return ").and_then(|rest| rest.split_once('('));
    let Some((object, method)) = rest.and_then(|(callee, _)| callee.rsplit_once('.')) else {
        return false;
    };
    matches!(object, "c" | "ctx" | "ec") && BY.contains(&method)
}
