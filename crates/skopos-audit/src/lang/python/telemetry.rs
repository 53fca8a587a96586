//! Python's metrics and tracing: Prometheus' client, OpenTelemetry, vendors.

use super::logs::mentions_named;
use crate::FactKind;
use crate::fact::{Exposed, Metric, MetricKind, MetricUse, Tracing, TracingRole};
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr};

pub(super) fn metrics(c: &mut Classify<'_>, call: &Call, full: &str) {
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

pub(super) fn tracing(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    context(c, call, full);
    let role = match name {
        "TracerProvider" => TracingRole::Provider,
        "OTLPSpanExporter" | "ZipkinExporter" | "JaegerExporter" | "CloudTraceSpanExporter" => {
            TracingRole::Exporter
        }
        "SimpleSpanProcessor" | "ConsoleSpanExporter" | "InMemorySpanExporter" => {
            TracingRole::DevelopmentExporter
        }
        // What vendors call theirs: `AzureMonitorTraceExporter`.
        _ if name.ends_with("TraceExporter") || name.ends_with("SpanExporter") => {
            TracingRole::Exporter
        }
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
        _ if full == "traceloop.sdk.Traceloop.init"
            || full == "Traceloop.init"
            || full == "langtrace_python_sdk.langtrace.init" =>
        {
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
        c.push_tracing(call, TracingRole::Exporter, full);
    }
    c.push_tracing(call, role, full);
}

/// What agents of vendors put on every trace of a request, and the errors that they are told of.
fn context(c: &mut Classify<'_>, call: &Call, full: &str) {
    let vendors = ["elasticapm.", "sentry_sdk.", "newrelic.", "ddtrace.", "opbeat."];
    if !vendors.iter().any(|vendor| full.starts_with(vendor)) {
        return;
    }
    let function = call.at.function;
    let fields = match call.name() {
        "set_custom_context" | "add_custom_attributes" => call.positional(0),
        "set_context" => call.positional(1),
        "label" | "tag" => {
            for arg in &call.args {
                for field in c.module.fields(arg.name.as_deref(), &arg.value, function) {
                    c.push(call.span, call.at, FactKind::SpanAttribute(field));
                }
            }
            return;
        }
        "set_tag" | "set_extra" | "add_custom_attribute" | "add_custom_parameter" => {
            return c.push_attribute(call);
        }
        "capture_exception" | "capture_message" => {
            c.push(call.span, call.at, FactKind::ErrorTracker(full.to_owned()));
            return;
        }
        _ => return,
    };
    for field in fields.map(|f| c.module.fields(None, f, function)).unwrap_or_default() {
        c.push(field.span, call.at, FactKind::SpanAttribute(field));
    }
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
        "set_attributes" | "add_event" => {
            let at = usize::from(call.name() == "add_event");
            let attributes = call.positional(at).or_else(|| call.named("attributes"));
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
            let traces = ["traces_sample_rate", "traces_sampler", "enable_tracing"];
            if traces.iter().any(|name| mentions_named(call, name)) {
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
