//! Python's calls and assignments → facts.

use crate::fact::{
    ErrorAnswer, Exposed, Framework, LogFormat, LogSetup, LogStyle, Message, Metric, MetricKind,
    MetricUse, Outbound, Route, Tracing, TracingRole, TypeDef,
};
use crate::files::name as file_name;
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr, Module};
use crate::{Fact, FactKind, Guard, Level, Span};

const METHODS: &[&str] = &["get", "post", "put", "delete", "patch", "head", "options"];
const LEVELS: &[&str] = &[
    "debug",
    "info",
    "warning",
    "warn",
    "error",
    "exception",
    "critical",
    "fatal",
    "log",
    "trace",
    "success",
    "msg",
];

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
        log_call(&mut c, call, &full);
        log_setup(&mut c, call, &full);
        metrics(&mut c, call, &full);
        tracing(&mut c, call, &full);
        serving(&mut c, call, &full);
        lifecycle(&mut c, call, &full);
        error_answer(&mut c, call);
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
    for (span, route) in routes {
        c.push_at_top(span, FactKind::Route(route));
    }
}

fn log_call(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    if full == "print" || full == "pprint.pprint" || full == "sys.stdout.write" {
        let elsewhere =
            call.named("file").and_then(Expr::path).is_some_and(|path| !path.starts_with("sys."));
        if !elsewhere {
            let log = c.log_call(call, "print", LogStyle::Print, None);
            c.push(call.span, call.at, FactKind::Log(log));
        }
        return;
    }
    if !LEVELS.contains(&name) || call.object().is_empty() {
        return;
    }
    let made = c.made_on(call).unwrap_or_default();
    let object = call.object().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let (system, style) = if full.starts_with("logging.") || made.starts_with("logging.") {
        ("logging", LogStyle::Text)
    } else if made.starts_with("structlog") || full.starts_with("structlog") {
        ("structlog", LogStyle::Structured)
    } else if full.starts_with("loguru.") || made.starts_with("loguru") {
        ("loguru", LogStyle::Text)
    } else if full.starts_with("logfire.") {
        ("logfire", LogStyle::Structured)
    } else if call.object().ends_with("app.logger") || made == "celery.utils.log.get_task_logger" {
        ("logging", LogStyle::Text)
    } else if matches!(object.as_str(), "logger" | "log" | "_logger" | "_log" | "logging")
        || object.ends_with("logger")
        || object.ends_with("_log")
    {
        ("logger", LogStyle::Unknown)
    } else {
        return;
    };
    let level = match name {
        "msg" => Some(Level::Info),
        "log" => call
            .positional(0)
            .and_then(Expr::path)
            .and_then(|p| Level::from_name(p.rsplit('.').next()?)),
        _ => Level::from_name(name),
    };
    let mut log = c.log_call(call, system, style, level);
    let is_true = |key: &str| {
        call.named(key).is_some_and(|value| !matches!(value, Expr::Bool(false, _) | Expr::Null(_)))
    };
    log.has_error = name == "exception" || is_true("exc_info") || call.callee.contains("opt()");
    log.fields.retain(|field| {
        !matches!(field.name.as_deref(), Some("exc_info" | "stack_info" | "stacklevel"))
    });
    for field in &mut log.fields {
        if let Some(name) = field.name.as_deref().and_then(|n| n.strip_prefix("extra.")) {
            field.name = Some(name.to_owned());
        }
    }
    c.push(call.span, call.at, FactKind::Log(log));
}

/// Whether a call or what is in its arguments names one of these.
fn mentions(c: &Classify<'_>, call: &Call, words: &[&str]) -> bool {
    let within = |other: &Call| call.span.contains(other.span);
    let named = c.module.calls.iter().filter(|other| within(other));
    let in_calls =
        named.into_iter().any(|other| words.iter().any(|word| other.callee.contains(word)));
    in_calls || call.args.iter().any(|arg| mentions_expr(&arg.value, words, 0))
}

