//! Calls of JavaScript and TypeScript → facts of serving and logging; `setup.rs` has those of telemetry and life cycle.

use super::setup;
use crate::fact::{
    ErrorAnswer, Framework, LogFormat, LogSetup, LogStyle, Route, TAKES_OUT, TypeDef,
};
use crate::lang::classify::{Classify, member_of};
use crate::lang::ir::{Call, Context, Expr, Module};
use crate::{Fact, FactKind, Level, Span};

const METHODS: &[&str] = &[
    "get", "post", "put", "delete", "patch", "head", "options", "all", "del",
    // httpdispatcher's.
    "onGet", "onPost",
];
const LEVELS: &[&str] = &[
    "trace", "debug", "verbose", "silly", "info", "http", "warn", "warning", "error", "fatal",
    "log", "notice",
];

pub(super) fn facts(path: &str, module: &Module) -> Vec<Fact> {
    let mut c = Classify::new(module);
    for import in &module.imports {
        let full = match import.name.as_deref() {
            Some("default" | "*") | None => import.module.clone(),
            Some(name) => format!("{}.{name}", import.module),
        };
        if is_autoload(&full) {
            c.push_at_top(import.span, FactKind::Server(Framework("fastify".into())));
        }
        c.push_at_top(import.span, FactKind::Import(full));
    }
    routes(&mut c, path);
    c.push_functions();
    for call in &module.calls {
        let full = c.full_name(call);
        let full = full.strip_prefix("new ").unwrap_or(&full);
        if let ("require", Some(name)) = (full, call.positional(0).and_then(Expr::text)) {
            if is_autoload(name) {
                c.push(call.span, call.at, FactKind::Server(Framework("fastify".into())));
            }
            c.push(call.span, call.at, FactKind::Import(name.to_owned()));
        }
        log_call(&mut c, call, full);
        bound(&mut c, call, full);
        log_setup(&mut c, call, full);
        serving(&mut c, call, full);
        setup::telemetry(&mut c, call, full);
        setup::lifecycle(&mut c, call, full);
        error_answer(&mut c, call);
    }
    error_handlers(&mut c);
    for assign in &module.assigns {
        if assign.target.ends_with(".status")
            && let Expr::Number(number, _) = &assign.value
            && let (Ok(status @ (500 | 502 | 504)), Some(_)) = (number.parse(), assign.at.catch)
        {
            let recorded = c.is_recorded(assign.at.catch);
            c.push(assign.span, assign.at, FactKind::ErrorAnswer(ErrorAnswer { status, recorded }));
        }
        let is_development = assign.value.text() == Some("development");
        if assign.target == "process.env.NODE_ENV" && is_development {
            let by = "process.env.NODE_ENV = \"development\"".to_owned();
            c.push(assign.span, assign.at, FactKind::DebugMode(by));
        }
    }
    for def in &module.types {
        let of = |name: &str| {
            module.functions.iter().any(|f| f.class.as_deref() == Some(&def.name) && f.name == name)
        };
        let own_print = of("toJSON") || of("toString") || of("inspect");
        let kind = TypeDef { name: def.name.clone(), fields: def.fields.clone(), own_print };
        c.push_at_top(def.span, FactKind::Type(kind));
    }
    crate::lang::data::databases(&mut c);
    c.facts
}

/// What loads the parts of an application that `fastify start` serves: it makes no server of its own.
fn is_autoload(module: &str) -> bool {
    matches!(module, "@fastify/autoload" | "fastify-autoload")
}

