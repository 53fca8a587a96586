//! How a Python program ends, whom it calls, and what it answers when something failed.

use super::classify::METHODS;
use crate::FactKind;
use crate::fact::{ErrorAnswer, Message, Outbound};
use crate::lang::classify::{Classify, member_of};
use crate::lang::ir::{Call, Expr};

pub(super) fn lifecycle(c: &mut Classify<'_>, call: &Call, full: &str) {
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
    let clients = ["requests", "httpx", "aiohttp", "urllib.request", "urllib3"];
    let client = clients.into_iter().filter(|_| is_method).find(|client| {
        let makes = ["Session", "session", "Client", "AsyncClient", "ClientSession", "PoolManager"];
        member_of(full, client).is_some()
            || member_of(&made, client).is_some_and(|made| makes.contains(&made))
    });
    let is_client = |made: &str| made.starts_with("httpx.") || made.starts_with("aiohttp.");
    if let Some(client) = client {
        let url = call.args.iter().find_map(|arg| c.address(&arg.value));
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
        // A client that was made for one service: `httpx.AsyncClient(base_url=…)`.
        let maker =
            c.maker(call).filter(|maker| url.is_none() && is_client(&c.resolve(&maker.callee)));
        let base = maker.and_then(|maker| maker.named("base_url"));
        let url = url.or_else(|| base.and_then(|base| c.address(base)));
        let hands_on = maker.is_some_and(|maker| {
            let hooks = ["event_hooks", "transport", "trace_configs", "headers", "auth"];
            hooks.iter().any(|hook| maker.named(hook).is_some())
        });
        let has_context = has_context || hands_on;
        let mut target = c.target(call);
        for source in base.map(|base| c.module.sources(base, call.at.function)).unwrap_or_default()
        {
            target = format!("{target} {}", source.path);
        }
        let outbound = Outbound { client: client.to_owned(), url, target, has_context };
        c.push(call.span, call.at, FactKind::Outbound(outbound));
    }
    let broker = [
        ("kafka", "kafka"),
        ("confluent_kafka", "kafka"),
        ("aiokafka", "kafka"),
        ("pika", "rabbitmq"),
    ]
    .into_iter()
    .find(|(library, _)| member_of(&made, library).is_some());
    if let Some((_, broker)) = broker
        && matches!(name, "send" | "produce" | "send_and_wait" | "basic_publish" | "publish")
    {
        let has_context = call.named("headers").is_some() || call.named("properties").is_some();
        let message = Message { broker: broker.into(), published: true, has_context };
        c.push(call.span, call.at, FactKind::Message(message));
    }
}

/// A handler that answers with 500 in a catch.
pub(super) fn error_answer(c: &mut Classify<'_>, call: &Call) {
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