fn mentions_expr(expr: &Expr, words: &[&str], depth: usize) -> bool {
    if depth > 10 {
        return false;
    }
    let has = |text: &str| words.iter().any(|word| text.contains(word));
    let any = |items: &[Expr]| items.iter().any(|item| mentions_expr(item, words, depth + 1));
    match expr {
        Expr::Path(text, _) | Expr::Str(text, _) => has(text),
        Expr::Interpolated(text, parts, _) => has(text) || any(parts),
        Expr::List(items, _)
        | Expr::Join(items, _)
        | Expr::Other(items, _)
        | Expr::Choice(_, items, _) => any(items),
        Expr::Dict(pairs, _) => pairs.iter().any(|(key, value)| {
            key.as_deref().is_some_and(has) || mentions_expr(value, words, depth + 1)
        }),
        _ => false,
    }
}

fn level_of(expr: Option<&Expr>) -> Option<Level> {
    match expr? {
        Expr::Path(path, _) | Expr::Str(path, _) => Level::from_name(path.rsplit('.').next()?),
        Expr::Number(number, _) => match number.parse::<u32>().ok()? {
            0..=9 => Some(Level::Trace),
            10..=19 => Some(Level::Debug),
            20..=29 => Some(Level::Info),
            _ => Some(Level::Warning),
        },
        _ => None,
    }
}

const JSON: &[&str] =
    &["json", "Json", "JSON", "logfmt", "Logfmt", "ecs_logging", "stdlib.ProcessorFormatter"];

fn log_setup(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let made = c.made_on(call).unwrap_or_default();
    let (system, format, level) = if full == "logging.basicConfig" {
        let told = call.named("handlers").is_some() || call.named("filename").is_some();
        let format = if mentions(c, call, JSON) {
            LogFormat::Structured
        } else if told {
            LogFormat::Unsaid
        } else {
            LogFormat::Text
        };
        ("logging", format, level_of(call.named("level")))
    } else if name == "JsonFormatter"
        || name == "JSONFormatter"
        || name == "StdlibFormatter"
        || full.starts_with("json_log_formatter.")
    {
        ("logging", LogFormat::Structured, None)
    } else if full == "logging.Formatter" {
        (
            "logging",
            if mentions(c, call, &["{\""]) { LogFormat::Structured } else { LogFormat::Text },
            None,
        )
    } else if full == "structlog.configure" {
        let format = if mentions(
            c,
            call,
            &[
                "JSONRenderer",
                "LogfmtRenderer",
                "wrap_for_formatter",
                "renderer",
                "KeyValueRenderer",
            ],
        ) {
            LogFormat::Structured
        } else if mentions(c, call, &["ConsoleRenderer"]) {
            LogFormat::Text
        } else {
            LogFormat::Unsaid
        };
        ("structlog", format, None)
    } else if name == "JSONRenderer" && full.starts_with("structlog") {
        ("structlog", LogFormat::Structured, None)
    } else if name == "dictConfig" {
        let format =
            if mentions(c, call, JSON) { LogFormat::Structured } else { LogFormat::Unsaid };
        ("logging", format, None)
    } else if full == "loguru.logger.add" || full == "loguru.logger.configure" {
        let format =
            if mentions_named(call, "serialize") { LogFormat::Structured } else { LogFormat::Text };
        ("loguru", format, level_of(call.named("level")))
    } else if name == "setLevel" && (made.starts_with("logging.") || full.contains("logging.")) {
        let of = call
            .receiver
            .map(|at| &c.module.calls[at])
            .and_then(|r| r.positional(0))
            .and_then(Expr::text);
        let level = level_of(call.positional(0));
        if of.is_some_and(|of| of.starts_with("sqlalchemy"))
            && level.is_some_and(|l| l <= Level::Info)
        {
            c.push(call.span, call.at, FactKind::SqlLogged("sqlalchemy.engine".into()));
            return;
        }
        ("logging", LogFormat::Unsaid, level)
    } else if full == "logfire.configure" {
        let token = call.named("service_name").and_then(Expr::text).map(str::to_owned);
        if call.named("service_name").is_some() {
            c.push(call.span, call.at, FactKind::ServiceName(token));
        }
        for role in [TracingRole::Provider, TracingRole::Exporter] {
            c.push(call.span, call.at, FactKind::Tracing(Tracing { role, what: "logfire".into() }));
        }
        c.push(call.span, call.at, FactKind::MetricsExposed(Exposed::Pushed("logfire".into())));
        c.push(call.span, call.at, FactKind::Correlation("logfire".into()));
        ("logfire", LogFormat::Structured, None)
    } else if name == "LoggingHandler" && full.contains("opentelemetry")
        || name == "OTLPLogExporter"
    {
        c.push(call.span, call.at, FactKind::Correlation("OpenTelemetry logs".into()));
        ("logging", LogFormat::Structured, None)
    } else {
        return;
    };
    let setup = LogSetup { system: system.into(), format, level, by: full.to_owned() };
    c.push(call.span, call.at, FactKind::LogSetup(setup));
}

