//! Go's calls → facts of serving, life cycle and calls to others.

use crate::fact::{Framework, Message, Outbound, TypeDef};
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr, Module};
use crate::lang::shared::{
    error_answer, guarded_metrics, is_telemetry, mentions, names_health, route, server_status,
};
use crate::{Fact, FactKind};

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "Any"];
const CHI: [&str; 7] = ["Get", "Post", "Put", "Delete", "Patch", "Head", "Options"];

pub(super) fn facts(module: &Module, is_main: bool) -> Vec<Fact> {
    let mut c = Classify::new(module);
    for import in &module.imports {
        c.push_at_top(import.span, FactKind::Import(import.module.clone()));
    }
    if is_main
        && let Some(main) = module.functions.iter().find(|f| f.name == "main" && f.class.is_none())
    {
        c.push_at_top(main.span, FactKind::EntryPoint("main".into()));
    }
    handlers(&mut c);
    routes(&mut c);
    tabled(&mut c);
    c.push_functions();
    c.push_ends_of_main();
    for call in &module.calls {
        let full = c.resolve(&call.callee);
        serving(&mut c, call, &full);
        super::logs::log(&mut c, call, &full);
        super::telemetry::metrics(&mut c, call, &full);
        super::telemetry::tracing(&mut c, call, &full);
        lifecycle(&mut c, call, &full);
        others(&mut c, call, &full);
    }
    super::logs::assigned_levels(&mut c);
    for def in &module.types {
        let own_print = module.functions.iter().any(|f| {
            f.class.as_deref() == Some(&def.name)
                && matches!(
                    f.name.as_str(),
                    "String" | "GoString" | "Format" | "LogValue" | "MarshalLogObject"
                )
        });
        let kind = TypeDef { name: def.name.clone(), fields: def.fields.clone(), own_print };
        c.push_at_top(def.span, FactKind::Type(kind));
    }
    crate::lang::data::databases(&mut c);
    c.facts
}

/// Functions that handle requests, by what they are given.
fn handlers(c: &mut Classify<'_>) {
    for (index, function) in c.module.functions.iter().enumerate() {
        let has = |kind: &str| {
            function.params.iter().any(|(_, t)| t.as_deref().is_some_and(|t| t.ends_with(kind)))
        };
        let is_http = has("http.ResponseWriter") && has("http.Request");
        let is_framework = has("gin.Context") || has("echo.Context") || has("fiber.Ctx");
        let is_grpc =
            function.class.as_deref().is_some_and(|class| class.to_lowercase().contains("serv"))
                && function.params.iter().any(|(_, t)| t.as_deref() == Some("context.Context"))
                && function.params.iter().any(|(_, t)| {
                    t.as_deref().is_some_and(|t| t.starts_with("*pb.") || t.contains("pb."))
                });
        if is_http || is_framework || is_grpc {
            c.handlers.push(index);
        }
    }
}

fn routes(c: &mut Classify<'_>) {
    let module = c.module;
    for call in &module.calls {
        let name = call.name();
        let by_method = METHODS.contains(&name) || CHI.contains(&name);
        let is_handle = matches!(name, "Handle" | "HandleFunc" | "Mount");
        if call.object().is_empty()
            || !(by_method
                || is_handle
                || matches!(name, "Method" | "MethodFunc" | "Handler" | "HandlerFunc"))
        {
            continue;
        }
        // `r.Methods("GET").Path("/health").Handler(h)` of gorilla/mux.
        if matches!(name, "Handler" | "HandlerFunc") {
            let mut links = Vec::new();
            let mut at = call.receiver;
            while let Some(link) =
                at.and_then(|at| module.calls.get(at)).filter(|_| links.len() < 6)
            {
                links.push(link);
                at = link.receiver;
            }
            let given = |wanted: &str| {
                let link = links.iter().find(|link| link.name() == wanted)?;
                link.positional(0)
            };
            let path = given("Path").and_then(|value| c.route_path(value));
            let method = given("Methods").and_then(Expr::text);
            if let Some(path) = path {
                route(c, call.span, method, path, call.positional(0));
            }
            continue;
        }
        let Some((last, others)) = call.args.split_last() else { continue };
        let handler = Some(&last.value).filter(|value| value.route_text().is_none());
        let mut texts: Vec<&str> =
            others.iter().filter_map(|arg| c.route_path(&arg.value)).collect();
        // A path from the configuration, and a handler that says what it answers.
        if texts.is_empty() && others.len() == 1 && names_health(handler) {
            texts.push("");
        }
        let (Some(first), Some(handler)) = (texts.first(), handler) else { continue };
        // `"GET /path"` of net/http, and `Method("GET", "/path", h)` of chi.
        let (method, path) = match first.split_once(' ') {
            Some((method, path)) => (Some(method), path),
            None if texts.len() > 1 => (Some(*first), texts[1]),
            None => (None, *first),
        };
        if !path.starts_with('/') && !path.is_empty() {
            continue;
        }
        let upper = name.to_uppercase();
        let method = method.or_else(|| (by_method && name != "Any").then_some(upper.as_str()));
        route(c, call.span, method, path, Some(handler));
    }
}

