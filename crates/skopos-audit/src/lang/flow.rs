//! What flows into a value, within one function: assignments are followed backwards, calls are looked through by name only.

use super::ir::{Call, Expr, Module};
use crate::Span;
use crate::fact::{Field, Source};

/// How many assignments are followed.
const STEPS: usize = 3;

/// Calls that look a value up by a literal key.
const LOOKUPS: &[&str] = &[
    "get",
    "header",
    "getHeader",
    "getlist",
    "getItem",
    "Get",
    "getenv",
    "get_header",
    "getString",
    "getOrThrow",
    "GetString",
    "Getenv",
    "getProperty",
    "param",
    "FormValue",
    "GetHeader",
    "get_secret",
    "pop",
];

/// Calls that fill a variable from the body of a request.
const BINDERS: &[&str] = &[
    "BindJSON",
    "ShouldBindJSON",
    "MustBindWith",
    "ShouldBind",
    "ShouldBindWith",
    "ShouldBindBodyWith",
    "Bind",
    "BindBody",
    "BodyParser",
    "DecodeJSON",
    "ReadJSON",
];

impl Module {
    /// What is logged by an expression: mappings are taken apart into named fields.
    pub(crate) fn fields(
        &self,
        name: Option<&str>,
        expr: &Expr,
        function: Option<usize>,
    ) -> Vec<Field> {
        let mut fields = Vec::new();
        self.fields_into(name, expr, function, 0, &mut fields);
        fields
    }

    fn fields_into(
        &self,
        name: Option<&str>,
        expr: &Expr,
        function: Option<usize>,
        depth: usize,
        fields: &mut Vec<Field>,
    ) {
        if let Expr::Dict(pairs, _) = expr
            && depth < 6
        {
            for (key, value) in pairs {
                let full = match (name, key) {
                    (Some(name), Some(key)) => Some(format!("{name}.{key}")),
                    (None, Some(key)) => Some(key.clone()),
                    (name, None) => name.map(str::to_owned),
                };
                self.fields_into(full.as_deref(), value, function, depth + 1, fields);
            }
            return;
        }
        fields.push(Field {
            name: name.map(str::to_owned),
            span: expr.span(),
            literal: expr.text().map(str::to_owned),
            sources: self.sources(expr, function),
        });
    }

    /// What flows into a value.
    pub(crate) fn sources(&self, expr: &Expr, function: Option<usize>) -> Vec<Source> {
        let mut found = Vec::new();
        self.collect(expr, function, &[], false, 0, &mut found);
        found
    }

    fn collect(
        &self,
        expr: &Expr,
        function: Option<usize>,
        wrapped: &[String],
        only_truth: bool,
        depth: usize,
        found: &mut Vec<Source>,
    ) {
        if depth > 12 || found.len() > 64 {
            return;
        }
        let each = |items: &[Expr], truth: bool, found: &mut Vec<Source>| {
            for item in items {
                self.collect(item, function, wrapped, truth, depth + 1, found);
            }
        };
        match expr {
            Expr::Path(path, span) => {
                found.push(self.source(path, *span, function, wrapped, only_truth));
            }
            Expr::Interpolated(_, parts, _)
            | Expr::List(parts, _)
            | Expr::Join(parts, _)
            | Expr::Other(parts, _) => {
                each(parts, only_truth, found);
            }
            Expr::Dict(pairs, _) => {
                for (key, value) in pairs {
                    let before = found.len();
                    self.collect(value, function, wrapped, only_truth, depth + 1, found);
                    // `{"password": x}` logs a password, whatever the variable is called.
                    if let (Some(key), Some(first)) = (key, found.get_mut(before)) {
                        first.origins.push(key.clone());
                    }
                }
            }
            Expr::Choice(_, parts, _) => each(parts, only_truth, found),
            Expr::Truth(parts, _) => each(parts, true, found),
            Expr::Call(at, span) => {
                let Some(call) = self.calls.get(*at) else { return };
                if let Some(path) = looked_up(call) {
                    found.push(self.source(&path, *span, function, wrapped, only_truth));
                    return;
                }
                let path = format!("{}()", call.callee);
                let origins = Vec::new();
                found.push(Source {
                    path,
                    origins,
                    wrapped: wrapped.to_vec(),
                    only_truth,
                    declared: None,
                });
                let mut inner = vec![call.callee.clone()];
                inner.extend_from_slice(wrapped);
                if let Some(receiver) = call.receiver {
                    let receiver = Expr::Call(receiver, *span);
                    self.collect(&receiver, function, &inner, only_truth, depth + 1, found);
                } else if !call.object().is_empty() {
                    let source = self.source(call.object(), *span, function, &inner, only_truth);
                    found.push(source);
                }
                for arg in &call.args {
                    self.collect(&arg.value, function, &inner, only_truth, depth + 1, found);
                }
            }
            Expr::Str(..)
            | Expr::Number(..)
            | Expr::Bool(..)
            | Expr::Null(_)
            | Expr::Function(..) => {}
        }
    }

