//! Calls of JavaScript and TypeScript → facts of metrics, tracing, and life cycle.

use crate::FactKind;
use crate::fact::{
    Exposed, Message, Metric, MetricKind, MetricUse, Outbound, Tracing, TracingRole,
};
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr};

/// Whether a call, or what is in its arguments, names one of these.
pub(super) fn mentions(c: &Classify<'_>, call: &Call, words: &[&str]) -> bool {
    let has = |text: &str| words.iter().any(|word| text.contains(word));
    let inner = c
        .module
        .calls
        .iter()
        .any(|o| call.span.contains(o.span) && o.span != call.span && has(&o.callee));
    inner || call.args.iter().any(|arg| mentions_expr(&arg.value, &has, 0))
}

fn mentions_expr(expr: &Expr, has: &dyn Fn(&str) -> bool, depth: usize) -> bool {
    if depth > 10 {
        return false;
    }
    let any = |items: &[Expr]| items.iter().any(|item| mentions_expr(item, has, depth + 1));
    match expr {
        Expr::Path(text, _) | Expr::Str(text, _) => has(text),
        Expr::List(items, _)
        | Expr::Other(items, _)
        | Expr::Choice(_, items, _)
        | Expr::Join(items, _) => any(items),
        Expr::Dict(pairs, _) => pairs.iter().any(|(key, value)| {
            key.as_deref().is_some_and(has) || mentions_expr(value, has, depth + 1)
        }),
        _ => false,
    }
}

/// Whether options ask for pretty lines without any condition.
pub(super) fn is_pretty(expr: &Expr, depth: usize) -> bool {
    if depth > 6 {
        return false;
    }
    match expr {
        Expr::Str(text, _) => text == "pino-pretty",
        Expr::Dict(pairs, _) => pairs.iter().any(|(key, value)| {
            (key.as_deref() == Some("prettyPrint")
                && !matches!(value, Expr::Bool(false, _) | Expr::Choice(..) | Expr::Truth(..)))
                || is_pretty(value, depth + 1)
        }),
        Expr::List(items, _) => items.iter().any(|item| is_pretty(item, depth + 1)),
        _ => false,
    }
}

pub(super) fn telemetry(c: &mut Classify<'_>, call: &Call, full: &str) {
    metrics(c, call, full);
    tracing(c, call, full);
    for arg in &call.args {
        let Expr::Dict(pairs, _) = &arg.value else { continue };
        for (key, value) in pairs {
            let is_name = match key.as_deref() {
                Some("service.name" | "ATTR_SERVICE_NAME" | "SEMRESATTRS_SERVICE_NAME") => true,
                Some("serviceName") => full.contains("NodeSDK") || full.contains("registerOTel"),
                Some(other) => other.ends_with(".SERVICE_NAME"),
                None => false,
            };
            if is_name {
                c.push(call.span, call.at, FactKind::ServiceName(value.text().map(str::to_owned)));
            }
        }
    }
}

