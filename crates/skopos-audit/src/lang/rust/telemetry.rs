//! Rust's metrics and tracing: prometheus, metrics, OpenTelemetry, and the SDK of Skopos.

use crate::FactKind;
use crate::fact::{Exposed, Field, Metric, MetricKind, MetricUse, Tracing, TracingRole};
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr};
use crate::lang::shared::within;

fn kind_of(name: &str) -> Option<MetricKind> {
    let lower = name.to_lowercase();
    let kinds = [
        ("counter", MetricKind::Counter),
        ("gauge", MetricKind::Gauge),
        ("histogram", MetricKind::Histogram),
        ("summary", MetricKind::Summary),
    ];
    kinds.iter().find(|(word, _)| lower.contains(word)).map(|(_, kind)| *kind)
}

pub(super) fn metrics(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let text = call.args.iter().find_map(|arg| arg.value.text()).map(str::to_owned);
    let texts = |call: &Call| -> Vec<(String, crate::Span)> {
        call.args
            .iter()
            .filter(|arg| matches!(arg.value, Expr::List(..)))
            .flat_map(|arg| arg.value.texts())
            .collect()
    };
    if let Some(macro_name) = name.strip_suffix('!') {
        let is_register = macro_name.starts_with("register_");
        let is_facade = matches!(
            macro_name,
            "counter"
                | "gauge"
                | "histogram"
                | "increment_counter"
                | "describe_counter"
                | "describe_histogram"
                | "describe_gauge"
        );
        // Other crates have macros of these names.
        let is_other = is_facade && call.callee.contains('.') && !full.starts_with("metrics.");
        if let (true, Some(kind)) = ((is_register || is_facade) && !is_other, kind_of(macro_name)) {
            let library = if is_register { "prometheus" } else { "metrics" };
            let labels = texts(call);
            c.push(
                call.span,
                call.at,
                FactKind::Metric(Metric {
                    library: library.into(),
                    kind,
                    name: text.clone(),
                    labels,
                }),
            );
            let fields: Vec<Field> = call
                .args
                .iter()
                .filter(|arg| arg.name.is_some())
                .flat_map(|arg| c.module.fields(arg.name.as_deref(), &arg.value, call.at.function))
                .collect();
            if is_facade && !fields.is_empty() {
                let metric = text.unwrap_or_default();
                c.push(
                    call.span,
                    call.at,
                    FactKind::MetricUse(MetricUse { metric, labels: fields, success_only: false }),
                );
            }
        }
        return;
    }
    let owner = call.object().rsplit('.').next().unwrap_or_default();
    let is_type = kind_of(owner).is_some() && owner.starts_with(|c: char| c.is_ascii_uppercase());
    if is_type
        && matches!(name, "new" | "with_opts")
        && (full.starts_with("prometheus") || owner.ends_with("Vec"))
    {
        let kind = kind_of(owner).unwrap_or(MetricKind::Counter);
        let inner = within(c, call)
            .find_map(|inner| inner.positional(0).and_then(Expr::text))
            .map(str::to_owned);
        let metric = Metric {
            library: "prometheus".into(),
            kind,
            name: text.clone().or(inner),
            labels: texts(call),
        };
        c.push(call.span, call.at, FactKind::Metric(metric));
    }
    let is_meter = ["u64_", "f64_", "i64_"].iter().any(|start| name.starts_with(start));
    let is_registry = matches!(
        name,
        "counter" | "gauge" | "histogram" | "gauge_fn" | "counter_vec" | "histogram_vec"
    ) && call.callee.contains("registry");
    if let (true, Some(kind)) = ((is_meter || is_registry) && text.is_some(), kind_of(name)) {
        let library = if is_meter { "opentelemetry" } else { "skopos" };
        c.push(
            call.span,
            call.at,
            FactKind::Metric(Metric {
                library: library.into(),
                kind,
                name: text,
                labels: texts(call),
            }),
        );
    }
    if name == "with_label_values" {
        let metric = owner.to_owned();
        let labels = call.args.iter().flat_map(|arg| match &arg.value {
            Expr::List(items, _) => items
                .iter()
                .flat_map(|item| c.module.fields(None, item, call.at.function))
                .collect(),
            other => c.module.fields(None, other, call.at.function),
        });
        let labels: Vec<Field> = labels.collect();
        c.push(
            call.span,
            call.at,
            FactKind::MetricUse(MetricUse { metric, labels, success_only: false }),
        );
    }
    if matches!(name, "add" | "record") {
        let labels = key_values(c, call);
        if !labels.is_empty() {
            let metric = owner.to_owned();
            c.push(
                call.span,
                call.at,
                FactKind::MetricUse(MetricUse { metric, labels, success_only: false }),
            );
        }
    }
    let exposed = match full {
        _ if full.contains("PrometheusBuilder.new") => {
            Some(Exposed::Pulled("PrometheusBuilder".into()))
        }
        _ if full.contains("TextEncoder.new") || full.ends_with("prometheus.gather") => {
            Some(Exposed::Pulled("TextEncoder".into()))
        }
        _ if full.contains("prometheus_client.encoding.text.encode") => {
            Some(Exposed::Pulled("prometheus_client".into()))
        }
        _ if full.contains("axum_prometheus.")
            || full.contains("actix_web_prom.")
            || full.contains("PrometheusMetricLayer")
            || full.contains("RequestMetrics.") =>
        {
            Some(Exposed::Middleware(call.callee.clone()))
        }
        _ if full.contains("MetricExporter.builder")
            || full.contains("opentelemetry_otlp.new_pipeline.metrics") =>
        {
            Some(Exposed::Pushed(call.callee.clone()))
        }
        _ if name == "ops_router" || name == "serve_ops" => {
            Some(Exposed::Middleware(call.callee.clone()))
        }
        _ => None,
    };
    if let Some(exposed) = exposed {
        c.push(call.span, call.at, FactKind::MetricsExposed(exposed));
    }
}

