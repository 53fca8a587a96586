//! HLT on code: whether there is a health endpoint, and whether it keeps quiet.

use std::collections::{BTreeMap, BTreeSet};

use super::route::last_part;
use super::{is_live, used};
use crate::fact::{LogStyle, Route, TracingRole};
use crate::{Case, Fact, FactKind, File, Level, Role, Span, Verdicts};

/// Whether a route answers for health.
pub(super) fn is_health(route: &Route) -> bool {
    let path = route.path.to_ascii_lowercase();
    let parts: Vec<&str> =
        path.split(['/', '-', '_', '.']).filter(|part| !part.is_empty()).collect();
    if path.contains("grpc.health.v1") {
        return true;
    }
    let words = [
        "health",
        "healthz",
        "healthcheck",
        "live",
        "livez",
        "liveness",
        "alive",
        "ready",
        "readyz",
        "readiness",
        "startup",
        "startupz",
        "ping",
        "status",
        "heartbeat",
        "up",
        "lbheartbeat",
        "actuator",
        "ht",
        "probe",
    ];
    // `/api/health-check`, `/-/healthy`: a segment that begins so.
    let mut segments = path.split('/').map(|segment| segment.trim_matches(['_', '-', '^', '$']));
    if parts.last().is_some_and(|last| words.contains(last)) && is_of_the_process(&path)
        || segments.any(|segment| {
            segment.starts_with("health") && !segment.contains('{') && !segment.contains(':')
        })
    {
        return true;
    }
    let handler = route.handler.as_deref().unwrap_or_default().to_ascii_lowercase();
    parts.is_empty()
        && ["health", "liveness", "readiness"].iter().any(|word| handler.contains(word))
}

