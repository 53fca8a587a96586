//! Java's calls and annotations → facts of serving, logging, life cycle and calls to others.

use crate::fact::{Framework, LogStyle, Message, Outbound, Route, TypeDef};
use crate::lang::classify::Classify;
use crate::lang::ir::{Arg, Call, Expr, Module};
use crate::lang::shared::{
    chain, error_answer, is_telemetry, level, mentions, root, server_status, with_args,
};
use crate::{Fact, FactKind};

use super::lower::File;

const LEVELS: [&str; 22] = [
    "trace", "debug", "info", "warn", "error", "fatal", "finest", "finer", "fine", "warning",
    "severe", "log", "infof", "errorf", "debugf", "warnf", "tracef", "fatalf", "infov", "debugv",
    "warnv", "errorv",
];

pub(super) fn facts(file: &File, text: &str) -> Vec<Fact> {
    let module = &file.module;
    let mut c = Classify::new(module);
    for import in &module.imports {
        c.push_at_top(import.span, FactKind::Import(import.module.clone()));
    }
    if let Some(main) = module.functions.iter().find(|f| f.name == "main" && f.params.len() <= 1)
        && text.contains("static void main")
    {
        c.push_at_top(main.span, FactKind::EntryPoint("main".into()));
    }
    classes(&mut c, file);
    c.push_functions();
    for call in &module.calls {
        let full = c.resolve(&call.callee);
        serving(&mut c, call, &full);
        log(&mut c, file, call, &full);
        bound(&mut c, call, &full);
        super::telemetry::metrics(&mut c, call, &full);
        super::telemetry::tracing(&mut c, call, &full);
        lifecycle(&mut c, call, &full);
        others(&mut c, call, &full);
    }
    for def in &module.types {
        let class = file.classes.iter().find(|class| class.span == def.span);
        let annotated = |names: &[&str]| {
            class.is_some_and(|class| {
                class.annotations.iter().any(|a| names.contains(&name_of(&c, a).as_str()))
            })
        };
        // Only records and Lombok print their fields; any other class prints its address.
        let prints_all = annotated(&["Data", "ToString", "Value"])
            || text
                .get(def.span.start as usize..def.span.end as usize)
                .is_some_and(|t| t.contains("record "));
        let has_own = module
            .functions
            .iter()
            .any(|f| f.class.as_deref() == Some(&def.name) && f.name == "toString");
        let printed = has_own.then(|| printed(module, &def.name)).flatten();
        let kind = TypeDef {
            name: def.name.clone(),
            own_print: (has_own || !prints_all) && printed.is_none(),
            fields: match printed {
                Some(names) => {
                    let is_named = |field: &&(String, String)| names.contains(&field.0);
                    def.fields.iter().filter(is_named).cloned().collect()
                }
                None => def.fields.clone(),
            },
        };
        c.push_at_top(def.span, FactKind::Type(kind));
    }
    crate::lang::data::databases(&mut c);
    c.facts
}

/// The fields that a class's own `toString` puts together, where it is one expression that names them.
fn printed(module: &Module, class: &str) -> Option<Vec<String>> {
    let at = module
        .functions
        .iter()
        .position(|f| f.class.as_deref() == Some(class) && f.name == "toString")?;
    let mut returns = module.returns.iter().filter(|(_, context)| context.function == Some(at));
    let (Some((Expr::Other(parts, _), _)), None) = (returns.next(), returns.next()) else {
        return None;
    };
    if !parts.iter().all(|part| matches!(part, Expr::Join(..))) {
        return None;
    }
    let mut names = Vec::new();
    joined(parts, &mut names);
    Some(names)
}

/// The variables that texts are put together of.
fn joined(parts: &[Expr], names: &mut Vec<String>) {
    for part in parts {
        match part {
            Expr::Path(path, _) => names.push(path.trim_start_matches("this.").to_owned()),
            Expr::Join(parts, _) | Expr::Other(parts, _) => joined(parts, names),
            _ => {}
        }
    }
}

/// The name of an annotation.
fn name_of(c: &Classify<'_>, annotation: &Expr) -> String {
    match annotation {
        Expr::Path(name, _) => name.clone(),
        Expr::Call(at, _) => c.module.calls[*at].callee.clone(),
        _ => String::new(),
    }
}