/// Routes in a table: `Route{"ping", "GET", "/ping", h.ping}`, `{Method: "GET", Path: "/ping", Handler: h.ping}`.
fn tabled(c: &mut Classify<'_>) {
    let module = c.module;
    for call in module.calls.iter().filter(|call| call.name().ends_with("Route")) {
        let Some(arg) = call.args.first().filter(|_| call.args.len() == 1) else { continue };
        let values: Vec<&Expr> = match &arg.value {
            Expr::List(items, _) => items.iter().collect(),
            Expr::Dict(pairs, _) => pairs.iter().map(|(_, value)| value).collect(),
            _ => continue,
        };
        let texts = || values.iter().filter_map(|value| value.text());
        let path = texts().find(|text| text.starts_with('/'));
        let method = texts().find(|text| METHODS.contains(text));
        let handler =
            values.iter().rev().find(|v| matches!(v, Expr::Path(..) | Expr::Function(..)));
        if let Some(path) = path {
            route(c, call.span, method, path, handler.copied());
        }
    }
}

fn serving(c: &mut Classify<'_>, call: &Call, full: &str) {
    let accepts = c.module.calls.iter().any(|c| matches!(c.name(), "Accept" | "AcceptTCP"));
    let mut push = |name: &str| {
        c.push(call.span, call.at, FactKind::Server(Framework(name.to_owned())));
    };
    match full {
        "net/http.ListenAndServe"
        | "net/http.ListenAndServeTLS"
        | "net/http.Serve"
        | "net/http.Server" => push("net/http"),
        "github.com/gin-gonic/gin.Default" | "github.com/gin-gonic/gin.New" => push("gin"),
        "google.golang.org/grpc.NewServer" => push("grpc"),
        _ if full.starts_with("github.com/labstack/echo") && full.ends_with(".New") => push("echo"),
        _ if full.starts_with("github.com/gofiber/fiber") && full.ends_with(".New") => {
            push("fiber")
        }
        _ if full.starts_with("github.com/go-chi/chi") && full.ends_with(".NewRouter") => {
            push("chi")
        }
        _ if full.starts_with("github.com/gorilla/mux") && full.ends_with(".NewRouter") => {
            push("gorilla")
        }
        _ if full.ends_with("connect.NewServer")
            || full.ends_with("fasthttp.ListenAndServe")
            || full.ends_with("fasthttp.Server") =>
        {
            push("http")
        }
        "github.com/miekg/dns.Server" | "github.com/miekg/dns.ListenAndServe" => push("dns"),
        _ if full.contains("beego") && full.ends_with(".Run") => push("beego"),
        _ if full.starts_with("github.com/kataras/iris") && full.ends_with(".New") => push("iris"),
        _ if full.starts_with("github.com/cloudwego/hertz") && full.ends_with(".Default") => {
            push("hertz")
        }
        _ if full.ends_with(".MustNewServer") => push("go-zero"),
        // A socket is a server where connections are taken from it.
        "net.Listen" | "net.ListenTCP" | "crypto/tls.Listen" if accepts => push("tcp"),
        _ => {}
    }
    let worker = consumes(c, call, full);
    if let Some(name) = worker {
        c.push(call.span, call.at, FactKind::Worker(Framework(name.to_owned())));
    }
    if full.starts_with("github.com/spf13/cobra.Command")
        || full.starts_with("github.com/urfave/cli")
    {
        let name = if full.contains("cobra") { "cobra" } else { "urfave/cli" };
        c.push(call.span, call.at, FactKind::CommandLine(Framework(name.to_owned())));
    }
    if METHODS.contains(&call.name())
        || CHI.contains(&call.name())
        || matches!(call.name(), "Handle" | "HandleFunc")
    {
        guarded_metrics(c, call);
    }
}

