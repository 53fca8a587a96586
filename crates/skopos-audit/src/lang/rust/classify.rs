//! Rust's calls → facts of serving, life cycle and calls to others.

use crate::fact::{Field, Framework, Message, Source, TypeDef};
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Context, Expr, Module};
use crate::lang::shared::{
    chain, error_answer, is_telemetry, mentions, names_health, route, within,
};
use crate::{Fact, FactKind, Guard, Span};

pub(super) const METHODS: [&str; 7] = ["get", "post", "put", "delete", "patch", "head", "options"];

pub(super) fn facts(path: &str, module: &Module, own_print: &[String]) -> Vec<Fact> {
    let mut c = Classify::new(module);
    for import in &module.imports {
        c.push_at_top(import.span, FactKind::Import(import.module.clone()));
    }
    let may_start =
        path.ends_with("main.rs") || path.contains("src/bin/") || !path.contains("lib.rs");
    if may_start
        && let Some(main) = module
            .functions
            .iter()
            .find(|f| f.name == "main" && f.class.is_none() && f.parent.is_none())
    {
        c.push_at_top(main.span, FactKind::EntryPoint("main".into()));
    }
    attributed(&mut c);
    routes(&mut c);
    c.push_functions();
    c.push_ends_of_main();
    spans_of_calls(&mut c);
    for call in &module.calls {
        let full = c.resolve(&call.callee);
        serving(&mut c, call, &full);
        super::logs::log(&mut c, call, &full);
        super::telemetry::metrics(&mut c, call, &full);
        super::telemetry::tracing(&mut c, call, &full);
        lifecycle(&mut c, call, &full);
        others(&mut c, call, &full);
    }
    for def in &module.types {
        if def.bases.iter().any(|base| base == "Parser" || base.ends_with("clap::Parser")) {
            c.push_at_top(def.span, FactKind::CommandLine(Framework("clap".into())));
        }
        // A type without a derived Debug cannot be printed whole by accident.
        let derives = def
            .bases
            .iter()
            .any(|base| matches!(base.rsplit("::").next(), Some("Debug" | "Serialize")));
        let own_print = own_print.contains(&def.name) || !derives;
        let kind = TypeDef { name: def.name.clone(), fields: def.fields.clone(), own_print };
        c.push_at_top(def.span, FactKind::Type(kind));
    }
    bodies(&mut c);
    crate::lang::data::databases(&mut c);
    c.facts
}

/// A handler's argument that is a text or bytes is the body of the request: extractors of everything else have types of
/// their own.
fn bodies(c: &mut Classify<'_>) {
    let module = c.module;
    let is_raw = |declared: &str| {
        let last = declared.rsplit("::").next().unwrap_or(declared);
        matches!(last, "String" | "Bytes" | "BytesMut") || declared == "Vec<u8>"
    };
    // The handlers, and what is plainly one of another file: it is given what frameworks extract.
    let extracts = |declared: &str| {
        let name = declared.split('<').next().unwrap_or(declared);
        let last = name.rsplit("::").next().unwrap_or(name);
        declared.contains('<') && matches!(last, "State" | "Json" | "Query" | "Extension" | "Form")
            || matches!(last, "HeaderMap" | "HttpRequest")
            || declared.starts_with("web::")
    };
    let bodies: Vec<(Span, &str)> = module
        .functions
        .iter()
        .enumerate()
        .filter(|(index, function)| {
            let declared = function.params.iter().filter_map(|(_, t)| t.as_deref());
            c.handlers.contains(index) || declared.into_iter().any(extracts)
        })
        .flat_map(|(_, function)| {
            let raw = function.params.iter().filter(|(_, t)| t.as_deref().is_some_and(is_raw));
            raw.map(|(name, _)| (function.span, name.as_str()))
        })
        .collect();
    if bodies.is_empty() {
        return;
    }
    for fact in &mut c.facts {
        let FactKind::Log(log) = &mut fact.kind else { continue };
        for source in log.fields.iter_mut().flat_map(|field| &mut field.sources) {
            let is_body =
                |(span, name): &(Span, &str)| span.contains(fact.span) && source.path == *name;
            if source.origins.is_empty() && bodies.iter().any(is_body) {
                source.origins.push("request.body".to_owned());
            } else if let Some(from) = source.origins.last().cloned()
                && bodies.iter().any(|(span, name)| span.contains(fact.span) && from == *name)
            {
                source.origins.push("request.body".to_owned());
            }
        }
    }
}