/// The path that an annotation gives: `@GetMapping("/x")`, `@RequestMapping(value = "/x")`, `@Path("x")`.
fn path_of(c: &Classify<'_>, annotation: &Expr) -> Option<String> {
    let Expr::Call(at, _) = annotation else { return Some(String::new()) };
    let call = &c.module.calls[*at];
    let value = call.named("value").or_else(|| call.named("path")).or_else(|| call.positional(0));
    match value {
        Some(value) => value.texts().first().map(|(text, _)| text.clone()),
        None => Some(String::new()),
    }
}

fn join(prefix: &str, path: &str) -> String {
    let joined = format!("/{}/{}", prefix.trim_matches('/'), path.trim_matches('/'));
    let joined = joined.replace("//", "/");
    if joined.len() > 1 { joined.trim_end_matches('/').to_owned() } else { joined }
}

/// What annotations say: applications, controllers, routes, listeners.
fn classes(c: &mut Classify<'_>, file: &File) {
    let module = c.module;
    for class in &file.classes {
        let has =
            |c: &Classify<'_>, name: &str| class.annotations.iter().any(|a| name_of(c, a) == name);
        if has(c, "SpringBootApplication") {
            c.push_at_top(
                class.annotations[0].span(),
                FactKind::Server(Framework("spring-boot".into())),
            );
        }
        let is_controller =
            ["RestController", "Controller", "RequestMapping"].iter().any(|name| has(c, name));
        let is_resource = has(c, "Path");
        let prefix = class
            .annotations
            .iter()
            .find(|a| matches!(name_of(c, a).as_str(), "RequestMapping" | "Path" | "Controller"))
            .and_then(|a| path_of(c, a))
            .filter(|path| is_resource || path.starts_with('/'))
            .unwrap_or_default();
        let extends = module.types.iter().find(|t| t.span == class.span).into_iter();
        let is_servlet = extends.flat_map(|t| &t.bases).any(|base| base == "HttpServlet");
        if is_servlet || has(c, "WebServlet") {
            c.push_at_top(class.span, FactKind::Server(Framework("servlet".into())));
        }
        if is_resource && module.imports.iter().any(|i| i.module.contains("ws.rs")) {
            c.push_at_top(class.span, FactKind::Server(Framework("quarkus".into())));
        }
        for (index, function) in module.functions.iter().enumerate() {
            let is_inside = function.class.as_deref() == Some(&class.name)
                && class.span.contains(function.span);
            if !is_inside {
                continue;
            }
            let own_path = function
                .decorators
                .iter()
                .find(|a| name_of(c, a) == "Path")
                .and_then(|a| path_of(c, a));
            for annotation in &function.decorators {
                let name = name_of(c, annotation);
                let method = match name.as_str() {
                    "GetMapping" | "PostMapping" | "PutMapping" | "DeleteMapping"
                    | "PatchMapping" => Some(name.trim_end_matches("Mapping").to_uppercase()),
                    "RequestMapping" => None,
                    "GET" | "POST" | "PUT" | "DELETE" | "PATCH" if is_resource => {
                        Some(name.clone())
                    }
                    "Get" | "Post" | "Put" | "Delete" if is_controller => Some(name.to_uppercase()),
                    "KafkaListener" | "RabbitListener" | "JmsListener" | "SqsListener"
                    | "Incoming" => {
                        c.push_at_top(annotation.span(), FactKind::Worker(Framework(name.clone())));
                        continue;
                    }
                    _ => continue,
                };
                let path = match is_resource {
                    true => own_path.clone().unwrap_or_default(),
                    false => path_of(c, annotation).unwrap_or_default(),
                };
                c.handlers.push(index);
                let route = Route {
                    method,
                    path: join(&prefix, &path),
                    handler: Some(function.qualified()),
                    calls: Vec::new(),
                };
                c.push_at_top(annotation.span(), FactKind::Route(route));
            }
        }
        // gRPC: a class that extends what the generator made.
        let extends_grpc = module
            .types
            .iter()
            .any(|t| t.span == class.span && t.bases.iter().any(|b| b.ends_with("ImplBase")));
        if extends_grpc {
            c.push_at_top(class.span, FactKind::Server(Framework("grpc".into())));
            for (index, function) in module.functions.iter().enumerate() {
                if function.class.as_deref() == Some(&class.name) && function.params.len() == 2 {
                    c.handlers.push(index);
                }
            }
        }
    }
}