fn metrics(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name().trim_start_matches("new ");
    let is_prometheus = full.starts_with("prom-client");
    let kind = match name {
        "Counter" | "makeCounterProvider" if is_prometheus || name != "Counter" => {
            Some(MetricKind::Counter)
        }
        "Gauge" | "makeGaugeProvider" if is_prometheus || name != "Gauge" => {
            Some(MetricKind::Gauge)
        }
        "Histogram" | "makeHistogramProvider" if is_prometheus || name != "Histogram" => {
            Some(MetricKind::Histogram)
        }
        "Summary" if is_prometheus => Some(MetricKind::Summary),
        "createCounter" | "createUpDownCounter" | "createObservableCounter" => {
            Some(MetricKind::Counter)
        }
        "createHistogram" => Some(MetricKind::Histogram),
        "createObservableGauge" | "createGauge" => Some(MetricKind::Gauge),
        "collectDefaultMetrics" => Some(MetricKind::Automatic),
        _ => None,
    };
    if let Some(kind) = kind {
        let options = call.positional(0);
        let of_options = options.and_then(|o| o.key("name")).and_then(Expr::text);
        let text = of_options.or_else(|| options.and_then(Expr::text));
        let labels = options.and_then(|o| o.key("labelNames")).map_or(vec![], Expr::texts);
        let library = if name.starts_with("create") { "opentelemetry" } else { "prometheus" };
        let metric =
            Metric { library: library.into(), kind, name: text.map(str::to_owned), labels };
        c.push(call.span, call.at, FactKind::Metric(metric));
        return;
    }
    let made = c.made_on(call).unwrap_or_default();
    let object = call.object().to_ascii_lowercase();
    let is_metric = made.contains("createCounter")
        || made.contains("createHistogram")
        || made.contains("prom-client")
        || made.contains("createUpDownCounter")
        || ["counter", "histogram", "gauge", "metric", "total", "duration"]
            .iter()
            .any(|word| object.ends_with(word));
    let labels = match name {
        "inc" | "dec" | "observe" | "startTimer" | "set" if is_metric => {
            call.positional(0).filter(|a| matches!(a, Expr::Dict(..)))
        }
        "add" | "record" if is_metric => call.positional(1).filter(|a| matches!(a, Expr::Dict(..))),
        "labels" if is_metric => call.positional(0),
        _ => None,
    };
    if let Some(only) = labels {
        let args: Vec<&Expr> = match name {
            "labels" => call.args.iter().map(|a| &a.value).collect(),
            // `observe({ labels, value, exemplarLabels })`: an exemplar is no label.
            _ => vec![only.key("labels").filter(|_| only.key("value").is_some()).unwrap_or(only)],
        };
        let labels = args
            .into_iter()
            .flat_map(|value| c.module.fields(None, value, call.at.function))
            .collect();
        let metric = call.object().to_owned();
        c.push(
            call.span,
            call.at,
            FactKind::MetricUse(MetricUse { metric, labels, success_only: false }),
        );
        return;
    }
    let by = full.to_owned();
    let exposed = match name {
        "metrics"
            if object.ends_with("register")
                || object.contains("registry")
                || object.contains("prom") =>
        {
            Exposed::Pulled(by)
        }
        "PrometheusExporter" => Exposed::Pulled(by),
        "register" | "forRoot" if full.contains("PrometheusModule") => Exposed::Pulled(by),
        "PeriodicExportingMetricReader" | "OTLPMetricExporter" | "StatsD" => Exposed::Pushed(by),
        _ if full == "express-prom-bundle"
            || full == "express-prometheus-middleware"
            || full == "swagger-stats.getMiddleware" =>
        {
            Exposed::Middleware(by)
        }
        "register"
            if call
                .positional(0)
                .and_then(Expr::path)
                .is_some_and(|p| c.resolve(p).starts_with("fastify-metrics")) =>
        {
            Exposed::Middleware("fastify-metrics".into())
        }
        "AggregatorRegistry" => Exposed::Multiprocess(by),
        _ => return,
    };
    c.push(call.span, call.at, FactKind::MetricsExposed(exposed));
}

fn tracing(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name().trim_start_matches("new ");
    let function = call.at.function;
    let role = match name {
        "NodeSDK" | "NodeTracerProvider" | "BasicTracerProvider" => TracingRole::Provider,
        "OTLPTraceExporter"
        | "ZipkinExporter"
        | "JaegerExporter"
        | "CollectorTraceExporter"
        | "TraceExporter" => TracingRole::Exporter,
        "SimpleSpanProcessor" | "ConsoleSpanExporter" | "InMemorySpanExporter" => {
            TracingRole::DevelopmentExporter
        }
        // What vendors call theirs: `AzureMonitorTraceExporter`.
        _ if (name.ends_with("TraceExporter") || name.ends_with("SpanExporter"))
            && call.callee.starts_with("new ") =>
        {
            TracingRole::Exporter
        }
        "getNodeAutoInstrumentations" | "registerInstrumentations" => TracingRole::Instrumentation,
        _ if name.ends_with("Instrumentation") && call.callee.starts_with("new ") => {
            TracingRole::Instrumentation
        }
        "startActiveSpan" | "startSpan" => TracingRole::Span,
        "inject" | "extract" if full.contains("propagation") => TracingRole::Propagation,
        "registerOTel" | "useAzureMonitor" => TracingRole::Provider,
        "init"
            if full.starts_with("dd-trace")
                || full.contains("elastic-apm")
                || call.callee == "require().init" =>
        {
            let receiver = call
                .receiver
                .map(|at| &c.module.calls[at])
                .and_then(|r| r.positional(0))
                .and_then(Expr::text);
            if full.starts_with("require") && receiver != Some("dd-trace") {
                return;
            }
            TracingRole::Vendor
        }
        "start" if full.starts_with("elastic-apm-node") => TracingRole::Vendor,
        "require" if call.positional(0).and_then(Expr::text) == Some("newrelic") => {
            TracingRole::Vendor
        }
        "setAttribute" | "setTag" => {
            return c.push_attribute(call);
        }
        // `propagation.createBaggage({ key: { value } })`
        "createBaggage" => {
            let Some(Expr::Dict(pairs, _)) = call.positional(0) else { return };
            for (key, entry) in pairs {
                let value = entry.key("value").unwrap_or(entry);
                for field in c.module.fields(key.as_deref(), value, function) {
                    c.push(call.span, call.at, FactKind::SpanAttribute(field));
                }
            }
            return;
        }
        "setAttributes" | "addEvent" => {
            let at = usize::from(call.name() == "addEvent");
            for field in
                call.positional(at).map(|v| c.module.fields(None, v, function)).unwrap_or_default()
            {
                c.push(field.span, call.at, FactKind::SpanAttribute(field));
            }
            return;
        }
        "init" if full.contains("@sentry/") || call.object() == "Sentry" => {
            c.push(call.span, call.at, FactKind::ErrorTracker("sentry".into()));
            let options = call.positional(0);
            if options.is_some_and(|o| {
                o.key("tracesSampleRate").is_some() || o.key("tracesSampler").is_some()
            }) {
                let tracing = Tracing { role: TracingRole::Vendor, what: "sentry".into() };
                c.push(call.span, call.at, FactKind::Tracing(tracing));
            }
            return;
        }
        _ => return,
    };
    if name == "startActiveSpan" || name == "startSpan" {
        let options = call.positional(1).and_then(|o| o.key("attributes"));
        for field in options.map(|v| c.module.fields(None, v, function)).unwrap_or_default() {
            c.push(field.span, call.at, FactKind::SpanAttribute(field));
        }
    }
    if matches!(name, "registerOTel" | "useAzureMonitor") {
        c.push_tracing(call, TracingRole::Exporter, full);
    }
    c.push_tracing(call, role, full);
}