/// Whether a path whose last word is one of health is about the process: `/sign-up` and `/orders/:id/status` are about what
/// it is for.
fn is_of_the_process(path: &str) -> bool {
    const SURE: [&str; 9] = [
        "health",
        "healthz",
        "healthcheck",
        "livez",
        "liveness",
        "readyz",
        "readiness",
        "heartbeat",
        "lbheartbeat",
    ];
    const ABOUT: [&str; 22] = [
        "health", "healthz", "is", "server", "service", "api", "app", "system", "node", "http",
        "self", "k8s", "kube", "lb", "backend", "web", "check", "live", "ready", "status", "probe",
        "internal",
    ];
    let is_value = |part: &str| part.starts_with([':', '{', '<']) || part.starts_with("(?p");
    let (above, own) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
    let words = |text: &str| -> Vec<String> {
        text.split(['-', '_', '.']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let own = words(own.trim_matches(['^', '$']));
    let Some((last, first)) = own.split_last() else { return true };
    SURE.contains(&last.as_str())
        || !above.split('/').any(is_value)
            && first.iter().all(|word| ABOUT.contains(&word.as_str()))
}

fn routes<'r>(case: &Case<'r>) -> impl Iterator<Item = (&'r File, &'r Fact, &'r Route)> {
    case.facts().filter_map(|(file, fact)| match &fact.kind {
        FactKind::Route(route) => Some((file, fact, route)),
        _ => None,
    })
}

pub(super) fn hlt001(case: &Case<'_>, out: &mut Verdicts) {
    let in_health_file = |file: &File| file.path.to_ascii_lowercase().contains("health");
    if routes(case)
        .any(|(file, _, route)| is_health(route) || (in_health_file(file) && route.path.len() <= 1))
    {
        return;
    }
    let libraries = [
        "skopos",
        "grpcio-health-checking",
        "grpc-health-check",
        "tonic-health",
        "@godaddy/terminus",
        "@nestjs/terminus",
        "lightship",
        "org.springframework.boot:spring-boot-starter-actuator",
        "io.quarkus:quarkus-smallrye-health",
        "django-health-check",
        "fastapi-health",
        "py-healthcheck",
        "@grpc/health",
        "express-actuator",
        "grpc-js-health-check",
        "@cloudnative/health-connect",
        "@fastify/under-pressure",
        "express-healthcheck",
        "dockerflow",
        "github.com/heptiolabs/healthcheck",
        "github.com/hellofresh/health-go*",
        "github.com/alexliesenfeld/health",
        "io.micronaut:micronaut-management",
        "org.apache.dubbo:dubbo-qos",
    ];
    // gRPC's own health service, by what each language calls it.
    let protocols =
        ["grpc_health", "grpc/health", "grpc-health", "grpc.health", "grpchealth", "tonic_health"];
    let imports = |kind: &FactKind| match kind {
        FactKind::Import(name) => protocols.iter().any(|p| name.contains(p)),
        FactKind::Function(function) => function.calls.iter().any(|(call, _)| {
            ["HealthStatusManager", "add_HealthServicer_to_server", "RegisterHealthServer"]
                .iter()
                .any(|name| call.ends_with(name))
        }),
        _ => false,
    };
    if used::is_used(case, &libraries) || case.any(imports) {
        return;
    }
    let defines = case.any(|kind| matches!(kind, FactKind::Function(f) if {
        let name = f.name.to_ascii_lowercase();
        name.ends_with("healthservicer.check") || name.ends_with("health.check") || name == "check" && f.calls.iter().any(|(c, _)| c.contains("HealthCheckResponse"))
    }));
    if defines {
        return;
    }
    // A health of its own making: told over a message broker, a socket, a protocol of its own.
    let own = case.files().find(|file| {
        let stem = crate::files::name(&file.path).split('.').next().unwrap_or_default();
        let words = crate::sensitive::words(stem);
        file.role == Role::Production
            && file.language.is_some()
            && words
                .iter()
                .any(|word| matches!(word.as_str(), "health" | "healthcheck" | "healthz"))
            && !words.iter().any(|word| matches!(word.as_str(), "client" | "model" | "schema"))
    });
    if let Some(file) = own {
        let path = &file.path;
        return out.unknown(
            format!("{path} is about health, and no route leads there"),
            "who asks for it, and how: then `ignore = [\"HLT001\"]` with the reason",
        );
    }
    let lack = "no health endpoint: an orchestrator cannot tell whether the service lives or may get traffic";
    match used::idle(case, &libraries).filter(|idle| !idle.may_be_started()) {
        Some(idle) => idle.say(lack, out),
        None => {
            out.absent(lack);
        }
    }
}

pub(super) fn hlt007(case: &Case<'_>, out: &mut Verdicts) {
    // By file: the names of handlers, and the spans of routes that hold theirs.
    let mut handlers: BTreeMap<&str, (BTreeSet<&str>, Vec<Span>)> = BTreeMap::new();
    for (file, fact, route) in routes(case).filter(|(_, _, route)| is_health(route)) {
        let (named, inline) = handlers.entry(&file.path).or_default();
        named.extend(route.handler.as_deref());
        inline.push(fact.span);
        let Some(handler) = &route.handler else { continue };
        // The handler may stand in a file of its own.
        let mut elsewhere = case.facts().filter_map(|(at, fact)| match &fact.kind {
            FactKind::Function(function) if last_part(&function.name) == last_part(handler) => {
                Some((at, function))
            }
            _ => None,
        });
        if let Some((at, function)) = elsewhere.next()
            && elsewhere.all(|(other, _)| other.path == at.path)
        {
            handlers.entry(&at.path).or_default().0.insert(&function.name);
        }
    }
    let is_exported = case.any(|kind| {
        matches!(kind, FactKind::Tracing(tracing)
            if matches!(tracing.role, TracingRole::Provider | TracingRole::Exporter))
    });
    for (file, fact) in case.facts().filter(|_| is_exported) {
        let FactKind::Function(function) = &fact.kind else { continue };
        let made = function.calls.iter().find(|(call, _)| call == "#[instrument]");
        let Some((_, span)) = made else { continue };
        let is_handler = handlers
            .get(&*file.path)
            .is_some_and(|(named, _)| named.contains(function.name.as_str()));
        if is_handler {
            out.finding(
                file.place(*span),
                "every probe makes a span: thousands of traces a day that nobody reads",
            );
        }
    }
    for (file, fact) in case.facts() {
        let FactKind::Log(log) = &fact.kind else { continue };
        let Some((named, inline)) = handlers.get(&*file.path) else { continue };
        let loud =
            log.style == LogStyle::Print || log.level.is_some_and(|level| level == Level::Info);
        let function = fact.scope.function.as_deref().unwrap_or_default();
        let in_handler = named.contains(function);
        let inline = !in_handler && inline.iter().any(|span| span.contains(fact.span));
        if loud && (in_handler || inline) && !fact.scope.in_catch && is_live(fact) {
            out.finding(
                file.place(fact.span),
                "every probe writes a line: thousands a day that nobody reads",
            );
        }
    }
}
