//! What the classifications of Go, Rust and Java share: chains of calls, names in arguments, who handles a route.

use super::classify::Classify;
use super::ir::{Arg, Call, Expr};
use crate::fact::{ErrorAnswer, Route};
use crate::{FactKind, Level, Span};

/// The calls that a call is chained on, nearest first, itself included.
pub(super) fn chain<'m>(c: &Classify<'m>, call: &'m Call) -> Vec<&'m Call> {
    let mut found = vec![call];
    let mut at = call.receiver;
    while let Some(next) = at.and_then(|at| c.module.calls.get(at)) {
        if found.len() > 60 {
            break;
        }
        found.push(next);
        at = next.receiver;
    }
    found
}

/// The first call of a chain.
pub(super) fn root<'m>(c: &Classify<'m>, call: &'m Call) -> &'m Call {
    chain(c, call).last().copied().unwrap_or(call)
}

/// Calls that stand within another.
pub(super) fn within<'m>(c: &Classify<'m>, call: &Call) -> impl Iterator<Item = &'m Call> {
    let span = call.span;
    c.module.calls.iter().filter(move |other| span.contains(other.span) && other.span != span)
}

/// Whether a call, or anything in its arguments, names one of these.
pub(super) fn mentions(c: &Classify<'_>, call: &Call, words: &[&str]) -> bool {
    let has = |text: &str| words.iter().any(|word| text.contains(word));
    let in_args = |call: &Call| call.args.iter().any(|arg| mentions_expr(&arg.value, &has, 0));
    has(&call.callee)
        || within(c, call).any(|other| has(&other.callee) || in_args(other))
        || in_args(call)
}

/// Whether an expression names something.
pub(super) fn mentions_expr(expr: &Expr, has: &dyn Fn(&str) -> bool, depth: usize) -> bool {
    if depth > 10 {
        return false;
    }
    let any = |items: &[Expr]| items.iter().any(|item| mentions_expr(item, has, depth + 1));
    match expr {
        Expr::Path(text, _) | Expr::Str(text, _) | Expr::Number(text, _) => has(text),
        Expr::Interpolated(text, parts, _) => has(text) || any(parts),
        Expr::List(items, _)
        | Expr::Other(items, _)
        | Expr::Choice(_, items, _)
        | Expr::Truth(items, _)
        | Expr::Join(items, _) => any(items),
        Expr::Dict(pairs, _) => pairs.iter().any(|(key, value)| {
            key.as_deref().is_some_and(has) || mentions_expr(value, has, depth + 1)
        }),
        Expr::Call(..) | Expr::Function(..) | Expr::Bool(..) | Expr::Null(_) => false,
    }
}

/// The mapping of an argument, looked for in `T{…}` and behind `&`.
pub(super) fn dict<'m>(c: &Classify<'m>, expr: &'m Expr) -> Option<&'m Expr> {
    match expr {
        Expr::Dict(..) => Some(expr),
        Expr::Call(at, _) => {
            let call = c.module.calls.get(*at)?;
            call.args.iter().map(|arg| &arg.value).find(|value| matches!(value, Expr::Dict(..)))
        }
        _ => None,
    }
}

/// The level that a method's name says: `Infof`, `WarnContext`, `Errorw`, `Debugln`.
pub(super) fn level(name: &str) -> Option<Level> {
    let short = ["Context", "Ctx", "f", "w", "ln"].iter().find_map(|end| name.strip_suffix(end));
    Level::from_name(name).or_else(|| Level::from_name(short?))
}

/// Whether a handler's name says that it answers for health.
pub(super) fn names_health(handler: Option<&Expr>) -> bool {
    let Some(Expr::Path(path, _)) = handler else { return false };
    let name = path.rsplit('.').next().unwrap_or(path).to_lowercase();
    ["health", "liveness", "readiness", "livez", "readyz"].iter().any(|word| name.contains(word))
}