fn serving(c: &mut Classify<'_>, call: &Call, full: &str) {
    let server = match full {
        _ if full.ends_with("SpringApplication.run") => Some("spring-boot"),
        _ if full.ends_with("Quarkus.run") => Some("quarkus"),
        _ if full.ends_with("Javalin.create") => Some("javalin"),
        _ if full.ends_with("ServerBuilder.forPort") => Some("grpc"),
        _ if call.name() == "createHttpServer" => Some("vertx"),
        "com.sun.net.httpserver.HttpServer.create" => Some("jdk"),
        "org.eclipse.jetty.server.Server" => Some("jetty"),
        "io.netty.bootstrap.ServerBootstrap" => Some("netty"),
        _ if full.ends_with("Undertow.builder") => Some("undertow"),
        _ if full.ends_with("WebServer.builder") && full.contains("helidon") => Some("helidon"),
        // A socket is a server where connections are taken from it.
        "java.net.ServerSocket" | "java.nio.channels.ServerSocketChannel.open"
            if c.module.calls.iter().any(|c| c.name() == "accept") =>
        {
            Some("tcp")
        }
        _ if full.ends_with("Micronaut.run") => Some("micronaut"),
        _ => None,
    };
    if let Some(name) = server {
        c.push(call.span, call.at, FactKind::Server(Framework(name.into())));
    }
    if full.ends_with("CommandLine")
        && c.module.imports.iter().any(|i| i.module.starts_with("picocli"))
    {
        c.push(call.span, call.at, FactKind::CommandLine(Framework("picocli".into())));
    }
}

fn log(c: &mut Classify<'_>, file: &File, call: &Call, full: &str) {
    let name = call.name();
    let is_stream = ["System.out.", "System.err."].iter().any(|start| full.starts_with(start));
    if (is_stream && matches!(name, "println" | "printf" | "print" | "format"))
        || name == "printStackTrace"
    {
        // Loggers may be gone already when a shutdown hook runs.
        let in_hook =
            |other: &Call| other.name() == "addShutdownHook" && other.span.contains(call.span);
        if c.module.calls.iter().any(in_hook) {
            return;
        }
        let mut log = c.log_call(call, "print", LogStyle::Print, None);
        log.has_error = name == "printStackTrace";
        c.push(call.span, call.at, FactKind::Log(log));
        return;
    }
    if !LEVELS.contains(&name) || call.object().is_empty() {
        return;
    }
    let links = chain(c, call);
    let first = root(c, call);
    let object = first.object().rsplit('.').next().unwrap_or_default().to_lowercase();
    let is_fluent = links.iter().any(|link| {
        link.name().starts_with("at") && level(&link.name()[2..].to_lowercase()).is_some()
    });
    let has_annotation = file.classes.iter().any(|class| {
        class.annotations.iter().any(|a| {
            matches!(
                name_of(c, a).as_str(),
                "Slf4j" | "Log4j2" | "Log" | "CommonsLog" | "JBossLog" | "XSlf4j" | "Flogger"
            )
        })
    });
    let made = c.made_on(first).unwrap_or_default();
    let imports = |package: &str| c.module.imports.iter().any(|i| i.module.starts_with(package));
    let is_named = matches!(object.as_str(), "log" | "logger" | "_log" | "audit")
        || object.ends_with("logger")
        || object.ends_with("_log");
    let is_logger = made.contains("Logger")
        || made.contains("LogManager")
        || is_named
            && (has_annotation
                || imports("org.slf4j")
                || imports("org.apache.logging")
                || imports("java.util.logging")
                || imports("org.jboss.logging")
                || imports("io.quarkus.logging")
                || made.is_empty());
    if !is_logger {
        return;
    }
    let (system, style) = match () {
        () if imports("org.slf4j") => ("slf4j", LogStyle::Text),
        () if imports("org.apache.logging") => ("log4j", LogStyle::Text),
        () if imports("java.util.logging") => ("java.util.logging", LogStyle::Text),
        () if imports("org.jboss.logging") || imports("io.quarkus.logging") => {
            ("jboss", LogStyle::Text)
        }
        () if has_annotation => ("slf4j", LogStyle::Text),
        () => ("logger", LogStyle::Unknown),
    };
    let fluent = links.iter().find_map(|link| {
        link.name().strip_prefix("at").and_then(|rest| level(&rest.to_lowercase()))
    });
    let by_argument = call.positional(0).and_then(Expr::path).filter(|p| p.starts_with("Level."));
    let found = fluent.or_else(|| {
        by_argument.and_then(|p| level(p.trim_start_matches("Level.").to_lowercase().as_str()))
    });
    let found = found.or_else(|| level(name).filter(|_| name != "log" || is_fluent));
    let mut args: Vec<Arg> = call.args.clone();
    if by_argument.is_some() {
        args.remove(0);
    }
    for arg in &mut args {
        // `kv("key", value)` of logstash's encoder.
        if let Expr::Call(at, _) = &arg.value {
            let inner = &c.module.calls[*at];
            let is_pair = matches!(inner.name(), "kv" | "keyValue" | "value" | "v");
            if let (true, Some(key), Some(value)) =
                (is_pair, inner.positional(0).and_then(Expr::text), inner.positional(1))
            {
                *arg = Arg { name: Some(key.to_owned()), value: value.clone() };
            }
        }
    }
    for link in
        links.iter().skip(1).filter(|link| matches!(link.name(), "addKeyValue" | "addArgument"))
    {
        let key = link.positional(0).and_then(Expr::text).map(str::to_owned);
        if let Some(value) = link.positional(1).or_else(|| link.positional(0)) {
            args.push(Arg { name: key, value: value.clone() });
        }
    }
    let mut log = c.log_call(
        &with_args(call, args),
        system,
        if is_fluent { LogStyle::Structured } else { style },
        found,
    );
    let error = call.at.catch.and_then(|at| c.module.catches[at].error.clone());
    log.has_error = links.iter().any(|link| link.name() == "setCause")
        || call
            .args
            .iter()
            .skip(1)
            .any(|arg| arg.value.path().is_some() && arg.value.path() == error.as_deref());
    c.push(call.span, call.at, FactKind::Log(log));
}