/// Routes, and the functions that handle them.
fn routes(c: &mut Classify<'_>, path: &str) {
    let module = c.module;
    let mut routes: Vec<(Span, Route)> = Vec::new();
    for (index, function) in module.functions.iter().enumerate() {
        let names: Vec<&str> = function.params.iter().map(|(name, _)| name.as_str()).collect();
        let by_names = matches!(
            names.as_slice(),
            [
                "req" | "request" | "_req" | "_",
                "res" | "response" | "reply" | "_res" | "_reply",
                ..
            ] | ["err" | "error", "req", "res", ..]
                | ["ctx", "next"]
                | ["ctx"]
                | ["call", "callback"]
        );
        let by_type = function.params.iter().any(|(_, declared)| {
            declared.as_deref().is_some_and(|t| {
                matches!(
                    t,
                    "Request"
                        | "NextRequest"
                        | "FastifyRequest"
                        | "NextApiRequest"
                        | "Context"
                        | "Koa.Context"
                ) || t.starts_with("Request<")
                    || t.starts_with("APIGateway")
            })
        });
        if by_names || by_type {
            c.handlers.push(index);
        }
        for decorator in &function.decorators {
            let Expr::Call(call, span) = decorator else { continue };
            let call = &module.calls[*call];
            let method = call.callee.to_uppercase();
            let is_route =
                ["GET", "POST", "PUT", "DELETE", "PATCH", "ALL", "HEAD"].contains(&method.as_str());
            if !is_route {
                continue;
            }
            c.handlers.push(index);
            let own = call.positional(0).and_then(Expr::text).unwrap_or_default();
            let prefix = function
                .class
                .as_deref()
                .map(|class| controller(module, class))
                .unwrap_or_default();
            let path = format!("/{}/{}", prefix.trim_matches('/'), own.trim_matches('/'));
            let path = format!("/{}", path.trim_matches('/')).replace("//", "/");
            let handler = Some(function.qualified());
            routes.push((*span, Route { method: Some(method), path, handler, calls: Vec::new() }));
        }
    }
    for call in &module.calls {
        let name = call.name();
        if name == "createTerminus" || name == "registerHealthCheck" {
            let checks = call.positional(1).and_then(|options| options.key("healthChecks"));
            if let Some(Expr::Dict(pairs, _)) = checks {
                for (key, value) in pairs
                    .iter()
                    .filter(|(key, _)| key.as_deref().is_some_and(|k| k.starts_with('/')))
                {
                    let handler = value.path().map(str::to_owned);
                    let path = key.clone().unwrap_or_default();
                    routes.push((
                        call.span,
                        Route { method: None, path, handler, calls: Vec::new() },
                    ));
                }
            }
            continue;
        }
        if name == "route"
            && let Some(options @ Expr::Dict(..)) = call.positional(0)
        {
            let Some(path) =
                options.key("url").or_else(|| options.key("path")).and_then(Expr::text)
            else {
                continue;
            };
            let method = options.key("method").and_then(Expr::text).map(str::to_owned);
            let (handler, calls) = handled_by(c, options.key("handler").into_iter());
            routes.push((call.span, Route { method, path: path.to_owned(), handler, calls }));
            continue;
        }
        // gRPC: `server.addService(health.Health.service, { check })`.
        let service = call.positional(0).and_then(Expr::path).filter(|_| name == "addService");
        if service.is_some_and(|service| service.to_ascii_lowercase().contains("health")) {
            let path = "/grpc.health.v1.Health/Check".to_owned();
            let (handler, calls) =
                handled_by(c, call.positional(1).and_then(|o| o.key("check")).into_iter());
            routes.push((call.span, Route { method: None, path, handler, calls }));
        }
        if !METHODS.contains(&name) && name != "use" {
            continue;
        }
        // Files are served under any path.
        let is_static = |value: &Expr| matches!(value, Expr::Call(at, _) if module.calls[*at].callee.ends_with("express.static"));
        if name == "use"
            && call.args.len() == 1
            && call.args.iter().any(|arg| is_static(&arg.value))
        {
            let path = "/*".to_owned();
            let calls = Vec::new();
            routes.push((call.span, Route { method: None, path, handler: None, calls }));
            continue;
        }
        // `router.route('/x').get(handler)`
        let chained = call.receiver.map(|at| &module.calls[at]).filter(|r| r.name() == "route");
        let own = call.positional(0).filter(|_| call.args.len() > 1);
        let own = own.and_then(|value| c.route_path(value)).filter(|p| p.starts_with('/'));
        // A path from the configuration that is called what it is for.
        let named = call.positional(0).and_then(Expr::path).filter(|_| call.args.len() > 1);
        let named = named
            .filter(|path| {
                let last = path.rsplit('.').take(2).collect::<Vec<_>>().join(".");
                let last = last.to_ascii_lowercase();
                let own = last.split('.').next().unwrap_or_default();
                last.contains("health") || matches!(own, "ping" | "liveness" | "readiness")
            })
            .map(|_| "/health");
        let path =
            chained.and_then(|r| r.positional(0)).and_then(Expr::route_text).or(own).or(named);
        let Some(path) = path else { continue };
        let args = call.args.iter().map(|arg| &arg.value).filter(|a| a.route_text().is_none());
        let handlers: Vec<&Expr> = args
            .filter(|a| matches!(a, Expr::Function(..) | Expr::Path(..) | Expr::Call(..)))
            .collect();
        let is_client =
            ["axios", "http", "client", "api", "request", "fetch", "agent", "$http", "supertest"]
                .iter()
                .any(|word| {
                    call.object()
                        .to_ascii_lowercase()
                        .split('.')
                        .any(|part| part.trim_end_matches("()") == *word)
                });
        // `api.use(…)` and what is given a function are no calls of a client.
        let is_client = is_client
            && name != "use"
            && !handlers.iter().any(|handler| matches!(handler, Expr::Function(..)));
        let is_mounted = ["metric", "health", "/ping", "/status", "/live", "/ready"]
            .iter()
            .any(|word| path.contains(word));
        if handlers.is_empty() || is_client || (name == "use" && !is_mounted) {
            continue;
        }
        let verb = name.strip_prefix("on").unwrap_or(name);
        let method = (name != "all" && name != "use").then(|| verb.to_uppercase());
        let (handler, calls) = handled_by(c, handlers.into_iter());
        routes.push((call.span, Route { method, path: path.to_owned(), handler, calls }));
    }
    let lists = module.assigns.iter().map(|assign| &assign.value);
    let given = module.calls.iter().flat_map(|call| call.args.iter().map(|arg| &arg.value));
    let returned = module.returns.iter().map(|(value, _)| value);
    lists.chain(given).chain(returned).for_each(|value| tabled(value, 0, &mut routes));
    next_routes(c, path, &mut routes);
    for (span, route) in routes {
        c.push_at_top(span, FactKind::Route(route));
    }
}