/// `#[get("/path")]` of actix and Rocket.
fn attributed(c: &mut Classify<'_>) {
    let module = c.module;
    for (index, function) in module.functions.iter().enumerate() {
        for decorator in &function.decorators {
            if let Expr::Path(path, span) = decorator
                && path.trim_start_matches('#').rsplit('.').next() == Some("instrument")
            {
                instrumented(c, index, "", *span);
            }
            let Expr::Call(at, span) = decorator else { continue };
            let call = &module.calls[*at];
            let name = call.callee.trim_start_matches('#').rsplit('.').next().unwrap_or_default();
            let text = call.positional(0).and_then(Expr::text).unwrap_or_default();
            if name == "instrument" {
                instrumented(c, index, text, *span);
                continue;
            }
            let path = text.split('"').nth(1).filter(|path| path.starts_with('/'));
            let (true, Some(path)) = (METHODS.contains(&name) || name == "route", path) else {
                continue;
            };
            c.handlers.push(index);
            let method = name.to_uppercase();
            let handler = Expr::Path(function.name.clone(), *span);
            route(c, *span, Some(&method), path, Some(&handler));
        }
    }
}

/// Functions under `#[instrument]` at its own level, INFO, or above: rules on handlers ask whether each call makes a span.
fn spans_of_calls(c: &mut Classify<'_>) {
    const QUIET: [&str; 4] = ["\"debug\"", "\"trace\"", "level::debug", "level::trace"];
    let module = c.module;
    for function in &module.functions {
        let span = function.decorators.iter().find_map(|decorator| {
            let (name, text, span) = match decorator {
                Expr::Path(path, span) => (path.as_str(), "", *span),
                Expr::Call(at, span) => {
                    let call = &module.calls[*at];
                    let text = call.positional(0).and_then(Expr::text).unwrap_or_default();
                    (call.callee.as_str(), text, *span)
                }
                _ => return None,
            };
            let text: String = text.split_whitespace().collect::<String>().to_ascii_lowercase();
            let is_instrument =
                name.trim_start_matches('#').rsplit('.').next() == Some("instrument");
            (is_instrument && !QUIET.iter().any(|quiet| text.contains(quiet))).then_some(span)
        });
        let Some(span) = span else { continue };
        let name = function.qualified();
        for fact in &mut c.facts {
            if let FactKind::Function(known) = &mut fact.kind
                && known.name == name
                && fact.span == function.span
            {
                known.calls.push(("#[instrument]".to_owned(), span));
            }
        }
    }
}

/// `#[tracing::instrument(skip(pool), fields(email = %form.email))]`: what stands in `fields`, and every argument that
/// is not skipped, is on the span and on each log line in it.
fn instrumented(c: &mut Classify<'_>, index: usize, text: &str, span: Span) {
    let inside = |key: &str| -> Option<&str> {
        let start = text.find(&format!("{key}("))? + key.len() + 1;
        Some(text[start..].split(')').next().unwrap_or_default())
    };
    let at = Context { function: Some(index), ..Context::default() };
    for pair in inside("fields").unwrap_or_default().split(',') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.trim().trim_start_matches(['%', '?', '&', '*']);
        let is_path = !value.is_empty()
            && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_'));
        if is_path {
            let sources = vec![Source { path: value.to_owned(), ..Source::default() }];
            let name = Some(name.trim().to_owned());
            let field = Field { name, span, literal: None, sources };
            c.push(span, at, FactKind::SpanAttribute(field));
        }
    }
    if text.contains("skip_all") {
        return;
    }
    let skipped: Vec<&str> = inside("skip").unwrap_or_default().split(',').map(str::trim).collect();
    let params = c.module.functions[index].params.clone();
    for (name, declared) in params {
        if name == "self" || skipped.contains(&name.as_str()) {
            continue;
        }
        let source = Source { path: name.clone(), declared, ..Source::default() };
        let field = Field { name: Some(name), span, literal: None, sources: vec![source] };
        c.push(span, at, FactKind::SpanAttribute(field));
    }
}