/// `KeyValue::new("key", value)` within a call.
fn key_values(c: &Classify<'_>, call: &Call) -> Vec<Field> {
    let mut found = Vec::new();
    for inner in within(c, call).filter(|inner| inner.callee.ends_with("KeyValue.new")) {
        let Some(value) = inner.positional(1) else { continue };
        let key = inner.positional(0).and_then(Expr::text);
        for mut field in c.module.fields(key, value, call.at.function) {
            field.span = inner.span;
            found.push(field);
        }
    }
    found
}

pub(super) fn tracing(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let role = match full {
        _ if full.ends_with("TracerProvider.builder") || full.ends_with("TracerProvider.new") => {
            Some(TracingRole::Provider)
        }
        "skopos.init" | "skopos.Telemetry.builder" => Some(TracingRole::Provider),
        _ if full.contains("opentelemetry_otlp.SpanExporter")
            || full.contains("opentelemetry_otlp.new_exporter") =>
        {
            Some(TracingRole::Exporter)
        }
        _ if full.contains("opentelemetry_otlp.new_pipeline") => Some(TracingRole::Exporter),
        _ if full.contains("opentelemetry_jaeger.") || full.contains("opentelemetry_zipkin.") => {
            Some(TracingRole::Exporter)
        }
        _ if full.contains("opentelemetry_stdout.") => Some(TracingRole::DevelopmentExporter),
        _ if name == "with_simple_exporter" || name == "install_simple" => {
            Some(TracingRole::DevelopmentExporter)
        }
        _ if full.contains("tracing_opentelemetry.")
            || full.contains("OtelAxumLayer")
            || full.contains("opentelemetry_instrumentation_")
            || full.contains("axum_tracing_opentelemetry") =>
        {
            Some(TracingRole::Instrumentation)
        }
        _ if name == "http_layer"
            && c.module.imports.iter().any(|i| i.module.starts_with("skopos")) =>
        {
            Some(TracingRole::Instrumentation)
        }
        _ if matches!(
            name,
            "inject_context" | "extract" | "set_text_map_propagator" | "propagation_headers"
        ) =>
        {
            Some(TracingRole::Propagation)
        }
        _ if matches!(name, "start_with_context" | "in_span") => Some(TracingRole::Span),
        _ => None,
    };
    if let Some(role) = role {
        c.push(call.span, call.at, FactKind::Tracing(Tracing { role, what: call.callee.clone() }));
    }
    if matches!(
        name,
        "set_attribute"
            | "set_attributes"
            | "with_attributes"
            | "with_baggage"
            | "current_with_baggage"
    ) {
        let is_resource = full.contains("Resource");
        for field in key_values(c, call).into_iter().filter(|_| !is_resource) {
            c.push(field.span, call.at, FactKind::SpanAttribute(field));
        }
        if let (Some(key), Some(value)) =
            (call.positional(0).and_then(Expr::text), call.positional(1))
        {
            for field in c.module.fields(Some(key), value, call.at.function) {
                c.push(call.span, call.at, FactKind::SpanAttribute(field));
            }
        }
    }
    // `span.record("user", &user)` of tracing.
    if name == "record"
        && call.args.len() == 2
        && let (Some(key), Some(value)) =
            (call.positional(0).and_then(Expr::text), call.positional(1))
    {
        for field in c.module.fields(Some(key), value, call.at.function) {
            c.push(call.span, call.at, FactKind::SpanAttribute(field));
        }
    }
    let is_name = call.callee.ends_with("with_service_name")
        || (call.callee.ends_with("KeyValue.new")
            && call.args.first().is_some_and(|arg| {
                arg.value.text() == Some("service.name")
                    || arg.value.path().is_some_and(|path| path.ends_with("SERVICE_NAME"))
            }));
    if is_name {
        let at = usize::from(call.callee.ends_with("KeyValue.new"));
        let value = call.positional(at).and_then(Expr::text).map(str::to_owned);
        c.push(call.span, call.at, FactKind::ServiceName(value));
    }
    if matches!(full, "skopos.init" | "skopos.service!") {
        c.push(call.span, call.at, FactKind::ServiceName(None));
    }
}
