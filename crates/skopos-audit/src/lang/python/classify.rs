//! Python's calls and assignments → facts: routes, servers, settings; logging, telemetry and life cycle stand beside.

use super::logs::JSON;
use crate::fact::{ErrorAnswer, Exposed, Framework, LogFormat, LogSetup, Route, TypeDef};
use crate::files::name as file_name;
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr, Module};
use crate::lang::shared::{mentions_expr, names_auth};
use crate::{Fact, FactKind, Guard, Span};

pub(super) const METHODS: &[&str] = &["get", "post", "put", "delete", "patch", "head", "options"];

pub(super) fn facts(path: &str, module: &Module) -> Vec<Fact> {
    let mut c = Classify::new(module);
    for import in &module.imports {
        let full = match &import.name {
            Some(name) if name != "*" => format!("{}.{name}", import.module),
            _ => import.module.clone(),
        };
        c.push_at_top(import.span, FactKind::Import(full));
    }
    find_handlers(&mut c);
    c.push_functions();
    let mut has_main = false;
    for call in &module.calls {
        if call.at.guard == Guard::Main && !has_main {
            has_main = true;
            c.push(call.span, call.at, FactKind::EntryPoint("__main__".into()));
        }
        let full = c.resolve(&call.callee);
        super::logs::log_call(&mut c, call, &full);
        super::logs::log_setup(&mut c, call, &full);
        super::telemetry::metrics(&mut c, call, &full);
        super::telemetry::tracing(&mut c, call, &full);
        serving(&mut c, call, &full);
        super::lifecycle::lifecycle(&mut c, call, &full);
        super::lifecycle::error_answer(&mut c, call);
    }
    settings(&mut c, path);
    for (value, at) in &module.returns {
        if let (Expr::List(items, span), Some(_)) = (value, at.catch)
            && let Some(Expr::Number(number, _)) = items.get(1)
            && let Ok(status @ (500 | 502 | 504)) = number.parse()
        {
            let recorded = c.is_recorded(at.catch);
            c.push(*span, *at, FactKind::ErrorAnswer(ErrorAnswer { status, recorded }));
        }
    }
    for def in &module.types {
        let own_print = module.functions.iter().any(|f| {
            f.class.as_deref() == Some(&def.name)
                && matches!(f.name.as_str(), "__repr__" | "__str__")
        });
        let kind = TypeDef { name: def.name.clone(), fields: def.fields.clone(), own_print };
        c.push_at_top(def.span, FactKind::Type(kind));
        // `class Shop(Flask)` is one, when somebody makes it.
        let extended = def.bases.iter().map(|base| server_of(&c.resolve(base)));
        if let Some(server) = extended.into_iter().find(|server| !server.is_empty()) {
            c.push_at_top(def.span, FactKind::Server(Framework(server.into())));
        }
    }
    crate::lang::data::databases(&mut c);
    c.facts
}

