//! HLT004 and HLT006: does the route that is asked exist, and what does its handler touch?

use std::collections::BTreeSet;

use super::{deployed, spring};
use crate::fact::{Function, Route};
use crate::files::dockerfile::Health;
use crate::files::kubernetes::{Probe, ProbeAction};
use crate::files::{Document, helm};
use crate::{Case, FactKind, File, Place, Span, Verdicts};

/// HLT004: the liveness probe's handler touches what may be down without a restart helping.
pub(super) fn dependency(case: &Case<'_>, verdicts: &mut Verdicts) {
    spring::liveness(case, verdicts);
    let mut paths: Vec<(String, Option<Place>)> = Vec::new();
    for pod in deployed::pods(case) {
        let liveness = deployed::probe(case, pod.file, pod.container.liveness.as_ref());
        if let Some((path, span)) = http_path(case, pod.file, liveness.as_ref()) {
            paths.push((path, Some(pod.file.place(span))));
        }
    }
    let routes: Vec<(&File, Span, &Route)> = case
        .facts()
        .filter_map(|(file, fact)| match &fact.kind {
            FactKind::Route(route) => Some((file, fact.span, route)),
            _ => None,
        })
        .collect();
    // A route that is called live is a liveness check, whoever asks it.
    for (_, _, route) in &routes {
        let last = route.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if matches!(last, "live" | "livez" | "liveness" | "alive") {
            paths.push((route.path.clone(), None));
        }
    }
    if paths.is_empty() {
        if verdicts.said.is_empty() {
            verdicts.not_applicable();
        }
        return;
    }
    let mut seen = BTreeSet::new();
    for (path, asked) in &paths {
        for (file, _, route) in routes.iter().filter(|(_, _, route)| answers(&route.path, path)) {
            let Some((at, span, call)) = touches(case, file, route) else { continue };
            if !seen.insert((at.path.clone(), span)) {
                continue;
            }
            let by = match asked {
                Some(place) => format!(" (asked in {})", place.path),
                None => String::new(),
            };
            verdicts.finding(
                at.place(span),
                format!("the liveness check `{path}`{by} calls `{call}`: when that is down, every pod restarts"),
            );
        }
    }
}

/// A file, the calls of a function in it, and how far from the handler.
type Step<'r> = (&'r File, Vec<(String, Span)>, usize);

/// What a handler does that depends on somebody else, followed through the service's own functions.
fn touches<'r>(case: &Case<'r>, file: &'r File, route: &Route) -> Option<(&'r File, Span, String)> {
    let functions: Vec<(&File, &Function)> = case
        .facts()
        .filter_map(|(file, fact)| match &fact.kind {
            FactKind::Function(function) => Some((file, function)),
            _ => None,
        })
        .collect();
    let find = |name: &str, near: &File| -> Vec<(&'r File, &'r Function)> {
        let last = name.rsplit('.').next().unwrap_or(name);
        let named = |f: &&(&'r File, &'r Function)| f.1.name.rsplit('.').next() == Some(last);
        let all: Vec<(&File, &Function)> = functions.iter().filter(named).copied().collect();
        let here: Vec<_> = all.iter().filter(|(f, _)| f.path == near.path).copied().collect();
        if here.is_empty() && all.len() == 1 { all } else { here }
    };
    let mut next: Vec<Step<'_>> = vec![(file, route.calls.clone(), 0)];
    if let Some(handler) = &route.handler {
        next.extend(
            find(handler, file).into_iter().map(|(f, function)| (f, function.calls.clone(), 0)),
        );
    }
    let mut visited: BTreeSet<String> = BTreeSet::new();
    while let Some((at, calls, depth)) = next.pop() {
        for (call, span) in calls {
            let mut own = if depth < 3 { find(&call, at) } else { Vec::new() };
            // `db.health_check()` in a handler that is called so, too, does not call itself.
            let is_of_other = call.contains('.')
                && !["self.", "this.", "Self."].iter().any(|own| call.starts_with(own));
            if is_of_other && depth == 0 {
                let handler = route.handler.as_deref().map(last_part);
                own.retain(|(_, function)| handler != Some(last_part(&function.name)));
            }
            if own.is_empty() {
                if is_dependency(&call) {
                    return Some((at, span, call));
                }
                continue;
            }
            for (f, function) in own {
                if visited.insert(format!("{}:{}", f.path, function.name)) {
                    next.push((f, function.calls.clone(), depth + 1));
                }
            }
        }
    }
    None
}

pub(super) fn last_part(name: &str) -> &str {
    name.rsplit(['.', ':']).next().unwrap_or(name)
}