/// Routes in a table: `[{ verb: "get", path: "/health", controller: "server" }]`.
fn tabled(value: &Expr, depth: usize, routes: &mut Vec<(Span, Route)>) {
    let (Expr::List(items, _), true) = (value, depth < 4) else { return };
    for item in items {
        let Expr::Dict(_, span) = item else {
            tabled(item, depth + 1, routes);
            continue;
        };
        let path = item.key("path").or_else(|| item.key("url")).and_then(Expr::text);
        let method = item.key("verb").or_else(|| item.key("method"));
        if let (Some(path), Some(method)) = (path.filter(|path| path.starts_with('/')), method) {
            let method = method.text().map(str::to_uppercase);
            let path = path.to_owned();
            routes.push((*span, Route { method, path, handler: None, calls: Vec::new() }));
        }
    }
}

/// The last handler's name, and what unnamed ones call.
fn handled_by<'e>(
    c: &mut Classify<'_>,
    handlers: impl Iterator<Item = &'e Expr>,
) -> (Option<String>, Vec<(String, Span)>) {
    let (mut named, mut calls) = (None, Vec::new());
    for handler in handlers {
        match handler {
            Expr::Function(index, _) => {
                c.handlers.push(*index);
                calls.extend(c.calls_within(*index));
            }
            Expr::Path(path, _) => {
                if let Some(index) = c.function_named(path) {
                    c.handlers.push(index);
                }
                named = Some(path.rsplit('.').next().unwrap_or(path).to_owned());
            }
            Expr::Call(at, span) => {
                let call = &c.module.calls[*at];
                calls.push((call.callee.clone(), *span));
                // `asyncHandler(async (req, res) => …)`
                for arg in &call.args {
                    if let Expr::Function(index, _) = &arg.value {
                        c.handlers.push(*index);
                        calls.extend(c.calls_within(*index));
                    }
                }
            }
            _ => {}
        }
    }
    (named, calls)
}