/// `.route("/path", get(handler))`, `web::resource("/path").route(web::get().to(handler))`, nested scopes.
fn routes(c: &mut Classify<'_>) {
    let module = c.module;
    for call in &module.calls {
        let name = call.name();
        if !matches!(name, "route" | "route_service" | "nest" | "resource" | "service") {
            continue;
        }
        let given = call.positional(0).and_then(|value| c.route_path(value));
        let inner = call.positional(1).and_then(|value| match value {
            Expr::Call(at, _) => Some(&module.calls[*at]),
            _ => None,
        });
        let handler = inner.and_then(|inner| {
            to_handler(c, inner).or_else(|| inner.args.last().map(|arg| arg.value.clone()))
        });
        // A path from the configuration, and a handler that says what it answers.
        let by_name = (name == "route" && names_health(handler.as_ref())).then_some("");
        let Some(path) = given.filter(|path| path.starts_with('/')).or(by_name) else { continue };
        if name == "nest" {
            continue;
        }
        if name == "resource" {
            // What the resource is given stands further along the chain.
            let next = module.calls.iter().find(|other| {
                chain(c, other).iter().skip(1).any(|link| link.span == call.span)
                    && matches!(other.name(), "route" | "to")
            });
            let handler = next.and_then(|next| to_handler(c, next));
            route(c, call.span, None, path, handler.as_ref());
            continue;
        }
        match call.positional(1) {
            Some(Expr::Call(at, span)) => {
                let inner = &module.calls[*at];
                let mut found = false;
                for link in chain(c, inner) {
                    let method = link.name();
                    if METHODS.contains(&method) || method == "any" {
                        let handler = to_handler(c, inner)
                            .or_else(|| link.args.last().map(|arg| arg.value.clone()));
                        let upper = method.to_uppercase();
                        let method = (method != "any").then_some(upper.as_str());
                        route(c, *span, method, path, handler.as_ref());
                        found = true;
                    }
                }
                if !found {
                    route(c, call.span, None, path, call.positional(1));
                }
            }
            other => route(c, call.span, None, path, other),
        }
    }
}

/// What `.to(handler)` is given, anywhere in a call.
fn to_handler(c: &Classify<'_>, call: &Call) -> Option<Expr> {
    let itself = (call.name() == "to").then_some(call);
    let to = itself.or_else(|| within(c, call).find(|inner| inner.name() == "to"))?;
    to.args.last().map(|arg| arg.value.clone())
}

/// The operator's routes of our own SDK: probes and metrics.
fn ops_routes(c: &mut Classify<'_>, call: &Call) {
    let is_ours = c.module.imports.iter().any(|import| import.module.starts_with("skopos"))
        || c.module.calls.iter().any(|other| other.callee.starts_with("skopos."));
    if is_ours && matches!(call.name(), "ops_router" | "serve_ops") {
        for path in ["/health/live", "/health/ready", "/health/startup", "/metrics"] {
            route(c, call.span, Some("GET"), path, None);
        }
    }
}

