//! Flask's and Quart's `before_request`, middleware of FastAPI, Starlette, Sanic and aiohttp, dependencies of all of FastAPI.

use super::{Guard, Guards};
use crate::lang::ir::{Call, Expr};

pub(super) const MARKERS: [&str; 6] = [
    "before_request",
    "before_app_request",
    "iddleware(",
    "middlewares=",
    "on_request",
    "dependencies=",
];

pub(super) fn find(guards: &mut Guards<'_>) {
    let module = guards.c.module;
    for function in &module.functions {
        for decorator in &function.decorators {
            let (path, call) = match decorator {
                Expr::Path(path, _) => (path.as_str(), None),
                Expr::Call(at, _) => {
                    let Some(call) = module.calls.get(*at) else { continue };
                    (call.callee.as_str(), Some(call))
                }
                _ => continue,
            };
            let (object, name) = path.rsplit_once('.').unwrap_or(("", path));
            let kind = call.and_then(|call| call.positional(0)).and_then(Expr::text);
            let is_hook = match name {
                // A blueprint's own hook stands before its own routes only.
                "before_request" | "on_request" => !is_part(guards, object),
                "before_app_request" => true,
                "middleware" => matches!(kind, Some("http" | "request")),
                _ => false,
            };
            if !is_hook {
                continue;
            }
            if let Some(except) = guards.refusal(&[function.span]) {
                let by = guards.shown(&function.name);
                let kind = crate::FactKind::AuthEverywhere { by, except };
                guards.c.push_at_top(decorator.span(), kind);
            }
        }
    }
    for call in &module.calls {
        match call.name() {
            "before_request" if !is_part(guards, call.object()) => first(guards, call, None),
            "add_middleware" => {
                let dispatch = call.named("dispatch");
                first(guards, call, dispatch);
            }
            "Application" => {
                let Some(Expr::List(items, _)) = call.named("middlewares") else { continue };
                if let Some(guard) = items.iter().find_map(|item| guards.guard(item)) {
                    guards.push(call, guard);
                }
            }
            "FastAPI" => dependencies(guards, call),
            _ => {}
        }
    }
}

fn first(guards: &mut Guards<'_>, call: &Call, instead: Option<&Expr>) {
    if let Some(guard) = instead.or(call.positional(0)).and_then(|expr| guards.guard(expr)) {
        guards.push(call, guard);
    }
}

/// Whether something is a part of an application: a blueprint, a router.
fn is_part(guards: &Guards<'_>, object: &str) -> bool {
    let made = guards.c.made_by.get(object).map(String::as_str).unwrap_or_default();
    let is_named = object.contains("blueprint") || object == "bp" || object.ends_with("_bp");
    made.ends_with("Blueprint") || made.ends_with("APIRouter") || is_named
}

/// `FastAPI(dependencies=[Depends(verify_token)])`: what is mounted asks for none of them.
fn dependencies(guards: &mut Guards<'_>, call: &Call) {
    let module = guards.c.module;
    let Some(dependencies) = call.named("dependencies") else { return };
    let span = dependencies.span();
    let is_mounted =
        module.calls.iter().any(|other| other.name() == "mount" && super::routes_metrics(other));
    let inside = module.calls.iter().filter(|other| span.contains(other.span));
    let guard = inside
        .filter(|other| matches!(other.name(), "Depends" | "Security"))
        .find_map(|other| guards.guard(other.positional(0)?))
        .filter(|_| !is_mounted);
    if let Some(Guard { except, .. }) = guard {
        guards.push(call, Guard { by: "FastAPI(dependencies=…)".to_owned(), except });
    }
}
