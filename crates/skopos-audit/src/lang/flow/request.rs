//! What of a request or of an answer a variable is: by what filled it, by its declared type, by the client that gave it.

use crate::Span;
use crate::lang::ir::{Call, Expr, Module};

/// What was done to a variable between its making and its use.
pub(super) enum Filled {
    /// A value was put into it under a name that says what it is.
    With(String),
    /// What must not be shown was taken out of it.
    Cleaned,
}

/// Keys whose values open doors.
const OPENS: [&str; 9] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "secret",
    "token",
    "api-key",
    "apikey",
    "api_key",
];

/// Whether a key's value opens a door.
pub(super) fn opens(key: &str) -> bool {
    OPENS.iter().any(|word| {
        key.len() >= word.len()
            && key.as_bytes().windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether a header's value opens a door.
fn is_key_header(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    matches!(
        lower.as_str(),
        "authorization" | "proxy-authorization" | "cookie" | "proxy_authorization"
    ) || lower.ends_with("api-key")
        || lower.ends_with("auth-token")
        || lower.ends_with("access-token")
}

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
    /// The body of the request that a variable was filled from: `c.BindJSON(&order)`,
    /// `json.NewDecoder(r.Body).Decode(&order)`, a parameter that is declared to be the body.
    pub(super) fn bound(
        &self,
        path: &str,
        before: Span,
        function: Option<usize>,
    ) -> Option<String> {
        let (root, rest) = path.split_once('.').map_or((path, ""), |(root, rest)| (root, rest));
        let is_body = |path: &str| path.ends_with(".Body");
        let fills = |call: &Call| {
            let is_before = call.at.function == function;
            let decodes = || {
                let reader = call.receiver.and_then(|at| self.calls.get(at));
                let given = reader.and_then(|r| r.positional(0)).and_then(Expr::path);
                call.name() == "Decode" && given.is_some_and(is_body)
            };
            // `json.Unmarshal(body, &order)`, `io.Copy(&buffer, r.Body)`. No further back than one step: two calls that fill
            // each other's arguments would lead round and round.
            let reads = |read: &str| {
                self.assigns_to(read).any(|(_, a)| {
                    let Expr::Call(at, _) = &a.value else { return false };
                    let of = self.calls.get(*at).and_then(|of| of.positional(0));
                    a.at.function == function && of.and_then(Expr::path).is_some_and(is_body)
                })
            };
            let parses = || {
                call.name() == "Unmarshal"
                    && call.positional(1).and_then(Expr::path) == Some(root)
                    && call.positional(0).and_then(Expr::path).is_some_and(reads)
            };
            let copies = || {
                matches!(call.callee.as_str(), "io.Copy" | "io.CopyN")
                    && call.positional(0).and_then(Expr::path) == Some(root)
                    && call.positional(1).and_then(Expr::path).is_some_and(is_body)
            };
            is_before && (BINDERS.contains(&call.name()) || decodes() || parses() || copies())
        };
        let params = || {
            let around = self.functions_around(function).filter_map(|at| self.functions.get(at));
            around.flat_map(|function| &function.params)
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
        // What a resource of JAX-RS is given without an annotation is the body.
        let is_resource = || {
            let own = function.and_then(|at| self.functions.get(at));
            own.is_some_and(|function| {
                let posts = |d: &Expr| matches!(d.path(), Some("POST" | "PUT" | "PATCH"));
                let is_text = |t: &str| {
                    matches!(t, "String" | "byte[]" | "InputStream" | "JsonObject" | "JsonNode")
                };
                function.decorators.iter().any(posts)
                    && function
                        .params
                        .iter()
                        .any(|(name, of)| name == root && of.as_deref().is_some_and(is_text))
            })
        };
        let told = params()
            .filter(|(name, _)| name == root)
            .find_map(|(name, declared)| self.extracted(name, declared.as_deref()?))
            .or_else(|| self.listened(root, function));
        // `buffer.ReadFrom(r.Body)`.
        let reads = |call: &Call| {
            call.name() == "ReadFrom"
                && call.at.function == function
                && call.positional(0).and_then(Expr::path).is_some_and(is_body)
        };
        let from = match told {
            Some(told) => told,
            None if is_resource()
                || self.calls_with(root, before).any(fills)
                || self.calls_on(root, before).any(reads) =>
            {
                "request.body".to_owned()
            }
            None => return None,
        };
        Some(if rest.is_empty() { from } else { format!("{from}.{rest}") })
    }

    /// What of a request a parameter is, by its type or by what is written before it: `@RequestBody Order order`,
    /// `headers: HeaderMap`, `Json(order): Json<Order>`.
    pub(super) fn extracted(&self, name: &str, declared: &str) -> Option<String> {
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
                    // `@Headers() headers` of Nest, without a type.
                    let is_bare = rest.trim().is_empty();
                    let is_whole = is_bare || is_whole.iter().any(|kind| of.contains(kind));
                    Some(match key == name && is_whole {
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
            "CookieJar" | "PrivateCookieJar" | "SignedCookieJar" => {
                Some("request.cookies".to_owned())
            }
            "Headers" if !is_answer && !of_queue() => Some("request.headers".to_owned()),
            // Extractors of axum and actix.
            "Json" | "Form" | "JsonBody" if bare.contains('<') && bare.ends_with('>') => {
                Some("request.body".to_owned())
            }
            _ => None,
        }
    }

    /// Whether a variable holds the cookies of a request.
    pub(super) fn is_cookies(&self, path: &str, before: Span, function: Option<usize>) -> bool {
        !path.is_empty()
            && !path.contains('.')
            && self.declared(path, before, function).is_some_and(|of| of.ends_with("CookieJar"))
    }

    /// `answer.getBody()` → `response.getBody()`: what a variable is called says little, its type and its maker say more.
    pub(super) fn aliased(
        &self,
        path: &str,
        before: Span,
        function: Option<usize>,
    ) -> Option<String> {
        let (root, rest) = path.split_once('.')?;
        if root.contains('(') || matches!(root, "self" | "this" | "request" | "response") {
            return None;
        }
        const READ: [&str; 17] = [
            "body",
            "Body",
            "text",
            "json",
            "data",
            "content",
            "bytes",
            "string",
            "read",
            "getBody",
            "headers",
            "getCookies",
            "getHeaders",
            "Header",
            "getContent",
            "blob",
            "getEntity",
        ];
        let first = rest.split(['.', '(']).next().unwrap_or(rest);
        if !READ.contains(&first) {
            return None;
        }
        let of = match self.declared(root, before, function) {
            Some(declared) => of_type(&declared)?,
            None => {
                let visible = |of: Option<usize>| of == function || self.is_around(of, function);
                let (_, last) =
                    self.assigns_before(root, before).find(|(_, a)| visible(a.at.function))?;
                let Expr::Call(at, _) = &last.value else { return None };
                is_client_call(&self.calls.get(*at)?.callee).then_some("response")?
            }
        };
        Some(format!("{of}.{rest}"))
    }

    /// What was put into a variable, or taken out of it again, before its use in the same function:
    /// `headers.set("Authorization", token)`, `payload["password"] = "***"`, `delete headers.cookie`.
    pub(super) fn filled(
        &self,
        root: &str,
        before: Span,
        function: Option<usize>,
    ) -> Option<Filled> {
        let mut found: Option<(u32, Filled)> = None;
        let mut take = |at: u32, what: Filled| {
            if found.as_ref().is_none_or(|(last, _)| *last <= at) {
                found = Some((at, what));
            }
        };
        for call in self.calls_on(root, before).filter(|call| call.at.function == function) {
            let key = || match call.args.first().map(|arg| &arg.value) {
                Some(Expr::Str(key, _)) => Some(key.as_str()),
                Some(Expr::Path(path, _)) => path.rsplit('.').next(),
                _ => None,
            };
            match call.name() {
                "setBearerAuth" | "setBasicAuth" | "bearer_auth" | "basic_auth" => {
                    take(call.span.start, Filled::With("request.headers".to_owned()));
                }
                "set" | "Set" | "add" | "Add" | "insert" | "append" | "put" | "header"
                | "setHeader"
                    if key().is_some_and(is_key_header)
                        && call.args.get(1).is_some_and(|arg| match arg.value.text() {
                            Some(text) => text.starts_with("Bearer "),
                            None => true,
                        }) =>
                {
                    take(call.span.start, Filled::With("request.headers".to_owned()));
                }
                // What a literal or a call gives is not followed: it may be masked.
                "set" | "Set" | "add" | "Add" | "append" | "put" | "putIfAbsent"
                | "setProperty" | "addProperty"
                    if key().is_some_and(opens)
                        && call.args.get(1).is_some_and(|arg| {
                            matches!(
                                arg.value,
                                Expr::Path(..) | Expr::Join(..) | Expr::Interpolated(..)
                            )
                        }) =>
                {
                    let key = key().unwrap_or_default();
                    take(call.span.start, Filled::With(format!("{root}.{key}")));
                }
                "Del" | "del" | "delete" | "Delete" | "remove" | "Remove" | "pop"
                    if key().is_some_and(opens) =>
                {
                    take(call.span.start, Filled::Cleaned);
                }
                _ => {}
            }
        }
        let within = self
            .assigns_within(root, before)
            .filter(|a| a.at.function == function || self.is_around(function, a.at.function));
        for assign in within {
            let key = assign.target.rsplit('.').next().unwrap_or_default();
            // `headers[name] = "***"` takes out what it is told to.
            let is_any = key == "[]" && matches!(assign.value, Expr::Str(..));
            if !opens(key) && !is_any {
                continue;
            }
            let is_plain = self.is_made_up(&assign.value, 0);
            take(
                assign.span.start,
                match is_plain {
                    true => Filled::Cleaned,
                    false => Filled::With(key.to_owned()),
                },
            );
        }
        found.map(|(_, what)| what)
    }

    /// Whether a value is written down here, or says that it stands for one that was taken out: `"***"`,
    /// `Some("[redacted]".to_string())`, `MASKED`.
    fn is_made_up(&self, value: &Expr, depth: usize) -> bool {
        match value {
            Expr::Null(_) | Expr::Str(..) | Expr::Bool(..) => true,
            Expr::Path(path, _) => {
                let last = path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
                last == "none"
                    || ["redact", "mask", "hidden"].iter().any(|word| last.contains(word))
            }
            Expr::Call(at, _) if depth < 4 => self.calls.get(*at).is_some_and(|call| {
                let receiver = call.receiver.and_then(|at| self.calls.get(at));
                matches!(call.object(), "" | "\"\"")
                    && receiver.is_none()
                    && call.args.iter().all(|arg| self.is_made_up(&arg.value, depth + 1))
            }),
            _ => false,
        }
    }
}

/// What a declared type is: a request, or an answer.
fn of_type(declared: &str) -> Option<&'static str> {
    let bare = declared.trim_start_matches(['&', '*', ' ']).trim_start_matches("mut ");
    let generic = bare.split('<').next().unwrap_or(bare);
    match generic.rsplit([':', '.']).next().unwrap_or(generic) {
        "ResponseEntity"
        | "HttpResponse"
        | "ClientResponse"
        | "AxiosResponse"
        | "Response"
        | "CloseableHttpResponse"
        | "ClientHttpResponse" => Some("response"),
        "HttpServletRequest"
        | "ServerHttpRequest"
        | "HttpRequest"
        | "Request"
        | "ServerRequest"
        | "ContainerRequestContext"
        | "NextRequest"
        | "FastifyRequest" => Some("request"),
        _ => None,
    }
}

/// Whether a call asks another service: what it gives is an answer.
pub(crate) fn is_client_call(callee: &str) -> bool {
    let (object, name) = callee.rsplit_once('.').unwrap_or(("", callee));
    let last = object.rsplit('.').next().unwrap_or(object).trim_end_matches("()");
    let lower = last.to_ascii_lowercase();
    let is_client = || {
        ["client", "http", "requests", "httpx", "axios", "session", "got", "reqwest", "rest"]
            .iter()
            .any(|word| lower.contains(word))
            || matches!(
                lower.as_str(),
                "ky" | "agent" | "superagent" | "needle" | "undici" | "resttemplate"
            )
    };
    match name {
        "fetch" | "$fetch" | "urlopen" | "postForEntity" | "getForEntity" | "exchange"
        | "axios" | "got" => true,
        "get" | "post" | "put" | "patch" | "delete" | "request" | "Get" | "Post" | "Do" => {
            is_client()
        }
        // `client.post(url).json(&x).send()`.
        "send" => {
            is_client()
                || ["get()", "post()", "put()", "patch()", "delete()", "request()"]
                    .iter()
                    .any(|link| object.contains(link))
        }
        _ => false,
    }
}