fn serving(c: &mut Classify<'_>, call: &Call, full: &str) {
    ops_routes(c, call);
    let server = match full {
        "axum.serve" | "axum.Router.new" | "axum.Server.bind" => Some("axum"),
        "actix_web.HttpServer.new" => Some("actix-web"),
        "rocket.build" | "rocket.ignite" | "rocket.custom" => Some("rocket"),
        "tonic.transport.Server.builder" => Some("tonic"),
        "warp.serve" => Some("warp"),
        "hyper.Server.bind"
        | "hyper.server.conn.http1.Builder.new"
        | "hyper_util.server.conn.auto.Builder.new" => Some("hyper"),
        "poem.Server.new" => Some("poem"),
        "salvo.Server.new" => Some("salvo"),
        "tide.new" | "tide.with_state" => Some("tide"),
        "gotham.start" => Some("gotham"),
        "rouille.start_server" => Some("rouille"),
        "tiny_http.Server.http" => Some("tiny_http"),
        "jsonrpsee.server.ServerBuilder.new" | "jsonrpsee.server.Server.builder" => {
            Some("jsonrpsee")
        }
        _ if full.starts_with("axum_server.bind") => Some("axum"),
        "pingora.server.Server.new" | "pingora_core.server.Server.new" => Some("pingora"),
        // A socket is a server where connections are taken from it.
        _ if full.ends_with("TcpListener.bind")
            && call.at.guard != Guard::Development
            && c.module.calls.iter().any(|c| matches!(c.name(), "accept" | "incoming")) =>
        {
            Some("tcp")
        }
        _ => None,
    };
    if let Some(name) = server {
        c.push(call.span, call.at, FactKind::Server(Framework(name.to_owned())));
    }
    let worker = match call.name() {
        "basic_consume" => Some("lapin"),
        "subscribe"
            if full.contains("rdkafka")
                || c.made_on(call).is_some_and(|made| made.contains("rdkafka")) =>
        {
            Some("rdkafka")
        }
        _ => None,
    };
    if let Some(name) = worker {
        c.push(call.span, call.at, FactKind::Worker(Framework(name.to_owned())));
    }
    if full.starts_with("clap.Command.new") || full.starts_with("clap.App.new") {
        c.push(call.span, call.at, FactKind::CommandLine(Framework("clap".into())));
    }
}

fn lifecycle(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let by = call.callee.clone();
    match name {
        "exit" if full == "std.process.exit" || full == "process.exit" => {
            c.push(call.span, call.at, FactKind::Exit(by));
        }
        "force_flush" | "shutdown_tracer_provider" => {
            c.push(call.span, call.at, FactKind::Flush(by))
        }
        "shutdown" | "shutdown_blocking" => {
            let made = c.made_on(call).unwrap_or_default();
            if is_telemetry(&made) || is_telemetry(&call.callee) || made.starts_with("skopos") {
                c.push(call.span, call.at, FactKind::Flush(by));
            }
        }
        "with_graceful_shutdown"
        | "serve_with_shutdown"
        | "serve_with_incoming_shutdown"
        | "ctrl_c"
        | "shutdown_signal" => {
            c.push(call.span, call.at, FactKind::Graceful(by));
        }
        _ if full.contains("SignalKind.terminate") || full.contains("signal_hook") => {
            c.push(call.span, call.at, FactKind::Graceful(full.to_owned()));
        }
        _ => {}
    }
}

fn others(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    if matches!(
        full,
        "std.env.var"
            | "env.var"
            | "std.env.var_os"
            | "env.var_os"
            | "env!"
            | "option_env!"
            | "std.env!"
    ) && let Some(key) = call.positional(0).and_then(Expr::text)
    {
        c.push(call.span, call.at, FactKind::Environment(key.to_owned()));
    }
    if full == "sentry.init" {
        c.push(call.span, call.at, FactKind::ErrorTracker("sentry".into()));
    }
    if matches!(name, "InternalServerError") && call.callee.contains("HttpResponse") {
        error_answer(c, call, 500);
    }
    super::answers::tell(c, call);
    super::outbound::tell(c, call, full);
    let broker = match name {
        "basic_publish" => Some(("rabbitmq", true)),
        "send" | "send_result" if mentions(c, call, &["FutureRecord", "BaseRecord"]) => {
            Some(("kafka", true))
        }
        _ => None,
    };
    if let Some((broker, published)) = broker {
        let has_context = mentions(c, call, &["inject", "traceparent", "OwnedHeaders"]);
        c.push(
            call.span,
            call.at,
            FactKind::Message(Message { broker: broker.into(), published, has_context }),
        );
    }
}