/// Whether a call asks a database, a cache, a broker or another service, by its words.
fn is_dependency(call: &str) -> bool {
    const THINGS: [&str; 40] = [
        "db",
        "database",
        "sql",
        "sqlx",
        "pg",
        "pgx",
        "postgres",
        "mysql",
        "mongo",
        "mongoose",
        "redis",
        "rdb",
        "cache",
        "memcached",
        "kafka",
        "rabbit",
        "rabbitmq",
        "amqp",
        "nats",
        "elastic",
        "elasticsearch",
        "s3",
        "dynamo",
        "dynamodb",
        "prisma",
        "knex",
        "sequelize",
        "pool",
        "conn",
        "connection",
        "session",
        "cursor",
        "jdbc",
        "jdbctemplate",
        "entitymanager",
        "datasource",
        "repository",
        "engine",
        "broker",
        "queue",
    ];
    const CLIENTS: [&str; 12] = [
        "requests",
        "httpx",
        "axios",
        "fetch",
        "urllib",
        "aiohttp",
        "reqwest",
        "resttemplate",
        "webclient",
        "got",
        "httpclient",
        "superagent",
    ];
    const VERBS: [&str; 33] = [
        "ping",
        "health",
        "health_check",
        "healthcheck",
        "check_health",
        "is_healthy",
        "ishealthy",
        "check_connection",
        "pingcontext",
        "query",
        "queryrow",
        "querycontext",
        "queryforobject",
        "execute",
        "exec",
        "execcontext",
        "select",
        "get",
        "fetch",
        "fetchone",
        "fetch_one",
        "command",
        "admincommand",
        "authenticate",
        "connect",
        "acquire",
        "getconnection",
        "count",
        "find",
        "findone",
        "info",
        "head",
        "$queryraw",
    ];
    let lower = call.to_lowercase().replace("()", "");
    let mut parts: Vec<&str> =
        lower.split(['.', '>', ':']).filter(|part| !part.is_empty()).collect();
    let Some(verb) = parts.pop() else { return false };
    if parts.is_empty() {
        return verb == "fetch";
    }
    let words: Vec<String> = parts.iter().flat_map(|part| split_words(part)).collect();
    let names_thing = words.iter().any(|word| THINGS.contains(&word.as_str()))
        || parts.iter().any(|part| THINGS.contains(part));
    let names_client =
        parts.iter().any(|part| CLIENTS.contains(part)) || call.starts_with("http.Get");
    let plain = verb.trim_start_matches('$').replace("raw", "");
    (names_thing && (VERBS.contains(&verb) || VERBS.contains(&plain.as_str())))
        || (names_client
            && matches!(
                verb,
                "get" | "post" | "head" | "request" | "getforobject" | "getforentity"
            ))
        || verb == "pingcontext"
}

