//! Go's metrics and tracing: Prometheus' client, OpenTelemetry, vendors.

use crate::FactKind;
use crate::fact::{Exposed, Metric, MetricKind, MetricUse, Tracing, TracingRole};
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr};
use crate::lang::shared::{dict, within};

pub(super) fn metrics(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let is_prometheus = full.starts_with("github.com/prometheus/client_golang");
    let kind = |name: &str| {
        let kinds = [
            ("Counter", MetricKind::Counter),
            ("Gauge", MetricKind::Gauge),
            ("Histogram", MetricKind::Histogram),
            ("Summary", MetricKind::Summary),
        ];
        kinds.iter().find(|(word, _)| name.contains(word)).map(|(_, kind)| *kind)
    };
    if name.starts_with("New")
        && (is_prometheus
            || call.callee.starts_with("promauto")
            || call.callee.contains("promauto.With"))
        && let Some(kind) = kind(name)
    {
        let options = call.positional(0).and_then(|expr| dict(c, expr));
        let part =
            |key: &str| options.and_then(|o| o.key(key)).and_then(Expr::text).map(str::to_owned);
        let whole: Vec<String> =
            ["Namespace", "Subsystem", "Name"].iter().filter_map(|key| part(key)).collect();
        let metric = Metric {
            library: "prometheus".into(),
            kind,
            name: part("Name").map(|_| whole.join("_")),
            labels: call.positional(1).map(Expr::texts).unwrap_or_default(),
        };
        c.push(call.span, call.at, FactKind::Metric(metric));
    }
    let is_meter = ["Int64", "Float64"].iter().any(|start| name.starts_with(start))
        && ["Counter", "Gauge", "Histogram"].iter().any(|end| name.ends_with(end));
    if let (true, Some(kind), Some(text)) =
        (is_meter, kind(name), call.positional(0).and_then(Expr::text))
    {
        let metric = Metric {
            library: "opentelemetry".into(),
            kind,
            name: Some(text.to_owned()),
            labels: Vec::new(),
        };
        c.push(call.span, call.at, FactKind::Metric(metric));
    }
    uses(c, call);
    let exposed = match full {
        _ if full.contains("client_golang/prometheus/promhttp.Handler") => {
            Some(Exposed::Pulled("promhttp.Handler".into()))
        }
        _ if full.contains("otel/exporters/prometheus.New") => {
            Some(Exposed::Pulled("otel prometheus exporter".into()))
        }
        _ if full.contains("otlpmetricgrpc.New") || full.contains("otlpmetrichttp.New") => {
            Some(Exposed::Pushed(call.callee.clone()))
        }
        _ if [
            "ginprometheus",
            "go-gin-prometheus",
            "echoprometheus",
            "fiberprometheus",
            "slok/go-http-metrics",
            "go-grpc-prometheus",
        ]
        .iter()
        .any(|library| full.contains(library)) =>
        {
            Some(Exposed::Middleware(call.callee.clone()))
        }
        _ if full.contains("datadog-go") && full.ends_with("statsd.New") => {
            Some(Exposed::Pushed("statsd".into()))
        }
        _ => None,
    };
    if let Some(exposed) = exposed {
        c.push(call.span, call.at, FactKind::MetricsExposed(exposed));
    }
}

/// Label values and attributes.
fn uses(c: &mut Classify<'_>, call: &Call) {
    let name = call.name();
    let metric = call.object().rsplit('.').next().unwrap_or_default().to_owned();
    let function = call.at.function;
    let labels = match name {
        "WithLabelValues" => {
            let values = call.args.iter();
            values.flat_map(|arg| c.module.fields(None, &arg.value, function)).collect()
        }
        "With" => match call.positional(0).and_then(|expr| dict(c, expr)) {
            Some(labels) if call.callee.to_lowercase().contains("labels") || is_labels(c, call) => {
                c.module.fields(None, labels, function)
            }
            _ => return,
        },
        "WithAttributes" if call.callee.starts_with("metric.") => attributes(c, call),
        _ => return,
    };
    c.push(
        call.span,
        call.at,
        FactKind::MetricUse(MetricUse { metric, labels, success_only: false }),
    );
}

fn is_labels(c: &Classify<'_>, call: &Call) -> bool {
    within(c, call).any(|inner| inner.callee.ends_with("prometheus.Labels"))
}