/// What a call consumes jobs or messages with.
fn consumes(c: &Classify<'_>, call: &Call, full: &str) -> Option<&'static str> {
    let imports = |word: &str| c.module.imports.iter().any(|i| i.module.contains(word));
    let name = call.name();
    match full {
        _ if full.starts_with("github.com/hibiken/asynq") && full.ends_with(".NewServer") => {
            Some("asynq")
        }
        _ if full.contains("sarama") && full.contains("NewConsumer") => Some("sarama"),
        _ if full.contains("kafka")
            && (full.ends_with(".NewReader") || full.ends_with(".NewConsumer")) =>
        {
            Some("kafka")
        }
        _ if full.starts_with("go.temporal.io/sdk/worker") && full.ends_with(".New") => {
            Some("temporal")
        }
        // What a client of a broker is asked for: the object says nothing, the package does.
        _ if call.object().is_empty() => None,
        _ if matches!(name, "Consume" | "ConsumeWithContext") && imports("amqp") => {
            Some("rabbitmq")
        }
        _ if matches!(
            name,
            "Subscribe"
                | "QueueSubscribe"
                | "ChanSubscribe"
                | "ChanQueueSubscribe"
                | "PullSubscribe"
                | "SubscribeSync"
                | "QueueSubscribeSync"
        ) && imports("github.com/nats-io/") =>
        {
            Some("nats")
        }
        _ if name == "PollFetches" && imports("franz-go") => Some("kafka"),
        _ if matches!(name, "ReceiveMessage" | "ReceiveMessageWithContext")
            && imports("service/sqs") =>
        {
            Some("sqs")
        }
        _ if name == "Receive" && imports("cloud.google.com/go/pubsub") => Some("pubsub"),
        _ if full.ends_with("nsq.NewConsumer") => Some("nsq"),
        _ => None,
    }
}

fn lifecycle(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let by = call.callee.clone();
    let made = c.made_on(call).unwrap_or_default();
    let lower = call.callee.to_lowercase();
    if matches!(full, "os.Exit" | "log.Fatal" | "log.Fatalf" | "log.Fatalln")
        || (matches!(name, "Fatal" | "Fatalf" | "Fatalw" | "Fatalln")
            && super::logs::is_logger(c, call, full))
    {
        c.push(call.span, call.at, FactKind::Exit(by.clone()));
    }
    // What is deferred does not run where the process is ended.
    let by = if call.at.in_finally { format!("defer {by}") } else { by };
    let flushes_words =
        ["shutdown", "flush", "sync", "close", "cleanup", "stop"].iter().any(|w| lower.contains(w));
    match name {
        "ForceFlush" => c.push(call.span, call.at, FactKind::Flush(by)),
        "Sync" if super::logs::is_logger(c, call, full) => {
            c.push(call.span, call.at, FactKind::Flush(by))
        }
        "Shutdown" | "GracefulStop" | "Close" | "Stop" | "Flush"
            if is_telemetry(&made)
                || made.contains("zipkin")
                || made.contains("opencensus")
                || call.object() == "closer"
                || (flushes_words && is_telemetry(&call.callee)) =>
        {
            c.push(call.span, call.at, FactKind::Flush(by));
        }
        "Shutdown" | "GracefulStop" | "ShutdownWithContext" => {
            c.push(call.span, call.at, FactKind::Graceful(by))
        }
        "Notify" | "NotifyContext" if full.starts_with("os/signal.") => {
            // Without a list it is every signal; with one, SIGTERM has to be on it.
            let named: Vec<&str> = call.args[1.min(call.args.len())..]
                .iter()
                .filter_map(|arg| arg.value.path())
                .collect();
            let is_constant = |path: &&str| path.contains(".SIG") || path.starts_with("os.");
            let is_told = !named.is_empty() && named.iter().all(is_constant);
            if !is_told || named.iter().any(|path| path.ends_with("SIGTERM")) {
                c.push(call.span, call.at, FactKind::Graceful(by));
            }
        }
        // `defer shutdown(ctx)` of a function that set telemetry up.
        _ if call.object().is_empty() && flushes_words => {
            let is_made_by_setup = c
                .made_by
                .get(call.callee.as_str())
                .is_some_and(|made| is_telemetry(made) || made.to_lowercase().contains("trac"));
            if is_made_by_setup || is_telemetry(&call.callee) {
                c.push(call.span, call.at, FactKind::Flush(by));
            }
        }
        _ => {}
    }
    if full.ends_with("gin.SetMode") && mentions(c, call, &["DebugMode"]) {
        c.push(call.span, call.at, FactKind::DebugMode("gin.DebugMode".into()));
    }
}

fn others(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let text = call.args.iter().find_map(|arg| arg.value.text());
    match full {
        "os.Getenv" | "os.LookupEnv" => {
            if let Some(key) = text {
                c.push(call.span, call.at, FactKind::Environment(key.to_owned()));
            }
        }
        "net/http.Get"
        | "net/http.Post"
        | "net/http.Head"
        | "net/http.PostForm"
        | "net/http.NewRequest"
        | "net/http.NewRequestWithContext" => {
            let url = call.args.iter().find_map(|arg| c.address(&arg.value));
            let client = "net/http".to_owned();
            let given_later = |other: &Call| {
                other.at.function == call.at.function
                    && matches!(other.name(), "WithContext" | "Inject")
            };
            let has_context =
                full.ends_with("WithContext") || c.module.calls.iter().any(given_later);
            let target = c.target(call);
            let outbound = Outbound { client, url, target, has_context };
            c.push(call.span, call.at, FactKind::Outbound(outbound));
        }
        "google.golang.org/grpc.Dial"
        | "google.golang.org/grpc.NewClient"
        | "google.golang.org/grpc.DialContext" => {
            let has_context = mentions(c, call, &["otelgrpc", "Interceptor", "StatsHandler"])
                || c.module.imports.iter().any(|import| import.module.contains("otelgrpc"));
            let client = "grpc".to_owned();
            c.push(
                call.span,
                call.at,
                FactKind::Outbound(Outbound {
                    client,
                    url: None,
                    target: String::new(),
                    has_context,
                }),
            );
        }
        "github.com/getsentry/sentry-go.Init" => {
            c.push(call.span, call.at, FactKind::ErrorTracker("sentry".into()));
        }
        "net/http.Error" => {
            if let Some(status) = call.positional(2).and_then(server_status) {
                error_answer(c, call, status);
            }
        }
        _ => {}
    }
    if matches!(
        name,
        "JSON"
            | "AbortWithStatusJSON"
            | "String"
            | "AbortWithStatus"
            | "WriteHeader"
            | "IndentedJSON"
            | "SendStatus"
            | "NoContent"
            | "NewHTTPError"
            | "Status"
    ) && let Some(status) = call.positional(0).and_then(server_status)
    {
        error_answer(c, call, status);
    }
    let made = c.made_on(call).unwrap_or_default();
    let published = match name {
        "WriteMessages" | "SendMessage" | "Produce" => Some(("kafka", true)),
        "PublishWithContext" => Some(("rabbitmq", true)),
        "Publish" if made.contains("nats") => Some(("nats", true)),
        "Publish" if made.contains("amqp") => Some(("rabbitmq", true)),
        "ReadMessage" | "FetchMessage" if made.contains("kafka") => Some(("kafka", false)),
        _ => None,
    };
    if let Some((broker, published)) = published {
        let has_context = c
            .module
            .imports
            .iter()
            .any(|i| i.module.contains("otelsarama") || i.module.contains("otelkafka"))
            || c.module.calls.iter().any(|other| {
                other.at.function == call.at.function
                    && matches!(other.name(), "Inject" | "Extract")
            });
        let message = Message { broker: broker.to_owned(), published, has_context };
        c.push(call.span, call.at, FactKind::Message(message));
    }
    // `logger.New(writer, logger.Config{LogLevel: logger.Info})` of gorm writes statements with their values.
    if name == "Config"
        && full.starts_with("gorm.io/gorm/logger.")
        && let Some(options) = call.positional(0).filter(|o| matches!(o, Expr::Dict(..)))
        && options
            .key("LogLevel")
            .and_then(Expr::path)
            .is_some_and(|level| level.ends_with(".Info"))
        && !matches!(options.key("ParameterizedQueries"), Some(Expr::Bool(true, _)))
    {
        c.push(call.span, call.at, FactKind::SqlLogged("gorm".to_owned()));
    }
    if name == "SetDebug"
        && matches!(call.positional(0), Some(Expr::Bool(true, _)))
        && c.made_on(call).is_some_and(|made| made.contains("resty"))
    {
        c.push(call.span, call.at, FactKind::TrafficLogged(call.callee.clone()));
    }
    if name == "LogMode"
        && mentions(c, call, &["logger.Info"])
        && c.module.imports.iter().any(|i| i.module.starts_with("gorm.io"))
    {
        c.push(call.span, call.at, FactKind::SqlLogged(call.callee.clone()));
    }
}