/// The prefix of a controller: `@Controller('users')`.
fn controller(module: &Module, class: &str) -> String {
    let found = module.types.iter().find(|t| t.name == class);
    let text = found.into_iter().flat_map(|t| &t.bases).find(|b| b.starts_with("@Controller"));
    let text = text.map_or("", String::as_str);
    text.split(['\'', '"', '`']).nth(1).unwrap_or_default().to_owned()
}

/// Next.js: a file is a route.
fn next_routes(c: &mut Classify<'_>, path: &str, routes: &mut Vec<(Span, Route)>) {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let by_pages = stem
        .split_once("pages/api/")
        .map(|(_, rest)| format!("/api/{}", rest.trim_end_matches("/index")));
    let by_app = stem.strip_suffix("/route").and_then(|s| {
        let at = s.find("app/")?;
        Some(format!("/{}", &s[at + 4..]))
    });
    let Some(route) = by_pages.or(by_app) else { return };
    let whole = Span::new(0, 1);
    let methods = ["GET", "POST", "PUT", "DELETE", "PATCH"];
    let mut found = false;
    for (index, function) in
        c.module.functions.iter().enumerate().filter(|(_, f)| f.parent.is_none())
    {
        let is_method = methods.contains(&function.name.as_str());
        if is_method || (path.contains("pages/api/") && function.name != "<anonymous>") {
            c.handlers.push(index);
            found = true;
            let method = is_method.then(|| function.name.clone());
            let handler = Some(function.name.clone());
            routes.push((
                function.span,
                Route { method, path: route.clone(), handler, calls: Vec::new() },
            ));
        }
    }
    if found {
        c.push(whole, Context::default(), FactKind::Server(Framework("next".into())));
    }
}

/// Whether a value is the error that is being caught, or holds it with its stack.
fn is_error(c: &Classify<'_>, call: &Call, value: &Expr) -> bool {
    let caught = call.at.catch.and_then(|at| c.module.catches[at].error.clone());
    let caught = caught.as_deref();
    // `const error = ensureError(e)`: what was made of it whole stands for it.
    let is_made_of_it = |path: &str| {
        caught.is_some_and(|caught| {
            c.module.assigns.iter().any(|assign| {
                assign.target == path
                    && assign.at.catch == call.at.catch
                    && is_whole(c, &assign.value, caught)
            })
        })
    };
    let is = |path: &str| {
        caught == Some(path) || path.ends_with(".stack") || path == "stack" || is_made_of_it(path)
    };
    match value {
        Expr::Path(path, _) => is(path),
        Expr::Dict(pairs, _) => pairs.iter().any(|(_, value)| value.path().is_some_and(is)),
        Expr::Interpolated(..) | Expr::Join(..) | Expr::Choice(..) => {
            crate::lang::shared::mentions_expr(value, &|path| path.ends_with(".stack"), 0)
        }
        // `inspect(err)`, `errors.serialize(err)`.
        Expr::Call(..) => caught.is_some_and(|caught| is_whole(c, value, caught)),
        _ => false,
    }
}