/// What the diagnostic context holds stands in every line of the thread: `MDC.put("user", user)`.
fn bound(c: &mut Classify<'_>, call: &Call, full: &str) {
    let of_context = ["MDC.", "ThreadContext."].iter().any(|owner| full.contains(owner));
    if of_context
        && matches!(call.name(), "put" | "putCloseable" | "pushByKey")
        && let (Some(key), Some(value)) = (call.positional(0), call.positional(1))
    {
        let name = key.text().map(str::to_owned);
        let args = vec![Arg { name, value: value.clone() }];
        c.show(&with_args(call, args), "mdc");
    }
}

fn lifecycle(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let by = call.callee.clone();
    match name {
        "exit" | "halt" if full.starts_with("System.") || full.starts_with("Runtime.") => {
            c.push(call.span, call.at, FactKind::Exit(by));
        }
        "forceFlush" => c.push(call.span, call.at, FactKind::Flush(by)),
        "shutdown" | "close" => {
            let made = c.made_on(call).unwrap_or_default();
            if is_telemetry(&made) || is_telemetry(call.object()) {
                c.push(call.span, call.at, FactKind::Flush(by));
            }
        }
        "addShutdownHook" => c.push(call.span, call.at, FactKind::Graceful(by)),
        "initialize" if full.contains("AutoConfiguredOpenTelemetrySdk") => {
            c.push(call.span, call.at, FactKind::Flush(by))
        }
        _ => {}
    }
}

