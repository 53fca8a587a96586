//! `use` of Express, Koa and Hono, hooks of Fastify, global guards of Nest.

use super::Guards;
use crate::lang::ir::{Call, Expr};

pub(super) const MARKERS: [&str; 3] = ["addHook(", ".use(", "useGlobalGuards("];

pub(super) fn find(guards: &mut Guards<'_>) {
    let module = guards.c.module;
    for call in &module.calls {
        let args: &[_] = match call.name() {
            "use" if is_whole(guards, call) && !follows_metrics(guards, call) => &call.args,
            "useGlobalGuards" => &call.args,
            // What a plugin hooks holds within the plugin only.
            "addHook" if is_whole(guards, call) && !is_parameter(guards, call) => {
                let hook = call.positional(0).and_then(Expr::text).unwrap_or_default();
                let before = ["onRequest", "preParsing", "preValidation", "preHandler"];
                if !before.contains(&hook) {
                    continue;
                }
                call.args.get(1..).unwrap_or_default()
            }
            _ => continue,
        };
        // `app.use("/api", requireAuth)` holds for what is below.
        let below = call.positional(0).and_then(Expr::text).filter(|_| call.name() == "use");
        if below.is_some_and(|path| !matches!(path, "/" | "*" | "/*")) {
            continue;
        }
        if let Some(guard) = args.iter().find_map(|arg| guards.guard(&arg.value)) {
            guards.push(call, guard);
        }
    }
}

/// Whether a call is made on the application, not on a router that is mounted somewhere.
fn is_whole(guards: &Guards<'_>, call: &Call) -> bool {
    let made = guards.c.made_on(call).unwrap_or_default();
    let object = call.object().to_lowercase();
    !(made.ends_with("Router") || made.contains("koa-router") || object.ends_with("router"))
}

/// Whether it is made on what the function around it was given.
fn is_parameter(guards: &Guards<'_>, call: &Call) -> bool {
    let functions = &guards.c.module.functions;
    let mut at = call.at.function;
    while let Some(function) = at.and_then(|index| functions.get(index)) {
        if function.params.iter().any(|(name, _)| name == call.object()) {
            return true;
        }
        at = function.parent;
    }
    false
}

/// In Express what is used holds for what follows, not for what stands before it.
fn follows_metrics(guards: &Guards<'_>, call: &Call) -> bool {
    const METHODS: [&str; 4] = ["get", "all", "use", "route"];
    guards.c.module.calls.iter().any(|other| {
        METHODS.contains(&other.name())
            && other.object() == call.object()
            && other.at.function == call.at.function
            && other.span.end <= call.span.start
            && (super::routes_metrics(other) || uses_metrics(guards, other))
    })
}

/// `app.use(promBundle(…))`, `app.use(metricsMiddleware)`: middleware that answers for the metrics itself.
fn uses_metrics(guards: &Guards<'_>, call: &Call) -> bool {
    let names = |path: &str| {
        let lower = path.to_lowercase();
        lower.contains("prom") || lower.contains("metrics")
    };
    call.name() == "use"
        && call.args.iter().any(|arg| match &arg.value {
            Expr::Path(path, _) => names(path),
            Expr::Call(at, _) => guards.c.module.calls.get(*at).is_some_and(|c| names(&c.callee)),
            _ => false,
        })
}