/// Routes, and the functions that handle them.
fn find_handlers(c: &mut Classify<'_>) {
    let module = c.module;
    let mut routes: Vec<(Span, Route)> = Vec::new();
    for (index, function) in module.functions.iter().enumerate() {
        for decorator in &function.decorators {
            let Expr::Call(call, span) = decorator else { continue };
            let call = &module.calls[*call];
            let object = call.object();
            if object.is_empty() || object.starts_with("mock") || object.contains("patch") {
                continue;
            }
            let name = call.name();
            let text =
                call.positional(0).or_else(|| call.named("path")).or_else(|| call.named("rule"));
            let Some(path) =
                text.and_then(Expr::route_text).filter(|p| p.is_empty() || p.starts_with('/'))
            else {
                continue;
            };
            let methods = match name {
                "route" | "api_route" | "websocket" => {
                    call.named("methods").map_or(vec![], Expr::texts)
                }
                _ if METHODS.contains(&name) => vec![(name.to_uppercase(), *span)],
                _ => continue,
            };
            c.handlers.push(index);
            if path.trim_end_matches('/').ends_with("/metrics") {
                guarded(c, index);
            }
            let method = methods.first().map(|(m, _)| m.to_uppercase());
            let calls = Vec::new();
            routes.push((
                *span,
                Route { method, path: path.to_owned(), handler: Some(function.qualified()), calls },
            ));
        }
        let has_request = function.params.iter().any(|(name, declared)| {
            name == "request" || declared.as_deref().is_some_and(|t| t.ends_with("Request"))
        });
        let is_grpc = function.params.len() == 3
            && function.params[2].0 == "context"
            && function.params[0].0 == "self";
        if has_request || is_grpc {
            c.handlers.push(index);
        }
    }
    for call in &module.calls {
        let full = c.resolve(&call.callee);
        let name = call.name();
        let (at, handler) = match name {
            "add_api_route" | "add_url_rule" | "add_get" | "add_post" | "add_put"
            | "add_delete" | "add_view" | "add_route" | "mount" => (0, 1),
            "Route" | "Mount" | "path" | "re_path" | "url"
                if full.starts_with("starlette")
                    || full.starts_with("django")
                    || full.starts_with("fastapi") =>
            {
                (0, 1)
            }
            "add_resource" => (1, 0),
            _ if full.starts_with("aiohttp.web.") && METHODS.contains(&name) => (0, 1),
            _ => continue,
        };
        let Some(path) = call.positional(at).and_then(Expr::route_text) else { continue };
        let value = if name == "add_url_rule" {
            call.named("view_func").or_else(|| call.positional(2))
        } else {
            call.positional(handler).or_else(|| call.named("endpoint"))
        };
        let mut calls = Vec::new();
        let named = match value {
            Some(Expr::Path(path, _)) => Some(path.clone()),
            Some(Expr::Call(at, span)) => {
                calls.push((module.calls[*at].callee.clone(), *span));
                None
            }
            _ => None,
        };
        if let Some(index) = named.as_deref().and_then(|path| c.function_named(path)) {
            c.handlers.push(index);
        }
        let handler = named.map(|path| path.rsplit('.').next().unwrap_or(&path).to_owned());
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{}", path.trim_start_matches('^'))
        };
        routes.push((call.span, Route { method: None, path, handler, calls }));
    }
    if module.imports.iter().any(|import| import.module.contains("tornado")) {
        let lists = module.assigns.iter().map(|assign| &assign.value);
        let given = module.calls.iter().flat_map(|call| call.args.iter().map(|arg| &arg.value));
        lists.chain(given).for_each(|value| pairs(value, 0, &mut routes));
    }
    for (span, route) in routes {
        c.push_at_top(span, FactKind::Route(route));
    }
}

/// What asks who somebody is before the metrics: `@login_required` below the route, `user=Depends(get_current_user)`.
fn guarded(c: &mut Classify<'_>, index: usize) {
    let module = c.module;
    let function = &module.functions[index];
    let decorated = function.decorators.iter().find_map(|decorator| {
        match decorator {
            Expr::Path(path, span) => Some((path.as_str(), *span)),
            Expr::Call(at, span) => Some((module.calls[*at].callee.as_str(), *span)),
            _ => None,
        }
        .filter(|(name, _)| names_auth(name))
    });
    let depends = || {
        let inside = module.calls.iter().filter(|call| function.span.contains(call.span));
        inside.filter(|call| matches!(call.name(), "Depends" | "Security")).find_map(|call| {
            let on = call.positional(0).and_then(Expr::path)?;
            names_auth(on).then_some((on, call.span))
        })
    };
    if let Some((by, span)) = decorated.or_else(depends) {
        c.push_at_top(span, FactKind::MetricsGuarded(by.to_owned()));
    }
}

/// Tornado's routes: `(r"/health$", HealthHandler)` in a list.
fn pairs(value: &Expr, depth: usize, routes: &mut Vec<(Span, Route)>) {
    let (Expr::List(items, span), true) = (value, depth < 4) else { return };
    match items.as_slice() {
        [Expr::Str(path, _), Expr::Path(handler, _), ..] if path.starts_with('/') => {
            let path = path.trim_end_matches(['$', '?']).to_owned();
            let handler = handler.rsplit('.').next().map(str::to_owned);
            routes.push((*span, Route { method: None, path, handler, calls: Vec::new() }));
        }
        items => items.iter().for_each(|item| pairs(item, depth + 1, routes)),
    }
}