/// Whether an expression is an error, or a call that makes another form of all of it.
fn is_whole(c: &Classify<'_>, value: &Expr, caught: &str) -> bool {
    match value {
        Expr::Path(path, _) => path == caught,
        Expr::Call(at, _) => c.module.calls.get(*at).is_some_and(|made| {
            let name = made.name().to_ascii_lowercase();
            let keeps = ["error", "err", "inspect", "serialize", "normalize", "wrap"];
            keeps.iter().any(|word| name.contains(word))
                && made.args.iter().any(|arg| match &arg.value {
                    // `new ImportError({ err })`
                    Expr::Dict(pairs, _) => {
                        pairs.iter().any(|(_, value)| value.path() == Some(caught))
                    }
                    value => value.path() == Some(caught),
                })
        }),
        Expr::Choice(_, parts, _) => parts.iter().any(|part| is_whole(c, part, caught)),
        _ => false,
    }
}

/// Whether the catch around a call hands its error on to what answers for it: `next(err)`, `reject(err)`, `exit(err)`.
fn is_handed_on(c: &Classify<'_>, call: &Call) -> bool {
    let Some(catch) = call.at.catch.map(|at| &c.module.catches[at]) else { return false };
    let takes = ["next", "reject", "done", "cb", "callback", "exit", "fail", "fatal"];
    catch.error.as_deref().is_some_and(|caught| {
        let inside = c.module.calls.iter().filter(|other| catch.span.contains(other.span));
        inside.into_iter().any(|other| {
            takes.contains(&other.name())
                && other.args.iter().any(|arg| arg.value.path() == Some(caught))
        })
    })
}

fn log_call(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    if !LEVELS.contains(&name) || call.object().is_empty() || call.args.is_empty() {
        return;
    }
    let made = c.made_on(call).unwrap_or_default();
    let made = made.strip_prefix("new ").unwrap_or(&made);
    let object = call.object().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let from = |library: &str| {
        let is_member = |path: &str| member_of(path, library).is_some();
        is_member(full) || made == library || is_member(made)
    };
    let (system, style) = if call.object() == "console" || call.object() == "globalThis.console" {
        ("console", LogStyle::Print)
    } else if from("pino") {
        ("pino", LogStyle::Structured)
    } else if from("winston") {
        ("winston", LogStyle::Structured)
    } else if from("bunyan") {
        ("bunyan", LogStyle::Structured)
    } else if from("log4js") || from("loglevel") || from("signale") || from("consola") {
        ("log4js", LogStyle::Text)
    } else if from("@nestjs/common") {
        ("nest", LogStyle::Text)
    } else if matches!(object.as_str(), "logger" | "log" | "_logger" | "_log" | "logging")
        || object.ends_with("logger")
    {
        ("logger", LogStyle::Unknown)
    } else {
        return;
    };
    if style == LogStyle::Print && is_after_shutdown(c, call) {
        return;
    }
    let level =
        if style == LogStyle::Print && name == "log" { None } else { Level::from_name(name) };
    let mut log = c.log_call(call, system, style, level);
    log.has_error = call.args.iter().any(|arg| is_error(c, call, &arg.value));
    log.rethrown |= is_handed_on(c, call);
    c.push(call.span, call.at, FactKind::Log(log));
}

/// Whether a line is said when telemetry is shut down: its logger exports nothing any more. In what `sdk.shutdown()` is
/// chained with, or behind it in the same function.
fn is_after_shutdown(c: &Classify<'_>, call: &Call) -> bool {
    let ends = |other: &Call| {
        let object = other.object().to_ascii_lowercase();
        matches!(other.name(), "shutdown" | "forceFlush" | "flush" | "end")
            && [
                "sdk",
                "provider",
                "otel",
                "tracer",
                "telemetry",
                "exporter",
                "logger",
                "opentelemetry",
            ]
            .iter()
            .any(|word| object.contains(word))
    };
    c.module.calls.iter().any(|other| match other.name() {
        "then" | "catch" | "finally" => {
            other.span.contains(call.span)
                && crate::lang::shared::chain(c, other)
                    .into_iter()
                    .skip(1)
                    .any(|link| ends(link) && !link.span.contains(call.span))
        }
        _ => {
            other.at.function.is_some()
                && other.at.function == call.at.function
                && other.span.end <= call.span.start
                && ends(other)
        }
    })
}