    fn source(
        &self,
        path: &str,
        span: Span,
        function: Option<usize>,
        wrapped: &[String],
        only_truth: bool,
    ) -> Source {
        Source {
            path: path.to_owned(),
            origins: self.origins(path, span, function),
            wrapped: wrapped.to_vec(),
            only_truth,
            declared: self.declared(path, function),
        }
    }

    /// What a variable was assigned from, nearest first.
    pub(crate) fn origins(&self, path: &str, before: Span, function: Option<usize>) -> Vec<String> {
        let mut origins = Vec::new();
        if let Some(bound) = self.bound(path, before, function) {
            return vec![bound];
        }
        let mut path = path.to_owned();
        let mut before = before.start;
        for _ in 0..STEPS {
            let (root, rest) = path.split_once('.').map_or((path.as_str(), ""), |(a, b)| (a, b));
            let visible =
                |of: Option<usize>| of.is_none() || of == function || self.is_around(of, function);
            let assigned = self
                .assigns
                .iter()
                .filter(|a| a.target == root && a.span.end <= before && visible(a.at.function))
                .max_by_key(|a| a.span.start);
            let Some(assigned) = assigned else { break };
            let from = match &assigned.value {
                Expr::Path(from, _) => from.clone(),
                Expr::Call(at, _) => match self.calls.get(*at) {
                    Some(call) => looked_up(call)
                        .or_else(|| handed_on(call))
                        .or_else(|| self.kept(call))
                        .unwrap_or_else(|| format!("{}()", call.callee)),
                    None => break,
                },
                Expr::Choice(_, parts, _) => match parts.first() {
                    Some(Expr::Path(from, _)) => from.clone(),
                    Some(Expr::Call(at, _)) => match self.calls.get(*at).and_then(looked_up) {
                        Some(from) => from,
                        None => break,
                    },
                    _ => break,
                },
                _ => break,
            };
            let next = if rest.is_empty() { from } else { format!("{from}.{rest}") };
            before = assigned.span.start;
            origins.push(next.clone());
            if next.ends_with("()") || next.split('.').next() == Some(root) {
                break;
            }
            path = next;
        }
        origins
    }

    /// What a chain of calls leaves as it was: `request.body.strip().decode()` → `request.body`.
    fn kept(&self, call: &Call) -> Option<String> {
        const KEEPS: [&str; 14] = [
            "strip",
            "decode",
            "encode",
            "trim",
            "toString",
            "to_string",
            "clone",
            "unwrap",
            "to_owned",
            "as_str",
            "lower",
            "toLowerCase",
            "String",
            "unwrap_or_default",
        ];
        let mut call = call;
        for _ in 0..6 {
            if !KEEPS.contains(&call.name()) {
                return None;
            }
            match call.receiver.and_then(|at| self.calls.get(at)) {
                Some(receiver) if KEEPS.contains(&receiver.name()) => call = receiver,
                Some(receiver) => return looked_up(receiver),
                None => {
                    let object = call.object();
                    return (!object.is_empty() && object != "?").then(|| object.to_owned());
                }
            }
        }
        None
    }

