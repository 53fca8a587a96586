//! Layers of axum and tower, `wrap` of actix.

use super::{Guard, Guards};
use crate::lang::ir::{Call, Expr};
use crate::lang::shared::chain;

pub(super) const MARKERS: [&str; 3] = [".layer(", ".route_layer(", ".wrap("];

pub(super) fn find(guards: &mut Guards<'_>) {
    let module = guards.c.module;
    for call in &module.calls {
        let is_before = match call.name() {
            // A layer holds for the routes added before it: those behind it, and those merged later, are free.
            "layer" | "route_layer" => before(guards, call).any(routes_metrics),
            // actix wraps the whole application, the last one outermost.
            "wrap" => wraps_all(guards, call),
            _ => continue,
        };
        if !is_before {
            continue;
        }
        if let Some(guard) = within(guards, call) {
            guards.push(call, guard);
        }
    }
}

fn routes_metrics(call: &Call) -> bool {
    matches!(call.name(), "route" | "nest" | "nest_service" | "route_service")
        && super::routes_metrics(call)
}

/// The calls that a call follows in its chain, and those that made the variable it begins with.
fn before<'m>(guards: &Guards<'m>, call: &'m Call) -> impl Iterator<Item = &'m Call> {
    let module = guards.c.module;
    let mut links: Vec<&Call> = chain(&guards.c, call);
    for _ in 0..4 {
        let Some(root) = links.last() else { break };
        let (object, start) = (root.object(), root.span.start);
        let made = module.assigns.iter().filter(|assign| {
            assign.target == object
                && assign.span.end <= start
                && assign.at.function == call.at.function
        });
        let Some(Expr::Call(at, _)) = made.max_by_key(|a| a.span.start).map(|a| &a.value) else {
            break;
        };
        let Some(made) = module.calls.get(*at) else { break };
        links.extend(chain(&guards.c, made));
    }
    links.into_iter().skip(1)
}

fn wraps_all(guards: &Guards<'_>, call: &Call) -> bool {
    let links = chain(&guards.c, call);
    let is_app = links.last().is_some_and(|root| root.callee.ends_with("App.new"));
    let is_metrics = |other: &&Call| {
        let args = other.args.iter();
        let mut names = args.filter_map(|arg| match &arg.value {
            Expr::Path(path, _) => Some(path.to_lowercase()),
            Expr::Call(at, _) => Some(guards.c.module.calls.get(*at)?.callee.to_lowercase()),
            _ => None,
        });
        names.any(|name| name.contains("prom") || name.contains("metrics"))
    };
    // What is wrapped around it answers for the metrics before anybody is asked.
    let later = guards.c.module.calls.iter().filter(|other| {
        other.name() == "wrap"
            && other.span.start == call.span.start
            && other.span.end > call.span.end
    });
    is_app && !later.into_iter().any(|other| is_metrics(&other))
}

/// The guard among all that a layer is made of: `from_fn(require_auth)`, `ServiceBuilder::new().layer(…)`.
fn within(guards: &Guards<'_>, call: &Call) -> Option<Guard> {
    let module = guards.c.module;
    call.args.iter().find_map(|arg| {
        let span = arg.value.span();
        let inside = module.calls.iter().filter(|other| span.contains(other.span));
        let given = inside.clone().flat_map(|other| other.args.iter().map(|arg| &arg.value));
        let of_name = |expr: &Expr| match expr {
            Expr::Path(path, _) => guards.named(path),
            _ => None,
        };
        let made = || inside.into_iter().find_map(|other| guards.named(&other.callee));
        of_name(&arg.value).or_else(|| given.into_iter().find_map(of_name)).or_else(made)
    })
}