fn others(c: &mut Classify<'_>, call: &Call, full: &str) {
    traffic(c, call);
    let name = call.name();
    if full == "System.getenv"
        && let Some(key) = call.positional(0).and_then(Expr::text)
    {
        c.push(call.span, call.at, FactKind::Environment(key.to_owned()));
    }
    if full.ends_with("Sentry.init") {
        c.push(call.span, call.at, FactKind::ErrorTracker("sentry".into()));
    }
    let status = match name {
        "status" | "sendError" | "setStatus" | "serverError" | "internalServerError" => {
            match call.positional(0) {
                Some(value) => server_status(value),
                None => matches!(name, "serverError" | "internalServerError").then_some(500),
            }
        }
        "ResponseEntity" => call.args.last().and_then(|arg| server_status(&arg.value)),
        _ => None,
    };
    if let Some(status) = status {
        error_answer(c, call, status);
    }
    let made = c.made_on(call).unwrap_or_default();
    let client = match name {
        "getForObject" | "getForEntity" | "postForObject" | "postForEntity" | "exchange" => {
            Some("RestTemplate")
        }
        "send" | "sendAsync" if made.contains("HttpClient") => Some("HttpClient"),
        "retrieve" if mentions(c, call, &["uri"]) || call.callee.contains("uri()") => {
            Some("WebClient")
        }
        "execute" if call.callee.contains("newCall") => Some("OkHttp"),
        "openConnection" => Some("HttpURLConnection"),
        _ => None,
    };
    if let Some(client) = client {
        // Spring instruments what its builders make; what is made by hand is nobody's.
        let by_hand = ["RestTemplate", "HttpClient.newHttpClient", "HttpClient.newBuilder", "WebClient.create", "OkHttpClient"]
            .iter()
            .any(|word| made.ends_with(word) || c.module.assigns.iter().any(|a| matches!(&a.value, Expr::Call(at, _) if c.module.calls[*at].callee == *word)));
        // The request is made before, in a chain of its own; a client of Spring's may be made for one service.
        let request =
            call.positional(0).and_then(Expr::path).and_then(|name| made_as(c, call, name));
        let asked = request.map(|request| chain(c, request)).unwrap_or_default();
        let links = match client {
            "WebClient" => chain(c, call),
            _ => vec![call],
        };
        let first = links.last().copied().unwrap_or(call);
        let base = made_as(c, call, first.object()).filter(|_| client == "WebClient");
        let base = base.map(|base| chain(c, base)).unwrap_or_default();
        let mut args = links.iter().chain(&asked).chain(&base).flat_map(|link| &link.args);
        let url = args.find_map(|arg| c.address(&arg.value).or_else(|| uri(c, &arg.value)));
        let is_given = links.iter().chain(&asked).any(|link| {
            let text = link.positional(0).and_then(Expr::text).unwrap_or_default().to_lowercase();
            link.name().to_lowercase().contains("header")
                && ["traceparent", "request-id", "correlation"]
                    .iter()
                    .any(|word| text.contains(word))
        });
        let has_context = is_given || !by_hand && client != "HttpURLConnection";
        c.push(
            call.span,
            call.at,
            FactKind::Outbound(Outbound {
                client: client.into(),
                url,
                target: c.target(call),
                has_context,
            }),
        );
    }
    let published = match name {
        "send" if made.contains("KafkaProducer") => Some(("kafka", true, false)),
        "send" if call.object().to_lowercase().contains("kafkatemplate") => {
            Some(("kafka", true, true))
        }
        "convertAndSend" => Some(("rabbitmq", true, true)),
        "basicPublish" => Some(("rabbitmq", true, false)),
        _ => None,
    };
    if let Some((broker, published, by_framework)) = published {
        let injects = c
            .module
            .calls
            .iter()
            .any(|other| other.at.function == call.at.function && other.name() == "inject");
        let message =
            Message { broker: broker.into(), published, has_context: by_framework || injects };
        c.push(call.span, call.at, FactKind::Message(message));
    }
}

/// The call that a variable was made by, before another call.
fn made_as<'m>(c: &Classify<'m>, before: &Call, name: &str) -> Option<&'m Call> {
    let name = name.trim_start_matches("this.");
    let makes = c
        .module
        .assigns
        .iter()
        .filter(|assign| assign.target.trim_start_matches("this.") == name && !name.is_empty());
    let is_near = |assign: &&crate::lang::ir::Assign| {
        let is_before = assign.span.end <= before.span.start;
        (assign.at.function == before.at.function, is_before, assign.span.start)
    };
    match &makes.max_by_key(is_near)?.value {
        Expr::Call(at, _) => c.module.calls.get(*at),
        _ => None,
    }
}

/// The address in `URI.create("http://…" + id)`.
fn uri(c: &Classify<'_>, expr: &Expr) -> Option<String> {
    let Expr::Call(at, _) = expr else { return None };
    let call = c.module.calls.get(*at)?;
    let is_uri = matches!(call.callee.as_str(), "URI.create" | "new URI" | "URI");
    c.address(&call.args.first().filter(|_| is_uri)?.value)
}

/// Settings that make a client or a filter print what passes: okhttp's interceptor, Spring's filter.
fn traffic(c: &mut Classify<'_>, call: &Call) {
    let level = call.positional(0).and_then(Expr::path).unwrap_or_default();
    let prints = match call.name() {
        "setLevel" | "level" => {
            matches!(level.rsplit('.').next(), Some("BODY" | "HEADERS"))
                && c.module.imports.iter().any(|i| i.module.contains("okhttp3.logging"))
        }
        "setIncludeHeaders" => matches!(call.positional(0), Some(Expr::Bool(true, _))),
        _ => false,
    };
    if prints {
        c.push(call.span, call.at, FactKind::TrafficLogged(call.callee.clone()));
    }
}