pub(super) fn lifecycle(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let object = call.object().to_ascii_lowercase();
    let is_telemetry =
        ["sdk", "provider", "otel", "tracer", "telemetry", "exporter", "processor", "meter"]
            .iter()
            .any(|word| object.contains(word));
    let own = name.to_ascii_lowercase();
    let by_own_name = (own.contains("shutdown") || own.contains("flush"))
        && ["telemetry", "tracing", "otel", "observability"].iter().any(|w| own.contains(w));
    if (matches!(name, "shutdown" | "forceFlush" | "flush") && is_telemetry)
        || by_own_name
        || full == "pino.final"
        || (object == "sentry" && matches!(name, "close" | "flush"))
        || (name == "flush" && object.contains("logger"))
    {
        c.push(call.span, call.at, FactKind::Flush(call.callee.clone()));
    }
    let signal = call.positional(0).and_then(Expr::text);
    let on_signal = matches!(full, "process.on" | "process.once") && signal == Some("SIGTERM");
    let library = matches!(
        name,
        "createTerminus" | "enableShutdownHooks" | "closeWithGrace" | "gracefulShutdown"
    ) || full == "http-graceful-shutdown"
        || full == "close-with-grace"
        || full == "async-exit-hook"
        || full == "stoppable";
    if on_signal || library {
        c.push(call.span, call.at, FactKind::Graceful(full.to_owned()));
    }
    if matches!(full, "process.exit" | "process.abort") {
        c.push(call.span, call.at, FactKind::Exit(full.to_owned()));
    }
    let client = match full {
        "fetch" | "node-fetch" | "cross-fetch" | "undici.fetch" | "undici.request" => "fetch",
        "http.request" | "https.request" | "http.get" | "https.get" => "http",
        _ if full == "axios" || full.starts_with("axios.") => "axios",
        _ if full == "got" || full.starts_with("got.") => "got",
        _ if full.starts_with("superagent.")
            || full.starts_with("needle")
            || full.starts_with("ky.") =>
        {
            "superagent"
        }
        _ if asks(name) && c.made_on(call).as_deref() == Some("axios.create") => "axios",
        _ => "",
    };
    let makes =
        matches!(name, "create" | "isAxiosError" | "extend" | "all" | "CancelToken" | "use");
    if !client.is_empty() && !makes {
        let literal = call.args.iter().find_map(|arg| match &arg.value {
            Expr::Str(text, _) | Expr::Interpolated(text, _, _) => Some(text.clone()),
            _ => None,
        });
        // `axios({ url })`, and an instance that was made for one service: `axios.create({ baseURL })`.
        let maker = c.maker(call).filter(|maker| client == "axios" && maker.name() == "create");
        let options = call.args.iter().chain(maker.into_iter().flat_map(|maker| &maker.args));
        let mut said = options.flat_map(|arg| [arg.value.key("baseURL"), arg.value.key("url")]);
        let url = call.args.iter().find_map(|arg| c.address(&arg.value));
        let url = url.or_else(|| said.find_map(|value| c.address(value?))).or(literal);
        let hooks = "interceptors.request.use";
        let is_hooked = maker.is_some() && c.module.calls.iter().any(|o| o.callee.ends_with(hooks));
        let headers = call.args.iter().find_map(|arg| arg.value.key("headers"));
        let headers = headers.or_else(|| maker?.positional(0)?.key("headers"));
        let has_context = matches!(headers, Some(Expr::Dict(pairs, _)) if pairs.iter().any(|(key, _)| {
            key.as_deref().is_some_and(|k| {
                let k = k.to_ascii_lowercase();
                k.contains("request-id") || k.contains("correlation") || k == "traceparent"
            })
        }));
        c.push(
            call.span,
            call.at,
            FactKind::Outbound(Outbound {
                client: client.into(),
                url,
                target: c.target(call),
                has_context: has_context || is_hooked,
            }),
        );
    }
    let made = c.made_on(call).unwrap_or_default();
    if matches!(name, "send" | "sendToQueue" | "publish")
        && (made.contains("kafkajs") || name == "sendToQueue" || object.contains("producer"))
    {
        let has_context = call.args.iter().any(|arg| arg.value.key("headers").is_some());
        let broker = if name == "sendToQueue" { "rabbitmq" } else { "kafka" };
        c.push(
            call.span,
            call.at,
            FactKind::Message(Message { broker: broker.into(), published: true, has_context }),
        );
    }
    let sql =
        call.args.iter().find_map(|arg| arg.value.key("logging").or_else(|| arg.value.key("log")));
    let logs = match sql {
        Some(Expr::Bool(true, _)) => {
            full.contains("DataSource")
                || full.contains("createConnection")
                || full.contains("TypeOrm")
        }
        Some(Expr::Path(path, _)) => full.contains("Sequelize") && path.starts_with("console"),
        Some(list @ Expr::List(..)) => {
            full.contains("PrismaClient") && list.texts().iter().any(|(t, _)| t == "query")
        }
        _ => false,
    };
    if logs {
        c.push(call.span, call.at, FactKind::SqlLogged(full.to_owned()));
    }
}

