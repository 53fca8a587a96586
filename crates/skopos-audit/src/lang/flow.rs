//! What flows into a value, within one function: assignments are followed backwards, calls are looked through by name
//! only.

use super::ir::{Call, Expr, Module};
use crate::Span;
use crate::fact::{Field, Source};

/// How many assignments are followed.
const STEPS: usize = 3;

/// What clients of brokers call a message, by the end of its type.
const MESSAGES: &[&str] = &[
    "stan.Msg",
    "nats.Msg",
    "jetstream.Msg",
    "amqp.Delivery",
    "amqp091.Delivery",
    "kafka.Message",
    "sarama.ConsumerMessage",
    "kgo.Record",
    "pubsub.Message",
    "redis.Message",
    "nsq.Message",
    "mqtt.Message",
    "MQTT.Message",
    "types.Message",
    "sqs.Message",
];

/// What a message of a broker carries.
const CARRIED: &[&str] = &["Data", "Body", "Value", "Payload"];

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
    "getFirst",
    "getOrDefault",
    "get_one",
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
                // A variable that holds a mapping written down in this file: all of it is there.
                if let Some(Expr::Dict(pairs, at)) = self.value_of(path, *span, function) {
                    let mapping = Expr::Dict(pairs.clone(), *at);
                    self.collect(&mapping, function, wrapped, only_truth, depth + 4, found);
                }
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
                // Without a name, all of the environment.
                let path = match (call.callee.as_str(), call.args.is_empty()) {
                    ("System.getenv", true) => call.callee.clone(),
                    _ => format!("{}()", call.callee),
                };
                let origins = self.carried(&call.callee, *span, function).into_iter().collect();
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
        let mut origins = self.origins(path, span, function);
        origins.extend(self.carried(path, span, function));
        let declared = self.declared(path, span, function).or_else(|| {
            // What a variable was made from whole has the type of that.
            let from = origins.first().filter(|from| !from.contains(['.', '(']))?;
            self.declared(from, span, function)
        });
        Source { path: path.to_owned(), origins, wrapped: wrapped.to_vec(), only_truth, declared }
    }

    /// What a message of a broker carries, where a path is that or the whole message: told by the type that the message,
    /// or the channel that it came out of, is declared to have.
    fn carried(&self, path: &str, span: Span, function: Option<usize>) -> Option<String> {
        let (root, rest) = path.split_once('.').map_or((path, ""), |(a, b)| (a, b));
        if !rest.is_empty() && !CARRIED.contains(&rest) {
            return None;
        }
        let is_message = |declared: String| {
            let bare = declared.trim_start_matches("<-").trim_start_matches("chan ");
            MESSAGES.contains(&bare.trim_start_matches(['*', '&', ' ']))
        };
        let declared = self.declared(root, span, function).or_else(|| {
            let from = self.value_of(root, span, function)?.path()?;
            self.declared(from, span, function)
        });
        declared.is_some_and(is_message).then(|| "message.message_body".to_owned())
    }

    /// The value that a plain variable was last given before this place, in this function or one around it.
    fn value_of(&self, name: &str, before: Span, function: Option<usize>) -> Option<&Expr> {
        if name.contains('.') {
            return None;
        }
        let visible = |a: &&super::ir::Assign| {
            a.target == name
                && a.span.end <= before.start
                && (a.at.function == function || self.is_around(a.at.function, function))
                && a.at.function.is_some()
        };
        self.assigns.iter().filter(visible).max_by_key(|a| a.span.start).map(|a| &a.value)
    }

    /// What a parameter is given, where one call in this file, and only one, calls its function: the argument, the function
    /// that the call stands in, and where.
    fn given(&self, param: &str, function: Option<usize>) -> Option<(String, Option<usize>, Span)> {
        let called = self.functions.get(function?)?;
        let at = called.params.iter().position(|(name, _)| name == param)?;
        let is_plain = |name: &str| name.len() > 2 && !name.starts_with('<');
        if !is_plain(&called.name) || !called.decorators.is_empty() {
            return None;
        }
        let same = self.functions.iter().filter(|f| f.name == called.name).count();
        let mut calls = self.calls.iter().filter(|call| {
            call.name() == called.name && matches!(call.object(), "" | "self" | "this")
        });
        let (Some(call), None, 1) = (calls.next(), calls.next(), same) else { return None };
        let from = match call.positional(at)? {
            Expr::Path(path, _) => path.clone(),
            Expr::Call(inner, _) => looked_up(self.calls.get(*inner)?)?,
            _ => return None,
        };
        Some((from, call.at.function, call.span))
    }

    /// What a variable was assigned from, nearest first.
    pub(crate) fn origins(&self, path: &str, before: Span, function: Option<usize>) -> Vec<String> {
        let mut origins = Vec::new();
        if let Some(bound) = self.bound(path, before, function) {
            return vec![bound];
        }
        let mut path = path.to_owned();
        let mut before = before.start;
        let mut function = function;
        for _ in 0..STEPS {
            let (root, rest) = path.split_once('.').map_or((path.as_str(), ""), |(a, b)| (a, b));
            let visible =
                |of: Option<usize>| of.is_none() || of == function || self.is_around(of, function);
            let assigned = self
                .assigns
                .iter()
                .filter(|a| a.target == root && a.span.end <= before && visible(a.at.function))
                .max_by_key(|a| a.span.start);
            let Some(assigned) = assigned else {
                let Some((from, outer, at)) = self.given(root, function) else { break };
                let next = if rest.is_empty() { from } else { format!("{from}.{rest}") };
                origins.push(next.clone());
                (path, before, function) = (next, at.start, outer);
                continue;
            };
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
            // `path = path.lower()`: what it was before.
            if next == path {
                continue;
            }
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
        const KEEPS: [&str; 25] = [
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
            // The same values in another form.
            "model_dump",
            "model_dump_json",
            "to_dict",
            "toObject",
            "toJSON",
            "copy",
            "expect",
            "unwrap_or",
            "to_str",
            "ok",
            "and_then",
        ];
        let mut call = call;
        for _ in 0..6 {
            if !KEEPS.contains(&call.name()) {
                return None;
            }
            match call.receiver.and_then(|at| self.calls.get(at)) {
                Some(receiver) if KEEPS.contains(&receiver.name()) => call = receiver,
                // What the first call of the chain gives: `req.headers().clone()`, `(await req.body()).decode()`,
                // `serde_json::to_string(&form).unwrap()`.
                Some(receiver) => {
                    return looked_up(receiver)
                        .or_else(|| handed_on(receiver))
                        .or_else(|| Some(format!("{}()", receiver.callee)));
                }
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
            // `json.Unmarshal(body, &order)`, `io.Copy(&buffer, r.Body)`. No further back than one step: two calls that fill
            // each other's arguments would lead round and round.
            let parses = || {
                call.name() == "Unmarshal"
                    && call.positional(1).and_then(Expr::path) == Some(root)
                    && call.positional(0).and_then(Expr::path).is_some_and(|read| {
                        self.assigns.iter().any(|a| {
                            a.target == read
                                && a.at.function == function
                                && matches!(&a.value, Expr::Call(at, _) if self.calls.get(*at).is_some_and(|of| {
                                    of.positional(0).and_then(Expr::path).is_some_and(|path| path.ends_with(".Body"))
                                }))
                        })
                    })
            };
            let copies = || {
                matches!(call.callee.as_str(), "io.Copy" | "io.CopyN")
                    && call.positional(0).and_then(Expr::path) == Some(root)
                    && call
                        .positional(1)
                        .and_then(Expr::path)
                        .is_some_and(|path| path.ends_with(".Body"))
            };
            is_given
                && is_before
                && (BINDERS.contains(&call.name()) || decodes || parses() || copies())
        };
        let params = || {
            let function = function.and_then(|at| self.functions.get(at));
            function.into_iter().flat_map(|function| &function.params)
        };
        // `function (error, response, body)`: what a client of HTTP hands to its caller.
        let is_answer = root == "body"
            && params().any(|(name, _)| name == "body")
            && params().any(|(name, _)| matches!(name.as_str(), "response" | "res" | "resp"));
        if is_answer {
            return Some(match rest {
                "" => "response.body".to_owned(),
                rest => format!("response.body.{rest}"),
            });
        }
        let told = params()
            .filter(|(name, _)| name == root)
            .find_map(|(name, declared)| self.extracted(name, declared.as_deref()?));
        let from = match told {
            Some(told) => told,
            None if self.calls.iter().any(|call| fills(&call)) => "request.body".to_owned(),
            None => return None,
        };
        Some(if rest.is_empty() { from } else { format!("{from}.{rest}") })
    }

    /// What of a request a parameter is, by its type or by what is written before it: `@RequestBody Order order`,
    /// `headers: HeaderMap`, `Json(order): Json<Order>`.
    fn extracted(&self, name: &str, declared: &str) -> Option<String> {
        if let Some(annotation) = declared.strip_prefix('@') {
            let end = annotation.find(|c: char| !c.is_alphanumeric()).unwrap_or(annotation.len());
            let (kind, rest) = annotation.split_at(end);
            // An optional literal, then the type.
            let key = rest.strip_prefix("(\"").and_then(|rest| rest.split_once("\")"));
            let of = key.map_or(rest, |(_, of)| of).trim();
            let key = key.map_or(name, |(key, _)| key);
            return match kind {
                "RequestBody" | "Body" => Some("request.body".to_owned()),
                "RequestHeader" | "HeaderParam" | "Headers" | "Header" => {
                    let is_whole = ["Headers", "Map", "Record", "Object", "any", "dict"];
                    Some(match key == name && is_whole.iter().any(|kind| of.contains(kind)) {
                        true => "request.headers".to_owned(),
                        false => format!("request.headers.{key}"),
                    })
                }
                "CookieValue" | "CookieParam" | "Cookie" => Some(format!("request.cookies.{key}")),
                _ => None,
            };
        }
        let bare = declared.trim_start_matches(['&', '*', ' ']).trim_start_matches("mut ");
        let generic = bare.split('<').next().unwrap_or(bare);
        let last = generic.rsplit([':', '.']).next().unwrap_or(generic);
        let lower = name.to_lowercase();
        let is_answer = ["resp", "res_", "trailer", "out"].iter().any(|word| lower.contains(word));
        let of_queue = || self.imports.iter().any(|import| import.module.contains("kafka"));
        match last {
            "HeaderMap" | "HttpHeaders" | "IncomingHttpHeaders" | "MetadataMap" if !is_answer => {
                Some("request.headers".to_owned())
            }
            "Header" if bare == "http.Header" && !is_answer => Some("request.headers".to_owned()),
            "Headers" if !is_answer && !of_queue() => Some("request.headers".to_owned()),
            // Extractors of axum and actix.
            "Json" | "Form" | "JsonBody" if bare.contains('<') && bare.ends_with('>') => {
                Some("request.body".to_owned())
            }
            _ => None,
        }
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

    /// The declared type of a variable or parameter, or the type it was made of (`Credentials{…}`).
    pub(crate) fn declared(
        &self,
        path: &str,
        before: Span,
        function: Option<usize>,
    ) -> Option<String> {
        let (root, rest) = path.split_once('.').map_or((path, ""), |(a, b)| (a, b));
        let params =
            function.and_then(|at| self.functions.get(at)).into_iter().flat_map(|f| &f.params);
        let of_param = params.filter(|(name, _)| name == root).find_map(|(_, t)| t.clone());
        let of_assign = || {
            let visible =
                |of: Option<usize>| of.is_none() || of == function || self.is_around(of, function);
            let told = |a: &&super::ir::Assign| a.target == root && visible(a.at.function);
            let nearest = self.assigns.iter().filter(told).filter(|a| a.span.end <= before.start);
            let assign = nearest.max_by_key(|a| a.span.start);
            let assign = assign.or_else(|| self.assigns.iter().find(told))?;
            assign.declared.clone().or_else(|| self.made_of(&assign.value))
        };
        let declared = of_param.or_else(of_assign)?;
        if rest.is_empty() {
            return Some(declared);
        }
        // A field of a type of the same file.
        let (field, deeper) = rest.split_once('.').map_or((rest, ""), |(a, b)| (a, b));
        let owner = declared.trim_start_matches(['&', '*']);
        let of = self.types.iter().find(|t| t.name == owner)?;
        let found = of.fields.iter().find(|(name, _)| name == field).map(|(_, t)| t.clone());
        found.filter(|_| deeper.is_empty())
    }

    /// The type that a value is made of: `Credentials{…}`, `new Credentials(…)`, `Credentials(…)`.
    fn made_of(&self, value: &Expr) -> Option<String> {
        let Expr::Call(at, _) = value else { return None };
        let call = self.calls.get(*at)?;
        let name = call.name().trim_start_matches("new ");
        let is_literal = matches!(
            call.args.first().map(|arg| &arg.value),
            Some(Expr::Dict(..) | Expr::List(..))
        );
        let is_known = self.types.iter().any(|of| of.name == name);
        let is_type = name.starts_with(|c: char| c.is_ascii_uppercase());
        (is_type && (is_known || is_literal)).then(|| name.to_owned())
    }
}

/// What a call hands on as it was: `io.ReadAll(r.Body)` → `r.Body`, `url.split('?')` → `url`.
fn handed_on(call: &Call) -> Option<String> {
    const READS: [&str; 24] = [
        "ReadAll",
        "readAll",
        "to_bytes",
        "getReader",
        "unquote",
        // The same values in another form.
        "Marshal",
        "MarshalIndent",
        "dumps",
        "loads",
        "stringify",
        "writeValueAsString",
        "toJson",
        "asdict",
        "vars",
        "dict",
        "jsonable_encoder",
        "to_string",
        "to_string_pretty",
        "to_value",
        "from_utf8_lossy",
        "from_utf8",
        "string",
        "str",
        "repr",
    ];
    if READS.contains(&call.name()) || call.callee == "JSON.parse" {
        let given = &call.args.first()?.value;
        return match given {
            // `axum::body::to_bytes(req.into_body(), limit)`.
            Expr::Call(..) if call.name() == "to_bytes" => Some("request.body".to_owned()),
            given => given.path().map(str::to_owned),
        };
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