/// The framework that makes a server, by the full name of what is called or extended.
fn server_of(full: &str) -> &'static str {
    match full {
        "fastapi.FastAPI" => "fastapi",
        "flask.Flask" => "flask",
        "quart.Quart" => "quart",
        "sanic.Sanic" => "sanic",
        "litestar.Litestar" => "litestar",
        "starlette.applications.Starlette" => "starlette",
        "aiohttp.web.Application" => "aiohttp",
        "tornado.web.Application" => "tornado",
        "falcon.App" | "falcon.asgi.App" => "falcon",
        "bottle.Bottle" => "bottle",
        "grpc.server" | "grpc.aio.server" => "grpc",
        "connexion.App" | "connexion.FlaskApp" | "connexion.AsyncApp" => "connexion",
        "falcon.API" | "falcon.asgi.API" => "falcon",
        "bottle.run" => "bottle",
        "cherrypy.quickstart" | "cherrypy.tree.mount" => "cherrypy",
        "blacksheep.Application" => "blacksheep",
        "robyn.Robyn" => "robyn",
        "web.application" => "web.py",
        "aiohttp.web.run_app" | "aiohttp.web.AppRunner" => "aiohttp",
        "asyncio.start_server"
        | "asyncio.start_unix_server"
        | "socketserver.ThreadingTCPServer" => "tcp",
        "websockets.serve" | "websockets.asyncio.server.serve" => "websockets",
        "http.server.HTTPServer"
        | "http.server.ThreadingHTTPServer"
        | "socketserver.TCPServer"
        | "wsgiref.simple_server.make_server" => "http.server",
        "uvicorn.run" | "uvicorn.Server" | "hypercorn.asyncio.serve" | "granian.Granian" => "asgi",
        "waitress.serve"
        | "werkzeug.serving.run_simple"
        | "gevent.pywsgi.WSGIServer"
        | "cheroot.wsgi.Server"
        | "pyramid.config.Configurator" => "wsgi",
        "twisted.web.server.Site" => "twisted",
        "django.core.wsgi.get_wsgi_application" | "django.core.asgi.get_asgi_application" => {
            "django"
        }
        _ => "",
    }
}

fn serving(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let server = match server_of(full) {
        // A socket is a server where connections are taken from it.
        "" if name == "listen"
            && c.made_on(call).is_some_and(|made| made == "socket.socket")
            && c.module.calls.iter().any(|other| other.name() == "accept") =>
        {
            "tcp"
        }
        "" if name == "listenTCP" || name == "create_server" && call.object().contains("loop") => {
            "tcp"
        }
        server => server,
    };
    if !server.is_empty() {
        c.push(call.span, call.at, FactKind::Server(Framework(server.into())));
    }
    let worker = match full {
        "celery.Celery" => "celery",
        "kafka.KafkaConsumer" | "confluent_kafka.Consumer" | "aiokafka.AIOKafkaConsumer" => "kafka",
        "rq.Worker" => "rq",
        "faust.App" => "faust",
        "dramatiq.set_broker" => "dramatiq",
        "huey.RedisHuey" => "huey",
        _ if name == "start_consuming" || name == "basic_consume" => "rabbitmq",
        _ => "",
    };
    if !worker.is_empty() {
        c.push(call.span, call.at, FactKind::Worker(Framework(worker.into())));
    }
    let cli = match full {
        "argparse.ArgumentParser" => "argparse",
        "typer.Typer" | "typer.run" => "typer",
        "click.command" | "click.group" => "click",
        "fire.Fire" => "fire",
        _ => "",
    };
    if !cli.is_empty() {
        c.push(call.span, call.at, FactKind::CommandLine(Framework(cli.into())));
    }
    // The server that Flask brings for development; whether it is what runs in production, commands say.
    if name == "run" {
        let made = c.made_on(call).unwrap_or_default();
        let is_app = || matches!(call.object(), "app" | "application" | "server");
        let has_flask = || c.module.imports.iter().any(|import| import.module.starts_with("flask"));
        if server_of(&made) == "flask" || is_app() && has_flask() && !made.contains('.') {
            c.push(call.span, call.at, FactKind::Server(Framework("werkzeug".into())));
        }
    }
    let is_on = |key: &str| matches!(call.named(key), Some(Expr::Bool(true, _)));
    if is_on("debug") && (!server.is_empty() || name == "run") {
        c.push(call.span, call.at, FactKind::DebugMode(format!("{full}(debug=True)")));
    }
    if is_on("echo") && name.contains("create") && name.contains("engine") {
        c.push(call.span, call.at, FactKind::SqlLogged(format!("{name}(echo=True)")));
    }
}

