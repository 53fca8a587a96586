//! LIV001–LIV003: does what stands in the code show in the store, and the other way round? Without a server to ask
//! (`--live`) these rules have no say.

use std::collections::BTreeSet;

use super::{deployed, runs};
use crate::fact::Route;
use crate::live::{is_route, path_of, plain};
use crate::{Case, Fact, FactKind, File, Guard, Live, LiveService, Service, Verdicts};

/// The names under which a service may send.
fn names(case: &Case<'_>, service: &Service) -> BTreeSet<String> {
    let folder = service.root.rsplit('/').next().unwrap_or_default();
    let mut names: BTreeSet<String> = [plain(&service.name), plain(folder)].into();
    names.extend(service.aliases.iter().map(|name| plain(name)));
    for (_, fact) in case.facts() {
        if let FactKind::ServiceName(Some(name)) = &fact.kind {
            names.insert(plain(name));
        }
    }
    for (_, key, value) in runs::environment(case) {
        match key.as_str() {
            "OTEL_SERVICE_NAME" => {
                names.insert(plain(&value));
            }
            "OTEL_RESOURCE_ATTRIBUTES" => {
                let name = value.split(',').find_map(|part| part.strip_prefix("service.name="));
                names.extend(name.map(plain));
            }
            _ => {}
        }
    }
    names.extend(deployed::composed(case).into_iter().map(|(_, s)| plain(&s.name)));
    names.remove("");
    names
}

/// What is asked: the service, what it has sent, and by whom that is known.
fn asked<'r>(case: &Case<'r>) -> Option<(&'r Service, &'r Live, Option<LiveService>)> {
    let (service, live) = (case.service?, case.live?);
    Some((service, live, live.of_names(&names(case, service))))
}

/// Routes that serve people: not probes, not metrics.
fn routes<'r>(case: &Case<'r>) -> Vec<(&'r File, &'r Fact, &'r Route)> {
    let own = [
        "health",
        "healthz",
        "ready",
        "readyz",
        "live",
        "livez",
        "startup",
        "startupz",
        "metrics",
        "ping",
        "favicon.ico",
        "openapi.json",
        "docs",
        "status",
    ];
    let mut seen = BTreeSet::new();
    let all = case.facts().filter_map(|(file, fact)| match &fact.kind {
        FactKind::Route(route) if route.path != "/*" && fact.scope.guard != Guard::Development => {
            Some((file, fact, route))
        }
        _ => None,
    });
    all.filter(|(_, _, route)| {
        let is_own = route.path.split('/').any(|part| own.contains(&part));
        !is_own && seen.insert(route.path.as_str())
    })
    .collect()
}

/// LIV001: a handler that has never sent a span.
pub(super) fn spans(case: &Case<'_>, verdicts: &mut Verdicts) {
    let Some((service, live, sent)) = asked(case) else { return verdicts.not_applicable() };
    let Some(sent) = sent else {
        let known: Vec<&str> = live.services.keys().map(String::as_str).take(10).collect();
        let known = if known.is_empty() { "nobody".to_owned() } else { known.join(", ") };
        let judgement = verdicts.absent(format!(
            "{} has never heard of `{}`; it knows {known}",
            live.address, service.name
        ));
        judgement.hint = Some(
            "send its telemetry there; when it sends under another name, say so with `service.name` in the repository"
                .to_owned(),
        );
        return;
    };
    let paths: Vec<&str> = sent.spans.iter().filter_map(|span| path_of(span)).collect();
    for (file, fact, route) in routes(case) {
        let by_name = |span: &String| route.handler.as_ref().is_some_and(|name| name == span);
        if paths.iter().any(|path| is_route(&route.path, path)) || sent.spans.iter().any(by_name) {
            continue;
        }
        if sent.is_folded || (paths.is_empty() && !sent.spans.is_empty()) {
            let settle = format!("spans of `{}` that are named after their routes", service.name);
            verdicts.unknown(format!("whether {} was ever traced", route.path), settle);
            continue;
        }
        verdicts.finding(
            file.place(fact.span),
            format!("{} has never sent a span to {}", route.path, live.address),
        );
    }
}

/// LIV002: a handler whose requests were never counted.
pub(super) fn requests(case: &Case<'_>, verdicts: &mut Verdicts) {
    let Some((service, live, Some(sent))) = asked(case) else { return verdicts.not_applicable() };
    for (file, fact, route) in routes(case) {
        if sent.routes.iter().any(|seen| is_route(&route.path, seen)) {
            continue;
        }
        if sent.counts_without_route {
            let settle = format!("request metrics of `{}` that name the route", service.name);
            verdicts.unknown(format!("whether {} was ever counted", route.path), settle);
            continue;
        }
        verdicts.finding(
            file.place(fact.span),
            format!("no request metric at {} has ever counted {}", live.address, route.path),
        );
    }
}

/// LIV003: somebody sends who is not in this repository.
pub(super) fn strangers(case: &Case<'_>, verdicts: &mut Verdicts) {
    let Some(live) = case.live else { return verdicts.not_applicable() };
    let mut known: BTreeSet<String> = BTreeSet::new();
    for service in &case.repository.services {
        known.extend(names(&Case { service: Some(service), ..*case }, service));
    }
    for name in live.services.keys() {
        // The server watches itself, and what has no name is nobody.
        if name == "skopos" || name.starts_with("unknown_service") || known.contains(&plain(name)) {
            continue;
        }
        verdicts.unknown(
            format!("`{name}` sends to {} and is not in this repository", live.address),
            "the repository that it stands in",
        );
    }
}