/// Whether a method of a client sends a request.
fn asks(name: &str) -> bool {
    matches!(name, "get" | "post" | "put" | "patch" | "delete" | "head" | "request")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::lang::javascript::extract;

    #[test]
    fn an_express_service_is_understood() {
        let text = "const express = require('express');\nconst pino = require('pino');\nconst logger = pino({ redact: ['password'] });\n\
            const app = express();\napp.post('/login', (req, res) => {\n  const { password } = req.body;\n  logger.info({ password }, 'login');\n});\n\
            app.get('/health/live', live);\napp.listen(8000);\n";
        let facts = extract("index.js", text).facts;
        let has = |test: &dyn Fn(&FactKind) -> bool| facts.iter().any(|f| test(&f.kind));
        assert!(has(&|k| matches!(k, FactKind::Server(f) if f.0 == "express")));
        assert!(has(
            &|k| matches!(k, FactKind::Route(r) if r.path == "/health/live" && r.handler.as_deref() == Some("live"))
        ));
        let log = facts.iter().find_map(|f| match &f.kind {
            FactKind::Log(log) => Some((log, f.scope.in_handler)),
            _ => None,
        });
        let (log, in_handler) = log.expect("a log call");
        assert!(in_handler);
        assert_eq!((log.system.as_str(), log.level), ("pino", Some(Level::Info)));
        assert_eq!(log.fields[0].name.as_deref(), Some("password"));
        assert_eq!(log.fields[0].sources[0].origins, ["req.body.password"]);
    }

    #[test]
    fn a_nest_controller_has_routes() {
        let text = "import { Controller, Get } from '@nestjs/common';\n@Controller('health')\nexport class Health {\n  @Get('live')\n  live() { return { ok: true }; }\n}\n";
        let facts = extract("health.controller.ts", text).facts;
        let route = facts.iter().find_map(|f| match &f.kind {
            FactKind::Route(route) => Some(route.clone()),
            _ => None,
        });
        assert_eq!(route.map(|r| r.path).as_deref(), Some("/health/live"));
    }
}
