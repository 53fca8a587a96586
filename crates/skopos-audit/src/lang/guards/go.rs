//! `Use` of gin, echo, chi, fiber and gorilla's mux, and handlers that are wrapped before they are served.

use super::{Guard, Guards, routes_metrics};
use crate::Span;
use crate::lang::ir::{Call, Expr};
use crate::lang::shared::dict;

pub(super) const MARKERS: [&str; 5] =
    [".Use(", "ListenAndServe", "Handler:", ".Handler =", "http.Serve("];

/// How far a handler is followed through variables and wrappers.
const DEEPEST: usize = 12;

pub(super) fn find(guards: &mut Guards<'_>) {
    let module = guards.c.module;
    for call in &module.calls {
        let served = match call.name() {
            "Use" => {
                used(guards, call);
                continue;
            }
            "ListenAndServe" | "Serve" if call.object() == "http" => call.positional(1),
            "ListenAndServeTLS" | "ServeTLS" if call.object() == "http" => {
                call.args.last().map(|arg| &arg.value)
            }
            "Server" if call.callee == "http.Server" => call
                .args
                .first()
                .and_then(|arg| dict(&guards.c, &arg.value))
                .and_then(|made| made.key("Handler")),
            _ => continue,
        };
        if let Some(guard) = served.and_then(|handler| wrapped(guards, handler)) {
            guards.push(call, guard);
        }
    }
    for assign in module.assigns.iter().filter(|assign| assign.target.ends_with(".Handler")) {
        if let Some(Guard { by, except }) = wrapped(guards, &assign.value) {
            let kind = crate::FactKind::AuthEverywhere { by, except };
            guards.c.push(assign.span, assign.at, kind);
        }
    }
}

fn used(guards: &mut Guards<'_>, call: &Call) {
    if call.at.function.is_none() || !is_whole(guards, call) {
        return;
    }
    let made = guards.c.made_on(call).unwrap_or_default();
    // gin and fiber apply it to what is added later.
    let is_after = (made.contains("gin") || made.contains("fiber"))
        && guards.c.module.calls.iter().any(|other| {
            other.object() == call.object()
                && other.span.end <= call.span.start
                && routes_metrics(other)
        });
    let guard = call.args.iter().find_map(|arg| guards.guard(&arg.value));
    if let Some(guard) = guard.filter(|_| !is_after) {
        guards.push(call, guard);
    }
}

/// Whether a router is the whole one: not a group, not one below a prefix, not what a closure for a group is given.
fn is_whole(guards: &Guards<'_>, call: &Call) -> bool {
    let module = guards.c.module;
    let object = call.object();
    let is_part = |callee: &str| {
        [".Group", ".Subrouter", ".Route", ".PathPrefix", ".With", ".Mount"]
            .iter()
            .any(|part| callee.contains(part))
    };
    let made = module.assigns.iter().filter(|assign| assign.target == object);
    let is_group = made.filter_map(|assign| match &assign.value {
        Expr::Call(at, _) => module.calls.get(*at),
        _ => None,
    });
    if is_part(&call.callee) || object.to_lowercase().contains("group") {
        return false;
    }
    if is_group.into_iter().any(|made| is_part(&made.callee)) {
        return false;
    }
    let function = call.at.function.and_then(|index| module.functions.get(index));
    let given = function.and_then(|f| f.params.iter().find(|(name, _)| name == object));
    given.is_none_or(|(_, declared)| {
        let declared = declared.as_deref().unwrap_or_default();
        !declared.ends_with("chi.Router") && !declared.contains("Group")
    })
}

/// The guard that a handler is wrapped into, where the metrics are behind it: `auth(mux)`, `logged(auth(mux))`,
/// `handler = auth(handler)`.
fn wrapped(guards: &Guards<'_>, handler: &Expr) -> Option<Guard> {
    let module = guards.c.module;
    let mut at: Expr = handler.clone();
    let mut before = handler.span();
    let mut found: Option<Guard> = None;
    for _ in 0..DEEPEST {
        match &at {
            Expr::Call(index, span) => {
                let call = module.calls.get(*index)?;
                let made_on = call.receiver.and_then(|receiver| module.calls.get(receiver));
                let chained = made_on.into_iter().flat_map(|call| &call.args);
                let guard = || chained.into_iter().find_map(|arg| guards.guard(&arg.value));
                let inner = call.args.iter().rev().map(|arg| &arg.value);
                let inner = inner.filter(|arg| matches!(arg, Expr::Call(..) | Expr::Path(..)));
                let Some(inner) = inner.into_iter().next() else {
                    let body = module.functions.iter().find(|f| f.name == call.callee)?.span;
                    let inside = module.calls.iter().filter(|call| body.contains(call.span));
                    return found.filter(|_| inside.into_iter().any(routes_metrics));
                };
                found = found.or_else(|| guards.guard(&at_name(call, *span))).or_else(guard);
                at = inner.clone();
            }
            Expr::Path(path, _) => {
                let assigns = module.assigns.iter();
                let last = assigns
                    .filter(|a| a.target == *path && a.span.end <= before.start)
                    .max_by_key(|a| a.span.start);
                let wraps = last.filter(|assign| match &assign.value {
                    Expr::Call(index, _) => module.calls.get(*index).is_some_and(|call| {
                        call.args
                            .iter()
                            .any(|arg| matches!(arg.value, Expr::Call(..) | Expr::Path(..)))
                            || module.functions.iter().any(|f| f.name == call.callee)
                    }),
                    Expr::Path(..) => true,
                    _ => false,
                });
                let Some(assign) = wraps else {
                    return found.filter(|_| has_metrics(guards, path));
                };
                before = Span { start: assign.span.start, end: assign.span.start };
                at = assign.value.clone();
            }
            _ => return None,
        }
    }
    None
}

/// A call, by its name alone: what it is given is looked at on its own.
fn at_name(call: &Call, span: Span) -> Expr {
    Expr::Path(call.callee.clone(), span)
}

/// Whether the metrics are added to this router; those of all are added to `http` itself.
fn has_metrics(guards: &Guards<'_>, router: &str) -> bool {
    let router = if router == "http.DefaultServeMux" { "http" } else { router };
    let mut calls = guards.c.module.calls.iter();
    calls.any(|call| routes_metrics(call) && call.object().split('.').next() == Some(router))
}
