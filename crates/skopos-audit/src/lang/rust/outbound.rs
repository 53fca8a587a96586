//! Calls of reqwest: by a client of this file, of the state that a handler is given, or by none.

use super::classify::METHODS;
use super::lower::format_of;
use crate::FactKind;
use crate::fact::Outbound;
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr};
use crate::lang::shared::{chain, mentions};

/// What a header or its value says where a call hands its context on.
const CONTEXT: [&str; 7] =
    ["traceparent", "request-id", "request_id", "correlation", "propagation", "inject", "headers"];

pub(super) fn tell(c: &mut Classify<'_>, call: &Call, full: &str) {
    if call.name() != "send" && full != "reqwest.get" {
        return;
    }
    let links = chain(c, call);
    let is_method = |link: &&Call| METHODS.contains(&link.name()) || link.name() == "request";
    let asked = links.iter().copied().filter(is_method);
    let url = asked.flat_map(|link| &link.args).find_map(|arg| address(c, &arg.value));
    let imports =
        |name: &str| c.module.imports.iter().any(|import| import.module.starts_with(name));
    if full != "reqwest.get" && !is_reqwest(c, &links, url.is_some() && !imports("awc")) {
        return;
    }
    let headers = links
        .iter()
        .any(|link| matches!(link.name(), "header" | "headers") && mentions(c, link, &CONTEXT));
    let has_context =
        headers || imports("reqwest_middleware") || imports("reqwest_tracing") || imports("skopos");
    let target: Vec<String> = links.iter().map(|link| c.target(link)).collect();
    let (client, target) = ("reqwest".to_owned(), target.join(" "));
    let outbound = Outbound { client, url, target, has_context };
    c.push(call.span, call.at, FactKind::Outbound(outbound));
}

/// Whether a chain begins at reqwest: at a client that this file makes or declares, or, where it asks a whole address,
/// at one of which nothing is known.
fn is_reqwest(c: &Classify<'_>, links: &[&Call], asks_address: bool) -> bool {
    let Some(first) = links.last() else { return false };
    let is_client = |declared: &str| {
        let declared = declared.trim_start_matches('&').replace("::", ".");
        declared.contains("reqwest.")
            || c.resolve(&declared).starts_with("reqwest.")
            || declared == "State<Client>" && c.resolve("Client").starts_with("reqwest.")
    };
    let last = first.object().rsplit('.').next().unwrap_or_default();
    let given = first.at.function.and_then(|index| c.module.functions.get(index));
    let given = given.and_then(|f| f.params.iter().find(|(name, _)| name == first.object()));
    let mut fields = c.module.types.iter().flat_map(|def| &def.fields);
    c.resolve(&first.callee).starts_with("reqwest.")
        || c.made_on(first).is_some_and(|made| made.starts_with("reqwest."))
        || given.and_then(|(_, declared)| declared.as_deref()).is_some_and(is_client)
        || fields.any(|(name, declared)| name == last && is_client(declared))
        || asks_address && METHODS.contains(&first.name()) && !last.is_empty()
}

/// An address as it is written, or as `format!` makes it.
fn address(c: &Classify<'_>, expr: &Expr) -> Option<String> {
    let formatted = |expr: &Expr| {
        let Expr::Call(at, _) = expr else { return None };
        let call = c.module.calls.get(*at).filter(|call| call.name() == "format!")?;
        Some(format_of(&call.args)?.0)
    };
    let by_variable = || {
        let path = expr.path()?;
        let assigns = c.module.assigns.iter();
        let nearest = assigns
            .filter(|a| a.target == path && a.span.end <= expr.span().start)
            .max_by_key(|a| a.span.start)?;
        formatted(&nearest.value)
    };
    let found = c.address(expr).or_else(|| formatted(expr)).or_else(by_variable);
    found.filter(|text| text.contains("://"))
}