/// What settings leave out of a log-in for all: `LOGIN_EXEMPT_URLS`, `STRONGHOLD_PUBLIC_URLS`, `LOGIN_REQUIRED_IGNORE_PATHS`.
fn free_of_login(module: &Module) -> Vec<String> {
    let words = ["EXEMPT", "IGNORE", "PUBLIC", "OPEN", "ALLOW"];
    let lists = module.assigns.iter().filter(|assign| {
        assign.target != "ALLOWED_HOSTS" && words.iter().any(|word| assign.target.contains(word))
    });
    let mut found = Vec::new();
    for expr in lists.map(|assign| &assign.value) {
        let items = if let Expr::List(items, _) = expr { items.as_slice() } else { &[] };
        for item in items {
            match item {
                Expr::Str(text, _) => found.push(text.clone()),
                Expr::Call(at, _) => {
                    let args = module.calls.get(*at).into_iter().flat_map(|call| &call.args);
                    found.extend(args.filter_map(|arg| arg.value.text()).map(str::to_owned));
                }
                _ => {}
            }
        }
    }
    found
}

/// Whether a value names one of these.
fn names(value: &Expr, words: &[&str]) -> bool {
    mentions_expr(value, &|text| words.iter().any(|word| text.contains(word)), 0)
}

/// Assignments that set a framework up: Django's settings, Flask's configuration.
fn settings(c: &mut Classify<'_>, path: &str) {
    let module = c.module;
    let file = file_name(path);
    let is_settings = file.contains("settings") || path.contains("/settings/");
    let is_other = ["dev", "local", "test", "ci"].iter().any(|word| file.contains(word));
    for assign in &module.assigns {
        let is_true = matches!(assign.value, Expr::Bool(true, _));
        let debug = (assign.target == "DEBUG" && is_settings && !is_other)
            || matches!(assign.target.as_str(), "app.debug" | "app.config.DEBUG");
        if is_true && debug {
            c.push(
                assign.span,
                assign.at,
                FactKind::DebugMode(format!("{} = True", assign.target)),
            );
        }
        // `http.client.HTTPConnection.debuglevel = 1` prints requests with their headers.
        let is_on = matches!(&assign.value, Expr::Number(level, _) if level.as_str() != "0");
        if is_on && assign.target.ends_with("HTTPConnection.debuglevel") {
            let by = FactKind::TrafficLogged("HTTPConnection.debuglevel".to_owned());
            c.push(assign.span, assign.at, by);
        }
        match assign.target.as_str() {
            "LOGGING" if is_settings => {
                let format = if names(&assign.value, JSON) {
                    LogFormat::Structured
                } else {
                    LogFormat::Text
                };
                let level = super::logs::root_level(&assign.value);
                let setup =
                    LogSetup { system: "logging".into(), format, level, by: "LOGGING".into() };
                c.push(assign.span, assign.at, FactKind::LogSetup(setup));
            }
            "urlpatterns" => {
                c.push(assign.span, assign.at, FactKind::Import("django.urlpatterns".into()))
            }
            "INSTALLED_APPS" if names(&assign.value, &["django_prometheus"]) => {
                c.push(
                    assign.span,
                    assign.at,
                    FactKind::MetricsExposed(Exposed::Middleware("django_prometheus".into())),
                );
            }
            "ROOT_URLCONF" | "WSGI_APPLICATION" => {
                c.push(assign.span, assign.at, FactKind::Server(Framework("django".into())));
            }
            "MIDDLEWARE" if names(&assign.value, &["LoginRequiredMiddleware", "stronghold"]) => {
                let by = "LoginRequiredMiddleware".to_owned();
                let except = free_of_login(module);
                c.push(assign.span, assign.at, FactKind::AuthEverywhere { by, except });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lower::module_of;
    use super::*;
    use crate::Level;

    #[test]
    fn a_log_call_keeps_its_arguments_and_where_they_come_from() {
        let text = "import structlog\nlogger = structlog.get_logger()\n\
            def login(request):\n    token = request.headers.get('Authorization')\n    logger.info('login', auth=token, n=len(token))\n";
        let facts = facts("app.py", &module_of(text));
        let log = facts.iter().find_map(|f| match &f.kind {
            FactKind::Log(log) => Some((log, &f.scope)),
            _ => None,
        });
        let (log, scope) = log.unwrap();
        assert_eq!(
            (log.system.as_str(), log.level, log.message.as_deref()),
            ("structlog", Some(Level::Info), Some("login"))
        );
        assert!(scope.in_handler);
        assert_eq!(log.fields[0].sources[0].origins, ["request.headers.Authorization"]);
        let inner = log.fields[1].sources.iter().find(|s| s.path == "token").unwrap();
        assert_eq!(inner.wrapped, ["len"]);
    }
}