fn mentions_named(call: &Call, name: &str) -> bool {
    call.named(name).is_some_and(|value| !matches!(value, Expr::Bool(false, _) | Expr::Null(_)))
}

fn metrics(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let is_prometheus =
        full.starts_with("prometheus_client.") || full.starts_with("aioprometheus.");
    let kind = match name {
        "Counter" if is_prometheus => Some(MetricKind::Counter),
        "Gauge" | "Info" | "Enum" if is_prometheus => Some(MetricKind::Gauge),
        "Histogram" if is_prometheus => Some(MetricKind::Histogram),
        "Summary" if is_prometheus => Some(MetricKind::Summary),
        "create_counter"
        | "create_up_down_counter"
        | "create_observable_counter"
        | "metric_counter" => Some(MetricKind::Counter),
        "create_gauge" | "create_observable_gauge" | "metric_gauge" => Some(MetricKind::Gauge),
        "create_histogram" | "metric_histogram" => Some(MetricKind::Histogram),
        _ => None,
    };
    if let Some(kind) = kind {
        let labels = call
            .named("labelnames")
            .or_else(|| call.named("labels"))
            .or_else(|| call.positional(2));
        let text = call.positional(0).or_else(|| call.named("name")).and_then(Expr::text);
        let metric = Metric {
            library: if is_prometheus { "prometheus" } else { "opentelemetry" }.into(),
            kind,
            name: text.map(str::to_owned),
            labels: if is_prometheus { labels.map_or(vec![], Expr::texts) } else { Vec::new() },
        };
        c.push(call.span, call.at, FactKind::Metric(metric));
        return;
    }
    let made = c.made_on(call).unwrap_or_default();
    let is_otel = made.contains("create_counter")
        || made.contains("create_histogram")
        || made.contains("create_up_down")
        || made.contains("create_gauge")
        || made.contains("logfire.metric_")
        || ["counter", "histogram", "gauge"].iter().any(|end| call.object().ends_with(end));
    let is_metric = made.starts_with("prometheus_client.")
        || call.object().chars().all(|c| c.is_ascii_uppercase() || c == '_');
    if name == "labels" && (is_metric || call.object().ends_with("_total") || !call.args.is_empty())
    {
        let labels = call
            .args
            .iter()
            .flat_map(|arg| c.module.fields(arg.name.as_deref(), &arg.value, call.at.function));
        let metric_use = MetricUse {
            metric: call.object().to_owned(),
            labels: labels.collect(),
            success_only: false,
        };
        c.push(call.span, call.at, FactKind::MetricUse(metric_use));
    } else if is_otel && matches!(name, "add" | "record" | "set") {
        let attributes = call.positional(1).or_else(|| call.named("attributes"));
        if let Some(attributes) = attributes {
            let labels = c.module.fields(None, attributes, call.at.function);
            let metric_use =
                MetricUse { metric: call.object().to_owned(), labels, success_only: false };
            c.push(call.span, call.at, FactKind::MetricUse(metric_use));
        }
    }
    let by = || full.to_owned();
    let exposed = match name {
        "start_http_server" | "generate_latest" | "make_asgi_app" | "make_wsgi_app"
            if full.starts_with("prometheus_client") =>
        {
            Exposed::Pulled(by())
        }
        "PrometheusMetricReader" => Exposed::Pulled(by()),
        "MultiProcessCollector" => Exposed::Multiprocess(by()),
        "push_to_gateway"
        | "pushadd_to_gateway"
        | "PeriodicExportingMetricReader"
        | "OTLPMetricExporter"
        | "StatsClient"
        | "DogStatsd" => Exposed::Pushed(by()),
        "Instrumentator" if full.starts_with("prometheus_fastapi_instrumentator") => {
            Exposed::Middleware(by())
        }
        "PrometheusMetrics" | "GunicornPrometheusMetrics" | "UWsgiPrometheusMetrics" => {
            Exposed::Middleware(by())
        }
        "add_middleware"
            if call.positional(0).and_then(Expr::path).is_some_and(|p| {
                p.contains("PrometheusMiddleware") || p.contains("MetricsMiddleware")
            }) =>
        {
            // The house's own middleware is judged by the metrics it defines.
            let path = call.positional(0).and_then(Expr::path).unwrap_or_default();
            if c.resolve(path).starts_with("starlette") {
                Exposed::Middleware(path.to_owned())
            } else {
                return;
            }
        }
        _ => return,
    };
    c.push(call.span, call.at, FactKind::MetricsExposed(exposed));
}