/// What a logger is bound to stands in every line to come: `logger.child({ … })`.
fn bound(c: &mut Classify<'_>, call: &Call, full: &str) {
    // `console.dir(…)`, `process.stdout.write(…)`: what the process prints is collected.
    if matches!(
        full,
        "console.dir" | "console.table" | "process.stdout.write" | "process.stderr.write"
    ) {
        return c.show(call, "console");
    }
    if !matches!(call.name(), "child" | "setBindings" | "assign" | "setContext") {
        return;
    }
    let made = c.made_on(call).unwrap_or_default();
    let made = made.trim_start_matches("new ");
    let of = |text: &str| ["pino", "winston", "bunyan"].iter().any(|name| text.starts_with(name));
    let object = call.object().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_named = matches!(object.as_str(), "log" | "_log") || object.ends_with("logger");
    if of(full) || of(made) || is_named {
        c.show(call, "context");
    }
}

fn log_setup(c: &mut Classify<'_>, call: &Call, full: &str) {
    let words = |words: &[&str]| setup::mentions(c, call, words);
    let (system, format) = match full {
        "pino" | "pino.pino" | "pino-http" | "pino-http.pinoHttp" | "express-pino-logger" => {
            // Pretty printing that no condition limits to development.
            let pretty = call.args.iter().any(|arg| setup::is_pretty(&arg.value, 0));
            ("pino", if pretty { LogFormat::Text } else { LogFormat::Structured })
        }
        "winston.createLogger" | "winston.configure" => {
            let text =
                words(&["simple", "printf", "prettyPrint", "cli"]) && !words(&["json", "logstash"]);
            ("winston", if text { LogFormat::Text } else { LogFormat::Structured })
        }
        "bunyan.createLogger" => ("bunyan", LogFormat::Structured),
        "log4js.configure" => {
            ("log4js", if words(&["json"]) { LogFormat::Structured } else { LogFormat::Text })
        }
        "nestjs-pino.LoggerModule.forRoot" | "nestjs-pino.LoggerModule.forRootAsync" => {
            ("pino", LogFormat::Structured)
        }
        "fastify" | "fastify.fastify" | "fastify.Fastify" => {
            let logger = call.positional(0).and_then(|options| options.key("logger"));
            match logger {
                None | Some(Expr::Bool(false, _)) => return,
                Some(logger) if setup::is_pretty(logger, 0) => ("pino", LogFormat::Text),
                Some(_) => ("pino", LogFormat::Structured),
            }
        }
        "morgan" => ("morgan", LogFormat::Text),
        "@nestjs/core.NestFactory.create" | "@nestjs/core.NestFactory.createMicroservice" => {
            return nest_levels(c, call, full);
        }
        _ if full.ends_with("OTLPLogExporter") => ("otlp", LogFormat::Structured),
        _ => return,
    };
    // Fastify's logger tells of each request, and gives it one of its own, with an id.
    if full.to_ascii_lowercase().starts_with("fastify") {
        c.push(call.span, call.at, FactKind::Correlation("Fastify's logger".to_owned()));
    }
    // Fastify hands its `logger` on to pino.
    let options = call
        .args
        .iter()
        .find_map(|arg| arg.value.key("level").or_else(|| arg.value.key("logger")?.key("level")));
    // The paths that pino takes out of what it is given.
    let redact = call
        .args
        .iter()
        .find_map(|arg| arg.value.key("redact").or_else(|| arg.value.key("logger")?.key("redact")));
    if let Some(redact) = redact {
        for (path, _) in redact.key("paths").unwrap_or(redact).texts() {
            c.push(redact.span(), call.at, FactKind::Redaction(format!("{TAKES_OUT}{path}")));
        }
    }
    let level = options.and_then(Expr::text).and_then(Level::from_name);
    let level = level.filter(|_| system != "winston" || !is_narrowed(c, call));
    let setup = LogSetup { system: system.into(), format, level, by: full.to_owned() };
    c.push(call.span, call.at, FactKind::LogSetup(setup));
}