/// A route, and its handler as the last argument: a name, a function, or a call that makes one.
pub(super) fn route(
    c: &mut Classify<'_>,
    span: Span,
    method: Option<&str>,
    path: &str,
    handler: Option<&Expr>,
) {
    let mut route = Route {
        method: method.map(str::to_owned),
        path: path.to_owned(),
        handler: None,
        calls: Vec::new(),
    };
    match handler {
        Some(Expr::Path(path, _)) => {
            let name = path.rsplit('.').next().unwrap_or(path).to_owned();
            if let Some(index) = c.function_named(&name) {
                c.handlers.push(index);
            }
            route.handler = Some(name);
        }
        Some(Expr::Function(index, _)) => {
            c.handlers.push(*index);
            route.calls = c.calls_within(*index);
        }
        Some(Expr::Call(at, span)) => {
            let call = &c.module.calls[*at];
            let inner = call.args.last().map(|arg| &arg.value);
            match inner {
                // `http.HandlerFunc(h.live)`, `get(live)`: what is inside handles.
                Some(Expr::Path(path, _)) => {
                    let name = path.rsplit('.').next().unwrap_or(path).to_owned();
                    if let Some(index) = c.function_named(&name) {
                        c.handlers.push(index);
                    }
                    route.handler = Some(name);
                }
                Some(Expr::Function(index, _)) => {
                    c.handlers.push(*index);
                    route.calls = c.calls_within(*index);
                }
                _ => route.calls.push((call.callee.clone(), *span)),
            }
        }
        _ => {}
    }
    c.push_at_top(span, FactKind::Route(route));
}

/// Whether a name says that it asks who somebody is.
pub(super) fn names_auth(name: &str) -> bool {
    let lower = name.to_lowercase();
    let asks = [
        "auth",
        "jwt",
        "login_required",
        "loginrequired",
        "requirelogin",
        "verifytoken",
        "verify_token",
    ];
    let is_other = ["author", "authoriz", "oauth"];
    let rest = is_other.iter().fold(lower.clone(), |text, word| text.replace(word, ""));
    asks.iter().any(|word| rest.contains(word))
        || lower.contains("authoriz")
        || lower.contains("get_current_user")
}

/// What stands between a route of metrics and what answers it, where that asks who somebody is:
/// `app.get("/metrics", requireAuth, answer)`, `Handle("/metrics", requireAuth(answer))`.
pub(super) fn guarded_metrics(c: &mut Classify<'_>, call: &Call) {
    let path = call.args.iter().find_map(|arg| arg.value.route_text());
    let is_metrics = path.is_some_and(|path| path.trim_end_matches('/').ends_with("/metrics"));
    if !is_metrics || call.object().is_empty() {
        return;
    }
    let by = call.args.iter().find_map(|arg| {
        match &arg.value {
            Expr::Path(path, _) => Some(path.clone()),
            Expr::Call(at, _) => c.module.calls.get(*at).map(|inner| inner.callee.clone()),
            _ => None,
        }
        .filter(|name| names_auth(name))
    });
    if let Some(by) = by {
        c.push(call.span, call.at, FactKind::MetricsGuarded(by));
    }
}

/// The handler of a route is known by now: what its functions are told by is in `handlers`.
pub(super) fn error_answer(c: &mut Classify<'_>, call: &Call, status: u16) {
    let recorded =
        match call.at.catch {
            Some(_) => c.is_recorded(call.at.catch),
            // Without an error branch, any record in the same function counts.
            None => c.module.calls.iter().any(|other| {
                other.at.function == call.at.function && super::classify::records(other)
            }),
        };
    c.push(call.span, call.at, FactKind::ErrorAnswer(ErrorAnswer { status, recorded }));
}

/// The status that an expression says, when it is one of the server's.
pub(super) fn server_status(expr: &Expr) -> Option<u16> {
    match expr {
        Expr::Number(text, _) => text.parse().ok().filter(|status| (500..600).contains(status)),
        Expr::Path(path, _) => {
            let last = path.rsplit('.').next().unwrap_or(path);
            match last {
                "StatusInternalServerError" | "INTERNAL_SERVER_ERROR" | "InternalServerError" => {
                    Some(500)
                }
                "StatusBadGateway" | "BAD_GATEWAY" => Some(502),
                "StatusServiceUnavailable" | "SERVICE_UNAVAILABLE" => Some(503),
                "StatusGatewayTimeout" | "GATEWAY_TIMEOUT" => Some(504),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A call with its arguments in another order or with other names, to be read as a log call.
pub(super) fn with_args(call: &Call, args: Vec<Arg>) -> Call {
    Call { args, ..call.clone() }
}

/// Whether a path ends one that shuts telemetry down: by the words of what it is called on.
pub(super) fn is_telemetry(path: &str) -> bool {
    let lower = path.to_lowercase();
    [
        "tracer",
        "tracing",
        "provider",
        "otel",
        "telemetry",
        "exporter",
        "meter",
        "span",
        "opentelemetry",
        "metrics",
    ]
    .iter()
    .any(|word| lower.contains(word))
        || lower.split('.').any(|part| part == "tp" || part == "mp" || part == "lp")
}