fn split_words(part: &str) -> Vec<String> {
    part.split(['_', '-', '$']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// HLT006: the probe's path is no route of the service, or its port none of the container.
pub(super) fn route(case: &Case<'_>, verdicts: &mut Verdicts) {
    let routes: Vec<&Route> = case
        .facts()
        .filter_map(|(_, fact)| match &fact.kind {
            FactKind::Route(route) => Some(route),
            _ => None,
        })
        .collect();
    let mut asked: Vec<(Place, String)> = Vec::new();
    let mut ports: Vec<(Place, String)> = Vec::new();
    for pod in deployed::pods(case) {
        let container = pod.container;
        let probes = [
            ("liveness probe", &container.liveness),
            ("readiness probe", &container.readiness),
            ("startup probe", &container.startup),
        ];
        for (kind, probe) in probes {
            let Some(probe) = deployed::probe(case, pod.file, probe.as_ref()) else { continue };
            if let Some((path, span)) = http_path(case, pod.file, Some(&probe)) {
                asked.push((pod.file.place(span), format!("{path}\0{kind}")));
            }
            let port = match &probe.action {
                ProbeAction::Http { port, .. }
                | ProbeAction::Tcp { port }
                | ProbeAction::Grpc { port } => port,
                _ => &None,
            };
            let Some(port) = port else { continue };
            let is_name = port.parse::<u16>().is_err() && !helm::is_open(port);
            // A patch has no image and leaves the ports to its base; a template may make them elsewhere.
            let has_names = container.ports.iter().any(|(name, ..)| name.is_some());
            let is_whole = container.image.as_ref().is_some_and(|image| !helm::is_open(image))
                && !helm::is_template(&pod.file.path);
            if is_name && (has_names || is_whole) && container.port_number(port).is_none() {
                ports.push((pod.file.place(probe.span), format!("{port}\0{kind}")));
            }
        }
    }
    for (file, service) in deployed::composed(case) {
        if let Some((Health::Command(command), span)) = &service.health
            && let Some(path) = url_path(&command.line())
        {
            asked.push((file.place(*span), format!("{path}\0health check of Compose")));
        }
    }
    for (file, _, image) in deployed::images(case) {
        if let Some((Health::Command(command), span)) = &image.health
            && let Some(path) = url_path(&command.line())
        {
            asked.push((file.place(*span), format!("{path}\0HEALTHCHECK")));
        }
    }
    for (file, _, document) in case.documents() {
        let Document::Processes(processes) = document else { continue };
        let paths = processes.health.iter().filter(|text| text.value.starts_with('/'));
        asked.extend(paths.map(|text| {
            let path = text.value.split('?').next().unwrap_or_default();
            (file.place(text.span), format!("{path}\0health check of the platform"))
        }));
    }
    if asked.is_empty() && ports.is_empty() {
        verdicts.not_applicable();
        return;
    }
    for (place, what) in ports {
        let (port, kind) = what.split_once('\0').unwrap_or((&what, ""));
        verdicts.finding(
            place,
            format!("the {kind} asks port `{port}`, which the container does not have"),
        );
    }
    let has_library = case.dependency(&[
        "org.springframework.boot:spring-boot-starter-actuator",
        "io.quarkus:quarkus-smallrye-health",
        "@nestjs/terminus",
        "@godaddy/terminus",
        "django-health-check",
        "fastapi-health",
        "py-healthcheck",
        "libs:spring-boot-starter-actuator",
    ]);
    for (place, what) in asked {
        let (path, kind) = what.split_once('\0').unwrap_or((&what, ""));
        if routes.iter().any(|route| answers(&route.path, path)) {
            continue;
        }
        let by_library = ["/actuator", "/q/health", "/health", "/healthz", "/ready", "/live"];
        // Files are served without a route for each.
        if [".png", ".ico", ".html", ".txt", ".css", ".js", ".svg"]
            .iter()
            .any(|end| path.ends_with(end))
        {
            continue;
        }
        if has_library.is_some() && by_library.iter().any(|known| path.contains(known)) {
            continue;
        }
        // A worker serves nothing at all: what asks it by HTTP is refused, and the pod is ended.
        let is_worker = case.service.is_some_and(|s| s.kind == crate::service::Kind::Worker);
        let listens =
            |kind: &FactKind| matches!(kind, FactKind::Server(_) | FactKind::MetricsExposed(_));
        if routes.is_empty() && is_worker && kind.ends_with("probe") && !case.any(listens) {
            let message = format!("the {kind} asks `{path}`, and this worker serves nothing");
            verdicts.finding(place, message);
            continue;
        }
        if routes.is_empty() {
            verdicts.unknown(
                format!("the {kind} asks `{path}`, and no route could be read from the code"),
                "routes that are literals in the service's code",
            );
            return;
        }
        // A service that has none but a few routes of its own may get more from a library.
        verdicts.finding(
            place,
            format!("the {kind} asks `{path}`, which no route of the service answers"),
        );
    }
}

/// The path of an HTTP probe, resolved from the chart's values where it is a template.
fn http_path(case: &Case<'_>, file: &File, probe: Option<&Probe>) -> Option<(String, Span)> {
    let ProbeAction::Http { path, .. } = &probe?.action else { return None };
    let text = match helm::is_open(path) {
        true => helm::resolve(path, deployed::values(case, file))?,
        false => path.value.clone(),
    };
    let text = text.split('?').next().unwrap_or_default().to_owned();
    text.starts_with('/').then_some((text, path.span))
}

/// The path of the first address in a command.
fn url_path(command: &str) -> Option<String> {
    let at = command.find("http://").or_else(|| command.find("https://"))?;
    let rest = command[at..].split("://").nth(1)?;
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ')' | ';' | '|'))
        .unwrap_or(rest.len());
    let (_, path) = rest[..end].split_once('/')?;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    (!path.is_empty() && !path.contains('$')).then(|| format!("/{path}"))
}

/// Whether a route answers a path: equal, mounted under a prefix, or with parameters in it.
fn answers(route: &str, path: &str) -> bool {
    // Served from files: the start page is one, whatever else is.
    if route == "/*" {
        return path == "/";
    }
    let clean = |text: &str| text.trim_matches(['/', '^', '$']).to_owned();
    let (route, path) = (clean(route), clean(path));
    if route == path || (!route.is_empty() && path.ends_with(&format!("/{route}"))) {
        return true;
    }
    let (ours, asked): (Vec<&str>, Vec<&str>) =
        (route.split('/').collect(), path.split('/').collect());
    let is_open = |part: &str| part.starts_with([':', '{', '<', '*']);
    ours.len() == asked.len()
        && ours.iter().zip(&asked).all(|(a, b)| a == b || is_open(a))
        && ours.iter().any(|part| !is_open(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_depend_on_others_are_told_by_their_words() {
        for call in [
            "db.execute",
            "request.app.state.redis.ping",
            "pool.query",
            "requests.get",
            "s.DB.PingContext",
            "session.execute",
            "jdbcTemplate.queryForObject",
            "mongoose.connection.db.admin().ping",
            "prisma.$queryRaw",
            "fetch",
        ] {
            assert!(is_dependency(call), "{call}");
        }
        for call in [
            "w.Write",
            "res.json",
            "jsonify",
            "ping",
            "logger.info",
            "Response.ok",
            "state.ready.load",
            "res.status().send",
            "headers.get",
        ] {
            assert!(!is_dependency(call), "{call}");
        }
    }

    #[test]
    fn routes_answer_paths() {
        assert!(answers("/healthz", "/healthz/"));
        assert!(answers("/health", "/api/v1/health"));
        assert!(answers("^livez/$", "/livez"));
        assert!(!answers("/", "/healthz") && !answers("/users/{id}", "/healthz"));
        assert_eq!(
            url_path("curl -f \"http://localhost:8080/health?x=1\" || exit 1").as_deref(),
            Some("/health")
        );
        assert_eq!(url_path("pg_isready"), None);
    }
}