/// `NestFactory.create(App, { logger: ["debug", …] })`: the list names what is written.
fn nest_levels(c: &mut Classify<'_>, call: &Call, full: &str) {
    let list = call.args.iter().find_map(|arg| arg.value.key("logger"));
    let levels = list.map(Expr::texts).unwrap_or_default();
    let level = levels.iter().filter_map(|(text, _)| Level::from_name(text)).min();
    if let Some(level) = level {
        let (system, format) = ("nest".to_owned(), LogFormat::Unsaid);
        let setup = LogSetup { system, format, level: Some(level), by: full.to_owned() };
        c.push(call.span, call.at, FactKind::LogSetup(setup));
    }
}

/// Whether transports decide on levels of their own: the logger's is no more than what it hands them.
fn is_narrowed(c: &Classify<'_>, call: &Call) -> bool {
    let transports = call.args.iter().find_map(|arg| arg.value.key("transports"));
    let narrows = |transport: &Expr| {
        let Expr::Call(at, _) = transport else { return false };
        let options = c.module.calls[*at].args.first();
        let level = options.and_then(|options| options.value.key("level"));
        level.is_some_and(|level| {
            level.text().and_then(Level::from_name).is_none_or(|level| level > Level::Debug)
        })
    };
    match transports {
        // Made elsewhere: with levels, or without.
        Some(Expr::Path(..)) => true,
        // Added later.
        Some(Expr::List(list, _)) => list.iter().all(narrows),
        _ => false,
    }
}

