//! Spring Security: what `authorizeHttpRequests` asks of requests for the metrics.

use super::{Guard, Guards};
use crate::lang::ir::{Call, Expr};
use crate::{FactKind, Span};

pub(super) const MARKERS: [&str; 2] = ["anyRequest()", "EndpointRequest"];

/// Calls that choose requests.
const MATCHERS: [&str; 5] =
    ["requestMatchers", "antMatchers", "mvcMatchers", "pathMatchers", "regexMatchers"];

/// Calls that ask of the chosen ones who they are.
const DEMANDS: [&str; 8] = [
    "authenticated",
    "fullyAuthenticated",
    "hasRole",
    "hasAuthority",
    "hasAnyRole",
    "hasAnyAuthority",
    "hasScope",
    "denyAll",
];

/// Calls that say which requests a chain of filters is for at all.
const CHAINS: [&str; 3] = ["securityMatcher", "securityMatchers", "antMatcher"];

pub(super) fn find(guards: &mut Guards<'_>) {
    let module = guards.c.module;
    // What the rules choose, whether they ask for anything, and which paths these are.
    let mut chosen: Vec<(&Call, bool, Vec<String>)> = Vec::new();
    for call in &module.calls {
        let Some(of) = call.receiver.and_then(|at| module.calls.get(at)) else { continue };
        if MATCHERS.contains(&of.name()) {
            chosen.push((call, DEMANDS.contains(&call.name()), paths(guards, of)));
        } else if of.name() == "ignoring" && MATCHERS.contains(&call.name()) {
            chosen.push((call, false, paths(guards, call)));
        }
    }
    // The first that holds decides.
    let of_metrics = chosen.iter().find(|(_, _, paths)| paths.iter().any(|p| is_metrics(p)));
    if let Some((call, is_asked, _)) = of_metrics {
        if *is_asked {
            let by = call.callee.rsplit('.').next().unwrap_or_default().to_owned();
            let span = Span { start: call.name_span.start, end: call.span.end };
            guards.c.push(span, call.at, FactKind::MetricsGuarded(by));
        }
        return;
    }
    for call in &module.calls {
        let of = call.receiver.and_then(|at| module.calls.get(at));
        if of.is_none_or(|of| of.name() != "anyRequest") {
            continue;
        }
        let limits: Vec<String> =
            outermost(guards, call).flat_map(|other| paths(guards, other)).collect();
        let is_limited = outermost(guards, call).next().is_some();
        let has_metrics = limits.iter().any(|path| is_metrics(path));
        if !DEMANDS.contains(&call.name()) {
            // A chain of its own lets everybody have what it is for.
            if is_limited && has_metrics {
                guards.c.facts.clear();
                return;
            }
        } else if !is_limited || has_metrics {
            let free = chosen.iter().filter(|(_, is_asked, _)| !is_asked);
            let except = free.flat_map(|(.., paths)| paths.clone()).collect();
            let by = format!("anyRequest().{}()", call.name());
            guards.push(call, Guard { by, except });
        }
    }
}

/// The calls, in the same method, that limit a chain of filters to some requests.
fn outermost<'m>(guards: &Guards<'m>, call: &Call) -> impl Iterator<Item = &'m Call> + use<'m> {
    let module = guards.c.module;
    let methods = module.functions.iter().filter(|f| f.parent.is_none());
    let span = methods.map(|f| f.span).find(|span| span.contains(call.span));
    let inside =
        module.calls.iter().filter(move |other| span.is_some_and(|s| s.contains(other.span)));
    inside
        .filter(|other| CHAINS.contains(&other.name()) && other.object() != "AntPathRequestMatcher")
}

/// The paths that a matcher is given: literal, in constants, in matchers of their own.
fn paths(guards: &Guards<'_>, call: &Call) -> Vec<String> {
    let mut found = Vec::new();
    for arg in &call.args {
        given(guards, &arg.value, 0, &mut found);
    }
    found
}

fn given(guards: &Guards<'_>, expr: &Expr, depth: usize, found: &mut Vec<String>) {
    let module = guards.c.module;
    match expr {
        Expr::Str(text, _) => found.push(text.clone()),
        Expr::List(items, _) | Expr::Other(items, _) if depth < 4 => {
            items.iter().for_each(|item| given(guards, item, depth + 1, found));
        }
        Expr::Path(path, _) if depth < 4 => {
            let last = path.rsplit('.').next().unwrap_or(path);
            let constant =
                module.assigns.iter().find(|a| a.target.rsplit('.').next() == Some(last));
            if let Some(assign) = constant {
                given(guards, &assign.value, depth + 1, found);
            }
        }
        Expr::Call(at, _) if depth < 4 => {
            let Some(call) = module.calls.get(*at) else { return };
            match (call.object().rsplit('.').next(), call.name()) {
                (Some("EndpointRequest"), "toAnyEndpoint") => found.push("/actuator/**".to_owned()),
                (Some("EndpointRequest"), "to") => {
                    found.extend(call.args.iter().filter_map(|arg| {
                        let name = arg.value.text().or(arg.value.path())?;
                        Some(format!("/actuator/{}", name.to_lowercase()))
                    }));
                }
                _ => call.args.iter().for_each(|arg| given(guards, &arg.value, depth + 1, found)),
            }
        }
        _ => {}
    }
}

/// Whether a pattern takes what Prometheus asks for.
fn is_metrics(path: &str) -> bool {
    path.contains("metrics")
        || path.contains("prometheus")
        || (path.starts_with("/actuator") && path.contains('*'))
        || matches!(path, "/**" | "/*" | "**")
}