fn tracing(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let role = match name {
        "TracerProvider" => TracingRole::Provider,
        "OTLPSpanExporter" | "ZipkinExporter" | "JaegerExporter" | "CloudTraceSpanExporter" => {
            TracingRole::Exporter
        }
        "SimpleSpanProcessor" | "ConsoleSpanExporter" => TracingRole::DevelopmentExporter,
        "start_as_current_span" | "start_span" | "start_active_span" => TracingRole::Span,
        "inject" | "extract" if full.contains("opentelemetry") || full.contains("propagat") => {
            TracingRole::Propagation
        }
        "configure_azure_monitor" | "configure_opentelemetry" => TracingRole::Provider,
        _ if full.starts_with("ddtrace.")
            || full.starts_with("newrelic.")
            || full.starts_with("elasticapm.") =>
        {
            TracingRole::Vendor
        }
        _ if full == "traceloop.sdk.Traceloop.init" || full == "Traceloop.init" => {
            TracingRole::Provider
        }
        _ if name == "instrument"
            || name == "instrument_app"
            || full.starts_with("logfire.instrument_") =>
        {
            let from = call
                .receiver
                .map_or(call.object().to_owned(), |at| c.module.calls[at].callee.clone());
            if from.contains("Instrumentator")
                || !(from.ends_with("Instrumentor") || full.starts_with("logfire."))
            {
                return;
            }
            let what = if full.starts_with("logfire.") { name.to_owned() } else { from };
            if what.contains("Logging") {
                c.push(call.span, call.at, FactKind::Correlation(what.clone()));
            }
            let role = TracingRole::Instrumentation;
            c.push(call.span, call.at, FactKind::Tracing(Tracing { role, what }));
            return;
        }
        _ => return tracing_values(c, call, full),
    };
    if full == "logfire.span" || role == TracingRole::Span {
        let attributes = call.named("attributes");
        for field in
            attributes.map(|a| c.module.fields(None, a, call.at.function)).unwrap_or_default()
        {
            c.push(field.span, call.at, FactKind::SpanAttribute(field));
        }
    }
    if matches!(name, "configure_azure_monitor" | "init") {
        let what = full.to_owned();
        c.push(
            call.span,
            call.at,
            FactKind::Tracing(Tracing { role: TracingRole::Exporter, what }),
        );
    }
    c.push(call.span, call.at, FactKind::Tracing(Tracing { role, what: full.to_owned() }));
}