fn serving(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let imports = |module: &str| {
        c.module
            .imports
            .iter()
            .filter_map(|i| i.module.strip_prefix(module))
            .any(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let full = full.strip_prefix("node:").unwrap_or(full);
    let server = match full {
        "express" | "express.express" => "express",
        "connect" if imports("connect") => "connect",
        "restana" => "restana",
        "h3.createApp" | "h3.H3" => "h3",
        "elysia.Elysia" | "elysia" => "elysia",
        "ws.WebSocketServer" | "ws.Server" => "ws",
        "socket.io.Server" | "socket.io" => "socket.io",
        "net.createServer" | "tls.createServer" | "net.Server" => "tcp",
        "sails.lift" => "sails",
        "fastify" | "fastify.fastify" | "fastify.Fastify" => "fastify",
        "koa" => "koa",
        "hono.Hono" => "hono",
        "polka" => "polka",
        "restify.createServer" => "restify",
        "@nestjs/core.NestFactory.create" | "@nestjs/core.NestFactory.createMicroservice" => "nest",
        "@hapi/hapi.server" | "@hapi/hapi.Server" => "hapi",
        "http.createServer"
        | "https.createServer"
        | "http2.createServer"
        | "http2.createSecureServer"
        | "http.Server" => "http",
        "Bun.serve" | "Deno.serve" => "bun",
        _ if full.ends_with(".ApolloServer") => "apollo",
        _ if name == "Server" && (imports("@grpc/grpc-js") || imports("grpc")) => "grpc",
        _ => "",
    };
    if !server.is_empty() && !imports("vite") && !imports("webpack") {
        c.push(call.span, call.at, FactKind::Server(Framework(server.into())));
    }
    let made = c.made_on(call).unwrap_or_default();
    let worker = match full {
        "bullmq.Worker" => "bullmq",
        "sqs-consumer.Consumer.create" => "sqs",
        _ if made.contains("kafkajs") && name == "consumer" => "kafka",
        _ if name == "consume" && imports("amqplib") => "rabbitmq",
        _ if name == "process"
            && (made.starts_with("new bull") || imports("bull"))
            && call.object() != "" =>
        {
            "bull"
        }
        _ => "",
    };
    if !worker.is_empty() {
        c.push(call.span, call.at, FactKind::Worker(Framework(worker.into())));
    }
    let cli = match full {
        "commander.Command" | "commander.program.parse" | "commander.parse" => "commander",
        "yargs" | "yargs/yargs" => "yargs",
        "meow" | "minimist" | "cac" => "minimist",
        _ => "",
    };
    if !cli.is_empty() {
        c.push(call.span, call.at, FactKind::CommandLine(Framework(cli.into())));
    }
    if name == "listen" {
        c.push(call.span, call.at, FactKind::EntryPoint("listen".into()));
    }
    if METHODS.contains(&name) {
        crate::lang::shared::guarded_metrics(c, call);
    }
}

/// Functions of Express that errors end in: `(err, req, res, next)`.
fn error_handlers(c: &mut Classify<'_>) {
    let module = c.module;
    let within = |span: Span| module.calls.iter().filter(move |call| span.contains(call.span));
    let handlers = || {
        module.functions.iter().filter(|function| {
            let names: Vec<&str> = function.params.iter().map(|(name, _)| name.as_str()).collect();
            matches!(
                names.as_slice(),
                [error, request, response, _]
                    if error.trim_start_matches('_').starts_with("err")
                        && request.trim_start_matches('_').starts_with("req")
                        && response.starts_with("res")
            )
        })
    };
    let records = |call: &Call| {
        crate::lang::classify::records(call) || matches!(call.name(), "next" | "captureException")
    };
    // One that logs and hands on stands before the one that answers.
    if handlers().any(|handler| within(handler.span).any(records)) {
        return;
    }
    let is_500 = |expr: &Expr| match expr {
        Expr::Number(number, _) => number.parse::<u16>().is_ok_and(|n| (500..505).contains(&n)),
        Expr::Choice(_, parts, _) => parts.iter().any(part_is_500),
        Expr::Path(path, _) => path.ends_with("INTERNAL_SERVER_ERROR"),
        _ => false,
    };
    for handler in handlers() {
        let mut answers = within(handler.span)
            .filter(|call| matches!(call.name(), "status" | "sendStatus" | "writeHead"));
        if let Some(call) = answers.find(|call| call.positional(0).is_some_and(is_500)) {
            let answer = ErrorAnswer { status: 500, recorded: false };
            c.push(call.span, call.at, FactKind::ErrorAnswer(answer));
        }
    }
}

fn part_is_500(expr: &Expr) -> bool {
    matches!(expr, Expr::Number(number, _) if number == "500")
}

/// A handler that answers with 500 in a catch.
fn error_answer(c: &mut Classify<'_>, call: &Call) {
    if call.at.catch.is_none() {
        return;
    }
    let number = |expr: Option<&Expr>| match expr {
        Some(Expr::Number(number, _)) => number.parse::<u16>().ok(),
        Some(Expr::Path(path, _)) if path.ends_with("INTERNAL_SERVER_ERROR") => Some(500),
        _ => None,
    };
    let status = match call.name() {
        "status" | "code" | "sendStatus" | "writeHead" => number(call.positional(0)),
        "json" | "Response" | "new Response" => {
            number(call.positional(1).and_then(|options| options.key("status")))
        }
        "new InternalServerErrorException" | "InternalServerErrorException" => Some(500),
        "new HttpException" | "HttpException" => number(call.positional(1)),
        _ => None,
    };
    if let Some(status @ (500 | 502 | 504)) = status {
        let span = c.module.catches[call.at.catch.unwrap_or_default()].span;
        let recorded = c
            .module
            .calls
            .iter()
            .any(|other| span.contains(other.span) && crate::lang::classify::records(other));
        c.push(call.span, call.at, FactKind::ErrorAnswer(ErrorAnswer { status, recorded }));
    }
}
