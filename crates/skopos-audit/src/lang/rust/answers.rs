//! Answers of Rust's handlers that say 500 for an error: statuses of `http`, which are values and no calls, and tonic's.
//!
//! A status counts where it is what an error branch or `map_err` comes to. One that is compared, matched or handed to a
//! function of the house is left alone, and so is an error that anything of the branch is given.

use crate::FactKind;
use crate::fact::ErrorAnswer;
use crate::lang::Node;
use crate::lang::classify::{Classify, records};
use crate::lang::ir::{Call, Expr};
use crate::lang::shared::server_status;

/// Whether a name is a status that what stands around it answers with.
pub(super) fn is_status(node: Node<'_>, name: &str, callee: impl Fn(Node<'_>) -> String) -> bool {
    const STATUSES: [&str; 3] = ["INTERNAL_SERVER_ERROR", "BAD_GATEWAY", "GATEWAY_TIMEOUT"];
    let is_one = name.contains("StatusCode::") && STATUSES.iter().any(|end| name.ends_with(end));
    let Some(around) = node.parent().filter(|_| is_one) else { return false };
    match around.kind() {
        "arguments" => around.parent().is_some_and(|call| {
            let callee = callee(call);
            let last = callee.rsplit(['.', ':']).next().unwrap_or(&callee);
            matches!(last, "Err" | "Ok" | "status" | "build")
        }),
        "field_expression" => around.child_by_field_name("field").is_some_and(|field| {
            around.parent().is_some_and(|call| callee(call).ends_with(".into_response"))
                && field.is_named()
        }),
        "tuple_expression" | "match_arm" | "block" | "return_expression" | "closure_expression" => {
            true
        }
        _ => false,
    }
}

/// Tells of a call that answers for an error.
pub(super) fn tell(c: &mut Classify<'_>, call: &Call) {
    let is_grpc = matches!(call.callee.as_str(), "Status.internal" | "tonic.Status.internal");
    let status = match call.args.is_empty() && call.callee.contains("StatusCode.") {
        true => server_status(&Expr::Path(call.callee.clone(), call.span)),
        false => is_grpc.then_some(500),
    };
    let Some(status) = status else { return };
    let module = c.module;
    let closure = call.at.function.and_then(|index| module.functions.get(index));
    let (span, error) = match call.at.catch.and_then(|at| module.catches.get(at)) {
        Some(catch) => (catch.span, catch.error.as_deref().unwrap_or_default()),
        None => {
            // The error's name, and all that is chained before: `inspect_err(…)` may tell of it.
            let maps = |other: &&Call| other.name() == "map_err" && other.span.contains(call.span);
            let maps = module.calls.iter().filter(maps);
            let Some(map) = maps.min_by_key(|map| map.span.end - map.span.start) else { return };
            let Some(closure) = closure.filter(|closure| map.span.contains(closure.span)) else {
                return;
            };
            (map.span, closure.params.first().map_or("_", |(name, _)| name.as_str()))
        }
    };
    let is_dropped = error.is_empty() || error.starts_with('_');
    // What tonic hands on says what failed, where it is given the error.
    if is_grpc && !is_dropped {
        return;
    }
    let takes = |other: &Call| {
        let is_given = other.args.iter().any(|arg| arg.value.path() == Some(error));
        let wraps = matches!(other.name(), "Err" | "Some" | "Json" | "to_string" | "format!");
        !is_dropped && is_given && !wraps
    };
    let tells = |other: &Call| {
        let name = other.name();
        records(other)
            || matches!(name, "info!" | "debug!" | "event!" | "log!")
            || matches!(name, "eprintln!" | "println!" | "dbg!" | "inspect_err" | "tap_err")
            || takes(other)
    };
    let mut inside = module.calls.iter().filter(|other| span.contains(other.span));
    let recorded = inside.any(tells) || is_instrumented(c, call);
    c.push(call.span, call.at, FactKind::ErrorAnswer(ErrorAnswer { status, recorded }));
}

/// Whether the function around is under `#[instrument(err)]`, which logs what it fails with.
fn is_instrumented(c: &Classify<'_>, call: &Call) -> bool {
    let mut at = call.at.function;
    while let Some(function) = at.and_then(|index| c.module.functions.get(index)) {
        let logs = function.decorators.iter().any(|decorator| {
            let Expr::Call(at, _) = decorator else { return false };
            let text = c.module.calls[*at].positional(0).and_then(Expr::text).unwrap_or_default();
            c.module.calls[*at].callee.ends_with("instrument")
                && text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "err")
        });
        if logs {
            return true;
        }
        at = function.parent;
    }
    false
}