fn tracing_values(c: &mut Classify<'_>, call: &Call, full: &str) {
    let function = call.at.function;
    match call.name() {
        "set_attribute" | "set_baggage" => {
            let key = call.positional(0).and_then(Expr::text).map(str::to_owned);
            let value = call.positional(1);
            for mut field in value.map(|v| c.module.fields(None, v, function)).unwrap_or_default() {
                field.name = field.name.or_else(|| key.clone());
                c.push(call.span, call.at, FactKind::SpanAttribute(field));
            }
        }
        "set_attributes" => {
            let attributes = call.positional(0);
            for field in attributes.map(|a| c.module.fields(None, a, function)).unwrap_or_default()
            {
                c.push(field.span, call.at, FactKind::SpanAttribute(field));
            }
        }
        "create" | "Resource" if full.contains("Resource") => {
            let attributes = call.positional(0).or_else(|| call.named("attributes"));
            let Some(Expr::Dict(pairs, _)) = attributes else { return };
            for (key, value) in pairs {
                if matches!(
                    key.as_deref(),
                    Some("service.name" | "SERVICE_NAME" | "ResourceAttributes.SERVICE_NAME")
                ) {
                    let name = value.text().map(str::to_owned);
                    c.push(call.span, call.at, FactKind::ServiceName(name));
                }
            }
        }
        "init" if full == "sentry_sdk.init" => {
            c.push(call.span, call.at, FactKind::ErrorTracker("sentry".into()));
            if call.named("traces_sample_rate").is_some() || call.named("traces_sampler").is_some()
            {
                let tracing = Tracing { role: TracingRole::Vendor, what: full.to_owned() };
                c.push(call.span, call.at, FactKind::Tracing(tracing));
            }
        }
        "init" if full.starts_with("rollbar") || full.starts_with("bugsnag") => {
            c.push(call.span, call.at, FactKind::ErrorTracker(full.to_owned()));
        }
        _ => {}
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
    let server = server_of(full);
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
    let is_on = |key: &str| matches!(call.named(key), Some(Expr::Bool(true, _)));
    if is_on("debug") && (!server.is_empty() || name == "run") {
        c.push(call.span, call.at, FactKind::DebugMode(format!("{full}(debug=True)")));
    }
    if is_on("echo") && name.contains("create") && name.contains("engine") {
        c.push(call.span, call.at, FactKind::SqlLogged(format!("{name}(echo=True)")));
    }
    let is_auth = |text: &str| {
        let lower = text.to_ascii_lowercase();
        lower.contains("auth") || lower.contains("verify_token") || lower.contains("api_key")
    };
    let first = call.positional(0).and_then(Expr::path).unwrap_or_default().to_owned();
    if name == "add_middleware" && is_auth(&first) {
        let except = paths_in(c, &first);
        c.push(call.span, call.at, FactKind::AuthEverywhere { by: first, except });
    } else if server == "fastapi" && mentions_dependency(c, call, &is_auth) {
        let by = "FastAPI(dependencies=…)".to_owned();
        c.push(call.span, call.at, FactKind::AuthEverywhere { by, except: Vec::new() });
    }
}

fn mentions_dependency(c: &Classify<'_>, call: &Call, test: &dyn Fn(&str) -> bool) -> bool {
    let Some(dependencies) = call.named("dependencies") else { return false };
    let span = dependencies.span();
    c.module
        .calls
        .iter()
        .filter(|other| span.contains(other.span))
        .any(|other| other.positional(0).and_then(Expr::path).is_some_and(test))
}

/// Literal paths in the class or function of this name: what a middleware leaves out.
fn paths_in(c: &Classify<'_>, name: &str) -> Vec<String> {
    let spans: Vec<Span> = c
        .module
        .types
        .iter()
        .filter(|t| t.name == name)
        .map(|t| t.span)
        .chain(c.module.functions.iter().filter(|f| f.name == name).map(|f| f.span))
        .collect();
    // Literals that are compared are not calls: their statements keep them in assignments, calls or returns only; constants
    // at the top of the file (`EXEMPT = {"/metrics"}`) count too.
    let mut found = Vec::new();
    let mut take = |expr: &Expr| texts(expr, 0, &mut found);
    for call in c.module.calls.iter().filter(|call| spans.iter().any(|s| s.contains(call.span))) {
        call.args.iter().for_each(|arg| take(&arg.value));
    }
    c.module.assigns.iter().filter(|a| a.at.function.is_none()).for_each(|a| take(&a.value));
    found.retain(|text| text.starts_with('/'));
    found
}

fn texts(expr: &Expr, depth: usize, found: &mut Vec<String>) {
    match expr {
        Expr::Str(text, _) => found.push(text.clone()),
        Expr::List(items, _) | Expr::Other(items, _) | Expr::Truth(items, _) if depth < 6 => {
            items.iter().for_each(|item| texts(item, depth + 1, found));
        }
        _ => {}
    }
}

fn lifecycle(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let object = call.object().to_ascii_lowercase();
    let is_telemetry = |text: &str| {
        ["provider", "tracer", "meter", "telemetry", "exporter", "otel", "processor", "tracing"]
            .iter()
            .any(|w| text.contains(w))
    };
    let own = name.to_ascii_lowercase();
    let by_own_name =
        (own.contains("shutdown") || own.contains("flush") || own.contains("teardown"))
            && ["telemetry", "tracing", "otel", "observability", "trace", "metrics"]
                .iter()
                .any(|w| own.contains(w));
    if (matches!(name, "shutdown" | "force_flush" | "flush") && is_telemetry(&object))
        || by_own_name
        || full == "logging.shutdown"
        || full == "sentry_sdk.flush"
        || full == "logfire.force_flush"
    {
        c.push(call.span, call.at, FactKind::Flush(call.callee.clone()));
    }
    if full == "atexit.register"
        && let Some(path) = call.positional(0).and_then(Expr::path)
        && is_telemetry(&path.to_ascii_lowercase())
    {
        c.push(call.span, call.at, FactKind::Flush(format!("atexit.register({path})")));
    }
    if full == "signal.signal" || name == "add_signal_handler" {
        c.push(call.span, call.at, FactKind::Graceful(full.to_owned()));
    }
    if full == "os._exit" || full == "os.abort" {
        c.push(call.span, call.at, FactKind::Exit(full.to_owned()));
    }
    if matches!(full, "os.getenv" | "os.environ.get")
        && let Some(key) = call.positional(0).and_then(Expr::text)
    {
        c.push(call.span, call.at, FactKind::Environment(key.to_owned()));
    }
    let made = c.made_on(call).unwrap_or_default();
    let is_method = METHODS.contains(&name) || name == "request" || name == "urlopen";
    let client =
        ["requests", "httpx", "aiohttp", "urllib.request", "urllib3"].into_iter().find(|client| {
            let dotted = format!("{client}.");
            full.starts_with(&dotted)
                || (made.starts_with(&dotted) && !made.starts_with("aiohttp.web"))
        });
    if let Some(client) = client.filter(|_| is_method) {
        let url = call.args.iter().find_map(|arg| match &arg.value {
            Expr::Str(text, _) | Expr::Interpolated(text, _, _) if text.contains("://") => {
                Some(text.clone())
            }
            _ => None,
        });
        let has_context = call.named("headers").is_some_and(|headers| match headers {
            Expr::Dict(pairs, _) => pairs.iter().any(|(key, _)| {
                key.as_deref().is_some_and(|k| {
                    let k = k.to_ascii_lowercase();
                    k.contains("request-id") || k.contains("correlation") || k == "traceparent"
                })
            }),
            Expr::Path(path, _) => c.module.calls.iter().any(|other| {
                other.name() == "inject"
                    && other.args.iter().any(|arg| arg.value.path() == Some(path.as_str()))
            }),
            _ => false,
        });
        let outbound = Outbound { client: client.to_owned(), url, has_context };
        c.push(call.span, call.at, FactKind::Outbound(outbound));
    }
    let broker = [
        ("kafka", "kafka"),
        ("confluent_kafka", "kafka"),
        ("aiokafka", "kafka"),
        ("pika", "rabbitmq"),
    ]
    .into_iter()
    .find(|(library, _)| made.starts_with(&format!("{library}.")));
    if let Some((_, broker)) = broker
        && matches!(name, "send" | "produce" | "send_and_wait" | "basic_publish" | "publish")
    {
        let has_context = call.named("headers").is_some() || call.named("properties").is_some();
        let message = Message { broker: broker.into(), published: true, has_context };
        c.push(call.span, call.at, FactKind::Message(message));
    }
}

/// A handler that answers with 500 in a catch.
fn error_answer(c: &mut Classify<'_>, call: &Call) {
    if call.at.catch.is_none() {
        return;
    }
    let name = call.name();
    let is_answer = matches!(
        name,
        "HTTPException"
            | "JSONResponse"
            | "Response"
            | "HttpResponse"
            | "JsonResponse"
            | "abort"
            | "json_response"
            | "PlainTextResponse"
            | "make_response"
            | "HTTPInternalServerError"
            | "HttpResponseServerError"
            | "ORJSONResponse"
            | "HTMLResponse"
    );
    if !is_answer {
        return;
    }
    let status =
        call.named("status_code").or_else(|| call.named("status")).or_else(|| call.positional(0));
    let number = match status {
        Some(Expr::Number(number, _)) => number.parse().ok(),
        Some(Expr::Path(path, _)) => path
            .rsplit('_')
            .find_map(|part| part.parse().ok())
            .or_else(|| path.contains("INTERNAL_SERVER_ERROR").then_some(500)),
        _ if matches!(name, "HTTPInternalServerError" | "HttpResponseServerError") => Some(500),
        _ => None,
    };
    if let Some(status @ (500 | 502 | 504)) = number {
        // Raising an HTTPException answers; it records nothing.
        let span = c.module.catches[call.at.catch.unwrap_or_default()].span;
        let logged = c
            .module
            .calls
            .iter()
            .any(|other| span.contains(other.span) && crate::lang::classify::records(other));
        c.push(call.span, call.at, FactKind::ErrorAnswer(ErrorAnswer { status, recorded: logged }));
    }
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
        match assign.target.as_str() {
            "LOGGING" if is_settings => {
                let format = if mentions_expr(&assign.value, JSON, 0) {
                    LogFormat::Structured
                } else {
                    LogFormat::Text
                };
                let setup = LogSetup {
                    system: "logging".into(),
                    format,
                    level: None,
                    by: "LOGGING".into(),
                };
                c.push(assign.span, assign.at, FactKind::LogSetup(setup));
            }
            "urlpatterns" => {
                c.push(assign.span, assign.at, FactKind::Import("django.urlpatterns".into()))
            }
            "INSTALLED_APPS" if mentions_expr(&assign.value, &["django_prometheus"], 0) => {
                c.push(
                    assign.span,
                    assign.at,
                    FactKind::MetricsExposed(Exposed::Middleware("django_prometheus".into())),
                );
            }
            "ROOT_URLCONF" | "WSGI_APPLICATION" => {
                c.push(assign.span, assign.at, FactKind::Server(Framework("django".into())));
            }
            "MIDDLEWARE" if mentions_expr(&assign.value, &["LoginRequiredMiddleware"], 0) => {
                let by = "LoginRequiredMiddleware".to_owned();
                c.push(assign.span, assign.at, FactKind::AuthEverywhere { by, except: Vec::new() });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lower::module_of;
    use super::*;

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