    /// The body of the request that a variable was filled from: `c.BindJSON(&order)`,
    /// `json.NewDecoder(r.Body).Decode(&order)`, a parameter that is declared to be the body.
    fn bound(&self, path: &str, before: Span, function: Option<usize>) -> Option<String> {
        let (root, rest) = path.split_once('.').map_or((path, ""), |(root, rest)| (root, rest));
        let fills = |call: &&Call| {
            let is_given = call.args.iter().any(|arg| arg.value.path() == Some(root));
            let is_before = call.span.end <= before.start && call.at.function == function;
            let decodes = call.name() == "Decode" && {
                let reader = call.receiver.and_then(|at| self.calls.get(at));
                let given = reader.and_then(|r| r.positional(0)).and_then(Expr::path);
                given.is_some_and(|path| path.ends_with(".Body"))
            };
            is_given && is_before && (BINDERS.contains(&call.name()) || decodes)
        };
        let params = || {
            let function = function.and_then(|at| self.functions.get(at));
            function.into_iter().flat_map(|function| &function.params)
        };
        let is_body = params().any(|(name, declared)| {
            name == root && declared.as_deref().is_some_and(|t| t.starts_with("@RequestBody"))
        });
        if !is_body && !self.calls.iter().any(|call| fills(&call)) {
            return None;
        }
        Some(if rest.is_empty() {
            "request.body".to_owned()
        } else {
            format!("request.body.{rest}")
        })
    }

    fn is_around(&self, outer: Option<usize>, inner: Option<usize>) -> bool {
        let mut at = inner;
        while let Some(index) = at {
            if Some(index) == outer {
                return true;
            }
            at = self.functions.get(index).and_then(|function| function.parent);
        }
        false
    }

    /// The declared type of a variable or parameter.
    fn declared(&self, path: &str, function: Option<usize>) -> Option<String> {
        let (root, rest) = path.split_once('.').map_or((path, ""), |(a, b)| (a, b));
        let params =
            function.and_then(|at| self.functions.get(at)).into_iter().flat_map(|f| &f.params);
        let of_param = params.filter(|(name, _)| name == root).find_map(|(_, t)| t.clone());
        let of_assign =
            || self.assigns.iter().find(|a| a.target == root).and_then(|a| a.declared.clone());
        let declared = of_param.or_else(of_assign)?;
        if rest.is_empty() {
            return Some(declared);
        }
        // A field of a type of the same file.
        let (field, deeper) = rest.split_once('.').map_or((rest, ""), |(a, b)| (a, b));
        let of = self.types.iter().find(|t| t.name == declared)?;
        let found = of.fields.iter().find(|(name, _)| name == field).map(|(_, t)| t.clone());
        found.filter(|_| deeper.is_empty())
    }
}

/// What a call hands on as it was: `io.ReadAll(r.Body)` → `r.Body`, `url.split('?')` → `url`.
fn handed_on(call: &Call) -> Option<String> {
    const READS: [&str; 5] = ["ReadAll", "readAll", "to_bytes", "getReader", "unquote"];
    if READS.contains(&call.name()) {
        return call.args.first()?.value.path().map(str::to_owned);
    }
    if call.name().starts_with("Sprint") {
        return call.args.iter().find_map(|arg| arg.value.path()).map(str::to_owned);
    }
    let object = call.object();
    let last = object.rsplit('.').next().unwrap_or_default().to_lowercase();
    let is_address = matches!(last.as_str(), "url" | "path" | "uri" | "originalurl");
    (call.name() == "split" && is_address).then(|| object.to_owned())
}

/// `headers.get("authorization")` → `headers.authorization`.
pub(crate) fn looked_up(call: &Call) -> Option<String> {
    if !LOOKUPS.contains(&call.name()) {
        return None;
    }
    let key = call.args.first()?.value.text()?;
    let object = call.object();
    Some(if object.is_empty() { key.to_owned() } else { format!("{object}.{key}") })
}