/// `attribute.String("key", value)` within a call.
fn attributes(c: &Classify<'_>, call: &Call) -> Vec<crate::fact::Field> {
    let mut found = Vec::new();
    for inner in within(c, call) {
        let is_attribute = inner.callee.starts_with("attribute.")
            || c.resolve(&inner.callee).contains("otel/attribute.");
        let (Some(key), Some(value)) =
            (inner.positional(0).and_then(Expr::text), inner.positional(1))
        else {
            continue;
        };
        if is_attribute {
            let mut fields = c.module.fields(Some(key), value, call.at.function);
            for field in &mut fields {
                field.span = inner.span;
            }
            found.extend(fields);
        }
    }
    found
}

pub(super) fn tracing(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let role = match full {
        _ if full.contains("otel/sdk/trace.NewTracerProvider") => Some(TracingRole::Provider),
        _ if full.contains("otlptracegrpc.New")
            || full.contains("otlptracehttp.New")
            || full.ends_with("otlptrace.New") =>
        {
            Some(TracingRole::Exporter)
        }
        _ if full.contains("exporters/jaeger.New") || full.contains("exporters/zipkin.New") => {
            Some(TracingRole::Exporter)
        }
        // Before OpenTelemetry.
        "go.opencensus.io/trace.RegisterExporter" => Some(TracingRole::Exporter),
        _ if full.starts_with("github.com/openzipkin/")
            && matches!(name, "NewHTTPCollector" | "NewReporter" | "NewKafkaCollector") =>
        {
            Some(TracingRole::Exporter)
        }
        _ if full.contains("autoexport.NewSpanExporter") => Some(TracingRole::Exporter),
        _ if full.contains("stdouttrace.New") => Some(TracingRole::DevelopmentExporter),
        _ if full.contains("otel/sdk/trace.WithSyncer")
            || full.contains("otel/sdk/trace.NewSimpleSpanProcessor") =>
        {
            Some(TracingRole::DevelopmentExporter)
        }
        _ if full.contains("contrib/instrumentation/")
            || full.contains("otelhttp.")
            || full.contains("otelgrpc.")
            || full.contains("otelsql.") =>
        {
            Some(TracingRole::Instrumentation)
        }
        _ if full.contains("dd-trace-go") && name == "Start" => Some(TracingRole::Vendor),
        _ if full.contains("newrelic/go-agent") && name == "NewApplication" => {
            Some(TracingRole::Vendor)
        }
        _ if full.contains("go.elastic.co/apm") => Some(TracingRole::Vendor),
        _ if name == "Start" && call.args.len() >= 2 && is_tracer(c, call) => {
            Some(TracingRole::Span)
        }
        _ if matches!(name, "Inject" | "Extract") && call.callee.contains("ropagator") => {
            Some(TracingRole::Propagation)
        }
        "go.opentelemetry.io/otel.SetTextMapPropagator" => Some(TracingRole::Propagation),
        _ => None,
    };
    if let Some(role) = role {
        c.push(call.span, call.at, FactKind::Tracing(Tracing { role, what: call.callee.clone() }));
    }
    if matches!(name, "SetAttributes")
        || (name == "WithAttributes" && call.callee.starts_with("trace."))
    {
        for field in attributes(c, call) {
            c.push(field.span, call.at, FactKind::SpanAttribute(field));
        }
    }
    if full.contains("otel/baggage.NewMember")
        && let (Some(key), Some(value)) =
            (call.positional(0).and_then(Expr::text), call.positional(1))
    {
        for field in c.module.fields(Some(key), value, call.at.function) {
            c.push(call.span, call.at, FactKind::SpanAttribute(field));
        }
    }
    let names_service = call.callee.ends_with("semconv.ServiceName")
        || call.callee.ends_with("semconv.ServiceNameKey.String")
        || (call.callee.starts_with("attribute.")
            && call.positional(0).and_then(Expr::text) == Some("service.name"));
    if names_service {
        let at = usize::from(call.callee.starts_with("attribute."));
        let value = call.positional(at).and_then(Expr::text).map(str::to_owned);
        c.push(call.span, call.at, FactKind::ServiceName(value));
    }
}

fn is_tracer(c: &Classify<'_>, call: &Call) -> bool {
    let object = call.object().to_lowercase();
    object.ends_with("tracer")
        || object.ends_with("tracer()")
        || c.made_on(call).is_some_and(|made| made.ends_with(".Tracer"))
}
