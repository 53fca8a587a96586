//! Where a variable's value comes from, as a path: through assignments, lookups by a literal key, and calls that hand on
//! what they are given.

use super::STEPS;
use crate::Span;
use crate::lang::ir::{Call, Expr, Module};
use crate::lang::lower::constant;

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
    "get_secret_str",
    "get_secret_bool",
    "pop",
    "getFirst",
    "getOrDefault",
    "get_one",
    "var",
    "Cookie",
    "cookie",
    "get_cookie",
    "getCookie",
    "GetCookie",
    "PostForm",
    "DefaultPostForm",
    "Query",
    "DefaultQuery",
    "QueryParam",
    "getParameter",
    "getFirstHeader",
    "getHeaderString",
    "Cookies",
];

impl Module {
    /// What a parameter is given, where one call in this file, and only one, calls its function: the argument, the function
    /// that the call stands in, and where.
    fn given(&self, param: &str, function: Option<usize>) -> Option<(String, Option<usize>, Span)> {
        let called = self.functions.get(function?)?;
        let at = called.params.iter().position(|(name, _)| name == param)?;
        let is_plain = |name: &str| name.len() > 2 && !name.starts_with('<');
        if !is_plain(&called.name) || !called.decorators.is_empty() {
            return None;
        }
        let same = self.functions_of(&called.name).take(2).count();
        let own = |call: &&Call| matches!(call.object(), "" | "self" | "this");
        let mut calls = self.calls_of(&called.name).filter(own);
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
            let place = Span { start: before, end: before };
            let assigned = self.assigns_before(root, place).find(|(_, a)| visible(a.at.function));
            let Some((_, assigned)) = assigned else {
                if !origins.is_empty()
                    && let Some(bound) = self.bound(&path, place, function)
                {
                    origins.push(bound);
                    break;
                }
                let each = || self.each_of(root, function);
                let Some((from, outer, at)) = self.given(root, function).or_else(each) else {
                    break;
                };
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

/// `headers.get("authorization")` → `headers.authorization`, `r.Cookie("sid")` → `r.cookies.sid`.
pub(crate) fn looked_up(call: &Call) -> Option<String> {
    if !LOOKUPS.contains(&call.name()) {
        return None;
    }
    let key = key_of(call)?;
    let object = call.object();
    let of_cookies = call.name().ends_with("ookie") || call.name() == "Cookies";
    Some(match (object.is_empty(), of_cookies) {
        (_, true) => format!("{object}.cookies.{key}"),
        (true, false) => key.to_owned(),
        (false, false) => format!("{object}.{key}"),
    })
}

/// The key that a call looks up: a literal, or a constant by its name (`HttpHeaders.AUTHORIZATION`).
pub(super) fn key_of(call: &Call) -> Option<&str> {
    match &call.args.first()?.value {
        Expr::Str(key, _) => Some(key),
        // `echo.HeaderAuthorization`, `HttpHeaders.AUTHORIZATION`.
        Expr::Path(path, _) => {
            let last = path.rsplit('.').next().unwrap_or(path);
            let named = last.strip_prefix("Header").filter(|name| {
                name.len() > 3 && name.starts_with(|c: char| c.is_ascii_uppercase())
            });
            named.or_else(|| constant(path)).or_else(|| header_of(path, call.name()))
        }
        _ => None,
    }
}

/// The variable that names a header, but one that goes through all of them: `request.getHeader(tokenHeader)`.
fn header_of<'p>(path: &'p str, lookup: &str) -> Option<&'p str> {
    const ANY: [&str; 10] =
        ["name", "headerName", "header", "key", "headerKey", "n", "h", "k", "it", "element"];
    let last = path.rsplit('.').next().unwrap_or(path);
    let of_header = matches!(lookup, "getHeader" | "GetHeader" | "get_header");
    (of_header && !ANY.contains(&last)).then_some(last)
}
